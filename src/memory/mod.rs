//! Virtual memory: page tables, address spaces, where a page is, and why an address cannot be read.

pub(crate) mod absent;
mod arch;
mod away;
mod fault;
mod layouts;
mod pattern;
mod record;
mod resolve;
mod scan;
mod space;
mod supplied_table;
#[cfg(test)]
mod tests;
mod traces;
mod user_pages;
mod windows_pte;

pub use absent::PageFile;
pub use arch::{AMD64, Architecture, LA57};
pub(crate) use away::AwayPages;
pub use fault::{EntryLevel, Fault, PageFileFault, PrototypeFault, StoreFault};
pub use layouts::{
    ControlAreaLayout, MappedVadLayout, PagingFileLayout, PartitionLayout, SoftwarePteLayout, SubsectionLayout,
    VadLayout, VisiblePartitionLayout,
};
pub use pattern::{Page, Word};
pub use record::MAX_READ;

pub use resolve::Where;
pub use scan::{Hit, Scan, ScanEnd, Scanner};
pub use space::{AddressSpace, MappedRegion};
pub(crate) use traces::traces;
pub(crate) use user_pages::{Spot, UserPage};
pub(crate) use windows_pte::{MASK_BITS, PageFileBits, Shown, Trace, WindowsPte, traces_of_table};
