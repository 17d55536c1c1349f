//! PDBs made here byte by byte: what real ones rarely have, and what only an attacker would write.

use crate::bytes;
use crate::made::{GUID, Made};
use ntmem::PdbInfo;
use ntmem::symbols::{FieldInfo, SymbolError, Symbols, Wanted, pdb_file};
use std::path::Path;

fn load(made: &Made, types: &[&'static str], globals: &[&'static str]) -> Result<Symbols, SymbolError> {
    let wanted = Wanted { types: types.to_vec(), globals: globals.to_vec(), ..Wanted::default() };
    pdb_file::parse(&made.pdb(), Path::new("made.pdb"), None, &wanted)
}

const FORWARD: u16 = 0x80;

fn structure(properties: u16, fields: u32, size: u16, name: &str) -> Vec<u8> {
    bytes![0x1505u16, 0u16, properties, fields, 0u32, 0u32, size, name]
}

fn union(fields: u32, size: u16, name: &str) -> Vec<u8> {
    bytes![0x1506u16, 0u16, 0u16, fields, size, name]
}

fn list(members: &[Vec<u8>]) -> Vec<u8> {
    let mut list = bytes![0x1203u16];
    for member in members {
        list.extend_from_slice(member);
        while list.len() % 4 != 0 {
            list.push(0xf0 + (4 - list.len() % 4) as u8);
        }
    }
    list
}

fn member(kind: u32, offset: u16, name: &str) -> Vec<u8> {
    bytes![0x150du16, 3u16, kind, offset, name]
}

fn field(offset: u64, size: u64) -> FieldInfo {
    FieldInfo { offset, size, bits: None, structure: None }
}

#[test]
fn every_kind_of_field_has_its_place_and_size() {
    let types = vec![
        structure(FORWARD, 0, 0, "_IN"),                                  // 1000
        bytes![0x1001u16, 0x1000u32, 1u16],                               // 1001: const _IN
        bytes![0x1507u16, 0u16, FORWARD, 0u32, 0u32, "_KIND"],            // 1002
        bytes![0x1002u16, 0x1000u32, 0x0001_000cu32],                     // 1003: _IN *, 64 bits
        bytes![0x1002u16, 0x1000u32, 0x0000_000au32],                     // 1004: _IN *, 32 bits, size not given
        bytes![0x1503u16, 0x21u32, 0x23u32, 0x8004u16, 70_000u32, ""],    // 1005: unsigned short [35000]
        bytes![0x1205u16, 0x23u32, 5u8, 33u8],                            // 1006: bits 33 to 37
        list(&[member(0x12, 0, "LowPart"), member(0x603, 8, "Pointer")]), // 1007
        union(0x1007, 16, "__unnamed"),                                   // 1008
        list(&[member(0x22, 0, "Other")]),                                // 1009
        structure(0, 0x1009, 4, "__unnamed"),                             // 100a
        list(&[
            // 100b
            bytes![0x150eu16, 0u16, 0x74u32, "Static"],
            bytes![0x1510u16, 0u16, 0x1008u32, "Nested"],
            bytes![0x1511u16, 4u16 << 2, 0x74u32, 8u32, "OpensSlot"],
            member(0x1008, 96, "u1"),
            bytes![0x150du16, 3u16, 0x100au32, 0x8004u16, 0x0001_0000u32, "u2"],
        ]),
        list(&[
            // 100c
            member(0x1001, 0, "In"),
            member(0x1002, 8, "Kind"),
            member(0x1003, 16, "Pointer64"),
            member(0x1004, 24, "Pointer32"),
            member(0x1005, 32, "Array"),
            member(0x1006, 40, "Bits"),
            member(0x30, 48, "Boolean"),
            bytes![0x1404u16, 0u16, 0x100bu32],
        ]),
        structure(0, 0x100c, 0x7ff0, "_OUT"),                  // 100d
        structure(0, 0x1009, 6, "_IN"),                        // 100e
        bytes![0x1507u16, 0u16, 0u16, 0x73u32, 0u32, "_KIND"], // 100f: in 16 bits
        structure(0, 0x1009, 99, "_NOT_ASKED_FOR"),            // 1010
    ];
    let symbols = load(&Made { types, ..Made::default() }, &["_OUT"], &[]).unwrap();
    let of = |path| symbols.field("_OUT", path).unwrap();
    assert_eq!(of("In"), FieldInfo { structure: Some("_IN".into()), ..field(0, 6) });
    assert_eq!(of("In.Other"), field(0, 4));
    assert_eq!(of("Kind"), field(8, 2));
    assert_eq!(of("Pointer64"), field(16, 8));
    assert_eq!(of("Pointer32"), field(24, 4));
    assert_eq!(of("Array"), field(32, 70_000));
    assert_eq!(of("Bits"), FieldInfo { bits: Some((33, 5)), ..field(40, 8) });
    assert_eq!(of("Boolean"), field(48, 1));
    assert_eq!(of("u1.Pointer"), field(104, 8));
    assert_eq!(of("u2.Other"), field(0x10000, 4));
    assert_eq!(symbols.size_of("_OUT").unwrap(), 0x7ff0);
    // _OUT, _IN and the two without a name.
    assert_eq!(symbols.len(), (4, 0));
    assert!(matches!(symbols.field("_OUT", "Static"), Err(SymbolError::NoField { name }) if name == "_OUT.Static"));
    assert!(matches!(symbols.size_of("_NOT_ASKED_FOR"), Err(SymbolError::NoType { .. })));
}

#[test]
fn globals_are_distances_from_the_image_base() {
    let publics = vec![
        (1, 0x10, "First"),
        (2, 0x20, "Second"),
        (2, 0x30, "_Decorated"),
        (2, 0x40, "@Fast@8"),
        (9, 0, "NoSection"),
    ];
    let names = ["First", "Second", "Decorated", "Fast", "NoSection"];
    let plain = load(&Made { publics: publics.clone(), ..Made::default() }, &[], &names).unwrap();
    assert_eq!(plain.global("First").unwrap(), 0x1010);
    assert_eq!(plain.global("Second").unwrap(), 0x5020);
    assert_eq!(plain.global("Decorated").unwrap(), 0x5030);
    assert_eq!(plain.global("Fast").unwrap(), 0x5040);
    assert!(matches!(plain.global("NoSection"), Err(SymbolError::NoGlobal { name }) if name == "NoSection"));

    let moved = Some(vec![(0x1000, 0x9000), (0x5020, 0), (0x5030, 0x2000)]);
    let moved = load(&Made { publics, moved, ..Made::default() }, &[], &names).unwrap();
    assert_eq!(moved.global("First").unwrap(), 0x9010);
    assert!(moved.global("Second").is_err(), "what the linker dropped has no address");
    assert_eq!(moved.global("Decorated").unwrap(), 0x2000);
}

#[test]
fn only_the_needed_build_is_taken() {
    let pdb = Made::default().pdb();
    let load = |guid: &str, age| {
        let needed = PdbInfo { name: "ntkrnlmp.pdb".into(), guid: guid.into(), age };
        pdb_file::parse(&pdb, Path::new("made.pdb"), Some(&needed), &Wanted::default())
    };
    let found = load(GUID, 3).unwrap().pdb.unwrap();
    assert_eq!((found.guid.as_str(), found.age, found.name.as_str()), (GUID, 3, "ntkrnlmp.pdb"));
    assert!(load(&GUID.to_lowercase(), 3).is_ok());
    let error = load(&GUID.replace("FF", "FE"), 3).unwrap_err();
    assert!(matches!(&error, SymbolError::WrongId { found, .. } if found.guid == GUID), "{error}");
    // 7 is what the information stream says.
    assert!(matches!(load(GUID, 7), Err(SymbolError::WrongId { .. })));
}

/// The error of a PDB with these types, of which `_S` is wanted.
fn refused(types: Vec<Vec<u8>>) -> String {
    load(&Made { types, ..Made::default() }, &["_S"], &[]).unwrap_err().to_string()
}

#[test]
fn records_made_to_hurt_are_refused() {
    let target = structure(0, 0x1000, 8, "_S");
    // Lists within lists: 30,000 deep, if anybody followed.
    assert!(refused(vec![[0x03, 0x12].repeat(30_000), target.clone()]).contains("_S is damaged"));
    // A list of arguments that claims 16 GiB.
    assert!(refused(vec![bytes![0x1203u16, 0x1201u16, u32::MAX, 0u16], target.clone()]).contains("_S is damaged"));
    // A list that goes on in itself.
    assert!(refused(vec![list(&[bytes![0x1404u16, 0u16, 0x1000u32]]), target.clone()]).contains("_S is damaged"));
    // A list that is none, one that is not there, and one that ends in a name.
    assert!(refused(vec![bytes![0x1001u16, 0x74u32, 0u16], target.clone()]).contains("_S is damaged"));
    assert!(refused(vec![structure(0, 0x7fff_ffff, 8, "_S")]).contains("_S is damaged"));
    assert!(
        refused(vec![bytes![0x1203u16, 0x150du16, 0u16, 0x74u32, 0u16, vec![b'x']], target.clone()])
            .contains("damaged")
    );
    // A record that is longer than its stream.
    let mut types = vec![target.clone()];
    types.push(Vec::new());
    let mut pdb = Made { types, ..Made::default() }.pdb();
    let at = pdb.windows(3).position(|it| it == b"_S\0").unwrap() + 3;
    pdb[at] = 0xff;
    let error = pdb_file::parse(&pdb, Path::new("made.pdb"), None, &Wanted::default()).unwrap_err();
    assert!(error.to_string().contains("ends in the record"), "{error}");
}

#[test]
fn types_that_lead_in_circles_or_nowhere_have_no_size() {
    let types = vec![
        bytes![0x1001u16, 0x1001u32, 0u16],
        bytes![0x1001u16, 0x1000u32, 0u16],
        list(&[member(0x1000, 0, "Circle"), member(0x1003, 8, "Itself"), member(0x1005, 16, "Unnamed")]),
        structure(0, 0x1002, 16, "_S"),
        structure(0, 0x1002, 16, "__unnamed"),
        structure(FORWARD, 0, 0, "__unnamed"),
    ];
    let symbols = load(&Made { types, ..Made::default() }, &["_S"], &[]).unwrap();
    assert_eq!(symbols.field("_S", "Circle").unwrap(), field(0, 0));
    // Many types have no name: a declaration of one does not say which it declares.
    assert_eq!(symbols.field("_S", "Unnamed").unwrap(), field(16, 0));
    assert_eq!(symbols.field("_S", "Itself.Itself.Itself").unwrap().offset, 24);
}

#[test]
fn structures_that_share_a_list_do_not_multiply_it_without_end() {
    let names: Vec<&'static str> = (0..200).map(|number| &*format!("_S{number}").leak()).collect();
    let members: Vec<_> = (0..3000).map(|number| member(0x74, number, &format!("F{number}"))).collect();
    let mut types = vec![list(&members)];
    types.extend(names.iter().map(|name| structure(0, 0x1000, 8, name)));
    let made = Made { types, ..Made::default() };
    assert_eq!(load(&made, &names[..80], &[]).unwrap().len(), (80, 0));
    assert!(load(&made, &names, &[]).is_err());
}

#[test]
fn sizes_that_overflow_are_an_error() {
    let made = Made { modules: u32::MAX, publics: vec![(1, 0, "First")], ..Made::default() };
    let error = load(&made, &[], &["First"]).unwrap_err();
    assert!(matches!(error, SymbolError::File { .. }), "{error}");
    let made = Made { publics: vec![(2, u32::MAX, "First")], ..Made::default() };
    // An address past the end of the image, or an error: what counts is that there is an answer.
    let _ = load(&made, &[], &["First"]);
}
