//! What an image's file holds and does not give: compressed blocks that do not unpack. Whoever reads meets them one by one, and what was met is
//! told at the end.

use super::{PhysicalMemory, holds};
use crate::{PAGE_SIZE, PhysicalAddress};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Pages that are kept: of more the message says nothing else.
const MAX_PAGES: usize = 1 << 16;
/// Ranges of memory that the message names.
const NAMED: usize = 3;

/// Pages that could not be read although the file holds them.
#[derive(Default)]
pub(super) struct Damage(Mutex<BTreeSet<PhysicalAddress>>);

impl Damage {
    /// Keeps that nothing could be read at `at`, if the memory has it.
    pub(super) fn note(&self, memory: &(impl PhysicalMemory + ?Sized), at: PhysicalAddress) {
        if holds(memory, at) {
            let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if pages.len() < MAX_PAGES {
                pages.insert(at.page());
            }
        }
    }

    /// What is to be said of it. `None`: all that was asked for was there, or is a hole.
    pub(super) fn text(&self, memory: &(impl PhysicalMemory + ?Sized)) -> Option<String> {
        let pages = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut ranges: Vec<(PhysicalAddress, PhysicalAddress)> = Vec::new();
        for page in &pages {
            let end = page.wrapping_add(PAGE_SIZE);
            match ranges.last_mut() {
                Some((_, to)) if *to == *page => *to = end,
                _ => ranges.push((*page, end)),
            }
        }
        let named: Vec<String> = ranges.iter().take(NAMED).map(|(from, to)| format!("{from} to {to}")).collect();
        let more = if ranges.len() > NAMED { " and more" } else { "" };
        let lost = format!("memory {}{more}, which was asked for, is lost", named.join(", "));
        let blocks: BTreeSet<u64> = pages.iter().filter_map(|page| memory.block_offset(*page)).collect();
        let what = match (blocks.first()?, blocks.len()) {
            (first, 1) => format!("the block at offset {first:#x} of the file does not unpack"),
            (first, number) => {
                format!("{number} blocks of the file do not unpack, the first of them at offset {first:#x}")
            }
        };
        Some(format!("{what}: the file is damaged, copy it again; {lost}"))
    }
}
