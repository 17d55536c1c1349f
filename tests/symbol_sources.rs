//! Whatever the layouts come from, the processes are the same: exact symbols, the crate's table by PDB and by build number, and
//! layouts that are worked out from the image.
#![cfg(feature = "isf")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::assert_agrees;
use ntmem::symbols::{SymbolSource, SymbolStore};
use ntmem::{Findings, MemoryImage, Report, System, check_smss};
use ntmem_forge::{Build, Forged, Layout, Scenario};
use serde_json::Value;
use std::ops::RangeInclusive;

/// The builds of x64 systems in the table, in order.
const BUILDS: [u32; 18] = [
    7600, 7601, 9200, 9600, 10240, 10586, 14393, 15063, 16299, 17134, 17763, 18362, 19041, 20348, 22000, 22621, 22631,
    26100,
];

/// From the build before this one to the build behind it.
fn with_neighbours(build: u32) -> RangeInclusive<u32> {
    let own = if (19042..=19045).contains(&build) { 19041 } else { build };
    let at = BUILDS.iter().position(|known| *known == own).unwrap();
    BUILDS[at.saturating_sub(1)]..=BUILDS[(at + 1).min(BUILDS.len() - 1)]
}

fn read(image: &[u8], store: &SymbolStore) -> System {
    let image = MemoryImage::from_bytes(image.to_vec()).unwrap();
    let kernel = image.locate_kernel(store).unwrap_or_else(|error| panic!("{error}"));
    System::read(&kernel).unwrap()
}

fn source(system: &System) -> &str {
    system.kernel.as_ref().unwrap().symbols.as_deref().unwrap()
}

/// Outcomes that one judgement has and the other contradicts; an unknown with a reason contradicts nothing.
fn contradictions(one: &Findings, other: &Findings) -> Vec<String> {
    use ntmem::baseline::Judgement::Unknown;
    let mut found = Vec::new();
    for outcome in &other.outcomes {
        let same = |it: &&ntmem::Outcome| (&it.id, it.pid) == (&outcome.id, outcome.pid);
        let theirs: Vec<_> = one.outcomes.iter().filter(same).map(|it| it.outcome).collect();
        if outcome.outcome == Unknown {
            assert!(outcome.reason.is_some(), "{outcome}");
        } else if !theirs.is_empty() && !theirs.contains(&outcome.outcome) && !theirs.contains(&Unknown) {
            found.push(format!("{outcome}, but {theirs:?}"));
        }
    }
    found
}

/// Holds what one source gave against the truth, and against what the exact symbols gave.
fn assert_same(name: &str, system: &System, exact: &System, truth: &Value) {
    let mut document: Value = serde_json::to_value(Report::new(system.clone())).unwrap();
    // The forged kernel's own name is not the one of an unknown kernel; what else is lost has its reason.
    document["kernel"]["pdb"] = truth["kernel"]["pdb"].clone();
    let lost = fill_lost(&mut document, &serde_json::to_value(Report::new(exact.clone())).unwrap());
    assert_agrees(name, &document, truth);
    let (judged, expected) = (check_smss(system), check_smss(exact));
    let wrong = contradictions(&expected, &judged);
    assert!(wrong.is_empty(), "{name}: {wrong:#?}\nlost: {lost:?}");
}

/// Fills in what is unknown with its reason, from a document that knows it, and says which fields those are: what is left is
/// compared. Pid, parent, name, addresses and times are never filled in.
fn fill_lost(document: &mut Value, exact: &Value) -> Vec<String> {
    const NEVER: [&str; 8] = ["pid", "ppid", "name", "eprocess", "dtb", "created", "exited", "user"];
    let mut lost = std::collections::BTreeSet::new();
    let theirs = exact["processes"]["items"].as_array().unwrap();
    for item in document["processes"]["items"].as_array_mut().unwrap() {
        let Some(exact) = theirs.iter().find(|it| it["eprocess"] == item["eprocess"]) else { continue };
        let reasons = item["absent"].as_object().unwrap().clone();
        for (field, reason) in reasons {
            let why = reason.as_str().unwrap();
            if !NEVER.contains(&field.as_str()) && why.starts_with("no symbol") && !exact[&field].is_null() {
                item[&field] = exact[&field].clone();
                lost.insert(format!("{field}: {why}"));
            }
        }
    }
    // `NtBuildLabEx` has no shape.
    document["kernel"]["lab"] = exact["kernel"]["lab"].clone();
    lost.into_iter().collect()
}

/// The same machine under a PDB that nobody knows.
fn unknown(mut scenario: Scenario) -> Forged {
    let layout = scenario.layout.take().unwrap_or_else(|| Layout::of(scenario.build));
    scenario.layout = Some(layout.unknown(7));
    scenario.forge()
}

fn by_every_source(name: &str, scenario: &Scenario, build: u32, in_table: bool) {
    let known = scenario.clone().forge();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("symbols.json");
    std::fs::write(&file, &known.isf).unwrap();
    let truth: Value = serde_json::from_str(&known.truth.to_json()).unwrap();
    let exact = read(&known.image, &SymbolStore::new().file(&file).without_builds(0..=u32::MAX));
    assert_eq!(source(&exact), "isf");
    if in_table {
        let system = read(&known.image, &SymbolStore::new());
        assert_eq!(source(&system), SymbolSource::BuiltIn.name());
        assert_same(&format!("{name}, by PDB"), &system, &exact, &truth);
    }
    let forged = unknown(scenario.clone());
    let system = read(&forged.image, &SymbolStore::new());
    assert_eq!(source(&system), SymbolSource::BuiltIn.name(), "{name}, by build");
    assert_same(&format!("{name}, by build"), &system, &exact, &truth);
    let hidden = with_neighbours(build);
    let system = read(&forged.image, &SymbolStore::new().without_builds(hidden.clone()));
    assert_eq!(source(&system), SymbolSource::Heuristic.name());
    assert_same(&format!("{name}, without {hidden:?}"), &system, &exact, &truth);
}

#[test]
fn every_build_by_every_source() {
    for build in Build::ALL {
        let in_table = !matches!(build, Build::W8_9200 | Build::W10_10240 | Build::W10_17134 | Build::W11_22621);
        by_every_source(&format!("{build:?}"), &Scenario::clean(build), build.number(), in_table);
    }
}
