//! The processes that threads belong to: a process may leave every list, and its threads still lead to it, or they would not
//! run.

use super::MAX_FOUND;
use crate::kernel::{Eprocess, Kernel, processors};
use crate::process::found::Found;
use crate::{Absent, ListEnd, VirtualAddress};
use std::collections::BTreeSet;

/// `_KTHREAD_STATE.Terminated`: what is left of a thread says nothing of its process being there.
pub(in crate::process) const TERMINATED: u8 = 4;
/// The owners of these threads (those that have an id) and of the threads that the processors run, where those have not ended:
/// `KTHREAD.Process`, and the process whose memory they use (`KTHREAD.ApcState.Process`).
///
/// # Errors
/// The symbols lack the fields.
pub(in crate::process) fn find(
    kernel: &Kernel<'_>,
    numbered: Result<(&[VirtualAddress], ListEnd), Absent>,
) -> Result<Found, Absent> {
    let layout = kernel.layouts().thread.as_ref()?;
    let space = kernel.space();
    let owners = [layout.process, layout.attached];
    if owners.iter().all(Option::is_none) {
        return Err(Absent::no_symbol("_KTHREAD.Process"));
    }
    let processors = processors::threads(kernel);
    let (threads, end) = match &numbered {
        Ok((threads, end)) => (*threads, *end),
        // Those that run now are a few only.
        Err(absent) if processors.is_empty() => return Err(absent.clone()),
        Err(_) => (&[][..], ListEnd::Broken),
    };
    let mut found = Found::by_walk(Vec::new(), end);
    let mut seen = BTreeSet::new();
    for (number, thread) in threads.iter().chain(&processors).enumerate() {
        if found.addresses.len() >= MAX_FOUND {
            found.end = found.end.max(ListEnd::Limit);
            break;
        }
        let state = layout.state.and_then(|state| space.read_array(thread.wrapping_add(state.offset)).ok());
        if state == Some([TERMINATED]) {
            continue;
        }
        if let Some(Ok(owner)) = layout.process.map(|own| space.read_pointer(thread.wrapping_add(own.offset)))
            && owner.is_kernel()
            && number < threads.len()
        {
            let count = found.threads.entry(owner).or_default();
            *count = count.saturating_add(1);
        }
        for field in owners.into_iter().flatten() {
            let attached = Some(field.offset) != layout.process.map(|own| own.offset);
            match space.read_pointer(thread.wrapping_add(field.offset)) {
                Ok(owner) if !owner.is_kernel() || seen.contains(&owner) => {}
                // Others use the memory of a process to take it down, long after its end.
                Ok(owner) if attached && Eprocess::read(kernel, owner).exited().value().is_some() => {}
                Ok(owner) => {
                    seen.insert(owner);
                    found.addresses.push(owner);
                }
                Err(_) => found.end = found.end.max(ListEnd::Broken),
            }
        }
    }
    Ok(found)
}
