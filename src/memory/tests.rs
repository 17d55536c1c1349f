//! The read loop against a flat model.

use super::*;
use crate::image::{PhysicalMemory, PhysicalRun};
use crate::{PhysicalAddress, VirtualAddress};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Physical memory made of pages, in no file at all.
#[derive(Default)]
struct Pages(BTreeMap<u64, Box<[u8; 4096]>>);

impl PhysicalMemory for Pages {
    fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        let (page, _) = self.0.range(from.0 / 4096..).next()?;
        Some(PhysicalRun { start: PhysicalAddress(page * 4096).max(from), bytes: 4096 })
    }

    fn read(&self, at: PhysicalAddress, buf: &mut [u8]) -> usize {
        let mut done = 0;
        while done < buf.len() {
            let at = PhysicalAddress(at.0 + done as u64);
            let Some(piece) = self.borrow(at, buf.len() - done) else { break };
            buf[done..done + piece.len()].copy_from_slice(piece);
            done += piece.len();
        }
        done
    }

    fn borrow(&self, at: PhysicalAddress, len: usize) -> Option<&[u8]> {
        let page = self.0.get(&(at.0 / 4096))?;
        let offset = at.page_offset() as usize;
        Some(&page[offset..4096.min(offset + len)])
    }
}

impl Pages {
    fn write(&mut self, at: u64, value: u64) {
        let page = self.0.entry(at / 4096).or_insert_with(|| Box::new([0; 4096]));
        page[(at % 4096) as usize..][..8].copy_from_slice(&value.to_le_bytes());
    }

    /// Writes the entries that lead from `root` to the table entry for `at` at `depth`, with tables from `next` on.
    fn map(&mut self, root: u64, at: u64, entry: u64, depth: usize, next: &mut u64) {
        let mut table = root;
        for shift in [39u32, 30, 21, 12].into_iter().take(depth + 1) {
            let slot = table + ((at >> shift) & 0x1ff) * 8;
            if shift == [39, 30, 21, 12][depth] {
                self.write(slot, entry);
                return;
            }
            let present = self
                .0
                .get(&(slot / 4096))
                .map_or(0, |page| u64::from_le_bytes(page[(slot % 4096) as usize..][..8].try_into().unwrap()));
            table = if present == 0 {
                let new = *next;
                *next += 0x1000;
                self.write(new, 0);
                self.write(slot, new | 0x67);
                new
            } else {
                present & 0x000f_ffff_ffff_f000
            };
        }
    }
}

const ROOT: u64 = 0x1000;
const BASE: u64 = 0xffff_8000_0000_0000;

proptest! {
    /// Pages of a small range are present, in transition, missing from the image, or not mapped; reads of any place and
    /// length give what a flat copy of the range has, up to the first byte that is not there.
    #[test]
    fn reads_agree_with_a_flat_model(kinds in proptest::collection::vec(0u8..5, 1..8), start in 0u64..0x7000, len in 0usize..0x6000) {
        let mut memory = Pages::default();
        let (mut tables, mut flat) = (0x10_0000, Vec::new());
        for (index, kind) in kinds.iter().enumerate() {
            let index = index as u64;
            // Frames in reverse: neighbours in virtual memory are none in physical memory.
            let frame = 0x80_0000 - index * 0x1000;
            let entry = match kind { 0 | 1 => frame | 0x63, 2 => frame | 0x8c0, 3 => frame | 0x63, _ => 0 };
            memory.map(ROOT, BASE + index * 0x1000, entry, 3, &mut tables);
            let there = *kind < 3;
            for offset in (0..0x1000u64).step_by(8) {
                let value = frame ^ (offset << 32) ^ 0x5a5a;
                if there { memory.write(frame + offset, value); }
                flat.extend(value.to_le_bytes().map(|byte| there.then_some(byte)));
            }
        }
        let space = AddressSpace::new(&memory, PhysicalAddress(ROOT));
        let mut buf = vec![0; len];
        let (read, fault) = space.read_some(VirtualAddress(BASE + start), &mut buf);
        let expected: Vec<u8> = flat.iter().skip(start as usize).take(len).map_while(|byte| *byte).collect();
        prop_assert_eq!(read, expected.len());
        prop_assert_eq!(&buf[..read], &expected[..]);
        prop_assert_eq!(fault.is_none(), read == len);
        if let Some(fault) = fault {
            prop_assert_eq!(fault.at(), VirtualAddress(BASE + start + read as u64));
        }
    }

    /// No entry, whatever its bits, does more than end the walk.
    #[test]
    fn any_entry_is_harmless(entries in proptest::collection::vec(any::<u64>(), 512), at in any::<u64>(), mask in any::<u64>()) {
        let mut memory = Pages::default();
        for (index, entry) in entries.iter().enumerate() {
            // Most lead back into the table itself.
            let entry = if index % 3 == 0 { *entry } else { (entry & 0xfff) | ROOT };
            memory.write(ROOT + index as u64 * 8, entry);
        }
        let space = AddressSpace::new(&memory, PhysicalAddress(ROOT)).with_invalid_pte_mask(mask);
        let _ = space.read_array::<64>(VirtualAddress(at));
        let _ = space.regions(VirtualAddress(at), VirtualAddress(u64::MAX)).take(5).count();
    }
}

#[test]
fn page_sizes_and_offsets() {
    let (mut memory, mut tables) = (Pages::default(), 0x10_0000);
    memory.map(ROOT, BASE, 0x4000_0000 | 0x83, 1, &mut tables);
    memory.map(ROOT, BASE + (1 << 30), 0x60_0000 | 0x83, 2, &mut tables);
    memory.map(ROOT, BASE + (2 << 30), 0x8000_0000_0012_3063, 3, &mut tables);
    let space = AddressSpace::new(&memory, PhysicalAddress(ROOT | 0xabc));
    let physical = |at: u64| space.translate(VirtualAddress(at)).map(|at| at.0);
    assert_eq!(physical(BASE + 0x1234_5678), Ok(0x4000_0000 + 0x1234_5678));
    assert_eq!(physical(BASE + (1 << 30) + 0x1f_ffff), Ok(0x60_0000 + 0x1f_ffff));
    assert_eq!(physical(BASE + (2 << 30) + 0xfff), Ok(0x12_3fff), "the no-execute bit is no part of the address");
    assert_eq!(physical(0x1234_0000_0000_0000), Err(Fault::NonCanonical { at: VirtualAddress(0x1234_0000_0000_0000) }));
    assert_eq!(
        physical(BASE + (3 << 30)),
        Err(Fault::NotPresent { at: VirtualAddress(BASE + (3 << 30)), level: EntryLevel::Pdpte, entry: 0 })
    );
    let regions: Vec<_> = space
        .regions(VirtualAddress(BASE), VirtualAddress(BASE + (4 << 30)))
        .map(|r| (r.at.0 - BASE, r.bytes))
        .collect();
    assert_eq!(regions, [(0, 1 << 30), (1 << 30, 2 << 20), (2 << 30, 4096)]);
}

/// The entry of volatility3 issue 475, seen in a debugger: Windows 10 sets the bit of its invalid-PTE mask in it.
#[test]
fn transition_entry_with_the_mask_of_windows_10() {
    let (mut memory, mut tables) = (Pages::default(), 0x10_0000);
    memory.map(ROOT, BASE, 0x0002_0000_6053_3860, 3, &mut tables);
    // Where the bit was set before, Windows sets the swizzle bit (4) and leaves the rest.
    memory.map(ROOT, BASE + 0x1000, 0x0002_0000_6053_3870, 3, &mut tables);
    let masked = AddressSpace::new(&memory, PhysicalAddress(ROOT)).with_invalid_pte_mask(0x0002_0000_0000_0000);
    assert_eq!(masked.translate(VirtualAddress(BASE)), Ok(PhysicalAddress(0x6053_3000)));
    assert_eq!(masked.translate(VirtualAddress(BASE + 0x1000)), Ok(PhysicalAddress(0x2_0000_6053_3000)));
    let plain = AddressSpace::new(&memory, PhysicalAddress(ROOT));
    assert_eq!(plain.translate(VirtualAddress(BASE)), Ok(PhysicalAddress(0x2_0000_6053_3000)));
}

#[test]
fn faults_name_level_and_entry() {
    let (mut memory, mut tables) = (Pages::default(), 0x10_0000);
    let entries = [
        (0x0000_1234_0000_0080, "is paged out"),
        (0x0000_0000_0000_0080, "demand-zero"),
        (0xffff_8a00_1234_0400, "prototype"),
        (0x0000_0000_0777_7063, "is not in the image"),
    ];
    for (index, (entry, _)) in entries.iter().enumerate() {
        memory.map(ROOT, BASE + index as u64 * 0x1000, *entry, 3, &mut tables);
    }
    let space = AddressSpace::new(&memory, PhysicalAddress(ROOT));
    for (index, (entry, word)) in entries.iter().enumerate() {
        let fault = space.read_u64(VirtualAddress(BASE + index as u64 * 0x1000)).unwrap_err().to_string();
        assert!(fault.contains(word), "{fault}");
        assert!(*word == "is not in the image" || fault.contains(&format!("{entry:#x}")), "{fault}");
    }
}

#[test]
fn shared_pages_are_found_through_their_prototype() {
    let (mut memory, mut tables) = (Pages::default(), 0x10_0000);
    // The page with the prototype entries.
    memory.map(ROOT, BASE, 0x70_0063, 3, &mut tables);
    let prototypes =
        [(0x0123_4063, Ok(0x0123_4010)), (0x0123_58c0, Ok(0x0123_5010)), (0x0000_4711_0000_0080, Err("paged out"))];
    for (index, (prototype, expected)) in prototypes.into_iter().enumerate() {
        let index = index as u64;
        memory.write(0x70_0000 + index * 8, prototype);
        let at = 0x7ff0_0000 + index * 0x1000;
        memory.map(ROOT, at, ((BASE + index * 8) << 16) | 0x400, 3, &mut tables);
        let space = AddressSpace::new(&memory, PhysicalAddress(ROOT));
        match expected {
            Ok(physical) => assert_eq!(space.translate(VirtualAddress(at + 0x10)), Ok(PhysicalAddress(physical))),
            Err(word) => assert!(space.translate(VirtualAddress(at)).unwrap_err().to_string().contains(word)),
        }
    }
    // A prototype that leads to itself, and one that only the VAD knows.
    memory.map(ROOT, BASE + 0x1000, ((BASE + 0x1000) << 16) | 0x400, 3, &mut tables);
    memory.map(ROOT, BASE + 0x2000, 0xffff_ffff_0000_0400, 3, &mut tables);
    let space = AddressSpace::new(&memory, PhysicalAddress(ROOT));
    for page in [1, 2] {
        assert!(matches!(space.translate(VirtualAddress(BASE + page * 0x1000)), Err(Fault::Prototype { .. })));
    }
}
