//! Containers that are cut off anywhere, or whose numbers are absurd: a clear error, or a warning and what is left; never a panic, never
//! without end.

use ntmem::{MemoryImage, PhysicalAddress, PhysicalMemory as _};
use ntmem_forge::{Build, Core, DumpType, Forged, Hibernation, Saved, Scenario, StateFile, Stream};

/// Bytes of a container that are kept: its headers and some of its memory.
const KEPT: usize = 0x6_0000;
/// Bytes of headers that are spoilt.
const SPOILT: usize = 0x300;

fn containers(forged: &Forged) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![
        ("full", forged.as_crash_dump(DumpType::Full)),
        ("bitmap", forged.as_crash_dump(DumpType::Bitmap)),
        ("live", forged.as_range_dump(8)),
        ("complete", forged.as_range_dump(0xa)),
        ("lime", forged.as_lime()),
        ("avml", forged.as_avml()),
        ("elf", forged.as_elf_core(Core::Qemu)),
        ("vbox", forged.as_elf_core(Core::VirtualBox)),
        ("paging", forged.as_elf_core(Core::QemuPaging)),
        ("vmware", forged.as_vmware_state(StateFile::Inline, 0)),
        ("qemu", forged.as_qemu_stream(Stream::Live)),
        ("mapped", forged.as_qemu_stream(Stream::Mapped)),
        ("libvirt", forged.as_libvirt_save()),
        ("hiberfil", forged.as_hibernation(Hibernation::Huffman)),
        ("hiberfil-7", forged.as_hibernation(Hibernation::Seven)),
        ("wiped", forged.as_hibernation(Hibernation::SevenWiped)),
        ("virtualbox", forged.as_virtualbox(Saved::Still)),
        ("live", forged.as_virtualbox(Saved::Live)),
        ("xen-save", forged.as_xen_save()),
        ("kdump", forged.as_kdump(false)),
        ("flattened", forged.as_kdump(true)),
    ];
    for (_, bytes) in &mut all {
        bytes.truncate(KEPT);
    }
    // What these lead with stands at their end.
    all.push(("xen", forged.as_elf_core(Core::Xen)));
    all.push(("qcow2", forged.as_qcow2()));
    all
}

/// Opens bytes and reads some of what they say is there.
fn survives(what: &str, bytes: Vec<u8>) {
    match MemoryImage::from_bytes(bytes) {
        Ok(image) => {
            let mut buf = [0; 64];
            for run in image.runs().take(64) {
                image.read(run.start, &mut buf);
                image.read(PhysicalAddress(run.end().0.wrapping_sub(32)), &mut buf);
                let _ = image.borrow(run.start, 64);
            }
            let _ = image.info();
        }
        Err(error) => assert!(error.to_string().len() > 30, "{what}: {error}"),
    }
}

#[test]
fn cut_off_anywhere() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    for (name, bytes) in containers(&forged) {
        let near = (0..SPOILT.min(bytes.len())).chain((SPOILT..KEPT.min(bytes.len())).step_by(1021));
        for length in near {
            survives(&format!("{name} cut at {length:#x}"), bytes[..length].to_vec());
        }
    }
}

#[test]
fn absurd_numbers() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    for (name, bytes) in containers(&forged) {
        if bytes.len() > KEPT {
            continue;
        }
        let dump = [0xf98usize, 0x2000, 0x2008, 0x2010, 0x2018, 0x2020, 0x2028, 0x2030, 0x2038, 0x2040];
        for at in (0..SPOILT).step_by(2).chain(dump) {
            for value in [u64::MAX, 1 << 63, (1 << 63) >> 8, 1 << 56 | 1, 0, 0x80, 0x0100_0000_0000_0000, 0xffff_ffff] {
                let mut bytes = bytes.clone();
                bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
                survives(&format!("{name} with {value:#x} at {at:#x}"), bytes);
            }
        }
    }
}

#[test]
fn the_tables_of_a_disk_lead_in_circles() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let disk = forged.as_qcow2();
    for at in [20usize, 24, 60, 64, 0x1_0000, 0x1_0008, 0x1_0010, 0x2_0000, 0x2_0008] {
        for value in [u64::MAX, 0, 0x1_0000, 0x2_0000, 1 << 62, 0x00ff_ffff_ffff_0000] {
            let mut disk = disk.clone();
            disk[at..at + 8].copy_from_slice(&value.to_be_bytes());
            survives(&format!("qcow2 with {value:#x} at {at:#x}"), disk);
        }
    }
}

/// Every table and every key of Hyper-V's file: absurd numbers, and tables that lead to themselves and to each other.
#[test]
fn the_tables_of_a_saved_machine_lead_in_circles() {
    let mut scenario = Scenario::clean(Build::W10_19045);
    scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x80_0000];
    let forged = scenario.forge();
    let file = forged.as_vmrs(false);
    let marks = |mark: &[u8]| -> Vec<usize> {
        file.windows(mark.len()).enumerate().filter(|(_, bytes)| *bytes == mark).map(|(at, _)| at).collect()
    };
    let mut places: Vec<usize> = (0..0x40).chain(0x1000..0x1030).chain(0x2000..0x2040).collect();
    for key in marks(b"RamMemoryBlock").into_iter().take(2).chain(marks(b"RamBlock1\0")) {
        places.extend(key - 21..key + 64);
    }
    for at in places {
        for value in [u64::MAX, 0, 1 << 63, 0x2000, 0x1000, 0xffff_ffff, 0x0101_0101_0101_0101] {
            let mut file = file.clone();
            file[at..at + 8].copy_from_slice(&value.to_le_bytes());
            survives(&format!("vmrs with {value:#x} at {at:#x}"), file);
        }
    }
    for length in (0..0x3000).step_by(37).chain((0x3000..file.len()).step_by(0x1_0001)) {
        survives(&format!("vmrs cut at {length:#x}"), file[..length].to_vec());
    }
}
