//! Which rows of a list are processes of this boot, each once.

use super::Picture;
use crate::Process;
use crate::process::repeats::Repeats;

/// Pid of System on every version.
const SYSTEM_PID: u64 = 4;

/// The rows of a list, told apart. Rows come with their position in the list.
pub(crate) struct Rows<'s> {
    /// The processes of this boot, each once.
    pub(crate) of_this_boot: Vec<(usize, &'s Process)>,
    /// Processes that an earlier boot left in memory: only a scan finds them, and they are older than System.
    pub(crate) leftovers: Vec<&'s Process>,
    /// The rows that are no process, and why, in words.
    pub(crate) passed_over: Vec<String>,
}

impl<'s> Rows<'s> {
    pub(super) fn new(picture: &Picture<'s>) -> Self {
        let mut passed_over = Vec::new();
        let mut of_this_boot = judged(&picture.system().processes.items, &mut passed_over);
        let stepped = picture.clock_step().is_some();
        let leftovers = if stepped { Vec::new() } else { put_aside_leftovers(&mut of_this_boot) };
        Self { of_this_boot, leftovers, passed_over }
    }
}

/// The idle process, as other tools list it. Where it is said what held the process, somebody wrote this pid over another.
fn is_idle(process: &Process) -> bool {
    process.pid.value() == Some(&0) && process.sources.is_empty() && !process.is_called("smss.exe")
}

/// The rows to judge: each process once, garbage put aside and named.
fn judged<'a>(items: &'a [Process], passed_over: &mut Vec<String>) -> Vec<(usize, &'a Process)> {
    let mut rows: Vec<(usize, &Process)> = Vec::new();
    let mut repeats = Repeats::default();
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
            if repeats.has(process) {
                passed_over.push(format!("{} is a process that an earlier row has already", words()));
                continue;
            }
            rows.push((at, process));
        }
    }
    rows
}

/// Takes out of `rows` what is older than this boot and in no view but that of a scan of memory.
fn put_aside_leftovers<'a>(rows: &mut Vec<(usize, &'a Process)>) -> Vec<&'a Process> {
    let system = rows.iter().map(|row| row.1).find(|process| process.pid.value() == Some(&SYSTEM_PID));
    let Some(boot) = system.and_then(Process::started) else { return Vec::new() };
    let left = rows.iter().map(|row| row.1).filter(|process| process.is_left_before(boot)).collect();
    rows.retain(|(_, process)| !process.is_left_before(boot));
    left
}
