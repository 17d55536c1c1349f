//! `_CMHIVE`: one hive of the registry in memory, and how hives are found.

use crate::kernel::layouts::CmhiveLayout;
use crate::kernel::view::View;
use crate::kernel::{Eprocess, Joined, Kernel, list_both_ways, text};
use crate::location::Location;
use crate::memory::AddressSpace;
use crate::{Absent, Reading, VirtualAddress};

/// `_HHIVE.Signature` of every hive.
pub const HIVE_SIGNATURE: u32 = 0xbee0_bee0;

/// More hives than this are no list of hives: a server with a hundred users has some five hundred, and each takes pages of
/// nonpaged memory.
const MAX_HIVES: usize = 1 << 16;
/// The like for processes, whose objects are smaller.
const MAX_PROCESSES: usize = 1 << 18;

/// One hive object.
#[derive(Clone, Debug)]
pub struct Cmhive<'k> {
    layout: &'k CmhiveLayout,
    kernel: &'k Kernel<'k>,
    view: View<'k>,
}

/// One of the two storages of a hive (`_HHIVE.Storage`).
#[derive(Clone, Debug)]
pub struct Storage {
    /// `_DUAL.Length`: bytes of bins.
    pub length: Result<u32, Absent>,
    /// `_DUAL.Map`: address of the directory, which has the addresses of tables.
    pub map: Result<VirtualAddress, Absent>,
    /// `_DUAL.SmallDir`: address of the first table, if it is the only one.
    pub small_dir: Result<VirtualAddress, Absent>,
}

impl<'k> Cmhive<'k> {
    /// Reads the object at `address`.
    ///
    /// # Errors
    /// The symbols lack `_CMHIVE`.
    pub fn read(kernel: &'k Kernel<'k>, address: VirtualAddress) -> Result<Self, Absent> {
        let layout = kernel.layouts().cmhive.as_ref()?;
        Ok(Self { layout, kernel, view: View::read(kernel.space(), address, layout.size) })
    }

    /// Address of the object.
    #[must_use]
    pub const fn address(&self) -> VirtualAddress {
        self.view.address()
    }

    /// Whether `_HHIVE.Signature` is that of a hive.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_hive(&self) -> Result<bool, Absent> {
        Ok(self.view.get(self.layout.signature)? == HIVE_SIGNATURE)
    }

    /// Where the signature lies.
    #[must_use]
    pub fn location(&self) -> Location {
        self.view.locate(self.layout.signature)
    }

    /// `_HHIVE.BaseBlock`: address of the copy of the file's first 4096 bytes.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn base_block(&self) -> Result<VirtualAddress, Absent> {
        self.view.get(self.layout.base_block)
    }

    /// `_HHIVE.Version`: 3 to 6.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn version(&self) -> Result<u32, Absent> {
        self.view.optional(self.layout.version, "_HHIVE.Version")
    }

    /// `_HHIVE.Storage`: the stable one, which is in the file too, and the volatile one.
    ///
    /// # Errors
    /// The symbols lack `_DUAL`.
    pub fn storages(&self) -> Result<[Storage; 2], Absent> {
        let dual = self.kernel.layouts().dual.as_ref()?;
        let read = |index: u64| {
            let at = self.view.address_of(self.layout.storage).wrapping_add(index.wrapping_mul(dual.size));
            let view = View::read(self.view.space(), at, dual.size);
            Storage { length: view.get(dual.length), map: view.get(dual.map), small_dir: view.get(dual.small_dir) }
        };
        Ok([read(0), read(1)])
    }

    /// `FileFullPath`: `\Device\HarddiskVolume3\...`. Often empty.
    pub fn file_full_path(&self) -> Reading<String> {
        self.text(self.layout.file_full_path, "_CMHIVE.FileFullPath")
    }

    /// `FileUserName`: the path as it was given, `\SystemRoot\System32\Config\SOFTWARE`, `\??\C:\Users\...`.
    pub fn file_user_name(&self) -> Reading<String> {
        self.text(self.layout.file_user_name, "_CMHIVE.FileUserName")
    }

    /// `HiveRootPath`: `\REGISTRY\MACHINE\SYSTEM`.
    pub fn root_path(&self) -> Reading<String> {
        self.text(self.layout.root_path, "_CMHIVE.HiveRootPath")
    }

    fn text(&self, field: Option<crate::symbols::Field<crate::symbols::Embedded>>, name: &str) -> Reading<String> {
        match field {
            Some(field) => text::unicode_string(self.view.space(), self.view.address_of(field)).into(),
            None => Reading::Absent(Absent::no_symbol(name)),
        }
    }
}

/// Addresses of the `_CMHIVE`s in `CmpHiveListHead`, walked both ways.
///
/// # Errors
/// The symbols lack the head or the structure.
pub fn hive_list(kernel: &Kernel<'_>) -> Result<Joined, Absent> {
    let head = kernel.global("CmpHiveListHead")?;
    let links = kernel.layouts().cmhive.as_ref()?.links.offset;
    let mut list = list_both_ways(kernel.space(), head, MAX_HIVES, VirtualAddress::is_kernel);
    for entry in &mut list.entries {
        *entry = entry.wrapping_sub(links);
    }
    Ok(list)
}

/// `CmpMasterHive`: the hive of `\REGISTRY` itself, in whose keys the others are mounted.
///
/// # Errors
/// The symbols lack it, or it cannot be read.
pub fn master_hive(kernel: &Kernel<'_>) -> Result<VirtualAddress, Absent> {
    Ok(kernel.space().read_pointer(kernel.global("CmpMasterHive")?)?)
}

/// The address space of the process Registry, in whose user half hives are mapped since Windows 10 1803: by
/// `CmpRegistryProcess`, or the process of that name whose parent is System. `None`: this build has no such process.
///
/// # Errors
/// The process cannot be found, or its page-table root cannot be read.
pub fn registry_process<'k>(kernel: &'k Kernel<'k>) -> Result<Option<AddressSpace<'k>>, Absent> {
    let global = kernel.global("CmpRegistryProcess").ok().and_then(|at| kernel.space().read_pointer(at).ok());
    let by_global = global.filter(|address| !address.is_null()).map(|address| Eprocess::read(kernel, address));
    if let Some(process) = by_global.filter(|process| process.is_plausible() == Ok(true)) {
        return process.space().map(Some);
    }
    let head = kernel.global("PsActiveProcessHead")?;
    let links = kernel.layouts().process.links.offset;
    let list = list_both_ways(kernel.space(), head, MAX_PROCESSES, VirtualAddress::is_kernel);
    let mut processes = list.entries.iter().map(|entry| Eprocess::read(kernel, entry.wrapping_sub(links)));
    match processes.find(is_registry) {
        Some(process) => process.space().map(Some),
        // The first public build of 1803 is 17134; insider builds have it from 17063 on.
        None if kernel.build().is_ok_and(|build| build >= 17063) => {
            Err(Absent::unreadable("the process Registry, in which hives are mapped, was not found"))
        }
        None => Ok(None),
    }
}

fn is_registry(process: &Eprocess<'_>) -> bool {
    process.ppid() == Ok(4) && process.name().value().is_some_and(|name| name == "Registry")
}
