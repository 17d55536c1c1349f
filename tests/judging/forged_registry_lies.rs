//! Which hive and which control set answers: what leads there is a witness, and another one contradicts it.

use crate::common::edited::Edited;
use ntmem::checks::Severity;
use ntmem::{Findings, Verdict, check_smss};
use ntmem_forge::{Build, HivePlan, Scenario};

const BUILDS: [Build; 4] = [Build::W7_7601, Build::W10_17763, Build::W10_19045, Build::W11_26100];

fn severity(findings: &Findings, id: &str) -> Option<Severity> {
    findings.of(id).filter_map(|outcome| outcome.severity).max()
}

/// A dirty SYSTEM hive, and before it in the list a clean one.
fn two_hives(build: Build) -> Scenario {
    let mut scenario = Scenario::clean(build);
    let decoy: HivePlan = scenario.system_hive().clone();
    let mut scenario = scenario.with_lojax();
    scenario.hives.insert(0, decoy);
    scenario
}

fn assert_both_are_told(name: &str, edited: &Edited) {
    let findings = check_smss(&edited.system(false));
    assert_eq!(findings.verdict, Verdict::Violations, "{name}");
    assert_eq!(severity(&findings, "SMR-00"), Some(Severity::High), "{name}");
    assert_eq!(severity(&findings, "SMR-10"), Some(Severity::Critical), "{name}: what the true one says");
}

#[test]
fn two_hives_for_one_mount() {
    for build in BUILDS {
        let edited = Edited::new(&two_hives(build));
        assert_both_are_told("both in the list", &edited);
        let true_one = edited.forged.truth.hives[1].cmhive;

        let mut spoilt = Edited::new(&two_hives(build));
        spoilt.put(true_one, "_CMHIVE", "Hive.Signature", 0);
        assert_both_are_told("the true one's signature spoilt", &spoilt);

        let mut renamed = Edited::new(&two_hives(build));
        let path = renamed.offset("_CMHIVE", "HiveRootPath");
        renamed.put(true_one + path, "_UNICODE_STRING", "Length", 0x1a);
        assert_both_are_told("the true one's root path spoilt", &renamed);

        // The decoy has no file, as what was made in memory has none.
        let mut fileless = Edited::new(&two_hives(build));
        let decoy = fileless.forged.truth.hives[0].cmhive;
        for field in ["FileFullPath", "FileUserName"] {
            let at = decoy + fileless.offset("_CMHIVE", field);
            fileless.put(at, "_UNICODE_STRING", "Length", 0);
        }
        assert_both_are_told("a decoy without a file", &fileless);
    }
}

/// The link that the kernel made names the set in use; Select can be written over.
#[test]
fn the_set_in_use_is_the_one_that_the_link_names() {
    for build in BUILDS {
        // Set 1 is in use and dirty; Current says 2, which is clean.
        let mut scenario = Scenario::clean(build);
        let clean = {
            let mut other = scenario.system_hive().root.at("ControlSet001").clone();
            other.name = "ControlSet002".into();
            other
        };
        let mut scenario = scenario.with_lojax();
        scenario.system_hive().root.keys.push(clean);
        scenario.system_hive().root.at("Select").dword("Current", 2);
        let findings = check_smss(&Edited::new(&scenario).system(false));
        assert_eq!(severity(&findings, "SMR-00"), Some(Severity::High), "{build:?}");
        assert_eq!(severity(&findings, "SMR-10"), Some(Severity::Critical), "{build:?}");
        assert!(findings.of("SMR-10").all(|outcome| outcome.severity.is_some()), "{build:?}: the one in use is judged");

        // All say 1, and the next start uses 2, which is dirty.
        let mut scenario = Scenario::clean(build).with_second_control_set();
        scenario.system_hive().root.at("Select").dword("Default", 2);
        let findings = check_smss(&Edited::new(&scenario).system(false));
        assert_eq!(severity(&findings, "SMR-00"), Some(Severity::Info), "{build:?}");
        let next: Vec<_> = findings.of("SMR-10").filter(|outcome| outcome.counts()).collect();
        assert_eq!(next.len(), 1, "{build:?}");
        assert!(next[0].observed.as_deref().unwrap().starts_with("at the next start (ControlSet002)"), "{build:?}");

        // A last known good start with a clean set changes nothing.
        let mut scenario = Scenario::clean(build);
        let mut other = scenario.system_hive().root.at("ControlSet001").clone();
        other.name = "ControlSet002".into();
        scenario.system_hive().root.keys.push(other);
        scenario.system_hive().root.at("Select").dword("Default", 2);
        let findings = check_smss(&Edited::new(&scenario).system(false));
        assert_eq!(findings.verdict, Verdict::Clean, "{build:?}");
    }
}

/// What there is one of is found by two ways: a variable that leads to a copy is contradicted by the lists.
#[test]
fn variables_that_lead_to_copies() {
    for build in BUILDS {
        let findings = check_smss(&Edited::new(&Scenario::clean(build)).system(false));
        assert_eq!(severity(&findings, "SYS-14"), None, "{build:?}");
        for (variable, pid) in [("CmpRegistryProcess", 100), ("CmpMasterHive", 0)] {
            let mut edited = Edited::new(&Scenario::clean(build));
            let Some(at) = edited.global(variable) else { continue };
            // Another object of the same kind.
            let other = match pid {
                0 => edited.forged.truth.hives[0].cmhive + 0x10,
                _ => edited.process(452).eprocess,
            };
            if edited.pointer(at) == 0 {
                continue;
            }
            edited.write(at, &other.to_le_bytes());
            let findings = check_smss(&edited.system(false));
            assert_eq!(severity(&findings, "SYS-14"), Some(Severity::Medium), "{build:?} {variable}");
        }
    }
}

/// The link is what the kernel goes by, whatever the key is called that it names; a system that runs has one.
#[test]
fn the_link_is_no_matter_of_names() {
    for build in BUILDS {
        // The set in use is called otherwise by one letter, and a clean one has its name.
        let mut scenario = Scenario::clean(build);
        let clean = scenario.system_hive().root.at("ControlSet001").clone();
        let mut scenario = scenario.with_lojax();
        scenario.system_hive().root.at("ControlSet001").name = "ControlSet00l".into();
        scenario.system_hive().root.keys.push(clean);
        let mut edited = Edited::new(&scenario);
        let (from, to) = ("\\ControlSet001", "\\ControlSet00l");
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let (from, to) = (wide(from), wide(to));
        let places: Vec<usize> = (0..edited.bytes.len() - from.len())
            .step_by(2)
            .filter(|at| edited.bytes[*at..].starts_with(&from))
            .collect();
        for at in places {
            edited.bytes[at..at + to.len()].copy_from_slice(&to);
        }
        let findings = check_smss(&edited.system(false));
        assert_eq!(severity(&findings, "SMR-00"), Some(Severity::High), "{build:?}");
        assert_eq!(severity(&findings, "SMR-10"), Some(Severity::Critical), "{build:?}: what the link leads to");
    }
}

/// The true hive is off the list, or has none of its names: its content says what it is, and a search finds it.
#[test]
fn a_hive_is_known_by_what_it_holds() {
    for build in BUILDS {
        let mut unlisted = Edited::new(&two_hives(build));
        let hive = unlisted.forged.truth.hives[1].cmhive;
        unlisted.unlink(hive + unlisted.offset("_CMHIVE", "HiveList"));
        let findings = check_smss(&unlisted.system(true));
        assert_eq!(severity(&findings, "SMR-00"), Some(Severity::High), "{build:?}");
        assert_eq!(severity(&findings, "SMR-10"), Some(Severity::Critical), "{build:?}");
        let mut nameless = Edited::new(&two_hives(build));
        for name in ["HiveRootPath", "FileFullPath", "FileUserName"] {
            let at = hive + nameless.offset("_CMHIVE", name);
            nameless.put(at, "_UNICODE_STRING", "Length", 0);
        }
        assert_both_are_told("without names", &nameless);
    }
}

/// A copy of a hive's descriptor, in the list as well, that leads to the very cells: both give one answer.
#[test]
fn a_second_descriptor_of_the_same_cells() {
    for build in BUILDS {
        let mut scenario = Scenario::clean(build);
        let second = scenario.system_hive().clone();
        scenario.hives.push(second);
        let mut edited = Edited::new(&scenario);
        let findings = check_smss(&edited.system(false));
        assert_eq!(severity(&findings, "SMR-00"), Some(Severity::High), "{build:?}: two hives");
        let hives = &edited.forged.truth.hives;
        let of_system: Vec<u64> =
            hives.iter().filter(|hive| hive.plan.root_path.ends_with("\\SYSTEM")).map(|hive| hive.cmhive).collect();
        let [from, to] = of_system[..] else { panic!("{of_system:?}") };
        let [base, storage, end] =
            ["Hive.BaseBlock", "Hive.Storage", "FileHandles"].map(|field| edited.offset("_CMHIVE", field));
        for at in std::iter::once(base).chain((storage..end).step_by(8)) {
            let value = edited.pointer(from + at);
            edited.write(to + at, &value.to_le_bytes());
        }
        let findings = check_smss(&edited.system(false));
        assert_eq!(severity(&findings, "SMR-00"), None, "{build:?}");
        assert_eq!(findings.verdict, Verdict::Clean, "{build:?}");
    }
}
