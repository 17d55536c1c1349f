//! What smss.exe built: SES-01, 02, 04, 05, 08.

use super::scene::{Role, Scene, is_called_smss};
use super::tally::Tally;
use super::{Outcome, Severity, creators, members, table};
use crate::picture::{Members, SessionModel};
use crate::{Process, Ticks};

pub(super) fn check(scene: &Scene<'_>) -> Vec<Outcome> {
    let mut outcomes =
        vec![one_csrss(scene), one_creator(scene), creators::gone(scene), wininit(scene), winlogon(scene)];
    outcomes.extend(members::csrss_images(scene));
    outcomes.extend(members::token_sessions(scene));
    outcomes.push(classified(scene));
    outcomes
}

/// Where the child that builds the session is still at work, half of it is missing, rightly.
fn in_the_making(scene: &Scene<'_>, session: &Members<'_>) -> bool {
    children(scene).any(|child| {
        child.is_live()
            && child.session.value() == Some(&session.id)
            && scene.age(child).is_ok_and(|age| age <= Ticks::seconds(60))
    })
}

/// Whether what is missing from the session may be in the making: a child is at work, and which session it builds, or for
/// how long already, is not known.
fn perhaps_in_the_making(scene: &Scene<'_>, session: &Members<'_>) -> bool {
    children(scene).any(|child| {
        !child.has_exited()
            && child.session.value().is_none_or(|id| *id == session.id)
            && scene.age(child).map_or(true, |age| age <= Ticks::seconds(60))
    })
}

fn children<'a>(scene: &Scene<'a>) -> impl Iterator<Item = &'a Process> {
    scene.smss.iter().filter(|smss| smss.role == Role::Child).map(|smss| smss.process)
}

/// Something of the session is not in the list: a violation where the list is whole and the session finished.
fn missing(scene: &Scene<'_>, session: &Members<'_>, severity: Severity, words: String, tally: &mut Tally) {
    let just_over = |process: &Process| match (process.exited.value(), scene.system.machine.captured.value()) {
        (Some(exited), Some(captured)) => captured.since(*exited).abs() <= Ticks::seconds(60),
        _ => false,
    };
    let ending = |name: &str| session.all.iter().any(|(_, process)| process.is_named(name) && just_over(process));
    if ending("winlogon.exe") || ending("csrss.exe") {
        tally.not_applicable(format!("session {} is ending", session.id));
    } else if perhaps_in_the_making(scene, session) {
        tally.unknown("an age and session for the smss.exe child that runs", "not known");
    } else {
        tally.absence(scene, severity, words);
    }
}

/// What stops a judgement about all sessions.
pub(super) fn without_sessions(outcome: Outcome) -> Outcome {
    outcome.unknown("the session of each process", "not in the list")
}

fn surely(rows: &[(usize, &Process)]) -> usize {
    rows.iter().filter(|(_, process)| process.is_live()).count()
}

fn list(rows: &[(usize, &Process)], field: fn(&Process) -> Option<&u64>) -> String {
    let words: Vec<String> =
        rows.iter().map(|(_, process)| field(process).map_or_else(|| "?".to_owned(), u64::to_string)).collect();
    words.join(", ")
}

fn pid(process: &Process) -> Option<&u64> {
    process.pid.value()
}

fn ppid(process: &Process) -> Option<&u64> {
    process.ppid.value()
}

fn one_csrss(scene: &Scene<'_>) -> Outcome {
    let outcome = Outcome::new("SES-01", None).expected("1 csrss.exe in each session with running processes");
    if scene.sessions.is_empty() {
        return without_sessions(outcome);
    }
    let mut tally = Tally::default();
    for session in scene.sessions {
        let words = format!("session {}: {} csrss.exe", session.id, session.csrss.len());
        if !session.running.iter().any(|process| process.is_live()) {
            continue;
        } else if in_the_making(scene, session) {
            tally.not_applicable(format!("session {} is being made", session.id));
        } else if surely(&session.csrss) > 1 {
            tally.violation(Severity::Medium, format!("{words} (pid {})", list(&session.csrss, pid)));
        } else if session.csrss.len() == 1 {
            tally.pass(words);
        } else if session.csrss.is_empty() {
            missing(scene, session, Severity::Medium, words, &mut tally);
        } else {
            tally.unknown("whether each csrss.exe runs", "not told");
        }
    }
    tally.needs_whole_list(scene);
    tally.into_outcome(outcome, "a running process whose session is known", "not in the list")
}

fn one_creator(scene: &Scene<'_>) -> Outcome {
    let mut outcome =
        Outcome::new("SES-02", None).expected("csrss.exe and wininit.exe or winlogon.exe name the same pid");
    if scene.sessions.is_empty() {
        return without_sessions(outcome);
    }
    let mut tally = Tally::default();
    for session in scene.sessions {
        let silo = scene.is_silo(session);
        let partners = session.partners(scene.model, silo);
        if session.csrss.is_empty() && partners.is_empty() {
            continue;
        }
        if silo {
            tally.not_applicable(format!("session {} is a container's", session.id));
            continue;
        }
        if in_the_making(scene, session) {
            tally.not_applicable(format!("session {} is being made", session.id));
            continue;
        }
        if session.csrss.is_empty() || partners.is_empty() {
            tally.unknown(
                "a csrss.exe with its partner in every session",
                format!("not listed in session {}", session.id),
            );
            continue;
        }
        let both = || session.csrss.iter().chain(partners);
        if both().any(|(_, process)| process.ppid.value().is_none()) {
            tally.unknown(
                "the parent of csrss.exe and of its partner",
                format!("not all known in session {}", session.id),
            );
            continue;
        }
        for (_, process) in both() {
            outcome = outcome.seen(process, "ppid", process.ppid.value().map(u64::to_string));
        }
        match session.creator_pid(scene.model, silo) {
            Some(creator) => tally.pass(format!("session {}: {creator}", session.id)),
            None => tally.violation(
                Severity::High,
                format!(
                    "session {}: csrss.exe {} names {}, {} {} names {}",
                    session.id,
                    list(&session.csrss, pid),
                    list(&session.csrss, ppid),
                    partners.first().and_then(|(_, process)| process.name.value()).map_or("?", String::as_str),
                    list(partners, pid),
                    list(partners, ppid),
                ),
            ),
        }
    }
    tally.into_outcome(outcome, "the csrss.exe of a session with its partner", "not in the list")
}

fn wininit(scene: &Scene<'_>) -> Outcome {
    let outcome = Outcome::new("SES-04", None).expected("1 in session 0, none elsewhere");
    if scene.model == SessionModel::Master {
        return outcome.not_applicable("wininit.exe came with Vista.");
    }
    if scene.root.is_preinstallation() {
        return outcome.not_applicable("Windows PE runs everything in session 0.");
    }
    if scene.sessions.is_empty() {
        return without_sessions(outcome);
    }
    let mut tally = Tally::default();
    for session in scene.sessions.iter().filter(|session| session.id != 0 && !session.wininit.is_empty()) {
        let words = format!("session {}: wininit.exe (pid {})", session.id, list(&session.wininit, pid));
        if scene.is_silo(session) {
            tally.not_applicable(format!("session {} is a container's", session.id));
        } else if surely(&session.wininit) > 0 {
            tally.violation(Severity::High, words);
        } else {
            tally.unknown("whether each wininit.exe runs", "not told");
        }
    }
    // Tools that print the token's session put System and smss.exe into session 0.
    let beside_smss = |session: &&Members<'_>| {
        session
            .running
            .iter()
            .any(|process| process.pid.value() != Some(&table::SYSTEM_PID) && !is_called_smss(process))
    };
    match scene.sessions.iter().filter(|session| session.id == 0).find(beside_smss) {
        None => tally.unknown("a list of session 0's processes", "not in the list"),
        Some(session) if surely(&session.wininit) > 1 => {
            tally.violation(
                Severity::High,
                format!("session 0: {} (pid {})", session.wininit.len(), list(&session.wininit, pid)),
            );
        }
        Some(session) => match session.wininit.as_slice() {
            [_] => tally.pass("session 0: 1".to_owned()),
            [] if scene.model == SessionModel::Unknown => tally.unknown("the version of Windows", "not known"),
            [] => missing(scene, session, Severity::High, "session 0: none".to_owned(), &mut tally),
            _ => tally.unknown("whether each wininit.exe runs", "not told"),
        },
    }
    tally.needs_whole_list(scene);
    tally.into_outcome(outcome, "a list of session 0's processes", "not in the list")
}

fn winlogon(scene: &Scene<'_>) -> Outcome {
    let outcome = Outcome::new("SES-05", None).expected(match scene.model {
        SessionModel::Master => "1 in each session",
        _ => "none in session 0, 1 in each other",
    });
    if scene.sessions.is_empty() {
        return without_sessions(outcome);
    }
    let mut tally = Tally::default();
    for session in scene.sessions {
        let count = session.winlogon.len();
        let words = format!("session {}: {count}", session.id);
        let with_pids = || format!("{words} (pid {})", list(&session.winlogon, pid));
        if scene.is_silo(session) {
            tally.not_applicable(format!("session {} is a container's", session.id));
        } else if in_the_making(scene, session) {
            tally.not_applicable(format!("session {} is being made", session.id));
        } else if session.id == 0 && scene.model != SessionModel::Master {
            if scene.root.is_preinstallation() {
                tally.not_applicable("Windows PE runs everything in session 0".to_owned());
            } else if count == 0 {
                tally.pass(words);
            } else if scene.model == SessionModel::Unknown {
                tally.unknown("the version of Windows", "not known");
            } else if surely(&session.winlogon) > 0 {
                tally.violation(Severity::High, with_pids());
            } else {
                tally.unknown("whether each winlogon.exe runs", "not told");
            }
        } else if session.csrss.is_empty() && count == 0 {
            // Nothing of it runs any more, or SES-01 says that csrss is missing.
        } else if surely(&session.winlogon) > 1 {
            tally.violation(Severity::High, with_pids());
        } else if count == 1 {
            tally.pass(words);
        } else if count > 1 {
            tally.unknown("whether each winlogon.exe runs", "not told");
        } else if surely(&session.csrss) > 0 {
            missing(scene, session, Severity::High, words, &mut tally);
        } else {
            tally.unknown("whether the session's csrss.exe runs", "not told");
        }
    }
    tally.needs_whole_list(scene);
    tally.into_outcome(outcome, "a list of a user session's processes", "not in the list")
}

fn classified(scene: &Scene<'_>) -> Outcome {
    let outcome = Outcome::new("SES-08", None).expected("a kind for each session");
    if scene.sessions.is_empty() {
        return without_sessions(outcome);
    }
    let sessions = scene.kinds;
    let words: Vec<String> = sessions
        .iter()
        .map(|session| format!("{} {}", session.id, session.kind.map_or("of unknown kind", |kind| kind.as_str())))
        .collect();
    let open = sessions.iter().filter(|session| session.kind.is_none()).count();
    let outcome = outcome.observed(words.join(", "));
    if open == 0 {
        outcome.pass()
    } else {
        outcome.unknown("a sign of what each session is for", format!("not there for {open} of them"))
    }
}
