//! What somebody would forge who knows the rules.

use super::{
    CHILD, MASTER, SMSS_COMMAND, add, at, find, gone, impostor, list, master, outcome, process, smss, text, thread,
    with, within,
};
use crate::checks::Judgement::{NotApplicable, Pass, Unknown, Violation};
use crate::checks::{Severity, Verdict};
use crate::process::Source;
use crate::{Hex, ListEnd, Process, Reading, System, Timestamp, VirtualAddress};

fn severity(findings: &crate::checks::tests::Findings, id: &str, pid: impl Into<Option<u64>>) -> Option<Severity> {
    outcome(findings, id, pid).severity
}

/// A perfect copy of the master, made when nobody looked.
fn copy(second: u64) -> Process {
    smss(3260, 4, None, second, SMSS_COMMAND)
}

#[test]
fn a_perfect_copy_comes_too_late() {
    let findings = with(|s| add(s, copy(3000)));
    assert_eq!(severity(&findings, "SMSS-006", None), Some(Severity::High));
    assert_eq!(severity(&findings, "SMSS-012", 3260), Some(Severity::High));
    assert_eq!(outcome(&findings, "SMSS-012", MASTER).outcome, Pass);
    // In time, there are two all the same.
    assert_eq!(severity(&with(|s| add(s, copy(18))), "SMSS-006", None), Some(Severity::High));
    // It has exited: what it was is still said, and it is no instance any more.
    let over = with(|s| add(s, Process { exited: at(3100), threads: Reading::Value(0), inside: gone(), ..copy(3000) }));
    assert_eq!(severity(&over, "SMSS-012", 3260), Some(Severity::High));
    assert_eq!(outcome(&over, "SMSS-006", None).outcome, Pass);
    assert_eq!(over.verdict, Verdict::Violations);
}

#[test]
fn an_exit_that_was_written_into_a_running_process() {
    let running = |s: &mut System, exited, threads| {
        add(s, Process { exited, threads: Reading::Value(threads), ..copy(3000) });
        let mut running = thread(3264, crate::checks::tests::NTDLL + 0x1000, crate::checks::tests::NTDLL + 0x1000);
        running.pid = Reading::Value(3260);
        *list(&mut within(s, 3260).threads) = vec![running];
    };
    // No threads by the counter, and no exit time: the threads are there.
    let findings = with(|s| running(s, Reading::Nothing, 0));
    assert_eq!(severity(&findings, "SMSS-006", None), Some(Severity::High));
    let findings = with(|s| running(s, at(3100), 0));
    assert_eq!(outcome(&findings, "SMSS-006", None).outcome, Unknown);
}

#[test]
fn unlinked_from_the_active_list() {
    // The impostor hides.
    let findings = with(|s| add(s, Process { sources: vec![Source::CidTable], ..impostor(3260, 3000) }));
    for (id, pid) in [("SMSS-021", Some(3260)), ("SMSS-001", Some(3260)), ("SMSS-006", None)] {
        assert_eq!(severity(&findings, id, pid), Some(Severity::High), "{id}");
    }
    // The real one is hidden: it is found, and the machine has its master.
    let findings = with(|s| master(s).sources = vec![Source::CidTable]);
    assert_eq!(severity(&findings, "SMSS-021", MASTER), Some(Severity::High));
    assert_eq!(outcome(&findings, "SMSS-000", None).outcome, Pass);
    // One of two masters is only in the table of ids.
    let findings = with(|s| add(s, Process { sources: vec![Source::CidTable], ..copy(18) }));
    for (id, pid) in [("SMSS-021", Some(3260)), ("SMSS-006", None)] {
        assert_eq!(severity(&findings, id, pid), Some(Severity::High), "{id}");
    }
}

#[test]
fn paths_that_read_like_the_right_one() {
    for path in [
        "\\Device\\HarddiskVolume3\\Windows\\System32\\.\\smss.exe",
        "\\Device\\HarddiskVolume3\\Windows\\System32\\x\\..\\smss.exe",
        "\\Device\\HarddiskVolume3\\Windows \\System32\\smss.exe",
        "\\Device\\HarddiskVolume3\\Windows\\System32 \\smss.exe",
        "\\Device\\HarddiskVolume3\\Windows\\System32.\\smss.exe",
        "\\Device\\HarddiskVolume3\\Windows\\System32\\smss.exe:evil",
        "\\Device\\HarddiskVolume3\\Windows\\System32\\smss.exe.",
        "\\Device\\HarddiskVolume3\\Windows\\System32\\smss.exe ",
        "\\Device\\HarddiskVolume3\\\\Windows\\System32\\smss.exe",
        "\\Device\\HarddiskVolume3\\Windows/System32/smss.exe",
        "\\Device\\HarddiskVolume3\\Windows\\Sysnative\\smss.exe",
        "\\Device\\Mup\\server\\Windows\\System32\\smss.exe",
        &format!("\\Device\\HarddiskVolume3\\{}\\Windows\\System32\\smss.exe", "x".repeat(32_000)),
    ] {
        let findings = with(|s| add(s, Process { path: text(path), ..copy(18) }));
        assert_eq!(severity(&findings, "SMSS-002", 3260), Some(Severity::Critical), "{path:.100}");
        let findings = with(|s| master(s).path = text(path));
        assert_eq!(severity(&findings, "SMSS-002", MASTER), Some(Severity::Critical), "{path:.100}");
    }
    for path in [
        "\\Device\\HarddiskVolume3\\WINDOWS\\SYSTEM32\\SMSS.EXE",
        "\\Device\\harddiskvolume3\\windows\\system32\\smss.exe",
        "\\SystemRoot\\System32\\smss.exe",
    ] {
        assert_eq!(outcome(&with(|s| master(s).path = text(path)), "SMSS-002", MASTER).outcome, Pass, "{path}");
    }
}

#[test]
fn the_right_path_on_another_volume() {
    let path = || text("\\Device\\HarddiskVolume9\\Windows\\System32\\smss.exe");
    let findings = with(|s| add(s, Process { path: path(), ..impostor(3260, 3000) }));
    assert_eq!(severity(&findings, "SMSS-002", 3260), Some(Severity::High));
    assert_eq!(severity(&with(|s| master(s).path = path()), "SMSS-002", MASTER), Some(Severity::Info));
    // A container has a volume of its own.
    let silo = Reading::Value(VirtualAddress(0xffff_a000_0000_2000));
    let findings = with(|s| add(s, Process { path: path(), silo, ..smss(4400, MASTER, None, 3000, SMSS_COMMAND) }));
    assert_eq!(outcome(&findings, "SMSS-002", 4400).outcome, Pass);
    // The others do not agree, so that they tell nothing.
    let findings = with(|s| {
        master(s).path = path();
        find(s, 800).path = text("\\Device\\HarddiskVolume9\\Windows\\System32\\svchost.exe");
    });
    assert_eq!(outcome(&findings, "SMSS-002", MASTER).outcome, Pass);
}

#[test]
fn names_beside_the_name() {
    let named = |name: &'static str, path: &str| {
        let path = text(&format!("\\Device\\HarddiskVolume3\\{path}"));
        with(move |s| {
            add(s, Process { path, ..process(3300, 3000, name, Some(1), 300) });
            find(s, 3300).user = text("S-1-5-21-1-2-3-1001");
        })
    };
    // A stream's name, cut to the 14 characters of the field.
    for (name, path) in [
        ("smss.exe:evil", "Windows\\System32\\smss.exe:evil"),
        ("readme.txt:sms", "Users\\a\\readme.txt:smss.exe"),
        ("smss.exe ", "Users\\a\\smss.exe "),
        ("smss.exe.", "Users\\a\\smss.exe."),
        ("smss", "Users\\a\\smss"),
    ] {
        assert_eq!(severity(&named(name, path), "SMSS-020", 3300), Some(Severity::High), "{name}");
    }
    let upper = named("SMSS.EXE", "Users\\a\\SMSS.EXE");
    assert_eq!(severity(&upper, "SMSS-020", 3300), Some(Severity::Info), "case alone");
    for id in ["SMSS-001", "SMSS-002", "SMSS-008"] {
        assert_eq!(outcome(&upper, id, 3300).outcome, Violation, "{id}");
    }
}

#[test]
fn children_of_what_has_gone() {
    // 444 built session 0 and is not listed any more. A further program of `Required`, started by it:
    let evil = || process(456, 444, "evil.exe", Some(0), 20);
    let findings = with(|s| add(s, evil()));
    assert_eq!(severity(&findings, "SMSS-019", 456), Some(Severity::High));
    // Somebody else has that pid by now: that one's children are none of smss.
    let findings = with(|s| {
        add(s, process(444, 640, "svchost.exe", Some(0), 200));
        add(s, process(456, 444, "taskeng.exe", Some(0), 300));
    });
    assert!(findings.of("SMSS-019").all(|found| found.outcome != Violation));
    // Long after, or in another session, it was another process of that pid.
    for late in [
        process(456, 444, "evil.exe", Some(0), 30),
        process(456, 444, "evil.exe", Some(1), 20),
        process(456, 444, "evil.exe", None, 20),
    ] {
        let findings = with(|s| add(s, late));
        assert!(findings.of("SMSS-019").all(|found| found.outcome != Violation));
    }
    let findings = with(|s| {
        s.processes.items.insert(5, evil());
        add(s, process(444, 640, "svchost.exe", Some(0), 200));
    });
    assert_eq!(severity(&findings, "SMSS-019", 456), Some(Severity::High), "the pid's new owner is too young");
}

#[test]
fn a_child_of_the_wrong_age_or_parent() {
    let child = |ppid, second| smss(4400, ppid, Some(2), second, CHILD);
    // Older than the master that it names, on a clock that ran evenly.
    let old = |s: &mut System| {
        add(s, child(MASTER, 100));
        find(s, 4400).created =
            find(s, 4).started().map_or(gone(), |at| Reading::Value(Timestamp(at.0 - 36_000_000_000)));
    };
    assert_eq!(severity(&with(old), "SMSS-001", 4400), Some(Severity::Medium));
    // Others are older, too: the clock was set.
    let stepped = with(|s| {
        old(s);
        let stamp = find(s, 4400).created.clone();
        find(s, 640).created = stamp;
    });
    assert_eq!(outcome(&stepped, "SMSS-001", 4400).outcome, Pass);
    // The parent is a session child, a service, nobody.
    for ppid in [444, 640, 9996] {
        let findings = with(|s| add(s, child(ppid, 3990)));
        assert_eq!(severity(&findings, "SMSS-001", 4400), Some(Severity::High), "{ppid}");
    }
    // It never ends.
    assert_eq!(severity(&with(|s| add(s, child(MASTER, 3000))), "SMSS-007", 4400), Some(Severity::Medium));
}

#[test]
fn sessions_made_side_by_side() {
    let machine = |number: u64, processors: Option<u32>| {
        with(move |s| {
            s.machine.processors = processors.map_or(gone(), Reading::Value);
            for n in 0..number {
                add(s, smss(4400 + 4 * n, MASTER, Some(10 + u32::try_from(n).unwrap()), 3990, CHILD));
            }
        })
    };
    let most =
        |findings: &crate::checks::tests::Findings| findings.of("SMSS-007").find(|found| found.pid.is_none()).cloned();
    assert_eq!(most(&machine(4, Some(2))), None);
    assert_eq!(most(&machine(5, Some(2))).unwrap().severity, Some(Severity::Low));
    assert_eq!(most(&machine(5, Some(8))).unwrap().outcome, Pass);
    assert_eq!(most(&machine(9, Some(8))).unwrap().severity, Some(Severity::Low));
    assert_eq!(most(&machine(5, None)).unwrap().outcome, Unknown);
}

#[test]
fn tokens_and_protections_in_between() {
    let medium = with(|s| master(s).integrity = text("S-1-16-8192"));
    assert_eq!(severity(&medium, "SMSS-009", MASTER), Some(Severity::Medium));
    assert_eq!(outcome(&medium, "SMSS-008", MASTER).outcome, Pass);
    // A type of none protects from nobody, whoever the signer; a lower signer lets more in; more protection is worth knowing.
    for (level, worst) in [
        (0x60, Severity::High),
        (0x70, Severity::High),
        (0x68, Severity::High),
        (0x01, Severity::Medium),
        (0x31, Severity::Medium),
        (0x41, Severity::Medium),
        (0x81, Severity::Medium),
        (0x63, Severity::Medium),
        (0x62, Severity::Info),
        (0x69, Severity::Info),
        (0x72, Severity::Info),
    ] {
        let findings = with(|s| master(s).protection = Reading::Value(Hex(level)));
        assert_eq!(severity(&findings, "SMSS-013", MASTER), Some(worst), "{level:x}");
    }
    let lsass = with(|s| {
        let token = find(s, 660).token.clone();
        master(s).token = token;
    });
    assert_eq!(severity(&lsass, "SMSS-010", MASTER), Some(Severity::Medium));
}

#[test]
fn system_is_missing_from_a_list_that_is_said_to_be_whole() {
    let findings = with(|s| s.processes.items.retain(|p| p.pid != Reading::Value(4)));
    assert_eq!(outcome(&findings, "SMSS-012", MASTER).outcome, Unknown);
    assert_eq!(findings.verdict, Verdict::Inconclusive);
    assert!(findings.outcomes.iter().all(|found| !found.counts()));
}

#[test]
fn an_impostor_in_a_container() {
    let silo = Reading::Value(VirtualAddress(0xffff_a000_0000_2000));
    let inside = |process| Process { silo: silo.clone(), ..process };
    let container = |s: &mut System| {
        add(s, inside(smss(5000, MASTER, None, 1000, SMSS_COMMAND)));
        let csrss = process(5012, 5000, "csrss.exe", Some(4), 1001);
        add(s, inside(Process { protection: Reading::Value(Hex(0x61)), ..csrss }));
        add(s, inside(process(5020, 5000, "wininit.exe", Some(4), 1001)));
    };
    let findings = with(|s| {
        container(s);
        add(s, inside(Process { session: Reading::Value(4), ..impostor(5200, 5020) }));
    });
    for (id, worst) in
        [("SMSS-001", Severity::High), ("SMSS-002", Severity::Critical), ("SMSS-008", Severity::Critical)]
    {
        assert_eq!(severity(&findings, id, 5200), Some(worst), "{id}");
        assert_eq!(outcome(&findings, id, 5000).outcome, Pass, "the container's own: {id}");
    }
    // With the master as its parent, it is one too many in its container.
    let findings = with(|s| {
        container(s);
        add(s, inside(Process { session: Reading::Value(4), ..impostor(5200, MASTER) }));
    });
    for id in ["SMSS-002", "SMSS-007", "SMSS-008"] {
        assert_eq!(outcome(&findings, id, 5200).outcome, Violation, "{id}");
    }
    // Several containers, one smss.exe each.
    let findings = with(|s| {
        container(s);
        let other = Reading::Value(VirtualAddress(0xffff_a000_0000_3000));
        let inside = |process| Process { silo: other.clone(), ..process };
        add(s, inside(smss(6000, MASTER, None, 2000, SMSS_COMMAND)));
        let csrss = process(6012, 6000, "csrss.exe", Some(6), 2001);
        add(s, inside(Process { protection: Reading::Value(Hex(0x61)), ..csrss }));
        add(s, inside(process(6020, 6000, "wininit.exe", Some(6), 2001)));
    });
    assert_eq!(findings.outcomes.iter().find(|found| found.counts()), None);
    for pid in [5000, 6000] {
        assert_eq!(outcome(&findings, "SMSS-007", pid).outcome, Pass);
        assert_eq!(outcome(&findings, "SMSS-012", pid).outcome, NotApplicable);
    }
}

#[test]
fn views_that_lack_somebody_or_were_not_read() {
    use crate::process::ProcessView;
    let views = |s: &mut System, end| {
        let view = ProcessView { source: Source::CidTable, end: Reading::Value(end), ..ProcessView::default() };
        s.processes.views = vec![view];
        for process in &mut s.processes.items {
            process.sources = vec![Source::ActiveList, Source::CidTable];
        }
    };
    let findings = with(|s| views(s, ListEnd::Complete));
    assert_eq!(findings.of("SMSS-021").map(|found| found.outcome).collect::<Vec<_>>(), [Pass]);
    assert_eq!(outcome(&with(|s| views(s, ListEnd::Broken)), "SMSS-021", None).outcome, Unknown);
    // Taken off the table of ids, and still in the list.
    let without = |s: &mut System| find(s, 800).sources = vec![Source::ActiveList];
    let findings = with(|s| {
        views(s, ListEnd::Complete);
        without(s);
    });
    assert_eq!(severity(&findings, "SMSS-021", 800), Some(Severity::Info));
    let findings = with(|s| {
        views(s, ListEnd::Broken);
        without(s);
    });
    assert!(findings.of("SMSS-021").all(|found| found.outcome == Unknown));
    // Its threads are gone by the counter alone.
    let findings = with(|s| {
        views(s, ListEnd::Complete);
        let mut hidden = Process { threads: Reading::Value(0), sources: vec![Source::CidTable], ..copy(3000) };
        let mut running = thread(3264, crate::checks::tests::NTDLL + 0x1000, crate::checks::tests::NTDLL + 0x1000);
        running.pid = Reading::Value(3260);
        if let Reading::Value(inside) = &mut hidden.inside {
            inside.threads = Reading::Value(vec![running]);
        }
        add(s, hidden);
    });
    assert_eq!(severity(&findings, "SMSS-021", 3260), Some(Severity::High));
}
