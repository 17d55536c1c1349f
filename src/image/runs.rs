//! Where physical memory lies in a file that holds it in pieces: a sorted table of runs, each at its place.

use super::blocks::Blocks;
use super::source::Source;
use super::{PhysicalMemory, PhysicalRun};
use crate::{PAGE_SIZE, PhysicalAddress};
use std::collections::BTreeMap;

/// x64 and ARM64 processors have 52 bits of physical address at most: what is said to lie above is no memory.
const TOP: u64 = 1 << 52;

/// Where the bytes of a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the file, from this offset on.
    File(u64),
    /// In the file, page n of the run at `first + n * stride`.
    Pages { first: u64, stride: u64 },
    /// Nowhere: the container says that all of them are zero.
    Zero,
    /// In compressed blocks: `within` bytes into block `block`, and on through the blocks that follow it.
    Packed { block: u64, within: u64 },
}

impl Place {
    /// The same, `bytes` further on. `block`: bytes that a block holds.
    pub(super) fn at(self, bytes: u64, block: u64) -> Self {
        match self {
            Self::File(offset) => Self::File(offset.saturating_add(bytes)),
            Self::Pages { first, stride } => {
                let page = first.saturating_add((bytes / PAGE_SIZE).saturating_mul(stride));
                match bytes % PAGE_SIZE {
                    0 => Self::Pages { first: page, stride },
                    within => Self::File(page.saturating_add(within)),
                }
            }
            Self::Zero => Self::Zero,
            Self::Packed { block: first, within } => {
                let at = within.saturating_add(bytes);
                let further = at.checked_div(block).unwrap_or(0);
                Self::Packed {
                    block: first.saturating_add(further),
                    within: at.saturating_sub(further.saturating_mul(block)),
                }
            }
        }
    }
}

/// A run and its place.
pub(super) type Piece = (PhysicalRun, Place);

/// What became of pieces that a file claims to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// Bytes behind the end of the file, or above what a processor can address.
    pub cut: u64,
    /// Bytes of which the file holds two copies; the first is used.
    pub twice: u64,
}

/// Sorted, disjoint runs, each at its place.
#[derive(Debug)]
pub(super) struct Runs {
    source: Source,
    pieces: Vec<Piece>,
    blocks: Option<Blocks>,
}

impl Runs {
    /// Sorts pieces in any order, of which the first holds where they overlap, and cuts what lies behind the end of the file.
    pub(super) fn new(source: Source, pieces: impl IntoIterator<Item = Piece>) -> (Self, Lost) {
        let file = source.len();
        let mut lost = Lost::default();
        // What is taken, merged: start to end. It makes any order and any nesting cost little.
        let mut taken: BTreeMap<u64, u64> = BTreeMap::new();
        let mut kept: Vec<Piece> = Vec::new();
        for (run, place) in pieces {
            let held = match place {
                Place::File(offset) => file.saturating_sub(offset),
                Place::Pages { first, stride } => {
                    let left = file.saturating_sub(first);
                    match left.checked_div(stride).zip(left.checked_rem(stride)) {
                        None => left.min(PAGE_SIZE),
                        Some((whole, rest)) => whole.saturating_mul(PAGE_SIZE).saturating_add(rest.min(PAGE_SIZE)),
                    }
                }
                Place::Zero | Place::Packed { .. } => u64::MAX,
            };
            let bytes = run.bytes.min(held).min(TOP.saturating_sub(run.start.0));
            lost.cut = lost.cut.saturating_add(run.bytes.saturating_sub(bytes));
            let run = PhysicalRun { start: run.start, bytes };
            lost.twice = lost.twice.saturating_add(take(&mut taken, run, |gap| {
                let within = gap.start.0.saturating_sub(run.start.0);
                kept.push((gap, place.at(within, Blocks::SIZE)));
            }));
        }
        kept.sort_unstable_by_key(|(run, _)| run.start);
        let mut merged: Vec<Piece> = Vec::with_capacity(kept.len());
        for (run, place) in kept {
            push(&mut merged, run, place);
        }
        merged.shrink_to_fit();
        (Self { source, pieces: merged, blocks: None }, lost)
    }

    /// The same with what unpacks its packed pieces.
    pub(super) fn with_blocks(self, blocks: Blocks) -> Self {
        Self { blocks: Some(blocks), ..self }
    }

    /// Where `at` lies, and the number of bytes that follow it in the run.
    fn find(&self, at: PhysicalAddress) -> Option<(Place, u64)> {
        let after = self.pieces.partition_point(|(run, _)| run.start <= at);
        let (run, place) = self.pieces.get(after.checked_sub(1)?)?;
        let within = at.0.checked_sub(run.start.0)?;
        let left = run.bytes.checked_sub(within).filter(|left| *left > 0)?;
        let left = match place {
            // Only one page's bytes lie together.
            Place::Pages { .. } => left.min(PAGE_SIZE.saturating_sub(within % PAGE_SIZE)),
            _ => left,
        };
        Some((place.at(within, Blocks::SIZE), left))
    }
}

/// Adds a piece, to the last one if it goes on where that ends: containers of single pages have millions of them.
pub(super) fn push(pieces: &mut Vec<Piece>, run: PhysicalRun, place: Place) {
    if let Some((last, at)) = pieces.last_mut()
        && last.end() == run.start
        && mergeable(*at)
        && at.at(last.bytes, Blocks::SIZE) == place
    {
        last.bytes = last.bytes.saturating_add(run.bytes);
    } else {
        pieces.push((run, place));
    }
}

/// Pages at the offsets of a page are merged only if their stride is known.
fn mergeable(place: Place) -> bool {
    !matches!(place, Place::Pages { stride: 0, .. })
}

/// Marks a run as taken, gives each part of it that was not taken yet, and returns the bytes that were.
fn take(taken: &mut BTreeMap<u64, u64>, run: PhysicalRun, mut gap: impl FnMut(PhysicalRun)) -> u64 {
    if run.bytes == 0 {
        return 0;
    }
    let (first, end) = (run.start.0, run.end().0);
    let (mut start, mut stop) = (first, end);
    // What it touches or overlaps becomes one with it; met from the last to the first.
    let mut behind = end;
    let mut twice = 0u64;
    while let Some((&a, &b)) = taken.range(..=end).next_back().filter(|(_, b)| **b >= first) {
        taken.remove(&a);
        start = start.min(a);
        stop = stop.max(b);
        let (from, to) = (a.max(first), b.min(end));
        twice = twice.saturating_add(to.saturating_sub(from));
        if to < behind {
            gap(PhysicalRun { start: PhysicalAddress(to), bytes: behind.saturating_sub(to) });
        }
        behind = from;
    }
    if first < behind {
        gap(PhysicalRun { start: PhysicalAddress(first), bytes: behind.saturating_sub(first) });
    }
    taken.insert(start, stop);
    twice
}

/// Lent where a container says that memory is zero.
static ZEROS: [u8; 0x1_0000] = [0; 0x1_0000];

impl PhysicalMemory for Runs {
    fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        let index = self.pieces.partition_point(|(run, _)| run.end() <= from);
        self.pieces.get(index).map(|(run, _)| run.from(from))
    }

    fn read(&self, at: PhysicalAddress, buf: &mut [u8]) -> usize {
        let mut done = 0usize;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let now = u64::try_from(done).ok().and_then(|done| at.checked_add(done));
            let Some((place, left)) = now.and_then(|at| self.find(at)) else { break };
            let len = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let Some(rest) = rest.get_mut(..len) else { break };
            let read = match place {
                Place::File(offset) | Place::Pages { first: offset, .. } => self.source.read(offset, rest),
                Place::Zero => {
                    rest.fill(0);
                    len
                }
                Place::Packed { block, within } => {
                    self.blocks.as_ref().map_or(0, |blocks| blocks.read(block, within, rest))
                }
            };
            if read == 0 {
                break;
            }
            done = done.saturating_add(read);
        }
        done
    }

    fn borrow(&self, at: PhysicalAddress, len: usize) -> Option<&[u8]> {
        let (place, left) = self.find(at)?;
        let len = len.min(usize::try_from(left).unwrap_or(usize::MAX));
        match place {
            Place::File(offset) | Place::Pages { first: offset, .. } => self.source.lend(offset, len),
            Place::Zero => ZEROS.get(..len.min(ZEROS.len())),
            Place::Packed { .. } => None,
        }
    }

    fn file_offset(&self, at: PhysicalAddress) -> Option<u64> {
        match self.find(at)?.0 {
            Place::File(offset) | Place::Pages { first: offset, .. } => self.source.file_offset(offset),
            Place::Zero | Place::Packed { .. } => None,
        }
    }

    fn block_offset(&self, at: PhysicalAddress) -> Option<u64> {
        match self.find(at)?.0 {
            Place::File(offset) | Place::Pages { first: offset, .. } => self.source.block_offset(offset),
            Place::Packed { block, .. } => self.blocks.as_ref()?.place(block),
            Place::Zero => None,
        }
    }

    fn prefetch(&self, piece: PhysicalRun) {
        let mut at = piece.start;
        while let Some((place, left)) = self.find(at).filter(|_| at < piece.end()) {
            let length = left.min(piece.end().0.saturating_sub(at.0));
            if let Place::File(offset) = place {
                self.source.prefetch(offset, length);
            }
            at = at.wrapping_add(length);
        }
    }

    fn next_data(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        let mut at = from;
        loop {
            let run = self.next_run(at)?;
            let (place, left) = self.find(run.start)?;
            let Place::File(offset) = place else {
                if place == Place::Zero {
                    at = run.end();
                    continue;
                }
                return Some(run);
            };
            let run = PhysicalRun { start: run.start, bytes: left };
            match data_in(&self.source, run, offset) {
                Some(data) => return Some(data),
                None => at = run.end(),
            }
        }
    }
}

/// The first part of a run, whose bytes stand in a row from `offset` on in the file, that is no hole of it; with the whole page in which
/// it begins. Holes of a sparse file are zero, and are not read.
pub(super) fn data_in(source: &Source, run: PhysicalRun, offset: u64) -> Option<PhysicalRun> {
    let (data, end) = source.next_data(offset)?;
    let skipped = data.checked_sub(offset).filter(|skipped| *skipped < run.bytes)?;
    let first = PhysicalAddress(run.start.0.saturating_add(skipped));
    let start = first.page().max(run.start);
    let end = run.end().0.min(first.0.saturating_add(end.saturating_sub(data)));
    Some(PhysicalRun { start, bytes: end.saturating_sub(start.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u64, bytes: u64) -> PhysicalRun {
        PhysicalRun { start: PhysicalAddress(start), bytes }
    }

    fn runs(bytes: u64, pieces: &[(u64, u64, Place)]) -> (Runs, Lost) {
        let source = Source::new((0..bytes).map(|n| (n / 0x100) as u8).collect::<Vec<u8>>());
        Runs::new(source, pieces.iter().map(|(start, bytes, place)| (run(*start, *bytes), *place)))
    }

    #[test]
    fn pieces_are_sorted_and_cut_and_the_first_of_two_copies_is_used() {
        let (runs, lost) = runs(
            0x7000,
            &[
                (0x10000, 0x4000, Place::File(0x5000)),
                (0x1000, 0x2000, Place::File(0x1000)),
                (0x2000, 0x2000, Place::File(0)),
                (0x9000, 0, Place::File(0)),
                (TOP - 0x1000, 0x2000, Place::Zero),
            ],
        );
        assert_eq!(lost, Lost { cut: 0x2000 + 0x1000, twice: 0x1000 });
        assert_eq!(runs.find(PhysicalAddress(0x1004)), Some((Place::File(0x1004), 0x1ffc)));
        assert_eq!(runs.find(PhysicalAddress(0x3004)), Some((Place::File(0x1004), 0xffc)));
        assert_eq!(runs.find(PhysicalAddress(0x4000)), None);
        assert_eq!(runs.find(PhysicalAddress(0x11fff)), Some((Place::File(0x6fff), 1)));
        assert_eq!(runs.find(PhysicalAddress(0x12000)), None);
        assert_eq!(runs.next_run(PhysicalAddress(0x2800)), Some(run(0x2800, 0x800)));
        assert_eq!(runs.next_run(PhysicalAddress(0x4000)), Some(run(0x10000, 0x2000)));
        let mut two = [0; 2];
        assert_eq!(runs.read(PhysicalAddress(0x2fff), &mut two), 2, "one read goes on where the next piece begins");
        assert_eq!(two, [0x2f, 0x10]);
        assert_eq!(runs.read(PhysicalAddress(0x3fff), &mut two), 1, "and ends at a hole");
        assert_eq!(runs.borrow(PhysicalAddress(TOP - 4), 8), Some(&[0u8; 4][..]));
    }

    #[test]
    fn a_piece_over_many_others_fills_the_gaps() {
        let mut pieces: Vec<(u64, u64, Place)> =
            (0..100).map(|n| (0x10_0000 + n * 0x2000, 0x1000, Place::File(n))).collect();
        pieces.push((0x10_0000 - 0x1000, 0x10_0000, Place::Zero));
        pieces.push((0, 0x100_0000, Place::Zero));
        let (runs, lost) = runs(0x1_0000, &pieces);
        assert_eq!(lost, Lost { cut: 0, twice: 100 * 0x1000 + 0x10_0000 });
        assert_eq!(runs.find(PhysicalAddress(0x10_2000)), Some((Place::File(1), 0x1000)));
        assert_eq!(runs.find(PhysicalAddress(0x10_3000)).map(|(place, _)| place), Some(Place::Zero));
        let bytes: u64 = runs.pieces.iter().map(|(run, _)| run.bytes).sum();
        assert_eq!(bytes, 0x100_0000);
    }

    #[test]
    fn pages_at_a_stride() {
        let (runs, lost) = runs(0x3010, &[(0x5000, 0x4000, Place::Pages { first: 8, stride: 0x1008 })]);
        assert_eq!(lost.cut, 0x1008);
        assert_eq!(runs.find(PhysicalAddress(0x6010)), Some((Place::File(0x1020), 0xff0)));
        assert_eq!(runs.find(PhysicalAddress(0x7000)), Some((Place::Pages { first: 0x2018, stride: 0x1008 }, 0xff8)));
        let mut all = vec![0; 0x3000];
        // The file's last page lacks eight bytes.
        assert_eq!(runs.read(PhysicalAddress(0x5000), &mut all), 0x2ff8);
        assert_eq!((all[0xff7], all[0xff8], all[0x1000]), (0x0f, 0x10, 0x10));
    }
}
