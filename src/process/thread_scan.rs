//! Processes by their threads: what runs has thread objects, which the scheduler needs, and each names its process.

use super::allocation::Allocations;
use super::found::Found;
use super::place::{is_pointer, own_address};
use super::scan::CREATED;
use crate::kernel::{Eprocess, Kernel, PROCESS_OBJECT, View};
use crate::memory::{Page, Scanner, Word};
use crate::{Absent, ListEnd, PhysicalAddress, VirtualAddress};
use std::collections::BTreeSet;

/// `_KOBJECTS.ThreadObject`, the value of `DISPATCHER_HEADER.Type` (wdm.h).
const THREAD_OBJECT: u32 = 6;
/// Objects lie at multiples of this: pool blocks do (x64), and so do all headers in them.
const STEP: usize = 16;

/// What a thread object of this kernel looks like.
pub(crate) struct ThreadLook<'k> {
    kernel: &'k Kernel<'k>,
    allocations: Allocations<'k>,
    wait_list_at: usize,
    /// Where links lie that tell the object's address.
    links_at: [u64; 2],
}

impl<'k> ThreadLook<'k> {
    /// # Errors
    /// The symbols lack what a thread object is known by.
    pub(crate) fn new(kernel: &'k Kernel<'k>) -> Result<Self, Absent> {
        let layout = kernel.layouts().thread.as_ref()?;
        let missing = |name: &str| Absent::no_symbol(format!("_KTHREAD.{name}"));
        if layout.header_type.ok_or_else(|| missing("Header.Type"))?.offset != 0 {
            return Err(Absent::unparsable("_KTHREAD.Header.Type is not at its start"));
        }
        layout.process.ok_or_else(|| missing("Process"))?;
        let wait_list = layout.wait_list.ok_or_else(|| missing("Header.WaitListHead"))?.offset;
        Ok(Self {
            kernel,
            allocations: Allocations::new(kernel),
            wait_list_at: usize::try_from(wait_list).map_err(|_| Absent::unparsable("offset out of range"))?,
            links_at: [wait_list, layout.links.offset],
        })
    }

    /// Adds threads that have not ended to a scan.
    pub(crate) fn add_to<'s>(&'s self, scanner: Scanner<'s>) -> Scanner<'s> {
        // The other bytes of the header are flags of the thread.
        let header = Word { step: STEP, offset: 0, mask: 0xff, value: THREAD_OBJECT };
        scanner.words(&[header], move |page: Page<'_>, offset, add| {
            let at = page.at.wrapping_add(u64::try_from(offset).unwrap_or(0));
            if self.could_be(page, offset) && self.owner(at).is_some() {
                add(offset);
            }
        })
    }

    /// Whether the list head near the start could be a thread's, as far as it lies in this page.
    fn could_be(&self, page: Page<'_>, offset: usize) -> bool {
        let at = offset.saturating_add(self.wait_list_at);
        [at, at.saturating_add(8)]
            .into_iter()
            .all(|at| page.u64(at).is_none_or(|link| is_pointer(VirtualAddress(link))))
    }

    /// The process of the thread at `physical`, if one is there that the kernel maps and that has not ended.
    fn owner(&self, physical: PhysicalAddress) -> Option<VirtualAddress> {
        let layout = self.kernel.layouts().thread.as_ref().ok()?;
        let place = own_address(self.kernel.space(), physical, &self.links_at).filter(|place| place.mapped)?;
        let thread = View::read(self.kernel.space(), place.address, layout.size);
        let tid = thread.get(layout.tid).ok()?;
        let created = thread.get(layout.created).ok()?;
        let ended = layout.terminated.is_some_and(|bits| thread.bits(bits).is_ok_and(|bit| bit != 0));
        let plausible = tid != 0 && tid.is_multiple_of(4) && tid <= u64::from(u32::MAX) && CREATED.contains(&created);
        if !plausible || ended || self.allocations.is_freed(place, "Thread", *b"Thre") == Ok(true) {
            return None;
        }
        let owner = thread.get(layout.process?).ok().filter(|owner| is_pointer(*owner))?;
        let process = Eprocess::read(self.kernel, owner);
        // The idle process has id 0, and is in no list.
        let is_process = process.has_process_values(|created| CREATED.contains(&created.0))
            || process.object_kind() == Ok(PROCESS_OBJECT)
                && process.is_plausible() == Ok(true)
                && process.pid().is_ok_and(|pid| pid != 0);
        is_process.then_some(owner)
    }
}

/// The processes whose threads a scan found.
#[derive(Debug, Default)]
pub(crate) struct ThreadOwners {
    seen: BTreeSet<VirtualAddress>,
    /// In the order of the places of their first threads.
    owners: Vec<VirtualAddress>,
}

impl ThreadOwners {
    /// Takes the place of a thread that a scan gave.
    pub(crate) fn take(&mut self, look: &ThreadLook<'_>, at: PhysicalAddress) {
        if let Some(owner) = look.owner(at).filter(|owner| self.seen.insert(*owner)) {
            self.owners.push(owner);
        }
    }

    /// What the scan gives to the list.
    pub(crate) fn found(self, end: ListEnd) -> Found {
        Found { addresses: self.owners, places: Default::default(), judged: true, end }
    }
}
