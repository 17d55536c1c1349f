//! Writing a physical memory as an image of another kind.

use super::{PhysicalMemory, PhysicalRun, bytes_at, runs};
use crate::{PAGE_SIZE, PhysicalAddress, Timestamp, VirtualAddress};
use std::io::{self, Seek, SeekFrom, Write};

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// Byte n of the file is byte n of memory; what is no memory is a hole of the file. Where the file system has no holes, and in
    /// every copy, such a hole is zeros.
    Raw,
    /// LiME: a range after the other.
    Lime,
    /// A crash dump that debuggers open: full, or with a bitmap of pages where memory has more than 42 runs.
    CrashDump,
}

/// What of the machine a crash dump's header needs, as far as it is known: debuggers find the rest from there.
#[derive(Clone, Copy, Debug, Default)]
pub struct DumpFacts {
    /// Page-table root of System.
    pub dtb: PhysicalAddress,
    /// Build number.
    pub build: u32,
    /// Processors.
    pub processors: u32,
    /// Address of `PsLoadedModuleList`.
    pub loaded_module_list: VirtualAddress,
    /// Address of `PsActiveProcessHead`.
    pub active_process_head: VirtualAddress,
    /// Address of `KdDebuggerDataBlock`.
    pub debugger_data_block: VirtualAddress,
    /// Address of `MmPfnDatabase`.
    pub pfn_database: VirtualAddress,
    /// When the image was taken.
    pub captured: Option<Timestamp>,
    /// When the system started.
    pub boot: Option<Timestamp>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of memory.
    pub bytes: u64,
    /// Runs of memory.
    pub runs: u64,
    /// Bytes of memory that the image has and that could not be read: they are zero, or a hole.
    pub unreadable: u64,
    /// Bytes between the runs that are no memory, or were not in the image.
    pub holes: u64,
}

/// Bytes copied at a time.
const STEP: u64 = 1 << 20;

/// Writes all of `memory` to `out`. `facts` are for a crash dump. `progress` is called with bytes done and bytes in all.
///
/// # Errors
/// `out` cannot be written.
pub fn write(
    memory: &(impl PhysicalMemory + ?Sized),
    out: &mut (impl Write + Seek),
    container: Container,
    facts: &DumpFacts,
    progress: &dyn Fn(u64, u64),
) -> io::Result<Written> {
    let pieces: Vec<PhysicalRun> = match container {
        // A dump knows whole pages alone.
        Container::CrashDump => runs(memory).filter_map(whole_pages).collect(),
        _ => runs(memory).collect(),
    };
    let mut writer = Writer { written: Written::default(), total: pieces.iter().map(|run| run.bytes).sum(), progress };
    writer.written.runs = u64::try_from(pieces.len()).unwrap_or(u64::MAX);
    let end = pieces.last().map_or(0, |run| run.end().0);
    writer.written.holes = end.saturating_sub(writer.total);
    match container {
        Container::Raw => {
            for run in &pieces {
                out.seek(SeekFrom::Start(run.start.0))?;
                writer.copy(memory, *run, out, true)?;
            }
        }
        Container::Lime => {
            for run in &pieces {
                out.write_all(b"EMiL\x01\0\0\0")?;
                for word in [run.start.0, run.end().0.saturating_sub(1), 0] {
                    out.write_all(&word.to_le_bytes())?;
                }
                writer.copy(memory, *run, out, false)?;
            }
        }
        Container::CrashDump => {
            let full = pieces.len() <= MAX_RUNS;
            out.write_all(&header(&pieces, full, facts))?;
            if !full {
                bitmap(&pieces, out)?;
            }
            for run in &pieces {
                writer.copy(memory, *run, out, false)?;
            }
        }
    }
    out.flush()?;
    Ok(writer.written)
}

fn whole_pages(run: PhysicalRun) -> Option<PhysicalRun> {
    let start = run.start.0.checked_next_multiple_of(PAGE_SIZE)?;
    let end = run.end().page().0;
    (start < end).then(|| PhysicalRun { start: PhysicalAddress(start), bytes: end.saturating_sub(start) })
}

struct Writer<'p> {
    written: Written,
    total: u64,
    progress: &'p dyn Fn(u64, u64),
}

impl Writer<'_> {
    /// Copies a run to where `out` stands. `sparse`: zeros are left out.
    fn copy(
        &mut self,
        memory: &(impl PhysicalMemory + ?Sized),
        run: PhysicalRun,
        out: &mut (impl Write + Seek),
        sparse: bool,
    ) -> io::Result<()> {
        let mut buffer = Vec::new();
        let zeros = vec![0u8; usize::try_from(STEP).unwrap_or(0)];
        let mut at = run.start;
        let mut place = at.0;
        while at < run.end() {
            let left = run.end().0.saturating_sub(at.0).min(STEP);
            let len = usize::try_from(left).unwrap_or(0);
            memory.prefetch(PhysicalRun { start: at, bytes: left });
            let mut bytes = bytes_at(memory, at, len, &mut buffer);
            if bytes.is_empty() {
                // What cannot be read costs its page.
                let lost = PAGE_SIZE.saturating_sub(at.page_offset()).min(left);
                self.written.unreadable = self.written.unreadable.saturating_add(lost);
                bytes = zeros.get(..usize::try_from(lost).unwrap_or(0)).unwrap_or(&[]);
            }
            for piece in bytes.chunks(0x1_0000) {
                place = place.saturating_add(u64::try_from(piece.len()).unwrap_or(0));
                if !sparse || piece.iter().any(|byte| *byte != 0) {
                    out.write_all(piece)?;
                    continue;
                }
                // The file is as long as its memory, also where that ends in zeros: the last byte is written.
                let last = piece.get(..usize::from(place == run.end().0)).unwrap_or_default();
                let skipped = piece.len().saturating_sub(last.len());
                out.seek(SeekFrom::Current(i64::try_from(skipped).map_err(io::Error::other)?))?;
                out.write_all(last)?;
            }
            let done = u64::try_from(bytes.len()).unwrap_or(0);
            at = at.wrapping_add(done);
            self.written.bytes = self.written.bytes.saturating_add(done);
            (self.progress)(self.written.bytes, self.total);
        }
        Ok(())
    }
}

/// Runs that the header of a crash dump has room for: 700 bytes, 16 of head, 16 a run.
const MAX_RUNS: usize = 42;
const HEADER: usize = 0x2000;

/// `_DUMP_HEADER64`; what is not known is left as its writer leaves it, filled with `PAGE`.
fn header(pieces: &[PhysicalRun], full: bool, facts: &DumpFacts) -> Vec<u8> {
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

/// The header in front of a bitmap dump's pages, the bitmap, and what fills its last page.
fn bitmap(pieces: &[PhysicalRun], out: &mut impl Write) -> io::Result<()> {
    let end = pieces.last().map_or(0, |run| run.end().0) / PAGE_SIZE;
    let pages: u64 = pieces.iter().map(|run| run.bytes / PAGE_SIZE).sum();
    let mut bits = vec![0u8; usize::try_from(end.div_ceil(64).saturating_mul(8)).map_err(io::Error::other)?];
    for run in pieces {
        for page in run.start.0 / PAGE_SIZE..run.end().0 / PAGE_SIZE {
            if let Some(byte) = usize::try_from(page / 8).ok().and_then(|at| bits.get_mut(at)) {
                *byte |= 1 << (page % 8);
            }
        }
    }
    let begin = u64::try_from(HEADER.saturating_add(0x38).saturating_add(bits.len())).unwrap_or(u64::MAX);
    let first = begin.next_multiple_of(PAGE_SIZE);
    let mut head = [0u8; 0x38];
    let fields = [(0x20usize, first), (0x28, pages), (0x30, end)];
    for (to, from) in head.iter_mut().zip(b"FDMPDUMP") {
        *to = *from;
    }
    for (at, value) in fields {
        for (to, from) in head.iter_mut().skip(at).zip(value.to_le_bytes()) {
            *to = from;
        }
    }
    out.write_all(&head)?;
    out.write_all(&bits)?;
    out.write_all(&vec![0; usize::try_from(first.saturating_sub(begin)).unwrap_or(0)])
}
