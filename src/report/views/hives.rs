//! The hives of the registry.

use super::words::known;
use crate::Reading;
use crate::registry::HiveList;
use crate::report::page::{Blocks as _, Facts, Page};

/// The hives in memory, some lines each.
#[must_use]
pub fn hives(list: &HiveList) -> Page {
    let mut page = Page::new("Hives");
    for hive in &list.items {
        match &hive.root {
            Reading::Value(root) => page.heading(2, root.as_str()),
            _ => page.heading(2, "(mounted nowhere that is known)"),
        };
        let mut facts = Facts::new(2, 9);
        facts.add("file", known(&hive.file));
        facts.add("at", known(&hive.cmhive));
        let (stable, volatile) = (known(&hive.stable_bytes).plain(), known(&hive.volatile_bytes).plain());
        facts.add("bytes", format!("{stable} stable, {volatile} volatile"));
        facts.add("written", known(&hive.last_written));
        page.facts(facts);
        for note in &hive.notes {
            page.paragraph((2, 4), format!("note: {note}"));
        }
    }
    page
}
