//! Page tables that refer to themselves at one distance from where they lie: the file begins before or after the memory does.

use crate::image::{PhysicalMemory, bytes_at, runs};
use crate::{PAGE_SIZE, PhysicalAddress};
use std::collections::HashMap;

/// Pages that are looked at: 64 MiB. System's root lies below 4 MiB as a rule, and every process has one.
const SEARCHED: usize = 0x4000;
/// Entries that are counted; hostile pages would all differ.
const MAX_COUNTED: usize = 1 << 20;
/// Tables that must agree.
const ENOUGH: u32 = 3;
/// Entries of the kernel's half that may map the table itself.
const SLOTS: std::ops::Range<usize> = 0x100..0x1ff;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// What the file is, if several tables refer to where they would lie if it began elsewhere. A table refers to itself in the same
/// entry in all address spaces of one system.
pub(super) fn of(memory: &(impl PhysicalMemory + ?Sized)) -> Option<String> {
    let mut counts: HashMap<(usize, i64), u32> = HashMap::new();
    let mut buffer = Vec::new();
    let pages = runs(memory).flat_map(|run| (run.start.0..run.end().0).step_by(0x1000));
    for at in pages.take(SEARCHED).map(PhysicalAddress) {
        let Some(page) = bytes_at(memory, at, 4096, &mut buffer).first_chunk::<4096>() else { continue };
        let entries = page.as_chunks::<8>().0.iter().map(|entry| u64::from_le_bytes(*entry)).enumerate();
        for (slot, entry) in entries.skip(SLOTS.start).take(SLOTS.len()) {
            // Present, writable, and no large page.
            if entry & 0x83 != 3 || counts.len() >= MAX_COUNTED {
                continue;
            }
            let distance = (entry & ADDRESS).cast_signed().saturating_sub(at.0.cast_signed());
            let count = counts.entry((slot, distance)).or_default();
            *count = count.saturating_add(1);
        }
    }
    // Where most refer to themselves as they lie, the file begins where the memory does.
    let ((_, distance), count) = counts
        .into_iter()
        .filter(|(_, count)| *count >= ENOUGH)
        .max_by_key(|(place, count)| (*count, std::cmp::Reverse(*place)))
        .filter(|((_, distance), _)| *distance != 0)?;
    let bytes = distance.unsigned_abs();
    Some(if distance > 0 {
        format!(
            "{count} page tables refer to themselves {bytes:#x} bytes further on: the file begins at {} MiB of the machine's memory. It is \
             one of several parts: join them in their order (cat PART... > OUT), and name the whole",
            bytes >> 20
        )
    } else {
        format!(
            "{count} page tables refer to themselves {bytes:#x} bytes before where they lie: the file begins with {bytes:#x} bytes that \
             are no memory. Cut them off: dd if=FILE of=OUT bs={PAGE_SIZE} skip={}",
            bytes / PAGE_SIZE
        )
    })
}
