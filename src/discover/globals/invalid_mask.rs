//! `MiState.Hardware.InvalidPteMask`, by what the entries show that are not present.
//!
//! Kernels since the updates of 2018 set the bits of this mask in every such entry, so that the processor does not look ahead at memory
//! there. They lie above all memory that the machine has. So the frames of pages in transition show it: all have the same bits above the
//! memory. Where no page is in transition, the places in page files show it: its bits are set in all of them, and the kernel has the
//! mask as a variable. An entry of which the mask's bits were set before says so by its swizzle bit.

use crate::addr::PAGE_BYTES;
use crate::discover::data::KernelData;
use crate::image::{PhysicalMemory, holds};
use crate::kernel::{Layouts, prototype_arrays};
use crate::memory::{AddressSpace, MASK_BITS, Shown, Trace, traces, traces_of_table};
use crate::{PhysicalAddress, VirtualAddress};
use std::collections::BTreeMap;
use std::ops::Range;

/// Entries that are asked: one tells, more confirm it.
const ENOUGH: usize = 64;
/// Entries that are kept of one walk: 64 tables full of them.
const MOST: usize = 1 << 15;
/// Page tables that are read for it in the kernel's half, which has some ten thousand on a busy system, and again in those of processes.
const MAX_TABLES: usize = 1 << 12;
/// Ranges of one process whose prototype entries are read, and ranges of all.
const MAX_RANGES: usize = 512;
const MAX_ALL_RANGES: usize = 1 << 13;
/// Of so many entries one may say otherwise: memory is copied while the machine runs, and a table can be another page by then.
const TORN: usize = 16;

const ALL: Range<VirtualAddress> = VirtualAddress(0)..VirtualAddress(u64::MAX);
/// Where processes have memory of their own.
const USER: Range<VirtualAddress> = VirtualAddress(0)..VirtualAddress(1 << 63);

/// What the entries say of the mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mask {
    /// It is this; 0: the kernel has none.
    Shown(u64),
    /// There are no entries that would show it.
    #[default]
    NotShown,
    /// They contradict one another, or could have several.
    Unclear,
}

/// The mask, by the page tables and the prototype entries of `processes`.
pub(crate) fn find(
    space: AddressSpace<'_>,
    data: &KernelData,
    layouts: &Layouts,
    processes: &[VirtualAddress],
) -> Mask {
    let mut found = traces(space, ALL, &mut { MAX_TABLES }, MOST);
    let (mut tables, mut ranges) = (MAX_TABLES, MAX_ALL_RANGES);
    // The kernel's half is the same in all.
    for process in processes {
        if frames(&found).count() >= ENOUGH || found.len() >= MOST {
            break;
        }
        if let Some(own) = space.read_u64(process.wrapping_add(layouts.process.dtb.offset)).ok().filter(|own| *own != 0)
        {
            let own = space.with_root(PhysicalAddress(own));
            found.extend(traces(own, USER, &mut tables, MOST));
        }
        found.extend(of_sections(space, layouts, *process, &mut ranges));
    }
    match by_frames(space.memory(), &found) {
        Mask::NotShown => by_places(data, &found),
        mask => mask,
    }
}

fn frames(found: &[Trace]) -> impl Iterator<Item = u64> {
    found.iter().filter(|trace| !trace.swizzled).filter_map(|trace| match trace.shown {
        Shown::Frame(frame) => Some(frame),
        Shown::Place | Shown::Ones => None,
    })
}

/// What the prototype entries of the sections show that a process has mapped.
fn of_sections(space: AddressSpace<'_>, layouts: &Layouts, process: VirtualAddress, ranges: &mut usize) -> Vec<Trace> {
    let arrays = prototype_arrays(space, layouts, process, MAX_RANGES.min(*ranges));
    *ranges = ranges.saturating_sub(arrays.len());
    let mut found = Vec::new();
    for array in arrays {
        let bytes = usize::try_from(array.end.0.saturating_sub(array.start.0)).unwrap_or(usize::MAX).min(PAGE_BYTES);
        let mut entries = vec![0u8; bytes];
        let (read, _) = space.read_some(array.start, &mut entries);
        let (entries, _) = entries.get(..read).unwrap_or_default().as_chunks::<8>();
        found.extend(traces_of_table(entries));
    }
    found
}

/// All but a few.
fn nearly_all(some: usize, all: usize) -> bool {
    some > 0 && some >= all.saturating_sub(all / TORN)
}

/// By the frames: what they have above the memory is the same in all, and what they have within it is there.
pub(crate) fn by_frames(memory: &dyn PhysicalMemory, found: &[Trace]) -> Mask {
    if frames(found).next().is_none() {
        return Mask::NotShown;
    }
    let Some(top) = (0..u64::BITS).rev().find(|bit| memory.next_run(PhysicalAddress(1 << bit)).is_some()) else {
        return Mask::Unclear;
    };
    // The bits of all frames within the memory.
    let within = u64::MAX >> 63u32.saturating_sub(top);
    let mut masks: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    for frame in frames(found) {
        let (count, there) = masks.entry(frame & !within).or_default();
        *count = count.saturating_add(1);
        *there = there.saturating_add(usize::from(holds(memory, PhysicalAddress(frame & within))));
    }
    let all = frames(found).count();
    let most = masks.into_iter().max_by_key(|(_, (count, _))| *count);
    let Some((mask, (count, there))) = most else { return Mask::Unclear };
    // Lower bits above the memory that is in the image mean that the image is cut short.
    let beyond = mask == 0 || mask.trailing_zeros() >= *MASK_BITS.start();
    if beyond && there > 0 && nearly_all(count, all) { Mask::Shown(mask) } else { Mask::Unclear }
}

/// By the places in page files: a mask of one bit that all have, and that is in the kernel's data.
fn by_places(data: &KernelData, found: &[Trace]) -> Mask {
    let places: Vec<&Trace> = found.iter().filter(|trace| trace.shown == Shown::Place).collect();
    let swizzled = found.iter().filter(|trace| trace.swizzled).count();
    let is_masked = swizzled > found.len() / TORN;
    let ones = found.len().saturating_sub(places.len());
    if found.is_empty() {
        return Mask::NotShown;
    }
    // All their bits are set, those of a mask too: they would say so.
    if ones > 0 && !is_masked {
        return Mask::Shown(0);
    }
    let in_all = |bit: &u32| {
        let having = places.iter().filter(|place| place.entry & 1u64.wrapping_shl(*bit) != 0).count();
        places.is_empty() || nearly_all(having, places.len())
    };
    let candidates: Vec<u64> = MASK_BITS.filter(in_all).map(|bit| 1u64.wrapping_shl(bit)).collect();
    let mut held = candidates.iter().copied().filter(|mask| data.holding(*mask).next().is_some());
    match (is_masked, candidates.as_slice(), held.next(), held.next()) {
        (true, [mask], ..) => Mask::Shown(*mask),
        (_, _, Some(mask), None) => Mask::Shown(mask),
        (false, _, None, _) => Mask::Shown(0),
        _ => Mask::Unclear,
    }
}
