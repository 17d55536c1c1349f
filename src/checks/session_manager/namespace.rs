//! SMR-17: names that smss.exe makes in the namespace of objects.

use super::answer::shortened;
use super::keys::{HiveKey, Keys};
use super::{Answer, facts};
use crate::checks::rule::{About, Rule};
use crate::checks::words::same;
use crate::checks::{Outcome, Severity};

/// SMR-17: DOS Devices, ObjectDirectories.
pub static NAMES: Rule = Rule {
    id: "SMR-17",
    title: "DOS Devices, ObjectDirectories",
    wrong: "other names than Windows makes in the object namespace",
    core: false,
    attack: &[],
    about: About {
        what: "Session Manager\\DOS Devices has AUX, MAILSLOT, NUL, PIPE, PRN and UNC with their stock targets and \
               no drive letters; ObjectDirectories is \\Windows and \\RPC Control.",
        why: "smss.exe makes these names when the system starts. One that leads elsewhere redirects every program \
               that uses it.",
        benign: "Names of ports come and go with the hardware.",
        source: "Microsoft support article 102985; ReactOS base/system/smss/sminit.c.",
    },
    judge: |case, _| vec![names(&Keys::new(case))],
};

/// Devices for DOS names, and directories.
fn names(keys: &Keys<'_>) -> Outcome {
    let devices = keys.key("DOS Devices", &keys.read.dos_devices);
    let mut answer = Answer::new(keys, &NAMES, "the stock devices and directories");
    answer.pass("the stock devices and directories");
    for (name, target) in answer.values(devices) {
        device(&mut answer, devices, name, target.trim());
    }
    directories(&mut answer);
    answer.judge()
}

fn device(answer: &mut Answer<'_, '_>, key: HiveKey<'_>, name: &str, target: &str) {
    let words = format!("{name} = {}", shortened(target, 200));
    if let Some((_, stock)) = facts::DEVICES.iter().find(|(known, _)| same(known, name)) {
        if !same(plain(target), plain(stock)) {
            answer.violation(key, name, Severity::Medium, words, format!("{name} = {stock}"));
        }
        return;
    }
    let mut chars = name.chars();
    let is_drive = chars.next().is_some_and(|drive| drive.is_ascii_alphabetic()) && matches!(chars.as_str(), "" | ":");
    if is_drive {
        answer.violation(key, name, Severity::Medium, words, "no drive letters");
    } else if !(is_port(name) || name.is_empty() && target.is_empty()) {
        answer.violation(key, name, Severity::Info, words, "AUX, MAILSLOT, NUL, PIPE, PRN, UNC");
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

fn directories(answer: &mut Answer<'_, '_>) {
    const VALUE: &str = "ObjectDirectories";
    const EXPECTED: &str = "\\Windows, \\RPC Control";
    let key = answer.keys.session_manager();
    let Some(Some(found)) = answer.list(key, VALUE) else { return };
    for name in &found {
        if !facts::OBJECT_DIRECTORIES.iter().any(|known| same(known, name)) {
            answer.violation(key, VALUE, Severity::Info, format!("{VALUE}: {}", shortened(name, 200)), EXPECTED);
        }
    }
    for missing in &facts::OBJECT_DIRECTORIES[..2] {
        if !found.iter().any(|name| same(name, missing)) {
            answer.violation(key, VALUE, Severity::Info, format!("{VALUE} without {missing}"), EXPECTED);
        }
    }
}
