//! Where an object that was met in physical memory lies for the kernel.

use crate::image::PhysicalMemory;
use crate::memory::AddressSpace;
use crate::{PhysicalAddress, VirtualAddress};

/// The address of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub address: VirtualAddress,
    /// The kernel's page tables map that address to where the object was met.
    pub mapped: bool,
}

/// Where the object at `physical` says that it lies, and whether it does: of the list heads and entries at `heads` some are
/// empty and point to themselves, and of others the next entry points back.
pub(super) fn own_address(space: AddressSpace<'_>, physical: PhysicalAddress, heads: &[u64]) -> Option<Place> {
    let mut first = None;
    for offset in heads {
        let Some((forward, backward)) = links(space.memory(), physical, *offset) else { continue };
        if !is_pointer(space, forward) {
            continue;
        }
        let own = Some(forward).filter(|forward| backward.is_none_or(|backward| backward == *forward));
        let back = || space.read_pointer(forward.wrapping_add(8)).ok();
        for head in [own, back()].into_iter().flatten() {
            let address = head.wrapping_sub(*offset);
            if !is_pointer(space, address) || address.page_offset() != physical.page_offset() {
                continue;
            }
            if space.translate(address) == Ok(physical) {
                return Some(Place { address, mapped: true });
            }
            // A head that is cut off by the page's end proves nothing alone.
            first = first.or(own.filter(|_| backward.is_some()).map(|_| address));
        }
    }
    first.map(|address| Place { address, mapped: false })
}

/// The two links at `offset` of the object, as far as they lie in the page that it begins in: what follows that page for the
/// kernel is elsewhere in memory.
fn links(
    memory: &dyn PhysicalMemory,
    physical: PhysicalAddress,
    offset: u64,
) -> Option<(VirtualAddress, Option<VirtualAddress>)> {
    let at = physical.wrapping_add(offset);
    if at.page() != physical.page() {
        return None;
    }
    let mut bytes = [0u8; 16];
    let read = memory.read(at, &mut bytes);
    let (links, _) = bytes.get(..read)?.as_chunks::<8>();
    let mut links = links.iter().map(|link| VirtualAddress(u64::from_le_bytes(*link)));
    let forward = links.next()?;
    Some((forward, links.next().filter(|_| at.left_in_page() >= 16)))
}

/// Kernel addresses that a list entry can have (canonical, 8-byte aligned).
pub(super) fn is_pointer(space: AddressSpace<'_>, address: VirtualAddress) -> bool {
    address.is_kernel() && address.0.is_multiple_of(8) && space.architecture().is_canonical(address)
}
