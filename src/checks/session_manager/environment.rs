//! SMR-16: variables that every process is born with.

use super::Answer;
use super::answer::shortened;
use super::environment_code::foreign_code;
use super::keys::{HiveKey, Keys};
use crate::ModeKind;
use crate::checks::places::{Place, path, place};
use crate::checks::rule::{About, Rule};
use crate::checks::words::{same, strip, trim};
use crate::checks::{Outcome, Severity};

/// SMR-16: Environment.
pub static ENVIRONMENT: Rule = Rule {
    id: "SMR-16",
    title: "Environment",
    wrong: "environment brings foreign code into processes, or weakens them",
    core: false,
    attack: &["T1574.007", "T1574.012"],
    about: About {
        what: "In Session Manager\\Environment, ComSpec is cmd.exe of System32, windir is the system root, SystemRoot \
               and SystemDrive are not set to others, no directory that users can write to stands before System32 in \
               Path or PSModulePath, no profiler, startup hook or application domain manager of .NET is named that is \
               in force, no agent of Java or Node.js comes from where users can write, the events of .NET are \
               not switched off, and no name or text goes on behind a NUL.",
        why: "Every process is born with these variables. They decide which program runs under a name, and .NET \
               loads a profiler that they name into every process of its own.",
        benign: "A profiler that is not switched on is loaded by nobody: info. Directories that installers put first in Path, of ProgramData or below the root of a drive: info. \
               Profilers and startup hooks below Program Files belong to products that watch performance: info. A \
               profiler that is named by its class is looked up in SOFTWARE\\Classes\\CLSID; where that does not tell its \
               file, it is medium at most.",
        source: "MITRE ATT&CK T1574.007, T1574.012 and T1562.006; Microsoft's documentation of .NET profilers, \
               startup hooks and runtime switches.",
    },
    judge: |case, _| vec![environment(&Keys::new(case))],
};

const EXPECTED: &str = "ComSpec from System32, no profiler, no directory of users before System32 in Path";

/// None of them brings foreign code into processes.
fn environment(keys: &Keys<'_>) -> Outcome {
    let key = keys.key("Environment", &keys.read.environment);
    let mut answer = Answer::new(keys, &ENVIRONMENT, EXPECTED);
    answer.pass("the usual");
    answer.hidden(key);
    let values = Values(answer.values(key));
    command_interpreter(&mut answer, key);
    search_path(&mut answer, key, &values);
    system_variables(&mut answer, key, &values);
    foreign_code(&mut answer, key, &values);
    safe_boot(&mut answer, key);
    answer.judge_values()
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

/// The variables of the key. smss.exe has all of them when anybody expands one.
pub(super) struct Values<'a>(pub(super) Vec<(&'a str, String)>);

/// Characters of a text with its variables in place: more no name in Windows has.
const MAX_EXPANDED: usize = 1 << 15;
/// Variables that lead to variables.
const MAX_NESTED: usize = 8;

impl Values<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| same(known, name)).map(|(_, data)| data.as_str())
    }

    /// A text with the variables of this key in place; those of others stay.
    pub(super) fn expanded(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for _ in 0..MAX_NESTED {
            let mut whole = String::new();
            let mut rest = text.as_str();
            let mut any = false;
            while let Some((before, name, after)) = rest
                .split_once('%')
                .and_then(|(before, rest)| rest.split_once('%').map(|(name, after)| (before, name, after)))
            {
                whole.push_str(before);
                match self.get(name).filter(|_| whole.len() < MAX_EXPANDED) {
                    Some(data) => {
                        whole.push_str(data.get(..data.len().min(MAX_EXPANDED)).unwrap_or_default());
                        any = true;
                    }
                    None => {
                        whole.push('%');
                        whole.push_str(name);
                        whole.push('%');
                    }
                }
                rest = after;
            }
            whole.push_str(rest);
            text = whole;
            if !any || text.len() >= MAX_EXPANDED {
                break;
            }
        }
        text
    }
}

/// Variables that everything else is expanded by. Windows never writes the second and third here, and smss.exe takes them over.
fn system_variables<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>, values: &Values<'a>) {
    let keys = answer.keys;
    let root = &keys.case.root;
    let is_root = |text: &str| {
        same(text, "%SystemRoot%") || path(text.trim_end_matches('\\')).is_some_and(|path| root.holds(&path, ""))
    };
    let is_drive = |text: &str| {
        same(text, "%SystemDrive%")
            || root.drive().is_none_or(|drive| same(text.trim_end_matches('\\'), &format!("{drive}:")))
    };
    for (name, severity, expected) in [
        ("windir", Severity::Medium, "windir = %SystemRoot%"),
        ("SystemRoot", Severity::High, "no such value"),
        ("SystemDrive", Severity::Medium, "no such value"),
    ] {
        let Some(Some(text)) = answer.text(key, name) else { continue };
        let whole = if same(text, "%SystemRoot%") { text.to_owned() } else { values.expanded(text) };
        let fits = if name == "SystemDrive" { is_drive(&whole) } else { is_root(&whole) };
        if !fits {
            answer.violation(key, name, severity, format!("{name} = {}", shortened(text, 200)), expected);
        }
    }
}

/// Whoever can write to a directory before System32 decides what runs under the name of a program of Windows.
fn search_path<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>, values: &Values<'a>) {
    const NAME: &str = "Path";
    const EXPECTED: &str = "Path starts with %SystemRoot%\\system32";
    let keys = answer.keys;
    let Some(Some(all)) = answer.text(key, NAME) else { return };
    let is_system = |entry: &str| {
        same(entry.trim_end_matches('\\'), "%SystemRoot%\\system32")
            || path(entry.trim_end_matches('\\')).is_some_and(|path| keys.case.root.holds(&path, "\\System32"))
    };
    let entries = || all.split(';').map(|entry| trim(entry).trim_matches('"')).filter(|entry| !entry.is_empty());
    if !entries().any(is_system) {
        let words = format!("Path has no System32: {}", shortened(all, 200));
        answer.violation(key, NAME, Severity::Info, words, EXPECTED);
        return;
    }
    for written in entries().take_while(|entry| !is_system(entry)) {
        let whole = values.expanded(written);
        let entry = if whole.contains(';') { written } else { whole.as_str() };
        let is = if entry == written { String::new() } else { format!(" (which is {})", shortened(entry, 200)) };
        let words = format!("Path: {}{is} before System32", shortened(written, 200));
        let remote = entry.starts_with("\\\\");
        let relative = !remote && !entry.starts_with(['%', '\\']) && entry.chars().nth(1) != Some(':');
        // Java's installer puts a directory of ProgramData first.
        let shared = path(entry).is_some_and(|path| path.is_at_or_below("\\ProgramData"))
            || ["%ProgramData%", "%AllUsersProfile%"].iter().any(|variable| strip(entry, variable).is_some());
        if shared {
            answer.violation(key, NAME, Severity::Info, words, EXPECTED);
            answer.guard("installers, such as Java's, put a directory of ProgramData there");
        } else if remote || relative || place(&keys.case.root, entry) == Place::Writable {
            answer.violation(key, NAME, Severity::Medium, words, EXPECTED);
        } else if place(&keys.case.root, entry) == Place::Other && path(entry).is_some() {
            // Users may make files in a directory below the root of a drive that an installer made.
            answer.violation(key, NAME, Severity::Info, words, EXPECTED);
            answer.guard("a directory that an installer made; whether users can write to it is not known");
        }
    }
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
