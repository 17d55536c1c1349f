//! What several tests share: the extra material, which not everybody has.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

pub mod counted;
#[cfg(feature = "isf")]
pub mod edited;
#[cfg(feature = "isf")]
pub mod forged;
#[cfg(feature = "isf")]
pub mod judged;
pub mod kernels;
pub mod registry;
pub mod skipped;

use std::path::{Path, PathBuf};

/// The folder with sample images, symbols and listings: `NTMEM_TEST_MATERIAL`, or `../shared` beside the checkout. `None`:
/// it is not there, and the test is noted as skipped.
pub fn material(test: &str) -> Option<PathBuf> {
    skipped::begin();
    let folder = std::env::var_os("NTMEM_TEST_MATERIAL")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    if folder.join("samples").is_dir() {
        return Some(folder);
    }
    skipped::note(test, "the extra test material is not here (set NTMEM_TEST_MATERIAL to its folder)");
    None
}

/// The folder with the Volatility 3 symbol files of the sample images. `None`: they are not there, and
/// the test is noted as skipped.
pub fn symbol_files(test: &str, material: &Path) -> Option<PathBuf> {
    let folder = material.join("symbols/isf");
    let any = std::fs::read_dir(folder.join("ntkrnlmp.pdb")).is_ok_and(|mut files| files.next().is_some());
    if !any {
        skipped::note(test, "the samples' Volatility 3 symbol files are not in the extra test material");
    }
    any.then_some(folder)
}

/// A sample image, unpacked.
pub fn sample(material: &Path, name: &str) -> Vec<u8> {
    let packed = std::fs::File::open(material.join("samples").join(name).join("image.raw.zst")).unwrap();
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(std::io::BufReader::new(packed)).unwrap();
    let mut bytes = Vec::with_capacity(64 << 20);
    std::io::Read::read_to_end(&mut decoder, &mut bytes).unwrap();
    bytes
}

/// A JSON file.
pub fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A number written as hexadecimal text, or plainly.
pub fn number(value: &serde_json::Value) -> Option<u64> {
    value.as_u64().or_else(|| ntmem::parse_hex(value.as_str()?))
}

/// Whether a view holds a process.
pub fn has_source(process: &serde_json::Value, source: &str) -> bool {
    process["sources"].as_array().unwrap().iter().any(|s| s == source)
}

/// Addresses of the processes that a view holds, sorted.
fn by_source(document: &serde_json::Value, source: &str) -> Vec<u64> {
    let items = document["processes"]["items"].as_array().unwrap();
    let mut held: Vec<u64> =
        items.iter().filter(|p| has_source(p, source)).map(|p| number(&p["eprocess"]).unwrap()).collect();
    held.sort_unstable();
    held
}

/// Addresses of the processes of which the truth says so, sorted.
fn by_fact(truth: &serde_json::Value, fact: &str) -> Vec<u64> {
    let all = truth["processes"].as_array().unwrap();
    let mut held: Vec<u64> = all.iter().filter(|p| p[fact] == true).map(|p| number(&p["eprocess"]).unwrap()).collect();
    held.sort_unstable();
    held
}

/// Holds a document against the facts that the image was made from: the kernel, the machine, and every process that is in the
/// active list, field by field and in its order.
pub fn assert_agrees(name: &str, document: &serde_json::Value, truth: &serde_json::Value) {
    for field in ["base", "dtb"] {
        assert_eq!(number(&document["kernel"][field]), number(&truth["kernel"][field]), "{name}: kernel {field}");
    }
    for field in ["build", "pdb", "lab"] {
        assert_eq!(document["kernel"][field], truth["kernel"][field], "{name}: kernel {field}");
    }
    assert_eq!(document["system"]["root"], truth["system_root"]);
    assert_eq!(document["system"]["boot"], truth["boot"]);
    assert_eq!(document["system"]["captured"], truth["captured"]);
    let drivers: Vec<_> =
        document["drivers"]["items"].as_array().unwrap().iter().map(|d| (&d["name"], number(&d["base"]))).collect();
    let modules = truth["kernel"]["loaded_modules"].as_array().unwrap();
    let modules: Vec<_> = modules.iter().map(|module| (&module["name"], number(&module["base"]))).collect();
    assert_eq!(drivers, modules, "{name}: loaded modules");
    assert_eq!(document["processes"]["end"], "complete");
    for (source, fact) in [("active_list", "in_active_list"), ("cid_table", "in_cid_table")] {
        assert_eq!(by_source(document, source), by_fact(truth, fact), "{name}: {source}");
    }
    let views = document["processes"]["views"].as_array().unwrap();
    let cid = views.iter().find(|view| view["source"] == "cid_table").unwrap();
    assert_eq!(cid["processes"], by_fact(truth, "in_cid_table").len(), "{name}: processes in the table of ids");
    assert_eq!(cid["end"], "complete");
    let items = document["processes"]["items"].as_array().unwrap();
    let listed: Vec<&serde_json::Value> = items.iter().filter(|process| has_source(process, "active_list")).collect();
    let expected: Vec<&serde_json::Value> =
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
