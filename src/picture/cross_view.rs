//! The cross view: which sources hold each process, which should and do not, and what explains that. Over records alone, so that a
//! saved document gives the same answer.

use super::Picture;
use super::motion::{ACQUISITION, Motion, is_core};
use crate::kernel::Links;
use crate::process::{Liveness, Source};
use crate::{ListEnd, Process, Ticks, Timestamp, VirtualAddress};
use serde::{Deserialize, Serialize};

/// What the set of sources that hold a process says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Explanation {
    /// It runs, and is in the active list and wherever else it should be.
    Listed,
    /// It runs and is in the active list, but not in every other place where it should be.
    PartlyListed,
    /// It runs, and only one of the two walks along the whole active list comes to it.
    HalfLinked,
    /// It runs, and the active list passes it by.
    Unlinked,
    /// It is just being made, or was made while the image was taken: it need not be everywhere yet.
    BeingCreated,
    /// It is over, and its object is still in the active list, as long as anybody holds a reference.
    ExitedReferenced,
    /// It is over, and off the active list.
    Exited,
    /// Its memory was given back.
    Freed,
    /// An earlier boot left it in memory.
    Leftover,
    /// It runs, and may have stood where the active list is torn.
    Torn,
    /// It runs, the active list does not have it or has it in one direction alone, and other processes show that parts of the image are
    /// from different times: it may have ended, or been made, meanwhile.
    InMotion,
    /// Nothing tells whether it runs, or where it was found.
    #[default]
    Undetermined,
}

impl Explanation {
    /// True where somebody hides the process: nothing benign explains the combination.
    #[must_use]
    pub const fn is_hidden(self) -> bool {
        matches!(self, Self::Unlinked | Self::HalfLinked)
    }

    /// In a few words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::PartlyListed => "not everywhere",
            Self::HalfLinked => "HALF UNLINKED",
            Self::Unlinked => "UNLINKED",
            Self::BeingCreated => "being created",
            Self::ExitedReferenced => "exited, still referenced",
            Self::Exited => "exited",
            Self::Freed => "freed",
            Self::Leftover => "from an earlier boot",
            Self::Torn => "list torn here",
            Self::InMotion => "perhaps moved on meanwhile",
            Self::Undetermined => "cannot be told",
        }
    }
}

/// One process in the cross view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Sighting {
    /// Its id.
    pub pid: Option<u64>,
    /// Its image name.
    pub name: Option<String>,
    /// Address of its `_EPROCESS`: what tells processes of one pid apart.
    pub eprocess: Option<VirtualAddress>,
    /// When it ended.
    pub exited: Option<Timestamp>,
    /// The sources that hold it.
    pub sources: Vec<Source>,
    /// The sources that were read to their end, should hold it, and do not.
    pub missing: Vec<Source>,
    /// What explains that.
    pub explanation: Explanation,
    /// Nothing benign explains it.
    pub hidden: bool,
    /// What the explanation rests on.
    pub why: String,
}

/// A process that was made, or ended, so long before the image was taken may be half there: an acquisition takes its time.
const SMEAR: Ticks = Ticks::seconds(60);

/// So long it takes at most from the stamp of a new process to its place in the list.
const IN_THE_MAKING: Ticks = Ticks::seconds(10);

/// The cross view of all processes, in the order of the list. Empty where the list does not say what held its processes.
pub(super) fn cross_view(picture: &Picture<'_>) -> Vec<Sighting> {
    let list = &picture.system().processes;
    if list.items.iter().all(|process| process.sources.is_empty()) {
        return Vec::new();
    }
    let judge = Judge::new(picture);
    list.items.iter().map(|process| judge.sighting(process)).collect()
}

/// What one process is held against.
struct Judge<'p> {
    motion: &'p Motion,
    captured: Option<Timestamp>,
    /// Interrupt time of the image: how long the system had run.
    up: Option<Timestamp>,
    /// Creation of System, if the clock was not set back since.
    boot: Option<Timestamp>,
    /// The active list was read to its end, both ways.
    whole: bool,
    /// It is told how the walk along it ended.
    ended: bool,
    /// It was, one way at least: whoever is older than the image and in it is met on that way.
    whole_one_way: bool,
    /// The clock was not set back since smss.exe started.
    even: bool,
    /// Creation of the youngest process that both walks along it come to.
    youngest: Option<Timestamp>,
    /// The other sources that were, and that hold most of what they should.
    relied_on: Vec<Source>,
    /// It leads to what is no process, or cannot be read.
    leads_astray: bool,
    /// All of memory was searched for threads.
    searched_threads: bool,
}

impl<'p> Judge<'p> {
    fn new(picture: &'p Picture<'_>) -> Self {
        let system = picture.system();
        let captured = system.machine.captured.value().copied();
        let started = system.machine.boot.value();
        let up = captured.zip(started).map(|(captured, boot)| Timestamp(captured.0.saturating_sub(boot.0)));
        let list = &system.processes;
        let items = &list.items;
        let system = items.iter().find(|process| process.pid.value() == Some(&4) && holds(process, Source::ActiveList));
        let boot = system.and_then(Process::started).filter(|_| picture.clock_step().is_none());
        let whole =
            list.end == Some(ListEnd::Complete) && items.iter().any(|process| holds(process, Source::ActiveList));
        let listed = items.iter().any(|process| holds(process, Source::ActiveList));
        let one_way = [list.forward, list.backward].contains(&Some(ListEnd::Complete));
        let complete = list.views.iter().filter(|view| view.end.value() == Some(&ListEnd::Complete));
        let searched_threads = complete.clone().any(|view| view.source == Source::ThreadScan);
        // A source that has few of those that it should have is one that was not understood.
        let relied_on = complete.map(|view| view.source).filter(|source| {
            let due = || items.iter().filter(|process| source.is_due(process) && holds(process, Source::ActiveList));
            let held = due().filter(|process| holds(process, *source)).count();
            held > 0 && held.saturating_mul(2) >= due().count()
        });
        let linked = |process: &&Process| process.active_links.value() == Some(&Links::BothWays);
        let youngest = items.iter().filter(linked).filter_map(Process::started).max();
        let even = picture.clock_step().is_none();
        let whole_one_way = whole || one_way && listed;
        Self {
            motion: picture.motion(),
            captured,
            up,
            boot,
            whole,
            ended: list.end.is_some(),
            whole_one_way,
            even,
            youngest,
            relied_on: relied_on.collect(),
            leads_astray: list.unread.iter().any(|unread| unread.sources.contains(&Source::ActiveList)),
            searched_threads,
        }
    }

    fn sighting(&self, process: &Process) -> Sighting {
        let missing = self.missing(process);
        let (explanation, why) = self.explain(process, &missing);
        Sighting {
            pid: process.pid.value().copied(),
            name: process.name.value().cloned(),
            eprocess: process.eprocess.value().copied(),
            exited: process.exited.value().copied(),
            sources: process.sources.clone(),
            missing,
            explanation,
            hidden: explanation.is_hidden(),
            why,
        }
    }

    fn missing(&self, process: &Process) -> Vec<Source> {
        let active = Some(Source::ActiveList).filter(|_| self.whole && process.is_live());
        let due = self.relied_on.iter().copied().filter(|source| source.is_due(process));
        active.into_iter().chain(due).filter(|source| !holds(process, *source)).collect()
    }

    /// The explanation, and what it rests on.
    fn explain(&self, process: &Process, missing: &[Source]) -> (Explanation, String) {
        let say = |explanation, why: &str| (explanation, why.to_owned());
        if process.sources.is_empty() || process.is_garbage() {
            return say(Explanation::Undetermined, "its values are impossible, or nobody says where it was found");
        }
        let listed = holds(process, Source::ActiveList);
        // What threads lead to is neither, whatever stands in the object and in front of it.
        if process.is_given_back() {
            return say(Explanation::Freed, "its memory was given back, and nothing leads to it");
        }
        if self.boot.is_some_and(|boot| process.is_left_before(boot)) {
            return say(Explanation::Leftover, "it is older than System, and nothing leads to it");
        }
        // Threads that have not ended are the proof that it runs, whatever its own fields say.
        let runs =
            holds(process, Source::Threads) || holds(process, Source::ThreadScan) || process.has_running_threads();
        match process.liveness() {
            Liveness::Exited if runs && !self.is_just_over(process) => {}
            Liveness::Exited if process.exited.is_nothing() && self.is_young(process) => {
                return say(
                    Explanation::BeingCreated,
                    "it has no thread yet, and was made within a minute of the image",
                );
            }
            Liveness::Exited if listed => {
                return say(Explanation::ExitedReferenced, "it is over, and somebody holds a reference to its object");
            }
            Liveness::Exited => return say(Explanation::Exited, "it is over, and its object is not reused yet"),
            _ if process.is_carved() => {
                return say(
                    Explanation::Undetermined,
                    "nothing but its own values says that it is a process of this machine",
                );
            }
            Liveness::Unknown(why) if !runs && !listed => return say(Explanation::Undetermined, why),
            // Its threads may have been copied before its end, and the list long after. What lies in the same object may not.
            Liveness::Unknown(_)
                if !listed
                    && self.is_just_over(process)
                    && !process.holds_handles()
                    && !process.has_contradictory_threads() =>
            {
                return say(Explanation::Exited, "it ended while the image was taken");
            }
            Liveness::Live | Liveness::Unknown(_) => {}
        }
        if listed { self.explain_listed(process, missing) } else { self.explain_unlisted(process) }
    }

    fn explain_listed(&self, process: &Process, missing: &[Source]) -> (Explanation, String) {
        let way = match process.active_links.value() {
            Some(Links::ForwardOnly) => Some("forward"),
            Some(Links::BackwardOnly) => Some("backward"),
            _ => None,
        };
        match way.filter(|_| self.whole) {
            Some(_) if self.is_young(process) || self.is_just_over(process) || self.is_youngest(process) => {
                (Explanation::BeingCreated, "it was linked or unlinked while the image was taken".to_owned())
            }
            Some(way) => {
                let why = format!("both walks along the active list are whole, and only the one {way} comes to it");
                if !is_core(process) && !missing.is_empty() {
                    // Whoever hides it in one direction has no use for taking it out of other places, which a torn copy does.
                    return (Explanation::InMotion, format!("{why}; it is not in {} either", Source::names(missing)));
                }
                self.unless_in_motion(process, Explanation::HalfLinked, why)
            }
            None if missing.is_empty() => (Explanation::Listed, "it is wherever it should be".to_owned()),
            None if self.is_young(process) => {
                (Explanation::BeingCreated, "it was made within a minute of the image".to_owned())
            }
            None => (Explanation::PartlyListed, format!("it is not in {}", Source::names(missing))),
        }
    }

    fn explain_unlisted(&self, process: &Process) -> (Explanation, String) {
        let links = process.active_links.value().copied();
        if self.is_young(process) && links != Some(Links::Alone) {
            return (
                Explanation::BeingCreated,
                "it was made within a minute of the image: the list may have been copied before".to_owned(),
            );
        }
        let why = match links {
            Some(Links::Bypassed) => "its neighbours in the active list are linked past it",
            Some(Links::Alone) => {
                "its links point to itself: Windows leaves no process so, and a tool that hides one does"
            }
            Some(Links::None) => "its links are null",
            Some(Links::Linked) => "its neighbours point to it, and the active list does not come to them",
            _ => "the active list does not come to it",
        };
        // Where its neighbours are linked past it, no tear elsewhere explains that it is not there.
        if self.whole || self.whole_one_way || matches!(links, Some(Links::Bypassed | Links::Alone)) {
            let doubts: String = self.doubts(process).into_iter().map(|doubt| format!("; {doubt}")).collect();
            let why = format!("it runs, and {why}{doubts}");
            // Windows leaves the links of what it takes off the list as they were, and no copying makes threads that contradict
            // themselves, or are older than their process.
            let lies = process.has_contradictory_threads() || process.thread_before_it().is_some();
            return if links == Some(Links::Alone) || lies {
                (Explanation::Unlinked, why)
            } else {
                self.unless_in_motion(process, Explanation::Unlinked, why)
            };
        }
        let why = if self.ended {
            "it runs, and the active list could not be read to its end"
        } else {
            "it runs, and the list of processes, of which nobody says how it ended, does not have it"
        };
        (Explanation::Torn, why.to_owned())
    }

    /// What hides a process is told from what has merely happened while the image was taken, by what other processes show of that. The
    /// processes without which Windows does not run do not come and go.
    fn unless_in_motion(&self, process: &Process, found: Explanation, why: String) -> (Explanation, String) {
        if !self.motion.is_seen_beside(process) {
            if !is_core(process) && self.is_without_threads(process) {
                let none = "no thread of it is anywhere: it may have ended";
                return (Explanation::InMotion, format!("{why}; {none}"));
            }
            if !is_core(process) && self.is_newest(process) {
                let newest =
                    "it is younger than all that are listed: the end of the list, where it belongs, may be from before";
                return (Explanation::InMotion, format!("{why}; {newest}"));
            }
            if !is_core(process) && !self.whole && self.leads_astray {
                let astray =
                    "the active list leads to where no process is any more, and is whole in one direction alone";
                return (Explanation::InMotion, format!("{why}; {astray}"));
            }
            if !is_core(process) && self.is_told_gone(process) {
                let gone = "the table of ids, which was read to its end, has neither it nor any thread of it";
                return (Explanation::InMotion, format!("{why}; {gone}"));
            }
            if !is_core(process) && self.is_over_throughout(process) {
                let over = "it ended, gave its handles back and was freed within what copying takes, and not all is from one time";
                return (Explanation::InMotion, format!("{why}; {over}"));
            }
            (found, why)
        } else if is_core(process) {
            (found, format!("{why} (the image was {})", self.motion))
        } else {
            (Explanation::InMotion, format!("{why}; the image was {}", self.motion))
        }
    }

    /// Whether nothing but its own fields says that it runs: the table of ids, its own list and, where its object was met by a search, that
    /// search have no thread of it. Whoever hides a process needs its threads.
    fn is_without_threads(&self, process: &Process) -> bool {
        let led_to = [Source::Threads, Source::ThreadScan].into_iter().any(|source| holds(process, source));
        let searched = !holds(process, Source::PoolScan) || self.searched_threads;
        self.relied_on.contains(&Source::Threads) && searched && !led_to && !process.has_running_threads()
    }

    /// Whether one thing alone says that it runs, and the table of ids, which has every process and every thread that runs, says that it
    /// does not: and either another object shows that not all of the image is from one time, or it says itself that it ended within
    /// what copying takes, or was made within that and after all that are listed. An object, or a thread of it, that was copied before its end looks so, and so does one that somebody hid
    /// with care: which of them it is nobody can tell.
    fn is_told_gone(&self, process: &Process) -> bool {
        let lacks = |source| self.relied_on.contains(&source) && !holds(process, source);
        let ended = self.is_recent(process.exited.value().copied(), ACQUISITION) && process.threads.value() == Some(&0);
        let open = ended || self.is_youngest(process) || self.motion.shows_any_beside(process);
        lacks(Source::CidTable) && lacks(Source::Threads) && open
    }

    /// Whether all that is in its object and in front of it says that it is over, since no longer than copying takes, and another object
    /// shows that not all of the image is from one time: what else has it may be from before.
    fn is_over_throughout(&self, process: &Process) -> bool {
        self.is_recent(process.exited.value().copied(), ACQUISITION)
            && process.threads.value() == Some(&0)
            && process.handles.is_nothing()
            && process.freed.value() == Some(&true)
            && self.motion.shows_any_beside(process)
    }

    /// Made within a minute of the image, or after, or while others show that it was taken; and nothing that it cannot have written alone
    /// says otherwise.
    fn is_young(&self, process: &Process) -> bool {
        let within = |(at, captured)| self.motion.spans(process, at, captured);
        self.is_recent(process.started(), SMEAR) && self.doubts_of_youth(process).is_empty()
            || process.thread_before_it().is_none() && process.started().zip(self.captured).is_some_and(within)
    }

    /// What contradicts a process that says that it was just made.
    fn doubts_of_youth(&self, process: &Process) -> Vec<String> {
        let mut doubts = Vec::new();
        // No clock that is set moves interrupt time.
        let since = process.created_interrupt.value().map(|since| Timestamp(*since));
        if let Some(age) = self.up.zip(since).map(|(up, since)| up.since(since)).filter(|age| *age > SMEAR) {
            doubts.push(format!("by interrupt time it was made {age} before the image"));
        }
        if let Some(distance) = process.thread_before_it() {
            doubts.push(format!("its first thread is {distance} older than it says that it is itself"));
        }
        // The kernel appends to its list: whoever is in it both ways was put there after all that are older.
        let behind = self.youngest.zip(process.started()).map(|(youngest, started)| youngest.since(started));
        if let Some(behind) = behind.filter(|behind| self.even && *behind > IN_THE_MAKING)
            && !holds(process, Source::ActiveList)
        {
            doubts.push(format!("a process made {behind} after it is listed"));
        }
        doubts
    }

    /// The same, and what contradicts one that says that it is over.
    fn doubts(&self, process: &Process) -> Vec<String> {
        let mut doubts =
            if self.is_recent(process.started(), SMEAR) { self.doubts_of_youth(process) } else { Vec::new() };
        if process.exited.value().is_some() && process.holds_handles() {
            doubts.push("it has an exit time and open handles".to_owned());
        }
        if process.has_contradictory_threads() {
            doubts.push("a thread of it is flagged as ended and waits".to_owned());
        }
        if process.freed.value() == Some(&true) {
            doubts.push("the header in front of it says that it was freed".to_owned());
        }
        doubts
    }

    /// Younger than all others in the active list, or made with the youngest of them, and perhaps after that part of it was copied at
    /// whose end it belongs.
    fn is_youngest(&self, process: &Process) -> bool {
        let behind = self.youngest.zip(process.started()).map(|(youngest, started)| youngest.since(started));
        self.is_recent(process.started(), ACQUISITION) && behind.is_none_or(|behind| behind <= IN_THE_MAKING)
    }

    /// The same by interrupt time too, which no clock that is set moves.
    fn is_newest(&self, process: &Process) -> bool {
        let by_clock = self.captured.zip(process.started()).map(|(captured, started)| captured.since(started));
        let since = process.created_interrupt.value().map(|since| Timestamp(*since));
        let by_interrupt = self.up.zip(since).map(|(up, since)| up.since(since));
        let differ = |(one, other): (Ticks, Ticks)| Ticks(one.0.saturating_sub(other.0)).abs() > SMEAR;
        self.is_youngest(process) && !by_clock.zip(by_interrupt).is_some_and(differ)
    }

    /// Ended within a minute of the image, or after.
    fn is_just_over(&self, process: &Process) -> bool {
        self.is_recent(process.exited.value().copied(), SMEAR)
    }

    /// Not longer than `before` before the image's own time, nor after its copying was done.
    fn is_recent(&self, at: Option<Timestamp>, before: Ticks) -> bool {
        let age = self.captured.zip(at).map(|(captured, at)| captured.since(at));
        age.is_some_and(|age| age <= before && age.abs() <= ACQUISITION)
    }
}

fn holds(process: &Process, source: Source) -> bool {
    process.sources.contains(&source)
}
