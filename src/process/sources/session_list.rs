//! `_MM_SESSION_SPACE.ProcessList`: the list of its processes that every session keeps.

use super::{MAX_FOUND, note_ends};
use crate::kernel::{Eprocess, Kernel, SESSION_PROCESSES, list_both_ways};
use crate::process::found::Found;
use crate::{Absent, ListEnd, ProcessList, VirtualAddress, Warning};
use std::collections::BTreeSet;

/// The processes in the lists of all sessions that any process is in.
///
/// # Errors
/// The symbols lack the links.
pub(in crate::process) fn find(
    kernel: &Kernel<'_>,
    list: &ProcessList,
    warnings: &mut Vec<Warning>,
) -> Result<Found, Absent> {
    let layouts = kernel.layouts();
    let links = layouts.process.session_links.ok_or_else(|| Absent::no_symbol("_EPROCESS.SessionProcessLinks"))?;
    let offset = layouts.session.as_ref().map_or(SESSION_PROCESSES, |layout| layout.processes.offset);
    let sessions: BTreeSet<VirtualAddress> = list
        .items
        .iter()
        .filter_map(|process| Eprocess::read(kernel, *process.eprocess.value()?).session_space().value().copied())
        .filter(|session| session.is_kernel())
        .collect();
    let mut found = Found::by_walk(Vec::new(), ListEnd::Complete);
    let mut seen = BTreeSet::new();
    // Shared by all lists: hostile ones could all run along the same links.
    let mut room = MAX_FOUND;
    for session in sessions {
        let joined = list_both_ways(kernel.space(), session.wrapping_add(offset), room, VirtualAddress::is_kernel);
        room = room.saturating_sub(joined.entries.len().saturating_add(1));
        note_ends(&mut found, warnings, &format!("the process list of the session at {session}"), &joined);
        if room == 0 {
            break;
        }
        found.note_one_way(&joined, |entry| Some(entry.wrapping_sub(links.offset)));
        let processes = joined.entries.into_iter().map(|entry| entry.wrapping_sub(links.offset));
        found.addresses.extend(processes.filter(|process| seen.insert(*process)));
    }
    Ok(found)
}
