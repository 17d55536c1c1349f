//! What follows from the records of a system: process tree, sessions, cross view, states of the machine. Pure: it looks at
//! records, never at memory.

mod cross_view;
#[cfg(test)]
mod cross_view_tests;
mod modes;
mod motion;
mod rows;
mod sessions;
mod stamps;
mod tree;

pub use cross_view::{Explanation, Sighting};
pub use modes::{Mode, ModeKind};
pub use motion::{Motion, Sign, SignKind};
pub(crate) use rows::Rows;
pub use sessions::{Creator, NamedBy, Session, SessionKind};
pub(crate) use sessions::{FIRST_WITH_SILOS, Members, SessionModel, VISTA};
pub(crate) use stamps::{Discord, between, discords};
pub(crate) use tree::clock_step_by;
pub use tree::{Parent, ProcessTree};

use crate::System;
use std::fmt;
use std::sync::OnceLock;

/// What the records of one system say together. Each part is worked out when it is first asked for, and once: checks, text and
/// documents ask the same picture.
pub struct Picture<'s> {
    system: &'s System,
    clock_step: OnceLock<Option<String>>,
    tree: OnceLock<ProcessTree>,
    rows: OnceLock<Rows<'s>>,
    members: OnceLock<Vec<Members<'s>>>,
    everybody: OnceLock<Vec<Members<'s>>>,
    sessions: OnceLock<Vec<Session>>,
    cross_view: OnceLock<Vec<Sighting>>,
    modes: OnceLock<Vec<Mode>>,
    motion: OnceLock<Motion>,
}

impl<'s> Picture<'s> {
    /// The picture of a system. Nothing is worked out yet.
    #[must_use]
    pub const fn new(system: &'s System) -> Self {
        Self {
            system,
            clock_step: OnceLock::new(),
            tree: OnceLock::new(),
            rows: OnceLock::new(),
            members: OnceLock::new(),
            everybody: OnceLock::new(),
            sessions: OnceLock::new(),
            cross_view: OnceLock::new(),
            modes: OnceLock::new(),
            motion: OnceLock::new(),
        }
    }

    /// The records.
    #[must_use]
    pub const fn system(&self) -> &'s System {
        self.system
    }

    /// Build number of the kernel, if it is known. Where its `NtBuildLab` has a later one than `KUSER_SHARED_DATA` and
    /// `NtBuildNumber`, that: whoever writes an older number there must not be excused by what an older Windows lacks.
    #[must_use]
    pub fn build(&self) -> Option<u32> {
        self.system.kernel.as_ref().and_then(|kernel| kernel.build.max(kernel.lab_build()))
    }

    /// The sign that the clock was set back since smss.exe started, if there is one.
    #[must_use]
    pub fn clock_step(&self) -> Option<&str> {
        self.clock_step.get_or_init(|| clock_step_by(&self.system.processes.items, |_| true)).as_deref()
    }

    /// Who started whom. Positions in it are positions in `system.processes.items`.
    #[must_use]
    pub fn tree(&self) -> &ProcessTree {
        self.tree.get_or_init(|| {
            let list = &self.system.processes;
            ProcessTree::join(&list.items, self.clock_step().is_some(), !list.in_foreign_order)
        })
    }

    /// The rows of the list that are processes, each once.
    pub(crate) fn rows(&self) -> &Rows<'s> {
        self.rows.get_or_init(|| Rows::new(self))
    }

    /// The processes of this boot by session.
    pub(crate) fn members(&self) -> &[Members<'s>] {
        self.members.get_or_init(|| Members::group(self.rows().of_this_boot.iter().copied()))
    }

    /// All rows of the list by session, also what an earlier boot left.
    fn everybody(&self) -> &[Members<'s>] {
        self.everybody.get_or_init(|| Members::group(self.system.processes.items.iter().enumerate()))
    }

    /// Whether a wininit.exe of its own means that a session of this boot is a container's.
    pub(crate) fn silo_signs(&self) -> bool {
        Members::silo_signs(self.members(), self.build())
    }

    /// Who starts csrss and winlogon on this system.
    pub(crate) fn model(&self) -> SessionModel {
        SessionModel::of(&self.system.processes.items, self.build())
    }

    /// The sessions, by id.
    #[must_use]
    pub fn sessions(&self) -> &[Session] {
        self.sessions.get_or_init(|| sessions::sessions(self))
    }

    /// Which sources hold each process, and what explains that: one sighting for each of `system.processes.items`, in their
    /// order. Empty where the list does not say what held its processes.
    #[must_use]
    pub fn cross_view(&self) -> &[Sighting] {
        self.cross_view.get_or_init(|| cross_view::cross_view(self))
    }

    /// From when to when the image was taken, and what shows that it was not taken at once.
    #[must_use]
    pub fn motion(&self) -> &Motion {
        self.motion.get_or_init(|| Motion::of(self))
    }

    /// The states of the machine that change what is usual on it.
    #[must_use]
    pub fn modes(&self) -> &[Mode] {
        self.modes.get_or_init(|| modes::detect(self))
    }
}

/// Of which system: the parts may be long.
impl fmt::Debug for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picture").field("processes", &self.system.processes.items.len()).finish_non_exhaustive()
    }
}
