//! Who has a hand in smss.exe, and what it holds itself: SMSS-022, 028.

use super::ranges::text;
use super::scene::{ImagePath, Role, Scene, Smss, describe};
use super::{Confidence, Outcome, Severity, table};
use crate::kernel::Handle;
use crate::process::Holder;
use crate::{Hex, ListEnd, Process, Reading};

pub(super) fn check(scene: &Scene<'_>) -> Vec<Outcome> {
    let of_system = |smss: &Smss<'_>| matches!(smss.role, Role::Master | Role::Claimant);
    let mut outcomes = scene.each("SMSS-022", |smss, outcome| invasive(scene, smss.process, outcome));
    outcomes.extend(scene.each_if("SMSS-028", of_system, |smss, outcome| csrss(scene, smss.process, outcome)));
    outcomes
}

fn is_invasive(access: &Reading<Hex>) -> bool {
    access.value().is_some_and(|access| access.0 & table::INVASIVE_ACCESS != 0)
}

fn invasive(scene: &Scene<'_>, process: &Process, outcome: Outcome) -> Outcome {
    let mut outcome = outcome.expected("no debug port, no handle to change it by, none of its own to strangers");
    if process.has_exited() {
        return outcome.not_applicable("It has exited.");
    }
    let mut found: Vec<(Severity, String)> = Vec::new();
    let mut guard = None;
    if let Some(at) = process.debug_port.value().filter(|at| !at.is_null()) {
        found.push((Severity::Medium, format!("debug port {at}")));
        outcome = outcome.seen(process, "debug_port", Some(at.to_string()));
    }
    let held = process.inside.value().and_then(|inside| inside.held_by.value());
    for holder in held.into_iter().flatten().filter(|holder| is_invasive(&holder.access)) {
        let severity = match standing(scene, holder) {
            Standing::Usual => continue,
            Standing::Known(why) => {
                guard = Some(why);
                Severity::Info
            }
            Standing::Other => Severity::Medium,
        };
        let (name, pid, access) = (text(&holder.name), text(&holder.pid), text(&holder.access));
        found.push((severity, format!("{name} (pid {pid}) has handle {} with access {access}", handle(&holder.value))));
        outcome = outcome.seen_at(
            process,
            "_HANDLE_TABLE_ENTRY",
            "GrantedAccessBits",
            &Reading::Nothing,
            Some(format!("{access} in the table of {name} (pid {pid})")),
        );
    }
    for (handle, target) in reaches(scene, process) {
        let (name, pid, access) = (text(&target.name), text(&target.pid), text(&handle.access));
        // What smss.exe opens beside its children has been seen on few images only.
        found.push((Severity::Info, format!("it has a handle to {name} (pid {pid}) with access {access}")));
        outcome = outcome.seen_at(
            process,
            "_HANDLE_TABLE_ENTRY",
            "GrantedAccessBits",
            &Reading::Nothing,
            Some(format!("{access} to {name} (pid {pid})")),
        );
    }
    if let Some(worst) = found.iter().map(|(severity, _)| *severity).max() {
        let words: Vec<String> = found.into_iter().map(|(_, words)| words).collect();
        let outcome = outcome.observed(words.join("; "));
        return match guard.filter(|_| worst == Severity::Info) {
            Some(guard) => outcome.guard(guard).violation(worst),
            None => outcome.violation(worst),
        };
    }
    if let Some(absent) = process.debug_port.absent() {
        return outcome.unknown("EPROCESS.DebugPort", absent);
    }
    let outcome = outcome.observed("no debug port");
    let Some(inside) = process.inside.value() else {
        return outcome.unknown("the handle table of every process", describe(&process.inside));
    };
    let Some(held) = inside.held_by.value() else {
        return outcome.unknown("the handle table of every process", describe(&inside.held_by));
    };
    if let Some(part) = scene.part_reason() {
        return outcome.unknown("the handle table of every process", part);
    }
    if inside.held_by_end.value() != Some(&ListEnd::Complete) {
        return outcome.unknown("the handle table of every process", "not read to its end for all");
    }
    if held.iter().any(|holder| holder.access.value().is_none()) {
        return outcome.unknown("the access of every handle to it", "not read for all");
    }
    outcome.observed(format!("no debug port; {} handles, none of them unusual", held.len())).pass()
}

/// Processes that it could read, write or run code in, and that are none it starts.
fn reaches<'a>(scene: &Scene<'a>, process: &'a Process) -> Vec<(&'a Handle, &'a Process)> {
    let handles = process.inside.value().and_then(|inside| inside.handles.value());
    let reaches = |handle: &&Handle| {
        handle.kind.value().is_some_and(|kind| kind == "Process")
            && handle.access.value().is_some_and(|access| access.0 & (table::INVASIVE_ACCESS | table::VM_READ) != 0)
    };
    let target = |handle: &'a Handle| {
        let object = handle.object.value()?;
        let target = scene.rows.iter().map(|row| row.1).find(|other| other.eprocess.value() == Some(object))?;
        let own = std::ptr::eq(target, process) || table::CHILDREN.iter().any(|name| target.is_named(name));
        (!own && !target.has_exited()).then_some((handle, target))
    };
    handles.into_iter().flatten().filter(reaches).filter_map(target).collect()
}

enum Standing {
    /// It made the process, or is the kernel.
    Usual,
    /// Windows or a security product, which has reasons.
    Known(&'static str),
    Other,
}

fn standing(scene: &Scene<'_>, holder: &Holder) -> Standing {
    if holder.pid.value() == Some(&table::SYSTEM_PID) {
        return Standing::Usual;
    }
    let found = scene.rows.iter().find(|(_, process)| match (holder.eprocess.value(), process.eprocess.value()) {
        (Some(theirs), Some(own)) => theirs == own,
        _ => holder.pid.value().is_some() && holder.pid.value() == process.pid.value(),
    });
    let Some(&(at, process)) = found else { return Standing::Other };
    let role = scene.smss.iter().find(|smss| smss.at == at).map(|smss| smss.role);
    let placed = |below: &str| matches!(scene.image_path(process, below), ImagePath::Right);
    if matches!(role, Some(Role::Master | Role::Child | Role::Silo)) && placed(table::SMSS_PATH) {
        return Standing::Usual;
    }
    if process.user.value().is_none_or(|user| user != table::LOCAL_SYSTEM) {
        return Standing::Other;
    }
    let own = |name: &&str| process.is_named(name) && placed(&format!("\\System32\\{name}"));
    if table::CORE_HOLDERS.iter().any(own) {
        return Standing::Known("a core process of Windows, from System32 and of Local System");
    }
    let product = table::SECURITY_PRODUCTS.iter().any(|name| process.is_named(name));
    if product && scene.is_installed(process) {
        return Standing::Known("a security product, installed and of Local System");
    }
    Standing::Other
}

fn handle(value: &Reading<u64>) -> String {
    value.value().map_or_else(|| "?".to_owned(), |value| format!("{value:#x}"))
}

/// SMSS-028: when its work is done, the master waits for the csrss.exe of session 0 to end.
fn csrss(scene: &Scene<'_>, process: &Process, outcome: Outcome) -> Outcome {
    let outcome = outcome.expected("a handle to the csrss.exe of session 0");
    if process.has_exited() {
        return outcome.not_applicable("It has exited.");
    }
    let session = scene.sessions.iter().find(|session| session.id == 0 && !scene.is_silo(session));
    let Some((_, csrss)) = session.and_then(|session| session.csrss.first()) else {
        return outcome.unknown("the csrss.exe of session 0", "not in the list");
    };
    let Some(inside) = process.inside.value() else {
        return outcome.unknown("the master's handle table", describe(&process.inside));
    };
    let Some(handles) = inside.handles.value() else {
        return outcome.unknown("the master's handle table", describe(&inside.handles));
    };
    let leads_there = |handle: &&Handle| match (handle.object.value(), csrss.eprocess.value()) {
        (Some(object), Some(own)) => object == own,
        _ => {
            handle.kind.value().is_some_and(|kind| kind == "Process")
                && handle.pid.value().is_some()
                && handle.pid.value() == csrss.pid.value()
        }
    };
    let outcome = outcome.seen(csrss, "pid", csrss.pid.value().map(u64::to_string));
    if let Some(found) = handles.iter().find(leads_there) {
        return outcome.observed(format!("handle {} with access {}", handle(&found.value), text(&found.access))).pass();
    }
    let outcome = outcome.observed(format!("none among {} handles", text(&inside.handle_count)));
    if inside.handles_end.value() != Some(&ListEnd::Complete) {
        return outcome.unknown("the master's whole handle table", "not read to its end");
    }
    if handles.iter().any(|handle| handle.kind.value().is_none() || handle.object.value().is_none()) {
        return outcome.unknown("the object of each of the master's handles", "not read for all");
    }
    outcome.confidence(Confidence::Medium).violation(Severity::Info)
}
