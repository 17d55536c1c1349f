//! Why one address could not be read.

use crate::{Absent, PhysicalAddress, VirtualAddress};
use std::fmt;

/// Why one virtual address could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Bits 48 to 63 do not all equal bit 47: no processor translates it.
    NonCanonical {
        /// The address.
        at: VirtualAddress,
    },
    /// The entry is zero, or of a kind without a page: nothing was ever mapped there.
    NotPresent {
        /// The address.
        at: VirtualAddress,
        /// The table that ends the walk.
        level: EntryLevel,
        /// The entry there.
        entry: u64,
    },
    /// The page is in a page file, or in the compressed store.
    PagedOut {
        /// The address.
        at: VirtualAddress,
        /// The table that ends the walk.
        level: EntryLevel,
        /// The entry there.
        entry: u64,
    },
    /// The page was promised and never touched: it would read as zeros, and no content is lost.
    DemandZero {
        /// The address.
        at: VirtualAddress,
        /// The entry.
        entry: u64,
    },
    /// The entry points to a prototype entry, of a page that is shared.
    Prototype {
        /// The address.
        at: VirtualAddress,
        /// The entry.
        entry: u64,
    },
    /// The translation works, and the page or page table it needs is not in the image.
    NotInImage {
        /// The address.
        at: VirtualAddress,
        /// What is missing.
        needed: PhysicalAddress,
        /// What it would have held: a page table, or the page itself.
        level: Option<EntryLevel>,
    },
}

/// The levels of x64 page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryLevel {
    /// Page map level 4 entry.
    Pml4e,
    /// Page directory pointer table entry.
    Pdpte,
    /// Page directory entry.
    Pde,
    /// Page table entry.
    Pte,
}

impl EntryLevel {
    /// The processor manuals' name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pml4e => "PML4E",
            Self::Pdpte => "PDPTE",
            Self::Pde => "PDE",
            Self::Pte => "PTE",
        }
    }
}

impl Fault {
    /// The address that could not be read.
    #[must_use]
    pub const fn at(&self) -> VirtualAddress {
        match self {
            Self::NonCanonical { at }
            | Self::NotPresent { at, .. }
            | Self::PagedOut { at, .. }
            | Self::DemandZero { at, .. }
            | Self::Prototype { at, .. }
            | Self::NotInImage { at, .. } => *at,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NonCanonical { at } => write!(f, "{at} is no canonical address"),
            Self::NotPresent { at, level, entry } => write!(f, "{at} is not mapped ({} {entry:#x})", level.name()),
            Self::PagedOut { at, level, entry } => write!(f, "{at} is paged out ({} {entry:#x})", level.name()),
            Self::DemandZero { at, entry } => write!(f, "{at} is demand-zero, never touched (PTE {entry:#x})"),
            Self::Prototype { at, entry } => {
                write!(f, "{at} is shared and not mapped by this process (prototype PTE {entry:#x})")
            }
            Self::NotInImage { at, needed, level: None } => write!(f, "{at}: its page {needed} is not in the image"),
            Self::NotInImage { at, needed, level: Some(level) } => {
                write!(f, "{at}: the page table with its {}, at {needed}, is not in the image", level.name())
            }
        }
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for Absent {
    fn from(fault: Fault) -> Self {
        Self::unreadable(fault.to_string())
    }
}
