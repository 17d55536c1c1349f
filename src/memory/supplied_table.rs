//! Whether a page out of a page file is the page table that it should be. The file is copied at another time than memory: by then the
//! page may be another's, or the file is that of another machine.

use super::arch::Architecture;
use crate::addr::PAGE_BYTES;
use crate::image::PhysicalMemory;
use crate::{PhysicalAddress, VirtualAddress};
use std::collections::HashSet;

/// Entry: reachable from user mode.
const USER: u64 = 1 << 2;
/// `Prototype` of entries that are not present, and where their pointer begins: all such pointers lead to kernel memory.
const PROTOTYPE: u64 = 1 << 10;
const POINTER: u32 = 16;

/// Whether most entries are such as a table for `at` has: frames that the image has, each once, of user memory in its half; pointers
/// to kernel memory. A table without any entry is given back, and not written to a page file.
pub(super) fn holds_a_table(
    bytes: &[u8; PAGE_BYTES],
    memory: &dyn PhysicalMemory,
    arch: &Architecture,
    at: VirtualAddress,
) -> bool {
    let user = !at.is_kernel();
    let is_there = |at: u64| memory.next_run(PhysicalAddress(at)).is_some_and(|run| run.start.0 <= at);
    let mut met = HashSet::new();
    let (mut sane, mut odd) = (0usize, 0usize);
    let (entries, _) = bytes.as_chunks::<8>();
    for entry in entries.iter().map(|entry| u64::from_le_bytes(*entry)).filter(|entry| *entry != 0) {
        let makes_sense = if entry & arch.present != 0 {
            let frame = entry & arch.frame;
            (!user || entry & USER != 0) && met.insert(frame) && is_there(frame)
        } else {
            // The highest bit of a pointer is in no mask.
            entry & PROTOTYPE == 0 || VirtualAddress((entry.cast_signed() >> POINTER).cast_unsigned()).is_kernel()
        };
        let count = if makes_sense { &mut sane } else { &mut odd };
        *count = count.saturating_add(1);
    }
    sane > odd
}
