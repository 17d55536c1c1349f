//! What the renderings promise: 80 columns, nothing unescaped, nothing left out.

use super::{FindingsOptions, ListOptions, Palette, Report, TextStyle, findings, process_tree, processes, sessions};
use crate::{Picture, Process, Reading, System, Timestamp, check_smss};

fn row(pid: u64, ppid: u64, name: &str) -> Process {
    Process {
        pid: Reading::Value(pid),
        ppid: Reading::Value(ppid),
        name: Reading::Value(name.into()),
        created: Reading::Value(Timestamp(133_000_000_000_000_000 + pid)),
        session: Reading::Value(1),
        user: Reading::Value("S-1-5-21-1004336348-1177238915-682003330-1001".into()),
        exited: Reading::Nothing,
        ..Process::default()
    }
}

fn system() -> System {
    let mut system = System::default();
    let items = [
        row(4, 0, "System"),
        row(348, 4, "smss.exe"),
        row(452, 444, "csrss.exe"),
        row(456, 500, "a.exe"),
        row(528, 444, "wininit.exe"),
        row(600, 348, "ev\u{1b}[2Jil\u{202e}.exe"),
    ];
    system.processes.items = items.into_iter().chain((0..40).map(|n| row(1000 + 4 * n, 600, "svchost.exe"))).collect();
    system
}

fn checked(system: System) -> Report {
    let mut report = Report::new(system);
    report.checks.push(check_smss(&report.system));
    report.run.image = Some("mem.raw".into());
    report
}

fn all(style: &TextStyle) -> [String; 4] {
    let report = checked(system());
    let picture = Picture::new(&report.system);
    let pages = [
        processes(&picture, &ListOptions::default()),
        process_tree(&picture),
        sessions(&picture),
        findings(&report, &picture, FindingsOptions::default()),
    ];
    pages.map(|page| page.text(style))
}

/// Cut to the width of a terminal.
const CUT: TextStyle = TextStyle { width: 80, cut: true, palette: Palette::NONE };

#[test]
fn lines_fit_and_hostile_names_do_no_harm() {
    for text in all(&CUT) {
        for line in text.lines() {
            // An escaped name takes the room that it needs, and a command is one line.
            let whole = line.contains("\\u{") || line.contains(" ntmem ");
            assert!(line.chars().count() <= 80 || whole, "{line}");
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        }
    }
}

#[test]
fn every_process_is_in_every_list() {
    let [list, tree, sessions, _] = all(&TextStyle::default());
    for pid in system().processes.items.iter().filter_map(|process| process.pid.value()) {
        assert!(list.lines().any(|line| line.starts_with(&format!("{pid:>6} "))), "{pid}");
        assert!(tree.contains(&format!("({pid})")), "{pid}");
        assert!(sessions.contains(&format!("({pid})")), "{pid}");
    }
}

#[test]
fn what_one_vanished_process_started_stays_together() {
    let [_, tree, ..] = all(&TextStyle::default());
    let lines: Vec<&str> = tree.lines().collect();
    let at = lines.iter().position(|line| *line == "[444, not listed]").unwrap();
    assert!(lines[at + 1].starts_with("  csrss.exe (452)"));
    assert!(lines[at + 2].starts_with("  wininit.exe (528)"));
}

#[test]
fn unknowns_are_said_with_their_reason() {
    let [.., checks] = all(&TextStyle::default());
    assert!(checks.starts_with("smss: "));
    assert!(checks.contains("Not evaluated, which is not proof that it is normal:"));
    let joined = checks.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        joined.contains("SMSS-002 (348), SES-06 (452) need the kernel's path of the image, which was not collected"),
        "{joined}"
    );
}

#[test]
fn addresses_stand_below_what_they_belong_to() {
    let at = crate::Location {
        structure: "_EPROCESS".into(),
        field: "InheritedFromUniqueProcessId".into(),
        r#virtual: Some(crate::VirtualAddress(0xffff_97a9_ec01_65a0)),
        physical: Some(crate::PhysicalAddress(0x1ca_05a0)),
        ..crate::Location::default()
    };
    let mut system = system();
    let mut impostor = row(3260, 600, "smss.exe");
    impostor.located.insert("ppid".into(), at);
    system.processes.items.push(impostor);
    let report = checked(system);
    let text = findings(&report, &Picture::new(&report.system), FindingsOptions::default()).text(&CUT);
    let place = "  at        _EPROCESS.InheritedFromUniqueProcessId of 3260\n            \
                 virtual 0xffff97a9ec0165a0 physical 0x0000000001ca05a0\n";
    assert!(text.contains(place), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80 || line.contains(" ntmem ")), "{text}");
}

#[test]
fn colours_change_nothing_else() {
    let plain = all(&CUT).concat();
    let mut coloured = all(&TextStyle { palette: Palette::ANSI, ..CUT }).concat();
    assert_ne!(coloured, plain);
    for code in ["1", "32", "33", "1;31", "2", "0"] {
        coloured = coloured.replace(&format!("\u{1b}[{code}m"), "");
    }
    assert_eq!(coloured, plain);
}

/// The report of these outcomes.
fn told(outcomes: Vec<crate::Outcome>, verdict: crate::Verdict) -> String {
    let mut report = checked(system());
    report.checks[0].outcomes = outcomes;
    report.checks[0].verdict = verdict;
    report.checks[0].away = None;
    findings(&report, &Picture::new(&report.system), FindingsOptions::default()).text(&WIDE)
}

/// No line is broken.
const WIDE: TextStyle = TextStyle { width: usize::MAX, cut: false, palette: Palette::NONE };

fn outcome(id: &str, pid: Option<u64>) -> crate::Outcome {
    crate::Outcome::new(crate::checks::rules().find(|rule| rule.id == id).unwrap(), pid)
}

#[test]
fn what_was_not_judged_is_not_as_windows_makes_it() {
    let open = |outcome: crate::Outcome| outcome.unknown("the key", "unreadable: paged out");
    let judged = vec![outcome("SMSS-001", Some(348)).pass(), outcome("SMR-10", None).pass()];
    let fine = told(judged.clone(), crate::Verdict::Clean);
    assert!(fine.contains("nothing wrong (1 passed)") && fine.contains("as Windows makes it (1 passed)"), "{fine}");
    // SMR-01 and SMSS-002 decide; SMSS-014 does not.
    let deciding = [judged.clone(), vec![open(outcome("SMSS-002", Some(348))), open(outcome("SMR-01", None))]].concat();
    let part = told(deciding, crate::Verdict::Inconclusive);
    assert_eq!(part.matches("not all could be judged (1 passed, 1 not evaluated)").count(), 2, "{part}");
    assert!(!part.contains("nothing wrong") && !part.contains("as Windows makes it"), "{part}");
    let beside = told([judged, vec![open(outcome("SMSS-014", Some(348)))]].concat(), crate::Verdict::Clean);
    assert!(beside.contains("nothing wrong, as far as it could be judged (1 passed, 1 not evaluated)"), "{beside}");
}

#[test]
fn inconclusive_says_because_of_what() {
    // Of the master, a core rule that cannot be judged decides, and another does not.
    let system = System {
        processes: crate::ProcessList {
            items: vec![
                row(4, 0, "System"),
                Process { user: crate::Reading::Value("S-1-5-18".into()), ..row(348, 4, "smss.exe") },
            ],
            ..Default::default()
        },
        ..System::default()
    };
    let report = checked(system);
    let bad: Vec<_> = report.checks[0].violations().map(ToString::to_string).collect();
    assert_eq!(report.checks[0].verdict, crate::Verdict::Inconclusive, "{bad:?}");
    let brief = findings(&report, &Picture::new(&report.system), FindingsOptions { brief: true }).text(&WIDE);
    assert!(brief.contains("\n  because SMSS-"), "{brief}");
    for line in brief.lines().filter(|line| line.starts_with("  because ")) {
        let id = line.split_whitespace().nth(1).unwrap().trim_end_matches(',');
        assert!(report.checks[0].of(id).any(|outcome| outcome.decides), "{line}");
    }
}

/// A list that Windows does not keep holds nobody; one that could not be read is not known.
#[test]
fn a_list_that_is_not_kept_is_empty() {
    use crate::process::{ProcessView, Source};
    let view = |source, why: crate::Absent| ProcessView {
        source,
        processes: Reading::Absent(why.clone()),
        end: Reading::Absent(why),
        ..ProcessView::default()
    };
    let mut system = system();
    system.processes.views = vec![
        view(Source::MmList, crate::Absent::not_applicable("it is not kept here")),
        view(Source::HandleTables, crate::Absent::unreadable("paged out")),
    ];
    let text = super::cross_view(&Picture::new(&system)).text(&WIDE);
    assert!(text.contains("(MmProcessLinks): 0 (it is not kept here)"), "{text}");
    assert!(text.contains("not available (unreadable: paged out)"), "{text}");
}
