//! The sample images against their truth files.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::number;
use ntmem::symbols::SymbolStore;
use ntmem::{MemoryImage, System};
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
    for field in ["base", "dtb"] {
        assert_eq!(number(&document["kernel"][field]), number(&truth["kernel"][field]), "{name}: kernel {field}");
    }
    for field in ["build", "pdb", "lab"] {
        assert_eq!(document["kernel"][field], truth["kernel"][field], "{name}: kernel {field}");
    }
    assert_eq!(document["system"]["root"], truth["system_root"]);
    assert_eq!(document["system"]["boot"], truth["boot"]);
    assert_eq!(document["system"]["captured"], truth["captured"]);
    assert_eq!(document["processes"]["end"], "complete");
    let listed = document["processes"]["items"].as_array().unwrap();
    let expected: Vec<&Value> =
        truth["processes"].as_array().unwrap().iter().filter(|p| p["in_active_list"] == true).collect();
    assert_eq!(listed.len(), expected.len(), "{name}: number of processes");
    for (ours, theirs) in listed.iter().zip(expected) {
        let who = format!("{name}: pid {} {}", theirs["pid"], theirs["name"]);
        for field in [
            "pid",
            "ppid",
            "name",
            "created",
            "exited",
            "session",
            "user",
            "path",
            "wow64",
            "integrity",
            "threads",
            "base_priority",
        ] {
            assert_eq!(ours[field], theirs[field], "{who}: {field} ({})", ours["absent"]);
        }
        for field in ["eprocess", "physical", "dtb", "authentication_id", "token_session", "section_base", "protection"]
        {
            assert_eq!(number(&ours[field]), number(&theirs[field]), "{who}: {field}");
        }
        assert_eq!(ours["groups"], theirs["groups"], "{who}: groups");
        assert_eq!(number(&ours["token"]["address"]), number(&theirs["token"]), "{who}: token");
        assert_eq!(ours["critical"], theirs["critical"], "{who}: critical");
        if theirs["peb_readable"] == true {
            assert_eq!(number(&ours["peb"]), number(&theirs["peb"]), "{who}: peb");
            assert_eq!(number(&ours["image_base"]), number(&theirs["image_base"]), "{who}: image_base");
            for field in ["peb_path", "command_line", "modules"] {
                assert_eq!(ours[field], theirs[field], "{who}: {field} ({})", ours["absent"]);
            }
        } else {
            for field in ["peb_path", "command_line"] {
                assert!(ours[field].is_null(), "{who}: {field}");
            }
        }
    }
}

#[test]
fn processes_by_pdb() {
    let Some(material) = common::material("processes_by_pdb") else { return };
    for name in SAMPLES {
        compare(name, &material.join("symbols"), "pdb", &material);
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
