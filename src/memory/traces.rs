//! Entries of page tables that are not present, by themselves: what they show of the mask that their kernel sets in them.

use super::arch::Present;
use super::space::AddressSpace;
use super::windows_pte::{Trace, traces_of_table};
use crate::addr::PAGE_BYTES;
use crate::{PhysicalAddress, VirtualAddress};
use std::collections::HashSet;
use std::ops::Range;

/// What the entries show that are not present. Each table looked at takes one from `budget`; `most`: how many are kept. `addresses`: the
/// part of the address space that is looked at.
pub fn traces(
    space: AddressSpace<'_>,
    addresses: Range<VirtualAddress>,
    budget: &mut usize,
    most: usize,
) -> Vec<Trace> {
    let arch = space.architecture();
    let mut found = Vec::new();
    let mut seen = HashSet::from([space.root()]);
    // Tables, each with its level and the first address that it translates.
    let mut left: Vec<(PhysicalAddress, usize, u64)> = vec![(space.root(), 0, 0)];
    while let Some((at, index, first)) = left.pop() {
        let (Some(rest), Some(level)) = (budget.checked_sub(1), arch.level(index)) else { break };
        *budget = rest;
        let mut table = [0u8; PAGE_BYTES];
        if space.memory().read(at, &mut table) < table.len() {
            continue;
        }
        let (entries, _) = table.as_chunks::<8>();
        let mut own = Vec::new();
        for (number, entry) in (0u64..).zip(entries) {
            let start = first.wrapping_add(number.wrapping_shl(level.shift));
            if !addresses.contains(&arch.canonical(start)) && index == 0 {
                continue;
            }
            let entry = u64::from_le_bytes(*entry);
            if entry & arch.present == 0 {
                own.push(entry.to_le_bytes());
                continue;
            }
            // The top table leads to itself too.
            if let Present::Table(next) = arch.present(entry, level)
                && left.len() < *budget
                && seen.insert(next)
            {
                left.push((next, index.saturating_add(1), start));
            }
        }
        if found.len() < most {
            found.extend(traces_of_table(&own));
        }
    }
    found
}
