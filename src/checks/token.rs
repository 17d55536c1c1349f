//! For whom smss.exe runs: SMSS-008, 009, 010.

use super::scene::{Role, Scene, Smss, describe};
use super::{Confidence, Outcome, Severity, table};
use crate::picture::VISTA;
use crate::{Process, VirtualAddress};

pub(super) fn check(scene: &Scene<'_>) -> Vec<Outcome> {
    let mut outcomes = scene.each("SMSS-008", user);
    outcomes.extend(scene.each("SMSS-009", |smss, outcome| shape(scene, smss, outcome)));
    outcomes.extend(scene.each("SMSS-010", |smss, outcome| shared(scene, smss, outcome)));
    outcomes
}

fn user(smss: &Smss<'_>, outcome: Outcome) -> Outcome {
    let process = smss.process;
    let outcome = outcome.expected("S-1-5-18 (Local System)");
    let Some(user) = process.user.value() else {
        return outcome.unknown("the user of the token", describe(&process.user));
    };
    let outcome = outcome.observed(user).seen(process, "user", Some(user.clone()));
    if user == table::LOCAL_SYSTEM { outcome.pass() } else { outcome.violation(Severity::Critical) }
}

fn is_foreign(sid: &str) -> bool {
    table::FOREIGN_GROUPS.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => sid.starts_with(prefix),
        None => sid == *pattern,
    })
}

/// Groups, label and logon: what a token has only by a logon or from the service manager, smss cannot have.
fn shape(scene: &Scene<'_>, smss: &Smss<'_>, outcome: Outcome) -> Outcome {
    let process = smss.process;
    let mut wrong = Vec::new();
    let mut missing = Vec::new();
    match process.groups.value() {
        None => missing.push(("the list of groups", describe(&process.groups))),
        Some(groups) => {
            wrong.extend(groups.iter().filter(|sid| is_foreign(sid)).map(|sid| format!("group {sid}")));
        }
    }
    match process.integrity.known() {
        Ok(Some(label)) if label == table::SYSTEM_LABEL => {}
        Ok(Some(label)) => wrong.push(format!("label {label}")),
        Ok(None) => match scene.build {
            Some(build) if build < VISTA => {}
            Some(_) => wrong.push("no integrity label".to_owned()),
            None => missing.push(("the build, since the token has no integrity label", "not known".to_owned())),
        },
        // Before Vista there are no labels to miss.
        Err(_) if scene.build.is_some_and(|build| build < VISTA) => {}
        Err(absent) => missing.push(("the integrity label", absent.to_string())),
    }
    match process.authentication_id.value() {
        Some(id) if id.0 == table::SYSTEM_LOGON => {}
        Some(id) => wrong.push(format!("logon {id}")),
        None => missing.push(("the logon id", describe(&process.authentication_id))),
    }
    let outcome = outcome
        .expected("System's groups, label S-1-16-16384 (Vista and later), logon 0x3e7")
        .seen(process, "groups", process.groups.value().map(|groups| groups.join(" ")))
        .seen(process, "integrity", process.integrity.value().cloned())
        .seen(process, "authentication_id", process.authentication_id.value().map(ToString::to_string));
    if !wrong.is_empty() {
        let outcome = outcome.observed(wrong.join(", "));
        return if smss.role == Role::Silo {
            let guard = "the token of a container's smss.exe has not been observed yet";
            outcome.guard(guard).violation(Severity::Info)
        } else {
            outcome.violation(Severity::Medium)
        };
    }
    if let Some((what, why)) = missing.into_iter().next() {
        return outcome.unknown(what, why);
    }
    match extra_groups(scene, process) {
        Some(extra) if !extra.is_empty() => outcome
            .observed(format!("groups that System's token lacks: {}", extra.join(" ")))
            .confidence(Confidence::Medium)
            .violation(Severity::Info),
        _ => outcome.observed("the same groups, label and logon").pass(),
    }
}

/// Groups of the process that System's token does not have; `None` where either is not known.
fn extra_groups<'a>(scene: &Scene<'_>, process: &'a Process) -> Option<Vec<&'a str>> {
    let of_system = scene.system_process()?.groups.value().filter(|groups| !groups.is_empty())?;
    let groups = process.groups.value()?;
    Some(groups.iter().filter(|sid| !of_system.contains(sid)).map(String::as_str).collect())
}

fn token_at(process: &Process) -> Option<VirtualAddress> {
    process.token.value().map(|token| token.address).filter(|at| !at.is_null())
}

fn shared(scene: &Scene<'_>, smss: &Smss<'_>, outcome: Outcome) -> Outcome {
    let process = smss.process;
    let outcome = outcome.expected("a token of its own");
    let Some(own) = token_at(process) else {
        return outcome.unknown("the address of the token", describe(&process.token));
    };
    let outcome = outcome.seen(process, "token", Some(own.to_string()));
    let others = || {
        let of_system = Some(&table::SYSTEM_PID);
        scene.rows.iter().map(|(_, other)| *other).filter(move |other| {
            !std::ptr::eq(*other, process) && !other.has_exited() && other.pid.value() != of_system
        })
    };
    if let Some(other) = others().find(|other| token_at(other) == Some(own)) {
        let pid = other.pid.value().map_or_else(|| "?".to_owned(), u64::to_string);
        let name = other.name.value().map_or("?", String::as_str);
        return outcome
            .observed(format!("{own} is also the token of {name} (pid {pid})"))
            .seen(other, "token", Some(own.to_string()))
            .violation(Severity::Medium);
    }
    let unread = others().filter(|other| token_at(other).is_none()).count();
    if unread > 0 {
        return outcome.unknown("the token of every process", format!("not read for {unread} of them"));
    }
    match scene.part_reason() {
        Some(part) => outcome.unknown("the whole process list", part),
        None => outcome.observed(own).pass(),
    }
}
