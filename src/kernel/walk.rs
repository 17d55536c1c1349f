//! Walks over linked structures. Every one has a set of what it saw and a cap, and says how it ended.

use crate::memory::{AddressSpace, Fault};
use crate::{ListEnd, VirtualAddress};
use std::collections::HashSet;
use std::fmt;

/// How one walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WalkEnd {
    /// It came back to the head.
    Complete,
    /// It came to an entry that it had seen, which is not the head.
    Cycle {
        /// The entry.
        at: VirtualAddress,
    },
    /// A link could not be read.
    Broken {
        /// The entry whose link it is.
        at: VirtualAddress,
        /// Why.
        fault: Fault,
    },
    /// A link is null or no kernel address.
    Astray {
        /// The entry whose link it is.
        at: VirtualAddress,
        /// Where it leads.
        to: VirtualAddress,
    },
    /// What an entry says of the others, or what is said of all of them elsewhere, does not agree with what was met.
    Contradicted {
        /// The entry.
        at: VirtualAddress,
        /// What does not agree.
        what: &'static str,
    },
    /// There were more entries than there can be.
    Limit {
        /// The cap.
        cap: usize,
    },
}

impl WalkEnd {
    /// The entry at which it ended. `None`: it came back to the head, or was stopped.
    #[must_use]
    pub const fn at(&self) -> Option<VirtualAddress> {
        match self {
            Self::Cycle { at } | Self::Broken { at, .. } | Self::Astray { at, .. } | Self::Contradicted { at, .. } => {
                Some(*at)
            }
            Self::Complete | Self::Limit { .. } => None,
        }
    }

    /// The word for documents.
    #[must_use]
    pub const fn kind(&self) -> ListEnd {
        match self {
            Self::Complete => ListEnd::Complete,
            Self::Cycle { .. } => ListEnd::Cycle,
            Self::Broken { .. } | Self::Astray { .. } | Self::Contradicted { .. } => ListEnd::Broken,
            Self::Limit { .. } => ListEnd::Limit,
        }
    }
}

impl fmt::Display for WalkEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Cycle { at } => write!(f, "runs in a circle that its head is not part of, closed at {at}"),
            Self::Broken { at, fault } => write!(f, "breaks off at {at}: {fault}"),
            Self::Astray { at, to } => write!(f, "goes astray at {at}, whose link is {to}"),
            Self::Contradicted { at, what } => write!(f, "is contradicted at {at} by {what}"),
            Self::Limit { cap } => write!(f, "was stopped after {cap} entries"),
        }
    }
}

/// The two links of a `_LIST_ENTRY`, and where they lie (x64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `Flink`, at 0.
    Forward,
    /// `Blink`, at 8.
    Backward,
}

/// A walk along `_LIST_ENTRY` links, entry by entry: addresses of the entries, not of the structures around them, the head not
/// included.
#[derive(Debug)]
pub struct Walk<'m, F> {
    space: AddressSpace<'m>,
    head: VirtualAddress,
    at: VirtualAddress,
    direction: Direction,
    cap: usize,
    valid: F,
    seen: HashSet<VirtualAddress>,
    end: Option<WalkEnd>,
}

impl<'m> Walk<'m, fn(VirtualAddress) -> bool> {
    /// A walk from `head` over at most `cap` entries, all of them in the kernel's half.
    #[must_use]
    pub fn new(space: AddressSpace<'m>, head: VirtualAddress, direction: Direction, cap: usize) -> Self {
        Self::over(space, head, direction, cap, VirtualAddress::is_kernel)
    }
}

impl<'m, F: Fn(VirtualAddress) -> bool> Walk<'m, F> {
    /// The same where `valid` says whether an address can be an entry at all.
    #[must_use]
    pub fn over(space: AddressSpace<'m>, head: VirtualAddress, direction: Direction, cap: usize, valid: F) -> Self {
        Self { space, head, at: head, direction, cap, valid, seen: HashSet::new(), end: None }
    }

    /// How it ended. `None`: it has not.
    #[must_use]
    pub fn end(&self) -> Option<WalkEnd> {
        self.end.clone()
    }

    fn step(&self) -> Result<VirtualAddress, WalkEnd> {
        let at = self.at;
        let link = match self.direction {
            Direction::Forward => at,
            Direction::Backward => at.wrapping_add(8),
        };
        // An entry whose link cannot be read is no proof of an entry: the last one may be an address into nowhere.
        let next = self.space.read_pointer(link).map_err(|fault| WalkEnd::Broken { at, fault })?;
        match next {
            _ if next == self.head => Err(WalkEnd::Complete),
            _ if !(self.valid)(next) => Err(WalkEnd::Astray { at, to: next }),
            _ if self.seen.contains(&next) => Err(WalkEnd::Cycle { at: next }),
            _ if self.seen.len() >= self.cap => Err(WalkEnd::Limit { cap: self.cap }),
            _ => Ok(next),
        }
    }
}

impl<F: Fn(VirtualAddress) -> bool> Iterator for Walk<'_, F> {
    type Item = VirtualAddress;

    fn next(&mut self) -> Option<VirtualAddress> {
        if self.end.is_some() {
            return None;
        }
        match self.step() {
            Ok(next) => {
                self.seen.insert(next);
                self.at = next;
                Some(next)
            }
            Err(end) => {
                self.end = Some(end);
                None
            }
        }
    }
}

/// Walks from `head` to the end and returns the addresses of the entries with how the walk ended. `valid` says whether an
/// address can be an entry at all.
#[must_use]
pub fn list(
    space: AddressSpace<'_>,
    head: VirtualAddress,
    direction: Direction,
    cap: usize,
    valid: impl Fn(VirtualAddress) -> bool,
) -> (Vec<VirtualAddress>, WalkEnd) {
    let mut walk = Walk::over(space, head, direction, cap, valid);
    let entries = walk.by_ref().collect();
    (entries, walk.end().unwrap_or(WalkEnd::Limit { cap }))
}

/// Walks a binary tree from `root` and returns the addresses of its nodes in order, left before right. `links`: where in a
/// node its left and its right pointer lie. A part that cannot be read does not end the walk: the worst of what was met does
/// show in how it ended.
#[must_use]
pub fn tree(
    space: AddressSpace<'_>,
    root: VirtualAddress,
    links: (u64, u64),
    cap: usize,
) -> (Vec<VirtualAddress>, WalkEnd) {
    let mut nodes = Vec::new();
    let mut end = WalkEnd::Complete;
    let mut worsen = |worse: WalkEnd| {
        if end.kind() < worse.kind() {
            end = worse;
        }
    };
    let mut seen = HashSet::new();
    // Nodes whose left side is under way, with their right pointers.
    let mut above: Vec<(VirtualAddress, VirtualAddress)> = Vec::new();
    let (mut from, mut at) = (root, root);
    loop {
        while !at.is_null() {
            if !at.is_kernel() {
                worsen(WalkEnd::Astray { at: from, to: at });
                break;
            }
            if !seen.insert(at) {
                worsen(WalkEnd::Cycle { at });
                break;
            }
            if seen.len() > cap {
                worsen(WalkEnd::Limit { cap });
                return (nodes, end);
            }
            let pointer = |offset: u64| space.read_pointer(at.wrapping_add(offset));
            match (pointer(links.0), pointer(links.1)) {
                (Ok(left), Ok(right)) => {
                    above.push((at, right));
                    (from, at) = (at, left);
                }
                (Err(fault), _) | (_, Err(fault)) => {
                    worsen(WalkEnd::Broken { at, fault });
                    break;
                }
            }
        }
        let Some((node, right)) = above.pop() else { return (nodes, end) };
        nodes.push(node);
        (from, at) = (node, right);
    }
}

/// A list walked both ways and joined.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The entries, in forward order; those that only the backward walk reached stand last, in list order too.
    pub entries: Vec<VirtualAddress>,
    /// How the forward walk ended.
    pub forward: WalkEnd,
    /// How the backward walk ended.
    pub backward: WalkEnd,
    /// Those of the entries that one walk did not come to, with the direction of the one that did.
    pub one_way: Vec<(VirtualAddress, Direction)>,
}

impl Joined {
    /// The worse of the two ends.
    #[must_use]
    pub fn end(&self) -> ListEnd {
        self.forward.kind().max(self.backward.kind())
    }
}

/// Walks a list in both directions: a link that is torn in one direction is often whole in the other.
#[must_use]
pub fn list_both_ways(
    space: AddressSpace<'_>,
    head: VirtualAddress,
    cap: usize,
    valid: impl Fn(VirtualAddress) -> bool + Copy,
) -> Joined {
    let (mut entries, forward) = list(space, head, Direction::Forward, cap, valid);
    let (behind, backward) = list(space, head, Direction::Backward, cap, valid);
    let mut one_way = Vec::new();
    // As a rule both have the same, and the sets are not needed.
    if !entries.iter().eq(behind.iter().rev()) {
        let (ahead, back): (HashSet<_>, HashSet<_>) =
            (entries.iter().copied().collect(), behind.iter().copied().collect());
        one_way.extend(entries.iter().filter(|entry| !back.contains(entry)).map(|entry| (*entry, Direction::Forward)));
        let behind: Vec<_> = behind.into_iter().rev().filter(|entry| !ahead.contains(entry)).collect();
        one_way.extend(behind.iter().map(|entry| (*entry, Direction::Backward)));
        entries.extend(behind);
    }
    Joined { entries, forward, backward, one_way }
}
