//! One object's bytes, typed, with their holes.

use crate::addr::PAGE_BYTES;
use crate::location::Location;
use crate::memory::{AddressSpace, Fault};
use crate::symbols::{Bits, Field, Stored, SymbolError};
use crate::{Absent, Hex, Origin, PAGE_SIZE, PhysicalAddress, Reading, VirtualAddress};

/// Structures are not larger than this; a size beyond it comes from damaged symbols. The largest read is a few pages.
const MAX_SIZE: u64 = 0x10_0000;

/// The bytes of one object, read once. What could not be read is a hole, and only fields in a hole are lost.
#[derive(Clone, Debug)]
pub struct View<'m> {
    space: AddressSpace<'m>,
    address: VirtualAddress,
    bytes: Vec<u8>,
    /// Start and end of each hole within `bytes`, with its reason.
    holes: Vec<(usize, usize, Absent)>,
    /// Where the bytes came from, if the address did not say it.
    physical: Option<PhysicalAddress>,
    /// The page that follows the one in which the object begins, where the address does not say it either.
    behind: Option<PhysicalAddress>,
}

impl<'m> View<'m> {
    /// Reads `size` bytes at `address`, page by page; pages that cannot be read become holes.
    #[must_use]
    pub fn read(space: AddressSpace<'m>, address: VirtualAddress, size: u64) -> Self {
        let mut bytes = vec![0u8; usize::try_from(size.min(MAX_SIZE)).unwrap_or(0)];
        let mut holes = Vec::new();
        let mut from = 0usize;
        while let Some(rest) = bytes.get_mut(from..).filter(|rest| !rest.is_empty()) {
            let at = address.wrapping_add(u64::try_from(from).unwrap_or(0));
            let (read, fault) = space.read_some(at, rest);
            let hole = from.saturating_add(read);
            let Some(fault) = fault else { break };
            let at = at.wrapping_add(u64::try_from(read).unwrap_or(0));
            let end = hole.saturating_add(usize::try_from(at.left_in_page()).unwrap_or(usize::MAX)).min(bytes.len());
            holes.push((hole, end, fault.into()));
            from = end;
        }
        Self { space, address, bytes, holes, physical: None, behind: None }
    }

    /// Reads `size` bytes at `physical`, of an object that lay at `address` and is not mapped there now. `behind`: the page that followed
    /// for the kernel, if something tells; what of the object lies in no page that is known is a hole.
    #[must_use]
    pub fn read_unmapped(
        space: AddressSpace<'m>,
        address: VirtualAddress,
        physical: PhysicalAddress,
        behind: Option<PhysicalAddress>,
        size: u64,
    ) -> Self {
        let mut bytes = vec![0u8; usize::try_from(size.min(MAX_SIZE)).unwrap_or(0)];
        let room = usize::try_from(physical.left_in_page()).unwrap_or(0).min(bytes.len());
        let (first, rest) = bytes.split_at_mut_checked(room).unwrap_or_default();
        let rest_length = rest.len().min(PAGE_BYTES);
        let second = rest.get_mut(..rest_length).unwrap_or_default();
        let mut holes = Vec::new();
        let mut fill = |from: usize, to: &mut [u8], physical: Option<PhysicalAddress>| {
            let read = physical.map_or(0, |physical| space.memory().read(physical, to));
            if read < to.len() {
                let start = from.saturating_add(read);
                let at = address.wrapping_add(u64::try_from(start).unwrap_or(0));
                let fault = match physical {
                    Some(physical) => {
                        let needed = physical.wrapping_add(u64::try_from(read).unwrap_or(0));
                        Fault::of_memory(space.memory(), at, needed, None)
                    }
                    None => Fault::NoNeighbour { at },
                };
                holes.push((start, from.saturating_add(to.len()), fault.into()));
            }
        };
        fill(0, first, Some(physical));
        fill(room, second, behind);
        let known = room.saturating_add(rest_length);
        if known < bytes.len() {
            let at = address.wrapping_add(u64::try_from(known).unwrap_or(0));
            holes.push((known, bytes.len(), Fault::NoNeighbour { at }.into()));
        }
        Self { space, address, bytes, holes, physical: Some(physical), behind }
    }

    /// Makes holes of what is lost though its page is there: the stretches of [`blank`](super::blank::stretches), with what they hold.
    #[must_use]
    pub(crate) fn without_blanks(mut self, never_zero: impl Fn(u64) -> bool) -> Self {
        let blanks = super::blank::stretches(&self.bytes, |offset| self.bytes(offset, 8).is_ok() && never_zero(offset));
        // Where all of it is blank, there is no object.
        for (range, byte) in blanks.into_iter().filter(|(range, _)| range.len() < self.bytes.len()) {
            let at = self.address.wrapping_add(u64::try_from(range.start).unwrap_or(0));
            let length = range.len();
            let why = format!("{length} bytes of {byte:#04x} from {at} on are what is left of a part that was lost");
            self.holes.push((range.start, range.end, Absent::unparsable(why)));
        }
        self
    }

    /// Where the object lies.
    #[must_use]
    pub const fn address(&self) -> VirtualAddress {
        self.address
    }

    /// Where the object says that it lies, if that is in another page: by the head of a list at `head`, which is empty and points to
    /// itself. A copy of an object, and one of two pages that changed places, does.
    #[must_use]
    pub(crate) fn elsewhere(&self, head: u64) -> Option<VirtualAddress> {
        let link = |offset: u64| self.bytes(offset, 8).ok().and_then(u64::decode).map(VirtualAddress);
        let (next, before) = (link(head)?, link(head.checked_add(8)?)?);
        let home = next.wrapping_sub(head);
        let is_page_apart = home != self.address && home.page_offset() == self.address.page_offset();
        (next == before && next.is_kernel() && is_page_apart).then_some(home)
    }

    /// Whether all of it could be read.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.holes.is_empty()
    }

    /// Where the object lies in physical memory.
    ///
    /// # Errors
    /// Its address is not mapped.
    pub fn physical(&self) -> Result<PhysicalAddress, Absent> {
        self.physical.map_or_else(|| Ok(self.space.translate(self.address)?), Ok)
    }

    /// The address space it was read from.
    #[must_use]
    pub const fn space(&self) -> AddressSpace<'m> {
        self.space
    }

    /// `size` bytes at `offset`.
    ///
    /// # Errors
    /// They lie in a hole, or outside the object.
    pub fn bytes(&self, offset: u64, size: u64) -> Result<&[u8], Absent> {
        let range = || {
            let start = usize::try_from(offset).ok()?;
            Some((start, start.checked_add(usize::try_from(size).ok()?)?))
        };
        let (start, end) = range().ok_or_else(|| Absent::unparsable("offset out of range"))?;
        if let Some((_, _, why)) = self.holes.iter().find(|(from, to, _)| *from < end && start < *to) {
            return Err(why.clone());
        }
        self.bytes
            .get(start..end)
            .ok_or_else(|| Absent::unparsable(format!("offset {offset:#x} is outside the structure")))
    }

    /// The value of a field.
    ///
    /// # Errors
    /// It lies in a hole.
    pub fn get<T: Stored>(&self, field: Field<T>) -> Result<T, Absent> {
        let size = T::SIZE.unwrap_or(field.size);
        let bytes = self.bytes(field.offset, size)?;
        T::decode(bytes)
            .ok_or_else(|| Absent::unparsable(format!("{}.{} has {size} bytes", field.structure, field.name)))
    }

    /// The value of a field that not every build has.
    ///
    /// # Errors
    /// The symbols lack it (`name` says what), or it lies in a hole.
    pub fn optional<T: Stored>(&self, field: Option<Field<T>>, name: &str) -> Result<T, Absent> {
        self.get(field.ok_or_else(|| Absent::no_symbol(name))?)
    }

    /// The value of a bit-field.
    ///
    /// # Errors
    /// It lies in a hole.
    pub fn bits(&self, bits: Bits) -> Result<u64, Absent> {
        Ok(bits.of(self.number(bits.storage.offset, bits.size)?))
    }

    /// The address of a field.
    #[must_use]
    pub const fn address_of<T>(&self, field: Field<T>) -> VirtualAddress {
        self.address.wrapping_add(field.offset)
    }

    /// Where a field lies whose value is one bit of it, and what stands there.
    #[must_use]
    pub fn locate_bit(&self, bits: Bits) -> Location {
        let stored = self.number(bits.storage.offset, bits.size);
        Location { stored: stored.ok().map(Hex), bit: Some(bits.position), ..self.locate(bits.storage) }
    }

    /// Where a field lies of which the value tells a part only, and what stands there: a number of at most eight bytes.
    #[must_use]
    pub fn locate_stored<T: Stored>(&self, field: Field<T>) -> Location {
        let stored = self.number(field.offset, T::SIZE.unwrap_or(field.size));
        Location { stored: stored.ok().map(Hex), ..self.locate(field) }
    }

    fn number(&self, offset: u64, size: u64) -> Result<u64, Absent> {
        let mut whole = [0u8; 8];
        for (to, from) in whole.iter_mut().zip(self.bytes(offset, size)?) {
            *to = *from;
        }
        Ok(u64::from_le_bytes(whole))
    }

    /// Where a field lies, for evidence.
    #[must_use]
    pub fn locate<T>(&self, field: Field<T>) -> Location {
        let at = self.address_of(field);
        let Some(start) = self.physical else { return self.space.locate(field.structure, field.name, at) };
        let physical = match field.offset.checked_sub(start.left_in_page()) {
            None => Some(start.wrapping_add(field.offset)),
            Some(beyond) => self.behind.filter(|_| beyond < PAGE_SIZE).map(|behind| behind.wrapping_add(beyond)),
        };
        Location {
            structure: field.structure.into(),
            field: field.name.into(),
            r#virtual: Some(at),
            physical,
            file_offset: physical.and_then(|physical| self.space.memory().file_offset(physical)),
            from: physical.map(|_| Origin::Memory),
            ..Location::default()
        }
    }
}

/// A pointer's reading: null is nothing.
#[must_use]
pub fn pointer(read: Result<VirtualAddress, Absent>) -> Reading<VirtualAddress> {
    read.map(|address| Some(address).filter(|address| !address.is_null())).into()
}

impl From<&SymbolError> for Absent {
    fn from(error: &SymbolError) -> Self {
        Self::no_symbol(error.to_string())
    }
}

/// Object pointer out of an `_EX_FAST_REF`: its low 4 bits count references (x64).
#[must_use]
pub const fn fast_ref(value: u64) -> VirtualAddress {
    VirtualAddress(value & !0xf)
}
