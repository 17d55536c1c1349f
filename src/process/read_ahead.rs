//! Records of many objects that a scan found, read in several threads and taken in order: a machine of some weeks leaves thousands.

use super::Process;
use super::found::Found;
use super::source::Source;
use super::views::is_process;
use crate::VirtualAddress;
use crate::kernel::{Eprocess, Kernel};
use std::thread;

/// Objects that are read before the first of them is taken: what that holds is not counted in the budget yet.
pub(super) const BATCH: usize = 256;
/// Objects that are worth a thread.
const WORTH: usize = 16;
/// More threads than this gain nothing: memory is what they wait for.
const MAX_THREADS: usize = 8;

/// The records of these objects; of those that are no processes, none.
pub(super) fn read(
    kernel: &Kernel<'_>,
    source: Source,
    found: &Found,
    batch: &[VirtualAddress],
) -> Vec<Option<Box<Process>>> {
    let one = |address: &VirtualAddress| {
        let object = Eprocess::read_at(kernel, *address, found.places.get(address).copied());
        (is_process(&object, found) == Ok(true)).then(|| Box::new(Process::read(kernel, &object, source)))
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = processors.min(MAX_THREADS).min(batch.len() / WORTH).max(1);
    let mut shares = batch.chunks(batch.len().div_ceil(threads).max(1));
    thread::scope(|scope| {
        let first = shares.next().unwrap_or_default();
        let others: Vec<_> =
            shares.map(|share| scope.spawn(move || share.iter().map(one).collect::<Vec<_>>())).collect();
        let mut all: Vec<_> = first.iter().map(one).collect();
        for other in others {
            match other.join() {
                Ok(records) => all.extend(records),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}
