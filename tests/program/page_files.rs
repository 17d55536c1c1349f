//! What the program says of pages in page files: which files the machine has, and which of them a hole in a copy would take.

use ntmem_forge::{Behind, Build, Forged, Scenario, Tampered, TruthPlace};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ntmem")).env_remove("_NT_SYMBOL_PATH").args(arguments).output().unwrap()
}

/// Writes the image of a machine, and its kernel's symbols.
fn write(forged: &Forged, folder: &Path) -> (String, String) {
    let (image, symbols) = (folder.join("image.raw"), folder.join("symbols"));
    std::fs::write(&image, &forged.image).unwrap();
    std::fs::create_dir(&symbols).unwrap();
    let name = format!("{}-{}.json", forged.truth.guid, forged.truth.age);
    std::fs::write(symbols.join(name), &forged.isf).unwrap();
    (image.to_str().unwrap().to_owned(), symbols.to_str().unwrap().to_owned())
}

fn number(of: &Value) -> u64 {
    u64::from_str_radix(&of.as_str().unwrap()[2..], 16).unwrap()
}

/// Who wants to copy the page files need not wait for a page that is in one.
#[test]
fn the_page_files_of_a_machine() {
    let forged = Scenario::clean(Build::W10_19045).with_paging().forge();
    let folder = tempfile::tempdir().unwrap();
    let (image, symbols) = write(&forged, folder.path());
    for symbols in [&["--symbols", symbols.as_str()][..], &[]] {
        let said = run(&[&["info", image.as_str(), "--width", "120"], symbols].concat());
        let said = String::from_utf8(said.stdout).unwrap();
        for path in
            [r"0: \??\C:\pagefile.sys, which was not given", r"1: \??\C:\swapfile.sys", "2: the compressed store"]
        {
            assert!(said.contains(path), "{path}: {said}");
        }
    }
}

/// A hole has pages of one kind: whoever looks for its bytes knows which file has all of them.
#[test]
fn holes_of_one_kind() {
    let scenario = Scenario::clean(Build::W10_19045).tampered(Tampered::SmssHeaders).behind(Behind::PageFile);
    let forged = scenario.forge();
    let folder = tempfile::tempdir().unwrap();
    let (image, symbols) = write(&forged, folder.path());
    let place = folder.path().join("case");
    let done = run(&["dump", "348", &image, "--symbols", &symbols, "--all", "--output", place.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let manifest: Value = serde_json::from_slice(&std::fs::read(place.join("manifest.json")).unwrap()).unwrap();
    let holes = manifest["files"].as_array().unwrap().iter().flat_map(|file| file["holes"].as_array().unwrap());
    let holes: Vec<&Value> = holes.collect();
    let in_page_file = |at: u64| {
        forged.truth.pages.iter().any(|page| {
            page.pid == Some(348) && page.address == at && matches!(page.place, TruthPlace::PageFile { number: 0, .. })
        })
    };
    let mut seen = 0;
    for hole in &holes {
        let is_of_page_file = hole["kind"] == "page_file";
        for page in (number(&hole["start"])..number(&hole["end"])).step_by(4096) {
            assert_eq!(in_page_file(page), is_of_page_file, "{page:#x} in {hole}");
            seen += usize::from(is_of_page_file);
        }
        let remedy = hole["remedy"].as_str().unwrap_or_default();
        assert_eq!(remedy.contains(r"page file 0, \??\C:\pagefile.sys"), is_of_page_file, "{hole}");
    }
    let expected = forged.truth.pages.iter().filter(|page| page.pid == Some(348) && in_page_file(page.address)).count();
    assert!(seen == expected && seen > 2, "{seen} of {expected}");
    // The header page is in the page file, and what is behind it only in the file of the image.
    assert!(holes.iter().any(|hole| hole["kind"] == "file_only"), "{holes:#?}");
}
