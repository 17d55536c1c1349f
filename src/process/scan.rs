//! Processes by what they look like: every page of physical memory is searched for process objects, linked anywhere or not.
//!
//! A process object is known by values that the kernel itself depends on, so that a process cannot hide by changing them and
//! live. Its pool header is only a second way to it: since Windows 10 1903 not every allocation has one.

use super::found::Found;
use crate::image::PhysicalMemory;
use crate::kernel::{Eprocess, Kernel, ObjectTypes, PROCESS_OBJECT};
use crate::memory::scan_pages;
use crate::{Absent, ListEnd, PAGE_SIZE, PhysicalAddress, VirtualAddress};
use std::collections::BTreeMap;

/// A process object in physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub physical: PhysicalAddress,
    /// Where it says itself that it lies: some of its empty lists point to themselves.
    pub address: VirtualAddress,
    /// The kernel's page tables map that address to this place.
    mapped: bool,
}

/// Pool blocks and what is in them lie at multiples of this (x64).
const STEP: usize = 16;
/// `Proc`, and the same with the bit that protects the block from being freed under a wrong tag (up to 7).
const TAGS: [[u8; 4]; 2] = [*b"Proc", *b"Pro\xe3"];
/// Bytes from a pool header to the object header at least, and to the object at most: all optional headers, and the start of
/// an aligned block.
const OBJECT_AFTER_TAG: std::ops::RangeInclusive<usize> = 0x40..=0x140;
/// 1990-01-01 and 2200-01-01: no process was created before or after.
const CREATED: std::ops::Range<u64> = 122_756_256_000_000_000..189_025_920_000_000_000;

/// Searches all of memory. Results are in the order of physical addresses, once per process object.
///
/// # Errors
/// The symbols lack what a process object is known by.
pub(super) fn scan(kernel: &Kernel<'_>, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Vec<Hit>, Absent> {
    let look = Look::new(kernel)?;
    let memory = kernel.image();
    let hits = scan_pages(memory, |at, page| look.page(at, page), |_| false, progress);
    // A copy of a process object elsewhere says that it lies where the object does: the one that is mapped there counts.
    let mut by_address: BTreeMap<VirtualAddress, Hit> = BTreeMap::new();
    for hit in hits.into_iter().flatten() {
        let kept = by_address.entry(hit.address).or_insert(hit);
        if hit.mapped && !kept.mapped {
            *kept = hit;
        }
    }
    let mut hits: Vec<Hit> = by_address.into_values().collect();
    hits.sort_by_key(|hit| hit.physical);
    Ok(hits)
}

/// What a scan gives to the list: the address of every object, with its place for those that are not mapped any more.
pub(super) fn found(hits: &[Hit]) -> Found {
    let places = hits.iter().filter(|hit| !hit.mapped).map(|hit| (hit.address, hit.physical)).collect();
    Found { addresses: hits.iter().map(|hit| hit.address).collect(), places, judged: true, end: ListEnd::Complete }
}

/// What to look for in this kernel's memory.
struct Look<'k> {
    kernel: &'k Kernel<'k>,
    types: Option<ObjectTypes<'k>>,
    /// Offsets in a page are `usize`.
    size_at: usize,
    /// Two heads of lists near the start of the object: they are empty as a rule, and then point to themselves.
    heads_at: [usize; 2],
    dtb_at: usize,
    /// `sizeof(_KPROCESS) / 4` cut to 8 bits, which `DISPATCHER_HEADER.Size` is; some builds leave it 0.
    size: u8,
}

impl<'k> Look<'k> {
    fn new(kernel: &'k Kernel<'k>) -> Result<Self, Absent> {
        let layout = &kernel.layouts().process;
        let missing = |name: &str| Absent::no_symbol(format!("_KPROCESS.{name}"));
        let place = |offset: u64| usize::try_from(offset).map_err(|_| Absent::unparsable("offset out of range"));
        let kind = layout.header_type.ok_or_else(|| missing("Header.Type"))?;
        if kind.offset != 0 {
            return Err(Absent::unparsable("_KPROCESS.Header.Type is not at its start"));
        }
        let [size, ..] = (kernel.layouts().kprocess.as_ref()?.size / 4).to_le_bytes();
        Ok(Self {
            kernel,
            types: ObjectTypes::read(kernel).ok(),
            size_at: place(layout.header_size.ok_or_else(|| missing("Header.Size"))?.offset)?,
            heads_at: [
                place(layout.wait_list.ok_or_else(|| missing("Header.WaitListHead"))?.offset)?,
                place(layout.profile_list.ok_or_else(|| missing("ProfileListHead"))?.offset)?,
            ],
            dtb_at: place(layout.dtb.offset)?,
            size,
        })
    }

    /// The process objects that start in one page.
    fn page(&self, at: PhysicalAddress, page: &[u8; 4096]) -> Option<Vec<Hit>> {
        let mut hits: Vec<Hit> = Vec::new();
        let mut add = |offset: usize| {
            let physical = at.wrapping_add(u64::try_from(offset).unwrap_or(0));
            if !hits.iter().any(|hit| hit.physical == physical) {
                hits.extend(self.process(physical));
            }
        };
        for (offset, block) in (0..).step_by(STEP).zip(page.chunks_exact(STEP)) {
            // Nearly all blocks of nearly all images end here.
            if block.first() == Some(&PROCESS_OBJECT) && self.resembles(page, offset) {
                add(offset);
            }
            if block.get(4..8).is_some_and(|tag| TAGS.iter().any(|known| known == tag)) {
                let after = OBJECT_AFTER_TAG.step_by(STEP).filter_map(|distance| offset.checked_add(distance));
                after.filter(|offset| self.could_be(page, *offset)).for_each(&mut add);
            }
        }
        (!hits.is_empty()).then_some(hits)
    }

    /// Whether a dispatcher header of a process lies at `offset`.
    fn resembles(&self, page: &[u8; 4096], offset: usize) -> bool {
        let size = offset.checked_add(self.size_at).and_then(|at| page.get(at));
        size.is_some_and(|size| *size == 0 || *size == self.size) && self.could_be(page, offset)
    }

    /// Whether the two list heads and the page-table root at `offset` could be a process's: one head may be cleared, not
    /// both. What lies behind the page is not looked at here.
    fn could_be(&self, page: &[u8; 4096], offset: usize) -> bool {
        let number = |field: usize| {
            let bytes = page.get(offset.checked_add(field)?..)?.first_chunk()?;
            Some(u64::from_le_bytes(*bytes))
        };
        let head = |field: usize| number(field).zip(number(field.saturating_add(8)));
        let links = |(forward, backward): (u64, u64)| {
            is_pointer(VirtualAddress(forward)) && is_pointer(VirtualAddress(backward))
        };
        let heads = self.heads_at.map(head);
        offset < page.len()
            && heads.iter().flatten().all(|head| *head == (0, 0) || links(*head))
            && heads.iter().any(|head| *head != Some((0, 0)))
            && number(self.dtb_at).is_none_or(|root| root >= PAGE_SIZE && root >> 52 == 0)
    }

    /// Reads the object at `physical` and judges it by all that can be said of a process.
    fn process(&self, physical: PhysicalAddress) -> Option<Hit> {
        let (address, mapped) = self.own_address(physical)?;
        let process = Eprocess::read_at(self.kernel, address, Some(physical).filter(|_| !mapped));
        process.has_process_values(|created| CREATED.contains(&created.0)).then_some(())?;
        // Objects of another system (a virtual machine's, an earlier boot's) are not mapped by this one, and the type in
        // front of them is hidden with another cookie.
        (mapped || self.is_typed(address, physical)).then_some(Hit { physical, address, mapped })
    }

    /// Where the object at `physical` says that it lies, and whether it does.
    fn own_address(&self, physical: PhysicalAddress) -> Option<(VirtualAddress, bool)> {
        let layout = &self.kernel.layouts().process;
        let space = self.kernel.space();
        let heads = [
            layout.wait_list.map(|field| field.offset),
            layout.profile_list.map(|field| field.offset),
            layout.threads_head.map(|field| field.offset),
            Some(layout.links.offset),
        ];
        let mut first = None;
        for offset in heads.into_iter().flatten() {
            let Some([forward, backward]) = self.links(physical.wrapping_add(offset)) else { continue };
            // An empty list points to itself; of another one the next entry points back.
            let own = if forward == backward { Some(forward) } else { None };
            let back = || space.read_pointer(forward.wrapping_add(8)).ok();
            for head in [own, back().filter(|_| is_pointer(forward))].into_iter().flatten() {
                let address = head.wrapping_sub(offset);
                if !is_pointer(address) || address.page_offset() != physical.page_offset() {
                    continue;
                }
                if space.translate(address) == Ok(physical) {
                    return Some((address, true));
                }
                first = first.or(own.map(|_| address));
            }
        }
        first.map(|address| (address, false))
    }

    /// The two links of the list head at `at`, which may lie in the next page of physical memory only by chance: there they
    /// are taken for none.
    fn links(&self, at: PhysicalAddress) -> Option<[VirtualAddress; 2]> {
        let mut bytes = [0u8; 16];
        let memory: &dyn PhysicalMemory = self.kernel.image();
        (memory.read(at, &mut bytes) == bytes.len()).then_some(())?;
        let (links, _) = bytes.as_chunks::<8>();
        let mut links = links.iter().map(|link| VirtualAddress(u64::from_le_bytes(*link)));
        Some([links.next()?, links.next()?])
    }

    /// Whether the object header in front says that this is a process, or was one.
    fn is_typed(&self, address: VirtualAddress, physical: PhysicalAddress) -> bool {
        let typed = || {
            let types = self.types.as_ref()?;
            let layout = self.kernel.layouts().object_header.as_ref().ok()?;
            let header = types.header(address).ok()?;
            // In the page in front of a page's start something else lies.
            (header.page() == address.page()).then_some(())?;
            let place = physical.wrapping_sub(layout.body.offset).wrapping_add(layout.type_index.offset);
            let mut stored = [0u8];
            let memory: &dyn PhysicalMemory = self.kernel.image();
            (memory.read(place, &mut stored) == 1).then_some(())?;
            let [stored] = stored;
            let index = types.decode(header, stored);
            Some(index == ObjectTypes::FREED || types.name(index) == Some("Process"))
        };
        typed() == Some(true)
    }
}

/// Kernel addresses that a list entry can have (canonical, 8-byte aligned).
fn is_pointer(address: VirtualAddress) -> bool {
    address.0 >> 47 == 0x1_ffff && address.0.is_multiple_of(8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn range_of_creation_times() {
        assert_eq!(Timestamp(CREATED.start).to_string(), "1990-01-01T00:00:00.0000000Z");
        assert_eq!(Timestamp(CREATED.end).to_string(), "2200-01-01T00:00:00.0000000Z");
    }
}
