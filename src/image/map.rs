//! Where in the file a physical address lies: a table of runs, or the rank in a bitmap of pages.

use super::PhysicalRun;
use crate::{PAGE_SIZE, PhysicalAddress};

/// Maps physical ranges to file offsets.
#[derive(Debug)]
pub(super) enum Map {
    Runs(RunTable),
    Bitmap(PageBitmap),
}

impl Map {
    /// The file offset of `at` and the number of bytes that follow it without a gap.
    pub(super) fn find(&self, at: PhysicalAddress) -> Option<(u64, u64)> {
        match self {
            Self::Runs(table) => table.find(at),
            Self::Bitmap(bitmap) => bitmap.find(at),
        }
    }

    /// The first piece of memory at or above `from`.
    pub(super) fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        match self {
            Self::Runs(table) => table.next_run(from),
            Self::Bitmap(bitmap) => bitmap.next_run(from),
        }
    }
}

/// Sorted, disjoint runs, each at its place in the file.
#[derive(Debug, Default)]
pub(super) struct RunTable {
    runs: Vec<(PhysicalRun, u64)>,
}

impl RunTable {
    /// Sorts `runs` (each with its file offset), drops what overlaps an earlier run, and cuts what lies behind the end of
    /// the file. Returns the number of bytes cut and dropped with the table.
    pub(super) fn new(mut runs: Vec<(PhysicalRun, u64)>, file: u64) -> (Self, u64) {
        runs.sort_by_key(|(run, _)| run.start);
        let mut kept: Vec<(PhysicalRun, u64)> = Vec::with_capacity(runs.len());
        let mut lost = 0u64;
        let mut next = 0u64;
        for (run, offset) in runs {
            let in_file = file.saturating_sub(offset).min(run.bytes);
            let in_space = u64::MAX.saturating_sub(run.start.0).min(in_file);
            if in_space == 0 || run.start.0 < next {
                lost = lost.saturating_add(run.bytes);
                continue;
            }
            lost = lost.saturating_add(run.bytes.saturating_sub(in_space));
            next = run.start.0.saturating_add(in_space);
            kept.push((PhysicalRun { start: run.start, bytes: in_space }, offset));
        }
        (Self { runs: kept }, lost)
    }

    fn find(&self, at: PhysicalAddress) -> Option<(u64, u64)> {
        let after = self.runs.partition_point(|(run, _)| run.start <= at);
        let (run, offset) = self.runs.get(after.checked_sub(1)?)?;
        let within = at.0.checked_sub(run.start.0)?;
        let left = run.bytes.checked_sub(within).filter(|left| *left > 0)?;
        Some((offset.checked_add(within)?, left))
    }

    fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        let index = self.runs.partition_point(|(run, _)| run.end() <= from);
        self.runs.get(index).map(|(run, _)| run.from(from))
    }
}

/// Words of the bitmap between two stored ranks: 4096 pages, 16 MiB of memory.
const WORDS_PER_RANK: usize = 64;

/// A bitmap of the pages that are present, whose contents follow one another in the file.
#[derive(Debug)]
pub(super) struct PageBitmap {
    words: Vec<u64>,
    /// Pages present before each group of [`WORDS_PER_RANK`] words.
    ranks: Vec<u64>,
    /// File offset of the first page.
    first: u64,
    /// Bytes of the file.
    file: u64,
}

impl PageBitmap {
    /// The bitmap (bit n of byte m is page 8 m + n, up to `pages`), and the file offset of the first page's bytes. Returns
    /// the number of pages that the bitmap promises and the file does not hold with it.
    pub(super) fn new(bytes: &[u8], pages: u64, first: u64, file: u64) -> (Self, u64) {
        let mut words: Vec<u64> = bytes
            .chunks(8)
            .map(|chunk| {
                let mut word = [0u8; 8];
                for (to, from) in word.iter_mut().zip(chunk) {
                    *to = *from;
                }
                u64::from_le_bytes(word)
            })
            .collect();
        // Bits past the last page are padding.
        if let (Ok(last), bits @ 1..) = (usize::try_from(pages / 64), pages % 64)
            && let Some(word) = words.get_mut(last)
        {
            *word &= (1u64 << bits).wrapping_sub(1);
        }
        let mut total = 0u64;
        let ranks = words
            .chunks(WORDS_PER_RANK)
            .map(|group| {
                let before = total;
                total = total.saturating_add(group.iter().map(|word| u64::from(word.count_ones())).sum());
                before
            })
            .collect();
        let held = file.saturating_sub(first) / PAGE_SIZE;
        (Self { words, ranks, first, file }, total.saturating_sub(held))
    }

    /// The number of pages present before `page`, if `page` is present.
    fn rank(&self, page: u64) -> Option<u64> {
        let index = usize::try_from(page / 64).ok()?;
        let word = *self.words.get(index)?;
        let bit = page % 64;
        if (word >> bit) & 1 == 0 {
            return None;
        }
        let group = index / WORDS_PER_RANK;
        let start = group.checked_mul(WORDS_PER_RANK)?;
        let before: u64 = self.words.get(start..index)?.iter().map(|word| u64::from(word.count_ones())).sum();
        let below = word & (1u64 << bit).wrapping_sub(1);
        self.ranks.get(group)?.checked_add(before)?.checked_add(u64::from(below.count_ones()))
    }

    fn find(&self, at: PhysicalAddress) -> Option<(u64, u64)> {
        let rank = self.rank(at.0 / PAGE_SIZE)?;
        let page = self.first.checked_add(rank.checked_mul(PAGE_SIZE)?)?;
        let left =
            self.file.checked_sub(page)?.min(PAGE_SIZE).checked_sub(at.page_offset()).filter(|left| *left > 0)?;
        Some((page.checked_add(at.page_offset())?, left))
    }

    /// The first page at or above `page` whose bit is `set`.
    fn next_bit(&self, page: u64, set: bool) -> Option<u64> {
        let mut index = usize::try_from(page / 64).ok()?;
        let mut mask = u64::MAX << (page % 64);
        loop {
            let word = *self.words.get(index)?;
            let found = (if set { word } else { !word }) & mask;
            if found != 0 {
                return u64::try_from(index).ok()?.checked_mul(64)?.checked_add(u64::from(found.trailing_zeros()));
            }
            mask = u64::MAX;
            index = index.checked_add(1)?;
        }
    }

    fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        let first = self.next_bit(from.0 / PAGE_SIZE, true)?;
        let bits = u64::try_from(self.words.len()).ok()?.checked_mul(64)?;
        let end = self.next_bit(first, false).unwrap_or(bits);
        // Pages behind the end of a truncated file are not there.
        let held = self.file.saturating_sub(self.first) / PAGE_SIZE;
        let present = held.checked_sub(self.rank(first)?).filter(|pages| *pages > 0)?;
        let pages = end.checked_sub(first)?.min(present);
        let start = PhysicalAddress(first.checked_mul(PAGE_SIZE)?);
        Some(PhysicalRun { start, bytes: pages.checked_mul(PAGE_SIZE)? }.from(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(start: u64, bytes: u64) -> PhysicalRun {
        PhysicalRun { start: PhysicalAddress(start), bytes }
    }

    #[test]
    fn runs_are_sorted_cut_and_never_overlap() {
        let (table, lost) = RunTable::new(
            vec![(run(0x10000, 0x4000), 0x5000), (run(0x1000, 0x2000), 0x1000), (run(0x2000, 0x1000), 0)],
            0x7000,
        );
        assert_eq!(lost, 0x2000 + 0x1000);
        assert_eq!(table.find(PhysicalAddress(0x1004)), Some((0x1004, 0x1ffc)));
        assert_eq!(table.find(PhysicalAddress(0x3000)), None);
        assert_eq!(table.find(PhysicalAddress(0x11fff)), Some((0x6fff, 1)));
        assert_eq!(table.find(PhysicalAddress(0x12000)), None);
        assert_eq!(table.next_run(PhysicalAddress(0x2800)), Some(run(0x2800, 0x800)));
        assert_eq!(table.next_run(PhysicalAddress(0x3000)), Some(run(0x10000, 0x2000)));
        assert_eq!(table.next_run(PhysicalAddress(0x12000)), None);
    }

    proptest! {
        // The model: a list of present pages, in order.
        #[test]
        fn bitmap_agrees_with_a_list_of_pages(bits in proptest::collection::vec(any::<bool>(), 1..9000), cut in 0u64..40) {
            let pages = bits.len() as u64;
            let mut bytes = vec![0u8; bits.len().div_ceil(8)];
            for (page, _) in bits.iter().enumerate().filter(|(_, set)| **set) {
                bytes[page / 8] |= 1 << (page % 8);
            }
            let present: Vec<u64> = bits.iter().enumerate().filter(|(_, set)| **set).map(|(page, _)| page as u64).collect();
            let held = (present.len() as u64).saturating_sub(cut);
            let first = 0x3000;
            let (map, missing) = PageBitmap::new(&bytes, pages, first, first + held * PAGE_SIZE);
            prop_assert_eq!(missing, present.len() as u64 - held);
            for page in 0..pages + 70 {
                let expected = present.iter().position(|p| *p == page).map(|n| n as u64).filter(|n| *n < held);
                let found = map.find(PhysicalAddress(page * PAGE_SIZE + 8)).map(|(offset, _)| offset);
                prop_assert_eq!(found, expected.map(|n| first + n * PAGE_SIZE + 8));
            }
            let mut walked = Vec::new();
            let mut from = PhysicalAddress(0);
            while let Some(run) = map.next_run(from) {
                walked.extend((run.start.0..run.end().0).step_by(PAGE_SIZE as usize).map(|at| at / PAGE_SIZE));
                from = run.end();
            }
            prop_assert_eq!(walked, present[..held as usize].to_vec());
        }
    }
}
