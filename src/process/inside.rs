//! What is in one process: its address ranges, its threads, its handles, and who has handles to it.

use crate::kernel::{AlteredPage, CodeRun, Handle, Module, Thread, UncomparedPage, Vad, VadKind};
use crate::location::Location;
use crate::reading::record;
use crate::{Hex, ListEnd, PAGE_SIZE, VirtualAddress};
use std::collections::{BTreeMap, HashMap};

record! {
    /// What is in one process, and who has a hand in it.
    pub struct Inside {
        /// Address ranges, in rising order.
        vads: Vec<Vad>,
        /// How the walk over them ended.
        vads_end: ListEnd,
        /// Modules as the loader lists them (`PEB.Ldr`), in load order: what the process says of itself. Nothing: there is no list.
        loaded: Vec<Module>,
        /// `EPROCESS.VadCount`: ranges that the kernel counts. Nothing: this build does not count them so.
        vads_counted: u64,
        /// Pages that the process's own page tables make executable: outside image ranges all of them, inside those that can be
        /// written to as well. VADs tell how a range was made; tables, what the processor does.
        code: Vec<CodeRun>,
        /// All pages that are executable, in memory or out.
        code_pages: u64,
        /// Whether any page of the process may not be executed. False: the machine runs without the bit for it, or somebody
        /// cleared it everywhere.
        no_execute: bool,
        /// How the walk over the page tables ended: `broken` where one of them was not in memory.
        code_end: ListEnd,
        /// Executable pages of images, and the first page of each image, that hold other bytes than the same page of the same
        /// image elsewhere: in another process that was looked into, or in the section itself.
        altered: Vec<AlteredPage>,
        /// Such pages of which the process has a copy of its own, and which could not be compared.
        uncompared: Vec<UncomparedPage>,
        /// Whether all such pages were compared, or told.
        compared_end: ListEnd,
        /// Type of the object that `EPROCESS.Token` leads to, by the header in front of it: `Token`.
        token_type: String,
        /// True if a private range was made executable: code that came from no file. Unknown: none was found, and not all
        /// ranges could be read. Protection changed later, page by page, is in `code`.
        private_executable: bool,
        /// Threads: those of `EPROCESS.ThreadListHead` in list order, then those that only the scheduler's list, the table of ids
        /// or a search of memory has.
        threads: Vec<Thread>,
        /// How the walk over them ended: the worse of the two directions.
        threads_end: ListEnd,
        /// Handles to processes, threads, sections and ports, in rising order.
        handles: Vec<Handle>,
        /// All handles in the table.
        handle_count: u64,
        /// How the walk over them ended.
        handles_end: ListEnd,
        /// Handles to this process and to its threads that other processes have.
        held_by: Vec<Holder>,
        /// Whether all handle tables of all processes could be read, at the worst.
        held_by_end: ListEnd,
    }
}

record! {
    /// A handle to a process, or to one of its threads, in another process.
    pub struct Holder {
        /// The other process's id.
        pid: u64,
        /// Its image name.
        name: String,
        /// Address of its `_EPROCESS`.
        eprocess: VirtualAddress,
        /// The handle.
        value: u64,
        /// Granted access: `PROCESS_*` bits, to a thread `THREAD_*` (winnt.h).
        access: Hex,
        /// Id of the thread that it leads to. Nothing: to the process itself.
        thread: u64,
        /// Address of the `_HANDLE_TABLE_ENTRY`.
        entry: VirtualAddress,
        ;
        /// Where the members that rules cite were read, by member name.
        located: BTreeMap<String, Location>,
    }
}

impl Inside {
    /// The last address of each image, by its first: the longer of what its headers say and of what the loader's list says. A range can be
    /// made longer than its image by one field; the processor goes on behind it all the same. Images of which neither is known are left out.
    pub(crate) fn ends_of_images(&self) -> HashMap<VirtualAddress, VirtualAddress> {
        let mut listed: HashMap<VirtualAddress, u64> = HashMap::new();
        for module in self.loaded.value().into_iter().flatten() {
            if let (Some(base), Some(size)) = (module.base.value(), module.size.value()) {
                let known = listed.entry(*base).or_default();
                *known = u64::from(*size).max(*known);
            }
        }
        let end = |vad: &Vad| {
            let start = *vad.start.value().filter(|_| vad.kind.value() == Some(&VadKind::Image))?;
            let size = vad.image_size.value().max(listed.get(&start)).filter(|size| **size > 0)?;
            let bytes = size.checked_next_multiple_of(PAGE_SIZE)?;
            Some((start, start.checked_add(bytes)?.wrapping_sub(1)))
        };
        self.vads.value().into_iter().flatten().filter_map(end).collect()
    }
}
