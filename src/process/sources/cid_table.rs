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
    /// Neither: jobs, where they are numbered.
    pub others: Vec<VirtualAddress>,
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
    let mut ids = Ids { processes: Vec::new(), threads: Vec::new(), others: Vec::new(), end };
    let mut seen = BTreeSet::new();
    for entry in handles.entries {
        if !seen.insert(entry.object) {
            continue;
        }
        match space.read_array(entry.object.wrapping_add(kind.offset)) {
            Ok([PROCESS_OBJECT]) => ids.processes.push(entry.object),
            Ok([THREAD_OBJECT]) => ids.threads.push(entry.object),
            Ok(_) => ids.others.push(entry.object),
            Err(_) => {}
        }
    }
    Ok(ids)
}
