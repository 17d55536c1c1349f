//! Memory of a machine from which the hole below 4 GiB was cut out: where it begins depends on the firmware, and a file seldom says it.

use super::placed::Placed;
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

/// Memory whose addresses follow one another, with a hole put into it that begins at `begin`.
pub(super) fn with_hole(memory: &Arc<dyn PhysicalMemory>, begin: u64) -> Placed {
    let run = |start: u64, bytes: u64| PhysicalRun { start: PhysicalAddress(start), bytes };
    let above = run(FOUR_GIB, u64::MAX.saturating_sub(FOUR_GIB));
    Placed::new(Arc::clone(memory), vec![(run(0, begin), 0), (above, begin)])
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
        let runs: Arc<dyn PhysicalMemory> = Arc::new(Runs::new(Source::new(bytes), all).0);
        let memory = with_hole(&runs, BEGIN);
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
