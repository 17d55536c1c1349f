//! Where the kernel's own variables lead that have one object each: System, the process Registry, the master hive.

use super::objects::handles::object_of;
use super::{Cmhive, Kernel, hive_list, master_hive, pointer};
use crate::reading::record;
use crate::{Absent, ListEnd, VirtualAddress};

/// System's id on every version.
const SYSTEM: u64 = 4;

record! {
    /// What leads to the objects that there is one of: each can be compared with another way to the same object.
    pub struct Singletons {
        /// `PsInitialSystemProcess`: the `_EPROCESS` of System.
        system: VirtualAddress,
        /// What the id 4 leads to in `PspCidTable`: the same.
        numbered_system: VirtualAddress,
        /// `CmpRegistryProcess`: the `_EPROCESS` of the process Registry, in which hives are mapped. Nothing: null.
        registry: VirtualAddress,
        /// `CmpMasterHive`: the `_CMHIVE` of `\REGISTRY`.
        master_hive: VirtualAddress,
        /// That hive is in `CmpHiveListHead`. Unreadable: nothing is mapped there, or the list is not whole.
        master_hive_listed: bool,
    }
}

impl Singletons {
    /// Reads the variables.
    pub(crate) fn read(kernel: &Kernel<'_>) -> Self {
        let space = kernel.space();
        let variable = |name: &str| -> Result<VirtualAddress, Absent> { Ok(space.read_pointer(kernel.global(name)?)?) };
        let numbered = || object_of(space, kernel.layouts(), variable("PspCidTable")?, SYSTEM);
        let hive = master_hive(kernel);
        let listed = hive.clone().and_then(|hive| is_listed(kernel, hive));
        Self {
            system: pointer(variable("PsInitialSystemProcess")),
            numbered_system: numbered().into(),
            registry: pointer(variable("CmpRegistryProcess")),
            master_hive: pointer(hive),
            master_hive_listed: listed.into(),
        }
    }
}

/// Whether the list of hives has this one. That it does not is told only where something can be read there, and of a list that is whole.
fn is_listed(kernel: &Kernel<'_>, hive: VirtualAddress) -> Result<bool, Absent> {
    let list = hive_list(kernel)?;
    if list.entries.contains(&hive) {
        return Ok(true);
    }
    match list.end() {
        ListEnd::Complete => Cmhive::read(kernel, hive)?.is_hive().map(|_| false),
        _ => Err(Absent::unreadable("the list of hives is not whole")),
    }
}
