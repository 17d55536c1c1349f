//! The kernel's image base in an address space, by ways that do not need one another: near a known address, by the page tables,
//! and, where the headers are gone, by the CodeView record and symbols. Each gives candidates; whoever asks says which one proves
//! itself.

use super::kuser::SharedData;
use super::pe::{self, KernelMark, PeImage};
use crate::image::{Hints, bytes_at};
use crate::kernel::layouts::Layouts;
use crate::memory::{AddressSpace, Architecture};
use crate::symbols::{SymbolStore, Symbols};
use crate::{Error, PAGE_SIZE, PdbInfo, PhysicalAddress, VirtualAddress};
use std::collections::{HashMap, HashSet};

/// The kernel's image.
#[derive(Clone, Debug)]
pub(crate) struct FoundBase {
    pub base: VirtualAddress,
    /// The PDB that its CodeView record names. `None`: there is no record.
    pub pdb: Option<PdbInfo>,
    /// How it was found, for documents.
    pub how: &'static str,
    /// The symbols, where it took them to find the base.
    pub symbols: Option<Symbols>,
}

/// Windows maps the kernel, the HAL and boot drivers in this part of the address space (slot 0x1F0 of the PML4 table).
const SYSTEM_IMAGES: (VirtualAddress, VirtualAddress) =
    (VirtualAddress(0xffff_f800_0000_0000), VirtualAddress(0xffff_f880_0000_0000));
/// The kernel starts less than this before any of its own addresses: its image has 6 to 20 MiB, and the HAL lies beside it.
const REACH: u64 = 32 << 20;
/// How often one page of physical memory is read as headers in one search: the same page may be mapped more than once, and
/// hostile tables map one without end. What is behind so many copies has still its CodeView record.
const MAX_LOOKS: u16 = 1 << 12;
/// Images that are kept that only their sections call a kernel.
const MAX_FAINT: usize = 8;
/// Places where `RSDS` stands that are read as CodeView records.
const MAX_RECORDS: usize = 1 << 14;
/// Records of kernels for which a base is looked for. More than one there is where a page is mapped twice.
const MAX_BASE_SEARCHES: usize = 64;
/// PDBs that are looked for: each costs a look at every folder, and reading the file.
const MAX_PDBS: usize = 8;

/// The frame of the entry of the PML4 table that leads to the pages where system images lie: roots with the same one map the
/// same images. `None`: the root is not in the image, or the entry leads to no table.
pub(crate) fn images_entry(space: AddressSpace<'_>) -> Option<u64> {
    let entry = space.entry_at(SYSTEM_IMAGES.0, 39)?;
    leads_to_table(entry).then_some(entry & 0x000f_ffff_ffff_f000)
}

/// Whether an entry is present and leads to a table, not to a large page.
pub(crate) const fn leads_to_table(entry: u64) -> bool {
    entry & 0x81 == 1
}

/// The number of the entry of a top table that leads to them.
pub(crate) fn images_slot(arch: &Architecture) -> u64 {
    arch.top_index(SYSTEM_IMAGES.0)
}

/// What is looked for, and where.
#[derive(Clone, Copy)]
pub(crate) struct Search<'m, 's> {
    pub space: AddressSpace<'m>,
    pub shared: Option<&'s SharedData>,
    /// An address in the kernel, or in the HAL.
    pub near: Option<VirtualAddress>,
    pub given: Option<VirtualAddress>,
    pub header: Option<&'s Hints>,
    pub store: &'s SymbolStore,
    /// The same through other roots, which map the same images: some of them may map nothing else.
    pub others: &'s [AddressSpace<'m>],
}

impl<'m> Search<'m, '_> {
    /// Gives kernels whose headers can be read to `take`, the likeliest first, until that has enough. `pages` is how many pages
    /// may be looked at, and becomes less. True: `take` had enough.
    pub(crate) fn by_headers(&self, pages: &mut usize, take: &mut dyn FnMut(FoundBase) -> bool) -> bool {
        let mut seen = HashSet::new();
        let mut faint: Vec<FoundBase> = Vec::new();
        let mut offer = |base, how| {
            let Some((image, mark)) = kernel_at(self.space, base) else { return false };
            let found = FoundBase { base, pdb: image.pdb, how, symbols: None };
            if !seen.insert(base) {
                return false;
            }
            // What names itself is tried before what only looks so.
            match mark {
                KernelMark::Names => take(found),
                KernelMark::Sections => {
                    if faint.len() < MAX_FAINT {
                        faint.push(found);
                    }
                    false
                }
            }
        };
        let done = match self.given {
            Some(base) => offer(base, "base given by hand"),
            None => self.near_known(&mut offer) || self.by_page_tables(pages, &mut offer),
        };
        done || faint.into_iter().any(take)
    }

    fn near_known(&self, offer: &mut dyn FnMut(VirtualAddress, &'static str) -> bool) -> bool {
        let mut hints = self.near.into_iter().chain(self.header.and_then(|header| header.active_process_head));
        hints.any(|hint| {
            let mut bases = (0..REACH / PAGE_SIZE).map(|page| hint.page().wrapping_sub(page.wrapping_mul(PAGE_SIZE)));
            bases.any(|base| pe::starts_like_pe(self.space, base) && offer(base, "headers near a known address"))
        })
    }

    fn by_page_tables(&self, pages: &mut usize, offer: &mut dyn FnMut(VirtualAddress, &'static str) -> bool) -> bool {
        let mut looks: HashMap<PhysicalAddress, u16> = HashMap::new();
        for (base, physical) in self.system_pages() {
            let Some(left) = pages.checked_sub(1) else { return false };
            *pages = left;
            let mut magic = [0; 2];
            if self.space.memory().read(physical, &mut magic) != magic.len() || magic != *b"MZ" {
                continue;
            }
            let looks = looks.entry(physical).or_default();
            *looks = looks.saturating_add(1);
            if *looks <= MAX_LOOKS && offer(base, "headers found by the page tables") {
                return true;
            }
        }
        false
    }

    /// The headers are gone: a CodeView record of the kernel's tells which symbols fit, and these tell at which distance from
    /// the base the build number and System lie. A base is right if both are there. No more than `pages` are looked at.
    ///
    /// # Errors
    /// There is a record, and its symbols are needed to go on, or fit no base; the second for people. `None`: there is no record.
    pub(crate) fn by_code_view(&self, pages: usize) -> Option<Result<FoundBase, BaseFailure>> {
        let mut failed = None;
        let mut known: Vec<(PdbInfo, Option<Symbols>)> = Vec::new();
        for (at, pdb) in self.kernel_records(pages).take(MAX_BASE_SEARCHES) {
            let index = known.iter().position(|(known, _)| *known == pdb);
            if index.is_none() {
                if known.len() >= MAX_PDBS {
                    continue;
                }
                match self.store.find(&pdb, &Layouts::wanted()) {
                    Ok(symbols) => known.push((pdb.clone(), Some(symbols))),
                    Err(error) => {
                        failed.get_or_insert(BaseFailure::Symbols(error.into()));
                        known.push((pdb.clone(), None));
                    }
                }
            }
            let found = index.unwrap_or(known.len().saturating_sub(1));
            let Some((_, symbols)) = known.get_mut(found) else { continue };
            if let Some(base) = symbols.as_ref().and_then(|with| self.base_by_symbols(at, with)) {
                let how = "headers missing: CodeView record and symbols";
                return Some(Ok(FoundBase { base, pdb: Some(pdb), how, symbols: symbols.take() }));
            }
            if symbols.is_some() {
                failed.get_or_insert_with(|| {
                    BaseFailure::NotFound(format!(
                        "a CodeView record of {} lies at {at}, and no base around it fits its symbols",
                        pdb.name
                    ))
                });
            }
        }
        failed.map(Err)
    }

    /// The pages mapped where system images lie, in address order, each with its place in physical memory.
    fn system_pages(&self) -> impl Iterator<Item = (VirtualAddress, PhysicalAddress)> + use<'m> {
        let (from, to) = SYSTEM_IMAGES;
        self.space.regions(from, to).flat_map(|region| {
            let offsets = (0..region.bytes / PAGE_SIZE).map(|page| page.wrapping_mul(PAGE_SIZE));
            offsets.map(move |offset| (region.at.wrapping_add(offset), region.physical.wrapping_add(offset)))
        })
    }

    /// The CodeView records of kernels in the first `pages` pages where system images lie, with their addresses.
    fn kernel_records(&self, pages: usize) -> impl Iterator<Item = (VirtualAddress, PdbInfo)> + use<'m> {
        let space = self.space;
        // Pages without any need no second look where they are mapped again, as hostile tables can do without end.
        let mut without = HashSet::new();
        let mut buffer = Vec::new();
        let places = self.system_pages().take(pages).flat_map(move |(page, physical)| {
            let mut offsets = Vec::new();
            if !without.contains(&physical) {
                offsets.extend(record_offsets(bytes_at(space.memory(), physical, 0x1000, &mut buffer)));
                if offsets.is_empty() {
                    without.insert(physical);
                }
            }
            offsets.into_iter().map(move |offset| page.wrapping_add(offset))
        });
        places.take(MAX_RECORDS).filter_map(move |at| {
            let pdb = pe::rsds(space, at).filter(|pdb| pe::is_kernel_pdb(&pdb.name))?;
            Some((at, pdb))
        })
    }

    fn base_by_symbols(&self, record: VirtualAddress, symbols: &Symbols) -> Option<VirtualAddress> {
        let space = self.space;
        let layouts = Layouts::resolve(symbols).ok()?;
        let build = symbols.global("NtBuildNumber").ok()?;
        let system = symbols.global("PsInitialSystemProcess").ok()?;
        let fits = |base: &VirtualAddress| {
            let number = space.read_u32(base.wrapping_add(build)).unwrap_or(0);
            // Enablement packages raise the shared page's number alone: 19045 for 19041, 26200 for 26100.
            let differs = |data: &SharedData| data.build != 0 && data.build.abs_diff(number & 0xffff) > 200;
            if !is_build_number(number) || self.shared.is_some_and(differs) {
                return false;
            }
            let Ok(system) = space.read_pointer(base.wrapping_add(system)) else { return false };
            let pid = system.wrapping_add(layouts.process.pid.offset);
            self.others.iter().chain([&space]).any(|space| space.read_u64(pid) == Ok(4))
        };
        if let Some(base) = self.given {
            return Some(base).filter(fits);
        }
        let by_header = self.header.and_then(|header| {
            let head = symbols.global("PsActiveProcessHead").ok()?;
            Some(header.active_process_head?.wrapping_sub(head))
        });
        let below = (0..REACH / PAGE_SIZE).map(|page| record.page().wrapping_sub(page.wrapping_mul(PAGE_SIZE)));
        by_header.into_iter().chain(below).find(|base| fits(base))
    }
}

/// Why there is no base.
pub(crate) enum BaseFailure {
    NotFound(String),
    /// A kernel is there, and its symbols are needed to find its base.
    Symbols(Error),
}

/// What is said where nothing looks like a kernel.
pub(crate) fn nothing_mapped() -> String {
    let (from, to) = SYSTEM_IMAGES;
    format!("nothing mapped from {from} to {to} is a kernel image, or has its CodeView record")
}

/// `NtBuildNumber` has 0xF on top in a free build, 0xC in a checked one.
pub(crate) const fn is_build_number(number: u32) -> bool {
    matches!(number >> 28, 0xc | 0xf)
}

/// The kernel image at `base`, if that is what is there.
fn kernel_at(space: AddressSpace<'_>, base: VirtualAddress) -> Option<(PeImage, KernelMark)> {
    let mut image = PeImage::read(space, base)?;
    let mark = image.kernel_mark(space)?;
    // What is exported as the kernel and names another PDB has a record that was written over.
    image.pdb = image.pdb.filter(|pdb| pe::is_kernel_pdb(&pdb.name));
    Some((image, mark))
}

/// Where `RSDS` stands in a page.
fn record_offsets(page: &[u8]) -> impl Iterator<Item = u64> + '_ {
    memchr::memmem::find_iter(page, b"RSDS").filter_map(|offset| u64::try_from(offset).ok())
}
