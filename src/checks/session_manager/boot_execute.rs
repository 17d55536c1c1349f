//! SMR-10, 11, 12: programs that smss.exe runs before anything else.

use super::boot_entry::{BootEntry, Kind};
use super::ground::{Ground, HiveKey};
use super::sheet::shortened;
use super::{Sheet, facts};
use crate::checks::paths::same;
use crate::checks::{Outcome, Severity};
use crate::registry::RegistryData;

const STOCK: &str = "autocheck autochk * (servers: autocheck autochk /q /v *)";

/// Runs before any service: the stock check of volumes, or the like.
pub(super) fn boot_execute(ground: &Ground<'_>) -> Outcome {
    const VALUE: &str = "BootExecute";
    let key = ground.session_manager();
    let mut sheet = Sheet::new(ground, "SMR-10", STOCK);
    let Some(lines) = sheet.list(key, VALUE) else { return sheet.judge() };
    let lines = lines.unwrap_or_default();
    if lines.is_empty() {
        sheet.violation(key, VALUE, Severity::Info, "nothing: volumes are not checked", STOCK);
    }
    for line in lines {
        let words = shortened(line, 200);
        let mut found = |severity| sheet.violation(key, VALUE, severity, words.as_str(), STOCK);
        match BootEntry::read(line).kind(ground) {
            Kind::Stock => sheet.pass(words),
            Kind::OddForm => found(Severity::Info),
            Kind::Vendor => {
                found(Severity::Info);
                sheet.guard("third_party: a vendor's boot program");
            }
            Kind::Servicing => {
                found(Severity::Info);
                sheet.guard(SERVICING);
            }
            Kind::LookAlike => found(Severity::Critical),
            Kind::Foreign => found(Severity::High),
        }
    }
    sheet.judge()
}

const SERVICING: &str = "an update or upgrade to be finished (poqexec, setupcl)";

/// The lists that run later, or for firmware. They are empty but for servicing.
pub(super) fn other_lists(ground: &Ground<'_>) -> Outcome {
    let key = ground.session_manager();
    let mut sheet = Sheet::new(ground, "SMR-11", "nothing");
    let mut all_empty = true;
    for name in facts::OTHER_LISTS {
        let Some(lines) = sheet.list(key, name) else { continue };
        for line in lines.unwrap_or_default() {
            all_empty = false;
            let words = format!("{name}: {}", shortened(line, 200));
            match BootEntry::read(line).kind(ground) {
                Kind::Servicing => {
                    sheet.violation(key, name, Severity::Info, words, "nothing");
                    sheet.guard(SERVICING);
                }
                _ => sheet.violation(key, name, Severity::High, words, "nothing"),
            }
        }
    }
    if all_empty {
        sheet.pass("nothing");
    }
    sheet.judge()
}

/// What runs instead of wininit and winlogon, or around them.
pub(super) fn initial_commands(ground: &Ground<'_>) -> Outcome {
    let key = ground.session_manager();
    let mut sheet = Sheet::new(ground, "SMR-12", "nothing");
    sheet.pass("nothing");
    for name in ["Execute", "S0InitialCommand"] {
        for line in sheet.list(key, name).flatten().unwrap_or_default() {
            let words = format!("{name}: {}", shortened(line, 200));
            let entry = BootEntry::read(line);
            if name == "S0InitialCommand" && entry.stem() == "wininit" && is_in_system32(ground, entry.image) {
                sheet.violation(key, name, Severity::Info, words, "nothing");
                sheet.guard("what runs without the value too");
            } else {
                sheet.violation(key, name, Severity::High, words, "nothing");
            }
        }
    }
    let options = ground.key("Image File Execution Options", &ground.keys.image_file_execution_options);
    let Some(Some(record)) = sheet.record(options) else { return sheet.judge() };
    if let Some(absent) = record.keys_missing.first() {
        sheet.unknown("the options of winlogon.exe", absent);
    } else if let Err(absent) = record.keys.known() {
        sheet.unknown("the options of winlogon.exe", absent);
    }
    for (program, options) in record.keys.value().into_iter().flatten() {
        match options.data("Debugger").known() {
            Ok(None) => {}
            Ok(Some(data)) => debugger(&mut sheet, program, options, data),
            Err(absent) => sheet.unknown(&format!("the debugger of {program}"), absent),
        }
    }
    sheet.judge()
}

fn is_in_system32(ground: &Ground<'_>, image: &str) -> bool {
    !image.contains('\\')
        || crate::checks::session_manager::places::path(image)
            .is_some_and(|path| ground.scene.root.holds(&path, "\\System32\\wininit.exe"))
}

fn debugger(sheet: &mut Sheet<'_, '_>, program: &str, options: &crate::registry::KeyRecord, data: &RegistryData) {
    if data.is_empty() || !crate::registry::DEBUGGABLE.iter().any(|known| same(known, program)) {
        return;
    }
    let words = format!("Debugger of {program}: {}", shortened(&data.to_string(), 200));
    let read = crate::Reading::Value(options.clone());
    let key = HiveKey { name: "Image File Execution Options", read: &read };
    let name = format!("{program}\\Debugger");
    if let Some(value) = options.value("Debugger").value() {
        sheet.looked_at(key, options, &name, value);
    }
    sheet.violation(key, &name, Severity::High, words, "no debugger");
}
