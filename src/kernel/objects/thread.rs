//! `_ETHREAD`.

use super::eprocess::time;
use crate::kernel::Eprocess;
use crate::kernel::view::{View, pointer};
use crate::kernel::walk::{Joined, list_both_ways};
use crate::reading::record;
use crate::symbols::Bits;
use crate::words::words;
use crate::{Absent, Reading, Timestamp, VirtualAddress};

words! {
    /// What a thread is doing: `_KTHREAD_STATE`.
    pub enum ThreadState {
        /// It was made, and has not run.
        Initialized = "initialized",
        /// It waits for a processor.
        Ready = "ready",
        /// It runs.
        Running = "running",
        /// It runs next.
        Standby = "standby",
        /// It has ended.
        Terminated = "terminated",
        /// It waits for something.
        Waiting = "waiting",
        /// It is ready, and its kernel stack is paged out.
        Transition = "transition",
        /// It is ready, and no processor was chosen yet.
        DeferredReady = "deferred_ready",
        /// It waits for a gate.
        GateWait = "gate_wait",
        /// Its process is being brought back into memory.
        WaitingForProcessInSwap = "waiting_for_process_in_swap",
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
        /// `KTHREAD.Process`: the process that it belongs to.
        owner: VirtualAddress,
        /// `ETHREAD.StartAddress`: where the kernel let it start.
        start: VirtualAddress,
        /// `ETHREAD.Win32StartAddress`: where its creator said that it starts. The thread itself can change it.
        win32_start: VirtualAddress,
        /// `ETHREAD.CreateTime`.
        created: Timestamp,
        /// `ETHREAD.ExitTime`. Nothing: it has not ended.
        exited: Timestamp,
        /// `KTHREAD.State`.
        state: ThreadState,
        /// `CrossThreadFlags.Terminated`.
        terminated: bool,
        /// `CrossThreadFlags.BreakOnTermination`.
        critical: bool,
    }
}

impl Thread {
    /// Whether it has ended: by its state, which the scheduler goes by, and by `CrossThreadFlags.Terminated` where the state is not
    /// known. That flag is set when a thread is told to end, and a word of memory later anybody can set it. `None`: neither is known.
    #[must_use]
    pub fn has_ended(&self) -> Option<bool> {
        let by_state = self.state.value().map(|state| *state == ThreadState::Terminated);
        by_state.or(self.terminated.value().copied())
    }
}

/// A process has fewer threads than this: each takes kernel memory that is never paged out.
const MAX_THREADS: usize = 1 << 16;

/// The threads in `EPROCESS.ThreadListHead`, walked both ways, with how the walks ended.
///
/// # Errors
/// The symbols lack `_ETHREAD` or the head.
pub fn threads(process: &Eprocess<'_>) -> Result<(Vec<Thread>, Joined), Absent> {
    threads_up_to(process, MAX_THREADS)
}

/// The same, each way not more than `cap`.
///
/// # Errors
/// As [`threads`].
pub(crate) fn threads_up_to(process: &Eprocess<'_>, cap: usize) -> Result<(Vec<Thread>, Joined), Absent> {
    let kernel = process.kernel();
    let layout = kernel.layouts().thread.as_ref()?;
    let head = process.layout().threads_head.ok_or_else(|| Absent::no_symbol("_EPROCESS.ThreadListHead"))?;
    let head = process.view().address_of(head);
    let joined = list_both_ways(kernel.space(), head, cap.min(MAX_THREADS), VirtualAddress::is_kernel);
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
            owner: pointer(view.optional(layout.process, "_KTHREAD.Process")),
            start: pointer(view.get(layout.start)),
            win32_start: pointer(view.optional(layout.win32_start, "_ETHREAD.Win32StartAddress")),
            created: time(view.get(layout.created)),
            // Until a thread ends, links lie where its exit time will.
            exited: match &terminated {
                Ok(true) => time(view.get(layout.exited)),
                Ok(false) => Reading::Nothing,
                Err(absent) => Reading::Absent(absent.clone()),
            },
            state: view.optional(layout.state, "_KTHREAD.State").and_then(state).into(),
            terminated: terminated.into(),
            critical: flag(layout.critical, "_ETHREAD.BreakOnTermination").into(),
        }
    });
    Ok((threads.collect(), joined))
}

/// `_KTHREAD_STATE`, in its order.
const STATES: [ThreadState; 10] = [
    ThreadState::Initialized,
    ThreadState::Ready,
    ThreadState::Running,
    ThreadState::Standby,
    ThreadState::Terminated,
    ThreadState::Waiting,
    ThreadState::Transition,
    ThreadState::DeferredReady,
    ThreadState::GateWait,
    ThreadState::WaitingForProcessInSwap,
];

fn state(state: u8) -> Result<ThreadState, Absent> {
    let known = STATES.get(usize::from(state)).copied();
    known.ok_or_else(|| Absent::unparsable(format!("_KTHREAD.State is {state}, which no build has")))
}
