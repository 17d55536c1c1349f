//! Compressed containers of which a block is damaged.

use crate::common::forged::{Opened, document};
use crate::containers::{machine, runs};
use ntmem::{MemoryImage, PhysicalAddress, PhysicalMemory as _};
use ntmem_forge::{Build, Hibernation, Saved, Scenario};

/// A byte of a compressed block is changed: what lies in it is lost, and said to be damaged with where; nothing of it is handed on.
#[test]
fn damaged_blocks() {
    use ntmem::image::write::{Container, DumpFacts, write};
    let forged = machine();
    let mut damaged = 0;
    for (name, bytes) in [
        ("avml", forged.as_avml()),
        ("ewf", Scenario::clean(Build::W10_19045).forge().as_ewf(1 << 20).swap_remove(0)),
        ("kdump", forged.as_kdump(false)),
        ("hibernation", forged.as_hibernation(Hibernation::Huffman)),
        ("virtualbox", forged.as_virtualbox(Saved::Still)),
        ("vmrs", forged.as_vmrs(true)),
    ] {
        let mut met = 0;
        // Behind the headers and tables.
        for part in 5..20 {
            let (mut bytes, at) = (bytes.clone(), bytes.len() / 20 * part);
            bytes[at..at + 48].fill(0x5a);
            let Ok(image) = MemoryImage::from_bytes(bytes) else { continue };
            let lost: Vec<u64> =
                pages(&image).filter(|page| image.read(PhysicalAddress(*page), &mut [0; 4096]) < 4096).collect();
            let said = image.damage().map(|warning| warning.message);
            assert_eq!(said.is_some(), !lost.is_empty(), "{name} {at:#x}: {said:?}");
            let Some(said) = said else { continue };
            met += 1;
            assert!(said.contains("does not unpack") && said.contains("copy it again"), "{name}: {said}");
            assert!(said.contains(&format!("memory {:#018x} to", lost[0])), "{name}: {said}");
            let offset = said.split("at offset 0x").nth(1).unwrap().split([' ', ':']).next().unwrap();
            let offset = usize::from_str_radix(offset, 16).unwrap();
            assert!(offset <= at + 48 && at < offset + 0x11_0000, "{name} {at:#x}: {said}");
            for container in [Container::Raw, Container::Lime, Container::CrashDump] {
                let mut out = std::io::Cursor::new(Vec::new());
                let written = write(&image, &mut out, container, &DumpFacts::default(), &|_, _| ()).unwrap();
                assert_eq!(written.unreadable, lost.len() as u64 * 4096, "{name}");
                if container == Container::Raw {
                    continue;
                }
                let again = MemoryImage::from_bytes(out.into_inner()).unwrap();
                assert_eq!(again.warnings(), [], "{name} {container:?}");
                let kept: Vec<u64> = pages(&image).filter(|page| !lost.contains(page)).collect();
                assert!(pages(&again).eq(kept.iter().copied()), "{name} {container:?}");
                for page in kept {
                    let (mut one, mut other) = ([0; 4096], [1; 4096]);
                    image.read(PhysicalAddress(page), &mut one);
                    again.read(PhysicalAddress(page), &mut other);
                    assert!(one == other, "{name} {container:?} {page:#x}");
                }
            }
        }
        damaged += usize::from(met > 0);
    }
    assert!(damaged >= 5, "{damaged}");
}

fn pages(image: &MemoryImage) -> impl Iterator<Item = u64> {
    runs(image).into_iter().flat_map(|run| (run.start..run.end).step_by(4096))
}

/// What lies in a damaged block is told apart from what an image does not hold, and is no sign that the machine ran on.
#[test]
fn processes_in_damaged_blocks() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let whole = forged.as_ewf(1 << 20).swap_remove(0);
    let mut met = 0;
    for part in 1..30 {
        let (mut bytes, at) = (whole.clone(), whole.len() / 30 * part);
        bytes[at..at + 4].fill(0x5a);
        let opened = Opened::with_bytes(&forged, bytes);
        let Ok(kernel) = opened.image.locate_kernel(&opened.store) else { continue };
        let Ok(system) = ntmem::System::read(&kernel) else { continue };
        // The list of chunks was hit, and it is shorter.
        if !opened.image.warnings().is_empty() {
            continue;
        }
        let words = document(&system).to_string();
        let other = words.find("a whole image of the memory");
        assert!(other.is_none(), "{at:#x}: {:?}", other.map(|found| &words[found.saturating_sub(300)..found + 30]));
        if words.contains("copied again") {
            met += 1;
            assert!(system.warnings[0].message.contains("does not unpack"), "{at:#x}: {:?}", system.warnings[0]);
        }
        assert!(!ntmem::picture::Picture::new(&system).motion().is_shown(), "{at:#x}");
    }
    assert!(met > 5, "{met}");
}
