//! Whatever the layouts come from, the processes are the same: exact symbols, the crate's table by PDB and by build number, and
//! layouts that are worked out from the image.

use crate::common;
use crate::common::edited::Edited;
use crate::common::{assert_agrees, kernels};
use ntmem::symbols::{SymbolSource, SymbolStore, Trust};
use ntmem::{Findings, MemoryImage, Report, System, Verdict, check_smss};
use ntmem_forge::{Build, Damage, DebuggerData, Forged, Impostor, Layout, Paged, Scenario};
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
    use ntmem::checks::Judgement::Unknown;
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
        // The same under a PDB that nobody knows: nothing in it contradicts the layouts of its build.
        let mut unknown = bytes.clone();
        let record = memchr::memmem::find(&unknown, b"RSDS").unwrap();
        unknown[record + 4..record + 20].copy_from_slice(b"a GUID of nobody");
        let system = read(&unknown, &SymbolStore::new());
        assert_eq!(source(&system), "built_in", "{name}, by build");
        assert_same(&format!("{name}, by build"), &system, &exact, &truth);
        assert_eq!(check_smss(&system).verdict, check_smss(&exact).verdict, "{name}, by build");
        let contradicted = system.warnings.iter().find(|warning| warning.message.contains("contradict"));
        assert_eq!(contradicted, None, "{name}, by build");
        let hidden = with_neighbours(u32::try_from(truth["kernel"]["build"].as_u64().unwrap()).unwrap());
        let system = read(&bytes, &SymbolStore::new().without_builds(hidden.clone()));
        assert_eq!(source(&system), "heuristic", "{name}");
        assert_same(&format!("{name}, without {hidden:?}"), &system, &exact, &truth);
    }
}

/// A serviced 9600 (9600.18821, as triage dumps show it): its `_EPROCESS` has a size between those of the known updates, some fields
/// lie where the older one has them, some where the newer one does.
#[test]
fn a_serviced_build_between_two_that_are_known() {
    let known = Layout::of(Build::W81_9600);
    let layout = known
        .clone()
        .moved("_EPROCESS", "MmProcessLinks", 0x5c0)
        .moved("_EPROCESS", "ModifiedPageCount", 0x5d0)
        .moved("_EPROCESS", "ExitStatus", 0x5d4)
        .sized("_EPROCESS", 0x6f0)
        .unknown(7);
    assert_ne!(known.offset("_EPROCESS", "MmProcessLinks"), 0x5c0);
    assert_eq!(layout.offset("_EPROCESS", "CreateInterruptTime"), 0x6e0);
    for debugger in [DebuggerData::Clear, DebuggerData::Encoded] {
        let mut scenario = Scenario::of(&layout);
        scenario.kernel.debugger = debugger;
        let forged = scenario.forge();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("symbols.json");
        std::fs::write(&file, &forged.isf).unwrap();
        let exact = read(&forged.image, &SymbolStore::new().file(&file));
        let system = read(&forged.image, &SymbolStore::new());
        assert_eq!(source(&system), "built_in");
        let notes = system.kernel.as_ref().unwrap().symbols_notes.join("\n");
        assert!(notes.contains("MmProcessLinks: at 0x5c0") && notes.contains("0x6f0 bytes"), "{notes}");
        let contradicted = system.warnings.iter().find(|warning| warning.message.contains("contradict"));
        assert_eq!(contradicted, None);
        assert_same("9600 between", &system, &exact, &serde_json::from_str(&forged.truth.to_json()).unwrap());
        let smss = system.processes.items.iter().find(|process| process.is_named("smss.exe")).unwrap();
        let own = exact.processes.items.iter().find(|process| process.is_named("smss.exe")).unwrap();
        assert!(smss.created_interrupt.value().is_some());
        assert_eq!(smss.created_interrupt, own.created_interrupt);
        let views = |system: &System| {
            let view = system.processes.views.iter().find(|view| view.source == ntmem::process::Source::MmList);
            view.and_then(|view| view.processes.value().copied())
        };
        assert!(views(&system).is_some(), "{:?}", system.processes.views);
        assert_eq!(views(&system), views(&exact));
        assert_eq!(check_smss(&system).verdict, Verdict::Clean);
    }
}

/// In NT 5.2 for x64 the page-table root is the first of an array, and a symbol file may have one field of another size than usual:
/// neither takes the rest away.
#[test]
fn fields_of_another_size() {
    let forged = Scenario::clean(Build::W7_7601).forge();
    let mut isf: Value = serde_json::from_str(&forged.isf).unwrap();
    let field = |isf: &mut Value, structure: &str, field: &str, kind: Value| {
        isf["user_types"][structure]["fields"][field]["type"] = kind;
    };
    let longs = serde_json::json!({"kind": "array", "count": 2,
        "subtype": isf["user_types"]["_KPROCESS"]["fields"]["DirectoryTableBase"]["type"].clone()});
    field(&mut isf, "_KPROCESS", "DirectoryTableBase", longs);
    let byte = isf["user_types"]["_KPROCESS"]["fields"]["BasePriority"]["type"].clone();
    field(&mut isf, "_EPROCESS", "DebugPort", byte);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("symbols.json");
    std::fs::write(&file, isf.to_string()).unwrap();
    let system = read(&forged.image, &SymbolStore::new().file(&file));
    assert_eq!(source(&system), "isf");
    let live = forged.truth.processes.iter().filter(|process| process.in_active_list).count();
    assert_eq!(system.processes.items.len(), live);
    let smss = system.processes.items.iter().find(|process| process.is_named("smss.exe")).unwrap();
    let truth = forged.truth.processes.iter().find(|process| process.pid == 348).unwrap();
    assert_eq!(smss.dtb.value().map(|root| root.0), Some(truth.dtb));
    assert!(smss.debug_port.absent().is_some(), "{:?}", smss.debug_port);
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

/// Releases that share a kernel with one in the table, under their own number, previews and editions too: taken from there, or
/// worked out, and never wrong.
#[test]
fn numbers_that_are_in_no_table() {
    for (build, number, expected) in [
        (Build::W10_18362, 18363, "built_in"),
        (Build::W10_19045, 19044, "built_in"),
        (Build::S2022_20348, 20349, "built_in"),
        (Build::W11_22621, 22635, "built_in"),
        (Build::W11_26100, 26120, "built_in"),
        (Build::W11_26100, 26200, "built_in"),
        (Build::W11_22621, 25398, "heuristic"),
        (Build::W11_26100, 27_700, "heuristic"),
    ] {
        let layout = Layout::of(build).numbered(number).unknown(1);
        let scenario = Scenario::of(&layout);
        assert_read(&format!("{build:?} as {number}"), &scenario, Some(expected));
    }
}

/// Reads a machine without any file, and holds it against what its symbols give.
fn assert_read(name: &str, scenario: &Scenario, expected: Option<&str>) -> System {
    let forged = scenario.clone().forge();
    assert_image(name, &forged, &forged.image, expected)
}

fn assert_image(name: &str, forged: &Forged, image: &[u8], expected: Option<&str>) -> System {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("symbols.json");
    std::fs::write(&file, &forged.isf).unwrap();
    let exact = read(&forged.image, &SymbolStore::new().file(&file));
    let system = read(image, &SymbolStore::new());
    if let Some(expected) = expected {
        assert_eq!(source(&system), expected, "{name}");
    }
    let mut truth: Value = serde_json::from_str(&forged.truth.to_json()).unwrap();
    // Exports tell the number of what is older than 10.
    let number = |system: &System| system.kernel.as_ref().unwrap().build;
    truth["kernel"]["build"] = number(&system).into();
    assert!(number(&system).is_none_or(|it| Some(it) == number(&exact)), "{name}");
    assert_same(name, &system, &exact, &truth);
    system
}

/// A build number that was written over, in both places: the layouts are the true ones all the same.
#[test]
fn a_number_that_lies() {
    for build in [Build::W7_7601, Build::W10_17763, Build::W10_19045, Build::S2022_20348, Build::W11_26100] {
        for lie in BUILDS.into_iter().chain([27_700]).filter(|lie| *lie >= 10240 || build == Build::W7_7601) {
            let mut layout = Layout::of(build).unknown(1);
            // Its behaviour, and version, stay those of the build.
            if build == Build::W7_7601 && lie >= 9200 {
                continue;
            }
            layout.number = lie;
            let system = assert_read(&format!("{build:?} as {lie}"), &Scenario::of(&layout), None);
            println!("{build:?} as {lie}: {}", source(&system));
        }
    }
}

/// Neither the PDB's name nor the build number is anywhere: the record, `NtBuildNumber` and the shared page are gone.
#[test]
fn a_kernel_that_says_nothing_of_itself() {
    for build in [Build::W10_17763, Build::W10_19045, Build::W11_22621, Build::W11_26100] {
        let mut edited = Edited::new(&Scenario::clean(build));
        let records: Vec<usize> = memchr::memmem::find_iter(&edited.bytes, b"RSDS").collect();
        for at in records {
            edited.bytes[at..at + 32].fill(0);
        }
        edited.write(edited.global("NtBuildNumber").unwrap(), &[0; 4]);
        let shared = edited.physical(edited.forged.truth.dtb, 0xffff_f780_0000_0000) as usize;
        edited.bytes[shared..shared + 4096].fill(0);
        let system = read(&edited.bytes, &SymbolStore::new());
        assert_eq!(source(&system), "heuristic", "{build:?}");
        let found: Vec<_> =
            system.processes.items.iter().map(|process| (process.pid.value(), process.name.value())).collect();
        for process in &edited.forged.truth.processes {
            let name = process.name_text();
            assert!(
                found
                    .iter()
                    .any(|(pid, found)| *pid == Some(&process.pid) && found.is_some_and(|found| *found == name)),
                "{build:?}: {name} is missing"
            );
        }
        let wrong: Vec<String> = ntmem::check_smss(&system).violations().map(ToString::to_string).collect();
        assert!(wrong.is_empty(), "{build:?}: {wrong:#?}");
    }
}

/// The name of the PDB was written over with that of another kernel, which is in the table: told, and not believed.
#[test]
fn a_pdb_that_lies() {
    for (build, other) in [
        (Build::W10_19045, Build::W10_18362),
        (Build::W10_19045, Build::W11_22000),
        (Build::W11_26100, Build::W10_19045),
        (Build::W7_7601, Build::W10_17763),
    ] {
        let (mut layout, other) = (Layout::of(build), Layout::of(other));
        (layout.guid, layout.age) = (other.guid, other.age);
        let scenario = Scenario::of(&layout);
        let name = format!("{build:?} under the PDB of {}", other.number);
        let system = assert_read(&name, &scenario, Some("built_in"));
        let told = system.warnings.iter().any(|it| it.message.contains("the image contradicts it"));
        assert!(told, "{name}: {:?}", system.warnings);
    }
}

/// What rootkits and paging take away, of kernels that nobody knows.
#[test]
fn what_layouts_are_found_by_is_gone() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let clean = || Scenario::clean(build);
        let mut renamed = clean();
        renamed.process(4).name = b"Nobody".to_vec();
        let mut other_id = clean();
        other_id.damage.push(Damage::Field { pid: 4, path: "UniqueProcessId", value: 0x1234 });
        let mut few = clean();
        few.processes.truncate(7);
        let mut no_user_half = clean();
        for user in no_user_half.processes.iter_mut().filter_map(|process| process.user.as_mut()) {
            (user.peb, user.parameters) = (Paged::Transition, Paged::Unmapped);
        }
        let mut no_tokens = clean();
        let pids: Vec<u64> = no_tokens.processes.iter().map(|process| process.pid).collect();
        no_tokens.damage.extend(pids.iter().map(|pid| Damage::TokenPage { pid: *pid, state: Paged::Unmapped }));
        for (what, scenario) in [
            ("System renamed", renamed),
            ("System's id", other_id),
            ("seven processes", few),
            ("no PEBs", no_user_half),
            ("no tokens", no_tokens),
            ("torn list", clean().with_torn_flink(664)),
            ("unlinked smss", clean().with_unlinked(348)),
        ] {
            let name = format!("{build:?}, {what}");
            let forged = unknown(scenario);
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("symbols.json");
            std::fs::write(&file, &forged.isf).unwrap();
            let exact = read(&forged.image, &SymbolStore::new().file(&file));
            for store in [SymbolStore::new(), SymbolStore::new().without_builds(with_neighbours(build.number()))] {
                let image = MemoryImage::from_bytes(forged.image.clone()).unwrap();
                let kernel = match image.locate_kernel(&store) {
                    Ok(kernel) => kernel,
                    // Too few to work anything out of.
                    Err(error) if what == "seven processes" => {
                        assert!(error.to_string().contains(&forged.truth.guid), "{name}: {error}");
                        continue;
                    }
                    Err(error) => panic!("{name}: {error}"),
                };
                let system = System::read(&kernel).unwrap();
                println!("{name}: by {}", source(&system));
                assert_processes(&name, &system, &exact);
            }
        }
    }
}

/// The same processes, and nothing that is said of one otherwise than by exact symbols.
fn assert_processes(name: &str, system: &System, exact: &System) {
    let (ours, theirs) = (&system.processes.items, &exact.processes.items);
    let addresses =
        |items: &[ntmem::Process]| items.iter().filter_map(|it| it.eprocess.value().copied()).collect::<Vec<_>>();
    assert_eq!(addresses(ours), addresses(theirs), "{name}");
    for (ours, theirs) in ours.iter().zip(theirs) {
        let (ours, theirs) = (serde_json::to_value(ours).unwrap(), serde_json::to_value(theirs).unwrap());
        assert_no_other(name, &ours, &theirs);
    }
    let wrong = contradictions(&check_smss(exact), &check_smss(system));
    assert!(wrong.is_empty(), "{name}: {wrong:#?}");
}

/// What is known is the same.
fn assert_no_other(name: &str, ours: &Value, theirs: &Value) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(_)) => {
            // Who lacks a field has more reasons, and fewer ways to it.
            const OWN: [&str; 5] = ["sources", "absent", "located", "held_by", "held_by_end"];
            for (field, value) in ours.iter().filter(|(field, _)| !OWN.contains(&field.as_str())) {
                assert_no_other(&format!("{name}, {field}"), value, &theirs[field]);
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            ours.iter().zip(theirs).for_each(|(ours, theirs)| assert_no_other(name, ours, theirs));
        }
        _ => assert!(ours.is_null() || ours == theirs, "{name}: {ours} and not {theirs}"),
    }
}

/// Without its exports a kernel says neither its number nor where System is.
#[test]
fn without_exports() {
    for build in Build::ALL {
        let forged = unknown(Scenario::clean(build));
        let mut bytes = forged.image.clone();
        for name in [&b"PsInitialSystemProcess"[..], b"NtBuildNumber"] {
            let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
            bytes[at..at + name.len()].fill(b'x');
        }
        assert_image(&format!("{build:?} without exports"), &forged, &bytes, Some("built_in"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("symbols.json");
        std::fs::write(&file, &forged.isf).unwrap();
        let exact = read(&forged.image, &SymbolStore::new().file(&file));
        let system = read(&bytes, &SymbolStore::new().without_builds(with_neighbours(build.number())));
        assert_eq!(source(&system), "heuristic");
        assert_processes(&format!("{build:?} without exports"), &system, &exact);
    }
}

/// Headers that are gone take the kernel's symbols to find its base: what there is to do is said.
#[test]
fn headers_of_an_unknown_kernel_are_gone() {
    let mut scenario = Scenario::clean(Build::W10_19045);
    scenario.kernel.headers = ntmem_forge::Headers::PagedOut;
    let forged = unknown(scenario);
    let image = MemoryImage::from_bytes(forged.image).unwrap();
    let error = image.locate_kernel(&SymbolStore::new()).unwrap_err().to_string();
    println!("{error}");
    assert!(error.contains(&forged.truth.guid), "{error}");
}
