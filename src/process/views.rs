//! Where else processes are kept than in the active list, and what that adds to it.

use super::Process;
use super::found::Found;
use super::list;
use super::read_ahead;
use super::source::{SOURCES, Source};
use super::sources::cid_table::Ids;
use super::sources::{Looking, cid_table};
use crate::budget::{Budget, Use};
use crate::kernel::{Eprocess, Kernel, PROCESS_OBJECT};
use crate::reading::record;
use crate::{Absent, AbsentKind, ListEnd, ProcessList, Reading, VirtualAddress, Warning};
use std::collections::HashMap;

record! {
    /// One view of the processes beside the active list: how much it held, or why it could not be had.
    pub struct ProcessView {
        /// Processes it holds.
        processes: u64,
        /// How the walk ended.
        end: ListEnd,
        ;
        /// The source.
        source: Source,
    }
}

/// Reads every source that takes no scan, and adds what is in it and not in `list`. Sources are added to what is in both. Handle
/// tables of all processes are searched with `thorough` only: there can be a million handles. Gives the table of ids.
pub(crate) fn add(
    kernel: &Kernel<'_>,
    budget: &Budget,
    list: &mut ProcessList,
    warnings: &mut Vec<Warning>,
    thorough: bool,
) -> Result<Ids, Absent> {
    let ids = cid_table::read(kernel, warnings);
    for (address, why) in ids.iter().flat_map(|ids| &ids.lost) {
        // A job has an id too.
        if !list.items.iter().any(|process| process.job.value() == Some(address)) {
            list.note_unread(*address, Source::CidTable, why);
        }
    }
    for about in &SOURCES {
        let Some(find) = about.find else { continue };
        let found = find(&mut Looking { kernel, list, ids: &ids, thorough, warnings });
        merge(kernel, budget, list, warnings, about.source, found);
    }
    ids
}

/// Adds what a search of physical memory found and is not in `list`.
pub(crate) fn add_by_scan(
    kernel: &Kernel<'_>,
    budget: &Budget,
    list: &mut ProcessList,
    warnings: &mut Vec<Warning>,
    processes: Result<Found, Absent>,
    carved: Found,
    threads: Result<Found, Absent>,
) {
    merge(kernel, budget, list, warnings, Source::PoolScan, processes);
    if !carved.addresses.is_empty() {
        let message = format!(
            "{} processes are told by nothing but their values in memory: the kernel maps nothing where they say that they lie, and the \
             types of its objects cannot be read. They may be of an earlier boot or of a guest",
            carved.addresses.len()
        );
        warnings.push(Warning::new("processes", message));
        merge(kernel, budget, list, warnings, Source::Carved, Ok(carved));
    }
    merge(kernel, budget, list, warnings, Source::ThreadScan, threads);
}

/// Adds the processes of one view, and the view's own record.
pub(super) fn merge(
    kernel: &Kernel<'_>,
    budget: &Budget,
    list: &mut ProcessList,
    warnings: &mut Vec<Warning>,
    source: Source,
    found: Result<Found, Absent>,
) {
    let mut view = ProcessView { source, ..ProcessView::default() };
    match found {
        Ok(found) => {
            let held = add_found(kernel, budget, list, warnings, source, &found);
            for address in &found.one_way {
                list.note_one_way(*address, source);
            }
            for address in &found.lost {
                list.note_unread(*address, source, list::NO_PROCESS);
                let message = format!("{source} leads to {address}, where no process is; what stood there is lost");
                warnings.push(Warning::new("processes", message));
            }
            view.processes = Reading::Value(held);
            view.end = Reading::Value(found.end);
        }
        Err(absent) => {
            // What a build or its symbols lack, and that a list is empty which Windows keeps for its own ends, the view says.
            let lacks = matches!(absent.kind, AbsentKind::NoSymbol | AbsentKind::NotApplicable);
            if !lacks && !source.about().is_some_and(|about| about.may_be_empty) {
                warnings.push(Warning::new("processes", format!("no processes by {source}: {absent}")));
            }
            view.processes = Reading::Absent(absent.clone());
            view.end = Reading::Absent(absent);
        }
    }
    list.views.push(view);
}

/// Sources whose every entry is a process.
const OF_PROCESSES_ALONE: [Source; 5] =
    [Source::CidTable, Source::SessionList, Source::MmList, Source::Threads, Source::HandleTables];

/// Returns the number of processes among what was found.
fn add_found(
    kernel: &Kernel<'_>,
    budget: &Budget,
    list: &mut ProcessList,
    warnings: &mut Vec<Warning>,
    source: Source,
    found: &Found,
) -> u64 {
    let known: HashMap<VirtualAddress, usize> = list
        .items
        .iter()
        .enumerate()
        .filter_map(|(index, process)| Some((*process.eprocess.value()?, index)))
        .collect();
    if source == Source::Threads && found.end == ListEnd::Complete {
        for process in &mut list.items {
            let threads = process.eprocess.value().and_then(|address| found.threads.get(address));
            process.numbered_threads = Reading::Value(threads.copied().unwrap_or(0));
        }
    }
    let idle = idle_process(kernel);
    let mut held = 0u64;
    let addresses: Vec<VirtualAddress> =
        found.addresses.iter().copied().filter(|address| idle != Some(*address)).collect();
    let new: Vec<VirtualAddress> = addresses.iter().copied().filter(|address| !known.contains_key(address)).collect();
    let mut batches = new.chunks(read_ahead::BATCH);
    let mut ahead = HashMap::new();
    for address in &addresses {
        if list.items.len() >= list::MAX_PROCESSES {
            warnings
                .push(Warning::new("processes", format!("what else {source} holds is left out: too many processes")));
            break;
        }
        if let Some(process) = known.get(address).and_then(|index| list.items.get_mut(*index)) {
            process.sources.push(source);
            held = held.saturating_add(1);
            continue;
        }
        if ahead.is_empty() && !budget.is_spent(Use::Details) {
            let batch = batches.next().unwrap_or_default();
            ahead = batch.iter().copied().zip(read_ahead::read(kernel, source, found, batch)).collect();
        }
        let ready = ahead.remove(address).flatten();
        let process = Eprocess::read_at(kernel, *address, found.places.get(address).copied());
        match is_process(&process, found) {
            Ok(true) if idle.is_none() && is_like_idle(&process) => {}
            Ok(true) => {
                let Some(process) = Process::taken(budget, &process, source, || {
                    ready.map_or_else(|| Process::read(kernel, &process, source), |ready| *ready)
                }) else {
                    list.end = list.end.max(Some(ListEnd::Limit));
                    let message = format!("what else {source} holds is left out: too many processes");
                    warnings.push(Warning::new("processes", message));
                    break;
                };
                list.items.push(process);
                held = held.saturating_add(1);
            }
            Ok(false) => {
                // What a handle or a job leads to may be anything.
                if OF_PROCESSES_ALONE.contains(&source) {
                    list.note_unread(*address, source, list::NO_PROCESS);
                }
                let message = format!("{source} leads to {address}, where no process is; what stood there is lost");
                warnings.push(Warning::new("processes", message));
            }
            Err(Absent { detail, .. }) => {
                list.note_unread(*address, source, &detail);
                let message = format!("the process at {address} is in {source} and cannot be read: {detail}");
                warnings.push(Warning::new("processes", message));
            }
        }
    }
    held
}

/// Whether a process is there. Other lists have heads and members that are none: here one must also say that it is one.
///
/// # Errors
/// What it takes to tell cannot be read.
pub(super) fn is_process(process: &Eprocess<'_>, found: &Found) -> Result<bool, Absent> {
    Ok(process.is_plausible()? && (found.judged || process.object_kind()? == PROCESS_OBJECT))
}

/// The process of the idle threads, which is no process: some lists have it, and lists for people do not.
fn idle_process(kernel: &Kernel<'_>) -> Option<VirtualAddress> {
    kernel.space().read_pointer(kernel.global("PsIdleProcess").ok()?).ok()
}

/// The same by its values, where the symbols do not tell: it has no id, and nobody made it.
fn is_like_idle(process: &Eprocess<'_>) -> bool {
    process.pid() == Ok(0) && process.ppid() == Ok(0) && process.created().is_nothing()
}
