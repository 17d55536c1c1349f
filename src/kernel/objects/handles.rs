//! `_HANDLE_TABLE`: up to three levels of pages, of which the lowest holds the entries.

use crate::kernel::layouts::HandleEntryLayout;
use crate::kernel::walk::WalkEnd;
use crate::kernel::{Kernel, Layouts};
use crate::location::Location;
use crate::memory::AddressSpace;
use crate::reading::record;
use crate::symbols::{Bits, Stored};
use crate::{Absent, Hex, PAGE_SIZE, VirtualAddress};
use std::collections::{BTreeMap, HashSet};

record! {
    /// One handle.
    pub struct Handle {
        /// The handle.
        value: u64,
        /// Name of its object's type: `Process`.
        kind: String,
        /// Granted access (`ACCESS_MASK`).
        access: Hex,
        /// Address of the object.
        object: VirtualAddress,
        /// The object's name in its directory; of a file its path on the volume, of a key its path from `\REGISTRY` on. Nothing: it has none.
        name: String,
        /// The object's path from the root of the kernel's namespace on; of a file with its device. Nothing: it is in no directory.
        path: String,
        /// Process id of the process, or of the thread's process. Nothing: neither.
        pid: u64,
        /// Address of the `_HANDLE_TABLE_ENTRY`.
        entry: VirtualAddress,
        ;
        /// Where the members that rules cite were read, by member name. Empty: no rule does, as it leads to neither a process nor a
        /// thread.
        located: BTreeMap<String, Location>,
    }
}

/// One handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandleEntry {
    /// The handle: a multiple of 4.
    pub value: u64,
    /// What it leads to: an object's header in the table of a process, the object itself in `PspCidTable`.
    pub object: VirtualAddress,
    /// `ACCESS_MASK`.
    pub access: u32,
    /// Where the entry itself lies.
    pub at: VirtualAddress,
}

/// The handles of one table.
#[derive(Clone, Debug)]
pub struct Handles {
    /// Handles in use, in rising order.
    pub entries: Vec<HandleEntry>,
    /// How the walk ended. A page that could not be read does not end it: the first is named here.
    pub end: WalkEnd,
}

/// Two million handles: a page holds 256. Windows stops at 2^24 in a table, which no machine comes near, and hostile tables reach
/// with one page mapped everywhere.
const MAX_PAGES: usize = 1 << 13;

/// Reads the handle table at `table`.
///
/// # Errors
/// The symbols lack a structure, or the table itself cannot be read.
pub fn handles(kernel: &Kernel<'_>, table: VirtualAddress) -> Result<Handles, Absent> {
    let layouts = kernel.layouts();
    let code = kernel.space().read_u64(table.wrapping_add(layouts.handle_table.as_ref()?.code.offset))?;
    let levels = code & 3;
    let top = VirtualAddress(code & !7);
    if levels > 2 || !top.is_kernel() {
        return Err(Absent::unparsable(format!("handle table at {table}: TableCode {code:#x}")));
    }
    let decoder = Decoder::new(layouts.handle_entry.as_ref()?)?;
    let mut walk = Walk { kernel, decoder, seen: HashSet::new(), entries: Vec::new(), end: WalkEnd::Complete };
    walk.page(top, levels, 0);
    Ok(Handles { entries: walk.entries, end: walk.end })
}

impl HandleEntry {
    /// Where its granted access lies, for evidence.
    pub(crate) fn located(&self, kernel: &Kernel<'_>) -> BTreeMap<String, Location> {
        let Ok(layout) = kernel.layouts().handle_entry.as_ref() else { return BTreeMap::new() };
        let field = match (layout.access_bits, layout.access) {
            (Some(bits), _) => (bits.storage.name, bits.storage.offset),
            (None, Some(field)) => (field.name, field.offset),
            (None, None) => return BTreeMap::new(),
        };
        let (name, offset) = field;
        let place = kernel.space().locate("_HANDLE_TABLE_ENTRY", name, self.at.wrapping_add(offset));
        BTreeMap::from([("access".to_owned(), place)])
    }
}

/// What one handle of the table at `table` leads to. `None`: there is no such handle.
///
/// # Errors
/// As [`handles`], or a page of the table cannot be read.
pub(crate) fn object_of(
    space: AddressSpace<'_>,
    layouts: &Layouts,
    table: VirtualAddress,
    value: u64,
) -> Result<Option<VirtualAddress>, Absent> {
    let code = space.read_u64(table.wrapping_add(layouts.handle_table.as_ref()?.code.offset))?;
    let decoder = Decoder::new(layouts.handle_entry.as_ref()?)?;
    let (mut page, mut number) = (VirtualAddress(code & !7), value / 4);
    for level in (0..=(code & 3)).rev() {
        if level > 2 || !page.is_kernel() {
            return Ok(None);
        }
        // Entries below one entry of this level.
        let below = match level {
            0 => 1,
            1 => decoder.per_page(),
            _ => decoder.per_page().wrapping_mul(POINTERS),
        };
        let (index, rest) = (number.checked_div(below).unwrap_or(0), number.checked_rem(below).unwrap_or(0));
        let room = if level == 0 { decoder.per_page() } else { POINTERS };
        if index >= room {
            return Ok(None);
        }
        if level == 0 {
            let mut bytes = [0u8; 64];
            let bytes = bytes.get_mut(..decoder.size).unwrap_or_default();
            space.read(page.wrapping_add(index.wrapping_mul(decoder.layout.size)), bytes)?;
            return Ok(decoder.entry(bytes, value, page).map(|entry| entry.object));
        }
        page = space.read_pointer(page.wrapping_add(index.wrapping_mul(8)))?;
        number = rest;
    }
    Ok(None)
}

struct Walk<'k> {
    kernel: &'k Kernel<'k>,
    decoder: Decoder,
    seen: HashSet<VirtualAddress>,
    entries: Vec<HandleEntry>,
    end: WalkEnd,
}

impl Walk<'_> {
    /// Reads the page at `at`, whose first entry below has the number `first`.
    fn page(&mut self, at: VirtualAddress, level: u64, first: u64) {
        if self.seen.len() >= MAX_PAGES {
            self.worsen(WalkEnd::Limit { cap: MAX_PAGES });
            return;
        }
        // No page has two places in a table.
        if !self.seen.insert(at) {
            self.worsen(WalkEnd::Cycle { at });
            return;
        }
        let mut page = [0u8; 4096];
        let page = if level == 2 { page.get_mut(..TOP_BYTES).unwrap_or_default() } else { &mut page };
        if let Err(fault) = self.kernel.space().read(at, page) {
            self.worsen(WalkEnd::Broken { at, fault });
            return;
        }
        if level == 0 {
            let entries = page.chunks_exact(self.decoder.size).zip(0u64..);
            // The first entry of a page is the table's own where it bears the mark of additional information.
            let skip = usize::from(page.get(8..12) == Some(&ADDITIONAL_INFO));
            let entry = |(bytes, number): (&[u8], u64)| {
                let place = at.wrapping_add(number.wrapping_mul(self.decoder.layout.size));
                self.decoder.entry(bytes, first.wrapping_add(number).wrapping_mul(4), place)
            };
            self.entries.extend(entries.skip(skip).filter_map(entry));
            return;
        }
        let below = self.decoder.per_page().wrapping_mul(if level == 2 { POINTERS } else { 1 });
        let (pointers, _) = page.as_chunks::<8>();
        for (pointer, number) in pointers.iter().zip(0u64..) {
            let next = VirtualAddress(u64::from_le_bytes(*pointer));
            if next.is_null() {
                continue;
            }
            if next.is_kernel() {
                self.page(next, level.wrapping_sub(1), first.wrapping_add(number.wrapping_mul(below)));
            } else {
                self.worsen(WalkEnd::Astray { at, to: next });
            }
        }
    }

    fn worsen(&mut self, end: WalkEnd) {
        if self.end.kind() < end.kind() {
            self.end = end;
        }
    }
}

/// `EX_ADDITIONAL_INFO_SIGNATURE`, -2, in the second half of an entry.
const ADDITIONAL_INFO: [u8; 4] = [0xfe, 0xff, 0xff, 0xff];
/// Pointers in a page.
const POINTERS: u64 = PAGE_SIZE / 8;
/// The highest of three levels is no page: it has as many pointers as it takes for 2^24 handles, which are 128.
const TOP_BYTES: usize = (1 << 24) / (256 * 512) * 8;

/// How this build writes an entry.
struct Decoder {
    size: usize,
    layout: HandleEntryLayout,
}

impl Decoder {
    fn new(layout: &HandleEntryLayout) -> Result<Self, Absent> {
        let size = usize::try_from(layout.size).ok().filter(|size| matches!(size, 8..=64));
        match size {
            Some(size) if layout.object.is_some() || layout.object_bits.is_some() => Ok(Self { size, layout: *layout }),
            _ => Err(Absent::no_symbol("_HANDLE_TABLE_ENTRY.Object")),
        }
    }

    fn per_page(&self) -> u64 {
        PAGE_SIZE.checked_div(self.layout.size).unwrap_or(1)
    }

    /// The entry in `bytes`, which lie at `place`; `None`: it is free.
    fn entry(&self, bytes: &[u8], value: u64, place: VirtualAddress) -> Option<HandleEntry> {
        let object = match (self.layout.object_bits, self.layout.object) {
            (Some(bits), _) => pointer_of_bits(storage(bytes, bits)?, bits),
            (None, Some(object)) => {
                let pointer: VirtualAddress = Stored::decode(at(bytes, object.offset)?)?;
                VirtualAddress(pointer.0 & !7)
            }
            (None, None) => return None,
        };
        let access = match (self.layout.access_bits, self.layout.access) {
            (Some(bits), _) => u32::try_from(bits.of(storage(bytes, bits)?)).ok()?,
            (None, Some(access)) => Stored::decode(at(bytes, access.offset)?)?,
            (None, None) => return None,
        };
        object.is_kernel().then_some(HandleEntry { value, object, access, at: place })
    }
}

/// The pointer's bits stand at the top of the storage, its lowest 4 are cut off, and its highest repeat the top one.
const fn pointer_of_bits(storage: u64, bits: Bits) -> VirtualAddress {
    let shift = (bits.position as u32).saturating_sub(4);
    VirtualAddress(storage.cast_signed().wrapping_shr(shift).cast_unsigned() & !0xf)
}

fn at(bytes: &[u8], offset: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(offset).ok()?..)
}

fn storage(bytes: &[u8], bits: Bits) -> Option<u64> {
    let bytes = at(bytes, bits.storage.offset)?.get(..usize::try_from(bits.size).ok()?)?;
    let mut whole = [0u8; 8];
    for (to, from) in whole.iter_mut().zip(bytes) {
        *to = *from;
    }
    Some(u64::from_le_bytes(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The three ways, by the public types of 7601, 9200 and 9600: `Object`; 41 bits from 23 on; 44 bits from 20 on.
    #[test]
    fn pointers_come_out_of_their_bits() {
        let bits = |position, length| {
            let field =
                crate::symbols::FieldInfo { offset: 0, size: 8, bits: Some((position, length)), structure: None };
            let info = crate::symbols::TypeInfo { size: 16, fields: [("ObjectPointerBits".to_owned(), field)].into() };
            let symbols = crate::symbols::Symbols::new(crate::symbols::SymbolSource::Pdb, None)
                .with_type("_HANDLE_TABLE_ENTRY", info);
            HandleEntryLayout::resolve(&symbols).unwrap().object_bits.unwrap()
        };
        let object = 0xffff_fa80_1234_5670u64;
        // Lock, reference count and attributes below the pointer are all ones.
        let since_9600 = (object << 16) & !0xf_ffff | 0xf_ffff;
        assert_eq!(pointer_of_bits(since_9600, bits(20, 44)), VirtualAddress(object));
        let in_9200 = (object << 19) & !0x7f_ffff | 0x7f_ffff;
        assert_eq!(pointer_of_bits(in_9200, bits(23, 41)), VirtualAddress(object));
        assert_eq!(pointer_of_bits(0, bits(20, 44)), VirtualAddress(0));
    }
}
