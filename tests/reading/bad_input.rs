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
    says(&error(b"\x28\xb5\x2f\xfd...."), &["zstd -d"]);
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
