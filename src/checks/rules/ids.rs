//! Whether the id of a process that runs is its own: a part of SMSS-021.

use crate::checks::case::Case;
use crate::checks::core::SYSTEM_PID;
use crate::checks::rule::Rule;
use crate::checks::{Outcome, Severity};
use crate::process::PID_END;
use crate::{Process, VirtualAddress};

/// What the kernel gives as ids.
const EXPECTED: &str = "a multiple of 4 above 0 and below 2^26, as PspCidTable gives ids, which its threads bear too";

/// Processes that run under an id that none can have, that is System's, or that their own threads do not bear.
pub(super) fn not_their_own(case: &Case<'_>, rule: &Rule) -> Vec<Outcome> {
    // Where no process's threads bear its id, the place of the id in a thread was not understood.
    let is_read =
        case.processes().any(|process| threads_id(process).is_some_and(|id| Some(&id) == process.pid.value()));
    let outcome = |process: &Process| {
        let pid = *process.pid.value()?;
        let of_threads = threads_id(process).filter(|id| is_read && *id != pid);
        let others = pid == SYSTEM_PID && case.system_process().is_some_and(|system| !std::ptr::eq(system, process));
        let name = process.name.value().map_or("?", String::as_str);
        if let Some(id) = of_threads.filter(|id| pid >= PID_END && (id ^ pid).count_ones() == 1) {
            // A bit of memory that turned does that; as an id of somebody else's it would mislead nobody.
            let why = format!("contradicted: it is {pid:#x}, and its threads bear {id:#x}, which differs by one bit");
            return Some(Outcome::about(rule, process).expected(EXPECTED).unknown(format!("the id of {name}"), why));
        }
        let words = match of_threads {
            Some(id) => format!("{name} bears pid {pid:#x}, and its threads bear {id} ({id:#x})"),
            None if others => format!("{name} bears pid {pid}, which is System's"),
            None if is_none(pid) => format!("{name} bears pid {pid:#x}"),
            None => return None,
        };
        let outcome = Outcome::about(rule, process).observed(words).expected(EXPECTED);
        let outcome = outcome.seen(process, "pid", Some(pid.to_string()));
        Some(outcome.violation(Severity::High))
    };
    let told = case.processes().filter(|process| process.is_live() && is_told(case, process));
    told.filter_map(outcome).collect()
}

/// Ids are multiples of 4, and the table that gives them has room for 2^24; its first place stays empty.
const fn is_none(pid: u64) -> bool {
    pid == 0 || pid >= PID_END || !pid.is_multiple_of(4)
}

/// Rows that a search alone found, or a tool's list that does not say how, may be what is left of a process.
fn is_told(case: &Case<'_>, process: &Process) -> bool {
    process.is_named(case.core.name) || !process.sources.is_empty() && !process.is_known_by_object_alone()
}

/// The process id that all threads bear which name this process as theirs by its address. `None`: there are none, or they differ.
fn threads_id(process: &Process) -> Option<u64> {
    let own: VirtualAddress = *process.eprocess.value()?;
    let threads = process.own_threads().filter(|thread| thread.owner.value() == Some(&own));
    // Of no process but Idle is the id 0: such a thread was overwritten.
    let mut ids = threads.filter_map(|thread| thread.pid.value().copied()).filter(|id| *id != 0);
    let first = ids.next()?;
    ids.all(|other| other == first).then_some(first)
}
