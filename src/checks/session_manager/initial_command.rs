//! SMR-12: what runs instead of wininit and winlogon, or around them.

use super::Answer;
use super::answer::shortened;
use super::boot_entry::BootEntry;
use super::keys::{HiveKey, Keys};
use crate::checks::rule::{About, BOOT, Rule};
use crate::checks::words::same;
use crate::checks::{Outcome, Severity};
use crate::registry::RegistryData;

/// SMR-12: Execute, S0InitialCommand, winlogon's debugger.
pub static INITIAL_COMMANDS: Rule = Rule {
    id: "SMR-12",
    title: "Execute, S0InitialCommand, winlogon's debugger",
    wrong: "another program runs in the place of wininit or winlogon, or around them",
    core: false,
    attack: &[BOOT, "T1546.012"],
    about: About {
        what: "Session Manager\\Execute and S0InitialCommand are missing, and no Image File Execution Options of a \
               process of the system's start name a Debugger.",
        why: "smss.exe starts what they name instead of wininit.exe or winlogon.exe, or hands those to it.",
        benign: "wininit.exe of System32 in S0InitialCommand is what runs anyway: info.",
        source: "Windows Internals 7th edition part 1, chapter 2, step 12; ReactOS base/system/smss/smsubsys.c; MITRE \
               ATT&CK T1546.012.",
    },
    judge: |case, _| vec![initial_commands(&Keys::new(case))],
};

/// What runs instead of wininit and winlogon, or around them.
fn initial_commands(keys: &Keys<'_>) -> Outcome {
    let key = keys.session_manager();
    let mut answer = Answer::new(keys, &INITIAL_COMMANDS, "nothing");
    answer.pass("nothing");
    for name in ["Execute", "S0InitialCommand"] {
        for line in answer.list(key, name).flatten().unwrap_or_default() {
            let words = format!("{name}: {}", shortened(line, 200));
            let entry = BootEntry::read(line);
            if name == "S0InitialCommand" && entry.stem() == "wininit" && is_in_system32(keys, entry.image) {
                answer.violation(key, name, Severity::Info, words, "nothing");
                answer.guard("what runs without the value too");
            } else {
                answer.violation(key, name, Severity::High, words, "nothing");
            }
        }
    }
    let options = keys.key("Image File Execution Options", &keys.read.image_file_execution_options);
    let Some(Some(record)) = answer.record(options) else { return answer.judge() };
    if let Some(absent) = record.keys_missing.first() {
        answer.unknown("the options of winlogon.exe", absent);
    } else if let Err(absent) = record.keys.known() {
        answer.unknown("the options of winlogon.exe", absent);
    }
    for (program, options) in record.keys.value().into_iter().flatten() {
        match options.data("Debugger").known() {
            Ok(None) => {}
            Ok(Some(data)) => debugger(&mut answer, program, options, data),
            Err(absent) => answer.unknown(&format!("the debugger of {program}"), absent),
        }
    }
    answer.judge()
}

fn is_in_system32(keys: &Keys<'_>, image: &str) -> bool {
    !image.contains('\\')
        || crate::checks::places::path(image).is_some_and(|path| keys.case.root.holds(&path, "\\System32\\wininit.exe"))
}

fn debugger(answer: &mut Answer<'_, '_>, program: &str, options: &crate::registry::KeyRecord, data: &RegistryData) {
    if data.is_empty() || !crate::registry::DEBUGGABLE.iter().any(|known| same(known, program)) {
        return;
    }
    let words = format!("Debugger of {program}: {}", shortened(&data.to_string(), 200));
    let read = crate::Reading::Value(options.clone());
    let key = HiveKey { name: "Image File Execution Options", read: &read };
    let name = format!("{program}\\Debugger");
    if let Some(value) = options.value("Debugger").value() {
        answer.looked_at(key, options, &name, value);
    }
    answer.violation(key, &name, Severity::High, words, "no debugger");
}
