//! What has become of the processes that built the sessions: SES-03.

use super::scene::{Role, Scene, Smss, describe};
use super::sessions::without_sessions;
use super::tally::Tally;
use super::{Outcome, Severity};
use crate::picture::{Members, SessionModel};
use crate::{Parent, Process, Ticks};

pub(super) fn gone(scene: &Scene<'_>) -> Outcome {
    let expected = match scene.model {
        SessionModel::Master => "the live master",
        _ => "an smss.exe child that has exited",
    };
    let mut outcome = Outcome::new("SES-03", None).expected(expected);
    if scene.sessions.is_empty() {
        return without_sessions(outcome);
    }
    let mut tally = Tally::default();
    for session in scene.sessions {
        let mut seen = Vec::new();
        let partners = session.partners(scene.model, scene.is_silo(session));
        for &(at, process) in session.csrss.iter().chain(partners) {
            // Usually csrss and its partner name the same one: said once.
            if seen.contains(&process.ppid.value()) {
                continue;
            }
            seen.push(process.ppid.value());
            outcome = outcome.seen(process, "ppid", process.ppid.value().map(u64::to_string));
            // The creator itself, where its object is left.
            let found = scene.tree.parent(at).position().and_then(|up| scene.system.processes.items.get(up));
            if let Some(found) = found.filter(|found| found.exited.value().is_some()) {
                outcome = outcome.seen(found, "exited", found.exited.value().map(ToString::to_string));
            }
            creator(scene, session, at, process, &mut tally);
        }
    }
    tally.into_outcome(outcome, "the csrss.exe of a session, or its partner", "not in the list")
}

fn creator(scene: &Scene<'_>, session: &Members<'_>, at: usize, process: &Process, tally: &mut Tally) {
    let words = format!("session {}: {}", session.id, scene.parent_words(at));
    let smss = |up: usize| scene.smss.iter().find(|smss| smss.at == up);
    let before_vista = scene.model == SessionModel::Master;
    match scene.tree.parent(at) {
        Parent::Unknown | Parent::None => {
            tally.unknown("the parent of csrss.exe or its partner", describe(&process.ppid));
        }
        Parent::Ring(_) => tally.unknown("a parent that is one", format!("in a ring of parents ({words})")),
        Parent::Vanished(_) | Parent::Reused { .. } | Parent::Exited(_) if before_vista => {
            tally.absence(scene, Severity::High, words);
        }
        Parent::Vanished(_) => tally.gone(scene, words),
        Parent::Reused { .. } => tally.pass(words),
        Parent::Exited(up) if smss(up).is_some() => tally.pass(words),
        Parent::Listed(up) | Parent::Exited(up) => match smss(up) {
            Some(smss) => live_creator(scene, smss, words, tally),
            None => other_creator(scene, up, process, words, tally),
        },
    }
}

fn live_creator(scene: &Scene<'_>, smss: &Smss<'_>, words: String, tally: &mut Tally) {
    match (smss.role, scene.model) {
        (Role::Master, SessionModel::Master) | (Role::Silo, _) => tally.pass(words),
        (Role::Master, SessionModel::Child) => tally.violation(Severity::Low, format!("{words}, the master itself")),
        (Role::Master, SessionModel::Unknown) => tally.unknown("the version of Windows", "not known"),
        (Role::Child, _) if smss.process.is_live() => match scene.age(smss.process) {
            Ok(age) if age <= Ticks::seconds(60) => tally.pass(format!("{words}, still at work")),
            // The child that stays has a check of its own, SMSS-007.
            Ok(age) => tally.violation(Severity::Low, format!("{words}, live, {age} old")),
            Err(why) => tally.unknown("the age of the live creator", why),
        },
        (Role::Child | Role::Undetermined, _) => tally.unknown("whether the creator runs", "not told"),
        (Role::Claimant | Role::Stranger, _) => tally.violation(Severity::High, words),
    }
}

/// Neither exited nor an smss.exe, and old enough to be the parent.
fn other_creator(scene: &Scene<'_>, up: usize, process: &Process, words: String, tally: &mut Tally) {
    let parent = scene.system.processes.items.get(up);
    if parent.and_then(Process::started).is_none() || process.started().is_none() {
        tally.unknown("the creation time of both", format!("not known ({words})"));
    } else if let Some(sign) = &scene.clock_step {
        tally.unknown("a clock that ran evenly", format!("set: {sign}"));
    } else {
        tally.violation(Severity::High, words);
    }
}
