//! Names that are meant to be read as smss.exe: SMSS-020.

use super::resemblance::{Likeness, likeness};
use crate::Process;
use crate::checks::case::Case;
use crate::checks::core::SYSTEM_PID;
use crate::checks::paths::VolumePath;
use crate::checks::places::{Place, place};
use crate::checks::rule::{About, MASQUERADE, Rule};
use crate::checks::{Confidence, Outcome, Severity};

/// SMSS-020: no look-alike names.
pub static LOOK_ALIKE: Rule = Rule {
    id: "SMSS-020",
    title: "no look-alike names",
    wrong: "a name that reads as smss.exe",
    core: false,
    attack: &[MASQUERADE, "T1036.002"],
    about: About {
        what: "No process has a name or file name one letter off smss.exe, with look-alike letters of other \
               alphabets, invisible characters, turned text direction, a doubled or other executable extension, or \
               a space or dot at its end.",
        why: "People and tools that look for the name pass over such names.",
        benign: "Ssms.exe is SQL Server Management Studio, which can be installed anywhere: info where users cannot \
               write. Programs under Program Files and those of Configuration Manager are info, and so is another \
               case, since Windows does not tell case apart. A name one letter off, outside of Windows and of what \
               users can write to, without other signs: low.",
        source: "MITRE ATT&CK T1036.002 and T1036.005; Sigma rule on homoglyphs; MemProcFS-Analyzer (edit distance).",
    },
    judge: look_alikes,
};

/// One outcome for each look-alike, and one for the rest.
fn look_alikes(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = case.rows.iter().filter_map(|(_, process)| judge(case, rule, process)).collect();
    outcomes.push(the_rest(case, rule, outcomes.len()));
    outcomes
}

fn judge(case: &Case<'_>, rule: &Rule, process: &Process) -> Option<Outcome> {
    let path = process.path.value().and_then(|path| VolumePath::read(path));
    let of_name = process.name.value().map(|name| (name.as_str(), likeness(name)));
    let of_file = path.as_ref().map(|path| (path.base_name(), likeness(path.base_name())));
    let (text, likeness) = of_name
        .into_iter()
        .chain(of_file)
        .filter_map(|(text, likeness)| Some((text, likeness?)))
        .max_by_key(|(_, likeness)| likeness.strength())?;
    let outcome = Outcome::about(rule, process)
        .observed(format!("{} ({})", text.escape_debug(), likeness.words()))
        .expected("no name that reads as smss.exe")
        .seen(process, "name", process.name.value().cloned())
        .seen(process, "path", process.path.value().cloned());

    let master = case.master().and_then(|master| master.process.pid.value());
    let ppid = process.ppid.value();
    let by_system = ppid.is_some() && (ppid == Some(&SYSTEM_PID) || ppid == master);
    let by_user = process.user.value().is_some_and(|user| user.starts_with("S-1-5-21-"));
    let installed = path.as_ref().is_some_and(VolumePath::in_program_files);
    // Where users can write, or among the programs of Windows.
    let placed = process
        .path
        .value()
        .is_some_and(|path| matches!(place(&case.root, path), Place::Writable | Place::System32 | Place::SystemRoot));
    let outcome = match likeness {
        Likeness::Case => return Some(outcome.guard("Windows does not tell case apart").violation(Severity::Info)),
        Likeness::Near(ref stem) => {
            let benign = if installed {
                Some("installed under Program Files")
            } else if path.as_ref().is_some_and(|path| case.root.holds_below(path, "\\CCM")) {
                Some("Configuration Manager")
            } else if stem == "ssms" && !placed && path.as_ref().is_none_or(|path| !path.is_remote()) {
                Some("SQL Server Management Studio has this name, and can be installed anywhere")
            } else {
                None
            };
            if let Some(guard) = benign.filter(|_| !by_system) {
                return Some(outcome.guard(guard).confidence(Confidence::Medium).violation(Severity::Info));
            }
            outcome.confidence(Confidence::Medium)
        }
        Likeness::Disguised(_) => outcome,
    };
    let disguised = matches!(likeness, Likeness::Disguised(_));
    let severity = if by_system || (placed && by_user) {
        Severity::High
    } else if disguised || placed || path.as_ref().is_some_and(VolumePath::is_remote) {
        Severity::Medium
    } else {
        Severity::Low
    };
    Some(outcome.violation(severity))
}

fn the_rest(case: &Case<'_>, rule: &Rule, found: usize) -> Outcome {
    let outcome =
        Outcome::new(rule, None).observed(format!("{found} look-alikes")).expected("no name that reads as smss.exe");
    if case.rows.is_empty() {
        return outcome.unknown("a process list", "empty");
    }
    if let Some(part) = case.part_reason() {
        return outcome.unknown("the whole process list", part);
    }
    if let Some(unread) = case.unread() {
        return outcome.unknown("every process that sources lead to", unread);
    }
    let unread = |process: &Process| process.name.absent().is_some() || process.path.absent().is_some();
    let number = case.rows.iter().filter(|(_, process)| !process.has_exited() && unread(process)).count();
    if number > 0 {
        return outcome.unknown("a name and path for every process", format!("not read for {number} of them"));
    }
    outcome.pass()
}
