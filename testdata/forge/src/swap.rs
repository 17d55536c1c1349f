//! What was taken out of memory: pages in page files and in the store, a record of where each page went, and copies that tell lies.

use crate::machine::Machine;
use crate::page_plan::{Form, PagingFile};
use crate::physical::PAGE;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// A page's bytes.
pub type Page = Box<[u8; 4096]>;

/// A page file of a machine: the pages that hold something; all others are zero.
#[derive(Clone, Debug)]
pub struct SwapFile {
    /// Which one.
    pub kind: PagingFile,
    /// Its number in page-table entries.
    pub number: u64,
    /// Pages by index.
    pub pages: BTreeMap<u64, Page>,
}

impl SwapFile {
    /// Pages of the file, to its end.
    #[must_use]
    pub fn length(&self) -> u64 {
        (self.pages.keys().next_back().map_or(0, |last| last + 1) + 0x10).next_multiple_of(0x100)
    }

    /// Writes the file; what is zero takes no room where the file system can leave it out.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut out = File::create(path)?;
        out.set_len(self.length() * PAGE)?;
        for (index, page) in &self.pages {
            out.seek(SeekFrom::Start(index * PAGE))?;
            out.write_all(&page[..])?;
        }
        Ok(())
    }
}

/// A page that goes into the compressed store.
#[derive(Clone, Debug)]
pub struct StoredPage {
    /// Its index in the virtual store.
    pub index: u64,
    /// Its bytes.
    pub bytes: Page,
    /// How it is kept.
    pub form: Form,
}

/// Where a page went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Went {
    /// It is in this frame, through an entry that is not valid or through a section.
    Frame(u64),
    /// In the page file of this number, at this index.
    File(u64, u64),
    /// In the virtual store of this number, at this index.
    Store(u64, u64),
    /// Only in the file that its section maps.
    OnlyInFile,
    /// Nowhere.
    Lost,
}

/// One page that no hardware entry maps.
#[derive(Clone, Debug)]
pub struct Moved {
    /// Page-table root of its address space.
    pub root: u64,
    /// Its address.
    pub address: u64,
    /// Whether it is the page table above that address.
    pub table: bool,
    /// Where it went.
    pub went: Went,
}

/// Everything that was taken out.
#[derive(Clone, Debug, Default)]
pub struct Swap {
    /// Page files, the virtual store among them (without pages).
    pub files: Vec<SwapFile>,
    /// Pages for the store.
    pub stored: Vec<StoredPage>,
    /// The record.
    pub moved: Vec<Moved>,
    next: u64,
}

impl Swap {
    /// No page yet. Where the first page goes differs between machines.
    #[must_use]
    pub fn new(files: &[PagingFile], seed: u64) -> Self {
        let file = |(number, &kind)| SwapFile { kind, number, pages: BTreeMap::new() };
        // An even number: every second page has the bit of the mask.
        let next = crate::rng::Rng::new(seed ^ 0x7377_6170).below(64) * 2;
        Self { files: (0..).zip(files).map(file).collect(), next, ..Self::default() }
    }

    /// The number of a page file.
    ///
    /// # Panics
    /// When the machine has no such file.
    #[must_use]
    pub fn number(&self, kind: PagingFile) -> u64 {
        let found = self.files.iter().find(|f| f.kind == kind);
        found.unwrap_or_else(|| panic!("the machine has no {}", kind.name())).number
    }
}

/// Words of the machines, and what stands in their place where a page is not the one that was meant.
const LIES: [(&str, &str); 4] = [("smss", "evil"), ("csrss", "evils"), ("autochk", "autoevl"), ("winsrv", "winevl")];

/// A page like this one that tells another story: the words of [`LIES`] are exchanged, ASCII and UTF-16, headers of images lose their
/// signature, and where nothing can be exchanged the bytes are turned round.
#[must_use]
pub fn lie(page: &[u8; 4096]) -> Page {
    let mut out = Box::new(*page);
    let mut changed = false;
    let wide = |s: &str| s.bytes().flat_map(|b| [b, 0]).collect::<Vec<u8>>();
    let mut words: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for (a, b) in LIES {
        words.push((a.into(), b.into()));
        words.push((b.into(), a.into()));
        words.push((wide(a), wide(b)));
        words.push((wide(b), wide(a)));
    }
    // The longest first: `evils` is no `evil`.
    words.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
    let mut at = 0;
    while at < page.len() {
        match words.iter().find(|(from, _)| page[at..].starts_with(from)) {
            Some((from, to)) => {
                out[at..at + to.len()].copy_from_slice(to);
                at += from.len();
                changed = true;
            }
            None => at += 1,
        }
    }
    if page.starts_with(b"MZ") {
        out[..2].copy_from_slice(b"LE");
    } else if !changed {
        out.reverse();
    }
    out
}

impl Machine {
    /// A place for a page in the page files: an index that has the mask's bit at every second call, and has not at the others.
    fn swap_index(&mut self) -> u64 {
        let next = self.swap.next;
        self.swap.next += 1;
        let plain = 0x43 + next * 3;
        if next % 2 == 1 { plain | self.index_mask() } else { plain }
    }

    /// The bits that the mask for invalid entries has among those of `PageFileHigh`.
    fn index_mask(&self) -> u64 {
        self.plan.paging.invalid_pte_mask >> 32
    }

    /// Puts the bytes of a frame into a page file and noise into the frame; says number and index.
    pub fn swap_out(&mut self, frame: u64, kind: PagingFile) -> (u64, u64) {
        let bytes = Box::new(*self.memory.frame(frame));
        let (number, index) = (self.swap.number(kind), self.swap_index());
        assert!(kind != PagingFile::Store, "the virtual store has no file");
        self.swap_decoys(number, index, &bytes);
        self.swap.files[number as usize].pages.insert(index, bytes);
        self.noise(frame);
        (number, index)
    }

    /// Puts the bytes of a frame into the compressed store and noise into the frame; says number and index.
    pub fn store_out(&mut self, frame: u64, form: Form) -> (u64, u64) {
        let bytes = Box::new(*self.memory.frame(frame));
        let (number, index) = (self.swap.number(PagingFile::Store), self.swap_index());
        self.swap_decoys(number, index, &bytes);
        self.swap.stored.push(StoredPage { index, bytes, form });
        self.noise(frame);
        (number, index)
    }

    /// Lies, at the same index of every other file, and in all files where the mask is not undone or is undone too much.
    fn swap_decoys(&mut self, number: u64, index: u64, bytes: &[u8; 4096]) {
        if !self.plan.pages.decoys {
            return;
        }
        let lie = lie(bytes);
        let wrong = index ^ self.index_mask();
        let from_store = self.swap.files[number as usize].kind == PagingFile::Store;
        for file in &mut self.swap.files {
            if file.kind == PagingFile::Store {
                continue;
            }
            for at in [index, wrong] {
                if (file.number, at) != (number, index) {
                    file.pages.insert(at, lie.clone());
                }
            }
        }
        if from_store && wrong != index {
            self.swap.stored.push(StoredPage { index: wrong, bytes: lie, form: Form::Packed });
        }
    }

    /// Fills a frame with what somebody else left there.
    pub fn noise(&mut self, frame: u64) {
        let mut bytes = [0; 4096];
        bytes.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&self.rng.next_u64().to_le_bytes()));
        *self.memory.frame(frame) = bytes;
    }

    /// Records where a page went.
    pub fn record_move(&mut self, root: u64, address: u64, table: bool, went: Went) {
        self.swap.moved.push(Moved { root, address: address & !(PAGE - 1), table, went });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lies_go_both_ways() {
        let mut page = [0; 4096];
        page[..9].copy_from_slice(b"smss.evil");
        page[16..26].copy_from_slice(b"c\0s\0r\0s\0s\0");
        let other = lie(&page);
        assert_eq!(&other[..9], b"evil.smss");
        assert_eq!(&other[16..26], b"e\0v\0i\0l\0s\0");
        assert_eq!(*lie(&other), page);
    }
}
