//! Memory of a machine from which the hole below 4 GiB was cut out: where it begins depends on the firmware, and a file seldom says it.

use super::{PhysicalMemory, PhysicalRun};
use crate::PhysicalAddress;
use std::sync::Arc;

/// Where memory goes on behind the hole.
pub(super) const FOUR_GIB: u64 = 1 << 32;
/// Where the hole may begin: every 64 MiB from 2 GiB to 4 GiB. Known are 0x80000000 (QEMU q35, EFI), 0xB0000000, 0xC0000000 (VMware,
/// QEMU pc), 0xD0000000, 0xE0000000 (old QEMU pc), 0xF0000000 (Xen), and what firmware of real machines chooses.
const HOLES: std::ops::Range<u64> = 0x8000_0000..FOUR_GIB;
const HOLE_STEP: u64 = 0x400_0000;

/// Begins of holes to try where so much memory follows one another.
pub(super) fn begins(bytes: u64) -> impl Iterator<Item = u64> {
    let step = usize::try_from(HOLE_STEP).unwrap_or(usize::MAX);
    HOLES.step_by(step).filter(move |hole| *hole < bytes)
}

/// What to say of a hole that page tables showed.
pub(super) fn note(hole: u64) -> String {
    format!(
        "the file does not say where the hole below 4 GiB is: page tables resolve if what lies from {hole:#x} on in its memory is memory \
         from {FOUR_GIB:#x} on, and it is read so"
    )
}

/// Memory whose addresses follow one another, with a hole put into it.
pub(super) struct WithHole<M> {
    pub memory: Arc<M>,
    /// Where the hole begins.
    pub begin: u64,
}

impl<M> WithHole<M> {
    /// The address without the hole, and how far it goes on alike. `None`: it lies in the hole.
    fn place(&self, at: PhysicalAddress) -> Option<(PhysicalAddress, u64)> {
        if at.0 < self.begin {
            return Some((at, self.begin.saturating_sub(at.0)));
        }
        let above = at.0.checked_sub(FOUR_GIB)?;
        Some((PhysicalAddress(self.begin.checked_add(above)?), u64::MAX))
    }

    fn run(&self, from: PhysicalAddress, next: impl Fn(PhysicalAddress) -> Option<PhysicalRun>) -> Option<PhysicalRun> {
        // From within the hole, memory goes on at its end.
        let from = if (self.begin..FOUR_GIB).contains(&from.0) { PhysicalAddress(FOUR_GIB) } else { from };
        let run = next(self.place(from)?.0)?;
        let below = self.begin.saturating_sub(run.start.0);
        if below > 0 {
            return Some(PhysicalRun { start: run.start, bytes: run.bytes.min(below) });
        }
        let start = run.start.0.saturating_sub(self.begin).saturating_add(FOUR_GIB);
        Some(PhysicalRun { start: PhysicalAddress(start), bytes: run.bytes })
    }
}

impl<M: PhysicalMemory> PhysicalMemory for WithHole<M> {
    fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        self.run(from, |from| self.memory.next_run(from))
    }

    fn read(&self, at: PhysicalAddress, buf: &mut [u8]) -> usize {
        let Some((at, alike)) = self.place(at) else { return 0 };
        let len = buf.len().min(usize::try_from(alike).unwrap_or(usize::MAX));
        buf.get_mut(..len).map_or(0, |buf| self.memory.read(at, buf))
    }

    fn borrow(&self, at: PhysicalAddress, len: usize) -> Option<&[u8]> {
        let (at, alike) = self.place(at)?;
        self.memory.borrow(at, len.min(usize::try_from(alike).unwrap_or(usize::MAX)))
    }

    fn file_offset(&self, at: PhysicalAddress) -> Option<u64> {
        self.memory.file_offset(self.place(at)?.0)
    }

    fn prefetch(&self, piece: PhysicalRun) {
        if let Some((start, alike)) = self.place(piece.start) {
            self.memory.prefetch(PhysicalRun { start, bytes: piece.bytes.min(alike) });
        }
    }

    fn next_data(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        self.run(from, |from| self.memory.next_data(from))
    }
}

#[cfg(test)]
mod tests {
    use super::super::runs::{Place, Runs};
    use super::super::source::Source;
    use super::*;

    #[test]
    fn memory_goes_on_at_4_gib() {
        const BEGIN: u64 = 0x3000;
        let bytes: Vec<u8> = (0..0x5000u64).map(|at| (at >> 8) as u8).collect();
        let all = [(PhysicalRun { start: PhysicalAddress(0), bytes: 0x5000 }, Place::File(0))];
        let memory = WithHole { memory: Arc::new(Runs::new(Source::new(bytes), all).0), begin: BEGIN };
        let run = |start: u64, bytes: u64| Some(PhysicalRun { start: PhysicalAddress(start), bytes });
        for (from, found) in [
            (0, run(0, 0x3000)),
            (0x1000, run(0x1000, 0x2000)),
            (0x3000, run(FOUR_GIB, 0x2000)),
            (FOUR_GIB - 1, run(FOUR_GIB, 0x2000)),
            (FOUR_GIB + 0x1000, run(FOUR_GIB + 0x1000, 0x1000)),
            (FOUR_GIB + 0x2000, None),
        ] {
            assert_eq!(memory.next_run(PhysicalAddress(from)), found, "{from:#x}");
            assert_eq!(memory.next_data(PhysicalAddress(from)), found, "{from:#x}");
        }
        let mut four = [0; 4];
        assert_eq!(memory.read(PhysicalAddress(0x2ffe), &mut four), 2, "a read ends where the hole begins");
        assert_eq!(memory.read(PhysicalAddress(0x3000), &mut four), 0);
        assert_eq!(memory.read(PhysicalAddress(FOUR_GIB + 0x100), &mut four), 4);
        assert_eq!(four, [0x31; 4]);
        assert_eq!(memory.borrow(PhysicalAddress(FOUR_GIB), 2), Some(&[0x30, 0x30][..]));
        assert_eq!(memory.borrow(PhysicalAddress(0x2fff), 2), Some(&[0x2f][..]));
        assert_eq!(memory.file_offset(PhysicalAddress(FOUR_GIB)), Some(0x3000));
    }
}
