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
            let _ = image.damage();
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

/// For as long as somebody says: bytes changed at random, absurd numbers, pieces doubled and cut out.
#[test]
#[ignore = "runs for NTMEM_FUZZ_SECONDS"]
fn changed_at_random() {
    let set = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let (seconds, mut state) = (set("NTMEM_FUZZ_SECONDS").unwrap_or(10), set("NTMEM_FUZZ_SEED").unwrap_or(1) | 1);
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    let mut scenario = Scenario::clean(Build::W10_19045);
    scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x80_0000];
    let forged = scenario.forge();
    let mut all = containers(&forged);
    all.extend([
        ("ewf", forged.as_ewf(1 << 20).swap_remove(0)),
        ("vmrs", forged.as_vmrs(false)),
        ("vmrs, unlisted", forged.as_vmrs(true)),
        ("lzo", forged.as_kdump_packed(2, |page| page[..4095].to_vec())),
    ]);
    #[cfg(feature = "compressed-images")]
    all.extend([
        ("7z", crate::packed_images::seven_zip(&forged.as_lime(), &[0x21], &[24], crate::packed_images::lzma2)),
        ("zstd", crate::packed_images::zstd(&forged.as_lime(), 0x5_0000)),
        ("seekable", crate::packed_images::seekable(&forged.as_lime(), 0x1_0000)),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("packed");
    let options = ntmem::image::OpenOptions {
        cache: Some(folder.path().join("cache")),
        max_unpacked: Some(64 << 20),
        ..ntmem::image::OpenOptions::default()
    };
    let begun = std::time::Instant::now();
    let mut cases = 0u64;
    while begun.elapsed().as_secs() < seconds {
        let (name, whole) = &all[random(all.len())];
        let mut bytes = whole.clone();
        let mut what = format!("{name}:");
        for _ in 0..=random(4) {
            // Headers and tables stand at both ends.
            let at = match random(4) {
                0 => bytes.len() - 1 - random(bytes.len().min(0x400)),
                1 => random(bytes.len()),
                _ => random(bytes.len().min(0x400)),
            };
            let value =
                [0u64, u64::MAX, 1 << 63, 1 << 31, 0xffff_ffff, 0x1000, bytes.len() as u64, at as u64][random(8)];
            let kind = random(6);
            match kind {
                0 => bytes[at] = random(256) as u8,
                1 => bytes[at] ^= 1 << random(8),
                2 => bytes.iter_mut().skip(at).zip(value.to_le_bytes()).for_each(|(to, from)| *to = from),
                3 => bytes.iter_mut().skip(at).zip(value.to_be_bytes()).for_each(|(to, from)| *to = from),
                4 => bytes.truncate(at.max(1)),
                _ => {
                    let piece = bytes[at..(at + 0x200).min(bytes.len())].to_vec();
                    let to = random(bytes.len());
                    bytes.splice(to..to, piece);
                }
            }
            what.push_str(&format!(" {kind} at {at:#x} ({value:#x})"));
        }
        let now = std::time::Instant::now();
        let packed = bytes.starts_with(b"7z") || bytes.starts_with(b"\x28\xb5\x2f\xfd");
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if packed {
                // What may be unpacked goes where the test cleans up.
                std::fs::write(&file, &bytes).unwrap();
                if let Ok(image) = MemoryImage::open_with(&file, &options) {
                    image.read(PhysicalAddress(0x1000), &mut [0; 64]);
                }
            } else {
                survives(&what, bytes);
            }
        }));
        assert!(result.is_ok(), "{what}");
        if now.elapsed().as_millis() > 2000 {
            println!("{what}: {} ms", now.elapsed().as_millis());
        }
        cases += 1;
    }
    println!("{cases} cases");
}

#[test]
fn absurd_numbers() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    for (name, bytes) in containers(&forged) {
        if bytes.len() > KEPT {
            continue;
        }
        let dump = [0xf98usize, 0x2000, 0x2008, 0x2010, 0x2018, 0x2020, 0x2028, 0x2030, 0x2038, 0x2040];
        // Records between pages, tables behind the headers.
        let further = (SPOILT..bytes.len() - 8).step_by(4099);
        for at in (0..SPOILT).step_by(2).chain(dump).chain(further) {
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

/// Bytes that do not fit their checksum are not read: nothing is read, or what was there. (An edit may change how bytes are packed, and
/// not the bytes.)
#[test]
fn checksums_of_chunks() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let whole = forged.as_avml();
    let chunk = 0x20 + 10;
    let length = u32::from_le_bytes([whole[chunk + 1], whole[chunk + 2], whole[chunk + 3], 0]) as usize;
    let start = PhysicalAddress(u64::from_le_bytes(whole[8..16].try_into().unwrap()));
    let read = |bytes: Vec<u8>| {
        let mut chunk = vec![0; 0x1_0000];
        let read = MemoryImage::from_bytes(bytes).map_or(0, |image| image.read(start, &mut chunk));
        (read == chunk.len()).then_some(chunk)
    };
    let right = read(whole.clone()).unwrap();
    let mut refused = 0;
    for at in (chunk + 4..chunk + 4 + length).step_by(length / 200 + 1) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        match read(bytes) {
            Some(found) => assert!(found == right, "a byte at {at:#x} was changed"),
            None => refused += 1,
        }
    }
    assert!(refused > 50, "{refused}");
}

/// Every number of the map, of an index, and of the description.
#[cfg(feature = "compressed-images")]
#[test]
fn maps_and_indices_of_chunks() {
    let mut scenario = Scenario::clean(Build::W10_19045);
    scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x60_0000];
    for old in [false, true] {
        let file = scenario.clone().forge().as_aff4(old);
        let after = |mark: &[u8]| memchr::memmem::find(&file, mark).unwrap() + mark.len();
        let index = after(if old { b"data/00000000/index" } else { b"stream/00000000.index" });
        let map = after(if old { b"Memory/map" } else { b"memory/map" });
        let text = after(b"information.turtle");
        for at in (index..index + 40).chain(map..map + 90) {
            for value in [u64::MAX, 0, 1 << 63, 1 << 52, 0xffff_ffff, 0x0101_0101_0101_0101] {
                let mut file = file.clone();
                file[at..at + 8].copy_from_slice(&value.to_le_bytes());
                survives(&format!("aff4 with {value:#x} at {at:#x}"), file);
            }
        }
        for at in text..text + 600 {
            for byte in [b'9', b'<', b'"', b' ', 0xff] {
                let mut file = file.clone();
                file[at] = byte;
                survives(&format!("aff4 with {byte:#x} in its description"), file);
            }
        }
    }
}

/// Every field of every section, and of the tables of chunks.
#[test]
fn the_sections_of_an_evidence_file() {
    let mut scenario = Scenario::clean(Build::W10_19045);
    scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x60_0000];
    let file = scenario.forge().as_ewf(1 << 20).remove(0);
    let (mut at, mut places) = (13usize, (0..13).collect::<Vec<_>>());
    loop {
        places.extend((at..at + 76 + 64).step_by(2).filter(|place| place + 8 <= file.len()));
        let next = u64::from_le_bytes(file[at + 16..at + 24].try_into().unwrap()) as usize;
        if next <= at {
            break;
        }
        at = next;
    }
    assert!(places.len() > 300, "{}", places.len());
    for at in places {
        for value in [u64::MAX, 0, 1 << 63, 13, 0x7fff_ffff, 0x8000_0000, 0x0101_0101_0101_0101] {
            let mut file = file.clone();
            file[at..at + 8].copy_from_slice(&value.to_le_bytes());
            survives(&format!("ewf with {value:#x} at {at:#x}"), file);
        }
    }
    for length in (0..0x800).step_by(7).chain((0x800..file.len()).step_by(0x2003)) {
        survives(&format!("ewf cut at {length:#x}"), file[..length].to_vec());
    }
}
