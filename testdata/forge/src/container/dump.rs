//! Crash dumps whose header lists ranges of memory: `RDMP`, as kdmp-parser describes it.

use super::{HEADER, put};
use crate::forge::Forged;
use crate::physical::PAGE;

impl Forged {
    /// A dump of DumpType 8 (live kernel), 9 (live kernel with user pages) or 0xA (complete, of WinDbg).
    ///
    /// # Panics
    /// For another type.
    #[must_use]
    pub fn as_range_dump(&self, kind: u32) -> Vec<u8> {
        assert!(matches!(kind, 8..=0xa), "a type with ranges");
        let mut out = self.dump_header(kind);
        let runs = &self.truth.runs;
        // The ranges, one of zeros behind them, and the header's second half.
        let metadata = 0x10 + runs.len() * 16 + 16;
        let first = (HEADER + 0x20 + metadata).next_multiple_of(PAGE as usize);
        out.resize(first, 0);
        put(&mut out, HEADER, &0x40u32.to_le_bytes());
        put(&mut out, HEADER + 4, b"RDMPDUMP");
        // What is called the metadata's size ends 0x20 behind where the pages begin.
        put(&mut out, HEADER + 0x10, &((first - 0x2040 + 0x20) as u64).to_le_bytes());
        put(&mut out, HEADER + 0x18, &(first as u64).to_le_bytes());
        if kind == 0xa {
            put(&mut out, HEADER + 0x20, &(runs.len() as u32).to_le_bytes());
            let total: u64 = runs.iter().map(|r| (r.end - r.start) / PAGE).sum();
            put(&mut out, HEADER + 0x28, &total.to_le_bytes());
        } else {
            put(&mut out, HEADER + 0x20, &[0xcd; 16]);
        }
        for (n, run) in runs.iter().enumerate() {
            put(&mut out, HEADER + 0x30 + n * 16, &(run.start / PAGE).to_le_bytes());
            put(&mut out, HEADER + 0x38 + n * 16, &((run.end - run.start) / PAGE).to_le_bytes());
        }
        for run in runs {
            self.append_run(run, &mut out);
        }
        out
    }
}
