//! Images that are compressed as a whole.

use crate::common;
use crate::common::forged::{Opened, document};
use ntmem::image::OpenOptions;
use ntmem::{MemoryImage, PhysicalAddress, PhysicalMemory as _};
use ntmem_forge::{Build, Forged, Scenario};
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

fn machine() -> Forged {
    Scenario::clean(Build::W10_19045).forge()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// Frames of `step` bytes each, all with their sizes: as `pzstd` writes them.
fn zstd(bytes: &[u8], step: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in bytes.chunks(step) {
        // A frame of a single segment with four bytes of size; blocks of 128 KiB at most, plain or of one byte.
        out.extend_from_slice(&0xfd2f_b528u32.to_le_bytes());
        out.push(0xa0);
        out.extend_from_slice(&(piece.len() as u32).to_le_bytes());
        let blocks: Vec<&[u8]> = piece.chunks(0x1_0000).collect();
        for (n, block) in blocks.iter().enumerate() {
            let last = u32::from(n + 1 == blocks.len());
            let same = block.iter().all(|byte| *byte == block[0]);
            let head = last | u32::from(same) << 1 | (block.len() as u32) << 3;
            out.extend_from_slice(&head.to_le_bytes()[..3]);
            out.extend_from_slice(if same { &block[..1] } else { block });
        }
    }
    // A table of the frames, which is skipped.
    out.extend_from_slice(&[0x5e, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
    out
}

fn zip(bytes: &[u8], method: zip::CompressionMethod) -> Vec<u8> {
    let mut out = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    out.start_file("notes.txt", options).unwrap();
    out.write_all(b"taken on site").unwrap();
    out.start_file("memory.lime", options).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap().into_inner()
}

fn open(file: &Path, cache: &Path) -> Result<MemoryImage, ntmem::Error> {
    MemoryImage::open_with(file, &OpenOptions { cache: Some(cache.to_owned()), ..OpenOptions::default() })
}

#[test]
fn every_kind_of_compression() {
    let forged = machine();
    let truth: serde_json::Value = serde_json::from_str(&forged.truth.to_json()).unwrap();
    let lime = forged.as_lime();
    let xz = {
        let mut out = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(0)).unwrap();
        out.write_all(&lime).unwrap();
        out.finish().unwrap()
    };
    let bzip2 = {
        let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        out.write_all(&lime).unwrap();
        out.finish().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    for (name, bytes, within, unpacked) in [
        ("gzip", gzip(&lime), vec!["gzip"], true),
        ("xz", xz, vec!["xz"], true),
        ("bzip2", bzip2, vec!["bzip2"], true),
        ("zstd in one frame", zstd(&lime, usize::MAX), vec!["zstd"], true),
        ("zstd", zstd(&lime, 0x5_0000), vec!["zstd"], false),
        ("zip", zip(&lime, zip::CompressionMethod::Deflated), vec!["zip"], true),
        ("zip, stored", zip(&lime, zip::CompressionMethod::Stored), vec!["zip"], false),
        ("gzip in zstd", zstd(&gzip(&lime), 0x5_0000), vec!["zstd", "gzip"], true),
    ] {
        let file = folder.path().join("packed");
        std::fs::write(&file, bytes).unwrap();
        let mut opened = Opened::with_bytes(&forged, forged.as_lime());
        opened.image = open(&file, &cache).unwrap_or_else(|error| panic!("{name}: {error}"));
        let info = opened.image.info();
        assert_eq!(
            (info.format.as_str(), info.within),
            ("lime", within.into_iter().map(str::to_owned).collect()),
            "{name}"
        );
        assert_eq!(!info.parts.is_empty(), unpacked, "{name}: {:?}", info.parts);
        common::assert_agrees(name, &document(&opened.system()), &truth);
        for (frame, bytes) in forged.memory.frames() {
            let mut read = [0; 4096];
            assert_eq!(opened.image.read(PhysicalAddress(frame * 4096), &mut read), 4096, "{name}");
            assert!(&read == bytes, "{name} {frame:#x}");
        }
        if unpacked {
            // The next run finds what this one unpacked.
            let word = Mutex::new(0);
            let notice = |_: &str| *word.lock().unwrap() += 1;
            let options = OpenOptions { cache: Some(cache.clone()), notice: Some(&notice), ..OpenOptions::default() };
            MemoryImage::open_with(&file, &options).unwrap();
            assert_eq!(*word.lock().unwrap(), 0, "{name}");
        }
    }
}

#[test]
fn bombs_nests_and_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (file, cache) = (folder.path().join("packed"), folder.path().join("cache"));
    let bomb = gzip(&vec![0; 64 << 20]);
    std::fs::write(&file, &bomb).unwrap();
    let said = Mutex::new(String::new());
    let notice = |text: &str| said.lock().unwrap().push_str(text);
    let options = OpenOptions {
        max_unpacked: Some(8 << 20),
        cache: Some(cache.clone()),
        notice: Some(&notice),
        ..OpenOptions::default()
    };
    let error = MemoryImage::open_with(&file, &options).unwrap_err().to_string();
    assert!(error.contains("more than the 8 MiB") && error.contains("--max-unpacked"), "{error}");
    assert!(said.lock().unwrap().contains("8 MiB at most"), "the limit is said before it starts");
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 0, "nothing is left of it");
    // Packed over and over.
    let mut nest = gzip(b"nothing");
    for _ in 0..5 {
        nest = gzip(&nest);
    }
    std::fs::write(&file, &nest).unwrap();
    let error = open(&file, &cache).unwrap_err().to_string();
    assert!(error.contains("packed more than 3 times"), "{error}");
    std::fs::write(&file, zip(&b"a list\n".repeat(1000), zip::CompressionMethod::Stored)).unwrap();
    let error = open(&file, &cache).unwrap_err().to_string();
    assert!(error.contains("packed in this file (zip)") && error.contains("text file"), "{error}");
    // Cut off.
    let whole = gzip(&machine().image);
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let error = open(&file, &cache).unwrap_err().to_string();
    assert!(error.contains("damaged or cut short"), "{error}");
    let frames = zstd(&machine().as_lime(), 0x5_0000);
    std::fs::write(&file, &frames[..frames.len() / 2]).unwrap();
    let error = open(&file, &cache).unwrap_err().to_string();
    assert!(error.contains("damaged or cut short"), "{error}");
}

/// Marks of what is packed, and nothing behind them.
#[test]
fn marks_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (file, cache) = (folder.path().join("packed"), folder.path().join("cache"));
    for mark in [
        &b"\x1f\x8b\x08\0"[..],
        b"\xfd7zXZ\0",
        b"BZh91AY&SY",
        b"\x28\xb5\x2f\xfd",
        b"PK\x03\x04",
        b"7z\xbc\xaf\x27\x1c\x00\x04",
    ] {
        for length in [0usize, 1, 2, 7, 30, 5000] {
            let mut bytes = mark.to_vec();
            bytes.extend((0..length).map(|n| (n * 37 % 251) as u8));
            std::fs::write(&file, &bytes).unwrap();
            let error = open(&file, &cache).unwrap_err().to_string();
            assert!(error.len() > 30, "{mark:?} {length}: {error}");
        }
    }
}
