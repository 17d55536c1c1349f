//! The PDB and the symbol file of the same kernel, two makers' files, say the same.

use crate::common;
use ntmem::PdbInfo;
use ntmem::symbols::{SymbolError, SymbolStore, Symbols, Wanted, isf, pdb_file};
use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// GUID, PDB and symbol file, of four kernels. The age is always 1.
fn pairs() -> Vec<(&'static str, PathBuf, PathBuf)> {
    let Some(folder) = common::material("symbols") else { return Vec::new() };
    let mut pairs = vec![(
        "30B5FB31AE7E4ACAABA750AA241FF331",
        folder.join("real/xp_sp3_ntkrnlpa.pdb"),
        folder.join("real/xp_sp3_ntkrnlpa.json.xz"),
    )];
    for guid in
        ["339E74133576439CBCDF7E0229DA3773", "606FF669409B00F7FC8C61A9C1670129", "00D01401874F8CC3F5F5DA237013C16A"]
    {
        pairs.push((
            guid,
            folder.join(format!("symbols/ntkrnlmp.pdb/{guid}1/ntkrnlmp.pdb")),
            folder.join(format!("symbols/isf/ntkrnlmp.pdb/{guid}-1.json.xz")),
        ));
    }
    pairs.retain(|(guid, pdb, isf)| {
        let there = pdb.is_file() && isf.is_file();
        if !there {
            common::skipped::note(
                "symbols",
                &format!("there are no PDB and symbol file of {guid} in the extra test material"),
            );
        }
        there
    });
    pairs
}

fn unpacked(file: &Path) -> Vec<u8> {
    let mut json = Vec::new();
    let packed = std::fs::read(file).unwrap();
    lzma_rust2::XzReader::new(packed.as_slice(), true).read_to_end(&mut json).unwrap();
    json
}

/// Every name that a symbol file has, read without this library.
fn everything(file: &Path) -> Wanted {
    let json: serde_json::Value = serde_json::from_slice(&unpacked(file)).unwrap();
    let names = |of: &str| json[of].as_object().unwrap().keys().map(|name| &*name.clone().leak()).collect();
    Wanted { types: names("user_types"), globals: names("symbols"), ..Wanted::default() }
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
    for (guid, pdb, isf) in pairs() {
        let needed = Some(PdbInfo { name: "ntkrnlmp.pdb".into(), guid: guid.into(), age: 1 });
        let wanted = everything(&isf);
        let left = pdb_file::load(&pdb, needed.as_ref(), &wanted).unwrap();
        let right = isf::load(&isf, needed.as_ref(), &wanted).unwrap();
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

#[test]
fn symbol_files_of_many_builds_load_under_the_name_of_their_build() {
    let Some(folder) = common::material("symbols") else { return };
    let wanted = Wanted { types: vec!["_EPROCESS"], globals: vec!["PsActiveProcessHead"], ..Wanted::default() };
    let mut files: Vec<_> =
        std::fs::read_dir(folder.join("symbols/kernels")).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    for file in files.iter().step_by(7) {
        let (guid, age) =
            file.file_name().unwrap().to_str().unwrap().trim_end_matches(".json.xz").split_once('-').unwrap();
        let needed = PdbInfo { name: "ntkrnlmp.pdb".into(), guid: guid.into(), age: age.parse().unwrap() };
        let symbols = SymbolStore::new().directory(folder.join("symbols/kernels")).find(&needed, &wanted).unwrap();
        assert_eq!(symbols.field("_EPROCESS", "ActiveProcessLinks").unwrap().size, 16);
        assert_eq!(symbols.field("_EPROCESS", "Pcb.DirectoryTableBase").unwrap().offset, 0x28);
        assert!(symbols.global("PsActiveProcessHead").is_ok());
    }
}

#[test]
fn globals_lie_as_far_apart_as_a_dump_of_the_kernel_says() {
    let Some(folder) = common::material("symbols") else { return };
    let dump = std::fs::read(folder.join("real/triage_x64.dmp")).unwrap();
    // DUMP_HEADER64 has PsLoadedModuleList, PsActiveProcessHead and KdDebuggerDataBlock at these offsets.
    let header = [("PsLoadedModuleList", 0x20), ("PsActiveProcessHead", 0x28), ("KdDebuggerDataBlock", 0x80)]
        .map(|(name, at)| (name, u64::from_le_bytes(dump[at..at + 8].try_into().unwrap())));
    let wanted = Wanted { types: vec![], globals: header.map(|it| it.0).to_vec(), ..Wanted::default() };
    let file = folder.join("real/5278AFF86C341677D7D7835C85B7B844-1.json.xz");
    let symbols = isf::load(&file, None, &wanted).unwrap();
    let bases = header.map(|(name, address)| address - symbols.global(name).unwrap());
    assert!(bases[0] == bases[1] && bases[1] == bases[2] && bases[0] % 0x1000 == 0, "{bases:x?}");
}

/// A generator of the same numbers in every run (splitmix64).
fn numbers(seed: u64) -> impl FnMut() -> usize {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = state;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from(it >> 33).unwrap()
    }
}

#[test]
fn damaged_files_are_errors_or_other_numbers_but_no_panic() {
    for (_, pdb, isf) in pairs().into_iter().take(2) {
        let wanted = everything(&isf);
        let inputs = [std::fs::read(&pdb).unwrap(), std::fs::read(&isf).unwrap(), unpacked(&isf)];
        for (kind, intact) in inputs.into_iter().enumerate() {
            let mut next = numbers(1);
            let mut refused = 0;
            for attempt in 0..60 {
                let mut bytes = intact.clone();
                // The head of a file says where everything is, so it is damaged more often.
                for _ in 0..=attempt % 8 {
                    let range = if attempt % 3 == 0 { 4096 } else { bytes.len() };
                    let at = next() % range;
                    bytes[at] = next().to_le_bytes()[0];
                }
                if attempt % 5 == 0 {
                    bytes.truncate(next() % bytes.len());
                }
                let read = match kind {
                    0 => pdb_file::parse(&bytes, &pdb, None, &wanted),
                    _ => isf::parse(&bytes, &isf, None, &wanted),
                };
                match read {
                    Err(SymbolError::File { reason, .. }) => {
                        refused += 1;
                        // What only the last resort against panics catches is a surprise.
                        assert_ne!(reason, "the file is damaged", "attempt {attempt}");
                    }
                    Err(other) => panic!("attempt {attempt}: {other}"),
                    Ok(_) => (),
                }
            }
            // Every truncated one, at least.
            assert!(refused >= 12, "{refused}");
        }
    }
}
