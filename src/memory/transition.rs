//! Pages in transition, by their entries alone.

use super::paging;
use super::space::AddressSpace;
use crate::PhysicalAddress;
use std::collections::HashSet;
use std::ops::Range;

/// The frame bits of entries that say that their page is in transition (and that they hold no swizzled bits), as they stand in the
/// entries: whatever mask Windows sets in such entries is in them. `slots`: which entries of the top table lead to the tables that are
/// looked at. Each table looked at takes one from `budget`.
pub fn transition_frames(space: AddressSpace<'_>, slots: Range<usize>, budget: &mut usize) -> Vec<u64> {
    let mut frames = Vec::new();
    let mut seen = HashSet::from([space.root()]);
    let mut left: Vec<(PhysicalAddress, usize)> = vec![(space.root(), 0)];
    while let Some((at, level)) = left.pop() {
        let Some(rest) = budget.checked_sub(1) else { break };
        *budget = rest;
        let mut table = [0u8; 4096];
        if space.memory().read(at, &mut table) < table.len() {
            continue;
        }
        let (entries, _) = table.as_chunks::<8>();
        let slots = if level == 0 { slots.clone() } else { 0..entries.len() };
        for entry in entries.get(slots).into_iter().flatten() {
            let entry = u64::from_le_bytes(*entry);
            match paging::table_below(entry, level) {
                // The top table leads to itself too.
                Some(next) if left.len() < *budget && seen.insert(next) => left.push((next, level.saturating_add(1))),
                Some(_) => {}
                None => frames.extend(paging::transition_frame(entry)),
            }
        }
    }
    frames
}
