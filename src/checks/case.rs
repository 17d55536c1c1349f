//! One system before the rules: rows that are processes, who of them is the master, what can be relied on.

use super::core::SYSTEM_PID;
use super::paths::{SystemRoot, VolumePath};
use super::subject::{Role, Subject};
use super::words::same;
use super::{CoreProcess, Outcome, Rule, Why};
use crate::picture::{FIRST_WITH_SILOS, Members, Picture, Session, SessionModel, Sighting};
use crate::process::Source;
use crate::registry::SessionManagerKeys;
use crate::{
    Absent, ListEnd, Mode, ModeKind, Parent, Process, ProcessTree, Reading, System, Ticks, Timestamp, VirtualAddress,
};
use std::collections::HashMap;

/// What the kernel's path says.
pub(super) enum ImagePath {
    /// The expected one.
    Right,
    /// Another one.
    Wrong(VolumePath),
    /// The kernel has none.
    Missing,
    /// Not known, and why.
    Unknown(Why),
}

/// Processes that run from System32 of every machine, in all that their volume tells of where that is.
const OF_SYSTEM32: &[&str] = &["csrss.exe", "wininit.exe", "winlogon.exe", "services.exe", "lsass.exe", "svchost.exe"];

/// A system that is judged, with what all rules of a baseline ask of it.
pub struct Case<'a> {
    pub(super) system: &'a System,
    /// The keys that are judged.
    pub(super) keys: &'a SessionManagerKeys,
    /// What is normal for the process that is judged.
    pub(super) core: &'static CoreProcess,
    /// Every process of that name.
    pub(super) subjects: Vec<Subject<'a>>,
    /// Each process once, without the rows that are none; with its position in the list.
    pub(super) rows: &'a [(usize, &'a Process)],
    /// Every smss.exe.
    pub(super) smss: Vec<Subject<'a>>,
    pub(super) sessions: &'a [Members<'a>],
    pub(super) tree: &'a ProcessTree,
    pub(super) build: Option<u32>,
    pub(super) model: SessionModel,
    pub(super) root: SystemRoot,
    /// The sign that the clock was set back since smss started.
    pub(super) clock_step: Option<&'a str>,
    /// States of the machine.
    pub(super) modes: &'a [Mode],
    pub(super) passed_over: Vec<String>,
    /// Rows that an earlier boot left in memory: only a scan finds them, and they are older than System.
    pub(super) leftovers: &'a [&'a Process],
    /// The same sessions as documents have them.
    pub(super) kinds: &'a [Session],
    /// The cross view: one for each process of the list, in its order.
    pub(super) sightings: &'a [Sighting],
    /// A process that runs, in a session that is not known, and of which neither name nor path could be read.
    pub(super) nameless: Option<&'a Process>,
    silo_signs: bool,
    /// The volume of this Windows.
    volume: Option<String>,
    /// System, by its pid.
    of_system: Option<&'a Process>,
    /// Positions in `rows` by the address of the `_EPROCESS`, the first of each.
    by_address: HashMap<VirtualAddress, usize>,
}

impl<'a> Case<'a> {
    pub(super) fn new(picture: &'a Picture<'_>, core: &'static CoreProcess) -> Self {
        Self::with_keys(picture, core, &picture.system().session_manager)
    }

    /// The same with other keys than those in use.
    pub(super) fn with_keys(
        picture: &'a Picture<'_>,
        core: &'static CoreProcess,
        keys: &'a SessionManagerKeys,
    ) -> Self {
        let system = picture.system();
        let rows = &picture.rows().of_this_boot;
        let mut case = Self {
            system,
            keys,
            core,
            subjects: Vec::new(),
            tree: picture.tree(),
            build: picture.build(),
            model: picture.model(),
            root: SystemRoot::new(system.machine.root.value().map(String::as_str)),
            clock_step: picture.clock_step(),
            modes: picture.modes(),
            passed_over: picture.rows().passed_over.clone(),
            leftovers: &picture.rows().leftovers,
            kinds: picture.sessions(),
            sightings: picture.cross_view(),
            nameless: rows
                .iter()
                .map(|row| row.1)
                .find(|process| process.session.absent().is_some() && is_nameless(process)),
            silo_signs: picture.silo_signs(),
            of_system: system_of(rows),
            sessions: picture.members(),
            rows,
            smss: Vec::new(),
            volume: None,
            by_address: HashMap::new(),
        };
        for (index, (_, process)) in rows.iter().enumerate() {
            if let Some(address) = process.eprocess.value() {
                case.by_address.entry(*address).or_insert(index);
            }
        }
        case.cast_smss();
        case.cast_subjects();
        case.volume = case.volume_of_system32();
        case
    }

    /// What tells that the machine is in this state, if it is.
    pub(super) fn mode(&self, kind: ModeKind) -> Option<&Mode> {
        self.modes.iter().find(|mode| mode.mode == kind)
    }

    /// Whether Windows Setup is at work, in words. SetupType alone is no sign: it says that a command runs before the next logon.
    pub(super) fn setup_in_progress(&self) -> Option<String> {
        const VALUE: &str = "SystemSetupInProgress";
        let value = self.keys.setup.value()?.data(VALUE).value()?.as_number()?;
        (value != 0)
            .then(|| format!(r"setup in progress (SYSTEM\Setup\{VALUE} {value}, which administrators can write)"))
    }

    /// True for a container's session.
    pub(super) fn is_silo(&self, session: &Members<'_>) -> bool {
        session.is_silo(self.silo_signs)
    }

    /// The system.
    #[must_use]
    pub const fn system(&self) -> &'a System {
        self.system
    }

    /// What is normal for the process that is judged.
    #[must_use]
    pub const fn core(&self) -> &'static CoreProcess {
        self.core
    }

    /// Every process that bears the name of the one that is judged, with the part it plays.
    #[must_use]
    pub fn subjects(&self) -> &[Subject<'a>] {
        &self.subjects
    }

    /// The process whose `_EPROCESS` lies there, with its position in the list.
    pub(super) fn at_address(&self, address: VirtualAddress) -> Option<(usize, &'a Process)> {
        self.rows.get(*self.by_address.get(&address)?).copied()
    }

    /// Every process once, without rows that are none.
    pub fn processes(&self) -> impl Iterator<Item = &'a Process> {
        self.rows.iter().map(|(_, process)| *process)
    }

    /// The Windows build.
    #[must_use]
    pub const fn build(&self) -> Option<u32> {
        self.build
    }

    /// The master smss.exe, if there is one.
    pub(super) fn master(&self) -> Option<&Subject<'a>> {
        self.smss.iter().find(|smss| smss.role == Role::Master)
    }

    /// Pid of the process whose unknowns count: of the one that runs once, if there is one.
    pub(super) fn main_pid(&self) -> Option<u64> {
        let main = self.subjects.iter().find(|subject| subject.role == Role::Master);
        main.and_then(|main| main.process.pid.value().copied())
    }

    /// System, by its pid.
    #[must_use]
    pub const fn system_process(&self) -> Option<&'a Process> {
        self.of_system
    }

    /// Why the list is only a part of the processes; `None` where it is whole. What depends on absence from the list is
    /// unknown in a part.
    #[must_use]
    pub fn part_reason(&self) -> Option<&'static str> {
        if self.system.processes.is_carved() {
            return Some("a part: no kernel was found, and the processes were carved out of memory");
        }
        if self.system.processes.filtered {
            return Some("a part: it was saved with the processes that were asked for");
        }
        match self.system.processes.end {
            Some(ListEnd::Complete) => None,
            Some(ListEnd::Cycle) => Some("a part: the walk of the list ran into a ring"),
            Some(ListEnd::Broken) => Some("a part: the walk of the list broke off"),
            Some(ListEnd::Limit) => Some("a part: the walk of the list was stopped at its cap"),
            None => Some("perhaps a part: whoever made the list does not say how it ended"),
        }
    }

    /// What sources lead to and could not be read: any process may have been there. `None`: there is no such place.
    #[must_use]
    pub fn unread(&self) -> Option<String> {
        /// Places that are named.
        const NAMED: usize = 4;
        // What a search met at another place than where the kernel maps it was read there.
        let read = |process: &Process| !process.is_known_by_object_alone();
        let known =
            |address| self.rows.iter().any(|(_, process)| process.eprocess.value() == Some(&address) && read(process));
        let unread: Vec<_> = self.system.processes.unread.iter().filter(|unread| !known(unread.address)).collect();
        let words = |unread: &&crate::process::Unread| {
            format!("{} (by {}): {}", unread.address, Source::names(&unread.sources), unread.why)
        };
        let named = unread.iter().take(NAMED).map(words).collect::<Vec<_>>().join("; ");
        match unread.len().saturating_sub(NAMED) {
            _ if unread.is_empty() => None,
            0 => Some(format!("not read at {named}")),
            more => Some(format!("not read at {named}; and {more} more")),
        }
    }

    /// The processes that are not known to be over and have this name.
    pub fn running(&self, name: &str) -> impl Iterator<Item = &'a Process> {
        self.rows
            .iter()
            .map(|(_, process)| *process)
            .filter(move |process| process.is_named(name) && !process.has_exited())
    }

    /// How far apart the clocks of the image are that Windows sets together: `KUSER_SHARED_DATA` and `KeBootTime`. `None`: not more than
    /// a minute, or one of them is not known.
    pub(super) fn clocks_disagree(&self) -> Option<String> {
        let clocks = self.system.machine.clocks.value()?;
        let of = |name: &str| clocks.iter().find(|clock| clock.source.starts_with(name)).map(|clock| clock.time);
        let distance = of("KeBootTime")?.since(of("KUSER_SHARED_DATA")?);
        (distance.abs() > Ticks::seconds(60))
            .then(|| format!("KUSER_SHARED_DATA and KeBootTime are {} apart, which are set together", distance.abs()))
    }

    /// How long a process had run when the image was taken, or why that is not known.
    pub(super) fn age(&self, process: &Process) -> Result<Ticks, Why> {
        const IMAGE: &str = "time of the image";
        let captured = self.system.machine.captured.known().map_err(|absent| Why::from(absent).of(IMAGE))?;
        let captured = captured.ok_or_else(|| Why::from("not given").of(IMAGE))?;
        let started = process.started().ok_or_else(|| Why::no_value(&process.created).of("creation time"))?;
        // A thread that is older than its process tells how old that is at the least.
        let started = process.thread_before_it().and(process.first_thread()).unwrap_or(started);
        // Interrupt time runs on, whatever the clock is set to.
        let up = self.system.machine.boot.value().map(|boot| captured.0.saturating_sub(boot.0));
        let by_interrupt = process.created_interrupt.value().zip(up);
        let by_interrupt = by_interrupt.map(|(since, up)| Timestamp(up).since(Timestamp(*since)));
        let age = captured.since(started);
        let age = by_interrupt.filter(|other| other.0.saturating_sub(age.0) > Ticks::seconds(60).0).unwrap_or(age);
        if age < Ticks::seconds(0) {
            let words = format!("spoilt by a step of the clock: the process is {} younger than the image", age.abs());
            return Err(words.into());
        }
        Ok(age)
    }

    /// The kernel's path of a process against `below` the system root.
    pub(super) fn image_path(&self, process: &Process, below: &str) -> ImagePath {
        match &process.path {
            Reading::Absent(absent) => ImagePath::Unknown(absent.into()),
            Reading::Nothing => ImagePath::Missing,
            Reading::Value(text) => match VolumePath::read(text) {
                None => ImagePath::Unknown(Absent::unparsable(format!("{text:?} is no path")).into()),
                Some(path) if self.root.holds(&path, below) => ImagePath::Right,
                Some(path) => ImagePath::Wrong(path),
            },
        }
    }

    /// The volume of this Windows, if the process runs from another one. Containers have volumes of their own.
    pub(super) fn other_volume(&self, subject: &Subject<'_>) -> Option<&str> {
        if subject.role == Role::Silo || in_silo(subject.process) {
            return None;
        }
        let (own, theirs) = (device(subject.process)?, self.volume.as_deref()?);
        (!same(&own, theirs)).then_some(theirs)
    }

    /// The volume that processes of System32 run from, if all agree.
    fn volume_of_system32(&self) -> Option<String> {
        let silos: Vec<u32> =
            self.sessions.iter().filter(|session| self.is_silo(session)).map(|session| session.id).collect();
        let outside = |process: &Process| {
            !in_silo(process) && process.session.value().is_none_or(|session| !silos.contains(session))
        };
        let placed = |process: &Process| {
            let name = OF_SYSTEM32.iter().find(|name| process.is_named(name));
            name.is_some_and(|name| {
                matches!(self.image_path(process, &format!("\\System32\\{name}")), ImagePath::Right)
            })
        };
        let rows = self.rows.iter().map(|(_, process)| *process);
        let mut volumes = rows.filter(|process| outside(process) && placed(process)).filter_map(device);
        let first = volumes.next()?;
        volumes.all(|other| same(&other, &first)).then_some(first)
    }

    /// True where a process runs from where only administrators install: System32, Program Files, Defender's platform folder.
    pub(super) fn is_installed(&self, process: &Process) -> bool {
        let path = process.path.value().and_then(|path| VolumePath::read(path));
        path.is_some_and(|path| {
            path.in_program_files()
                || path.is_below("\\ProgramData\\Microsoft\\Windows Defender\\Platform")
                || self.root.holds_below(&path, "\\System32")
        })
    }

    /// True where containers exist and whether the process is a container's could not be looked at.
    pub(super) fn silo_unknown(&self, process: &Process) -> bool {
        process.silo.absent().is_some() && self.build.is_none_or(|build| build >= FIRST_WITH_SILOS)
    }

    /// True where processes were also looked for outside the kernel's list.
    pub(super) fn was_scanned(&self) -> bool {
        self.rows.iter().any(|(_, process)| process.sources.contains(&Source::PoolScan))
    }

    /// The parent of the process at this position, in words: `2732 (explorer.exe, exited)`.
    pub(super) fn parent_words(&self, at: usize) -> String {
        let name = |at: usize| {
            let process = self.system.processes.items.get(at);
            process.and_then(|process| process.name.value()).map_or("?", String::as_str)
        };
        let ppid = self.system.processes.items.get(at).and_then(|process| process.ppid.value());
        let ppid = ppid.map_or_else(|| "?".to_owned(), u64::to_string);
        match self.tree.parent(at) {
            Parent::Listed(up) => format!("{ppid} ({})", name(up)),
            Parent::Exited(up) => format!("{ppid} ({}, exited)", name(up)),
            Parent::Vanished(_) => format!("{ppid} (not listed)"),
            Parent::Reused { now, .. } => format!("{ppid} (gone; {} has the pid now)", name(now)),
            Parent::Ring(up) => format!("{ppid} ({}, in a ring of parents)", name(up)),
            Parent::None => format!("{ppid} (none)"),
            Parent::Unknown => "unknown".to_owned(),
        }
    }

    /// One outcome of the rule for each process that bears the name; one for the machine where there is none.
    pub fn each(&self, rule: &Rule, judge: impl Fn(&Subject<'a>, Outcome) -> Outcome) -> Vec<Outcome> {
        self.each_if(rule, |_| true, judge)
    }

    /// The same for those whose part `fits`.
    pub fn each_if(
        &self,
        rule: &Rule,
        fits: impl Fn(&Subject<'a>) -> bool,
        judge: impl Fn(&Subject<'a>, Outcome) -> Outcome,
    ) -> Vec<Outcome> {
        let subjects = self.subjects.iter().filter(|subject| fits(subject));
        let outcomes: Vec<Outcome> =
            subjects.map(|subject| judge(subject, Outcome::about(rule, subject.process))).collect();
        if outcomes.is_empty() {
            return vec![Outcome::new(rule, None).unknown(self.one_to_judge(), "not in the list")];
        }
        outcomes
    }

    /// What is missing where no process bears the name.
    pub(super) fn one_to_judge(&self) -> String {
        let name = self.core.name;
        // By the sound of it: an smss.exe, a csrss.exe.
        let article =
            if name.starts_with(['a', 'e', 'i', 'o', 'u', 's']) && !name.starts_with("se") { "an" } else { "a" };
        format!("{article} {name} to judge")
    }
}

/// Whether a process may run, and neither its name nor its path could be read.
pub(super) fn is_nameless(process: &Process) -> bool {
    process.name.absent().is_some() && process.path.value().is_none() && !process.has_exited()
}

/// System: of those that bear its id the one that nobody started.
fn system_of<'a>(rows: &[(usize, &'a Process)]) -> Option<&'a Process> {
    let named = || rows.iter().map(|row| row.1).filter(|process| process.pid.value() == Some(&SYSTEM_PID));
    named().find(|process| process.ppid.value() == Some(&0)).or_else(|| named().next())
}

/// True where the process is known to run in a container.
fn in_silo(process: &Process) -> bool {
    process.silo.value().is_some_and(|at| !at.is_null())
}

/// The device that the kernel's path of a process names.
fn device(process: &Process) -> Option<String> {
    VolumePath::read(process.path.value()?)?.device().map(str::to_owned)
}
