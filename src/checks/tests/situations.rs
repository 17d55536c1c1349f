//! Situations that look wrong and are not, and the reverse.

use super::{CHILD, MASTER, SMSS_COMMAND, add, at, find, gone, impostor, master, outcome, process, smss, text, with};
use crate::checks::Judgement::{NotApplicable, Pass, Unknown, Violation};
use crate::checks::{Confidence, Severity, Verdict};
use crate::process::Source;
use crate::registry::{KeyRecord, RegistryData, RegistryValue};
use crate::{Hex, ImageInfo, KernelInfo, ListEnd, Process, Reading, System, Timestamp, VirtualAddress};

#[test]
fn a_spoofed_parent_is_betrayed_by_everything_else() {
    let findings = with(|s| add(s, impostor(3260, 4)));
    assert_eq!(outcome(&findings, "SMSS-001", 3260).outcome, Pass, "that is the spoof");
    for id in ["SMSS-002", "SMSS-008", "SMSS-011", "SMSS-012", "SMSS-013", "SMSS-015"] {
        assert_eq!(outcome(&findings, id, 3260).outcome, Violation, "{id}");
        assert_eq!(outcome(&findings, id, MASTER).outcome, Pass, "the real one: {id}");
    }
    // The master's pid as parent makes it a session child: one that stays.
    let findings = with(|s| add(s, impostor(3260, MASTER)));
    for id in ["SMSS-002", "SMSS-005", "SMSS-007", "SMSS-008", "SMSS-013"] {
        assert_eq!(outcome(&findings, id, 3260).outcome, Violation, "{id}");
    }
    assert_eq!(outcome(&findings, "SMSS-006", None).outcome, Pass);
}

#[test]
fn the_impostors_parent_has_exited_or_vanished() {
    for listed in [true, false] {
        let findings = with(|s| {
            if listed {
                add(
                    s,
                    Process {
                        exited: at(400),
                        threads: Reading::Value(0),
                        ..process(3100, 3000, "dropper.exe", Some(1), 200)
                    },
                );
            }
            add(s, impostor(3260, 3100));
        });
        assert_eq!(outcome(&findings, "SMSS-001", 3260).outcome, Violation);
        assert_eq!(outcome(&findings, "SMSS-006", None).outcome, Violation);
    }
    // Over itself, it was still there.
    let findings = with(|s| add(s, Process { exited: at(400), threads: Reading::Value(0), ..impostor(3260, 3000) }));
    for id in ["SMSS-001", "SMSS-002", "SMSS-008"] {
        assert_eq!(outcome(&findings, id, 3260).outcome, Violation, "{id}");
    }
    assert_eq!(outcome(&findings, "SMSS-006", None).outcome, Pass, "an exited one is no instance");
}

#[test]
fn the_only_one_is_not_the_real_one() {
    let findings = with(|s| {
        s.processes.items.retain(|p| !p.is_named("smss.exe"));
        add(s, impostor(3260, 4));
    });
    assert_eq!(outcome(&findings, "SMSS-000", None).outcome, Violation);
    for id in ["SMSS-002", "SMSS-008", "SMSS-011", "SMSS-012"] {
        assert_eq!(outcome(&findings, id, 3260).outcome, Violation, "{id}");
    }
}

#[test]
fn name_and_path_apart() {
    let renamed = with(|s| add(s, Process { name: text("notepad.exe"), ..impostor(3260, 3000) }));
    assert_eq!(outcome(&renamed, "SMSS-002", 3260).outcome, Violation, "found by its file");
    assert_eq!(outcome(&renamed, "SMSS-024", 3260).outcome, Violation);
    let other =
        with(|s| add(s, Process { path: text("\\Device\\HarddiskVolume3\\Temp\\x.exe"), ..impostor(3260, 3000) }));
    assert_eq!(outcome(&other, "SMSS-024", 3260).outcome, Violation);
    let spare = with(|s| master(s).path = text("\\Device\\HarddiskVolume3\\Windows\\WinSxS\\amd64_x\\smss.exe"));
    assert_eq!(outcome(&spare, "SMSS-002", MASTER).severity, Some(Severity::Medium));
    assert!(outcome(&spare, "SMSS-002", MASTER).guard.is_some());
}

#[test]
fn a_session_in_the_making_is_clean() {
    let young = |s: &mut System| {
        add(s, smss(4400, MASTER, Some(2), 3990, CHILD));
        add(s, Process { protection: Reading::Value(Hex(0x61)), ..process(4408, 4400, "csrss.exe", Some(2), 3991) });
    };
    let findings = with(young);
    assert_eq!(findings.outcomes.iter().find(|outcome| outcome.counts()), None);
    assert_eq!(outcome(&findings, "SMSS-005", 4400).outcome, Pass);
    assert_eq!(outcome(&findings, "SMSS-011", 4400).outcome, Pass);
    // Nobody knows when the image was taken: unknown, no finding.
    let findings = with(|s| {
        young(s);
        s.machine.captured = gone();
    });
    assert_eq!(findings.outcomes.iter().find(|outcome| outcome.counts()), None);
    assert_eq!(outcome(&findings, "SES-05", None).outcome, Unknown);
    // A minute later the winlogon is missed.
    let findings = with(|s| {
        young(s);
        s.machine.captured = at(4060);
    });
    assert_eq!(outcome(&findings, "SES-05", None).outcome, Violation);
    assert_eq!(outcome(&findings, "SMSS-007", 4400).severity, Some(Severity::Low));
}

/// A server of remote desktops: each session was made by a child of smss.exe that is gone, and of some nothing but csrss.exe is left.
#[test]
fn fifty_sessions_are_clean() {
    let findings = with(|s| {
        for session in 2..52u32 {
            let (creator, second) = (10_000 + 16 * u64::from(session), 1000 + u64::from(session));
            let id = Some(session);
            let csrss = process(creator + 4, creator, "csrss.exe", id, second);
            add(s, Process { protection: Reading::Value(Hex(0x61)), ..csrss });
            if session % 10 != 9 {
                add(s, process(creator + 8, creator, "winlogon.exe", id, second));
            }
        }
    });
    assert_eq!(findings.outcomes.iter().find(|outcome| outcome.counts()), None);
}

/// A system that was started a second ago: csrss.exe is there, winlogon.exe not yet; smss.exe has not marked itself.
#[test]
fn a_system_of_a_second_is_clean() {
    let young = |s: &mut System| {
        s.processes
            .items
            .retain(|p| ["System", "Registry", "smss.exe", "csrss.exe"].iter().any(|name| p.is_named(name)));
        for process in &mut s.processes.items {
            process.created = at(0);
        }
        s.machine.captured = at(1);
        master(s).critical = Reading::Value(false);
    };
    let findings = with(young);
    for id in ["SES-01", "SES-05", "SMSS-015"] {
        let counts: Vec<_> = findings.of(id).filter(|outcome| outcome.counts()).collect();
        assert!(counts.is_empty(), "{counts:?}");
    }
    // A session of its own that is as young, on a system that is not, and without its smss.exe child.
    let session = |age: u64| {
        with(move |s| {
            let csrss = process(4408, 4400, "csrss.exe", Some(2), 4000 - age);
            add(s, Process { protection: Reading::Value(Hex(0x61)), ..csrss });
            s.machine.captured = at(4000);
        })
    };
    for age in [1, 50] {
        let findings = session(age);
        let found = outcome(&findings, "SES-05", None);
        assert!(!found.counts(), "{age} s: {found}");
    }
    let other = |age: u64| {
        with(move |s| {
            let csrss = process(4408, 4400, "csrss.exe", Some(2), 4000 - age);
            add(s, Process { protection: Reading::Value(Hex(0x61)), ..csrss });
            add(s, process(4500, 4400, "evil.exe", Some(2), 4000 - age));
            s.machine.captured = at(4000);
        })
    };
    assert_eq!(outcome(&other(90), "SES-05", None).severity, Some(Severity::High));
    // A master of an hour that is not critical stays one that was changed.
    let findings = with(|s| master(s).critical = Reading::Value(false));
    assert_eq!(outcome(&findings, "SMSS-015", MASTER).severity, Some(Severity::Medium));
}

#[test]
fn a_session_that_ends_is_clean() {
    let over = |s: &mut System| {
        let winlogon = find(s, 600);
        winlogon.exited = at(3970);
        winlogon.threads = Reading::Value(0);
    };
    let findings = with(over);
    assert_eq!(outcome(&findings, "SES-05", None).outcome, Pass, "session 0 is left to judge");
    let findings = with(|s| {
        over(s);
        s.machine.captured = at(4100);
    });
    assert_eq!(outcome(&findings, "SES-05", None).outcome, Violation);
}

#[test]
fn exited_children_and_reused_pids_are_clean() {
    let findings = with(|s| {
        let exited = Process {
            exited: at(21),
            threads: Reading::Value(0),
            peb_path: Reading::Nothing,
            command_line: Reading::Nothing,
            image_base: Reading::Nothing,
            critical: Reading::Value(false),
            ..smss(444, MASTER, Some(0), 19, "")
        };
        s.processes.items.insert(3, exited);
        // The other child's pid is a service's now.
        add(s, process(520, 640, "svchost.exe", Some(0), 21));
    });
    assert_eq!(findings.outcomes.iter().find(|outcome| outcome.counts()), None);
    let gone = outcome(&findings, "SES-03", None);
    assert_eq!(
        gone.observed.as_deref(),
        Some("session 0: 444 (smss.exe, exited); session 1: 520 (gone; svchost.exe has the pid now)")
    );
    assert_eq!(outcome(&findings, "SMSS-011", 444).outcome, NotApplicable);
}

#[test]
fn a_server_silo_is_clean() {
    let silo = VirtualAddress(0xffff_a000_0000_2000);
    let inside = |process| Process { silo: Reading::Value(silo), ..process };
    let container = |s: &mut System| {
        add(s, inside(smss(5000, MASTER, Some(4), 1000, SMSS_COMMAND)));
        add(
            s,
            inside(Process {
                protection: Reading::Value(Hex(0x61)),
                ..process(5012, 5000, "csrss.exe", Some(4), 1001)
            }),
        );
        add(s, inside(process(5020, 5000, "wininit.exe", Some(4), 1001)));
    };
    let findings = with(container);
    assert_eq!(findings.outcomes.iter().find(|outcome| outcome.counts()), None);
    assert_eq!(outcome(&findings, "SMSS-007", 5000).outcome, Pass);
    assert_eq!(outcome(&findings, "SMSS-006", None).outcome, Pass);
    let two = with(|s| {
        container(s);
        add(s, inside(smss(5100, MASTER, Some(4), 1000, SMSS_COMMAND)));
    });
    assert_eq!(outcome(&two, "SMSS-007", 5100).outcome, Violation);
}

#[test]
fn before_vista_the_master_stays_the_parent() {
    let xp = |s: &mut System| {
        s.kernel = Some(KernelInfo { build: Some(2600), arch: Some("x86".into()), ..KernelInfo::default() });
        s.machine.boot = at(4);
        s.processes.items.retain(|p| !["Registry", "wininit.exe"].iter().any(|name| p.is_named(name)));
        find(s, 4).created = Reading::Nothing;
        master(s).integrity = Reading::Nothing;
        for pid in [452, 536, 600] {
            find(s, pid).ppid = Reading::Value(MASTER);
        }
        find(s, 452).session = Reading::Value(0);
        add(s, process(460, MASTER, "winlogon.exe", Some(0), 20));
    };
    let findings = with(xp);
    assert_eq!(findings.outcomes.iter().find(|outcome| outcome.counts()), None);
    for id in ["SMSS-013", "SMSS-014", "SMSS-027"] {
        assert_eq!(outcome(&findings, id, MASTER).outcome, NotApplicable, "{id}");
    }
    assert_eq!(outcome(&findings, "SES-04", None).outcome, NotApplicable);
    assert_eq!(outcome(&findings, "SES-03", None).outcome, Pass);
    assert_eq!(outcome(&findings, "SMSS-009", MASTER).outcome, Pass);
    assert_eq!(outcome(&findings, "SMSS-012", MASTER).outcome, Pass, "by the boot time");
    // XP has no session children.
    let second = with(|s| {
        xp(s);
        add(s, smss(4400, MASTER, Some(2), 3990, CHILD));
    });
    assert_eq!(outcome(&second, "SMSS-006", None).outcome, Violation);
    // csrss of another creator.
    let other = with(|s| {
        xp(s);
        find(s, 536).ppid = Reading::Value(3000);
        find(s, 600).ppid = Reading::Value(3000);
    });
    assert_eq!(outcome(&other, "SES-03", None).outcome, Violation);
}

#[test]
fn preinstallation_and_other_roots() {
    let pe = with(|s| {
        s.machine.root = text("X:\\Windows");
        master(s).modules = Reading::Value(vec![SMSS_COMMAND.into(), "X:\\Windows\\SYSTEM32\\ntdll.dll".into()]);
        s.processes.items.retain(|p| p.session != Reading::Value(1));
        add(s, process(612, 444, "winlogon.exe", Some(0), 21));
        for process in &mut s.processes.items {
            if let Reading::Value(path) = &mut process.path {
                *path = path.replace("HarddiskVolume3", "Ramdisk{d9b257fc-684e-4dcb-ab79-03cfa2f6b750}");
            }
            if let Reading::Value(path) = &mut process.peb_path {
                *path = path.replace("C:\\", "X:\\");
            }
        }
    });
    assert_eq!(pe.outcomes.iter().find(|outcome| outcome.counts()), None);
    let unknown = with(|s| s.machine.root = gone());
    assert_eq!(outcome(&unknown, "SMSS-002", MASTER).outcome, Pass);
    assert_eq!(outcome(&unknown, "SMSS-002", MASTER).confidence, Some(Confidence::Medium));
    let other = with(|s| s.machine.root = text("D:\\WINNT"));
    assert_eq!(outcome(&other, "SMSS-002", MASTER).outcome, Violation);
}

#[test]
fn the_clock_excuses_only_what_it_can() {
    let stepped = |s: &mut System| {
        for pid in [640, 660, 800] {
            let process = find(s, pid);
            process.created = process.started().map_or(gone(), |at| Reading::Value(Timestamp(at.0 - 36_000_000_000)));
        }
    };
    let findings = with(stepped);
    assert_eq!(findings.outcomes.iter().find(|outcome| outcome.counts()), None);
    let late = with(|s| {
        stepped(s);
        master(s).created = at(16 + 700);
    });
    assert_eq!(outcome(&late, "SMSS-012", MASTER).severity, Some(Severity::High), "both stamps precede a step");
    let early = with(|s| {
        stepped(s);
        master(s).created = at(10);
    });
    assert_eq!(outcome(&early, "SMSS-012", MASTER).outcome, Unknown);
    assert_eq!(outcome(&with(|s| master(s).created = at(13)), "SMSS-012", MASTER).severity, Some(Severity::Low));
}

#[test]
fn bands_of_the_start() {
    // Sheet 1.4: -2..10 s pass, 10..60 s low, above 60 s medium, above 600 s high, before -2 s low; ticks of 100 ns.
    let second = 10_000_000_i64;
    for (ticks, severity) in [
        (-2 * second - 1, Some(Severity::Low)),
        (-2 * second, None),
        (10 * second, None),
        (10 * second + 1, Some(Severity::Low)),
        (60 * second, Some(Severity::Low)),
        (60 * second + 1, Some(Severity::Medium)),
        (600 * second, Some(Severity::Medium)),
        (600 * second + 1, Some(Severity::High)),
    ] {
        let findings = with(|s| {
            let system = find(s, 4).started().unwrap();
            master(s).created = Reading::Value(Timestamp(system.0.checked_add_signed(ticks).unwrap()));
        });
        assert_eq!(outcome(&findings, "SMSS-012", MASTER).severity, severity, "{ticks}");
    }
}

#[test]
fn sessions_under_the_live_master_are_odd() {
    let findings = with(|s| {
        for pid in [536, 600] {
            find(s, pid).ppid = Reading::Value(MASTER);
        }
    });
    // Sheet 4.1: a low oddity, in no sample.
    let creator = outcome(&findings, "SES-03", None);
    assert_eq!((creator.outcome, creator.severity), (Violation, Some(Severity::Low)));
}

#[test]
fn what_an_earlier_boot_left_in_memory() {
    let left = Process { sources: vec![Source::PoolScan], ..process(4800, 640, "svchost.exe", Some(0), 0) };
    let early_stamp = || Reading::Value(Timestamp(132_000_000_000_000_000));
    let early = Process { created: early_stamp(), ..left.clone() };
    let findings = with(|s| add(s, early));
    let leftover = outcome(&findings, "SMSS-021", 4800);
    assert_eq!(leftover.severity, Some(Severity::Info));
    assert!(leftover.guard.is_some());
    // Of the earlier boot's smss.exe, too, there may be something left. It is none of this machine's.
    let findings = with(|s| {
        let old = smss(360, 4, None, 0, SMSS_COMMAND);
        add(s, Process { created: early_stamp(), sources: vec![Source::PoolScan], ..old });
    });
    assert_eq!(findings.outcomes.iter().find(|outcome| outcome.counts()), None);
    assert_eq!(outcome(&findings, "SMSS-006", None).outcome, Pass);
    // Another view than the scan's means that the kernel still knows it.
    let findings = with(|s| {
        let sources = vec![Source::PoolScan, Source::CidTable];
        add(s, Process { created: early_stamp(), sources, ..left.clone() });
    });
    assert_eq!(outcome(&findings, "SMSS-021", 4800).severity, Some(Severity::High));
    let findings = with(|s| add(s, Process { created: at(30), ..left.clone() }));
    assert_eq!(outcome(&findings, "SMSS-021", 4800).severity, Some(Severity::High));
    let findings = with(|s| {
        add(s, left);
        s.processes.end = Some(ListEnd::Broken);
    });
    assert_eq!(outcome(&findings, "SMSS-021", None).outcome, Unknown, "a torn link loses processes, too");
}

#[test]
fn a_crash_dump_may_show_the_end() {
    let end = |s: &mut System| {
        master(s).exited = at(3999);
        master(s).threads = Reading::Value(0);
    };
    let crash = with(|s| {
        end(s);
        s.image = Some(ImageInfo { format: "crash_dump_full".into(), ..ImageInfo::default() });
    });
    assert_eq!(outcome(&crash, "SMSS-025", MASTER).severity, Some(Severity::Info));
    assert_eq!(outcome(&with(end), "SMSS-000", None).outcome, Violation);
    // An exit time alone, with threads running, is a lie or a smear.
    let torn = with(|s| master(s).exited = at(3999));
    assert_eq!(outcome(&torn, "SMSS-025", MASTER).severity, Some(Severity::High));
    assert_eq!(outcome(&torn, "SMSS-000", None).outcome, Unknown);
}

#[test]
fn names_that_only_look_similar() {
    let ssms = |directory: &str| Process {
        path: text(&format!("\\Device\\HarddiskVolume3\\{directory}\\Ssms.exe")),
        user: text("S-1-5-21-1-2-3-1001"),
        ..process(3300, 3000, "Ssms.exe", Some(1), 99)
    };
    let installed =
        with(|s| add(s, ssms("Program Files (x86)\\Microsoft SQL Server Management Studio 19\\Common7\\IDE")));
    assert_eq!(outcome(&installed, "SMSS-020", 3300).severity, Some(Severity::Info));
    let dropped = with(|s| add(s, ssms("Users\\a\\AppData")));
    assert_eq!(outcome(&dropped, "SMSS-020", 3300).severity, Some(Severity::High));
    let hidden =
        with(|s| add(s, Process { name: text("s\u{202e}exe.ssm"), ..process(3300, 3000, "x.exe", Some(1), 99) }));
    let line = outcome(&hidden, "SMSS-020", 3300).to_string();
    assert!(line.contains("\\u{202e}") && !line.contains('\u{202e}'), "{line}");
}

#[test]
fn known_children_pass_and_names_alone_do_not() {
    let exited = |pid, name: &str| Process {
        exited: at(18),
        threads: Reading::Value(0),
        ..process(pid, MASTER, name, None, 17)
    };
    let usual = with(|s| {
        add(s, exited(500, "autochk.exe"));
        add(s, exited(504, "poqexec.exe"));
    });
    assert_eq!(usual.outcomes.iter().find(|outcome| outcome.counts()), None);
    assert_eq!(outcome(&usual, "SMSS-019", 504).severity, Some(Severity::Info));
    let fake = with(|s| {
        add(s, Process { path: text("\\Device\\HarddiskVolume3\\Temp\\autochk.exe"), ..exited(500, "autochk.exe") })
    });
    assert_eq!(outcome(&fake, "SMSS-019", 500).severity, Some(Severity::High));
    let posix = with(|s| add(s, process(500, MASTER, "psxss.exe", Some(0), 17)));
    assert_eq!(outcome(&posix, "SMSS-019", 500).severity, Some(Severity::High), "gone since 9600");
}

#[test]
fn states_of_the_machine_excuse_what_they_explain_and_are_named() {
    let number =
        |number| RegistryValue { data: Reading::Value(RegistryData::Dword(number)), ..RegistryValue::default() };
    let child = |directory: &str| Process {
        path: text(&format!("\\Device\\HarddiskVolume3\\{directory}\\oobeldr.exe")),
        ..process(500, MASTER, "oobeldr.exe", None, 17)
    };
    let setting_up = |directory: &'static str, in_progress| {
        with(move |s| {
            let values = [("SystemSetupInProgress".to_owned(), number(in_progress))].into();
            let key = KeyRecord { values: Reading::Value(values), ..KeyRecord::default() };
            s.session_manager.setup = Reading::Value(key);
            add(s, child(directory));
        })
    };
    let findings = setting_up("Windows\\System32\\oobe", 1);
    let found = outcome(&findings, "SMSS-019", 500);
    assert_eq!(found.severity, Some(Severity::Low));
    assert!(found.guard.as_deref().is_some_and(|guard| guard.starts_with("setup in progress (")), "{:?}", found.guard);
    assert_eq!(findings.modes.len(), 1);
    assert_eq!(outcome(&setting_up("Temp", 1), "SMSS-019", 500).severity, Some(Severity::High));
    assert_eq!(outcome(&setting_up("Windows\\System32\\oobe", 0), "SMSS-019", 500).severity, Some(Severity::High));

    // Asleep for most of the time that the session child has been there.
    let slept = |seconds| {
        with(move |s| {
            s.machine.asleep = Reading::Value(seconds);
            add(s, smss(4400, MASTER, Some(2), 3000, CHILD));
        })
    };
    let woken = slept(960);
    assert_eq!(outcome(&woken, "SMSS-007", 4400).severity, Some(Severity::Info));
    assert!(outcome(&woken, "SMSS-007", 4400).guard.as_deref().unwrap().starts_with("resumed ("));
    assert_eq!(outcome(&slept(60), "SMSS-007", 4400).severity, Some(Severity::Medium));

    // The key of Windows PE on another system excuses nothing.
    let key = with(|s| {
        s.session_manager.mini_nt = Reading::Value(KeyRecord::default());
        add(s, process(612, 444, "winlogon.exe", Some(0), 21));
    });
    assert_eq!(outcome(&key, "SES-05", None).outcome, Violation);
}

#[test]
fn a_list_of_hostile_rows_is_judged_in_bounds() {
    let findings = with(|s| {
        for number in 0..3000 {
            add(s, Process { ppid: Reading::Value(4 * number), ..impostor(10_000 + 4 * number, 4) });
        }
    });
    assert_eq!(outcome(&findings, "SMSS-001", MASTER).outcome, Pass);
    assert!(findings.passed_over.iter().any(|words| words.contains("beyond the first")));
    assert_eq!(findings.verdict, Verdict::Violations);
}
