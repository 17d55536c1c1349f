//! Lists of one machine that were made in two ways: what one has and the other lacks.

use crate::process::{ProcessView, Source};
use crate::{Process, Reading, System, Warning};
use std::collections::BTreeSet;

/// Processes that a warning names.
const NAMED: usize = 4;

/// Who a row is, in two lists of one machine.
pub(super) type Identity = (Option<u64>, Option<String>, Option<u64>);

/// The files that list processes, each with the place where they were found.
#[derive(Default)]
pub(super) struct Places {
    files: Vec<File>,
}

struct File {
    name: String,
    place: Option<Source>,
    processes: BTreeSet<Identity>,
    /// Those of them that run, in words.
    running: Vec<(Identity, String)>,
}

impl Places {
    /// Takes note of the processes of a file, and marks them with the place where they were found.
    pub(super) fn add(&mut self, name: &str, place: Option<Source>, processes: &mut [Process]) {
        if processes.is_empty() {
            return;
        }
        processes.iter_mut().for_each(|process| process.sources = place.into_iter().collect());
        let running = processes.iter().filter(|process| process.is_live());
        self.files.push(File {
            name: name.to_owned(),
            place,
            processes: processes.iter().map(identity).collect(),
            running: running.map(|process| (identity(process), words(process))).collect(),
        });
    }

    /// Where one list is the kernel's and another comes from a search, the search is one more view of the machine, and rules judge
    /// what it shows. Otherwise nobody says which is which: the rows are joined, and what runs in one list alone is told.
    pub(super) fn compare(&self, system: &mut System) {
        let of = |place| self.files.iter().filter(move |file| file.place == Some(place));
        let processes = &mut system.processes;
        if of(Source::ActiveList).next().is_some() && of(Source::PoolScan).next().is_some() {
            let found: BTreeSet<&Identity> = of(Source::PoolScan).flat_map(|file| &file.processes).collect();
            let number = u64::try_from(found.len()).map_or_else(|_| Reading::default(), Reading::Value);
            processes.views =
                vec![ProcessView { processes: number, source: Source::PoolScan, ..ProcessView::default() }];
            return;
        }
        // One list alone is no view beside another, whatever its file is called.
        processes.items.iter_mut().for_each(|process| process.sources.clear());
        for file in &self.files {
            let others = || self.files.iter().filter(|other| !std::ptr::eq(*other, file));
            let alone: Vec<&str> = file
                .running
                .iter()
                .filter(|(identity, _)| others().any(|other| !other.processes.contains(identity)))
                .map(|(_, words)| words.as_str())
                .collect();
            if !alone.is_empty() {
                let more = alone.len().saturating_sub(NAMED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let named = alone.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
                let message = format!(
                    "{}: {named}{more} runs by this list and is not in every other: it may be hidden, or have ended meanwhile. The \
                     lists are joined. They are compared where the files are named after what made them: pslist or pstree, and psscan",
                    file.name
                );
                system.warnings.push(Warning::new("processes", message));
            }
        }
    }
}

/// Tools print times to the second or finer: the second is what all have.
pub(super) fn identity(process: &Process) -> Identity {
    let second = process.created.value().map(|at| at.0 / 10_000_000);
    (process.pid.value().copied(), process.name.value().cloned(), second)
}

fn words(process: &Process) -> String {
    let name = process.name.value().map_or("?", String::as_str);
    let pid = process.pid.value().map_or_else(|| "?".to_owned(), u64::to_string);
    format!("{name} ({pid})")
}
