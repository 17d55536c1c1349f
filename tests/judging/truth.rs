//! The smss checks over the truth that comes with the sample images: what a perfect reader would have read of them.
//! Nothing of the samples is in this repository.

use crate::common;
use ntmem::checks::{Judgement, Severity, check_smss};
use ntmem::{Findings, Report, Verdict};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn samples() -> Vec<PathBuf> {
    let Some(material) = common::material("truth") else { return Vec::new() };
    let entries = std::fs::read_dir(material.join("samples")).unwrap();
    let mut samples: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.join("truth.json").is_file()).collect();
    samples.sort();
    samples
}

fn load(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A report of ours, as reading the image would give it. Without a scan, only what is linked.
fn report(truth: &Value, scan: bool) -> Value {
    let row = |process: &Value| {
        let mut new = process.clone();
        let members = new.as_object_mut().unwrap();
        members.remove("in_cid_table");
        let linked = members.remove("in_active_list") == Some(json!(true));
        let readable = members.remove("peb_readable") == Some(json!(true));
        let token = members["token"].clone();
        members.insert("token".into(), json!({ "address": token }));
        let mut sources = vec![];
        sources.extend(linked.then_some("active_list"));
        sources.extend(scan.then_some("pool_scan"));
        members.insert("sources".into(), json!(sources));
        let fields = ["peb_path", "command_line", "image_base", "modules"];
        if !readable && !new["peb"].is_null() {
            new["absent"] = fields.iter().map(|&field| (field.to_owned(), json!("unreadable: paged out"))).collect();
        }
        for field in ["debug_port", "win32_process", "silo", "job"] {
            new[field] = Value::Null;
        }
        new
    };
    let items: Vec<Value> = truth["processes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|process| scan || process["in_active_list"] == true)
        .map(row)
        .collect();
    let kernel = &truth["kernel"];
    json!({
        "schema": 1, "generator": "ntmem test",
        "kernel": { "build": kernel["build"], "arch": kernel["arch"] },
        "system": { "root": truth["system_root"], "boot": truth["boot"], "captured": truth["captured"] },
        "processes": { "end": "complete", "items": items },
    })
}

fn judge(report: &Value) -> Findings {
    check_smss(&serde_json::from_value::<Report>(report.clone()).unwrap().system)
}

#[test]
fn outcomes_are_those_expected() {
    for sample in samples() {
        let expected = load(&sample.join("expected.json"));
        for scan in [false, true] {
            let findings = judge(&report(&load(&sample.join("truth.json")), scan));
            let counted: Vec<String> =
                findings.outcomes.iter().filter(|outcome| outcome.counts()).map(ToString::to_string).collect();
            // What is wrong with the registry does not show in a list of processes.
            let of_processes = |wanted: &&Value| {
                wanted["outcome"] == "violation" && !wanted["id"].as_str().unwrap().starts_with("SMR")
            };
            let dirty = expected["outcomes"].as_array().unwrap().iter().any(|wanted| of_processes(&wanted));
            assert_eq!(!counted.is_empty(), dirty, "{}: {counted:#?}", sample.display());
            for wanted in expected["outcomes"].as_array().unwrap() {
                let id = wanted["id"].as_str().unwrap();
                // The truth's hives are not part of a report, and it has no address ranges, without which nothing is known of
                // modules and hollowing: the images themselves are judged in samples.rs.
                if id.starts_with("SMR") || ["SMSS-016", "SMSS-017"].contains(&id) {
                    assert!(findings.of(id).all(|outcome| outcome.outcome != Judgement::Pass), "{id}");
                    continue;
                }
                let found: Vec<_> = findings
                    .of(id)
                    .filter(|outcome| wanted["pid"].is_null() || outcome.pid == wanted["pid"].as_u64())
                    .collect();
                let word = |outcome: Judgement| serde_json::to_value(outcome).unwrap();
                assert!(
                    found.iter().any(|outcome| word(outcome.outcome) == wanted["outcome"]),
                    "{}: {wanted} but {found:#?}",
                    sample.display()
                );
            }
            if dirty {
                // The real one beside it.
                let real = findings.outcomes.iter().filter(|outcome| outcome.pid == Some(468));
                assert!(
                    real.clone().count() > 15 && real.clone().all(|outcome| outcome.outcome != Judgement::Violation)
                );
                assert_eq!(findings.verdict, Verdict::Violations);
            }
        }
    }
}

#[test]
fn a_scan_finds_what_was_unlinked() {
    for sample in samples() {
        let mut report = report(&load(&sample.join("truth.json")), true);
        let judged = judge(&report);
        assert!(judged.of("SMSS-021").all(|outcome| outcome.outcome == Judgement::Pass), "{}", sample.display());
        let items = report["processes"]["items"].as_array_mut().unwrap();
        let hidden = items.iter_mut().find(|row| row["name"] == "winlogon.exe").unwrap();
        hidden["sources"] = json!(["pool_scan"]);
        let pid = hidden["pid"].as_u64();
        let judged = judge(&report);
        let found = judged.of("SMSS-021").find(|outcome| outcome.pid == pid).unwrap();
        assert_eq!((found.outcome, found.severity), (Judgement::Violation, Some(Severity::High)));
    }
}
