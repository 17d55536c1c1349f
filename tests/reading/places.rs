//! Raw files that do not say where their memory lies: the pages in them do.

use crate::common;
use crate::common::edited::Edited;
use crate::common::forged::{Opened, document};
use crate::containers::{is_the_machine, open, opened_with_kernel, runs};
use ntmem_forge::{Build, Scenario};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::Path;

const FRAME: u64 = 0x000f_ffff_ffff_f000;
const FOUR_GIB: u64 = 1 << 32;
const PAGE: usize = 4096;

/// Writes the machine without the hole that begins at `hole`, with every `every`-th page that a page table leads to moved above 4 GiB,
/// and no page table. `user_alone`: of those that the kernel's half does not lead to.
fn write_moved(edited: &Edited, every: usize, user_alone: bool, hole: u64, file: &Path) -> BTreeMap<u64, u64> {
    let mut bytes = edited.bytes.clone();
    let truth = &edited.forged.truth;
    let entry = |bytes: &[u8], at: u64| u64::from_le_bytes(bytes[at as usize..at as usize + 8].try_into().unwrap());
    let (mut tables, mut lowest) = (BTreeSet::new(), BTreeSet::new());
    // Frames that entries lead to, and whether the kernel's half does.
    let mut leaves: BTreeMap<u64, bool> = BTreeMap::new();
    let roots = truth.processes.iter().map(|process| process.dtb & FRAME).chain([truth.dtb]);
    let mut left: Vec<(u64, u32, bool)> = roots.filter(|root| *root != 0).map(|root| (root, 0, false)).collect();
    while let Some((table, level, kernel)) = left.pop() {
        if !tables.insert((table, level, kernel)) {
            continue;
        }
        for n in 0..512u64 {
            let entry = entry(&bytes, table + n * 8);
            let kernel = kernel || level == 0 && n >= 256;
            let next = entry & FRAME;
            if entry & 1 == 0 || entry & 0x80 != 0 && level > 0 && level < 3 || next as usize + PAGE > bytes.len() {
                continue;
            }
            if level == 3 {
                lowest.insert(table);
                *leaves.entry(next).or_default() |= kernel;
            } else {
                left.push((next, level + 1, kernel));
            }
        }
    }
    let tables: BTreeSet<u64> =
        tables.into_iter().filter(|(_, level, _)| *level < 4).map(|(table, ..)| table).collect();
    // Through the entry that leads to itself a table is a leaf too.
    let movable = leaves
        .iter()
        .filter(|(frame, kernel)| !tables.contains(frame) && **frame >= 0x10_0000 && !(user_alone && **kernel));
    let moved: BTreeMap<u64, u64> = movable
        .map(|(frame, _)| *frame)
        .step_by(every)
        .enumerate()
        .map(|(n, frame)| (frame, FOUR_GIB + n as u64 * 4096))
        .collect();
    assert!(moved.len() >= 4, "{}", moved.len());
    for table in lowest {
        for n in 0..512u64 {
            let at = (table + n * 8) as usize;
            let old = entry(&bytes, at as u64);
            // Of pages in transition, too.
            if let Some(to) = moved.get(&(old & FRAME)).filter(|_| old & 1 == 1 || old & 0xc00 == 0x800) {
                bytes[at..at + 8].copy_from_slice(&(old & !FRAME | to).to_le_bytes());
            }
        }
    }
    let mut out = std::fs::File::create(file).unwrap();
    out.set_len(hole + moved.len() as u64 * 4096 + (16 << 20)).unwrap();
    for (n, page) in bytes.chunks_exact(PAGE).enumerate() {
        let at = n as u64 * 4096;
        let at = moved.get(&at).map_or(at, |to| to - FOUR_GIB + hole);
        if page.iter().any(|byte| *byte != 0) {
            out.seek(SeekFrom::Start(at)).unwrap();
            out.write_all(page).unwrap();
        }
    }
    moved
}

/// Page tables and the kernel all lie below the hole, and some pages that they lead to above it: a page in its place knows its address.
#[test]
fn holes_that_no_table_shows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("memory.raw");
    for (build, hole, every, user_alone) in [
        (Build::W10_19045, 0x8000_0000u64, 13, false),
        (Build::W11_26100, 0xe000_0000, 7, false),
        (Build::W7_7601, 0xc400_0000, 17, true),
        (Build::W11_26100, 0x8000_0000, 5, true),
    ] {
        let mut edited = Edited::new(&Scenario::clean(build));
        // Nothing but pages tells it.
        let list = edited.global("MmPhysicalMemoryBlock").unwrap();
        edited.write(list, &[0; 8]);
        let moved = write_moved(&edited, every, user_alone, hole, &file);
        let mut forged = edited.forged;
        for process in &mut forged.truth.processes {
            let page = process.physical & FRAME;
            process.physical += moved.get(&page).map_or(0, |to| to - page);
        }
        let opened = opened_with_kernel(open(&forged, &file));
        let said: String = opened.image.warnings().iter().map(ToString::to_string).collect();
        assert!(said.contains(&format!("{hole:#x}")), "{build:?} {hole:#x}: {said}");
        let truth: serde_json::Value = serde_json::from_str(&forged.truth.to_json()).unwrap();
        common::assert_agrees(&format!("{build:?} {hole:#x}"), &document(&opened.system()), &truth);
    }
}

/// A file in which the ranges of memory stand one behind the other, without what lies between them.
#[test]
fn ranges_in_a_row() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let mut scenario = Scenario::clean(build);
        scenario.memory = vec![0x1000..0x9000, 0x10_0000..0x30_0000, 0x38_5000..0x100_0000];
        let forged = scenario.forge();
        let bytes = |runs: &[Range<u64>]| -> Vec<u8> {
            runs.iter().flat_map(|run| forged.image[run.start as usize..run.end as usize].iter().copied()).collect()
        };
        let opened = opened_with_kernel(Opened::with_bytes(&forged, bytes(&scenario.memory)));
        is_the_machine(&forged, &opened, &format!("{build:?}"));
        assert_eq!(runs(&opened.image), scenario.memory, "{build:?}");
        assert!(opened.image.warnings()[0].message.contains("one behind the other"), "{:?}", opened.image.warnings());
        // Without its first page.
        let cut = Opened::with_bytes(&forged, forged.image[0x1000..].to_vec());
        cut.image.locate_kernel(&cut.store).unwrap();
        assert!(cut.image.warnings()[0].message.contains("0x1000 bytes further"), "{:?}", cut.image.warnings());
    }
}
