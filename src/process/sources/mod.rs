//! Where the kernel keeps processes beside the active list, one file for each place. None of them takes a scan of memory.

pub(super) mod cid_table;
pub(super) mod handle_tables;
pub(super) mod handles;
pub(super) mod job_list;
pub(super) mod mm_list;
pub(super) mod session_list;
pub(super) mod thread_owners;

use super::ProcessList;
use super::found::Found;
use crate::kernel::Kernel;
use crate::kernel::{Joined, WalkEnd};
use crate::{Absent, ListEnd, Warning};
use cid_table::Ids;

/// What the sources are found with.
pub(crate) struct Looking<'l, 'k> {
    pub kernel: &'l Kernel<'k>,
    /// The processes found so far: some sources are kept in them.
    pub list: &'l ProcessList,
    /// The table of ids, which several sources start from.
    pub ids: &'l Result<Ids, Absent>,
    /// Search the handle tables of all processes: there can be a million handles.
    pub thorough: bool,
    pub warnings: &'l mut Vec<Warning>,
}

/// Addresses that one source gives: more processes than that there are not, and each takes a warning where it is none.
const MAX_FOUND: usize = 1 << 16;

/// Says how one walk ended, if it did not come to its end.
fn warn_of_end(warnings: &mut Vec<Warning>, what: &str, end: &WalkEnd) {
    if end.kind() != ListEnd::Complete {
        warnings.push(Warning::new("processes", format!("{what} {end}")));
    }
}

/// The same of a list that was walked both ways, and notes the worse end in what was found.
fn note_ends(found: &mut Found, warnings: &mut Vec<Warning>, what: &str, joined: &Joined) {
    warn_of_end(warnings, &format!("{what}, walked forward,"), &joined.forward);
    warn_of_end(warnings, &format!("{what}, walked backward,"), &joined.backward);
    found.end = found.end.max(joined.end());
}
