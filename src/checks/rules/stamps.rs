//! Whether the stamps and states of a process and of its threads are of one life: SMSS-029.

use super::EXITED;
use super::core_processes::is_from_image;
use super::token::OF_LOCAL_SYSTEM;
use crate::checks::case::Case;
use crate::checks::rule::{About, MASQUERADE, Rule};
use crate::checks::subject::{Role, Subject};
use crate::checks::{Confidence, Outcome, Severity, Why};
use crate::kernel::Links;
use crate::picture::clock_step_by;
use crate::process::Source;
use crate::{Process, Ticks};

/// SMSS-029: stamps and states agree.
pub static STAMPS: Rule = Rule {
    id: "SMSS-029",
    title: "stamps and states agree",
    wrong: "a stamp or a state that its threads or neighbours contradict",
    core: false,
    attack: &[MASQUERADE, "T1070.006"],
    about: About {
        what: "The first thread is not older than the process; a process with an exit time, or with no active threads, has no open \
               handles and no thread that waits; its place in the active list fits its creation time.",
        why: "Creation and exit time are eight bytes that nothing depends on: written over, they make a program that runs look \
               just made, or over. Its threads, its handle table and its neighbours in the list keep what is true.",
        benign: "A clock that was set back puts lists out of order: where other processes show it, the order is not looked at. The \
                 first thread of smss.exe lives as long as it does; that of another process may have ended. Differences of up to \
                 a minute are not looked at.",
        source: "_EPROCESS, _ETHREAD and _KTHREAD of public symbols; the kernel appends new processes to PsActiveProcessHead \
                 (ReactOS ntoskrnl/ps/process.c).",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| stamps(case, subject, outcome)),
};

/// SYS-07: stamps and states of core processes agree.
pub static CORE_STAMPS: Rule = Rule {
    id: "SYS-07",
    title: "stamps and states of core processes agree",
    wrong: "a stamp or a state of a core process that its threads or handles contradict",
    core: false,
    attack: &["T1070.006"],
    about: About {
        what: "Of csrss.exe, wininit.exe, winlogon.exe, services.exe and lsass.exe: the first thread is not older than the process, the \
               process is not older than System, its place in the active list fits its creation time, csrss.exe is marked critical where \
               others of its name are, and one that exited a minute ago or more has no open handles and no thread that \
               runs or waits.",
        why: "Who built a session, and whether the machine goes down, is told by these processes. Their stamps are eight bytes that \
              nothing depends on.",
        benign: "A clock that was set back makes honest threads older than their process: medium then. A mark alone is low. An end within a minute of the \
                 image may be half there.",
        source: "_EPROCESS, _ETHREAD and _KTHREAD of public symbols.",
    },
    judge: core_stamps,
};

/// Differences up to this may be of the moment at which the image was taken, or of a clock that was set by a little.
const MOMENT: Ticks = Ticks::seconds(60);

fn core_stamps(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    if !is_from_image(case) {
        let outcome = Outcome::new(rule, None).expected("threads and handles of their own time");
        return vec![outcome.not_applicable("The list does not say what threads and handles processes have.")];
    }
    let captured = case.system().machine.captured.value();
    let boot = case.system_process().and_then(Process::started);
    let is_core = |process: &Process| OF_LOCAL_SYSTEM.iter().any(|name| process.is_named(name));
    let (mut outcomes, mut judged) = (Vec::new(), 0usize);
    for &(at, process) in case.rows.iter().filter(|(_, process)| is_core(process)) {
        judged = judged.saturating_add(1);
        let (mut found, outcome) = contradictions(process, Outcome::about(rule, process));
        let just_over = process.exited.value().zip(captured).is_some_and(|(at, now)| now.since(*at).abs() <= MOMENT);
        if just_over {
            continue;
        }
        if process.exited.value().is_some() && process.has_running_threads() {
            found.push("it has an exit time and a thread that has not ended".to_owned());
        }
        let before = boot.zip(process.started()).map(|(boot, own)| boot.since(own));
        // A clock that was set back is told by others than the one in doubt.
        let set_back =
            || clock_step_by(&case.system().processes.items, |other| !std::ptr::eq(other, process)).is_some();
        if let Some(before) = before.filter(|before| *before > MOMENT && !set_back()) {
            found.push(format!("it is {before} older than System"));
        }
        found.extend(out_of_order(case, &Subject { process, at, role: Role::Peer }));
        let mark = not_critical(case, process);
        if !found.is_empty() || mark.is_some() {
            let worst = if found.is_empty() { Severity::Low } else { Severity::High };
            found.extend(mark);
            let outcome = outcome.expected("threads and handles of its own time").observed(found.join("; "));
            let outcome = outcome.seen(process, "created", process.created.value().map(ToString::to_string));
            let outcome = outcome.seen(process, "critical", process.critical.value().map(bool::to_string));
            outcomes.push(match worst {
                Severity::Low => outcome.headed("a csrss.exe that may end, unlike others").violation(worst),
                _ if set_back() => graded(case, outcome),
                _ => outcome.violation(worst),
            });
        }
    }
    if outcomes.is_empty() {
        let outcome = Outcome::new(rule, None).expected("threads and handles of their own time");
        outcomes.push(match judged {
            0 => outcome.not_applicable("No such process is in the list."),
            judged => outcome.observed(format!("{judged} have")).pass(),
        });
    }
    outcomes
}

/// A csrss.exe that may end without ending Windows, where others may not.
fn not_critical(case: &Case<'_>, process: &Process) -> Option<String> {
    // It marks itself when it has begun to run.
    let is_old = |process: &Process| case.age(process).is_ok_and(|age| age > MOMENT);
    let of_name = |process: &Process| process.is_named("csrss.exe") && process.is_live();
    let others = case.processes().filter(|other| !std::ptr::eq(*other, process) && of_name(other));
    let marked = others.filter(|other| other.critical.value() == Some(&true)).count();
    let is_clear = of_name(process) && process.critical.value() == Some(&false) && is_old(process);
    (is_clear && marked > 0).then(|| format!("it is not marked critical, and {marked} other csrss.exe are"))
}

/// What its threads and handles say against the stamps of a process.
fn contradictions(process: &Process, mut outcome: Outcome) -> (Vec<String>, Outcome) {
    let mut found = Vec::new();
    if let Some(distance) = process.thread_before_it() {
        found.push(format!("its first thread is {distance} older than it says that it is itself"));
    }
    if process.exited.is_nothing() && process.threads.value() == Some(&0) && process.has_running_threads() {
        let number = process.own_threads().filter(|thread| thread.has_ended() == Some(false)).count();
        found.push(format!("ActiveThreads is 0, and {number} of its threads have not ended"));
        outcome = outcome.seen(process, "threads", Some("0".to_owned()));
    }
    if let Some(exited) = process.exited.value() {
        if process.holds_handles() {
            found.push(format!("it exited {exited}, and handles are open in its table"));
        }
        if process.has_contradictory_threads() {
            found.push(format!("it exited {exited}, and a thread flagged as ended waits"));
        }
        outcome = outcome.seen(process, "exited", Some(exited.to_string()));
    }
    (found, outcome)
}

/// How bad a stamp is that is contradicted.
fn graded(case: &Case<'_>, outcome: Outcome) -> Outcome {
    match case.clock_step {
        Some(sign) => {
            let guard = format!("the clock was set back: {sign}");
            outcome.guard(guard).confidence(Confidence::Low).violation(Severity::Medium)
        }
        None => outcome.violation(Severity::High),
    }
}

fn stamps(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    let (mut found, outcome) =
        contradictions(process, outcome.expected("threads, handles and neighbours of its own time"));
    let head = match (process.thread_before_it().is_some(), found.is_empty()) {
        (true, _) => "a stamp that its threads contradict",
        (false, false) => "it is in use, and says that it is over",
        (false, true) => "a stamp that its neighbours contradict",
    };
    found.extend(out_of_order(case, subject));
    let outcome = outcome.seen(process, "created", process.created.value().map(ToString::to_string));
    if found.is_empty() && process.has_exited() {
        return outcome.not_applicable(EXITED);
    }
    let first = process.own_threads().find(|thread| thread.created.value().is_some());
    let outcome = match first {
        Some(thread) => {
            let made = thread.created.value().map(ToString::to_string);
            outcome.seen_at(process, "_ETHREAD", "CreateTime", thread.at("created"), made)
        }
        None => outcome,
    };
    if !found.is_empty() {
        return graded(case, outcome.observed(found.join("; ")).headed(head));
    }
    match first {
        Some(_) => outcome.observed("its first thread is not older than it").pass(),
        None => {
            let why = match process.inside.value() {
                Some(inside) if inside.threads.value().is_some() => Why::from("in none of them"),
                Some(inside) => Why::no_value(&inside.threads),
                None => Why::no_value(&process.inside),
            };
            outcome.unknown("the stamp of one of its threads", why)
        }
    }
}

/// The kernel appends to the active list. A stamp alone among its neighbours that is much younger than who comes after it, or much
/// older than who comes before it, is not the one that was there then.
fn out_of_order(case: &Case<'_>, subject: &Subject<'_>) -> Option<String> {
    let items = &case.system.processes.items;
    if case.clock_step.is_some() || case.system.processes.in_foreign_order || !is_linked(subject.process) {
        return None;
    }
    let own = subject.process.started()?;
    let neighbour = |at: Option<usize>| items.get(at?).filter(|process| is_linked(process))?.started();
    let before = neighbour(subject.at.checked_sub(1));
    let after = neighbour(subject.at.checked_add(1));
    let most = Ticks::seconds(60);
    match (before, after) {
        (Some(before), after) if before.since(own) > most && after.is_none_or(|after| after >= before) => {
            Some(format!("it is listed behind a process that is {} younger", before.since(own)))
        }
        (Some(before), Some(after)) if own.since(after) > most && after >= before => {
            Some(format!("it is listed before a process that is {} older", own.since(after)))
        }
        _ => None,
    }
}

/// Both walks along the active list came to it.
fn is_linked(process: &Process) -> bool {
    process.sources.contains(&Source::ActiveList) && process.active_links.value() == Some(&Links::BothWays)
}
