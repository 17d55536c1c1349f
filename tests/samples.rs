//! The sample images against their truth files.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::number;
use ntmem::symbols::SymbolStore;
use ntmem::{MemoryImage, System};
use serde_json::Value;
use std::path::Path;

const SAMPLES: [&str; 4] = ["win7-7601-clean", "win10-19045-clean", "win11-26100-clean", "win10-19045-brontok-lojax"];

fn has_source(process: &Value, source: &str) -> bool {
    process["sources"].as_array().unwrap().iter().any(|s| s == source)
}

/// Addresses of the processes that a view holds, sorted.
fn by_source(document: &Value, source: &str) -> Vec<u64> {
    let items = document["processes"]["items"].as_array().unwrap();
    let mut held: Vec<u64> =
        items.iter().filter(|p| has_source(p, source)).map(|p| number(&p["eprocess"]).unwrap()).collect();
    held.sort_unstable();
    held
}

/// Addresses of the processes of which the truth says so, sorted.
fn by_fact(truth: &Value, fact: &str) -> Vec<u64> {
    let all = truth["processes"].as_array().unwrap();
    let mut held: Vec<u64> = all.iter().filter(|p| p[fact] == true).map(|p| number(&p["eprocess"]).unwrap()).collect();
    held.sort_unstable();
    held
}

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
    for (source, fact) in [("active_list", "in_active_list"), ("cid_table", "in_cid_table")] {
        assert_eq!(by_source(&document, source), by_fact(&truth, fact), "{name}: {source}");
    }
    let views = document["processes"]["views"].as_array().unwrap();
    let cid = views.iter().find(|view| view["source"] == "cid_table").unwrap();
    assert_eq!(cid["processes"], by_fact(&truth, "in_cid_table").len(), "{name}: processes in the table of ids");
    assert_eq!(cid["end"], "complete");
    let items = document["processes"]["items"].as_array().unwrap();
    let listed: Vec<&Value> = items.iter().filter(|p| has_source(p, "active_list")).collect();
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

#[test]
fn processes_by_isf() {
    let Some(material) = common::material("processes_by_isf") else { return };
    for name in SAMPLES {
        compare(name, &material.join("symbols/isf"), "isf", &material);
    }
}
