//! SMR-18: switches that make the system weaker.

use super::ground::{Ground, HiveKey};
use super::{Sheet, pending_renames};
use crate::checks::{Outcome, Severity};

/// `FLG_APPLICATION_VERIFIER` and `FLG_MONITOR_SILENT_PROCESS_EXIT` (gflags): they make other keys name DLLs and programs.
const VERIFIER: u64 = 0x100;
const SILENT_EXIT: u64 = 0x200;

/// None of them is set to anything but its default.
pub(super) fn modes(ground: &Ground<'_>) -> Outcome {
    let key = ground.session_manager();
    let mut sheet = Sheet::new(ground, "SMR-18", "ProtectionMode 1, the others 0 or not there");
    match sheet.number(key, "ProtectionMode") {
        Some(Some(1)) => sheet.pass("ProtectionMode 1"),
        Some(Some(0)) => {
            let words = "ProtectionMode 0: everybody may change shared objects such as \\KnownDlls";
            sheet.violation(key, "ProtectionMode", Severity::Medium, words, "ProtectionMode 1");
        }
        Some(Some(other)) => {
            sheet.violation(
                key,
                "ProtectionMode",
                Severity::Info,
                format!("ProtectionMode {other}"),
                "ProtectionMode 1",
            );
        }
        Some(None) => {
            sheet.violation(key, "ProtectionMode", Severity::Info, "no ProtectionMode", "ProtectionMode 1");
        }
        None => {}
    }
    if let Some(Some(number)) = sheet.number(key, "AllowProtectedRenames")
        && number != 0
    {
        let touched = pending_renames::touch_system_files(ground);
        let what = if touched { ", with renames in System32 pending" } else { "" };
        let severity = if touched { Severity::Medium } else { Severity::Low };
        let words = format!("AllowProtectedRenames {number}{what}");
        sheet.violation(key, "AllowProtectedRenames", severity, words, "not there");
    }
    if let Some(Some(0)) = sheet.number(key, "SafeDllSearchMode") {
        let words = "SafeDllSearchMode 0: the current directory is searched before System32";
        sheet.violation(key, "SafeDllSearchMode", Severity::Low, words, "SafeDllSearchMode 1, or not there");
    }
    if let Some(Some(number)) = sheet.number(key, "NumberOfInitialSessions")
        && number != 2
    {
        let words = format!("NumberOfInitialSessions {number}");
        sheet.violation(key, "NumberOfInitialSessions", Severity::Info, words, "NumberOfInitialSessions 2");
    }
    global_flag(&mut sheet, key);
    paging_files(&mut sheet);
    sheet.judge()
}

fn global_flag<'a>(sheet: &mut Sheet<'_, 'a>, key: HiveKey<'a>) {
    if let Some(Some(flags)) = sheet.number(key, "GlobalFlag")
        && flags != 0
    {
        let severity = if flags & (VERIFIER | SILENT_EXIT) == 0 { Severity::Info } else { Severity::Low };
        sheet.violation(key, "GlobalFlag", severity, format!("GlobalFlag {flags:#x}"), "GlobalFlag 0");
    }
}

/// No mode, and nothing to violate: it tells where pages are that this image lacks.
fn paging_files(sheet: &mut Sheet<'_, '_>) {
    let ground = sheet.ground;
    let Some(record) = ground.keys.memory_management.value() else { return };
    let files = |name: &str| match record.data(name).known() {
        Ok(Some(data)) => data.as_texts().map(|texts| texts.to_vec()),
        Ok(None) => Some(Vec::new()),
        Err(_) => None,
    };
    match files("PagingFiles") {
        Some(list) if list.iter().all(|file| file.trim().is_empty()) => {
            sheet.note("No paging file is configured: what is not in memory is nowhere.");
        }
        _ => {}
    }
}
