//! `EJOB.ProcessListHead`: the processes of each job. Jobs are found by the processes in them, by the jobs around them, by the
//! chain of all jobs, and by their ids.

use super::{MAX_FOUND, note_ends};
use crate::kernel::{Kernel, ObjectTypes, list_both_ways};
use crate::process::found::Found;
use crate::{Absent, ListEnd, ProcessList, VirtualAddress, Warning};
use std::collections::BTreeSet;

/// Jobs that are looked at: a browser has a few dozen, a container host a few thousand.
const MAX_JOBS: usize = 1 << 14;

/// The processes in the lists of all jobs. `numbered`: objects that have an id and are neither process nor thread.
///
/// # Errors
/// The symbols lack a structure or a field.
pub(in crate::process) fn find(
    kernel: &Kernel<'_>,
    list: &ProcessList,
    numbered: &[VirtualAddress],
    warnings: &mut Vec<Warning>,
) -> Result<Found, Absent> {
    let layouts = kernel.layouts();
    let links = layouts.process.job_links.ok_or_else(|| Absent::no_symbol("_EPROCESS.JobLinks"))?;
    let layout = layouts.job.as_ref()?;
    let head = layout.processes.ok_or_else(|| Absent::no_symbol("_EJOB.ProcessListHead"))?;
    let space = kernel.space();
    let mut found = Found::by_walk(Vec::new(), ListEnd::Complete);
    let mut seen = BTreeSet::new();
    // Shared by all lists: hostile ones could all run along the same links.
    let mut room = MAX_FOUND;
    for job in jobs(kernel, list, numbered, &mut found.end)? {
        let joined = list_both_ways(space, job.wrapping_add(head.offset), room, VirtualAddress::is_kernel);
        room = room.saturating_sub(joined.entries.len().saturating_add(1));
        note_ends(&mut found, warnings, &format!("the process list of the job at {job}"), &joined);
        if room == 0 {
            break;
        }
        found.note_one_way(&joined, |entry| Some(entry.wrapping_sub(links.offset)));
        let processes = joined.entries.into_iter().map(|entry| entry.wrapping_sub(links.offset));
        found.addresses.extend(processes.filter(|process| seen.insert(*process)));
    }
    Ok(found)
}

/// Every job that can be come to, in the order of addresses.
fn jobs(
    kernel: &Kernel<'_>,
    list: &ProcessList,
    numbered: &[VirtualAddress],
    end: &mut ListEnd,
) -> Result<BTreeSet<VirtualAddress>, Absent> {
    let layout = kernel.layouts().job.as_ref()?;
    let space = kernel.space();
    let of_processes: Vec<VirtualAddress> =
        list.items.iter().filter_map(|process| process.job.value().copied()).filter(|job| job.is_kernel()).collect();
    if of_processes.is_empty() && numbered.is_empty() {
        return Ok(BTreeSet::new());
    }
    let types = ObjectTypes::read(kernel)?;
    let is_job = |job: VirtualAddress| types.header(job).and_then(|header| types.type_of(header)) == Ok("Job");
    let mut jobs: BTreeSet<VirtualAddress> = BTreeSet::new();
    let mut open: Vec<VirtualAddress> = numbered.iter().chain(&of_processes).copied().collect();
    // The chain of all jobs runs through each of them; its head is no job.
    let mut chained = false;
    while let Some(job) = open.pop() {
        if jobs.len() >= MAX_JOBS {
            *end = (*end).max(ListEnd::Limit);
            break;
        }
        if jobs.contains(&job) || !is_job(job) {
            continue;
        }
        jobs.insert(job);
        let parent = layout.parent.and_then(|parent| space.read_pointer(job.wrapping_add(parent.offset)).ok());
        open.extend(parent.filter(|parent| parent.is_kernel()));
        if let Some(links) = layout.links.filter(|_| !chained) {
            let chain = list_both_ways(space, job.wrapping_add(links.offset), MAX_JOBS, VirtualAddress::is_kernel);
            chained = !chain.entries.is_empty();
            open.extend(chain.entries.into_iter().map(|entry| entry.wrapping_sub(links.offset)));
        }
    }
    Ok(jobs)
}
