//! Pages of processes that are not in memory: what a search of memory does not see of them, counted.

use super::ProcessList;
use crate::kernel::{Eprocess, Kernel, prototype_arrays};
use crate::memory::{AwayPages, Where};
use crate::{VirtualAddress, Warning};
use std::collections::HashSet;

/// The user half of address spaces, with however many bits.
const USER: (VirtualAddress, VirtualAddress) = (VirtualAddress(0), VirtualAddress(1 << 63));
/// Pages that are tried: 256 MiB, of which the compressed store unpacks some hundred MiB in a second. Further ones are counted.
const MAX_TRIED: u64 = 1 << 16;
/// Entries of page tables and prototype entries that are looked at: of 64 GiB.
const MAX_LOOKED_AT: u64 = 1 << 24;
/// Ranges of one process whose prototype entries are looked at.
const MAX_RANGES: usize = 1 << 14;

/// How many pages of processes are not in memory, and where they are. `None`: all are, as far as page tables and sections tell.
pub(crate) fn unseen(kernel: &Kernel<'_>, processes: &ProcessList) -> Option<Warning> {
    let (mut away, mut tried, mut left) = (AwayPages::default(), 0u64, MAX_LOOKED_AT);
    let (mut roots, mut arrays) = (HashSet::new(), HashSet::new());
    for address in processes.items.iter().filter_map(|process| process.eprocess.value().copied()) {
        let process = Eprocess::read(kernel, address);
        let Ok(space) = process.space() else { continue };
        if !roots.insert(space.root()) {
            continue;
        }
        let mut take = |at: VirtualAddress, shared: bool| {
            left = left.saturating_sub(1);
            let place = if shared { space.resolve_prototype(at) } else { space.resolve(at) };
            if place.physical().is_some() {
                return left > 0;
            }
            tried = tried.saturating_add(u64::from(!matches!(place, Where::Missing(_))));
            if tried > MAX_TRIED {
                away.untried = away.untried.saturating_add(1);
            } else {
                away.take(space, at, &place);
            }
            left > 0
        };
        if !space.paged_out(USER.0, USER.1).all(|at| take(at, false)) {
            break;
        }
        // Sections are shared: their pages are counted once.
        for array in prototype_arrays(kernel.space(), kernel.layouts(), address, MAX_RANGES) {
            let entries = array.end.0.saturating_sub(array.start.0) / 8;
            let mut all = (0..entries).map(|index| array.start.wrapping_add(index.wrapping_mul(8)));
            if arrays.insert(array.start) && !all.all(|at| take(at, true)) {
                break;
            }
        }
    }
    let told = away.told("read")?;
    let message = format!("pages of processes that are not in memory (no process, thread or hive lies there): {told}");
    Some(Warning::new("scan", message))
}
