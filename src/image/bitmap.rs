//! Memory of which a bitmap says which pages are there: they follow one another in the file, and a page's rank tells where.

use super::runs::data_in;
use super::source::Source;
use super::{PhysicalMemory, PhysicalRun};
use crate::{PAGE_SIZE, PhysicalAddress};

/// Words of the bitmap between two stored ranks: 4096 pages, 16 MiB of memory.
const WORDS_PER_RANK: usize = 64;

/// A set of pages, of which each has a rank: 1.02 bits for each page of address space.
#[derive(Debug)]
pub(super) struct PageSet {
    words: Vec<u64>,
    /// Pages in the set before each group of [`WORDS_PER_RANK`] words.
    ranks: Vec<u64>,
    /// Pages in the set.
    total: u64,
}

impl PageSet {
    /// The set of a bitmap: bit n of byte m is page 8 m + n, up to `pages`; what lies behind that is padding.
    pub(super) fn new(bytes: &[u8], pages: u64) -> Self {
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
        words.truncate(usize::try_from(pages.div_ceil(64)).unwrap_or(usize::MAX));
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
        Self { words, ranks, total }
    }

    /// How many pages are in it.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// The number of pages in the set before `page`, if `page` is in it.
    pub(super) fn rank(&self, page: u64) -> Option<u64> {
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

    /// The first pages in a row at or above `page`, and how many there are.
    pub(super) fn next_pages(&self, page: u64) -> Option<(u64, u64)> {
        let first = self.next_bit(page, true)?;
        let bits = u64::try_from(self.words.len()).ok()?.checked_mul(64)?;
        let end = self.next_bit(first, false).unwrap_or(bits);
        Some((first, end.checked_sub(first)?))
    }
}

/// Pages that follow one another in the file in the order of their numbers.
#[derive(Debug)]
pub(super) struct Bitmap {
    source: Source,
    pages: PageSet,
    /// File offset of the first page.
    first: u64,
}

impl Bitmap {
    /// The pages of a set, the first at file offset `first`. Returns the number of pages that are not in the file with it.
    pub(super) fn new(source: Source, pages: PageSet, first: u64) -> (Self, u64) {
        let this = Self { source, pages, first };
        let missing = this.pages.total().saturating_sub(this.held());
        (this, missing)
    }

    /// Whole pages that the file has room for.
    fn held(&self) -> u64 {
        self.source.len().saturating_sub(self.first) / PAGE_SIZE
    }

    /// The file offset of `at` and the number of bytes that follow it without a gap.
    fn find(&self, at: PhysicalAddress) -> Option<(u64, u64)> {
        let rank = self.pages.rank(at.0 / PAGE_SIZE).filter(|rank| *rank < self.held())?;
        let page = self.first.checked_add(rank.checked_mul(PAGE_SIZE)?)?;
        Some((page.checked_add(at.page_offset())?, PAGE_SIZE.checked_sub(at.page_offset())?))
    }
}

impl PhysicalMemory for Bitmap {
    fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        let (first, pages) = self.pages.next_pages(from.0 / PAGE_SIZE)?;
        // Pages behind the end of a truncated file are not there.
        let present = self.held().checked_sub(self.pages.rank(first)?).filter(|pages| *pages > 0)?;
        let start = PhysicalAddress(first.checked_mul(PAGE_SIZE)?);
        Some(PhysicalRun { start, bytes: pages.min(present).checked_mul(PAGE_SIZE)? }.from(from))
    }

    fn read(&self, at: PhysicalAddress, buf: &mut [u8]) -> usize {
        let mut done = 0usize;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let now = u64::try_from(done).ok().and_then(|done| at.checked_add(done));
            let Some((offset, left)) = now.and_then(|at| self.find(at)) else { break };
            let len = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = rest.get_mut(..len).map_or(0, |rest| self.source.read(offset, rest));
            if read == 0 {
                break;
            }
            done = done.saturating_add(read);
        }
        done
    }

    fn borrow(&self, at: PhysicalAddress, len: usize) -> Option<&[u8]> {
        let (offset, left) = self.find(at)?;
        self.source.lend(offset, len.min(usize::try_from(left).unwrap_or(usize::MAX)))
    }

    fn file_offset(&self, at: PhysicalAddress) -> Option<u64> {
        self.source.file_offset(self.find(at)?.0)
    }

    fn block_offset(&self, at: PhysicalAddress) -> Option<u64> {
        self.source.block_offset(self.find(at)?.0)
    }

    fn prefetch(&self, piece: PhysicalRun) {
        if let Some((offset, _)) = self.find(piece.start) {
            self.source.prefetch(offset, piece.bytes);
        }
    }

    fn next_data(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        let mut at = from;
        loop {
            let run = self.next_run(at)?;
            // Pages in a row stand in a row in the file.
            match data_in(&self.source, run, self.find(run.start)?.0) {
                Some(data) => return Some(data),
                None => at = run.end(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is a hole of a sparse file is passed over; the page in which data begin is whole.
    #[cfg(unix)]
    #[test]
    fn holes_of_the_file_are_passed_over() {
        use std::io::{Seek as _, SeekFrom, Write as _};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        let mut file = std::fs::File::create(&path).unwrap();
        let first = 0x2100u64;
        for at in [8 << 20, 24 << 20] {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&[1; 4096]).unwrap();
        }
        file.set_len(first + (32 << 20)).unwrap();
        let (map, _) = Bitmap::new(Source::open(&path).unwrap(), PageSet::new(&[0xff; 1024], 8192), first);
        let (mut from, mut bytes, mut found) = (PhysicalAddress(0), 0, Vec::new());
        while let Some(run) = map.next_data(from) {
            assert!(run.start.0.is_multiple_of(PAGE_SIZE) || run.start == from, "{run:?}");
            bytes += run.bytes;
            found.push(run);
            from = run.end();
        }
        let covered = |at: u64| found.iter().any(|run| run.start.0 <= at - first && at - first < run.end().0);
        assert!([8 << 20, (8 << 20) + 4095, 24 << 20].into_iter().all(covered), "{found:?}");
        // A file system that knows no holes gives all of it.
        assert!(bytes < 1 << 20 || bytes == 32 << 20, "{bytes:#x}");
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
            let file = Source::new(vec![0; (first + held * PAGE_SIZE) as usize]);
            let (map, missing) = Bitmap::new(file, PageSet::new(&bytes, pages), first);
            prop_assert_eq!(missing, present.len() as u64 - held);
            for page in 0..pages + 70 {
                let expected = present.iter().position(|p| *p == page).map(|n| n as u64).filter(|n| *n < held);
                let found = map.find(PhysicalAddress(page * PAGE_SIZE + 8)).map(|(offset, _)| offset);
                prop_assert_eq!(found, expected.map(|n| first + n * PAGE_SIZE + 8));
            }
            let mut walked = Vec::new();
            let mut from = PhysicalAddress(0);
            while let Some(run) = map.next_run(from) {
                walked.extend((run.start.0..run.end().0).step_by(crate::addr::PAGE_BYTES).map(|at| at / PAGE_SIZE));
                from = run.end();
            }
            prop_assert_eq!(walked, present[..held as usize].to_vec());
        }
    }
}
