//! What smss.exe started: SMSS-019.

use super::paths::VolumePath;
use super::scene::{ImagePath, Role, Scene};
use super::{Confidence, Outcome, Severity, table};
use crate::picture::SessionModel;
use crate::{ModeKind, Parent, Process, Ticks};

/// One outcome for each child that is not usual, and one for the rest.
pub(super) fn check(scene: &Scene<'_>) -> Vec<Outcome> {
    let parents: Vec<usize> = scene
        .smss
        .iter()
        .filter(|smss| matches!(smss.role, Role::Master | Role::Child | Role::Silo))
        .map(|smss| smss.at)
        .collect();
    let of_listed = |at: usize| scene.tree.parent(at).position().is_some_and(|up| parents.contains(&up));
    let children: Vec<(usize, &Process)> =
        scene.rows.iter().copied().filter(|(at, process)| of_listed(*at) || of_vanished(scene, *at, process)).collect();
    let mut outcomes: Vec<Outcome> = children.iter().filter_map(|&(at, child)| unusual(scene, at, child)).collect();
    outcomes.push(the_rest(scene, &children, &outcomes));
    outcomes
}

/// Whether the process was started by a session's smss.exe that is not listed any more. That one lived from before csrss
/// until it had started csrss's partner; the margin is for stamps that are cut to seconds.
fn of_vanished(scene: &Scene<'_>, at: usize, process: &Process) -> bool {
    let gone = matches!(scene.tree.parent(at), Parent::Vanished(_) | Parent::Reused { .. });
    let (Some(started), Some(id)) = (process.started(), process.session.value()) else { return false };
    if !gone || scene.model != SessionModel::Child || scene.clock_step.is_some() {
        return false;
    }
    let Some(session) = scene.sessions.iter().find(|session| session.id == *id) else { return false };
    let silo = scene.is_silo(session);
    session.creator_pid(scene.model, silo).is_some_and(|creator| process.ppid.value() == Some(&creator)) && {
        let stamps =
            |rows: &[(usize, &Process)]| rows.iter().filter_map(|(_, part)| part.started()).collect::<Vec<_>>();
        let (first, last) = (stamps(&session.csrss), stamps(session.partners(scene.model, silo)));
        match (first.iter().min(), last.iter().max()) {
            (Some(first), Some(last)) => started >= *first && started.since(*last) <= Ticks::seconds(1),
            _ => false,
        }
    }
}

/// A violation, if the child is none that smss starts on every machine.
fn unusual(scene: &Scene<'_>, at: usize, child: &Process) -> Option<Outcome> {
    let outcome = Outcome::about("SMSS-019", child)
        .expected(table::CHILDREN.join(", "))
        .observed(format!("{} under {}", words(child), scene.parent_words(at)))
        .seen(child, "ppid", child.ppid.value().map(u64::to_string))
        .seen(child, "name", child.name.value().cloned())
        .seen(child, "path", child.path.value().cloned());
    let named = |names: &[&'static str]| names.iter().copied().find(|name| child.is_named(name));
    // A listed name from anywhere else is the name only.
    let placed = |name: &str| match scene.image_path(child, &format!("\\System32\\{name}")) {
        ImagePath::Wrong(_) => false,
        ImagePath::Right | ImagePath::Missing | ImagePath::Unknown(_) => true,
    };
    if named(table::CHILDREN).is_some_and(|name| name == "smss.exe" || placed(name)) {
        return None;
    }
    if named(table::CHILDREN_AT_TIMES).is_some_and(placed) {
        return Some(outcome.guard("Windows has it started now and then").violation(Severity::Info));
    }
    if named(table::CHILDREN_OF_VENDORS).is_some() {
        return Some(outcome.guard("known software of another vendor").violation(Severity::Info));
    }
    let (posix, last) = table::POSIX;
    if child.is_named(posix) && placed(posix) && scene.build.is_none_or(|build| build <= last) {
        return Some(outcome.guard("the POSIX subsystem").violation(Severity::Info));
    }
    let silo = |process: &Process| process.silo.value().is_some_and(|at| !at.is_null());
    let of_silo = scene
        .tree
        .parent(at)
        .position()
        .is_some_and(|up| scene.smss.iter().any(|smss| smss.at == up && smss.role == Role::Silo));
    if of_silo && (silo(child) || child.silo.absent().is_some()) {
        let guard = "containers may have an initial program of their own, and few have been seen";
        return Some(outcome.guard(guard).confidence(Confidence::Low).violation(Severity::Info));
    }
    // Setup has smss.exe start programs of its own, from where Windows is and from its own folder.
    let path = child.path.value().and_then(|path| VolumePath::read(path));
    let of_setup = path.is_some_and(|path| scene.root.holds_below(&path, "") || path.is_below("\\$WINDOWS.~BT"));
    if let Some(mode) = scene.mode(ModeKind::Setup).filter(|_| of_setup) {
        return Some(outcome.guard(mode.to_string()).violation(Severity::Low));
    }
    Some(outcome.violation(Severity::High))
}

fn words(child: &Process) -> String {
    match (child.path.value(), child.name.value()) {
        (Some(path), _) => path.clone(),
        (None, Some(name)) => name.clone(),
        (None, None) => "a process without name and path".to_owned(),
    }
}

fn the_rest(scene: &Scene<'_>, children: &[(usize, &Process)], unusual: &[Outcome]) -> Outcome {
    let outcome = Outcome::new("SMSS-019", None).expected("none but those that Windows has smss.exe start");
    if scene.smss.is_empty() {
        return outcome.unknown("an smss.exe to judge", "not in the list");
    }
    let usual = children.len().saturating_sub(unusual.len());
    let outcome = outcome.observed(format!("{usual} usual, {} other", unusual.len()));
    if let Some(part) = scene.part_reason() {
        return outcome.unknown("the whole process list", part);
    }
    let unread = scene.rows.iter().filter(|(at, _)| scene.tree.parent(*at) == Parent::Unknown).count();
    if unread > 0 {
        return outcome.unknown("the parent of every process", format!("not known for {unread} of them"));
    }
    if !scene.was_scanned() {
        return outcome.unknown("a scan for exited processes that left the list", "not made: `--scan` makes it");
    }
    // Each unusual one has its own outcome.
    outcome.pass()
}
