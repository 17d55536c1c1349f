//! Session children that have not exited long after they should: SMSS-007.

use crate::checks::case::Case;
use crate::checks::rule::{About, MASQUERADE, Rule};
use crate::checks::subject::{Role, Subject};
use crate::checks::{Confidence, Outcome, Severity, Why};
use crate::{AbsentKind, Liveness, ModeKind, Ticks};

/// SMSS-007: no stale session child.
pub static STALE_CHILD: Rule = Rule {
    id: "SMSS-007",
    title: "no stale session child",
    wrong: "a session child of smss.exe stays",
    core: false,
    attack: &[MASQUERADE],
    about: About {
        what: "A live smss.exe whose parent is the master is at most 60 seconds old when the image was taken \
               (above: low; above 300 seconds: medium), by its own stamps and by those of its threads, and no more of them are at work than 4 or the number of \
               processors.",
        why: "A session child starts csrss.exe and winlogon.exe or wininit.exe and exits. One that stays is a \
               program that claims the master as its parent.",
        benign: "The smss.exe of a server silo (container) stays as long as the container. The clock runs on while \
               the machine sleeps.",
        source: "Windows Internals 6th edition part 2 (children at once) and 7th edition part 1, chapters 2 and 3; a \
               process listing from inside a Windows container.",
    },
    judge: stale_children,
};

/// Seconds a session child lives at most before it is odd (low), and suspicious (medium).
pub(in crate::checks) const CHILD_AGE: [i64; 2] = [60, 300];
/// Session children that the master has at work at a time on a machine of few processors.
const CHILDREN_AT_ONCE: usize = 4;

fn stale_children(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let is_child = |subject: &Subject<'_>| matches!(subject.role, Role::Child | Role::Silo | Role::Undetermined);
    if !case.subjects.iter().any(is_child) {
        let outcome = Outcome::new(rule, None).observed("no session child");
        return vec![match (case.part_reason(), case.master()) {
            (Some(part), _) => outcome.unknown("the whole process list", part),
            (None, None) => outcome.unknown("a master", "not in the list"),
            (None, Some(_)) => outcome.pass(),
        }];
    }
    let mut outcomes = case.each_if(rule, is_child, |subject, outcome| stale(case, subject, outcome));
    outcomes.extend(too_many(case, rule));
    outcomes
}

/// More sessions in the making than the master makes at a time: 4, or as many as there are processors.
fn too_many(case: &Case<'_>, rule: &Rule) -> Option<Outcome> {
    let is_young = |subject: &&Subject<'_>| subject.role == Role::Child && subject.process.is_live();
    let number = case.subjects.iter().filter(is_young).count();
    if number <= CHILDREN_AT_ONCE {
        return None;
    }
    let outcome = Outcome::new(rule, None).observed(format!("{number} live session children"));
    let Some(processors) = case.system.machine.processors.value().and_then(|number| usize::try_from(*number).ok())
    else {
        let why = Why::no_value(&case.system.machine.processors);
        return Some(outcome.unknown("the number of processors", why));
    };
    let most = processors.max(CHILDREN_AT_ONCE);
    let outcome = outcome.expected(format!("at most {most} at a time"));
    Some(if number <= most { outcome.pass() } else { outcome.violation(Severity::Low) })
}

fn stale(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    let outcome = outcome.expected("exits within 60 s, once csrss and its partner run");
    match process.liveness() {
        Liveness::Exited => return outcome.observed("exited").pass(),
        Liveness::Unknown(why) => return outcome.unknown("whether it runs", format!("not told: {why}")),
        Liveness::Live => {}
    }
    if subject.role == Role::Undetermined {
        return outcome.unknown("the master", "not known, so that this may be no session child");
    }
    let known_silo = process.silo.value().filter(|at| !at.is_null() && subject.role == Role::Silo);
    if let Some(silo) = known_silo {
        let same =
            case.subjects.iter().filter(|other| other.process.is_live() && other.process.silo.value() == Some(silo));
        let number = same.count();
        let outcome = outcome.expected("1 in its container").observed(format!("{number} in the container {silo}"));
        return if number == 1 { outcome.pass() } else { outcome.violation(Severity::Medium) };
    }
    let age = match case.age(process) {
        Ok(age) => age,
        Err(why) => {
            // The time of the image is what its age is measured by.
            return match case.clocks_disagree() {
                Some(words) => outcome
                    .observed(format!("live, younger than the image's own time; {words}"))
                    .seen(process, "created", process.created.value().map(ToString::to_string))
                    .confidence(Confidence::Medium)
                    .violation(Severity::Low),
                None => outcome.unknown("its age when the image was taken", why),
            };
        }
    };
    let outcome = outcome.observed(format!("live, {age} old")).seen(
        process,
        "created",
        process.created.value().map(ToString::to_string),
    );
    // Where its job is one, it may be a container's, and stay.
    let forged_job = process.silo.absent().filter(|absent| absent.kind == AbsentKind::Unparsable);
    let [odd, suspicious] = CHILD_AGE.map(Ticks::seconds);
    let severity = if age <= odd {
        return outcome.pass();
    } else if age <= suspicious {
        Severity::Low
    } else {
        Severity::Medium
    };
    // Who would make its session another one, or its job a container's, may have been there.
    let unread = || {
        case.unread().map(|unread| {
            outcome.clone().unknown("every process of its session", format!("not read: {unread}")).decides()
        })
    };
    if let Some(unread) = forged_job.and_then(|_| unread()) {
        return unread;
    }
    if let Some(absent) = forged_job {
        let outcome = outcome.reason(format!("{}: that makes it no container's.", absent.detail));
        return outcome.seen(process, "job", process.job.value().map(ToString::to_string)).violation(Severity::High);
    }
    // The clock runs on while the machine sleeps, the process does not.
    let asleep = case.system.machine.asleep.value().map(|seconds| Ticks::seconds(i64::try_from(*seconds).unwrap_or(0)));
    if let (Some(mode), Some(asleep)) = (case.mode(ModeKind::Resumed), asleep)
        && age.0.saturating_sub(asleep.0) <= odd.0
    {
        return outcome.guard(mode.to_string()).confidence(Confidence::Medium).violation(Severity::Info);
    }
    let containers = case.running("CExecSvc.exe").next().is_some();
    if subject.role == Role::Silo {
        let guard = "a session with wininit and without winlogon: the smss.exe of a container stays";
        outcome.guard(guard).confidence(Confidence::Medium).violation(Severity::Info)
    } else if containers && process.silo.absent().is_some() {
        let guard = "CExecSvc.exe runs here: this may be the smss.exe of a container";
        outcome.guard(guard).confidence(Confidence::Medium).violation(Severity::Low)
    } else {
        unread().unwrap_or_else(|| outcome.violation(severity))
    }
}
