//! Symbol files written by hand, and how they are found.

use crate::made::{GUID, Made};
use ntmem::PdbInfo;
use ntmem::symbols::{FieldInfo, SymbolError, SymbolSource, SymbolStore, Symbols, Wanted, isf};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn needed() -> PdbInfo {
    PdbInfo { name: "ntkrnlmp.pdb".into(), guid: GUID.into(), age: 3 }
}

fn wanted() -> Wanted {
    Wanted { types: vec!["_OUT"], globals: vec!["Head", "Text"], ..Wanted::default() }
}

/// The members are in no good order, and there are some that nobody asked for.
fn document(guid: &str, age: u32) -> String {
    r#"{ "symbols": { "Head": { "address": 4096 }, "Other": { "address": 1, "extra": [[{}]] },
           "Text": { "type": { "kind": "base", "name": "char" }, "address": 8192, "constant_data": "aGVsbG8=" } },
         "user_types": {
           "_OUT": { "kind": "struct", "size": 64, "fields": {
             "Number": { "offset": 0, "type": { "kind": "base", "name": "long" } },
             "Kind": { "offset": 4, "type": { "kind": "enum", "name": "_KIND" } },
             "Next": { "offset": 8, "type": { "kind": "pointer", "subtype": { "kind": "struct", "name": "_FAR" } } },
             "Narrow": { "offset": 16, "type": { "kind": "pointer", "base": "pointer32", "subtype": { "kind": "base", "name": "void" } } },
             "Flag": { "offset": 20, "type": { "kind": "bitfield", "bit_position": 3, "bit_length": 2, "type": { "kind": "base", "name": "long" } } },
             "u": { "offset": 24, "type": { "kind": "union", "name": "__unnamed_1" } },
             "Grid": { "offset": 32, "type": { "kind": "array", "count": 2, "subtype": { "kind": "array", "count": 3, "subtype": { "kind": "union", "name": "__unnamed_1" } } } } } },
           "__unnamed_1": { "kind": "union", "size": 8, "fields": { "Low": { "offset": 4, "type": { "kind": "base", "name": "long" } } } },
           "_FAR": { "kind": "struct", "size": 1, "fields": {} } },
         "novelty": 1,
         "enums": { "_KIND": { "base": "long", "constants": { "A": 0 }, "size": 2 } },
         "base_types": { "long": { "size": 4, "kind": "int", "signed": true, "endian": "little" }, "pointer": { "size": 8 }, "pointer32": { "size": 4 } },
         "metadata": { "format": "6.1.0", "windows": { "pdb": { "GUID": "_GUID_", "age": _AGE_, "database": "ntkrnlmp.pdb", "machine_type": 34404 } } } }"#
        .replace("_GUID_", guid)
        .replace("_AGE_", &age.to_string())
}

fn parse(json: &str) -> Result<Symbols, SymbolError> {
    isf::parse(json.as_bytes(), Path::new("hand.json"), Some(&needed()), &wanted())
}

#[test]
fn a_symbol_file_says_where_fields_and_globals_are() {
    let symbols = parse(&document(GUID, 3)).unwrap();
    let of = |path| symbols.field("_OUT", path).unwrap();
    let plain = |offset, size| FieldInfo { offset, size, bits: None, structure: None };
    assert_eq!(of("Number"), plain(0, 4));
    assert_eq!(of("Kind"), plain(4, 2));
    assert_eq!(of("Next"), plain(8, 8));
    assert_eq!(of("Narrow"), plain(16, 4));
    assert_eq!(of("Flag"), FieldInfo { bits: Some((3, 2)), ..plain(20, 4) });
    assert_eq!(of("u").structure.as_deref(), Some("__unnamed_1"));
    assert_eq!(of("u.Low"), plain(28, 4));
    assert_eq!(of("Grid"), plain(32, 48));
    assert_eq!((symbols.global("Head").unwrap(), symbols.global("Text").unwrap()), (4096, 8192));
    // What is only pointed to does not come along.
    assert_eq!((symbols.len(), symbols.source), ((2, 2), SymbolSource::Isf));
}

#[test]
fn symbol_files_of_other_builds_or_other_systems_are_refused() {
    assert!(matches!(parse(&document(&GUID.replace("FF", "FE"), 3)), Err(SymbolError::WrongId { .. })));
    assert!(matches!(parse(&document(GUID, 1)), Err(SymbolError::WrongId { .. })));
    assert!(parse(&document(&GUID.to_lowercase(), 3)).is_ok());
    let text = |json: &str| parse(json).unwrap_err().to_string();
    assert!(text(&document(GUID, 3).replace("\"windows\"", "\"linux\"")).contains("metadata.windows.pdb"));
    assert!(text(&document(GUID, 3).replace("\"base_types\"", "\"bases\"")).contains("base_types"));
    let deep = format!(
        r#"{}{{ "kind": "base", "name": "long" }}{}"#,
        r#"{ "kind": "array", "subtype": "#.repeat(10_000),
        "}".repeat(10_000)
    );
    let deep = document(GUID, 3).replacen(r#"{ "kind": "base", "name": "long" } },"#, &format!("{deep} }},"), 1);
    assert!(text(&deep).contains("recursion limit"), "{}", text(&deep));
}

/// A folder with these files in it.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
    folder
}

fn found_in(folder: &TempDir) -> Result<PathBuf, String> {
    let store = SymbolStore::new().directory(folder.path());
    let found = store.find(&needed(), &wanted()).map_err(|error| error.to_string())?;
    assert_eq!(found.pdb, Some(needed()));
    // A file system that does not tell cases apart gives the name as it was asked for.
    Ok(found.file.unwrap().strip_prefix(folder.path()).unwrap().to_str().unwrap().to_lowercase().into())
}

#[test]
fn every_layout_of_folders_is_known() {
    let pdb = Made::default().pdb();
    let json = document(GUID, 3).into_bytes();
    for file in [
        format!("ntkrnlmp.pdb/{GUID}3/ntkrnlmp.pdb"),
        format!("ntkrnlmp.pdb/{}3/NtKrnlMp.PDB", GUID.to_lowercase()),
        format!("{GUID}3/ntkrnlmp.pdb"),
        "ntkrnlmp.pdb".into(),
        "NTKRNLMP.pdb".into(),
        "nt-10.0.19041.pdb".into(),
    ] {
        let folder = folder(&[(&file, &pdb)]);
        assert_eq!(found_in(&folder), Ok(file.to_lowercase().into()));
    }
    let two_tiers = format!("nt/ntkrnlmp.pdb/{GUID}3/ntkrnlmp.pdb");
    assert_eq!(found_in(&folder(&[(&two_tiers, &pdb), ("index2.txt", b"")])), Ok(two_tiers.to_lowercase().into()));
    assert!(found_in(&folder(&[(&two_tiers, &pdb)])).is_err(), "one tier, then");
    for file in [
        format!("{GUID}-3.json"),
        format!("ntkrnlmp.pdb/{GUID}-3.json"),
        format!("windows/ntkrnlmp.pdb/{}-3.json", GUID.to_lowercase()),
    ] {
        let folder = folder(&[(&file, &json)]);
        assert_eq!(found_in(&folder), Ok(file.to_lowercase().into()));
    }
}

#[test]
fn a_pdb_goes_before_a_symbol_file_and_an_earlier_folder_before_a_later() {
    let pdb = Made::default().pdb();
    let json = document(GUID, 3).into_bytes();
    let symbol_file = format!("{GUID}-3.json");
    let both = folder(&[("ntkrnlmp.pdb", &pdb), (&symbol_file, &json)]);
    assert_eq!(found_in(&both), Ok("ntkrnlmp.pdb".into()));
    let one = folder(&[(&symbol_file, &json)]);
    let store = SymbolStore::new().directory(one.path()).directory(both.path());
    assert_eq!(store.find(&needed(), &wanted()).unwrap().source, SymbolSource::Isf);
}

#[test]
fn a_wrong_or_broken_file_does_not_end_the_search() {
    let pdb = Made::default().pdb();
    let other = document(&GUID.replace("FF", "FE"), 3).into_bytes();
    let place = format!("{GUID}3/ntkrnlmp.pdb");
    let symbol_file = format!("{GUID}-3.json");
    let broken = folder(&[(&place, &pdb[..2000]), ("ntkrnlmp.pdb", &other), (&symbol_file, b"{}")]);
    let good = folder(&[("kernel.pdb", &pdb)]);
    let store = SymbolStore::new().directory(broken.path());
    let text = store.find(&needed(), &wanted()).unwrap_err().to_string();
    assert!(text.contains(&format!("{}: ", broken.path().join(&place).display())), "{text}");
    assert!(text.contains("wrong GUID: 00112233445566778899AABBCCDDEEFE, age 3"), "{text}");
    assert!(text.contains("missing field `metadata`"), "{text}");
    assert!(store.directory(good.path()).find(&needed(), &wanted()).is_ok());
}

#[test]
fn what_is_missing_is_told_with_all_that_is_needed_to_get_it() {
    let packed = format!("ntkrnlmp.pdb/{GUID}1F/ntkrnlmp.pd_");
    let folder = folder(&[(&packed, b"MSCF")]);
    let needed = PdbInfo { name: r"d:\build\ntkrnlmp.pdb".into(), age: 0x1f, ..needed() };
    let store = SymbolStore::new().directory(folder.path()).nt_symbol_path(
        r"srv*/nowhere/symbols*https://example.org/symbols;symsrv*symsrv.dll*\\host\share;cache*;/nowhere/else",
    );
    #[cfg(feature = "symbol-server")]
    let store = store.offline();
    let error = store.find(&needed, &wanted()).unwrap_err();
    let SymbolError::Missing { tried, .. } = &error else { panic!("{error}") };
    let text = error.to_string();
    for part in [
        "ntkrnlmp.pdb, GUID 00112233445566778899AABBCCDDEEFF, age 31",
        &format!("https://msdl.microsoft.com/download/symbols/ntkrnlmp.pdb/{GUID}1F/ntkrnlmp.pdb"),
        &format!("DIR/ntkrnlmp.pdb/{GUID}1F/ntkrnlmp.pdb"),
        &format!("DIR/{GUID}-31.json.xz"),
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    let has = |place: &str, what: &str| tried.iter().any(|it| it.contains(place) && it.contains(what));
    let packed = if cfg!(feature = "compressed-symbols") { "cannot unpack it" } else { "compressed: expand it first" };
    assert!(has("ntkrnlmp.pd_", packed), "{text}");
    assert!(has("https://example.org/symbols", "not asked"), "{text}");
    assert!(has(r"\\host\share", "not asked"), "{text}");
    assert!(has("/nowhere/symbols", ": ") && has("/nowhere/else", ": "), "{text}");
    assert!(has(&folder.path().join("ntkrnlmp.pdb").display().to_string(), "no such file"), "{text}");
    assert!(has(&format!("{GUID}-31.json.xz"), "no such file"), "{text}");
}

#[test]
fn a_file_that_was_named_is_spoken_of_plainly() {
    let folder =
        folder(&[("a.pdb", &Made::default().pdb()), ("b.json", document(GUID, 1).as_bytes()), ("c.pdb", b"MZ")]);
    let find = |name: &str| SymbolStore::new().file(folder.path().join(name)).find(&needed(), &wanted());
    assert!(find("a.pdb").is_ok());
    assert!(matches!(find("b.json"), Err(SymbolError::WrongId { found, .. }) if found.age == 1));
    assert!(matches!(find("c.pdb"), Err(SymbolError::File { reason, .. }) if reason.contains("neither a PDB nor")));
    assert!(matches!(find("d.pdb"), Err(SymbolError::Missing { .. })));
}

#[test]
fn names_out_of_an_image_do_not_lead_out_of_the_folder() {
    let outside = document("../X", 3);
    let folder =
        folder(&[("secret.pdb", &Made::default().pdb()), ("X-3.json", outside.as_bytes()), ("symbols/readme", b"")]);
    let store = SymbolStore::new().directory(folder.path().join("symbols"));
    for name in ["../secret.pdb", r"..\secret.pdb", "..", ""] {
        assert!(store.find(&PdbInfo { name: name.into(), ..needed() }, &wanted()).is_err(), "{name}");
    }
    assert!(store.find(&PdbInfo { guid: "../X".into(), ..needed() }, &wanted()).is_err());
}
