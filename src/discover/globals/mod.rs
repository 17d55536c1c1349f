//! Addresses of the kernel's globals where no symbol file says them: from its exports, from its block for debuggers, from the header of
//! a crash dump, and by their shape. Sources are held against one another.
//!
//! Some are not looked for. `KeBootTime` is a number like others: what would single it out is the very clock that it is to be held
//! against. Of `MiState` one value is of use, and the page tables show it; the value of `ObHeaderCookie` is in the headers of objects
//! ([`ObjectTypes`](crate::kernel::ObjectTypes)). `PspHostSiloGlobals` and `NtBuildLabEx` have no shape of their own.

mod by_shape;
mod debugger_block;
mod invalid_mask;

pub use debugger_block::ProcessOffsets;
pub(crate) use debugger_block::Proof;
pub(crate) use invalid_mask::{Mask, by_frames as mask_by_frames, find as invalid_pte_mask};

use super::data::KernelData;
use crate::image::Hints;
use crate::kernel::Layouts;
use crate::kernel::find::exports;
use crate::memory::AddressSpace;
use crate::{VirtualAddress, Warning};
use by_shape::Search;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Where the address of a global came from, in the order in which sources are taken at their word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The kernel exports it.
    Export,
    /// `KdDebuggerDataBlock` names it.
    DebuggerBlock,
    /// The header of the crash dump names it.
    DumpHeader,
    /// Nothing else in the kernel's data looks like it.
    Shape,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Export => "export",
            Self::DebuggerBlock => "debugger data block",
            Self::DumpHeader => "crash dump header",
            Self::Shape => "shape",
        })
    }
}

/// One global.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundGlobal {
    /// Where it lies.
    pub address: VirtualAddress,
    /// Who says so: every source that gave this address.
    pub origins: Vec<Origin>,
}

/// What an image tells of its kernel's globals.
#[derive(Clone, Debug, Default)]
pub struct FoundGlobals {
    /// Addresses, by name. `CmpMasterHive`, `CmpRegistryProcess` and `PspCidTable` by shape: a place that holds what they hold.
    pub globals: BTreeMap<&'static str, FoundGlobal>,
    /// `KdDebuggerDataBlock`'s sizes and offsets of `_EPROCESS`.
    pub process: Option<ProcessOffsets>,
    /// `MiState.Hardware.InvalidPteMask`: what is set in entries that are not present. `None`: there are no such entries to tell it, or
    /// they do not tell it clearly.
    pub invalid_pte_mask: Option<u64>,
    /// The same, with why it is not known.
    pub(crate) mask: Mask,
    /// Where sources disagree.
    pub warnings: Vec<Warning>,
}

/// Globals that kernels export, of those that are of use here.
const EXPORTED: &[&str] = &[
    "NtBuildLab",
    "NtBuildNumber",
    "PsInitialSystemProcess",
    "PsJobType",
    "PsLoadedModuleList",
    "PsProcessType",
    "PsThreadType",
    "SeTokenObjectType",
];

/// Looks for the globals of a kernel of which the types are known.
pub(crate) fn find(
    space: AddressSpace<'_>,
    data: &KernelData,
    layouts: &Layouts,
    header: Option<&Hints>,
) -> FoundGlobals {
    let base = data.base();
    let mut answers = Answers::default();
    for (name, at) in exports::find(space, base, EXPORTED) {
        answers.add(name, Origin::Export, at);
    }
    if let Some(header) = header {
        for (name, at) in
            [("PsLoadedModuleList", header.loaded_module_list), ("PsActiveProcessHead", header.active_process_head)]
        {
            if let Some(at) = at {
                answers.add(name, Origin::DumpHeader, at);
            }
        }
    }
    let blocks = debugger_block::find(space, data, header.and_then(|header| header.debugger_data_block));
    if let Some(block) = blocks.first() {
        answers.add("KdDebuggerDataBlock", Origin::DebuggerBlock, block.at);
    }
    for block in &blocks {
        for (name, at) in block.globals(data) {
            answers.add(name, Origin::DebuggerBlock, at);
        }
    }
    let search = Search { space, data, layouts };
    let processes = by_shape(search, &mut answers);
    let mut found = answers.choose();
    found.process = blocks.iter().find_map(debugger_block::DebuggerBlock::process);
    found.mask = invalid_mask::find(space, data, layouts, &processes);
    found.invalid_pte_mask = match found.mask {
        Mask::Shown(mask) => Some(mask),
        Mask::NotShown | Mask::Unclear => None,
    };
    found
}

/// What the debugger's block in the kernel's data says of structures.
pub(crate) fn proofs(space: AddressSpace<'_>, data: &KernelData) -> Vec<Proof> {
    let blocks = debugger_block::find(space, data, None);
    blocks.iter().map(debugger_block::DebuggerBlock::proofs).find(|proofs| !proofs.is_empty()).unwrap_or_default()
}

/// Adds what the search finds, and returns the processes that it met on the way.
fn by_shape(search: Search<'_>, answers: &mut Answers) -> Vec<VirtualAddress> {
    answers.shapes("PsLoadedModuleList", search.module_lists());
    let hive_lists = search.hive_lists();
    if let (Some(head), 1) = (hive_lists.first(), hive_lists.len())
        && let Some(master) = search.master_hive(*head)
    {
        answers.shapes("CmpMasterHive", search.data.holding(master.0).take(1).collect());
    }
    answers.shapes("CmpHiveListHead", hive_lists);
    answers.shapes("ObTypeIndexTable", search.type_tables());
    answers.shapes("MmPhysicalMemoryBlock", search.memory_blocks());
    let mut process_lists = search.process_lists();
    let Some(system) = system(search, answers, &process_lists) else {
        answers.shapes("PsActiveProcessHead", process_lists);
        return Vec::new();
    };
    let (head, processes) = search.active_list(system).unzip();
    let processes = processes.unwrap_or_else(|| vec![system]);
    process_lists.extend(head);
    answers.shapes("PsActiveProcessHead", process_lists);
    answers.shapes("PspCidTable", search.cid_tables(system, &processes));
    if !answers.has("PsInitialSystemProcess") {
        answers.shapes("PsInitialSystemProcess", search.data.holding(system.0).take(1).collect());
    }
    if let Some(registry) = search.child_of_system(&processes, b"Registry\0") {
        answers.shapes("CmpRegistryProcess", search.data.holding(registry.0).take(1).collect());
    }
    processes
}

/// The process System: where the export leads, or else the first process of a list of which somebody gave the head.
fn system(search: Search<'_>, answers: &Answers, process_lists: &BTreeSet<VirtualAddress>) -> Option<VirtualAddress> {
    let exported = answers.of("PsInitialSystemProcess");
    let by_export = exported.filter_map(|at| search.space.read_pointer(at).ok());
    let links = search.layouts.process.links.offset;
    let heads = answers.of("PsActiveProcessHead").chain(process_lists.iter().copied());
    let by_head = heads.filter_map(|at| Some(search.space.read_pointer(at).ok()?.wrapping_sub(links)));
    by_export.chain(by_head).find(|process| search.is_system(*process))
}

/// What each source says.
#[derive(Default)]
struct Answers {
    named: BTreeMap<&'static str, Vec<(Origin, VirtualAddress)>>,
    shapes: BTreeMap<&'static str, BTreeSet<VirtualAddress>>,
}

impl Answers {
    fn add(&mut self, name: &'static str, origin: Origin, at: VirtualAddress) {
        if at.is_kernel() {
            self.named.entry(name).or_default().push((origin, at));
        }
    }

    fn shapes(&mut self, name: &'static str, places: BTreeSet<VirtualAddress>) {
        if !places.is_empty() {
            self.shapes.insert(name, places);
        }
    }

    fn has(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    fn of(&self, name: &str) -> impl Iterator<Item = VirtualAddress> {
        self.named.get(name).into_iter().flatten().map(|(_, at)| *at)
    }

    /// One address for each name: of those that sources name the first that has the shape, else the only one that has it, else the first
    /// that is named. Several shapes and no name: none.
    fn choose(mut self) -> FoundGlobals {
        let mut found = FoundGlobals::default();
        let names: BTreeSet<&'static str> = self.named.keys().chain(self.shapes.keys()).copied().collect();
        for name in names {
            let mut named = self.named.remove(name).unwrap_or_default();
            named.sort_unstable();
            let shapes = self.shapes.remove(name).unwrap_or_default();
            let alone = shapes.first().copied().filter(|_| shapes.len() == 1);
            let fitting = named.iter().map(|(_, at)| *at).find(|at| shapes.contains(at));
            let Some(address) = fitting.or(alone).or(named.first().map(|(_, at)| *at)) else {
                found.warnings.push(several(name, &shapes));
                continue;
            };
            // Of several places with the shape, that which a source names is the one.
            if let Some(at) = fitting.or(alone) {
                named.push((Origin::Shape, at));
            }
            if named.iter().any(|(_, at)| *at != address) {
                found.warnings.push(disagreement(name, &named, address));
            }
            let mut origins: Vec<Origin> =
                named.into_iter().filter(|(_, at)| *at == address).map(|(origin, _)| origin).collect();
            origins.dedup();
            found.globals.insert(name, FoundGlobal { address, origins });
        }
        found
    }
}

fn disagreement(name: &str, named: &[(Origin, VirtualAddress)], taken: VirtualAddress) -> Warning {
    let says: Vec<String> = named.iter().map(|(origin, at)| format!("{at} by {origin}")).collect();
    Warning::new("kernel", format!("sources disagree on where {name} lies: {}; {taken} is used", says.join(", ")))
}

/// Places that are named in a warning.
const MAX_NAMED: usize = 4;

fn several(name: &str, places: &BTreeSet<VirtualAddress>) -> Warning {
    let places: Vec<String> = places.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    Warning::new(
        "kernel",
        format!("more than one place in the kernel's data looks like {name} ({}): none is used", places.join(", ")),
    )
}
