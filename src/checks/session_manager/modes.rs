//! SMR-18: switches that make the system weaker.

use super::keys::{HiveKey, Keys};
use super::{Answer, pending_renames};
use crate::checks::rule::{About, Rule};
use crate::checks::{Outcome, Severity};

/// SMR-18: ProtectionMode, AllowProtectedRenames, search modes.
pub static MODES: Rule = Rule {
    id: "SMR-18",
    title: "ProtectionMode, AllowProtectedRenames, search modes",
    wrong: "a switch that makes Windows weaker is set",
    core: false,
    attack: &["T1574.001"],
    about: About {
        what: "Session Manager\\ProtectionMode is 1; AllowProtectedRenames, SafeDllSearchMode, \
               NumberOfInitialSessions and GlobalFlag are missing or have their default. No name of the key goes on behind a NUL, \
               and none is there twice.",
        why: "ProtectionMode 0 lets everybody write to objects such as \\KnownDlls; AllowProtectedRenames 1 lets \
               pending renames touch protected files; flags of GlobalFlag make other keys name DLLs and programs.",
        benign: "Tuning guides set some of them: graded low or info one by one.",
        source: "Procmon boot trace of Windows 11 24H2; ReactOS base/system/smss/sminit.c; gflags documentation.",
    },
    judge: |case, _| vec![modes(&Keys::new(case))],
};

/// `FLG_APPLICATION_VERIFIER` and `FLG_MONITOR_SILENT_PROCESS_EXIT` (gflags): they make other keys name DLLs and programs.
const VERIFIER: u64 = 0x100;
const SILENT_EXIT: u64 = 0x200;

/// None of them is set to anything but its default.
fn modes(keys: &Keys<'_>) -> Outcome {
    let key = keys.session_manager();
    let mut answer = Answer::new(keys, &MODES, "ProtectionMode 1, the others 0 or not there");
    match answer.number(key, "ProtectionMode") {
        Some(Some(1)) => answer.pass("ProtectionMode 1"),
        Some(Some(0)) => {
            let words = "ProtectionMode 0: everybody may change shared objects such as \\KnownDlls";
            answer.violation(key, "ProtectionMode", Severity::Medium, words, "ProtectionMode 1");
        }
        Some(Some(other)) => {
            answer.violation(
                key,
                "ProtectionMode",
                Severity::Info,
                format!("ProtectionMode {other}"),
                "ProtectionMode 1",
            );
        }
        Some(None) => {
            answer.violation(key, "ProtectionMode", Severity::Info, "no ProtectionMode", "ProtectionMode 1");
        }
        None => {}
    }
    if let Some(Some(number)) = answer.number(key, "AllowProtectedRenames")
        && number != 0
    {
        let touched = pending_renames::touch_system_files(keys);
        let what = if touched { ", with renames in System32 pending" } else { "" };
        let severity = if touched { Severity::Medium } else { Severity::Low };
        let words = format!("AllowProtectedRenames {number}{what}");
        answer.violation(key, "AllowProtectedRenames", severity, words, "not there");
    }
    if let Some(Some(0)) = answer.number(key, "SafeDllSearchMode") {
        let words = "SafeDllSearchMode 0: the current directory is searched before System32";
        answer.violation(key, "SafeDllSearchMode", Severity::Low, words, "SafeDllSearchMode 1, or not there");
    }
    if let Some(Some(number)) = answer.number(key, "NumberOfInitialSessions")
        && number != 2
    {
        let words = format!("NumberOfInitialSessions {number}");
        answer.violation(key, "NumberOfInitialSessions", Severity::Info, words, "NumberOfInitialSessions 2");
    }
    global_flag(&mut answer, key);
    answer.hidden(key);
    answer.hidden(keys.key("Memory Management", &keys.read.memory_management));
    paging_files(&mut answer);
    answer.judge()
}

fn global_flag<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>) {
    if let Some(Some(flags)) = answer.number(key, "GlobalFlag")
        && flags != 0
    {
        let severity = if flags & (VERIFIER | SILENT_EXIT) == 0 { Severity::Info } else { Severity::Low };
        answer.violation(key, "GlobalFlag", severity, format!("GlobalFlag {flags:#x}"), "GlobalFlag 0");
    }
}

/// No mode, and nothing to violate: it tells where pages are that this image lacks.
fn paging_files(answer: &mut Answer<'_, '_>) {
    let keys = answer.keys;
    let Some(record) = keys.read.memory_management.value() else { return };
    let files = |name: &str| match record.data(name).known() {
        Ok(Some(data)) => data.as_texts().map(|texts| texts.to_vec()),
        Ok(None) => Some(Vec::new()),
        Err(_) => None,
    };
    match files("PagingFiles") {
        Some(list) if list.iter().all(|file| crate::checks::words::trim(file).is_empty()) => {
            answer.note("No paging file is configured: what is not in memory is nowhere.");
        }
        _ => {}
    }
}
