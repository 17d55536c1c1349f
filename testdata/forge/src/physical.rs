//! Physical memory: frames of 4 KiB inside the runs that a machine has.

use crate::rng::Rng;
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes in a page frame.
pub const PAGE: u64 = 4096;

/// Frames below are handed out by number only: firmware, the low stub, and early page tables such as System's root.
const FIRST: u64 = 0x200;

/// The physical memory under construction. Only frames that were written are held.
#[derive(Clone, Debug)]
pub struct Physical {
    runs: Vec<Range<u64>>,
    frames: BTreeMap<u64, Box<[u8; 4096]>>,
    rng: Rng,
}

impl Physical {
    /// Memory with these byte ranges, frames handed out in an order that `seed` decides.
    #[must_use]
    pub fn new(runs: &[Range<u64>], seed: u64) -> Self {
        Self { runs: runs.to_vec(), frames: BTreeMap::new(), rng: Rng::new(seed) }
    }

    /// The byte ranges that are memory.
    #[must_use]
    pub fn runs(&self) -> &[Range<u64>] {
        &self.runs
    }

    fn holds(&self, frame: u64) -> bool {
        self.runs.iter().any(|r| frame * PAGE >= r.start && (frame + 1) * PAGE <= r.end)
    }

    /// Takes a free frame somewhere: neighbours in virtual memory shall not be neighbours here.
    ///
    /// # Panics
    /// When memory is full.
    pub fn take(&mut self) -> u64 {
        let total: u64 = self.runs.iter().map(|r| (r.end - r.start) / PAGE).sum();
        let mut at = self.rng.below(total);
        for _ in 0..total {
            let frame = self.nth(at);
            if frame >= FIRST && !self.frames.contains_key(&frame) {
                self.take_at(frame);
                return frame;
            }
            at = (at + 1) % total;
        }
        panic!("the machine has too little memory for its scenario");
    }

    fn nth(&self, mut n: u64) -> u64 {
        for run in &self.runs {
            let frames = (run.end - run.start) / PAGE;
            if n < frames {
                return run.start / PAGE + n;
            }
            n -= frames;
        }
        unreachable!("n is below the total")
    }

    /// Takes this frame.
    ///
    /// # Panics
    /// When it is taken or is no memory.
    pub fn take_at(&mut self, frame: u64) {
        assert!(self.holds(frame), "frame {frame:#x} is outside of memory");
        assert!(self.frames.insert(frame, Box::new([0; 4096])).is_none(), "frame {frame:#x} is taken");
    }

    /// Takes `count` frames in a row, the first a multiple of `align`.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn take_row(&mut self, count: u64, align: u64) -> u64 {
        for run in self.runs.clone() {
            let mut first = (run.start / PAGE).max(FIRST).next_multiple_of(align);
            while (first + count) * PAGE <= run.end {
                if self.frames.range(first..first + count).next().is_none() {
                    (first..first + count).for_each(|f| self.take_at(f));
                    return first;
                }
                first += align;
            }
        }
        panic!("no {count} frames in a row");
    }

    /// The bytes of a frame that was taken.
    ///
    /// # Panics
    /// When it was not taken.
    pub fn frame(&mut self, frame: u64) -> &mut [u8; 4096] {
        self.frames.get_mut(&frame).unwrap_or_else(|| panic!("frame {frame:#x} was not taken"))
    }

    /// The bytes of a frame, if it was taken.
    #[must_use]
    pub fn get(&self, frame: u64) -> Option<&[u8; 4096]> {
        self.frames.get(&frame).map(|f| &**f)
    }

    /// Takes a frame away: it is no longer memory.
    pub fn remove(&mut self, frame: u64) {
        self.frames.remove(&frame);
        let (start, end) = (frame * PAGE, (frame + 1) * PAGE);
        self.runs = self
            .runs
            .iter()
            .flat_map(|r| [r.start..r.end.min(start), r.start.max(end)..r.end])
            .filter(|r| r.start < r.end)
            .collect();
    }

    /// Reads a 64-bit number at a physical address (aligned).
    pub fn read_u64(&mut self, at: u64) -> u64 {
        let start = (at % PAGE) as usize;
        u64::from_le_bytes(self.frame(at / PAGE)[start..start + 8].try_into().expect("8 bytes"))
    }

    /// Writes a 64-bit number at a physical address (aligned).
    pub fn write_u64(&mut self, at: u64, value: u64) {
        let start = (at % PAGE) as usize;
        self.frame(at / PAGE)[start..start + 8].copy_from_slice(&value.to_le_bytes());
    }

    /// All frames that were taken, by number.
    pub fn frames(&self) -> impl Iterator<Item = (u64, &[u8; 4096])> {
        self.frames.iter().map(|(&n, b)| (n, &**b))
    }

    /// Where the last run ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.runs.iter().map(|r| r.end).max().unwrap_or(0)
    }

    /// The raw image: byte n is physical address n, what is no memory is zero.
    #[must_use]
    pub fn raw(&self) -> Vec<u8> {
        let mut image = vec![0; self.end() as usize];
        for (frame, bytes) in self.frames() {
            let start = (frame * PAGE) as usize;
            image[start..start + 4096].copy_from_slice(bytes);
        }
        image
    }
}
