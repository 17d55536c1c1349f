//! Who started the process: SMSS-001.

use crate::checks::case::Case;
use crate::checks::core::smss::SMSS;
use crate::checks::core::{SYSTEM_PID, StartedBy};
use crate::checks::rule::{About, MASQUERADE, Rule};
use crate::checks::subject::{Role, Subject};
use crate::checks::{Outcome, Severity, Why};
use crate::picture::clock_step_by;
use crate::{Parent, Process, Ticks};

/// SMSS-001: parent is System (4).
pub static PARENT: Rule = Rule {
    id: "SMSS-001",
    title: "parent is System (4)",
    wrong: "parent is neither System nor the master",
    core: true,
    attack: &["T1134.004", MASQUERADE],
    about: About {
        what: "EPROCESS.InheritedFromUniqueProcessId of the master is 4; of a session child and of a container's \
               smss.exe it is the pid of the master, which is not younger than they are.",
        why: "The kernel starts the master from System's context, and only the master starts further smss.exe. A \
               program started by a user, a service or a shell names another parent.",
        benign: "Session children and the smss.exe of server silos have the master as their parent. In part of a list \
               the parent may be missing: not judged then.",
        source: "Windows Internals 7th edition part 1, chapter 2; SANS Hunt Evil poster; Elastic detection rule \
               \"Unusual Parent-Child Relationship\"; 46 public listings.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| parent(case, subject, outcome)),
};

fn parent(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    let Some(ppid) = process.ppid.value() else {
        return outcome.unknown("the parent's pid", Why::no_value(&process.ppid));
    };
    if subject.role == Role::Peer {
        return parent_of_peer(case, subject, *ppid, outcome);
    }
    let outcome = outcome.observed(case.parent_words(subject.at)).seen(process, "ppid", Some(ppid.to_string()));
    match subject.role {
        Role::Master | Role::Claimant if *ppid == SYSTEM_PID => outcome.expected("4 (System)").pass(),
        Role::Child | Role::Silo => {
            let outcome = outcome.expected("4 (System), or the master for a session child");
            match older_than_master(case, process) {
                Some(distance) => outcome
                    .observed(format!("{}, which is {distance} younger", case.parent_words(subject.at)))
                    .seen(process, "created", process.created.value().map(ToString::to_string))
                    .violation(Severity::Medium),
                None => outcome.pass(),
            }
        }
        Role::Undetermined => outcome
            .expected("4 (System), or the master for a session child")
            .unknown("the master, which may be the parent", "not in this part of the list"),
        Role::Master | Role::Claimant => outcome.expected("4 (System)").violation(Severity::High),
        Role::Stranger | Role::Peer => {
            outcome.expected("4 (System), or the master for a session child").violation(Severity::High)
        }
    }
}

/// How much older than the master a session child says that it is. Nobody is older than who started it, unless the clock was
/// set back: then others are, too.
fn older_than_master(case: &Case<'_>, child: &Process) -> Option<Ticks> {
    let distance = case.master()?.process.started()?.since(child.started()?);
    let is_other = |process: &Process| !std::ptr::eq(process, child) && !process.is_called("smss.exe");
    let stepped = || case.clock_step.is_some() && clock_step_by(&case.system.processes.items, is_other).is_some();
    (distance > Ticks::seconds(2) && !stepped()).then_some(distance)
}

/// Of a process that plays the same part as all others of its name.
fn parent_of_peer(case: &Case<'_>, subject: &Subject<'_>, ppid: u64, outcome: Outcome) -> Outcome {
    let words = case.parent_words(subject.at);
    let outcome = outcome.observed(&words).seen(subject.process, "ppid", Some(ppid.to_string()));
    let name = match case.core.parent {
        StartedBy::System => {
            let outcome = outcome.expected("4 (System)");
            return if ppid == SYSTEM_PID { outcome.pass() } else { outcome.violation(Severity::High) };
        }
        StartedBy::Process(name) => name,
        StartedBy::SessionsSmss => SMSS.name,
    };
    let outcome = outcome.expected(name);
    let up = match case.tree.parent(subject.at) {
        Parent::Listed(up) | Parent::Exited(up) => up,
        // Whoever the pid belongs to now did not start it.
        Parent::Vanished(_) | Parent::Reused { .. } if case.core.parent == StartedBy::SessionsSmss => {
            return outcome.pass();
        }
        _ => return outcome.unknown("the parent", format!("not in the list ({words})")),
    };
    let parent = case.system.processes.items.get(up);
    if parent.is_some_and(|parent| parent.is_called(name)) { outcome.pass() } else { outcome.violation(Severity::High) }
}
