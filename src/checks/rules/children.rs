//! What the process started: SMSS-019.

use super::core_images;
use crate::checks::case::{Case, ImagePath};
use crate::checks::core::LOCAL_SYSTEM;
use crate::checks::paths::VolumePath;
use crate::checks::rule::{About, BOOT, Rule};
use crate::checks::subject::Role;
use crate::checks::words::{is_sid, same};
use crate::checks::{Confidence, Outcome, Severity, Why};
use crate::picture::SessionModel;
use crate::{Parent, Process, Ticks};

/// SMSS-019: children are known.
pub static CHILDREN: Rule = Rule {
    id: "SMSS-019",
    title: "children are known",
    wrong: "smss.exe started what it does not start on Windows",
    core: false,
    attack: &[BOOT],
    about: About {
        what: "Every process, exited ones included, whose parent is the master, a session child or the vanished \
               child of a session, is one that Windows has smss.exe start, from System32.",
        why: "BootExecute, SetupExecute and their kin have smss.exe start programs before any service runs. Such a \
               program appears as its child.",
        benign: "autoconv, autofmt, setupcl, poqexec, wpbbin and WerFault run now and then; PvsVmBoot, SophosNA, \
               omnissa-ic-nga and icarus_rvrt of System32 or Program Files belong to vendors; psxss to the POSIX subsystem up to build 9200: \
               info. Programs of Windows while setup runs: low.",
        source: "Elastic detection rule \"Unusual Parent-Child Relationship\" (its list of children); Windows \
               Internals 7th edition part 1, chapter 2; public Sysmon boot trace.",
    },
    judge: children,
};

/// One outcome for each child that is not usual, and one for the rest.
fn children(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let parents: Vec<usize> = case
        .subjects
        .iter()
        .filter(|subject| matches!(subject.role, Role::Master | Role::Child | Role::Silo | Role::Peer))
        .map(|subject| subject.at)
        .collect();
    let of_listed = |at: usize| case.tree.parent(at).position().is_some_and(|up| parents.contains(&up));
    let children: Vec<(usize, &Process)> =
        case.rows.iter().copied().filter(|(at, process)| of_listed(*at) || of_vanished(case, *at, process)).collect();
    let mut outcomes: Vec<Outcome> =
        children.iter().filter_map(|&(at, child)| unusual(case, rule, at, child)).collect();
    outcomes.push(the_rest(case, rule, &children, &outcomes));
    outcomes
}

/// Whether the process was started by a session's smss.exe that is not listed any more. That one lived from before csrss
/// until it had started csrss's partner; the margin is for stamps that are cut to seconds.
fn of_vanished(case: &Case<'_>, at: usize, process: &Process) -> bool {
    let gone = matches!(case.tree.parent(at), Parent::Vanished(_) | Parent::Reused { .. });
    let (Some(started), Some(id)) = (process.started(), process.session.value()) else { return false };
    if !gone || case.model != SessionModel::Child || case.clock_step.is_some() {
        return false;
    }
    let Some(session) = case.sessions.iter().find(|session| session.id == *id) else { return false };
    let silo = case.is_silo(session);
    session.creator_pid(case.model, silo).is_some_and(|creator| process.ppid.value() == Some(&creator)) && {
        let stamps =
            |rows: &[(usize, &Process)]| rows.iter().filter_map(|(_, part)| part.started()).collect::<Vec<_>>();
        let (first, last) = (stamps(&session.csrss), stamps(session.partners(case.model, silo)));
        match (first.iter().min(), last.iter().max()) {
            (Some(first), Some(last)) => started >= *first && started.since(*last) <= Ticks::seconds(1),
            _ => false,
        }
    }
}

/// A violation, if the child is none that subject starts on every machine.
fn unusual(case: &Case<'_>, rule: &Rule, at: usize, child: &Process) -> Option<Outcome> {
    let known = &case.core.children;
    let outcome = Outcome::about(rule, child)
        .expected(known.usual.join(", "))
        .observed(format!("{} under {}", words(child), case.parent_words(at)))
        .seen(child, "ppid", child.ppid.value().map(u64::to_string))
        .seen(child, "name", child.name.value().cloned())
        .seen(child, "path", child.path.value().cloned());
    // A name counts where the file has it too: by the kernel's path, or by the file object of its image.
    let read = child.path.value().and_then(|path| VolumePath::read(path));
    let file = match &read {
        Some(path) => Some(path.base_name()),
        None => child.section_file.value().and_then(|file| file.name.rsplit('\\').next()),
    };
    // A path can be written over; the section's file object is another's to change.
    let by_section = child.section_file.value().and_then(|file| file.name.rsplit('\\').next());
    let named = |names: &[&'static str]| {
        let same_file =
            |name: &str| file.is_none_or(|file| same(file, name)) && by_section.is_none_or(|file| same(file, name));
        names.iter().copied().find(|name| child.goes_by(name) && same_file(name))
    };
    // A listed name from anywhere else is the name only.
    let placed = |name: &str| match case.image_path(child, &format!("\\System32\\{name}")) {
        ImagePath::Wrong(_) => false,
        ImagePath::Right | ImagePath::Missing | ImagePath::Unknown(_) => true,
    };
    if let Some(name) = named(known.usual).filter(|name| *name == case.core.name || placed(name)) {
        let why = if name == CHECK_DISK { no_check_of_disks(case, child) } else { None };
        return why.map(|why| outcome.reason(why).violation(Severity::Medium));
    }
    // Its name and the file that its image was made of, or the path in its PEB, agree and are usual, and the kernel's path is that of another
    // program: the page with it may be another's by now.
    let of_image = child.section_file.value().map(|of_image| &of_image.name);
    let others = [of_image, child.peb_path.value()].into_iter().flatten();
    let others: Vec<VolumePath> = others.filter_map(|path| VolumePath::read(path)).collect();
    let is_usual = |name: &&str| {
        let in_place = |path: &VolumePath| case.root.holds(path, &format!("\\System32\\{name}"));
        child.is_named(name) && others.iter().any(in_place)
    };
    let is_another = read.is_some() && named(known.usual).is_none();
    if let Some(name) = known.usual.iter().find(|name| is_usual(name)).filter(|_| is_another) {
        // One rule says it.
        if core_images::judges(case, child) {
            return None;
        }
        let why = format!("contradicted: its name and another of its paths are those of {name}");
        return Some(outcome.unknown("the kernel's path of a child that is usual otherwise", why).decides());
    }
    if file.is_none() && (named(known.at_times).is_some() || named(known.of_vendors).is_some()) {
        return Some(outcome.unknown("the path of its image", Why::no_value(&child.path)));
    }
    if named(known.at_times).is_some_and(placed) {
        return Some(outcome.guard("Windows has it started now and then").violation(Severity::Info));
    }
    let installed =
        read.as_ref().is_none_or(|path| path.in_program_files() || case.root.holds_below(path, "\\System32"));
    if named(known.of_vendors).is_some() && installed {
        return Some(outcome.guard("known software of another vendor").violation(Severity::Info));
    }
    let in_force = |(name, last): &&(&str, u32)| {
        child.goes_by(name) && placed(name) && case.build.is_none_or(|build| build <= *last)
    };
    if known.until.iter().any(|entry| in_force(&entry)) {
        return Some(outcome.guard("the POSIX subsystem").violation(Severity::Info));
    }
    let silo = |process: &Process| process.silo.value().is_some_and(|at| !at.is_null());
    let of_silo = case
        .tree
        .parent(at)
        .position()
        .is_some_and(|up| case.subjects.iter().any(|subject| subject.at == up && subject.role == Role::Silo));
    if of_silo && (silo(child) || child.silo.absent().is_some()) {
        let guard = "containers may have an initial program of their own, and few have been seen";
        return Some(outcome.guard(guard).confidence(Confidence::Low).violation(Severity::Info));
    }
    // Setup has smss.exe start programs of its own, from where Windows is and from its own folder.
    let of_setup = read.is_some_and(|path| case.root.holds_below(&path, "") || path.is_below("\\$WINDOWS.~BT"));
    if let Some(setup) = case.setup_in_progress().filter(|_| of_setup) {
        return Some(outcome.guard(setup).violation(Severity::Low));
    }
    Some(outcome.violation(Severity::High))
}

/// The program that smss.exe runs before there are sessions, users and services, and waits for.
const CHECK_DISK: &str = "autochk.exe";

/// Why a program of that name that runs is none that smss.exe started at the boot.
fn no_check_of_disks(case: &Case<'_>, child: &Process) -> Option<String> {
    if !child.is_live() {
        return None;
    }
    if let Some(session) = child.session.value() {
        return Some(format!("It runs in session {session}, and autochk.exe before there are sessions."));
    }
    if let Some(user) = child.user.value().filter(|user| is_sid(user) && *user != LOCAL_SYSTEM) {
        return Some(format!("It runs as {user}, and autochk.exe before there are users."));
    }
    let session = case.running("services.exe").next().is_some();
    session.then(|| "It still runs, and smss.exe waits for autochk.exe before it builds the first session.".to_owned())
}

fn words(child: &Process) -> String {
    match (child.path.value(), child.name.value()) {
        (Some(path), _) => path.clone(),
        (None, Some(name)) => name.clone(),
        (None, None) => "a process without name and path".to_owned(),
    }
}

fn the_rest(case: &Case<'_>, rule: &Rule, children: &[(usize, &Process)], unusual: &[Outcome]) -> Outcome {
    let outcome =
        Outcome::new(rule, None).expected(format!("none but those that Windows has {} start", case.core.name));
    if case.subjects.is_empty() {
        return outcome.unknown(case.one_to_judge(), "not in the list");
    }
    let usual = children.len().saturating_sub(unusual.len());
    let outcome = outcome.observed(format!("{usual} usual, {} other", unusual.len()));
    if let Some(part) = case.part_reason() {
        return outcome.unknown("the whole process list", part);
    }
    let unread = case.rows.iter().filter(|(at, _)| case.tree.parent(*at) == Parent::Unknown).count();
    if unread > 0 {
        return outcome.unknown("the parent of every process", format!("not known for {unread} of them"));
    }
    if !case.was_scanned() {
        return outcome.unknown("a scan for exited processes that left the list", "not made: `--scan` makes it");
    }
    // Each unusual one has its own outcome.
    outcome.pass()
}
