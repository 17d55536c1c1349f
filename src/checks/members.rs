//! Single processes of the sessions: SES-06, SES-07.

use super::hardening::protection;
use super::scene::{ImagePath, Scene, is_called_smss};
use super::{Judgement, Outcome, Severity, table};
use crate::Process;
use std::collections::HashSet;

/// One outcome for each csrss.exe that is not known to be over.
pub(super) fn csrss_images(scene: &Scene<'_>) -> Vec<Outcome> {
    const BELOW: &str = "\\System32\\csrss.exe";
    // Once for all: whoever writes the list can fill it with sessions.
    let silos = scene.sessions.iter().filter(|session| scene.is_silo(session));
    let in_silos: HashSet<*const Process> =
        silos.flat_map(|session| &session.csrss).map(|(_, process)| std::ptr::from_ref(*process)).collect();
    let judge = |process: &Process| {
        let path = process.path.value();
        let outcome = Outcome::about("SES-06", process)
            .expected(format!("{}, protection 0x61 (9600 and later)", scene.root.join(BELOW)))
            .observed(path.map_or("no path known", String::as_str))
            .seen(process, "path", path.cloned());
        // A container's csrss.exe has not been observed yet.
        let silo = in_silos.contains(&std::ptr::from_ref(process));
        let guarded = protection(scene, process, silo, Outcome::about("SES-06", process));
        match (scene.image_path(process, BELOW), guarded.outcome) {
            (ImagePath::Wrong(_), _) => outcome.violation(Severity::Critical),
            (ImagePath::Missing, _) if process.is_live() => outcome.violation(Severity::High),
            // What the protection is, is told whether or not the path is known.
            (_, Judgement::Violation) => Outcome { expected: outcome.expected, ..guarded },
            (ImagePath::Missing, _) => outcome.unknown("the kernel's path of the image", "empty"),
            (ImagePath::Unknown(why), _) => outcome.unknown("the kernel's path of the image", why),
            (ImagePath::Right, Judgement::Unknown) => {
                outcome.unknown("the protection", "").reason(guarded.reason.unwrap_or_default())
            }
            (ImagePath::Right, _) => outcome.pass(),
        }
    };
    let outcomes: Vec<Outcome> = scene.running("csrss.exe").map(judge).collect();
    if outcomes.is_empty() {
        return vec![Outcome::new("SES-06", None).unknown("a csrss.exe to judge", "not in the list")];
    }
    outcomes
}

/// One outcome for each process whose session is not its token's, and one for the rest.
pub(super) fn token_sessions(scene: &Scene<'_>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let (mut compared, mut unread) = (0_usize, 0_usize);
    for (_, process) in scene.rows {
        let exempt = process.pid.value() == Some(&table::SYSTEM_PID)
            || is_called_smss(process)
            || process.minimal.value() == Some(&true)
            || process.silo.value().is_some_and(|at| !at.is_null());
        let Some(session) = process.session.value().filter(|_| process.is_live() && !exempt) else { continue };
        match process.token_session.value() {
            None => unread = unread.saturating_add(1),
            Some(token) if token == session => compared = compared.saturating_add(1),
            Some(token) => outcomes.push(
                Outcome::about("SES-07", process)
                    .observed(format!("session {session}, token of session {token}"))
                    .expected("the same")
                    .seen(process, "session", Some(session.to_string()))
                    .seen(process, "token_session", Some(token.to_string()))
                    .violation(Severity::Medium),
            ),
        }
    }
    let rest = Outcome::new("SES-07", None).expected("the same").observed(format!("{compared} processes agree"));
    outcomes.push(match (unread, compared) {
        (0, 0) => rest.unknown("a running process in a session", "not in the list"),
        (0, _) => rest.pass(),
        (unread, _) => rest.unknown("the session of each token", format!("not read for {unread} processes")),
    });
    outcomes
}
