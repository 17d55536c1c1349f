//! What the renderings promise: 80 columns, nothing unescaped, nothing left out.

use super::{Palette, findings, process_tree, processes, sessions};
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

fn all(palette: &Palette) -> [String; 4] {
    let system = system();
    let picture = &Picture::new(&system);
    let mut texts = [const { String::new() }; 4];
    processes(&mut texts[0], picture, palette).unwrap();
    process_tree(&mut texts[1], picture, palette).unwrap();
    sessions(&mut texts[2], picture, palette).unwrap();
    findings(&mut texts[3], &check_smss(&system), palette).unwrap();
    texts
}

#[test]
fn lines_fit_and_hostile_names_do_no_harm() {
    for text in all(&Palette::default()) {
        for line in text.lines() {
            // An escaped name takes the room that it needs.
            assert!(line.chars().count() <= 80 || line.contains("\\u{"), "{line}");
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        }
    }
}

#[test]
fn every_process_is_in_every_list() {
    let [list, tree, sessions, _] = all(&Palette::default());
    for pid in system().processes.items.iter().filter_map(|process| process.pid.value()) {
        assert!(list.lines().any(|line| line.starts_with(&format!("{pid:>6} "))), "{pid}");
        assert!(tree.contains(&format!("({pid})")), "{pid}");
        assert!(sessions.contains(&format!("({pid})")), "{pid}");
    }
}

#[test]
fn what_one_vanished_process_started_stays_together() {
    let [_, tree, ..] = all(&Palette::default());
    let lines: Vec<&str> = tree.lines().collect();
    let at = lines.iter().position(|line| *line == "[444, not listed]").unwrap();
    assert!(lines[at + 1].starts_with("  csrss.exe (452)"));
    assert!(lines[at + 2].starts_with("  wininit.exe (528)"));
}

#[test]
fn unknowns_are_said_with_their_reason() {
    let [.., checks] = all(&Palette::default());
    assert!(checks.starts_with("smss: "));
    assert!(checks.contains("Not evaluated, which is no evidence of anything normal:"));
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
        from: None,
    };
    let mut system = system();
    let mut impostor = row(3260, 600, "smss.exe");
    impostor.located.insert("ppid".into(), at);
    system.processes.items.push(impostor);
    let mut text = String::new();
    findings(&mut text, &check_smss(&system), &Palette::default()).unwrap();
    let place = "  at        _EPROCESS.InheritedFromUniqueProcessId of 3260\n            \
                 virtual 0xffff97a9ec0165a0 physical 0x0000000001ca05a0\n";
    assert!(text.contains(place), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn colours_change_nothing_else() {
    let plain = all(&Palette::default()).concat();
    let mut coloured = all(&Palette::ANSI).concat();
    assert_ne!(coloured, plain);
    for code in ["1", "32", "33", "1;31", "2", "0"] {
        coloured = coloured.replace(&format!("\u{1b}[{code}m"), "");
    }
    assert_eq!(coloured, plain);
}
