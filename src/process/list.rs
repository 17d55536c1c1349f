//! The processes of the active list, read into records.

use super::{Process, ProcessView, Source, UnownedRoot};
use crate::budget::Budget;
use crate::kernel::{Direction, Eprocess, Joined, Kernel, Links, MAX_LISTED, WalkEnd, list_both_ways};
use crate::reading::{null_is_default, without_nulls};
use crate::{Absent, Error, ListEnd, Reading, VirtualAddress, Warning};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// A list of processes and how the walk that made it ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ProcessList {
    /// How the walk ended: the worse of the two directions. `None`: whoever made the list does not say.
    pub end: Option<ListEnd>,
    /// How the walk along `Flink` ended. `None`: it is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<ListEnd>,
    /// How the walk along `Blink` ended. `None`: it is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backward: Option<ListEnd>,
    /// The processes.
    #[serde(deserialize_with = "without_nulls")]
    pub items: Vec<Process>,
    /// Another tool printed the rows, in an order of its own: a tree, a sorted table. It says nothing of who was made first.
    #[serde(skip)]
    pub in_foreign_order: bool,
    /// Only those processes are left that were asked for.
    #[serde(skip_serializing_if = "is_false")]
    pub filtered: bool,
    /// The views beside the active list that were looked at.
    #[serde(deserialize_with = "null_is_default")]
    pub views: Vec<ProcessView>,
    /// What sources lead to and could not be read.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
    /// Processes that lists beside the active one have in one direction alone.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub one_way: Vec<OneWay>,
    /// Page-table roots of this system that belong to no process of the list. `None`: memory was not searched for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unowned_roots: Option<Vec<UnownedRoot>>,
}

/// For serde.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl ProcessList {
    /// Whether its processes were carved out of memory in which no kernel was found: they are in no list, and nothing but their own
    /// values says that they are processes of this machine.
    #[must_use]
    pub fn is_carved(&self) -> bool {
        !self.views.is_empty() && self.views.iter().all(|view| view.source == Source::Carved)
    }

    /// Notes that a list has a process in one direction alone.
    pub(super) fn note_one_way(&mut self, address: VirtualAddress, source: Source) {
        if self.one_way.len() < MAX_ONE_WAY {
            self.one_way.push(OneWay { address, source });
        }
    }

    /// Notes that a source leads to what cannot be read as a process.
    pub(super) fn note_unread(&mut self, address: VirtualAddress, source: Source, why: &str) {
        if let Some(unread) = self.unread.iter_mut().find(|unread| unread.address == address) {
            if !unread.sources.contains(&source) {
                unread.sources.push(source);
            }
        } else if self.unread.len() < MAX_UNREAD {
            self.unread.push(Unread { address, sources: vec![source], why: why.to_owned() });
        }
    }
}

/// A process that one of the two walks along a list beside the active one does not come to, where both come to its end: parts of the
/// list are from different times, or somebody wrote into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OneWay {
    /// Its `_EPROCESS`.
    pub address: VirtualAddress,
    /// The list.
    pub source: Source,
}

/// An object that sources lead to and that cannot be read as a process: one may have been there, and what it was is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unread {
    /// Where it would lie.
    pub address: VirtualAddress,
    /// The sources that lead there.
    pub sources: Vec<Source>,
    /// What is there instead, or why it cannot be read.
    pub why: String,
}

/// What is said of a place where something else is.
pub(crate) const NO_PROCESS: &str = "no process is there";
/// So many of them are told. A hostile list leads to any number of such places, and one is enough to make a rule unknown.
const MAX_UNREAD: usize = 1 << 8;
/// So many of those in one direction alone are told: they show that parts of the image are from different times, and a few do.
const MAX_ONE_WAY: usize = 1 << 8;

/// Every record takes some KiB, and links every few bytes would make a list of millions out of a small image.
pub(super) const MAX_PROCESSES: usize = MAX_LISTED;

/// Walks `PsActiveProcessHead` both ways and reads every process on it. None, where its head is lost: other views may have them.
///
/// # Errors
/// The symbols lack the head.
pub(crate) fn active_list(kernel: &Kernel<'_>, budget: &Budget) -> Result<(ProcessList, Vec<Warning>), Error> {
    let head = kernel.global("PsActiveProcessHead")?;
    let Joined { entries, forward, backward, one_way } =
        list_both_ways(kernel.space(), head, MAX_PROCESSES, VirtualAddress::is_kernel);
    let mut warnings = Vec::new();
    for (direction, end) in [("forward", &forward), ("backward", &backward)] {
        if end.kind() != ListEnd::Complete {
            warnings.push(Warning::new("processes", format!("the active list, walked {direction}, {end}")));
        }
    }
    // An empty list is none that Windows leaves: System is on it.
    let mut end = forward.kind().max(backward.kind());
    if entries.is_empty() {
        end = end.max(ListEnd::Broken);
    }
    let one_way: HashMap<VirtualAddress, Direction> = one_way.into_iter().collect();
    let mut list = ProcessList::default();
    let (mut items, mut left_out) = (Vec::new(), 0usize);
    for entry in entries {
        let address = entry.wrapping_sub(kernel.layouts().process.links.offset);
        let process = Eprocess::read(kernel, address);
        let plausible = process.is_plausible();
        if plausible != Ok(true) {
            // Somebody may have stood there: what is not in the list proves nothing.
            end = end.max(ListEnd::Broken);
        }
        match plausible {
            Ok(true) => {
                let Some(mut process) = Process::within(budget, kernel, &process, Source::ActiveList) else {
                    left_out = left_out.saturating_add(1);
                    continue;
                };
                process.active_links = Reading::Value(reached(one_way.get(&entry)));
                items.push(process);
            }
            Ok(false) => {
                list.note_unread(address, Source::ActiveList, NO_PROCESS);
                let message =
                    format!("the active list leads to {address}, where no process is; what stood there is lost");
                warnings.push(Warning::new("processes", message));
            }
            Err(Absent { detail, .. }) => {
                list.note_unread(address, Source::ActiveList, &detail);
                let message = format!("the process at {address} is in the active list and cannot be read: {detail}");
                warnings.push(Warning::new("processes", message));
            }
        }
    }
    if left_out > 0 {
        end = end.max(ListEnd::Limit);
        warnings.push(Warning::new("processes", format!("{left_out} more processes of the active list are left out")));
    }
    // Where an entry is lost, neither of them tells who is missing.
    let lost = end > forward.kind().max(backward.kind());
    let way = |walk: &WalkEnd| Some(if lost { end } else { walk.kind() });
    let (forward, backward) = (way(&forward), way(&backward));
    Ok((ProcessList { end: Some(end), forward, backward, items, ..list }, warnings))
}

/// Which of the two walks came to an entry.
const fn reached(one_way: Option<&Direction>) -> Links {
    match one_way {
        None => Links::BothWays,
        Some(Direction::Forward) => Links::ForwardOnly,
        Some(Direction::Backward) => Links::BackwardOnly,
    }
}
