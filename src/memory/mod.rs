//! Virtual memory: page tables, address spaces, and why an address cannot be read.

mod fault;
mod paging;
mod scan;
mod space;
mod transition;

pub use fault::{EntryLevel, Fault};
pub use scan::scan_pages;
#[cfg(test)]
mod tests;

pub use space::{AddressSpace, MappedRegion};
pub(crate) use transition::transition_frames;
