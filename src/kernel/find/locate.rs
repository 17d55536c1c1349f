//! Finding the kernel in physical memory: page-table roots are proposed, each by a way of its own, and must prove themselves.
//!
//! A root must translate `KUSER_SHARED_DATA` to something plausible and map a PE image whose CodeView record names a Windows
//! kernel. Every proposal that failed is kept, with what it failed at.

use super::base::{self, BaseFailure, FoundBase};
use super::kuser::SharedData;
use crate::image::{Hints, PhysicalMemory};
use crate::memory::{AMD64, AddressSpace, Architecture, LA57, Page, Scanner};
use crate::symbols::SymbolStore;
use crate::{Error, PhysicalAddress, VirtualAddress};
use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;

/// How to look for the kernel.
#[derive(Clone, Copy, Default)]
pub struct LocateOptions<'o> {
    /// Page-table root to use, instead of looking for one.
    pub dtb: Option<PhysicalAddress>,
    /// Image base of the kernel to use, instead of looking for it.
    pub kernel_base: Option<VirtualAddress>,
    /// Called now and then while memory is scanned, with bytes done and bytes in all.
    pub progress: Option<&'o (dyn Fn(u64, u64) + Sync)>,
}

impl fmt::Debug for LocateOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocateOptions")
            .field("dtb", &self.dtb)
            .field("kernel_base", &self.kernel_base)
            .finish_non_exhaustive()
    }
}

/// The ways to a page-table root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// The caller named it.
    Given,
    /// The container names it: the header of a crash dump, a note of a hypervisor's.
    Hint(&'static str),
    /// `PROCESSOR_START_BLOCK`, which the HAL leaves below 1 MiB to start processors with.
    LowStub,
    /// A page that could be a PML4 table because one of its entries maps the page itself.
    SelfReference,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given => "root given by hand",
            Self::Hint(source) => source,
            Self::LowStub => "low stub (PROCESSOR_START_BLOCK)",
            Self::SelfReference => "self-referencing PML4",
        })
    }
}

/// A root that was proposed and failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Candidate {
    /// Who proposed it.
    pub way: Way,
    /// The root.
    pub dtb: PhysicalAddress,
    /// How far it came: 0 nothing, 1 `KUSER_SHARED_DATA` is plausible.
    pub score: u8,
    /// What it failed at.
    pub failed_at: String,
}

/// No kernel was found: what was tried.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LocateFailure {
    /// Each way and what came of it, in order.
    pub ways: Vec<(Way, String)>,
    /// The roots that failed, as they were met; bounded.
    pub candidates: Vec<Candidate>,
    /// What the file may be instead of such an image, in sentences that say what to do.
    pub suspicions: Vec<String>,
}

impl LocateFailure {
    /// The candidate that came furthest.
    #[must_use]
    pub fn best(&self) -> Option<&Candidate> {
        // `max_by_key` would take the last of equals.
        self.candidates.iter().rev().max_by_key(|candidate| candidate.score)
    }
}

impl fmt::Display for LocateFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no Windows x64 kernel found in this image. Tried:")?;
        for (way, outcome) in &self.ways {
            write!(f, "\n  {way}: {outcome}")?;
        }
        if let Some(best) = self.best() {
            write!(f, "\nBest candidate: {} ({}): {}", best.dtb, best.way, best.failed_at)?;
        }
        for suspicion in &self.suspicions {
            let end = if suspicion.ends_with('?') { "" } else { "." };
            write!(f, "\n{suspicion}{end}")?;
        }
        if self.suspicions.is_empty() {
            f.write_str("\nIs it a complete image of an x64 Windows?")?;
        }
        f.write_str(
            " If you know the page-table root (CR3 of System) or the kernel's base from elsewhere, give them with --dtb and \
             --kernel-base.",
        )
    }
}

impl std::error::Error for LocateFailure {}

/// A kernel that was found.
#[derive(Debug)]
pub(crate) struct Located<'m> {
    pub space: AddressSpace<'m>,
    pub shared: Option<SharedData>,
    pub found: FoundBase,
    pub way: Way,
}

/// Candidates kept for the error message.
const MAX_CANDIDATES: usize = 16;
/// Kernels that are searched for under roots of the scan: each search is a walk of page tables, and a hostile image can offer
/// very many. The processes of one system share theirs, so that this is a number of systems.
const MAX_SEARCHED: usize = 16;
/// Roots that a container names, which are those of its processors; any will do.
const MAX_HINTS: usize = 64;
/// Low stubs that are followed up; firmware leaves one.
const MAX_STUBS: usize = 8;

/// Tries every way in turn, the cheap ones first.
pub(crate) fn locate<'m>(
    memory: &'m dyn PhysicalMemory,
    header: Option<&Hints>,
    store: &SymbolStore,
    options: &LocateOptions<'_>,
) -> Result<Located<'m>, Error> {
    let mut failure = LocateFailure::default();
    let mut proposals: Vec<(Way, PhysicalAddress, Option<VirtualAddress>)> = Vec::new();
    if let Some(dtb) = options.dtb {
        proposals.push((Way::Given, dtb, None));
    } else {
        let hinted = header.into_iter().flat_map(|header| header.roots.iter().map(|root| (header.source, *root)));
        proposals.extend(hinted.take(MAX_HINTS).map(|(source, root)| (Way::Hint(source), root, None)));
        if proposals.is_empty() {
            failure.ways.push((Way::Hint("container's hints"), "this kind of file gives no root".into()));
        }
        let stubs = low_stubs(memory);
        if stubs.is_empty() {
            failure.ways.push((Way::LowStub, "no page below 1 MiB holds one".into()));
        }
        proposals.extend(stubs.into_iter().take(MAX_STUBS).map(|stub| (Way::LowStub, stub.dtb, Some(stub.target))));
    }
    for (way, dtb, near) in proposals {
        match prove(memory, way, dtb, near, header, store, options) {
            Ok(located) => return Ok(located),
            Err(Rejected::Symbols(error)) => return Err(error),
            Err(Rejected::Candidate(candidate)) => {
                failure.ways.push((way, format!("root {dtb}: {}", candidate.failed_at)));
                failure.candidates.push(candidate);
            }
        }
    }
    if options.dtb.is_none() {
        match scan(memory, header, store, options) {
            Ok(located) => return Ok(located),
            Err(ScanFailure { symbols: Some(error), .. }) => return Err(error),
            Err(ScanFailure { candidates, proposed, .. }) => {
                let outcome = match proposed {
                    0 => "no page of physical memory refers to itself as a PML4 table does".to_owned(),
                    number => format!("{number} pages refer to themselves, and none maps a kernel"),
                };
                failure.ways.push((Way::SelfReference, outcome));
                failure.candidates.extend(candidates.into_iter().take(MAX_CANDIDATES));
            }
        }
    }
    Err(Error::NoKernel(Box::new(failure)))
}

/// The first of `roots` that leads to a kernel.
pub(super) fn among<'m>(
    memory: &'m dyn PhysicalMemory,
    roots: impl IntoIterator<Item = (Way, PhysicalAddress)>,
    header: Option<&Hints>,
    store: &SymbolStore,
    options: &LocateOptions<'_>,
) -> Option<Located<'m>> {
    let mut roots = roots.into_iter();
    roots.find_map(|(way, root)| prove(memory, way, root, None, header, store, options).ok())
}

/// Why a root was not accepted.
enum Rejected {
    Candidate(Candidate),
    /// A kernel is there, and it takes symbols to find its base.
    Symbols(Error),
}

/// The modes of a processor that a root may be meant for: what it maps tells which.
const MODES: [&Architecture; 2] = [&AMD64, &LA57];

/// Puts one root to the proof.
fn prove<'m>(
    memory: &'m dyn PhysicalMemory,
    way: Way,
    dtb: PhysicalAddress,
    near: Option<VirtualAddress>,
    header: Option<&Hints>,
    store: &SymbolStore,
    options: &LocateOptions<'_>,
) -> Result<Located<'m>, Rejected> {
    let reject = |score, failed_at: String| Rejected::Candidate(Candidate { way, dtb, score, failed_at });
    let spaces = MODES.map(|mode| AddressSpace::with_architecture(memory, dtb, mode));
    let [first, ..] = spaces;
    let shared = spaces.into_iter().find_map(|space| Some((space, SharedData::read(space).ok()?)));
    let (space, shared) = match shared {
        Some((space, shared)) => (space, Some(shared)),
        // Who names the root and the base has looked already.
        None if way == Way::Given && options.kernel_base.is_some() => {
            let given = options.kernel_base.unwrap_or_default();
            (spaces.into_iter().find(|space| space.translate(given).is_ok()).unwrap_or(first), None)
        }
        None => {
            let why = SharedData::read(first).err().map_or_else(String::new, |absent| absent.to_string());
            return Err(reject(0, format!("KUSER_SHARED_DATA: {why}")));
        }
    };
    match base::find(space, shared.as_ref(), near, options.kernel_base, header, store) {
        Ok(found) => Ok(Located { space, shared, found, way }),
        Err(BaseFailure::Symbols(error)) => Err(Rejected::Symbols(error)),
        Err(BaseFailure::NotFound(why)) => Err(reject(1, why)),
    }
}

/// What a `PROCESSOR_START_BLOCK` gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LowStub {
    pub(super) dtb: PhysicalAddress,
    /// `LmTarget`: where the processor jumps to in long mode, an address inside the kernel or the HAL.
    target: VirtualAddress,
}

/// Looks at every page below 1 MiB.
pub(super) fn low_stubs(memory: &dyn PhysicalMemory) -> Vec<LowStub> {
    (0x1000..0x10_0000).step_by(0x1000).filter_map(|at| low_stub(memory, PhysicalAddress(at))).collect()
}

/// A stub starts with a near jump (E9) of less than 256 bytes over its data, of which `CompletionFlag` is 1; `LmTarget` lies
/// at 0x70 and `ProcessorState.SpecialRegisters.Cr3` at 0xA0.
fn low_stub(memory: &dyn PhysicalMemory, at: PhysicalAddress) -> Option<LowStub> {
    let mut bytes = [0u8; 0xa8];
    if memory.read(at, &mut bytes) != bytes.len() {
        return None;
    }
    let u64_at = |offset: usize| bytes.get(offset..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let (start, target, cr3) = (u64_at(0)?, u64_at(0x70)?, u64_at(0xa0)?);
    let plausible = start & 0xffff_ffff_ffff_00ff == 0x0000_0001_0006_00e9
        && target & 0xffff_f800_0000_0003 == 0xffff_f800_0000_0000
        && cr3 & 0xffff_0000_0000_0fff == 0
        && cr3 != 0;
    plausible.then_some(LowStub { dtb: PhysicalAddress(cr3), target: VirtualAddress(target) })
}

/// Slots of the PML4 table that may map the table itself: one of the upper half, but the last. Before Windows 10 1607 it is
/// 0x1ED; since then any.
const SELF_SLOTS: std::ops::RangeInclusive<usize> = 0x100..=0x1fe;

/// True if some entry of this page maps the page itself, present and writable.
pub(super) fn refers_to_itself(page: Page<'_>) -> bool {
    let (entries, _) = page.bytes.as_chunks::<8>();
    entries.get(SELF_SLOTS).is_some_and(|entries| {
        entries.iter().any(|entry| u64::from_le_bytes(*entry) & 0x000f_ffff_ffff_f003 == page.at.0 | 3)
    })
}

#[derive(Default)]
struct ScanFailure {
    /// How many pages refer to themselves.
    proposed: usize,
    candidates: Vec<Candidate>,
    symbols: Option<Error>,
}

/// Scans physical memory for tables that refer to themselves; every process has one, and any will do.
fn scan<'m>(
    memory: &'m dyn PhysicalMemory,
    header: Option<&Hints>,
    store: &SymbolStore,
    options: &LocateOptions<'_>,
) -> Result<Located<'m>, ScanFailure> {
    let mut failure = ScanFailure::default();
    let mut located = None;
    // Where the tables lie under which there is no kernel.
    let mut barren: HashSet<u64> = HashSet::new();
    let progress = options.progress.unwrap_or(&|_, _| ());
    Scanner::new().pages(refers_to_itself).max_hits(usize::MAX).progress(progress).run(memory, |hit| {
        let number = failure.proposed;
        failure.proposed = number.saturating_add(1);
        let spaces = MODES.map(|mode| AddressSpace::with_architecture(memory, hit.at, mode));
        let space = spaces.into_iter().find(|space| SharedData::read(*space).is_ok());
        let images = space.and_then(base::images_entry);
        let passed_over = match images {
            Some(images) => barren.len() >= MAX_SEARCHED || barren.contains(&images),
            None => number >= MAX_CANDIDATES,
        };
        if passed_over {
            return ControlFlow::Continue(());
        }
        match prove(memory, Way::SelfReference, hit.at, None, header, store, options) {
            Ok(found) => {
                located = Some(found);
                return ControlFlow::Break(());
            }
            Err(Rejected::Candidate(candidate)) => failure.candidates.push(candidate),
            Err(Rejected::Symbols(error)) => failure.symbols = failure.symbols.take().or(Some(error)),
        }
        barren.extend(images);
        ControlFlow::Continue(())
    });
    located.ok_or(failure)
}
