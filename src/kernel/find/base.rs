//! The kernel's image base in an address space, by three ways that do not need one another: near the low stub's target, by
//! the page tables, and, where the headers are gone, by the CodeView record and symbols.

use super::kuser::SharedData;
use super::pe::{self, PeImage};
use crate::image::{Hints, bytes_at};
use crate::kernel::layouts::Layouts;
use crate::memory::AddressSpace;
use crate::symbols::{SymbolStore, Symbols};
use crate::{Error, PAGE_SIZE, PdbInfo, PhysicalAddress, VirtualAddress};
use std::collections::HashSet;

/// The kernel's image.
#[derive(Debug)]
pub(crate) struct FoundBase {
    pub base: VirtualAddress,
    pub pdb: PdbInfo,
    /// How it was found, for documents.
    pub how: &'static str,
    /// The symbols, where it took them to find the base.
    pub symbols: Option<Symbols>,
}

/// Why there is none.
pub(crate) enum BaseFailure {
    NotFound(String),
    /// A kernel is there, and its symbols are needed to find its base.
    Symbols(Error),
}

/// Windows maps the kernel, the HAL and boot drivers in this part of the address space (slot 0x1F0 of the PML4 table).
const SYSTEM_IMAGES: (VirtualAddress, VirtualAddress) =
    (VirtualAddress(0xffff_f800_0000_0000), VirtualAddress(0xffff_f880_0000_0000));
/// The kernel starts less than this before any of its own addresses: its image has 6 to 20 MiB, and the HAL lies beside it.
const REACH: u64 = 32 << 20;
/// Pages looked at: real systems map some ten thousand in this part, and hostile tables could map a hundred million.
const MAX_PAGES: usize = 1 << 22;
/// Pages with the mark of PE headers that are read as such: a system loads some hundred images there.
const MAX_HEADERS: usize = 1 << 12;
/// Places where `RSDS` stands that are read as CodeView records.
const MAX_RECORDS: usize = 1 << 14;
/// Records of kernels for which a base is looked for. More than one there is where a page is mapped twice.
const MAX_BASE_SEARCHES: usize = 64;
/// PDBs that are looked for: each costs a look at every folder, and reading the file.
const MAX_PDBS: usize = 8;
/// `IMAGE_FILE_MACHINE_AMD64`.
const AMD64: u16 = 0x8664;

/// The entry of the PML4 table that leads to the pages where system images lie: roots with the same one map the same images.
pub(crate) fn images_entry(space: AddressSpace<'_>) -> Option<u64> {
    space.entry_at(SYSTEM_IMAGES.0, 39)
}

/// Finds the kernel's base. `near`: an address in it, or in the HAL.
pub(crate) fn find(
    space: AddressSpace<'_>,
    shared: Option<&SharedData>,
    near: Option<VirtualAddress>,
    given: Option<VirtualAddress>,
    header: Option<&Hints>,
    store: &SymbolStore,
) -> Result<FoundBase, BaseFailure> {
    if let Some(base) = given {
        if let Some(pdb) = kernel_at(space, base) {
            return Ok(FoundBase { base, pdb, how: "base given by hand", symbols: None });
        }
        return by_code_view(space, shared, Some(base), header, store)
            .unwrap_or_else(|| Err(BaseFailure::NotFound(format!("no kernel image at the given base {base}"))));
    }
    let mut hints: Vec<VirtualAddress> = near.into_iter().collect();
    hints.extend(header.and_then(|header| header.active_process_head));
    for hint in hints {
        let found = (0..REACH / PAGE_SIZE).find_map(|page| {
            let base = hint.page().wrapping_sub(page.wrapping_mul(PAGE_SIZE));
            kernel_at(space, base).map(|found| (base, found))
        });
        if let Some((base, pdb)) = found {
            return Ok(FoundBase { base, pdb, how: "headers near a known address", symbols: None });
        }
    }
    if let Some(found) = by_page_tables(space) {
        return Ok(found);
    }
    match by_code_view(space, shared, None, header, store) {
        Some(found) => found,
        None => Err(BaseFailure::NotFound(format!(
            "nothing mapped from {} to {} is a kernel image, or has its CodeView record",
            SYSTEM_IMAGES.0, SYSTEM_IMAGES.1
        ))),
    }
}

/// The PDB of the kernel image at `base`, if that is what is there.
fn kernel_at(space: AddressSpace<'_>, base: VirtualAddress) -> Option<PdbInfo> {
    let image = PeImage::read(space, base)?;
    let pdb = image.pdb.filter(|pdb| pe::is_kernel_pdb(&pdb.name))?;
    (image.machine == AMD64).then_some(pdb)
}

/// The pages mapped where system images lie, in address order, each with its place in physical memory.
fn system_pages<'m>(space: AddressSpace<'m>) -> impl Iterator<Item = (VirtualAddress, PhysicalAddress)> + use<'m> {
    let (from, to) = SYSTEM_IMAGES;
    let pages = space.regions(from, to).flat_map(|region| {
        let offsets = (0..region.bytes / PAGE_SIZE).map(|page| page.wrapping_mul(PAGE_SIZE));
        offsets.map(move |offset| (region.at.wrapping_add(offset), region.physical.wrapping_add(offset)))
    });
    pages.take(MAX_PAGES)
}

fn by_page_tables(space: AddressSpace<'_>) -> Option<FoundBase> {
    let like_pe = |(_, physical): &(_, PhysicalAddress)| {
        let mut magic = [0; 2];
        space.memory().read(*physical, &mut magic) == magic.len() && magic == *b"MZ"
    };
    system_pages(space).filter(like_pe).take(MAX_HEADERS).find_map(|(base, _)| {
        let pdb = kernel_at(space, base)?;
        Some(FoundBase { base, pdb, how: "headers found by the page tables", symbols: None })
    })
}

/// The headers are gone: a CodeView record of the kernel's tells which symbols fit, and these tell at which distance from the
/// base the build number and System lie. A base is right if both are there.
fn by_code_view(
    space: AddressSpace<'_>,
    shared: Option<&SharedData>,
    given: Option<VirtualAddress>,
    header: Option<&Hints>,
    store: &SymbolStore,
) -> Option<Result<FoundBase, BaseFailure>> {
    let mut failed = None;
    let mut known: Vec<(PdbInfo, Option<Symbols>)> = Vec::new();
    for (at, pdb) in kernel_records(space).take(MAX_BASE_SEARCHES) {
        let index = known.iter().position(|(known, _)| *known == pdb);
        if index.is_none() {
            if known.len() >= MAX_PDBS {
                continue;
            }
            match store.find(&pdb, &Layouts::wanted()) {
                Ok(symbols) => known.push((pdb.clone(), Some(symbols))),
                Err(error) => {
                    failed.get_or_insert(BaseFailure::Symbols(error.into()));
                    known.push((pdb.clone(), None));
                }
            }
        }
        let found = index.unwrap_or(known.len().saturating_sub(1));
        let Some((_, symbols)) = known.get_mut(found) else { continue };
        if let Some(base) = symbols.as_ref().and_then(|with| base_by_symbols(space, shared, at, given, header, with)) {
            let how = "headers missing: CodeView record and symbols";
            return Some(Ok(FoundBase { base, pdb, how, symbols: symbols.take() }));
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

/// The CodeView records of kernels in the pages where system images lie, with their addresses.
fn kernel_records<'m>(space: AddressSpace<'m>) -> impl Iterator<Item = (VirtualAddress, PdbInfo)> + use<'m> {
    // Pages without any need no second look where they are mapped again, as hostile tables can do without end.
    let mut without = HashSet::new();
    let mut buffer = Vec::new();
    let places = system_pages(space).flat_map(move |(page, physical)| {
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

/// Where `RSDS` stands in a page.
fn record_offsets(page: &[u8]) -> impl Iterator<Item = u64> + '_ {
    page.windows(4)
        .enumerate()
        .filter(|(_, four)| *four == b"RSDS")
        .filter_map(|(offset, _)| u64::try_from(offset).ok())
}

fn base_by_symbols(
    space: AddressSpace<'_>,
    shared: Option<&SharedData>,
    record: VirtualAddress,
    given: Option<VirtualAddress>,
    header: Option<&Hints>,
    symbols: &Symbols,
) -> Option<VirtualAddress> {
    let layouts = Layouts::resolve(symbols).ok()?;
    let build = symbols.global("NtBuildNumber").ok()?;
    let system = symbols.global("PsInitialSystemProcess").ok()?;
    let fits = |base: &VirtualAddress| {
        let number = space.read_u32(base.wrapping_add(build)).unwrap_or(0);
        // Enablement packages raise the shared page's number alone: 19045 for 19041, 26200 for 26100.
        let differs = |data: &SharedData| data.build != 0 && data.build.abs_diff(number & 0xffff) > 200;
        // 0xF: free build, 0xC: checked build.
        if !matches!(number >> 28, 0xc | 0xf) || shared.is_some_and(differs) {
            return false;
        }
        let pid = space
            .read_pointer(base.wrapping_add(system))
            .and_then(|system| space.read_u64(system.wrapping_add(layouts.process.pid.offset)));
        pid == Ok(4)
    };
    if let Some(base) = given {
        return Some(base).filter(fits);
    }
    let by_header = header.and_then(|header| {
        let head = symbols.global("PsActiveProcessHead").ok()?;
        Some(header.active_process_head?.wrapping_sub(head))
    });
    let below = (0..REACH / PAGE_SIZE).map(|page| record.page().wrapping_sub(page.wrapping_mul(PAGE_SIZE)));
    by_header.into_iter().chain(below).find(|base| fits(base))
}
