//! Single processes of the sessions: SES-06, SES-07.

use crate::Process;
use crate::checks::case::{Case, ImagePath};
use crate::checks::core::{SYSTEM_PID, smss::SMSS};
use crate::checks::rule::{About, MASQUERADE, Rule};
use crate::checks::rules::hardening::protection;
use crate::checks::{Judgement, Outcome, Severity};
use std::collections::HashSet;

/// SES-06: csrss: path and protection.
pub static CSRSS_IMAGES: Rule = Rule {
    id: "SES-06",
    title: "csrss: path and protection",
    wrong: "csrss.exe from elsewhere, or without its protection",
    core: false,
    attack: &[MASQUERADE, "T1562.001"],
    about: About {
        what: "The kernel's path of each csrss.exe is System32\\csrss.exe, and EPROCESS.Protection.Level is 0x61 \
               from build 9600 on.",
        why: "csrss.exe is the other half of the Windows subsystem and as sought after a name and target as \
               smss.exe.",
        benign: "The protection of a container's csrss.exe has not been observed: info.",
        source: "Public listings; CrowdStrike, Evolution of Protected Processes part 2.",
    },
    judge: |case, rule| csrss_images(case, rule),
};

/// SES-07: session agrees with the token's.
pub static TOKEN_SESSIONS: Rule = Rule {
    id: "SES-07",
    title: "session agrees with the token's",
    wrong: "session is not the token's",
    core: false,
    attack: &["T1134.001"],
    about: About {
        what: "EPROCESS.Session of each running process leads to the id that TOKEN.SessionId has.",
        why: "Both are set when the process is created. A token that was taken from another session keeps that \
               session's id.",
        benign: "System, smss.exe, minimal processes and those of containers are left out.",
        source: "_TOKEN and _MM_SESSION_SPACE of public symbols.",
    },
    judge: |case, rule| token_sessions(case, rule),
};

/// csrss.exe, below the system root.
pub(super) const CSRSS: &str = "\\System32\\csrss.exe";
/// Its protection, from a build on.
pub(super) const PROTECTION: &[(u32, u64)] = &[(9600, 0x61)];

/// One outcome for each csrss.exe that is not known to be over.
fn csrss_images(case: &Case<'_>, rule: &Rule) -> Vec<Outcome> {
    // Once for all: whoever writes the list can fill it with sessions.
    let silos = case.sessions.iter().filter(|session| case.is_silo(session));
    let in_silos: HashSet<*const Process> =
        silos.flat_map(|session| &session.csrss).map(|(_, process)| std::ptr::from_ref(*process)).collect();
    let judge = |process: &Process| {
        let path = process.path.value();
        let outcome = Outcome::about(rule, process)
            .expected(format!("{}, protection 0x61 (9600 and later)", case.root.join(CSRSS)))
            .observed(path.map_or("no path known", String::as_str))
            .seen(process, "path", path.cloned());
        // A container's csrss.exe has not been observed yet.
        let silo = in_silos.contains(&std::ptr::from_ref(process));
        let guarded = protection(case, PROTECTION, process, silo, Outcome::about(rule, process));
        match (case.image_path(process, CSRSS), guarded.outcome) {
            (ImagePath::Wrong(_), _) => outcome.headed("csrss.exe from elsewhere").violation(Severity::Critical),
            (ImagePath::Missing, _) if process.is_live() => {
                outcome.headed("csrss.exe without a path").violation(Severity::High)
            }
            // What the protection is, is told whether or not the path is known.
            (_, Judgement::Violation) => {
                Outcome { expected: outcome.expected, ..guarded.headed("csrss.exe without its protection") }
            }
            (ImagePath::Missing, _) => outcome.unknown("the kernel's path of the image", "empty"),
            (ImagePath::Unknown(why), _) => outcome.unknown("the kernel's path of the image", why),
            (ImagePath::Right, Judgement::Unknown) => guarded.missing.into_iter().fold(outcome, Outcome::missing),
            (ImagePath::Right, _) => outcome.pass(),
        }
    };
    let outcomes: Vec<Outcome> = case.running("csrss.exe").map(judge).collect();
    if outcomes.is_empty() {
        return vec![Outcome::new(rule, None).unknown("a csrss.exe to judge", "not in the list")];
    }
    outcomes
}

/// One outcome for each process whose session is not its token's, and one for the rest.
fn token_sessions(case: &Case<'_>, rule: &Rule) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let (mut compared, mut unread) = (0_usize, 0_usize);
    for (_, process) in case.rows {
        let exempt = process.pid.value() == Some(&SYSTEM_PID)
            || process.is_called(SMSS.name)
            || process.minimal.value() == Some(&true)
            || process.silo.value().is_some_and(|at| !at.is_null());
        let Some(session) = process.session.value().filter(|_| process.is_live() && !exempt) else { continue };
        match process.token_session.value() {
            None => unread = unread.saturating_add(1),
            Some(token) if token == session => compared = compared.saturating_add(1),
            Some(token) => outcomes.push(
                Outcome::about(rule, process)
                    .observed(format!("session {session}, token of session {token}"))
                    .expected("the same")
                    .seen(process, "session", Some(session.to_string()))
                    .seen(process, "token_session", Some(token.to_string()))
                    .violation(Severity::Medium),
            ),
        }
    }
    let rest = Outcome::new(rule, None).expected("the same").observed(format!("{compared} processes agree"));
    outcomes.push(match (unread, compared) {
        (0, 0) => rest.unknown("a running process in a session", "not in the list"),
        (0, _) => rest.pass(),
        (unread, _) => rest.unknown("the session of each token", format!("not read for {unread} processes")),
    });
    outcomes
}
