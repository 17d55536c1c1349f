//! `EPROCESS.MmProcessLinks`: the memory manager's own list of the processes that have an address space. Whoever takes a
//! process off the active list seldom thinks of this one.

use super::note_ends;
use crate::kernel::find::pe::sections;
use crate::kernel::{Kernel, PROCESS_OBJECT, list_both_ways};
use crate::process::found::Found;
use crate::process::list::MAX_PROCESSES;
use crate::{Absent, ListEnd, VirtualAddress, Warning};

/// The processes of the ring that System is in. Where its head lies differs from build to build (`MmProcessList`, `MiState`),
/// so that the ring is walked from System's own links; the head is then the one entry that is no process.
///
/// # Errors
/// Nobody else is in the ring; the symbols lack the links or `PsInitialSystemProcess`, or that cannot be read.
pub(in crate::process) fn find(kernel: &Kernel<'_>, warnings: &mut Vec<Warning>) -> Result<Found, Absent> {
    let layout = &kernel.layouts().process;
    let links = layout.mm_links.ok_or_else(|| Absent::no_symbol("_EPROCESS.MmProcessLinks"))?;
    let kind = layout.header_type.ok_or_else(|| Absent::no_symbol("_KPROCESS.Header.Type"))?;
    let space = kernel.space();
    let system = space.read_pointer(kernel.global("PsInitialSystemProcess")?)?;
    if !system.is_kernel() {
        return Err(Absent::unparsable(format!("PsInitialSystemProcess is {system}")));
    }
    let joined = list_both_ways(space, system.wrapping_add(links.offset), MAX_PROCESSES, VirtualAddress::is_kernel);
    let mut found = Found::by_walk(vec![system], ListEnd::Complete);
    note_ends(&mut found, warnings, "the memory manager's list of processes", &joined);
    found.note_one_way(&joined, |entry| Some(entry.wrapping_sub(links.offset)));
    let size = sections(space, kernel.base()).map_or(0, |(size, _)| size);
    let in_image = |entry: VirtualAddress| entry.0.wrapping_sub(kernel.base().0) < size;
    let is_process = |entry: VirtualAddress| {
        let process = entry.wrapping_sub(links.offset);
        space.read_array(process.wrapping_add(kind.offset)) == Ok([PROCESS_OBJECT])
    };
    // It lies among the kernel's data, or in the pool: then a process that was lost is told from it by its links, which lead nowhere.
    let is_linked = |entry: VirtualAddress| {
        let back = |own: u64, theirs: u64| {
            let next = space.read_pointer(entry.wrapping_add(own));
            next.and_then(|next| space.read_pointer(next.wrapping_add(theirs))) == Ok(entry)
        };
        back(0, 8) || back(8, 0)
    };
    let others = || joined.entries.iter().filter(|entry| !is_process(**entry));
    let head = others().find(|entry| in_image(**entry)).or_else(|| others().find(|entry| is_linked(**entry)));
    let processes = joined.entries.iter().filter(|entry| Some(*entry) != head && entry.0.is_multiple_of(8));
    found.addresses.extend(processes.map(|entry| entry.wrapping_sub(links.offset)));
    if found.addresses.len() <= 1 {
        return Err(Absent::not_applicable("nobody but System is in it: it is not kept here"));
    }
    Ok(found)
}
