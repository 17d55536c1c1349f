//! Where the blocks of a hive lie in memory: `_HHIVE.Storage` maps.

use super::cells::{BLOCK, CellIndex};
use super::hive_file::{FilePage, HiveFile};
use crate::kernel::{Cmhive, Kernel, Storage, registry_process};
use crate::location::Location;
use crate::memory::{AddressSpace, Where};
use crate::{Absent, VirtualAddress};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Pages of hives' files that are remembered to be there or not: those of a hive of 256 MiB.
const MAX_REMEMBERED: usize = 1 << 16;

/// The cell maps of one hive.
#[derive(Clone, Debug)]
pub(super) struct CellMap<'k> {
    kernel: &'k Kernel<'k>,
    /// The address space of the process Registry; `None`: the build has none.
    user: Result<Option<AddressSpace<'k>>, Absent>,
    storages: [Storage; 2],
    cmhive: Cmhive<'k>,
    file: Arc<OfFile>,
}

/// What was read of the hive's file instead of the hive.
#[derive(Debug, Default)]
struct OfFile {
    /// Whether each block was written to since the file was. `None`: the hive does not say.
    written: OnceLock<Vec<Option<bool>>>,
    file: OnceLock<Result<HiveFile, Absent>>,
    pages: Mutex<BTreeMap<u32, Result<FilePage, Absent>>>,
}

/// One block of a hive.
struct Block<'k> {
    /// Where it lies.
    at: VirtualAddress,
    /// The address space to read it in.
    space: AddressSpace<'k>,
    /// Whether a bin begins with it. `None`: the map does not say.
    begins_bin: Option<bool>,
}

/// Why a block cannot be read where the map has it.
struct Lost {
    why: Absent,
    /// Nothing tells where its page is or was.
    place_unknown: bool,
}

impl<'k> CellMap<'k> {
    /// The maps of `hive`. `user` is what [`registry_process`] gave.
    pub(super) fn new(
        kernel: &'k Kernel<'k>,
        hive: &Cmhive<'k>,
        user: Result<Option<AddressSpace<'k>>, Absent>,
    ) -> Result<Self, Absent> {
        Ok(Self { kernel, user, storages: hive.storages()?, cmhive: hive.clone(), file: Arc::default() })
    }

    /// Looks for the process Registry, once for all hives.
    pub(super) fn user_space(kernel: &'k Kernel<'k>) -> Result<Option<AddressSpace<'k>>, Absent> {
        registry_process(kernel)
    }

    /// Whether another hive's maps are the very same.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.storages.iter().zip(&other.storages).all(|(own, theirs)| {
            let same = |a: &Result<VirtualAddress, Absent>, b: &Result<VirtualAddress, Absent>| {
                matches!((a, b), (Ok(a), Ok(b)) if a == b)
            };
            matches!((&own.length, &theirs.length), (Ok(a), Ok(b)) if a == b) && same(&own.map, &theirs.map)
        })
    }

    fn storage(&self, index: CellIndex) -> &Storage {
        let [stable, volatile] = &self.storages;
        if index.is_volatile() { volatile } else { stable }
    }

    /// Bytes of bins in the storage that `index` belongs to.
    pub(super) fn length(&self, index: CellIndex) -> Result<u32, Absent> {
        self.storage(index).length.clone()
    }

    /// The block that `index` lies in.
    fn block(&self, index: CellIndex) -> Result<Block<'k>, Absent> {
        let place = self.storage(index).block(self.kernel, u64::from(index.offset() / BLOCK))?;
        let at = place.at;
        let space = if at.is_kernel() {
            self.kernel.space()
        } else {
            self.user.clone()?.ok_or_else(|| {
                Absent::unparsable(format!("the map leads to {at}, and this build keeps hives in the kernel's half"))
            })?
        };
        Ok(Block { at, space, begins_bin: place.in_bin.map(|within| within == 0) })
    }

    /// Fills `buf`, which ends in the same block, from `index` on.
    pub(super) fn read(&self, index: CellIndex, buf: &mut [u8]) -> Result<(), Absent> {
        let within = u64::from(index.offset() % BLOCK);
        let lost = match self.block(index) {
            Ok(Block { at, space, .. }) => match space.read(at.wrapping_add(within), buf) {
                // What was written to is the process's own copy, and not the section's page.
                Ok(()) if at.is_kernel() || self.is_written(index) != Some(true) || !is_shared(space, at) => {
                    return Ok(());
                }
                Ok(()) => Lost {
                    place_unknown: true,
                    why: Absent::unreadable(format!(
                        "{at} leads to the page of the file, and the process's own is lost"
                    )),
                },
                Err(fault) => Lost { place_unknown: fault.loses_the_way(), why: fault.into() },
            },
            Err(why) => Lost { why, place_unknown: true },
        };
        self.file_page(index, lost)?.read(self.kernel.space(), within, buf)
    }

    /// Where `index` lies. What was read of the hive's file lies there.
    pub(super) fn locate(&self, index: CellIndex, structure: &'static str, field: &'static str) -> Option<Location> {
        let within = u64::from(index.offset() % BLOCK);
        let known = self.pages().get(&(index.offset() / BLOCK)).and_then(|page| page.clone().ok());
        if let Some(page) = known.filter(|_| !index.is_volatile()) {
            return Some(page.locate(self.kernel.space(), structure, field, within));
        }
        let block = self.block(index).ok()?;
        Some(block.space.locate(structure, field, block.at.wrapping_add(within)))
    }

    /// Whether the stable block of `index` was written to since the file was. `None`: the hive does not say.
    fn is_written(&self, index: CellIndex) -> Option<bool> {
        if index.is_volatile() {
            return None;
        }
        let blocks = || self.length(CellIndex(0)).map_or(0, |length| usize::try_from(length / BLOCK).unwrap_or(0));
        let written = self.file.written.get_or_init(|| self.cmhive.written_pages(blocks()));
        usize::try_from(index.offset() / BLOCK).ok().and_then(|number| written.get(number).copied().flatten())
    }

    fn pages(&self) -> MutexGuard<'_, BTreeMap<u32, Result<FilePage, Absent>>> {
        self.file.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page of the hive's file with the block of `index`.
    fn file_page(&self, index: CellIndex, lost: Lost) -> Result<FilePage, Absent> {
        if index.is_volatile() {
            return Err(lost.why);
        }
        let number = index.offset() / BLOCK;
        if let Some(known) = self.pages().get(&number) {
            return known.clone();
        }
        let found = self.find_file_page(index, lost);
        let mut pages = self.pages();
        if pages.len() < MAX_REMEMBERED {
            pages.insert(number, found.clone());
        }
        found
    }

    fn find_file_page(&self, index: CellIndex, Lost { why, place_unknown }: Lost) -> Result<FilePage, Absent> {
        let number = index.offset() / BLOCK;
        let but = |what: &str| Absent::new(why.kind, format!("{what}: {}", why.detail));
        let proven = match self.is_written(index) {
            Some(true) => {
                return Err(but("it was written to since its file was, so that the file's page is none of the hive's"));
            }
            Some(false) => true,
            // Where a page is known to be elsewhere, it may be the process's own copy.
            None if !place_unknown => return Err(why),
            None => false,
        };
        let begins = number == 0 || self.block(index).is_ok_and(|block| block.begins_bin == Some(true));
        let file = self.file.file.get_or_init(|| {
            let first = self.storage(index).block(self.kernel, 0).ok().map(|place| place.at);
            let view = self.user.as_ref().ok().copied().flatten().zip(first.filter(|at| !at.is_kernel()));
            HiveFile::find(self.kernel, &self.cmhive, view)
        });
        let page = file.as_ref().map_err(Clone::clone);
        let page = page.and_then(|file| file.page(self.kernel, number, begins, proven));
        page.map_err(|no| but(&format!("what memory has of its file does not help ({})", no.detail)))
    }

    /// How many blocks were read of the hive's file instead, and how many of those the hive says were not written to since.
    pub(super) fn of_file(&self) -> (usize, usize) {
        let pages = self.pages();
        let read = pages.values().flatten();
        (read.clone().count(), read.filter(|page| page.proven).count())
    }
}

/// Whether the page at `at` is a section's, and no copy of the process.
fn is_shared(space: AddressSpace<'_>, at: VirtualAddress) -> bool {
    matches!(space.resolve(at), Where::Prototype(_))
}
