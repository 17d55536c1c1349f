//! The committed samples are what the forge writes.

use ntmem_forge::SymbolPlan;
use ntmem_forge::samples::samples;
use std::fs;
use std::path::Path;

#[test]
fn committed_samples_are_current() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples");
    let table = fs::read_to_string(dir.join("symbols/globals.txt")).expect("a table of symbols");
    for (name, scenario) in samples(&SymbolPlan::from_text(&table)) {
        let committed = fs::read(dir.join(format!("{name}.raw"))).expect("a sample");
        assert!(committed.len() <= 6 << 20);
        assert!(scenario.forge().image == committed, "{name}.raw is old: run testdata/samples/make.sh");
    }
}

#[test]
fn the_pdb_has_the_id_of_the_table() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/symbols");
    let symbols = SymbolPlan::from_text(&fs::read_to_string(dir.join("globals.txt")).expect("a table of symbols"));
    let pdb = dir.join(format!("ntkrnlmp.pdb/{}{:X}/ntkrnlmp.pdb", symbols.guid, symbols.age));
    let bytes = fs::read(pdb).expect("a PDB where symbol stores look");
    assert!(bytes.starts_with(b"Microsoft C/C++ MSF 7.00"));
    // Its info stream holds the GUID as in memory.
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let guid: Vec<u8> =
        order.iter().map(|n| u8::from_str_radix(&symbols.guid[n * 2..n * 2 + 2], 16).expect("hex digits")).collect();
    assert!(bytes.windows(16).any(|w| w == guid));
}
