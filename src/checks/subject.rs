//! Who plays which part among the processes of one name.

use super::case::{Case, ImagePath};
use super::core::{SYSTEM_PID, smss::SMSS};
use super::rules::stale_child::CHILD_AGE;
use super::words::is_sid;
use crate::{Liveness, Process, Reading, Ticks, Timestamp, VirtualAddress};

/// The part that a process plays, by its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// The smss.exe that System started: of several that say so, the one that looks most like it.
    Master,
    /// Another smss.exe whose parent is System.
    Claimant,
    /// An smss.exe that the master started for a session.
    Child,
    /// An smss.exe that the master started for a container, where it stays.
    Silo,
    /// An smss.exe that somebody else started.
    Stranger,
    /// An smss.exe whose parent is not known, or may be a master that the list does not hold.
    Undetermined,
    /// One of the processes of any other name: all of them play one part.
    Peer,
}

/// One process that is judged: by name, or by the name of the file it was started from.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Subject<'a> {
    /// The process.
    pub process: &'a Process,
    /// Its position in the list.
    pub at: usize,
    /// The part it plays.
    pub role: Role,
}

/// No machine ever had more; rows beyond are hostile, and every check looks at each of these.
const MOST: usize = 1024;

impl<'a> Case<'a> {
    /// Finds the processes that are judged.
    pub(super) fn cast_subjects(&mut self) {
        self.subjects = if self.core.name == SMSS.name {
            self.smss.clone()
        } else {
            let named = self.rows.iter().filter(|(_, process)| process.is_called(self.core.name));
            let number = named.clone().count();
            if let Some(beyond) = number.checked_sub(MOST).filter(|beyond| *beyond > 0) {
                let words = format!("{beyond} more processes named {}, beyond the first {MOST}", self.core.name);
                self.passed_over.push(words);
            }
            named.take(MOST).map(|&(at, process)| Subject { process, at, role: Role::Peer }).collect()
        };
    }

    /// Gives every smss.exe its role.
    pub(super) fn cast_smss(&mut self) {
        let named: Vec<(usize, &'a Process)> =
            self.rows.iter().copied().filter(|(_, process)| process.is_called(SMSS.name)).collect();
        let best = |fits: &dyn Fn(&Process) -> bool| {
            named
                .iter()
                .filter(|(_, process)| fits(process))
                .min_by_key(|(_, process)| self.unlikeness(process))
                .map(|(at, _)| *at)
        };
        let of_system = |process: &Process| process.ppid.value() == Some(&SYSTEM_PID);
        // A master whose parent field was changed still looks like one in everything else.
        let master = best(&of_system).or_else(|| best(&|process| self.could_be_master(process, &named)));
        let master_pid = named.iter().find(|(at, _)| Some(*at) == master).and_then(|(_, process)| process.pid.value());
        if let Some(beyond) = named.len().checked_sub(MOST).filter(|beyond| *beyond > 0) {
            self.passed_over.push(format!("{beyond} more processes named smss.exe, beyond the first {MOST}"));
        }
        self.smss = named
            .iter()
            .enumerate()
            .filter(|(number, (at, _))| *number < MOST || Some(*at) == master)
            .map(|(_, row)| row)
            .map(|&(at, process)| {
                let role = match process.ppid.value() {
                    _ if Some(at) == master => Role::Master,
                    None => Role::Undetermined,
                    Some(&SYSTEM_PID) => Role::Claimant,
                    ppid if master_pid.is_some() && ppid == master_pid => {
                        if self.is_silo_smss(process) {
                            Role::Silo
                        } else {
                            Role::Child
                        }
                    }
                    Some(&ppid) => self.other_role(ppid, at, master.is_some()),
                };
                Subject { process, at, role }
            })
            .collect();
    }

    /// The parent is neither System nor a known master. In part of a list it can be a master that is not in it.
    fn other_role(&self, ppid: u64, at: usize, has_master: bool) -> Role {
        let listed = self.tree.parent(at).position().is_some();
        let open = !has_master && !listed && self.part_reason().is_some() && ppid != 0;
        if open { Role::Undetermined } else { Role::Stranger }
    }

    /// The less, the more a process looks like the master.
    fn unlikeness(&self, process: &Process) -> (u8, u8, u8, u8, Option<Timestamp>, Option<u64>) {
        let rank = |reading: &Reading<String>, right: &str| match reading.value() {
            Some(value) if value == right => 0,
            Some(value) if is_sid(value) => 2,
            None | Some(_) => 1,
        };
        let life = match process.liveness() {
            Liveness::Live => 0,
            Liveness::Unknown(_) => 1,
            Liveness::Exited => 2,
        };
        let path = match self.image_path(process, SMSS.path) {
            ImagePath::Right => 0,
            ImagePath::Unknown(_) => 1,
            ImagePath::Wrong(_) | ImagePath::Missing => 2,
        };
        let session = if process.session.value().is_some() { 1 } else { 0 };
        let started = process.started().or(Some(Timestamp::MAX));
        (life, path, session, rank(&process.user, SMSS.user), started, process.pid.value().copied())
    }

    /// Everything but the parent fits: right place, no session, not a user's, from the time of the boot.
    fn could_be_master(&self, process: &Process, all: &[(usize, &Process)]) -> bool {
        let child = all.iter().any(|(_, other)| {
            other.pid.value().is_some() && other.pid.value() == process.ppid.value() && other.pid != process.pid
        });
        let at_boot = match (process.started(), self.system_process().and_then(Process::started)) {
            (Some(smss), Some(system)) => smss.since(system).abs() <= Ticks::seconds(60),
            _ => true,
        };
        // In part of a list, a parent that is not there may be the master.
        let listed = |ppid: &u64| self.rows.iter().any(|(_, other)| other.pid.value() == Some(ppid));
        !child
            && (self.part_reason().is_none() || process.ppid.value().is_some_and(listed))
            && process.ppid.value().is_some()
            && !process.has_exited()
            && matches!(self.image_path(process, SMSS.path), ImagePath::Right | ImagePath::Unknown(_))
            && process.session.value().is_none()
            && process.user.value().is_none_or(|user| user == SMSS.user || !is_sid(user))
            && at_boot
    }

    /// Whether a container's other processes are there: its smss.exe is there to start csrss.exe and wininit.exe, and stays as long as they
    /// do. A job that has nothing but an smss.exe in it is one that somebody made. In a part of a list they may be missing.
    fn is_inhabited(&self, silo: VirtualAddress) -> bool {
        // Of one that could not be looked at it is not known.
        let may_be = |process: &Process| match &process.silo {
            Reading::Value(at) => *at == silo,
            Reading::Absent(_) => true,
            Reading::Nothing => false,
        };
        let inside = |process: &Process| may_be(process) && !process.has_exited();
        let of_session = |process: &Process| process.is_called("csrss.exe") || process.is_called("wininit.exe");
        self.part_reason().is_some() || self.rows.iter().any(|(_, process)| inside(process) && of_session(process))
    }

    /// Whether it may still be at work on what it is there to start.
    fn is_young(&self, process: &Process) -> bool {
        let [_, suspicious] = CHILD_AGE.map(Ticks::seconds);
        self.age(process).is_ok_and(|age| age <= suspicious)
    }

    fn is_silo_smss(&self, process: &Process) -> bool {
        match &process.silo {
            Reading::Value(at) if !at.is_null() => self.is_inhabited(*at) || self.is_young(process),
            Reading::Value(_) | Reading::Nothing => false,
            // The job could not be looked at: a container's session that this smss built, or whose builder is not known.
            Reading::Absent(_) => {
                !process.has_exited()
                    && self.sessions.iter().filter(|session| self.is_silo(session)).any(|session| {
                        session
                            .csrss
                            .iter()
                            .chain(&session.wininit)
                            .any(|(_, part)| part.ppid.value().is_none() || part.ppid.value() == process.pid.value())
                    })
            }
        }
    }
}
