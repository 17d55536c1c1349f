//! Processors, as data: how each translates addresses.

mod amd64;
mod la57;

pub use amd64::AMD64;
pub use la57::LA57;

use super::fault::EntryLevel;
use crate::{PhysicalAddress, VirtualAddress};

/// One level of page tables.
#[derive(Debug)]
pub(super) struct Level {
    pub name: EntryLevel,
    /// Lowest bit of the address that indexes this table.
    pub shift: u32,
    /// Whether an entry may map a page by itself.
    pub leaf: bool,
}

/// How a processor, in one of its modes, translates addresses. Bits of entries that are *not* present are Windows' own.
#[derive(Debug)]
pub struct Architecture {
    /// `amd64`, `la57`.
    pub name: &'static str,
    /// Size of a pointer in bytes: half a `_LIST_ENTRY`.
    pub pointer_bytes: u64,
    /// Bits of an address that are translated; the highest is repeated in all above it.
    pub address_bits: u32,
    /// The tables, top down.
    pub(super) levels: &'static [Level],
    /// Entries in a table.
    pub(super) entries: u64,
    /// Entry: it is present.
    pub(super) present: u64,
    /// Entry above the lowest table: it maps a page by itself.
    pub(super) large: u64,
    /// Entry: where the page or table lies. Also the part of the root register that does.
    pub(super) frame: u64,
}

impl PartialEq for Architecture {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Architecture {}

impl Architecture {
    /// The address with the highest translated bit repeated above it.
    pub(super) const fn canonical(&self, at: u64) -> VirtualAddress {
        let above = u64::BITS.saturating_sub(self.address_bits);
        VirtualAddress((at.wrapping_shl(above).cast_signed().wrapping_shr(above)).cast_unsigned())
    }

    /// Whether an address lies in the user half.
    pub(crate) const fn is_user(&self, at: VirtualAddress) -> bool {
        self.is_canonical(at) && !at.is_kernel()
    }

    /// Whether the processor translates this address at all.
    #[must_use]
    pub const fn is_canonical(&self, at: VirtualAddress) -> bool {
        self.canonical(at.0).0 == at.0
    }

    /// Which entry of the top table translates `at`.
    pub(crate) fn top_index(&self, at: VirtualAddress) -> u64 {
        self.level(0).map_or(0, |level| self.index(level, at))
    }

    /// The level in the list, from 0 for the top.
    pub(super) fn level(&self, index: usize) -> Option<&'static Level> {
        self.levels.get(index)
    }

    /// Where the entry for `at` lies in the table at `table`.
    pub(super) const fn slot(&self, level: &Level, table: PhysicalAddress, at: VirtualAddress) -> PhysicalAddress {
        table.wrapping_add(self.index(level, at).wrapping_mul(self.pointer_bytes))
    }

    /// Which entry of a table of this level translates `at`.
    pub(super) const fn index(&self, level: &Level, at: VirtualAddress) -> u64 {
        at.0.wrapping_shr(level.shift) & self.entries.wrapping_sub(1)
    }

    /// What an entry that is present says.
    pub(super) const fn present(&self, entry: u64, level: &Level) -> Present {
        let frame = entry & self.frame;
        if matches!(level.name, EntryLevel::Pte) {
            Present::Page(PhysicalAddress(frame))
        } else if level.leaf && entry & self.large != 0 {
            // Low frame bits of a large page are flags (PAT) or reserved.
            Present::Page(PhysicalAddress(frame & !1u64.wrapping_shl(level.shift).wrapping_sub(1)))
        } else {
            Present::Table(PhysicalAddress(frame))
        }
    }
}

/// Where a present entry leads.
pub(super) enum Present {
    Table(PhysicalAddress),
    Page(PhysicalAddress),
}
