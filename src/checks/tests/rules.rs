//! Every rule: as it should be, with one thing wrong, with one thing missing.

use super::{
    CHILD, HEAP, MASTER, add, at, find, gone, holder, impostor, list, machine, master, outcome, process, smss, text,
    with, within,
};
use crate::checks::Judgement::{NotApplicable, Pass, Unknown, Violation};
use crate::checks::core::smss::BASELINE;
use crate::checks::{Findings, Severity, Verdict, check_smss, rules};
use crate::kernel::SectionFile;
use crate::process::Source;
use crate::{Hex, ListEnd, Process, Reading, System, VirtualAddress};

type Change = fn(&mut System);
type Case = (&'static str, Option<u64>, Severity, Change, Option<u64>, Change);

/// Rule, process of the violation, its severity, the change that brings it about, process of the unknown, the change for that.
const CASES: &[Case] = &[
    (
        "SMSS-000",
        None,
        Severity::High,
        |s| s.processes.items.retain(|p| !p.is_named("smss.exe")),
        None,
        |s| {
            s.processes.end = Some(ListEnd::Broken);
        },
    ),
    (
        "SMSS-001",
        Some(MASTER),
        Severity::High,
        |s| master(s).ppid = Reading::Value(3000),
        Some(MASTER),
        |s| master(s).ppid = gone(),
    ),
    (
        "SMSS-002",
        Some(MASTER),
        Severity::Critical,
        |s| master(s).path = text("\\Device\\HarddiskVolume3\\Windows\\smss.exe"),
        Some(MASTER),
        |s| {
            master(s).path = gone();
        },
    ),
    (
        "SMSS-003",
        Some(MASTER),
        Severity::High,
        |s| master(s).peb_path = text("C:\\Temp\\smss.exe"),
        Some(MASTER),
        |s| master(s).peb_path = gone(),
    ),
    (
        "SMSS-004",
        Some(MASTER),
        Severity::High,
        |s| {
            master(s).section_file =
                Reading::Value(SectionFile { delete_pending: true, name: "\\x".into(), ..SectionFile::default() });
        },
        Some(MASTER),
        |s| master(s).section_file = gone(),
    ),
    (
        "SMSS-005",
        Some(MASTER),
        Severity::Medium,
        |s| master(s).command_line = text("\\SystemRoot\\System32\\smss.exe -x"),
        Some(MASTER),
        |s| {
            master(s).command_line = gone();
        },
    ),
    ("SMSS-006", None, Severity::High, |s| add(s, impostor(3260, 4)), None, |s| s.processes.end = None),
    (
        "SMSS-007",
        Some(4400),
        Severity::Medium,
        |s| add(s, smss(4400, MASTER, Some(2), 3000, CHILD)),
        Some(4400),
        |s| {
            add(s, smss(4400, MASTER, Some(2), 3000, CHILD));
            s.machine.captured = gone();
        },
    ),
    (
        "SMSS-008",
        Some(MASTER),
        Severity::Critical,
        |s| master(s).user = text("S-1-5-20"),
        Some(MASTER),
        |s| master(s).user = gone(),
    ),
    (
        "SMSS-009",
        Some(MASTER),
        Severity::Medium,
        |s| {
            master(s).groups = Reading::Value(vec!["S-1-5-32-544".into(), "S-1-5-80-1-2".into()]);
        },
        Some(MASTER),
        |s| master(s).authentication_id = gone(),
    ),
    (
        "SMSS-010",
        Some(MASTER),
        Severity::Medium,
        |s| {
            let token = find(s, 660).token.clone();
            master(s).token = token;
        },
        Some(MASTER),
        |s| find(s, 800).token = gone(),
    ),
    (
        "SMSS-011",
        Some(MASTER),
        Severity::High,
        |s| master(s).session = Reading::Value(1),
        Some(MASTER),
        |s| master(s).session = gone(),
    ),
    (
        "SMSS-012",
        Some(MASTER),
        Severity::Medium,
        |s| master(s).created = at(16 + 61),
        Some(MASTER),
        |s| find(s, 4).created = gone(),
    ),
    (
        "SMSS-013",
        Some(MASTER),
        Severity::High,
        |s| master(s).protection = Reading::Value(Hex(0)),
        Some(MASTER),
        |s| master(s).protection = gone(),
    ),
    (
        "SMSS-014",
        Some(MASTER),
        Severity::High,
        |s| master(s).wow64 = Reading::Value(true),
        Some(MASTER),
        |s| master(s).wow64 = gone(),
    ),
    (
        "SMSS-015",
        Some(MASTER),
        Severity::Medium,
        |s| master(s).critical = Reading::Value(false),
        Some(MASTER),
        |s| master(s).critical = gone(),
    ),
    (
        "SMSS-016",
        Some(MASTER),
        Severity::High,
        |s| master(s).modules = Reading::Value(vec!["C:\\Temp\\ntdll.dll".into()]),
        Some(MASTER),
        |s| master(s).inside = gone(),
    ),
    (
        "SMSS-017",
        Some(MASTER),
        Severity::Critical,
        |s| master(s).image_base = Reading::Value(VirtualAddress(0x40_0000)),
        Some(MASTER),
        |s| {
            master(s).image_base = Reading::Value(VirtualAddress(0));
        },
    ),
    (
        "SMSS-018",
        Some(MASTER),
        Severity::High,
        |s| list(&mut within(s, MASTER).threads)[1].win32_start = Reading::Value(VirtualAddress(HEAP + 0x10)),
        Some(MASTER),
        |s| within(s, MASTER).threads_end = Reading::Value(ListEnd::Broken),
    ),
    (
        "SMSS-019",
        Some(444),
        Severity::High,
        |s| add(s, process(444, MASTER, "evil.exe", None, 17)),
        None,
        |s| s.processes.end = None,
    ),
    (
        "SMSS-020",
        Some(3300),
        Severity::High,
        |s| add(s, Process { user: text("S-1-5-21-1-2-3-1001"), ..process(3300, 3000, "smsss.exe", Some(1), 99) }),
        None,
        |s| {
            find(s, 800).path = gone();
        },
    ),
    (
        "SMSS-021",
        Some(800),
        Severity::High,
        |s| find(s, 800).sources = vec![Source::PoolScan],
        None,
        |s| {
            s.processes.items.iter_mut().for_each(|p| p.sources = vec![Source::ActiveList]);
        },
    ),
    (
        "SMSS-022",
        Some(MASTER),
        Severity::Medium,
        |s| list(&mut within(s, MASTER).held_by).push(holder(3000, "explorer.exe", 0x1f_ffff)),
        Some(MASTER),
        |s| within(s, MASTER).held_by_end = Reading::Value(ListEnd::Broken),
    ),
    (
        "SMSS-023",
        Some(MASTER),
        Severity::High,
        |s| master(s).win32_process = Reading::Value(VirtualAddress(1)),
        Some(MASTER),
        |s| {
            master(s).win32_process = gone();
        },
    ),
    (
        "SMSS-024",
        Some(MASTER),
        Severity::Medium,
        |s| master(s).name = text("svchost.exe"),
        Some(MASTER),
        |s| master(s).path = gone(),
    ),
    (
        "SMSS-025",
        Some(MASTER),
        Severity::High,
        |s| {
            master(s).exited = at(500);
            master(s).threads = Reading::Value(0);
        },
        Some(MASTER),
        |s| {
            master(s).exited = gone();
            master(s).threads = gone();
        },
    ),
    (
        "SMSS-026",
        Some(MASTER),
        Severity::Info,
        |s| master(s).base_priority = Reading::Value(8),
        Some(MASTER),
        |s| master(s).base_priority = gone(),
    ),
    (
        "SMSS-027",
        Some(MASTER),
        Severity::Info,
        |s| master(s).dynamic_code_disabled = Reading::Value(false),
        Some(MASTER),
        |s| {
            master(s).dynamic_code_disabled = gone();
        },
    ),
    (
        "SMSS-028",
        Some(MASTER),
        Severity::Info,
        |s| list(&mut within(s, MASTER).handles).clear(),
        Some(MASTER),
        |s| {
            list(&mut within(s, MASTER).handles).clear();
            within(s, MASTER).handles_end = Reading::Value(ListEnd::Broken);
        },
    ),
    (
        "SES-01",
        None,
        Severity::Medium,
        |s| s.processes.items.retain(|p| p.pid != Reading::Value(536)),
        None,
        |s| s.processes.end = None,
    ),
    (
        "SES-02",
        None,
        Severity::High,
        |s| find(s, 600).ppid = Reading::Value(3000),
        None,
        |s| find(s, 600).ppid = gone(),
    ),
    (
        "SES-03",
        None,
        Severity::High,
        |s| {
            let services = process(520, 640, "services.exe", Some(0), 20);
            s.processes.items.insert(4, services);
        },
        None,
        |s| s.processes.end = None,
    ),
    (
        "SES-04",
        None,
        Severity::High,
        |s| add(s, process(3400, 3000, "wininit.exe", Some(1), 99)),
        None,
        |s| s.processes.end = None,
    ),
    (
        "SES-05",
        None,
        Severity::High,
        |s| add(s, process(3400, 3000, "winlogon.exe", Some(1), 99)),
        None,
        |s| s.processes.end = None,
    ),
    (
        "SES-06",
        Some(452),
        Severity::Critical,
        |s| find(s, 452).path = text("\\Device\\HarddiskVolume3\\Temp\\csrss.exe"),
        Some(452),
        |s| {
            find(s, 452).path = gone();
        },
    ),
    (
        "SES-07",
        Some(800),
        Severity::Medium,
        |s| find(s, 800).token_session = Reading::Value(1),
        None,
        |s| find(s, 800).token_session = gone(),
    ),
];

#[test]
fn each_rule_passes_violates_and_is_unknown() {
    let clean = with(|_| {});
    for (id, pid, severity, violate, unknown_pid, spoil) in CASES {
        // A violation of a process that the clean machine does not have: the machine's outcome passes there.
        let before = clean.of(id).find(|outcome| outcome.pid == *pid || outcome.pid.is_none()).unwrap();
        assert_eq!(before.outcome, Pass, "{before}");
        let violated = with(violate);
        let after = outcome(&violated, id, *pid);
        assert_eq!((after.outcome, after.severity), (Violation, Some(*severity)), "{after}");
        assert!(after.observed.is_some() && after.expected.is_some(), "{after}");
        assert_eq!(violated.verdict == Verdict::Violations, *severity > Severity::Info, "{id}");
        let spoilt = with(spoil);
        let unknown = outcome(&spoilt, id, *unknown_pid);
        assert_eq!(unknown.outcome, Unknown, "{unknown}");
        let reason = unknown.reason.as_deref().unwrap();
        assert!(reason.starts_with(&format!("Not evaluated: {id} needs ")), "{reason}");
        assert!(reason.contains("This is not evidence that"), "{reason}");
    }
}

#[test]
fn every_rule_has_an_outcome_whatever_the_input() {
    for system in [System::default(), machine()] {
        let findings = check_smss(&system);
        for rule in rules() {
            assert!(findings.of(rule.id).next().is_some(), "{}", rule.id);
        }
        assert_eq!(findings.verdict, Verdict::Inconclusive, "the registry is not read");
        let judged = findings.outcomes.iter().filter(|outcome| outcome.outcome == Violation).count();
        assert_eq!(judged, 0);
    }
    let nothing = check_smss(&System::default());
    // The rules about page tables and other systems are about an image, and there is none.
    let (images, others): (Vec<_>, Vec<_>) =
        nothing.outcomes.iter().partition(|outcome| outcome.id.starts_with("SYS-"));
    assert!(others.iter().all(|outcome| outcome.outcome == Unknown));
    assert!(images.iter().all(|outcome| outcome.outcome == NotApplicable && outcome.reason.is_some()));
}

/// Every rule is in the table above, or in a test of its own.
#[test]
fn no_rule_is_left_out() {
    for rule in rules().filter(|rule| !rule.id.starts_with("SMR-")) {
        // What only an image shows is tested with forged ones.
        let elsewhere = ["SES-08", "SMSS-029"].contains(&rule.id) || rule.id.starts_with("SYS-");
        assert!(elsewhere || CASES.iter().any(|case| case.0 == rule.id), "{}", rule.id);
    }
}

#[test]
fn kinds_of_sessions() {
    assert_eq!(outcome(&with(|_| {}), "SES-08", None).outcome, Pass);
    let bare = with(|s| {
        s.processes.items.retain(|p| ![536, 600, 3000].contains(p.pid.value().unwrap()) || p.pid == Reading::Value(536))
    });
    assert_eq!(outcome(&bare, "SES-08", None).outcome, Unknown);
}

#[test]
fn unknowns_of_others_do_not_spoil_the_verdict() {
    let registry = |findings: &Findings| {
        findings
            .unknown()
            .filter(|outcome| BASELINE.rule(&outcome.id).unwrap().core)
            .map(|o| o.id.clone())
            .collect::<Vec<_>>()
    };
    let clean = registry(&with(|_| {}));
    assert!(clean.iter().all(|id| id.starts_with("SMR-")), "{clean:?}");
    let findings = with(|s| {
        let exited = Process {
            exited: at(21),
            threads: Reading::Value(0),
            user: gone(),
            path: gone(),
            ..smss(444, MASTER, Some(0), 19, "")
        };
        s.processes.items.insert(3, exited);
    });
    assert_eq!(outcome(&findings, "SMSS-008", 444).outcome, Unknown);
    // Only the registry's rules, unknown for the machine, keep this from being clean.
    let mut outcomes = findings.outcomes;
    outcomes.retain(|outcome| !outcome.id.starts_with("SMR-"));
    assert_eq!(Verdict::of(&BASELINE, &outcomes, Some(MASTER)), Verdict::Clean);
    assert_eq!(Verdict::of(&BASELINE, &outcomes, Some(444)), Verdict::Inconclusive);
}
