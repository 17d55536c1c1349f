//! What is in one process: its address ranges, its threads, its handles. Owned records.

use crate::reading::record;
use crate::{Hex, ListEnd, Timestamp, VirtualAddress};

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
    /// One range of a process's addresses.
    pub struct Vad {
        /// First address.
        start: VirtualAddress,
        /// Last address.
        end: VirtualAddress,
        /// `image`, `mapped` or `private`.
        kind: String,
        /// `_MMVAD_FLAGS.PrivateMemory`.
        private: bool,
        /// The protection it was made with: `PAGE_READWRITE`.
        protection: String,
        /// That protection allows execution.
        executable: bool,
        /// `CommitCharge`: pages.
        commit: u64,
        /// `FILE_OBJECT.FileName`, relative to the volume. Nothing: no file behind it.
        file: String,
        /// Address of the `_MMVAD_SHORT`.
        address: VirtualAddress,
    }
}

record! {
    /// One thread.
    pub struct Thread {
        /// `ETHREAD.Cid.UniqueThread`.
        tid: u64,
        /// `ETHREAD.Cid.UniqueProcess`.
        pid: u64,
        /// Address of the `_ETHREAD`.
        address: VirtualAddress,
        /// `ETHREAD.StartAddress`: where the kernel let it start.
        start: VirtualAddress,
        /// `ETHREAD.Win32StartAddress`: where its creator said that it starts. The thread itself can change it.
        win32_start: VirtualAddress,
        /// `ETHREAD.CreateTime`.
        created: Timestamp,
        /// `ETHREAD.ExitTime`. Nothing: it has not ended.
        exited: Timestamp,
        /// `KTHREAD.State`: `waiting`, `running`, `terminated` ...
        state: String,
        /// `CrossThreadFlags.Terminated`.
        terminated: bool,
        /// `CrossThreadFlags.BreakOnTermination`.
        critical: bool,
    }
}

record! {
    /// One handle.
    pub struct Handle {
        /// The handle.
        value: u64,
        /// Name of its object's type: `Process`.
        kind: String,
        /// Granted access (`ACCESS_MASK`).
        access: Hex,
        /// Address of the object.
        object: VirtualAddress,
        /// The object's name in its directory. Nothing: it has none.
        name: String,
        /// Process id of the process, or of the thread's process. Nothing: neither.
        pid: u64,
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
