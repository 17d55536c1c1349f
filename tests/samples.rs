//! The sample images against their truth files.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

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
    common::assert_agrees(name, &document, &truth);
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
