//! Cells: the pieces that a hive is made of, out of memory or out of a hive file.

use super::faults::Faults;
use super::map::CellMap;
use crate::Absent;
use crate::location::Location;
use std::fmt;

/// Size in bytes of the blocks that a map has entries for.
pub(super) const BLOCK: u32 = 0x1000;
/// Where bins start in a hive file.
pub(super) const FILE_HEADER: usize = 0x1000;

/// Where a cell starts: the distance in bytes from the first bin of its storage; the highest bit tells the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellIndex(pub u32);

impl CellIndex {
    /// No cell (`HCELL_NIL`).
    pub const NIL: Self = Self(u32::MAX);
    const VOLATILE: u32 = 1 << 31;

    /// True for cells that live in memory only.
    #[must_use]
    pub const fn is_volatile(self) -> bool {
        self.0 & Self::VOLATILE != 0
    }

    /// Distance in bytes from the start of the storage.
    #[must_use]
    pub const fn offset(self) -> u32 {
        self.0 & !Self::VOLATILE
    }

    /// The place `bytes` further on in the same storage.
    fn checked_add(self, bytes: u32) -> Option<Self> {
        let offset = self.offset().checked_add(bytes).filter(|offset| offset & Self::VOLATILE == 0)?;
        Some(Self(self.0 & Self::VOLATILE | offset))
    }
}

impl fmt::Display for CellIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// What a hive is read from.
#[derive(Clone, Debug)]
pub(super) enum Backing<'k> {
    Memory(Box<CellMap<'k>>),
    /// A hive file, whole.
    File(Vec<u8>),
}

/// A cell that was found: its header is inside the hive, and so is its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub index: CellIndex,
    /// Bytes behind the header.
    pub size: u32,
    /// The header says that nobody uses it.
    pub free: bool,
}

impl Backing<'_> {
    /// Whether both are in memory, by the very same maps.
    pub(super) fn has_maps_of(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Memory(own), Self::Memory(theirs)) if own.is_same_as(theirs))
    }

    /// Bytes of bins in the storage that `index` belongs to.
    pub(super) fn length(&self, index: CellIndex) -> Result<u32, Absent> {
        match self {
            Self::Memory(map) => map.length(index),
            Self::File(_) if index.is_volatile() => Ok(0),
            Self::File(bytes) => Ok(u32::try_from(bytes.len().saturating_sub(FILE_HEADER)).unwrap_or(u32::MAX)),
        }
    }

    /// Fills `buf` from `index` on.
    pub(super) fn read(&self, index: CellIndex, buf: &mut [u8]) -> Result<(), Absent> {
        match self {
            Self::Memory(map) => {
                let mut index = index;
                let mut rest = buf;
                // Blocks that follow one another in a hive need not do so in memory.
                while !rest.is_empty() {
                    let within = index.offset() % BLOCK;
                    let left = BLOCK.saturating_sub(within);
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let (now, later) = std::mem::take(&mut rest).split_at_mut(length);
                    map.read(index, now)?;
                    rest = later;
                    if !rest.is_empty() {
                        index = index.checked_add(left).ok_or_else(|| Absent::unparsable("the storage ends there"))?;
                    }
                }
                Ok(())
            }
            Self::File(bytes) => {
                let range = || {
                    let start = FILE_HEADER.checked_add(usize::try_from(index.offset()).ok()?)?;
                    bytes.get(start..start.checked_add(buf.len())?)
                };
                let from = range().filter(|_| !index.is_volatile());
                buf.copy_from_slice(from.ok_or_else(|| Absent::unreadable("the hive file ends before it"))?);
                Ok(())
            }
        }
    }

    /// Where `index` lies; in a hive file, the offset stands for the physical address's absence: none is given.
    pub(super) fn locate(&self, index: CellIndex, structure: &'static str, field: &'static str) -> Option<Location> {
        let Self::Memory(map) = self else { return None };
        map.locate(index, structure, field)
    }

    /// How many blocks were read of the file of a hive in memory, and how many of those were not written to since.
    pub(super) fn of_file(&self) -> (usize, usize) {
        match self {
            Self::Memory(map) => map.of_file(),
            Self::File(_) => (0, 0),
        }
    }

    /// The cell at `index`.
    pub(super) fn cell(&self, index: CellIndex) -> Result<Cell, Absent> {
        let at = |what: Absent| Absent::new(what.kind, format!("cell {index}: {}", what.detail));
        let lie = |what: String| Err(Absent::unparsable(format!("cell {index}: {what}")));
        if index == CellIndex::NIL {
            return lie("no cell".to_owned());
        }
        let length = self.length(index).map_err(at)?;
        let mut header = [0u8; 4];
        // 8 bytes is the smallest cell.
        if length.checked_sub(8).is_none_or(|last| index.offset() > last) {
            return lie(format!("outside the hive, whose storage has {length:#x} bytes"));
        }
        self.read(index, &mut header).map_err(at)?;
        // In use: minus its size.
        let size = i32::from_le_bytes(header);
        let whole = size.unsigned_abs();
        if whole < 8 || index.offset().checked_add(whole).is_none_or(|end| end > length) {
            return lie(format!("its size {whole:#x} is no size of a cell there"));
        }
        Ok(Cell { index, size: whole.saturating_sub(4), free: size > 0 })
    }

    /// `length` bytes of a cell, from `offset` on.
    pub(super) fn bytes(&self, cell: Cell, offset: u32, length: u32) -> Result<Vec<u8>, Absent> {
        let Cell { index, size, .. } = cell;
        let at = |what: Absent| Absent::new(what.kind, format!("cell {index}: {}", what.detail));
        let fits = offset.checked_add(length).is_some_and(|end| end <= size);
        let start = offset.checked_add(4).and_then(|offset| index.checked_add(offset)).filter(|_| fits);
        let Some(start) = start else {
            return Err(Absent::unparsable(format!(
                "cell {index}: {length:#x} bytes from {offset:#x} on are more than its {size:#x}"
            )));
        };
        let mut bytes = vec![0u8; usize::try_from(length).unwrap_or(0)];
        self.read(start, &mut bytes).map_err(at)?;
        Ok(bytes)
    }

    /// `count` elements of `N` bytes each, from `offset` on in a cell. Those that the cell has no room for, or that lie in a
    /// block that cannot be read, are missing and told to `faults`.
    pub(super) fn elements<const N: usize>(
        &self,
        cell: Cell,
        offset: u32,
        count: u32,
        faults: &mut Faults,
    ) -> Vec<[u8; N]> {
        let each = u32::try_from(N).unwrap_or(u32::MAX);
        let room = cell.size.saturating_sub(offset).checked_div(each).unwrap_or(0);
        if count > room {
            let Cell { index, .. } = cell;
            faults.push(Absent::unparsable(format!("cell {index}: a list of {count} has room for {room}")));
        }
        let count = count.min(room);
        let mut elements = Vec::new();
        let mut done = 0u32;
        while done < count {
            let from = offset.saturating_add(done.saturating_mul(each));
            // Elements are aligned to their size or to 4 bytes, and so never lie across blocks by much: the one that does is
            // read together with the next block.
            let within = cell.index.offset().wrapping_add(4).wrapping_add(from) % BLOCK;
            let left = BLOCK.saturating_sub(within).div_ceil(each).max(1).min(count.saturating_sub(done));
            match self.bytes(cell, from, left.saturating_mul(each)) {
                Ok(bytes) => elements.extend_from_slice(bytes.as_chunks::<N>().0),
                Err(why) => faults.push(why),
            }
            done = done.saturating_add(left);
        }
        elements
    }
}
