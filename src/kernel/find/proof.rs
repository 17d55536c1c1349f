//! How a page-table root proves itself: the System process of its kernel can be read through it, and names a root of the same
//! kernel. No symbols are needed for that, though they are one of the ways to System.

use super::base::{FoundBase, is_build_number};
use super::exports;
use crate::discover::data::KernelData;
use crate::discover::infer;
use crate::kernel::layouts::Layouts;
use crate::kernel::objects::eprocess::PROCESS_OBJECT;
use crate::kernel::view::View;
use crate::memory::AddressSpace;
use crate::symbols::SymbolStore;
use crate::{PhysicalAddress, VirtualAddress};

/// How much of a system is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grade {
    /// A kernel's image, and no System process.
    Image,
    /// Its System process, whose page-table root leads elsewhere.
    System,
    /// Its System process, which names a root of the same kernel.
    Whole,
}

/// `KPROCESS.DirectoryTableBase` in every version for x64, from NT 5.2 to 10.0.26100.
const DTB: u64 = 0x28;
/// Bytes of an `_EPROCESS` in which its name lies. The largest known one has 0xb80.
const WINDOW: u64 = 0x1000;

/// The System process, as it is seen without symbols.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemProcess {
    pub grade: Grade,
    /// The root that it names, where that maps the kernel as the root it was read through does.
    pub root: Option<PhysicalAddress>,
}

impl SystemProcess {
    /// The process at `at`, if it is System's. `base`: the kernel's.
    pub(crate) fn read(space: AddressSpace<'_>, base: VirtualAddress, at: VirtualAddress) -> Option<Self> {
        let [kind] = space.read_array(at).ok()?;
        if kind & 0x7f != PROCESS_OBJECT || !at.is_kernel() {
            return None;
        }
        let named = PhysicalAddress(space.read_u64(at.wrapping_add(DTB)).ok()?);
        let own = space.with_root(named);
        let root = Some(own.root()).filter(|root| !root.is_null() && maps_alike(space, own, base));
        if root.is_some() {
            return Some(Self { grade: Grade::Whole, root });
        }
        let view = View::read(space, at, WINDOW);
        let is_name = |offset: &u64| view.bytes(*offset, 8).is_ok_and(|bytes| bytes.starts_with(b"System\0"));
        (0..WINDOW).step_by(8).any(|offset| is_name(&offset)).then_some(Self { grade: Grade::System, root: None })
    }
}

/// Whether two roots lead to the same page at `at`.
pub(crate) fn maps_alike(one: AddressSpace<'_>, other: AddressSpace<'_>, at: VirtualAddress) -> bool {
    one.translate(at).is_ok_and(|page| other.translate(at) == Ok(page))
}

/// What the kernel's exports say without symbols.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Exported {
    /// Where `PsInitialSystemProcess` leads.
    pub system: Option<VirtualAddress>,
    /// `NtBuildNumber` without its flag bits.
    pub build: Option<u32>,
}

impl Exported {
    pub(crate) fn read(space: AddressSpace<'_>, base: VirtualAddress) -> Self {
        let found = exports::find(space, base, &["NtBuildNumber", "PsInitialSystemProcess"]);
        let number = found.get("NtBuildNumber").and_then(|at| space.read_u32(*at).ok());
        Self {
            system: found.get("PsInitialSystemProcess").and_then(|at| space.read_pointer(*at).ok()),
            build: number.filter(|number| is_build_number(*number)).map(|number| number & 0xffff),
        }
    }
}

/// Whether System's object is gone: `PsInitialSystemProcess` and the head of the list of processes lead to one place, which can be read,
/// and no process is there. A machine that runs keeps it until it stops.
pub(crate) fn is_gone(space: AddressSpace<'_>, found: &FoundBase, exported: Exported, store: &SymbolStore) -> bool {
    let listed = || {
        let symbols = match (&found.symbols, &found.pdb) {
            (Some(symbols), _) => symbols.clone(),
            (None, Some(pdb)) => store.find(pdb, &Layouts::wanted()).ok()?,
            (None, None) => return None,
        };
        let head = found.base.wrapping_add(symbols.global("PsActiveProcessHead").ok()?);
        let links = Layouts::resolve(&symbols).ok()?.process.links.offset;
        Some(space.read_pointer(head).ok()?.wrapping_sub(links))
    };
    exported.system.filter(|system| system.is_kernel() && listed() == Some(*system)).is_some_and(|system| {
        space.read_array::<8>(system).is_ok() && SystemProcess::read(space, found.base, system).is_none()
    })
}

/// System where exports do not lead to it: by the symbols of the kernel, or because the list of processes in the kernel's data
/// begins with it.
pub(crate) fn search(space: AddressSpace<'_>, found: &FoundBase, store: &SymbolStore) -> Option<SystemProcess> {
    let base = found.base;
    let by_symbols = || {
        let own = match (&found.symbols, &found.pdb) {
            (Some(symbols), _) => symbols.global("PsInitialSystemProcess").ok(),
            (None, Some(pdb)) => store.find(pdb, &Layouts::wanted()).ok()?.global("PsInitialSystemProcess").ok(),
            (None, None) => None,
        }?;
        SystemProcess::read(space, base, space.read_pointer(base.wrapping_add(own)).ok()?)
    };
    let by_shape = || {
        let data = KernelData::read(space, base);
        infer::systems(space, &data).find_map(|at| SystemProcess::read(space, base, at))
    };
    by_symbols().or_else(by_shape)
}
