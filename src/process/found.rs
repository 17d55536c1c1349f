//! What one view of the processes holds.

use crate::kernel::Joined;
use crate::{ListEnd, PhysicalAddress, VirtualAddress};
use std::collections::HashMap;

/// What one view holds.
#[derive(Debug)]
pub(crate) struct Found {
    pub addresses: Vec<VirtualAddress>,
    /// Where those lie that are not mapped at their address.
    pub places: HashMap<VirtualAddress, PhysicalAddress>,
    /// Whether they were found by what they look like, and so need not prove again to be processes.
    pub judged: bool,
    pub end: ListEnd,
    /// How many threads that have an id and have not ended belong to each, where that was counted.
    pub threads: HashMap<VirtualAddress, u32>,
    /// Those that one of the two walks along a list did not come to, where both came to its end.
    pub one_way: Vec<VirtualAddress>,
    /// Where something leads to that is certain to lead to a process, and no process is there.
    pub lost: Vec<VirtualAddress>,
}

impl Found {
    /// Addresses that a walk led to, and that may be anything yet.
    pub(super) fn by_walk(addresses: Vec<VirtualAddress>, end: ListEnd) -> Self {
        Self { addresses, judged: false, ..Self::by_search(Vec::new(), end) }
    }

    /// Addresses of what was known by what it looks like.
    pub(super) fn by_search(addresses: Vec<VirtualAddress>, end: ListEnd) -> Self {
        let (places, threads) = (HashMap::new(), HashMap::new());
        Self { addresses, places, judged: true, end, threads, one_way: Vec::new(), lost: Vec::new() }
    }

    /// Notes who is in a list in one direction alone; `process` gives the process of an entry.
    pub(super) fn note_one_way(&mut self, joined: &Joined, process: impl Fn(VirtualAddress) -> Option<VirtualAddress>) {
        if joined.end() == ListEnd::Complete {
            self.one_way.extend(joined.one_way.iter().filter_map(|(entry, _)| process(*entry)));
        }
    }
}
