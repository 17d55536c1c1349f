//! SMR-05: the registry against what csrss.exe runs with. Both are one string when the system starts: where they differ, the
//! registry was edited since, or the process's own account of itself.

use super::Sheet;
use super::ground::Ground;
use super::places::path;
use super::sheet::shortened;
use super::windows_line::{WindowsLine, is_shared_section};
use super::windows_value::VALUE;
use crate::Process;
use crate::checks::paths::same;
use crate::checks::scene::{ImagePath, describe};
use crate::checks::{Outcome, Severity};

const ID: &str = "SMR-05";
const EXPECTED: &str = "SubSystems\\Windows as it is in the registry";

/// One outcome for each running csrss.exe that is one.
pub(super) fn against_csrss(ground: &Ground<'_>) -> Vec<Outcome> {
    let is_other = |process: &Process| {
        matches!(ground.scene.image_path(process, "\\System32\\csrss.exe"), ImagePath::Wrong(_))
            && !ground.scene.silo_unknown(process)
            && process.silo.value().is_none()
    };
    let mut outcomes: Vec<Outcome> = ground
        .scene
        .running("csrss.exe")
        .filter(|process| !is_other(process))
        .map(|process| judge(ground, process))
        .collect();
    if outcomes.is_empty() {
        let mut sheet = Sheet::new(ground, ID, EXPECTED);
        sheet.unknown("a running csrss.exe", "not in the list");
        outcomes.push(sheet.judge());
    }
    outcomes
}

fn judge(ground: &Ground<'_>, csrss: &Process) -> Outcome {
    let key = ground.sub_systems();
    let mut sheet = Sheet::of(ground, Outcome::about(ID, csrss), EXPECTED);
    let registry = sheet.text(key, VALUE);
    let runs = match csrss.command_line.value().map(|line| line.trim()) {
        Some(line) if !line.is_empty() => line,
        _ => {
            sheet.unknown("the command line of csrss.exe", describe(&csrss.command_line));
            return sheet.judge();
        }
    };
    let mut sheet = sheet.seen(csrss, "command_line", Some(runs.to_owned()));
    let Some(registry) = registry else { return sheet.judge() };
    let differences = differences(ground, registry.unwrap_or_default(), runs);
    if differences.is_empty() {
        sheet.pass("the same but for the spelling of paths");
        return sheet.judge();
    }
    if is_in_silo(ground, csrss) {
        return sheet.judge().not_applicable("A container's csrss.exe was started by the container's own registry.");
    }
    let tuned = differences.iter().all(|(name, registry, runs)| {
        same(name, "SharedSection") && is_shared_section(registry, 2..=3) && is_shared_section(runs, 2..=3)
    });
    for (name, registry, runs) in differences {
        let words = |side: &str, value: &str| {
            if value.is_empty() { format!("{side} has no {name}") } else { format!("{side} has {name}={value}") }
        };
        let observed = format!("{}, {}", words("the registry", &registry), words("csrss.exe", &runs));
        let severity = if tuned { Severity::Info } else { Severity::High };
        sheet.violation(key, VALUE, severity, shortened(&observed, 400), "the same in both");
        if tuned {
            sheet.guard("the sizes of the shared heaps were tuned, which takes effect at the next start");
        }
    }
    sheet.judge()
}

fn is_in_silo(ground: &Ground<'_>, process: &Process) -> bool {
    let sessions = ground.scene.sessions;
    process.silo.value().is_some_and(|silo| !silo.is_null())
        || sessions.iter().any(|session| Some(&session.id) == process.session.value() && ground.scene.is_silo(session))
}

/// Parameters that are not the same, with their values in the registry and in the process; the program is `program`.
fn differences(ground: &Ground<'_>, registry: &str, runs: &str) -> Vec<(String, String, String)> {
    let read = |text| WindowsLine::read(text).unwrap_or(WindowsLine { program: "", parameters: Vec::new() });
    let (registry, runs) = (read(registry), read(runs));
    let mut found = Vec::new();
    let agree = same(registry.program, runs.program)
        || match (path(registry.program), path(runs.program)) {
            (Some(a), Some(b)) => ground.scene.root.agree(&a, &b),
            _ => false,
        };
    if !agree {
        found.push(("program".to_owned(), registry.program.to_owned(), runs.program.to_owned()));
    }
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in registry.parameters.iter().chain(&runs.parameters) {
        if !names.iter().any(|known| same(known, name)) {
            names.push(name);
        }
    }
    for name in names {
        let all = |line: &WindowsLine<'_>| line.values(name).collect::<Vec<_>>().join(" ");
        let present = |line: &WindowsLine<'_>| line.values(name).count();
        let (a, b) = (all(&registry), all(&runs));
        if !same(&a, &b) || present(&registry) != present(&runs) {
            found.push((name.to_owned(), a, b));
        }
    }
    found
}
