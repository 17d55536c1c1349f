//! What a key holds beside what registry editors show: names and texts that go on behind a NUL, names that are there twice.

use super::{Answer, shortened};
use crate::checks::Severity;
use crate::checks::session_manager::keys::HiveKey;
use crate::checks::words::{escaped, same};
use std::collections::BTreeSet;

/// Keys of which smss.exe asks for values by name. Of the others it takes all, each name up to its NUL.
const BY_NAME: [&str; 2] = ["Session Manager", "Memory Management"];
/// Values of `Environment` that Windows alone writes. What an installer wrote may have a rest of its buffer behind the end.
const OF_WINDOWS: [&str; 3] = ["ComSpec", "windir", "OS"];

impl<'a> Answer<'_, 'a> {
    /// Judges it.
    pub(in crate::checks::session_manager) fn hidden(&mut self, key: HiveKey<'a>) {
        const EXPECTED: &str = "nothing that editors do not show";
        let Some(record) = key.read.value() else { return };
        let values = || record.values.value().into_iter().flatten();
        let subkeys = record.keys.value().into_iter().flatten().map(|(name, _)| ("key", name));
        let names = values().map(|(name, _)| ("value", name)).chain(subkeys);
        for (what, name) in names.filter(|(_, name)| name.contains('\0')) {
            let shown = name.split('\0').next().unwrap_or_default();
            let (severity, taken) = match what {
                "value" if !BY_NAME.contains(&key.name) => (Severity::High, ", as smss.exe takes it too"),
                _ => (Severity::Medium, ""),
            };
            let words =
                format!("a {what} {}, which editors show as {}{taken}", escaped(name, 60), shortened(shown, 60));
            self.violation(key, name, severity, words, EXPECTED);
        }
        for name in record.repeated.iter().collect::<BTreeSet<_>>() {
            let words = format!("{} is there twice", escaped(name, 60));
            self.violation(key, name, Severity::High, words, "each name once, as the kernel makes it");
        }
        for (name, value) in values() {
            let Some(text) = &value.hidden else { continue };
            self.looked_at(key, record, name, value);
            let of_windows = key.name == "SubSystems" || OF_WINDOWS.iter().any(|own| same(own, name));
            let severity = if of_windows { Severity::Low } else { Severity::Info };
            let words = format!("{} has {} behind the NUL that ends it", escaped(name, 60), escaped(text, 120));
            self.violation(key, name, severity, words, EXPECTED);
            self.guard("programs read up to the NUL: what is behind it takes no effect");
        }
    }
}
