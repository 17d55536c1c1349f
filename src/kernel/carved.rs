//! A kernel of which there is nothing but its layouts: what reads objects that were carved out of physical memory.

use super::layouts::Layouts;
use super::{Kernel, SharedData};
use crate::memory::AddressSpace;
use crate::memory::absent::AbsentPages;
use crate::symbols::Symbols;
use crate::{Absent, Error, MemoryImage, PAGE_SIZE, PhysicalAddress, VirtualAddress};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// No machine has a page table there.
const NOWHERE: PhysicalAddress = PhysicalAddress(0x000f_ffff_ffff_f000);

impl<'m> Kernel<'m> {
    /// Layouts for an image in which no kernel was found. It has no globals, and no address is mapped before it
    /// [reads through](Self::read_through) a root.
    ///
    /// # Errors
    /// The symbols lack a field without which nothing is read.
    pub(crate) fn without_tables(image: &'m MemoryImage, symbols: Symbols, build: Option<u32>) -> Result<Self, Error> {
        let symbols = symbols.without_globals();
        let layouts = Layouts::resolve(&symbols)?;
        Ok(Self {
            image,
            space: AddressSpace::new(image, NOWHERE),
            absent: AbsentPages::default(),
            page_file_checks: BTreeMap::new(),
            unchecked: Vec::new(),
            base: VirtualAddress(0),
            pdb: symbols.pdb.clone(),
            symbols,
            layouts,
            shared: None,
            build: build.ok_or_else(|| Absent::not_collected("nothing in memory says which build this is")),
            found_by: "no kernel was found: processes were carved out of physical memory".to_owned(),
            others: Vec::new(),
            undecided: None,
            others_searched: None,
            anchor: None,
            types: OnceLock::new(),
            pages: BTreeMap::new(),
            warnings: Vec::new(),
        })
    }

    /// Reads with this root from now on.
    pub(crate) fn read_through(&mut self, root: PhysicalAddress) {
        self.space = super::find::roots::space(self.image, root);
    }

    /// Takes a shared page that was met in physical memory for this machine's.
    pub(crate) fn with_shared_page(&mut self, shared: SharedData) {
        self.shared = Some(shared);
    }

    /// Takes it that these pages of the kernel have these frames, though no page table says so.
    pub(crate) fn with_pages(&mut self, pages: BTreeMap<VirtualAddress, PhysicalAddress>) {
        self.pages.extend(pages);
    }

    /// The frame of the page behind that of `at`, where something else than page tables tells it.
    pub(crate) fn page_behind(&self, at: VirtualAddress) -> Option<PhysicalAddress> {
        self.pages.get(&at.page().checked_add(PAGE_SIZE)?).copied()
    }

    /// Whether the kernel itself was found, not only processes of it.
    pub(crate) const fn is_found(&self) -> bool {
        !self.base.is_null()
    }
}
