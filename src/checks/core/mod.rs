//! What is normal for the processes that Windows is made of, as data: one file a process.

pub mod smss;

use std::ops::RangeInclusive;

/// Pid of System on every version.
pub const SYSTEM_PID: u64 = 4;
/// Local System.
pub const LOCAL_SYSTEM: &str = "S-1-5-18";

/// What Windows makes one of its own processes. Paths are below the system root, with their leading backslash.
#[derive(Clone, Copy, Debug)]
pub struct CoreProcess {
    /// Name of the image: `smss.exe`.
    pub name: &'static str,
    /// The image.
    pub path: &'static str,
    /// Who starts it.
    pub parent: StartedBy,
    /// How many run.
    pub count: Count,
    /// SID of the user it runs as.
    pub user: &'static str,
    /// The session its `EPROCESS.Session` leads to.
    pub session: InSession,
    /// The whole command line. `None`: it differs, and is not judged.
    pub command_line: Option<&'static str>,
    /// Seconds from System's start to its own: the bounds (inclusive) of what passes, the upper bounds of what is low and
    /// medium; later is high. `None`: it starts at any time.
    pub start: Option<[i64; 4]>,
    /// `EPROCESS.Protection.Level`, from a build on. Empty: it is not protected.
    pub protection: &'static [(u32, u64)],
    /// First build in which it disables dynamic code for itself.
    pub dynamic_code_disabled: Option<u32>,
    /// `BreakOnTermination` is set. False: that is not judged.
    pub critical: bool,
    /// `KPROCESS.BasePriority`.
    pub base_priority: Option<i32>,
    /// More threads than this were never seen.
    pub most_threads: Option<u32>,
    /// The modules of a native process. `None`: many, and not judged.
    pub modules: Option<&'static [&'static str]>,
    /// Modules that some builds map into every process.
    pub modules_of_builds: &'static [(RangeInclusive<u32>, &'static str)],
    /// What it starts.
    pub children: Children,
}

/// Who starts a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartedBy {
    /// System; and the first of them starts one more for each session, which exits, and for each container.
    System,
    /// The process of this name, which stays.
    Process(&'static str),
    /// The smss.exe of its session, which has exited by then.
    SessionsSmss,
}

/// How many of a process run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Count {
    /// One, beside those of sessions in the making and of containers.
    One,
    /// One in each session.
    EachSession,
    /// As many as there is work for.
    Many,
}

/// The session of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InSession {
    /// `EPROCESS.Session` is null.
    None,
    /// The session of services.
    Zero,
    /// Any that there is.
    Any,
}

/// What a process starts, by image name.
#[derive(Clone, Copy, Debug)]
pub struct Children {
    /// On every boot, or for every session.
    pub usual: &'static [&'static str],
    /// Now and then; from System32.
    pub at_times: &'static [&'static str],
    /// For other vendors, from where those install.
    pub of_vendors: &'static [&'static str],
    /// Up to and with a build.
    pub until: &'static [(&'static str, u32)],
}

impl Children {
    /// Nothing, or nothing that is judged.
    pub const NONE: Self = Self { usual: &[], at_times: &[], of_vendors: &[], until: &[] };
}

impl CoreProcess {
    /// The protection that a build gives it; `None` before the first that does.
    #[must_use]
    pub fn protection(&self, build: u32) -> Option<u64> {
        level(self.protection, build)
    }
}

/// The last level that is in force at `build`.
pub(super) fn level(levels: &[(u32, u64)], build: u32) -> Option<u64> {
    levels.iter().rev().find(|(first, _)| *first <= build).map(|(_, level)| *level)
}
