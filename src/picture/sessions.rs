//! Sessions, rebuilt from their processes.

use super::{Parent, Picture};
use crate::location::Location;
use crate::process::Source;
use crate::words::words;
use crate::{Process, Timestamp, VirtualAddress};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

words! {
    /// What a session is for.
    pub enum SessionKind {
        /// Session 0 since Vista: services.
        Services = "services",
        /// Session 0 before Vista: services, and whoever sits there.
        Console = "console",
        /// Somebody is logged on.
        Interactive = "interactive",
        /// Somebody is logged on from afar.
        Rdp = "rdp",
        /// Nobody has logged on yet.
        Logon = "logon",
        /// csrss and winlogon alone: just made, or going.
        Incomplete = "incomplete",
        /// A container's.
        Silo = "silo",
        /// Only exited processes are left.
        Ended = "ended",
    }
}

/// One session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Session {
    /// Session id. Ids need not be contiguous.
    pub id: u32,
    /// What it is for. `None`: cannot be told.
    pub kind: Option<SessionKind>,
    /// The pid that csrss and wininit or winlogon name as their parent: the smss child that built the session, or before
    /// Vista the master. `None`: one of them is missing, or they disagree.
    pub creator_pid: Option<u64>,
    /// What has become of the creator.
    pub creator: Option<Creator>,
    /// The creator's image name, where its object was found.
    pub creator_name: Option<String>,
    /// Address of its `_EPROCESS`: its pid may be another's now.
    pub creator_eprocess: Option<VirtualAddress>,
    /// When it exited.
    pub creator_exited: Option<Timestamp>,
    /// The sources that hold it: an exited one is often found by scanning memory only.
    pub creator_sources: Vec<Source>,
    /// Who names `creator_pid`, and where: the evidence for it.
    pub creator_named_by: Vec<NamedBy>,
    /// Processes of this session, exited ones included, in list order.
    pub pids: Vec<u64>,
}

/// A process that names the creator of its session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct NamedBy {
    /// Its pid.
    pub pid: Option<u64>,
    /// Its image name.
    pub name: Option<String>,
    /// Where it says so: its `EPROCESS.InheritedFromUniqueProcessId`.
    pub location: Option<Location>,
}

/// What has become of the process that built a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Creator {
    /// It is listed, and not known to be over.
    Live,
    /// It has exited and is still listed.
    Exited,
    /// It is not listed any more: what is usual.
    Vanished,
    /// Another process has its pid now.
    Reused,
}

/// Who starts csrss and winlogon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionModel {
    /// XP and 2003: the master itself, for every session.
    Master,
    /// Vista and later: an smss child for each session, which then exits.
    Child,
    /// Neither the build nor the processes tell.
    Unknown,
}

/// First build with a child of smss per session: Vista.
pub(crate) const VISTA: u32 = 6000;
/// First build with server silos: Windows 10 1607, Server 2016.
pub(crate) const FIRST_WITH_SILOS: u32 = 14393;

impl SessionModel {
    /// By the build, or else by what only one of the models has: wininit and the minimal processes came after XP.
    pub(crate) fn of(processes: &[Process], build: Option<u32>) -> Self {
        if let Some(build) = build {
            return if build < VISTA { Self::Master } else { Self::Child };
        }
        let any = |name: &str| processes.iter().any(|process| process.is_named(name) && !process.is_garbage());
        if any("wininit.exe") || any("Registry") || any("MemCompression") {
            return Self::Child;
        }
        let master = processes
            .iter()
            .find(|process| process.is_called("smss.exe") && process.ppid.value() == Some(&4))
            .and_then(|process| process.pid.value());
        let under_master = |name: &str| {
            processes.iter().any(|process| process.is_named(name) && master.is_some() && process.ppid.value() == master)
        };
        if under_master("csrss.exe") && under_master("winlogon.exe") { Self::Master } else { Self::Unknown }
    }
}

/// The processes of one session, by part. Those known to be over are only in `all`.
pub(crate) struct Members<'a> {
    pub(crate) id: u32,
    pub(crate) all: Vec<(usize, &'a Process)>,
    pub(crate) running: Vec<&'a Process>,
    pub(crate) csrss: Vec<(usize, &'a Process)>,
    pub(crate) wininit: Vec<(usize, &'a Process)>,
    pub(crate) winlogon: Vec<(usize, &'a Process)>,
}

impl<'a> Members<'a> {
    /// Groups the rows (positions and processes) by `EPROCESS.Session`; rows without a known session are left out.
    pub(crate) fn group(rows: impl Iterator<Item = (usize, &'a Process)>) -> Vec<Self> {
        let mut sessions: BTreeMap<u32, Vec<(usize, &'a Process)>> = BTreeMap::new();
        for (at, process) in rows.filter(|(_, process)| !process.is_garbage()) {
            if let Some(&id) = process.session.value() {
                sessions.entry(id).or_default().push((at, process));
            }
        }
        sessions
            .into_iter()
            .map(|(id, all)| {
                let running = || all.iter().copied().filter(|(_, process)| !process.has_exited());
                let named = |name: &str| running().filter(|(_, process)| process.goes_by(name)).collect();
                Self {
                    id,
                    csrss: named("csrss.exe"),
                    wininit: named("wininit.exe"),
                    winlogon: named("winlogon.exe"),
                    running: running().map(|(_, process)| process).collect(),
                    all,
                }
            })
            .collect()
    }

    /// The process that the session's smss starts after csrss: wininit in the services session and in a container, winlogon elsewhere.
    pub(crate) fn partners(&self, model: SessionModel, silo: bool) -> &[(usize, &'a Process)] {
        let services = self.id == 0 && model != SessionModel::Master && !self.wininit.is_empty();
        if silo || services { &self.wininit } else { &self.winlogon }
    }

    /// True for the session of a server silo: its processes say so, or it has a wininit of its own and no winlogon.
    /// The latter is a sign only where [`silo_signs`](Self::silo_signs) says so.
    pub(crate) fn is_silo(&self, signs: bool) -> bool {
        let inside = self.running.iter().filter(|process| process.silo.value().is_some_and(|at| !at.is_null())).count();
        let known_outside = self.running.iter().any(|process| process.silo.is_nothing());
        inside > 0 && inside.saturating_mul(2) >= self.running.len()
            || (!known_outside && self.id != 0 && signs && !self.wininit.is_empty() && self.winlogon.is_empty())
    }

    /// Whether a wininit outside session 0 can mean a container: they came with 1607, and the host keeps its own wininit.
    pub(crate) fn silo_signs(members: &[Self], build: Option<u32>) -> bool {
        build.is_none_or(|build| build >= FIRST_WITH_SILOS)
            && members.iter().any(|session| session.id == 0 && !session.wininit.is_empty())
    }

    /// The one pid that csrss and its partner all name as parent.
    pub(crate) fn creator_pid(&self, model: SessionModel, silo: bool) -> Option<u64> {
        let partners = self.partners(model, silo);
        let first = self.csrss.first().and_then(|(_, process)| process.ppid.value())?;
        let agree = |rows: &[(usize, &Process)]| {
            !rows.is_empty() && rows.iter().all(|(_, process)| process.ppid.value() == Some(first))
        };
        (agree(&self.csrss) && agree(partners)).then_some(*first)
    }

    fn kind(&self, model: SessionModel, silo: bool, complete: bool) -> Option<SessionKind> {
        let any = |names: &[&str]| self.running.iter().any(|process| names.iter().any(|name| process.is_named(name)));
        if silo {
            return Some(SessionKind::Silo);
        }
        if self.running.is_empty() {
            return Some(SessionKind::Ended);
        }
        if self.id == 0 {
            return match model {
                SessionModel::Master => Some(SessionKind::Console),
                SessionModel::Child => Some(SessionKind::Services),
                SessionModel::Unknown => None,
            };
        }
        if any(&["rdpclip.exe"]) {
            return Some(SessionKind::Rdp);
        }
        let user = |process: &&Process| {
            let user = process.user.value().is_some_and(|sid| sid.starts_with("S-1-5-21-"));
            user || ["explorer.exe", "userinit.exe"].iter().any(|name| process.is_named(name))
        };
        if self.running.iter().any(user) {
            return Some(SessionKind::Interactive);
        }
        // What is missing from part of a list tells nothing.
        if !complete || self.csrss.is_empty() || self.winlogon.is_empty() {
            return None;
        }
        let core = ["csrss.exe", "winlogon.exe", "LogonUI.exe", "dwm.exe", "fontdrvhost.exe"];
        let only_core = self.running.iter().all(|process| core.iter().any(|name| process.is_named(name)));
        match (only_core, any(&["LogonUI.exe"])) {
            (true, true) => Some(SessionKind::Logon),
            (true, false) => Some(SessionKind::Incomplete),
            (false, _) => None,
        }
    }
}

/// The sessions of a list, by id.
pub(super) fn sessions(picture: &Picture<'_>) -> Vec<Session> {
    let list = &picture.system().processes;
    let (model, tree) = (picture.model(), picture.tree());
    let complete = list.end == Some(crate::ListEnd::Complete);
    let members = picture.everybody();
    let signs = Members::silo_signs(members, picture.build());
    let rebuild = |session: &Members<'_>| {
        let silo = session.is_silo(signs);
        let creator_pid = session.creator_pid(model, silo);
        let parent = creator_pid.and(session.csrss.first()).map(|(at, _)| tree.parent(*at));
        let creator = parent.and_then(|parent| match parent {
            Parent::Listed(_) => Some(Creator::Live),
            Parent::Exited(_) => Some(Creator::Exited),
            Parent::Vanished(_) => Some(Creator::Vanished),
            Parent::Reused { .. } => Some(Creator::Reused),
            Parent::Ring(_) | Parent::None | Parent::Unknown => None,
        });
        let found = parent.and_then(Parent::position).and_then(|at| list.items.get(at));
        let namers = session.csrss.iter().chain(session.partners(model, silo)).filter(|_| creator_pid.is_some());
        Session {
            id: session.id,
            kind: session.kind(model, silo, complete),
            creator_pid,
            creator,
            creator_name: found.and_then(|creator| creator.name.value().cloned()),
            creator_eprocess: found.and_then(|creator| creator.eprocess.value().copied()),
            creator_exited: found.and_then(|creator| creator.exited.value().copied()),
            creator_sources: found.map(|creator| creator.sources.clone()).unwrap_or_default(),
            creator_named_by: namers.map(|(_, process)| NamedBy::new(process)).collect(),
            pids: session.all.iter().filter_map(|(_, process)| process.pid.value().copied()).collect(),
        }
    };
    members.iter().map(rebuild).collect()
}

impl NamedBy {
    fn new(process: &Process) -> Self {
        Self {
            pid: process.pid.value().copied(),
            name: process.name.value().cloned(),
            location: process.located.get("ppid").cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KernelInfo, ListEnd, ProcessList, Reading, System, Timestamp};

    fn row(pid: u64, ppid: u64, name: &str, session: u32) -> Process {
        Process {
            pid: Reading::Value(pid),
            ppid: Reading::Value(ppid),
            name: Reading::Value(name.into()),
            session: Reading::Value(session),
            created: Reading::Value(Timestamp(133_000_000_000_000_000 + pid)),
            exited: Reading::Nothing,
            threads: Reading::Value(2),
            ..Process::default()
        }
    }

    fn list(items: Vec<Process>) -> ProcessList {
        ProcessList { end: Some(ListEnd::Complete), items, ..ProcessList::default() }
    }

    fn rebuilt(processes: ProcessList, build: Option<u32>) -> Vec<Session> {
        let kernel = Some(KernelInfo { build, ..KernelInfo::default() });
        let system = System { kernel, processes, ..System::default() };
        Picture::new(&system).sessions().to_vec()
    }

    #[test]
    fn builder_is_named_only_where_both_name_it() {
        // INCSES: 0x147c and 0x2660; the second pair is made to disagree.
        let sessions = rebuilt(
            list(vec![
                row(6516, 5244, "csrss.exe", 6),
                row(6884, 5244, "winlogon.exe", 6),
                row(8276, 7612, "explorer.exe", 6),
                row(10328, 9824, "csrss.exe", 8),
                row(10360, 7612, "winlogon.exe", 8),
            ]),
            Some(6002),
        );
        assert_eq!(sessions.iter().map(|s| (s.id, s.creator_pid)).collect::<Vec<_>>(), [(6, Some(5244)), (8, None)]);
        assert_eq!(sessions[0].creator, Some(Creator::Vanished));
        assert_eq!(sessions[0].kind, Some(SessionKind::Interactive));
        assert_eq!(sessions[1].kind, Some(SessionKind::Incomplete));
    }

    #[test]
    fn a_container_has_wininit_and_no_winlogon() {
        let rows = vec![
            row(408, 396, "csrss.exe", 0),
            row(508, 396, "wininit.exe", 0),
            row(4524, 4508, "csrss.exe", 4),
            row(3752, 4508, "wininit.exe", 4),
        ];
        let kinds = |build| -> Vec<_> {
            rebuilt(list(rows.clone()), build).into_iter().map(|s| (s.kind, s.creator_pid)).collect()
        };
        let expected = [(Some(SessionKind::Services), Some(396)), (Some(SessionKind::Silo), Some(4508))];
        assert_eq!(kinds(Some(17763)), expected);
        assert_eq!(kinds(None), expected);
    }

    #[test]
    fn before_vista_the_master_builds_every_session() {
        let rows = vec![
            Process { session: Reading::Nothing, ..row(348, 4, "smss.exe", 0) },
            row(596, 348, "csrss.exe", 0),
            row(620, 348, "winlogon.exe", 0),
        ];
        let sessions = rebuilt(list(rows), None);
        assert_eq!(sessions.len(), 1);
        assert_eq!(sessions[0].kind, Some(SessionKind::Console));
        assert_eq!((sessions[0].creator_pid, sessions[0].creator), (Some(348), Some(Creator::Live)));
    }

    #[test]
    fn what_is_left_of_a_closed_session() {
        let mut exited = row(5000, 600, "dwm.exe", 3);
        exited.threads = Reading::Value(0);
        let sessions = rebuilt(list(vec![exited]), Some(19041));
        assert_eq!(sessions[0].kind, Some(SessionKind::Ended));
        assert_eq!(sessions[0].pids, [5000]);
    }
}
