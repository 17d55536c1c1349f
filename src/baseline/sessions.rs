//! What smss.exe built: SES-01 to SES-08.

use super::hardening::protection;
use super::scene::{ImagePath, Role, Scene, describe};
use super::tally::Tally;
use super::{Judgement, Outcome, Severity};
use crate::process::{Members, SessionModel};
use crate::{Parent, Process, Session, Ticks};

pub(super) fn check(scene: &Scene<'_>) -> Vec<Outcome> {
    let mut outcomes = vec![one_csrss(scene), one_creator(scene), creator_gone(scene), wininit(scene), winlogon(scene)];
    outcomes.extend(csrss_images(scene));
    outcomes.extend(token_sessions(scene));
    outcomes.push(classified(scene));
    outcomes
}

/// Where the child that builds the session is still at work, half of it is missing, rightly.
fn in_the_making(scene: &Scene<'_>, session: &Members<'_>) -> bool {
    scene.smss.iter().any(|smss| {
        smss.role == Role::Child
            && smss.process.is_live()
            && smss.process.session.value() == Some(&session.id)
            && scene.age(smss.process).is_ok_and(|age| age <= Ticks::seconds(60))
    })
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

fn one_csrss(scene: &Scene<'_>) -> Outcome {
    let outcome = Outcome::new("SES-01", None).expected("1 csrss.exe in each session with running processes");
    if scene.sessions.is_empty() {
        return without_sessions(outcome);
    }
    let mut tally = Tally::default();
    for session in &scene.sessions {
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
            tally.absence(scene, Severity::Medium, words);
        } else {
            tally.unknown("whether each csrss.exe runs", "not told");
        }
    }
    tally.needs_whole_list(scene);
    tally.into_outcome(outcome, "running processes whose session is known", "not in the list")
}

fn one_creator(scene: &Scene<'_>) -> Outcome {
    let mut outcome =
        Outcome::new("SES-02", None).expected("csrss.exe and wininit.exe or winlogon.exe name the same pid");
    if scene.sessions.is_empty() {
        return without_sessions(outcome);
    }
    let mut tally = Tally::default();
    for session in &scene.sessions {
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
                "csrss.exe and its partner of every session",
                format!("not both listed in session {}", session.id),
            );
            continue;
        }
        let both = || session.csrss.iter().chain(partners);
        if both().any(|(_, process)| process.ppid.value().is_none()) {
            tally.unknown(
                "the parents of csrss.exe and its partner",
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
    tally.into_outcome(outcome, "csrss.exe and its partner of a session", "not in the list")
}

fn creator_gone(scene: &Scene<'_>) -> Outcome {
    let expected = match scene.model {
        SessionModel::Master => "the live master",
        _ => "an smss.exe child that has exited",
    };
    let mut outcome = Outcome::new("SES-03", None).expected(expected);
    if scene.sessions.is_empty() {
        return without_sessions(outcome);
    }
    let mut tally = Tally::default();
    for session in &scene.sessions {
        let mut seen = Vec::new();
        let partners = session.partners(scene.model, scene.is_silo(session));
        for &(at, process) in session.csrss.iter().chain(partners) {
            // Usually csrss and its partner name the same one: said once.
            if seen.contains(&process.ppid.value()) {
                continue;
            }
            seen.push(process.ppid.value());
            outcome = outcome.seen(process, "ppid", process.ppid.value().map(u64::to_string));
            creator(scene, session, at, process, &mut tally);
        }
    }
    tally.into_outcome(outcome, "csrss.exe or its partner of a session", "not in the list")
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

fn live_creator(scene: &Scene<'_>, smss: &super::scene::Smss<'_>, words: String, tally: &mut Tally) {
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
        tally.unknown("the creation times of both", format!("not known ({words})"));
    } else if let Some(sign) = &scene.clock_step {
        tally.unknown("a clock that ran evenly", format!("set: {sign}"));
    } else {
        tally.violation(Severity::High, words);
    }
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
        session.running.iter().any(|process| {
            process.pid.value() != Some(&super::table::SYSTEM_PID) && !super::scene::is_called_smss(process)
        })
    };
    match scene.sessions.iter().filter(|session| session.id == 0).find(beside_smss) {
        None => tally.unknown("the processes of session 0", "not in the list"),
        Some(session) if surely(&session.wininit) > 1 => {
            tally.violation(
                Severity::High,
                format!("session 0: {} (pid {})", session.wininit.len(), list(&session.wininit, pid)),
            );
        }
        Some(session) => match session.wininit.as_slice() {
            [_] => tally.pass("session 0: 1".to_owned()),
            [] if scene.model == SessionModel::Unknown => tally.unknown("the version of Windows", "not known"),
            [] => tally.absence(scene, Severity::High, "session 0: none".to_owned()),
            _ => tally.unknown("whether each wininit.exe runs", "not told"),
        },
    }
    tally.needs_whole_list(scene);
    tally.into_outcome(outcome, "the processes of session 0", "not in the list")
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
    for session in &scene.sessions {
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
            tally.absence(scene, Severity::High, words);
        } else {
            tally.unknown("whether the session's csrss.exe runs", "not told");
        }
    }
    tally.needs_whole_list(scene);
    tally.into_outcome(outcome, "the processes of a user session", "not in the list")
}

/// One outcome for each csrss.exe that is not known to be over.
fn csrss_images(scene: &Scene<'_>) -> Vec<Outcome> {
    const BELOW: &str = "\\System32\\csrss.exe";
    let judge = |process: &Process| {
        let path = process.path.value();
        let outcome = Outcome::about("SES-06", process)
            .expected(format!("{}, protection 0x61 (9600 and later)", scene.root.join(BELOW)))
            .observed(path.map_or("no path known", String::as_str))
            .seen(process, "path", path.cloned());
        let guarded = protection(scene, process, false, Outcome::about("SES-06", process));
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
fn token_sessions(scene: &Scene<'_>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let (mut compared, mut unread) = (0_usize, 0_usize);
    for (_, process) in &scene.rows {
        let exempt = process.pid.value() == Some(&super::table::SYSTEM_PID)
            || super::scene::is_called_smss(process)
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

fn classified(scene: &Scene<'_>) -> Outcome {
    let outcome = Outcome::new("SES-08", None).expected("a kind for each session");
    if scene.sessions.is_empty() {
        return without_sessions(outcome);
    }
    let sessions = Session::rebuild(&scene.system.processes, scene.build);
    let words: Vec<String> = sessions
        .iter()
        .map(|session| format!("{} {}", session.id, session.kind.as_deref().unwrap_or("of unknown kind")))
        .collect();
    let open = sessions.iter().filter(|session| session.kind.is_none()).count();
    let outcome = outcome.observed(words.join(", "));
    if open == 0 {
        outcome.pass()
    } else {
        outcome.unknown("signs of what a session is for", format!("not there for {open} of them"))
    }
}
