//! Session children that have not exited long after they should: SMSS-007.

use super::scene::{Role, Scene, Smss, describe};
use super::{Confidence, Outcome, Severity, table};
use crate::{Liveness, ModeKind, Ticks};

pub(super) fn check(scene: &Scene<'_>) -> Vec<Outcome> {
    let is_child = |smss: &Smss<'_>| matches!(smss.role, Role::Child | Role::Silo | Role::Undetermined);
    if !scene.smss.iter().any(is_child) {
        let outcome = Outcome::new("SMSS-007", None).observed("no session child");
        return vec![match (scene.part_reason(), scene.master()) {
            (Some(part), _) => outcome.unknown("the whole process list", part),
            (None, None) => outcome.unknown("a master", "not in the list"),
            (None, Some(_)) => outcome.pass(),
        }];
    }
    let mut outcomes = scene.each_if("SMSS-007", is_child, |smss, outcome| stale(scene, smss, outcome));
    outcomes.extend(too_many(scene));
    outcomes
}

/// More sessions in the making than the master makes at a time: 4, or as many as there are processors.
fn too_many(scene: &Scene<'_>) -> Option<Outcome> {
    let is_young = |smss: &&Smss<'_>| smss.role == Role::Child && smss.process.is_live();
    let number = scene.smss.iter().filter(is_young).count();
    if number <= table::CHILDREN_AT_ONCE {
        return None;
    }
    let outcome = Outcome::new("SMSS-007", None).observed(format!("{number} live session children"));
    let Some(processors) = scene.system.machine.processors.value().and_then(|number| usize::try_from(*number).ok())
    else {
        let why = describe(&scene.system.machine.processors);
        return Some(outcome.unknown("the number of processors", why));
    };
    let most = processors.max(table::CHILDREN_AT_ONCE);
    let outcome = outcome.expected(format!("at most {most} at a time"));
    Some(if number <= most { outcome.pass() } else { outcome.violation(Severity::Low) })
}

fn stale(scene: &Scene<'_>, smss: &Smss<'_>, outcome: Outcome) -> Outcome {
    let process = smss.process;
    let outcome = outcome.expected("exits within 60 s, once csrss and its partner run");
    match process.liveness() {
        Liveness::Exited => return outcome.observed("exited").pass(),
        Liveness::Unknown(why) => return outcome.unknown("whether it runs", format!("not told: {why}")),
        Liveness::Live => {}
    }
    if smss.role == Role::Undetermined {
        return outcome.unknown("the master", "not known, so that this may be no session child");
    }
    let known_silo = process.silo.value().filter(|at| !at.is_null());
    if let Some(silo) = known_silo {
        let same =
            scene.smss.iter().filter(|other| other.process.is_live() && other.process.silo.value() == Some(silo));
        let number = same.count();
        let outcome = outcome.expected("1 in its container").observed(format!("{number} in the container {silo}"));
        return if number == 1 { outcome.pass() } else { outcome.violation(Severity::Medium) };
    }
    let age = match scene.age(process) {
        Ok(age) => age,
        Err(why) => return outcome.unknown("its age when the image was taken", why),
    };
    let outcome = outcome.observed(format!("live, {age} old")).seen(
        process,
        "created",
        process.created.value().map(ToString::to_string),
    );
    let [odd, suspicious] = table::CHILD_AGE.map(Ticks::seconds);
    let severity = if age <= odd {
        return outcome.pass();
    } else if age <= suspicious {
        Severity::Low
    } else {
        Severity::Medium
    };
    // The clock runs on while the machine sleeps, the process does not.
    let asleep =
        scene.system.machine.asleep.value().map(|seconds| Ticks::seconds(i64::try_from(*seconds).unwrap_or(0)));
    if let (Some(mode), Some(asleep)) = (scene.mode(ModeKind::Resumed), asleep)
        && age.0.saturating_sub(asleep.0) <= odd.0
    {
        return outcome.guard(mode.to_string()).confidence(Confidence::Medium).violation(Severity::Info);
    }
    let containers = scene.running("CExecSvc.exe").next().is_some();
    if smss.role == Role::Silo {
        let guard = "a session with wininit and without winlogon: the smss.exe of a container stays";
        outcome.guard(guard).confidence(Confidence::Medium).violation(Severity::Info)
    } else if containers && process.silo.absent().is_some() {
        let guard = "CExecSvc.exe runs here: this may be the smss.exe of a container";
        outcome.guard(guard).confidence(Confidence::Medium).violation(Severity::Low)
    } else {
        outcome.violation(severity)
    }
}
