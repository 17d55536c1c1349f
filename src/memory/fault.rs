//! Why one address could not be read.

use crate::image::{PhysicalMemory, holds};
use crate::reading::NOT_IN_IMAGE;
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
    /// The page is in some page file, in the compressed store or in transition, and it is not known how this kernel writes which: the
    /// symbols do not tell the layout of the entry, or nothing tells the mask that is set in it.
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
        /// The path of the page file on the imaged machine, as far as the kernel names it.
        path: Option<Arc<str>>,
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
        /// Where a page file is in the way: its path on the imaged machine, as far as the kernel names it.
        path: Option<Arc<str>>,
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
    /// The translation works, the image holds the page or page table it needs, and its file does not give it: the compressed block that has
    /// it does not unpack.
    Damaged {
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
    NotGiven,
    /// The file that was given for it is another machine's, or of another time: what is in it contradicts memory.
    Foreign,
    /// The machine has no page file of this number: the entry is damaged, or was changed.
    NoSuchFile {
        /// How many page files it has, numbered from 0 on; the compressed store is one of them.
        files: usize,
    },
    /// A page table should be there, and what is there is none.
    NoTable,
    /// A page table is there, and has nothing for the address: that of another time may have had something.
    NoEntry,
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
    /// The packed bytes are in a page file, and what the one given has there does not unpack to a page.
    NotUnpacked {
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
    /// Memory at `needed` could not be read: the image does not have it, or has it and does not give it.
    pub(crate) fn of_memory(
        memory: &dyn PhysicalMemory,
        at: VirtualAddress,
        needed: PhysicalAddress,
        level: Option<EntryLevel>,
    ) -> Self {
        if holds(memory, needed) { Self::Damaged { at, needed, level } } else { Self::NotInImage { at, needed, level } }
    }

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
            | Self::Damaged { at, .. }
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
            Self::Damaged { .. } => "damaged",
            Self::NoNeighbour { .. } => "no_neighbour",
        }
    }

    /// Where the page is, in words that are the same for all pages there. `None`: nothing is lost with it.
    pub(crate) fn place(&self) -> Option<String> {
        Some(match self {
            Self::PageFile { number, why, .. } => match why {
                PageFileFault::NotGiven => format!("in page file {number}, which was not given"),
                PageFileFault::Foreign => format!("in page file {number}, and the one given is not this machine's"),
                PageFileFault::NoSuchFile { .. } => {
                    format!("said to be in page file {number}, which the machine does not have")
                }
                PageFileFault::NoTable | PageFileFault::NoEntry => {
                    format!("behind page tables that page file {number} does not have")
                }
                PageFileFault::TooShort => format!("in page file {number}, behind the end of the one given"),
                PageFileFault::Failed => format!("in page file {number}, which could not be read there"),
            },
            Self::Store { why: StoreFault::InPageFile { number, .. } | StoreFault::NotUnpacked { number }, .. } => {
                format!("in the compressed store, whose bytes are in page file {number}")
            }
            Self::Store { .. } => "in the compressed store, which could not be read there".to_owned(),
            Self::NoNeighbour { .. } => "behind the end of a page, in one that nothing tells".to_owned(),
            Self::FileOnly { .. } => "only in their files".to_owned(),
            Self::PagedOut { .. } => "paged out to a place that is not known".to_owned(),
            Self::NotInImage { .. } => "in memory that the image does not have".to_owned(),
            Self::Damaged { .. } => "in blocks of the image file that are damaged".to_owned(),
            Self::Prototype { why: PrototypeFault::Empty, .. } | Self::DemandZero { .. } | Self::NotPresent { .. } => {
                return None;
            }
            Self::Prototype { .. } => "shared, and where they are could not be read".to_owned(),
            Self::NonCanonical { .. } | Self::NotInMemory { .. } => return None,
        })
    }

    /// Whether it is the way to the page that is lost, so that nothing tells where the page is or was.
    pub(crate) const fn loses_the_way(&self) -> bool {
        match self {
            Self::NonCanonical { .. }
            | Self::NotPresent { .. }
            | Self::NotInImage { level: Some(_), .. }
            | Self::Damaged { level: Some(_), .. } => true,
            Self::PageFile { why, .. } => matches!(why, PageFileFault::NoEntry),
            Self::Prototype { why, .. } => !matches!(why, PrototypeFault::Empty | PrototypeFault::Nested),
            _ => false,
        }
    }

    /// What would supply the page, if anything could.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Store { why, path, .. } => match why {
                StoreFault::InPageFile { number, .. } => Some(page_file("", *number, path, "")),
                StoreFault::NotUnpacked { number } => Some(page_file("", *number, path, COPIED_WITH_MEMORY)),
                _ => None,
            },
            Self::PageFile { number, why, path, .. } => Some(match why {
                PageFileFault::NoSuchFile { .. } => return None,
                PageFileFault::NotGiven => page_file("", *number, path, ""),
                PageFileFault::Foreign | PageFileFault::NoTable | PageFileFault::NoEntry => {
                    page_file("", *number, path, COPIED_WITH_MEMORY)
                }
                PageFileFault::TooShort | PageFileFault::Failed => page_file("a whole copy of ", *number, path, ""),
            }),
            Self::PagedOut { .. } => Some("the PDB of this kernel".to_owned()),
            Self::FileOnly { file: Some(file), .. } => Some(format!("the file {file} of the machine's disk")),
            Self::NotInImage { .. } => Some("a whole image of the memory".to_owned()),
            Self::Damaged { .. } => Some("the image file copied again: this copy is damaged".to_owned()),
            _ => None,
        }
    }
}

/// What is said of a page file that was given and is not the right one.
const COPIED_WITH_MEMORY: &str = " of this machine, copied with its memory";

/// The option that gives a page file, and which.
fn page_file(before: &str, number: u32, path: &Option<Arc<str>>, behind: &str) -> String {
    let path = path.as_ref().map_or_else(String::new, |path| format!(", {path}"));
    let comma = if path.is_empty() || behind.is_empty() { "" } else { "," };
    format!("--pagefile FILE ({before}page file {number}{path}{comma}{behind})")
}

impl StoreFault {
    /// A part of the store could not be read, for this reason.
    pub(super) const fn of(what: &'static str, fault: &Fault) -> Self {
        match fault {
            Fault::PageFile { why: PageFileFault::NoSuchFile { .. }, .. } => {
                Self::Torn("a part of it is said to be in a page file that the machine does not have")
            }
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
                let level = level.name();
                write!(f, "{at} is paged out, and how this kernel writes where to is not known ({level} {entry:#x})")
            }
            Self::PageFile { at, number, offset, why: PageFileFault::NoEntry, .. } => write!(
                f,
                "{at} is behind a page table in page file {number} at {offset:#x}, and that of the one given has nothing for it: it may \
                 be of another time"
            ),
            Self::PageFile { at, number, offset, why, .. } => {
                write!(f, "{at} is in page file {number} at {offset:#x}, ")?;
                match why {
                    PageFileFault::NotGiven | PageFileFault::NoEntry => f.write_str("which was not given"),
                    PageFileFault::Foreign => f.write_str("and the one given is not this machine's"),
                    PageFileFault::NoSuchFile { files: 1 } => {
                        f.write_str("which the machine does not have (its only one is number 0): the entry is damaged, or was changed")
                    }
                    PageFileFault::NoSuchFile { files } => {
                        let last = files.saturating_sub(1);
                        write!(f, "which the machine does not have (its {files} are 0 to {last}): the entry is damaged, or was changed")
                    }
                    PageFileFault::NoTable => f.write_str(
                        "and what the one given has there is no page table: it is not this machine's, or of another time",
                    ),
                    PageFileFault::TooShort => f.write_str("and the one given ends before that"),
                    PageFileFault::Failed => f.write_str("and the one given could not be read there"),
                }
            }
            Self::Store { at, number, index, why, .. } => {
                write!(f, "{at} is page {index:#x} of the compressed store (page file {number}), ")?;
                match why {
                    StoreFault::NotFound(what) => write!(f, "which was not found: {what}"),
                    StoreFault::NotListed => f.write_str("which does not list it"),
                    StoreFault::Torn(what) => write!(f, "which is torn: {what}"),
                    StoreFault::Unreadable(what) => write!(f, "of which a part could not be read: {what}"),
                    StoreFault::InPageFile { what, number } => {
                        write!(f, "of which a part is in page file {number}: {what}")
                    }
                    StoreFault::NotUnpacked { number } => write!(
                        f,
                        "whose packed bytes are in page file {number}, and what the one given has there does not unpack: it is not this \
                         machine's, or of another time"
                    ),
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
            Self::NotInImage { at, needed, level: None } => write!(f, "{at}: its page {needed} {NOT_IN_IMAGE}"),
            Self::Damaged { at, needed, level } => {
                match level {
                    None => write!(f, "{at}: its page {needed}")?,
                    Some(level) => write!(f, "{at}: the page table with its {}, at {needed},", level.name())?,
                }
                f.write_str(" is in a block of the image file that does not unpack")
            }
            Self::NoNeighbour { at } => {
                write!(
                    f,
                    "{at} lies in the page behind the one where the object was met, and nothing tells where that is"
                )
            }
            Self::NotInImage { at, needed, level: Some(level) } => {
                write!(f, "{at}: the page table with its {}, at {needed}, {NOT_IN_IMAGE}", level.name())
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
