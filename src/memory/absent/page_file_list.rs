//! The page files that a kernel has: `MiSystemPartition.Vp.PagingFile`, before Windows 10 1607 `MmPagingFile`.

use super::prototype::{bits, unicode_string};
use super::search::words;
use super::{AbsentPages, Sites};
use crate::VirtualAddress;
use crate::memory::AddressSpace;
use std::sync::Arc;

/// `_MMPTE_SOFTWARE.PageFileLow` has four bits.
const MAX_PAGE_FILES: u64 = 16;
/// How the path of every page file begins.
const PATH_BEGINS: &str = r"\??\";

/// One of the kernel's page files (`_MMPAGING_FILE`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KernelPageFile {
    /// Its number in page-table entries.
    pub number: u32,
    /// `PageFileName`: `\??\C:\pagefile.sys`.
    pub path: Option<Arc<str>>,
    /// It is the compressed store, and no file.
    pub is_store: bool,
}

/// Where the kernel has its list of page files.
#[derive(Debug)]
pub(crate) struct ListedAt {
    /// Pointers to them.
    pub files: VirtualAddress,
    /// How many there are, 32 bits.
    pub count: VirtualAddress,
}

impl AbsentPages {
    /// Reads the list. `None`: it is not known where it is, or it is none.
    pub(super) fn read_list(&self, space: AddressSpace<'_>) -> Option<Vec<KernelPageFile>> {
        // The list must be had without the pages that it is about.
        let space = space.in_memory_alone();
        let Sites { page_files, image, .. } = &self.sites;
        if let Some(ListedAt { files, count }) = page_files {
            let count = u64::from(space.read_u32(*count).ok()?);
            // A system without page files is none of those whose pages are in one.
            let all = (count <= MAX_PAGE_FILES).then(|| self.files_at(space, *files, count));
            return all.filter(|all| u64::try_from(all.len()).ok() == Some(count));
        }
        // Without symbols: the first page file has the number 0 and a path that says so.
        words(space, image.clone()).find_map(|(at, first)| {
            if !first.is_kernel() || !first.0.is_multiple_of(16) || image.contains(&first) {
                return None;
            }
            let is_first = self.file_at(space, first, 0)?;
            is_first.path?.starts_with(PATH_BEGINS).then(|| self.files_at(space, at, MAX_PAGE_FILES))
        })
    }

    fn files_at(&self, space: AddressSpace<'_>, at: VirtualAddress, count: u64) -> Vec<KernelPageFile> {
        let file = |number: u64| {
            let file = space.read_pointer(at.wrapping_add(number.wrapping_mul(8))).ok()?;
            self.file_at(space, file, u32::try_from(number).ok()?)
        };
        (0..count).map_while(file).collect()
    }

    /// The page file whose structure lies there. `None`: none does, or it has another number.
    fn file_at(&self, space: AddressSpace<'_>, at: VirtualAddress, number: u32) -> Option<KernelPageFile> {
        let layout = self.structures.paging_file.as_ref().filter(|_| at.is_kernel())?;
        if bits(space, at, layout.number).ok()? != u64::from(number) {
            return None;
        }
        let is_store = layout.store.map_or(Some(false), |store| Some(bits(space, at, store).ok()? != 0))?;
        let path = layout.path.and_then(|path| unicode_string(space, at.wrapping_add(path.offset)));
        Some(KernelPageFile { number, path, is_store })
    }
}
