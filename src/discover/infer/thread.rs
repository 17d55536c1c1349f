//! `_ETHREAD`, by the lists of threads that hang on processes.

use super::ground::{Ground, is_user};
use super::judge::{Judgement, Tally};
use super::place::{Neighbours, Placer, Report};
use super::scene::{Sample, Scene};
use crate::VirtualAddress;
use crate::kernel::view::View;
use crate::kernel::walk::{Direction, WalkEnd, list};
use crate::symbols::{Stored, TypeInfo};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes before and behind a thread's links that are looked at. In the largest known `_ETHREAD` they lie at 0x6b8 of 0x898.
const BEFORE: u64 = 0x900;
const BEHIND: u64 = 0x200;
/// Threads that are looked at: so many of so many processes.
const THREADS: usize = 4;
const PROCESSES: usize = 12;
/// A list of threads is counted up to here.
pub(super) const MAX_THREADS: u32 = 1 << 12;
/// Pid of System on every version.
const SYSTEM: u64 = 4;
/// `ThreadObject` of `_KOBJECTS`.
const THREAD_OBJECT: u8 = 6;

/// One thread's bytes around its links.
#[derive(Clone, Debug)]
struct Around<'m> {
    /// Id of its process.
    owner: u64,
    /// When its process was created.
    since: Option<u64>,
    /// Address of the links.
    links: VirtualAddress,
    view: View<'m>,
}

impl Around<'_> {
    /// The value at `offset` of a thread whose links lie at `links` in it.
    fn get<T: Stored>(&self, links: u64, offset: u64) -> Option<T> {
        let from = BEFORE.checked_sub(links)?.checked_add(offset)?;
        T::decode(self.view.bytes(from, T::SIZE?).ok()?)
    }
}

/// Where two things lie in a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// `ThreadListEntry`.
    pub links: u64,
    /// `Cid`.
    pub cid: u64,
}

/// Length of a list of threads. `None`: it is not whole.
pub(super) fn count(scene: &Scene<'_>, of: &Sample<'_>, head: u64) -> Option<usize> {
    let head = of.at.wrapping_add(head);
    let most = usize::try_from(MAX_THREADS).unwrap_or(usize::MAX);
    let (entries, end) = list(scene.space, head, Direction::Forward, most, VirtualAddress::is_kernel);
    (end == WalkEnd::Complete).then_some(entries.len())
}

/// Some threads in the lists whose heads lie at `head`. Empty: those are no heads.
fn around<'m>(ground: Ground<'_, 'm>, head: u64) -> Vec<Around<'m>> {
    let space = ground.scene.space;
    let mut threads = Vec::new();
    let mut processes = 0usize;
    for sample in ground.samples() {
        let own = sample.at.wrapping_add(head);
        let Some(first) = sample.get::<VirtualAddress>(head).filter(|first| *first != own && first.is_kernel()) else {
            continue;
        };
        if space.read_pointer(first.wrapping_add(8)) != Ok(own) {
            continue;
        }
        let (entries, _) = list(space, own, Direction::Forward, THREADS, VirtualAddress::is_kernel);
        threads.extend(entries.into_iter().map(|links| Around {
            owner: sample.pid,
            since: ground.known.created.and_then(|at| sample.get(at)),
            links,
            view: View::read(space, links.wrapping_sub(BEFORE), BEFORE.saturating_add(BEHIND)),
        }));
        processes = processes.saturating_add(1);
        if processes >= PROCESSES {
            break;
        }
    }
    threads
}

/// How far in front of their links threads have their ids, by those of their processes. `None`: nowhere, or in several places.
fn distance(threads: &[Around<'_>]) -> Option<u64> {
    let owners: BTreeSet<u64> = threads.iter().map(|thread| thread.owner).collect();
    let is_cid = |distance: &u64| {
        let mut tids = BTreeSet::new();
        let tally = Tally::of(threads.iter().map(|thread| {
            let pid = thread.get::<u64>(*distance, 0)?;
            let tid = thread.get::<u64>(*distance, 8)?;
            let is_id = tid != 0 && tid.is_multiple_of(4) && tid <= u64::from(u32::MAX) && tids.insert(tid);
            Some(pid == thread.owner && is_id)
        }));
        owners.len() >= 2 && tally.yes >= 3 && tally.share(90)
    };
    let places: Vec<u64> = (0x10..BEFORE).step_by(8).filter(is_cid).collect();
    if let [distance] = places[..] { Some(distance) } else { None }
}

/// Whether the links lie so far behind the start of threads: there the dispatcher header says that it is one's.
fn starts(threads: &[Around<'_>], links: u64) -> bool {
    let is_thread = |thread: &Around<'_>| Some(thread.get::<u8>(links, 0)? & 0x7f == THREAD_OBJECT);
    let tally = Tally::of(threads.iter().map(is_thread));
    tally.yes >= 3 && tally.share(90)
}

/// Finds the start of threads by the dispatcher header that nobody waits for.
fn by_header(threads: &[Around<'_>]) -> Option<u64> {
    let mut starts: BTreeMap<u64, usize> = BTreeMap::new();
    for thread in threads {
        for links in (0x100..BEFORE).step_by(8) {
            let waiters = thread.links.wrapping_sub(links).wrapping_add(8).0;
            let empty = thread.get::<u64>(links, 8) == Some(waiters) && thread.get::<u64>(links, 16) == Some(waiters);
            if empty && thread.get::<u8>(links, 0).is_some_and(|kind| kind & 0x7f == THREAD_OBJECT) {
                let count = starts.entry(links).or_default();
                *count = usize::saturating_add(*count, 1);
            }
        }
    }
    let (links, seen) = starts.into_iter().max_by_key(|(_, seen)| *seen)?;
    // A third may have somebody who waits for their end.
    (seen.saturating_mul(3) >= threads.len()).then_some(links)
}

/// Where links and ids lie in a thread. Where the heads of those who wait say nothing (they are null in threads that are not
/// quite made yet, or were wiped), the only one of the `known` places of the links that fits.
fn shape(threads: &[Around<'_>], known: &BTreeSet<u64>) -> Option<Shape> {
    let distance = distance(threads)?;
    let links = by_header(threads).or_else(|| {
        let mut fitting = known.iter().copied().filter(|links| starts(threads, *links));
        fitting.next().filter(|_| fitting.next().is_none())
    })?;
    Some(Shape { links, cid: links.checked_sub(distance)? })
}

/// `ThreadListHead`. The kernel's part of a thread has links of its own, in front of the id; these are the others.
pub(super) fn head(ground: Ground<'_, '_>, at: u64) -> Judgement {
    distance(&around(ground, at)).is_some().into()
}

/// Whether `_ETHREAD` is what this candidate says.
pub(super) fn judge(ground: Ground<'_, '_>, layout: &crate::kernel::layouts::EthreadLayout) -> Judgement {
    let Some(head) = ground.known.threads_head else { return Judgement::Silent };
    let threads = around(ground, head);
    let Some(distance) = distance(&threads) else { return Judgement::Silent };
    let links = layout.links.offset;
    let same = links.checked_sub(layout.pid.offset) == Some(distance)
        && layout.tid.offset == layout.pid.offset.saturating_add(8)
        && by_header(&threads).map_or_else(|| starts(&threads, links), |own| own == links);
    (same && created(ground, &threads, links, layout.created.offset)).into()
}

/// Whether the times of creation lie at `offset`: not before that of the process. System's first threads are older than System
/// is said to be, by seconds or minutes: they say nothing.
fn created(ground: Ground<'_, '_>, threads: &[Around<'_>], links: u64, offset: u64) -> bool {
    let fits = |thread: &Around<'_>| {
        let time = thread.get::<u64>(links, offset).filter(|_| thread.owner != SYSTEM)?;
        Some(ground.scene.is_past(time) && thread.since.is_none_or(|since| since <= time))
    };
    let tally = Tally::of(threads.iter().map(fits));
    tally.yes >= 3 && tally.share(85)
}

/// Puts the fields of `_ETHREAD`. `None`: no list of threads says where its links are.
pub(super) fn infer(ground: Ground<'_, '_>, neighbours: &Neighbours<'_>) -> Option<(Report, TypeInfo)> {
    let threads = around(ground, ground.known.threads_head?);
    let places = neighbours.all().iter();
    let known =
        places.filter_map(|other| Some(other.symbols.field("_ETHREAD", "ThreadListEntry").ok()?.offset)).collect();
    let Shape { links, cid } = shape(&threads, &known)?;
    let mut placer = Placer::new("_ETHREAD", neighbours);
    placer.prove(&["ThreadListEntry"], 16, &[links]);
    placer.prove(&["Cid.UniqueProcess"], 8, &[cid]);
    placer.prove(&["Cid.UniqueThread"], 8, &[cid.checked_add(8)?]);
    let created: Vec<u64> =
        (0x100..links).step_by(8).filter(|offset| self::created(ground, &threads, links, *offset)).collect();
    placer.prove(&["CreateTime"], 8, &created);
    // Tcb.Process, and again in Tcb.ApcState.
    let process = |offset: &u64| {
        let fits = |thread: &Around<'_>| {
            let owner = ground.samples().find(|sample| sample.pid == thread.owner)?;
            Some(thread.get::<u64>(links, *offset)? == owner.at.0)
        };
        Tally::of(threads.iter().map(fits)).judge(3, 90) == Judgement::Held
    };
    let process: Vec<u64> = (0x20..links).step_by(8).filter(process).collect();
    placer.prove(&["Tcb.Process"], 8, &process);
    // CrossThreadFlags: ThreadInserted and not Terminated.
    let flags = |offset: &u64| {
        let fits = |thread: &Around<'_>| {
            let flags = thread.get::<u32>(links, *offset)?;
            Some(flags & 3 == 2 && flags >> 28 == 0)
        };
        Tally::of(threads.iter().map(fits)).judge(3, 85) == Judgement::Held
    };
    let behind = links.saturating_add(16)..links.saturating_add(0x80);
    let flags: Vec<u64> = behind.step_by(4).filter(flags).collect();
    placer.prove(&["Terminated"], 4, &flags);
    let beside = placer.beside(&["BreakOnTermination"], "Terminated", 0);
    placer.place("BreakOnTermination", beside, |_| true);
    let beside = placer.beside(&["ExitTime"], "CreateTime", 8);
    placer.place("ExitTime", beside, |_| true);
    let address = |offset: u64| {
        let fits = |thread: &Around<'_>| {
            let at = thread.get::<VirtualAddress>(links, offset)?;
            Some(if thread.owner == 4 { at.is_kernel() } else { at.is_kernel() || is_user(at) || at.is_null() })
        };
        Tally::of(threads.iter().map(fits)).share(90)
    };
    for path in [&["StartAddress"][..], &["Win32StartAddress"]] {
        let first = path.first().copied().unwrap_or_default();
        let between = placer.between(path);
        placer.place(first, between, |info| address(info.offset));
    }
    let state = |offset: u64| {
        let fits = |thread: &Around<'_>| Some(thread.get::<u8>(links, offset)? <= 9);
        let waits = |thread: &Around<'_>| Some(thread.get::<u8>(links, offset)? == 5);
        let waits = Tally::of(threads.iter().map(waits));
        Tally::of(threads.iter().map(fits)).share(95) && waits.share(50)
    };
    let steady = placer.steady(&["Tcb.State"]);
    placer.place("Tcb.State", steady, |info| state(info.offset));
    Some(placer.finish())
}
