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
}
