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

/// Rings and depths that only a hostile image has end, and say what they are.
#[test]
fn vads_that_lead_astray() {
    use super::absent::{AbsentPages, Sites, Structures};
    use crate::symbols::{FieldInfo, SymbolSource, Symbols, TypeInfo};
    let field = |offset: u64, size: u64, bits: Option<(u8, u8)>| FieldInfo { offset, size, bits, structure: None };
    let short = TypeInfo {
        size: 0x40,
        fields: [
            ("VadNode.Left", field(0, 8, None)),
            ("VadNode.Right", field(8, 8, None)),
            ("StartingVpn", field(0x18, 4, None)),
            ("EndingVpn", field(0x1c, 4, None)),
            ("u.VadFlags.VadType", field(0x30, 4, Some((0, 3)))),
            ("u.VadFlags.Protection", field(0x30, 4, Some((3, 5)))),
            ("u.VadFlags.PrivateMemory", field(0x30, 4, Some((15, 1)))),
        ]
        .map(|(name, info)| (name.to_owned(), info))
        .into(),
    };
    let symbols = Symbols::new(SymbolSource::Pdb, None).with_type("_MMVAD_SHORT", short);
    let vad = Some(VadLayout::resolve(&symbols).unwrap());
    let absent = AbsentPages::new(Structures { vad, ..Structures::default() }, Sites::default());
    let (mut memory, mut tables) = (Pages::default(), 0x10_0000);
    memory.map(ROOT, BASE, 0x70_0063, 3, &mut tables);
    let mut node = |at: u64, left: u64, right: u64, first: u64, last: u64, flags: u64| {
        for (offset, value) in [(0, left), (8, right), (0x18, first | last << 32), (0x30, flags)] {
            memory.write(0x70_0000 + at + offset, value);
        }
    };
    // A node that is its own child on both sides, one whose end lies before its start, and one in order.
    node(0x100, BASE + 0x100, BASE + 0x100, 0x100, 0x200, 0);
    node(0x200, 0, 0, 0x300, 0x200, 0);
    node(0x300, 0, 0, 0x100, 0x200, 1 << 15);
    node(0x400, 0x1234, 0x1234, 0x100, 0x200, 0);
    let space = AddressSpace::new(&memory, PhysicalAddress(ROOT)).with_absent(&absent);
    let at = |node: u64, page: u64| space.with_vads(VirtualAddress(BASE + node)).resolve(VirtualAddress(page << 12));
    let torn = |place: Where| matches!(place, Where::Missing(Fault::Prototype { why: PrototypeFault::TornVads, .. }));
    assert!(torn(at(0x100, 0x80)) && torn(at(0x100, 0x280)), "a ring");
    assert!(torn(at(0x200, 0x250)), "a range that ends before it starts");
    assert!(torn(at(0x400, 0x80)), "a node in the user's half");
    assert!(matches!(at(0x300, 0x150), Where::Missing(Fault::DemandZero { .. })));
    assert!(matches!(at(0x300, 0x250), Where::Missing(Fault::NotPresent { .. })));
    assert!(matches!(
        at(0x900, 0x250),
        Where::Missing(Fault::NotPresent { .. }) | Where::Missing(Fault::Prototype { .. })
    ));
}

/// Pages that are in page files are listed, those in memory and those that never were are not.
#[test]
fn pages_in_page_files_are_listed() {
    let (mut memory, mut tables) = (Pages::default(), 0x10_0000);
    for (index, entry) in [0x70_0063, 0x0000_0042_0000_2080, 0, 0x0000_0043_0000_0080, 0x80].into_iter().enumerate() {
        memory.map(ROOT, BASE + index as u64 * 0x1000, entry, 3, &mut tables);
    }
    let page_file = Some(PageFileBits { number: (12, 4), index: (32, 32) });
    let space = AddressSpace::new(&memory, PhysicalAddress(ROOT))
        .with_ptes(WindowsPte { invalid_pte_mask: Some(0), page_file });
    let listed: Vec<u64> =
        space.paged_out(VirtualAddress(1 << 63), VirtualAddress(u64::MAX)).map(|at| at.0 - BASE).collect();
    assert_eq!(listed, [0x1000, 0x3000]);
    let fault = space.read_u64(VirtualAddress(BASE + 0x1008)).unwrap_err();
    assert_eq!(fault.remedy().as_deref(), Some("--pagefile FILE (page file 2)"));
    let Fault::PageFile { number: 2, offset: 0x4_2000, .. } = fault else { panic!("{fault}") };
}

/// The parts of a section whose last one leads back to the first: pages behind them are nobody's, not those of the first again.
#[test]
fn a_ring_of_subsections_gives_no_page() {
    use super::absent::{AbsentPages, Sites, Structures};
    use super::layouts::{MappedVadLayout, SubsectionLayout};
    use crate::symbols::{FieldInfo, SymbolSource, Symbols, TypeInfo};
    type Field<'f> = (&'f str, u64, u64, Option<(u8, u8)>);
    let kind = |size: u64, fields: &[Field]| {
        let info = |(name, offset, size, bits): &(&str, u64, u64, Option<(u8, u8)>)| {
            ((*name).to_owned(), FieldInfo { offset: *offset, size: *size, bits: *bits, structure: None })
        };
        TypeInfo { size, fields: fields.iter().map(info).collect() }
    };
    let short = kind(
        0x40,
        &[
            ("VadNode.Left", 0, 8, None),
            ("VadNode.Right", 8, 8, None),
            ("StartingVpn", 0x18, 4, None),
            ("EndingVpn", 0x1c, 4, None),
            ("u.VadFlags.VadType", 0x30, 4, Some((0, 3))),
            ("u.VadFlags.Protection", 0x30, 4, Some((3, 5))),
            ("u.VadFlags.PrivateMemory", 0x30, 4, Some((15, 1))),
        ],
    );
    let whole = kind(
        0x80,
        &[("Subsection", 0x48, 8, None), ("FirstPrototypePte", 0x50, 8, None), ("LastContiguousPte", 0x58, 8, None)],
    );
    let part = kind(
        0x40,
        &[
            ("ControlArea", 0, 8, None),
            ("SubsectionBase", 8, 8, None),
            ("NextSubsection", 0x10, 8, None),
            ("PtesInSubsection", 0x18, 4, None),
        ],
    );
    let symbols = Symbols::new(SymbolSource::Pdb, None)
        .with_type("_MMVAD_SHORT", short)
        .with_type("_MMVAD", whole)
        .with_type("_SUBSECTION", part);
    let structures = Structures {
        vad: Some(VadLayout::resolve(&symbols).unwrap()),
        mapped_vad: Some(MappedVadLayout::resolve(&symbols).unwrap()),
        subsection: Some(SubsectionLayout::resolve(&symbols).unwrap()),
        ..Structures::default()
    };
    let absent = AbsentPages::new(structures, Sites::default());
    let (mut memory, mut tables) = (Pages::default(), 0x10_0000);
    memory.map(ROOT, BASE, 0x70_0063, 3, &mut tables);
    let mut put = |at: u64, value: u64| memory.write(0x70_0000 + at, value);
    // A range of eight pages; its own array holds two, and each of the two parts of the section has two.
    let (first, second, array) = (0x200, 0x300, 0x400);
    for (offset, value) in
        [(0x18, 0x100 | 0x107 << 32), (0x48, BASE + first), (0x50, BASE + array), (0x58, BASE + array + 8)]
    {
        put(0x100 + offset, value);
    }
    for (at, entries, next) in [(first, array, second), (second, array + 0x100, first)] {
        for (offset, value) in [(0, BASE + 0x900), (8, BASE + entries), (0x10, BASE + next), (0x18, 2)] {
            put(at + offset, value);
        }
        // Pages that are in memory.
        put(entries, 0x71_0063);
        put(entries + 8, 0x72_0063);
    }
    let space =
        AddressSpace::new(&memory, PhysicalAddress(ROOT)).with_absent(&absent).with_vads(VirtualAddress(BASE + 0x100));
    let missing = |page: u64| match space.resolve(VirtualAddress(page << 12)) {
        Where::Missing(Fault::Prototype { why, .. }) => Some(why),
        _ => None,
    };
    for page in 0x100..0x104 {
        assert_eq!(missing(page), None, "{page:#x} is in a part");
    }
    for page in 0x104..0x108 {
        assert_eq!(missing(page), Some(PrototypeFault::NoEntry), "{page:#x} is behind the last part");
    }
}
