//! SMR-01, 02, 06, 07, 08: what `SubSystems` names beside the Windows subsystem itself.

use super::ground::Ground;
use super::places::path;
use super::sheet::shortened;
use super::{Sheet, facts};
use crate::checks::paths::same;
use crate::checks::{Outcome, Severity, table};

/// `Required` names Debug and Windows, and nothing else: whatever it names and the key defines is started.
pub(super) fn required(ground: &Ground<'_>) -> Outcome {
    const EXPECTED: &str = "Debug, Windows";
    let key = ground.sub_systems();
    let mut sheet = Sheet::new(ground, "SMR-01", EXPECTED);
    let Some(names) = sheet.list(key, "Required") else { return sheet.judge() };
    let names = names.unwrap_or_default();
    let all = if names.is_empty() { "nothing".to_owned() } else { shortened(&names.join(", "), 200) };
    sheet.pass(all.clone());
    let has = |name: &str| names.iter().any(|found| same(found, name));
    if !has("Windows") {
        sheet.violation(key, "Required", Severity::Medium, format!("{all}, without Windows"), EXPECTED);
    } else if !has("Debug") {
        sheet.violation(key, "Required", Severity::Low, format!("{all}, without Debug"), EXPECTED);
    }
    for name in &names {
        if facts::REQUIRED.iter().any(|known| same(known, name)) {
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
        let stock = definition.as_deref().is_some_and(|text| is_stock(ground, name, text));
        if stock && same(name, "Posix") && ground.scene.build.is_some_and(|build| build <= table::POSIX.1) {
            sheet.violation(key, "Required", Severity::Info, words, EXPECTED);
            sheet.guard("the subsystem for UNIX-based applications, which is started with the system");
            continue;
        }
        let severity = if definition.is_some() { Severity::Critical } else { Severity::High };
        sheet.violation(key, "Required", severity, words, EXPECTED);
        if definition.is_some() {
            // The program's own value is part of the evidence.
            sheet.related(key, name);
        }
    }
    sheet.judge()
}

/// Whether a subsystem's program is the one that Windows had for it.
fn is_stock(ground: &Ground<'_>, name: &str, definition: &str) -> bool {
    let program = definition.split_whitespace().next().and_then(path);
    facts::OPTIONAL.iter().any(|(known, below)| {
        same(known, name) && program.as_ref().is_some_and(|program| ground.scene.root.holds(program, below))
    })
}

/// Every value of the key is one that Windows has.
pub(super) fn known_values(ground: &Ground<'_>) -> Outcome {
    const EXPECTED: &str = "Debug, Kmode, Optional, Posix, Os2, Required, Windows";
    let key = ground.sub_systems();
    let mut sheet = Sheet::new(ground, "SMR-02", EXPECTED);
    let Some(values) = sheet.all(key) else { return sheet.judge() };
    let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    sheet.pass(names.join(", "));
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
            sheet.violation(key, name, Severity::Info, "an empty default value", EXPECTED);
        } else {
            sheet.violation(key, name, Severity::Medium, words, EXPECTED);
        }
    }
    sheet.judge()
}

/// `Optional` names nothing but the old subsystems, and those are where they were. That the file is gone is usual.
pub(super) fn optional(ground: &Ground<'_>) -> Outcome {
    let key = ground.sub_systems();
    let mut sheet = Sheet::new(ground, "SMR-06", "nothing, or Posix from System32");
    if let Some(names) = sheet.list(key, "Optional") {
        let names = names.unwrap_or_default();
        sheet.pass(if names.is_empty() { "Optional is empty".to_owned() } else { names.join(", ") });
        for name in names {
            if !facts::OPTIONAL.iter().any(|(known, _)| same(known, name)) {
                sheet.violation(
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
        let Some(Some(definition)) = sheet.text(key, name) else { continue };
        let expected = format!("%SystemRoot%{}", below.replace("System32", "system32"));
        if definition.is_empty() || is_stock(ground, name, definition) {
            if same(name, "Os2") && ground.scene.build.is_some_and(|build| build >= facts::FIRST_WITH_THREE_FIELDS) {
                sheet.violation(key, name, Severity::Info, format!("{name} = {definition}"), "not since Windows XP");
            }
        } else {
            let words = format!("{name} = {}", shortened(definition, 200));
            sheet.violation(key, name, Severity::Medium, words, expected);
        }
    }
    sheet.judge()
}

/// The kernel half of the Windows subsystem.
pub(super) fn kernel_mode(ground: &Ground<'_>) -> Outcome {
    const EXPECTED: &str = "\\SystemRoot\\System32\\win32k.sys";
    let key = ground.sub_systems();
    let mut sheet = Sheet::new(ground, "SMR-07", EXPECTED);
    match sheet.text(key, "Kmode") {
        None => {}
        Some(None) => sheet.violation(key, "Kmode", Severity::Info, "no such value", EXPECTED),
        Some(Some(driver)) => {
            let right = match path(driver) {
                Some(path) => ground.scene.root.holds(&path, "\\System32\\win32k.sys"),
                // Relative to the system root.
                None => same(driver, "win32k.sys") || same(driver, "System32\\win32k.sys"),
            };
            if right {
                sheet.pass(driver);
            } else {
                let words = if driver.is_empty() { "empty".to_owned() } else { shortened(driver, 200) };
                sheet.violation(key, "Kmode", Severity::High, words, EXPECTED);
            }
        }
    }
    // What runs is the better witness of this boot than what is named for the next.
    let loaded = ground.scene.system.drivers.named("win32k.sys").and_then(|driver| driver.path.value());
    if let Some((text, loaded)) = loaded.and_then(|text| Some((text, path(text)?))) {
        if ground.scene.root.holds(&loaded, "\\System32\\win32k.sys") {
            sheet.note("win32k.sys is loaded from there.");
        } else {
            sheet.violation(key, "Kmode", Severity::High, format!("loaded from {}", shortened(text, 200)), EXPECTED);
        }
    }
    sheet.judge()
}

/// A name without a program since XP.
pub(super) fn debug(ground: &Ground<'_>) -> Outcome {
    let key = ground.sub_systems();
    let mut sheet = Sheet::new(ground, "SMR-08", "empty");
    match sheet.text(key, "Debug") {
        None => {}
        Some(None) => sheet.pass("no such value"),
        Some(Some("")) => sheet.pass("empty"),
        Some(Some(text)) => sheet.violation(key, "Debug", Severity::Low, shortened(text, 200), "empty"),
    }
    sheet.judge()
}
