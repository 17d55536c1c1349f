//! `_FILE_OBJECT`, and the way to it from an image section.

use super::object;
use crate::kernel::view::{View, fast_ref, pointer};
use crate::kernel::{Kernel, text};
use crate::location::DataLocation;
use crate::{Absent, Reading, VirtualAddress};
use serde::{Deserialize, Serialize};

/// The file behind the image section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SectionFile {
    /// Address of the `_FILE_OBJECT`.
    pub address: VirtualAddress,
    /// `FILE_OBJECT.FileName`: relative to the volume.
    pub name: String,
    /// `FILE_OBJECT.DeletePending`.
    pub delete_pending: bool,
    /// A transaction is attached (`FILE_OBJECT.FileObjectExtension` holds one). False: there is no extension. Unknown: `null`.
    pub transaction: Option<bool>,
    /// `FILE_OBJECT.FileObjectExtension`, where it is not null: what it holds is not described by public symbols.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<VirtualAddress>,
    /// The name of `FILE_OBJECT.DeviceObject` in its directory: `HarddiskVolume3`. `None`: it has none, or it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// `FILE_OBJECT.Type` (wdm.h: `IO_TYPE_FILE`).
const IO_TYPE_FILE: u16 = 5;

/// The file behind a section object: `_SECTION` (or `_SECTION_OBJECT` and `_SEGMENT` up to 8.1), `_CONTROL_AREA`,
/// `_FILE_OBJECT`. `None`: the section is backed by the page file.
///
/// # Errors
/// The symbols lack one of these, or memory on the way cannot be read.
pub(crate) fn of_section(kernel: &Kernel<'_>, section: VirtualAddress) -> Result<Option<SectionFile>, Absent> {
    let layouts = kernel.layouts();
    let space = kernel.space();
    match (&layouts.section, &layouts.section_object) {
        (Ok(layout), _) => {
            let backing = space.read_pointer(section.wrapping_add(layout.control_area.offset))?;
            // `u1` holds a file object instead where one of its low bits, RemoteDataFileObject and RemoteImageFileObject, is
            // set: a section whose memory another system provides.
            if backing.0 & 3 == 0 {
                of_control_area(kernel, backing)
            } else {
                read(kernel, VirtualAddress(backing.0 & !3))
            }
        }
        (Err(_), Ok(layout)) => {
            // A segment up to Windows 7; the symbols of 8 and 8.1 still say so, where later builds have the control area.
            // Each starts with a pointer to the other, so that only the file at the end tells which it is.
            let backing = space.read_pointer(section.wrapping_add(layout.segment.offset))?;
            let control_area = space.read_pointer(backing.wrapping_add(layouts.segment.as_ref()?.control_area.offset));
            match control_area.map_err(Absent::from).and_then(|area| of_control_area(kernel, area)) {
                Ok(file) => Ok(file),
                Err(first) => of_control_area(kernel, backing).map_err(|_| first),
            }
        }
        (Err(error), Err(_)) => Err(error.into()),
    }
}

/// The file behind a control area. `None`: the page file.
///
/// # Errors
/// As [`of_section`].
pub(crate) fn of_control_area(kernel: &Kernel<'_>, area: VirtualAddress) -> Result<Option<SectionFile>, Absent> {
    if area.is_null() {
        return Ok(None);
    }
    read(kernel, file_of_area(kernel, area)?)
}

/// The `_FILE_OBJECT` that a control area names.
///
/// # Errors
/// The symbols lack the structure, or it cannot be read.
pub(crate) fn file_of_area(kernel: &Kernel<'_>, area: VirtualAddress) -> Result<VirtualAddress, Absent> {
    let layout = kernel.layouts().control_area.as_ref()?;
    Ok(fast_ref(kernel.space().read_u64(area.wrapping_add(layout.file.offset))?))
}

/// Where the name of the file object at `address` lies, for evidence.
pub(crate) fn name_data(kernel: &Kernel<'_>, address: VirtualAddress) -> Option<DataLocation> {
    let layout = kernel.layouts().file_object.as_ref().ok()?;
    text::unicode_string_data(kernel.space(), address.checked_add(layout.name.offset)?)
}

/// Reads the file object at `address`. `None`: the address is null.
///
/// # Errors
/// It cannot be read, or its name cannot.
pub(crate) fn read(kernel: &Kernel<'_>, address: VirtualAddress) -> Result<Option<SectionFile>, Absent> {
    if address.is_null() {
        return Ok(None);
    }
    let layout = kernel.layouts().file_object.as_ref()?;
    let view = View::read(kernel.space(), address, layout.size);
    let kind = view.get(layout.kind)?;
    if kind != IO_TYPE_FILE {
        return Err(Absent::unparsable(format!("no FILE_OBJECT at {address}: its type is {kind}")));
    }
    let extension = pointer(view.optional(layout.extension, "_FILE_OBJECT.FileObjectExtension"));
    Ok(Some(SectionFile {
        address,
        name: text::kernel_path(kernel.space(), view.address_of(layout.name))?.unwrap_or_default(),
        delete_pending: view.get(layout.delete_pending)? != 0,
        transaction: match extension {
            Reading::Nothing => Some(false),
            _ => None,
        },
        extension: extension.value().copied(),
        device: device(kernel, view.optional(layout.device, "_FILE_OBJECT.DeviceObject")),
    }))
}

/// The header of the device of the file object at `address`.
///
/// # Errors
/// The symbols lack a structure, or the object cannot be read.
pub(crate) fn device_header(kernel: &Kernel<'_>, address: VirtualAddress) -> Result<VirtualAddress, Absent> {
    let layouts = kernel.layouts();
    let field = layouts.file_object.as_ref()?.device.ok_or_else(|| Absent::no_symbol("_FILE_OBJECT.DeviceObject"))?;
    let device = kernel.space().read_pointer(address.wrapping_add(field.offset))?;
    if !device.is_kernel() {
        return Err(Absent::unparsable(format!("the device of the file object at {address} is at {device}")));
    }
    Ok(device.wrapping_sub(layouts.object_header.as_ref()?.body.offset))
}

/// The name of a device.
fn device(kernel: &Kernel<'_>, device: Result<VirtualAddress, Absent>) -> Option<String> {
    let device = device.ok().filter(|device| device.is_kernel())?;
    let header = device.wrapping_sub(kernel.layouts().object_header.as_ref().ok()?.body.offset);
    object::name_of(kernel, header).ok()?
}
