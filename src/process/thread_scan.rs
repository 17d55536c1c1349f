//! Processes by their threads: what runs has thread objects, which the scheduler needs, and each names its process.

use super::allocation::{Allocations, MAX_BEFORE_OBJECT, MIN_BEFORE_OBJECT};
use super::found::Found;
use super::own_address::{Place, is_pointer, own_address};
use super::scan::CREATED;
use super::sources::thread_owners::TERMINATED;
use crate::kernel::{Eprocess, Kernel, PROCESS_OBJECT, View};
use crate::memory::{Page, Scanner, Word};
use crate::symbols::Field;
use crate::{Absent, ListEnd, PhysicalAddress, Ticks, Timestamp, VirtualAddress};
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
    process_at: usize,
    /// Before this no thread of this boot was made.
    boot: Option<Timestamp>,
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
        let process = layout.process.ok_or_else(|| missing("Process"))?.offset;
        let wait_list = layout.wait_list.ok_or_else(|| missing("Header.WaitListHead"))?.offset;
        let place = |offset: u64| usize::try_from(offset).map_err(|_| Absent::unparsable("offset out of range"));
        Ok(Self {
            kernel,
            allocations: Allocations::new(kernel),
            wait_list_at: place(wait_list)?,
            process_at: place(process)?,
            boot: start_of_system(kernel),
            links_at: [wait_list, layout.links.offset],
        })
    }

    /// Adds the two ways to a thread that has not ended to a scan: the kind of object that its header says it is, and the tag of
    /// its pool block. Either hit is the object's place.
    pub(crate) fn add_to<'s>(&'s self, scanner: Scanner<'s>) -> Scanner<'s> {
        // The other bytes of the header are flags of the thread.
        let header = Word { step: STEP, offset: 0, mask: 0xff, value: THREAD_OBJECT };
        let judge = move |page: Page<'_>, offset: usize, add: &mut dyn FnMut(usize)| {
            let at = page.at.wrapping_add(u64::try_from(offset).unwrap_or(0));
            if self.could_be(page, offset) && self.seen(at).is_some() {
                add(offset);
            }
        };
        let by_tag = move |page: Page<'_>, block: usize, add: &mut dyn FnMut(usize)| {
            for distance in (MIN_BEFORE_OBJECT..=MAX_BEFORE_OBJECT).step_by(STEP) {
                judge(page, block.saturating_add(usize::try_from(distance).unwrap_or(usize::MAX)), add);
            }
        };
        scanner.words(&[header], judge).words(&[Word::pool_tag(*b"Thre")], by_tag)
    }

    /// Whether what lies in this page of a thread's list head and links and of the pointer to its process could be a thread's. Of
    /// the lists one may be cleared: nobody waits for most threads, and who hides a thread unlinks it.
    fn could_be(&self, page: Page<'_>, offset: usize) -> bool {
        let number = |field: usize| page.u64(offset.checked_add(field)?);
        let pointer = |number: u64| is_pointer(self.kernel.space(), VirtualAddress(number));
        let head = |field: usize| number(field).zip(number(field.saturating_add(8)));
        let links = self.links_at.map(|field| usize::try_from(field).ok().and_then(head));
        offset < page.bytes.len()
            && number(self.wait_list_at).is_none_or(|link| link == 0 || pointer(link))
            && number(self.process_at).is_none_or(pointer)
            && links.iter().flatten().all(|head| *head == (0, 0) || pointer(head.0) && pointer(head.1))
            && links.iter().any(|head| *head != Some((0, 0)))
    }

    /// The thread at `physical`, if one is there that the kernel maps and that has not ended, with its processes: the one that it belongs
    /// to, and the one whose memory it uses, if that is another; or the place where its process should be and none is.
    fn seen(&self, physical: PhysicalAddress) -> Option<Seen> {
        let layout = self.kernel.layouts().thread.as_ref().ok()?;
        let place = own_address(self.kernel.space(), physical, &self.links_at).filter(|place| place.mapped)?;
        let thread = View::read(self.kernel.space(), place.address, layout.size);
        // The threads of the idle process have the id 0; they are in no pool.
        let tid = thread.get(layout.tid).ok().filter(|tid| *tid != 0)?;
        let created = thread.get(layout.created).ok()?;
        // The scheduler goes by the state. What does not tell whether it has ended proves nothing.
        let state = layout.state.and_then(|state| thread.get(state).ok()).map(|state| state == TERMINATED);
        let flag = || layout.terminated.and_then(|bits| thread.bits(bits).ok()).map(|bit| bit != 0);
        let ended = state.or_else(flag)?;
        let freed = self.allocations.is_freed(place, "Thread", *b"Thre");
        if ended || freed == Ok(true) {
            return None;
        }
        let plausible = tid.is_multiple_of(4) && tid <= u64::from(u32::MAX) && CREATED.contains(&created);
        // The scheduler needs neither: who changes them is betrayed by the type in front of the object.
        if !plausible && freed != Ok(false) {
            return None;
        }
        let space = self.kernel.space();
        let of =
            |field: Option<Field<VirtualAddress>>| thread.get(field?).ok().filter(|owner| is_pointer(space, *owner));
        let own = of(layout.process)?;
        let attached = of(layout.attached).filter(|attached| *attached != own);
        let is_owner = |owner: &VirtualAddress| self.is_owner(*owner, Timestamp(created), Some(*owner) == attached);
        let mut owners: Vec<VirtualAddress> = [Some(own), attached].into_iter().flatten().filter(is_owner).collect();
        let next = self.kernel.space().read_pointer(place.address.wrapping_add(layout.links.offset)).ok();
        let listed_by = next.and_then(|next| self.head_of_list(next, Timestamp(created)));
        owners.extend(listed_by.filter(|by| !owners.contains(by)));
        // What is certain to be a thread of this boot has a process, whatever stands there now.
        let lost = Some(own).filter(|_| {
            owners.is_empty()
                && plausible
                && freed == Ok(false)
                && !self.is_before_boot(Timestamp(created))
                && self.is_overwritten(own)
        });
        (lost.is_some() || !owners.is_empty()).then_some(Seen { thread: place.address, owners, lost })
    }

    /// Whether a process that was at this address may be there still, and nobody can tell: what is there cannot be read, or is no object
    /// at all. One that was given back, and another object, say of themselves that it is gone.
    fn is_overwritten(&self, process: VirtualAddress) -> bool {
        let place = Place { address: process, mapped: true };
        let is_gone = self.allocations.is_freed(place, "Process", *b"Proc") == Ok(true);
        !is_gone && process.0.is_multiple_of(16) && Eprocess::read(self.kernel, process).is_plausible() != Ok(true)
    }

    /// The process whose list of threads begins where the last thread of it leads: that list the process needs, whatever process its
    /// threads name.
    fn head_of_list(&self, next: VirtualAddress, created: Timestamp) -> Option<VirtualAddress> {
        let layout = &self.kernel.layouts().process;
        let address = next.wrapping_sub(layout.threads_head?.offset);
        let kind = layout.header_type?;
        (self.kernel.space().read_array(address.wrapping_add(kind.offset)) == Ok([PROCESS_OBJECT])).then_some(())?;
        let place = Place { address, mapped: true };
        let looks = Eprocess::read(self.kernel, address).has_process_values(|created| CREATED.contains(&created.0));
        let typed = || self.allocations.is_freed(place, "Process", *b"Proc").is_ok();
        ((looks || typed()) && self.is_owner(address, created, false)).then_some(address)
    }

    /// Whether a process is there that a thread made at this time can belong to, or be attached to.
    fn is_owner(&self, owner: VirtualAddress, created: Timestamp, attached: bool) -> bool {
        let process = Eprocess::read(self.kernel, owner);
        let is_process = process.has_process_values(|created| CREATED.contains(&created.0))
            || process.object_kind() == Ok(PROCESS_OBJECT) && process.is_plausible() == Ok(true);
        // Others use the memory of a process to take it down, long after its end.
        let is_over = attached && process.exited().value().is_some();
        // Memory is not cleared at a start, and pools of the next boot may map what was in those of the one before.
        let is_left = self.is_before_boot(created)
            && process.created().value().is_some_and(|created| self.is_before_boot(*created));
        is_process && !is_over && !is_left
    }

    fn is_before_boot(&self, at: Timestamp) -> bool {
        self.boot.is_some_and(|boot| boot.since(at) > Ticks::seconds(60))
    }
}

/// A thread that was met in memory.
struct Seen {
    thread: VirtualAddress,
    /// Its processes.
    owners: Vec<VirtualAddress>,
    /// Where its process should be, and cannot be read.
    lost: Option<VirtualAddress>,
}

/// `CreateTime` of System.
fn start_of_system(kernel: &Kernel<'_>) -> Option<Timestamp> {
    let system = kernel.space().read_pointer(kernel.global("PsInitialSystemProcess").ok()?).ok()?;
    Eprocess::read(kernel, system).created().value().copied()
}

/// The processes whose threads a scan found.
#[derive(Debug, Default)]
pub(crate) struct ThreadOwners {
    seen: BTreeSet<VirtualAddress>,
    /// In the order of the places of their first threads.
    owners: Vec<VirtualAddress>,
    /// Each thread and the process that it belongs to.
    threads: Vec<(VirtualAddress, VirtualAddress)>,
    /// Where processes of threads should be, and cannot be read.
    lost: BTreeSet<VirtualAddress>,
}

/// Threads kept: a busy server has some ten thousand, and what only looks like one can lie every 16 bytes.
const MAX_THREADS: usize = 1 << 20;
/// Processes kept that cannot be read: one is enough to leave open who runs.
const MAX_LOST: usize = 1 << 8;

impl ThreadOwners {
    /// Takes the place of a thread that a scan gave.
    pub(crate) fn take(&mut self, look: &ThreadLook<'_>, at: PhysicalAddress) {
        let Some(Seen { thread, owners, lost }) = look.seen(at) else { return };
        self.lost.extend(lost.filter(|_| self.lost.len() < MAX_LOST));
        if let Some(owner) = owners.first().filter(|_| self.threads.len() < MAX_THREADS) {
            self.threads.push((thread, *owner));
        }
        for owner in owners {
            if self.seen.insert(owner) {
                self.owners.push(owner);
            }
        }
    }

    /// Each thread and the process that it belongs to.
    pub(crate) fn take_threads(&mut self) -> Vec<(VirtualAddress, VirtualAddress)> {
        std::mem::take(&mut self.threads)
    }

    /// What the scan gives to the list.
    pub(crate) fn found(self, end: ListEnd) -> Found {
        Found { lost: self.lost.into_iter().collect(), ..Found::by_search(self.owners, end) }
    }
}
