//! The header and the bitmap of a crash dump that is written.

use super::PhysicalRun;
use super::write::DumpFacts;
use crate::PAGE_SIZE;
use std::io::{self, Write};

/// Runs that the header of a crash dump has room for: 700 bytes, 16 of head, 16 a run.
pub(super) const MAX_RUNS: usize = 42;
pub(super) const HEADER: usize = 0x2000;

/// `_DUMP_HEADER64`; what is not known is left as its writer leaves it, filled with `PAGE`.
pub(super) fn header(pieces: &[PhysicalRun], full: bool, facts: &DumpFacts) -> Vec<u8> {
    let mut out: Vec<u8> = b"PAGE".iter().copied().cycle().take(HEADER).collect();
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in out.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    let pages: u64 = pieces.iter().map(|run| run.bytes / PAGE_SIZE).sum();
    put(0, b"PAGEDU64");
    put(0x08, &0xfu32.to_le_bytes());
    put(0x0c, &facts.build.to_le_bytes());
    put(0x10, &facts.dtb.0.to_le_bytes());
    put(0x18, &facts.pfn_database.0.to_le_bytes());
    put(0x20, &facts.loaded_module_list.0.to_le_bytes());
    put(0x28, &facts.active_process_head.0.to_le_bytes());
    put(0x30, &0x8664u32.to_le_bytes());
    put(0x34, &facts.processors.max(1).to_le_bytes());
    // The code that Windows itself writes into the dump of a running system.
    put(0x38, &0x161u32.to_le_bytes());
    put(0x40, &[0; 32]);
    put(0x80, &facts.debugger_data_block.0.to_le_bytes());
    if full {
        put(0x88, &u32::try_from(pieces.len()).unwrap_or(0).to_le_bytes());
        put(0x90, &pages.to_le_bytes());
        for (n, run) in pieces.iter().enumerate() {
            let at = 0x98usize.saturating_add(n.saturating_mul(16));
            put(at, &(run.start.0 / PAGE_SIZE).to_le_bytes());
            put(at.saturating_add(8), &(run.bytes / PAGE_SIZE).to_le_bytes());
        }
    }
    // The context record: no processor's state is known.
    put(0x348, &[0; 1232]);
    put(0xf00, &[0; 0x98]);
    put(0xf98, &(if full { 1u32 } else { 5 }).to_le_bytes());
    put(0xfa0, &pages.saturating_mul(PAGE_SIZE).saturating_add(0x2000).to_le_bytes());
    if let Some(captured) = facts.captured {
        put(0xfa8, &captured.0.to_le_bytes());
        if let Some(up) = facts.boot.and_then(|boot| captured.0.checked_sub(boot.0)) {
            put(0x1030, &up.to_le_bytes());
        }
    }
    let mut comment = [0u8; 128];
    for (to, from) in comment.iter_mut().zip(concat!("ntmem ", env!("CARGO_PKG_VERSION")).bytes()) {
        *to = from;
    }
    put(0xfb0, &comment);
    out
}

/// The bitmap of a dump, with the header in front of it and what fills its last page.
pub(super) struct Bits {
    bits: Vec<u8>,
    pages: u64,
    end: u64,
}

impl Bits {
    pub(super) fn of(pieces: &[PhysicalRun]) -> io::Result<Self> {
        let end = pieces.last().map_or(0, |run| run.end().0) / PAGE_SIZE;
        let bytes = usize::try_from(end.div_ceil(64).saturating_mul(8)).map_err(io::Error::other)?;
        let mut bits = Self { bits: vec![0; bytes], pages: 0, end };
        for run in pieces {
            (run.start.0 / PAGE_SIZE..run.end().0 / PAGE_SIZE).for_each(|page| bits.set(page, true));
        }
        Ok(bits)
    }

    pub(super) fn set(&mut self, page: u64, is_there: bool) {
        let Some(byte) = usize::try_from(page / 8).ok().and_then(|at| self.bits.get_mut(at)) else { return };
        let bit = 1u8 << (page % 8);
        if is_there && *byte & bit == 0 {
            *byte |= bit;
            self.pages = self.pages.saturating_add(1);
        } else if !is_there && *byte & bit != 0 {
            *byte &= !bit;
            self.pages = self.pages.saturating_sub(1);
        }
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let begin = u64::try_from(HEADER.saturating_add(0x38).saturating_add(self.bits.len())).unwrap_or(u64::MAX);
        let first = begin.next_multiple_of(PAGE_SIZE);
        let mut head = [0u8; 0x38];
        let fields = [(0x20usize, first), (0x28, self.pages), (0x30, self.end)];
        for (to, from) in head.iter_mut().zip(b"FDMPDUMP") {
            *to = *from;
        }
        for (at, value) in fields {
            for (to, from) in head.iter_mut().skip(at).zip(value.to_le_bytes()) {
                *to = from;
            }
        }
        out.write_all(&head)?;
        out.write_all(&self.bits)?;
        out.write_all(&vec![0; usize::try_from(first.saturating_sub(begin)).unwrap_or(0)])
    }
}
