//! Whether every view of the machine has the same processes: SMSS-021.

use super::scene::Scene;
use super::{Confidence, Outcome, Severity};
use crate::process::{PID_END, ProcessView};
use crate::{ListEnd, Process};

const LIST: &str = "active_list";
const IDS: &str = "cid_table";

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
    outcomes.extend(without_id(scene));
    outcomes.extend(written_over(scene));
    let rest = rest.observed(format!("{unlinked} unlinked"));
    let views = &scene.system.processes.views;
    let whole = |view: &ProcessView| view.end.value() == Some(&ListEnd::Complete);
    outcomes.push(if let Some(part) = scene.part_reason() {
        rest.unknown("the whole process list", part)
    } else if !views.is_empty() && !views.iter().any(whole) {
        // A document may name the sources of its rows without saying how the views ended.
        rest.unknown("another view of the processes that is whole", "not read to its end")
    } else {
        rest.pass()
    });
    outcomes
}

/// Running processes named smss.exe whose pid is none that Windows gives: ids are multiples of 4, and the table that gives them
/// has room for 2^24.
fn written_over(scene: &Scene<'_>) -> Vec<Outcome> {
    let outcome = |process: &Process| {
        let pid = process.pid.value().filter(|pid| **pid >= PID_END || !pid.is_multiple_of(4))?;
        let outcome = Outcome::about("SMSS-021", process)
            .observed(format!("pid {pid:#x}"))
            .expected("a multiple of 4 below 2^26, as PspCidTable gives ids")
            .seen(process, "pid", Some(pid.to_string()));
        Some(outcome.violation(Severity::High))
    };
    let named = scene.rows.iter().map(|row| row.1).filter(|process| process.is_named("smss.exe") && process.is_live());
    named.filter_map(outcome).collect()
}

/// Running processes that the table of ids lacks, although that was read to its end. Ids are given up after a process has
/// left the list, so that somebody must have taken them off; nothing published says so, and it is worth knowing, no more.
fn without_id(scene: &Scene<'_>) -> Vec<Outcome> {
    let table = scene.system.processes.views.iter().find(|view| view.source == IDS);
    if table.is_none_or(|view| view.end.value() != Some(&ListEnd::Complete)) {
        return Vec::new();
    }
    let has = |process: &Process, source: &str| process.sources.iter().any(|own| own == source);
    let live: Vec<&Process> =
        scene.rows.iter().map(|row| row.1).filter(|process| process.is_live() && has(process, LIST)).collect();
    let without: Vec<&Process> = live.iter().copied().filter(|process| !has(process, IDS)).collect();
    if without.len().saturating_mul(2) > live.len() {
        // Then it is the table that was not understood.
        return Vec::new();
    }
    let outcome = |process: &&Process| {
        let name = process.name.value().map_or("?", String::as_str);
        Outcome::about("SMSS-021", process)
            .observed(format!("{name}, not in {IDS}"))
            .expected("in every view of the kernel")
            .seen(process, "pid", process.pid.value().map(u64::to_string))
            .confidence(Confidence::Low)
            .violation(Severity::Info)
    };
    without.iter().map(outcome).collect()
}

fn judge(process: &Process) -> Option<Outcome> {
    // What is left in freed memory: over, or without threads.
    if !process.is_live() || process.threads.value().is_none() {
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
