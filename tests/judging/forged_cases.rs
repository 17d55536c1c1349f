//! Machines on which something is wrong, or looks it: what is still read, and what the checks say.

use crate::common;
use crate::common::forged::{Opened, document};
use ntmem::{Findings, ListEnd, System, check_smss};
use ntmem_forge::scenario::Damage;
use ntmem_forge::variants::{Impostor, UNMAPPED};
use ntmem_forge::{Build, Forged, Headers, KernelPages, Paged, Scenario};

const BUILDS: [Build; 4] = [Build::W7_7601, Build::W10_14393, Build::W10_19045, Build::W11_26100];

fn opened(scenario: &Scenario) -> (Forged, System) {
    let forged = scenario.forge();
    let system = Opened::new(&forged).system();
    (forged, system)
}

fn pids(system: &System) -> Vec<u64> {
    system.processes.items.iter().filter_map(|process| process.pid.value().copied()).collect()
}

/// Ids and pids of what counts.
fn counted(findings: &Findings) -> Vec<(&str, Option<u64>)> {
    findings
        .violations()
        .filter(|violation| violation.counts())
        .map(|violation| (violation.id.as_str(), violation.pid))
        .collect()
}

fn assert_nothing_counts(name: &str, system: &System) {
    let findings = check_smss(system);
    let counts: Vec<String> = findings.violations().filter(|v| v.counts()).map(ToString::to_string).collect();
    assert!(counts.is_empty(), "{name}: {counts:#?}");
}

#[test]
fn every_place_of_kernel_and_page_tables() {
    for build in BUILDS {
        for pages in [KernelPages::Small, KernelPages::Large] {
            for stub in [true, false] {
                for headers in [Headers::Present, Headers::PagedOut, Headers::Zeroed] {
                    if pages == KernelPages::Large && headers == Headers::PagedOut {
                        // Large pages are never paged out.
                        continue;
                    }
                    let mut scenario = Scenario::clean(build);
                    scenario.kernel.pages = pages;
                    scenario.kernel.headers = headers;
                    if !stub {
                        scenario.paging.low_stub = None;
                    }
                    if pages == KernelPages::Large {
                        scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x400_0000];
                    }
                    let forged = scenario.forge();
                    let truth = serde_json::from_str(&forged.truth.to_json()).unwrap();
                    let name = format!("{build:?} {pages:?} stub {stub} headers {headers:?}");
                    common::assert_agrees(&name, &document(&Opened::new(&forged).system()), &truth);
                }
            }
        }
    }
}

/// The list is torn, in either direction or both: everything is still listed, and the document says that it was torn.
#[test]
fn torn_lists() {
    for build in BUILDS {
        let whole = pids(&opened(&Scenario::clean(build)).1).len();
        for (name, scenario) in [
            ("forward", Scenario::clean(build).with_torn_flink(528)),
            ("backward", Scenario::clean(build).with_torn_blink(528)),
            ("both at one place", Scenario::clean(build).with_torn_flink(528).with_torn_blink(528)),
        ] {
            let (_, system) = opened(&scenario);
            assert_eq!(pids(&system).len(), whole, "{build:?} {name}");
            assert_eq!(system.processes.end, Some(ListEnd::Broken), "{build:?} {name}");
            assert!(system.warnings.iter().any(|w| w.about == "processes"), "{build:?} {name}");
            assert_nothing_counts(name, &system);
        }
    }
}

#[test]
fn a_list_that_loops_without_its_head() {
    for build in BUILDS {
        let mut scenario = Scenario::clean(build);
        scenario.damage.push(Damage::ListCycle { from: 616, to: 452 });
        let (_, system) = opened(&scenario);
        assert_eq!(system.processes.end, Some(ListEnd::Cycle), "{build:?}");
        for pid in [4, 348, 452, 528, 536, 616] {
            assert_eq!(pids(&system).iter().filter(|p| **p == pid).count(), 1, "{build:?}: {pid}");
        }
        assert_nothing_counts("cycle", &system);
    }
}

#[test]
fn an_unreadable_process_in_the_middle() {
    for build in BUILDS {
        for damage in [Damage::EprocessHole { pid: 528 }, Damage::EprocessPage { pid: 528, state: Paged::Out }] {
            let mut scenario = Scenario::clean(build);
            scenario.damage.push(damage);
            let (_, system) = opened(&scenario);
            for pid in [4, 348, 452, 536, 616] {
                assert!(pids(&system).contains(&pid), "{build:?}: {pid} is lost");
            }
            assert_eq!(system.processes.end, Some(ListEnd::Broken), "{build:?}");
            assert!(!system.warnings.is_empty());
            assert_nothing_counts("unreadable process", &system);
        }
    }
}

/// The other views hold what the list would have.
#[test]
fn a_list_whose_head_is_lost() {
    let mut scenario = Scenario::clean(Build::W10_19045);
    scenario.damage.push(Damage::ListHead { flink: UNMAPPED, blink: UNMAPPED });
    let forged = scenario.forge();
    let system = Opened::new(&forged).system();
    assert_ne!(system.processes.end, Some(ListEnd::Complete));
    assert_eq!(pids(&system).len(), forged.truth.processes.len());
    // Cleared by somebody who does not want them seen: the other views have them.
    for build in BUILDS {
        let mut scenario = Scenario::clean(build);
        scenario.damage.push(Damage::ListHead { flink: 0, blink: 0 });
        let (forged, system) = opened(&scenario);
        assert_eq!(system.processes.end, Some(ListEnd::Broken));
        let there = pids(&system);
        let missing = forged.truth.processes.iter().filter(|process| !there.contains(&process.pid));
        assert!(missing.count() <= 2, "{build:?}: {there:?}");
    }
}

/// The real one with a pid written over is no clean machine.
#[test]
fn a_master_whose_pid_was_written_over() {
    for build in BUILDS {
        for pid in [1 << 40, 347] {
            let mut scenario = Scenario::clean(build);
            scenario.damage.push(Damage::Field { pid: 348, path: "UniqueProcessId", value: pid });
            let (_, system) = opened(&scenario);
            let findings = check_smss(&system);
            assert!(counted(&findings).contains(&("SMSS-021", Some(pid))), "{build:?}: {:?}", counted(&findings));
        }
    }
}

/// The kernel does not need the pid that stands in an object: no number there hides an impostor.
#[test]
fn pids_that_cannot_be() {
    for build in BUILDS {
        for pid in [0, 1 << 27, 1 << 40, u64::MAX] {
            let mut scenario = Scenario::clean(build).with_impostor(Impostor::All);
            scenario.damage.push(Damage::Field { pid: 3636, path: "UniqueProcessId", value: pid });
            let (_, system) = opened(&scenario);
            let findings = check_smss(&system);
            let found = counted(&findings);
            assert!(found.iter().any(|(_, of)| *of == Some(pid)), "{build:?} {pid:#x}: {found:?}");
            assert!(found.iter().any(|(id, _)| *id == "SMSS-006"), "{build:?} {pid:#x}: {found:?}");
        }
    }
}

/// A page of the PEB that is not at hand makes its fields unknown with the reason, one that is in transition or shared does
/// not.
#[test]
fn states_of_the_peb() {
    for build in BUILDS {
        for state in [Paged::Out, Paged::OutSwizzled, Paged::DemandZero, Paged::VadPrototype, Paged::Unmapped] {
            let (_, system) = opened(&Scenario::clean(build).with_peb(348, state));
            let smss = system.processes.items.iter().find(|p| p.pid.value() == Some(&348)).unwrap();
            assert!(smss.command_line.absent().is_some(), "{build:?} {state:?}: {:?}", smss.command_line);
            assert!(smss.path.value().is_some());
            assert_nothing_counts("PEB", &system);
            let findings = check_smss(&system);
            let of = findings.of("SMSS-003").next().unwrap();
            assert_eq!(serde_json::to_value(of.outcome).unwrap(), "unknown", "{build:?} {state:?}");
        }
        for state in [Paged::Transition, Paged::Prototype, Paged::PrototypeTransition] {
            let forged = Scenario::clean(build).with_peb(348, state).forge();
            let system = Opened::new(&forged).system();
            let smss = system.processes.items.iter().find(|p| p.pid.value() == Some(&348)).unwrap();
            let truth = forged.truth.process(348).unwrap();
            assert_eq!(
                smss.command_line.value(),
                truth.command_line.as_ref(),
                "{build:?} {state:?}: {:?}",
                smss.command_line
            );
        }
    }
}

#[test]
fn benign_oddities() {
    for build in BUILDS {
        let clean = || Scenario::clean(build);
        for (name, scenario) in [
            ("exited children", clean().with_exited_session_children()),
            ("young child", clean().with_young_session_child()),
            ("reused ids", clean().with_exited_session_children().with_reused_ids()),
            ("reused ids alone", clean().with_reused_ids()),
            ("parents in a ring", {
                // The pid of the exited creator went to a svchost: csrss names it as wininit does.
                let mut ring = clean().with_parent_ring();
                ring.process(452).ppid = 804;
                ring
            }),
            ("clock back by an hour", clean().with_clock_step(3600)),
            ("clock on by an hour", clean().with_clock_step(-3600)),
            ("other root", Scenario::clean_at(build, "D:\\WINNT")),
        ] {
            assert_nothing_counts(&format!("{build:?} {name}"), &opened(&scenario).1);
        }
        if build >= Build::W10_14393 {
            assert_nothing_counts(&format!("{build:?} silo"), &opened(&clean().with_silo()).1);
        }
    }
}

/// What each departure must be accused of, by section 5.2 of the fact sheet.
#[test]
fn impostors() {
    for build in BUILDS {
        for (kind, ids) in [
            (Impostor::Path, vec!["SMSS-002", "SMSS-006", "SMSS-012"]),
            (Impostor::Parent, vec!["SMSS-001", "SMSS-012"]),
            (Impostor::User, vec!["SMSS-006", "SMSS-008", "SMSS-009"]),
            (Impostor::Session, vec!["SMSS-006", "SMSS-011"]),
            (Impostor::Wow64, vec!["SMSS-006", "SMSS-014"]),
            (Impostor::Late, vec!["SMSS-006", "SMSS-012"]),
            (Impostor::All, vec!["SMSS-001", "SMSS-002", "SMSS-008", "SMSS-011", "SMSS-012", "SMSS-014"]),
        ] {
            let (_, system) = opened(&Scenario::clean(build).with_impostor(kind));
            let findings = check_smss(&system);
            let found = counted(&findings);
            for id in ids {
                let about = found.iter().any(|(found, pid)| *found == id && (pid.is_none() || *pid == Some(3636)));
                assert!(about, "{build:?} {kind:?}: {id} is not among {found:?}");
            }
            // The real one stays as it is.
            assert!(!found.iter().any(|(_, pid)| *pid == Some(348)), "{build:?} {kind:?}: {found:?}");
        }
    }
}

#[test]
fn hollowed_and_stripped() {
    for build in BUILDS {
        let (_, system) = opened(&Scenario::clean(build).with_hollowed_smss());
        assert!(counted(&check_smss(&system)).contains(&("SMSS-017", Some(348))), "{build:?}");
        if build >= Build::W10_14393 {
            let mut scenario = Scenario::clean(build);
            scenario.process(348).protection = 0;
            let (_, system) = opened(&scenario);
            assert!(counted(&check_smss(&system)).contains(&("SMSS-013", Some(348))), "{build:?}");
        }
        let mut scenario = Scenario::clean(build);
        scenario.process(348).critical = false;
        let (_, system) = opened(&scenario);
        assert!(counted(&check_smss(&system)).contains(&("SMSS-015", Some(348))), "{build:?}");
    }
}

/// csrss and winlogon of one session name different creators.
#[test]
fn creators_that_disagree() {
    let mut scenario = Scenario::clean(Build::W10_19045);
    scenario.process(616).ppid = 1444;
    let (_, system) = opened(&scenario);
    let findings = check_smss(&system);
    assert!(counted(&findings).iter().any(|(id, _)| *id == "SES-02"), "{:?}", counted(&findings));
}

#[test]
fn a_name_that_is_no_text() {
    let mut scenario = Scenario::clean(Build::W10_19045);
    scenario.process(616).name = b"\x01\xff\x1b[31m".to_vec();
    let (_, system) = opened(&scenario);
    let process = system.processes.items.iter().find(|p| p.pid.value() == Some(&616)).unwrap();
    assert_eq!(process.name.value().unwrap(), "\\x01\\xff\\x1b[31m");
}

#[test]
fn a_partial_last_page() {
    let mut scenario = Scenario::clean(Build::W10_19045);
    scenario.tail_bytes = 1234;
    let forged = scenario.forge();
    assert_ne!(forged.image.len() % 4096, 0);
    let truth = serde_json::from_str(&forged.truth.to_json()).unwrap();
    common::assert_agrees("partial page", &document(&Opened::new(&forged).system()), &truth);
}
