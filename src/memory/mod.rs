//! Virtual memory: page tables, address spaces, and why an address cannot be read.

mod fault;
mod paging;
mod pattern;
mod scan;
mod space;
mod transition;

pub use fault::{EntryLevel, Fault};
pub use pattern::{Page, Word};
pub use scan::{Hit, Scan, ScanEnd, Scanner};
#[cfg(test)]
mod tests;

pub use space::{AddressSpace, MappedRegion};
pub(crate) use transition::transition_frames;
