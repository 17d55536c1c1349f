//! Shared pages: from an address by its VAD to the prototype entry that knows where the page is.

use super::AbsentPages;
use crate::VirtualAddress;
use crate::memory::AddressSpace;
use crate::memory::fault::{Fault, PrototypeFault};
use crate::symbols::{Bits, Field, Natural, Stored};
use std::collections::HashSet;
use std::sync::Arc;

/// A balanced tree of 2^64 nodes is no deeper.
const MAX_DEPTH: usize = 96;
/// A section that grew has a part for each extension: hives and logs have some dozen.
const MAX_PARTS: usize = 4096;
/// Bytes of a file's name that are read: `MAX_PATH` and more.
const MAX_NAME: u16 = 2048;

/// What the VADs say of an address.
pub(in crate::memory) enum VadAnswer {
    /// No range has it.
    Nothing,
    /// A range without a section has it: what was never touched is demand-zero.
    Private,
    /// This prototype entry knows the page.
    Prototype(VirtualAddress),
    /// It cannot be said.
    Failed(PrototypeFault),
}

/// A range, as far as it takes to find a page in it.
struct Range {
    node: VirtualAddress,
    /// The number of its first page.
    first: u64,
    private: bool,
}

impl AbsentPages {
    /// What the VADs below `root` say of `at`.
    pub(in crate::memory) fn ask_vad(
        &self,
        space: AddressSpace<'_>,
        root: VirtualAddress,
        at: VirtualAddress,
    ) -> VadAnswer {
        let page = at.0 >> 12;
        match self.range(space, root, page) {
            Ok(None) => VadAnswer::Nothing,
            Ok(Some(range)) if range.private => VadAnswer::Private,
            Ok(Some(range)) => match self.prototype(space, &range, page.saturating_sub(range.first)) {
                Ok(Some(prototype)) => VadAnswer::Prototype(prototype),
                Ok(None) => VadAnswer::Failed(PrototypeFault::NoEntry),
                Err(_) => VadAnswer::Failed(PrototypeFault::TornVads),
            },
            Err(why) => VadAnswer::Failed(why),
        }
    }

    /// The range that has a page, by going down the tree.
    fn range(&self, space: AddressSpace<'_>, root: VirtualAddress, page: u64) -> Result<Option<Range>, PrototypeFault> {
        let layout = self.structures.vad.as_ref().ok_or(PrototypeFault::NoVads)?;
        let mut node = root;
        for _ in 0..MAX_DEPTH {
            if node.is_null() {
                return Ok(None);
            }
            if !node.is_kernel() {
                return Err(PrototypeFault::TornVads);
            }
            let number = |low: Field<Natural>, high: Option<Field<u8>>| -> Result<u64, Fault> {
                let Natural(low) = get(space, node, low)?;
                let high = high.map_or(Ok(0), |field| get::<u8>(space, node, field))?;
                Ok(low | u64::from(high) << 32)
            };
            let torn = |_| PrototypeFault::TornVads;
            let first = number(layout.start, layout.start_high).map_err(torn)?;
            let last = number(layout.end, layout.end_high).map_err(torn)?;
            if first > last {
                return Err(PrototypeFault::TornVads);
            }
            node = if page < first {
                get(space, node, layout.left).map_err(torn)?
            } else if page > last {
                get(space, node, layout.right).map_err(torn)?
            } else {
                let private = bits(space, node, layout.private).map_err(torn)? != 0;
                return Ok(Some(Range { node, first, private }));
            };
        }
        Err(PrototypeFault::TornVads)
    }

    /// The prototype entry of the page `index` of a range: by the range's own array, or, behind its end, by the parts of the
    /// section. `None`: the section has no such page.
    fn prototype(&self, space: AddressSpace<'_>, range: &Range, index: u64) -> Result<Option<VirtualAddress>, Fault> {
        let Some(layout) = &self.structures.mapped_vad else { return Ok(None) };
        let (Some(first), Some(last)) = (layout.first_prototype, layout.last_prototype) else { return Ok(None) };
        let first: VirtualAddress = get(space, range.node, first)?;
        let last: VirtualAddress = get(space, range.node, last)?;
        let Some(wanted) = index.checked_mul(8).and_then(|bytes| first.checked_add(bytes)) else { return Ok(None) };
        if first.is_kernel() && wanted <= last {
            return Ok(Some(wanted));
        }
        let Some(start) = self.structures.subsection.and_then(|part| part.base) else { return Ok(None) };
        let subsection: VirtualAddress = get(space, range.node, layout.subsection)?;
        if !subsection.is_kernel() {
            return Ok(None);
        }
        // The view may begin in the middle of the section's first part.
        let start: VirtualAddress = get(space, subsection, start)?;
        self.in_parts(space, subsection, (first.0.wrapping_sub(start.0) >> 3).saturating_add(index))
    }

    /// The prototype entry of the page `index`, counted from the first page of the part `subsection`. `None`: neither this part nor
    /// those behind it have such a page.
    fn in_parts(
        &self,
        space: AddressSpace<'_>,
        subsection: VirtualAddress,
        index: u64,
    ) -> Result<Option<VirtualAddress>, Fault> {
        let Some(part) = &self.structures.subsection else { return Ok(None) };
        let (Some(base), Some(next), Some(pages)) = (part.base, part.next, part.pages) else { return Ok(None) };
        let (mut subsection, mut left, mut owner) = (subsection, index, None);
        let mut met = HashSet::new();
        for _ in 0..MAX_PARTS {
            // A ring gives pages of its parts again as those behind them.
            if !subsection.is_kernel() || !met.insert(subsection) {
                return Ok(None);
            }
            let area: VirtualAddress = get(space, subsection, part.control_area)?;
            if *owner.get_or_insert(area) != area {
                return Ok(None);
            }
            let count = u64::from(get::<u32>(space, subsection, pages)?);
            if left < count {
                let start: VirtualAddress = get(space, subsection, base)?;
                return Ok(left.checked_mul(8).and_then(|bytes| start.checked_add(bytes)).filter(|at| at.is_kernel()));
            }
            left = left.saturating_sub(count);
            subsection = get(space, subsection, next)?;
        }
        Ok(None)
    }

    /// The prototype entry of the page `index` of a file, by the control area that it has as data. `None`: it has none for that page.
    pub(in crate::memory) fn of_area(
        &self,
        space: AddressSpace<'_>,
        area: VirtualAddress,
        index: u64,
    ) -> Result<Option<VirtualAddress>, Fault> {
        let (Some(layout), Some(part)) = (&self.structures.control_area, &self.structures.subsection) else {
            return Ok(None);
        };
        // The first part lies right behind the control area, and names it.
        let Some(first) = area.checked_add(layout.size) else { return Ok(None) };
        let owner: VirtualAddress = get(space, first, part.control_area)?;
        if owner == area { self.in_parts(space, first, index) } else { Ok(None) }
    }

    /// The control area of the section that the VADs below `root` have at `at`. `None`: none has, or it cannot be read.
    pub(in crate::memory) fn area_at(
        &self,
        space: AddressSpace<'_>,
        root: VirtualAddress,
        at: VirtualAddress,
    ) -> Option<VirtualAddress> {
        let range = self.range(space, root, at.0 >> 12).ok()??;
        let subsection: VirtualAddress = get(space, range.node, self.structures.mapped_vad?.subsection).ok()?;
        let area = get(space, subsection, self.structures.subsection?.control_area).ok()?;
        Some(area).filter(|area: &VirtualAddress| !range.private && area.is_kernel())
    }

    /// The name of the file that a subsection belongs to, as far as it can be read.
    pub(in crate::memory) fn file_of(&self, space: AddressSpace<'_>, subsection: VirtualAddress) -> Option<Arc<str>> {
        let area: VirtualAddress = get(space, subsection, self.structures.subsection.as_ref()?.control_area).ok()?;
        let Natural(file) = get(space, area, self.structures.control_area.as_ref()?.file).ok()?;
        // The low 4 bits of the pointer count references (_EX_FAST_REF of x64).
        let name = VirtualAddress(file & !0xf).checked_add(self.structures.file_name?)?;
        unicode_string(space, name)
    }
}

/// The text of the `_UNICODE_STRING` at `at`.
pub(super) fn unicode_string(space: AddressSpace<'_>, at: VirtualAddress) -> Option<Arc<str>> {
    let [low, high, ..] = space.read_array::<16>(at).ok()?;
    let length = u16::from_le_bytes([low, high]);
    let text = space.read_pointer(at.wrapping_add(8)).ok()?;
    if length == 0 || length > MAX_NAME || !text.is_kernel() {
        return None;
    }
    let mut bytes = vec![0u8; usize::from(length)];
    space.read(text, &mut bytes).ok()?;
    let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
    let text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    Some(text.into())
}

/// The value of a field of the structure at `at`.
fn get<T: Stored>(space: AddressSpace<'_>, at: VirtualAddress, field: Field<T>) -> Result<T, Fault> {
    let mut bytes = [0u8; 8];
    let size = T::SIZE.unwrap_or(field.size).min(8);
    let at = at.wrapping_add(field.offset);
    let buf = usize::try_from(size).ok().and_then(|size| bytes.get_mut(..size)).unwrap_or_default();
    space.read(at, buf)?;
    T::decode(buf).ok_or(Fault::NonCanonical { at })
}

/// The value of a bit-field of the structure at `at`.
pub(super) fn bits(space: AddressSpace<'_>, at: VirtualAddress, bits: Bits) -> Result<u64, Fault> {
    let mut whole = [0u8; 8];
    let buf = usize::try_from(bits.size).ok().and_then(|size| whole.get_mut(..size)).unwrap_or_default();
    space.read(at.wrapping_add(bits.storage.offset), buf)?;
    Ok(bits.of(u64::from_le_bytes(whole)))
}
