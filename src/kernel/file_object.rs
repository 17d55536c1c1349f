//! `_FILE_OBJECT`, and the way to it from an image section.

use super::view::{View, fast_ref};
use super::{Kernel, text};
use crate::process::SectionFile;
use crate::{Absent, VirtualAddress};

/// The file behind a section object: `_SECTION` (or `_SECTION_OBJECT` and `_SEGMENT` up to Windows 7), `_CONTROL_AREA`,
/// `_FILE_OBJECT`. `None`: the section is backed by the page file.
///
/// # Errors
/// The symbols lack one of these, or memory on the way cannot be read.
pub(super) fn of_section(kernel: &Kernel<'_>, section: VirtualAddress) -> Result<Option<SectionFile>, Absent> {
    let layouts = kernel.layouts();
    let space = kernel.space();
    let control_area = match (&layouts.section, &layouts.section_object) {
        (Ok(layout), _) => space.read_pointer(section.wrapping_add(layout.control_area.offset))?,
        (Err(_), Ok(layout)) => {
            let segment = space.read_pointer(section.wrapping_add(layout.segment.offset))?;
            space.read_pointer(segment.wrapping_add(layouts.segment.as_ref()?.control_area.offset))?
        }
        (Err(error), Err(_)) => return Err(error.into()),
    };
    // The union's low two bits are tags.
    let control_area = VirtualAddress(control_area.0 & !3);
    if control_area.is_null() {
        return Ok(None);
    }
    of_control_area(kernel, control_area)
}

/// The file behind a control area. `None`: the page file.
///
/// # Errors
/// As [`of_section`].
pub(super) fn of_control_area(kernel: &Kernel<'_>, area: VirtualAddress) -> Result<Option<SectionFile>, Absent> {
    let file = kernel.layouts().control_area.as_ref()?.file.offset;
    read(kernel, fast_ref(kernel.space().read_u64(area.wrapping_add(file))?))
}

/// Reads the file object at `address`. `None`: the address is null.
///
/// # Errors
/// It cannot be read, or its name cannot.
pub(super) fn read(kernel: &Kernel<'_>, address: VirtualAddress) -> Result<Option<SectionFile>, Absent> {
    if address.is_null() {
        return Ok(None);
    }
    let layout = kernel.layouts().file_object.as_ref()?;
    let view = View::read(kernel.space(), address, layout.size);
    Ok(Some(SectionFile {
        address,
        name: text::unicode_string(kernel.space(), view.address_of(layout.name))?.unwrap_or_default(),
        delete_pending: view.get(layout.delete_pending)? != 0,
        transaction: None,
    }))
}
