//! The image against facts that do not come from the forge's own writers.

mod walk;

use ntmem_forge::{Build, Scenario};
use walk::{translate, u64_at};

#[test]
fn a_windows_10_image_is_joined_as_published() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let (image, truth) = (&forged.image, &forged.truth);
    assert!(image.len() <= 8 << 20);
    // Low stub: the three facts that finders use.
    assert_eq!(u64_at(image, 0x1000) & 0xffff_ffff_ffff_00ff, 0x0000_0001_0006_00e9);
    let root = u64_at(image, 0x10a0);
    assert_eq!(root, truth.dtb);
    let kernel = translate(image, root, truth.kernel_base).expect("headers are mapped");
    assert_eq!(&image[kernel as usize..kernel as usize + 2], b"MZ");
    // PsActiveProcessHead of 19041.3570 is at 0xc1e090; links at 0x448, id at 0x440, name at 0x5a8.
    let head = truth.kernel_base + 0xc1_e090;
    let read = |va: u64| u64_at(image, translate(image, root, va).expect("mapped"));
    let mut listed = Vec::new();
    let mut at = read(head);
    while at != head {
        listed.push((at - 0x448, read(at - 8)));
        assert_eq!(read(read(at) + 8), at, "Blink of the next points back");
        at = read(at);
    }
    let expected: Vec<_> = truth.processes.iter().filter(|p| p.in_active_list).map(|p| (p.eprocess, p.pid)).collect();
    assert_eq!(listed, expected);
    // Every root references itself in the same slot.
    for process in &truth.processes {
        assert_eq!(u64_at(image, process.dtb + 0x1a5 * 8) & 0x000f_ffff_ffff_f000, process.dtb);
        assert_eq!(translate(image, process.dtb, process.eprocess), Some(process.physical));
    }
    // smss sees its PEB, and the image base in it (0x10).
    let smss = truth.process(348).expect("smss");
    let peb = translate(image, smss.dtb, smss.peb.expect("has a PEB")).expect("mapped");
    assert_eq!(Some(u64_at(image, peb + 0x10)), smss.image_base);
}

#[test]
fn the_same_scenario_gives_the_same_bytes() {
    let scenario = Scenario::clean(Build::W10_19045);
    assert!(scenario.forge().image == scenario.forge().image);
}

#[test]
fn every_build_can_be_forged() {
    for build in Build::ALL {
        let forged = Scenario::clean(build).forge();
        let (image, truth) = (&forged.image, &forged.truth);
        assert_eq!(truth.build, build.number());
        for process in &truth.processes {
            // ImageFileName lies where the process does, and the process where its page tables say.
            assert_eq!(translate(image, process.dtb, process.eprocess), Some(process.physical), "{build:?}");
            let body = &image[process.physical as usize..process.physical as usize + 0xb00.min(image.len())];
            assert!(body.windows(process.name.len()).any(|w| w == process.name), "{build:?} {}", process.name_text());
        }
        let expected: usize = if build.has_compression_process() { 1 } else { 0 };
        assert_eq!(truth.processes.iter().filter(|p| p.name == b"MemCompression").count(), expected);
    }
}
