//! Memory whose pieces are at other places in another memory: where each belongs, somebody else tells.

use super::{PhysicalMemory, PhysicalRun};
use crate::PhysicalAddress;
use std::sync::Arc;

/// Pieces of memory, sorted and disjoint, each with where it begins in the other.
pub(crate) struct Placed {
    of: Arc<dyn PhysicalMemory>,
    pieces: Vec<(PhysicalRun, u64)>,
}

impl Placed {
    pub(super) const fn new(of: Arc<dyn PhysicalMemory>, pieces: Vec<(PhysicalRun, u64)>) -> Self {
        Self { of, pieces }
    }

    /// Where `at` lies in the other, and how far that goes on alike. `None`: nowhere.
    fn find(&self, at: PhysicalAddress) -> Option<(PhysicalAddress, u64)> {
        let after = self.pieces.partition_point(|(run, _)| run.start <= at);
        let (run, place) = self.pieces.get(after.checked_sub(1)?)?;
        let within = at.0.checked_sub(run.start.0)?;
        let left = run.bytes.checked_sub(within).filter(|left| *left > 0)?;
        Some((PhysicalAddress(place.checked_add(within)?), left))
    }

    fn run(&self, from: PhysicalAddress, next: impl Fn(PhysicalAddress) -> Option<PhysicalRun>) -> Option<PhysicalRun> {
        let behind = self.pieces.partition_point(|(run, _)| run.end() <= from);
        self.pieces.iter().skip(behind).find_map(|(run, place)| {
            let within = from.0.saturating_sub(run.start.0);
            let found = next(PhysicalAddress(place.checked_add(within)?))?;
            let begin = found.start.0.checked_sub(*place)?;
            let bytes = found.bytes.min(run.bytes.checked_sub(begin)?);
            let start = PhysicalAddress(run.start.0.checked_add(begin)?);
            (bytes > 0).then_some(PhysicalRun { start, bytes })
        })
    }
}

impl PhysicalMemory for Placed {
    fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        self.run(from, |from| self.of.next_run(from))
    }

    fn read(&self, at: PhysicalAddress, buf: &mut [u8]) -> usize {
        let mut done = 0usize;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let now = u64::try_from(done).ok().and_then(|done| at.checked_add(done));
            let Some((place, left)) = now.and_then(|at| self.find(at)) else { break };
            let len = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = rest.get_mut(..len).map_or(0, |rest| self.of.read(place, rest));
            if read == 0 {
                break;
            }
            done = done.saturating_add(read);
        }
        done
    }

    fn borrow(&self, at: PhysicalAddress, len: usize) -> Option<&[u8]> {
        let (at, left) = self.find(at)?;
        self.of.borrow(at, len.min(usize::try_from(left).unwrap_or(usize::MAX)))
    }

    fn file_offset(&self, at: PhysicalAddress) -> Option<u64> {
        self.of.file_offset(self.find(at)?.0)
    }

    fn block_offset(&self, at: PhysicalAddress) -> Option<u64> {
        self.of.block_offset(self.find(at)?.0)
    }

    fn prefetch(&self, piece: PhysicalRun) {
        if let Some((start, left)) = self.find(piece.start) {
            self.of.prefetch(PhysicalRun { start, bytes: piece.bytes.min(left) });
        }
    }

    fn next_data(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        self.run(from, |from| self.of.next_data(from))
    }
}
