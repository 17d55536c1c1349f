//! How many smss.exe run: SMSS-000, 006, 025.

use crate::checks::case::{Case, ImagePath};
use crate::checks::core::SYSTEM_PID;
use crate::checks::rule::{About, MASQUERADE, Rule};
use crate::checks::subject::{Role, Subject};
use crate::checks::{Confidence, Outcome, Severity};
use crate::picture::SessionModel;
use crate::{Liveness, Process, Reading};

/// SMSS-000: master present.
pub static MASTER_PRESENT: Rule = Rule {
    id: "SMSS-000",
    title: "master present",
    wrong: "no live master smss.exe",
    core: true,
    attack: &["T1014"],
    about: About {
        what: "The process list holds a live process whose InheritedFromUniqueProcessId is 4 (System) and whose \
               kernel path is System32\\smss.exe.",
        why: "The master smss.exe is the first process of user mode and never exits while Windows runs; its end \
               stops the machine (CRITICAL_PROCESS_DIED). A list without it hides it, or is no whole list.",
        benign: "A machine that is shutting down, and a crash dump made by the end of smss.exe: graded info. A list \
               that is a part, or has neither System nor csrss.exe, is not judged.",
        source: "Windows Internals 7th edition part 1, chapter 2, Session Manager; public listings of XP to Windows \
               11 24H2.",
    },
    judge: |case, rule| vec![master_present(case, rule)],
};

/// SMSS-006: one live master.
pub static ONE_MASTER: Rule = Rule {
    id: "SMSS-006",
    title: "one live master",
    wrong: "more than one live master smss.exe",
    core: true,
    attack: &[MASQUERADE],
    about: About {
        what: "The live smss.exe that are neither session children (parent: the master) nor a container's are \
               counted: one is right.",
        why: "System starts smss.exe once. A second one that claims System, or anybody else, as its parent is a \
               program that borrowed the name.",
        benign: "Exited session children that are still listed are not counted, nor are live ones, nor the smss.exe \
               of a server silo, whose parent is the master.",
        source: "Windows Internals 7th edition part 1, chapters 2 and 3; SANS Hunt Evil poster; listings of container \
               hosts and terminal servers.",
    },
    judge: |case, rule| vec![one_master(case, rule)],
};

/// SMSS-025: master has not exited.
pub static NOT_EXITED: Rule = Rule {
    id: "SMSS-025",
    title: "master has not exited",
    wrong: "the master smss.exe has exited",
    core: false,
    attack: &[],
    about: About {
        what: "EPROCESS.ExitTime of the master is zero.",
        why: "When the master ends, Windows stops with CRITICAL_PROCESS_DIED or status 0xC000021A. An exit time on \
               a machine that runs on was written by hand, or another process was taken for the master.",
        benign: "A machine that is shutting down (every csrss.exe has exited too), and a crash dump that shows this \
               end: graded info.",
        source: "Windows Internals 6th edition part 2, Smss, Csrss, and Wininit; ReactOS base/system/smss/smss.c.",
    },
    judge: |case, rule| {
        case.each_if(
            rule,
            |subject| subject.role == Role::Master,
            |subject, outcome| not_exited(case, subject, outcome),
        )
    },
};

fn pids<'a>(of: impl Iterator<Item = &'a Process>) -> String {
    let words: Vec<String> =
        of.map(|process| process.pid.value().map_or_else(|| "?".to_owned(), u64::to_string)).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// A machine that is going down, or has: then even the master may be over.
fn going_down(case: &Case<'_>) -> Option<&'static str> {
    let over = |name: &str| {
        let mut rows = case.rows.iter().filter(|(_, process)| process.is_named(name)).peekable();
        rows.peek().is_some() && rows.all(|(_, process)| process.has_exited())
    };
    let crash = case.system.image.as_ref().is_some_and(|image| image.format.starts_with("crash_dump"));
    if over("csrss.exe") {
        Some("every csrss.exe has exited too: the machine is shutting down")
    } else if crash {
        Some("crash dump: the end of smss.exe stops the machine, and the dump shows it")
    } else {
        None
    }
}

fn master_present(case: &Case<'_>, rule: &Rule) -> Outcome {
    let outcome = Outcome::new(rule, None).expected("a live smss.exe started by System (4) from System32");
    if let Some(part) = case.part_reason() {
        return outcome.unknown("the whole process list", part);
    }
    let of_system: Vec<_> =
        case.subjects.iter().filter(|subject| subject.process.ppid.value() == Some(&SYSTEM_PID)).collect();
    let place = |subject: &Subject<'_>| case.image_path(subject.process, case.core.path);
    let placed = |subject: &&&Subject<'_>| matches!(place(subject), ImagePath::Right | ImagePath::Unknown(_));
    if let Some(subject) = of_system.iter().filter(placed).find(|subject| subject.process.is_live()) {
        let outcome = outcome
            .observed(format!("pid {}", pids([subject.process].into_iter())))
            .seen(subject.process, "ppid", subject.process.ppid.value().map(u64::to_string))
            .seen(subject.process, "path", subject.process.path.value().cloned());
        return match place(subject) {
            ImagePath::Right => outcome.pass(),
            // The path has a check of its own; the walk and the parent are what this one needs.
            _ => outcome.confidence(Confidence::Medium).reason("The kernel's path of it is not known.").pass(),
        };
    }
    let unsure = |subject: &&&Subject<'_>| matches!(subject.process.liveness(), Liveness::Unknown(_));
    if let Some(subject) = of_system.iter().filter(placed).find(unsure)
        && let Liveness::Unknown(why) = subject.process.liveness()
    {
        return outcome.unknown("whether the master runs", format!("not told: {why}"));
    }
    if case.subjects.iter().any(|subject| subject.process.ppid.value().is_none() && !subject.process.has_exited()) {
        return outcome.unknown("the parent of every smss.exe", "not known for one of them");
    }
    if case.system_process().is_none() || case.running("csrss.exe").next().is_none() {
        return outcome
            .unknown("a list with System and csrss.exe in it", "without them, so that it can hardly be whole");
    }
    let listed = pids(case.subjects.iter().map(|subject| subject.process));
    let outcome = outcome.observed(format!("no such process; smss.exe listed: {listed}"));
    let exited = of_system.iter().any(|subject| subject.process.has_exited());
    match going_down(case).filter(|_| exited) {
        Some(why) => outcome.guard(why).violation(Severity::Info),
        None => outcome.violation(Severity::High),
    }
}

/// Counts what is neither a session child nor a container's: each of those claims to be the master.
fn one_master(case: &Case<'_>, rule: &Rule) -> Outcome {
    let outcome = Outcome::new(rule, None).expected("1");
    let of = |fits: &dyn Fn(&Subject<'_>) -> bool| -> Vec<&Process> {
        case.subjects.iter().filter(|subject| fits(subject)).map(|subject| subject.process).collect()
    };
    let counted = |subject: &Subject<'_>| match subject.role {
        Role::Master | Role::Claimant | Role::Stranger => true,
        // XP and 2003 have no session children.
        Role::Child => case.model == SessionModel::Master,
        Role::Silo | Role::Undetermined | Role::Peer => false,
    };
    let live = of(&|subject| counted(subject) && subject.process.is_live());
    let maybe =
        of(&|subject| (counted(subject) || subject.role == Role::Undetermined) && !subject.process.has_exited());
    let beside = |role: Role, word: &str| {
        let number = case.subjects.iter().filter(|subject| subject.role == role).count();
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
    if let Some(part) = case.part_reason() {
        return outcome.unknown("the whole process list", part);
    }
    if let Some(unread) = case.unread() {
        return outcome.unknown("every process that sources lead to", unread);
    }
    match maybe.as_slice() {
        [] => outcome.unknown("a master to count", "not in the list"),
        [_] if case.master().is_some_and(|master| !master.process.has_exited()) => outcome.pass(),
        [_] => outcome.unknown("the part that the one smss.exe plays", "not known: its parent is not"),
        _ => outcome.unknown("whether each of them runs as a master", "not known for all"),
    }
}

fn not_exited(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    let outcome = outcome.expected("never exits");
    match &process.exited {
        Reading::Absent(absent) => match process.threads.value() {
            Some(1..) => outcome.observed("has threads").confidence(Confidence::Medium).pass(),
            _ => outcome.unknown("its exit time", absent),
        },
        Reading::Nothing => outcome.observed("no exit time").seen(process, "exited", None).pass(),
        Reading::Value(at) => {
            let outcome = outcome.observed(format!("exited {at}")).seen(process, "exited", Some(at.to_string()));
            match going_down(case).filter(|_| process.has_exited()) {
                Some(why) => outcome.guard(why).violation(Severity::Info),
                None => outcome.violation(Severity::High),
            }
        }
    }
}
