//! `_CM_KEY_VALUE`: the cell of a value, and its data.

use super::cells::{Backing, Cell, CellIndex};
use super::data::{RegistryData, ValueType, hidden_text};
use super::faults::Faults;
use super::hive::Hive;
use super::node::{Fixed, decode_name};
use super::record::RegistryValue;
use crate::location::{DataLocation, Location};
use crate::{Absent, Reading};

/// Bytes before the name.
const FIXED: u32 = 0x14;
/// `_CM_KEY_VALUE.DataLength`: the data, of 4 bytes at most, stand where the cell index would.
const INLINE: u32 = 1 << 31;
/// `_CM_KEY_VALUE.Flags`: one byte for each character of the name.
const COMPRESSED_NAME: u16 = 1;
/// Data of a value are not longer than this. Windows itself writes some MiB at most (`AppCompatCache`, device properties), and
/// a hostile length can be 2 GiB.
const MAX_DATA: u32 = 64 << 20;
/// Bytes in each piece of data too long for a cell (`CM_KEY_VALUE_BIG`, Windows XP on).
const PIECE: u32 = 16344;

/// One value of a key, read from its hive when asked.
#[derive(Clone, Copy, Debug)]
pub struct Value<'h> {
    hive: &'h Hive<'h>,
    cell: Cell,
    kind: ValueType,
    /// `DataLength`.
    length: u32,
    /// `Data`: the cell, or the data themselves.
    data: [u8; 4],
    name_length: u16,
    name_compressed: bool,
}

impl<'h> Value<'h> {
    pub(super) fn read(hive: &'h Hive<'h>, index: CellIndex) -> Result<Self, Absent> {
        let cell = hive.backing.cell(index)?;
        let fixed = Fixed(hive.backing.bytes(cell, 0, FIXED)?);
        if !fixed.0.starts_with(b"vk") {
            return Err(Absent::unparsable(format!("cell {index}: no value, its signature is {:#06x}", fixed.u16(0))));
        }
        Ok(Self {
            hive,
            cell,
            kind: ValueType(fixed.u32(0xc)),
            length: fixed.u32(4),
            data: fixed.u32(8).to_le_bytes(),
            name_length: fixed.u16(2),
            name_compressed: fixed.u16(0x10) & COMPRESSED_NAME != 0,
        })
    }

    /// The name; that of the default value is empty.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn name(&self) -> Result<String, Absent> {
        let bytes = self.hive.backing.bytes(self.cell, FIXED, u32::from(self.name_length))?;
        Ok(decode_name(&bytes, self.name_compressed))
    }

    /// The type.
    #[must_use]
    pub const fn kind(&self) -> ValueType {
        self.kind
    }

    /// True for a value of a key that lives in memory only.
    #[must_use]
    pub const fn is_volatile(&self) -> bool {
        self.cell.index.is_volatile()
    }

    /// Where the `_CM_KEY_VALUE` lies, and its data.
    #[must_use]
    pub fn location(&self) -> Option<Location> {
        let location = self.hive.backing.locate(self.content(), "_CM_KEY_VALUE", "Signature")?;
        let bytes = (self.length & !INLINE).min(PIECE).into();
        let data = self.data_location().and_then(|at| {
            let Location { r#virtual, physical, file_offset, from, table, .. } = at;
            Some(DataLocation { r#virtual: r#virtual?, physical, file_offset, bytes, from, table })
        });
        Some(Location { data: data.filter(|_| bytes > 0), ..location })
    }

    /// Where the data lie, or their first piece.
    #[must_use]
    pub fn data_location(&self) -> Option<Location> {
        if self.length & INLINE != 0 {
            // The `Data` of the value itself.
            let at = CellIndex(self.content().0.wrapping_add(8));
            return self.hive.backing.locate(at, "_CM_KEY_VALUE", "Data");
        }
        let cell = CellIndex(u32::from_le_bytes(self.data));
        let cell = self.pieces(cell).ok().flatten().and_then(|pieces| pieces.first().copied()).unwrap_or(cell);
        self.hive.backing.cell(cell).ok()?;
        self.hive.backing.locate(CellIndex(cell.0.wrapping_add(4)), "_CELL_DATA", "u.KeyString")
    }

    /// Index of the byte behind the cell's header.
    const fn content(&self) -> CellIndex {
        CellIndex(self.cell.index.0.wrapping_add(4))
    }

    /// The bytes of the value.
    ///
    /// # Errors
    /// A cell that holds them cannot be read, or cannot hold them.
    pub fn bytes(&self) -> Result<Vec<u8>, Absent> {
        if self.length & INLINE != 0 {
            let length = usize::try_from(self.length & !INLINE).unwrap_or(usize::MAX);
            return self.data.get(..length).map(<[u8]>::to_vec).ok_or_else(|| {
                Absent::unparsable(format!("cell {}: {length:#x} bytes of data within 4", self.cell.index))
            });
        }
        if self.length == 0 {
            return Ok(Vec::new());
        }
        if self.length > MAX_DATA {
            return Err(Absent::unparsable(format!(
                "cell {}: {:#x} bytes of data, more than the {MAX_DATA:#x} that are read",
                self.cell.index, self.length
            )));
        }
        let hive = &self.hive.backing;
        let index = CellIndex(u32::from_le_bytes(self.data));
        let Some(pieces) = self.pieces(index)? else {
            return hive.bytes(hive.cell(index)?, 0, self.length);
        };
        let mut bytes = Vec::new();
        let mut left = self.length;
        for piece in pieces {
            let cell = hive.cell(piece)?;
            let now = left.min(PIECE);
            bytes.extend(hive.bytes(cell, 0, now)?);
            left = left.saturating_sub(now);
        }
        if left > 0 {
            return Err(Absent::unparsable(format!("cell {index}: its pieces lack {left:#x} bytes of the data")));
        }
        Ok(bytes)
    }

    /// The cells of data in pieces (`_CM_BIG_DATA`), as many as the length needs. `None`: the data lie in one cell.
    fn pieces(&self, index: CellIndex) -> Result<Option<Vec<CellIndex>>, Absent> {
        let hive: &Backing<'_> = &self.hive.backing;
        if self.length <= PIECE {
            return Ok(None);
        }
        let cell = hive.cell(index)?;
        // Versions before 1.4 of the format keep long data in one cell, and then it has room for them.
        if cell.size >= self.length {
            return Ok(None);
        }
        let head = Fixed(hive.bytes(cell, 0, 8)?);
        if !head.0.starts_with(b"db") {
            return Err(Absent::unparsable(format!(
                "cell {index}: {:#x} bytes of data in {:#x}, and no list of pieces",
                self.length, cell.size
            )));
        }
        let needed = self.length.div_ceil(PIECE);
        let mut faults = Faults::default();
        let list = hive.cell(CellIndex(head.u32(4)))?;
        let pieces = hive.elements::<4>(list, 0, u32::from(head.u16(2)).min(needed), &mut faults);
        match faults.into_reasons().into_iter().next() {
            Some(why) => Err(why),
            None => Ok(Some(pieces.into_iter().map(|piece| CellIndex(u32::from_le_bytes(piece))).collect())),
        }
    }

    /// Bytes that its data take at the worst, as a record and in a document: a text of one letter takes an allocation of its own,
    /// bytes are written as two digits each.
    fn cost(&self) -> u64 {
        let times = if self.kind == ValueType::MULTI_SZ { 24 } else { 8 };
        u64::from(if self.length & INLINE == 0 { self.length } else { 4 }).saturating_mul(times)
    }

    /// The record of the value.
    #[must_use]
    pub fn record(&self) -> RegistryValue {
        let (mut notes, mut hidden) = (Vec::new(), None);
        if self.cell.free {
            notes.push(format!("cell {} is marked as free", self.cell.index));
        }
        let data = self.hive.take(self.cost()).and_then(|()| self.bytes()).map(|bytes| {
            let (data, odd) = RegistryData::decode(self.kind, &bytes);
            notes.extend(odd);
            hidden = hidden_text(self.kind, &bytes);
            data
        });
        RegistryValue {
            kind: self.kind,
            data: Reading::from(data),
            volatile: self.is_volatile(),
            location: self.location(),
            data_location: self.data_location(),
            notes,
            hidden,
        }
    }
}
