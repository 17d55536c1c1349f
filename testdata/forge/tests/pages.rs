//! Pages behind page files, sections and the compressed store, read by hand: entries, files, trees and records are where the
//! descriptions that the forge was written after say.

mod walk;

use ntmem_forge::{Behind, Build, Forged, Needs, PagingFile, Scenario, StoreDamage, TruthPlace};
use walk::{translate, u64_at};

const PEB_IMAGE_BASE: usize = 0x10;

/// The lowest-level entry of an address.
fn entry(image: &[u8], root: u64, va: u64) -> u64 {
    let mut table = root;
    for shift in [39, 30, 21] {
        table = u64_at(image, table + (va >> shift & 0x1ff) * 8) & 0x000f_ffff_ffff_f000;
    }
    u64_at(image, table + (va >> 12 & 0x1ff) * 8)
}

fn place(forged: &Forged, pid: u64, address: u64) -> Option<TruthPlace> {
    let pages = &forged.truth.pages;
    pages.iter().find(|p| p.pid == Some(pid) && p.address == address && !p.table).map(|p| p.place.clone())
}

/// Entry of smss' PEB, what the truth says of it, and the image base that it must have.
fn smss(forged: &Forged) -> (u64, TruthPlace, u64) {
    let smss = forged.truth.process(348).expect("smss");
    let peb = smss.peb.expect("a PEB");
    let place = place(forged, 348, peb).expect("the PEB is away");
    (entry(&forged.image, smss.dtb, peb), place, smss.image_base.expect("an image"))
}

fn word(page: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(page[at..at + 8].try_into().expect("8 bytes"))
}

#[test]
fn every_mechanism_of_every_build_can_be_made() {
    for build in Build::ALL {
        for what in Behind::ALL.into_iter().filter(|b| b.is_in(build)) {
            let forged = Scenario::clean(build).behind(what).forge();
            let peb = forged.truth.process(348).and_then(|p| p.peb).expect("smss has a PEB");
            assert_eq!(place(&forged, 348, peb).is_some(), what.has_peb(), "{build:?} {what:?}");
            let filed = |p: &ntmem_forge::TruthPage| matches!(p.place, TruthPlace::PageFile { .. });
            assert_eq!(forged.truth.pages.iter().any(filed), what.needs() == Needs::PageFiles, "{build:?} {what:?}");
        }
    }
}

/// Number and index are where the symbols of these kernels say, and the mask is undone before they are read; what lies where it is
/// not, or in the other file, is another page.
#[test]
fn page_files_by_hand() {
    for (mask, bit) in [(0, 0), (1u64 << 45, 0x2000), (1 << 47, 0x8000)] {
        let mut seen = [false; 2];
        for build in [Build::W7_7601, Build::W10_14393, Build::W10_19045, Build::W11_26100] {
            let what = if build == Build::W7_7601 { Behind::PageFile } else { Behind::SwapFile };
            let forged = Scenario::clean(build).with_mask(mask).behind(what).forge();
            for pid in [348, 452, 536] {
                let process = forged.truth.process(pid).expect("a process");
                let peb = process.peb.expect("a PEB");
                let stored = entry(&forged.image, process.dtb, peb);
                let undone = if stored & 0x10 == 0 { stored & !mask } else { stored };
                let (number, index) = (stored >> 12 & 15, undone >> 32);
                assert_eq!(place(&forged, pid, peb), Some(TruthPlace::PageFile { number, index }));
                assert_eq!(undone & 0xc01, 0, "neither valid nor transition nor prototype");
                seen[usize::from(stored & 0x10 != 0)] = true;
                let file = &forged.paging_files[number as usize];
                let base = process.image_base.expect("an image");
                assert_eq!(word(&file.pages[&index][..], PEB_IMAGE_BASE), base);
                let lies = forged.paging_files.iter().filter(|f| f.kind != PagingFile::Store);
                for (lie, at) in lies.flat_map(|f| [(f, index), (f, index ^ bit)]) {
                    let own = (lie.number, at) == (number, index);
                    assert_eq!(word(&lie.pages[&at][..], PEB_IMAGE_BASE) == base, own);
                }
            }
        }
        assert_eq!(seen, [true, mask != 0], "entries with and without the mask");
    }
}

/// Zero and look-up entries: the descriptor's first prototype entry has the frame.
#[test]
fn prototypes_by_hand() {
    let forged = Scenario::clean(Build::W10_19045).behind(Behind::Named).forge();
    let (stored, truth, base) = smss(&forged);
    // Bit 10, and the address above; the address has bit 29, which is the mask's.
    assert_eq!(stored & 0xc11, 0x410);
    let prototype = translate(&forged.image, forged.truth.dtb, (stored as i64 >> 16) as u64).expect("mapped");
    let value = u64_at(&forged.image, prototype);
    assert_eq!(TruthPlace::Memory(value & 0xf_ffff_f000), truth);
    assert_eq!(u64_at(&forged.image, (value & 0xf_ffff_f000) + 0x10), base);
    let forged = Scenario::clean(Build::W10_19045).behind(Behind::SectionStore).forge();
    assert_eq!(smss(&forged).0, 0xffff_ffff_0000_04b0, "a look-up entry with a mask, as stored");
    let forged = Scenario::clean(Build::W10_19045).with_mask(0).behind(Behind::SectionStore).forge();
    assert_eq!(smss(&forged).0, 0xffff_ffff_0000_04a0, "without");
}

/// A tree search as the descriptions have it.
fn search(image: &[u8], dtb: u64, root: u64, key: u32) -> Option<(u32, u32)> {
    let (mut node, mut levels) = (root, 1);
    loop {
        let at = translate(image, dtb, node)?;
        let head = u64_at(image, at);
        let count = head & 0xffff;
        if head >> 24 & 0xff != 0 {
            let found = (0..count).map(|n| u64_at(image, at + 0x10 + n * 8)).find(|e| *e as u32 == key)?;
            return Some(((found >> 32) as u32, levels));
        }
        let below = (0..count).take_while(|n| u64_at(image, at + 0x10 + n * 16) as u32 <= key).last();
        node = u64_at(image, below.map_or(at + 8, |n| at + 0x18 + n * 16));
        levels += 1;
    }
}

/// From the entry of smss' PEB to its bytes as they are in a region, kept plain so that nothing need be unpacked.
#[test]
fn the_store_by_hand() {
    for (build, global) in [(Build::W10_14393, 0), (Build::W10_19045, 0), (Build::W11_26100, 0xc30)] {
        let forged = Scenario::clean(build).behind(Behind::StorePlain).forge();
        let (image, dtb) = (&forged.image, forged.truth.dtb);
        let read = |va: u64| u64_at(image, translate(image, dtb, va).expect("kernel memory is mapped"));
        let (stored, truth, base) = smss(&forged);
        let undone = if stored & 0x10 == 0 { stored & !(1 << 45) } else { stored };
        assert_eq!(truth, TruthPlace::Store { number: 2, index: undone >> 32 });
        let key = if build == Build::W11_26100 { undone >> 32 } else { 2 << 28 | undone >> 32 } as u32;
        let symbol = forged.globals["?SmGlobals@@3U_SM_GLOBALS@@A"];
        let start = if global == 0 { symbol } else { read(symbol + 0x10) - global };
        let (index, levels) = search(image, dtb, read(start + 0x1c0), key).expect("in the tree of stores");
        assert!(levels >= 3);
        let entry = read(start + u64::from(index >> 5) * 8) + u64::from(index & 31) * 0x28;
        let store = read(entry);
        assert_eq!(read(store + 0x370), store);
        let (record, _) = search(image, dtb, read(store + 0x50), key).expect("in the tree of pages");
        let (chunk, in_chunk) = (record >> 7, u64::from(record & 0x7f));
        let bit = chunk.ilog2();
        let array = read(store + 0x110 + u64::from(bit) * 8);
        let records = read(array + u64::from(chunk ^ 1 << bit) * 0x10) + 0x30;
        let record = read(records + in_chunk * 0x10);
        assert_eq!(record >> 32 & 0xffff, 0x1000, "as it is");
        let regions = read(
            store
                + if build == Build::W10_14393 {
                    0x17a8
                } else if global == 0 {
                    0x1848
                } else {
                    0x1b70
                },
        );
        let region = read(regions + (record as u32 >> 13) as u64 * 8) + ((record & 0x1fff) << 4);
        let owner = forged.truth.processes.iter().find(|p| p.name == b"MemCompression").expect("a client").dtb;
        let at = translate(image, owner, region + 0x10).expect("the region is mapped");
        assert_eq!(u64_at(image, at), base);
    }
}

/// Five levels: a table more, its own entry in the highest, addresses of the system's pages with 57 bits.
#[test]
fn five_levels_by_hand() {
    let forged = Scenario::clean(Build::W11_22000).with_five_levels().behind(Behind::Store).forge();
    let walk = |root: u64, va: u64| {
        [48, 39, 30, 21, 12]
            .iter()
            .fold(root, |table, shift| u64_at(&forged.image, table + (va >> shift & 0x1ff) * 8) & 0x000f_ffff_ffff_f000)
    };
    let dtb = forged.truth.dtb;
    assert_eq!(walk(dtb, forged.truth.kernel_base), forged.truth.kernel_physical);
    let own = (256..512).find(|n| u64_at(&forged.image, dtb + n * 8) & 0x000f_ffff_ffff_f000 == dtb);
    assert_eq!(own, Some(0x1a5), "the self-reference");
    let smss = forged.truth.process(348).expect("smss");
    assert_eq!(walk(smss.dtb, 0x7ffe_0000), walk(dtb, 0xffff_f780_0000_0000), "the shared page");
    // CR4 in the start block has LA57.
    assert_eq!(u64_at(&forged.image, 0x1000 + 0xa8) >> 12 & 1, 1);
    assert!(forged.image.windows(12).any(|w| w == b"ntkrla57.pdb"));
}

/// What is wrong with a store is wrong with it alone.
#[test]
fn damaged_stores_can_be_made() {
    use StoreDamage::{
        Counts, GlobalLoop, HalfRecords, HalfStore, NoRegion, NotValid, OutOfRegion, Owner, PagesDeep, PagesLoop,
        RecordRing, Unpacked,
    };
    for damage in [
        GlobalLoop,
        PagesLoop,
        PagesDeep(400),
        Counts,
        NoRegion,
        OutOfRegion,
        Unpacked(4000),
        Unpacked(8192),
        RecordRing,
        HalfRecords,
        HalfStore,
        NotValid,
        Owner,
    ] {
        let mut scenario = Scenario::clean(Build::W11_22000).behind(Behind::Store);
        scenario.pages.store.as_mut().expect("a store").damage.push(damage);
        let forged = scenario.forge();
        assert!(matches!(smss(&forged).1, TruthPlace::Store { .. }));
    }
}
