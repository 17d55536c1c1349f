//! `_ETHREAD`.

use super::eprocess::time;
use crate::kernel::Eprocess;
use crate::kernel::view::{View, pointer};
use crate::kernel::walk::{Joined, list_both_ways};
use crate::reading::record;
use crate::symbols::Bits;
use crate::{Absent, Reading, Timestamp, VirtualAddress};

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

/// A process has fewer threads than this: each takes kernel memory that is never paged out.
const MAX_THREADS: usize = 1 << 16;

/// The threads in `EPROCESS.ThreadListHead`, walked both ways, with how the walks ended.
///
/// # Errors
/// The symbols lack `_ETHREAD` or the head.
pub fn threads(process: &Eprocess<'_>) -> Result<(Vec<Thread>, Joined), Absent> {
    let kernel = process.kernel();
    let layout = kernel.layouts().thread.as_ref()?;
    let head = process.layout().threads_head.ok_or_else(|| Absent::no_symbol("_EPROCESS.ThreadListHead"))?;
    let head = process.view().address_of(head);
    let joined = list_both_ways(kernel.space(), head, MAX_THREADS, VirtualAddress::is_kernel);
    let threads = joined.entries.iter().map(|entry| {
        let view = View::read(kernel.space(), entry.wrapping_sub(layout.links.offset), layout.size);
        let flag = |bits: Option<Bits>, name: &str| -> Result<bool, Absent> {
            Ok(view.bits(bits.ok_or_else(|| Absent::no_symbol(name))?)? != 0)
        };
        let terminated = flag(layout.terminated, "_ETHREAD.Terminated");
        Thread {
            tid: view.get(layout.tid).into(),
            pid: view.get(layout.pid).into(),
            address: Reading::Value(view.address()),
            start: pointer(view.get(layout.start)),
            win32_start: pointer(view.optional(layout.win32_start, "_ETHREAD.Win32StartAddress")),
            created: time(view.get(layout.created)),
            // Until a thread ends, links lie where its exit time will.
            exited: match &terminated {
                Ok(true) => time(view.get(layout.exited)),
                Ok(false) => Reading::Nothing,
                Err(absent) => Reading::Absent(absent.clone()),
            },
            state: view.optional(layout.state, "_KTHREAD.State").map(state).into(),
            terminated: terminated.into(),
            critical: flag(layout.critical, "_ETHREAD.BreakOnTermination").into(),
        }
    });
    Ok((threads.collect(), joined))
}

/// `_KTHREAD_STATE`.
fn state(state: u8) -> String {
    const NAMES: [&str; 10] = [
        "initialized",
        "ready",
        "running",
        "standby",
        "terminated",
        "waiting",
        "transition",
        "deferred_ready",
        "gate_wait",
        "waiting_for_process_in_swap",
    ];
    NAMES.get(usize::from(state)).map_or_else(|| format!("unknown ({state})"), |name| (*name).to_owned())
}
