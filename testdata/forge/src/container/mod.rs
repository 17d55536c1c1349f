//! The same memory in other containers: crash dumps and LiME here, the others in a file each.

mod aff4;
mod avml;
mod dump;
mod elf;
mod ewf;
mod hibernation;
mod hyperv;
mod hypervisor;
mod kdump;
mod qemu;
mod triage;
mod virtualbox;
mod xen;

pub use elf::Core;
pub use hibernation::Hibernation;
pub use hypervisor::StateFile;
pub use qemu::Stream;
pub use triage::Driver;
pub use virtualbox::Saved;

use crate::forge::Forged;
use crate::physical::PAGE;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

/// Kinds of a 64-bit crash dump (`DumpType` in its header).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpType {
    /// 1: all runs, one after the other.
    Full,
    /// 5: the pages that a bitmap names (`FDMP`).
    Bitmap,
    /// 6: the same without user pages (`SDMP`), as Task Manager's live kernel dump.
    KernelBitmap,
}

impl DumpType {
    fn number(self) -> u32 {
        match self {
            Self::Full => 1,
            Self::Bitmap => 5,
            Self::KernelBitmap => 6,
        }
    }
}

/// Bytes of the header (`DUMP_HEADER64`).
const HEADER: usize = 0x2000;
/// Bytes before the bitmap in a bitmap dump.
const BITMAP_HEADER: usize = 0x38;

/// Writes bytes at an offset.
fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

impl Forged {
    /// A crash dump. Offsets are those of `DUMP_HEADER64` (Windows metadata, `Windows.Win32.System.Diagnostics.Debug`), checked against
    /// a full dump's header that DumpIt wrote; the bitmap header is as Rekall and kdmp-parser describe it.
    #[must_use]
    pub fn as_crash_dump(&self, kind: DumpType) -> Vec<u8> {
        let mut out = self.dump_header(kind.number());
        if kind == DumpType::Full {
            for run in &self.truth.runs {
                self.append_run(run, &mut out);
            }
            return out;
        }
        let frames: BTreeSet<u64> = self
            .memory
            .frames()
            .map(|(n, _)| n)
            .filter(|n| kind == DumpType::Bitmap || !self.user_frames.contains(n))
            .collect();
        // A bit for each page of physical address space, up to the end of memory.
        let pages = self.memory.end() / PAGE;
        let mut bitmap = vec![0u8; (pages.div_ceil(64) * 8) as usize];
        for frame in &frames {
            bitmap[(frame / 8) as usize] |= 1 << (frame % 8);
        }
        let first = (HEADER + BITMAP_HEADER + bitmap.len()).next_multiple_of(PAGE as usize);
        let start = out.len();
        out.resize(first, 0);
        let signature: &[u8; 4] = if kind == DumpType::Bitmap { b"FDMP" } else { b"SDMP" };
        put(&mut out, start, signature);
        put(&mut out, start + 4, b"DUMP");
        put(&mut out, start + 0x20, &(first as u64).to_le_bytes());
        put(&mut out, start + 0x28, &(frames.len() as u64).to_le_bytes());
        put(&mut out, start + 0x30, &pages.to_le_bytes());
        put(&mut out, start + BITMAP_HEADER, &bitmap);
        for frame in frames {
            out.extend_from_slice(self.memory.get(frame).expect("taken"));
        }
        out
    }

    /// All frames of a run, in order; what was never written is zero.
    fn pages(&self, run: &Range<u64>) -> impl Iterator<Item = (u64, &[u8; 4096])> {
        (run.start / PAGE..run.end / PAGE).map(|frame| (frame, self.memory.get(frame).unwrap_or(&[0; 4096])))
    }

    /// Appends the bytes of a run.
    fn append_run(&self, run: &Range<u64>, out: &mut Vec<u8>) {
        for frame in run.start / PAGE..run.end / PAGE {
            out.extend_from_slice(self.memory.get(frame).unwrap_or(&[0; 4096]));
        }
    }

    /// Writes the raw image to a file without building it in memory first: what is no memory or was never written is a hole of the
    /// file. For memory that reaches above 4 GiB.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_raw(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        file.set_len(self.truth.bytes)?;
        for (frame, bytes) in self.memory.frames() {
            file.seek(SeekFrom::Start(frame * PAGE))?;
            file.write_all(bytes)?;
        }
        file.flush()
    }

    fn dump_header(&self, kind: u32) -> Vec<u8> {
        let mut out: Vec<u8> = b"PAGE".iter().copied().cycle().take(HEADER).collect();
        let global = |name: &str| self.globals.get(name).copied().unwrap_or(0);
        put(&mut out, 0, b"PAGEDU64");
        put(&mut out, 0x8, &0xfu32.to_le_bytes());
        put(&mut out, 0xc, &self.truth.build.to_le_bytes());
        put(&mut out, 0x10, &(self.truth.dtb | self.root_flags).to_le_bytes());
        put(&mut out, 0x18, &0u64.to_le_bytes());
        put(&mut out, 0x20, &global("PsLoadedModuleList").to_le_bytes());
        put(&mut out, 0x28, &global("PsActiveProcessHead").to_le_bytes());
        put(&mut out, 0x30, &0x8664u32.to_le_bytes());
        put(&mut out, 0x34, &self.processors.to_le_bytes());
        // MANUALLY_INITIATED_CRASH.
        put(&mut out, 0x38, &0xe2u32.to_le_bytes());
        put(&mut out, 0x40, &[0; 32]);
        put(&mut out, 0x80, &global("KdDebuggerDataBlock").to_le_bytes());
        let runs = &self.truth.runs;
        let pages = |r: &Range<u64>| (r.end - r.start) / PAGE;
        // 700 bytes hold 42 runs after the counts.
        assert!(runs.len() <= 42, "more runs than the header holds");
        put(&mut out, 0x88, &(runs.len() as u32).to_le_bytes());
        put(&mut out, 0x90, &runs.iter().map(pages).sum::<u64>().to_le_bytes());
        for (n, run) in runs.iter().enumerate() {
            put(&mut out, 0x98 + n * 16, &(run.start / PAGE).to_le_bytes());
            put(&mut out, 0xa0 + n * 16, &pages(run).to_le_bytes());
        }
        put(&mut out, 0x348, &[0; 1232]);
        put(&mut out, 0xf98, &kind.to_le_bytes());
        put(&mut out, 0xfa8, &self.truth.captured.0.to_le_bytes());
        put(&mut out, 0x1030, &(self.truth.captured.0.saturating_sub(self.truth.boot.0)).to_le_bytes());
        out
    }

    /// A LiME file, version 1: each run with a header of 32 bytes (LiME, `lime.h`: magic, version, first and last address, reserved).
    #[must_use]
    pub fn as_lime(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for run in &self.truth.runs {
            out.extend_from_slice(b"EMiL");
            out.extend_from_slice(&1u32.to_le_bytes());
            out.extend_from_slice(&run.start.to_le_bytes());
            out.extend_from_slice(&(run.end - 1).to_le_bytes());
            out.extend_from_slice(&[0; 8]);
            self.append_run(run, &mut out);
        }
        out
    }
}
