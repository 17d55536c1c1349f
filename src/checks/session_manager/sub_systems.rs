//! SMR-01, 02, 06, 07, 08: what `SubSystems` names beside the Windows subsystem itself.

use super::answer::shortened;
use super::keys::Keys;
use super::{Answer, facts};
use crate::checks::places::path;
use crate::checks::rule::{About, Rule};
use crate::checks::words::{escaped, same, trim, words};
use crate::checks::{Outcome, Severity};

/// SMR-01: Required is Debug and Windows.
pub static REQUIRED: Rule = Rule {
    id: "SMR-01",
    title: "Required is Debug and Windows",
    wrong: "Required names other subsystems",
    core: true,
    attack: &["T1547"],
    about: About {
        what: "Session Manager\\SubSystems\\Required lists Debug and Windows, in any order and case, and nothing \
               else.",
        why: "smss.exe starts the program of every subsystem that Required names and that has a value in the key. \
               A further name is a program that runs at every start, before winlogon.",
        benign: "Posix on builds up to 9200, where the subsystem for UNIX-based applications starts with the system: \
               info.",
        source: "ReactOS base/system/smss (SmpConfigureSubSystems); registry dumps of Windows 10; Windows Internals \
               6th edition part 2.",
    },
    judge: |case, _| vec![required(&Keys::new(case))],
};

/// SMR-02: every value of SubSystems is known.
pub static KNOWN_VALUES: Rule = Rule {
    id: "SMR-02",
    title: "every value of SubSystems is known",
    wrong: "SubSystems has values that Windows does not have",
    core: false,
    attack: &["T1547"],
    about: About {
        what: "Session Manager\\SubSystems has no values but Debug, Kmode, Optional, Posix, Os2, Required, Windows \
               and PosixSingleInstance, each once, and no name or text goes on behind a NUL, where editors do not show it.",
        why: "Every other value defines a subsystem that Required can name.",
        benign: "An empty default value is info. What stands behind the NUL of a text takes no effect: low.",
        source: "ReactOS base/system/smss; registry dumps of Windows 10.",
    },
    judge: |case, _| vec![known_values(&Keys::new(case))],
};

/// SMR-06: Optional, Posix and Os2.
pub static OPTIONAL: Rule = Rule {
    id: "SMR-06",
    title: "Optional, Posix and Os2",
    wrong: "Optional, Posix or Os2 lead elsewhere",
    core: false,
    attack: &["T1547"],
    about: About {
        what: "SubSystems\\Optional is empty or names Posix or Os2; Posix and Os2 lead to psxss.exe and os2ss.exe \
               of System32.",
        why: "A program that one of them names is started when somebody asks for the subsystem.",
        benign: "Posix stands in the registry of Windows 10 though psxss.exe does not exist: right. Os2 since XP: \
               info.",
        source: "Registry dumps of Windows 10; Microsoft support article 102985.",
    },
    judge: |case, _| vec![optional(&Keys::new(case))],
};

/// SMR-07: Kmode is win32k.sys.
pub static KERNEL_MODE: Rule = Rule {
    id: "SMR-07",
    title: "Kmode is win32k.sys",
    wrong: "Kmode is not win32k.sys of System32",
    core: false,
    attack: &["T1547"],
    about: About {
        what: "SubSystems\\Kmode is \\SystemRoot\\System32\\win32k.sys, and the loaded win32k.sys comes from there.",
        why: "It names the kernel half of the Windows subsystem, which is loaded as a driver.",
        benign: "A missing value is info.",
        source: "ReactOS base/system/smss/sminit.c; registry dumps of Windows 10.",
    },
    judge: |case, _| vec![kernel_mode(&Keys::new(case))],
};

/// SMR-08: Debug is empty.
pub static DEBUG: Rule = Rule {
    id: "SMR-08",
    title: "Debug is empty",
    wrong: "Debug is not empty",
    core: false,
    attack: &[],
    about: About {
        what: "SubSystems\\Debug has no text.",
        why: "There is no debugging subsystem since XP. A text there has no use and was written by somebody.",
        benign: "",
        source: "ReactOS base/system/smss/smss.c; registry dumps of Windows 10.",
    },
    judge: |case, _| vec![debug(&Keys::new(case))],
};

/// `Required` names Debug and Windows, and nothing else: whatever it names and the key defines is started.
fn required(keys: &Keys<'_>) -> Outcome {
    const EXPECTED: &str = "Debug, Windows";
    let key = keys.sub_systems();
    let mut answer = Answer::new(keys, &REQUIRED, EXPECTED);
    // smss.exe compares whole texts: with a blank behind it a name is another one.
    let Some(names) = answer.names(key, "Required") else { return answer.judge() };
    let names = names.unwrap_or_default();
    let all = if names.is_empty() { "nothing".to_owned() } else { escaped(&names.join(", "), 200) };
    answer.pass(all.clone());
    let has = |name: &str| names.iter().any(|found| same(found, name));
    if !has("Windows") {
        answer.violation(key, "Required", Severity::Medium, format!("{all}, without Windows"), EXPECTED);
    } else if !has("Debug") {
        answer.violation(key, "Required", Severity::Low, format!("{all}, without Debug"), EXPECTED);
    }
    for name in &names {
        // With a blank it names nothing, and nobody.
        if facts::REQUIRED.iter().any(|known| same(known, trim(name))) {
            continue;
        }
        let defined = key.read.value().map(|record| record.data(name));
        let definition = defined.as_ref().and_then(|data| data.value()).map(|data| data.to_string());
        let words = match &definition {
            Some(definition) => format!("{all}: {name} is {}", shortened(definition, 200)),
            None if defined.as_ref().is_some_and(|data| data.absent().is_some()) => {
                format!("{all}: whether {name} has a value is not known")
            }
            None => format!("{all}: {name} has no value"),
        };
        let stock = definition.as_deref().is_some_and(|text| is_stock(keys, name, text));
        if stock && same(name, "Posix") && keys.case.build.is_some_and(|build| build <= facts::LAST_WITH_POSIX) {
            answer.violation(key, "Required", Severity::Info, words, EXPECTED);
            answer.guard("the subsystem for UNIX-based applications, which is started with the system");
            continue;
        }
        let severity = if definition.is_some() { Severity::Critical } else { Severity::High };
        answer.violation(key, "Required", severity, words, EXPECTED);
        if definition.is_some() {
            // The program's own value is part of the evidence.
            answer.related(key, name);
        }
    }
    answer.judge()
}

/// Whether a subsystem's program is the one that Windows had for it.
fn is_stock(keys: &Keys<'_>, name: &str, definition: &str) -> bool {
    let program = words(definition).next().and_then(path);
    facts::OPTIONAL.iter().any(|(known, below)| {
        same(known, name) && program.as_ref().is_some_and(|program| keys.case.root.holds(program, below))
    })
}

/// Every value of the key is one that Windows has.
fn known_values(keys: &Keys<'_>) -> Outcome {
    const EXPECTED: &str = "Debug, Kmode, Optional, Posix, Os2, Required, Windows";
    let key = keys.sub_systems();
    let mut answer = Answer::new(keys, &KNOWN_VALUES, EXPECTED);
    answer.hidden(key);
    let Some(values) = answer.all(key) else { return answer.judge() };
    let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    answer.pass(names.join(", "));
    for (name, value) in values {
        let empty = value.data.value().is_some_and(|data| data.is_empty());
        if facts::SUB_SYSTEMS.iter().any(|known| same(known, name)) {
            continue;
        }
        let words = match value.data.value() {
            Some(data) => format!("{name} = {}", shortened(&data.to_string(), 200)),
            None => format!("{name}, whose data are not known"),
        };
        if name.is_empty() && empty {
            answer.violation(key, name, Severity::Info, "an empty default value", EXPECTED);
        } else {
            answer.violation(key, name, Severity::Medium, words, EXPECTED);
        }
    }
    answer.judge()
}

/// `Optional` names nothing but the old subsystems, and those are where they were. That the file is gone is usual.
fn optional(keys: &Keys<'_>) -> Outcome {
    let key = keys.sub_systems();
    let mut answer = Answer::new(keys, &OPTIONAL, "nothing, or Posix from System32");
    if let Some(names) = answer.list(key, "Optional") {
        let names = names.unwrap_or_default();
        answer.pass(if names.is_empty() { "Optional is empty".to_owned() } else { names.join(", ") });
        for name in names {
            if !facts::OPTIONAL.iter().any(|(known, _)| same(known, name)) {
                answer.violation(
                    key,
                    "Optional",
                    Severity::Medium,
                    format!("Optional names {name}"),
                    "Posix, or nothing",
                );
            }
        }
    }
    for (name, below) in facts::OPTIONAL {
        let Some(Some(definition)) = answer.text(key, name) else { continue };
        let expected = format!("%SystemRoot%{}", below.replace("System32", "system32"));
        if definition.is_empty() || is_stock(keys, name, definition) {
            if same(name, "Os2") && keys.case.build.is_some_and(|build| build >= facts::FIRST_WITH_THREE_FIELDS) {
                answer.violation(key, name, Severity::Info, format!("{name} = {definition}"), "not since Windows XP");
            }
        } else {
            let words = format!("{name} = {}", shortened(definition, 200));
            answer.violation(key, name, Severity::Medium, words, expected);
        }
    }
    answer.judge_values()
}

/// The kernel half of the Windows subsystem.
fn kernel_mode(keys: &Keys<'_>) -> Outcome {
    const EXPECTED: &str = "\\SystemRoot\\System32\\win32k.sys";
    let key = keys.sub_systems();
    let mut answer = Answer::new(keys, &KERNEL_MODE, EXPECTED);
    match answer.text(key, "Kmode") {
        None => {}
        Some(None) => answer.violation(key, "Kmode", Severity::Info, "no such value", EXPECTED),
        Some(Some(driver)) => {
            let right = match path(driver) {
                Some(path) => keys.case.root.holds(&path, "\\System32\\win32k.sys"),
                // Relative to the system root.
                None => same(driver, "win32k.sys") || same(driver, "System32\\win32k.sys"),
            };
            if right {
                answer.pass(driver);
            } else {
                let words = if driver.is_empty() { "empty".to_owned() } else { shortened(driver, 200) };
                answer.violation(key, "Kmode", Severity::High, words, EXPECTED);
            }
        }
    }
    // What runs is the better witness of this boot than what is named for the next.
    let loaded = keys.case.system.drivers.named("win32k.sys").and_then(|driver| driver.path.value());
    if let Some((text, loaded)) = loaded.and_then(|text| Some((text, path(text)?))) {
        if keys.case.root.holds(&loaded, "\\System32\\win32k.sys") {
            answer.note("win32k.sys is loaded from there.");
        } else {
            answer.violation(key, "Kmode", Severity::High, format!("loaded from {}", shortened(text, 200)), EXPECTED);
        }
    }
    answer.judge()
}

/// A name without a program since XP.
fn debug(keys: &Keys<'_>) -> Outcome {
    let key = keys.sub_systems();
    let mut answer = Answer::new(keys, &DEBUG, "empty");
    match answer.text(key, "Debug") {
        None => {}
        Some(None) => answer.pass("no such value"),
        Some(Some("")) => answer.pass("empty"),
        Some(Some(text)) => answer.violation(key, "Debug", Severity::Low, shortened(text, 200), "empty"),
    }
    answer.judge()
}
