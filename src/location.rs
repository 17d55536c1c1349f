//! Where a value was read.

use crate::{Hex, Origin, PhysicalAddress, VirtualAddress};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Where a value was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Location {
    /// C name of the structure: `_EPROCESS`.
    pub structure: Cow<'static, str>,
    /// C name of the field: `InheritedFromUniqueProcessId`.
    pub field: Cow<'static, str>,
    /// Virtual address of the field.
    pub r#virtual: Option<VirtualAddress>,
    /// Physical address of the field.
    pub physical: Option<PhysicalAddress>,
    /// Offset of the field in the image file. `None`: the file holds its page compressed, or in pieces of several files, or not at
    /// all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_offset: Option<u64>,
    /// Root of the page tables that `virtual` is read through, where it lies in a user half. `None`: the kernel's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtb: Option<PhysicalAddress>,
    /// Where the value lies, if the field only leads to it. `None`: the field holds it, or it was not found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataLocation>,
    /// What supplied the page it lies in. `None`: it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Origin>,
    /// What supplied the page table that leads to it, where that is not in memory: a copy of another time leads to what is somebody
    /// else's by now. `None`: all tables on the way are in memory, or it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Origin>,
    /// The number that stands in the field, where the value is a part of it, says only whether it is null, or is worked out from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Hex>,
    /// The bit of that number that the value is, from 0 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bit: Option<u8>,
}

/// Where a value lies that a field leads to: the buffer of a `_UNICODE_STRING`, the `_SID` behind a pointer, the data of a registry
/// value. Addresses are those of its first byte, in the address space of the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DataLocation {
    /// Virtual address.
    pub r#virtual: VirtualAddress,
    /// Physical address. `None`: its page is not in memory.
    pub physical: Option<PhysicalAddress>,
    /// Offset in the image file, as [`Location::file_offset`].
    pub file_offset: Option<u64>,
    /// Length in bytes from there on; of registry data that are kept in several cells, of the first.
    pub bytes: u64,
    /// As [`Location::from`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Origin>,
    /// As [`Location::table`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Origin>,
}
