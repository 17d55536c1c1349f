//! Page tables that refer to themselves at one distance from where they lie: the file begins before or after the memory does.

use super::kuser::SharedData;
use super::roots;
use crate::image::{PhysicalMemory, PhysicalRun, bytes_at, runs};
use crate::{PAGE_SIZE, PhysicalAddress};
use std::cmp::Reverse;
use std::collections::HashMap;

/// Pages that are looked at: 64 MiB. System's root lies below 4 MiB as a rule, and every process has one.
const SEARCHED: usize = 0x4000;
/// Entries that are counted; hostile pages would all differ.
const MAX_COUNTED: usize = 1 << 20;
/// Tables that must agree.
const ENOUGH: u32 = 3;
/// Distances that are tried, the most frequent ones first, and tables that are tried at each.
const MAX_TRIED: usize = 8;
/// Entries of the kernel's half that may map the table itself.
const SLOTS: std::ops::Range<usize> = 0x100..0x1ff;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// How far from where they lie in the file tables refer to themselves.
#[derive(Debug)]
pub(super) struct Apart {
    /// Bytes further on.
    distance: i64,
    /// Tables that agree.
    count: u32,
    /// Some of them, where they lie in memory then.
    pub roots: Vec<PhysicalAddress>,
}

/// A part of an image is cut off at a multiple of this; what a machine leaves out between ranges of its memory seldom is one.
const CUT: u64 = 1 << 20;

/// How the file lies beside the memory, if several tables refer to where they would lie if it began elsewhere, and these lead where tables
/// must lead then. A table refers to itself in the same entry in all address spaces of one system; tables that have neighbours one after
/// the other in memory look the same, and lead nowhere.
pub(super) fn of(memory: &dyn PhysicalMemory) -> Option<Apart> {
    let mut counts: HashMap<(usize, i64), u32> = HashMap::new();
    entries(memory, &mut |_, place| {
        if counts.len() < MAX_COUNTED {
            let count = counts.entry(place).or_default();
            *count = count.saturating_add(1);
        }
    });
    // Where most refer to themselves as they lie, the file begins where the memory does.
    let mut counted: Vec<_> = counts.into_iter().filter(|(_, count)| *count >= ENOUGH).collect();
    counted.sort_by_key(|(place, count)| (Reverse(*count), *place));
    let mut moved = counted.iter().take_while(|((_, distance), _)| *distance != 0).take(MAX_TRIED);
    moved.find_map(|(place, count)| Some(Apart { distance: place.1, count: *count, roots: leads_on(memory, *place)? }))
}

impl Apart {
    /// Whether it looks as if what lies between ranges of memory, or in front of them, had been left out of the file; and how many bytes.
    pub(super) fn left_out(&self) -> Option<u64> {
        let bytes = u64::try_from(self.distance).ok()?;
        (bytes > 0 && !bytes.is_multiple_of(CUT)).then_some(bytes)
    }

    /// What is to be said of a file that is read so.
    pub(super) fn note(&self) -> String {
        format!(
            "the file leaves out what lies between the machine's ranges of memory: {} page tables show that it belongs {:#x} bytes further \
             on, and it is read so. What lies below 1 MiB, and behind a further range that was left out, may be misplaced",
            self.count,
            self.distance.unsigned_abs()
        )
    }

    /// What the file is, and what to do.
    pub(super) fn text(&self) -> String {
        let (count, bytes) = (self.count, self.distance.unsigned_abs());
        if self.left_out().is_some() {
            return format!(
                "{count} page tables refer to themselves {bytes:#x} bytes further on: the file leaves out what lies between the machine's \
                 ranges of memory, or in front of them. Acquire it in a form that keeps their addresses (LiME: format=lime, or \
                 format=padded); or put this file where most of it belongs: dd if=FILE of=OUT bs={PAGE_SIZE} seek={} conv=sparse",
                bytes / PAGE_SIZE
            );
        }
        if self.distance > 0 {
            format!(
                "{count} page tables refer to themselves {bytes:#x} bytes further on: the file begins at {} MiB of the machine's memory. It is \
                 one of several parts: join them in their order (cat PART... > OUT), and name the whole",
                bytes >> 20
            )
        } else {
            format!(
                "{count} page tables refer to themselves {bytes:#x} bytes before where they lie: the file begins with {bytes:#x} bytes that \
                 are no memory. Cut them off: dd if=FILE of=OUT bs={PAGE_SIZE} skip={}",
                bytes / PAGE_SIZE
            )
        }
    }
}

/// Calls `give` with each table that may refer to itself: where it lies, with the entry's number and how far off it leads.
fn entries(memory: &dyn PhysicalMemory, give: &mut dyn FnMut(PhysicalAddress, (usize, i64))) {
    let mut buffer = Vec::new();
    let pages = runs(memory).flat_map(|run| (run.start.0..run.end().0).step_by(0x1000));
    for at in pages.take(SEARCHED).map(PhysicalAddress) {
        let Some(page) = bytes_at(memory, at, 4096, &mut buffer).first_chunk::<4096>() else { continue };
        let entries = page.as_chunks::<8>().0.iter().map(|entry| u64::from_le_bytes(*entry)).enumerate();
        for (slot, entry) in entries.skip(SLOTS.start).take(SLOTS.len()) {
            // Present, writable, and no large page.
            if entry & 0x83 == 3 {
                give(at, (slot, (entry & ADDRESS).cast_signed().saturating_sub(at.0.cast_signed())));
            }
        }
    }
}

/// Tables at this distance, where they lie in memory then, if they are a system's: one maps the page that Windows maps at one address
/// everywhere. Of a part of memory the way to that may lie in another: there, what the tables lead to within the file must be tables.
fn leads_on(memory: &dyn PhysicalMemory, (slot, distance): (usize, i64)) -> Option<Vec<PhysicalAddress>> {
    let moved = Moved { memory, by: distance };
    let mut tables = Vec::new();
    entries(memory, &mut |at, place| {
        if place == (slot, distance) && tables.len() < MAX_TRIED {
            tables.push(at);
        }
    });
    let lies_at = |table: &PhysicalAddress| table.0.checked_add_signed(distance).map(PhysicalAddress);
    let roots: Vec<PhysicalAddress> = tables.iter().filter_map(lies_at).collect();
    let is_one = roots.iter().any(|root| SharedData::read(roots::space(&moved, *root)).is_ok())
        || distance > 0 && roots.iter().all(|root| leads_to_tables(&moved, *root));
    is_one.then_some(roots)
}

/// Whether what the upper table at `root` leads to within the file is tables, but for few, and there is some.
fn leads_to_tables(memory: &Moved<'_>, root: PhysicalAddress) -> bool {
    let mut bytes = [0; 4096];
    if memory.read(root, &mut bytes) != bytes.len() {
        return false;
    }
    let entries = bytes.as_chunks::<8>().0.iter().map(|entry| u64::from_le_bytes(*entry));
    let below = entries.filter(|entry| entry & 1 == 1).map(|entry| PhysicalAddress(entry & ADDRESS));
    let below = below.filter(|at| *at != root && memory.next_run(*at).is_some_and(|run| run.start == *at));
    let (right, wrong) = below.fold((0usize, 0usize), |(right, wrong), at| {
        if super::readings::looks_like_a_table(memory, at) {
            (right.saturating_add(1), wrong)
        } else {
            (right, wrong.saturating_add(1))
        }
    });
    right > 0 && wrong <= right / 4
}

/// Memory that lies `by` bytes further on than the file has it.
struct Moved<'m> {
    memory: &'m dyn PhysicalMemory,
    by: i64,
}

impl Moved<'_> {
    fn in_file(&self, at: PhysicalAddress) -> Option<PhysicalAddress> {
        at.0.checked_add_signed(self.by.checked_neg()?).map(PhysicalAddress)
    }
}

impl PhysicalMemory for Moved<'_> {
    fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        let run = self.memory.next_run(self.in_file(from).unwrap_or(PhysicalAddress(0)))?;
        let start = run.start.0.checked_add_signed(self.by)?;
        Some(PhysicalRun { start: PhysicalAddress(start), bytes: run.bytes })
    }

    fn read(&self, at: PhysicalAddress, buf: &mut [u8]) -> usize {
        self.in_file(at).map_or(0, |at| self.memory.read(at, buf))
    }
}
