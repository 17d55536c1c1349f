//! Images that are compressed as a whole.

use crate::common;
use crate::common::forged::{Opened, document};
use ntmem::image::OpenOptions;
use ntmem::{MemoryImage, PhysicalAddress, PhysicalMemory as _};
use ntmem_forge::{Build, Forged, Scenario};
use std::fs::File;
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

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// Frames of `step` bytes each, all with their sizes: as `pzstd` writes them.
pub fn zstd(bytes: &[u8], step: usize) -> Vec<u8> {
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

/// The same with the table of the seekable format, which leads to frames alone: what else is in a file is hidden from who goes over it.
pub fn seekable(bytes: &[u8], step: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut table = Vec::new();
    for piece in bytes.chunks(step) {
        let whole = zstd(piece, step);
        // Without the frame at its end that is skipped.
        let frame = &whole[..whole.len() - 12];
        table.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        table.extend_from_slice(&(piece.len() as u32).to_le_bytes());
        out.extend_from_slice(frame);
    }
    out.extend_from_slice(&0x184d_2a5eu32.to_le_bytes());
    out.extend_from_slice(&(table.len() as u32 + 9).to_le_bytes());
    let count = table.len() as u32 / 8;
    out.extend(table);
    out.extend_from_slice(&count.to_le_bytes());
    out.push(0);
    out.extend_from_slice(&0x8f92_eab1u32.to_le_bytes());
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

/// A number as 7-Zip writes it, in nine bytes; readers take any length.
fn long(number: usize) -> Vec<u8> {
    [&[0xff][..], &(number as u64).to_le_bytes()].concat()
}

fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum().to_le_bytes()
}

/// A solid archive (`7zFormat.txt`): notes and the image in one block, packed by the coder with this id and these properties.
pub fn seven_zip(image: &[u8], id: &[u8], properties: &[u8], pack: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    seven_zip_of(&[13, image.len()], &[b"taken on site", image].concat(), id, properties, pack)
}

/// The same of files of these sizes, of which `whole` may hold less.
fn seven_zip_of(
    sizes: &[usize],
    whole: &[u8],
    id: &[u8],
    properties: &[u8],
    pack: impl Fn(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let packed = pack(whole);
    let names: Vec<u8> = "notes.txt\0a folder\0memory.lime\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let lengths: Vec<u8> = sizes[..sizes.len() - 1].iter().flat_map(|size| long(*size)).collect();
    let mut at = 0;
    let sums = sizes.iter().flat_map(|size| {
        let file = whole.get(at..at + size).unwrap_or(&[]);
        at += size;
        crc(file)
    });
    let sums: Vec<u8> = sums.collect();
    let list = [
        &[1, 4, 6][..],
        &long(0),
        &[1, 9],
        &long(packed.len()),
        &[0, 7, 0x0b, 1, 0, 1, 0x20 | id.len() as u8],
        id,
        &[properties.len() as u8],
        properties,
        &[0x0c],
        &long(sizes.iter().sum()),
        &[0, 8, 0x0d, sizes.len() as u8, 9],
        &lengths,
        &[0x0a, 1],
        &sums,
        &[0, 0, 5, 3, 0x0e, 1, 0x40, 0x11],
        &long(names.len() + 1),
        &[0],
        &names,
        &[0, 0],
    ]
    .concat();
    let start = [&(packed.len() as u64).to_le_bytes()[..], &(list.len() as u64).to_le_bytes(), &crc(&list)].concat();
    [&b"7z\xbc\xaf\x27\x1c\0\x04"[..], &crc(&start), &start, &packed, &list].concat()
}

pub fn lzma2(bytes: &[u8]) -> Vec<u8> {
    let mut out = lzma_rust2::Lzma2Writer::new(Vec::new(), lzma_rust2::Lzma2Options::with_preset(0));
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
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
        ("gzip, with zeros behind", [gzip(&lime), vec![0; 5000]].concat(), vec!["gzip"], true),
        (
            "gzip of two members",
            [gzip(&lime[..0x2_0000]), vec![0; 7], gzip(&lime[0x2_0000..])].concat(),
            vec!["gzip"],
            true,
        ),
        ("xz", xz, vec!["xz"], true),
        ("bzip2", bzip2, vec!["bzip2"], true),
        ("zlib, as LiME packs", zlib(&lime), vec!["zlib"], true),
        ("zstd in one frame", zstd(&lime, usize::MAX), vec!["zstd"], true),
        ("zstd", zstd(&lime, 0x5_0000), vec!["zstd"], false),
        ("zstd, seekable", seekable(&lime, 0x1_0000), vec!["zstd"], false),
        ("zstd of large frames", zstd(&lime, 0x18_0000), vec!["zstd"], true),
        ("zip", zip(&lime, zip::CompressionMethod::Deflated), vec!["zip"], true),
        ("zip, stored", zip(&lime, zip::CompressionMethod::Stored), vec!["zip"], false),
        ("7z, LZMA2", seven_zip(&lime, &[0x21], &[24], lzma2), vec!["7z"], true),
        ("7z, stored", seven_zip(&lime, &[0], &[], <[u8]>::to_vec), vec!["7z"], true),
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
    assert!(error.contains("more than 8 MiB") && error.contains("--max-unpacked"), "{error}");
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
    // Nothing in it.
    for empty in [gzip(b""), b"\x50\x2a\x4d\x18\x04\0\0\0abcd".repeat(2)] {
        std::fs::write(&file, empty).unwrap();
        let error = open(&file, &cache).unwrap_err().to_string();
        assert!(error.contains("holds nothing") && !error.contains("NTMEM_CACHE"), "{error}");
    }
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

/// What an error advises works when it is followed.
#[test]
fn advice_that_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (file, cache) = (folder.path().join("packed"), folder.path().join("cache"));
    let image = machine().image;
    std::fs::write(&file, zip(&image, zip::CompressionMethod::Deflated)).unwrap();
    let options = |most: u64, cache: &Path| OpenOptions {
        max_unpacked: Some(most),
        cache: Some(cache.to_owned()),
        ..OpenOptions::default()
    };
    let error = MemoryImage::open_with(&file, &options(1 << 20, &cache)).unwrap_err().to_string();
    let (_, advised) = error.split_once("--max-unpacked ").unwrap();
    let advised: u64 = advised.split_once('M').unwrap().0.parse().unwrap();
    assert!(advised << 20 >= image.len() as u64 && (advised - 1) << 20 < image.len() as u64, "{error}");
    assert_eq!(MemoryImage::open_with(&file, &options(advised << 20, &cache)).unwrap().format(), "raw");
    // A cache that cannot be written: a file stands where the folder should be.
    let taken = folder.path().join("taken");
    std::fs::write(&taken, "a file").unwrap();
    let error = open(&file, &taken).unwrap_err().to_string();
    assert!(error.contains("taken") && error.contains("NTMEM_CACHE"), "{error}");
    // A copy in the cache that is not whole is made again.
    let unpacked = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    File::options().write(true).open(&unpacked).unwrap().set_len(4096).unwrap();
    assert_eq!(open(&file, &cache).unwrap().info().bytes, std::fs::metadata(&file).unwrap().len());
    assert_eq!(std::fs::metadata(&unpacked).unwrap().len(), image.len() as u64);
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

/// Gives an archive the sums that fit it: whoever means harm does so.
fn sealed(mut archive: Vec<u8>) -> Vec<u8> {
    let number = |at: usize| usize::try_from(u64::from_le_bytes(archive[at..at + 8].try_into().unwrap())).unwrap();
    let (from, length) = (number(12).saturating_add(32), number(20));
    if let Some(list) = archive.get(from..from.saturating_add(length)) {
        let sum = crc(list);
        archive[28..32].copy_from_slice(&sum);
    }
    let sum = crc(&archive[12..32]);
    archive[8..12].copy_from_slice(&sum);
    archive
}

/// Every byte of an archive's list of files is spoilt, with and without the sums that fit, and the archive cut at each: an error, as what
/// is in it is none of a memory.
#[test]
fn archives_that_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let (file, cache) = (folder.path().join("packed"), folder.path().join("cache"));
    let text: Vec<u8> = (0..3000u32).flat_map(|n| (n * n).to_le_bytes()).collect();
    let whole = seven_zip(&text, &[0x21], &[24], lzma2);
    assert!(sealed(whole.clone()) == whole);
    let list = u64::from_le_bytes(whole[12..20].try_into().unwrap()) as usize + 32;
    let check = |bytes: &[u8], what: &str| {
        std::fs::write(&file, bytes).unwrap();
        let error = open(&file, &cache).unwrap_err().to_string();
        assert!(error.len() > 30, "{what}: {error}");
    };
    for at in (8..32).chain(list..whole.len()) {
        for value in [0, 1, 0xff, 0x80, 0x7f, 0x17, 0xc0] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            check(&bytes, &format!("byte {at:#x} is {value:#x}"));
            check(&sealed(bytes), &format!("byte {at:#x} is {value:#x}, and the sums fit"));
        }
    }
    for length in (0..64).chain(list - 8..whole.len()) {
        check(&whole[..length], &format!("cut at {length:#x}"));
    }
    // A list that is changed is not read, a list that is cut off is missed, and what it promises is not believed.
    let said = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        open(&file, &cache).unwrap_err().to_string()
    };
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert!(said(&changed).contains("list of its files cannot be read"), "{}", said(&changed));
    assert!(said(&whole[..whole.len() - 1]).contains("cut short"), "{}", said(&whole[..whole.len() - 1]));
    let promised = seven_zip_of(&[1 << 62], b"", &[0x21], &[24], lzma2);
    assert!(said(&promised).contains("cannot be read"), "{}", said(&promised));
    // What was changed is not taken for what was packed.
    let image = machine().as_lime();
    let mut changed = seven_zip(&image, &[0], &[], <[u8]>::to_vec);
    changed[0x5_0000] ^= 1;
    assert!(said(&changed).contains("checksum is wrong"), "{}", said(&changed));
    let encrypted = seven_zip(&image, &[6, 0xf1, 7, 1], &[0], <[u8]>::to_vec);
    assert!(said(&encrypted).contains("encrypted") && said(&encrypted).contains("7z x"), "{}", said(&encrypted));
}

/// Every kind of compressed file, cut anywhere and with bytes changed anywhere, also far behind its head: an error that says what to do,
/// or an image; and never more on the disk than is allowed.
#[test]
fn packed_files_that_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let (file, cache) = (folder.path().join("packed"), folder.path().join("cache"));
    let image: Vec<u8> = machine().image[..0x11_0000].to_vec();
    let xz = {
        let mut out = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(0)).unwrap();
        out.write_all(&image).unwrap();
        out.finish().unwrap()
    };
    let bzip2 = {
        let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        out.write_all(&image).unwrap();
        out.finish().unwrap()
    };
    let most = 0x20_0000;
    for (name, whole) in [
        ("gzip", gzip(&image)),
        ("zlib", zlib(&[b"EMiL", &image[..]].concat())),
        ("xz", xz),
        ("bzip2", bzip2),
        ("zstd", zstd(&image, 0x5_0000)),
        ("zstd in one frame", zstd(&image, usize::MAX)),
        ("zstd, seekable", seekable(&image, 0x1_0000)),
        ("zip", zip(&image, zip::CompressionMethod::Deflated)),
        ("zip, stored", zip(&image, zip::CompressionMethod::Stored)),
        ("7z", seven_zip(&image, &[0x21], &[24], lzma2)),
    ] {
        let survives = |bytes: &[u8], what: String| {
            std::fs::write(&file, bytes).unwrap();
            let options =
                OpenOptions { max_unpacked: Some(most), cache: Some(cache.clone()), ..OpenOptions::default() };
            match MemoryImage::open_with(&file, &options) {
                Ok(image) => {
                    let mut page = [0; 4096];
                    let runs: Vec<_> = image.runs().take(16).collect();
                    for run in runs {
                        image.read(run.start, &mut page);
                    }
                }
                Err(error) => assert!(error.to_string().len() > 30, "{what}: {error}"),
            }
            for one in std::fs::read_dir(&cache).into_iter().flatten().flatten() {
                assert!(one.metadata().unwrap().len() <= most, "{what}");
                std::fs::remove_file(one.path()).unwrap();
            }
        };
        let step = whole.len() / 23 + 1;
        let ends = (0..40).chain((40..whole.len()).step_by(step)).chain(whole.len().saturating_sub(60)..whole.len());
        for length in ends.filter(|length| *length < whole.len()) {
            survives(&whole[..length], format!("{name} cut at {length:#x}"));
        }
        let places = (0..40).chain((40..whole.len()).step_by(step)).chain(whole.len().saturating_sub(120)..whole.len());
        for at in places.filter(|at| *at < whole.len()) {
            for value in [0xff, 0x80, 0] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                survives(&bytes, format!("{name}, byte {at:#x} is {value:#x}"));
            }
        }
    }
}
