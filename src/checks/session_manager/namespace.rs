//! SMR-17: names that smss.exe makes in the namespace of objects.

use super::answer::shortened;
use super::keys::{HiveKey, Keys};
use super::{Answer, facts};
use crate::checks::places::{Place, place};
use crate::checks::rule::{About, Rule};
use crate::checks::words::{same, strip, trim};
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
        benign: "Names of ports come and go with the hardware. A drive letter for another drive, or for a folder that is \
               none of users', is a permanent SUBST drive: info; the letter of the drive of the system is not.",
        source: "Microsoft support article 102985; ReactOS base/system/smss/sminit.c.",
    },
    judge: |case, _| vec![names(&Keys::new(case))],
};

/// Devices for DOS names, and directories.
fn names(keys: &Keys<'_>) -> Outcome {
    let devices = keys.key("DOS Devices", &keys.read.dos_devices);
    let mut answer = Answer::new(keys, &NAMES, "the stock devices and directories");
    answer.pass("the stock devices and directories");
    answer.hidden(devices);
    for (name, target) in answer.values(devices) {
        device(&mut answer, devices, name, trim(&target));
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
    let drive = chars.next().filter(char::is_ascii_alphabetic);
    let is_drive = drive.is_some() && matches!(chars.as_str(), "" | ":");
    if is_drive {
        // A drive letter for a folder lasts over restarts in this way; that of the system's drive leads every program elsewhere.
        let of_system = answer.keys.case.root.drive().unwrap_or('C').eq_ignore_ascii_case(&drive.unwrap_or('C'));
        let harmless = !of_system && !matches!(place(&answer.keys.case.root, target), Place::Writable | Place::Unclear);
        let severity = if harmless { Severity::Info } else { Severity::Medium };
        answer.violation(key, name, severity, words, "no drive letters");
        if harmless {
            answer.guard(
                "a letter for another drive, or for a folder that is none of users', as permanent SUBST drives have",
            );
        }
    } else if !(is_port(name) || name.is_empty() && target.is_empty()) {
        answer.violation(key, name, Severity::Info, words, "AUX, MAILSLOT, NUL, PIPE, PRN, UNC");
    }
}

/// COM and LPT come and go with the hardware.
fn is_port(name: &str) -> bool {
    let number = |word: &str| strip(name, word).is_some_and(|number| number.parse::<u16>().is_ok());
    number("COM") || number("LPT")
}

/// Without the name of the directory of DOS names.
fn plain(target: &str) -> &str {
    let prefixes = ["\\DosDevices\\", "\\??\\", "\\GLOBAL??\\"];
    prefixes.iter().find_map(|prefix| strip(target, prefix)).unwrap_or(target)
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
