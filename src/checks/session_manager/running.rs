//! SMR-05: the registry against what csrss.exe runs with. Both are one string when the system starts: where they differ, the
//! registry was edited since, or the process's own account of itself.

use super::Answer;
use super::answer::shortened;
use super::keys::Keys;
use super::windows_line::{WindowsLine, is_shared_section};
use super::windows_value::VALUE;
use crate::Process;
use crate::checks::Why;
use crate::checks::case::ImagePath;
use crate::checks::places::path;
use crate::checks::rule::{About, Rule};
use crate::checks::words::{same, trim};
use crate::checks::{Outcome, Severity};

/// SMR-05: registry agrees with csrss's command line.
pub static AGAINST_CSRSS: Rule = Rule {
    id: "SMR-05",
    title: "registry agrees with csrss's command line",
    wrong: "registry differs from csrss's command line",
    core: false,
    attack: &["T1547"],
    about: About {
        what: "SubSystems\\Windows and the command line in the PEB of each running csrss.exe have the same program \
               and parameters, but for the spelling of paths.",
        why: "Both are one text when the system starts. A difference means that the registry was edited since (for \
               the next start), or the PEB.",
        benign: "Tuned sizes of the shared heaps alone: info. A container's csrss.exe was started by the container's \
               registry: not applicable.",
        source: "ReactOS base/system/smss/smsubsys.c; command lines of csrss.exe in listings.",
    },
    judge: |case, rule| against_csrss(&Keys::new(case), rule),
};

const EXPECTED: &str = "SubSystems\\Windows as it is in the registry";

/// One outcome for each running csrss.exe that is one.
fn against_csrss(keys: &Keys<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let is_other = |process: &Process| {
        matches!(keys.case.image_path(process, "\\System32\\csrss.exe"), ImagePath::Wrong(_))
            && !keys.case.silo_unknown(process)
            && process.silo.value().is_none()
    };
    let mut outcomes: Vec<Outcome> = keys
        .case
        .running("csrss.exe")
        .filter(|process| !is_other(process))
        .map(|process| judge(keys, rule, process))
        .collect();
    if outcomes.is_empty() {
        let mut answer = Answer::new(keys, rule, EXPECTED);
        answer.unknown("a running csrss.exe", "not in the list");
        outcomes.push(answer.judge());
    }
    outcomes
}

fn judge(keys: &Keys<'_>, rule: &Rule, csrss: &Process) -> Outcome {
    let key = keys.sub_systems();
    let mut answer = Answer::of(keys, Outcome::about(rule, csrss), EXPECTED);
    let registry = answer.text(key, VALUE);
    let runs = match csrss.command_line.value().map(|line| trim(line)) {
        Some(line) if !line.is_empty() => line,
        _ => {
            answer.unknown("the command line of csrss.exe", Why::no_value(&csrss.command_line));
            return answer.judge();
        }
    };
    let mut answer = answer.seen(csrss, "command_line", Some(runs.to_owned()));
    let Some(registry) = registry else { return answer.judge() };
    let differences = differences(keys, registry.unwrap_or_default(), runs);
    if differences.is_empty() {
        answer.pass("the same but for the spelling of paths");
        return answer.judge();
    }
    if is_in_silo(keys, csrss) {
        return answer.judge().not_applicable("A container's csrss.exe was started by the container's own registry.");
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
        answer.violation(key, VALUE, severity, shortened(&observed, 400), "the same in both");
        if tuned {
            answer.guard("the sizes of the shared heaps were tuned, which takes effect at the next start");
        }
    }
    answer.judge()
}

fn is_in_silo(keys: &Keys<'_>, process: &Process) -> bool {
    let sessions = keys.case.sessions;
    process.silo.value().is_some_and(|silo| !silo.is_null())
        || sessions.iter().any(|session| Some(&session.id) == process.session.value() && keys.case.is_silo(session))
}

/// Parameters that are not the same, with their values in the registry and in the process; the program is `program`.
fn differences(keys: &Keys<'_>, registry: &str, runs: &str) -> Vec<(String, String, String)> {
    let read = |text| WindowsLine::read(text).unwrap_or(WindowsLine { program: "", parameters: Vec::new() });
    let (registry, runs) = (read(registry), read(runs));
    let mut found = Vec::new();
    let agree = same(registry.program, runs.program)
        || match (path(registry.program), path(runs.program)) {
            (Some(a), Some(b)) => keys.case.root.agree(&a, &b),
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
