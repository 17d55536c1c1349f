//! Which session the process belongs to: SMSS-011.

use crate::checks::case::Case;
use crate::checks::core::InSession;
use crate::checks::rule::{About, MASQUERADE, Rule};
use crate::checks::subject::{Role, Subject};
use crate::checks::{Outcome, Severity};
use crate::{Process, Reading, Ticks};

/// SMSS-011: session of the master is none.
pub static SESSION: Rule = Rule {
    id: "SMSS-011",
    title: "session of the master is none",
    wrong: "session is not the one of its part",
    core: true,
    attack: &[MASQUERADE],
    about: About {
        what: "EPROCESS.Session of the master is null, and its token is of the session of System's; of a session child it is the new session, which has a \
               csrss.exe once the child is 60 seconds old.",
        why: "The master belongs to no session, since it makes them. A program that was started in a session has \
               that session's pointer.",
        benign: "Tools for live systems print the token's session (0) instead: seen by System having one too, and not \
               judged then. A container's smss.exe is not judged.",
        source: "Windows Internals 7th edition part 1, chapter 2, step 38; ReactOS base/system/smss; memory listings \
               of XP to Windows 11, which show no session for smss.exe.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| session(case, subject, outcome)),
};

fn session(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    if process.has_exited() && subject.role != Role::Master {
        return outcome.not_applicable("It has exited: its session says nothing any more.");
    }
    // A pointer that leads nowhere is not null all the same.
    if let (Role::Master, Reading::Absent(_), Some(at)) =
        (subject.role, &process.session, process.session_space.value())
    {
        return outcome
            .expected("none")
            .observed(format!("EPROCESS.Session is {at}, where no session can be read"))
            .seen(process, "session_space", Some(at.to_string()))
            .violation(Severity::High);
    }
    let value = match process.session.known() {
        Ok(value) => value.copied(),
        Err(_) if subject.role == Role::Silo => return outcome.not_applicable("A container's smss.exe."),
        Err(absent) => return outcome.unknown("its session", absent),
    };
    let words = value.map_or_else(|| "none".to_owned(), |id| format!("session {id}"));
    let outcome = outcome.observed(&words).seen(process, "session", value.map(|id| id.to_string()));
    if subject.role == Role::Peer {
        return match (case.core.session, value) {
            (InSession::None, None) | (InSession::Zero, Some(0)) | (InSession::Any, Some(_)) => outcome.pass(),
            (InSession::None, _) => outcome.expected("none").violation(Severity::High),
            (InSession::Zero, _) => outcome.expected("session 0").violation(Severity::High),
            (InSession::Any, _) => outcome.expected("a session").violation(Severity::High),
        };
    }
    match (subject.role, value) {
        (Role::Silo, _) => outcome.not_applicable("A container's smss.exe."),
        (Role::Undetermined, _) => outcome.unknown("the part it plays", "not known: its parent is not"),
        (Role::Child, None) => outcome
            .expected("the new session")
            .unknown("the session that it builds", "none, which no listing has shown of a live child"),
        (Role::Child, Some(id)) => {
            let outcome = outcome.expected("a session with csrss.exe, once it is 60 s old");
            if case.sessions.iter().any(|session| session.id == id && !session.csrss.is_empty()) {
                return outcome.pass();
            }
            match (case.age(process), case.part_reason()) {
                (Ok(age), _) if age <= Ticks::seconds(60) => outcome.not_applicable("The session is being made."),
                (Err(why), _) => outcome.unknown("its age when the image was taken", why),
                (Ok(_), Some(part)) => outcome.unknown("the whole process list", part),
                (Ok(_), None) => outcome.violation(Severity::High),
            }
        }
        (_, None) => match other_token(case, process) {
            Some((own, systems)) => outcome
                .expected(format!("none, and session {systems} in its token, as in that of System"))
                .observed(format!("{words}, and session {own} in its token"))
                .seen(process, "token_session", Some(own.to_string()))
                .headed("its token is of another session than System's")
                .violation(Severity::Medium),
            None => outcome.expected("none").pass(),
        },
        // Live tools print the token's session for System and subject alike. EPROCESS.Session of System is always null.
        (_, Some(_)) if case.system_process().is_some_and(|system| system.session.value().is_some()) => outcome
            .expected("none")
            .unknown("EPROCESS.Session", "not given: System has a session here too, so that it is the token's"),
        (_, Some(_)) => outcome.expected("none").violation(Severity::High),
    }
}

/// The sessions that the tokens of a process and of System name, if these are two. The master's token is a copy of System's.
fn other_token(case: &Case<'_>, process: &Process) -> Option<(u32, u32)> {
    let (own, systems) = (*process.token_session.value()?, *case.system_process()?.token_session.value()?);
    (own != systems).then_some((own, systems))
}
