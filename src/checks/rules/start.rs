//! When the process started: SMSS-012.

use crate::checks::case::Case;
use crate::checks::rule::{About, MASQUERADE, Rule};
use crate::checks::subject::{Role, Subject};
use crate::checks::{Confidence, Outcome, Severity, Why};
use crate::picture::{Discord, between, discords};
use crate::{AbsentKind, Process, Reading, Ticks};

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
               started with it. The same is asked of CreateInterruptTime (8.1 and later), which no step of the clock \
               moves; where the two disagree for this process alone, the later one counts. Before Vista System has no \
               creation time and the computed boot time is used.",
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
    let outcome = outcome.seen(system, "created", Some(anchor.to_string()));
    let (distance, words) = distance(case, system, process, started.since(anchor));
    let outcome = match process.created_interrupt.value() {
        Some(since) if words.is_some() => outcome.seen(process, "created_interrupt", Some(since.to_string())),
        _ => outcome,
    };
    let outcome = outcome.observed(words.unwrap_or_else(|| format!("{distance} from System's start")));
    let [earliest, late, odd, suspicious] = bands.map(Ticks::seconds);
    if distance < earliest {
        return match &case.clock_step {
            Some(sign) => outcome.unknown("a clock that ran evenly", format!("set: {sign}")),
            None => outcome.violation(Severity::Low),
        };
    }
    // Its first thread is made with it and waits for ever: the stamp of the process is confirmed by one that lies elsewhere.
    let (distance, outcome) = match process.oldest_thread().map(|thread| after(distance, thread.since(started))) {
        Some(of_thread) if of_thread > late && distance <= late && subject.role != Role::Peer => {
            let thread =
                process.own_threads().find(|thread| thread.created.value() == process.oldest_thread().as_ref());
            let place = thread.map_or((&Reading::Nothing, None), |thread| thread.at("created"));
            let words =
                format!("{distance} from System's start by its own stamp, {of_thread} by that of its oldest thread");
            let text = process.oldest_thread().map(|at| at.to_string());
            (of_thread, outcome.observed(words).seen_at(process, "_ETHREAD", "CreateTime", place, text))
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

/// Two spans of time, one after the other.
const fn after(one: Ticks, other: Ticks) -> Ticks {
    Ticks(one.0.saturating_add(other.0))
}

/// How long after System it was made, and the words for it where the two clocks differ.
fn distance(case: &Case<'_>, system: &Process, process: &Process, by_clock: Ticks) -> (Ticks, Option<String>) {
    /// Both stamps are taken within the same moment; time servers correct a clock by less at a time.
    const TOGETHER: Ticks = Ticks::seconds(2);
    let Some(by_interrupt) = between(system, process) else { return (by_clock, None) };
    if Ticks(by_clock.0.saturating_sub(by_interrupt.0)).abs() <= TOGETHER {
        return (by_clock, None);
    }
    let items = &case.system.processes.items;
    let is_odd = |of: &Process| {
        discords(case.system).iter().any(|odd| items.get(odd.at).is_some_and(|item| std::ptr::eq(item, of)))
    };
    let words = format!("{by_clock} from System's start by CreateTime, {by_interrupt} by CreateInterruptTime");
    if is_odd(process) || is_odd(system) {
        return (by_clock.max(by_interrupt), Some(words));
    }
    (by_interrupt, Some(format!("{words}: the clock was set")))
}

/// SYS-04: the two stamps of a process's creation agree.
pub static TWO_STAMPS: Rule = Rule {
    id: "SYS-04",
    title: "CreateTime agrees with CreateInterruptTime",
    wrong: "a creation time that was written over",
    core: false,
    attack: &["T1070.006"],
    about: About {
        what: "EPROCESS.CreateTime less EPROCESS.CreateInterruptTime (8.1 and later, updated 7) is when the system was started. A process \
               for which it is more than 5 seconds from what it is for the processes made just before and just after it, which \
               agree with one another, has one of the two written over.",
        why: "The kernel stamps both within the same moment. A step of the clock changes the difference for all that is made \
              after it, not for one process.",
        benign: "A clock that was set and set back while this one process was made: low.",
        source: "58 triage dumps of real kernels: 0.00 to 0.01 s apart in 55, in the others for all that came after a step.",
    },
    judge: two_stamps,
};

fn two_stamps(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let items = &case.system.processes.items;
    let one = |odd: &Discord| {
        let process = items.get(odd.at)?;
        let created = process.started().map(|at| at.to_string());
        Some(
            Outcome::about(rule, process)
                .observed(format!("CreateTime is {} from what CreateInterruptTime says", odd.by))
                .expected("both say the same")
                .seen(process, "created", created)
                .seen(process, "created_interrupt", process.created_interrupt.value().map(u64::to_string))
                .confidence(Confidence::Medium)
                .violation(Severity::Low),
        )
    };
    let mut outcomes: Vec<Outcome> = discords(case.system).iter().filter_map(one).collect();
    if outcomes.is_empty() {
        let outcome = Outcome::new(rule, None).expected("both say the same");
        let number = items.iter().filter(|process| process.created_interrupt.value().is_some()).count();
        let lacking = items.iter().find_map(|process| process.created_interrupt.absent());
        let lacking = lacking.filter(|absent| absent.kind != AbsentKind::NotCollected);
        outcomes.push(match (number, lacking) {
            (0, Some(absent)) => outcome.unknown("EPROCESS.CreateInterruptTime", absent),
            (0, None) => outcome.not_applicable("No process has a CreateInterruptTime, which came with 8.1."),
            (number, _) => outcome.observed(format!("{number} processes have both")).pass(),
        });
    }
    outcomes
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
