//! Containers, and other states of a machine, in forged images.

use crate::common::forged::Opened;
use ntmem::checks::Judgement;
use ntmem::{Findings, ModeKind, Outcome, System, VirtualAddress, check_smss};
use ntmem_forge::scenario::{Damage, JobPlan};
use ntmem_forge::variants::UNMAPPED;
use ntmem_forge::{Build, Proc, Scenario, TokenPlan};

const BUILDS: [Build; 3] = [Build::W10_14393, Build::W10_19045, Build::W11_26100];
/// The container's smss.exe, as the forge has it.
const SILO_SMSS: u64 = 4508;

fn system(scenario: &Scenario) -> System {
    Opened::new(&scenario.forge()).system()
}

fn modes(system: &System) -> Vec<ModeKind> {
    ntmem::Picture::new(system).modes().iter().map(|mode| mode.mode).collect()
}

fn outcome<'a>(findings: &'a Findings, id: &'a str, pid: Option<u64>) -> &'a Outcome {
    findings.of(id).find(|outcome| outcome.pid == pid).unwrap_or_else(|| panic!("no {id} for {pid:?}"))
}

fn assert_nothing_counts(name: &str, findings: &Findings) {
    let counts: Vec<String> = findings.violations().filter(|v| v.counts()).map(ToString::to_string).collect();
    assert!(counts.is_empty(), "{name}: {counts:#?}");
}

/// A second container like the first.
fn with_two_silos(build: Build) -> Scenario {
    let mut scenario = Scenario::clean(build).with_silo();
    scenario.jobs.push(JobPlan { id: 14_400, silo_session: Some(6) });
    let of_silo = |pid: u64| scenario.processes.iter().any(|p| p.pid == pid && p.job.is_some());
    let second = |first: &Proc| {
        let mut proc = first.clone();
        proc.pid += 10_000;
        proc.ppid += if of_silo(first.ppid) { 10_000 } else { 0 };
        proc.created = proc.created.plus_ms(60_000);
        proc.session = first.session.map(|_| 6);
        proc.token.session = 6;
        proc.job = Some(14_400);
        proc
    };
    let more: Vec<Proc> = scenario.processes.iter().filter(|p| p.job.is_some()).map(second).collect();
    scenario.processes.extend(more);
    scenario
}

#[test]
fn containers_are_judged_each_for_itself() {
    for build in BUILDS {
        for (scenario, smss) in [
            (Scenario::clean(build).with_silo(), vec![SILO_SMSS]),
            (with_two_silos(build), vec![SILO_SMSS, SILO_SMSS + 10_000]),
        ] {
            let system = system(&scenario);
            assert_eq!(modes(&system), [ModeKind::ContainerHost], "{build:?}");
            let silos = ntmem::Picture::new(&system)
                .sessions()
                .iter()
                .filter(|session| session.kind == Some("silo".into()))
                .count();
            assert_eq!(silos, smss.len(), "{build:?}");
            let findings = check_smss(&system);
            assert_nothing_counts(&format!("{build:?}, {silos} containers"), &findings);
            for pid in smss {
                for id in ["SMSS-001", "SMSS-002", "SMSS-005", "SMSS-007", "SMSS-008", "SMSS-016", "SMSS-017"] {
                    let found = outcome(&findings, id, Some(pid));
                    assert_eq!(found.outcome, Judgement::Pass, "{build:?}: {found}");
                }
            }
            assert_eq!(outcome(&findings, "SMSS-006", None).outcome, Judgement::Pass, "{build:?}");
        }
    }
}

/// A guest whose own files come from a share of its host (Windows Sandbox, isolated containers): `os` is its volume. Files of any
/// other share are its host's.
#[test]
fn a_guest_whose_files_come_over_vmbus() {
    const SHARE: &str = "\\Device\\vmsmb\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}";
    for build in BUILDS {
        let guest = |smss: &str| {
            let mut scenario = Scenario::clean(build);
            let usual = scenario.volume.clone();
            scenario.volume = format!("{SHARE}\\os");
            for process in &mut scenario.processes {
                let share = if process.pid == 348 { smss } else { "os" };
                process.path = process.path.as_ref().map(|path| path.replace(&usual, &format!("{SHARE}\\{share}")));
            }
            check_smss(&system(&scenario))
        };
        assert_nothing_counts(&format!("{build:?}, a guest"), &guest("os"));
        let findings = guest("data");
        let found = outcome(&findings, "SMSS-002", Some(348));
        assert_eq!(found.outcome, Judgement::Violation, "{build:?}: {found}");
    }
}

/// The jobs cannot be read: the sessions still say that there is a container, and nothing counts.
#[test]
fn containers_whose_jobs_are_lost() {
    for build in BUILDS {
        let mut scenario = Scenario::clean(build).with_silo();
        let members: Vec<u64> = scenario.processes.iter().filter(|p| p.job.is_some()).map(|p| p.pid).collect();
        for pid in members {
            scenario.damage.push(Damage::Field { pid, path: "Job", value: UNMAPPED });
        }
        let system = system(&scenario);
        let smss = system.processes.items.iter().find(|p| p.pid.value() == Some(&SILO_SMSS)).unwrap();
        assert!(smss.silo.absent().is_some(), "{build:?}: {:?}", smss.silo);
        assert_eq!(modes(&system), [ModeKind::ContainerHost], "{build:?}");
        let findings = check_smss(&system);
        assert_nothing_counts(&format!("{build:?}"), &findings);
        let stays = outcome(&findings, "SMSS-007", Some(SILO_SMSS));
        assert!(stays.guard.is_some(), "{stays}");
    }
}

/// Being in a container excuses nobody who only bears the name.
#[test]
fn an_impostor_in_a_container() {
    for build in BUILDS {
        for (ppid, ids) in [
            (2488, &["SMSS-001", "SMSS-002", "SMSS-008", "SMSS-013"][..]),
            // Its parent is said to be the master's: then it is one too many in the container.
            (348, &["SMSS-002", "SMSS-007", "SMSS-008", "SMSS-013"]),
        ] {
            let mut scenario = Scenario::clean(build).with_silo();
            let created = scenario.boot.plus_ms(7_200_000);
            let mut fake = scenario.program(5200, ppid, "C:\\Users\\ContainerUser\\smss.exe", created, Some(4));
            fake.job = Some(4400);
            fake.token = TokenPlan::user(4);
            scenario.processes.push(fake);
            let findings = check_smss(&system(&scenario));
            for id in ids {
                let found = outcome(&findings, id, Some(5200));
                assert_eq!(found.outcome, Judgement::Violation, "{build:?} {ppid}: {found}");
            }
            // The container's own is not blamed for who it is.
            for id in ["SMSS-001", "SMSS-002", "SMSS-008"] {
                assert_eq!(outcome(&findings, id, Some(SILO_SMSS)).outcome, Judgement::Pass, "{build:?} {id}");
            }
        }
    }
}

/// Hidden from the list of processes, in the table of ids.
#[test]
fn unlinked_from_the_active_list() {
    for build in BUILDS {
        for pid in [348, 3636] {
            let scenario = Scenario::clean(build).with_impostor(ntmem_forge::Impostor::Late).with_unlinked(pid);
            let findings = check_smss(&system(&scenario));
            assert_eq!(outcome(&findings, "SMSS-000", None).outcome, Judgement::Pass);
            for (id, pid) in [("SMSS-021", Some(pid)), ("SMSS-006", None), ("SMSS-012", Some(3636))] {
                let found = outcome(&findings, id, pid);
                assert!(found.counts(), "{build:?}: {found}");
            }
            assert!(findings.of("SMSS-012").any(|found| found.pid == Some(348) && found.outcome == Judgement::Pass));
        }
    }
}

#[test]
fn the_clock_and_the_shared_page() {
    // ntddk.h: KUSER_SHARED_DATA at this address; SafeBootMode at 0x2ec, InterruptTimeBias at 0x3b0, in 100 ns.
    const SHARED: u64 = 0xffff_f780_0000_0000;
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let stepped = system(&Scenario::clean(build).with_clock_step(3600));
        assert_eq!(modes(&stepped), [ModeKind::ClockStep], "{build:?}");
        let forged = Scenario::clean(build).forge();
        let opened = Opened::new(&forged);
        assert_eq!(modes(&opened.system()), [], "{build:?}");
        let kernel = opened.kernel();
        let changed = |offset: u64, value: &[u8]| {
            let place = kernel.space().translate(VirtualAddress(SHARED + offset)).unwrap();
            let at = usize::try_from(place.0).unwrap();
            let mut bytes = forged.image.clone();
            bytes[at..at + value.len()].copy_from_slice(value);
            Opened::with_bytes(&forged, bytes).system()
        };
        assert_eq!(modes(&changed(0x2ec, &[1])), [ModeKind::SafeMode], "{build:?}");
        let asleep = changed(0x3b0, &(90_u64 * 10_000_000).to_le_bytes());
        assert_eq!(asleep.machine.asleep.value(), Some(&90), "{build:?}");
        assert_eq!(modes(&asleep), [ModeKind::Resumed], "{build:?}");
        // More sleep than time makes no sense.
        let nonsense = changed(0x3b0, &u64::MAX.to_le_bytes());
        assert!(nonsense.machine.asleep.absent().is_some(), "{build:?}");
    }
}

#[test]
fn what_the_registry_says_of_the_state() {
    let with = |root: &str, change: fn(&mut ntmem_forge::hive_plan::Key)| {
        let mut scenario = Scenario::clean_at(Build::W10_19045, root);
        change(&mut scenario.system_hive().root);
        modes(&system(&scenario))
    };
    const WINDOWS: &str = "C:\\Windows";
    assert_eq!(
        with(WINDOWS, |root| {
            root.at("Setup").dword("SetupType", 2);
        }),
        [ModeKind::Setup]
    );
    assert_eq!(
        with(WINDOWS, |root| {
            root.at("ControlSet001\\Control\\SafeBoot\\Option").dword("OptionValue", 1);
        }),
        [ModeKind::SafeMode]
    );
    let mini_nt = |root: &mut ntmem_forge::hive_plan::Key| {
        root.at("ControlSet001\\Control\\MiniNT").dword("x", 1);
    };
    assert_eq!(with(WINDOWS, mini_nt), [ModeKind::PreinstallationKey]);
    assert_eq!(with("X:\\Windows", mini_nt), [ModeKind::Preinstallation]);
}
