//! Writing a physical memory as an image of another kind.

use super::dump_header::{Bits, HEADER, MAX_RUNS, header};
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
    /// Runs of memory, as they were written.
    pub runs: u64,
    /// Bytes of memory that the image should have and that could not be read: no range and no page says that they are there. In a raw
    /// file they are a hole.
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
    let total = pieces.iter().map(|run| run.bytes).sum();
    let mut reader = Reader { memory, written: Written::default(), total, progress };
    match container {
        Container::Raw => reader.raw(&pieces, out)?,
        Container::Lime => pieces.iter().try_for_each(|run| reader.lime(*run, out))?,
        Container::CrashDump => {
            let full = pieces.len() <= MAX_RUNS && reader.full_dump(&pieces, facts, out)?;
            if !full {
                // The header of a full dump says of no page in its runs that it is missing.
                out.seek(SeekFrom::Start(0))?;
                reader.written = Written::default();
                reader.bitmap_dump(&pieces, facts, out)?;
            }
        }
    }
    out.flush()?;
    let end = pieces.last().map_or(0, |run| run.end().0);
    Ok(Written { holes: end.saturating_sub(total), ..reader.written })
}

fn whole_pages(run: PhysicalRun) -> Option<PhysicalRun> {
    let start = run.start.0.checked_next_multiple_of(PAGE_SIZE)?;
    let end = run.end().page().0;
    (start < end).then(|| PhysicalRun { start: PhysicalAddress(start), bytes: end.saturating_sub(start) })
}

/// What follows in a run.
enum Part<'b> {
    Bytes(&'b [u8]),
    /// So many bytes that could not be read.
    Lost(u64),
}

/// Reads what is written.
struct Reader<'m, M: ?Sized> {
    memory: &'m M,
    written: Written,
    total: u64,
    progress: &'m dyn Fn(u64, u64),
}

impl<M: PhysicalMemory + ?Sized> Reader<'_, M> {
    /// Gives all of a run, in its order.
    fn read(&mut self, run: PhysicalRun, give: &mut dyn FnMut(Part<'_>) -> io::Result<()>) -> io::Result<()> {
        let (mut buffer, mut at, mut in_a_row) = (Vec::new(), run.start, false);
        while at < run.end() {
            let left = run.end().0.saturating_sub(at.0).min(STEP);
            self.memory.prefetch(PhysicalRun { start: at, bytes: left });
            let mut bytes = bytes_at(self.memory, at, usize::try_from(left).unwrap_or(0), &mut buffer);
            let page = PAGE_SIZE.saturating_sub(at.page_offset()).min(left);
            let held = u64::try_from(bytes.len()).unwrap_or(0);
            if held < page {
                // What lies together may end in a page that goes on elsewhere. What cannot be read costs its page.
                buffer.resize(usize::try_from(page).unwrap_or(0), 0);
                bytes = if self.memory.read(at, &mut buffer) == buffer.len() { &buffer } else { &[] };
            } else if held < left {
                let whole = at.wrapping_add(held).page().0.saturating_sub(at.0).max(page);
                bytes = bytes.get(..usize::try_from(whole).unwrap_or(0)).unwrap_or(bytes);
            }
            let done = if bytes.is_empty() { page } else { u64::try_from(bytes.len()).unwrap_or(page) };
            let written = &mut self.written;
            if bytes.is_empty() {
                written.unreadable = written.unreadable.saturating_add(done);
                give(Part::Lost(done))?;
            } else {
                written.runs = written.runs.saturating_add(u64::from(!in_a_row));
                written.bytes = written.bytes.saturating_add(done);
                give(Part::Bytes(bytes))?;
            }
            in_a_row = !bytes.is_empty();
            at = at.wrapping_add(done);
            (self.progress)(written.bytes.saturating_add(written.unreadable), self.total);
        }
        Ok(())
    }

    /// Bytes at their places; zeros, and what could not be read, are left out.
    fn raw(&mut self, pieces: &[PhysicalRun], out: &mut (impl Write + Seek)) -> io::Result<()> {
        let skip = |out: &mut dyn Seek, bytes: u64| {
            out.seek(SeekFrom::Current(i64::try_from(bytes).map_err(io::Error::other)?)).map(drop)
        };
        // Where the file stands, and where the next byte belongs. It only goes forward: a pipe cannot go back.
        let (mut at, mut next) = (0u64, 0u64);
        for run in pieces {
            next = run.start.0;
            self.read(*run, &mut |part| {
                let bytes = match part {
                    Part::Bytes(bytes) => bytes,
                    Part::Lost(bytes) => {
                        next = next.saturating_add(bytes);
                        return Ok(());
                    }
                };
                bytes.chunks(0x1_0000).try_for_each(|piece| {
                    let start = next;
                    next = next.saturating_add(u64::try_from(piece.len()).unwrap_or(0));
                    if piece.iter().all(|byte| *byte == 0) {
                        return Ok(());
                    }
                    skip(out, start.saturating_sub(at))?;
                    at = next;
                    out.write_all(piece)
                })
            })?;
        }
        // The file is as long as the memory, also where that ends in zeros: the last byte is written.
        if let Some(left) = next.checked_sub(at).and_then(|left| left.checked_sub(1)) {
            skip(out, left)?;
            out.write_all(&[0])?;
        }
        Ok(())
    }

    /// A run; one more begins behind what could not be read.
    fn lime(&mut self, run: PhysicalRun, out: &mut (impl Write + Seek)) -> io::Result<()> {
        // Where the header of the range is that is being written, and its first address.
        let (mut range, mut at) = (None, run.start.0);
        self.read(run, &mut |part| match part {
            Part::Bytes(bytes) => {
                if range.is_none() {
                    range = Some((out.stream_position()?, at));
                    lime_header(out, at, run.end().0)?;
                }
                at = at.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
                out.write_all(bytes)
            }
            Part::Lost(bytes) => {
                if let Some((header, start)) = range.take() {
                    let here = out.stream_position()?;
                    out.seek(SeekFrom::Start(header))?;
                    lime_header(out, start, at)?;
                    out.seek(SeekFrom::Start(here))?;
                }
                at = at.saturating_add(bytes);
                Ok(())
            }
        })
    }

    /// False: a page could not be read, and it is not written to its end.
    fn full_dump(
        &mut self,
        pieces: &[PhysicalRun],
        facts: &DumpFacts,
        out: &mut (impl Write + Seek),
    ) -> io::Result<bool> {
        out.write_all(&header(pieces, true, facts))?;
        let mut whole = true;
        for run in pieces {
            self.read(*run, &mut |part| {
                if let Part::Bytes(bytes) = part {
                    return if whole { out.write_all(bytes) } else { Ok(()) };
                }
                whole = false;
                Ok(())
            })?;
            if !whole {
                break;
            }
        }
        Ok(whole)
    }

    /// The bitmap is written again when all pages are: then it is known which could be read.
    fn bitmap_dump(
        &mut self,
        pieces: &[PhysicalRun],
        facts: &DumpFacts,
        out: &mut (impl Write + Seek),
    ) -> io::Result<()> {
        out.write_all(&header(pieces, false, facts))?;
        let mut bits = Bits::of(pieces)?;
        bits.write(out)?;
        for run in pieces {
            let mut at = run.start.0;
            self.read(*run, &mut |part| {
                let bytes = match part {
                    Part::Bytes(bytes) => {
                        out.write_all(bytes)?;
                        u64::try_from(bytes.len()).unwrap_or(0)
                    }
                    Part::Lost(bytes) => {
                        bits.set(at / PAGE_SIZE, false);
                        bytes
                    }
                };
                at = at.saturating_add(bytes);
                Ok(())
            })?;
        }
        out.seek(SeekFrom::Start(u64::try_from(HEADER).unwrap_or(0)))?;
        bits.write(out)
    }
}

/// The header of a range, `[start, end)`.
fn lime_header(out: &mut impl Write, start: u64, end: u64) -> io::Result<()> {
    out.write_all(b"EMiL\x01\0\0\0")?;
    [start, end.saturating_sub(1), 0].iter().try_for_each(|word| out.write_all(&word.to_le_bytes()))
}
