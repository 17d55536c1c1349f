//! Reasons why a list is not complete, bounded.

use crate::Absent;

/// So many reasons are kept of one list: more do not say more, and hostile lists have millions.
const KEPT: usize = 16;

/// Why items of a list are missing.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    kept: Vec<Absent>,
    more: u64,
}

impl Faults {
    /// Adds a reason.
    pub(super) fn push(&mut self, why: Absent) {
        if self.kept.len() < KEPT {
            self.kept.push(why);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// The reasons; the last one says how many more there are.
    pub(super) fn into_reasons(mut self) -> Vec<Absent> {
        if self.more > 0 {
            self.kept.push(Absent::unreadable(format!("and {} more", self.more)));
        }
        self.kept
    }
}

/// Items of a list, and why others are missing.
#[derive(Clone, Debug)]
pub struct Listing<T> {
    /// The items that could be read, in the hive's order.
    pub items: Vec<T>,
    /// Why there may be more; empty: there are not.
    pub missing: Vec<Absent>,
}

impl<T> Listing<T> {
    pub(super) fn new(items: Vec<T>, faults: Faults) -> Self {
        Self { items, missing: faults.into_reasons() }
    }

    /// True if every item was read.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }
}
