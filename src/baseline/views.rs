//! Whether every view of the machine has the same processes: SMSS-021.

use super::scene::Scene;
use super::{Outcome, Severity};
use crate::Process;

const LIST: &str = "active_list";

/// One outcome for each running process that the kernel's list lacks, and one for the rest.
pub(super) fn check(scene: &Scene<'_>) -> Vec<Outcome> {
    let rest = Outcome::new("SMSS-021", None).expected("every running process in the active list");
    let sources = || scene.rows.iter().flat_map(|(_, process)| &process.sources);
    if !sources().any(|source| source == LIST) || !sources().any(|source| source != LIST) {
        let needs = "one more view of the processes beside the active list";
        return vec![rest.unknown(needs, "not collected: memory was not scanned")];
    }
    let hidden: Vec<&Process> = scene
        .rows
        .iter()
        .map(|(_, process)| *process)
        .filter(|process| !process.sources.is_empty() && !process.sources.iter().any(|source| source == LIST))
        .collect();
    // A torn link loses processes as an attacker would.
    if let (Some(part), false) = (scene.part_reason(), hidden.is_empty()) {
        return vec![rest.observed(format!("{} not in it", hidden.len())).unknown("the whole active list", part)];
    }
    let mut outcomes: Vec<Outcome> = hidden.iter().filter_map(|process| judge(process)).collect();
    let running =
        |process: &&&Process| process.is_live() && process.threads.value().is_some_and(|threads| *threads > 0);
    let unlinked = outcomes.len();
    outcomes.extend(scene.leftovers.iter().filter(running).map(|process| leftover(process)));
    let rest = rest.observed(format!("{unlinked} unlinked"));
    outcomes.push(match scene.part_reason() {
        Some(part) => rest.unknown("the whole process list", part),
        None => rest.pass(),
    });
    outcomes
}

fn judge(process: &Process) -> Option<Outcome> {
    // What is left in freed memory: over, or without threads.
    if !process.is_live() || process.threads.value().is_none_or(|threads| *threads == 0) {
        return None;
    }
    let name = process.name.value().map_or("?", String::as_str);
    let outcome = Outcome::about("SMSS-021", process)
        .observed(format!("{name}, only in {}", process.sources.join(", ")))
        .expected("in the active list")
        .seen(process, "name", process.name.value().cloned())
        .seen(process, "threads", process.threads.value().map(ToString::to_string));
    Some(outcome.violation(Severity::High))
}

/// Nothing says that it runs: worth knowing, no more.
fn leftover(process: &Process) -> Outcome {
    let name = process.name.value().map_or("?", String::as_str);
    Outcome::about("SMSS-021", process)
        .observed(format!(
            "{name}, only found by scanning, made {}",
            process.created.value().map_or_else(|| "?".to_owned(), ToString::to_string)
        ))
        .expected("in the active list")
        .seen(process, "created", process.created.value().map(ToString::to_string))
        .guard("older than this boot: left in memory by the one before")
        .violation(Severity::Info)
}
