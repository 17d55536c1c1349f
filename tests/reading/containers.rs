//! The same machine in every container gives the same answer.

use crate::common;
use crate::common::forged::{Opened, document};
use ntmem::{MemoryImage, PhysicalAddress, PhysicalMemory};
use ntmem_forge::{Build, Core, DumpType, Forged, Hibernation, Saved, Scenario, StateFile, Stream};
use std::ops::Range;
use std::path::Path;

#[test]
fn crash_dumps() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let forged = Scenario::clean(build).forge();
        let truth: serde_json::Value = serde_json::from_str(&forged.truth.to_json()).unwrap();
        for (kind, format) in [
            (DumpType::Full, "crash_dump_full"),
            (DumpType::Bitmap, "crash_dump_bitmap"),
            (DumpType::KernelBitmap, "crash_dump_kernel_bitmap"),
        ] {
            let opened = Opened::with_bytes(&forged, forged.as_crash_dump(kind));
            assert_eq!(opened.image.format(), format);
            assert!(opened.image.warnings().is_empty());
            let document = document(&opened.system());
            assert!(document["kernel"]["found_by"].as_str().unwrap().starts_with("crash dump header"));
            if kind == DumpType::KernelBitmap {
                // User memory is not in it, so that what it holds is unknown; the rest is there.
                let smss = document["processes"]["items"].as_array().unwrap().iter().find(|p| p["pid"] == 348).unwrap();
                assert_eq!(smss["name"], "smss.exe");
            } else {
                common::assert_agrees(&format!("{build:?} {format}"), &document, &truth);
            }
        }
    }
}

/// A machine with holes between its runs and memory above 4 GiB, in which some of its page tables are.
pub fn machine() -> Forged {
    let mut scenario = Scenario::clean(Build::W10_19045);
    scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x80_0000, 0x90_0000..0x200_0000, 0x1_0000_0000..0x1_0100_0000];
    scenario.forge_frames()
}

/// The runs of an image.
pub fn runs(image: &MemoryImage) -> Vec<Range<u64>> {
    image.runs().map(|run| run.start.0..run.end().0).collect()
}

/// An image holds every byte of the machine, in any container: read page by page, over borders, and not in holes.
fn holds_the_memory(forged: &Forged, image: &MemoryImage, what: &str) {
    let mut read = [0; 4096];
    for (frame, bytes) in forged.memory.frames() {
        let at = PhysicalAddress(frame * 4096);
        assert_eq!(image.read(at, &mut read), 4096, "{what} {at}");
        assert!(&read == bytes, "{what} {at}");
        if let Some(lent) = image.borrow(at, 4096) {
            assert!(!lent.is_empty() && bytes.starts_with(lent), "{what} {at}");
        }
    }
    let end = forged.truth.runs[0].end;
    assert_eq!(image.read(PhysicalAddress(end - 8), &mut read), 8, "{what}: a read ends where a hole begins");
    assert_eq!(image.read(PhysicalAddress(end), &mut read), 0, "{what}");
}

/// What a container must give: the machine, its runs, and nothing odd.
#[track_caller]
fn agrees(forged: &Forged, bytes: Vec<u8>, format: &str) -> Opened {
    let opened = Opened::with_bytes(forged, bytes);
    assert_eq!(opened.image.warnings(), [], "{format}");
    assert_eq!(opened.image.format(), format);
    assert_eq!(runs(&opened.image), forged.truth.runs, "{format}");
    holds_the_memory(forged, &opened.image, format);
    let truth: serde_json::Value = serde_json::from_str(&forged.truth.to_json()).unwrap();
    common::assert_agrees(format, &document(&opened.system()), &truth);
    opened
}

#[test]
fn lime() {
    let forged = machine();
    let lime = forged.as_lime();
    agrees(&forged, lime.clone(), "lime");
    // Some writers give the address behind a range where its last one belongs.
    let (mut behind, mut at) = (lime, 0);
    for run in &forged.truth.runs {
        behind[at + 16..at + 24].copy_from_slice(&run.end.to_le_bytes());
        at += 0x20 + (run.end - run.start) as usize;
    }
    agrees(&forged, behind, "lime");
}

/// What AVML leaves out because it is zero is a hole.
#[test]
fn avml() {
    let forged = machine();
    let opened = Opened::with_bytes(&forged, forged.as_avml());
    assert_eq!((opened.image.format(), opened.image.warnings()), ("avml", &[][..]));
    assert_eq!(runs(&opened.image), forged.runs_in_avml());
    holds_the_memory(&forged, &opened.image, "avml");
    assert_eq!(opened.image.borrow(PhysicalAddress(0x1000), 8), None, "packed bytes are not lent");
    let truth: serde_json::Value = serde_json::from_str(&forged.truth.to_json()).unwrap();
    common::assert_agrees("avml", &document(&opened.system()), &truth);
    // A scan reads what it cannot borrow.
    let scan = |image: &MemoryImage| {
        let mut hits = Vec::new();
        ntmem::memory::Scanner::new().pool_tag(*b"Proc").run(image, |hit| {
            hits.push(hit.at);
            std::ops::ControlFlow::Continue(())
        });
        hits
    };
    let lime = Opened::with_bytes(&forged, forged.as_lime());
    assert_eq!(scan(&opened.image), scan(&lime.image));
    assert!(scan(&lime.image).len() > 10);
}

#[test]
fn dumps_with_ranges() {
    let forged = machine();
    for (kind, format) in [(8, "crash_dump_live_kernel"), (9, "crash_dump_live"), (0xa, "crash_dump_complete")] {
        agrees(&forged, forged.as_range_dump(kind), format);
    }
    let mut old = forged.as_crash_dump(DumpType::Bitmap);
    old[0xf98] = 2;
    assert_eq!(Opened::with_bytes(&forged, old).image.format(), "crash_dump_kernel");
}

#[test]
fn elf_cores() {
    let forged = machine();
    for (core, maker, by) in [
        (Core::Plain, None, "low stub"),
        (Core::Qemu, Some("QEMU"), "QEMU CPU note"),
        (Core::VirtualBox, Some("VirtualBox 7.0.12"), "VirtualBox CPU note"),
        (Core::Xen, Some("Xen"), "low stub"),
    ] {
        let opened = agrees(&forged, forged.as_elf_core(core), "elf_core");
        assert_eq!(opened.image.info().maker.as_deref(), maker);
        let found = document(&opened.system())["kernel"]["found_by"].as_str().unwrap().to_owned();
        assert!(found.starts_with(by), "{core:?}: {found}");
    }
    // A segment for each page, some of them twice.
    let opened = Opened::with_bytes(&forged, forged.as_elf_core(Core::QemuPaging));
    assert!(opened.image.warnings()[0].message.contains("paging=on"));
    for (frame, bytes) in forged.memory.frames() {
        let mut read = [0; 4096];
        assert_eq!(opened.image.read(PhysicalAddress(frame * 4096), &mut read), 4096);
        assert!(&read == bytes);
    }
}

/// More segments than `e_phnum` can say.
#[test]
fn elf_core_of_very_many_segments() {
    let mut forged = machine();
    // Single pages with holes between, far up.
    for n in 0..0x1_0000u64 {
        forged.truth.runs.push(0x2_0000_0000 + n * 0x2000..0x2_0000_1000 + n * 0x2000);
    }
    let opened = Opened::with_bytes(&forged, forged.as_elf_core(Core::Qemu));
    assert_eq!(runs(&opened.image), forged.truth.runs);
}

#[test]
fn qemu_streams() {
    let forged = machine();
    for kind in [Stream::Pages, Stream::Live] {
        let opened = agrees(&forged, forged.as_qemu_stream(kind), "qemu");
        assert_eq!(opened.image.info().maker.as_deref(), Some("QEMU (pc-i440fx-7.2)"));
    }
    // A machine of whose type the hole begins elsewhere.
    let mut other = forged.as_qemu_stream(Stream::Pages);
    let at = memchr::memmem::find(&other, b"pc-i440fx-7.2").unwrap();
    other[at..at + 13].copy_from_slice(b"pc-q35-2.4.10");
    let opened = Opened::with_bytes(&forged, other);
    is_the_machine(&forged, &opened_with_kernel(opened), "another machine's hole");
    agrees(&forged, forged.as_libvirt_save(), "libvirt_save");
    let mut disk = forged.as_qcow2();
    let opened = agrees(&forged, disk.clone(), "qemu");
    assert_eq!(opened.image.info().within, ["qcow2"]);
    // The list of its snapshots lies behind the end of what was copied.
    let list = u64::from_be_bytes(disk[64..72].try_into().unwrap());
    let error = MemoryImage::from_bytes(disk[..usize::try_from(list).unwrap()].to_vec()).unwrap_err().to_string();
    assert!(error.contains("cut short") && error.contains("Copy it again"), "{error}");
    // Its data lie in another file.
    disk[79] |= 4;
    let error = MemoryImage::from_bytes(disk).unwrap_err().to_string();
    assert!(error.contains("data in another file") && error.contains("virsh dump"), "{error}");
    let small = Scenario::clean(Build::W10_19045).forge();
    let opened = Opened::with_bytes(&small, small.as_qemu_stream(Stream::Mapped));
    assert_eq!(opened.image.warnings(), []);
    let truth: serde_json::Value = serde_json::from_str(&small.truth.to_json()).unwrap();
    common::assert_agrees("mapped-ram", &document(&opened.system()), &truth);
}

#[test]
fn hibernation_files() {
    let forged = machine();
    for kind in [Hibernation::Seven, Hibernation::Plain, Hibernation::Huffman] {
        let opened = agrees(&forged, forged.as_hibernation(kind), "hibernation");
        assert!(opened.image.info().maker.unwrap().starts_with("Windows"), "{kind:?}");
        assert_eq!(opened.image.hints().unwrap().system_time.unwrap().0, forged.truth.captured.0);
    }
    for (kind, words) in
        [(Hibernation::SevenWiped, &["past state"][..]), (Hibernation::FastStartup, &["past state", "Fast Startup"])]
    {
        let opened = Opened::with_bytes(&forged, forged.as_hibernation(kind));
        let warnings: String = opened.image.warnings().iter().map(ToString::to_string).collect();
        for word in words {
            assert!(warnings.contains(word), "{kind:?}: {warnings}");
        }
        holds_the_memory(&forged, &opened.image, "hibernation");
    }
    // A header of a version that nobody knows: the chains are followed as far as they lead.
    let mut unknown = forged.as_hibernation(Hibernation::Huffman);
    unknown[0x0c..0x0e].copy_from_slice(&0x5a0u16.to_le_bytes());
    let opened = Opened::with_bytes(&forged, unknown);
    assert!(opened.image.warnings()[0].message.contains("0x5a0"), "{:?}", opened.image.warnings());
    holds_the_memory(&forged, &opened.image, "unknown version");
    // Wiped sets.
    let mut wiped = forged.as_hibernation(Hibernation::Plain);
    wiped[0x1000..].fill(0);
    let error = MemoryImage::from_bytes(wiped).unwrap_err().to_string();
    assert!(error.contains("wiped"), "{error}");
}

#[test]
fn kdumps() {
    let forged = machine();
    for flat in [false, true] {
        let opened = agrees(&forged, forged.as_kdump(flat), "kdump");
        assert_eq!(opened.image.info().within, if flat { vec!["flattened"] } else { vec![] });
        assert!(document(&opened.system())["kernel"]["found_by"].as_str().unwrap().starts_with("QEMU CPU note"));
    }
    let snappy = |page: &[u8]| snap::raw::Encoder::new().compress_vec(page).unwrap();
    agrees(&forged, forged.as_kdump_packed(4, snappy), "kdump");
}

/// The codecs that take a feature.
#[cfg(feature = "compressed-images")]
#[test]
fn kdumps_of_other_codecs() {
    let forged = machine();
    agrees(&forged, forged.as_kdump_packed(2, lzo), "kdump");
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    agrees(&forged, forged.as_kdump_packed(0x20, |page| ruzstd::encoding::compress_to_vec(page, level)), "kdump");
}

/// LZO1X of a page that ends in zeros, by the description of its instructions in the documentation of Linux (`lzo.rst`): literals, one
/// match of distance 1, the end.
#[cfg(feature = "compressed-images")]
fn lzo(page: &[u8]) -> Vec<u8> {
    let zeros = page.iter().rev().take_while(|&&byte| byte == 0).count();
    // One zero is a literal, which the match repeats.
    let literals = page.len() - zeros.saturating_sub(1).min(page.len() - 4);
    let long = |value: usize| {
        let more = (value - 1) / 255;
        [vec![0; more], vec![(value - more * 255) as u8]].concat()
    };
    let mut out = if literals > 18 { [vec![0], long(literals - 18)].concat() } else { vec![(literals - 3) as u8] };
    out.extend_from_slice(&page[..literals]);
    let rest = page.len() - literals;
    if rest >= 34 {
        out.push(0x20);
        out.extend(long(rest - 33));
        out.extend([0, 0]);
    } else {
        // It would grow.
        return page.to_vec();
    }
    out.extend([0x11, 0, 0]);
    out
}

#[test]
fn ewf_images() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("memory.E01");
    let segments = forged.as_ewf(32);
    assert!(segments.len() > 3);
    for (n, segment) in segments.iter().enumerate() {
        std::fs::write(folder.path().join(format!("memory.E{:02}", n + 1)), segment).unwrap();
    }
    let opened = open(&forged, &first);
    assert_eq!((opened.image.format(), opened.image.warnings()), ("raw", &[][..]));
    assert_eq!(opened.image.info().within, ["ewf"]);
    is_the_machine(&forged, &opened, "ewf");
    let mut all = vec![0; forged.image.len()];
    assert_eq!(opened.image.read(PhysicalAddress(0), &mut all), all.len());
    assert!(all == forged.image);
    // A list of chunks is damaged, and its copy is not; or both are.
    let mut one = Scenario::clean(Build::W10_19045).forge().as_ewf(1 << 20).swap_remove(0);
    let named = |name: &[u8; 16]| memchr::memmem::find_iter(&one, name).collect::<Vec<usize>>();
    let (tables, copies) = (named(b"table\0\0\0\0\0\0\0\0\0\0\0"), named(b"table2\0\0\0\0\0\0\0\0\0\0"));
    for table in &tables {
        one[table + 76 + 24 + 40] ^= 0x10;
    }
    let image = MemoryImage::from_bytes(one.clone()).unwrap();
    let mut all = vec![0; forged.image.len()];
    assert_eq!((image.read(PhysicalAddress(0), &mut all), image.warnings()), (all.len(), &[][..]));
    assert!(all == forged.image);
    one[copies[0] + 76 + 24 + 40] ^= 0x10;
    let said = MemoryImage::from_bytes(one).unwrap().warnings()[0].message.clone();
    assert!(said.contains("1 lists of chunks do not fit"), "{said}");
    // A segment is named that is not the first.
    let error = MemoryImage::open(folder.path().join("memory.E02")).unwrap_err().to_string();
    assert!(error.contains("segment 2") && error.contains(&first.display().to_string()), "{error}");
    // A segment is missing.
    std::fs::remove_file(folder.path().join("memory.E03")).unwrap();
    let image = MemoryImage::open(&first).unwrap();
    assert!(image.warnings()[0].message.contains("segment missing"), "{:?}", image.warnings());
}

/// What is written is read again, and holds the same.
#[test]
fn conversions() {
    use ntmem::image::write::{Container, DumpFacts, write};
    let forged = machine();
    let image = Opened::with_bytes(&forged, forged.as_avml()).image;
    let folder = tempfile::tempdir().unwrap();
    for (container, format) in
        [(Container::Raw, "raw"), (Container::Lime, "lime"), (Container::CrashDump, "crash_dump_full")]
    {
        let path = folder.path().join(format);
        let mut file = std::fs::File::create_new(&path).unwrap();
        let facts = DumpFacts { dtb: PhysicalAddress(forged.truth.dtb), build: 19041, ..DumpFacts::default() };
        let written = write(&image, &mut file, container, &facts, &|_, _| ()).unwrap();
        assert_eq!(written.unreadable, 0);
        let opened = open(&forged, &path);
        assert_eq!((opened.image.format(), opened.image.warnings()), (format, &[][..]));
        is_the_machine(&forged, &opened, format);
        if container != Container::Raw {
            assert_eq!(runs(&opened.image), runs(&image));
        }
    }
    // As many runs as a full dump has no room for.
    let mut scattered = machine();
    for n in 0..50u64 {
        scattered.truth.runs.push(0x2_0000_0000 + n * 0x2000..0x2_0000_1000 + n * 0x2000);
    }
    let image = MemoryImage::from_bytes(scattered.as_lime()).unwrap();
    let path = folder.path().join("scattered");
    write(
        &image,
        &mut std::fs::File::create_new(&path).unwrap(),
        Container::CrashDump,
        &DumpFacts::default(),
        &|_, _| (),
    )
    .unwrap();
    let again = open(&forged, &path);
    assert_eq!(again.image.format(), "crash_dump_bitmap");
    assert_eq!(runs(&again.image), scattered.truth.runs);
    is_the_machine(&forged, &again, "scattered");
}

/// Opens a file with the symbols of the machine.
pub fn open(forged: &Forged, path: &Path) -> Opened {
    let mut opened = Opened::with_bytes(forged, forged.as_lime());
    opened.image = MemoryImage::open(path).unwrap();
    opened
}

/// The reading of an image is chosen once its kernel is found.
pub fn opened_with_kernel(opened: Opened) -> Opened {
    let _ = opened.kernel();
    opened
}

pub fn is_the_machine(forged: &Forged, opened: &Opened, what: &str) {
    let truth: serde_json::Value = serde_json::from_str(&forged.truth.to_json()).unwrap();
    common::assert_agrees(what, &document(&opened.system()), &truth);
    for (frame, bytes) in forged.memory.frames() {
        let mut read = [0; 4096];
        assert_eq!(opened.image.read(PhysicalAddress(frame * 4096), &mut read), 4096, "{what} {frame:#x}");
        assert!(&read == bytes, "{what} {frame:#x}");
    }
}

#[test]
fn vmware() {
    let forged = machine();
    let opened = agrees(&forged, forged.as_vmware_state(StateFile::Inline, 0), "vmware");
    assert!(document(&opened.system())["kernel"]["found_by"].as_str().unwrap().starts_with("VMware CPU state"));
    let folder = tempfile::tempdir().unwrap();
    let (memory, state) = (folder.path().join("guest.vmem"), folder.path().join("guest.vmsn"));
    forged.write_without_hole(0xc000_0000, &memory).unwrap();
    std::fs::write(&state, forged.as_vmware_state(StateFile::Beside, 0xc000_0000)).unwrap();
    for named in [&memory, &state] {
        let opened = open(&forged, named);
        assert_eq!((opened.image.format(), opened.image.warnings()), ("vmware", &[][..]));
        assert_eq!(runs(&opened.image), [0..0xc000_0000, 0x1_0000_0000..0x1_0100_0000]);
        assert_eq!(opened.image.info().parts.len(), 2);
        is_the_machine(&forged, &opened, "vmware");
    }
    // A state of another, smaller machine: the memory is read without it.
    let mut other = Scenario::clean(Build::W10_19045);
    other.memory = vec![0x1000..0x9_f000, 0x10_0000..0x300_0000, 0x1_0000_0000..0x1_0100_0000];
    std::fs::write(&state, other.forge_frames().as_vmware_state(StateFile::Beside, 0x300_0000)).unwrap();
    let opened = open(&forged, &memory);
    assert_eq!(opened.image.format(), "raw");
    is_the_machine(&forged, &opened_with_kernel(opened), "another state");
    let said: String = open(&forged, &memory).image.warnings().iter().map(ToString::to_string).collect();
    assert!(said.contains("guest.vmsn") && said.contains("describes 64 MiB"), "{said}");
    let error = MemoryImage::open(&state).unwrap_err().to_string();
    assert!(error.contains("does not belong") && error.contains(&memory.display().to_string()), "{error}");
    std::fs::remove_file(&memory).unwrap();
    let error = MemoryImage::open(&state).unwrap_err().to_string();
    assert!(error.contains(".vmem") && error.contains("not beside it"), "{error}");
}

/// Machines that other hypervisors saved.
#[test]
fn saved_machines() {
    let forged = machine();
    for unlisted in [false, true] {
        let opened = agrees(&forged, forged.as_vmrs(unlisted), "hyperv");
        assert_eq!(opened.image.info().maker.as_deref(), Some("Hyper-V"));
    }
    for saved in [Saved::Still, Saved::Old, Saved::Live] {
        let opened = agrees(&forged, forged.as_virtualbox(saved), "virtualbox");
        assert_eq!(opened.image.info().maker.as_deref(), Some("VirtualBox"));
    }
    let file = forged.as_xen_save();
    let opened = agrees(&forged, file.clone(), "xen_save");
    assert_eq!(opened.image.info().maker.as_deref(), Some("Xen"));
    // The stream alone, as other tools keep it.
    let at = |mark: &[u8]| file.windows(mark.len()).position(|bytes| bytes == mark).unwrap();
    for mark in [&b"LibxlFmt"[..], b"\xff\xff\xff\xff\xff\xff\xff\xffXENF"] {
        agrees(&forged, file[at(mark)..].to_vec(), "xen_save");
    }
}

/// By the standard, and as it was before: what is said to be zero is, and what could not be read is a hole.
#[cfg(feature = "compressed-images")]
#[test]
fn aff4() {
    let forged = machine();
    for old in [false, true] {
        let opened = agrees(&forged, forged.as_aff4(old), "aff4");
        assert_eq!(opened.image.borrow(PhysicalAddress(0x1000), 8), None, "packed bytes are not lent");
    }
    // The last bevy is gone, and then the map.
    let whole = forged.as_aff4(false);
    let names: Vec<usize> = memchr::memmem::find_iter(&whole, b"stream/000").collect();
    let last = &whole[*names.last().unwrap()..][..15];
    let mut cut = whole.clone();
    for at in memchr::memmem::find_iter(&whole, last) {
        cut[at..at + 6].copy_from_slice(b"gone!!");
    }
    let warnings: String = MemoryImage::from_bytes(cut).unwrap().warnings().iter().map(ToString::to_string).collect();
    assert!(warnings.contains("chunks of the image are not in the file"), "{warnings}");
    let mut no_map = whole;
    while let Some(at) = memchr::memmem::find(&no_map, b"memory/map") {
        no_map[at] = b'M';
    }
    let error = MemoryImage::from_bytes(no_map).unwrap_err().to_string();
    assert!(error.contains("no map of memory") && error.contains("--export"), "{error}");
}

/// What is missing in a saved machine is said, and what is there is read.
#[test]
fn saved_machines_that_are_not_whole() {
    let forged = machine();
    let warnings = |bytes: Vec<u8>| -> String {
        let opened = Opened::with_bytes(&forged, bytes);
        opened.image.warnings().iter().map(ToString::to_string).collect()
    };
    let place = |bytes: &[u8], mark: &[u8]| bytes.windows(mark.len()).position(|at| at == mark).unwrap();
    // A block's key is gone: its memory is a hole, and the table's own sum does not cover it.
    let mut vmrs = forged.as_vmrs(false);
    let key = place(&vmrs, b"RamBlock11\0");
    vmrs[key] = b'X';
    let text = warnings(vmrs.clone());
    assert!(text.contains("1 MiB of the machine's memory are not in the file"), "{text}");
    // Changes in the log; both headers damaged.
    let log = place(&vmrs, &0x0111_0003u32.to_le_bytes());
    vmrs[log + 8] = 2;
    assert!(warnings(vmrs.clone()).contains("file's log"));
    vmrs[10] ^= 1;
    vmrs[0x100a] ^= 1;
    assert!(warnings(vmrs).contains("headers are damaged"));
    // No memory at all: a configuration.
    let mut none = forged.as_vmrs(false);
    while let Some(at) = none.windows(3).position(|bytes| bytes == b"Ram") {
        none[at] = b'x';
    }
    let error = MemoryImage::from_bytes(none).unwrap_err().to_string();
    assert!(error.contains("holds no memory") && error.contains("Save-VM"), "{error}");
    for (name, bytes) in [("sav", forged.as_virtualbox(Saved::Still)), ("xen", forged.as_xen_save())] {
        let text = warnings(bytes[..bytes.len() / 4 * 3].to_vec());
        assert!(text.contains("not read") || text.contains("before its last record"), "{name}: {text}");
    }
    let mut ancient = forged.as_virtualbox(Saved::Still);
    let unit = place(&ancient, b"pgm\0") - 0x2c;
    ancient[unit + 0x18] = 8;
    let error = MemoryImage::from_bytes(ancient).unwrap_err().to_string();
    assert!(error.contains("version 8") && error.contains("dumpvmcore"), "{error}");
}

/// A raw file without its hole, and nothing that says so.
#[test]
fn the_hole_is_found_by_page_tables() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("memory.vmem");
    for (hole, system_above) in [(0xc000_0000, false), (0x8000_0000, false), (0xd000_0000, true), (0xe000_0000, false)]
    {
        let mut scenario = Scenario::clean(Build::W10_19045);
        // Where System's root and the kernel lie makes the difference between nothing found and a wrong half of it.
        scenario.memory = vec![
            0x1000..0x9_f000,
            0x10_0000..if system_above { 0x40_0000 } else { 0x100_0000 },
            0x1_0000_0000..0x1_0200_0000,
        ];
        let forged = scenario.forge_frames();
        forged.write_without_hole(hole, &file).unwrap();
        let opened = open(&forged, &file);
        is_the_machine(
            &forged,
            &{
                let _ = opened.kernel();
                opened
            },
            &format!("{hole:#x}"),
        );
        let opened = open(&forged, &file);
        let _ = opened.kernel();
        assert!(opened.image.warnings()[0].message.contains(&format!("{hole:#x}")), "{:?}", opened.image.warnings());
    }
    // A file that has its hole is read as it is.
    let forged = machine();
    forged.write_raw(&file).unwrap();
    let opened = open(&forged, &file);
    is_the_machine(&forged, &opened, "raw");
    assert_eq!(opened.image.warnings(), []);
}

/// Where the machine's type says another hole than the machine has, and where only little lies above it: page tables and the kernel's
/// own list of its memory tell, in a stream of QEMU as in a raw file.
#[test]
fn holes_that_few_tables_show() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("memory.raw");
    for (hole, above) in [(0x8000_0000u64, 0x40_0000u64), (0xe000_0000, 0x40_0000), (0xf000_0000, 0x100_0000)] {
        let mut scenario = Scenario::clean(Build::W10_19045);
        scenario.memory =
            vec![0x1000..0x9_f000, 0x10_0000..0x400_0000, hole - 0x100_0000..hole, FOUR_GIB..FOUR_GIB + above];
        let forged = scenario.forge_frames();
        forged.write_without_hole(hole, &file).unwrap();
        let opened = open(&forged, &file);
        let _ = opened.kernel();
        let said: String = opened.image.warnings().iter().map(ToString::to_string).collect();
        assert!(said.contains(&format!("{hole:#x}")), "{hole:#x}: {said}");
        is_the_machine(&forged, &opened, &format!("hole at {hole:#x}"));
        // Cut within a hole that it holds: what is zero is not taken for memory.
        forged.write_raw(&file).unwrap();
        std::fs::File::options().write(true).open(&file).unwrap().set_len(FOUR_GIB).unwrap();
        let opened = open(&forged, &file);
        // What it takes to find the kernel may lie above.
        if let Ok(kernel) = opened.image.locate_kernel(&opened.store) {
            assert_eq!(opened.image.warnings(), [], "{hole:#x}");
            assert!(kernel.warnings().iter().any(|warning| warning.message.contains("not in")), "{hole:#x}");
        }
    }
}

const FOUR_GIB: u64 = 1 << 32;

/// A raw file behind a header that nobody knows.
#[test]
fn memory_behind_a_header() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    for header in [0x200usize, 0x1000] {
        let mut bytes = vec![0x11; header];
        bytes.extend_from_slice(&forged.image);
        let opened = Opened::with_bytes(&forged, bytes);
        let truth: serde_json::Value = serde_json::from_str(&forged.truth.to_json()).unwrap();
        common::assert_agrees("shifted", &document(&opened.system()), &truth);
        assert!(opened.image.warnings()[0].message.contains(&format!("{header:#x} bytes")));
    }
}

#[test]
fn parts_of_a_split_image() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let truth: serde_json::Value = serde_json::from_str(&forged.truth.to_json()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut parts = Vec::new();
    // Borders within a page.
    for (n, part) in forged.image.chunks(0x10_0800).enumerate() {
        parts.push(folder.path().join(format!("memory.raw.{:03}", n + 1)));
        std::fs::write(&parts[n], part).unwrap();
    }
    let opened = open(&forged, &parts[0]);
    assert_eq!(opened.image.info().parts.len(), parts.len());
    assert_eq!(opened.image.info().bytes, forged.image.len() as u64);
    common::assert_agrees("split", &document(&opened.system()), &truth);
    let mut given = open(&forged, &parts[0]);
    given.image = MemoryImage::open_parts(&parts).unwrap();
    assert_eq!(given.image.warnings(), []);
    common::assert_agrees("parts", &document(&given.system()), &truth);
    // The last part is missing: what it held is a hole, and what is there is read.
    std::fs::remove_file(parts.pop().unwrap()).unwrap();
    let opened = open(&forged, &parts[0]);
    assert_eq!(opened.image.info().parts.len(), parts.len());
    let mut swapped = parts.clone();
    std::fs::write(&parts[1], b"short").unwrap();
    swapped.truncate(3);
    let odd = MemoryImage::open_parts(&swapped).unwrap();
    assert!(odd.warnings()[0].message.contains("memory.raw.002"), "{:?}", odd.warnings());
}

/// Memory that the caller reads himself, and that lends nothing.
#[test]
fn memory_of_the_callers_own() {
    struct Own(Forged);
    impl PhysicalMemory for Own {
        fn next_run(&self, from: PhysicalAddress) -> Option<ntmem::image::PhysicalRun> {
            let run = self.0.truth.runs.iter().find(|run| run.end > from.0)?;
            let start = run.start.max(from.0);
            Some(ntmem::image::PhysicalRun { start: PhysicalAddress(start), bytes: run.end - start })
        }

        fn read(&self, at: PhysicalAddress, buf: &mut [u8]) -> usize {
            for (n, byte) in buf.iter_mut().enumerate() {
                let at = at.0 + n as u64;
                if !self.0.truth.runs.iter().any(|run| run.contains(&at)) {
                    return n;
                }
                *byte = self.0.memory.get(at / 4096).map_or(0, |frame| frame[(at % 4096) as usize]);
            }
            buf.len()
        }
    }
    let forged = machine();
    let mut opened = Opened::with_bytes(&forged, forged.as_lime());
    opened.image = MemoryImage::from_memory(Box::new(Own(forged.clone())));
    assert_eq!(opened.image.format(), "memory");
    is_the_machine(&forged, &opened, "memory");
}

/// A dump cut off anywhere: what is left is read, and it says that pages are missing.
#[test]
fn truncated_crash_dumps() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    for kind in [DumpType::Full, DumpType::Bitmap] {
        let mut bytes = forged.as_crash_dump(kind);
        bytes.truncate(bytes.len() - 0x1800);
        let opened = Opened::with_bytes(&forged, bytes);
        assert!(opened.image.warnings()[0].to_string().contains("truncated"), "{kind:?}");
        assert!(opened.system().processes.items.len() > 10);
    }
}

/// A header whose numbers disagree: the message says which.
#[test]
fn dumps_that_contradict_themselves() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let warning = |bytes: Vec<u8>| Opened::with_bytes(&forged, bytes).image.warnings()[0].message.clone();
    let dump = forged.as_crash_dump(DumpType::Full);
    let mut fewer = dump.clone();
    fewer[0x88] = 1;
    let pages = (dump.len() - 0x2000) / 4096;
    let text = warning(fewer);
    assert!(
        text.contains(&format!("NumberOfPages is {pages}, its runs have 158 pages, the file has room for {pages}")),
        "{text}"
    );
    let mut more = dump;
    more[0x90] ^= 1;
    assert!(warning(more).contains("NumberOfPages is wrong"));
    let mut bitmap = forged.as_crash_dump(DumpType::Bitmap);
    bitmap[0x2028] ^= 1;
    assert!(warning(bitmap).contains("the bitmap is used"));
}
