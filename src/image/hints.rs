//! What a container says of the machine beside its memory.

use crate::{PhysicalAddress, Timestamp, VirtualAddress};

/// What the header or a note of a container says of the machine. Whoever wrote the file may be wrong, or lie: a hint is tried, and
/// proves itself or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hints {
    /// Who says it: `crash dump header`, `QEMU CPU note`.
    pub source: &'static str,
    /// Page-table roots (CR3) of the processors, the first first.
    pub roots: Vec<PhysicalAddress>,
    /// Address of `PsLoadedModuleList`.
    pub loaded_module_list: Option<VirtualAddress>,
    /// Address of `PsActiveProcessHead`.
    pub active_process_head: Option<VirtualAddress>,
    /// Address of `KdDebuggerDataBlock`.
    pub debugger_data_block: Option<VirtualAddress>,
    /// When the image was made.
    pub system_time: Option<Timestamp>,
    /// When the system started.
    pub boot: Option<Timestamp>,
    /// Build number of Windows.
    pub build: Option<u32>,
}

impl Hints {
    /// No hints yet.
    pub(super) fn from(source: &'static str) -> Self {
        Self { source, ..Self::default() }
    }
}
