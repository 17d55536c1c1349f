//! Layouts that an image itself gives, held against the true ones: a field that is given is right, or it is not given.

use crate::common;
use crate::common::forged::Opened;
use crate::common::kernels;
use ntmem::discover::{confirm, infer};
use ntmem::kernel::{Kernel, Layouts};
use ntmem::symbols::{Symbols, builds};
use ntmem_forge::{Build, Damage, Forged, Impostor, Layout, Paged, Scenario};

/// The layouts of all builds in the table but the hidden ones.
fn others(hidden: impl Fn(u32) -> bool) -> Vec<(u32, Symbols)> {
    let all = builds(&Layouts::wanted(), |build| !hidden(build)).unwrap();
    all.into_iter().filter_map(|(kernel, symbols)| Some((kernel.build?, symbols))).collect()
}

fn system(kernel: &Kernel<'_>) -> ntmem::VirtualAddress {
    kernel.space().read_pointer(kernel.global("PsInitialSystemProcess").unwrap()).unwrap()
}

/// Names that one field has had.
const ALIASES: [(&str, &str); 2] =
    [("VadRoot.Root", "VadRoot.BalancedRoot.RightChild"), ("WoW64Process", "Wow64Process")];

fn truth_of(truth: &Symbols, structure: &str, path: &str) -> Option<ntmem::symbols::FieldInfo> {
    let other = ALIASES.iter().find_map(|(one, other)| match path {
        _ if path == *one => Some(*other),
        _ if path == *other => Some(*one),
        _ => None,
    });
    truth.field(structure, path).ok().or_else(|| truth.field(structure, other?).ok())
}

/// Structures whose size is a distance.
const SIZED: [&str; 6] = [
    "_OBJECT_HEADER_CREATOR_INFO",
    "_OBJECT_HEADER_NAME_INFO",
    "_HANDLE_TABLE_ENTRY",
    "_DUAL",
    "_HMAP_ENTRY",
    "_KPROCESS",
];

/// Fields that differ from the truth, and fields of the truth that are not given.
fn compare(found: &Symbols, truth: &Symbols) -> (Vec<String>, Vec<String>, usize) {
    let (mut wrong, mut missing, mut right) = (Vec::new(), Vec::new(), 0);
    let wanted = Layouts::wanted();
    for (structure, path) in wanted.fields {
        let ours = found.field(structure, path).ok();
        match (ours, truth_of(truth, structure, path)) {
            (Some(ours), Some(theirs)) => {
                let size = ours.bits.is_some() && ours.size != theirs.size;
                if ours.offset != theirs.offset || ours.bits != theirs.bits || size {
                    wrong.push(format!("{structure}.{path}: {ours:?}, and not {theirs:?}"));
                } else {
                    right += 1;
                }
            }
            // Public symbols of 24H2 do not describe what sessions are there; where the id and the list lie, values tell.
            (Some(_), None) if structure == "_MM_SESSION_SPACE" && truth.size_of(structure).is_err() => {}
            (Some(ours), None) => wrong.push(format!("{structure}.{path}: {ours:?}, and there is none")),
            (None, Some(_)) if truth.field(structure, path).is_ok() => {
                let other = ALIASES.iter().find(|(one, other)| path == *one || path == *other);
                let has = |path| found.field(structure, path).is_ok();
                if !other.is_some_and(|(one, other)| has(one) || has(other)) {
                    missing.push(format!("{structure}.{path}"));
                }
            }
            _ => {}
        }
    }
    for structure in SIZED {
        if let (Ok(ours), Ok(theirs)) = (found.size_of(structure), truth.size_of(structure))
            && ours != theirs
        {
            wrong.push(format!("{structure}: {ours:#x} bytes, and not {theirs:#x}"));
        }
    }
    (wrong, missing, right)
}

/// Builds to hide: the one itself under all its numbers, and `more` on each side of it.
fn hidden(build: Build, more: usize) -> Vec<u32> {
    let at = Build::ALL.iter().position(|other| *other == build).unwrap();
    let from = at.saturating_sub(more);
    Build::ALL[from..=(at + more).min(Build::ALL.len() - 1)].iter().map(|build| build.number()).collect()
}

fn same_build(one: u32, other: u32) -> bool {
    let family = |build: u32| match build {
        7600 | 7601 => 7601,
        18362 | 18363 => 18362,
        19041..=19045 => 19041,
        22621 | 22631 => 22621,
        26100 | 26200 => 26100,
        other => other,
    };
    family(one) == family(other)
}

fn run(forged: &Forged, what: &str, build: Build, more: usize) {
    run_without(forged, what, &hidden(build, more));
}

fn run_without(forged: &Forged, what: &str, hide: &[u32]) {
    let opened = Opened::new(forged);
    check(&opened.kernel(), what, hide);
}

/// What is inferred without the layouts of some builds is right, and enough to read processes with.
fn check(kernel: &Kernel<'_>, what: &str, hide: &[u32]) {
    let others = others(|number| hide.iter().any(|hidden| same_build(*hidden, number)));
    let Some(found) = infer(kernel.space(), kernel.base(), system(kernel), &others) else {
        panic!("{what}: nothing inferred");
    };
    let (wrong, missing, right) = compare(&found.symbols, kernel.symbols());
    eprintln!("{what} hiding {hide:?}: {right} right, {} missing: {missing:?}", missing.len());
    assert!(wrong.is_empty(), "{what}: {wrong:#?}");
    Layouts::resolve(&found.symbols).unwrap();
}

#[test]
fn clean_images_give_right_layouts() {
    for build in Build::ALL {
        let forged = Scenario::clean(build).forge();
        for more in [0, 1] {
            run(&forged, &format!("{build:?}"), build, more);
        }
    }
}

/// What may be wrong with a machine, or with its image.
fn variants(build: Build) -> Vec<(&'static str, Scenario)> {
    let clean = || Scenario::clean(build);
    let mut all = vec![
        ("impostor's path", clean().with_impostor(Impostor::Path)),
        ("impostor's parent", clean().with_impostor(Impostor::Parent)),
        ("impostor's user", clean().with_impostor(Impostor::User)),
        ("impostor in a session", clean().with_impostor(Impostor::Session)),
        ("32-bit impostor", clean().with_impostor(Impostor::Wow64)),
        ("late impostor", clean().with_impostor(Impostor::Late)),
        ("impostor in all", clean().with_impostor(Impostor::All)),
        ("hollowed", clean().with_hollowed_smss()),
        ("unlinked smss", clean().with_unlinked(348)),
        ("unlinked csrss", clean().with_unlinked(452)),
        ("ids used again", clean().with_reused_ids()),
        ("ring of parents", clean().with_parent_ring()),
        ("clock set", clean().with_clock_step(-3600)),
        ("torn forward", clean().with_torn_flink(664)),
        ("torn backward", clean().with_torn_blink(664)),
        ("exited children", clean().with_exited_session_children()),
        ("young child", clean().with_young_session_child()),
        ("no PEB of smss", clean().with_peb(348, Paged::Transition)),
    ];
    let mut nobody_ended = clean();
    nobody_ended.processes.retain(|process| process.exited.is_none());
    all.push(("nobody ended", nobody_ended));
    let mut renamed = clean();
    renamed.processes.iter_mut().find(|process| process.pid == 452).unwrap().name = b"innocent".to_vec();
    all.push(("renamed csrss", renamed));
    for (what, damage) in [
        ("circle", Damage::ListCycle { from: 804, to: 452 }),
        ("lost head", Damage::ListHead { flink: 0, blink: 0 }),
        ("lost token", Damage::TokenPage { pid: 4, state: Paged::Unmapped }),
        ("lost System", Damage::EprocessPage { pid: 348, state: Paged::Unmapped }),
    ] {
        let mut damaged = clean();
        damaged.damage.push(damage);
        all.push((what, damaged));
    }
    let mut hole = clean();
    hole.damage.push(Damage::EprocessHole { pid: 664 });
    all.push(("hole in a process", hole));
    let mut small = clean();
    small.processes.truncate(9);
    all.push(("nine processes", small));
    if build.has_silos() {
        all.push(("silo", clean().with_silo()));
    }
    all
}

#[test]
fn machines_that_are_not_clean_give_no_wrong_layouts() {
    for build in Build::ALL {
        for (what, scenario) in variants(build) {
            let forged = scenario.forge();
            for more in [0, 1] {
                run(&forged, &format!("{build:?}, {what}"), build, more);
            }
        }
    }
}

/// Kernels that came after all known ones, as far as anybody knows: something was put in at one place or another.
#[test]
fn builds_that_nobody_has_seen_give_no_wrong_layouts() {
    for build in [Build::W11_26100, Build::W11_22621, Build::W10_19045] {
        let known = Layout::of(build);
        let places = [
            ("_EPROCESS", "CreateTime"),
            ("_EPROCESS", "Token"),
            ("_EPROCESS", "Win32Process"),
            ("_EPROCESS", "SectionObject"),
            ("_EPROCESS", "InheritedFromUniqueProcessId"),
            ("_EPROCESS", "Peb"),
            ("_EPROCESS", "ObjectTable"),
            ("_EPROCESS", "ImageFileName"),
            ("_EPROCESS", "ThreadListHead"),
            ("_EPROCESS", "VadRoot"),
            ("_EPROCESS", "ExitTime"),
            ("_EPROCESS", "MitigationFlags"),
            ("_KPROCESS", "BasePriority"),
            ("_ETHREAD", "PostBlockList"),
            ("_ETHREAD", "Cid"),
            ("_ETHREAD", "Win32StartAddress"),
            ("_ETHREAD", "ThreadListEntry"),
            ("_ETHREAD", "CrossThreadFlags"),
            ("_KTHREAD", "State"),
            ("_TOKEN", "SessionId"),
            ("_TOKEN", "UserAndGroups"),
            ("_TOKEN", "TokenType"),
            ("_HANDLE_TABLE", "TableCode"),
            ("_HANDLE_TABLE", "FreeLists"),
            ("_CMHIVE", "HiveList"),
            ("_CMHIVE", "FileFullPath"),
            ("_CMHIVE", "HiveRootPath"),
            ("_HHIVE", "BaseBlock"),
            ("_HHIVE", "Version"),
            ("_HHIVE", "Storage"),
            ("_MMVAD", "Subsection"),
            ("_FILE_OBJECT", "FileName"),
            ("_CONTROL_AREA", "FilePointer"),
            ("_MM_SESSION_SPACE", "ProcessList"),
            ("_LDR_DATA_TABLE_ENTRY", "FullDllName"),
            ("_RTL_USER_PROCESS_PARAMETERS", "Environment"),
            ("_OBJECT_TYPE", "Index"),
        ];
        for (kind, field) in places {
            for bytes in [8, 0x18] {
                let Some(place) = known.find(kind, field) else { continue };
                // There is no such structure in 24H2, and the forge puts the list where its stand-in has it.
                if kind == "_MM_SESSION_SPACE" && build == Build::W11_26100 {
                    continue;
                }
                let layout = known.clone().shifted(kind, place.offset, bytes).numbered(build.number() + 600).unknown(1);
                let mut scenario = Scenario::clean(build);
                scenario.layout = Some(layout);
                let what = format!("{build:?}, {bytes:#x} bytes before {kind}.{field}");
                run_without(&scenario.forge(), &what, &[]);
            }
        }
    }
}

#[test]
fn every_collected_kernel_gives_no_wrong_layouts() {
    let mut seen = std::collections::BTreeSet::new();
    for kernel in kernels::collection("every_collected_kernel_gives_no_wrong_layouts") {
        let forged = kernel.forge();
        let opened = Opened::new(&forged);
        let found = opened.kernel();
        let shape: Vec<String> = Layouts::wanted()
            .fields
            .iter()
            .map(|(structure, path)| format!("{:?}", found.symbols().field(structure, path).ok()))
            .collect();
        if !seen.insert(shape) {
            continue;
        }
        let build = kernel.layout.build;
        for more in [0, 1] {
            run(&forged, &format!("{} {build:?}", kernel.name), build, more);
        }
    }
}

#[test]
fn the_right_layouts_are_confirmed_and_others_are_not() {
    /// What no value of a clean image shows.
    const UNSEEN: [&str; 9] = [
        "_EJOB.",
        "_MI_SYSTEM_INFORMATION.",
        "_SECTION_OBJECT.",
        "DisableDynamicCode",
        "_EPROCESS.Minimal",
        // CreateUnbiasedInterruptTime beside it says the same unless the machine slept.
        "_EPROCESS.CreateInterruptTime",
        "_MMPTE_SOFTWARE.",
        "_MI_PARTITION.",
        "Hive.ViewMap",
    ];
    let all = others(|_| false);
    for build in Build::ALL {
        let forged = Scenario::clean(build).forge();
        let opened = Opened::new(&forged);
        let kernel = opened.kernel();
        let confirm = |types: &Symbols| confirm(kernel.space(), kernel.base(), system(&kernel), types);
        let own = confirm(kernel.symbols());
        assert!(own.is_full(), "{build:?}: {own:?}");
        for (number, types) in &all {
            let other = confirm(types);
            let (wrong, _, _) = compare(types, kernel.symbols());
            let seen: Vec<&String> =
                wrong.iter().filter(|what| !UNSEEN.iter().any(|unseen| what.contains(unseen))).collect();
            assert!(!other.is_full() || seen.is_empty(), "{build:?} passes as {number}: {seen:#?}");
            assert!(other.is_full() || !wrong.is_empty(), "{build:?} does not pass as {number}: {other:?}");
        }
    }
}

#[test]
fn samples_give_no_wrong_layouts() {
    let Some(material) = common::material("samples_give_no_wrong_layouts") else { return };
    for (name, build) in [
        ("win7-7601-clean", Build::W7_7601),
        ("win10-19045-clean", Build::W10_19045),
        ("win10-19045-brontok-lojax", Build::W10_19045),
        ("win11-26100-clean", Build::W11_26100),
    ] {
        let image = ntmem::MemoryImage::from_bytes(common::sample(&material, name)).unwrap();
        let store = ntmem::symbols::SymbolStore::new().directory(material.join("symbols"));
        let kernel = image.locate_kernel(&store).unwrap();
        for more in [0, 1, 2] {
            check(&kernel, name, &hidden(build, more));
        }
    }
}

/// No processes, or not enough of them, give nothing, and no layout of another size is read as one.
#[test]
fn what_is_no_list_of_processes_gives_nothing() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let opened = Opened::new(&forged);
    let kernel = opened.kernel();
    let all = others(|_| false);
    let nowhere = ntmem::VirtualAddress(0xffff_8000_0000_0000);
    for at in [nowhere, kernel.base(), ntmem::VirtualAddress(0), ntmem::VirtualAddress(u64::MAX)] {
        assert!(infer(kernel.space(), kernel.base(), at, &all).is_none());
        assert!(!confirm(kernel.space(), kernel.base(), at, kernel.symbols()).is_full());
    }
    assert!(infer(kernel.space(), nowhere, system(&kernel), &all).is_none());
    assert!(infer(kernel.space(), kernel.base(), system(&kernel), &[]).is_none());
}
