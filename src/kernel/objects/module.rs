//! The modules of a process, as its loader lists them.

use crate::kernel::walk::{self, Direction};
use crate::kernel::{Eprocess, pointer, text};
use crate::location::Location;
use crate::reading::record;
use crate::{Absent, ListEnd, Reading, VirtualAddress};

record! {
    /// One module of a process: an entry of `PEB.Ldr`, which the process itself can write.
    pub struct Module {
        /// `_LDR_DATA_TABLE_ENTRY.DllBase`.
        base: VirtualAddress,
        /// `SizeOfImage`, in bytes.
        size: u32,
        /// `EntryPoint`: where the loader calls it. Nothing: null, as of what has no code to begin with.
        entry_point: VirtualAddress,
        /// `BaseDllName`.
        name: String,
        /// `FullDllName`.
        path: String,
        /// Address of the `_LDR_DATA_TABLE_ENTRY`, in the process.
        entry: VirtualAddress,
    }
}

/// A process loads some hundred modules.
const MAX_MODULES: usize = 4096;
/// Bytes of their names in all: any number of entries can share one long name.
const MAX_TEXT: usize = 1 << 20;

/// Where the paths lie of the modules that come first in load order, `most` of them. None where the list cannot be had.
pub(crate) fn located(process: &Eprocess<'_>, most: usize) -> Vec<Location> {
    let find = || {
        let layouts = process.kernel().layouts();
        let (space, peb) = (process.space().ok()?, *process.peb().value()?);
        let ldr = space.read_pointer(peb.wrapping_add(layouts.peb.as_ref().ok()?.ldr.offset)).ok()?;
        let (list, layout) = (layouts.ldr.as_ref().ok()?, layouts.ldr_entry.as_ref().ok()?);
        let head = ldr.wrapping_add(list.load_order.offset);
        let (entries, _) =
            walk::list(space, head, Direction::Forward, most, |entry| !entry.is_null() && !entry.is_kernel());
        let name = layout.full_name;
        let place = |entry: VirtualAddress| {
            let at = entry.wrapping_sub(layout.load_order.offset).wrapping_add(name.offset);
            let data = text::unicode_string_data(space, at);
            Location { data, ..space.locate(name.structure, name.name, at) }
        };
        Some(entries.into_iter().map(place).collect())
    };
    find().unwrap_or_default()
}

/// The modules in load order, and how the walk over them ended. Nothing: the process has no loader's list.
///
/// # Errors
/// The symbols lack a structure, or the head of the list cannot be read.
pub fn modules(process: &Eprocess<'_>) -> Result<Option<(Vec<Module>, ListEnd)>, Absent> {
    let kernel = process.kernel();
    let peb = match process.peb() {
        Reading::Value(peb) => peb,
        Reading::Nothing => return Ok(None),
        Reading::Absent(why) => return Err(why),
    };
    let (space, layouts) = (process.space()?, kernel.layouts());
    let ldr = space.read_pointer(peb.wrapping_add(layouts.peb.as_ref()?.ldr.offset))?;
    if ldr.is_null() {
        return Ok(None);
    }
    let layout = layouts.ldr_entry.as_ref()?;
    let head = ldr.wrapping_add(layouts.ldr.as_ref()?.load_order.offset);
    let (entries, end) =
        walk::list(space, head, Direction::Forward, MAX_MODULES, |entry| !entry.is_null() && !entry.is_kernel());
    let mut room = MAX_TEXT;
    let module = |entry: &VirtualAddress| {
        let at = entry.wrapping_sub(layout.load_order.offset);
        let mut string = |offset| {
            let text = text::file_name(space, at.wrapping_add(offset))?.unwrap_or_default();
            room = room.checked_sub(text.len()).ok_or_else(|| {
                Absent::not_collected(format!("the names of the modules before it have {MAX_TEXT} bytes"))
            })?;
            Ok::<_, Absent>(text)
        };
        Module {
            name: string(layout.base_name.offset).into(),
            path: string(layout.full_name.offset).into(),
            base: space.read_pointer(at.wrapping_add(layout.base.offset)).map_err(Absent::from).into(),
            entry_point: layout.entry_point.map_or_else(
                || Reading::Absent(Absent::no_symbol("_LDR_DATA_TABLE_ENTRY.EntryPoint")),
                |field| pointer(space.read_pointer(at.wrapping_add(field.offset)).map_err(Absent::from)),
            ),
            size: space.read_u32(at.wrapping_add(layout.image_size.offset)).map_err(Absent::from).into(),
            entry: Reading::Value(at),
        }
    };
    Ok(Some((entries.iter().map(module).collect(), end.kind())))
}
