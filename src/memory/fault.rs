//! Why one address could not be read.

use crate::{Absent, Origin, PhysicalAddress, VirtualAddress};
use std::fmt;
use std::sync::Arc;

/// Why one virtual address could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The bits above the translated ones do not repeat the highest of these: no processor translates it.
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
    /// The page is in some page file, or in the compressed store, and the symbols do not tell how the entry says which.
    PagedOut {
        /// The address.
        at: VirtualAddress,
        /// The table that ends the walk.
        level: EntryLevel,
        /// The entry there.
        entry: u64,
    },
    /// The page is in a page file that does not supply it.
    PageFile {
        /// The address.
        at: VirtualAddress,
        /// The number of the page file.
        number: u32,
        /// Where in the file the page begins, in bytes.
        offset: u64,
        /// Why the file does not supply it.
        why: PageFileFault,
    },
    /// The page is in the compressed store, and could not be had from there.
    Store {
        /// The address.
        at: VirtualAddress,
        /// The number that the store has among the page files.
        number: u32,
        /// The number of the page in it.
        index: u64,
        /// What was in the way.
        why: StoreFault,
    },
    /// The page is shared, and only in its file.
    FileOnly {
        /// The address.
        at: VirtualAddress,
        /// The file, as far as the kernel's objects name it.
        file: Option<Arc<str>>,
    },
    /// The page was promised and never touched: it would read as zeros, and no content is lost.
    DemandZero {
        /// The address.
        at: VirtualAddress,
        /// The entry.
        entry: u64,
    },
    /// The page is shared, and the prototype entry that knows where it is could not be had.
    Prototype {
        /// The address.
        at: VirtualAddress,
        /// The entry.
        entry: u64,
        /// What was in the way.
        why: PrototypeFault,
    },
    /// The page can be read, and has no place in memory: it was asked for one.
    NotInMemory {
        /// The address.
        at: VirtualAddress,
        /// What supplies it.
        origin: Origin,
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
    /// An object was met in physical memory, and the address lies in the page behind the one in which it begins: where that is, nothing
    /// tells.
    NoNeighbour {
        /// The address.
        at: VirtualAddress,
    },
}

/// Why a page file does not supply a page.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PageFileFault {
    /// No such file was given.
    NotGiven {
        /// Its path on the imaged machine, as far as the kernel names it.
        path: Option<Arc<str>>,
    },
    /// The file that was given for it is another machine's, or of another time: what is in it contradicts memory.
    Foreign,
    /// The machine has no page file of this number: the entry is damaged, or was changed.
    NoSuchFile,
    /// A page table should be there, and what is there is none.
    NoTable,
    /// The file ends before it.
    TooShort,
    /// The file could not be read.
    Failed,
}

/// Why the compressed store does not supply a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreFault {
    /// There is no store whose parts are where they are in a known build.
    NotFound(&'static str),
    /// The store does not list the page.
    NotListed,
    /// What the store says of the page contradicts itself.
    Torn(&'static str),
    /// A part of the store that it takes could not be read.
    Unreadable(&'static str),
    /// A part of the store that it takes is in a page file itself, which does not supply it.
    InPageFile {
        /// The part.
        what: &'static str,
        /// The number of the page file.
        number: u32,
    },
    /// The page is asked for in reading the store itself.
    NeedsItself,
}

/// Why a prototype entry does not tell where a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrototypeFault {
    /// Only the process's VADs know it, and the process is not known here.
    NoVads,
    /// The tree of VADs could not be followed to it.
    TornVads,
    /// The VAD leads to no prototype entry for this page.
    NoEntry,
    /// The prototype entry could not be read.
    Unreadable,
    /// The prototype entry is empty: the page was not built yet, or was given up.
    Empty,
    /// It was asked for in reading a prototype entry: those are never shared themselves.
    Nested,
}

/// The levels of page tables, as x64 names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryLevel {
    /// Page map level 5 entry.
    Pml5e,
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
            Self::Pml5e => "PML5E",
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
            | Self::PageFile { at, .. }
            | Self::Store { at, .. }
            | Self::FileOnly { at, .. }
            | Self::DemandZero { at, .. }
            | Self::Prototype { at, .. }
            | Self::NotInMemory { at, .. }
            | Self::NotInImage { at, .. }
            | Self::NoNeighbour { at } => *at,
        }
    }

    /// The word for documents.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NonCanonical { .. } => "not_canonical",
            Self::NotPresent { .. } => "not_mapped",
            Self::PagedOut { .. } => "paged_out",
            Self::PageFile { .. } => "page_file",
            Self::Store { .. } => "compressed_store",
            Self::FileOnly { .. } => "file_only",
            Self::DemandZero { .. } => "demand_zero",
            Self::Prototype { .. } => "prototype",
            Self::NotInMemory { .. } => "not_in_memory",
            Self::NotInImage { .. } => "not_in_image",
            Self::NoNeighbour { .. } => "no_neighbour",
        }
    }

    /// Whether it is the way to the page that is lost, so that nothing tells where the page is or was.
    pub(crate) const fn loses_the_way(&self) -> bool {
        match self {
            Self::NonCanonical { .. } | Self::NotPresent { .. } | Self::NotInImage { level: Some(_), .. } => true,
            Self::Prototype { why, .. } => !matches!(why, PrototypeFault::Empty | PrototypeFault::Nested),
            _ => false,
        }
    }

    /// What would supply the page, if anything could.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Store { why: StoreFault::InPageFile { number, .. }, .. } => {
                Some(format!("--pagefile FILE (page file {number})"))
            }
            Self::PageFile { number, why, .. } => Some(match why {
                PageFileFault::NoSuchFile => return None,
                PageFileFault::NotGiven { path: Some(path) } => format!("--pagefile FILE (page file {number}, {path})"),
                PageFileFault::NotGiven { path: None } => format!("--pagefile FILE (page file {number})"),
                PageFileFault::Foreign | PageFileFault::NoTable => {
                    format!("--pagefile FILE (page file {number} of this machine, copied with its memory)")
                }
                PageFileFault::TooShort | PageFileFault::Failed => {
                    format!("--pagefile FILE (a whole copy of page file {number})")
                }
            }),
            Self::PagedOut { .. } => Some("the PDB of this kernel".to_owned()),
            Self::FileOnly { file: Some(file), .. } => Some(format!("the file {file} of the machine's disk")),
            Self::NotInImage { .. } => Some("a whole image of the memory".to_owned()),
            _ => None,
        }
    }
}

impl StoreFault {
    /// A part of the store could not be read, for this reason.
    pub(super) const fn of(what: &'static str, fault: &Fault) -> Self {
        match fault {
            Fault::PageFile { number, .. } => Self::InPageFile { what, number: *number },
            _ => Self::Unreadable(what),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason(f)?;
        self.remedy().map_or(Ok(()), |what| write!(f, " [needs {what}]"))
    }
}

impl Fault {
    /// Why, without what would help.
    fn reason(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NonCanonical { at } => write!(f, "{at} is no canonical address"),
            Self::NotPresent { at, level, entry } => write!(f, "{at} is not mapped ({} {entry:#x})", level.name()),
            Self::PagedOut { at, level, entry } => {
                write!(f, "{at} is paged out, and the symbols do not tell where to ({} {entry:#x})", level.name())
            }
            Self::PageFile { at, number, offset, why } => {
                write!(f, "{at} is in page file {number} at {offset:#x}, ")?;
                match why {
                    PageFileFault::NotGiven { .. } => f.write_str("which was not given"),
                    PageFileFault::Foreign => f.write_str("and the one given is not this machine's"),
                    PageFileFault::NoSuchFile => f.write_str("which the machine does not have: the entry is damaged"),
                    PageFileFault::NoTable => f.write_str(
                        "and what the one given has there is no page table: it is not this machine's, or of another time",
                    ),
                    PageFileFault::TooShort => f.write_str("and the one given ends before that"),
                    PageFileFault::Failed => f.write_str("and the one given could not be read there"),
                }
            }
            Self::Store { at, number, index, why } => {
                write!(f, "{at} is page {index:#x} of the compressed store (page file {number}), ")?;
                match why {
                    StoreFault::NotFound(what) => write!(f, "which was not found: {what}"),
                    StoreFault::NotListed => f.write_str("which does not list it"),
                    StoreFault::Torn(what) => write!(f, "which is torn: {what}"),
                    StoreFault::Unreadable(what) => write!(f, "of which a part could not be read: {what}"),
                    StoreFault::InPageFile { what, number } => {
                        write!(f, "of which a part is in page file {number}: {what}")
                    }
                    StoreFault::NeedsItself => f.write_str("and is needed to read the store itself"),
                }
            }
            Self::FileOnly { at, file: Some(file) } => write!(f, "{at} is only in the file {file}"),
            Self::FileOnly { at, file: None } => write!(f, "{at} is only in its file, which is not named"),
            Self::DemandZero { at, entry } => write!(f, "{at} is demand-zero, never touched (PTE {entry:#x})"),
            Self::Prototype { at, entry, why } => {
                let why = match why {
                    PrototypeFault::NoVads => "only the VADs know its prototype PTE, and they are not known here",
                    PrototypeFault::TornVads => "the VADs do not lead to its prototype PTE: their tree is torn",
                    PrototypeFault::NoEntry => "its VAD has no prototype PTE for it",
                    PrototypeFault::Unreadable => "its prototype PTE could not be read",
                    PrototypeFault::Empty => "its prototype PTE is empty: not built yet, or given up",
                    PrototypeFault::Nested => "it holds a prototype PTE, which cannot be shared itself",
                };
                write!(f, "{at} is shared and not mapped by this process; {why} (PTE {entry:#x})")
            }
            Self::NotInMemory { at, origin } => write!(f, "{at} is not in memory: its page is in the {origin}"),
            Self::NotInImage { at, needed, level: None } => write!(f, "{at}: its page {needed} is not in the image"),
            Self::NoNeighbour { at } => {
                write!(
                    f,
                    "{at} lies in the page behind the one where the object was met, and nothing tells where that is"
                )
            }
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
