//! Processes by what they look like: every page of physical memory is searched for process objects, linked anywhere or not.
//!
//! A process object is known by values that the kernel itself depends on, so that a process cannot hide by changing them and
//! live. Its pool header is only a second way to it: large allocations have none, and since Windows 10 1903 not every small one
//! has it where it used to be.

use super::PID_END;
use super::allocation::{Allocations, MAX_BEFORE_OBJECT, MIN_BEFORE_OBJECT};
use super::found::Found;
use super::own_address::{Place, is_pointer, own_address};
use crate::image::holds;
use crate::kernel::{Eprocess, Kernel, PROCESS_OBJECT};
use crate::memory::{Page, Scanner, Word};
use crate::symbols::Stored as _;
use crate::{Absent, ListEnd, PAGE_SIZE, PhysicalAddress, Timestamp, VirtualAddress};
use std::collections::{BTreeMap, BTreeSet};

/// Objects lie at multiples of this: pool blocks do (x64), and so do all headers in them.
pub(super) const STEP: usize = 16;
/// 1990-01-01 and 2200-01-01: no process was created before or after.
pub(crate) const CREATED: std::ops::Range<u64> = 122_756_256_000_000_000..189_025_920_000_000_000;

/// What a process object of this kernel looks like.
pub(crate) struct ProcessLook<'k> {
    kernel: &'k Kernel<'k>,
    allocations: Allocations<'k>,
    /// Two heads of lists near the start of the object: they are empty as a rule, and then point to themselves.
    heads_at: [usize; 2],
    /// Where links lie that tell the object's address.
    links_at: Vec<u64>,
    dtb_at: usize,
    /// What the dispatcher header begins with.
    headers: Vec<Word>,
    /// There is no kernel whose page tables and types could say what an object is: its values must.
    by_values: bool,
}

impl<'k> ProcessLook<'k> {
    /// # Errors
    /// The symbols lack what a process object is known by.
    pub(crate) fn new(kernel: &'k Kernel<'k>) -> Result<Self, Absent> {
        let layout = &kernel.layouts().process;
        let missing = |name: &str| Absent::no_symbol(format!("_KPROCESS.{name}"));
        let place = |offset: u64| usize::try_from(offset).map_err(|_| Absent::unparsable("offset out of range"));
        let kind = layout.header_type.ok_or_else(|| missing("Header.Type"))?;
        let size_at = layout.header_size.ok_or_else(|| missing("Header.Size"))?.offset;
        if kind.offset != 0 || !(1..4).contains(&size_at) {
            return Err(Absent::unparsable("_KPROCESS.Header does not begin with its type and size"));
        }
        let wait_list = layout.wait_list.ok_or_else(|| missing("Header.WaitListHead"))?.offset;
        let profile_list = layout.profile_list.ok_or_else(|| missing("ProfileListHead"))?.offset;
        // `sizeof(_KPROCESS) / 4` cut to 8 bits is `DISPATCHER_HEADER.Size`; some builds leave it 0.
        // Where the size is not known, System's own header says what stands there.
        let size = match &kernel.layouts().kprocess {
            Ok(kprocess) => (kprocess.size / 4).to_le_bytes().first().copied(),
            Err(_) => kernel
                .system()
                .and_then(|system| kernel.space().read_array(system.wrapping_add(size_at)).ok())
                .map(|[size]| size),
        };
        let size = size.ok_or_else(|| missing("Header.Size"))?;
        let header = |size: u8| {
            let [mut mask, mut value] = [[0u8; 4]; 2];
            for (at, (mask, value)) in (0u64..).zip(mask.iter_mut().zip(&mut value)) {
                (*mask, *value) = match at {
                    0 => (0xff, PROCESS_OBJECT),
                    at if at == size_at => (0xff, size),
                    _ => (0, 0),
                };
            }
            Word { step: STEP, offset: 0, mask: u32::from_le_bytes(mask), value: u32::from_le_bytes(value) }
        };
        let links = [layout.threads_head.map(|field| field.offset), Some(layout.links.offset)];
        Ok(Self {
            kernel,
            allocations: Allocations::new(kernel),
            heads_at: [place(wait_list)?, place(profile_list)?],
            links_at: [wait_list, profile_list].into_iter().chain(links.into_iter().flatten()).collect(),
            dtb_at: place(layout.dtb.offset)?,
            headers: if size == 0 { vec![header(0)] } else { vec![header(0), header(size)] },
            by_values: false,
        })
    }

    /// The same where there is nothing of the kernel but its layouts.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn by_values(kernel: &'k Kernel<'k>) -> Result<Self, Absent> {
        Ok(Self { by_values: true, ..Self::new(kernel)? })
    }

    /// What [`could_be`](Self::could_be) asks of a page: the same for many layouts.
    pub(super) fn first_look(&self) -> ([usize; 2], usize) {
        (self.heads_at, self.dtb_at)
    }

    /// Where the page-table root lies in the object, and its links.
    pub(super) fn root_and_links(&self) -> (usize, &[u64]) {
        (self.dtb_at, &self.links_at)
    }

    /// Whether the object has a header of this kernel's processes.
    fn is_headed(&self, process: &Eprocess<'_>) -> bool {
        let word = process.view().bytes(0, 4).ok().and_then(u32::decode);
        word.is_some_and(|word| self.headers.iter().any(|header| word & header.mask == header.value))
    }

    /// Adds the two ways to a process object to a scan: the kind of object that its header says it is, and the tag of its pool
    /// block. Either hit is the object's place.
    pub(crate) fn add_to<'s>(&'s self, scanner: Scanner<'s>) -> Scanner<'s> {
        let at = |page: Page<'_>, offset: usize| page.at.wrapping_add(u64::try_from(offset).unwrap_or(0));
        let by_header = move |page: Page<'_>, offset: usize, add: &mut dyn FnMut(usize)| {
            if self.could_be(page, offset) && self.judge(at(page, offset)).is_some() {
                add(offset);
            }
        };
        let by_tag = move |page: Page<'_>, block: usize, add: &mut dyn FnMut(usize)| {
            for distance in (MIN_BEFORE_OBJECT..=MAX_BEFORE_OBJECT).step_by(8) {
                let offset = block.saturating_add(usize::try_from(distance).unwrap_or(usize::MAX));
                if self.could_be(page, offset) && self.judge(at(page, offset)).is_some() {
                    add(offset);
                }
            }
        };
        scanner.words(&self.headers, by_header).words(&[Word::pool_tag(*b"Proc")], by_tag)
    }

    /// Whether the two list heads and the page-table root at `offset` could be a process's: one head may be cleared, not
    /// both. What lies behind the page is not looked at here.
    pub(super) fn could_be(&self, page: Page<'_>, offset: usize) -> bool {
        let number = |field: usize| page.u64(offset.checked_add(field)?);
        let head = |field: usize| number(field).zip(number(field.saturating_add(8)));
        let pointer = |number: u64| is_pointer(self.kernel.space(), VirtualAddress(number));
        let links = |(forward, backward): (u64, u64)| pointer(forward) && pointer(backward);
        let heads = self.heads_at.map(head);
        offset < page.bytes.len()
            && heads.iter().flatten().all(|head| *head == (0, 0) || links(*head))
            && heads.iter().any(|head| *head != Some((0, 0)))
            && number(self.dtb_at).is_none_or(|root| root == 0 || root >= PAGE_SIZE && root >> 52 == 0)
    }

    /// Reads the object at `physical` and judges it by all that can be said of a process.
    pub(super) fn judge(&self, physical: PhysicalAddress) -> Option<Place> {
        let place = own_address(self.kernel.space(), physical, &self.links_at)?;
        let process = Eprocess::read_at(self.kernel, place.address, Some(physical).filter(|_| !place.mapped));
        let plausible = |created: Timestamp| CREATED.contains(&created.0);
        // A name that lies in the next page is no objection: where that is, nothing tells.
        let has_values = || {
            let named = !process.name().is_nothing() && process.pid().is_ok_and(|pid| pid < PID_END);
            named && self.is_headed(&process) && process.has_process_values(plausible)
        };
        if self.by_values {
            return has_values().then_some(place);
        }
        // Objects of another system (a virtual machine's, an earlier boot's) are not mapped by this one, and the type in
        // front of them is hidden with another cookie. What is spoilt or gone in part must be typed too.
        let proven = place.mapped
            && process.is_whole()
            && process.has_links()
            // None of these is needed at every moment: who changes them is betrayed by the type in front of the object.
            && (process.has_process_values(plausible) || self.is_typed(&process, place));
        let typed = || self.allocations.is_or_was(place.address, physical, "Process");
        // Where the types are lost that would say whether it is this kernel's, so is much else: then its values must do.
        (proven || process.has_ids_and_times(plausible) && typed() || self.is_carved(place) && has_values())
            .then_some(place)
    }

    /// The object at `physical`, if it is a process of which the ids lie in the next page, and nothing tells which that is: by its header,
    /// by two list heads, of which one is empty and says where it lies, and by a page-table root that the image has.
    pub(super) fn judge_head(&self, physical: PhysicalAddress) -> Option<Place> {
        let heads = self.heads_at.map(|head| u64::try_from(head).unwrap_or(u64::MAX));
        let place = own_address(self.kernel.space(), physical, &heads)?;
        let process = Eprocess::read_at(self.kernel, place.address, Some(physical).filter(|_| !place.mapped));
        let is_cut = process.pid().is_err() || process.created().absent().is_some();
        let has_root = || process.root().is_ok_and(|root| holds(self.kernel.image(), root));
        (is_cut && self.is_headed(&process) && has_root()).then_some(place)
    }

    /// Whether nothing but its values can say of what lies there that it is a process.
    fn is_carved(&self, place: Place) -> bool {
        !place.mapped && self.allocations.know("Process").is_err()
    }

    /// Whether the header in front of the object says that it is a process that was not freed. The idle process has none, and
    /// neither id nor time.
    fn is_typed(&self, process: &Eprocess<'_>, place: Place) -> bool {
        (process.pid() != Ok(0) || process.created().value().is_some())
            && self.allocations.is_freed(place, "Process", *b"Proc") == Ok(false)
    }
}

/// Objects that are kept, far more than a list takes: a hostile image can hold millions.
const MAX_OBJECTS: usize = 1 << 18;

/// The process objects that a scan found, once each.
#[derive(Debug, Default)]
pub(crate) struct ProcessHits {
    /// Where each lies, and whether it is mapped there.
    by_address: BTreeMap<VirtualAddress, (PhysicalAddress, bool)>,
    /// Those that nothing but their values say to be processes.
    carved: BTreeSet<VirtualAddress>,
    /// There were more than are kept.
    is_full: bool,
}

impl ProcessHits {
    /// Takes a place that a scan gave. A copy of a process object elsewhere says that it lies where the object does: the one
    /// that is mapped there counts, else the first.
    pub(crate) fn take(&mut self, look: &ProcessLook<'_>, at: PhysicalAddress) {
        let Some(place) = own_address(look.kernel.space(), at, &look.links_at) else { return };
        if self.by_address.len() >= MAX_OBJECTS && !self.by_address.contains_key(&place.address) {
            self.is_full = true;
            return;
        }
        let kept = self.by_address.entry(place.address).or_insert((at, place.mapped));
        if place.mapped && !kept.1 {
            *kept = (at, true);
        }
        if look.is_carved(place) {
            self.carved.insert(place.address);
        } else {
            self.carved.remove(&place.address);
        }
    }

    /// What the scan gives to the list: the address of every object in the order of their places, with its place for those
    /// that are not mapped any more; apart those that were carved.
    pub(crate) fn found(self, end: ListEnd) -> (Found, Found) {
        let end = if self.is_full { end.max(ListEnd::Limit) } else { end };
        let mut hits: Vec<_> =
            self.by_address.into_iter().map(|(address, (at, mapped))| (at, address, mapped)).collect();
        hits.sort_unstable();
        let of = |carved: bool| {
            let own = || hits.iter().filter(|(_, address, _)| self.carved.contains(address) == carved);
            let addresses = own().map(|(_, address, _)| *address).collect();
            let places = own().filter(|(_, _, mapped)| !mapped).map(|(at, address, _)| (*address, *at)).collect();
            Found { places, ..Found::by_search(addresses, end) }
        };
        (of(false), of(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_of_creation_times() {
        assert_eq!(Timestamp(CREATED.start).to_string(), "1990-01-01T00:00:00.0000000Z");
        assert_eq!(Timestamp(CREATED.end).to_string(), "2200-01-01T00:00:00.0000000Z");
    }
}
