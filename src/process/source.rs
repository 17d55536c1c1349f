//! Where processes are looked for: the one table of sources, which the collecting, the cross view, its text and the documents
//! read.

use super::Process;
use super::found::Found;
use super::sources::cid_table::Ids;
use super::sources::{Looking, handle_tables, handles, job_list, mm_list, session_list, thread_owners};
use crate::Absent;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A place where the kernel keeps processes, or a way to find them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Source {
    /// `PsActiveProcessHead`: the list that Windows shows.
    ActiveList,
    /// `PspCidTable`: the table that gives processes and threads their ids.
    CidTable,
    /// The list of processes that every session keeps.
    SessionList,
    /// The memory manager's list: `EPROCESS.MmProcessLinks`.
    MmList,
    /// The owners of threads that have not ended.
    Threads,
    /// The owners of the handle tables in `HandleTableListHead`.
    HandleTables,
    /// The list of processes that every job keeps.
    JobList,
    /// The handles that System and csrss.exe hold; with a scan, those of all processes.
    Handles,
    /// A search of physical memory for process objects.
    PoolScan,
    /// The owners of the threads that a search of physical memory finds.
    ThreadScan,
    /// The owners of the page-table roots that a search of physical memory finds.
    RootScan,
    /// A search of physical memory where no kernel was found, or its page tables and types are lost: values alone say that it is a
    /// process.
    Carved,
    /// A source that a later version, or another tool, named in a document.
    #[default]
    #[serde(other)]
    Other,
}

/// How the processes of a source are found.
type Find = fn(&mut Looking<'_, '_>) -> Result<Found, Absent>;

/// What is known of one source.
#[derive(Debug)]
pub struct About {
    /// The source.
    pub source: Source,
    /// Its name in documents: `active_list`.
    pub name: &'static str,
    /// Its letter in the cross view.
    pub letter: char,
    /// What it is, in a few words.
    pub label: &'static str,
    /// It takes a search of all memory.
    pub by_scan: bool,
    /// Windows keeps it for its own ends, and may leave it empty: that it holds nothing is no warning.
    pub(crate) may_be_empty: bool,
    /// How it is found. `None`: by the walk that makes the list, or by the search of all memory.
    pub(crate) find: Option<Find>,
    /// Whether a running process with these values should be in it.
    is_due: fn(&Process) -> bool,
}

/// Nobody need be in it: nobody need hold a handle, and what a search finds depends on the search.
const NEVER_DUE: fn(&Process) -> bool = |_| false;

/// Every source, in the order in which they are looked at and shown.
pub static SOURCES: [About; 12] = [
    About {
        source: Source::ActiveList,
        name: "active_list",
        letter: 'A',
        label: "active list (PsActiveProcessHead)",
        by_scan: false,
        may_be_empty: false,
        find: None,
        is_due: |_| true,
    },
    About {
        source: Source::CidTable,
        name: "cid_table",
        letter: 'C',
        label: "table of ids (PspCidTable)",
        by_scan: false,
        may_be_empty: false,
        find: Some(|look| look.ids.as_ref().map(Ids::found).map_err(Clone::clone)),
        is_due: |_| true,
    },
    About {
        source: Source::SessionList,
        name: "session_list",
        letter: 'S',
        label: "list of its session",
        by_scan: false,
        may_be_empty: false,
        find: Some(|look| session_list::find(look.kernel, look.list, look.warnings)),
        is_due: |process| process.session.value().is_some(),
    },
    About {
        source: Source::MmList,
        name: "mm_list",
        letter: 'M',
        label: "memory manager's list (MmProcessLinks)",
        by_scan: false,
        may_be_empty: true,
        find: Some(|look| mm_list::find(look.kernel, look.warnings)),
        // Nothing published says that minimal processes are in it.
        is_due: |process| process.minimal.value() != Some(&true),
    },
    About {
        source: Source::Threads,
        name: "threads",
        letter: 'T',
        label: "owner of a thread that runs",
        by_scan: false,
        may_be_empty: false,
        find: Some(|look| {
            let numbered = look.ids.as_ref().map(|ids| (ids.threads.as_slice(), ids.end)).map_err(Clone::clone);
            thread_owners::find(look.kernel, numbered)
        }),
        is_due: |process| process.threads.value().is_some_and(|threads| *threads > 0),
    },
    About {
        source: Source::HandleTables,
        name: "handle_tables",
        letter: 'H',
        label: "owner of a handle table (HandleTableListHead)",
        by_scan: false,
        may_be_empty: true,
        find: Some(|look| handle_tables::find(look.kernel, look.list, look.warnings)),
        is_due: |process| process.handles.value().is_some(),
    },
    About {
        source: Source::JobList,
        name: "job_list",
        letter: 'J',
        label: "list of its job",
        by_scan: false,
        may_be_empty: false,
        find: Some(|look| {
            let others = look.ids.as_ref().map_or(&[][..], |ids| ids.others.as_slice());
            job_list::find(look.kernel, look.list, others, look.warnings)
        }),
        is_due: |process| process.job.value().is_some(),
    },
    About {
        source: Source::Handles,
        name: "handles",
        letter: 'O',
        label: "opened by others",
        by_scan: false,
        may_be_empty: false,
        find: Some(|look| handles::find(look.kernel, look.list, look.thorough)),
        is_due: NEVER_DUE,
    },
    About {
        source: Source::PoolScan,
        name: "pool_scan",
        letter: 'P',
        label: "found by scanning memory",
        by_scan: true,
        may_be_empty: false,
        find: None,
        is_due: NEVER_DUE,
    },
    About {
        source: Source::ThreadScan,
        name: "thread_scan",
        letter: 'R',
        label: "owner of a thread found by scanning",
        by_scan: true,
        may_be_empty: false,
        find: None,
        is_due: NEVER_DUE,
    },
    About {
        source: Source::RootScan,
        name: "root_scan",
        letter: 'D',
        label: "owner of a page-table root found by scanning",
        by_scan: true,
        may_be_empty: false,
        find: None,
        is_due: NEVER_DUE,
    },
    About {
        source: Source::Carved,
        name: "carved",
        letter: 'X',
        label: "carved out of memory, by values alone",
        by_scan: true,
        may_be_empty: false,
        find: None,
        is_due: NEVER_DUE,
    },
];

impl Source {
    /// What is known of it. `None`: [`Other`](Self::Other).
    #[must_use]
    pub fn about(self) -> Option<&'static About> {
        SOURCES.iter().find(|about| about.source == self)
    }

    /// Whether this process should be in it, as far as its values tell: it runs, and has what the source is kept for.
    #[must_use]
    pub fn is_due(self, process: &Process) -> bool {
        process.is_live() && self.about().is_some_and(|about| (about.is_due)(process))
    }

    /// The names of several, with commas.
    #[must_use]
    pub fn names(sources: &[Self]) -> String {
        sources.iter().map(Self::to_string).collect::<Vec<_>>().join(", ")
    }

    /// Whether it takes a search of all memory.
    #[must_use]
    pub fn by_scan(self) -> bool {
        self.about().is_some_and(|about| about.by_scan)
    }
}

/// Its name in documents.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.about().map_or("other", |about| about.name))
    }
}

/// By the name in documents.
impl PartialEq<str> for Source {
    fn eq(&self, name: &str) -> bool {
        self.about().is_some_and(|about| about.name == name)
    }
}

/// By the name in documents.
impl PartialEq<&str> for Source {
    fn eq(&self, name: &&str) -> bool {
        self == *name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_the_names_of_the_table() {
        for about in &SOURCES {
            let name = serde_json::to_string(&about.source).unwrap();
            assert_eq!(name, format!("\"{}\"", about.name));
            assert_eq!(serde_json::from_str::<Source>(&name).unwrap(), about.source);
        }
        assert_eq!(serde_json::from_str::<Source>("\"a_later_one\"").unwrap(), Source::Other);
        let letters: std::collections::BTreeSet<char> = SOURCES.iter().map(|about| about.letter).collect();
        assert_eq!(letters.len(), SOURCES.len());
    }
}
