//! The processes that others hold handles to.

use super::MAX_FOUND;
use crate::kernel::{Eprocess, Kernel, ObjectTypes};
use crate::process::Process;
use crate::process::found::Found;
use crate::process::look_inside::table;
use crate::{Absent, ListEnd, ProcessList, Reading, VirtualAddress};
use std::collections::BTreeSet;

/// Handles looked at in all: a machine has a million at most, and hostile processes can share one large table.
const MAX_HANDLES: usize = 1 << 23;

/// The processes in the handle tables of System and of csrss.exe, which up to Windows 7 has one for every process of its
/// session; with `all` in those of all processes. A process's handle to itself does not count.
///
/// # Errors
/// The types of objects cannot be told, or no such table could be read.
pub(in crate::process) fn find(kernel: &Kernel<'_>, list: &ProcessList, all: bool) -> Result<Found, Absent> {
    let types = ObjectTypes::read(kernel)?;
    let mut found = Found::by_walk(Vec::new(), ListEnd::Complete);
    let mut seen = BTreeSet::new();
    let (mut tables, mut looked_at) = (0usize, 0usize);
    let taken = |process: &&Process| all || process.pid.value() == Some(&4) || process.is_called("csrss.exe");
    for process in list.items.iter().filter(taken) {
        let Some(own) = process.eprocess.value() else { continue };
        let table = match table(kernel, &Eprocess::read_at(kernel, *own, process.unmapped(kernel))) {
            Reading::Value(table) => table,
            Reading::Nothing => continue,
            Reading::Absent(_) => {
                found.end = found.end.max(ListEnd::Broken);
                continue;
            }
        };
        tables = tables.saturating_add(1);
        found.end = found.end.max(table.end.kind());
        looked_at = looked_at.saturating_add(table.entries.len());
        if looked_at > MAX_HANDLES || found.addresses.len() >= MAX_FOUND {
            found.end = found.end.max(ListEnd::Limit);
            break;
        }
        for entry in &table.entries {
            let body: VirtualAddress = types.body(entry.object)?;
            let room = found.addresses.len() < MAX_FOUND;
            if room && body != *own && !seen.contains(&body) && types.type_of(entry.object) == Ok("Process") {
                seen.insert(body);
                found.addresses.push(body);
            }
        }
    }
    if tables == 0 { Err(Absent::unreadable("no handle table could be read")) } else { Ok(found) }
}
