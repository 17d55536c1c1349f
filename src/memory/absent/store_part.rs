//! One store of the compressed store (`SMKM_STORE`): its records, and the pages that they lead to.

use super::store::Shape;
use crate::addr::PAGE_BYTES;
use crate::memory::AddressSpace;
use crate::memory::fault::StoreFault;
use crate::{Origin, VirtualAddress, xpress};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

/// `SMKM_STORE`: where records lie.
const CHUNKS: u64 = 0x110;
/// `SMKM_STORE`: the mask of a place in a region, and how far a record's location is shifted to get the region's number.
const REGION_MASK: u64 = 0x378;
const REGION_SHIFT: u64 = 0x37c;
/// A location that stands for another record.
const ELSEWHERE: u32 = u32::MAX;
/// Records that stand for one another in turn.
const MAX_HOPS: usize = 8;
/// Records have 8 bytes and flags behind them.
const RECORD_SIZES: std::ops::RangeInclusive<u32> = 8..=64;
/// Chunks have a page to some pages of records.
const MAX_CHUNK: u64 = 1 << 20;
/// Regions have 64 to 256 KiB.
const REGION_SIZES: std::ops::RangeInclusive<u64> = 0x1_0000..=0x100_0000;
/// The format of `RtlDecompressBuffer` that pages have up to 22H2: plain Xpress.
const XPRESS: u16 = 3;

/// Reads a structure of the store; what cannot be read is a fault of the store.
pub(super) fn pointer(
    space: AddressSpace<'_>,
    at: VirtualAddress,
    what: &'static str,
) -> Result<VirtualAddress, StoreFault> {
    space.read_pointer(at).map_err(|fault| StoreFault::of(what, &fault))
}

fn word(space: AddressSpace<'_>, at: VirtualAddress, what: &'static str) -> Result<u32, StoreFault> {
    space.read_u32(at).map_err(|fault| StoreFault::of(what, &fault))
}

/// A pointer that leads to the beginning of a page of kernel memory.
pub(super) const fn is_kernel_page(at: VirtualAddress) -> bool {
    at.is_kernel() && at.page_offset() == 0
}

/// Location, size, and the number of the record that it may stand for.
const fn taken_apart([a, b, c, d, e, f, g, h]: [u8; 8]) -> (u32, u16, u32) {
    (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]), u32::from_le_bytes([e, f, g, h]))
}

/// Chunks of records, in arrays of which each is twice as long as the one before.
struct Chunks<'p> {
    part: &'p Part<'p>,
    shift: u32,
    mask: u32,
    size: u32,
    header: u32,
    /// The chunk that was asked for last, and where it lies.
    last: Cell<Option<(u32, VirtualAddress)>>,
}

impl Chunks<'_> {
    /// Where a record lies.
    fn place(&self, number: u32) -> Result<VirtualAddress, StoreFault> {
        let torn = StoreFault::Torn("the list of records contradicts itself");
        let chunk = number >> self.shift;
        let at = match self.last.get() {
            Some((last, at)) if last == chunk => at,
            _ => {
                let array = chunk.checked_ilog2().ok_or(torn)?;
                let index = chunk ^ 1u32.wrapping_shl(array);
                let slot = self.part.at.wrapping_add(CHUNKS).wrapping_add(u64::from(array).wrapping_mul(8));
                let array = pointer(self.part.space, slot, "the list of records")?;
                if !array.is_kernel() {
                    return Err(torn);
                }
                let entry = array.wrapping_add(u64::from(index).wrapping_mul(0x10));
                let at = pointer(self.part.space, entry, "the list of records")?;
                self.last.set(Some((chunk, at)));
                at
            }
        };
        let within = u64::from(self.size).wrapping_mul(u64::from(number & self.mask));
        let offset = u64::from(self.header).saturating_add(within);
        let fits = is_kernel_page(at) && offset < MAX_CHUNK;
        if fits { Ok(at.wrapping_add(offset)) } else { Err(torn) }
    }
}

/// A page of the store, unpacked.
pub(super) struct Stored {
    pub page: Box<[u8; PAGE_BYTES]>,
    /// What supplied its packed bytes. `None`: it has none, and is of zeros.
    pub from: Option<Origin>,
}

/// One store.
pub(super) struct Part<'m> {
    pub shape: &'static Shape,
    pub at: VirtualAddress,
    pub space: AddressSpace<'m>,
    pub regions_space: AddressSpace<'m>,
}

impl Part<'_> {
    fn word(&self, offset: u64) -> Result<u32, StoreFault> {
        word(self.space, self.at.wrapping_add(offset), "the head of a store")
    }

    /// The record that a record stands for, with its location and its size.
    pub(super) fn follow(&self, record: u32) -> Result<(u32, u32, u16), StoreFault> {
        let chunks = self.chunks()?;
        let mut number = record;
        for _ in 0..MAX_HOPS {
            let at = chunks.place(number)?;
            let record = self.space.read_array(at).map_err(|fault| StoreFault::of("a record", &fault))?;
            match taken_apart(record) {
                (ELSEWHERE, _, next) => number = next,
                (location, size, _) => return Ok((number, location, size)),
            }
        }
        Err(StoreFault::Torn("records stand for one another in a ring"))
    }

    /// Location and size of each record; those that cannot be read, or stand for another, are left out.
    pub(super) fn records(&self, numbers: BTreeSet<u32>) -> BTreeMap<u32, (u32, u16)> {
        let mut records = BTreeMap::new();
        let Ok(chunks) = self.chunks() else { return records };
        // Records are side by side: each page of them is read once.
        let mut page = (VirtualAddress(0), None);
        for number in numbers {
            let Ok(at) = chunks.place(number) else { continue };
            if page.0 != at.page() {
                page = (at.page(), self.space.read_array::<PAGE_BYTES>(at.page()).ok());
            }
            let within = usize::try_from(at.page_offset()).unwrap_or(PAGE_BYTES);
            let record = page.1.as_ref().and_then(|page| page.get(within..)?.first_chunk().copied());
            if let Some((location, size, _)) = record.or_else(|| self.space.read_array(at).ok()).map(taken_apart)
                && location != ELSEWHERE
            {
                records.insert(number, (location, size));
            }
        }
        records
    }

    /// How records are numbered.
    fn chunks(&self) -> Result<Chunks<'_>, StoreFault> {
        let field = |offset: u64| self.word(CHUNKS.wrapping_add(offset));
        let (shift, mask, size, header) = (field(0x108)? & 0xff, field(0x10c)?, field(0x110)?, field(0x118)?);
        if shift >= 32 || mask >> shift != 0 || !RECORD_SIZES.contains(&size) {
            return Err(StoreFault::Torn("the list of records contradicts itself"));
        }
        Ok(Chunks { part: self, shift, mask, size, header, last: Cell::new(None) })
    }

    /// The page that lies packed at a location.
    pub(super) fn packed(&self, location: u32, size: u16) -> Result<Stored, StoreFault> {
        let torn = |what| Err(StoreFault::Torn(what));
        let (mask, shift) = (self.word(REGION_MASK)?, self.word(REGION_SHIFT)? & 0xff);
        let region_size = u64::from(mask).saturating_add(1) << 4;
        if shift >= 32 || mask >> shift != 0 || !REGION_SIZES.contains(&region_size) {
            return torn("the sizes of a store's regions contradict each other");
        }
        if location == 0 && size == 0 {
            return torn("a record is empty");
        }
        let length = if usize::from(size) == PAGE_BYTES { size } else { size & 0xfff };
        if size & !0xfff != 0 && length != size {
            return torn("a record's size is more than a page");
        }
        let offset = u64::from(location & mask) << 4;
        if offset.saturating_add(u64::from(length)) > region_size {
            return torn("a record leads out of its region");
        }
        let regions = pointer(self.space, self.at.wrapping_add(self.shape.regions), "the list of regions")?;
        let slot = regions.wrapping_add(u64::from(location >> shift).wrapping_mul(8));
        let region = VirtualAddress(pointer(self.space, slot, "the list of regions")?.0 & !0xffff);
        if !regions.is_kernel() || region.is_null() || region.is_kernel() {
            return torn("a record's region is not in MemCompression's memory");
        }
        let mut page = Box::new([0u8; PAGE_BYTES]);
        if length == 0 {
            return Ok(Stored { page, from: None });
        }
        let mut bytes = vec![0u8; usize::from(length)];
        let place = region.wrapping_add(offset);
        let last = place.wrapping_add(u64::from(length).saturating_sub(1));
        let from = self.regions_space.origin(place).ok();
        let read = self.regions_space.read(place, &mut bytes);
        read.map_err(|fault| StoreFault::of("a packed page", &fault))?;
        if bytes.len() == page.len() {
            page.copy_from_slice(&bytes);
            return Ok(Stored { page, from });
        }
        let unpacked = match self.shape.format {
            Some(format) => {
                let format = self.space.read_array(self.at.wrapping_add(format)).map(u16::from_le_bytes);
                match format.map_err(|fault| StoreFault::of("the head of a store", &fault))? {
                    XPRESS => xpress::unpack(&bytes, page.as_mut_slice()).ok(),
                    _ => return torn("its pages are packed in a format that is not known"),
                }
            }
            None => lz4_flex::block::decompress_into(&bytes, page.as_mut_slice()).ok(),
        };
        if unpacked == Some(page.len()) {
            return Ok(Stored { page, from });
        }
        // Bytes out of a page file are of another time, and the store itself is not to blame.
        match [from, self.regions_space.origin(last).ok()].into_iter().flatten().find(|from| from.is_of_another_time())
        {
            Some(Origin::PageFile { number, .. }) => Err(StoreFault::NotUnpacked { number }),
            _ => torn("a page does not unpack to its size"),
        }
    }
}
