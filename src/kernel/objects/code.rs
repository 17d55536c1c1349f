//! Code in user memory, by the page tables of its process.

use crate::reading::record;
use crate::{PhysicalAddress, VirtualAddress};

record! {
    /// Pages in a row that page tables make executable.
    pub struct CodeRun {
        /// First address.
        start: VirtualAddress,
        /// Last address.
        end: VirtualAddress,
        /// They can be written to as well.
        writable: bool,
        /// Where the first of them lies. Nothing: it is not in memory.
        physical: PhysicalAddress,
        /// Nothing else in their page table is as the process's ranges say: the table may be torn, and not this process's.
        alone: bool,
    }
}

record! {
    /// A page of an image that holds other bytes than the same page elsewhere.
    pub struct AlteredPage {
        /// Its address.
        at: VirtualAddress,
        /// Where it lies.
        physical: PhysicalAddress,
        /// Where the page lies that it was compared with.
        other: PhysicalAddress,
        /// The process that maps the other. Nothing: the section itself has it.
        pid: u64,
        /// `FILE_OBJECT.FileName` of the image.
        file: String,
        /// The first byte that differs, from the start of the page.
        offset: u64,
        /// How many bytes differ.
        bytes: u64,
        /// Code in it may run. False: the headers.
        executable: bool,
    }
}
