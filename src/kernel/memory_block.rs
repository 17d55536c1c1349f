//! What the kernel has as the machine's memory: `MmPhysicalMemoryBlock`, and the count in the shared page. An image that holds less was
//! cut short, or made with gaps.
//!
//! `_PHYSICAL_MEMORY_DESCRIPTOR`, the same in the PDBs of all x64 kernels from 7601 to 26100: `NumberOfRuns` at 0, `NumberOfPages` at 8,
//! `Run` at 0x10, each with `BasePage` and `PageCount`.

use super::find::leaves;
use super::find::readings::fits;
use super::{Direction, Eprocess, Kernel, Walk};
use crate::image::{PhysicalMemory, PhysicalRun, bytes_at, runs};
use crate::memory::AddressSpace;
use crate::warning::PARTS_MISSING;
use crate::{Absent, PAGE_SIZE, PhysicalAddress, VirtualAddress};

/// A range of physical memory, `[start, end)`.
type Range = (PhysicalAddress, PhysicalAddress);

const NUMBER_OF_PAGES: usize = 8;
const RUN: usize = 0x10;
/// Ranges at most: the firmware of large servers leaves some dozens.
const MAX_RUNS: u32 = 512;
/// x64 processors have 52 bits of physical address.
const MAX_PAGES: u64 = 1 << 40;
/// Processes whose page tables are gone over.
const MAX_PROCESSES: usize = 32;
/// Ranges that a message names.
const NAMED: usize = 3;

/// The ranges in a block at `at`.
///
/// # Errors
/// It cannot be read; or it is none: its ranges are not in order, or the sum of their pages is not what it says.
pub(crate) fn read(space: AddressSpace<'_>, at: VirtualAddress) -> Result<Vec<Range>, Absent> {
    let count = space.read_u32(at)?.min(MAX_RUNS);
    let mut bytes = vec![0; usize::try_from(count).unwrap_or(0).saturating_add(1).saturating_mul(16)];
    space.read(at, &mut bytes)?;
    parse(&bytes).ok_or_else(|| Absent::unparsable(format!("no list of memory ranges at {at}")))
}

/// The ranges in the block that these bytes begin with. `None`: it is none.
fn parse(bytes: &[u8]) -> Option<Vec<Range>> {
    let word = |at: usize| bytes.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word));
    let (count, pages) = (u32::from_le_bytes(*bytes.first_chunk()?), word(NUMBER_OF_PAGES)?);
    if !(1..=MAX_RUNS).contains(&count) || pages < u64::from(count) || pages >= MAX_PAGES {
        return None;
    }
    let (mut ranges, mut sum, mut free): (Vec<Range>, u64, u64) = (Vec::new(), 0, 0);
    for n in 0..usize::try_from(count).ok()? {
        let run = n.checked_mul(16)?.checked_add(RUN)?;
        let (base, pages) = (word(run)?, word(run.checked_add(8)?)?);
        free = base.checked_add(pages).filter(|end| base >= free && pages > 0 && *end < MAX_PAGES)?;
        sum = sum.saturating_add(pages);
        let address = |page: u64| PhysicalAddress(page.saturating_mul(PAGE_SIZE));
        ranges.push((address(base), address(free)));
    }
    (sum == pages).then_some(ranges)
}

/// Bytes of a memory that are searched at a time, and how much of the last is searched again: the longest block.
const STEP: u64 = 1 << 20;
const AGAIN: usize = 16 + 16 * MAX_RUNS as usize;

/// The ranges of a block, wherever it lies in a memory, that have exactly as many pages as that: the memory has them one behind the other.
/// `None`: there is none, or all are one range.
pub(crate) fn in_a_row(memory: &dyn PhysicalMemory) -> Option<Vec<Range>> {
    let pages = runs(memory).map(|run| run.bytes).fold(0, u64::saturating_add) / PAGE_SIZE;
    let (mark, mut bytes) = (pages.to_le_bytes(), Vec::new());
    for run in runs(memory) {
        let mut at = run.start;
        while at < run.end() {
            let left = run.end().0.saturating_sub(at.0);
            let length = usize::try_from(left.min(STEP)).unwrap_or(0).saturating_add(AGAIN);
            memory.prefetch(PhysicalRun { start: at, bytes: left.min(STEP) });
            let piece = bytes_at(memory, at, length, &mut bytes);
            let found = memchr::memmem::find_iter(piece, &mark);
            let blocks = found.filter_map(|at| piece.get(at.checked_sub(NUMBER_OF_PAGES)?..).and_then(parse));
            if let Some(ranges) = blocks.filter(|ranges| ranges.len() > 1).min_by_key(Vec::len) {
                return Some(ranges);
            }
            at = at.wrapping_add(left.min(STEP));
        }
    }
    None
}

/// Ranges that stand one behind the other, each with where that is.
pub(crate) fn placed(ranges: &[Range]) -> Vec<(PhysicalRun, u64)> {
    let mut at = 0u64;
    let piece = |range: &Range| {
        let place = at;
        at = at.saturating_add(bytes(range));
        (PhysicalRun { start: range.0, bytes: bytes(range) }, place)
    };
    ranges.iter().map(piece).collect()
}

/// What of `wanted` is not in `held`; both are in order.
pub(crate) fn lacking(wanted: &[Range], held: impl IntoIterator<Item = Range>) -> Vec<Range> {
    let mut lacking = Vec::new();
    let mut held = held.into_iter().peekable();
    for &(start, end) in wanted {
        let mut at = start;
        while at < end {
            match held.peek() {
                Some((_, to)) if *to <= at => drop(held.next()),
                Some((from, to)) if *from <= at => at = *to,
                next => {
                    let to = next.map_or(end, |(from, _)| (*from).min(end));
                    lacking.push((at, to));
                    at = to;
                }
            }
        }
    }
    lacking
}

impl Kernel<'_> {
    /// The ranges of physical memory that the kernel has: `MmPhysicalMemoryBlock`.
    ///
    /// # Errors
    /// Nothing says where the block lies, or it cannot be read.
    pub(super) fn memory_ranges(&self) -> Result<Vec<Range>, Absent> {
        let pointer = self.global("MmPhysicalMemoryBlock")?;
        read(self.space, self.space.read_pointer(pointer)?)
    }

    /// The number of the reading of the image that holds all memory that the kernel has. `None`: the one in use does, or none does, or
    /// page tables fit none.
    pub(super) fn reading_with_all_memory(&self) -> Option<usize> {
        let range = |run: PhysicalRun| (run.start, run.end());
        let ranges = self.memory_ranges().ok()?;
        if lacking(&ranges, runs(self.image).map(range)).is_empty() {
            return None;
        }
        let all = self.image.other_readings().filter(|(_, _, memory)| {
            lacking(&ranges, runs(*memory).map(range)).is_empty() && fits(self.image, *memory, self.space.root())
        });
        all.map(|(number, ..)| number).next()
    }

    /// The number of the reading of the image under which pages are in their places that lie behind its end, where the kernel's own list
    /// does not tell: see [`leaves`].
    pub(super) fn reading_by_pages(&self) -> Option<usize> {
        if self.memory_ranges().is_ok() {
            return None;
        }
        let links = self.layouts().process.links.offset;
        let head = self.global("PsActiveProcessHead").ok()?;
        let listed = Walk::new(self.space(), head, Direction::Forward, MAX_PROCESSES);
        let roots = listed.filter_map(|entry| Eprocess::read(self, entry.wrapping_sub(links)).root().ok());
        leaves::reading(self.image, roots.map(|root| (root, leaves::ALL)))
    }

    /// What is to be said of an image that ends within a page. `None`: it does not.
    pub(super) fn image_ends_in_a_page(&self) -> Option<String> {
        let over = runs(self.image).last()?.end().0 % PAGE_SIZE;
        (over != 0).then(|| {
            format!("The image ends {over} bytes into a page: it was cut there, or something that is no memory was added to it")
        })
    }

    /// What is to be said of an image that holds less memory than the kernel has. `None`: it holds all, or leaves out what it lacks on
    /// purpose, or nothing tells.
    pub(super) fn image_is_short(&self) -> Option<String> {
        if self.image.leaves_out() {
            return None;
        }
        let range = |run: PhysicalRun| (run.start, run.end());
        match self.memory_ranges() {
            Ok(ranges) => {
                let lacking = lacking(&ranges, runs(self.image).map(range));
                let end = runs(self.image).last().map_or(PhysicalAddress(0), |run| run.end());
                let top = ranges.last().map_or(PhysicalAddress(0), |(_, end)| *end);
                let named: Vec<String> =
                    lacking.iter().take(NAMED).map(|(start, end)| format!("{start} to {end}")).collect();
                let more = if lacking.len() > NAMED { ", and others" } else { "" };
                let sum = Amount(lacking.iter().map(bytes).fold(0, u64::saturating_add));
                (!lacking.is_empty()).then(|| {
                    let what = format!(
                        "{sum} of the machine's memory are not in the image, by the kernel's own list (MmPhysicalMemoryBlock): {}{more}.",
                        named.join(", ")
                    );
                    if top > end {
                        format!(
                            "{what} The image ends at {end}, the memory at {top}: it was cut short, or {PARTS_MISSING}. Copy \
                             it again, or name the first part with the others beside it"
                        )
                    } else {
                        format!("{what} What lies there is missing, whatever wrote the image")
                    }
                })
            }
            Err(_) => {
                let counted = u64::from(self.shared.as_ref()?.physical_pages).saturating_mul(PAGE_SIZE);
                let held = runs(self.image).map(|run| run.bytes).fold(0, u64::saturating_add);
                let lacking = counted.checked_sub(held).filter(|lacking| *lacking > 0)?;
                Some(format!(
                    "The system counts {} KiB of memory (KUSER_SHARED_DATA.NumberOfPhysicalPages), and the image holds {} KiB: {} KiB or \
                     more are not in it. It was cut short, or {PARTS_MISSING}",
                    counted >> 10,
                    held >> 10,
                    lacking >> 10
                ))
            }
        }
    }
}

fn bytes((start, end): &Range) -> u64 {
    end.0.saturating_sub(start.0)
}

/// Bytes, for people.
struct Amount(u64);

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes @ 0..0x10_0000 => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{} MiB", bytes >> 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(of: &[(u64, u64)]) -> Vec<Range> {
        of.iter().map(|(start, end)| (PhysicalAddress(*start), PhysicalAddress(*end))).collect()
    }

    #[test]
    fn what_is_not_held() {
        let wanted = ranges(&[(1, 10), (20, 30), (40, 50)]);
        for (held, missing) in [
            (&[(0, 100)][..], &[][..]),
            (&[(1, 10), (20, 30), (40, 50)], &[]),
            (&[(0, 25)], &[(25, 30), (40, 50)]),
            (&[(0, 5), (6, 7), (8, 45), (46, 47)], &[(5, 6), (7, 8), (45, 46), (47, 50)]),
            (&[(60, 70)], &[(1, 10), (20, 30), (40, 50)]),
            (&[], &[(1, 10), (20, 30), (40, 50)]),
        ] {
            assert_eq!(lacking(&wanted, ranges(held)), ranges(missing), "{held:?}");
        }
    }
}
