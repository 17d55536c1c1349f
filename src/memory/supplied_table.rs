//! Whether a page out of a page file is the page table that it should be. The file is copied at another time than memory: by then the
//! page may be another's, or the file is that of another machine.

use super::space::AddressSpace;
use super::windows_pte::Form;
use crate::addr::PAGE_BYTES;
use crate::{PhysicalAddress, VirtualAddress};
use std::collections::HashSet;

/// Entry: reachable from user mode.
const USER: u64 = 1 << 2;
/// Pages that a page file has at most: 16 TiB, Windows' own limit (`MmPagingFile`, Windows Internals 7th ed., ch. 5).
const MOST_PAGES: u64 = 1 << 32;

/// Whether most entries are such as a table for `at` has: frames that the image has, each once, of user memory in its half; pointers to
/// kernel memory; places in one of the machine's `files` page files; each written as this kernel writes it. A table without any entry is
/// given back, and not written to a page file.
pub(super) fn holds_a_table(
    bytes: &[u8; PAGE_BYTES],
    space: &AddressSpace<'_>,
    files: Option<usize>,
    at: VirtualAddress,
) -> bool {
    let (memory, arch, ptes) = (space.memory(), space.architecture(), space.ptes());
    let user = !at.is_kernel();
    let is_there = |at: u64| memory.next_run(PhysicalAddress(at)).is_some_and(|run| run.start.0 <= at);
    let is_file = |number: u32| files.is_none_or(|files| usize::try_from(number).is_ok_and(|number| number < files));
    let mut met = HashSet::new();
    let (mut sane, mut odd) = (0usize, 0usize);
    let (entries, _) = bytes.as_chunks::<8>();
    for entry in entries.iter().map(|entry| u64::from_le_bytes(*entry)).filter(|entry| *entry != 0) {
        let makes_sense = if entry & arch.present != 0 {
            let frame = entry & arch.frame;
            (!user || entry & USER != 0) && met.insert(frame) && is_there(frame)
        } else {
            match ptes.form(entry) {
                Form::Transition(frame) => ptes.is_written(entry) && is_there(frame.0),
                Form::PageFile { number, index } => ptes.is_written(entry) && is_file(number) && index < MOST_PAGES,
                Form::Prototype(pointers) => pointers.iter().any(|pointer| pointer.is_kernel()),
                Form::Zero | Form::AskVad | Form::PagedOut | Form::DemandZero => true,
            }
        };
        let count = if makes_sense { &mut sane } else { &mut odd };
        *count = count.saturating_add(1);
    }
    sane > odd
}
