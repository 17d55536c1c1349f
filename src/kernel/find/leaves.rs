//! Where the hole is that a file lacks, by pages that know their own address: page tables may all lie below it.
//!
//! A list head that is empty points to itself, and what a list leads to points back. A page in which one does so where its page table says
//! that it lies is in its place; under another reading of the file some other page is there, whose lists are elsewhere.

use super::roots;
use crate::image::{PhysicalMemory, bytes_at, runs};
use crate::memory::AddressSpace;
use crate::{MemoryImage, PAGE_SIZE, PhysicalAddress, VirtualAddress};
use std::ops::Range;

/// The kernel's half of an address space, and a process's.
pub(crate) const KERNEL: Range<VirtualAddress> = VirtualAddress(0xffff_8000_0000_0000)..VirtualAddress(u64::MAX);
pub(crate) const USER: Range<VirtualAddress> = VirtualAddress(0x1_0000)..VirtualAddress(0x7fff_ffff_f000);

/// Memory behind the hole begins here, and the hole at 2 GiB at the lowest.
const ABOVE: u64 = 1 << 32;
const LOWEST: u64 = 0x8000_0000;
/// Mapped pieces that are gone over in one address space, and pages above the hole that are looked at in all.
const MAX_REGIONS: usize = 1 << 14;
const MAX_PAGES: usize = 128;
/// Pages that must be in their places: one may be by chance.
const ENOUGH: usize = 2;

/// A page that a page table puts above the hole.
struct Leaf {
    root: PhysicalAddress,
    at: VirtualAddress,
    physical: PhysicalAddress,
}

/// The number of the reading of the image under which pages are in their places that lie behind its end as it is read now. `None`: there is
/// none behind it, or no reading, or not one alone, has them.
pub(crate) fn reading(
    image: &MemoryImage,
    spaces: impl IntoIterator<Item = (PhysicalAddress, Range<VirtualAddress>)>,
) -> Option<usize> {
    // Of an image that is far away every table is a round trip.
    if image.is_far() || image.other_readings().all(|(_, moved, _)| moved) {
        return None;
    }
    let (mut end, mut bytes) = (0u64, 0u64);
    for run in runs(image) {
        (end, bytes) = (run.end().0, bytes.saturating_add(run.bytes));
    }
    let highest = ABOVE.saturating_add(bytes.saturating_sub(LOWEST));
    let mut pages: Vec<Leaf> = Vec::new();
    for (root, range) in spaces {
        let regions = roots::space(image, root).regions(range.start, range.end).take(MAX_REGIONS);
        let above = regions
            .filter(|region| region.bytes == PAGE_SIZE && (end.max(ABOVE)..highest).contains(&region.physical.0));
        let left = MAX_PAGES.saturating_sub(pages.len());
        pages.extend(above.take(left).map(|region| Leaf { root, at: region.at, physical: region.physical }));
    }
    if pages.len() < ENOUGH {
        return None;
    }
    let mut counted: Vec<(usize, usize)> = image
        .other_readings()
        .filter(|(_, moved, _)| !moved)
        .map(|(number, _, memory)| (in_place(memory, &pages), number))
        .collect();
    counted.sort_unstable_by_key(|(count, _)| std::cmp::Reverse(*count));
    let (best, number) = *counted.first()?;
    let second = counted.get(1).map_or(0, |(count, _)| *count);
    (best >= ENOUGH && second <= best / 2).then_some(number)
}

/// How many of these pages are in their places in a memory.
fn in_place(memory: &dyn PhysicalMemory, pages: &[Leaf]) -> usize {
    let mut space: Option<AddressSpace<'_>> = None;
    let mut buffer = Vec::new();
    let known = pages.iter().filter(|page| {
        let bytes = bytes_at(memory, page.physical, 4096, &mut buffer);
        let of_page = space.filter(|space| space.root() == page.root);
        let of_page = *space.insert(of_page.unwrap_or_else(|| roots::space(memory, page.root)));
        knows_its_address(bytes, page.at, of_page)
    });
    known.count()
}

/// Whether something in a page points to itself, or to what points back.
fn knows_its_address(bytes: &[u8], page: VirtualAddress, space: AddressSpace<'_>) -> bool {
    let mut own = page.wrapping_sub(8).0;
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).any(|word| {
        own = own.wrapping_add(8);
        let is_address = word % 8 == 0 && word >= USER.start.0 && (word <= USER.end.0 || word >= KERNEL.start.0);
        // A list entry is a link forward and one back.
        is_address && (word == own || space.read_u64(VirtualAddress(word.wrapping_add(8))) == Ok(own))
    })
}
