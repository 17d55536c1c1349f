//! What files of real programs do otherwise than the textbook says, one after the other: each is read as it is meant. `docs/formats.md`
//! lists them.

use crate::common;
use crate::common::forged::{Opened, document};
use crate::containers::{is_the_machine, machine, runs};
use memchr::memmem;
use ntmem::{MemoryImage, PhysicalAddress, PhysicalMemory as _};
use ntmem_forge::{Core, DumpType, Forged, Hibernation, Stream};

/// The machine is the same, and what is said of the file holds these words; nothing is said if there are none.
#[track_caller]
fn is_read(forged: &Forged, bytes: Vec<u8>, what: &str, words: &[&str]) -> Opened {
    let opened = Opened::with_bytes(forged, bytes);
    let said: String = opened.image.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(said.is_empty(), words.is_empty(), "{what}: {said}");
    assert!(words.iter().all(|word| said.contains(word)), "{what}: {said}");
    is_the_machine(forged, &opened, what);
    opened
}

fn error(bytes: Vec<u8>) -> String {
    MemoryImage::from_bytes(bytes).unwrap_err().to_string()
}

/// The bytes of each range of a LiME file, header included.
fn ranges<'b>(forged: &Forged, lime: &'b [u8]) -> Vec<&'b [u8]> {
    let mut rest = lime;
    let length = |run: &std::ops::Range<u64>| 0x20 + (run.end - run.start) as usize;
    forged.truth.runs.iter().map(|run| rest.split_off(..length(run)).unwrap()).collect()
}

#[test]
fn lime_and_avml() {
    let forged = machine();
    let lime = forged.as_lime();
    let mut reserved = lime.clone();
    reserved[24..32].fill(0xff);
    is_read(&forged, reserved, "the reserved word is used", &[]);
    let parts = ranges(&forged, &lime);
    is_read(&forged, parts.iter().rev().copied().collect::<Vec<_>>().concat(), "ranges in no order", &[]);
    is_read(&forged, [&lime[..], parts[0]].concat(), "a range twice", &["twice"]);
    let last = lime.len() - parts[parts.len() - 1].len() + 16;
    let mut longer = lime.clone();
    let end = u64::from_le_bytes(longer[last..last + 8].try_into().unwrap()) + 0x10_0000;
    longer[last..last + 8].copy_from_slice(&end.to_le_bytes());
    is_read(&forged, longer, "a range goes on behind the file", &["truncated", "1 MiB"]);

    // The length of a stream stands behind it; kinds of chunks from 0x80 on are passed over.
    let avml = forged.as_avml();
    let trailer = avml.len() - 8;
    let length = u64::from_le_bytes(avml[trailer..].try_into().unwrap());
    let begin = trailer - length as usize;
    let padding = b"\xfe\x04\0\0abcd";
    let mut padded = avml.clone();
    padded.splice(begin + 10..begin + 10, padding.iter().copied());
    let at = padded.len() - 8;
    padded[at..].copy_from_slice(&(length + 8).to_le_bytes());
    is_read(&forged, padded, "padding in a stream", &[]);
    // Cut within its last block: no length leads to what is before.
    let opened = Opened::with_bytes(&forged, avml[..avml.len() - 20].to_vec());
    let said: String = opened.image.warnings().iter().map(ToString::to_string).collect();
    assert!(said.contains("truncated"), "{said}");
    let held: u64 = opened.image.runs().map(|run| run.bytes).sum();
    let all: u64 = forged.runs_in_avml().iter().map(|run| run.end - run.start).sum();
    assert!(held < all && held + 0x2_0000 > all, "{held:#x} of {all:#x}");
}

#[test]
fn crash_dumps() {
    let forged = machine();
    for kind in [DumpType::Full, DumpType::Bitmap] {
        let dump = forged.as_crash_dump(kind);
        // Secondary data, callbacks of drivers: no memory.
        let blobs = [&dump[..], b"HE\0\0", &[0xcc; 5000][..]].concat();
        is_read(&forged, blobs, "blobs behind the last page", &[]);
        let mut unwritten = dump.clone();
        for at in [0x80, 0xfa8, 0x1030] {
            unwritten[at..at + 8].copy_from_slice(b"PAGEPAGE");
        }
        let opened = is_read(&forged, unwritten, "fields that nobody wrote", &[]);
        let hints = opened.image.hints().unwrap();
        assert_eq!((hints.debugger_data_block, hints.system_time, hints.boot), (None, None, None));
        // CR3 with the number of its process context.
        let mut context = dump;
        context[0x10] |= 2;
        is_read(&forged, context, "a root with flags", &[]);
    }
    // Fewer bits than words, and more.
    let mut bits = forged.as_crash_dump(DumpType::Bitmap);
    let pages = |bytes: &[u8]| -> Vec<u64> {
        let opened = Opened::with_bytes(&forged, bytes.to_vec());
        runs(&opened.image).into_iter().flat_map(|run| run.start / 4096..run.end / 4096).collect()
    };
    let mut all = pages(&bits);
    let count = all[all.len() - 1] - 3;
    bits[0x2030..0x2038].copy_from_slice(&count.to_le_bytes());
    all.retain(|page| *page < count);
    assert_eq!(pages(&bits), all);
}

#[test]
fn elf_cores() {
    let forged = machine();
    let core = forged.as_elf_core(Core::Plain);
    let table = u64::from_le_bytes(core[32..40].try_into().unwrap()) as usize;
    let count = u16::from_le_bytes(core[56..58].try_into().unwrap()) as usize;
    let loads: Vec<usize> = (0..count).map(|n| table + n * 56).filter(|at| core[*at] == 1).collect();
    // QEMU says 386 as long as the first processor is in real mode.
    let mut real_mode = core.clone();
    real_mode[18] = 3;
    is_read(&forged, real_mode, "EM_386", &[]);
    // More in memory than in the file: the rest is zero.
    let mut longer = core.clone();
    let size = loads[0] + 40;
    let bytes = u64::from_le_bytes(longer[size..size + 8].try_into().unwrap()) + 4096;
    longer[size..size + 8].copy_from_slice(&bytes.to_le_bytes());
    let opened = Opened::with_bytes(&forged, longer);
    let (mut page, end) = ([1; 4096], forged.truth.runs[0].end);
    assert_eq!((opened.image.read(PhysicalAddress(end), &mut page), page), (4096, [0; 4096]));
    let truth: serde_json::Value = serde_json::from_str(&forged.truth.to_json()).unwrap();
    common::assert_agrees("p_memsz", &document(&opened.system()), &truth);
    // A core of the hypervisor's process.
    for value in [0, u64::MAX] {
        let mut process = core.clone();
        for load in &loads {
            process[load + 24..load + 32].copy_from_slice(&value.to_le_bytes());
        }
        let said = error(process);
        assert!(said.contains("of a process") && said.contains("virsh dump --memory-only"), "{said}");
    }
    // Segments in no order.
    let mut turned = core.clone();
    for (to, from) in loads.iter().zip(loads.iter().rev()) {
        turned[*to..to + 56].copy_from_slice(&core[*from..from + 56]);
    }
    is_read(&forged, turned, "segments in no order", &[]);
}

#[test]
fn streams_of_qemu() {
    let forged = machine();
    let mut stream = forged.as_qemu_stream(Stream::Live);
    // Named after the memory's backend.
    while let Some(at) = memmem::find(&stream, b"pc.ram") {
        stream[at..at + 6].copy_from_slice(b"mem-01");
    }
    let opened = is_read(&forged, stream.clone(), "memory of another name", &[]);
    assert_eq!(runs(&opened.image), forged.truth.runs);
    // Without what follows the memory.
    let end = memmem::rfind(&stream, &[0x7e, 0, 0, 0, 2]).unwrap();
    stream.truncate(end);
    is_read(&forged, stream, "no devices", &[]);
    // Saved on a machine of the other byte order, and not to its end.
    let mut saved = forged.as_libvirt_save();
    for at in (16..92).step_by(4) {
        saved[at..at + 4].reverse();
    }
    is_read(&forged, saved.clone(), "the other byte order", &[]);
    saved[..16].copy_from_slice(b"LibvirtQemudPart");
    is_read(&forged, saved, "not to its end", &["did not finish"]);
}

/// All lengths of `PO_MEMORY_IMAGE` that are known from Windows 10 on, with where the kernel's pages are counted (of 26100 and two others
/// LeechCore's table is the one witness), and what the file's state is called.
#[test]
fn hibernation_files() {
    let forged = machine();
    let file = forged.as_hibernation(Hibernation::Huffman);
    let count: [u8; 8] = file[0x230..0x238].try_into().unwrap();
    let boot: [u8; 8] = file[0x228..0x230].try_into().unwrap();
    for (length, kernel_pages) in
        [(0x3b0u32, 0x218usize), (0x3c8, 0x220), (0x3d8, 0x230), (0x3e0, 0x230), (0x448, 0x230), (0x4d8, 0x238)]
    {
        let mut file = file.clone();
        file[0x210..0x240].fill(0);
        file[kernel_pages..kernel_pages + 8].copy_from_slice(&count);
        file[kernel_pages - 8..kernel_pages].copy_from_slice(&boot);
        file[0x0c..0x10].copy_from_slice(&length.to_le_bytes());
        is_read(&forged, file, &format!("{length:#x}"), &[]);
    }
    for (signature, words) in [
        (b"hibr", &[][..]),
        (b"HORM", &[]),
        (b"WAKE", &["past state"]),
        (b"wake", &["past state"]),
        (b"RSTR", &["resum"]),
    ] {
        let mut file = file.clone();
        file[..4].copy_from_slice(signature);
        is_read(&forged, file, &String::from_utf8_lossy(signature), words);
    }
}

/// A memory that begins with somebody's mark by chance is read as memory, and it is said.
#[test]
fn marks_by_chance() {
    let forged = ntmem_forge::Scenario::clean(ntmem_forge::Build::W10_19045).forge();
    for mark in [
        &b"EMiL\x01\0\0\0"[..],
        b"AVML\x02\0\0\0",
        b"\x7fELF\x02\x01\x01",
        b"QEVM\0\0\0\x03",
        b"LibvirtQemudSave",
        b"QFI\xfb\0\0\0\x03",
        b"\xd0\xbe\xd2\xbe",
        b"HIBR",
        b"EVF\x09\x0d\x0a\xff\x00",
        b"KDUMP   ",
        b"makedumpfile\0\0\0\0",
        b"PK\x03\x04",
        b"\x28\xb5\x2f\xfd",
    ] {
        let mut bytes = forged.image.clone();
        bytes[..mark.len()].copy_from_slice(mark);
        let name = String::from_utf8_lossy(mark).into_owned();
        match MemoryImage::from_bytes(bytes.clone()) {
            Ok(_) => {
                let opened = Opened::with_bytes(&forged, bytes);
                assert_eq!(opened.image.format(), "raw", "{name}");
                let said: String = opened.image.warnings().iter().map(ToString::to_string).collect();
                assert!(said.contains("read as raw memory"), "{name}: {said}");
                let kernel = opened.image.locate_kernel(&opened.store).unwrap();
                assert_eq!(kernel.base().0, forged.truth.kernel_base, "{name}");
            }
            // What is packed is unpacked before it can be told.
            Err(error) => assert!(mark[0] == b'(', "{name}: {error}"),
        }
    }
    // What is named and not read, and text: page 0 is whatever it is, memory goes on behind it.
    let text = b"lorem ipsum dolor\n".repeat(300);
    for mark in [
        &b"Rar!\x1a\x07\x01\0"[..],
        b"MSCF\0\0\0\0",
        b"regf",
        b"SQLite format 3\0",
        b"%PDF-1.7\n",
        b"vhdxfile",
        &text[..4096],
    ] {
        let mut bytes = forged.image.clone();
        bytes[..mark.len()].copy_from_slice(mark);
        let opened = Opened::with_bytes(&forged, bytes);
        let kernel = opened.image.locate_kernel(&opened.store).unwrap();
        assert_eq!(kernel.base().0, forged.truth.kernel_base, "{}", String::from_utf8_lossy(&mark[..4]));
    }
}
