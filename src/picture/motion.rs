//! Whether the machine ran on while its memory was copied, and from when to when that took. It is concluded from many objects, and of
//! a process that is judged never from its own: whoever writes its fields cannot have it excused.

use super::Picture;
use crate::kernel::Links;
use crate::process::{Liveness, NO_PROCESS, Source, Unread};
use crate::reading::NOT_IN_IMAGE;
use crate::warning::{COPY_AGAIN, PARTS_MISSING};
use crate::{Absent, ListEnd, Process, ProcessList, Ticks, Timestamp, VirtualAddress};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What tells that parts of the image are from different times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SignKind {
    /// A process was made or has ended, or a thread was made, later than `KUSER_SHARED_DATA.SystemTime` says that it is.
    LaterStamp,
    /// A process is over, and a thread or a handle table that leads to it is not; or its memory was given back, and the active list
    /// still leads to it.
    OverAndHeld,
    /// A process of the active list is younger than another source, which was read to its end and does not have it.
    NotYetThere,
    /// One of the two walks along the active list comes to a process, and the other, which is whole too, does not.
    OneWay,
    /// A process has more or fewer threads than the table of ids, which was read to its end, has of them.
    ThreadsDiffer,
    /// A process that says that it runs is not in the active list, and neither it nor a thread of it is in the table of ids; other sources
    /// have it.
    GoneAndHeld,
    /// A process that says that it runs is not in the active list, the table of ids has it, and no thread of it is anywhere.
    ThreadsGone,
    /// Several sources lead to where no process is any more, or not yet, and the active list, which is whole, passes it by.
    UnlistedUnread,
    /// One of the two walks along a list beside the active one comes to a process, and the other, which is whole too, does not.
    OneWayElsewhere,
    /// Sources lead to a process whose memory was given back.
    FreedAndHeld,
    /// Sources lead to where no process is any more, or not yet.
    Unread,
    /// A sign that this version does not know.
    #[serde(other)]
    Other,
}

/// One object that is from another time than the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sign {
    /// What tells it.
    pub kind: SignKind,
    /// Id of the process.
    pub pid: Option<u64>,
    /// Its `_EPROCESS`.
    pub eprocess: Option<VirtualAddress>,
    /// When what it shows happened, if that is known.
    pub at: Option<Timestamp>,
}

/// From when to when the image was taken, and what tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Motion {
    /// The earliest time that a part of the image is known to be from. `None`: no clock was read.
    pub from: Option<Timestamp>,
    /// The latest. The same as `from` where nothing shows that it was not taken at once.
    pub to: Option<Timestamp>,
    /// The objects that show it, in the order of the list.
    pub signs: Vec<Sign>,
}

/// So long the copying of a large memory may take. What is dated longer than that from the image's own time does not tell the truth.
pub(super) const ACQUISITION: Ticks = Ticks::seconds(3600);
/// Stamps and the shared page's time are not of one clock tick.
const TICK: Ticks = Ticks::seconds(1);
/// Objects, beside the one that is judged, that must agree before what is dated between them counts as dated.
const MIN_DATED: usize = 2;
/// What the signs must weigh together.
const MIN_WEIGHT: usize = 2;
/// Signs that are kept. They are there to be shown; a hostile list could have one for each of a million rows.
const MAX_SIGNS: usize = 1 << 12;
/// Processes without which Windows does not run. None of them comes or goes while an image is taken, but with its session.
const CORE: [&str; 8] =
    ["smss.exe", "csrss.exe", "wininit.exe", "winlogon.exe", "services.exe", "lsass.exe", "lsm.exe", "System"];

impl Motion {
    pub(super) fn of(picture: &Picture<'_>) -> Self {
        let system = picture.system();
        let captured = system.machine.captured.value().copied();
        let list = &system.processes;
        let whole = list.end == Some(ListEnd::Complete);
        let stepped = picture.clock_step().is_some();
        // What lies in a damaged block of the file, or behind its end, is missed elsewhere, and no sign: what was read is one, what is
        // not there is none.
        let is_part = |text: &str| [COPY_AGAIN, PARTS_MISSING].iter().any(|said| text.contains(said));
        let damaged = system.warnings.iter().any(|warning| is_part(&warning.message));
        let complete = |source: Source| {
            list.views.iter().any(|view| view.source == source && view.end.value() == Some(&ListEnd::Complete))
        };
        let of_process = |process: &Process| {
            // After the clock was set back stamps are later than the time of day.
            let later = captured.filter(|_| !stepped).and_then(|captured| later_stamp(process, captured));
            let near = |at: &Timestamp| captured.is_some_and(|captured| captured.since(*at).abs() <= ACQUISITION);
            let sign = |kind, at| Some((kind, at));
            if let Some(at) = later {
                return sign(SignKind::LaterStamp, Some(at));
            }
            let ended = process.exited.value().copied().filter(near);
            let held = |source| process.sources.contains(&source);
            let listed = held(Source::ActiveList);
            let led_to = held(Source::Threads) || held(Source::HandleTables);
            if ended.is_some() && led_to || listed && process.freed.value() == Some(&true) {
                return sign(SignKind::OverAndHeld, ended);
            }
            let one_way = matches!(process.active_links.value(), Some(Links::ForwardOnly | Links::BackwardOnly));
            if whole && listed && one_way {
                return sign(SignKind::OneWay, ended.or(process.started().filter(near)));
            }
            let due = [Source::CidTable, Source::Threads, Source::HandleTables];
            let lacks =
                !damaged && due.into_iter().any(|source| complete(source) && source.is_due(process) && !held(source));
            if process.freed.value() == Some(&true) && !process.is_known_by_object_alone() {
                return sign(SignKind::FreedAndHeld, ended);
            }
            let live = listed && !one_way && process.liveness() == Liveness::Live;
            if let Some(born) = process.started().filter(near).filter(|_| live && lacks) {
                return sign(SignKind::NotYetThere, Some(born));
            }
            let counts = process.threads.value().zip(process.numbered_threads.value());
            let numbered = live || held(Source::CidTable) && process.liveness() == Liveness::Live;
            if !damaged
                && numbered
                && counts.is_some_and(|(own, numbered)| own != numbered && (listed || *numbered > 0))
            {
                return sign(SignKind::ThreadsDiffer, None);
            }
            if whole && !damaged && !listed && is_gone(list, process) {
                let numbered = held(Source::CidTable);
                let kind = if numbered { SignKind::ThreadsGone } else { SignKind::GoneAndHeld };
                return sign(kind, process.started().filter(near));
            }
            None
        };
        let signs = list.items.iter().filter(|process| !process.is_garbage()).filter_map(|process| {
            let (kind, at) = of_process(process)?;
            let (pid, eprocess) = (process.pid.value().copied(), process.eprocess.value().copied());
            Some(Sign { kind, pid, eprocess, at })
        });
        // A link of the list to where nothing can be read may have been written over: that alone shows no motion. Nor does a page that lies
        // elsewhere, that the file does not give, or that the image lacks: it was cut, or not copied whole.
        let moved = |unread: &&Unread| {
            let elsewhere =
                Absent::unreadable(unread.why.as_str()).remedy().is_some() || unread.why.contains(NOT_IN_IMAGE);
            unread.why == NO_PROCESS || !elsewhere && unread.sources.iter().any(|source| *source != Source::ActiveList)
        };
        // One source may have been led astray by one bad page.
        let passed_by =
            |unread: &Unread| whole && unread.sources.len() > 1 && !unread.sources.contains(&Source::ActiveList);
        let unread = list.unread.iter().filter(|_| !damaged).filter(moved).map(|unread| Sign {
            kind: if passed_by(unread) { SignKind::UnlistedUnread } else { SignKind::Unread },
            pid: None,
            eprocess: Some(unread.address),
            at: None,
        });
        let torn = list.one_way.iter().map(|torn| {
            let own = list.items.iter().find(|process| process.eprocess.value() == Some(&torn.address));
            let pid = own.and_then(|process| process.pid.value().copied());
            Sign { kind: SignKind::OneWayElsewhere, pid, eprocess: Some(torn.address), at: None }
        });
        let signs: Vec<Sign> = signs.chain(unread).chain(torn).take(MAX_SIGNS).collect();
        let dated = || signs.iter().filter_map(|sign| sign.at);
        let from = captured.into_iter().chain(dated()).min().filter(|_| captured.is_some());
        let to = captured.into_iter().chain(dated()).max().filter(|_| captured.is_some());
        Self { from, to, signs }
    }

    /// Whether other objects than this process show that the image was not taken at once.
    ///
    /// One whose threads are counted otherwise than they are is not enough, since a thread may just be ending when a machine stands still;
    /// nor is one that was given back or lost, which a damaged page makes.
    #[must_use]
    pub fn is_seen_beside(&self, process: &Process) -> bool {
        is_enough(self.beside(process))
    }

    /// Whether the objects show it, all together: one alone of those that a damaged page makes does not.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        is_enough(self.signs.iter())
    }

    /// Whether any other object than this process shows it, be it one that a damaged page may have made.
    pub(super) fn shows_any_beside(&self, process: &Process) -> bool {
        self.beside(process).next().is_some()
    }

    /// Whether a time lies within the interval in which the image was taken, by other objects than this process. Two at least must
    /// tell it.
    #[must_use]
    pub fn spans(&self, process: &Process, at: Timestamp, captured: Timestamp) -> bool {
        let dated: Vec<Timestamp> = self.beside(process).filter_map(|sign| sign.at).collect();
        let ends = || dated.iter().copied().chain([captured]);
        dated.len() >= MIN_DATED
            && ends().min().is_some_and(|from| from <= at)
            && ends().max().is_some_and(|to| at <= to)
    }

    fn beside(&self, process: &Process) -> impl Iterator<Item = &Sign> {
        let (pid, own) = (process.pid.value().copied(), process.eprocess.value().copied());
        self.signs.iter().filter(move |sign| {
            let same = if sign.eprocess.is_some() && own.is_some() { sign.eprocess == own } else { sign.pid == pid };
            !same
        })
    }
}

/// Whether a process that says that it runs has no thread anywhere, or has neither an id nor a thread with one, by sources that were read
/// to their end: an object that was copied before its end, or another thing that still leads to it, looks so. Whoever hides a process
/// leaves it its threads.
pub(super) fn is_gone(list: &ProcessList, process: &Process) -> bool {
    let whole =
        |source| list.views.iter().any(|view| view.source == source && view.end.value() == Some(&ListEnd::Complete));
    let lacks = |source| whole(source) && !process.sources.contains(&source);
    let searched = !process.sources.contains(&Source::PoolScan) || lacks(Source::ThreadScan);
    let threadless = searched && !process.sources.contains(&Source::ThreadScan) && !process.has_running_threads();
    process.liveness() == Liveness::Live && lacks(Source::Threads) && (threadless || lacks(Source::CidTable))
}

/// Whether these signs weigh enough together.
fn is_enough<'s>(mut signs: impl Iterator<Item = &'s Sign>) -> bool {
    let weight = |sign: &Sign| match sign.kind {
        SignKind::ThreadsDiffer
        | SignKind::FreedAndHeld
        | SignKind::Unread
        | SignKind::GoneAndHeld
        | SignKind::OneWayElsewhere
        | SignKind::Other => 1,
        SignKind::LaterStamp
        | SignKind::OverAndHeld
        | SignKind::NotYetThere
        | SignKind::OneWay
        | SignKind::ThreadsGone
        | SignKind::UnlistedUnread => MIN_WEIGHT,
    };
    let mut sum = 0usize;
    signs.any(|sign| {
        sum = sum.saturating_add(weight(sign));
        sum >= MIN_WEIGHT
    })
}

/// `taken from 2026-03-14T15:09:26.2004443Z to 2026-03-14T15:12:20.0000000Z, as 5 objects show`
impl fmt::Display for Motion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = self.signs.iter().map(|sign| (sign.eprocess, sign.pid));
        let number = objects.collect::<BTreeSet<_>>().len();
        let objects = if number == 1 { "1 object shows".to_owned() } else { format!("{number} objects show") };
        match self.from.zip(self.to).filter(|(from, to)| from != to) {
            Some((from, to)) => write!(f, "taken from {from} to {to}, as {objects}")?,
            None => write!(f, "not taken at once, as {objects}")?,
        }
        Ok(())
    }
}

/// The latest stamp of a process and of its threads that is later than the image's own time, and not by more than copying takes.
fn later_stamp(process: &Process, captured: Timestamp) -> Option<Timestamp> {
    let threads = process.inside.value().and_then(|inside| inside.threads.value()).into_iter().flatten();
    let of_threads = threads.flat_map(|thread| [thread.created.value(), thread.exited.value()]);
    [process.created.value(), process.exited.value()]
        .into_iter()
        .chain(of_threads)
        .flatten()
        .copied()
        .filter(|at| at.since(captured) > TICK && at.since(captured) <= ACQUISITION)
        .max()
}

/// Whether a process is one of those without which Windows does not run, by its name or by what its image is called.
pub(super) fn is_core(process: &Process) -> bool {
    process.pid.value() == Some(&4) || CORE.iter().any(|name| process.is_called(name))
}
