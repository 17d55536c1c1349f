//! Code in user memory, by the page tables of its process.

use crate::location::Location;
use crate::reading::record;
use crate::{Hex, Origin, PhysicalAddress, VirtualAddress};
use std::collections::BTreeMap;

record! {
    /// Pages in a row that page tables make executable.
    pub struct CodeRun {
        /// First address.
        start: VirtualAddress,
        /// Last address.
        end: VirtualAddress,
        /// They can be written to as well.
        writable: bool,
        /// They lie in an image, and no section of it that has code covers them, by its headers. Where these cannot be read, false.
        outside_sections: bool,
        /// They are in the table alone that user mode runs on (KVA shadow), and the kernel's table of the process has nothing or something
        /// else there.
        user_mode_only: bool,
        /// Where the first of them lies. Nothing: it is not in memory.
        physical: PhysicalAddress,
        /// Pages of their page table that are as the process's ranges say, less those that are not: where most are not, it may be
        /// another's table, and this one torn.
        fit: i64,
        /// Of the pages of their page table that can be written to and executed, those that hold entries of page tables: no process
        /// maps such pages. Where they are most, an upper table stands in the place of this one.
        tables: u64,
        /// Whether the entries and most of their page table are such as page tables of user memory have, and the image holds the first of
        /// the pages, or it is not in memory: a page of another kind in the place of a table maps what its bytes happen to say.
        plausible: bool,
        /// Whether any page of an image in the same page table is what the image's section, or another process, has there: then it is
        /// this process's table. Not collected where none of them could be compared.
        own_table: bool,
        /// The entry of the page table that maps the first of them.
        entry: Hex,
        ;
        /// Where `entry` lies, and the page that it maps.
        located: BTreeMap<String, Location>,
    }
}

record! {
    /// A page of an image that holds other bytes than the same page elsewhere.
    pub struct AlteredPage {
        /// Its address.
        at: VirtualAddress,
        /// Where it lies. Nothing: it is not in memory; `located` says what supplied it.
        physical: PhysicalAddress,
        /// Where the page lies that it was compared with. Nothing: it is not in memory.
        other: PhysicalAddress,
        /// The process that maps the other. Nothing: the section itself has it.
        pid: u64,
        /// `FILE_OBJECT.FileName` of the image.
        file: String,
        /// The first byte that differs, from the start of the page.
        offset: u64,
        /// How many bytes differ.
        bytes: u64,
        /// What stands there from the first on, 16 bytes at most, in hexadecimal digits.
        here: String,
        /// What stands in its place in the other page.
        there: String,
        /// Code in it may run. False: the headers.
        executable: bool,
        /// Nothing is left of the other page: more than half of its bytes that are not zero are others. A patch leaves most of a page.
        replaced: bool,
        ;
        /// Where `here` lies, and the entry of the page table that leads there.
        located: BTreeMap<String, Location>,
    }
}

record! {
    /// A page of an image of which a process has a copy of its own that could not be compared with what the image has there.
    pub struct UncomparedPage {
        /// Its address.
        at: VirtualAddress,
        /// `FILE_OBJECT.FileName` of the image.
        file: String,
        /// Code in it may run. False: the headers.
        executable: bool,
        /// The page table alone says that the page is the process's own: a shared one has its place in the section's entry.
        own: bool,
        /// What supplied it. Absent: why nothing did.
        here: Origin,
        /// What supplied the page that it would be compared with. Absent: why nothing did.
        there: Origin,
        ;
        /// Where the entry of the page table lies.
        located: BTreeMap<String, Location>,
    }
}
