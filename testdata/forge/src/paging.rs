//! x64 page tables with four or five levels (Intel SDM volume 3, 4.5; Windows' use of them: `_MMPTE_HARDWARE`).

use crate::physical::{PAGE, Physical};
use std::collections::HashMap;

/// Entry bits (Intel SDM volume 3, table 4-19).
pub mod bit {
    /// Present.
    pub const VALID: u64 = 1;
    /// Writable.
    pub const WRITE: u64 = 1 << 1;
    /// Reachable from user mode.
    pub const USER: u64 = 1 << 2;
    /// Read since the bit was cleared.
    pub const ACCESSED: u64 = 1 << 5;
    /// Written since the bit was cleared.
    pub const DIRTY: u64 = 1 << 6;
    /// The entry maps memory of 2 MiB or 1 GiB itself.
    pub const LARGE: u64 = 1 << 7;
    /// No code may run from here.
    pub const NO_EXECUTE: u64 = 1 << 63;
}

const TABLE: u64 = bit::VALID | bit::WRITE | bit::ACCESSED | bit::DIRTY;

/// One address space: a root table and what hangs below it.
#[derive(Clone, Debug)]
pub struct Space {
    /// Frame of the PML4, or PML5.
    pub root: u64,
    levels: u8,
    tables: HashMap<(u8, u64), u64>,
    pages: HashMap<u64, u64>,
}

impl Space {
    /// An address space whose highest table is this frame, which must have been taken.
    #[must_use]
    pub fn new(root: u64, levels: u8) -> Self {
        Self { root, levels, tables: HashMap::new(), pages: HashMap::new() }
    }

    /// The frame of the table of `level` (4 = PML4, 3 = page-directory pointers, 2 = directory, 1 = page table) for an address.
    fn table(&mut self, memory: &mut Physical, level: u8, va: u64) -> u64 {
        if level == self.levels {
            return self.root;
        }
        let key = (level, (va & 0x01ff_ffff_ffff_ffff) >> (12 + 9 * u32::from(level)));
        if let Some(&frame) = self.tables.get(&key) {
            return frame;
        }
        let parent = self.table(memory, level + 1, va);
        let frame = memory.take();
        let user = if va >> 63 == 0 { bit::USER } else { 0 };
        memory.write_u64(parent * PAGE + index(va, level + 1) * 8, (frame * PAGE) | TABLE | user);
        self.tables.insert(key, frame);
        frame
    }

    /// Writes the lowest-level entry of an address as it is.
    pub fn set_entry(&mut self, memory: &mut Physical, va: u64, entry: u64) {
        let table = self.table(memory, 1, va);
        memory.write_u64(table * PAGE + index(va, 1) * 8, entry);
    }

    /// The lowest-level entry of an address (0 if there is none).
    pub fn entry(&mut self, memory: &mut Physical, va: u64) -> u64 {
        let table = self.table(memory, 1, va);
        memory.read_u64(table * PAGE + index(va, 1) * 8)
    }

    /// Where the lowest-level entry of an address lies in physical memory.
    pub fn entry_address(&mut self, memory: &mut Physical, va: u64) -> u64 {
        self.table(memory, 1, va) * PAGE + index(va, 1) * 8
    }

    /// Maps 4 KiB.
    pub fn map(&mut self, memory: &mut Physical, va: u64, frame: u64, flags: u64) {
        self.set_entry(memory, va, (frame * PAGE) | flags);
        self.pages.insert(va / PAGE, frame);
    }

    /// Maps 2 MiB (level 2) or 1 GiB (level 3) of frames in a row.
    pub fn map_large(&mut self, memory: &mut Physical, level: u8, va: u64, frame: u64, flags: u64) {
        let frames = 1u64 << (9 * u32::from(level - 1));
        assert!(va.is_multiple_of(frames * PAGE) && frame.is_multiple_of(frames), "a large page lies on its own size");
        let table = self.table(memory, level, va);
        memory.write_u64(table * PAGE + index(va, level) * 8, (frame * PAGE) | flags | bit::LARGE);
        for n in 0..frames {
            self.pages.insert(va / PAGE + n, frame + n);
        }
    }

    /// All frames that back pages.
    pub fn frames(&self) -> impl Iterator<Item = u64> {
        self.pages.values().copied()
    }

    /// The frame that backs an address, mapped or (later) paged out.
    #[must_use]
    pub fn frame_of(&self, va: u64) -> Option<u64> {
        self.pages.get(&(va / PAGE)).copied()
    }

    /// The physical address of a virtual one.
    #[must_use]
    pub fn physical(&self, va: u64) -> Option<u64> {
        self.frame_of(va).map(|f| f * PAGE + va % PAGE)
    }

    /// Writes bytes; every page of them must have been mapped.
    ///
    /// # Panics
    /// When one was not.
    pub fn write(&self, memory: &mut Physical, va: u64, mut bytes: &[u8]) {
        let mut at = va;
        while !bytes.is_empty() {
            let frame = self.frame_of(at).unwrap_or_else(|| panic!("{at:#x} is not mapped"));
            let start = (at % PAGE) as usize;
            let n = bytes.len().min(4096 - start);
            memory.frame(frame)[start..start + n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            at += n as u64;
        }
    }

    /// Reads bytes; every page of them must have been mapped.
    ///
    /// # Panics
    /// When one was not.
    #[must_use]
    pub fn read(&self, memory: &mut Physical, va: u64, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len);
        while out.len() < len {
            let at = va + out.len() as u64;
            let frame = self.frame_of(at).unwrap_or_else(|| panic!("{at:#x} is not mapped"));
            let start = (at % PAGE) as usize;
            let n = (len - out.len()).min(4096 - start);
            out.extend_from_slice(&memory.frame(frame)[start..start + n]);
        }
        out
    }
}

/// Which of the 512 entries of a table of `level` an address uses.
#[must_use]
pub fn index(va: u64, level: u8) -> u64 {
    va >> (12 + 9 * u32::from(level - 1)) & 0x1ff
}
