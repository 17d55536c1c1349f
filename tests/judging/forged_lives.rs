//! Lies about life and age: a process that runs and says that it is over, freed, just made, of an earlier boot, a session's child,
//! another program. Beside each stands what is so in truth, which is clean.

use crate::common::edited::Edited;
use crate::common::forged::Opened;
use ntmem::picture::{Explanation, Sighting};
use ntmem::{Outcome, Picture, ReadOptions, Severity, System, VirtualAddress, check_smss};
use ntmem_forge::scenario::Unlinked;
use ntmem_forge::{Build, Damage, Forged, Impostor, Place, Proc, Scenario, Time, TokenPlan};

const BUILDS: [Build; 3] = [Build::W7_7601, Build::W10_19045, Build::W11_26100];
/// The second smss.exe.
const SECOND: u64 = 3636;

fn read(forged: &Forged, scan: bool) -> System {
    System::read_with(&Opened::new(forged).kernel(), &ReadOptions { scan, ..ReadOptions::default() }).unwrap()
}

fn field(path: &'static str, value: u64) -> Damage {
    Damage::Field { pid: SECOND, path, value }
}

fn threads(path: &'static str, value: u64) -> Damage {
    Damage::ThreadField { pid: SECOND, path, value }
}

fn sighting(system: &System, forged: &Forged) -> Option<Sighting> {
    let eprocess = forged.truth.process(SECOND).unwrap().eprocess;
    Picture::new(system).cross_view().iter().find(|seen| seen.eprocess == Some(VirtualAddress(eprocess))).cloned()
}

/// The worst that is said of the second one.
fn worst(system: &System) -> Option<Severity> {
    check_smss(system).violations().filter(|found| found.pid == Some(SECOND)).filter_map(|found| found.severity).max()
}

fn counted(system: &System) -> Vec<String> {
    check_smss(system).violations().filter(|found| found.counts()).map(Outcome::to_string).collect()
}

/// A time of the machine.
type Moment = fn(&Scenario) -> Time;
type Lie = (&'static str, fn(&Scenario) -> Vec<Damage>);

/// What an unlinked process can say of itself.
const LIES: &[Lie] = &[
    ("young", |s| vec![field("CreateTime", s.captured.plus_ms(-30_000).0)]),
    ("made after the image", |s| vec![field("CreateTime", s.captured.plus_ms(1_800_000).0)]),
    ("just over", |s| vec![field("ExitTime", s.captured.plus_ms(-30_000).0), field("ActiveThreads", 0)]),
    ("over after the image", |s| vec![field("ExitTime", s.captured.plus_ms(600_000).0), field("ActiveThreads", 0)]),
    ("just over, with its threads", |s| {
        vec![field("ExitTime", s.captured.plus_ms(-30_000).0), field("ActiveThreads", 0), threads("Terminated", 1)]
    }),
    ("over by its threads' flags alone", |_| vec![threads("Terminated", 1)]),
    ("without heads of lists, its threads flagged", |_| {
        vec![
            threads("Terminated", 1),
            field("Pcb.Header.WaitListHead.Flink", 0),
            field("Pcb.Header.WaitListHead.Blink", 0),
            field("Pcb.ProfileListHead.Flink", 0),
            field("Pcb.ProfileListHead.Blink", 0),
        ]
    }),
    ("its threads are System's", |_| {
        vec![
            Damage::ThreadOwner { pid: SECOND, path: "Tcb.Process", owner: 4 },
            field("Pcb.ProfileListHead.Flink", 5),
            field("Pcb.ProfileListHead.Blink", 5),
        ]
    }),
    ("its threads are System's in all that they say", |_| {
        vec![
            Damage::ThreadOwner { pid: SECOND, path: "Tcb.Process", owner: 4 },
            Damage::ThreadOwner { pid: SECOND, path: "Tcb.ApcState.Process", owner: 4 },
            field("Pcb.ProfileListHead.Flink", 5),
            field("Pcb.ProfileListHead.Blink", 5),
        ]
    }),
    ("freed", |_| vec![Damage::HeadersFreed { pid: SECOND }]),
    ("freed, of an earlier boot", |s| {
        vec![Damage::HeadersFreed { pid: SECOND }, field("CreateTime", s.boot.plus_ms(-86_400_000).0)]
    }),
    ("freed and over", |s| {
        vec![
            Damage::HeadersFreed { pid: SECOND },
            field("ExitTime", s.captured.plus_ms(-7_200_000).0),
            field("ActiveThreads", 0),
        ]
    }),
];

#[test]
fn what_an_unlinked_process_says_of_itself() {
    for build in BUILDS {
        for (name, lie) in LIES {
            // Known to nobody, and forgotten in one list.
            for left in [&[][..], &[Place::SessionList, Place::MmList]] {
                let mut scenario = Scenario::clean(build).with_impostor(Impostor::All);
                scenario = scenario.with_hidden(SECOND, Unlinked::Null, left);
                let damage = lie(&scenario);
                scenario.damage.extend(damage);
                let forged = scenario.forge();
                let system = read(&forged, true);
                let what = format!("{build:?}, {name}, left in {left:?}");
                let seen = sighting(&system, &forged).unwrap_or_else(|| panic!("{what}: not found"));
                assert_eq!(seen.explanation, Explanation::Unlinked, "{what}: {seen:?}");
                assert!(
                    check_smss(&system).of("SMSS-021").any(|found| found.severity == Some(Severity::High)),
                    "{what}"
                );
            }
        }
    }
}

/// It and its threads say that they were just made; the clock that nobody sets does not.
#[test]
fn interrupt_time_tells_who_was_not_just_made() {
    for build in [Build::W10_19045, Build::W11_26100] {
        let mut scenario = Scenario::clean(build).with_impostor(Impostor::All);
        scenario = scenario.with_hidden(SECOND, Unlinked::Null, &[Place::SessionList, Place::MmList]);
        let made = scenario.captured.plus_ms(-5_000).0;
        scenario.damage.extend([field("CreateTime", made), threads("CreateTime", made)]);
        let forged = scenario.forge();
        let system = read(&forged, false);
        let seen = sighting(&system, &forged).unwrap();
        assert_eq!(seen.explanation, Explanation::Unlinked, "{build:?}: {seen:?}");
        assert!(seen.why.contains("interrupt time"), "{build:?}: {seen:?}");
    }
}

#[test]
fn what_is_so_in_truth_is_no_finding() {
    for build in BUILDS {
        // Over for half a minute, off the lists, its object not reused; relics; a process in the making; a young session child.
        let mut scenario =
            Scenario::clean(build).with_relics(24).with_process_in_the_making().with_young_session_child();
        let path = format!("{}\\system32\\notepad.exe", scenario.system_root);
        let mut over = scenario.program(SECOND, 2260, &path, scenario.captured.plus_ms(-600_000), Some(1));
        over.exited = Some(scenario.captured.plus_ms(-30_000));
        (over.linked, over.in_cid_table) = (false, false);
        scenario.processes.push(over);
        let forged = scenario.forge();
        for scan in [false, true] {
            let system = read(&forged, scan);
            let picture = Picture::new(&system);
            assert!(picture.cross_view().iter().all(|seen| !seen.hidden), "{build:?}");
            assert_eq!(counted(&system), [""; 0], "{build:?}");
        }
    }
}

/// The list is torn in one direction: the other is whole, and does not come to it.
#[test]
fn a_tear_elsewhere_hides_nobody() {
    for build in BUILDS {
        for torn in [0, 1] {
            let mut scenario = Scenario::clean(build).with_impostor(Impostor::All);
            scenario = scenario.with_hidden(SECOND, Unlinked::Null, &[Place::SessionList, Place::ThreadIds]);
            scenario.damage.push(match torn {
                0 => Damage::TornBlink { pid: 804, to: 0 },
                _ => Damage::TornFlink { pid: 804, to: 0 },
            });
            let system = read(&scenario.forge(), false);
            let findings = check_smss(&system);
            let found = findings.of("SMSS-021").find(|found| found.pid == Some(SECOND));
            assert!(found.is_some_and(Outcome::counts), "{build:?} {torn}: {found:?}");
            // Without it the same tear is no finding.
            let mut clean = Scenario::clean(build);
            clean.damage.push(Damage::TornBlink { pid: 804, to: 0 });
            assert_eq!(counted(&read(&clean.forge(), false)), [""; 0], "{build:?}");
        }
        // Torn in both: nobody can tell, and it is named.
        let mut scenario =
            Scenario::clean(build).with_impostor(Impostor::Late).with_torn_flink(804).with_torn_blink(2260);
        scenario = scenario.with_hidden(SECOND, Unlinked::Null, &[Place::MmList, Place::ThreadIds]);
        let findings = check_smss(&read(&scenario.forge(), false));
        let named = findings.of("SMSS-021").find(|found| found.pid == Some(SECOND)).unwrap();
        assert!(named.observed.as_deref().is_some_and(|words| words.contains("smss.exe")), "{build:?}: {named}");
    }
}

/// What is called smss.exe by one of its names is judged as one.
#[test]
fn other_names() {
    for build in BUILDS {
        for path in [Some("\\Device\\HarddiskVolume3\\Windows\\System32\\winlogin.exe"), None] {
            for unlisted in [false, true] {
                let mut scenario = Scenario::clean(build).with_impostor(Impostor::User);
                scenario.damage.push(Damage::Renamed { pid: SECOND, name: "winlogin.exe", path });
                if unlisted {
                    // The PEB says winlogin.exe as well: the loader's list is left, and the file of the section.
                    let user = scenario.process(SECOND).user.as_mut().unwrap();
                    user.path = "C:\\Windows\\System32\\winlogin.exe".into();
                }
                let system = read(&scenario.forge(), false);
                assert!(worst(&system) >= Some(Severity::Medium), "{build:?} {path:?} {unlisted}");
            }
        }
        // Another program of another name is none.
        let mut scenario = Scenario::clean(build);
        let path = format!("{}\\system32\\winlogin.exe", scenario.system_root);
        let other = scenario.program(SECOND, 2260, &path, scenario.captured.plus_ms(-600_000), Some(1));
        scenario.processes.push(other);
        let system = read(&scenario.forge(), false);
        assert!(!check_smss(&system).outcomes.iter().any(|outcome| outcome.pid == Some(SECOND)), "{build:?}");
    }
}

/// A second smss.exe of a user, dressed up as a session's child at work.
fn dressed_up(build: Build, made: impl Fn(&Scenario) -> Time) -> Scenario {
    let mut scenario = Scenario::clean(build);
    let created = made(&scenario);
    let mut child = scenario.session_child(SECOND, created, 1, "000000c4 00000084 ");
    child.protection = 0x61;
    // As it is linked last, whatever was made before it.
    child.shares_token_of = None;
    scenario.processes.push(child);
    scenario
}

#[test]
fn a_child_is_as_old_as_its_threads() {
    let lies: [(&str, Moment, Moment); 4] = [
        ("a user's, two hours old", |s| s.captured.plus_ms(-7_200_000), |s| s.captured.plus_ms(-30_000)),
        ("a second master", |s| s.boot.plus_ms(2_000_000), |s| s.captured.plus_ms(-20_000)),
        ("stale for an hour", |s| s.captured.plus_ms(-3_600_000), |s| s.captured.plus_ms(-50_000)),
        ("made after the image", |s| s.captured.plus_ms(-3_600_000), |s| s.captured.plus_ms(50_000)),
    ];
    for build in BUILDS {
        for (name, made, says) in lies {
            let mut scenario = dressed_up(build, made);
            let says = says(&scenario);
            scenario.damage.push(field("CreateTime", says.0));
            let system = read(&scenario.forge(), false);
            assert!(worst(&system) >= Some(Severity::Medium), "{build:?} {name}: {:?}", counted(&system));
            assert!(check_smss(&system).of("SMSS-029").any(Outcome::counts), "{build:?} {name}");
        }
        // A child that is young, and one that a slow machine takes three minutes for.
        let young = dressed_up(build, |s| s.captured.plus_ms(-30_000));
        assert_eq!(counted(&read(&young.forge(), false)), [""; 0], "{build:?}");
        let slow = read(&dressed_up(build, |s| s.captured.plus_ms(-180_000)).forge(), false);
        assert!(worst(&slow) <= Some(Severity::Low), "{build:?}: {:?}", counted(&slow));
        assert!(check_smss(&slow).of("SMSS-029").all(|found| !found.counts()), "{build:?}");
        // The clock was set back by an hour since: its threads are older than it, and so are others than smss.exe.
        let stepped = Scenario::clean(build).with_clock_step(3600);
        assert!(check_smss(&read(&stepped.forge(), false)).of("SMSS-029").all(|found| !found.counts()), "{build:?}");
    }
}

/// The time of the image is set back, so that a child that stays is younger than it.
#[test]
fn a_clock_that_was_set_back_in_one_place() {
    // ntddk.h: KUSER_SHARED_DATA.SystemTime at 0x14: low, high, high again.
    const SYSTEM_TIME: u64 = 0xffff_f780_0000_0014;
    for build in BUILDS {
        let made = |s: &Scenario| s.captured.plus_ms(-3_600_000);
        let scenario = dressed_up(build, made);
        let forged = scenario.forge();
        let set = |time: u64| {
            let opened = Opened::new(&forged);
            let at = opened.kernel().space().translate(VirtualAddress(SYSTEM_TIME)).unwrap().0 as usize;
            let mut bytes = forged.image.clone();
            let (low, high) = (time as u32, (time >> 32) as u32);
            bytes[at..at + 4].copy_from_slice(&low.to_le_bytes());
            bytes[at + 4..at + 8].copy_from_slice(&high.to_le_bytes());
            bytes[at + 8..at + 12].copy_from_slice(&high.to_le_bytes());
            let opened = Opened::with_bytes(&forged, bytes);
            opened.system()
        };
        let lied = set(made(&scenario).plus_ms(-10_000).0);
        assert!(worst(&lied) >= Some(Severity::Low), "{build:?}: {:?}", counted(&lied));
        let truth = set(scenario.captured.0);
        assert!(worst(&truth) >= Some(Severity::Medium), "{build:?}");
        // It is young by the clock that was set back, and interrupt time runs on.
        if build >= Build::W81_9600 {
            let lied = set(made(&scenario).plus_ms(20_000).0);
            assert_eq!(check_smss(&lied).of("SMSS-007").find_map(|found| found.severity), Some(Severity::Medium));
        }
    }
}

/// Two pages of zeros with one pointer in them are no container.
#[test]
fn a_job_that_is_none() {
    for build in [Build::W10_19045, Build::W11_26100] {
        for protection in [0x61, 0] {
            let mut scenario = dressed_up(build, |s| s.captured.plus_ms(-20_000_000));
            scenario.process(SECOND).protection = protection;
            scenario.damage.push(Damage::EmptyJob { pid: SECOND });
            let system = read(&scenario.forge(), false);
            assert!(worst(&system) >= Some(Severity::High), "{build:?} {protection:#x}: {:?}", counted(&system));
        }
    }
}

/// Started two hours late, with a stamp of the boot.
#[test]
fn a_master_that_was_started_late() {
    for build in BUILDS {
        let mut scenario = Scenario::clean(build);
        let system = scenario.process(4).created;
        let true_time = scenario.boot.plus_ms(7_200_000);
        scenario.process(348).created = true_time;
        scenario.damage.push(Damage::Field { pid: 348, path: "CreateTime", value: system.plus_ms(100).0 });
        let findings = check_smss(&read(&scenario.forge(), false));
        assert!(findings.of("SMSS-012").any(|found| found.severity == Some(Severity::High)), "{build:?}");
    }
}

/// A program of smss.exe that runs, under a name that excuses.
#[test]
fn a_name_alone_excuses_no_child() {
    let program = |scenario: &Scenario, name: &str, path: &str| -> Proc {
        let path = path.replace("C:\\Windows", &scenario.system_root);
        let mut child = scenario.program(SECOND, 348, &path, scenario.boot.plus_ms(3_000), None);
        child.name = name.bytes().take(14).collect();
        child.token = TokenPlan::system();
        child
    };
    for build in BUILDS {
        for name in ["icarus_rvrt.exe", "autoconv.exe"] {
            let mut scenario = Scenario::clean(build);
            let child = program(&scenario, name, "C:\\Windows\\system32\\autoche.exe");
            scenario.processes.push(child);
            let system = read(&scenario.forge(), false);
            assert_eq!(worst(&system), Some(Severity::High), "{build:?} {name}");
        }
        // The kernel's path cannot be read: the file of the image says what it is.
        let mut scenario = Scenario::clean(build);
        let child = program(&scenario, "WerFault.exe", "C:\\Windows\\system32\\autoche.exe");
        scenario.processes.push(child);
        scenario.damage.push(Damage::Renamed { pid: SECOND, name: "WerFault.exe", path: None });
        let system = read(&scenario.forge(), false);
        assert_eq!(worst(&system), Some(Severity::High), "{build:?}");
        // A vendor's program where users can write, and each where it belongs.
        for (name, path, most) in [
            ("icarus_rvrt.exe", "C:\\Users\\Public\\icarus_rvrt.exe", Severity::High),
            ("icarus_rvrt.exe", "C:\\Program Files\\Avast Software\\Avast\\icarus_rvrt.exe", Severity::Info),
            ("WerFault.exe", "C:\\Windows\\system32\\WerFault.exe", Severity::Info),
        ] {
            let mut scenario = Scenario::clean(build);
            let child = program(&scenario, name, path);
            scenario.processes.push(child);
            let system = read(&scenario.forge(), false);
            let of_rule = check_smss(&system);
            let found = of_rule.of("SMSS-019").find(|found| found.pid == Some(SECOND)).unwrap();
            assert_eq!(found.severity, Some(most), "{build:?} {path}");
        }
    }
}

/// autochk.exe runs before there are sessions, users and services, and smss.exe waits for it.
#[test]
fn a_check_of_disks_that_does_not_end() {
    for build in BUILDS {
        for (session, token, over) in [
            (Some(1), TokenPlan::user(1), false),
            (None, TokenPlan::user(1), false),
            (None, TokenPlan::system(), false),
            (None, TokenPlan::system(), true),
        ] {
            let mut scenario = Scenario::clean(build);
            let path = format!("{}\\system32\\autochk.exe", scenario.system_root);
            let mut child = scenario.program(SECOND, 348, &path, scenario.boot.plus_ms(3_000), session);
            child.token = token;
            child.exited = over.then(|| scenario.boot.plus_ms(4_000));
            scenario.processes.push(child);
            let found = check_smss(&read(&scenario.forge(), false));
            let found = found.of("SMSS-019").filter(|found| found.counts()).count();
            assert_eq!(found, usize::from(!over), "{build:?}, session {session:?}");
        }
    }
}

/// Exit times and ages of the processes that sessions are told by.
#[test]
fn stamps_of_core_processes() {
    for build in BUILDS {
        let judged = |damage: &[Damage]| {
            let mut scenario = Scenario::clean(build).with_exited_session_children();
            scenario.damage.extend_from_slice(damage);
            check_smss(&read(&scenario.forge(), false))
        };
        let severity = |damage: &[Damage]| judged(damage).of("SYS-07").filter_map(|found| found.severity).max();
        assert_eq!(severity(&[]), None, "{build:?}");
        let scenario = Scenario::clean(build);
        let (hour_ago, early) = (scenario.captured.plus_ms(-3_600_000).0, scenario.boot.plus_ms(-86_400_000).0);
        let late = scenario.boot.plus_ms(10_800_000).0;
        for pid in [452, 616] {
            let field = |path, value| Damage::Field { pid, path, value };
            assert_eq!(severity(&[field("ExitTime", hour_ago)]), Some(Severity::High), "{build:?} {pid}");
            assert_eq!(severity(&[field("CreateTime", early)]), Some(Severity::High), "{build:?} {pid}");
            assert_eq!(severity(&[field("CreateTime", late)]), Some(Severity::High), "{build:?} {pid}");
        }
    }
}

/// A drive letter in the shared page makes no Windows PE: its key in the registry is not there.
#[test]
fn a_letter_is_no_windows_pe() {
    // ntddk.h: KUSER_SHARED_DATA.NtSystemRoot at 0x30.
    const ROOT: u64 = 0xffff_f780_0000_0030;
    for build in BUILDS {
        let mut scenario = Scenario::clean(build);
        let path = format!("{}\\system32\\wininit.exe", scenario.system_root);
        let second = scenario.program(SECOND, 2260, &path, scenario.captured.plus_ms(-600_000), Some(2));
        scenario.processes.push(second);
        let forged = scenario.forge();
        let opened = Opened::new(&forged);
        let at = opened.kernel().space().translate(VirtualAddress(ROOT)).unwrap().0 as usize;
        let mut bytes = forged.image.clone();
        bytes[at] = b'X';
        let system = Opened::with_bytes(&forged, bytes).system();
        assert!(check_smss(&system).of("SES-04").any(Outcome::counts), "{build:?}");
    }
}

/// Who has the pid of the smss.exe that built a session is younger than the session, by the kernel's list and by its stamps. One whose
/// stamps say otherwise was there first, or somebody wrote over the one or the other.
#[test]
fn the_owner_of_a_creators_pid() {
    for build in BUILDS {
        let scenario = Scenario::clean(build);
        let truth = scenario.forge().truth;
        let of = |name: &str, session| {
            let found = truth
                .processes
                .iter()
                .find(|process| process.name_text() == name && process.session == session && process.exited.is_none());
            found.unwrap_or_else(|| panic!("{build:?}: {name}"))
        };
        let (csrss, winlogon) = (of("csrss.exe", Some(1)), of("winlogon.exe", Some(1)));
        let younger = truth.processes.iter().find(|process| process.created > winlogon.created).unwrap();
        let judged = |older: i64| {
            let mut image = Edited::new(&scenario);
            for pid in [csrss.pid, winlogon.pid] {
                image.put_in(pid, "InheritedFromUniqueProcessId", younger.pid);
            }
            if older > 0 {
                // Units of 100 ns.
                let earlier = younger.created.0 - csrss.created.plus_ms(-older).0;
                for stamp in ["CreateTime", "CreateInterruptTime"] {
                    if image.has("_EPROCESS", stamp) {
                        let now = image.get(younger.eprocess, "_EPROCESS", stamp);
                        image.put_in(younger.pid, stamp, now - earlier);
                    }
                }
            }
            check_smss(&image.system(false))
        };
        let severity = |findings: &ntmem::Findings| findings.of("SES-03").filter_map(|found| found.severity).max();
        assert_eq!(severity(&judged(0)), None, "{build:?}: the pid was given to it");
        assert_eq!(severity(&judged(3_000)), Some(Severity::Medium), "{build:?}");
    }
}
