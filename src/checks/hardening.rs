//! How smss.exe is guarded, and what never touches it: SMSS-013, 014, 015, 023, 026, 027.

use super::scene::{Role, Scene, Smss, describe};
use super::{Confidence, Outcome, Severity, table};
use crate::{Absent, AbsentKind, Process, Reading, VirtualAddress};

pub(super) fn check(scene: &Scene<'_>) -> Vec<Outcome> {
    let of_system = |smss: &Smss<'_>| matches!(smss.role, Role::Master | Role::Claimant);
    let mut outcomes =
        scene.each("SMSS-013", |smss, outcome| protection(scene, smss.process, smss.role == Role::Silo, outcome));
    outcomes.extend(scene.each("SMSS-014", |smss, outcome| wow64(scene, smss.process, outcome)));
    outcomes.extend(scene.each_if("SMSS-015", of_system, |smss, outcome| critical(smss.process, outcome)));
    outcomes.extend(scene.each("SMSS-023", |smss, outcome| windows(smss.process, outcome)));
    outcomes.extend(scene.each("SMSS-026", |smss, outcome| priority(smss.process, outcome)));
    outcomes.extend(scene.each_if("SMSS-027", of_system, |smss, outcome| dynamic_code(scene, smss.process, outcome)));
    outcomes
}

fn is_not_applicable<T>(reading: &Reading<T>) -> bool {
    reading.is_nothing() || reading.absent().is_some_and(|Absent { kind, .. }| *kind == AbsentKind::NotApplicable)
}

/// Also asked of csrss. `lenient`: the value has not been observed for this kind of process.
pub(super) fn protection(scene: &Scene<'_>, process: &Process, lenient: bool, outcome: Outcome) -> Outcome {
    let outcome = outcome.expected("0x61 (WinTcb-Light)");
    if scene.build.is_some_and(|build| build < table::FIRST_PROTECTED) {
        return outcome.not_applicable("Protected processes of this kind came with build 9600.");
    }
    let Some(level) = process.protection.value() else {
        return if scene.build.is_none() && is_not_applicable(&process.protection) {
            outcome.not_applicable("This build has no such field.")
        } else {
            outcome.unknown("EPROCESS.Protection", describe(&process.protection))
        };
    };
    let outcome = outcome.observed(level).seen(process, "protection", Some(level.to_string()));
    if level.0 == table::WIN_TCB_LIGHT {
        outcome.pass()
    } else if scene.build.is_none() {
        outcome.unknown("the build", "not known: before 9600 there was no protection")
    } else if lenient {
        outcome.guard("the protection of a container's processes has not been observed yet").violation(Severity::Info)
    } else if level.0 == 0 {
        outcome.reason("Stripped, or an impostor.").violation(Severity::High)
    } else {
        outcome.violation(Severity::Info)
    }
}

fn wow64(scene: &Scene<'_>, process: &Process, outcome: Outcome) -> Outcome {
    let outcome = outcome.expected("native");
    let arch = scene.system.kernel.as_ref().and_then(|kernel| kernel.arch.as_deref());
    if arch == Some("x86") || is_not_applicable(&process.wow64) {
        return outcome.not_applicable("A 32-bit system.");
    }
    match process.wow64.value() {
        None => outcome.unknown("EPROCESS.WoW64Process", describe(&process.wow64)),
        Some(true) => {
            outcome.observed("32-bit process").seen(process, "wow64", Some("set".into())).violation(Severity::High)
        }
        Some(false) => outcome.observed("native").seen(process, "wow64", Some("null".into())).pass(),
    }
}

fn critical(process: &Process, outcome: Outcome) -> Outcome {
    let outcome = outcome.expected("BreakOnTermination set");
    match process.critical.value() {
        None => outcome.unknown("EPROCESS.Flags", describe(&process.critical)),
        Some(true) => outcome.observed("set").seen(process, "critical", Some("set".into())).pass(),
        Some(false) => {
            outcome.observed("clear").seen(process, "critical", Some("clear".into())).violation(Severity::Medium)
        }
    }
}

fn windows(process: &Process, outcome: Outcome) -> Outcome {
    let outcome = outcome.expected("none");
    if process.has_exited() {
        return outcome.not_applicable("It has exited.");
    }
    match process.win32_process.known() {
        Err(absent) => outcome.unknown("EPROCESS.Win32Process", absent),
        Ok(Some(at)) if *at != VirtualAddress(0) => outcome
            .observed(format!("window manager state at {at}"))
            .seen(process, "win32_process", Some(at.to_string()))
            .violation(Severity::High),
        Ok(_) => outcome
            .observed("no window manager state")
            .seen(process, "win32_process", None)
            .confidence(Confidence::Medium)
            .reason("Sockets were not looked at.")
            .pass(),
    }
}

fn priority(process: &Process, outcome: Outcome) -> Outcome {
    let outcome = outcome.expected("base priority 11, at most 16 threads");
    if process.has_exited() {
        return outcome.not_applicable("It has exited.");
    }
    let (priority, threads) = (process.base_priority.value(), process.threads.value());
    let odd_priority = priority.is_some_and(|priority| *priority != table::BASE_PRIORITY);
    let odd_threads = threads.is_some_and(|threads| *threads > table::MANY_THREADS);
    let outcome = outcome.seen(process, "base_priority", priority.map(ToString::to_string)).seen(
        process,
        "threads",
        threads.map(ToString::to_string),
    );
    let words = |name: &str, value: Option<String>| format!("{name} {}", value.unwrap_or_else(|| "not known".into()));
    let outcome = outcome.observed(format!(
        "{}, {}",
        words("base priority", priority.map(ToString::to_string)),
        words("threads", threads.map(ToString::to_string)),
    ));
    if odd_priority || odd_threads {
        outcome.violation(Severity::Info)
    } else if priority.is_none() {
        outcome.unknown("the base priority", describe(&process.base_priority))
    } else if threads.is_none() {
        outcome.unknown("the number of threads", describe(&process.threads))
    } else {
        outcome.pass()
    }
}

/// Stated by a book and not seen on an image yet: never above info.
fn dynamic_code(scene: &Scene<'_>, process: &Process, outcome: Outcome) -> Outcome {
    let outcome = outcome.expected("DisableDynamicCode set");
    match scene.build {
        Some(build) if build < table::FIRST_WITHOUT_DYNAMIC_CODE => {
            return outcome.not_applicable("smss.exe does so since build 10240.");
        }
        None => return outcome.unknown("the build", "not known"),
        Some(_) => {}
    }
    match process.dynamic_code_disabled.value() {
        None => outcome.unknown("EPROCESS.MitigationFlags", describe(&process.dynamic_code_disabled)),
        Some(true) => outcome.observed("set").seen(process, "dynamic_code_disabled", Some("set".into())).pass(),
        Some(false) => outcome
            .observed("clear")
            .seen(process, "dynamic_code_disabled", Some("clear".into()))
            .violation(Severity::Info),
    }
}
