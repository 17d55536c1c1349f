//! Who smss.exe is: parent, number, session, start. SMSS-000, 001, 006, 011, 012, 025.

use super::scene::{ImagePath, Role, Scene, Smss, describe};
use super::{Confidence, Outcome, Severity, table};
use crate::picture::{SessionModel, clock_step_by};
use crate::{Liveness, Process, Reading, Ticks};

pub(super) fn check(scene: &Scene<'_>) -> Vec<Outcome> {
    let mut outcomes = vec![master_present(scene), one_master(scene)];
    outcomes.extend(scene.each("SMSS-001", |smss, outcome| parent(scene, smss, outcome)));
    outcomes.extend(scene.each("SMSS-011", |smss, outcome| session(scene, smss, outcome)));
    outcomes.extend(scene.each("SMSS-012", |smss, outcome| start(scene, smss, outcome)));
    outcomes.extend(scene.each_if("SMSS-025", is_master, |smss, outcome| not_exited(scene, smss, outcome)));
    outcomes
}

fn is_master(smss: &Smss<'_>) -> bool {
    smss.role == Role::Master
}

fn pids<'a>(of: impl Iterator<Item = &'a Process>) -> String {
    let words: Vec<String> =
        of.map(|process| process.pid.value().map_or_else(|| "?".to_owned(), u64::to_string)).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// A machine that is going down, or has: then even the master may be over.
fn going_down(scene: &Scene<'_>) -> Option<&'static str> {
    let over = |name: &str| {
        let mut rows = scene.rows.iter().filter(|(_, process)| process.is_named(name)).peekable();
        rows.peek().is_some() && rows.all(|(_, process)| process.has_exited())
    };
    let crash = scene.system.image.as_ref().is_some_and(|image| image.format.starts_with("crash_dump"));
    if over("csrss.exe") {
        Some("every csrss.exe has exited too: the machine is shutting down")
    } else if crash {
        Some("crash dump: the end of smss.exe stops the machine, and the dump shows it")
    } else {
        None
    }
}

fn master_present(scene: &Scene<'_>) -> Outcome {
    let outcome = Outcome::new("SMSS-000", None).expected("a live smss.exe started by System (4) from System32");
    if let Some(part) = scene.part_reason() {
        return outcome.unknown("the whole process list", part);
    }
    let of_system: Vec<_> =
        scene.smss.iter().filter(|smss| smss.process.ppid.value() == Some(&table::SYSTEM_PID)).collect();
    let place = |smss: &Smss<'_>| scene.image_path(smss.process, table::SMSS_PATH);
    let placed = |smss: &&&Smss<'_>| matches!(place(smss), ImagePath::Right | ImagePath::Unknown(_));
    if let Some(smss) = of_system.iter().filter(placed).find(|smss| smss.process.is_live()) {
        let outcome = outcome
            .observed(format!("pid {}", pids([smss.process].into_iter())))
            .seen(smss.process, "ppid", smss.process.ppid.value().map(u64::to_string))
            .seen(smss.process, "path", smss.process.path.value().cloned());
        return match place(smss) {
            ImagePath::Right => outcome.pass(),
            // The path has a check of its own; the walk and the parent are what this one needs.
            _ => outcome.confidence(Confidence::Medium).reason("The kernel's path of it is not known.").pass(),
        };
    }
    let unsure = |smss: &&&Smss<'_>| matches!(smss.process.liveness(), Liveness::Unknown(_));
    if let Some(smss) = of_system.iter().filter(placed).find(unsure)
        && let Liveness::Unknown(why) = smss.process.liveness()
    {
        return outcome.unknown("whether the master runs", format!("not told: {why}"));
    }
    if scene.smss.iter().any(|smss| smss.process.ppid.value().is_none() && !smss.process.has_exited()) {
        return outcome.unknown("the parent of every smss.exe", "not known for one of them");
    }
    if scene.system_process().is_none() || scene.running("csrss.exe").next().is_none() {
        return outcome
            .unknown("a list with System and csrss.exe in it", "without them, so that it can hardly be whole");
    }
    let listed = pids(scene.smss.iter().map(|smss| smss.process));
    let outcome = outcome.observed(format!("no such process; smss.exe listed: {listed}"));
    let exited = of_system.iter().any(|smss| smss.process.has_exited());
    match going_down(scene).filter(|_| exited) {
        Some(why) => outcome.guard(why).violation(Severity::Info),
        None => outcome.violation(Severity::High),
    }
}

fn parent(scene: &Scene<'_>, smss: &Smss<'_>, outcome: Outcome) -> Outcome {
    let process = smss.process;
    let Some(ppid) = process.ppid.value() else {
        return outcome.unknown("the parent's pid", describe(&process.ppid));
    };
    let outcome = outcome.observed(scene.parent_words(smss.at)).seen(process, "ppid", Some(ppid.to_string()));
    match smss.role {
        Role::Master | Role::Claimant if *ppid == table::SYSTEM_PID => outcome.expected("4 (System)").pass(),
        Role::Child | Role::Silo => {
            let outcome = outcome.expected("4 (System), or the master for a session child");
            match older_than_master(scene, process) {
                Some(distance) => outcome
                    .observed(format!("{}, which is {distance} younger", scene.parent_words(smss.at)))
                    .seen(process, "created", process.created.value().map(ToString::to_string))
                    .violation(Severity::Medium),
                None => outcome.pass(),
            }
        }
        Role::Undetermined => outcome
            .expected("4 (System), or the master for a session child")
            .unknown("the master, which may be the parent", "not in this part of the list"),
        Role::Master | Role::Claimant => outcome.expected("4 (System)").violation(Severity::High),
        Role::Stranger => outcome.expected("4 (System), or the master for a session child").violation(Severity::High),
    }
}

/// How much older than the master a session child says that it is. Nobody is older than who started it, unless the clock was
/// set back: then others are, too.
fn older_than_master(scene: &Scene<'_>, child: &Process) -> Option<Ticks> {
    let distance = scene.master()?.process.started()?.since(child.started()?);
    let is_other = |process: &Process| !std::ptr::eq(process, child) && !process.is_named("smss.exe");
    let stepped = || scene.clock_step.is_some() && clock_step_by(&scene.system.processes.items, is_other).is_some();
    (distance > Ticks::seconds(2) && !stepped()).then_some(distance)
}

/// Counts what is neither a session child nor a container's: each of those claims to be the master.
fn one_master(scene: &Scene<'_>) -> Outcome {
    let outcome = Outcome::new("SMSS-006", None).expected("1");
    let of = |fits: &dyn Fn(&Smss<'_>) -> bool| -> Vec<&Process> {
        scene.smss.iter().filter(|smss| fits(smss)).map(|smss| smss.process).collect()
    };
    let counted = |smss: &Smss<'_>| match smss.role {
        Role::Master | Role::Claimant | Role::Stranger => true,
        // XP and 2003 have no session children.
        Role::Child => scene.model == SessionModel::Master,
        Role::Silo | Role::Undetermined => false,
    };
    let live = of(&|smss| counted(smss) && smss.process.is_live());
    let maybe = of(&|smss| (counted(smss) || smss.role == Role::Undetermined) && !smss.process.has_exited());
    let beside = |role: Role, word: &str| {
        let number = scene.smss.iter().filter(|smss| smss.role == role).count();
        if number == 0 { String::new() } else { format!(", {number} {word}") }
    };
    let mut outcome = outcome.observed(format!(
        "{} (pid {}){}{}",
        maybe.len(),
        pids(maybe.iter().copied()),
        beside(Role::Child, "session children beside"),
        beside(Role::Silo, "of containers beside"),
    ));
    for process in &maybe {
        outcome = outcome.seen(process, "ppid", process.ppid.value().map(u64::to_string));
    }
    if live.len() > 1 {
        return outcome.violation(Severity::High);
    }
    if let Some(part) = scene.part_reason() {
        return outcome.unknown("the whole process list", part);
    }
    match maybe.as_slice() {
        [] => outcome.unknown("a master to count", "not in the list"),
        [_] if scene.master().is_some_and(|master| !master.process.has_exited()) => outcome.pass(),
        [_] => outcome.unknown("the part that the one smss.exe plays", "not known: its parent is not"),
        _ => outcome.unknown("whether each of them runs as a master", "not known for all"),
    }
}

fn session(scene: &Scene<'_>, smss: &Smss<'_>, outcome: Outcome) -> Outcome {
    let process = smss.process;
    if process.has_exited() && smss.role != Role::Master {
        return outcome.not_applicable("It has exited: its session says nothing any more.");
    }
    let value = match process.session.known() {
        Ok(value) => value.copied(),
        Err(_) if smss.role == Role::Silo => return outcome.not_applicable("A container's smss.exe."),
        Err(absent) => return outcome.unknown("its session", absent),
    };
    let words = value.map_or_else(|| "none".to_owned(), |id| format!("session {id}"));
    let outcome = outcome.observed(&words).seen(process, "session", value.map(|id| id.to_string()));
    match (smss.role, value) {
        (Role::Silo, _) => outcome.not_applicable("A container's smss.exe."),
        (Role::Undetermined, _) => outcome.unknown("the part it plays", "not known: its parent is not"),
        (Role::Child, None) => outcome
            .expected("the new session")
            .unknown("the session that it builds", "none, which no listing has shown of a live child"),
        (Role::Child, Some(id)) => {
            let outcome = outcome.expected("a session with csrss.exe, once it is 60 s old");
            if scene.sessions.iter().any(|session| session.id == id && !session.csrss.is_empty()) {
                return outcome.pass();
            }
            match (scene.age(process), scene.part_reason()) {
                (Ok(age), _) if age <= Ticks::seconds(60) => outcome.not_applicable("The session is being made."),
                (Err(why), _) => outcome.unknown("its age when the image was taken", why),
                (Ok(_), Some(part)) => outcome.unknown("the whole process list", part),
                (Ok(_), None) => outcome.violation(Severity::High),
            }
        }
        (_, None) => outcome.expected("none").pass(),
        // Live tools print the token's session for System and smss alike. EPROCESS.Session of System is always null.
        (_, Some(_)) if scene.system_process().is_some_and(|system| system.session.value().is_some()) => outcome
            .expected("none")
            .unknown("EPROCESS.Session", "not given: System has a session here too, so that it is the token's"),
        (_, Some(_)) => outcome.expected("none").violation(Severity::High),
    }
}

fn start(scene: &Scene<'_>, smss: &Smss<'_>, outcome: Outcome) -> Outcome {
    let process = smss.process;
    match smss.role {
        Role::Child | Role::Silo => return outcome.not_applicable("It starts with its session, not with the machine."),
        Role::Undetermined => return outcome.unknown("the part it plays", "not known: its parent is not"),
        Role::Master | Role::Claimant | Role::Stranger => {}
    }
    let outcome = outcome.expected("System's start, -2 s to +10 s");
    let Some(started) = process.started() else {
        return outcome.unknown("its creation time", describe(&process.created));
    };
    let outcome = outcome.seen(process, "created", Some(started.to_string()));
    let Some(system) = scene.system_process() else {
        return outcome.unknown("System's creation time", "not in the list");
    };
    let Some(anchor) = system.started() else { return start_by_boot(scene, process, outcome) };
    let distance = started.since(anchor);
    let outcome =
        outcome.observed(format!("{distance} from System's start")).seen(system, "created", Some(anchor.to_string()));
    let [earliest, late, odd, suspicious] = table::START_BANDS.map(Ticks::seconds);
    if distance < earliest {
        return match &scene.clock_step {
            Some(sign) => outcome.unknown("a clock that ran evenly", format!("set: {sign}")),
            None => outcome.violation(Severity::Low),
        };
    }
    // A step of the clock never excuses a late start: both stamps are older than any step seen so far.
    if distance <= late {
        outcome.pass()
    } else if distance <= odd {
        outcome.violation(Severity::Low)
    } else if distance <= suspicious {
        outcome.violation(Severity::Medium)
    } else {
        outcome.violation(Severity::High)
    }
}

/// Without System's stamp, as before Vista. The boot time moves when the clock is set, so that it can only confirm.
fn start_by_boot(scene: &Scene<'_>, process: &Process, outcome: Outcome) -> Outcome {
    let machine = &scene.system.machine;
    let clocks = machine.clocks.value().into_iter().flatten();
    let boot = machine.boot.value().copied().or_else(|| clocks.map(|clock| clock.time).next());
    let Some(started) = process.started() else {
        return outcome.unknown("its creation time", describe(&process.created));
    };
    if let Some(boot) = boot {
        let distance = started.since(boot);
        let outcome = outcome.observed(format!("{distance} from the computed boot time"));
        return if (Ticks::seconds(-2)..=Ticks::seconds(60)).contains(&distance) {
            outcome
                .confidence(Confidence::Medium)
                .reason("System has no creation time; the boot time is computed.")
                .pass()
        } else {
            outcome
                .unknown("System's creation time", "not there; the boot time, which moves with the clock, does not fit")
        };
    }
    let after = |name: &str| {
        scene
            .running(name)
            .filter_map(Process::started)
            .map(|at| (at.since(started), name.to_owned()))
            .min_by_key(|(distance, _)| distance.abs())
    };
    let first = after("csrss.exe").into_iter().chain(after("winlogon.exe")).min_by_key(|(distance, _)| distance.abs());
    let outcome = match first {
        Some((distance, name)) => outcome.observed(format!("{name} follows it by {distance}")),
        None => outcome,
    };
    let why = match scene.system_process().map(|system| &system.created) {
        Some(Reading::Nothing) => "zero, as before Vista, and no boot time is known".to_owned(),
        Some(created) => describe(created),
        None => "not in the list".to_owned(),
    };
    outcome.unknown("System's creation time", why)
}

fn not_exited(scene: &Scene<'_>, smss: &Smss<'_>, outcome: Outcome) -> Outcome {
    let process = smss.process;
    let outcome = outcome.expected("never exits");
    match &process.exited {
        Reading::Absent(absent) => match process.threads.value() {
            Some(1..) => outcome.observed("has threads").confidence(Confidence::Medium).pass(),
            _ => outcome.unknown("its exit time", absent),
        },
        Reading::Nothing => outcome.observed("no exit time").seen(process, "exited", None).pass(),
        Reading::Value(at) => {
            let outcome = outcome.observed(format!("exited {at}")).seen(process, "exited", Some(at.to_string()));
            match going_down(scene).filter(|_| process.has_exited()) {
                Some(why) => outcome.guard(why).violation(Severity::Info),
                None => outcome.violation(Severity::High),
            }
        }
    }
}
