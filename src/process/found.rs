//! What one view of the processes holds.

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
}

impl Found {
    /// Addresses that a walk led to, and that may be anything yet.
    pub(super) fn by_walk(addresses: Vec<VirtualAddress>, end: ListEnd) -> Self {
        Self { addresses, places: HashMap::new(), judged: false, end, threads: HashMap::new() }
    }
}
