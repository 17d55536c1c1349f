//! `_CM_KEY_NODE`: the cell of a key.
//!
//! Cells have one layout in memory and in files, on every version of Windows since NT 4; offsets are those of
//! `_CM_KEY_NODE` in the kernel's symbols.

use super::cells::{Backing, Cell, CellIndex};
use crate::Absent;
use crate::kernel::text::utf16;

/// Bytes before the name.
const FIXED: u32 = 0x4c;

/// Flag bits (`_CM_KEY_NODE.Flags`).
const HIVE_EXIT: u16 = 0x02;
const SYM_LINK: u16 = 0x10;
const COMPRESSED_NAME: u16 = 0x20;

/// What the cell of a key says.
#[derive(Clone, Debug)]
pub(super) struct KeyNode {
    pub cell: Cell,
    flags: u16,
    /// `LastWriteTime`: ticks.
    pub last_written: u64,
    /// `SubKeyCounts`: stable and volatile.
    pub counts: [u32; 2],
    /// `SubKeyLists`: stable and volatile.
    pub lists: [CellIndex; 2],
    /// `ValueList.Count`.
    pub value_count: u32,
    /// `ValueList.List`.
    pub value_list: CellIndex,
    /// `Class`.
    pub class: CellIndex,
    /// `ClassLength`, in bytes.
    pub class_length: u16,
    /// `Name`.
    pub name: String,
}

/// A key's or value's name: one byte for each character, or two.
pub(super) fn decode_name(bytes: &[u8], compressed: bool) -> String {
    if compressed { bytes.iter().map(|byte| char::from(*byte)).collect() } else { utf16(bytes) }
}

/// Little-endian numbers at fixed places in the start of a cell.
pub(super) struct Fixed(pub Vec<u8>);

impl Fixed {
    pub(super) fn u16(&self, offset: usize) -> u16 {
        self.0.get(offset..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u16::from_le_bytes(*bytes))
    }

    pub(super) fn u32(&self, offset: usize) -> u32 {
        self.0.get(offset..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    pub(super) fn u64(&self, offset: usize) -> u64 {
        self.0.get(offset..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

impl KeyNode {
    /// Reads the key at `index`.
    pub(super) fn read(hive: &Backing<'_>, index: CellIndex) -> Result<Self, Absent> {
        let cell = hive.cell(index)?;
        let fixed = Fixed(hive.bytes(cell, 0, FIXED)?);
        if !fixed.0.starts_with(b"nk") {
            return Err(Absent::unparsable(format!("cell {index}: no key, its signature is {:#06x}", fixed.u16(0))));
        }
        let flags = fixed.u16(2);
        let name = hive.bytes(cell, FIXED, u32::from(fixed.u16(0x48)))?;
        Ok(Self {
            cell,
            flags,
            last_written: fixed.u64(4),
            counts: [fixed.u32(0x14), fixed.u32(0x18)],
            lists: [CellIndex(fixed.u32(0x1c)), CellIndex(fixed.u32(0x20))],
            value_count: fixed.u32(0x24),
            value_list: CellIndex(fixed.u32(0x28)),
            class: CellIndex(fixed.u32(0x30)),
            class_length: fixed.u16(0x4a),
            name: decode_name(&name, flags & COMPRESSED_NAME != 0),
        })
    }

    /// True for a symbolic link.
    pub(super) const fn is_link(&self) -> bool {
        self.flags & SYM_LINK != 0
    }

    /// True where another hive is mounted: what would be lists is a reference to that hive.
    pub(super) const fn is_exit(&self) -> bool {
        self.flags & HIVE_EXIT != 0
    }
}
