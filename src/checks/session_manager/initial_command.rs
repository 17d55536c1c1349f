//! SMR-12: what runs instead of wininit and winlogon, or around them.

use super::Answer;
use super::boot_entry::BootEntry;
use super::keys::{HiveKey, Keys};
use crate::Reading;
use crate::checks::rule::{About, BOOT, Rule};
use crate::checks::words::{escaped, same, trim};
use crate::checks::{Outcome, Severity};
use crate::registry::{DEBUGGABLE, KeyRecord, RegistryData};

/// SMR-12: Execute, S0InitialCommand, winlogon's debugger.
pub static INITIAL_COMMANDS: Rule = Rule {
    id: "SMR-12",
    title: "Execute, S0InitialCommand, winlogon's debugger",
    wrong: "another program runs in the place of wininit or winlogon, or around them",
    core: false,
    attack: &[BOOT, "T1546.012"],
    about: About {
        what: "Session Manager\\Execute and S0InitialCommand are missing, and no Image File Execution Options of a \
               process of the start of the system name a Debugger, also not for one path (UseFilter), \
               VerifierDlls that are in force (GlobalFlag 0x100), or a program for its end (GlobalFlag 0x200 and \
               SilentProcessExit\\MonitorProcess).",
        why: "smss.exe starts what they name instead of wininit.exe or winlogon.exe, or hands those to it.",
        benign: "wininit.exe of System32 in S0InitialCommand is what runs anyway: info. SYSTEM\\Setup\\CmdLine runs \
               before the next logon where SetupType says so, and is told where it does not: info, since setup uses it itself.",
        source: "Windows Internals 7th edition part 1, chapter 2, step 12; ReactOS base/system/smss/smsubsys.c; MITRE \
               ATT&CK T1546.012.",
    },
    judge: |case, _| vec![initial_commands(&Keys::new(case))],
};

/// `FLG_APPLICATION_VERIFIER` (gflags): VerifierDlls are loaded.
const VERIFIER: u64 = 0x100;
/// `FLG_MONITOR_SILENT_PROCESS_EXIT` (gflags): the program that SilentProcessExit names is started when the process ends.
const SILENT_EXIT: u64 = 0x200;

/// What runs instead of wininit and winlogon, or around them.
fn initial_commands(keys: &Keys<'_>) -> Outcome {
    let key = keys.session_manager();
    let mut answer = Answer::new(keys, &INITIAL_COMMANDS, "nothing");
    answer.pass("nothing");
    for name in ["Execute", "S0InitialCommand"] {
        for line in answer.list(key, name).flatten().unwrap_or_default() {
            let words = format!("{name}: {}", escaped(line, 200));
            let entry = BootEntry::read(line);
            if name == "S0InitialCommand" && entry.stem() == "wininit" && is_in_system32(keys, entry.image) {
                answer.violation(key, name, Severity::Info, words, "nothing");
                answer.guard("what runs without the value too");
            } else {
                answer.violation(key, name, Severity::High, words, "nothing");
            }
        }
    }
    setup_command(&mut answer);
    let options = keys.key("Image File Execution Options", &keys.read.image_file_execution_options);
    let Some(Some(record)) = answer.record(options) else { return answer.judge() };
    if let Some(absent) = record.keys_missing.first() {
        answer.unknown("the options of winlogon.exe", absent);
    } else if let Err(absent) = record.keys.known() {
        answer.unknown("the options of winlogon.exe", absent);
    }
    for (program, options) in record.keys.value().into_iter().flatten() {
        execution_options(&mut answer, program, options);
        if number_of(options, "GlobalFlag") & SILENT_EXIT != 0 {
            end_of(&mut answer, program);
        }
    }
    answer.judge_values()
}

/// `Setup\CmdLine` runs before the next logon, if SetupType says so: told, no more, since setup uses it itself.
fn setup_command<'a>(answer: &mut Answer<'_, 'a>) {
    let setup = answer.keys.key("Setup", &answer.keys.read.setup);
    let Some(record) = setup.read.value() else { return };
    let number = |name: &str| record.data(name).value().and_then(|data| data.as_number()).unwrap_or(0);
    let data = record.data("CmdLine");
    let Some(command) = data.value().map(ToString::to_string).filter(|command| !trim(command).is_empty()) else {
        return;
    };
    let kind = number("SetupType");
    let words = format!("Setup\\CmdLine, SetupType {kind}: {}", escaped(&command, 200));
    answer.violation(setup, "CmdLine", Severity::Info, words, "nothing");
    if kind == 0 {
        answer.guard("it does not run while SetupType is 0");
    }
}

/// What the options of one program of the system's start name: debuggers, also those for one path, and verifier DLLs.
fn execution_options(answer: &mut Answer<'_, '_>, program: &str, options: &KeyRecord) {
    one_set_of_options(answer, program, options);
    // With UseFilter the options of a subkey hold, whose FilterFullPath is the program's path.
    if number_of(options, "UseFilter") != 0 {
        for (filter, options) in options.keys.value().into_iter().flatten() {
            one_set_of_options(answer, &format!("{program}\\{filter}"), options);
        }
        if let Some(absent) = options.keys_missing.first() {
            answer.unknown(format!("the filters of {program}"), absent);
        }
    }
}

/// The program that is started when another one ends.
fn end_of<'a>(answer: &mut Answer<'_, 'a>, program: &str) {
    const VALUE: &str = "MonitorProcess";
    let exits = answer.keys.key("SilentProcessExit", &answer.keys.read.silent_process_exit);
    let Some(Some(record)) = answer.record(exits) else { return };
    let of_program = record.keys.value().into_iter().flatten().find(|(name, _)| same(name, program));
    let Some((name, key)) = of_program else {
        if let Some(absent) = record.keys_missing.first() {
            answer.unknown(format!("what the end of {program} starts"), absent);
        }
        return;
    };
    match key.data(VALUE).known() {
        Ok(Some(monitor)) if !monitor.is_empty() => {
            let words = format!("{VALUE} of {program}: {}", escaped(&monitor.to_string(), 200));
            let field = format!("{name}\\{VALUE}");
            if let Some(found) = key.value(VALUE).value() {
                answer.looked_at(exits, key, &field, found);
            }
            answer.violation(exits, &field, Severity::Medium, words, "no such value");
        }
        Ok(_) => {}
        Err(absent) => answer.unknown(format!("what the end of {program} starts"), absent),
    }
}

fn number_of(options: &KeyRecord, name: &str) -> u64 {
    options.data(name).value().and_then(|data| data.as_number()).unwrap_or(0)
}

fn one_set_of_options(answer: &mut Answer<'_, '_>, program: &str, options: &KeyRecord) {
    match options.data("Debugger").known() {
        Ok(None) => {}
        Ok(Some(data)) => debugger(answer, program, options, data),
        Err(absent) => answer.unknown(format!("the debugger of {program}"), absent),
    }
    let verifier = options.data("VerifierDlls");
    if let Some(dlls) =
        verifier.value().filter(|dlls| !dlls.is_empty() && number_of(options, "GlobalFlag") & VERIFIER != 0)
    {
        let words = format!("VerifierDlls of {program}: {}", escaped(&dlls.to_string(), 200));
        of_options(answer, program, options, "VerifierDlls", Severity::Medium, words, "no verifier");
    }
}

fn is_in_system32(keys: &Keys<'_>, image: &str) -> bool {
    !image.contains('\\')
        || crate::checks::places::path(image).is_some_and(|path| keys.case.root.holds(&path, "\\System32\\wininit.exe"))
}

fn debugger(answer: &mut Answer<'_, '_>, program: &str, options: &KeyRecord, data: &RegistryData) {
    let name = program.split('\\').next().unwrap_or(program);
    if data.is_empty() || !DEBUGGABLE.iter().any(|known| same(known, name)) {
        return;
    }
    let words = format!("Debugger of {program}: {}", escaped(&data.to_string(), 200));
    of_options(answer, program, options, "Debugger", Severity::High, words, "no debugger");
}

/// A violation by a value of the options of a program.
fn of_options(
    answer: &mut Answer<'_, '_>,
    program: &str,
    options: &KeyRecord,
    value: &str,
    severity: Severity,
    words: String,
    expected: &str,
) {
    let read = Reading::Value(options.clone());
    let key = HiveKey { name: "Image File Execution Options", read: &read };
    let name = format!("{program}\\{value}");
    if let Some(found) = options.value(value).value() {
        answer.looked_at(key, options, &name, found);
    }
    answer.violation(key, &name, severity, words, expected);
}
