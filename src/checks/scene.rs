//! The machine as the checks see it: rows that are processes, who of them is the master, what can be relied on.

use super::paths::{SystemRoot, VolumePath, same};
use super::{Outcome, table};
use crate::picture::{FIRST_WITH_SILOS, Members, SessionModel, clock_step};
use crate::{ListEnd, Mode, ModeKind, Parent, Process, ProcessTree, Reading, System, Ticks};
use std::collections::BTreeMap;

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

/// The view that a scan of memory gives.
pub(super) const SCAN: &str = "pool_scan";

/// See the module.
pub(super) struct Scene<'a> {
    pub(super) system: &'a System,
    /// Each process once, without the rows that are none; with its position in the list.
    pub(super) rows: Vec<(usize, &'a Process)>,
    pub(super) smss: Vec<Smss<'a>>,
    pub(super) sessions: Vec<Members<'a>>,
    pub(super) tree: ProcessTree,
    pub(super) build: Option<u32>,
    pub(super) model: SessionModel,
    pub(super) root: SystemRoot,
    /// The sign that the clock was set back since smss started.
    pub(super) clock_step: Option<String>,
    /// States of the machine.
    pub(super) modes: Vec<Mode>,
    pub(super) passed_over: Vec<String>,
    /// Rows that an earlier boot left in memory: only a scan finds them, and they are older than System.
    pub(super) leftovers: Vec<&'a Process>,
    silo_signs: bool,
    /// The volume of this Windows.
    volume: Option<String>,
    /// System, by its pid.
    of_system: Option<&'a Process>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(system: &'a System) -> Self {
        let items = &system.processes.items;
        let build = system.kernel.as_ref().and_then(|kernel| kernel.build);
        let mut passed_over = Vec::new();
        let mut rows = judged(items, &mut passed_over);
        let clock_step = clock_step(items);
        let leftovers = if clock_step.is_none() { put_aside_leftovers(&mut rows) } else { Vec::new() };
        let sessions = Members::group(rows.iter().copied());
        let mut scene = Self {
            system,
            tree: ProcessTree::new(items),
            build,
            model: SessionModel::of(items, build),
            root: SystemRoot::new(system.machine.root.value().map(String::as_str)),
            clock_step,
            modes: Mode::detect(system),
            passed_over,
            leftovers,
            silo_signs: Members::silo_signs(&sessions, build),
            of_system: rows.iter().map(|row| row.1).find(|process| process.pid.value() == Some(&table::SYSTEM_PID)),
            sessions,
            rows,
            smss: Vec::new(),
            volume: None,
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
        self.rows.iter().any(|(_, process)| process.sources.iter().any(|source| source == SCAN))
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

/// The idle process, as other tools list it. Where it is said what held the process, somebody wrote this pid over another.
fn is_idle(process: &Process) -> bool {
    process.pid.value() == Some(&0) && process.sources.is_empty() && !is_called_smss(process)
}

/// The rows to judge: each process once, garbage put aside and named.
fn judged<'a>(items: &'a [Process], passed_over: &mut Vec<String>) -> Vec<(usize, &'a Process)> {
    let mut rows: Vec<(usize, &Process)> = Vec::new();
    let mut by_pid: BTreeMap<u64, Vec<&Process>> = BTreeMap::new();
    for (at, process) in items.iter().enumerate() {
        let words = || {
            let pid = process.pid.value().map_or_else(|| "?".to_owned(), u64::to_string);
            format!("row {at} (pid {pid}, {})", process.name.value().map_or("no name", String::as_str))
        };
        if process.is_garbage() {
            passed_over.push(format!("{} is no process: its values are impossible", words()));
        } else if is_idle(process) {
            passed_over.push(format!("{} is the idle process", words()));
        } else {
            if let Some(pid) = process.pid.value() {
                let same = by_pid.entry(*pid).or_default();
                if same.iter().any(|before| before.is_same_process(process)) {
                    passed_over.push(format!("{} is a process that an earlier row has already", words()));
                    continue;
                }
                same.push(process);
            }
            rows.push((at, process));
        }
    }
    rows
}

/// Takes out of `rows` what is older than this boot and in no view but that of a scan of memory.
fn put_aside_leftovers<'a>(rows: &mut Vec<(usize, &'a Process)>) -> Vec<&'a Process> {
    let system = rows.iter().map(|row| row.1).find(|process| process.pid.value() == Some(&table::SYSTEM_PID));
    let Some(boot) = system.and_then(Process::started) else { return Vec::new() };
    let is_left = |process: &Process| {
        process.is_known_by_object_alone()
            && !process.sources.is_empty()
            && process.started().is_some_and(|started| boot.since(started) > Ticks::seconds(60))
    };
    let left = rows.iter().map(|row| row.1).filter(|process| is_left(process)).collect();
    rows.retain(|(_, process)| !is_left(process));
    left
}
