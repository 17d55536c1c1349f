//! When the process started: SMSS-012.

use crate::checks::case::Case;
use crate::checks::rule::{About, MASQUERADE, Rule};
use crate::checks::subject::{Role, Subject};
use crate::checks::{Confidence, Outcome, Severity, Why};
use crate::{Process, Reading, Ticks};

/// SMSS-012: started within seconds of the boot.
pub static START: Rule = Rule {
    id: "SMSS-012",
    title: "started within seconds of the boot",
    wrong: "not started with the machine",
    core: true,
    attack: &[MASQUERADE],
    about: About {
        what: "EPROCESS.CreateTime of the master is between 2 seconds before and 10 seconds after that of System. \
               Up to 60 seconds it is low, up to 600 medium, later high. The oldest of its threads \
               started with it. Before Vista System has no creation time and the computed boot time is used.",
        why: "The kernel starts the master at the end of its own start, before anything that takes time. A program \
               that was started later, by a user or a task, cannot have this time.",
        benign: "File system checks and servicing delay what smss.exe starts, not smss.exe. A clock that was set back \
               explains a time before System's, never one after it. After hibernation and fast startup both times \
               are those of the last full boot.",
        source: "Distances of 0 to 2 seconds in 46 public listings; 31 ms where milliseconds were recorded.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| start(case, subject, outcome)),
};

fn start(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    match subject.role {
        Role::Child | Role::Silo => return outcome.not_applicable("It starts with its session, not with the machine."),
        Role::Undetermined => return outcome.unknown("the part it plays", "not known: its parent is not"),
        Role::Master | Role::Claimant | Role::Stranger | Role::Peer => {}
    }
    let Some(bands) = case.core.start else {
        return outcome.not_applicable("It may start at any time.");
    };
    let [from, to, ..] = bands;
    let outcome = outcome.expected(format!("System's start, {from} s to +{to} s"));
    let Some(started) = process.started() else {
        return outcome.unknown("its creation time", Why::no_value(&process.created));
    };
    let outcome = outcome.seen(process, "created", Some(started.to_string()));
    let Some(system) = case.system_process() else {
        return outcome.unknown("System's creation time", "not in the list");
    };
    let Some(anchor) = system.started() else { return start_by_boot(case, process, outcome) };
    let distance = started.since(anchor);
    let outcome =
        outcome.observed(format!("{distance} from System's start")).seen(system, "created", Some(anchor.to_string()));
    let [earliest, late, odd, suspicious] = bands.map(Ticks::seconds);
    if distance < earliest {
        return match &case.clock_step {
            Some(sign) => outcome.unknown("a clock that ran evenly", format!("set: {sign}")),
            None => outcome.violation(Severity::Low),
        };
    }
    // Its first thread is made with it and waits for ever: the stamp of the process is confirmed by one that lies elsewhere.
    let (distance, outcome) = match process.oldest_thread().map(|thread| thread.since(anchor)) {
        Some(of_thread) if of_thread > late && distance <= late && subject.role != Role::Peer => {
            let thread =
                process.own_threads().find(|thread| thread.created.value() == process.oldest_thread().as_ref());
            let address = thread.map_or(Reading::Nothing, |thread| thread.address.clone());
            let words =
                format!("{distance} from System's start by its own stamp, {of_thread} by that of its oldest thread");
            let text = process.oldest_thread().map(|at| at.to_string());
            (of_thread, outcome.observed(words).seen_at(process, "_ETHREAD", "CreateTime", &address, text))
        }
        _ => (distance, outcome),
    };
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
fn start_by_boot(case: &Case<'_>, process: &Process, outcome: Outcome) -> Outcome {
    let machine = &case.system.machine;
    let clocks = machine.clocks.value().into_iter().flatten();
    let boot = machine.boot.value().copied().or_else(|| clocks.map(|clock| clock.time).next());
    let Some(started) = process.started() else {
        return outcome.unknown("its creation time", Why::no_value(&process.created));
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
        case.running(name)
            .filter_map(Process::started)
            .map(|at| (at.since(started), name.to_owned()))
            .min_by_key(|(distance, _)| distance.abs())
    };
    let first = after("csrss.exe").into_iter().chain(after("winlogon.exe")).min_by_key(|(distance, _)| distance.abs());
    let outcome = match first {
        Some((distance, name)) => outcome.observed(format!("{name} follows it by {distance}")),
        None => outcome,
    };
    let why = match case.system_process().map(|system| &system.created) {
        Some(Reading::Nothing) => Why::from("zero, as before Vista, and no boot time is known"),
        Some(created) => Why::no_value(created),
        None => "not in the list".into(),
    };
    outcome.unknown("System's creation time", why)
}
