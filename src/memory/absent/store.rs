//! The compressed store of Windows 10 1607 and later: pages that were packed instead of written to a page file, in the memory of
//! the process `MemCompression`.
//!
//! Its structures are in no symbol file. Their layout, build by build, was published with FireEye's `win10_volatility` (up to
//! 18362) and is in MemProcFS (`mm_win.c`, up to 26100). Each step here is checked by what it leads to, and a page counts only if
//! it unpacks to exactly its size.

use super::claims::Claims;
use super::search::words;
use super::store_part::{Part, Stored, is_kernel_page, pointer};
use super::store_tree::{look_up, values};
use crate::memory::AddressSpace;
use crate::memory::fault::StoreFault;
use crate::{PhysicalAddress, VirtualAddress};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

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
/// Records of one store that are held against one another: those of 4 GiB of pages.
const MAX_CLAIMS: usize = 1 << 20;

/// Where the store's parts are in one range of builds.
#[derive(Debug)]
pub(super) struct Shape {
    /// The first build.
    since: u32,
    /// The way from `SmGlobals` to the globals: where a pointer lies, and how far before its target they begin.
    moved: Option<(u64, u64)>,
    /// `SMKM_STORE`: the format of its pages. `None`: LZ4.
    pub(super) format: Option<u64>,
    /// `SMKM_STORE`: pointer to the addresses of its regions.
    pub(super) regions: u64,
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
    /// By the place of a store.
    claims: Mutex<HashMap<VirtualAddress, Arc<Claims>>>,
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
            let (process_root, process_name) = (site.process_root, site.process_name);
            Some(Self { shape, globals, process_root, process_name, claims: Mutex::default() })
                .filter(|store| store.is_one(space))
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
        let record = record.ok_or(StoreFault::Torn("a page is listed, and its store does not have it"))?;
        let (record, location, size) = part.follow(record)?;
        if self.claims(&part, tree).dispute(record, location, size) {
            return Err(StoreFault::Torn("two records of a store have the same bytes"));
        }
        part.packed(location, size)
    }

    /// What the records claim that the tree of a store leads to.
    fn claims(&self, part: &Part<'_>, tree: VirtualAddress) -> Arc<Claims> {
        let kept = || self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = kept().get(&part.at) {
            return Arc::clone(claims);
        }
        let numbers = BTreeSet::from_iter(values(part.space, tree, MAX_CLAIMS));
        let claims = Arc::new(Claims::new(&part.records(numbers)));
        kept().insert(part.at, Arc::clone(&claims));
        claims
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
