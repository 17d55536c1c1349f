//! Structures that are said to be the same in every x64 Windows, held against symbol files.

use crate::common;
use ntmem::symbols::{Wanted, fixed, fixed_names, load};
use std::path::PathBuf;

/// Of which the beginning alone is the same.
const BEGINNINGS: [&str; 1] = ["_KUSER_SHARED_DATA"];

#[test]
fn fixed_forms_are_those_of_symbol_files() {
    let Some(material) = common::material("fixed_forms_are_those_of_symbol_files") else { return };
    let listed = |folder: &str| std::fs::read_dir(material.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = listed("symbols/kernels").collect();
    files.sort();
    // Each takes a tenth of a second.
    let mut files: Vec<PathBuf> = files.into_iter().step_by(12).collect();
    files.extend(listed("symbols/ntkrnlmp.pdb").map(|folder| folder.join("ntkrnlmp.pdb")));
    let names: Vec<&str> = fixed_names().collect();
    let wanted = Wanted { types: names.clone(), ..Wanted::default() };
    let mut seen = vec![0; names.len()];
    for file in files {
        let symbols = load(&file, None, &wanted).unwrap();
        for (name, seen) in names.iter().zip(&mut seen) {
            let Some(real) = symbols.type_info(name) else { continue };
            let known = fixed(name).unwrap();
            let known = known.type_info(name).unwrap();
            if BEGINNINGS.contains(name) {
                assert!(known.size < real.size, "{name} in {}", file.display());
            } else {
                assert_eq!(known.size, real.size, "{name} in {}", file.display());
            }
            for (field, form) in &known.fields {
                let Some(of) = real.fields.get(field) else { panic!("{name}.{field} in {}", file.display()) };
                assert_eq!((form.offset, form.bits), (of.offset, of.bits), "{name}.{field} in {}", file.display());
                assert!(of.size == 0 || of.size == form.size, "{name}.{field}: {} in {}", of.size, file.display());
            }
            *seen += 1;
        }
    }
    assert!(seen.iter().all(|seen| *seen > 0), "{names:?} were seen {seen:?} times");
}
