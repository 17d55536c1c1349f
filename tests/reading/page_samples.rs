//! The sample images of which much lies where no page table leads: behind VADs and prototype entries, in page files, in the
//! compressed store.

use crate::common;
use ntmem::symbols::SymbolStore;
use ntmem::{Findings, MemoryImage, Origin, PageFile, System, Verdict};
use serde_json::Value;
use std::path::Path;

const MAPPED: &str = "win10-17763-mapped-hives";
const IN_FILES: &str = "win10-19045-page-files";
const IN_STORE: &str = "win11-22000-compressed-store";
const SETUP_EXECUTE: &str = "win10-19045-compressed-setupexecute";
const ALL: [&str; 4] = [MAPPED, IN_FILES, IN_STORE, SETUP_EXECUTE];

fn unpacked(path: &Path) -> Vec<u8> {
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut decoder, &mut bytes).unwrap();
    bytes
}

/// The page files that belong to a sample, with their names and bytes.
fn page_files(material: &Path, name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = material.join("samples").join(name);
    let expected = common::json(&folder.join("expected.json"));
    let names = expected["pagefiles"].as_array().cloned().unwrap_or_default();
    let names = names.iter().map(|name| name.as_str().unwrap().to_owned());
    names.map(|name| (name.clone(), unpacked(&folder.join(format!("{name}.zst"))))).collect()
}

struct Read {
    system: System,
    findings: Findings,
}

fn read(bytes: Vec<u8>, store: &SymbolStore, files: &[(String, Vec<u8>)]) -> Read {
    let image = MemoryImage::from_bytes(bytes).unwrap();
    let files = files.iter().map(|(name, bytes)| PageFile::from_bytes(name.clone(), bytes.clone())).collect();
    let kernel = image.locate_kernel(store).unwrap().with_page_files(files);
    let system = System::read(&kernel).unwrap();
    let findings = ntmem::check_smss(&system);
    Read { system, findings }
}

fn assert_expected(material: &Path, name: &str, read: &Read) {
    let folder = material.join("samples").join(name);
    let expected = common::json(&folder.join("expected.json"));
    let findings = serde_json::to_value(&read.findings).unwrap();
    assert_eq!(findings["verdict"], expected["verdict"], "{name}");
    for wanted in expected["outcomes"].as_array().unwrap() {
        let outcomes = findings["outcomes"].as_array().unwrap().iter().filter(|outcome| outcome["id"] == wanted["id"]);
        let fits = |outcome: &&Value| {
            outcome["outcome"] == wanted["outcome"] && (wanted["pid"].is_null() || outcome["pid"] == wanted["pid"])
        };
        assert!(outcomes.clone().any(|outcome| fits(&outcome)), "{name}: {wanted}");
    }
    let document = serde_json::to_value(&read.system).unwrap();
    common::assert_agrees(name, &document, &common::json(&folder.join("truth.json")));
}

fn exact(test: &str, symbols: impl Fn(&Path) -> SymbolStore) {
    let Some(material) = common::material(test) else { return };
    for name in ALL {
        let files = page_files(&material, name);
        let read = read(common::sample(&material, name), &symbols(&material), &files);
        assert_expected(&material, name, &read);
    }
}

#[test]
fn exact_by_pdb() {
    exact("exact_by_pdb", |material| SymbolStore::new().directory(material.join("symbols/ntkrnlmp.pdb")));
}

#[cfg(feature = "isf")]
#[test]
fn exact_by_isf() {
    exact("exact_by_isf", |material| SymbolStore::new().directory(material.join("symbols/isf")));
}

#[test]
fn exact_without_symbols() {
    exact("exact_without_symbols", |_| SymbolStore::new());
}

fn reasons(read: &Read) -> String {
    let unknown = read.findings.outcomes.iter().filter(|outcome| outcome.outcome == ntmem::checks::Judgement::Unknown);
    unknown.filter_map(|outcome| outcome.reason.clone()).collect::<Vec<_>>().join("\n")
}

/// Without the file, or with another machine's, with a cut one: unknown, and the reason says which file would settle it.
#[test]
fn without_the_page_file_nothing_is_made_up() {
    let Some(material) = common::material("without_the_page_file_nothing_is_made_up") else { return };
    let store = SymbolStore::new().directory(material.join("symbols"));
    let image = common::sample(&material, IN_FILES);
    let own = page_files(&material, IN_FILES);
    let none = read(image.clone(), &store, &[]);
    assert_eq!(none.findings.verdict, Verdict::Inconclusive);
    assert!(reasons(&none).contains(
        r"page file 0 at 0x1a48000, which was not given [needs --pagefile FILE (page file 0, \??\C:\pagefile.sys)]"
    ));

    // Another machine's: every page is another's, under the right name.
    let mut foreign = own[0].1.clone();
    foreign.rotate_left(0x3000);
    let foreign = read(image.clone(), &store, &[("pagefile.sys".to_owned(), foreign)]);
    assert_eq!(foreign.findings.verdict, Verdict::Inconclusive);
    assert!(reasons(&foreign).contains("the one given is not this machine's"), "{}", reasons(&foreign));
    assert!(
        foreign.system.warnings.iter().any(|warning| warning.to_string().contains("not page file 0 of this machine"))
    );

    // A copy that was cut short has what it has.
    let mut cut = own[0].1.clone();
    cut.truncate(0x200_0000);
    let cut = read(image.clone(), &store, &[("pagefile.sys".to_owned(), cut)]);
    assert!(reasons(&cut).contains("the one given ends before that"), "{}", reasons(&cut));
}

/// What stands for a page file and is none, and an entry that names one that the machine lacks.
#[test]
fn page_files_that_are_none() {
    let Some(material) = common::material("page_files_that_are_none") else { return };
    let store = SymbolStore::new().directory(material.join("symbols"));
    let mut image = common::sample(&material, IN_FILES);
    let zeros = read(image.clone(), &store, &[("pagefile.sys".to_owned(), vec![0; 40 << 20])]);
    assert_eq!(zeros.findings.verdict, Verdict::Inconclusive);
    let warnings: Vec<String> = zeros.system.warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings.iter().any(|text| text.contains("nothing but zeros, the copy of the page file failed")),
        "{warnings:?}"
    );
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("pagefile.sys");
    std::fs::write(&empty, b"").unwrap();
    assert!(PageFile::open(&empty).unwrap_err().to_string().contains("empty"));

    // The entry of the master's PEB: bits 12 to 15 are the number.
    let truth = common::json(&material.join("samples").join(IN_FILES).join("truth.json"));
    let all = truth["processes"].as_array().unwrap();
    let master = all.iter().find(|process| process["name"] == "smss.exe" && process["ppid"] == 4).unwrap();
    let (mut table, peb) = (common::number(&master["dtb"]).unwrap(), common::number(&master["peb"]).unwrap());
    for shift in [39u64, 30, 21] {
        let at = (table + (peb >> shift & 511) * 8) as usize;
        table = u64::from_le_bytes(image[at..at + 8].try_into().unwrap()) & 0x000f_ffff_ffff_f000;
    }
    let at = (table + (peb >> 12 & 511) * 8) as usize;
    image[at + 1] = image[at + 1] & 0x0f | 0x90;
    let lacking = read(image, &store, &page_files(&material, IN_FILES));
    let reasons = reasons(&lacking);
    assert!(reasons.contains("in page file 9 at 0x1a48000, which the machine does not have"), "{reasons}");
    assert!(!reasons.contains("page file 9)"), "nothing can be given for it: {reasons}");
}

/// Which file is which is told by what is in it, whatever it is called.
#[test]
fn page_files_under_false_names() {
    let Some(material) = common::material("page_files_under_false_names") else { return };
    let store = SymbolStore::new().directory(material.join("symbols"));
    let own = page_files(&material, IN_FILES);
    let swapped = [("swapfile.sys".to_owned(), own[0].1.clone()), ("pagefile.sys".to_owned(), own[1].1.clone())];
    let read = read(common::sample(&material, IN_FILES), &store, &swapped);
    assert_expected(&material, IN_FILES, &read);
    let files = read.system.kernel.unwrap().page_files;
    let by_number: Vec<_> = files.iter().map(|file| (file.number, file.file.as_deref(), file.store)).collect();
    assert_eq!(by_number, [(0, Some("swapfile.sys"), false), (1, Some("pagefile.sys"), false), (2, None, true)]);
    assert!(files[0].checked > 0 && files[0].fit == files[0].checked);
}

/// Evidence says where its bytes are.
#[test]
fn evidence_says_where_it_came_from() {
    let Some(material) = common::material("evidence_says_where_it_came_from") else { return };
    let store = SymbolStore::new().directory(material.join("symbols"));
    let cases = [(IN_FILES, Origin::PageFile(0)), (IN_STORE, Origin::CompressedStore)];
    for (name, origin) in cases {
        let read = read(common::sample(&material, name), &store, &page_files(&material, name));
        let master = read.system.processes.items.iter().find(|process| {
            process.name.value().is_some_and(|name| name == "smss.exe") && process.ppid.value() == Some(&4)
        });
        let place = &master.unwrap().located["command_line"];
        assert_eq!((place.from, place.physical), (Some(origin), None), "{name}");
    }
}
