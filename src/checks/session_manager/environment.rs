//! SMR-16: variables that every process is born with.

use super::Answer;
use super::answer::shortened;
use super::keys::{HiveKey, Keys};
use crate::ModeKind;
use crate::checks::places::{Place, path, place};
use crate::checks::rule::{About, Rule};
use crate::checks::words::same;
use crate::checks::{Outcome, Severity};

/// SMR-16: Environment.
pub static ENVIRONMENT: Rule = Rule {
    id: "SMR-16",
    title: "Environment",
    wrong: "environment brings foreign code into processes, or weakens them",
    core: false,
    attack: &["T1574.007", "T1574.012"],
    about: About {
        what: "In Session Manager\\Environment, ComSpec is cmd.exe of System32, windir is the system root, no \
               directory that users can write to stands before System32 in Path, and no profiler of .NET is named.",
        why: "Every process is born with these variables. They decide which program runs under a name, and .NET \
               loads a profiler that they name into every process of its own.",
        benign: "Directories of ProgramData that installers such as Java's put first: info. Profilers below Program \
               Files belong to products that watch performance: graded lower.",
        source: "MITRE ATT&CK T1574.007 and T1574.012; Microsoft's .NET profiler documentation.",
    },
    judge: |case, _| vec![environment(&Keys::new(case))],
};

const EXPECTED: &str = "ComSpec from System32, no profiler, no directory of users before System32 in Path";

/// None of them brings foreign code into processes.
fn environment(keys: &Keys<'_>) -> Outcome {
    let key = keys.key("Environment", &keys.read.environment);
    let mut answer = Answer::new(keys, &ENVIRONMENT, EXPECTED);
    answer.pass("the usual");
    command_interpreter(&mut answer, key);
    search_path(&mut answer, key);
    if let Some(Some(root)) = answer.text(key, "windir")
        && !same(root, "%SystemRoot%")
        && !path(root.trim_end_matches('\\')).is_some_and(|path| keys.case.root.holds(&path, ""))
    {
        answer.violation(
            key,
            "windir",
            Severity::Medium,
            format!("windir = {}", shortened(root, 200)),
            "windir = %SystemRoot%",
        );
    }
    for (prefix, enabled) in [("COR_", "COR_ENABLE_PROFILING"), ("CORECLR_", "CORECLR_ENABLE_PROFILING")] {
        profiler(&mut answer, key, prefix, enabled);
    }
    safe_boot(&mut answer, key);
    answer.judge()
}

fn command_interpreter<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>) {
    const NAME: &str = "ComSpec";
    const EXPECTED: &str = "ComSpec = %SystemRoot%\\system32\\cmd.exe";
    let keys = answer.keys;
    match answer.text(key, NAME) {
        None => {}
        Some(None) => answer.violation(key, NAME, Severity::Info, "no ComSpec", EXPECTED),
        Some(Some(program)) if path(program).is_some_and(|path| keys.case.root.holds(&path, "\\System32\\cmd.exe")) => {
        }
        Some(Some(program)) => {
            let words = format!("ComSpec = {}", shortened(program, 200));
            answer.violation(key, NAME, Severity::High, words, EXPECTED);
        }
    }
}

/// Whoever can write to a directory before System32 decides what runs under the name of a program of Windows.
fn search_path<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>) {
    const NAME: &str = "Path";
    const EXPECTED: &str = "Path starts with %SystemRoot%\\system32";
    let keys = answer.keys;
    let Some(Some(all)) = answer.text(key, NAME) else { return };
    let is_system = |entry: &str| {
        same(entry.trim_end_matches('\\'), "%SystemRoot%\\system32")
            || path(entry.trim_end_matches('\\')).is_some_and(|path| keys.case.root.holds(&path, "\\System32"))
    };
    let entries = || all.split(';').map(|entry| entry.trim().trim_matches('"')).filter(|entry| !entry.is_empty());
    if !entries().any(is_system) {
        let words = format!("Path has no System32: {}", shortened(all, 200));
        answer.violation(key, NAME, Severity::Info, words, EXPECTED);
        return;
    }
    for entry in entries().take_while(|entry| !is_system(entry)) {
        let words = format!("Path: {} before System32", shortened(entry, 200));
        let remote = entry.starts_with("\\\\");
        let relative = !remote && !entry.starts_with(['%', '\\']) && entry.chars().nth(1) != Some(':');
        // Java's installer puts a directory of ProgramData first.
        let shared = path(entry).is_some_and(|path| path.is_at_or_below("\\ProgramData"))
            || entry.to_ascii_lowercase().starts_with("%programdata%")
            || entry.to_ascii_lowercase().starts_with("%allusersprofile%");
        if shared {
            answer.violation(key, NAME, Severity::Info, words, EXPECTED);
            answer.guard("installers, such as Java's, put a directory of ProgramData there");
        } else if remote || relative || place(&keys.case.root, entry) == Place::Writable {
            answer.violation(key, NAME, Severity::Medium, words, EXPECTED);
        }
    }
}

/// .NET loads the profiler that the environment names into every process of its own.
fn profiler<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>, prefix: &str, enabled: &str) {
    let keys = answer.keys;
    let values: Vec<(&str, String)> = answer
        .values(key)
        .into_iter()
        .filter(|(name, _)| starts_with(name, &format!("{prefix}PROFILER")) || same(name, enabled))
        .map(|(name, data)| (name, data.trim().to_owned()))
        .filter(|(_, data)| !data.is_empty())
        .collect();
    let on = values.iter().any(|(name, data)| same(name, enabled) && !matches!(data.as_str(), "0" | "0x00000000"));
    let named = values.iter().any(|(name, _)| !same(name, enabled));
    let installed = values
        .iter()
        .filter(|(name, _)| name.to_ascii_uppercase().contains("_PATH"))
        .map(|(_, data)| place(&keys.case.root, data))
        .collect::<Vec<_>>();
    let guarded = !installed.is_empty() && installed.iter().all(|place| *place == Place::ProgramFiles);
    for (name, data) in &values {
        let words = format!("{name} = {}", shortened(data, 200));
        let severity = match (on, named) {
            (true, true) if !guarded => Severity::High,
            (_, true) => Severity::Medium,
            (true, false) => Severity::Low,
            (false, false) => Severity::Info,
        };
        answer.violation(key, name, severity, words, "no profiler");
        if guarded {
            answer.guard("the profiler is below Program Files, where products that watch performance live");
        }
    }
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// smss.exe sets it in safe mode and takes it away otherwise.
fn safe_boot<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>) {
    const NAME: &str = "SAFEBOOT_OPTION";
    let keys = answer.keys;
    let Some(Some(option)) = answer.text(key, NAME) else { return };
    if keys.case.mode(ModeKind::SafeMode).is_some() {
        answer.note(format!("The system was started in safe mode: {NAME} = {}.", shortened(option, 60)));
    } else {
        answer.violation(key, NAME, Severity::Info, format!("{NAME} = {}", shortened(option, 60)), "in safe mode only");
    }
}
