//! The machine as the checks see it: rows that are processes, who of them is the master, what can be relied on.

use super::paths::{SystemRoot, VolumePath, same};
use super::{Outcome, table};
use crate::picture::{FIRST_WITH_SILOS, Members, Picture, Session, SessionModel, Sighting};
use crate::process::Source;
use crate::{ListEnd, Mode, ModeKind, Parent, Process, ProcessTree, Reading, System, Ticks};

/// The part that an smss.exe plays, by its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The one that System started: of several that say so, the one that looks most like it.
    Master,
    /// Another one whose parent is System.
    Claimant,
    /// Started by the master for a session.
    Child,
    /// Started by the master for a container, where it stays.
    Silo,
    /// Started by somebody else.
    Stranger,
    /// Its parent is not known, or may be a master that the list does not hold.
    Undetermined,
}

/// One smss.exe: by name, or by the name of the file it was started from.
pub(super) struct Smss<'a> {
    pub(super) process: &'a Process,
    /// Position in the list.
    pub(super) at: usize,
    pub(super) role: Role,
}

/// What the kernel's path says.
pub(super) enum ImagePath {
    /// The expected one.
    Right,
    /// Another one.
    Wrong(VolumePath),
    /// The kernel has none.
    Missing,
    /// Not known, and why.
    Unknown(String),
}

/// See the module.
pub(super) struct Scene<'a> {
    pub(super) system: &'a System,
    /// Each process once, without the rows that are none; with its position in the list.
    pub(super) rows: &'a [(usize, &'a Process)],
    pub(super) smss: Vec<Smss<'a>>,
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
    /// The same sessions as documents have them.
    pub(super) kinds: &'a [Session],
    /// The cross view: one for each process of the list, in its order.
    pub(super) sightings: &'a [Sighting],
    /// Rows that an earlier boot left in memory: only a scan finds them, and they are older than System.
    pub(super) leftovers: &'a [&'a Process],
    /// The volume of this Windows.
    volume: Option<String>,
    silo_signs: bool,
    /// System, by its pid.
    of_system: Option<&'a Process>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(picture: &'a Picture<'_>) -> Self {
        let system = picture.system();
        let rows = &picture.rows().of_this_boot;
        let mut scene = Self {
            system,
            tree: picture.tree(),
            build: picture.build(),
            model: picture.model(),
            root: SystemRoot::new(system.machine.root.value().map(String::as_str)),
            clock_step: picture.clock_step(),
            modes: picture.modes(),
            leftovers: &picture.rows().leftovers,
            of_system: rows.iter().map(|row| row.1).find(|process| process.pid.value() == Some(&table::SYSTEM_PID)),
            sessions: picture.members(),
            rows,
            smss: Vec::new(),
            volume: None,
            silo_signs: picture.silo_signs(),
            kinds: picture.sessions(),
            sightings: picture.cross_view(),
            passed_over: picture.rows().passed_over.clone(),
        };
        scene.cast();
        scene.volume = scene.volume_of_system32();
        scene
    }

    /// What tells that the machine is in this state, if it is.
    pub(super) fn mode(&self, kind: ModeKind) -> Option<&Mode> {
        self.modes.iter().find(|mode| mode.mode == kind)
    }

    /// True for a container's session.
    pub(super) fn is_silo(&self, session: &Members<'_>) -> bool {
        session.is_silo(self.silo_signs)
    }

    /// The master, if there is one.
    pub(super) fn master(&self) -> Option<&Smss<'a>> {
        self.smss.iter().find(|smss| smss.role == Role::Master)
    }

    /// System, by its pid.
    pub(super) const fn system_process(&self) -> Option<&'a Process> {
        self.of_system
    }

    /// Why the list is only a part of the processes; `None` where it is whole.
    pub(super) fn part_reason(&self) -> Option<&'static str> {
        match self.system.processes.end {
            Some(ListEnd::Complete) => None,
            Some(ListEnd::Cycle) => Some("a part: the walk of the list ran into a ring"),
            Some(ListEnd::Broken) => Some("a part: the walk of the list broke off"),
            Some(ListEnd::Limit) => Some("a part: the walk of the list was stopped at its cap"),
            None => Some("perhaps a part: whoever made the list does not say how it ended"),
        }
    }

    /// The processes that are not known to be over and have this name.
    pub(super) fn running(&self, name: &str) -> impl Iterator<Item = &'a Process> {
        self.rows
            .iter()
            .map(|(_, process)| *process)
            .filter(move |process| process.is_named(name) && !process.has_exited())
    }

    /// How long a process had run when the image was taken, or why that is not known.
    pub(super) fn age(&self, process: &Process) -> Result<Ticks, String> {
        let captured =
            self.system.machine.captured.known().map_err(|absent| format!("{absent} (time of the image)"))?;
        let captured = captured.ok_or("not given (time of the image)")?;
        let started = process.started().ok_or_else(|| describe(&process.created) + " (creation time)")?;
        let age = captured.since(started);
        if age < Ticks::seconds(0) {
            return Err(format!("spoilt by a step of the clock: the process is {} younger than the image", age.abs()));
        }
        Ok(age)
    }

    /// The kernel's path of a process against `below` the system root.
    pub(super) fn image_path(&self, process: &Process, below: &str) -> ImagePath {
        match &process.path {
            Reading::Absent(absent) => ImagePath::Unknown(absent.to_string()),
            Reading::Nothing => ImagePath::Missing,
            Reading::Value(text) => match VolumePath::read(text) {
                None => ImagePath::Unknown(format!("unparsable: {text:?} is no path")),
                Some(path) if self.root.holds(&path, below) => ImagePath::Right,
                Some(path) => ImagePath::Wrong(path),
            },
        }
    }

    /// The volume of this Windows, if the process runs from another one. Containers have volumes of their own.
    pub(super) fn other_volume(&self, smss: &Smss<'_>) -> Option<&str> {
        if smss.role == Role::Silo || in_silo(smss.process) {
            return None;
        }
        let (own, theirs) = (device(smss.process)?, self.volume.as_deref()?);
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
            let name = table::OF_SYSTEM32.iter().find(|name| process.is_named(name));
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

    /// One outcome for each smss.exe; one for the machine where there is none.
    pub(super) fn each(&self, id: &str, judge: impl Fn(&Smss<'a>, Outcome) -> Outcome) -> Vec<Outcome> {
        self.each_if(id, |_| true, judge)
    }

    /// The same for those smss.exe whose role `fits`.
    pub(super) fn each_if(
        &self,
        id: &str,
        fits: impl Fn(&Smss<'a>) -> bool,
        judge: impl Fn(&Smss<'a>, Outcome) -> Outcome,
    ) -> Vec<Outcome> {
        let outcomes: Vec<Outcome> = self
            .smss
            .iter()
            .filter(|smss| fits(smss))
            .map(|smss| judge(smss, Outcome::about(id, smss.process)))
            .collect();
        if outcomes.is_empty() {
            return vec![Outcome::new(id, None).unknown("an smss.exe to judge", "not in the list")];
        }
        outcomes
    }
}

/// Why a reading has no value, in words that follow "which was".
pub(super) fn describe<T>(reading: &Reading<T>) -> String {
    match reading {
        Reading::Value(_) => "no sensible value".to_owned(),
        Reading::Nothing => "empty".to_owned(),
        Reading::Absent(absent) => absent.to_string(),
    }
}

/// True where the process is known to run in a container.
fn in_silo(process: &Process) -> bool {
    process.silo.value().is_some_and(|at| !at.is_null())
}

/// The device that the kernel's path of a process names.
fn device(process: &Process) -> Option<String> {
    VolumePath::read(process.path.value()?)?.device().map(str::to_owned)
}

/// By name, or by the file's: an attacker can change one of the two in memory.
pub(super) fn is_called_smss(process: &Process) -> bool {
    process.is_named("smss.exe")
        || process
            .path
            .value()
            .and_then(|path| VolumePath::read(path))
            .is_some_and(|path| same(path.base_name(), "smss.exe"))
}
