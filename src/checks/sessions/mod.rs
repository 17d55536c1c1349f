//! What smss.exe built: SES-01 to SES-08.

pub(super) mod creator;
pub(super) mod members;
mod tally;
pub(super) mod winlogon;

use super::case::Case;
use super::core::{SYSTEM_PID, smss::SMSS};
use super::rule::{About, MASQUERADE, Rule};
use super::rules::stale_child::CHILD_AGE;
use super::subject::Role;
use super::{Outcome, Severity};
use crate::picture::{Members, SessionModel};
use crate::{Process, Ticks};
use tally::Tally;

/// SES-01: one csrss per session.
pub static ONE_CSRSS: Rule = Rule {
    id: "SES-01",
    title: "one csrss per session",
    wrong: "a session without csrss.exe, or with more than one",
    core: false,
    attack: &[],
    about: About {
        what: "Each session with a running process has exactly one live csrss.exe.",
        why: "A session is made by starting its csrss.exe, and cannot live without it.",
        benign: "A session that is being made (its smss.exe child is at most 60 seconds old) or is ending.",
        source: "Windows Internals 6th edition part 2, Smss, Csrss, and Wininit; 46 public listings.",
    },
    judge: |case, rule| vec![one_csrss(case, rule)],
};

/// SES-02: csrss and wininit or winlogon have one creator.
pub static ONE_CREATOR: Rule = Rule {
    id: "SES-02",
    title: "csrss and wininit or winlogon have one creator",
    wrong: "csrss and its partner name different creators",
    core: true,
    attack: &["T1134.004", MASQUERADE],
    about: About {
        what: "InheritedFromUniqueProcessId of csrss.exe and of wininit.exe (session 0) or winlogon.exe (other \
               sessions) is the same pid, Vista and later. The creator itself need not be found.",
        why: "One session child of smss.exe starts both and exits. A csrss.exe, wininit.exe or winlogon.exe with \
               another parent was not started by it.",
        benign: "Sessions in the making and those of containers are not judged.",
        source: "46 public listings, Vista to Windows 11, without an exception; Windows Internals 7th edition part 1, \
               chapter 2, steps 37 and 38.",
    },
    judge: |case, rule| vec![one_creator(case, rule)],
};

/// SES-04: one wininit, in session 0.
pub static WININIT: Rule = Rule {
    id: "SES-04",
    title: "one wininit, in session 0",
    wrong: "wininit.exe is missing, or runs where it does not on Windows",
    core: false,
    attack: &[MASQUERADE],
    about: About {
        what: "Session 0 has one live wininit.exe, other sessions none, Vista and later.",
        why: "wininit.exe starts services.exe and lsass.exe, once a machine.",
        benign: "A container's session has a wininit.exe of its own. Windows PE runs everything in session 0.",
        source: "SANS Hunt Evil poster; public listings; a process listing from inside a Windows container.",
    },
    judge: |case, rule| vec![wininit(case, rule)],
};

/// SES-08: sessions classified.
pub static CLASSIFIED: Rule = Rule {
    id: "SES-08",
    title: "sessions classified",
    wrong: "a session of unknown kind",
    core: false,
    attack: &[],
    about: About {
        what: "Each session is that of the services, of the console, of a remote user, of a container, or is \
               incomplete.",
        why: "It tells an analyst what the session was for. It never counts.",
        benign: "",
        source: "Windows Internals 7th edition part 1, chapters 2 and 3; public listings of terminal servers.",
    },
    judge: |case, rule| vec![classified(case, rule)],
};

/// Where the child that builds the session is still at work, half of it is missing, rightly.
fn in_the_making(case: &Case<'_>, session: &Members<'_>) -> bool {
    children(case).any(|child| {
        child.is_live()
            && child.session.value() == Some(&session.id)
            && case.age(child).is_ok_and(|age| age <= Ticks::seconds(60))
    })
}

/// Whether what is missing from the session may be in the making: a child is at work, and which session it builds, or for
/// how long already, is not known.
fn perhaps_in_the_making(case: &Case<'_>, session: &Members<'_>) -> bool {
    children(case).any(|child| {
        !child.has_exited()
            && child.session.value().is_none_or(|id| *id == session.id)
            && case.age(child).map_or(true, |age| age <= Ticks::seconds(60))
    })
}

fn children<'a>(case: &Case<'a>) -> impl Iterator<Item = &'a Process> {
    case.smss.iter().filter(|smss| smss.role == Role::Child).map(|smss| smss.process)
}

/// Something of the session is not in the list: a violation where the list is whole and the session finished.
fn missing(case: &Case<'_>, session: &Members<'_>, severity: Severity, words: String, tally: &mut Tally) {
    let just_over = |process: &Process| match (process.exited.value(), case.system.machine.captured.value()) {
        (Some(exited), Some(captured)) => captured.since(*exited).abs() <= Ticks::seconds(60),
        _ => false,
    };
    let ending = |name: &str| session.all.iter().any(|(_, process)| process.is_named(name) && just_over(process));
    if is_young(case, session) {
        tally.not_applicable(format!("session {} is being made", session.id));
    } else if ending("winlogon.exe") || ending("csrss.exe") {
        tally.not_applicable(format!("session {} is ending", session.id));
    } else if perhaps_in_the_making(case, session) {
        tally.unknown("an age and session for the smss.exe child that runs", "not known");
    } else if let Some(process) = nameless(case, session) {
        let of = process.pid.value().map_or_else(|| "?".to_owned(), u64::to_string);
        tally.unknown("the names of all processes of the session", format!("not read of pid {of}"));
    } else {
        tally.absence(case, severity.min(late(case, session)), words);
    }
}

/// A process that runs, perhaps in this session, and of which neither name nor path could be read: it may be the one that is missing.
fn nameless<'a>(case: &Case<'a>, session: &Members<'_>) -> Option<&'a Process> {
    case.processes().find(|process| {
        let nowhere_else = process.session.value() == Some(&session.id) || process.session.absent().is_some();
        !process.has_exited() && nowhere_else && process.name.absent().is_some() && process.path.value().is_none()
    })
}

/// Whether nothing that runs in a session is older than a minute: it is being made, by whomever, or the whole system is.
fn is_young(case: &Case<'_>, session: &Members<'_>) -> bool {
    let mut ages =
        session.running.iter().filter(|process| process.is_live()).map(|process| case.age(process)).peekable();
    ages.peek().is_some() && ages.all(|age| age.is_ok_and(|age| age <= Ticks::seconds(60)))
}

/// The worst that can be said of a session whose child is still at work on it: a slow machine takes minutes.
fn late(case: &Case<'_>, session: &Members<'_>) -> Severity {
    let [_, suspicious] = CHILD_AGE.map(Ticks::seconds);
    let of_session = children(case).filter(|child| child.is_live() && child.session.value() == Some(&session.id));
    match of_session.filter_map(|child| case.age(child).ok()).min() {
        Some(age) if age <= suspicious => Severity::Low,
        Some(_) => Severity::Medium,
        None => Severity::Critical,
    }
}

/// What stops a judgement about all sessions.
fn without_sessions(outcome: Outcome) -> Outcome {
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

fn one_csrss(case: &Case<'_>, rule: &Rule) -> Outcome {
    let outcome = Outcome::new(rule, None).expected("1 csrss.exe in each session with running processes");
    if case.sessions.is_empty() {
        return without_sessions(outcome);
    }
    let mut tally = Tally::default();
    for session in case.sessions {
        let words = format!("session {}: {} csrss.exe", session.id, session.csrss.len());
        if !session.running.iter().any(|process| process.is_live()) {
            continue;
        } else if in_the_making(case, session) {
            tally.not_applicable(format!("session {} is being made", session.id));
        } else if surely(&session.csrss) > 1 {
            tally.violation(Severity::Medium, format!("{words} (pid {})", list(&session.csrss, pid)));
        } else if session.csrss.len() == 1 {
            tally.pass(words);
        } else if session.csrss.is_empty() {
            missing(case, session, Severity::Medium, words, &mut tally);
        } else {
            tally.unknown("whether each csrss.exe runs", "not told");
        }
    }
    tally.needs_whole_list(case);
    tally.into_outcome(outcome, "a running process whose session is known", "not in the list")
}

fn one_creator(case: &Case<'_>, rule: &Rule) -> Outcome {
    let mut outcome = Outcome::new(rule, None).expected("csrss.exe and wininit.exe or winlogon.exe name the same pid");
    if case.sessions.is_empty() {
        return without_sessions(outcome);
    }
    let mut tally = Tally::default();
    for session in case.sessions {
        let silo = case.is_silo(session);
        let partners = session.partners(case.model, silo);
        if session.csrss.is_empty() && partners.is_empty() {
            continue;
        }
        if silo {
            tally.not_applicable(format!("session {} is a container's", session.id));
            continue;
        }
        if in_the_making(case, session) {
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
        match session.creator_pid(case.model, silo) {
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

fn wininit(case: &Case<'_>, rule: &Rule) -> Outcome {
    let outcome = Outcome::new(rule, None).expected("1 in session 0, none elsewhere");
    if case.model == SessionModel::Master {
        return outcome.not_applicable("wininit.exe came with Vista.");
    }
    // The drive's letter is one field of a page that everybody maps: where the key is known not to be there, this is no Windows PE.
    if case.root.is_preinstallation() && !case.system.session_manager.mini_nt.is_nothing() {
        return outcome.not_applicable("Windows PE runs everything in session 0.");
    }
    if case.sessions.is_empty() {
        return without_sessions(outcome);
    }
    let mut tally = Tally::default();
    for session in case.sessions.iter().filter(|session| session.id != 0 && !session.wininit.is_empty()) {
        let words = format!("session {}: wininit.exe (pid {})", session.id, list(&session.wininit, pid));
        if case.is_silo(session) {
            tally.not_applicable(format!("session {} is a container's", session.id));
        } else if surely(&session.wininit) > 0 {
            tally.violation(Severity::High, words);
        } else {
            tally.unknown("whether each wininit.exe runs", "not told");
        }
    }
    // Tools that print the token's session put System and smss.exe into session 0.
    let beside_smss = |session: &&Members<'_>| {
        session.running.iter().any(|process| process.pid.value() != Some(&SYSTEM_PID) && !process.is_called(SMSS.name))
    };
    match case.sessions.iter().filter(|session| session.id == 0).find(beside_smss) {
        None => tally.unknown("a list of session 0's processes", "not in the list"),
        Some(session) if surely(&session.wininit) > 1 => {
            tally.violation(
                Severity::High,
                format!("session 0: {} (pid {})", session.wininit.len(), list(&session.wininit, pid)),
            );
        }
        Some(session) => match session.wininit.as_slice() {
            [_] => tally.pass("session 0: 1".to_owned()),
            [] if case.model == SessionModel::Unknown => tally.unknown("the version of Windows", "not known"),
            [] => missing(case, session, Severity::High, "session 0: none".to_owned(), &mut tally),
            _ => tally.unknown("whether each wininit.exe runs", "not told"),
        },
    }
    tally.needs_whole_list(case);
    tally.into_outcome(outcome, "a list of session 0's processes", "not in the list")
}

fn classified(case: &Case<'_>, rule: &Rule) -> Outcome {
    let outcome = Outcome::new(rule, None).expected("a kind for each session");
    if case.sessions.is_empty() {
        return without_sessions(outcome);
    }
    let sessions = case.kinds;
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
