//! `PspCidTable`: the table that gives processes, threads and (since 1607) jobs their ids.

use super::warn_of_end;
use crate::kernel::{Kernel, PROCESS_OBJECT, THREAD_OBJECT, handles};
use crate::process::found::Found;
use crate::{Absent, ListEnd, VirtualAddress, Warning};
use std::collections::BTreeSet;

/// What the table holds, each object once, in the order of ids.
pub(crate) struct Ids {
    pub processes: Vec<VirtualAddress>,
    pub threads: Vec<VirtualAddress>,
    /// Those of the threads whose own id is another than the one that leads to them.
    pub misnumbered: Vec<VirtualAddress>,
    /// Neither: jobs, where they are numbered.
    pub others: Vec<VirtualAddress>,
    /// What cannot be read, or is overwritten, and is no thread by what other threads say: it may be a process. With the reason.
    pub lost: Vec<(VirtualAddress, String)>,
    pub end: ListEnd,
}

impl Ids {
    pub(in crate::process) fn found(&self) -> Found {
        Found::by_walk(self.processes.clone(), self.end)
    }
}

/// Reads the table, and tells its entries by the kind of dispatcher object that they lead to.
///
/// # Errors
/// The symbols lack the table or the field, or the table cannot be read.
pub(in crate::process) fn read(kernel: &Kernel<'_>, warnings: &mut Vec<Warning>) -> Result<Ids, Absent> {
    let space = kernel.space();
    let kind = kernel.layouts().process.header_type.ok_or_else(|| Absent::no_symbol("_KPROCESS.Header.Type"))?;
    let table = space.read_pointer(kernel.global("PspCidTable")?)?;
    let handles = handles(kernel, table)?;
    warn_of_end(warnings, "the table of process and thread ids", &handles.end);
    let end = handles.end.kind();
    let mut ids = Ids {
        processes: Vec::new(),
        threads: Vec::new(),
        misnumbered: Vec::new(),
        others: Vec::new(),
        lost: Vec::new(),
        end,
    };
    let tid = kernel.layouts().thread.as_ref().ok().map(|thread| thread.tid);
    let mut seen = BTreeSet::new();
    for entry in handles.entries {
        if !seen.insert(entry.object) {
            continue;
        }
        match space.read_array(entry.object.wrapping_add(kind.offset)) {
            Ok([PROCESS_OBJECT]) => ids.processes.push(entry.object),
            Ok([THREAD_OBJECT]) => {
                ids.threads.push(entry.object);
                let own = tid.and_then(|tid| space.read_u64(entry.object.wrapping_add(tid.offset)).ok());
                if own.is_some_and(|own| own != entry.value) {
                    ids.misnumbered.push(entry.object);
                }
            }
            Ok(_) => {
                if !is_dispatcher(kernel, entry.object) {
                    ids.lost.push((entry.object, "what is there is neither process nor thread nor job".to_owned()));
                }
                ids.others.push(entry.object);
            }
            Err(fault) => ids.lost.push((entry.object, fault.to_string())),
        }
    }
    if !ids.lost.is_empty() {
        let threads = neighbours_of_threads(kernel, &ids);
        ids.lost.retain(|(lost, _)| !threads.contains(lost));
    }
    Ok(ids)
}

/// Whether an object has the head of those who wait for it, as all dispatcher objects do: processes, threads, and the event that a job
/// begins with. It is empty and points to itself, or its neighbour points back.
fn is_dispatcher(kernel: &Kernel<'_>, object: VirtualAddress) -> bool {
    let Some(wait_list) = kernel.layouts().process.wait_list else { return true };
    let (space, head) = (kernel.space(), object.wrapping_add(wait_list.offset));
    let back = space.read_pointer(head).and_then(|next| space.read_pointer(next.wrapping_add(8)));
    back == Ok(head)
}

/// The threads that the threads and the processes of the table name as their neighbours and members.
fn neighbours_of_threads(kernel: &Kernel<'_>, ids: &Ids) -> BTreeSet<VirtualAddress> {
    let (Ok(thread), Some(head)) = (kernel.layouts().thread.as_ref(), kernel.layouts().process.threads_head) else {
        return BTreeSet::new();
    };
    let space = kernel.space();
    let of_threads = ids.threads.iter().map(|at| at.wrapping_add(thread.links.offset));
    let of_processes = ids.processes.iter().map(|at| at.wrapping_add(head.offset));
    of_threads
        .chain(of_processes)
        .flat_map(|links| [space.read_pointer(links), space.read_pointer(links.wrapping_add(8))])
        .flatten()
        .map(|link| link.wrapping_sub(thread.links.offset))
        .collect()
}
