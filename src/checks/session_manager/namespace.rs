//! SMR-17: names that smss.exe makes in the namespace of objects.

use super::ground::{Ground, HiveKey};
use super::sheet::shortened;
use super::{Sheet, facts};
use crate::checks::paths::same;
use crate::checks::{Outcome, Severity};

/// Devices for DOS names, and directories.
pub(super) fn names(ground: &Ground<'_>) -> Outcome {
    let devices = ground.key("DOS Devices", &ground.keys.dos_devices);
    let mut sheet = Sheet::new(ground, "SMR-17", "the stock devices and directories");
    sheet.pass("the stock devices and directories");
    for (name, target) in sheet.values(devices) {
        device(&mut sheet, devices, name, target.trim());
    }
    directories(&mut sheet);
    sheet.judge()
}

fn device(sheet: &mut Sheet<'_, '_>, key: HiveKey<'_>, name: &str, target: &str) {
    let words = format!("{name} = {}", shortened(target, 200));
    if let Some((_, stock)) = facts::DEVICES.iter().find(|(known, _)| same(known, name)) {
        if !same(plain(target), plain(stock)) {
            sheet.violation(key, name, Severity::Medium, words, format!("{name} = {stock}"));
        }
        return;
    }
    let mut chars = name.chars();
    let is_drive = chars.next().is_some_and(|drive| drive.is_ascii_alphabetic()) && matches!(chars.as_str(), "" | ":");
    if is_drive {
        sheet.violation(key, name, Severity::Medium, words, "no drive letters");
    } else if !(is_port(name) || name.is_empty() && target.is_empty()) {
        sheet.violation(key, name, Severity::Info, words, "AUX, MAILSLOT, NUL, PIPE, PRN, UNC");
    }
}

/// COM and LPT come and go with the hardware.
fn is_port(name: &str) -> bool {
    let number = |word: &str| {
        let start = name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        name.get(word.len()..).filter(|_| start).is_some_and(|number| number.parse::<u16>().is_ok())
    };
    number("COM") || number("LPT")
}

/// Without the name of the directory of DOS names.
fn plain(target: &str) -> &str {
    let prefixes = ["\\DosDevices\\", "\\??\\", "\\GLOBAL??\\"];
    let prefix = prefixes
        .iter()
        .find(|prefix| target.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)));
    prefix.and_then(|prefix| target.get(prefix.len()..)).unwrap_or(target)
}

fn directories(sheet: &mut Sheet<'_, '_>) {
    const VALUE: &str = "ObjectDirectories";
    const EXPECTED: &str = "\\Windows, \\RPC Control";
    let key = sheet.ground.session_manager();
    let Some(Some(found)) = sheet.list(key, VALUE) else { return };
    for name in &found {
        if !facts::OBJECT_DIRECTORIES.iter().any(|known| same(known, name)) {
            sheet.violation(key, VALUE, Severity::Info, format!("{VALUE}: {}", shortened(name, 200)), EXPECTED);
        }
    }
    for missing in &facts::OBJECT_DIRECTORIES[..2] {
        if !found.iter().any(|name| same(name, missing)) {
            sheet.violation(key, VALUE, Severity::Info, format!("{VALUE} without {missing}"), EXPECTED);
        }
    }
}
