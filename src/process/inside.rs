//! What is in one process: its address ranges, its threads, its handles, and who has handles to it.

use crate::kernel::{Handle, Thread, Vad};
use crate::reading::record;
use crate::{Hex, ListEnd, VirtualAddress};

record! {
    /// What is in one process, and who has a hand in it.
    pub struct Inside {
        /// Address ranges, in rising order.
        vads: Vec<Vad>,
        /// How the walk over them ended.
        vads_end: ListEnd,
        /// True if a private range was made executable: code that came from no file. Unknown: none was found, and not all
        /// ranges could be read. Protection changed later, page by page, is not seen.
        private_executable: bool,
        /// Threads, in list order.
        threads: Vec<Thread>,
        /// How the walk over them ended: the worse of the two directions.
        threads_end: ListEnd,
        /// Handles to processes, threads, sections and ports, in rising order.
        handles: Vec<Handle>,
        /// All handles in the table.
        handle_count: u64,
        /// How the walk over them ended.
        handles_end: ListEnd,
        /// Handles to this process that other processes have.
        held_by: Vec<Holder>,
        /// Whether all handle tables of all processes could be read, at the worst.
        held_by_end: ListEnd,
    }
}

record! {
    /// A handle to a process, in another process.
    pub struct Holder {
        /// The other process's id.
        pid: u64,
        /// Its image name.
        name: String,
        /// Address of its `_EPROCESS`.
        eprocess: VirtualAddress,
        /// The handle.
        value: u64,
        /// Granted access: `PROCESS_*` bits (winnt.h).
        access: Hex,
    }
}
