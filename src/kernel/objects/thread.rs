//! `_ETHREAD`.

use super::eprocess::time;
use crate::kernel::Eprocess;
use crate::kernel::layouts::EthreadLayout;
use crate::kernel::view::{View, pointer};
use crate::kernel::walk::{Joined, list_both_ways};
use crate::location::Location;
use crate::reading::record;
use crate::symbols::Bits;
use crate::words::words;
use crate::{Absent, Reading, Timestamp, VirtualAddress};
use std::collections::{BTreeMap, BTreeSet, HashSet};

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
        /// It is in `EPROCESS.ThreadListHead`.
        in_process_list: bool,
        /// It is in `KPROCESS.ThreadListHead`, the scheduler's list.
        in_kernel_list: bool,
        /// It is in `PspCidTable`, the table of ids.
        in_cid_table: bool,
        ;
        /// Where the members that rules cite were read, by member name.
        located: BTreeMap<String, Location>,
    }
}

impl Thread {
    /// Where it lies, and where one member of it, if that is told.
    pub(crate) fn at(&self, member: &str) -> (&Reading<VirtualAddress>, Option<&Location>) {
        (&self.address, self.located.get(member))
    }

    /// Whether it has ended: by its state, which the scheduler goes by, and by `CrossThreadFlags.Terminated` where the state is not
    /// known. That flag is set when a thread is told to end, and a word of memory later anybody can set it. `None`: neither is known.
    #[must_use]
    pub fn has_ended(&self) -> Option<bool> {
        let by_state = self.state.value().map(|state| *state == ThreadState::Terminated);
        by_state.or(self.terminated.value().copied())
    }
}

/// Threads of one process that other places than its lists have.
#[derive(Clone, Debug, Default)]
pub struct OtherThreads {
    /// Those of `PspCidTable`. `None`: it could not be read.
    pub numbered: Option<Vec<VirtualAddress>>,
    /// Those of them that have another id than the one that leads to them.
    pub misnumbered: Vec<VirtualAddress>,
    /// Those that a search of memory found.
    pub scanned: Vec<VirtualAddress>,
}

/// A process has fewer threads than this: each takes kernel memory that is never paged out.
const MAX_THREADS: usize = 1 << 16;

/// The threads in `EPROCESS.ThreadListHead`, walked both ways, with how the walks ended; and behind them those that only
/// `KPROCESS.ThreadListHead` has, or `others`.
///
/// # Errors
/// The symbols lack `_ETHREAD` or the head.
pub fn threads(process: &Eprocess<'_>, others: &OtherThreads) -> Result<(Vec<Thread>, Joined), Absent> {
    threads_up_to(process, others, MAX_THREADS)
}

/// The same, each way not more than `cap`.
///
/// # Errors
/// As [`threads`].
pub(crate) fn threads_up_to(
    process: &Eprocess<'_>,
    others: &OtherThreads,
    cap: usize,
) -> Result<(Vec<Thread>, Joined), Absent> {
    let cap = cap.min(MAX_THREADS);
    let kernel = process.kernel();
    let layout = kernel.layouts().thread.as_ref()?;
    let head = process.layout().threads_head.ok_or_else(|| Absent::no_symbol("_EPROCESS.ThreadListHead"))?;
    let head = process.view().address_of(head);
    let joined = list_both_ways(kernel.space(), head, cap, VirtualAddress::is_kernel);
    let of_scheduler = kernel_list(process, cap);
    let listed: Vec<VirtualAddress> =
        joined.entries.iter().map(|entry| entry.wrapping_sub(layout.links.offset)).collect();
    let in_list: HashSet<VirtualAddress> = listed.iter().copied().collect();
    let numbered: Option<HashSet<VirtualAddress>> =
        others.numbered.as_ref().map(|numbered| numbered.iter().copied().collect());
    let elsewhere: BTreeSet<VirtualAddress> = of_scheduler
        .iter()
        .flatten()
        .chain(numbered.iter().flatten())
        .chain(&others.scanned)
        .copied()
        .filter(|thread| !in_list.contains(thread))
        .collect();
    let threads = listed.into_iter().chain(elsewhere).take(cap).map(|address| {
        let view = View::read(kernel.space(), address, layout.size);
        let flag = |bits: Option<Bits>, name: &str| -> Result<bool, Absent> {
            Ok(view.bits(bits.ok_or_else(|| Absent::no_symbol(name))?)? != 0)
        };
        let terminated = flag(layout.terminated, "_ETHREAD.Terminated");
        // What was copied from another page says so, and whose it is nobody can tell.
        let astray = layout.wait_list.and_then(|head| view.elsewhere(head.offset)).map(|home| {
            Absent::unparsable(format!(
                "the thread at {address} says that it lies at {home}: another page is in its place"
            ))
        });
        let here = || astray.clone().map_or(Ok(()), Err);
        Thread {
            tid: view.get(layout.tid).into(),
            pid: here().and_then(|()| view.get(layout.pid)).into(),
            address: Reading::Value(view.address()),
            owner: pointer(here().and_then(|()| view.optional(layout.process, "_KTHREAD.Process"))),
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
            in_process_list: Reading::Value(in_list.contains(&address)),
            in_kernel_list: of_scheduler.as_ref().map(|list| list.contains(&address)).map_err(Clone::clone).into(),
            in_cid_table: match &numbered {
                Some(_) if others.misnumbered.contains(&address) => {
                    Reading::Absent(Absent::unparsable("an id that is not its own leads to it in PspCidTable"))
                }
                Some(numbered) => Reading::Value(numbered.contains(&address)),
                None => Reading::Absent(Absent::unreadable("PspCidTable could not be read")),
            },
            located: located(&view, layout, process),
        }
    });
    Ok((threads.collect(), joined))
}

/// Where the fields lie that rules cite.
fn located(view: &View<'_>, layout: &EthreadLayout, process: &Eprocess<'_>) -> BTreeMap<String, Location> {
    // Few threads of a process name another one.
    let belongs = layout.process.is_some_and(|field| view.get(field) == Ok(process.address()));
    let names_another = belongs && view.get(layout.pid) != process.pid();
    let places = [
        ("pid", names_another.then(|| view.locate(layout.pid))),
        ("start", Some(view.locate(layout.start))),
        ("win32_start", layout.win32_start.map(|field| view.locate(field))),
        ("created", Some(view.locate(layout.created))),
        ("in_process_list", Some(view.locate(layout.links))),
    ];
    places.into_iter().filter_map(|(name, place)| Some((name.to_owned(), place?))).collect()
}

/// The threads in `KPROCESS.ThreadListHead`.
fn kernel_list(process: &Eprocess<'_>, cap: usize) -> Result<HashSet<VirtualAddress>, Absent> {
    let kernel = process.kernel();
    let layout = kernel.layouts().thread.as_ref()?;
    let links = layout.kernel_links.ok_or_else(|| Absent::no_symbol("_KTHREAD.ThreadListEntry"))?;
    let head = process.layout().kernel_threads_head.ok_or_else(|| Absent::no_symbol("_KPROCESS.ThreadListHead"))?;
    let head = process.view().address_of(head);
    let joined = list_both_ways(kernel.space(), head, cap, VirtualAddress::is_kernel);
    Ok(joined.entries.into_iter().map(|entry| entry.wrapping_sub(links.offset)).collect())
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
