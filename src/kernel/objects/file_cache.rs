//! What of a file is in memory: `_SECTION_OBJECT_POINTERS`, which all who open a file share, and the cache manager's views of it.

use super::file_object;
use super::handles::object_of;
use super::object::ObjectTypes;
use crate::kernel::{Eprocess, Kernel};
use crate::{Absent, VirtualAddress};

/// A file, as far as it is in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CachedFile {
    /// `FILE_OBJECT.FileName`: relative to the volume.
    pub name: String,
    /// `DataSectionObject`: the control area with the pages of the file as data. `None`: null.
    pub data: Option<VirtualAddress>,
    /// `SharedCacheMap`. `None`: null.
    pub cache_map: Option<VirtualAddress>,
}

/// Handles of the kernel's own table have all of these bits (`KERNEL_HANDLE_MASK`).
const KERNEL_HANDLE: u64 = 0xffff_ffff_8000_0000;

/// Bits of a file's offset that one view of the cache manager has: 256 KiB.
const VIEW_BITS: u32 = 18;
/// Bits that one array of pointers to views, or to such arrays, adds: 128 pointers.
const ARRAY_BITS: u32 = 7;
/// Arrays above one another for a file of 2^63 bytes.
const MAX_ARRAYS: u32 = 7;

impl CachedFile {
    /// What is in memory of the file whose `_FILE_OBJECT` lies at `file`.
    ///
    /// # Errors
    /// The symbols lack a structure, or no file object lies there.
    pub(crate) fn of(kernel: &Kernel<'_>, file: VirtualAddress) -> Result<Self, Absent> {
        let layouts = kernel.layouts();
        let missing = || Absent::unreadable("no file object is named");
        let object = file_object::read(kernel, file)?.ok_or_else(missing)?;
        let sections = layouts.file_object.as_ref()?.sections;
        let sections = sections.ok_or_else(|| Absent::no_symbol("_FILE_OBJECT.SectionObjectPointer"))?;
        let space = kernel.space();
        let at = kernel_pointer(space.read_pointer(file.wrapping_add(sections.offset))?);
        let at = at.ok_or_else(|| Absent::unreadable("nothing of the file is in memory"))?;
        let layout = layouts.section_pointers.as_ref()?;
        let pointer = |offset: u64| Ok::<_, Absent>(kernel_pointer(space.read_pointer(at.wrapping_add(offset))?));
        Ok(Self { name: object.name, data: pointer(layout.data.offset)?, cache_map: pointer(layout.cache_map.offset)? })
    }

    /// Where the cache manager has the byte at `offset` of the file mapped, in the kernel's half. `None`: it has no view of it.
    ///
    /// The arrays of pointers are as deep as the file is long (`CcGetVacb` of the Windows Research Kernel): one for 32 MiB, one
    /// above for each 7 bits more.
    ///
    /// # Errors
    /// The symbols lack a structure, or one cannot be read.
    pub(crate) fn cached(&self, kernel: &Kernel<'_>, offset: u64) -> Result<Option<VirtualAddress>, Absent> {
        let Some(map) = self.cache_map else { return Ok(None) };
        let layout = kernel.layouts().cache_map.as_ref()?;
        let vacb = kernel.layouts().vacb.as_ref()?;
        let space = kernel.space();
        let size = space.read_u64(map.wrapping_add(layout.section_size.offset))?;
        if offset >= size {
            return Ok(None);
        }
        let mut arrays = 1u32;
        while arrays < MAX_ARRAYS && size > 1u64.wrapping_shl(shift(arrays)) {
            arrays = arrays.saturating_add(1);
        }
        let mut at = space.read_pointer(map.wrapping_add(layout.vacbs.offset))?;
        for below in (0..arrays).rev() {
            if !at.is_kernel() {
                return Ok(None);
            }
            let index = offset.wrapping_shr(shift(below)) & (1u64 << ARRAY_BITS).wrapping_sub(1);
            at = space.read_pointer(at.wrapping_add(index.wrapping_mul(8)))?;
        }
        if !at.is_kernel() {
            return Ok(None);
        }
        // A view that was given to another file says so.
        let owner = space.read_pointer(at.wrapping_add(vacb.cache_map.offset))?;
        let base = space.read_pointer(at.wrapping_add(vacb.base.offset))?;
        let within = offset & (1u64 << VIEW_BITS).wrapping_sub(1);
        Ok(Some(base.wrapping_add(within)).filter(|_| owner == map && base.is_kernel()))
    }
}

/// Bits of a file's offset that so many arrays and a view below them have.
const fn shift(arrays: u32) -> u32 {
    VIEW_BITS.saturating_add(ARRAY_BITS.saturating_mul(arrays))
}

fn kernel_pointer(at: VirtualAddress) -> Option<VirtualAddress> {
    Some(at).filter(|at| at.is_kernel())
}

/// The object that a handle of the kernel leads to, if it is of this type. Such handles are in the table of System.
///
/// # Errors
/// It is no such handle, or something on the way to the object cannot be read.
pub(crate) fn by_kernel_handle(kernel: &Kernel<'_>, handle: u64, kind: &str) -> Result<VirtualAddress, Absent> {
    if handle & KERNEL_HANDLE != KERNEL_HANDLE || handle == u64::MAX {
        return Err(Absent::unparsable(format!("{handle:#x} is no handle of the kernel")));
    }
    let system =
        kernel.system().ok_or_else(|| Absent::unreadable("System, whose handle table it takes, was not found"))?;
    let table = Eprocess::read(kernel, system).handle_table();
    let table = match (table.value(), table.absent()) {
        (Some(table), _) => *table,
        (_, Some(why)) => return Err(why.clone()),
        _ => return Err(Absent::unreadable("System has no handle table")),
    };
    let header = object_of(kernel.space(), kernel.layouts(), table, handle & !KERNEL_HANDLE & !3)?;
    let header = header.ok_or_else(|| Absent::unreadable(format!("System has no handle {handle:#x}")))?;
    let types = ObjectTypes::read(kernel);
    // Where types are not known, the object itself must show what it is.
    if let Ok(types) = &types {
        let found = types.type_of(header)?;
        if found != kind {
            return Err(Absent::unparsable(format!(
                "handle {handle:#x} of System leads to a {found}, not to a {kind}"
            )));
        }
    }
    Ok(header.wrapping_add(kernel.layouts().object_header.as_ref()?.body.offset))
}

#[cfg(test)]
mod tests {
    use super::shift;

    /// `VACB_SIZE_OF_FIRST_LEVEL` is 2^25.
    #[test]
    fn one_array_has_32_mib() {
        assert_eq!(1u64 << shift(1), 32 << 20);
        assert_eq!(1u64 << shift(2), 4 << 30);
    }
}
