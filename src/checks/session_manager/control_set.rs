//! SMR-00: which control set the next start uses.

use super::Sheet;
use super::ground::Ground;
use crate::checks::{Outcome, Severity};

/// `Current` is a control set, and the default one.
pub(super) fn resolved(ground: &Ground<'_>) -> Outcome {
    let mut sheet = Sheet::new(ground, "SMR-00", "Current is Default");
    let select = ground.key("Select", &ground.keys.select);
    let Some(set) = ground.keys.control_set.value() else { return sheet.judge() };
    let _ = sheet.number(select, "Current");
    sheet.pass(format!("{} ({})", set.key_name(), set.source));
    if let Some(all) = ground.keys.control_sets.value() {
        let others: Vec<String> =
            all.iter().filter(|number| **number != set.number).map(|number| format!("ControlSet{number:03}")).collect();
        if !others.is_empty() {
            sheet.note(format!("Not in use, and not judged: {}.", others.join(", ")));
        }
    }
    if let Some(Some(default)) = sheet.number(select, "Default")
        && default != u64::from(set.number)
    {
        let words = format!("{} is in use, the default is ControlSet{default:03}", set.key_name());
        sheet.violation(select, "Default", Severity::Info, words, "Current is Default");
        sheet.guard("started with the last known good configuration");
    }
    if let Some(Some(failed)) = sheet.number(select, "Failed")
        && failed != 0
    {
        sheet.note(format!("ControlSet{failed:03} failed before."));
    }
    sheet.judge()
}
