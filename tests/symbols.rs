//! The PDB and the symbol file of the same kernel, two makers' files, say the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ntmem::symbols::{Symbols, Wanted, isf, pdb_file};
use std::collections::HashSet;
use std::path::PathBuf;

/// The folder of test material, if there is one.
fn material() -> Option<PathBuf> {
    let folder = std::env::var_os("NTMEM_TEST_MATERIAL")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let found = folder.join("symbols").is_dir();
    if !found {
        eprintln!("skipped: there is no test material in {}", folder.display());
    }
    found.then_some(folder)
}

/// PDB and symbol file of the same kernel, and how many globals that everybody needs it has.
fn pairs() -> Vec<(PathBuf, PathBuf)> {
    let Some(folder) = material() else { return Vec::new() };
    let mut pairs = vec![(folder.join("real/xp_sp3_ntkrnlpa.pdb"), folder.join("real/xp_sp3_ntkrnlpa.json.xz"))];
    for guid in
        ["339E74133576439CBCDF7E0229DA3773", "606FF669409B00F7FC8C61A9C1670129", "00D01401874F8CC3F5F5DA237013C16A"]
    {
        pairs.push((
            folder.join(format!("symbols/ntkrnlmp.pdb/{guid}1/ntkrnlmp.pdb")),
            folder.join(format!("symbols/isf/ntkrnlmp.pdb/{guid}-1.json.xz")),
        ));
    }
    pairs
}

/// Every name that a symbol file has, read without this library.
fn everything(file: &PathBuf) -> Wanted {
    let mut json = Vec::new();
    let packed = std::fs::read(file).unwrap();
    std::io::Read::read_to_end(&mut lzma_rust2::XzReader::new(packed.as_slice(), true), &mut json).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let names = |of: &str| json[of].as_object().unwrap().keys().map(|name| &*name.clone().leak()).collect();
    Wanted { types: names("user_types"), globals: names("symbols") }
}

/// Compares one structure in both, and those that it embeds; they may be named differently where C gives no name.
fn same_structure(pdb: &Symbols, isf: &Symbols, names: (&str, &str), seen: &mut HashSet<String>) -> usize {
    if !seen.insert(names.0.to_owned()) {
        return 0;
    }
    let Some(left) = pdb.type_info(names.0) else { panic!("the PDB has no {names:?}") };
    let right = isf.type_info(names.1).unwrap();
    assert_eq!(left.size, right.size, "{names:?}");
    let mut fields: Vec<_> = left.fields.keys().collect();
    let mut expected: Vec<_> = right.fields.keys().collect();
    fields.sort();
    expected.sort();
    assert_eq!(fields, expected, "{names:?}");
    let mut count = fields.len();
    for (name, left) in &left.fields {
        let right = &right.fields[name];
        let place = (left.offset, left.size, left.bits);
        assert_eq!(place, (right.offset, right.size, right.bits), "{names:?}.{name}");
        match (&left.structure, &right.structure) {
            (Some(left), Some(right)) => {
                assert!(left == right || right.starts_with("__"), "{names:?}.{name}: {left} {right}");
                count += same_structure(pdb, isf, (left, right), seen);
            }
            (left, right) => assert_eq!(left, right, "{names:?}.{name}"),
        }
    }
    count
}

#[test]
fn pdb_and_symbol_file_of_a_kernel_say_the_same() {
    for (pdb, isf) in pairs() {
        let wanted = everything(&isf);
        let left = pdb_file::load(&pdb, None, &wanted).unwrap();
        let right = isf::load(&isf, None, &wanted).unwrap();
        let mut seen = HashSet::new();
        let mut fields = 0;
        let mut named = 0;
        for name in
            wanted.types.iter().filter(|name| !name.starts_with("__unnamed_") && !name.starts_with("__anonymous_"))
        {
            fields += same_structure(&left, &right, (name, name), &mut seen);
            named += 1;
        }
        // Names that no C compiler makes: import thunks start with a byte 0x7f, constants (`__real@3f800000`), import
        // pointers and marks of precompiled headers have an `@` inside. Volatility cuts them down in ways of its own.
        let artificial = |name: &str| {
            name.ends_with("_NULL_THUNK_DATA")
                || matches!(name, "_real" | "_xmm")
                || (name.contains('@') && !name.starts_with('?'))
        };
        let mut globals = 0;
        for name in wanted.globals.iter().filter(|name| !artificial(name)) {
            assert_eq!(left.global(name).ok(), right.global(name).ok(), "{}: {name}", pdb.display());
            globals += 1;
        }
        eprintln!("{}: {named} structures, {fields} fields, {globals} globals", pdb.display());
        assert!(named > 400 && fields > 4000 && globals > 50);
    }
}
