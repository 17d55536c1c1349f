//! Where else processes are kept than in the active list, and what that adds to it.

use super::found::Found;
use super::{list, look_inside};
use crate::kernel::{Eprocess, Kernel, PROCESS_OBJECT, WalkEnd, handles, list_both_ways};
use crate::reading::record;
use crate::{Absent, ListEnd, ProcessList, Reading, VirtualAddress, Warning};
use std::collections::{BTreeSet, HashMap};

record! {
    /// One view of the processes beside the active list: how much it held, or why it could not be had.
    pub struct ProcessView {
        /// Processes it holds.
        processes: u64,
        /// How the walk ended.
        end: ListEnd,
        ;
        /// The name that [`Process::sources`](super::Process::sources) has for it: `cid_table`, `session_list` ...
        source: String,
    }
}

/// `PspCidTable`: the table that gives processes and threads their ids.
const CID_TABLE: &str = "cid_table";
/// The list of processes that every session keeps.
const SESSION_LIST: &str = "session_list";
/// The handles that csrss.exe holds.
const HANDLES: &str = "handles";
/// Process objects that a search of physical memory finds.
const POOL_SCAN: &str = "pool_scan";
/// Processes of the thread objects that it finds.
const THREAD_SCAN: &str = "thread_scan";

/// All sessions together have fewer processes than this. It is shared by their lists: hostile ones could all run along the same
/// links.
const MAX_IN_SESSIONS: usize = 1 << 16;

/// Reads every view that takes no scan, and adds what is in it and not in `list`. Sources are added to what is in both.
pub(crate) fn add(kernel: &Kernel<'_>, list: &mut ProcessList, warnings: &mut Vec<Warning>) {
    let cid = cid_table(kernel, warnings);
    merge(kernel, list, warnings, CID_TABLE, cid);
    let sessions = session_lists(kernel, list, warnings);
    merge(kernel, list, warnings, SESSION_LIST, sessions);
    let handles = look_inside::by_csrss(kernel, list);
    merge(kernel, list, warnings, HANDLES, handles);
}

/// Adds what a search of physical memory found and is not in `list`.
pub(crate) fn add_by_scan(
    kernel: &Kernel<'_>,
    list: &mut ProcessList,
    warnings: &mut Vec<Warning>,
    processes: Result<Found, Absent>,
    threads: Result<Found, Absent>,
) {
    merge(kernel, list, warnings, POOL_SCAN, processes);
    merge(kernel, list, warnings, THREAD_SCAN, threads);
}

/// Adds the processes of one view, and the view's own record.
pub(super) fn merge(
    kernel: &Kernel<'_>,
    list: &mut ProcessList,
    warnings: &mut Vec<Warning>,
    source: &str,
    found: Result<Found, Absent>,
) {
    let mut view = ProcessView { source: source.to_owned(), ..ProcessView::default() };
    match found {
        Ok(found) => {
            let held = add_found(kernel, list, warnings, source, &found);
            view.processes = Reading::Value(held);
            view.end = Reading::Value(found.end);
        }
        Err(absent) => {
            warnings.push(Warning::new("processes", format!("no processes by {source}: {absent}")));
            view.processes = Reading::Absent(absent.clone());
            view.end = Reading::Absent(absent);
        }
    }
    list.views.push(view);
}

/// Returns the number of processes among what was found.
fn add_found(
    kernel: &Kernel<'_>,
    list: &mut ProcessList,
    warnings: &mut Vec<Warning>,
    source: &str,
    found: &Found,
) -> u64 {
    let known: HashMap<VirtualAddress, usize> = list
        .items
        .iter()
        .enumerate()
        .filter_map(|(index, process)| Some((*process.eprocess.value()?, index)))
        .collect();
    let mut held = 0u64;
    for address in &found.addresses {
        if list.items.len() >= list::MAX_PROCESSES {
            warnings
                .push(Warning::new("processes", format!("what else {source} holds is left out: too many processes")));
            break;
        }
        if let Some(process) = known.get(address).and_then(|index| list.items.get_mut(*index)) {
            process.sources.push(source.to_owned());
            held = held.saturating_add(1);
            continue;
        }
        let process = Eprocess::read_at(kernel, *address, found.places.get(address).copied());
        // Other lists have heads and members that are no processes: here one must also say that it is one.
        let plausible = process
            .is_plausible()
            .and_then(|plausible| Ok(plausible && (found.judged || process.object_kind()? == PROCESS_OBJECT)));
        match plausible {
            Ok(true) => {
                list.items.push(list::read(kernel, &process, source));
                held = held.saturating_add(1);
            }
            Ok(false) => warnings.push(Warning::new(
                "processes",
                format!("{source} leads to {address}, where no process is; what stood there is lost"),
            )),
            Err(Absent { detail, .. }) => warnings.push(Warning::new(
                "processes",
                format!("the process at {address} is in {source} and cannot be read: {detail}"),
            )),
        }
    }
    held
}

fn warn_of_end(warnings: &mut Vec<Warning>, what: &str, end: WalkEnd) {
    if end.kind() != ListEnd::Complete {
        warnings.push(Warning::new("processes", format!("{what} {end}")));
    }
}

/// The processes in `PspCidTable`, in the order of their ids. Its other entries are threads.
fn cid_table(kernel: &Kernel<'_>, warnings: &mut Vec<Warning>) -> Result<Found, Absent> {
    let space = kernel.space();
    let kind = kernel.layouts().process.header_type.ok_or_else(|| Absent::no_symbol("_KPROCESS.Header.Type"))?;
    let table = space.read_pointer(kernel.global("PspCidTable")?)?;
    let handles = handles(kernel, table)?;
    warn_of_end(warnings, "the table of process and thread ids", handles.end);
    let is_process =
        |object: VirtualAddress| space.read_array(object.wrapping_add(kind.offset)) == Ok([PROCESS_OBJECT]);
    let mut seen = BTreeSet::new();
    let addresses = handles
        .entries
        .into_iter()
        .map(|entry| entry.object)
        .filter(|object| is_process(*object) && seen.insert(*object))
        .collect();
    Ok(Found { addresses, places: HashMap::new(), judged: false, end: handles.end.kind() })
}

/// The processes in the lists of all sessions that any process is in.
fn session_lists(kernel: &Kernel<'_>, list: &ProcessList, warnings: &mut Vec<Warning>) -> Result<Found, Absent> {
    // From 24H2 on the symbols do not describe the structure, and the list lies where it always did on x64.
    const PROCESSES: u64 = 0x10;
    let layouts = kernel.layouts();
    let links = layouts.process.session_links.ok_or_else(|| Absent::no_symbol("_EPROCESS.SessionProcessLinks"))?;
    let offset = layouts.session.as_ref().map_or(PROCESSES, |layout| layout.processes.offset);
    let sessions: BTreeSet<VirtualAddress> = list
        .items
        .iter()
        .filter_map(|process| Eprocess::read(kernel, *process.eprocess.value()?).session_space().value().copied())
        .filter(|session| session.is_kernel())
        .collect();
    let mut found = Found { addresses: Vec::new(), places: HashMap::new(), judged: false, end: ListEnd::Complete };
    let mut seen = BTreeSet::new();
    let mut room = MAX_IN_SESSIONS;
    for session in sessions {
        let head = session.wrapping_add(offset);
        let joined = list_both_ways(kernel.space(), head, room, VirtualAddress::is_kernel);
        room = room.saturating_sub(joined.entries.len().saturating_add(1));
        warn_of_end(
            warnings,
            &format!("the process list of the session at {session}, walked forward,"),
            joined.forward,
        );
        warn_of_end(
            warnings,
            &format!("the process list of the session at {session}, walked backward,"),
            joined.backward,
        );
        found.end = found.end.max(joined.end());
        if room == 0 {
            break;
        }
        let processes = joined.entries.into_iter().map(|entry| entry.wrapping_sub(links.offset));
        found.addresses.extend(processes.filter(|process| seen.insert(*process)));
    }
    Ok(found)
}
