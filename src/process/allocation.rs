//! Whether the memory of an object is still the object's.

use super::own_address::Place;
use crate::image::PhysicalMemory;
use crate::kernel::{Kernel, ObjectTypes};
use crate::{Absent, PhysicalAddress, ProcessList, Reading, VirtualAddress};

/// Reads headers of objects and of the pool blocks around them.
#[derive(Debug)]
pub(super) struct Allocations<'k> {
    kernel: &'k Kernel<'k>,
    types: Result<ObjectTypes<'k>, Absent>,
}

/// Bytes from a pool header to the object at most: all optional headers, and the start of an aligned block.
pub(super) const MAX_BEFORE_OBJECT: u64 = 0x140;
/// Bytes from a pool header to the object at least: itself and the object's header.
pub(super) const MIN_BEFORE_OBJECT: u64 = 0x40;
/// From Windows 10 1903 on the pool is a segment heap, which leaves the header of a block as it was when it is freed.
const SEGMENT_HEAP: u32 = 18362;
/// The bit of a tag that protects its block from being freed under a wrong one (up to 7).
const PROTECTED: u8 = 0x80;

impl<'k> Allocations<'k> {
    pub(super) fn new(kernel: &'k Kernel<'k>) -> Self {
        Self { kernel, types: ObjectTypes::read(kernel) }
    }

    /// Whether the memory of the object of a type (and, where it has a small block of its own, with a tag) was given back.
    ///
    /// # Errors
    /// The header cannot be read, or names another type.
    pub(super) fn is_freed(&self, place: Place, kind: &str, tag: [u8; 4]) -> Result<bool, Absent> {
        let header = self.header(place.address)?;
        let layout = self.kernel.layouts().object_header.as_ref()?;
        let [stored] = self.kernel.space().read_array(header.wrapping_add(layout.type_index.offset))?;
        let types = self.types.as_ref().map_err(Clone::clone)?;
        let index = types.decode(header, stored);
        match types.name(index) {
            Some(name) if name == kind => Ok(self.is_in_free_block(header, tag)),
            // The mark of freed objects is written plainly, or hidden as other indexes are.
            _ if index == ObjectTypes::FREED || stored == ObjectTypes::FREED => Ok(true),
            name => Err(Absent::unparsable(format!(
                "the object header at {header} says that this is {}",
                name.map_or_else(|| format!("of type {index}, which is none"), |name| format!("a {name}"))
            ))),
        }
    }

    /// Whether the header of an object that was met at `physical` says that it is or was of this type, wherever it is mapped.
    pub(super) fn is_or_was(&self, address: VirtualAddress, physical: PhysicalAddress, kind: &str) -> bool {
        let freed = |stored: u8, index: u8| index == ObjectTypes::FREED || stored == ObjectTypes::FREED;
        self.header_at(address, physical)
            .is_some_and(|(stored, index)| freed(stored, index) || self.is_index_of(index, kind))
    }

    /// Whether types are known that headers could name: without that of processes, no header says anything of one.
    pub(super) fn know(&self, kind: &str) -> Result<(), Absent> {
        let types = self.types.as_ref().map_err(Clone::clone)?;
        let lost = || Absent::unreadable(format!("the type {kind} is not among those of this kernel that can be read"));
        types.knows(kind).then_some(()).ok_or_else(lost)
    }

    /// Whether it says that it is of this type.
    fn is_of_type(&self, address: VirtualAddress, physical: PhysicalAddress, kind: &str) -> bool {
        self.header_at(address, physical).is_some_and(|(_, index)| self.is_index_of(index, kind))
    }

    fn is_index_of(&self, index: u8, kind: &str) -> bool {
        self.types.as_ref().is_ok_and(|types| types.name(index) == Some(kind))
    }

    /// The type index in the header of an object that was met at `physical`, as it is stored and as it is meant.
    fn header_at(&self, address: VirtualAddress, physical: PhysicalAddress) -> Option<(u8, u8)> {
        let index = || {
            let types = self.types.as_ref().ok()?;
            let layout = self.kernel.layouts().object_header.as_ref().ok()?;
            let header = types.header(address).ok()?;
            // In the page in front of a page's start something else lies.
            (header.page() == address.page()).then_some(())?;
            let place = physical.wrapping_sub(layout.body.offset).wrapping_add(layout.type_index.offset);
            let mut stored = [0u8];
            let memory: &dyn PhysicalMemory = self.kernel.image();
            (memory.read(place, &mut stored) == 1).then_some(())?;
            let [stored] = stored;
            Some((stored, types.decode(header, stored)))
        };
        index()
    }

    fn header(&self, body: VirtualAddress) -> Result<VirtualAddress, Absent> {
        Ok(body.wrapping_sub(self.kernel.layouts().object_header.as_ref()?.body.offset))
    }

    /// Whether the pool block around the object is marked as free. One that has none, as large allocations, is not.
    ///
    /// On x64 a header has been the same since XP: sizes of the block before and of this one in units of 16 bytes (8 bits each at
    /// 0 and 2), the type of pool at 3, which is 0 in free blocks, and the tag at 4.
    fn is_in_free_block(&self, object_header: VirtualAddress, tag: [u8; 4]) -> bool {
        if self.kernel.build().map_or(true, |build| build >= SEGMENT_HEAP) {
            return false;
        }
        let body = |distance: u64| distance.saturating_sub(self.header_size());
        (MIN_BEFORE_OBJECT..=MAX_BEFORE_OBJECT).step_by(16).map(body).find_map(|distance| {
            let at = object_header.wrapping_sub(distance);
            let block: [u8; 8] = self.kernel.space().read_array(at).ok()?;
            let [_, _, units, kind, found @ ..] = block;
            let same = found.iter().zip(tag).all(|(found, tag)| found & !PROTECTED == tag & !PROTECTED);
            (same && u64::from(units).saturating_mul(16) > distance).then_some(kind == 0)
        }) == Some(true)
    }

    fn header_size(&self) -> u64 {
        self.kernel.layouts().object_header.as_ref().map_or(0, |layout| layout.body.offset)
    }
}

/// Fills in [`Process::freed`](super::Process::freed) of every process of a list.
pub(crate) fn judge(kernel: &Kernel<'_>, list: &mut ProcessList) {
    let allocations = Allocations::new(kernel);
    for process in &mut list.items {
        let Some(address) = process.eprocess.value().copied() else { continue };
        let mapped = process.unmapped(kernel).is_none();
        // An object whose page cannot be found at all is none that a scan met.
        process.freed = match process.physical.known() {
            Ok(Some(_)) if mapped => allocations.is_freed(Place { address, mapped }, "Process", *b"Proc").into(),
            // A page table that was cut or lost does not map a process that runs: where the header in front of it is that of a process of
            // this kernel, nobody gave it back.
            Ok(Some(physical)) => {
                let given_back = || !allocations.is_of_type(address, *physical, "Process");
                allocations.know("Process").map(|()| given_back()).into()
            }
            Ok(None) => Reading::Nothing,
            Err(absent) => Reading::Absent(absent.clone()),
        };
    }
}
