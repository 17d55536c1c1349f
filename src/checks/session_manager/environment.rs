//! SMR-16: variables that every process is born with.

use super::Answer;
use super::answer::shortened;
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
        what: "In Session Manager\\Environment, ComSpec is cmd.exe of System32, windir is the system root, no \
               directory that users can write to stands before System32 in Path, no profiler or startup hook of \
               .NET is named, and the events of .NET are not switched off.",
        why: "Every process is born with these variables. They decide which program runs under a name, and .NET \
               loads a profiler that they name into every process of its own.",
        benign: "Directories that installers put first in Path, of ProgramData or below the root of a drive: info. \
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
    startup_hooks(&mut answer, key);
    blinded(&mut answer, key);
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
    let entries = || all.split(';').map(|entry| trim(entry).trim_matches('"')).filter(|entry| !entry.is_empty());
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

/// .NET loads the profiler that the environment names into every process of its own.
fn profiler<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>, prefix: &str, enabled: &str) {
    let keys = answer.keys;
    let of_profiler = format!("{prefix}PROFILER");
    let values: Vec<(&str, String)> = answer
        .values(key)
        .into_iter()
        .filter(|(name, _)| strip(name, &of_profiler).is_some() || same(name, enabled))
        .map(|(name, data)| (name, trim(&data).to_owned()))
        .filter(|(_, data)| !data.is_empty())
        .collect();
    let on = values.iter().any(|(name, data)| same(name, enabled) && !is_zero(data));
    let named = values.iter().any(|(name, _)| !same(name, enabled));
    let is_path = |name: &str| strip(name, &of_profiler).is_some_and(|rest| strip(rest, "_PATH").is_some());
    let places: Vec<Place> =
        values.iter().filter(|(name, _)| is_path(name)).map(|(_, data)| place(&keys.case.root, data)).collect();
    let by_class = if places.is_empty() { classes(answer, &values, enabled) } else { Vec::new() };
    let places: Vec<Place> = places.into_iter().chain(by_class.iter().map(|(place, _)| *place)).collect();
    let installed = !places.is_empty() && places.iter().all(|place| *place == Place::ProgramFiles);
    for (_, file) in &by_class {
        answer.note(format!("By its class the profiler is {}.", shortened(file, 200)));
    }
    for (name, data) in &values {
        let words = format!("{name} = {}", shortened(data, 200));
        let severity = match (on, named) {
            (_, true) if installed => Severity::Info,
            // By its class alone, of which the registry of classes does not say where its file is.
            (_, true) if places.is_empty() => Severity::Medium,
            (true, true) => Severity::High,
            (false, true) => Severity::Medium,
            (true, false) => Severity::Low,
            (false, false) => Severity::Info,
        };
        answer.violation(key, name, severity, words, "no profiler");
        if installed {
            answer.guard("the profiler is below Program Files, where products that watch performance live");
        }
    }
}

/// Files of the classes that are named as profilers, as `SOFTWARE\Classes\CLSID` has them, for 64-bit and 32-bit programs.
fn classes(answer: &Answer<'_, '_>, values: &[(&str, String)], enabled: &str) -> Vec<(Place, String)> {
    let keys = answer.keys;
    let read = [&keys.read.profiler_classes, &keys.read.profiler_classes_32];
    let records = || read.into_iter().filter_map(|classes| classes.value());
    let named = values.iter().filter(|(name, _)| !same(name, enabled)).map(|(_, class)| class);
    let files = named.flat_map(|class| {
        records().filter_map(move |classes| {
            let class = classes.key(class);
            let server = class.value()?.key("InprocServer32");
            let file = trim(&server.value()?.data("").value()?.to_string()).trim_matches('"').to_owned();
            (!file.is_empty()).then_some(file)
        })
    });
    files.map(|file| (place(&keys.case.root, &file), file)).collect()
}

/// Assemblies that .NET loads into every process of its own before its program.
fn startup_hooks<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>) {
    const NAME: &str = "DOTNET_STARTUP_HOOKS";
    let keys = answer.keys;
    let Some(Some(hooks)) = answer.text(key, NAME) else { return };
    let places: Vec<Place> =
        hooks.split(';').map(trim).filter(|hook| !hook.is_empty()).map(|hook| place(&keys.case.root, hook)).collect();
    let severity = if places.is_empty() {
        return;
    } else if places.contains(&Place::Writable) {
        Severity::High
    } else if places.iter().all(|place| *place == Place::ProgramFiles) {
        Severity::Info
    } else {
        Severity::Medium
    };
    answer.violation(key, NAME, severity, format!("{NAME} = {}", shortened(hooks, 200)), "no such value");
    if severity == Severity::Info {
        answer.guard("the hook is below Program Files, where products that watch performance live");
    }
}

/// Switches of .NET by which products see what its programs do, set to off for the whole machine.
fn blinded<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>) {
    const SWITCHES: [(&str, Severity); 4] = [
        ("COMPlus_ETWEnabled", Severity::Low),
        ("DOTNET_ETWEnabled", Severity::Low),
        // Documented for hardening: it turns debuggers and profilers off too.
        ("COMPlus_EnableDiagnostics", Severity::Info),
        ("DOTNET_EnableDiagnostics", Severity::Info),
    ];
    for (name, data) in answer.values(key) {
        if let Some((_, severity)) = SWITCHES.iter().find(|(switch, _)| same(switch, name))
            && is_zero(trim(&data))
        {
            let words = format!("{name} = {}: .NET tells nobody what its programs do", shortened(&data, 60));
            answer.violation(key, name, *severity, words, "no such value");
        }
    }
}

fn is_zero(data: &str) -> bool {
    let digits = strip(data, "0x").unwrap_or(data);
    !digits.is_empty() && digits.bytes().all(|digit| digit == b'0')
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
