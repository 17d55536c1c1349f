//! Who started whom: by process id *and* creation time, since Windows gives ids out again.

use crate::process::Source;
use crate::process::repeats::Repeats;
use crate::{Process, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Distance from which on a creation time that runs against the order of events means that the clock was set.
const CLOCK_STEP: crate::Ticks = crate::Ticks::seconds(60);

/// Processes with one pid among which a parent is looked for: those that had it one after the other and are still listed are a few,
/// and in a hostile list everybody has the same.
const MOST_OF_PID: usize = 64;

/// What became of the process that a row names as its parent. Numbers are positions in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parent {
    /// It is listed, and not known to be over.
    Listed(usize),
    /// It is listed and has exited.
    Exited(usize),
    /// Nothing with its pid is listed.
    Vanished(u64),
    /// Its pid is another process's now, which cannot have been the parent.
    Reused {
        /// The pid.
        pid: u64,
        /// Who has it now.
        now: usize,
    },
    /// It would close a ring of parents: one of the links is wrong, nobody can tell which.
    Ring(usize),
    /// There is none: System has parent 0.
    None,
    /// The parent's pid could not be read.
    Unknown,
}

impl Parent {
    /// Position of the process that really is the parent.
    #[must_use]
    pub const fn position(self) -> Option<usize> {
        match self {
            Self::Listed(at) | Self::Exited(at) => Some(at),
            _ => None,
        }
    }
}

/// The processes of a list as a forest. Rows of one process (see [`Process::is_same_process`]) are one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessTree {
    parents: BTreeMap<usize, Parent>,
    children: BTreeMap<usize, Vec<usize>>,
    roots: Vec<usize>,
}

impl ProcessTree {
    /// Joins `processes`; positions in the answers are positions in this slice.
    #[must_use]
    pub fn new(processes: &[Process]) -> Self {
        Self::join(processes, clock_step_by(processes, |_| true).is_some(), true)
    }

    /// The same where it is known whether the clock was set back, and whether rows of the active list come in its order.
    pub(super) fn join(processes: &[Process], clock_step: bool, in_order: bool) -> Self {
        let rows = Rows { in_order, ..Rows::new(processes, clock_step) };
        let mut tree = Self::default();
        for &at in &rows.unique {
            if let Some(process) = processes.get(at) {
                tree.parents.insert(at, rows.parent(at, process));
            }
        }
        tree.cut_rings();
        for (&at, parent) in &tree.parents {
            match parent.position() {
                Some(up) => tree.children.entry(up).or_default().push(at),
                None => tree.roots.push(at),
            }
        }
        tree
    }

    /// What became of the parent of the process at this position; a second row of a process has none.
    #[must_use]
    pub fn parent(&self, at: usize) -> Parent {
        self.parents.get(&at).copied().unwrap_or(Parent::Unknown)
    }

    /// The children of the process at this position, in list order.
    #[must_use]
    pub fn children(&self, at: usize) -> &[usize] {
        self.children.get(&at).map_or(&[], Vec::as_slice)
    }

    /// The processes without a parent in the list, in list order.
    #[must_use]
    pub fn roots(&self) -> &[usize] {
        &self.roots
    }

    /// Every process once, each after its parent: (depth, position). Depth 0 is a root.
    pub fn walk(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        // Rings are cut, so that each node hangs under exactly one root.
        self.roots.iter().flat_map(|&root| self.walk_from(root))
    }

    /// One process, at depth 0, and everything below it.
    pub fn walk_from(&self, at: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let mut left = vec![(0_usize, at)];
        std::iter::from_fn(move || {
            let (depth, at) = left.pop()?;
            left.extend(self.children(at).iter().rev().map(|&child| (depth.saturating_add(1), child)));
            Some((depth, at))
        })
    }

    /// Stamps of equal seconds, or none at all, can close rings; each is cut at the member that comes first in the list.
    fn cut_rings(&mut self) {
        let mut settled = BTreeSet::new();
        for start in self.parents.keys().copied().collect::<Vec<_>>() {
            let mut path = Vec::new();
            let mut at = start;
            while !settled.contains(&at) {
                if let Some(from) = path.iter().position(|seen| *seen == at) {
                    if let Some(first) = path.get(from..).and_then(|ring| ring.iter().min()).copied()
                        && let Some(up) = self.parent(first).position()
                    {
                        self.parents.insert(first, Parent::Ring(up));
                    }
                    break;
                }
                path.push(at);
                match self.parent(at).position() {
                    Some(up) => at = up,
                    None => break,
                }
            }
            settled.extend(path);
        }
    }
}

/// The list, with what joining needs to know.
struct Rows<'a> {
    processes: &'a [Process],
    /// Positions of the first row of each process.
    unique: Vec<usize>,
    by_pid: BTreeMap<u64, Vec<usize>>,
    clock_step: bool,
    /// Rows of the active list come in its order.
    in_order: bool,
    /// System's creation.
    boot: Option<Timestamp>,
}

impl<'a> Rows<'a> {
    fn new(processes: &'a [Process], clock_step: bool) -> Self {
        let mut unique = Vec::new();
        let mut by_pid: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        let mut repeats = Repeats::default();
        for (at, process) in processes.iter().enumerate() {
            if repeats.has(process) {
                continue;
            }
            if let Some(pid) = process.pid.value() {
                let same = by_pid.entry(*pid).or_default();
                if same.len() < MOST_OF_PID {
                    same.push(at);
                }
            }
            unique.push(at);
        }
        let boot = by_pid.get(&4).into_iter().flatten().filter_map(|&at| processes.get(at)).find_map(Process::started);
        Self { processes, unique, by_pid, boot, clock_step, in_order: true }
    }

    fn parent(&self, at: usize, process: &Process) -> Parent {
        let Some(&ppid) = process.ppid.value() else { return Parent::Unknown };
        if ppid == 0 {
            return Parent::None;
        }
        let named: Vec<(usize, &Process)> = self
            .by_pid
            .get(&ppid)
            .into_iter()
            .flatten()
            .filter(|&&up| up != at)
            .filter_map(|&up| self.processes.get(up).map(|process| (up, process)))
            .collect();
        // System's id is nobody else's: who bears it beside System had it written over his own.
        if ppid == 4
            && let [_, _, ..] = named.as_slice()
            && let Some((up, _)) = named.iter().find(|(_, parent)| parent.ppid.value() == Some(&0))
        {
            return Parent::Listed(*up);
        }
        // Of several that had the pid one after the other, the youngest that is old enough.
        let fits = named.iter().filter(|(up, parent)| self.can_be_parent((*up, parent), (at, process)));
        match (fits.max_by_key(|(_, parent)| parent.started()), named.last()) {
            (Some((up, parent)), _) if parent.has_exited() => Parent::Exited(*up),
            (Some((up, _)), _) => Parent::Listed(*up),
            (None, Some((now, _))) => Parent::Reused { pid: ppid, now: *now },
            (None, None) => Parent::Vanished(ppid),
        }
    }

    /// Whether the process that has the pid now had it when the child was made.
    fn can_be_parent(&self, (up, parent): (usize, &Process), (at, child): (usize, &Process)) -> bool {
        if parent.is_garbage() {
            return false;
        }
        // System and the master smss live as long as the machine, so that their pids are never given away. Registry is
        // older than System, and after a step of the clock a session child can be older than the master.
        if parent.pid.value() == Some(&4) || (parent.is_called("smss.exe") && parent.ppid.value() == Some(&4)) {
            return true;
        }
        if self.is_of_earlier_boot(parent) && !self.is_of_earlier_boot(child) {
            return false;
        }
        if let (Some(exited), Some(started)) = (parent.exited.value(), child.started())
            && started > *exited
        {
            return false;
        }
        // The kernel appends to its list: who comes later in it was made later, whatever the clock said.
        if self.in_order && is_linked(parent) && is_linked(child) {
            return up < at;
        }
        // No step of the clock moves this one.
        if let Some(distance) = super::stamps::between(parent, child).filter(|distance| distance.0 != 0) {
            return distance.0 > 0;
        }
        let (Some(older), Some(younger)) = (parent.started(), child.started()) else { return true };
        if older == younger {
            // Stamps cut to seconds: the pid of the exited smss child can have a new owner within the same second.
            return parent.is_called("smss.exe") || !is_session_process(child);
        }
        older < younger
            || (self.clock_step && older.since(younger) > CLOCK_STEP && !is_session_process(child))
            || (parent.is_called("smss.exe") && is_session_process(child) && self.clock_step)
    }
}

impl Rows<'_> {
    /// What a scan of memory finds may have been left there by the boot before, pid and all.
    fn is_of_earlier_boot(&self, process: &Process) -> bool {
        let only_scanned = !process.sources.is_empty() && !is_linked(process);
        only_scanned
            && !self.clock_step
            && matches!((process.started(), self.boot), (Some(at), Some(boot)) if boot.since(at) > CLOCK_STEP)
    }
}

/// True for rows that the active list holds: if they come in its order, that is the order in which they were made.
pub(super) fn is_linked(process: &Process) -> bool {
    process.sources.contains(&Source::ActiveList)
}

/// True for what an smss child starts before it exits.
fn is_session_process(process: &Process) -> bool {
    ["csrss.exe", "wininit.exe", "winlogon.exe"].iter().any(|name| process.goes_by(name))
}

/// The sign, if there is one, that the clock was set back since smss started: a process that cannot be older than the master smss
/// carries an older stamp by more than a minute. Told by those processes only that `counts` lets through.
#[must_use]
pub(crate) fn clock_step_by(processes: &[Process], counts: impl Fn(&Process) -> bool) -> Option<String> {
    let master = processes
        .iter()
        .filter(|process| process.is_called("smss.exe") && process.ppid.value() == Some(&4) && !process.is_garbage())
        .filter_map(Process::started)
        .min()?;
    let older = |process: &&Process| {
        let later_by_nature =
            ["services.exe", "lsass.exe", "MemCompression", "svchost.exe"].iter().any(|name| process.is_named(name))
                || is_session_process(process)
                || (process.is_called("smss.exe") && process.ppid.value() != Some(&4));
        later_by_nature
            && counts(process)
            && !process.is_garbage()
            // What only a scan finds may be from an earlier boot.
            && (process.sources.is_empty() || is_linked(process))
            && process.started().is_some_and(|started| master.since(started) > CLOCK_STEP)
    };
    processes.iter().find(older).map(|process| {
        let (name, pid) = (process.name.value(), process.pid.value());
        format!(
            "{} (pid {}) bears a stamp older than smss.exe's by more than a minute",
            name.map_or("?", String::as_str),
            pid.map_or_else(|| "?".to_owned(), u64::to_string)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reading;

    fn row(pid: u64, ppid: u64, name: &str, second: u64) -> Process {
        Process {
            pid: Reading::Value(pid),
            ppid: Reading::Value(ppid),
            name: Reading::Value(name.into()),
            created: Reading::Value(Timestamp(133_000_000_000_000_000 + second * 10_000_000)),
            exited: Reading::Nothing,
            threads: Reading::Value(2),
            ..Process::default()
        }
    }

    fn walk(processes: &[Process]) -> Vec<(usize, usize)> {
        ProcessTree::new(processes).walk().collect()
    }

    #[test]
    fn registry_is_older_than_system_and_still_its_child() {
        let rows = [row(4, 0, "System", 16), row(108, 4, "Registry", 0), row(332, 4, "smss.exe", 16)];
        assert_eq!(walk(&rows), [(0, 0), (1, 1), (1, 2)]);
    }

    #[test]
    fn a_pid_given_away_is_no_parent_not_even_in_the_same_second() {
        // W7-FLOUNDER: csrss names 384, which svchost got a second later; W11-22000: LogonUI in the same second.
        let rows = [row(396, 384, "csrss.exe", 29), row(384, 500, "svchost.exe", 30)];
        assert_eq!(ProcessTree::new(&rows).parent(0), Parent::Reused { pid: 384, now: 1 });
        let rows = [row(496, 484, "csrss.exe", 59), row(484, 668, "LogonUI.exe", 59)];
        assert_eq!(ProcessTree::new(&rows).parent(0), Parent::Reused { pid: 484, now: 1 });
        // W10-15063: the smss child itself was made in the same second.
        let mut rows = [row(9312, 6920, "csrss.exe", 24), row(6920, 356, "smss.exe", 24)];
        rows[1].threads = Reading::Value(0);
        assert_eq!(ProcessTree::new(&rows).parent(0), Parent::Exited(1));
    }

    #[test]
    fn the_parent_was_gone_before_the_child_came() {
        let mut rows = [row(600, 4, "a.exe", 10), row(700, 600, "b.exe", 30)];
        rows[0].exited = Reading::Value(Timestamp(133_000_000_000_000_000 + 200_000_000));
        rows[0].threads = Reading::Value(0);
        assert_eq!(ProcessTree::new(&rows).parent(1), Parent::Reused { pid: 600, now: 0 });
        assert_eq!(ProcessTree::new(&rows[1..]).parent(0), Parent::Vanished(600));
    }

    #[test]
    fn who_had_the_pid_before_this_boot_is_no_parent() {
        let mut rows = [row(4, 0, "System", 9000), row(444, 400, "explorer.exe", 10), row(452, 444, "csrss.exe", 9004)];
        assert_eq!(ProcessTree::new(&rows).parent(2), Parent::Listed(1), "a list that was not scanned for");
        rows[1].sources = vec![Source::PoolScan];
        assert_eq!(ProcessTree::new(&rows).parent(2), Parent::Reused { pid: 444, now: 1 });
    }

    #[test]
    fn rings_lose_nobody() {
        let rows = [row(10, 30, "a", 5), row(20, 10, "b", 5), row(30, 20, "c", 5), row(44, 44, "d", 5)];
        assert_eq!(walk(&rows), [(0, 0), (1, 1), (2, 2), (0, 3)]);
        assert_eq!(ProcessTree::new(&rows).parent(0), Parent::Ring(2));
    }

    #[test]
    fn the_kernels_order_beats_the_clock() {
        let mut rows = [row(516, 444, "winlogon.exe", 9000), row(700, 516, "userinit.exe", 50)];
        assert_eq!(ProcessTree::new(&rows).parent(1), Parent::Reused { pid: 516, now: 0 });
        rows.iter_mut().for_each(|row| row.sources = vec![Source::ActiveList]);
        assert_eq!(ProcessTree::new(&rows).parent(1), Parent::Listed(0));
        // In a sorted table of another tool it proves nothing.
        assert_eq!(ProcessTree::join(&rows, false, false).parent(1), Parent::Reused { pid: 516, now: 0 });
        let sorted = [row(700, 516, "userinit.exe", 50), row(516, 444, "winlogon.exe", 5)];
        let sorted = sorted.map(|row| Process { sources: vec![Source::ActiveList], ..row });
        assert_eq!(ProcessTree::join(&sorted, false, false).parent(0), Parent::Listed(1));
        assert_eq!(ProcessTree::join(&sorted, false, true).parent(0), Parent::Reused { pid: 516, now: 1 });
    }

    #[test]
    fn rows_of_one_process_are_one_node_and_garbage_is_a_root() {
        let rows =
            [row(4, 0, "System", 0), row(4, 0, "System", 0), row(1 << 40, 4, "\u{1}", 0), row(8, 1 << 40, "x", 9)];
        assert_eq!(walk(&rows), [(0, 0), (1, 2), (0, 3)]);
    }

    #[test]
    fn a_step_of_the_clock_is_seen() {
        // D-10D: MemCompression 3581 s before System.
        let rows = [row(300, 4, "smss.exe", 4000), row(1832, 4, "MemCompression", 419)];
        assert!(clock_step_by(&rows, |_| true).is_some_and(|sign| sign.contains("MemCompression")));
        assert!(clock_step_by(&rows[..1], |_| true).is_none());
        // A program called smss.exe does not turn the others into old ones: the earliest child of System counts.
        let rows = [row(300, 4, "smss.exe", 0), row(400, 4, "svchost.exe", 10), row(900, 4, "smss.exe", 9000)];
        assert!(clock_step_by(&rows, |_| true).is_none());
    }
}
