//! The sample images against their truth files.

use crate::common;
use crate::common::{has_source, number};
use ntmem::symbols::SymbolStore;
use ntmem::{MemoryImage, ReadOptions, Report, System};
use serde_json::Value;
use std::path::Path;

const SAMPLES: [&str; 4] = ["win7-7601-clean", "win10-19045-clean", "win11-26100-clean", "win10-19045-brontok-lojax"];

fn compare(name: &str, symbols: &Path, expected_source: &str, material: &Path) {
    let image = MemoryImage::from_bytes(common::sample(material, name)).unwrap();
    let truth = common::json(&material.join("samples").join(name).join("truth.json"));
    let store = SymbolStore::new().directory(symbols);
    let kernel = image.locate_kernel(&store).unwrap();
    let system = System::read(&kernel).unwrap();
    let document = serde_json::to_value(&system).unwrap();
    assert_eq!(document["kernel"]["symbols"], expected_source);
    common::assert_agrees(name, &document, &truth);
}

#[test]
fn processes_by_pdb() {
    let Some(material) = common::material("processes_by_pdb") else { return };
    for name in SAMPLES {
        compare(name, &material.join("symbols"), "pdb", &material);
    }
}

/// Every process of the truth is found, those included that are only in pool, and nothing else.
#[test]
fn processes_by_scan() {
    let Some(material) = common::material("processes_by_scan") else { return };
    for name in SAMPLES {
        let image = MemoryImage::from_bytes(common::sample(&material, name)).unwrap();
        let truth = common::json(&material.join("samples").join(name).join("truth.json"));
        let store = SymbolStore::new().directory(material.join("symbols"));
        let kernel = image.locate_kernel(&store).unwrap();
        let options = ReadOptions { scan: true, ..ReadOptions::default() };
        let system = System::read_with(&kernel, &options).unwrap();
        let document = serde_json::to_value(&system).unwrap();
        let items = document["processes"]["items"].as_array().unwrap();
        let all = truth["processes"].as_array().unwrap();
        assert_eq!(items.len(), all.len(), "{name}: number of processes");
        assert!(all.iter().any(|p| p["in_active_list"] == false), "{name}: nothing to find");
        for theirs in all {
            let who = format!("{name}: pid {} {}", theirs["pid"], theirs["name"]);
            let ours = items.iter().find(|p| number(&p["eprocess"]) == number(&theirs["eprocess"]));
            let ours = ours.unwrap_or_else(|| panic!("{who} is not found"));
            for field in ["pid", "ppid", "name", "created", "exited", "session", "user", "path", "threads", "wow64"] {
                assert_eq!(ours[field], theirs[field], "{who}: {field} ({})", ours["absent"]);
            }
            for field in ["physical", "dtb"] {
                assert_eq!(number(&ours[field]), number(&theirs[field]), "{who}: {field}");
            }
            for (source, fact) in [("active_list", "in_active_list"), ("cid_table", "in_cid_table")] {
                assert_eq!(has_source(ours, source), theirs[fact] == true, "{who}: {source}");
            }
            // Those threads are found whose links lie in the page that they begin in: here each process has one.
            let runs = theirs["threads"].as_u64() > Some(0);
            assert_eq!(has_source(ours, "thread_scan"), runs, "{who}: by its threads");
            assert!(has_source(ours, "pool_scan"), "{who}: {}", ours["sources"]);
        }
    }
}

/// A process taken off the active list, as rootkits do, is still in the other views; with its id gone too, a scan finds it.
#[test]
fn an_unlinked_process_is_found_elsewhere() {
    // 19045: EPROCESS.ActiveProcessLinks.
    const LINKS: u64 = 0x448;
    let Some(material) = common::material("an_unlinked_process_is_found_elsewhere") else { return };
    let name = "win10-19045-clean";
    let mut bytes = common::sample(&material, name);
    let truth = common::json(&material.join("samples").join(name).join("truth.json"));
    let all = truth["processes"].as_array().unwrap();
    let active: Vec<&Value> = all.iter().filter(|p| p["in_active_list"] == true).collect();
    let place = active.iter().position(|p| p["name"] == "smss.exe").unwrap();
    let [before, hidden, after] = [active[place - 1], active[place], active[place + 1]];
    let field = |process: &Value, field: &str| number(&process[field]).unwrap();
    let mut write = |at: u64, value: u64| {
        let at = usize::try_from(at).unwrap();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    };
    write(field(before, "physical") + LINKS, field(after, "eprocess") + LINKS);
    write(field(after, "physical") + LINKS + 8, field(before, "eprocess") + LINKS);
    let store = SymbolStore::new().directory(material.join("symbols"));
    let sources = |bytes: Vec<u8>, scan: bool| -> Option<Vec<ntmem::process::Source>> {
        let image = MemoryImage::from_bytes(bytes).unwrap();
        let kernel = image.locate_kernel(&store).unwrap();
        let system = System::read_with(&kernel, &ReadOptions { scan, ..ReadOptions::default() }).unwrap();
        assert!(!scan || system.processes.items.len() == all.len());
        let found =
            system.processes.items.iter().find(|p| p.eprocess.value().map(|at| at.0) == number(&hidden["eprocess"]));
        found.map(|process| process.sources.clone())
    };
    let views = |views: &[&str]| {
        Some(
            views
                .iter()
                .map(|view| ntmem::process::SOURCES.iter().find(|about| about.name == *view).unwrap().source)
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(sources(bytes.clone(), false), views(&["cid_table", "threads", "handles"]));
    // The entry of the table of ids, wherever it is: 8.1 on, the object's address shifted up by 16, and flags below.
    let address = field(hidden, "eprocess");
    let clear = |bytes: &mut [u8], is: &dyn Fn(u64) -> bool| {
        let words = bytes.chunks_exact_mut(8).filter(|word| is(u64::from_le_bytes((**word).try_into().unwrap())));
        assert!(words.map(|word| word.fill(0)).count() > 0);
    };
    clear(&mut bytes, &|word| word & !0xf_ffff == address << 16);
    assert_eq!(sources(bytes.clone(), false), views(&["threads", "handles"]));
    // The same of the handles to it, which lead to its header; then its threads do not name it any more.
    clear(&mut bytes, &|word| word & !0xf_ffff == (address - 0x30) << 16);
    assert_eq!(sources(bytes.clone(), false), views(&["threads"]));
    clear(&mut bytes, &|word| word == address);
    assert_eq!(sources(bytes.clone(), false), None);
    assert_eq!(sources(bytes, true), views(&["pool_scan", "root_scan"]), "its root is where it was");
}

/// On clean machines, and where the impostor does not hide, the cross view has nobody hidden, and those that are over as such.
#[test]
fn nobody_hides_on_the_samples() {
    let Some(material) = common::material("nobody_hides_on_the_samples") else { return };
    let store = SymbolStore::new().directory(material.join("symbols"));
    for name in SAMPLES {
        let image = MemoryImage::from_bytes(common::sample(&material, name)).unwrap();
        let truth = common::json(&material.join("samples").join(name).join("truth.json"));
        let kernel = image.locate_kernel(&store).unwrap();
        for scan in [false, true] {
            let system = System::read_with(&kernel, &ReadOptions { scan, ..ReadOptions::default() }).unwrap();
            let document = serde_json::to_value(Report::new(system)).unwrap();
            for seen in document["cross_view"].as_array().unwrap() {
                let all = truth["processes"].as_array().unwrap();
                let theirs = all.iter().find(|p| number(&p["eprocess"]) == number(&seen["eprocess"])).unwrap();
                let expected = match (theirs["exited"].is_null(), theirs["in_active_list"] == true) {
                    (true, _) => "listed",
                    (false, true) => "exited_referenced",
                    (false, false) => "exited",
                };
                assert_eq!(seen["explanation"], expected, "{name}: {seen}");
                assert_eq!(seen["hidden"], false, "{name}: {seen}");
            }
        }
    }
}

#[cfg(feature = "isf")]
#[test]
fn processes_by_isf() {
    let Some(material) = common::material("processes_by_isf") else { return };
    let Some(symbols) = common::symbol_files("processes_by_isf", &material) else { return };
    for name in SAMPLES {
        compare(name, &symbols, "isf", &material);
    }
}

/// Verdicts and outcomes that the samples' makers expect. An outcome that names no pid is the master's, or the machine's.
#[test]
fn verdicts() {
    let Some(material) = common::material("verdicts") else { return };
    let store = SymbolStore::new().directory(material.join("symbols"));
    for name in SAMPLES {
        let image = MemoryImage::from_bytes(common::sample(&material, name)).unwrap();
        let system = System::read(&image.locate_kernel(&store).unwrap()).unwrap();
        let findings = serde_json::to_value(ntmem::check_smss(&system)).unwrap();
        let expected = common::json(&material.join("samples").join(name).join("expected.json"));
        let outcomes = findings["outcomes"].as_array().unwrap();
        let clean = expected["verdict"] == "clean";
        for outcome in outcomes {
            let counts = outcome["outcome"] == "violation" && outcome["severity"] != "info";
            assert!(!(clean && counts), "{name}: {outcome}");
        }
        for wanted in expected["outcomes"].as_array().unwrap() {
            let of_id: Vec<&Value> = outcomes.iter().filter(|outcome| outcome["id"] == wanted["id"]).collect();
            let found = of_id.iter().any(|outcome| {
                outcome["outcome"] == wanted["outcome"] && (wanted["pid"].is_null() || outcome["pid"] == wanted["pid"])
            });
            assert!(found, "{name}: expected {wanted}, found {of_id:?}");
        }
        assert_eq!(findings["verdict"], expected["verdict"], "{name}");
    }
}
