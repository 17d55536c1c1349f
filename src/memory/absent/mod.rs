//! Pages that no page table maps, and what supplies them: prototype entries that only VADs know, page files, the compressed store.

mod claims;
mod page_file;
mod page_file_list;
mod prototype;
mod search;
mod store;
mod store_part;
mod store_tree;

use crate::addr::PAGE_BYTES;
pub use page_file::PageFile;
pub(crate) use page_file_list::{KernelPageFile, ListedAt};
pub(super) use prototype::VadAnswer;
pub(crate) use store::StoreSite;

use super::fault::{Fault, PageFileFault, StoreFault};
use super::layouts::{ControlAreaLayout, MappedVadLayout, PagingFileLayout, SubsectionLayout, VadLayout};
use super::resolve::PageBytes;
use super::space::AddressSpace;
use crate::{Origin, PAGE_SIZE, VirtualAddress};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use store::Store;

/// Pages kept that were unpacked, or read from a file: one process's account of itself, or the pages of a key, are read many
/// times over. 4 MiB.
const MAX_KEPT: usize = 1024;

/// What one kernel and its user offer for pages that are not in memory.
#[derive(Debug, Default)]
pub(crate) struct AbsentPages {
    /// Structures, as far as the symbols have them.
    pub structures: Structures,
    /// Where the search begins.
    pub sites: Sites,
    /// The files that were given, by the number of the page file that they are.
    pub given: BTreeMap<u32, Given>,
    listed: OnceLock<Option<Vec<KernelPageFile>>>,
    store: OnceLock<Result<Store, StoreFault>>,
    kept: Mutex<HashMap<(u32, u64), PageBytes>>,
    /// The page files that supplied something, by the bits of their numbers.
    used: AtomicU32,
}

/// The layouts that the search for absent pages takes.
#[derive(Debug, Default)]
pub(crate) struct Structures {
    pub vad: Option<VadLayout>,
    pub mapped_vad: Option<MappedVadLayout>,
    pub subsection: Option<SubsectionLayout>,
    pub control_area: Option<ControlAreaLayout>,
    pub paging_file: Option<PagingFileLayout>,
    /// `_FILE_OBJECT.FileName`.
    pub file_name: Option<u64>,
}

/// Where a kernel has what the search begins with.
#[derive(Debug)]
pub(crate) struct Sites {
    /// The kernel's image, in which variables are looked for that no symbols name.
    pub image: Range<VirtualAddress>,
    /// Its list of page files, if symbols name it.
    pub page_files: Option<ListedAt>,
    /// Its compressed store. `None`: its build is not known.
    pub store: Option<StoreSite>,
}

impl Default for Sites {
    fn default() -> Self {
        Self { image: VirtualAddress(0)..VirtualAddress(0), page_files: None, store: None }
    }
}

/// A file that was given for a page file.
#[derive(Debug)]
pub(crate) enum Given {
    /// It is this machine's, or nothing says otherwise.
    File(PageFile),
    /// What is in it contradicts memory.
    Foreign,
}

impl AbsentPages {
    pub(crate) fn new(structures: Structures, sites: Sites) -> Self {
        Self { structures, sites, ..Self::default() }
    }

    /// Whether a page is in the store rather than in a page file. Where the kernel's list of page files is not known, the
    /// store itself is asked: it lists what it has by number and index.
    pub(super) fn is_store(&self, space: AddressSpace<'_>, number: u32, index: u64) -> bool {
        match self.listed(space) {
            Some(listed) => listed.iter().any(|file| file.number == number && file.is_store),
            None => {
                space.allows_store()
                    && self.store(space).is_ok_and(|store| store.lists(space.for_the_store(), number, index))
            }
        }
    }

    /// The page files that the kernel has. `None`: its list could not be read.
    pub(crate) fn listed(&self, space: AddressSpace<'_>) -> Option<&[KernelPageFile]> {
        self.listed.get_or_init(|| self.read_list(space)).as_deref()
    }

    /// Whether the list of page files was needed so far.
    pub(crate) fn has_list(&self) -> bool {
        self.listed.get().is_some()
    }

    /// Whether a page file supplied something so far.
    pub(crate) fn was_used(&self, number: u32) -> bool {
        self.used.load(Ordering::Relaxed) & 1u32.wrapping_shl(number) != 0
    }

    /// The fault of a page in a page file that nobody gave.
    pub(super) const fn not_given(at: VirtualAddress, number: u32, index: u64) -> Fault {
        let (why, offset) = (PageFileFault::NotGiven, index.saturating_mul(PAGE_SIZE));
        Fault::PageFile { at, number, offset, why, path: None }
    }

    /// A page of a page file.
    pub(super) fn of_page_file(
        &self,
        space: AddressSpace<'_>,
        at: VirtualAddress,
        number: u32,
        index: u64,
    ) -> Result<PageBytes, Fault> {
        let offset = index.saturating_mul(PAGE_SIZE);
        let fault = |why| Fault::PageFile { at, number, offset, why, path: self.path_of(space, number) };
        match self.given.get(&number) {
            Some(Given::File(file)) => {
                let page = self.keep(number, index, || file.page(offset)).map_err(fault)?;
                self.used.fetch_or(1u32.wrapping_shl(number), Ordering::Relaxed);
                Ok(page)
            }
            Some(Given::Foreign) => Err(fault(PageFileFault::Foreign)),
            None => {
                let listed = self.listed(space).unwrap_or_default();
                let (files, is_one) = (listed.len(), listed.iter().any(|file| file.number == number));
                let why =
                    if files > 0 && !is_one { PageFileFault::NoSuchFile { files } } else { PageFileFault::NotGiven };
                Err(fault(why))
            }
        }
    }

    /// The path of a page file on the machine, as far as the kernel names it.
    pub(super) fn path_of(&self, space: AddressSpace<'_>, number: u32) -> Option<Arc<str>> {
        self.listed(space)?.iter().find(|file| file.number == number)?.path.clone()
    }

    /// A page of the compressed store.
    pub(super) fn of_store(
        &self,
        space: AddressSpace<'_>,
        at: VirtualAddress,
        number: u32,
        index: u64,
    ) -> Result<PageBytes, Fault> {
        let fault = |why| {
            let path = match why {
                StoreFault::InPageFile { number, .. } | StoreFault::NotUnpacked { number } => {
                    self.path_of(space, number)
                }
                _ => None,
            };
            Fault::Store { at, number, index, why, path }
        };
        // Reading the store itself must not come back here.
        if !space.allows_store() {
            return Err(fault(StoreFault::NeedsItself));
        }
        let store = self.store(space).map_err(fault)?;
        self.keep(number, index, || store.page(space.for_the_store(), number, index).map(|stored| stored.page))
            .map_err(fault)
    }

    /// What supplies a page of the compressed store: memory, or a page file that has its packed bytes.
    pub(super) fn origin_in_store(&self, space: AddressSpace<'_>, number: u32, index: u64) -> Origin {
        let store = self.store(space).ok().filter(|_| space.allows_store());
        let stored = store.and_then(|store| store.page(space.for_the_store(), number, index).ok());
        match stored.and_then(|stored| stored.from) {
            Some(Origin::PageFile { number, offset }) => Origin::StoreInPageFile { number, offset },
            _ => Origin::CompressedStore,
        }
    }

    fn store(&self, space: AddressSpace<'_>) -> Result<&Store, StoreFault> {
        let find = || match &self.sites.store {
            Some(site) => Store::find(space.for_the_store(), site, &self.sites.image),
            None => Err(StoreFault::NotFound("this kernel has none that is known")),
        };
        self.store.get_or_init(find).as_ref().map_err(|why| *why)
    }

    /// Reads a page unless it was read before. What failed is tried again each time.
    fn keep<E>(
        &self,
        number: u32,
        index: u64,
        read: impl FnOnce() -> Result<Box<[u8; PAGE_BYTES]>, E>,
    ) -> Result<PageBytes, E> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = kept().get(&(number, index)) {
            return Ok(Arc::clone(page));
        }
        let page: PageBytes = Arc::from(read()?);
        let mut kept = kept();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert((number, index), Arc::clone(&page));
        Ok(page)
    }
}
