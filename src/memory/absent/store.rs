//! The compressed store of Windows 10 1607 and later: pages that were packed instead of written to a page file, in the memory of
//! the process `MemCompression`.
//!
//! Its structures are in no symbol file. Their layout, build by build, was published with FireEye's `win10_volatility` (up to
//! 18362) and is in MemProcFS (`mm_win.c`, up to 26100). Each step here is checked by what it leads to, and a page counts only if
//! it unpacks to exactly its size.

use super::search::words;
use super::store_tree::look_up;
use crate::addr::PAGE_BYTES;
use crate::memory::AddressSpace;
use crate::memory::fault::StoreFault;
use crate::{Origin, PhysicalAddress, VirtualAddress, xpress};
use std::ops::Range;

/// `SM_GLOBALS`: pointers to arrays of stores.
const STORES: u64 = 0;
/// `SM_GLOBALS`: root of the tree from pages to stores.
const PAGES_TREE: u64 = 0x1c0;
/// Stores in one array, of so many bytes each.
const STORES_IN_ARRAY: u32 = 32;
const STORE_ENTRY: u64 = 0x28;
/// Tag of the pool block with such an array.
const STORES_TAG: [u8; 4] = *b"smSa";
/// `SMKM_STORE`: root of the tree from pages to records.
const RECORDS_TREE: u64 = 0x50;
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

/// Where the store's parts are in one range of builds.
#[derive(Debug)]
struct Shape {
    /// The first build.
    since: u32,
    /// The way from `SmGlobals` to the globals: where a pointer lies, and how far before its target they begin.
    moved: Option<(u64, u64)>,
    /// `SMKM_STORE`: the format of its pages. `None`: LZ4.
    format: Option<u64>,
    /// `SMKM_STORE`: pointer to the addresses of its regions.
    regions: u64,
    /// `SMKM_STORE`: the process that has the regions.
    owner: u64,
    /// Whether a page's key has the number of the page file in it.
    numbered: bool,
}

const SHAPES: [Shape; 6] = [
    Shape { since: 14393, moved: None, format: Some(0x420), regions: 0x17a8, owner: 0x1918, numbered: true },
    Shape { since: 15063, moved: None, format: Some(0x420), regions: 0x1828, owner: 0x1988, numbered: true },
    Shape { since: 16299, moved: None, format: Some(0x430), regions: 0x1848, owner: 0x19a8, numbered: true },
    Shape { since: 18980, moved: None, format: Some(0x430), regions: 0x1848, owner: 0x19b8, numbered: true },
    Shape {
        since: 22601,
        moved: Some((8, 0x7a8)),
        format: Some(0x430),
        regions: 0x1848,
        owner: 0x19b8,
        numbered: true,
    },
    Shape { since: 26100, moved: Some((0x10, 0xc30)), format: None, regions: 0x1b70, owner: 0x1d08, numbered: false },
];

/// What leads to the store of one kernel.
#[derive(Debug)]
pub(crate) struct StoreSite {
    /// The build number.
    pub build: u32,
    /// `SmGlobals`. `None`: no symbols name it, and it is looked for in the kernel's image.
    pub globals: Option<VirtualAddress>,
    /// `_EPROCESS.Pcb.DirectoryTableBase`.
    pub process_root: u64,
    /// `_EPROCESS.ImageFileName`.
    pub process_name: u64,
}

/// The store of one kernel.
#[derive(Debug)]
pub(super) struct Store {
    shape: &'static Shape,
    globals: VirtualAddress,
    process_root: u64,
    process_name: u64,
}

/// Reads a structure of the store; what cannot be read is a fault of the store.
fn pointer(space: AddressSpace<'_>, at: VirtualAddress, what: &'static str) -> Result<VirtualAddress, StoreFault> {
    space.read_pointer(at).map_err(|fault| StoreFault::of(what, &fault))
}

fn word(space: AddressSpace<'_>, at: VirtualAddress, what: &'static str) -> Result<u32, StoreFault> {
    space.read_u32(at).map_err(|fault| StoreFault::of(what, &fault))
}

/// A pointer that leads to the beginning of a page of kernel memory.
const fn is_kernel_page(at: VirtualAddress) -> bool {
    at.is_kernel() && at.page_offset() == 0
}

impl Store {
    /// Finds the store.
    pub(super) fn find(
        space: AddressSpace<'_>,
        site: &StoreSite,
        image: &Range<VirtualAddress>,
    ) -> Result<Self, StoreFault> {
        let shape = SHAPES.iter().rev().find(|shape| shape.since <= site.build);
        let shape = shape.ok_or(StoreFault::NotFound("its layout in builds before 14393 is not known"))?;
        let at = |globals| {
            let store = Self { shape, globals, process_root: site.process_root, process_name: site.process_name };
            Some(store).filter(|store| store.is_one(space))
        };
        let found = match (site.globals, shape.moved) {
            (Some(globals), None) => at(globals),
            (Some(globals), Some((offset, before))) => {
                let to = space.read_pointer(globals.wrapping_add(offset)).ok();
                to.filter(|to| to.is_kernel()).and_then(|to| at(to.wrapping_sub(before)))
            }
            (None, moved) => {
                let mut pointers = words(space.in_memory_alone(), image.clone()).filter(|(_, to)| to.is_kernel());
                pointers.find_map(|(place, to)| match moved {
                    None => at(place.wrapping_sub(STORES)),
                    Some((_, before)) => at(to.wrapping_sub(before)),
                })
            }
        };
        found.ok_or(StoreFault::NotFound("what lies at SmGlobals is no store, or one of a build that is not known"))
    }

    /// Whether what lies there can be the globals: a block of stores by its pool tag, and a tree.
    fn is_one(&self, space: AddressSpace<'_>) -> bool {
        let stores = space.read_pointer(self.globals.wrapping_add(STORES));
        let tag = |stores: VirtualAddress| space.read_array::<4>(stores.wrapping_sub(12));
        let tree = space.read_pointer(self.globals.wrapping_add(PAGES_TREE));
        let tagged = stores.is_ok_and(|stores| stores.is_kernel() && tag(stores) == Ok(STORES_TAG));
        tagged && tree.is_ok_and(is_kernel_page)
    }

    /// The key of a page.
    fn key(&self, number: u32, index: u64) -> Result<u32, StoreFault> {
        let index = u32::try_from(index).ok().filter(|index| *index < 1 << 28 && number < 1 << 4);
        let index = index.ok_or(StoreFault::Torn("the entry's page number is none of the store's"))?;
        Ok(if self.shape.numbered { number << 28 | index } else { index })
    }

    /// The number of the store that has a page.
    fn store_of(&self, space: AddressSpace<'_>, key: u32) -> Result<u32, StoreFault> {
        let tree = pointer(space, self.globals.wrapping_add(PAGES_TREE), "the root of the tree of pages")?;
        let value = look_up(space, tree, key)?;
        // Bit 24: the entry is not valid any more.
        value.filter(|value| value & 1 << 24 == 0).map(|value| value & 0x3ff).ok_or(StoreFault::NotListed)
    }

    /// Whether the store has this page.
    pub(super) fn lists(&self, space: AddressSpace<'_>, number: u32, index: u64) -> bool {
        self.key(number, index).and_then(|key| self.store_of(space, key)).is_ok()
    }

    /// The page `index` of the store that has `number` among the page files.
    pub(super) fn page(&self, space: AddressSpace<'_>, number: u32, index: u64) -> Result<Stored, StoreFault> {
        let key = self.key(number, index)?;
        let which = self.store_of(space, key)?;
        let slot = u64::from(which / STORES_IN_ARRAY).wrapping_mul(8);
        let array = pointer(space, self.globals.wrapping_add(STORES).wrapping_add(slot), "the list of stores")?;
        let entry = array.wrapping_add(u64::from(which % STORES_IN_ARRAY).wrapping_mul(STORE_ENTRY));
        let at = pointer(space, entry, "the list of stores")?;
        if !array.is_kernel() || !is_kernel_page(at) {
            return Err(StoreFault::Torn("a page's store is not in the list of stores"));
        }
        let part = Part { shape: self.shape, at, space, regions_space: self.owner(space, at)? };
        let tree = pointer(space, at.wrapping_add(RECORDS_TREE), "the root of a store's tree")?;
        let record = look_up(space, tree, key)?.filter(|record| *record != 0);
        part.page(record.ok_or(StoreFault::Torn("a page is listed, and its store does not have it"))?)
    }

    /// The address space that has the regions of the store at `at`.
    fn owner<'m>(&self, space: AddressSpace<'m>, at: VirtualAddress) -> Result<AddressSpace<'m>, StoreFault> {
        let process = pointer(space, at.wrapping_add(self.shape.owner), "a store's process")?;
        let name = space.read_array::<15>(process.wrapping_add(self.process_name));
        if !process.is_kernel()
            || name.map_err(|fault| StoreFault::of("a store's process", &fault))? != *b"MemCompression\0"
        {
            return Err(StoreFault::Torn("a store's process is not MemCompression"));
        }
        let root = pointer(space, process.wrapping_add(self.process_root), "a store's process")?;
        Ok(space.with_root(PhysicalAddress(root.0)))
    }
}

/// A page of the store, unpacked.
pub(super) struct Stored {
    pub page: Box<[u8; PAGE_BYTES]>,
    /// What supplied its packed bytes. `None`: it has none, and is of zeros.
    pub from: Option<Origin>,
}

/// One store.
struct Part<'m> {
    shape: &'static Shape,
    at: VirtualAddress,
    space: AddressSpace<'m>,
    regions_space: AddressSpace<'m>,
}

impl Part<'_> {
    fn word(&self, offset: u64) -> Result<u32, StoreFault> {
        word(self.space, self.at.wrapping_add(offset), "the head of a store")
    }

    /// The page of a record.
    fn page(&self, record: u32) -> Result<Stored, StoreFault> {
        let mut number = record;
        for _ in 0..MAX_HOPS {
            let at = self.record(number)?;
            let [a, b, c, d, e, f, g, h] =
                self.space.read_array(at).map_err(|fault| StoreFault::of("a record", &fault))?;
            let location = u32::from_le_bytes([a, b, c, d]);
            if location != ELSEWHERE {
                return self.packed(location, u16::from_le_bytes([e, f]));
            }
            number = u32::from_le_bytes([e, f, g, h]);
        }
        Err(StoreFault::Torn("records stand for one another in a ring"))
    }

    /// Where a record lies: chunks of records, in arrays of which each is twice as long as the one before.
    fn record(&self, number: u32) -> Result<VirtualAddress, StoreFault> {
        let torn = StoreFault::Torn("the list of records contradicts itself");
        let field = |offset: u64| self.word(CHUNKS.wrapping_add(offset));
        let (shift, mask, size, header) = (field(0x108)? & 0xff, field(0x10c)?, field(0x110)?, field(0x118)?);
        if shift >= 32 || mask >> shift != 0 || !RECORD_SIZES.contains(&size) {
            return Err(torn);
        }
        let chunk = number >> shift;
        let array = chunk.checked_ilog2().ok_or(torn)?;
        let index = chunk ^ 1u32.wrapping_shl(array);
        let slot = self.at.wrapping_add(CHUNKS).wrapping_add(u64::from(array).wrapping_mul(8));
        let array = pointer(self.space, slot, "the list of records")?;
        let chunk = array.wrapping_add(u64::from(index).wrapping_mul(0x10));
        let chunk = pointer(self.space, chunk, "the list of records")?;
        let offset = u64::from(header).saturating_add(u64::from(size).wrapping_mul(u64::from(number & mask)));
        let fits = array.is_kernel() && is_kernel_page(chunk) && offset < MAX_CHUNK;
        if fits { Ok(chunk.wrapping_add(offset)) } else { Err(torn) }
    }

    /// The page that lies packed at a location.
    fn packed(&self, location: u32, size: u16) -> Result<Stored, StoreFault> {
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
            Ok(Stored { page, from })
        } else {
            torn("a page does not unpack to its size")
        }
    }
}
