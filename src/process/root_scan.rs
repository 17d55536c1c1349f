//! Processes by their page tables: what runs has a root that leads to itself and to the kernel, and one process object names it.
//!
//! The processor needs the root, and the scheduler the field that names it: who hides a process from lists and from searches for its
//! object and its threads leaves both.

use super::found::Found;
use super::own_address::own_address;
use super::scan::ProcessLook;
use super::views::merge;
use super::{ProcessList, Source};
use crate::budget::Budget;
use crate::kernel::{Kernel, RootLook};
use crate::memory::{AddressSpace, Page, Scanner, Word};
use crate::{Absent, ListEnd, PAGE_SIZE, PhysicalAddress, Process, VirtualAddress, Warning};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// A page-table root of this system that belongs to no process of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct UnownedRoot {
    /// Where it lies.
    pub root: PhysicalAddress,
    /// Entries of its table that lead to user memory. 0: what it had was given back.
    pub user_entries: u64,
    /// The process of the list whose own memory it maps, though that process has another root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<u64>,
}

/// Roots that are kept: more processes than that there are not.
const MAX_ROOTS: usize = 1 << 16;
/// Roots without an owner that are told, and held against the processes of the list.
const MAX_UNOWNED: usize = 64;
/// Those of them that memory is searched for the owners of, in one more pass. Whoever makes more has them looked at in part.
const MAX_SOUGHT: usize = 16;
/// Bits of an entry that say where its table lies.
const FRAME: u64 = 0x000f_ffff_ffff_f000;
/// Of the flag bits of a root, those that lie in one word with its lowest address bits.
const LOW_FRAME: u32 = 0xffff_f000;

/// What a root of this system looks like.
///
/// # Errors
/// The root that the kernel is read with does not lead to itself.
pub(crate) fn look(kernel: &Kernel<'_>) -> Result<RootLook, Absent> {
    RootLook::new(kernel)
        .ok_or_else(|| Absent::unparsable("the page table that the kernel is read with does not lead to itself"))
}

/// The roots that a scan found.
#[derive(Debug)]
pub(crate) struct RootHits {
    roots: BTreeSet<PhysicalAddress>,
    end: ListEnd,
}

impl Default for RootHits {
    fn default() -> Self {
        Self { roots: BTreeSet::new(), end: ListEnd::Complete }
    }
}

impl RootHits {
    /// Takes the place of a root.
    pub(crate) fn take(&mut self, at: PhysicalAddress) {
        if self.roots.len() < MAX_ROOTS {
            self.roots.insert(at);
        } else {
            self.end = ListEnd::Limit;
        }
    }

    /// Notes how the scan ended.
    pub(crate) fn ended(self, end: ListEnd) -> Self {
        Self { end: self.end.max(end), ..self }
    }
}

/// Adds the owners of these roots to `list`, and says which have none.
pub(crate) fn add(
    kernel: &Kernel<'_>,
    budget: &Budget,
    list: &mut ProcessList,
    warnings: &mut Vec<Warning>,
    roots: Result<RootHits, Absent>,
) {
    let RootHits { roots, end } = match roots {
        Ok(roots) => roots,
        Err(why) => return merge(kernel, budget, list, warnings, Source::RootScan, Err(why)),
    };
    let is_shared = |root: &PhysicalAddress| kernel.shares_kernel(*root, kernel.base()) == Ok(true);
    let roots: BTreeSet<PhysicalAddress> = roots.into_iter().filter(is_shared).collect();
    let mut addresses: Vec<VirtualAddress> = list
        .items
        .iter()
        // Of what was carved nothing but its own values speaks, and its root is one of them.
        .filter(|process| !process.is_carved())
        .filter(|process| process.dtb.value().is_some_and(|root| roots.contains(&root.page())))
        .filter_map(|process| process.eprocess.value().copied())
        .collect();
    let sought: Vec<PhysicalAddress> = unowned(kernel, list, &roots).into_iter().map(|found| found.root).collect();
    let held: BTreeSet<VirtualAddress> = addresses.iter().copied().collect();
    let owners = owners(kernel, sought.get(..MAX_SOUGHT).unwrap_or(&sought));
    addresses.extend(owners.into_iter().filter(|owner| !held.contains(owner)));
    merge(kernel, budget, list, warnings, Source::RootScan, Ok(Found::by_search(addresses, end)));
    let mut left = unowned(kernel, list, &roots);
    left.truncate(MAX_UNOWNED);
    for found in &mut left {
        found.like = like(kernel, list, found.root);
    }
    list.unowned_roots = Some(left);
}

/// The roots that no process of the list has; those first that lead to user memory.
fn unowned(kernel: &Kernel<'_>, list: &ProcessList, roots: &BTreeSet<PhysicalAddress>) -> Vec<UnownedRoot> {
    let owned: BTreeSet<PhysicalAddress> =
        list.items.iter().filter_map(|process| Some(process.dtb.value()?.page())).collect();
    let own = kernel.space().root().page();
    let loose = roots.iter().filter(|root| **root != own && !owned.contains(root));
    let mut all: Vec<UnownedRoot> = loose
        .map(|root| UnownedRoot { root: *root, user_entries: user_entries(kernel.space(), *root), like: None })
        .collect();
    all.sort_by_key(|found| (found.user_entries == 0, found.root));
    all
}

/// Entries of the lower half of a top table that lead to a table.
fn user_entries(space: AddressSpace<'_>, root: PhysicalAddress) -> u64 {
    let mut half = [0u8; 2048];
    let read = space.memory().read(root, &mut half);
    let (entries, _) = half.get(..read).unwrap_or_default().as_chunks::<8>();
    entries.iter().map(|entry| u64::from_le_bytes(*entry)).map(|entry| entry & 1).sum()
}

/// Searches memory for the process objects that name these roots.
fn owners(kernel: &Kernel<'_>, roots: &[PhysicalAddress]) -> BTreeSet<VirtualAddress> {
    let Ok(look) = ProcessLook::new(kernel) else { return BTreeSet::new() };
    let (dtb_at, links) = look.root_and_links();
    if roots.is_empty() || !dtb_at.is_multiple_of(4) {
        return BTreeSet::new();
    }
    let low = |root: &PhysicalAddress| u32::try_from(root.0 & 0xffff_ffff).unwrap_or_default() & LOW_FRAME;
    let words: Vec<Word> =
        roots.iter().map(|root| Word { step: 16, offset: dtb_at, mask: LOW_FRAME, value: low(root) }).collect();
    let space = kernel.space();
    // A copy elsewhere, as of an object that was freed, is not what the kernel has there.
    let address = |at: PhysicalAddress| own_address(space, at, links).filter(|place| place.mapped);
    let judge = |page: Page<'_>, offset: usize, add: &mut dyn FnMut(usize)| {
        let named = offset.checked_add(dtb_at).and_then(|at| page.u64(at));
        let at = page.at.wrapping_add(u64::try_from(offset).unwrap_or_default());
        if named.is_some_and(|named| roots.contains(&PhysicalAddress(named & FRAME))) && address(at).is_some() {
            add(offset);
        }
    };
    let mut found = BTreeSet::new();
    Scanner::new().words(&words, judge).run(kernel.image(), |hit| {
        found.extend(address(hit.at).map(|place| place.address));
        ControlFlow::Continue(())
    });
    found
}

/// The process of the list whose own memory this root maps.
fn like(kernel: &Kernel<'_>, list: &ProcessList, root: PhysicalAddress) -> Option<u64> {
    /// Pages of a process without a PEB that are compared.
    const MAX_COMPARED: usize = 16;
    /// Pages here are every process's: `KUSER_SHARED_DATA` and what lies beside it.
    const SHARED: std::ops::Range<u64> = 0x7ffe_0000..0x7fff_0000;
    let other = kernel.space().with_root(root);
    let is_its = |process: &&Process| {
        let Some(own) = process.dtb.value().map(|root| kernel.space().with_root(*root)) else { return false };
        // A PEB is its process's alone; a process without one has nothing that others have.
        let same = |at: VirtualAddress| own.translate(at).is_ok_and(|page| other.translate(at) == Ok(page));
        match process.peb.value() {
            Some(peb) => same(*peb),
            // Of some of its pages the other root may have copies.
            None if process.minimal.value() == Some(&true) => own
                .regions(VirtualAddress(PAGE_SIZE), VirtualAddress(1 << 47))
                .map(|region| region.at)
                .filter(|at| !SHARED.contains(&at.0))
                .take(MAX_COMPARED)
                .any(same),
            None => false,
        }
    };
    list.items.iter().filter(|process| process.is_live()).find(is_its)?.pid.value().copied()
}
