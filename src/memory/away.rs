//! Pages that are not in memory, counted by where they are and whether that could be read.

use super::{AddressSpace, Fault, Where};
use crate::VirtualAddress;
use crate::addr::PAGE_BYTES;
use std::collections::{BTreeMap, BTreeSet};

/// Such pages of one part of the machine.
#[derive(Debug, Default)]
pub(crate) struct AwayPages {
    /// By what supplied them.
    read: BTreeMap<String, u64>,
    /// By where they are.
    missing: BTreeMap<String, u64>,
    /// What would supply those that are missing.
    needs: BTreeSet<String>,
    /// Pages that nobody tried to read: there were too many.
    pub untried: u64,
}

impl AwayPages {
    /// Counts the page at `at`, which is at `place`, and gives its bytes, if they are not in memory and could be had.
    pub(crate) fn take(
        &mut self,
        space: AddressSpace<'_>,
        at: VirtualAddress,
        place: &Where,
    ) -> Option<Box<[u8; PAGE_BYTES]>> {
        if place.physical().is_some() {
            return None;
        }
        let mut page = Box::new([0u8; PAGE_BYTES]);
        let at = at.page();
        let (_, fault) = space.read_place(at, place, page.as_mut_slice());
        let Some(fault) = fault else {
            count(&mut self.read, place_of(place));
            return Some(page);
        };
        if let Some(place) = fault.place() {
            count(&mut self.missing, place);
            // Files of the disk are many, and a search is not helped by them.
            self.needs.extend(fault.remedy().filter(|_| !matches!(fault, Fault::FileOnly { .. })));
        }
        None
    }

    /// The numbers in words: `searched: 3 in the compressed store; not seen: 5 in page file 0, which was not given`. `None`: there are
    /// no such pages.
    pub(crate) fn told(&self, read: &str) -> Option<String> {
        let of = |all: &BTreeMap<String, u64>| {
            all.iter().map(|(place, number)| format!("{number} {place}")).collect::<Vec<_>>().join("; ")
        };
        let seen = (!self.read.is_empty()).then(|| format!("{read}: {}", of(&self.read)));
        let unseen = (!self.missing.is_empty()).then(|| format!("not seen: {}", of(&self.missing)));
        let untried = (self.untried > 0).then(|| format!("not tried, for there are too many: {}", self.untried));
        let all: Vec<String> = [seen, unseen, untried].into_iter().flatten().collect();
        let needs: Vec<&str> = self.needs.iter().map(String::as_str).collect();
        let needs = if needs.is_empty() { String::new() } else { format!(" [needs {}]", needs.join(", ")) };
        (!all.is_empty()).then(|| format!("{}{needs}", all.join("; ")))
    }
}

fn count(of: &mut BTreeMap<String, u64>, what: String) {
    let number = of.entry(what).or_default();
    *number = number.saturating_add(1);
}

fn place_of(place: &Where) -> String {
    match place {
        Where::PageFile { number, .. } => format!("in page file {number}"),
        _ => "in the compressed store".to_owned(),
    }
}
