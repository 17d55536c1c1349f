//! Rows that repeat a process: found by hash, since a hostile list can have one process ten thousand times.

use super::Process;
use crate::{Timestamp, VirtualAddress};
use std::collections::{HashMap, HashSet};

/// What rows of one process have in common.
type Identity<'p> = (u64, Option<u64>, Option<&'p str>, Option<Timestamp>);

/// The rows of one identity so far.
#[derive(Default)]
struct Rows {
    /// One of them is known by its values alone.
    by_values: bool,
    /// Objects that more than a search of memory leads to.
    led_to: HashSet<VirtualAddress>,
}

/// The rows met so far.
#[derive(Default)]
pub(crate) struct Repeats<'p> {
    met: HashMap<Identity<'p>, Rows>,
}

impl<'p> Repeats<'p> {
    /// Whether a row met before is [of the same process](Process::is_same_process). Takes note of the row.
    pub(crate) fn has(&mut self, process: &'p Process) -> bool {
        let Some(pid) = process.pid.value() else { return false };
        let identity = (
            *pid,
            process.ppid.value().copied(),
            process.name.value().map(String::as_str),
            process.created.value().copied(),
        );
        let rows = self.met.entry(identity).or_default();
        let first = !rows.by_values && rows.led_to.is_empty();
        match process.eprocess.value().filter(|_| process.is_led_to()) {
            Some(address) => !rows.led_to.insert(*address) || rows.by_values,
            None => {
                rows.by_values = true;
                !first
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reading;
    use crate::process::Source;

    #[test]
    fn as_each_pair_says() {
        let row = |pid: u64, at: Option<u64>, source: Option<Source>| Process {
            pid: Reading::Value(pid),
            eprocess: at.map_or(Reading::Nothing, |at| Reading::Value(VirtualAddress(at))),
            sources: source.into_iter().collect(),
            ..Process::default()
        };
        let (list, pool) = (Some(Source::ActiveList), Some(Source::PoolScan));
        let kinds = [(None, None), (Some(0x10), list), (Some(0x20), list), (Some(0x10), pool), (Some(0x30), pool)];
        let rows: Vec<Process> =
            [4, 8].iter().flat_map(|pid| kinds.map(|(at, source)| row(*pid, at, source))).collect();
        for first in 0..rows.len() {
            for second in 0..rows.len() {
                let mut repeats = Repeats::default();
                assert!(!repeats.has(&rows[first]));
                assert_eq!(repeats.has(&rows[second]), rows[first].is_same_process(&rows[second]), "{first} {second}");
            }
        }
    }
}
