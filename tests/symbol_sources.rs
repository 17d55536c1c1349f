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

use common::{assert_agrees, kernels};
use ntmem::symbols::{SymbolSource, SymbolStore, Trust};
use ntmem::{Findings, MemoryImage, Report, System, Verdict, check_smss};
use ntmem_forge::{Build, Forged, Impostor, Layout, Scenario};
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
    println!("{name}: {:?}, not known: {lost:?}", judged.verdict);
    assert!(wrong.is_empty(), "{name}: {wrong:#?}\nlost: {lost:?}");
    let dirty = |findings: &Findings| findings.verdict == Verdict::Violations;
    assert_eq!(dirty(&judged), dirty(&expected), "{name}: {:?}, lost: {lost:?}", judged.verdict);
}

/// Fills in what is unknown with its reason, from a document that knows it, and says which fields those are: what is left is
/// compared. Pid, parent, name, addresses and times are never filled in.
fn fill_lost(document: &mut Value, exact: &Value) -> Vec<String> {
    const NEVER: [&str; 7] = ["pid", "ppid", "name", "eprocess", "dtb", "created", "exited"];
    let mut lost = std::collections::BTreeSet::new();
    let theirs = exact["processes"]["items"].as_array().unwrap().clone();
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
    // A view that could not be had, with the reason.
    for number in 0..exact["processes"]["views"].as_array().unwrap().len() {
        let view = document["processes"]["views"][number].clone();
        if let Some(reason) = view["absent"]["processes"].as_str() {
            let source = view["source"].as_str().unwrap();
            lost.insert(format!("{source}: {reason}"));
            document["processes"]["views"][number] = exact["processes"]["views"][number].clone();
            for item in document["processes"]["items"].as_array_mut().unwrap() {
                if theirs.iter().any(|it| it["eprocess"] == item["eprocess"] && common::has_source(it, source)) {
                    item["sources"].as_array_mut().unwrap().push(source.into());
                }
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

#[test]
fn every_collected_kernel_by_every_source() {
    for kernel in kernels::collection("every_collected_kernel_by_every_source") {
        by_every_source(&kernel.name, &kernel.scenario(), kernel.layout.number, true);
    }
}

#[test]
fn every_build_of_the_headers_by_its_number_and_without() {
    for (name, layout) in kernels::headers("every_build_of_the_headers_by_its_number_and_without") {
        if layout.number >= 7600 {
            by_every_source(&name, &Scenario::of(&layout), layout.number, false);
        }
    }
}

#[test]
fn sample_images_without_a_symbol_file() {
    let Some(material) = common::material("sample_images_without_a_symbol_file") else { return };
    for name in ["win7-7601-clean", "win10-19045-clean", "win11-26100-clean", "win10-19045-brontok-lojax"] {
        let folder = material.join("samples").join(name);
        let bytes = common::sample(&material, name);
        let truth = common::json(&folder.join("truth.json"));
        let exact = read(&bytes, &SymbolStore::new().directory(material.join("symbols")).without_builds(0..=u32::MAX));
        assert_eq!(source(&exact), "pdb");
        let system = read(&bytes, &SymbolStore::new());
        assert_eq!(source(&system), "built_in", "{name}");
        assert_same(name, &system, &exact, &truth);
        assert_eq!(check_smss(&system).verdict, check_smss(&exact).verdict, "{name}");
        let hidden = with_neighbours(u32::try_from(truth["kernel"]["build"].as_u64().unwrap()).unwrap());
        let system = read(&bytes, &SymbolStore::new().without_builds(hidden.clone()));
        assert_eq!(source(&system), "heuristic", "{name}");
        assert_same(&format!("{name}, without {hidden:?}"), &system, &exact, &truth);
    }
}

/// What a build that is not out yet may look like: fields added to three structures of the newest one that is known.
#[test]
fn a_build_newer_than_any() {
    let known = Layout::of(Build::W11_26100);
    for (structure, field, bytes) in
        [("_EPROCESS", "Token", 0x18), ("_EPROCESS", "ThreadListHead", 0x28), ("_KPROCESS", "ProfileListHead", 0x10)]
    {
        let at = known.offset(structure, field);
        let layout = known.clone().shifted(structure, at, bytes).numbered(27_500).unknown(3);
        let scenario = Scenario::of(&layout);
        let forged = scenario.clone().forge();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("symbols.json");
        std::fs::write(&file, &forged.isf).unwrap();
        let name = format!("27500 with {structure}.{field} moved");
        let exact = read(&forged.image, &SymbolStore::new().file(&file));
        assert_eq!(source(&exact), "isf");
        let system = read(&forged.image, &SymbolStore::new());
        assert_eq!(source(&system), "heuristic");
        assert_same(&name, &system, &exact, &serde_json::from_str(&forged.truth.to_json()).unwrap());
        let warnings = system.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(warnings.contains("this kernel is not known"), "its confidence is said: {warnings}");
        let judged = check_smss(&system);
        assert_eq!(judged.layouts.as_deref(), Some("heuristic"));
        assert!(
            judged.outcomes.iter().all(|it| it.evidence.iter().all(|it| it.layout.as_deref() == Some("heuristic")))
        );
    }
}

/// No silence on a dirty machine either.
#[test]
fn impostors_are_found_by_every_source() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        for impostor in [Impostor::Path, Impostor::Parent, Impostor::User] {
            let scenario = Scenario::clean(build).with_impostor(impostor);
            let forged = unknown(scenario);
            for store in [SymbolStore::new(), SymbolStore::new().without_builds(with_neighbours(build.number()))] {
                let system = read(&forged.image, &store);
                let judged = check_smss(&system);
                assert_eq!(judged.verdict, Verdict::Violations, "{build:?} {impostor:?} by {}", source(&system));
            }
        }
    }
}

/// Who wants layouts of this very kernel alone gets no others.
#[test]
fn trust_is_the_users() {
    let forged = unknown(Scenario::clean(Build::W10_19045));
    let image = MemoryImage::from_bytes(forged.image).unwrap();
    assert!(image.locate_kernel(&SymbolStore::new().trust(Trust::Exact)).is_err());
    let by_build = image.locate_kernel(&SymbolStore::new().trust(Trust::Build)).unwrap();
    assert_eq!(by_build.symbols().source, SymbolSource::BuiltIn);
    let store = SymbolStore::new().trust(Trust::Build).without_builds(19041..=19041);
    let error = image.locate_kernel(&store).unwrap_err().to_string();
    assert!(error.contains(&forged.truth.guid) && error.contains("none of build 19041"), "{error}");
}

/// A file that says otherwise than the table is used, and the disagreement is told with both values.
#[test]
fn disagreements_are_told() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("symbols.json");
    let (true_place, other_place) = (r#""ExitTime": {"offset": 2112,"#, r#""ExitTime": {"offset": 8,"#);
    assert!(forged.isf.contains(true_place));
    let other = forged.isf.replace(true_place, other_place);
    std::fs::write(&file, other).unwrap();
    let image = MemoryImage::from_bytes(forged.image).unwrap();
    let kernel = image.locate_kernel(&SymbolStore::new().file(&file)).unwrap();
    let told = kernel.warnings().iter().map(ToString::to_string).find(|it| it.contains("disagree")).unwrap();
    assert!(told.contains("_EPROCESS.ExitTime: 0x8 and 0x840"), "{told}");
}
