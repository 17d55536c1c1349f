//! Compressed PDBs and zip archives of symbol files: how they are found, and what damage does.

use crate::bytes;
use crate::made::{GUID, Made};
use cab::{CabinetBuilder, CompressionType};
use ntmem::PdbInfo;
use ntmem::symbols::{SymbolError, SymbolSource, SymbolStore, Symbols, Wanted, load};
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn needed() -> PdbInfo {
    PdbInfo { name: "ntkrnlmp.pdb".into(), guid: GUID.into(), age: 3 }
}

fn wanted() -> Wanted {
    Wanted { globals: vec!["Head"], ..Wanted::default() }
}

fn pdb() -> Vec<u8> {
    Made { publics: vec![(1, 0x10, "Head")], ..Made::default() }.pdb()
}

/// A symbol file with one global, at another address than the PDB has it.
fn json(guid: &str) -> Vec<u8> {
    format!(
        r#"{{"metadata": {{"windows": {{"pdb": {{"GUID": "{guid}", "age": 3, "database": "ntkrnlmp.pdb"}}}}}},
            "base_types": {{}}, "enums": {{}}, "user_types": {{}}, "symbols": {{"Head": {{"address": 8192}}}}}}"#
    )
    .into_bytes()
}

fn cabinet(kind: CompressionType, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = CabinetBuilder::new();
    let folder = builder.add_folder(kind);
    for (name, _) in files {
        folder.add_file(*name);
    }
    let mut writer = builder.build(Cursor::new(Vec::new())).unwrap();
    let mut contents = files.iter();
    while let Some(mut file) = writer.next_file().unwrap() {
        file.write_all(contents.next().unwrap().1).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (index, (name, bytes)) in files.iter().enumerate() {
        let method = if index % 2 == 0 { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
    folder
}

fn find(place: &Path) -> Result<Symbols, String> {
    let store = SymbolStore::new().directory(place);
    store.find(&needed(), &wanted()).map_err(|error| error.to_string())
}

#[test]
fn compressed_pdbs_lie_where_plain_ones_would() {
    for kind in [CompressionType::None, CompressionType::MsZip] {
        let packed = cabinet(kind, &[("readme.txt", b"before it"), ("ntkrnlmp.pdb", &pdb())]);
        for name in [
            format!("ntkrnlmp.pdb/{GUID}3/ntkrnlmp.pd_"),
            format!("ntkrnlmp.pdb/{GUID}3/NTKRNLMP.PD_"),
            "ntkrnlmp.pd_".into(),
            // By its content.
            "ntkrnlmp.pdb".into(),
        ] {
            let folder = folder(&[(&name, &packed)]);
            let symbols = find(folder.path()).unwrap();
            assert_eq!((symbols.global("Head").unwrap(), symbols.source), (0x1010, SymbolSource::Pdb));
            assert_eq!(symbols.pdb, Some(needed()));
            // On its own.
            let alone = find(&folder.path().join(&name)).unwrap();
            assert_eq!(alone.file, Some(folder.path().join(&name)));
        }
    }
    // Nothing was unpacked beside it, and a plain file goes first.
    let plain = folder(&[("ntkrnlmp.pd_", b"MSCF"), ("ntkrnlmp.pdb", &pdb())]);
    assert_eq!(find(plain.path()).unwrap().file, Some(plain.path().join("ntkrnlmp.pdb")));
    assert_eq!(fs::read_dir(plain.path()).unwrap().count(), 2);
}

/// A cabinet packed with LZX, the way of most of Microsoft's: one uncompressed LZX block ([MS-PATCH] 2.3.1.1), in a window of
/// 2 MiB. Written by hand: nothing here can pack that way.
fn lzx(pdb: &[u8]) -> Vec<u8> {
    assert!(pdb.len() <= 0x8000 && pdb.len().is_multiple_of(2));
    let name = "ntkrnlmp.pdb";
    // No translation of calls, a block of kind 3, its length: 28 bits and 4 of nothing, in words of 16.
    let start = 3u32 << 28 | (pdb.len() as u32) << 4;
    let repeated = [1u32.to_le_bytes(); 3].concat();
    let data = bytes![(start >> 16) as u16, start as u16, repeated, pdb.to_vec()];
    let files = 36 + 8;
    let blocks = files + 16 + name.len() as u32 + 1;
    let length = blocks + 8 + data.len() as u32;
    bytes![
        b"MSCF".to_vec(),
        0u32,
        length,
        0u32,
        files,
        0u32,
        0x0103u16,
        1u16,
        1u16,
        0u16,
        0u16,
        0u16,
        blocks,
        1u16,
        0x1503u16,
        pdb.len() as u32,
        0u32,
        0u16,
        0u16,
        0u16,
        0x20u16,
        name,
        0u32,
        data.len() as u16,
        pdb.len() as u16,
        data
    ]
}

#[test]
fn cabinets_packed_with_lzx_are_unpacked() {
    let folder = folder(&[("ntkrnlmp.pd_", &lzx(&pdb()))]);
    assert_eq!(find(folder.path()).unwrap().global("Head").unwrap(), 0x1010);
}

#[test]
fn a_cabinet_that_is_none_is_named() {
    let says = |bytes: &[u8], words: &str| {
        let folder = folder(&[("ntkrnlmp.pd_", bytes)]);
        let text = find(folder.path()).unwrap_err();
        let file = folder.path().join("ntkrnlmp.pd_").display().to_string();
        assert!(text.contains(&file) && text.contains(words), "{words} is not in:\n{text}");
    };
    let good = cabinet(CompressionType::MsZip, &[("ntkrnlmp.pdb", &pdb())]);
    says(b"MSCF", "cannot unpack it");
    says(&good[..good.len() / 2], "cannot unpack it");
    says(&cabinet(CompressionType::MsZip, &[("ntkrnlmp.exe", b"MZ")]), "a cabinet without a PDB");
    says(&cabinet(CompressionType::MsZip, &[("ntkrnlmp.pdb", b"MZ")]), "ntkrnlmp.pdb: ");
    says(&cabinet(CompressionType::MsZip, &[("ntkrnlmp.pdb", &made_for_another())]), "wrong GUID");
    // What the folder's second word says: Quantum, level 1, 1 KiB.
    let mut quantum = good.clone();
    quantum[0x2a..0x2c].copy_from_slice(&0x0a12u16.to_le_bytes());
    says(&quantum, "Quantum");
    // A size that is a lie, and one that no PDB has.
    let size = 0x2c;
    assert_eq!(good[size..size + 4], (pdb().len() as u32).to_le_bytes());
    let mut long = good.clone();
    long[size..size + 4].copy_from_slice(&(pdb().len() as u32 + 1).to_le_bytes());
    says(&long, "cannot unpack it");
    long[size..size + 4].copy_from_slice(&0x7fff_0000u32.to_le_bytes());
    says(&long, "more than 536870912 bytes");
}

fn made_for_another() -> Vec<u8> {
    let guid = [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
    let mut pdb = pdb();
    let at = pdb.windows(16).position(|bytes| bytes == guid).unwrap();
    pdb[at] ^= 1;
    pdb
}

/// Whatever byte is damaged: the right symbols, or an error.
#[test]
fn damage_never_gives_other_symbols() {
    let packs = [
        cabinet(CompressionType::MsZip, &[("ntkrnlmp.pdb", &pdb())]),
        archive(&[(&format!("ntkrnlmp.pdb/{GUID}-3.json"), &json(GUID))]),
    ];
    for good in packs {
        let folder = folder(&[]);
        let file = folder.path().join("pack");
        fs::write(&file, &good).unwrap();
        let right = load(&file, Some(&needed()), &wanted()).unwrap().global("Head").unwrap();
        let mut refused = 0;
        for at in 0..good.len() {
            for flip in [1, 0x80] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                fs::write(&file, &bad).unwrap();
                match load(&file, Some(&needed()), &wanted()) {
                    Ok(symbols) => assert_eq!(symbols.global("Head").ok(), Some(right), "byte {at:#x} ^ {flip:#x}"),
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused > good.len(), "{refused} of {}", 2 * good.len());
    }
}

#[test]
fn an_archive_is_a_folder_of_symbols() {
    let symbol_file = format!("{GUID}-3.json");
    let other = json(&GUID.replace("FF", "FE"));
    let packed = cabinet(CompressionType::MsZip, &[("ntkrnlmp.pdb", &pdb())]);
    let pdb = pdb();
    for (name, bytes, address) in [
        (format!("windows/ntkrnlmp.pdb/{symbol_file}"), json(GUID), 8192),
        (format!("symbols/windows/ntkrnlmp.pdb/{}", symbol_file.to_lowercase()), json(GUID), 8192),
        (format!(r"windows\ntkrnlmp.pdb\{symbol_file}"), json(GUID), 8192),
        (format!("../../{symbol_file}"), json(GUID), 8192),
        (symbol_file.clone(), json(GUID), 8192),
        (format!("Symbols/ntkrnlmp.pdb/{GUID}3/ntkrnlmp.pdb"), pdb.clone(), 0x1010),
        (format!("ntkrnlmp.pdb/{GUID}3/ntkrnlmp.pd_"), packed, 0x1010),
        ("evidence/NTKRNLMP.pdb".into(), pdb, 0x1010),
    ] {
        let others = [
            ("windows/ntkrnlmp.pdb/00000000000000000000000000000000-1.json", other.as_slice()),
            (&name, &bytes),
            ("other/ntkrnlmp.pdb", b"MZ"),
        ];
        let folder = folder(&[("windows.zip", &archive(&others))]);
        // In a folder, and named itself.
        for place in [folder.path().to_owned(), folder.path().join("windows.zip")] {
            let symbols = find(&place).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(symbols.global("Head").unwrap(), address, "{name}");
            assert_eq!(symbols.file, Some(folder.path().join("windows.zip")));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{name}: something was written");
    }
}

#[test]
fn an_archive_that_does_not_serve_is_named() {
    let name = format!("windows/ntkrnlmp.pdb/{GUID}-3.json");
    let says = |bytes: &[u8], words: &str| {
        let folder = folder(&[("windows.zip", bytes)]);
        let text = find(folder.path()).unwrap_err();
        let file = folder.path().join("windows.zip").display().to_string();
        assert!(text.contains(&file) && text.contains(words), "{words} is not in:\n{text}");
    };
    says(b"PK\x03\x04", ": ");
    says(&archive(&[("readme", b"hello")]), "the archive has no symbols of this kernel");
    says(&archive(&[(&name, &json(&GUID.replace("FF", "FE")))]), "wrong GUID");
    says(&archive(&[(&name, b"{}")]), &format!("{name}: missing field"));
    says(&archive(&[(&name, &archive(&[(&name, &json(GUID))]))]), "an archive in an archive");
    let good = archive(&[(&name, &json(GUID))]);
    says(&good[..good.len() - 30], ": ");
    // 70 MiB of blanks in 70 KiB.
    let bomb = archive(&[(&name, &vec![b' '; 70 << 20])]);
    assert!(bomb.len() < 1 << 20);
    says(&bomb, "more than 67108864 bytes");
    let unnamed = folder(&[("windows.zip", &good)]);
    let error = load(&unnamed.path().join("windows.zip"), None, &wanted()).unwrap_err();
    assert!(matches!(&error, SymbolError::File { reason, .. } if reason.contains("which of its symbols")), "{error}");
}

/// A directory of more entries than any pack has: what is read of it is bounded.
#[test]
fn an_archive_of_too_many_members_is_refused() {
    let mut entries = Vec::new();
    let name = [b'n'; 60_000];
    let count = 300u16;
    for _ in 0..count {
        entries.extend(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0");
        entries.extend([0; 12]);
        entries.extend((name.len() as u16).to_le_bytes());
        entries.extend([0; 16]);
        let at = entries.len();
        entries.extend(name);
        entries[at..at + 8].copy_from_slice(&(at as u64).to_le_bytes());
    }
    let mut bytes = b"PK\x03\x04".to_vec();
    bytes.extend(&entries);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    bytes.extend((entries.len() as u32).to_le_bytes());
    bytes.extend(4u32.to_le_bytes());
    bytes.extend([0, 0]);
    let folder = folder(&[("windows.zip", &bytes)]);
    let text = find(&folder.path().join("windows.zip")).unwrap_err();
    assert!(text.contains("it has more in it than an archive of symbols has"), "{text}");
}
