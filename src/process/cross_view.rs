//! The cross view: which sources hold each process, which should and do not, and what explains that. Over records alone, so that a
//! saved document gives the same answer.

use super::list::ACTIVE_LIST;
use super::views::{CID_TABLE, HANDLE_TABLES, JOB_LIST, MM_LIST, SESSION_LIST, THREAD_SCAN, THREADS};
use super::{Liveness, clock_step};
use crate::{ListEnd, Process, ProcessList, System, Ticks, Timestamp, VirtualAddress};
use serde::{Deserialize, Serialize};

/// What the set of sources that hold a process says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
            Self::Undetermined => "cannot be told",
        }
    }
}

/// One process in the cross view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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
    pub sources: Vec<String>,
    /// The sources that were read to their end, should hold it, and do not.
    pub missing: Vec<String>,
    /// What explains that.
    pub explanation: Explanation,
    /// Nothing benign explains it.
    pub hidden: bool,
    /// What the explanation rests on.
    pub why: String,
}

/// A process that was made, or ended, so long before the image was taken may be half there: an acquisition takes its time.
const SMEAR: Ticks = Ticks::seconds(60);
/// So long the copying of a large memory may take. What says that it was made or ended longer than that after the image's own time
/// does not tell the truth.
const ACQUISITION: Ticks = Ticks::seconds(3600);

/// The cross view of all processes, in the order of the list. Empty where the list does not say what held its processes.
#[must_use]
pub fn cross_view(system: &System) -> Vec<Sighting> {
    let list = &system.processes;
    if list.items.iter().all(|process| process.sources.is_empty()) {
        return Vec::new();
    }
    let judge = Judge::new(list, system.machine.captured.value().copied());
    list.items.iter().map(|process| judge.sighting(process)).collect()
}

/// What one process is held against.
struct Judge<'a> {
    captured: Option<Timestamp>,
    /// Creation of System, if the clock was not set back since.
    boot: Option<Timestamp>,
    /// The active list was read to its end, both ways.
    whole: bool,
    /// Creation of the youngest process that both walks along it come to.
    youngest: Option<Timestamp>,
    /// The other sources that were, and that hold most of what they should.
    relied_on: Vec<&'a str>,
}

impl<'a> Judge<'a> {
    fn new(list: &'a ProcessList, captured: Option<Timestamp>) -> Self {
        let items = &list.items;
        let system = items.iter().find(|process| process.pid.value() == Some(&4) && holds(process, ACTIVE_LIST));
        let boot = system.and_then(Process::started).filter(|_| clock_step(items).is_none());
        let whole = list.end == Some(ListEnd::Complete) && items.iter().any(|process| holds(process, ACTIVE_LIST));
        let complete = list.views.iter().filter(|view| view.end.value() == Some(&ListEnd::Complete));
        // A source that has few of those that it should have is one that was not understood.
        let relied_on = complete.map(|view| view.source.as_str()).filter(|source| {
            let due = || items.iter().filter(|process| is_due(process, source) && holds(process, ACTIVE_LIST));
            let held = due().filter(|process| holds(process, source)).count();
            held > 0 && held.saturating_mul(2) >= due().count()
        });
        let linked = |process: &&Process| process.active_links.value().is_some_and(|links| links == "both_ways");
        let youngest = items.iter().filter(linked).filter_map(Process::started).max();
        Self { captured, boot, whole, youngest, relied_on: relied_on.collect() }
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
            missing: missing.into_iter().map(str::to_owned).collect(),
            explanation,
            hidden: explanation.is_hidden(),
            why,
        }
    }

    fn missing(&self, process: &Process) -> Vec<&'a str> {
        let active = Some(ACTIVE_LIST).filter(|_| self.whole && process.is_live());
        let due = self.relied_on.iter().copied().filter(|source| is_due(process, source));
        active.into_iter().chain(due).filter(|source| !holds(process, source)).collect()
    }

    /// The explanation, and what it rests on.
    fn explain(&self, process: &Process, missing: &[&str]) -> (Explanation, String) {
        let say = |explanation, why: &str| (explanation, why.to_owned());
        if process.sources.is_empty() || process.is_garbage() {
            return say(Explanation::Undetermined, "its values are impossible, or nobody says where it was found");
        }
        let listed = holds(process, ACTIVE_LIST);
        // What threads lead to is none of these, whatever stands in the object and in front of it.
        let only_scanned = process.is_known_by_object_alone();
        if only_scanned && process.freed.value() == Some(&true) {
            return say(Explanation::Freed, "its memory was given back, and nothing leads to it");
        }
        if only_scanned && self.is_older_than_boot(process) {
            return say(Explanation::Leftover, "it is older than System, and nothing leads to it");
        }
        // Threads that have not ended are the proof that it runs, whatever its own fields say.
        let runs = holds(process, THREADS) || holds(process, THREAD_SCAN);
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
            Liveness::Unknown(why) if !runs && !listed => return say(Explanation::Undetermined, why),
            Liveness::Live | Liveness::Unknown(_) => {}
        }
        if listed { self.explain_listed(process, missing) } else { self.explain_unlisted(process) }
    }

    fn explain_listed(&self, process: &Process, missing: &[&str]) -> (Explanation, String) {
        let way = match process.active_links.value().map(String::as_str) {
            Some("forward_only") => Some("forward"),
            Some("backward_only") => Some("backward"),
            _ => None,
        };
        match way.filter(|_| self.whole) {
            Some(_) if self.is_young(process) || self.is_just_over(process) || self.is_youngest(process) => {
                (Explanation::BeingCreated, "it was linked or unlinked while the image was taken".to_owned())
            }
            Some(way) => (
                Explanation::HalfLinked,
                format!("both walks along the active list are whole, and only the one {way} comes to it"),
            ),
            None if missing.is_empty() => (Explanation::Listed, "it is wherever it should be".to_owned()),
            None if self.is_young(process) => {
                (Explanation::BeingCreated, "it was made within a minute of the image".to_owned())
            }
            None => (Explanation::PartlyListed, format!("it is not in {}", missing.join(", "))),
        }
    }

    fn explain_unlisted(&self, process: &Process) -> (Explanation, String) {
        let links = process.active_links.value().map_or("", String::as_str);
        if self.is_young(process) && links != "alone" {
            return (
                Explanation::BeingCreated,
                "it was made within a minute of the image: the list may have been copied before".to_owned(),
            );
        }
        let why = match links {
            "bypassed" => "its neighbours in the active list are linked past it",
            "alone" => "its links point to itself, as somebody leaves them who takes it off the active list",
            "none" => "its links are null",
            "linked" => "its neighbours point to it, and the active list does not come to them",
            _ => "the active list does not come to it",
        };
        // Where its neighbours are linked past it, no tear elsewhere explains that it is not there.
        if self.whole || matches!(links, "bypassed" | "alone") {
            return (Explanation::Unlinked, format!("it runs, and {why}"));
        }
        (Explanation::Torn, "it runs, and the active list could not be read to its end".to_owned())
    }

    /// Made within a minute of the image, or after.
    fn is_young(&self, process: &Process) -> bool {
        self.is_recent(process.started(), SMEAR)
    }

    /// Younger than all others in the active list, and perhaps made after that part of it was copied at whose end it belongs.
    fn is_youngest(&self, process: &Process) -> bool {
        self.is_recent(process.started(), ACQUISITION) && process.started() > self.youngest
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

    fn is_older_than_boot(&self, process: &Process) -> bool {
        let made = self.boot.zip(process.started());
        made.is_some_and(|(boot, started)| boot.since(started) > SMEAR)
    }
}

fn holds(process: &Process, source: &str) -> bool {
    process.sources.iter().any(|own| own == source)
}

/// Whether a running process with these values should be in that source.
fn is_due(process: &Process, source: &str) -> bool {
    process.is_live()
        && match source {
            CID_TABLE => true,
            // Nothing published says that minimal processes are in it.
            MM_LIST => process.minimal.value() != Some(&true),
            THREADS => process.threads.value().is_some_and(|threads| *threads > 0),
            SESSION_LIST => process.session.value().is_some(),
            JOB_LIST => process.job.value().is_some(),
            HANDLE_TABLES => process.handles.value().is_some(),
            // Nobody need hold a handle, and what a scan finds depends on the scan.
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reading;
    use crate::process::ProcessView;
    use crate::process::views::POOL_SCAN;

    const START: u64 = 133_000_000_000_000_000;
    const SECOND: u64 = 10_000_000;
    const ALL: [&str; 4] = [ACTIVE_LIST, CID_TABLE, MM_LIST, THREADS];

    fn row(pid: u64, seconds: u64, sources: &[&str]) -> Process {
        Process {
            pid: Reading::Value(pid),
            name: Reading::Value("x.exe".into()),
            created: Reading::Value(Timestamp(START + seconds * SECOND)),
            exited: Reading::Nothing,
            threads: Reading::Value(2),
            active_links: Reading::Value("both_ways".into()),
            sources: sources.iter().map(|source| (*source).to_owned()).collect(),
            ..Process::default()
        }
    }

    /// Three processes, and the one to be explained.
    fn explained(change: impl FnOnce(&mut Process, &mut ProcessList)) -> Sighting {
        let mut list = ProcessList { end: Some(ListEnd::Complete), ..ProcessList::default() };
        list.items = vec![row(4, 1, &ALL), row(8, 2, &ALL), row(12, 3, &ALL)];
        list.views = [CID_TABLE, MM_LIST, THREADS]
            .map(|source| ProcessView {
                source: source.into(),
                end: Reading::Value(ListEnd::Complete),
                ..ProcessView::default()
            })
            .into();
        let mut last = row(16, 4, &ALL);
        change(&mut last, &mut list);
        list.items.push(last);
        let mut system = System { processes: list, ..System::default() };
        system.machine.captured = Reading::Value(Timestamp(START + 5000 * SECOND));
        cross_view(&system).pop().unwrap()
    }

    #[test]
    fn each_combination_has_its_explanation() {
        let without = |process: &mut Process, source: &str| process.sources.retain(|own| own != source);
        let over = |process: &mut Process| {
            process.threads = Reading::Value(0);
            process.exited = Reading::Value(Timestamp(START + 100 * SECOND));
        };
        type Change<'a> = Box<dyn Fn(&mut Process, &mut ProcessList) + 'a>;
        let cases: Vec<(&str, Explanation, Change<'_>)> = vec![
            ("all well", Explanation::Listed, Box::new(|_, _| ())),
            ("no id", Explanation::PartlyListed, Box::new(move |p, _| without(p, CID_TABLE))),
            ("off the list", Explanation::Unlinked, Box::new(move |p, _| without(p, ACTIVE_LIST))),
            ("only a scan has it", Explanation::Unlinked, Box::new(|p, _| p.sources = vec![POOL_SCAN.into()])),
            (
                "the list is torn",
                Explanation::Torn,
                Box::new(move |p, list| {
                    without(p, ACTIVE_LIST);
                    p.active_links = Reading::Value("stray".into());
                    list.end = Some(ListEnd::Broken);
                }),
            ),
            (
                "the list is torn elsewhere",
                Explanation::Unlinked,
                Box::new(move |p, list| {
                    without(p, ACTIVE_LIST);
                    p.active_links = Reading::Value("bypassed".into());
                    list.end = Some(ListEnd::Broken);
                }),
            ),
            (
                "one way only",
                Explanation::HalfLinked,
                Box::new(|p, _| p.active_links = Reading::Value("backward_only".into())),
            ),
            (
                "one way only, and the youngest by far of a slow copy",
                Explanation::BeingCreated,
                Box::new(|p, _| {
                    p.created = Reading::Value(Timestamp(START + 4500 * SECOND));
                    p.active_links = Reading::Value("backward_only".into());
                }),
            ),
            (
                "off the list, and made long after the image",
                Explanation::Unlinked,
                Box::new(move |p, _| {
                    p.created = Reading::Value(Timestamp(START + 500_000 * SECOND));
                    without(p, ACTIVE_LIST);
                }),
            ),
            (
                "minimal, without threads",
                Explanation::Listed,
                Box::new(move |p, _| {
                    (p.minimal, p.threads) = (Reading::Value(true), Reading::Value(0));
                    without(p, THREADS);
                    without(p, MM_LIST);
                }),
            ),
            (
                "one way only, as the other is torn",
                Explanation::Listed,
                Box::new(|p, list| {
                    p.active_links = Reading::Value("backward_only".into());
                    list.end = Some(ListEnd::Broken);
                }),
            ),
            (
                "no thread yet",
                Explanation::BeingCreated,
                Box::new(move |p, _| {
                    p.created = Reading::Value(Timestamp(START + 4990 * SECOND));
                    p.threads = Reading::Value(0);
                    without(p, ACTIVE_LIST);
                }),
            ),
            (
                "over",
                Explanation::ExitedReferenced,
                Box::new(move |p, _| {
                    over(p);
                    without(p, THREADS);
                }),
            ),
            (
                "over and off the list",
                Explanation::Exited,
                Box::new(move |p, _| {
                    over(p);
                    p.sources = vec![POOL_SCAN.into()];
                }),
            ),
            (
                "says that it is over, and has threads",
                Explanation::Unlinked,
                Box::new(move |p, _| {
                    over(p);
                    without(p, ACTIVE_LIST);
                }),
            ),
            (
                "given back",
                Explanation::Freed,
                Box::new(|p, _| {
                    p.sources = vec![POOL_SCAN.into()];
                    p.freed = Reading::Value(true);
                }),
            ),
            (
                "given back, of an earlier boot and over, and has threads",
                Explanation::Unlinked,
                Box::new(move |p, _| {
                    over(p);
                    p.created = Reading::Value(Timestamp(START - 1000 * SECOND));
                    p.sources = vec![POOL_SCAN.into(), THREAD_SCAN.into()];
                    p.freed = Reading::Value(true);
                }),
            ),
            (
                "said to be given back, and has an id",
                Explanation::Unlinked,
                Box::new(|p, _| {
                    p.sources = vec![POOL_SCAN.into(), CID_TABLE.into()];
                    p.freed = Reading::Value(true);
                }),
            ),
            (
                "of an earlier boot",
                Explanation::Leftover,
                Box::new(|p, _| {
                    p.sources = vec![POOL_SCAN.into()];
                    p.created = Reading::Value(Timestamp(START - 1000 * SECOND));
                }),
            ),
            (
                "nothing tells",
                Explanation::Undetermined,
                Box::new(|p, _| {
                    p.sources = vec![POOL_SCAN.into()];
                    p.exited = Reading::default();
                    p.threads = Reading::default();
                }),
            ),
        ];
        for (name, expected, change) in cases {
            let seen = explained(change);
            assert_eq!(seen.explanation, expected, "{name}: {}", seen.why);
            assert_eq!(seen.hidden, matches!(expected, Explanation::Unlinked | Explanation::HalfLinked), "{name}");
        }
    }

    #[test]
    fn a_source_that_was_not_understood_accuses_nobody() {
        let seen = explained(|p, list| {
            list.items.iter_mut().skip(1).for_each(|process| process.sources.retain(|own| own != MM_LIST));
            p.sources.retain(|own| own != MM_LIST);
        });
        assert_eq!((seen.explanation, seen.missing.len()), (Explanation::Listed, 0));
        let seen = explained(|p, list| {
            p.sources.retain(|own| own != MM_LIST);
            list.views.iter_mut().for_each(|view| view.end = Reading::Value(ListEnd::Broken));
        });
        assert_eq!((seen.explanation, seen.missing.len()), (Explanation::Listed, 0));
    }
}
