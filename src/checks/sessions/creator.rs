//! What has become of the processes that built the sessions: SES-03.

use super::tally::Tally;
use super::without_sessions;
use crate::checks::case::Case;
use crate::checks::rule::{About, MASQUERADE, Rule};
use crate::checks::subject::{Role, Subject};
use crate::checks::{Outcome, Severity, Why};
use crate::picture::{Members, SessionModel, between};
use crate::{Parent, Process, Ticks};

/// SES-03: the creator of a session has gone.
pub static GONE: Rule = Rule {
    id: "SES-03",
    title: "the creator of a session has gone",
    wrong: "the creator of a session is none that Windows has",
    core: false,
    attack: &["T1134.004", MASQUERADE],
    about: About {
        what: "The parent of csrss.exe and its partner is no live process older than they are, but an smss.exe \
               child that exited, or one still at work; before Vista it is the live master.",
        why: "smss.exe's session child exits when its work is done. A live parent of another name started them \
               itself.",
        benign: "The pid of the exited child is often given to a new process soon, even within the same second: a \
               parent younger than its child is none.",
        source: "Windows Internals 6th edition part 2; public listings, in 5 of 39 of which the pid was in use again.",
    },
    judge: |case, rule| vec![gone(case, rule)],
};

fn gone(case: &Case<'_>, rule: &Rule) -> Outcome {
    let expected = match case.model {
        SessionModel::Master => "the live master",
        _ => "an smss.exe child that has exited",
    };
    let mut outcome = Outcome::new(rule, None).expected(expected);
    if case.sessions.is_empty() {
        return without_sessions(outcome);
    }
    let mut tally = Tally::default();
    for session in case.sessions {
        let mut seen = Vec::new();
        let partners = session.partners(case.model, case.is_silo(session));
        for &(at, process) in session.csrss.iter().chain(partners) {
            // Usually csrss and its partner name the same one: said once. Both were made while it had the pid: who got that between them
            // is the parent of the one alone.
            let parent = (process.ppid.value(), case.tree.parent(at));
            if seen.contains(&parent) {
                continue;
            }
            seen.push(parent);
            outcome = outcome.seen(process, "ppid", process.ppid.value().map(u64::to_string));
            // The creator itself, where its object is left.
            let found = case.tree.parent(at).position().and_then(|up| case.system.processes.items.get(up));
            if let Some(found) = found.filter(|found| found.exited.value().is_some()) {
                outcome = outcome.seen(found, "exited", found.exited.value().map(ToString::to_string));
            }
            creator(case, session, at, process, &mut tally);
        }
    }
    tally.into_outcome(outcome, "the csrss.exe of a session, or its partner", "not in the list")
}

fn creator(case: &Case<'_>, session: &Members<'_>, at: usize, process: &Process, tally: &mut Tally) {
    let words = format!("session {}: {}", session.id, case.parent_words(at));
    let smss = |up: usize| case.smss.iter().find(|smss| smss.at == up);
    let before_vista = case.model == SessionModel::Master;
    match case.tree.parent(at) {
        Parent::Unknown | Parent::None => {
            tally.unknown("the parent of csrss.exe or its partner", Why::no_value(&process.ppid));
        }
        Parent::Ring(_) => tally.unknown("a parent that is one", format!("in a ring of parents ({words})")),
        Parent::Vanished(_) | Parent::Reused { .. } | Parent::Exited(_) if before_vista => {
            tally.absence(case, Severity::High, words);
        }
        Parent::Vanished(_) => tally.gone(case, words),
        Parent::Reused { now, .. } => {
            match case.system.processes.items.get(now).and_then(|owner| older(case, owner, process)) {
                Some(distance) if distance > MOMENT => {
                    let words = format!("{words}, {distance} older by its stamps, and behind it in the kernel's list");
                    tally.violation(Severity::Medium, words);
                }
                Some(distance) => {
                    let why = format!(
                        "contradicted: by the list the child, and the parent by its stamps, {distance} before ({words})"
                    );
                    tally.unknown("whether parent or child was made first", why);
                }
                None => tally.pass(words),
            }
        }
        Parent::Exited(up) if smss(up).is_some() => tally.pass(words),
        Parent::Listed(up) | Parent::Exited(up) => match smss(up) {
            Some(smss) => live_creator(case, smss, words, tally),
            None => other_creator(case, up, process, words, tally),
        },
    }
}

/// By how much the owner of a pid is older than the process that names it as its parent, though the kernel's list has it later. Processes
/// that are made at the same time may come into the list the other way round; by more than [`MOMENT`], one of the two was written over.
fn older(case: &Case<'_>, owner: &Process, child: &Process) -> Option<Ticks> {
    let by_clock = || child.started().zip(owner.started()).map(|(child, owner)| child.since(owner));
    let distance = match between(owner, child) {
        Some(distance) => Some(distance),
        // A clock that was set says nothing.
        None if case.clock_step.is_none() => by_clock(),
        None => None,
    };
    distance.filter(|distance| distance.0 > 0)
}

/// Processes that are made within this may come into the list in another order than their stamps have.
const MOMENT: Ticks = Ticks::seconds(1);

fn live_creator(case: &Case<'_>, smss: &Subject<'_>, words: String, tally: &mut Tally) {
    match (smss.role, case.model) {
        (Role::Master, SessionModel::Master) | (Role::Silo, _) => tally.pass(words),
        (Role::Master, SessionModel::Child) => tally.violation(Severity::Low, format!("{words}, the master itself")),
        (Role::Master, SessionModel::Unknown) => tally.unknown("the version of Windows", "not known"),
        (Role::Child, _) if smss.process.is_live() => match case.age(smss.process) {
            Ok(age) if age <= Ticks::seconds(60) => tally.pass(format!("{words}, still at work")),
            // The child that stays has a check of its own, SMSS-007.
            Ok(age) => tally.violation(Severity::Low, format!("{words}, live, {age} old")),
            Err(why) => tally.unknown("the age of the live creator", why),
        },
        (Role::Child | Role::Undetermined, _) => tally.unknown("whether the creator runs", "not told"),
        (Role::Claimant | Role::Stranger | Role::Peer, _) => tally.violation(Severity::High, words),
    }
}

/// Neither exited nor an smss.exe, and old enough to be the parent.
fn other_creator(case: &Case<'_>, up: usize, process: &Process, words: String, tally: &mut Tally) {
    let parent = case.system.processes.items.get(up);
    if parent.and_then(Process::started).is_none() || process.started().is_none() {
        tally.unknown("the creation time of both", format!("not known ({words})"));
    } else if let Some(sign) = &case.clock_step {
        tally.unknown("a clock that ran evenly", format!("set: {sign}"));
    } else {
        tally.violation(Severity::High, words);
    }
}
