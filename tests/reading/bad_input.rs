//! What is no usable image gets a clear error that says what to do next.

use crate::common;
use ntmem::{MemoryImage, PhysicalAddress, PhysicalMemory};

fn error(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image");
    std::fs::write(&file, bytes).unwrap();
    MemoryImage::open(&file).unwrap_err().to_string()
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

#[test]
fn no_file_and_no_content() {
    let folder = tempfile::tempdir().unwrap();
    says(
        &MemoryImage::open(folder.path().join("missing.raw")).unwrap_err().to_string(),
        &["cannot open", "missing.raw"],
    );
    says(&MemoryImage::open(folder.path()).unwrap_err().to_string(), &["directory"]);
    says(&error(b""), &["empty"]);
}

#[test]
fn text_and_other_files() {
    says(&error("pid ppid name\n4 0 System\n".repeat(100_000).as_bytes()), &["text file", "--report"]);
    says(&error(&[0u8; 5000]), &["too small"]);
    says(&error(b"\x7fELF\x02\x01\x01"), &["ELF"]);
    let mut program = b"\x7fELF\x02\x01\x01".to_vec();
    program.resize(0x40, 0);
    program[0x10] = 3;
    program[0x28..0x30].copy_from_slice(&0x50_0000u64.to_le_bytes());
    program[0x3a..0x3e].copy_from_slice(&[0x40, 0, 2, 0]);
    program.resize(0x50_0080, 0x90);
    says(&error(&program), &["a program or library of Linux"]);
    says(&error(b"\x28\xb5\x2f\xfd...."), &["compressed"]);
    says(&error(b"MDMP\x93\xa7"), &["minidump"]);
    says(&error(b"regf...."), &["registry hive"]);
}

#[test]
fn a_page_of_high_bytes_is_no_text() {
    let mut bytes = vec![0xffu8; 2 << 20];
    bytes[0x1000..0x2000].fill(0);
    assert_eq!(MemoryImage::from_bytes(bytes).unwrap().format(), "raw");
}

#[test]
fn raw_image_with_a_partial_last_page() {
    let mut bytes = vec![0u8; (2 << 20) + 10];
    *bytes.last_mut().unwrap() = 7;
    let image = MemoryImage::from_bytes(bytes).unwrap();
    let mut buf = [0u8; 16];
    assert_eq!(image.read(PhysicalAddress((2 << 20) + 6), &mut buf), 4);
    assert_eq!(buf[..4], [0, 0, 0, 7]);
    assert_eq!(image.read(PhysicalAddress((2 << 20) + 10), &mut buf), 0);
}

/// Dumps that Windows wrote (their README says what each is).
#[test]
fn real_dumps_of_other_kinds() {
    let Some(material) = common::material("real_dumps_of_other_kinds") else { return };
    let error = |name: &str| MemoryImage::open(material.join("real").join(name)).unwrap_err().to_string();
    says(&error("triage_x64.dmp"), &["triage", "DumpType 0x4"]);
    says(&error("triage_arm64.dmp"), &["ARM64"]);
    says(&error("win10_arm64_triage.dmp"), &["ARM64"]);
    says(&error("win10_arm32_triage.dmp"), &["32-bit"]);
}

/// The head of a full dump that DumpIt wrote: 5 runs, 523,910 pages, and then the file ends.
#[test]
fn truncated_full_dump() {
    let Some(material) = common::material("truncated_full_dump") else { return };
    let image = MemoryImage::open(material.join("real/full_dump_header_19045.bin")).unwrap();
    assert_eq!(image.format(), "crash_dump_full");
    // 16 KiB of file less 8 KiB of header: two pages are there.
    let runs: Vec<_> = image.runs().map(|run| (run.start.0, run.bytes)).collect();
    assert_eq!(runs, [(0x2000, 0x2000)]);
    let warning = image.warnings()[0].to_string();
    says(&warning, &["truncated", "523908 pages"]);
    let header = image.hints().unwrap();
    assert_eq!(header.roots[0].0 & 0xfff, 0);
    assert!(header.system_time.is_some() && header.active_process_head.is_some_and(|head| head.is_kernel()));
}

fn dump_with(edit: impl FnOnce(&mut Vec<u8>)) -> Result<MemoryImage, String> {
    let mut bytes = vec![0u8; 0x6000];
    bytes[..8].copy_from_slice(b"PAGEDU64");
    bytes[0x30..0x34].copy_from_slice(&0x8664u32.to_le_bytes());
    bytes[0xf98] = 5;
    bytes[0x2000..0x2008].copy_from_slice(b"SDMPDUMP");
    bytes[0x2020..0x2028].copy_from_slice(&0x4000u64.to_le_bytes());
    bytes[0x2030..0x2038].copy_from_slice(&64u64.to_le_bytes());
    edit(&mut bytes);
    MemoryImage::from_bytes(bytes).map_err(|error| error.to_string())
}

#[test]
fn damaged_headers() {
    says(&dump_with(|bytes| bytes.truncate(0x100)).unwrap_err(), &["cut off within its header"]);
    says(&dump_with(|bytes| bytes.truncate(0x2030)).unwrap_err(), &["ends before its bitmap"]);
    says(&dump_with(|bytes| bytes[0x2030..0x2038].fill(0xff)).unwrap_err(), &["ends before its bitmap"]);
    says(&dump_with(|bytes| bytes[0x2000] = 0).unwrap_err(), &["no bitmap header"]);
    says(&dump_with(|bytes| bytes[0xf98] = 3).unwrap_err(), &["DumpType 0x3"]);
    says(&dump_with(|bytes| bytes[0xf98] = 1).unwrap_err(), &["0 runs"]);
    let full = dump_with(|bytes| {
        bytes[0xf98] = 1;
        bytes[0x88] = 1;
        bytes[0x98..0xa8].fill(0xff);
    });
    says(&full.unwrap_err(), &["which cannot be"]);
    // A bitmap that promises more pages than the file has.
    let short = dump_with(|bytes| bytes[0x2038..0x2040].fill(0xff)).unwrap();
    assert_eq!(short.runs().map(|run| run.bytes).sum::<u64>(), 0x2000);
    says(&short.warnings()[0].to_string(), &["62 pages"]);
}

#[test]
fn not_even_a_kernel_in_zeros() {
    let bytes = vec![0u8; 4 << 20];
    let image = MemoryImage::from_bytes(bytes).unwrap();
    let error = image.locate_kernel(&ntmem::symbols::SymbolStore::new()).unwrap_err().to_string();
    says(&error, &["no Windows x64 kernel", "Tried:"]);
}

/// What begins as something else does is named, whether it is refused at once or only when no kernel is found in it.
#[test]
fn files_of_other_kinds_are_named() {
    let mut state = 88_172_645_463_325_252u64;
    let noise: Vec<u8> = (0..(2 << 20) / 8)
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .collect();
    let at = |offset: usize, mark: &[u8]| {
        let mut bytes = vec![0; offset];
        bytes.extend_from_slice(mark);
        bytes
    };
    let mut program = at(0x3c, &0x80u32.to_le_bytes());
    program.extend(at(0x40, b"PE\0\0\x64\x86"));
    program[..2].copy_from_slice(b"MZ");
    let mut partitions = at(446, &[0x80, 0, 2, 0, 7, 0, 0, 0, 0, 8, 0, 0, 0, 0, 1, 0]);
    partitions.extend(at(48, b"\x55\xaa"));
    for (head, words) in [
        (b"EMiL\x01\0\0\0".to_vec(), &["LiME"][..]),
        (b"AVML\x02\0\0\0".to_vec(), &["AVML"]),
        (b"\x7fELF\x02\x01\x01".to_vec(), &["ELF"]),
        (b"HIBR".to_vec(), &["hibernation"]),
        (b"rstr".to_vec(), &["hibernation"]),
        (b"\xd2\xbe\xd2\xbe\x08\0\0\0\x5a\0\0\0".to_vec(), &["VMware"]),
        (b"QEVM\0\0\0\x03".to_vec(), &["QEMU"]),
        (b"LibvirtQemudSave\x02\0\0\0".to_vec(), &["libvirt"]),
        (b"LibxlFmt".to_vec(), &["Xen", "dump-core"]),
        (b"XenSavedDomain\n".to_vec(), &["Xen", "dump-core"]),
        (b"\x7fVirtualBox SavedState V2.0\n".to_vec(), &["VirtualBox", "dumpvmcore"]),
        (0x0128_2014u32.to_le_bytes().to_vec(), &["Hyper-V"]),
        (b"QFI\xfb\0\0\0\x03".to_vec(), &["qcow2"]),
        (b"KDUMP   \x06\0\0\0".to_vec(), &["kdump"]),
        (b"vhdxfile".to_vec(), &["VHDX", "hiberfil.sys"]),
        (at(0, &[&b"<<< Whoever's Disk Image >>>\n"[..], &[0; 35], b"\x7f\x10\xda\xbe"].concat()), &["VDI"]),
        (b"QED\0\0\0\x01\0".to_vec(), &["QED"]),
        (b"QFI\xfb\0\0\0\x01".to_vec(), &["qcow"]),
        (b"WithouFreSpacExt\x02\0\0\0".to_vec(), &["Parallels"]),
        (b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0".to_vec(), &["lzma", "xz --format=lzma -dc"]),
        (b"PK\x07\x08PK\x03\x04".to_vec(), &["zip", "several parts"]),
        (b"KDMV\x01\0\0\0".to_vec(), &["VMDK"]),
        (b"conectix".to_vec(), &["VHD"]),
        (b"\xeb\x52\x90NTFS    ".to_vec(), &["NTFS"]),
        (partitions, &["MBR"]),
        (at(510, b"\x55\xaa"), &["boot sector"]),
        (at(512, b"EFI PART"), &["GPT"]),
        (b"EVF\x09\x0d\x0a\xff\0".to_vec(), &["E01"]),
        (b"EVF2\r\n\x81\0".to_vec(), &["Ex01"]),
        (b"ADSEGMENTEDFILE\0".to_vec(), &["AD1"]),
        (b"LVF\x09\x0d\x0a\xff\0".to_vec(), &["L01"]),
        (at(257, b"ustar\0"), &["tar"]),
        (b"PAGEDUMP\x0f\0\0\0".to_vec(), &["32-bit"]),
        (b"MDMP\x93\xa7".to_vec(), &["minidump"]),
        (b"\x04\x22\x4d\x18".to_vec(), &["lz4"]),
        (b"7z\xbc\xaf\x27\x1c".to_vec(), &["7z x"]),
        (b"\xcf\xfa\xed\xfe".to_vec(), &["Mach-O"]),
        (program, &["program"]),
        (at(4096, b""), &["first page is zero", "random"]),
        (Vec::new(), &["random", "encrypted"]),
    ] {
        let bytes = [&head[..], &noise].concat();
        let text = match MemoryImage::from_bytes(bytes) {
            Err(error) => error.to_string(),
            Ok(image) => image.locate_kernel(&ntmem::symbols::SymbolStore::new()).unwrap_err().to_string(),
        };
        says(&text, words);
    }
    // The last part of a zip archive begins anywhere, and ends with the end of the list of files, which names its disk.
    let split = [&noise[..], b"PK\x05\x06\x03\0\0\0\x01\0\x01\0\0\0\0\0\0\0\0\0\0\0"].concat();
    says(&MemoryImage::from_bytes(split).unwrap_err().to_string(), &["last part of a zip archive", "zip -s 0"]);
    for (byte, word) in [(0u8, "zeros"), (0xff, "0xff")] {
        let image = MemoryImage::from_bytes(vec![byte; 2 << 20]).unwrap();
        let text = image.locate_kernel(&ntmem::symbols::SymbolStore::new()).unwrap_err().to_string();
        says(&text, &["nothing but", word]);
    }
}
