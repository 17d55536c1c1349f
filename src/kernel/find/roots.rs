//! Page-table roots that somebody or something names: the header of a dump, the low stubs, tables that refer to themselves.

use super::base;
use super::kuser::SharedData;
use crate::image::{Hints, PhysicalMemory, PhysicalRun, bytes_at, runs};
use crate::memory::{AMD64, AddressSpace, Architecture, LA57, Page, Scanner};
use crate::{PAGE_SIZE, PhysicalAddress, VirtualAddress};
use std::fmt;
use std::ops::ControlFlow;
use std::thread;

/// The ways to a page-table root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Way {
    /// The caller named it.
    Given,
    /// The container names it: the header of a crash dump, a note of a hypervisor's.
    Hint(&'static str),
    /// `PROCESSOR_START_BLOCK`, which the HAL leaves below 1 MiB to start processors with.
    LowStub,
    /// A page that could be a PML4 table because one of its entries maps the page itself.
    SelfReference,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given => "root given by hand",
            Self::Hint(source) => source,
            Self::LowStub => "low stub (PROCESSOR_START_BLOCK)",
            Self::SelfReference => "self-referencing PML4",
        })
    }
}

/// The modes of a processor that a root may be meant for: what it maps tells which.
const MODES: [&Architecture; 2] = [&AMD64, &LA57];

/// The address space of a root, in the mode in which it maps the shared page, or else system images.
pub(crate) fn space(memory: &dyn PhysicalMemory, dtb: PhysicalAddress) -> AddressSpace<'_> {
    let spaces = MODES.map(|mode| AddressSpace::with_architecture(memory, dtb, mode));
    let [first, ..] = spaces;
    let by_shared_page = spaces.into_iter().find(|space| SharedData::read(*space).is_ok());
    by_shared_page.or_else(|| spaces.into_iter().find(|space| base::images_entry(*space).is_some())).unwrap_or(first)
}

/// A root, and who names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    pub way: Way,
    pub dtb: PhysicalAddress,
    /// `LmTarget` of a low stub: where the processor jumps to in long mode, an address inside the kernel or the HAL.
    pub near: Option<VirtualAddress>,
}

/// Roots that a container names, which are those of its processors; more than there are processors are no more use.
const MAX_HINTS: usize = 64;

/// The roots that the container names.
pub(crate) fn of_container(hints: &Hints) -> impl Iterator<Item = Root> {
    hints.roots.iter().take(MAX_HINTS).map(|dtb| Root { way: Way::Hint(hints.source), dtb: *dtb, near: None })
}

/// Looks at every page below 1 MiB.
pub(crate) fn low_stubs(memory: &dyn PhysicalMemory) -> Vec<Root> {
    (0x1000..0x10_0000).step_by(0x1000).filter_map(|at| low_stub(memory, PhysicalAddress(at))).collect()
}

/// A stub starts with a near jump (E9) of less than 256 bytes over its data, of which `CompletionFlag` is 1; `LmTarget` lies
/// at 0x70 and `ProcessorState.SpecialRegisters.Cr3` at 0xA0.
fn low_stub(memory: &dyn PhysicalMemory, at: PhysicalAddress) -> Option<Root> {
    let mut bytes = [0u8; 0xa8];
    if memory.read(at, &mut bytes) != bytes.len() {
        return None;
    }
    let u64_at = |offset: usize| bytes.get(offset..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let (start, target, cr3) = (u64_at(0)?, u64_at(0x70)?, u64_at(0xa0)?);
    let plausible = start & 0xffff_ffff_ffff_00ff == 0x0000_0001_0006_00e9
        && target & 0xffff_f800_0000_0003 == 0xffff_f800_0000_0000
        && cr3 & 0xffff_0000_0000_0fff == 0
        && cr3 != 0;
    plausible.then_some(Root { way: Way::LowStub, dtb: PhysicalAddress(cr3), near: Some(VirtualAddress(target)) })
}

/// Slots of the PML4 table that may map the table itself: one of the upper half, but the last. Before Windows 10 1607 it is
/// 0x1ED; since then any.
const SELF_SLOTS: std::ops::RangeInclusive<usize> = 0x100..=0x1fe;

/// True if some entry of this page maps the page itself, present and writable.
pub(super) fn refers_to_itself(page: Page<'_>) -> bool {
    let (entries, _) = page.bytes.as_chunks::<8>();
    entries.get(SELF_SLOTS).is_some_and(|entries| {
        entries.iter().any(|entry| u64::from_le_bytes(*entry) & 0x000f_ffff_ffff_f003 == page.at.0 | 3)
    })
}

/// Whether a page may be a root by the entry that leads to the system's images: it rules out nearly all pages by one line of each.
/// `entry_at` reads the entry at an offset in the page.
fn leads_to_images(entry_at: impl Fn(u64) -> Option<u64>) -> bool {
    let offsets = MODES.map(|arch| base::images_slot(arch).wrapping_mul(8));
    offsets.into_iter().filter_map(entry_at).any(base::leads_to_table)
}

/// Pages that a quick look touches, one line of each: those of 16 MiB. The root that Windows makes when it starts lies there. An image
/// of some hundred MiB is looked at whole.
const QUICK_PAGES: u64 = (16 << 20) / PAGE_SIZE;
/// The same of an image that is far away, where each look is a round trip: System's root lies below 2 MiB as a rule.
const FAR_PAGES: u64 = (2 << 20) / PAGE_SIZE;
/// Images up to here are looked at whole.
const SMALL_PAGES: u64 = (512 << 20) / PAGE_SIZE;

/// Tables that refer to themselves, in the part of memory that is looked at in any case. True: that was all of it.
pub(crate) fn quick_look(memory: &dyn PhysicalMemory) -> (Vec<Root>, bool) {
    // Dumps of single pages have very many runs: no more are counted than matters.
    let mut pages = runs(memory).map(|run| run.bytes / PAGE_SIZE);
    let is_far = memory.is_far();
    let is_small = !is_far
        && pages
            .try_fold(0u64, |sum, pages| Some(sum.saturating_add(pages)).filter(|sum| *sum <= SMALL_PAGES))
            .is_some();
    let mut left = match (is_small, is_far) {
        (true, _) => SMALL_PAGES,
        (_, true) => FAR_PAGES,
        _ => QUICK_PAGES,
    };
    let mut pieces = Vec::new();
    for run in runs(memory) {
        let first = run.start.0.checked_next_multiple_of(PAGE_SIZE).unwrap_or(u64::MAX);
        let bytes = left.saturating_mul(PAGE_SIZE).min(run.end().0.saturating_sub(first));
        if left == 0 {
            break;
        }
        let piece = PhysicalRun { start: PhysicalAddress(first), bytes };
        if is_far {
            memory.prefetch(piece);
        }
        left = left.saturating_sub(bytes.div_ceil(PAGE_SIZE));
        pieces.extend(parts(piece));
    }
    // What is not packed is looked at sooner than threads begin; what is far away has come by now.
    let is_packed = !is_far && pieces.first().is_some_and(|piece| memory.borrow(piece.start, 8).is_none());
    let found = if is_packed { look_in_threads(memory, &pieces) } else { look(memory, &pieces) };
    (found, is_small)
}

/// Bytes that one thread looks at before the next of them.
const PART: u64 = 1 << 20;

/// A piece in parts for threads.
fn parts(piece: PhysicalRun) -> impl Iterator<Item = PhysicalRun> {
    let mut rest = piece;
    std::iter::from_fn(move || {
        let part = PhysicalRun { bytes: rest.bytes.min(PART), ..rest };
        rest = PhysicalRun { start: part.end(), bytes: rest.bytes.saturating_sub(part.bytes) };
        (part.bytes > 0).then_some(part)
    })
}

/// Tables that refer to themselves in these pieces, in their order; several threads unpack what has them.
fn look_in_threads(memory: &dyn PhysicalMemory, pieces: &[PhysicalRun]) -> Vec<Root> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = processors.min(MAX_THREADS).min(pieces.len()).max(1);
    thread::scope(|scope| {
        let shares = pieces.chunks(pieces.len().div_ceil(threads).max(1));
        let threads: Vec<_> = shares.map(|share| scope.spawn(move || look(memory, share))).collect();
        let all = threads.into_iter().map(|thread| match thread.join() {
            Ok(found) => found,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        all.flatten().collect()
    })
}

/// More threads than this wait for each other's blocks.
const MAX_THREADS: usize = 8;

/// Tables that refer to themselves in these pieces, in their order.
fn look(memory: &dyn PhysicalMemory, pieces: &[PhysicalRun]) -> Vec<Root> {
    let (mut found, mut buffer) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut at = piece.start;
        while at < piece.end() {
            let entry_at = |slot: u64| {
                let mut entry = [0u8; 8];
                (memory.read(at.wrapping_add(slot), &mut entry) == entry.len()).then_some(u64::from_le_bytes(entry))
            };
            if leads_to_images(entry_at)
                && let Some(bytes) = bytes_at(memory, at, 4096, &mut buffer).first_chunk::<4096>()
                && refers_to_itself(Page { at, bytes })
            {
                found.push(Root { way: Way::SelfReference, dtb: at, near: None });
            }
            at = at.wrapping_add(PAGE_SIZE);
        }
    }
    found
}

/// Scans all of physical memory for tables that refer to themselves; every process has one.
pub(crate) fn scan(memory: &dyn PhysicalMemory, progress: &(dyn Fn(u64, u64) + Sync)) -> Vec<Root> {
    let mut found = Vec::new();
    let is_root =
        |page: Page<'_>| leads_to_images(|offset| page.u64(usize::try_from(offset).ok()?)) && refers_to_itself(page);
    Scanner::new().pages(is_root).max_hits(usize::MAX).progress(progress).run(memory, |hit| {
        found.push(Root { way: Way::SelfReference, dtb: AddressSpace::new(memory, hit.at).root(), near: None });
        ControlFlow::Continue(())
    });
    found
}
