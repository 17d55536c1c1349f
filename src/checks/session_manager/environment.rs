//! SMR-16: variables that every process is born with.

use super::Sheet;
use super::ground::{Ground, HiveKey};
use super::places::{Place, path, place};
use super::sheet::shortened;
use crate::ModeKind;
use crate::checks::paths::same;
use crate::checks::{Outcome, Severity};

const EXPECTED: &str = "ComSpec from System32, no profiler, no directory of users before System32 in Path";

/// None of them brings foreign code into processes.
pub(super) fn environment(ground: &Ground<'_>) -> Outcome {
    let key = ground.key("Environment", &ground.keys.environment);
    let mut sheet = Sheet::new(ground, "SMR-16", EXPECTED);
    sheet.pass("the usual");
    command_interpreter(&mut sheet, key);
    search_path(&mut sheet, key);
    if let Some(Some(root)) = sheet.text(key, "windir")
        && !same(root, "%SystemRoot%")
        && !path(root.trim_end_matches('\\')).is_some_and(|path| ground.scene.root.holds(&path, ""))
    {
        sheet.violation(
            key,
            "windir",
            Severity::Medium,
            format!("windir = {}", shortened(root, 200)),
            "windir = %SystemRoot%",
        );
    }
    for (prefix, enabled) in [("COR_", "COR_ENABLE_PROFILING"), ("CORECLR_", "CORECLR_ENABLE_PROFILING")] {
        profiler(&mut sheet, key, prefix, enabled);
    }
    safe_boot(&mut sheet, key);
    sheet.judge()
}

fn command_interpreter<'a>(sheet: &mut Sheet<'_, 'a>, key: HiveKey<'a>) {
    const NAME: &str = "ComSpec";
    const EXPECTED: &str = "ComSpec = %SystemRoot%\\system32\\cmd.exe";
    let ground = sheet.ground;
    match sheet.text(key, NAME) {
        None => {}
        Some(None) => sheet.violation(key, NAME, Severity::Info, "no ComSpec", EXPECTED),
        Some(Some(program))
            if path(program).is_some_and(|path| ground.scene.root.holds(&path, "\\System32\\cmd.exe")) => {}
        Some(Some(program)) => {
            let words = format!("ComSpec = {}", shortened(program, 200));
            sheet.violation(key, NAME, Severity::High, words, EXPECTED);
        }
    }
}

/// Whoever can write to a directory before System32 decides what runs under the name of a program of Windows.
fn search_path<'a>(sheet: &mut Sheet<'_, 'a>, key: HiveKey<'a>) {
    const NAME: &str = "Path";
    const EXPECTED: &str = "Path starts with %SystemRoot%\\system32";
    let ground = sheet.ground;
    let Some(Some(all)) = sheet.text(key, NAME) else { return };
    let is_system = |entry: &str| {
        same(entry.trim_end_matches('\\'), "%SystemRoot%\\system32")
            || path(entry.trim_end_matches('\\')).is_some_and(|path| ground.scene.root.holds(&path, "\\System32"))
    };
    let entries = || all.split(';').map(|entry| entry.trim().trim_matches('"')).filter(|entry| !entry.is_empty());
    if !entries().any(is_system) {
        let words = format!("Path has no System32: {}", shortened(all, 200));
        sheet.violation(key, NAME, Severity::Info, words, EXPECTED);
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
            sheet.violation(key, NAME, Severity::Info, words, EXPECTED);
            sheet.guard("installers, such as Java's, put a directory of ProgramData there");
        } else if remote || relative || place(ground, entry) == Place::Writable {
            sheet.violation(key, NAME, Severity::Medium, words, EXPECTED);
        }
    }
}

/// .NET loads the profiler that the environment names into every process of its own.
fn profiler<'a>(sheet: &mut Sheet<'_, 'a>, key: HiveKey<'a>, prefix: &str, enabled: &str) {
    let ground = sheet.ground;
    let values: Vec<(&str, String)> = sheet
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
        .map(|(_, data)| place(ground, data))
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
        sheet.violation(key, name, severity, words, "no profiler");
        if guarded {
            sheet.guard("the profiler is below Program Files, where products that watch performance live");
        }
    }
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// smss.exe sets it in safe mode and takes it away otherwise.
fn safe_boot<'a>(sheet: &mut Sheet<'_, 'a>, key: HiveKey<'a>) {
    const NAME: &str = "SAFEBOOT_OPTION";
    let ground = sheet.ground;
    let Some(Some(option)) = sheet.text(key, NAME) else { return };
    if ground.scene.mode(ModeKind::SafeMode).is_some() {
        sheet.note(format!("The system was started in safe mode: {NAME} = {}.", shortened(option, 60)));
    } else {
        sheet.violation(key, NAME, Severity::Info, format!("{NAME} = {}", shortened(option, 60)), "in safe mode only");
    }
}
