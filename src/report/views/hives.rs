//! The hives of the registry.

use super::words::known;
use crate::Reading;
use crate::registry::{HiveList, HiveRecord};
use crate::report::page::{Blocks as _, Cell, Facts, Page, Row, Table};

/// The hives in memory, some lines each.
#[must_use]
pub fn hives(list: &HiveList) -> Page {
    const COLUMNS: [&str; 11] = [
        "root",
        "root_source",
        "file",
        "cmhive",
        "physical",
        "stable_bytes",
        "volatile_bytes",
        "version",
        "last_written",
        "sources",
        "notes",
    ];
    let mut page = Page::new("Hives");
    page.data = Some(Table::of_data("hives", &COLUMNS, list.items.iter().map(row).collect()));
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

/// The same as a row.
fn row(hive: &HiveRecord) -> Row {
    let sources: Vec<String> = hive.sources.iter().map(ToString::to_string).collect();
    Row::new(vec![
        Cell::from(&hive.root),
        Cell::of(hive.root_source.as_str()),
        Cell::from(&hive.file),
        Cell::from(&hive.cmhive),
        Cell::from(&hive.physical),
        Cell::from(&hive.stable_bytes),
        Cell::from(&hive.volatile_bytes),
        Cell::from(&hive.version),
        Cell::from(&hive.last_written),
        Cell::of(sources.join(" ")),
        Cell::of(hive.notes.join("; ")),
    ])
}
