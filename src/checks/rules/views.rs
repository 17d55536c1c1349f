//! Whether every view of the machine has the same processes: SMSS-021.

use super::ids;
use crate::checks::case::Case;
use crate::checks::rule::{About, Rule};
use crate::checks::{Confidence, Outcome, Severity, Witness};
use crate::picture::{Explanation, Sighting};
use crate::process::{ProcessView, Source};
use crate::{Absent, ListEnd, Process};
use std::collections::BTreeSet;

/// SMSS-021: every view has the same processes.
pub static EVERY_VIEW: Rule = Rule {
    id: "SMSS-021",
    title: "every view has the same processes",
    wrong: "a process that a view of the kernel lacks",
    core: false,
    attack: &["T1014"],
    about: About {
        what: "Every running process that the pool, PspCidTable, handle tables, session lists or threads lead to is \
               linked in PsActiveProcessHead, under an id that a process can have (a multiple of 4, not 0), that is not \
               System's and that its threads bear too.",
        why: "A rootkit takes a process out of the active list to hide it. The other structures have to stay, \
               since the process would not run without them. Another id hides it from whoever asks by id.",
        benign: "Exited processes, processes in the making, objects that an earlier boot left in memory, and lists \
               torn by the acquisition: info, or not judged.",
        source: "MITRE ATT&CK T1014; Volatility's psxview; public descriptions of FU-class rootkits.",
    },
    judge: views,
};

const LIST: Source = Source::ActiveList;

/// One outcome for each running process that the kernel's list lacks, and one for the rest.
fn views(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let rest = Outcome::new(rule, None).expected("every running process in the active list");
    let sources = || case.rows.iter().flat_map(|(_, process)| &process.sources);
    if !sources().any(|source| *source != LIST) {
        let needs = "one more view of the processes beside the active list";
        let why = match case.system.image {
            Some(_) => "memory was not scanned",
            None => "what was saved does not tell in how many ways processes were looked for",
        };
        return vec![rest.unknown(needs, Absent::not_collected(why))];
    }
    let seen = case.sightings;
    let rows = case.rows.iter().filter_map(|(at, process)| Some((*process, seen.get(*at)?)));
    let rows: Vec<(&Process, &Sighting)> = rows.collect();
    let mut outcomes: Vec<Outcome> =
        rows.iter().filter_map(|(process, sighting)| judge(case, rule, process, sighting)).collect();
    let hidden = rows.iter().filter(|(_, sighting)| sighting.hidden).count();
    let running =
        |process: &&&Process| process.is_live() && process.threads.value().is_some_and(|threads| *threads > 0);
    outcomes.extend(case.leftovers.iter().filter(running).map(|process| leftover(rule, process)));
    outcomes.extend(ids::not_their_own(case, rule));
    let told: BTreeSet<Witness> = sources().map(|source| Witness::of_source(*source)).collect();
    let rest = rest.observed(format!("{hidden} unlinked")).witnessed(told);
    let views = &case.system.processes.views;
    let whole = |view: &ProcessView| view.end.value() == Some(&ListEnd::Complete);
    outcomes.push(if !sources().any(|source| *source == LIST) {
        rest.unknown("the active list", "not collected, or lost")
    } else if let Some(part) = case.part_reason() {
        // A torn link loses processes as an attacker would.
        let torn = rows.iter().filter(|(_, sighting)| sighting.explanation == Explanation::Torn).count();
        let rest = if torn > 0 { rest.observed(format!("{hidden} unlinked, {torn} lost by the tear")) } else { rest };
        rest.unknown("the whole process list", part)
    } else if let Some(unread) = case.unread() {
        rest.unknown("every process that sources lead to", unread)
    } else if !views.is_empty() && !views.iter().any(whole) {
        // A document may name the sources of its rows without saying how the views ended.
        rest.unknown("another view of the processes that is whole", "not read to its end")
    } else {
        rest.pass()
    });
    outcomes
}

/// A violation, where exit, creation and smear do not explain the views that hold the process.
fn judge(case: &Case<'_>, rule: &Rule, process: &Process, sighting: &Sighting) -> Option<Outcome> {
    let name = process.name.value().map_or("?", String::as_str);
    let sources = process.sources.iter().map(|source| Witness::of_source(*source));
    let outcome = Outcome::about(rule, process).witnessed(sources);
    match sighting.explanation {
        Explanation::Unlinked => {
            let outcome = outcome
                .observed(format!("{name}, only in {}: {}", Source::names(&process.sources), sighting.why))
                .expected("in the active list")
                .seen(process, "active_links", process.active_links.value().map(ToString::to_string))
                .seen(process, "threads", process.threads.value().map(ToString::to_string))
                .seen(process, "name", process.name.value().cloned());
            Some(outcome.headed("hidden: it runs, and the active list lacks it").violation(Severity::High))
        }
        // A torn link loses processes as an attacker would: nobody can tell which, but it is told who.
        Explanation::Torn => {
            let outcome = outcome
                .observed(format!("{name}, only in {}: {}", Source::names(&process.sources), sighting.why))
                .expected("in the active list")
                .seen(process, "active_links", process.active_links.value().map(ToString::to_string));
            let words = format!("{name} ({})", pid(process));
            Some(match case.system.processes.end {
                Some(_) => outcome.unknown("the whole active list", "torn where it may have stood"),
                // Another tool's list: of two things it is one.
                None => {
                    let by = Source::names(&process.sources);
                    let why = format!("not said to be whole: {words} runs by {by} and is not in it, hidden or lost");
                    outcome.unknown("the whole active list", why).decides()
                }
            })
        }
        Explanation::HalfLinked => {
            let outcome = outcome
                .observed(format!("{name}: {}", sighting.why))
                .expected("in the active list in both directions")
                .seen(process, "active_links", process.active_links.value().map(ToString::to_string));
            let outcome = outcome.headed("half hidden: one direction of the active list lacks it");
            Some(outcome.confidence(Confidence::Medium).violation(Severity::Medium))
        }
        // What Windows would have done meanwhile looks the same, and one of the two it was.
        Explanation::InMotion => {
            let seen = format!("{name}, only in {}: {}", Source::names(&process.sources), sighting.why);
            let outcome = outcome.observed(seen).expected("in the active list").seen(
                process,
                "active_links",
                process.active_links.value().map(ToString::to_string),
            );
            let why = format!("not the case: pid {} ({name}) may have ended or been made meanwhile", pid(process));
            Some(outcome.unknown("an image that was taken at once", why).decides())
        }
        // An acquisition copies the list at one time and the process at another.
        Explanation::BeingCreated if process.is_live() && !process.sources.contains(&LIST) => {
            let outcome = outcome
                .observed(format!("{name}, only in {}", Source::names(&process.sources)))
                .expected("in the active list")
                .seen(process, "created", process.created.value().map(ToString::to_string));
            Some(outcome.guard(sighting.why.clone()).violation(Severity::Info))
        }
        // Somebody may have taken it off there; nothing published says so, and it is worth knowing, no more.
        Explanation::PartlyListed => {
            let outcome = outcome
                .observed(format!("{name}, not in {}", Source::names(&sighting.missing)))
                .expected("in every view of the kernel")
                .seen(process, "pid", process.pid.value().map(u64::to_string));
            Some(outcome.confidence(Confidence::Low).violation(Severity::Info))
        }
        _ => None,
    }
}

/// Its pid in words.
fn pid(process: &Process) -> String {
    process.pid.value().map_or_else(|| "?".to_owned(), u64::to_string)
}

/// Nothing says that it runs: worth knowing, no more.
fn leftover(rule: &Rule, process: &Process) -> Outcome {
    let name = process.name.value().map_or("?", String::as_str);
    Outcome::about(rule, process)
        .observed(format!(
            "{name}, only found by scanning, made {}",
            process.created.value().map_or_else(|| "?".to_owned(), ToString::to_string)
        ))
        .expected("in the active list")
        .seen(process, "created", process.created.value().map(ToString::to_string))
        .guard("older than this boot: left in memory by the one before")
        .violation(Severity::Info)
}
