//! The numbers that a kernel's image holds: where no symbols name a variable, what it leads to tells it.

use crate::addr::PAGE_BYTES;
use crate::memory::AddressSpace;
use crate::{PAGE_SIZE, VirtualAddress};
use std::ops::Range;

/// Every aligned 64-bit number in a range, with its address. Pages that are not in memory are passed over.
pub(super) fn words(
    space: AddressSpace<'_>,
    range: Range<VirtualAddress>,
) -> impl Iterator<Item = (VirtualAddress, VirtualAddress)> {
    let pages = range.end.0.saturating_sub(range.start.0) / PAGE_SIZE;
    let starts = (0..pages).map(move |page| range.start.wrapping_add(page.wrapping_mul(PAGE_SIZE)));
    starts.flat_map(move |start| {
        let page = space.read_array::<PAGE_BYTES>(start).ok();
        let words: Vec<u64> =
            page.iter().flat_map(|page| page.as_chunks::<8>().0).map(|word| u64::from_le_bytes(*word)).collect();
        let at = move |index: u64| start.wrapping_add(index.wrapping_mul(8));
        (0u64..).zip(words).map(move |(index, word)| (at(index), VirtualAddress(word)))
    })
}
