//! SMR-15: DLLs that are loaded into every process that starts a program.

use super::Sheet;
use super::ground::Ground;
use super::sheet::shortened;
use crate::checks::{Outcome, Severity};

/// The key has no values. (Read by kernel32, not by smss.exe.)
pub(super) fn app_cert_dlls(ground: &Ground<'_>) -> Outcome {
    let key = ground.key("AppCertDlls", &ground.keys.app_cert_dlls);
    let mut sheet = Sheet::new(ground, "SMR-15", "nothing");
    sheet.pass(if key.read.is_nothing() { "no such key" } else { "nothing" });
    for (name, value) in sheet.all(key).unwrap_or_default() {
        match value.data.known() {
            // The default value, set to nothing.
            Ok(data) if name.is_empty() && data.is_none_or(crate::registry::RegistryData::is_empty) => {}
            Ok(data) => {
                let data = data.map_or_else(String::new, |data| shortened(&data.to_string(), 200));
                sheet.violation(key, name, Severity::High, format!("{name} = {data}"), "no value");
            }
            Err(absent) => {
                sheet.violation(key, name, Severity::High, format!("{name}, whose data are {absent}"), "no value");
            }
        }
    }
    sheet.judge()
}
