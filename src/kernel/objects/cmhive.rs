//! `_CMHIVE`: one hive of the registry in memory, and how hives are found.

use crate::kernel::layouts::CmhiveLayout;
use crate::kernel::objects::file_cache::by_kernel_handle;
use crate::kernel::view::View;
use crate::kernel::{Eprocess, Joined, Kernel, list_both_ways, text};
use crate::location::Location;
use crate::memory::AddressSpace;
use crate::symbols::{Embedded, Field};
use crate::{Absent, PAGE_SIZE, Reading, VirtualAddress};

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

/// Where one block (4096 bytes) of a hive lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPlace {
    /// The address of the block, in the kernel's half or in the process Registry.
    pub at: VirtualAddress,
    /// Its distance in bytes from the start of its bin. `None`: this build does not say (up to 8.1).
    pub in_bin: Option<u64>,
}

/// Entries in one table of a map (`_HMAP_TABLE.Table`).
const TABLE_ENTRIES: u64 = 512;
/// Low bits of a block's or bin's address are flags: bins start at multiples of 16 bytes at least.
const FLAGS: u64 = 0xf;

impl Storage {
    /// Where the block of this number lies, by the storage's map.
    ///
    /// # Errors
    /// The map has none, or cannot be read.
    pub fn block(&self, kernel: &Kernel<'_>, number: u64) -> Result<BlockPlace, Absent> {
        let layout = kernel.layouts().hmap_entry.as_ref()?;
        let space = kernel.space();
        let (table_index, entry_index) = (number / TABLE_ENTRIES, number % TABLE_ENTRIES);
        let slot = self.map.clone().map(|map| map.wrapping_add(table_index.wrapping_mul(8)));
        let mut table = slot.and_then(|slot| non_null(space.read_pointer(slot)?, "table"));
        if table.is_err() && table_index == 0 {
            // The directory of a small hive is a field of the hive itself.
            table = table.or_else(|why| non_null(self.small_dir.clone()?, "table").map_err(|_| why));
        }
        let at = table?.wrapping_add(entry_index.wrapping_mul(layout.size));
        let read = |field: Field<u64>| space.read_u64(at.wrapping_add(field.offset));
        let address = |number: u64| VirtualAddress(number & !FLAGS);
        if let Some((offset, bin)) = layout.block_offset.zip(layout.permanent_bin) {
            let mut bin = address(read(bin)?);
            if let Some(temporary) = layout.temporary_bin.filter(|_| bin.is_null()) {
                bin = address(read(temporary)?);
            }
            let (bin, in_bin) = (non_null(bin, "bin")?, read(offset)?);
            return Ok(BlockPlace { at: bin.wrapping_add(in_bin), in_bin: Some(in_bin) });
        }
        let field = layout.block_address.ok_or_else(|| Absent::no_symbol("_HMAP_ENTRY.BlockAddress"))?;
        Ok(BlockPlace { at: non_null(address(read(field)?), "block")?, in_bin: None })
    }
}

fn non_null(address: VirtualAddress, what: &str) -> Result<VirtualAddress, Absent> {
    if address.is_null() { Err(Absent::unreadable(format!("the hive's map has no {what} there"))) } else { Ok(address) }
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

    /// The control area of the section through which the hive is mapped (`_HVP_VIEW_MAP.SectionReference`, 10 1803 on). `None`: it
    /// has no such section.
    ///
    /// # Errors
    /// Something on the way to it cannot be read.
    pub(crate) fn section_area(&self) -> Result<Option<VirtualAddress>, Absent> {
        let Some(field) = self.layout.view_section else { return Ok(None) };
        let handle = self.view.get(field)?;
        if handle.is_null() {
            return Ok(None);
        }
        let section = by_kernel_handle(self.kernel, handle.0, "Section")?;
        let layout = self.kernel.layouts().section.as_ref()?;
        let area = self.kernel.space().read_pointer(section.wrapping_add(layout.control_area.offset))?;
        Ok(Some(area).filter(|area| area.is_kernel() && area.0 & 3 == 0))
    }

    /// The `_FILE_OBJECT` of its file: `FileObject`, or by the first of `FileHandles`.
    ///
    /// # Errors
    /// Nothing leads to it.
    pub(crate) fn file(&self) -> Result<VirtualAddress, Absent> {
        let named = self.layout.file_object.and_then(|field| self.view.get(field).ok());
        if let Some(file) = named.filter(|file| file.is_kernel()) {
            return Ok(file);
        }
        let field = self.layout.file_handles.ok_or_else(|| Absent::no_symbol("_CMHIVE.FileHandles"))?;
        let handle = self.kernel.space().read_u64(self.view.address_of(field))?;
        by_kernel_handle(self.kernel, handle, "File")
    }

    /// Whether each of the first `pages` pages of its stable bins was written to since its file was: by `DirtyVector` and
    /// `UnreconciledVector`, which have a bit for each 512 bytes. `None`: they do not say.
    pub(crate) fn written_pages(&self, pages: usize) -> Vec<Option<bool>> {
        let dirty = self.bits_of_pages(self.layout.dirty, pages);
        let logged = match self.layout.unreconciled {
            None => vec![Some(0); pages],
            field => self.bits_of_pages(field, pages),
        };
        let of = |(dirty, logged): (Option<u8>, Option<u8>)| match (dirty, logged) {
            (Some(0), Some(0)) => Some(false),
            (Some(0), None) | (None, Some(0)) | (None, None) => None,
            _ => Some(true),
        };
        dirty.into_iter().zip(logged).map(of).collect()
    }

    /// The eight bits that a bitmap has for each page.
    fn bits_of_pages(&self, field: Option<Field<Embedded>>, pages: usize) -> Vec<Option<u8>> {
        let mut found = vec![None; pages];
        let (Some(field), Ok(layout)) = (field, &self.kernel.layouts().bitmap) else { return found };
        let bitmap = View::read(self.view.space(), self.view.address_of(field), layout.size);
        let (Ok(bits), Ok(buffer)) = (bitmap.get(layout.bits), bitmap.get(layout.buffer)) else { return found };
        let told = usize::try_from(bits / 8).unwrap_or(0).min(pages);
        if !buffer.is_kernel() {
            return found;
        }
        let mut at = buffer;
        let mut rest = found.get_mut(..told).unwrap_or_default();
        // A page of the bitmap that cannot be read says nothing; the others do.
        while !rest.is_empty() {
            let left = usize::try_from(at.left_in_page()).unwrap_or(1).min(rest.len());
            let (now, later) = std::mem::take(&mut rest).split_at_mut(left);
            let mut bytes = vec![0u8; left];
            if self.view.space().read(at, &mut bytes).is_ok() {
                now.iter_mut().zip(bytes).for_each(|(to, byte)| *to = Some(byte));
            }
            at = at.wrapping_add(u64::try_from(left).unwrap_or(PAGE_SIZE));
            rest = later;
        }
        found
    }

    fn text(&self, field: Option<Field<Embedded>>, name: &str) -> Reading<String> {
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
        return own_space(&process);
    }
    let head = kernel.global("PsActiveProcessHead")?;
    let links = kernel.layouts().process.links.offset;
    let list = list_both_ways(kernel.space(), head, MAX_PROCESSES, VirtualAddress::is_kernel);
    let mut processes = list.entries.iter().map(|entry| Eprocess::read(kernel, entry.wrapping_sub(links)));
    match processes.find(is_registry) {
        Some(process) => own_space(&process),
        // The first public build of 1803 is 17134; insider builds have it from 17063 on.
        None if kernel.build().is_ok_and(|build| build >= 17063) => {
            Err(Absent::unreadable("the process Registry, in which hives are mapped, was not found"))
        }
        None => Ok(None),
    }
}

fn own_space<'k>(process: &Eprocess<'k>) -> Result<Option<AddressSpace<'k>>, Absent> {
    if process.shares_kernel().value() == Some(&false) {
        return Err(Absent::unparsable(
            "the page-table root of the process Registry, in which hives are mapped, does not lead to this kernel",
        ));
    }
    process.space().map(Some)
}

fn is_registry(process: &Eprocess<'_>) -> bool {
    process.ppid() == Ok(4) && process.name().value().is_some_and(|name| name == "Registry")
}
