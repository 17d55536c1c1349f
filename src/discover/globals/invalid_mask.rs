//! `MiState.Hardware.InvalidPteMask`, by what the page tables show of it.
//!
//! Windows 10 1803 and later set the bits of this mask in every entry that is not present, so that the processor does not look ahead
//! at memory there. They lie above all memory that the machine has. So the frames of pages in transition show it: all have the same bits
//! above the memory. An entry of which the mask's bits were set before says so by its swizzle bit.

use crate::image::holds;
use crate::kernel::Layouts;
use crate::memory::{AddressSpace, transition_frames};
use crate::{PhysicalAddress, VirtualAddress};
use std::collections::BTreeSet;
use std::ops::Range;

/// Pages in transition that are asked: one tells, more confirm it.
const ENOUGH: usize = 64;
/// Page tables that are read for it in the kernel's half, which has some ten thousand on a busy system, and again in those of processes.
const MAX_TABLES: usize = 1 << 12;
/// The lowest bit that may be in the mask. It is meant to lie beyond memory whatever the machine has, and x64 processors have 36 address
/// bits at least. Lower bits above the memory that is in the image mean that the image is cut short.
const LOWEST_BIT: u32 = 35;

const ALL: Range<VirtualAddress> = VirtualAddress(0)..VirtualAddress(u64::MAX);
/// Where processes have memory of their own.
const USER: Range<VirtualAddress> = VirtualAddress(0)..VirtualAddress(1 << 63);

/// The mask. `None`: no page is in transition, or they contradict each other.
pub(super) fn find(space: AddressSpace<'_>, layouts: &Layouts, processes: &[VirtualAddress]) -> Option<u64> {
    let memory = space.memory();
    // The bits of all frames within the memory.
    let top = (0..u64::BITS).rev().find(|bit| memory.next_run(PhysicalAddress(1 << bit)).is_some())?;
    let within = u64::MAX >> 63u32.saturating_sub(top);
    let root = |process: &VirtualAddress| {
        space.read_u64(process.wrapping_add(layouts.process.dtb.offset)).ok().map(PhysicalAddress)
    };
    let roots = processes.iter().filter_map(root).filter(|root| !root.is_null());
    let mut frames = BTreeSet::from_iter(transition_frames(space, ALL, &mut { MAX_TABLES }));
    let mut budget = MAX_TABLES;
    // The kernel's half is the same in all.
    for own in roots {
        if frames.len() >= ENOUGH || budget == 0 {
            break;
        }
        frames.extend(transition_frames(space.with_root(own), USER, &mut budget));
    }
    let mask = frames.first()? & !within;
    let fits = |frame: &u64| frame & !within == mask;
    let in_memory = |frame: &u64| holds(memory, PhysicalAddress(*frame & within));
    let beyond = mask == 0 || mask.trailing_zeros() >= LOWEST_BIT;
    (beyond && frames.iter().all(fits) && frames.iter().any(in_memory)).then_some(mask)
}
