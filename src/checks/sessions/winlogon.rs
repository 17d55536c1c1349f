//! The other process that a user's session is made of: SES-05.

use super::tally::Tally;
use super::{in_the_making, list, members, missing, pid, surely, without_sessions};
use crate::Parent;
use crate::checks::case::{Case, ImagePath};
use crate::checks::core::level;
use crate::checks::rule::{About, MASQUERADE, Rule};
use crate::checks::{Outcome, Severity};
use crate::picture::{Members, SessionModel};

/// SES-05: one winlogon per user session.
pub static WINLOGON: Rule = Rule {
    id: "SES-05",
    title: "one winlogon per user session",
    wrong: "winlogon.exe is missing, or runs where it does not on Windows",
    core: false,
    attack: &[MASQUERADE],
    about: About {
        what: "Session 0 has no winlogon.exe, each other session with a csrss.exe has one; before Vista every \
               session has one.",
        why: "winlogon.exe is the other process that a session is made of: it lets users log on.",
        benign: "Sessions in the making or ending, those of containers, and Windows PE are not judged. A slow machine \
               takes minutes to make a session: low while its smss.exe child is at most 300 seconds old. A session \
               of a terminal server that hangs on its way down keeps its csrss.exe and nothing else: info; with any \
               other live process it counts.",
        source: "SANS Hunt Evil poster; public listings; Memory Dump Analysis Anthology 7, Incomplete Session; Citrix \
               support article 128192 on sessions in state Down.",
    },
    judge: |case, rule| vec![winlogon(case, rule)],
};

fn winlogon(case: &Case<'_>, rule: &Rule) -> Outcome {
    let mut outcome = Outcome::new(rule, None).expected(match case.model {
        SessionModel::Master => "1 in each session",
        _ => "none in session 0, 1 in each other",
    });
    if case.sessions.is_empty() {
        return without_sessions(outcome);
    }
    let mut tally = Tally::default();
    for session in case.sessions {
        let count = session.winlogon.len();
        let words = format!("session {}: {count}", session.id);
        let with_pids = || format!("{words} (pid {})", list(&session.winlogon, pid));
        if case.is_silo(session) {
            tally.not_applicable(format!("session {} is a container's", session.id));
        } else if in_the_making(case, session) {
            tally.not_applicable(format!("session {} is being made", session.id));
        } else if session.id == 0 && case.model != SessionModel::Master {
            if case.root.is_preinstallation() {
                tally.not_applicable("Windows PE runs everything in session 0".to_owned());
            } else if count == 0 {
                tally.pass(words);
            } else if case.model == SessionModel::Unknown {
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
        } else if is_down(case, session) && case.part_reason().is_none() {
            let words = format!("{words}, and nothing but csrss.exe");
            tally.violation(Severity::Info, words);
            outcome = outcome.guard("a session that is going down keeps its csrss.exe alone");
        } else if surely(&session.csrss) > 0 {
            missing(case, session, Severity::High, words, &mut tally);
        } else {
            tally.unknown("whether the session's csrss.exe runs", "not told");
        }
    }
    tally.needs_whole_list(case);
    tally.into_outcome(outcome, "a list of a user session's processes", "not in the list")
}

/// Whether nothing is left of a session but its csrss.exe: a session that hangs on its way down keeps it, until the machine is
/// started anew (Citrix support article 128192). Any other process that runs there, and anything wrong with csrss.exe, is no such.
fn is_down(case: &Case<'_>, session: &Members<'_>) -> bool {
    let [(at, csrss)] = session.csrss.as_slice() else { return false };
    let alone = session.running.iter().all(|process| std::ptr::eq(*process, *csrss));
    let right = !matches!(case.image_path(csrss, members::CSRSS), ImagePath::Wrong(_) | ImagePath::Missing);
    let build = case.build.and_then(|build| level(members::PROTECTION, build));
    let protected = match (build, csrss.protection.value()) {
        (Some(right), Some(found)) => found.0 == right,
        _ => true,
    };
    let creator_gone = matches!(case.tree.parent(*at), Parent::Vanished(_) | Parent::Exited(_) | Parent::Reused { .. });
    session.id != 0 && alone && right && protected && creator_gone
}
