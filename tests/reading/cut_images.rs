//! Images that hold less than the machine's memory: what is missing is said, and nothing is said of those that hold it all.

use crate::common::forged::{Opened, document};
use ntmem::image::OpenOptions;
use ntmem::{MemoryImage, PhysicalAddress, Picture, ReadOptions, System};
use ntmem_forge::{Build, Core, DumpType, Forged, Hibernation, Scenario, StateFile, Stream};

/// What is said about the image once its kernel is found.
fn said(forged: &Forged, bytes: Vec<u8>) -> String {
    let opened = Opened::with_bytes(forged, bytes);
    let kernel = opened.kernel();
    let about = kernel.warnings().iter().filter(|warning| warning.about == "image");
    about.map(|warning| warning.message.as_str()).collect()
}

fn end(forged: &Forged) -> usize {
    forged.truth.runs.last().unwrap().end as usize
}

/// Whatever the build, and however little is missing: by the kernel's list, or, where that was cut off too, by the count.
#[test]
fn a_raw_image_cut_at_its_end() {
    let (mut listed, mut counted) = (0, 0);
    for build in Build::ALL {
        let mut scenario = Scenario::clean(build);
        scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x400_0000];
        let forged = scenario.forge();
        let end = end(&forged);
        assert_eq!(said(&forged, forged.image.clone()), "", "{build:?}");
        for missing in [0x1000, 0x8_0000, 0x10_0000] {
            let opened = Opened::with_bytes(&forged, forged.image[..end - missing].to_vec());
            // What it takes to find the kernel may have been cut off.
            let Ok(kernel) = opened.image.locate_kernel(&opened.store) else { continue };
            let text: String = kernel.warnings().iter().map(|warning| format!("{} ", warning.message)).collect();
            if text.contains("NumberOfPhysicalPages") {
                counted += 1;
                continue;
            }
            listed += 1;
            let at = |at: usize| PhysicalAddress(at as u64).to_string();
            let amount = if missing < 1 << 20 { format!("{} KiB", missing >> 10) } else { "1 MiB".into() };
            let words = [
                format!("{} to {}", at(end - missing), at(end)),
                format!("The image ends at {}, the memory at {}", at(end - missing), at(end)),
                "MmPhysicalMemoryBlock".into(),
                format!("{amount} of"),
            ];
            for word in words {
                assert!(text.contains(&word), "{build:?}, {missing:#x} bytes are missing, {word}: {text}");
            }
        }
    }
    assert!(listed >= 2 * Build::ALL.len() && listed + counted <= 3 * Build::ALL.len(), "{listed} {counted}");
}

/// The kernel's list, and what of it the file lacks, stand in the document beside the runs of the file.
#[test]
fn the_kernels_own_runs() {
    let mut scenario = Scenario::clean(Build::W10_19045);
    scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x80_0000, 0x90_0000..0x200_0000, 0x1_0000_0000..0x1_0100_0000];
    let forged = scenario.forge_frames();
    let opened = Opened::with_bytes(&forged, forged.as_lime());
    let document = document(&opened.system());
    assert_eq!(document["kernel"]["memory_runs"], document["image"]["runs"]);
    let pages: u64 = forged.truth.runs.iter().map(|run| (run.end - run.start) / 4096).sum();
    assert_eq!(document["kernel"]["memory_pages"], pages);
    // A range in the middle is left out.
    let mut less = forged.clone();
    less.truth.runs[2] = 0x90_0000..0x1f0_0000;
    let text = said(&forged, less.as_lime());
    let missing = format!("{} to {}", PhysicalAddress(0x1f0_0000), PhysicalAddress(0x200_0000));
    assert!(text.contains("1 MiB of") && text.contains(&missing) && !text.contains("ends at"), "{text}");
}

/// What leaves memory out on purpose is not told that it does; what does not, and holds all, neither.
#[test]
fn containers_that_hold_what_they_should() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    for (name, bytes) in [
        ("kernel dump", forged.as_crash_dump(DumpType::KernelBitmap)),
        ("bitmap dump", forged.as_crash_dump(DumpType::Bitmap)),
        ("full dump", forged.as_crash_dump(DumpType::Full)),
        ("avml", forged.as_avml()),
        ("hibernation", forged.as_hibernation(Hibernation::Huffman)),
        ("kdump", forged.as_kdump(true)),
        ("elf", forged.as_elf_core(Core::Qemu)),
        ("paging", forged.as_elf_core(Core::QemuPaging)),
        ("vmware", forged.as_vmware_state(StateFile::Inline, 0)),
        ("stream", forged.as_qemu_stream(Stream::Pages)),
        ("lime", forged.as_lime()),
    ] {
        assert_eq!(said(&forged, bytes), "", "{name}");
    }
}

/// Without the kernel's list, and where it is no list, the number of pages in the page that all systems share tells, alone, and says so.
#[test]
fn by_the_count_alone() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let runs = forged.truth.runs.len() as u32;
    let pages: u64 = forged.truth.runs.iter().map(|run| (run.end - run.start) / 4096).sum();
    let list =
        [&u64::from(runs).to_le_bytes()[..], &pages.to_le_bytes(), &(forged.truth.runs[0].start / 4096).to_le_bytes()]
            .concat();
    let at = memchr::memmem::find(&forged.image, &list).unwrap();
    for (from, value) in [(0usize, u64::MAX), (0, 0), (8, pages + 1), (0x18, u64::MAX), (0x20, 0)] {
        let mut bytes = forged.image.clone();
        bytes[at + from..at + from + 8].copy_from_slice(&value.to_le_bytes());
        assert_eq!(said(&forged, bytes.clone()), "", "nothing is missing, {from:#x} is {value:#x}");
        bytes.truncate(end(&forged) - 0x10_0000);
        // The file holds the holes, and the count does not.
        let least = format!("{} KiB or more", (pages * 4096 - bytes.len() as u64) >> 10);
        let text = said(&forged, bytes);
        assert!(text.contains("NumberOfPhysicalPages") && text.contains(&least), "{from:#x} is {value:#x}: {text}");
    }
}

/// A file that is opened by its name, cut within a page.
#[test]
fn part_of_a_page_is_left_over() {
    let forged = Scenario::clean(Build::W11_22000).forge();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("memory.raw");
    std::fs::write(&file, &forged.image[..end(&forged) - 0x1800]).unwrap();
    let mut opened = Opened::new(&forged);
    opened.image = MemoryImage::open_with(&file, &OpenOptions::default()).unwrap();
    let kernel = opened.kernel();
    let text: String = kernel.warnings().iter().map(|warning| warning.message.as_str()).collect();
    assert!(text.contains("6 KiB of"), "{text}");
}

/// What a cut image lacks is no sign that memory changed while it was copied: objects that lists lead to lie behind its end.
#[test]
fn a_cut_image_was_taken_at_once() {
    let mut read = 0;
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_22621] {
        let forged = Scenario::clean(build).forge();
        let end = end(&forged);
        for sixteenths in 8..16 {
            let opened = Opened::with_bytes(&forged, forged.image[..end / 16 * sixteenths].to_vec());
            let Ok(kernel) = opened.image.locate_kernel(&opened.store) else { continue };
            for scan in [false, true] {
                let options = ReadOptions { scan, ..ReadOptions::default() };
                let Ok(system) = System::read_with(&kernel, &options) else { continue };
                read += usize::from(!system.processes.unread.is_empty());
                let picture = Picture::new(&system);
                let motion = picture.motion();
                assert!(!motion.is_shown(), "{build:?} {sixteenths}/16: {motion}: {:?}", motion.signs);
            }
        }
    }
    assert!(read > 3, "objects behind the end: {read}");
}
