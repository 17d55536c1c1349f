//! AVML images of version 2: the memory of each range is a snappy framed stream, and the stream's length stands behind it.
//!
//! Layout: the documentation of AVML (`image.rs` there); snappy: `framing_format.txt` and `format_description.txt` of its project.

use super::blocks::{Blocks, Unpack};
use super::formats::{Format, Found, Job, Opened, Opening, Refusal};
use super::runs::{Piece, Place, Runs, push};
use super::source::Source;
use super::{PhysicalRun, lime};
use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// See the module.
pub(super) static FORMAT: Format = Format {
    title: "an AVML image",
    mark: |opening| opening.source.has(0, MAGIC) && opening.source.u32(4) == Some(2),
    job: Job::Read(open),
};

/// The same bytes as LiME's in another order.
const MAGIC: &[u8; 4] = b"AVML";
const HEADER: u64 = 0x20;
/// The length of the stream behind it.
const TRAILER: u64 = 8;
/// Chunks of one image at most: those of 1 TiB of memory, whose index takes 256 MiB.
const MAX_CHUNKS: usize = 1 << 24;
/// Ranges of one image at most. They are of 16 MiB.
const MAX_RANGES: usize = 1 << 20;
/// Chunks of one range that hold no memory: the stream's mark, and padding.
const MAX_EMPTY: u32 = 1 << 12;
/// Bytes that a byte of a stream becomes at most: snappy copies 64 bytes by three.
const RATIO: u64 = 32;
/// Bytes of a chunk before its data: its type, its length in three bytes, a checksum.
const CHUNK_HEADER: u64 = 4;
const CHECKSUM: u64 = 4;

/// Kinds of chunks.
const COMPRESSED: u8 = 0x00;
const PLAIN: u8 = 0x01;

fn open(opening: &Opening<'_>) -> Result<Found, Refusal> {
    let source = &opening.source;
    let (ranges, odd) = match from_its_end(source) {
        Some(ranges) => (ranges, None),
        None => from_its_begin(source),
    };
    if ranges.is_empty() {
        return Err(Refusal::NotThis(odd.unwrap_or_else(|| "its first range cannot be".into())));
    }
    let mut pieces: Vec<Piece> = Vec::new();
    for range in &ranges {
        push(&mut pieces, range.run, Place::Packed { block: range.block, within: 0 });
    }
    let (runs, lost) = Runs::new(source.clone(), pieces);
    let blocks = Blocks::new(Ranges { source: source.clone(), ranges, chunks: AtomicUsize::new(0) });
    let mut opened = Opened::new("avml", runs.with_blocks(blocks)).that_leaves_out();
    opened.maker = Some("AVML".into());
    opened.warnings_of(odd, lost);
    Ok(opened.into())
}

/// The ranges of a file that is whole: the length behind each leads to its header, and so to the range before. `None`: it is not.
fn from_its_end(source: &Source) -> Option<Vec<Range>> {
    let (mut end, mut found) = (source.len(), Vec::new());
    while end > 0 {
        let length_at = end.checked_sub(TRAILER)?;
        let length = source.u64(length_at)?;
        let begin = length_at.checked_sub(length)?;
        let at = begin.checked_sub(HEADER)?;
        // What is promised beyond what can be in the stream is not believed.
        let run = header(source, at).filter(|run| run.bytes <= length.saturating_mul(RATIO))?;
        found.push((run, begin));
        end = at;
        (found.len() <= MAX_RANGES).then_some(())?;
    }
    let mut block = 0u64;
    let ranges = found.into_iter().rev().map(|(run, begin)| Range::new(run, begin, &mut block));
    Some(ranges.collect())
}

/// The ranges of a file that is cut or damaged, from its begin on: all chunks are gone over, as each range says its length at its end.
fn from_its_begin(source: &Source) -> (Vec<Range>, Option<String>) {
    let (mut at, mut block, mut ranges) = (0u64, 0u64, Vec::new());
    let chunks = AtomicUsize::new(0);
    while at < source.len() {
        let Some(run) = header(source, at).filter(|_| ranges.len() < MAX_RANGES) else {
            let odd = format!("the file has no range's header at offset {at:#x}: what follows is not read");
            return (ranges, Some(odd));
        };
        let begin = at.saturating_add(HEADER);
        let mut index = Index { next: begin, ..Index::default() };
        let odd = index.walk(source, run.bytes, &chunks);
        let run = PhysicalRun { bytes: run.bytes.min(index.done), ..run };
        at = index.next.saturating_add(TRAILER);
        if run.bytes > 0 {
            let mut range = Range::new(run, begin, &mut block);
            range.index = Mutex::new(index);
            ranges.push(range);
        }
        if odd.is_some() {
            return (ranges, odd);
        }
    }
    (ranges, None)
}

/// The memory of the range whose header is at `at`.
fn header(source: &Source, at: u64) -> Option<PhysicalRun> {
    let is_one = source.has(at, MAGIC) && source.u32(at.checked_add(4)?) == Some(2);
    lime::range(source, at).filter(|_| is_one)
}

/// A range: its memory, the first of the blocks that it is read by, and where its chunks are, as far as somebody asked.
struct Range {
    run: PhysicalRun,
    block: u64,
    index: Mutex<Index>,
}

impl Range {
    fn new(run: PhysicalRun, begin: u64, block: &mut u64) -> Self {
        let range = Self { run, block: *block, index: Mutex::new(Index { next: begin, ..Index::default() }) };
        *block = block.saturating_add(run.bytes.div_ceil(Blocks::SIZE));
        range
    }
}

/// Where the chunks of a range are.
#[derive(Default)]
struct Index {
    /// What lies before each in the range, and where it is in the file.
    chunks: Vec<(u64, u64)>,
    /// Where the next one is.
    next: u64,
    /// Bytes of the range that these hold.
    done: u64,
    empty: u32,
    broken: bool,
}

impl Index {
    /// Goes over chunks until they hold `bytes`; only their headers are read. Returns why they do not.
    fn walk(&mut self, source: &Source, bytes: u64, count: &AtomicUsize) -> Option<String> {
        while self.done < bytes && !self.broken {
            if let Err(odd) = self.step(source, bytes, count) {
                self.broken = true;
                return Some(odd);
            }
        }
        None
    }

    fn step(&mut self, source: &Source, bytes: u64, count: &AtomicUsize) -> Result<(), String> {
        let at = self.next;
        let damaged = || format!("the file is truncated or damaged at offset {at:#x}: what follows is not read");
        let chunk = Chunk::at(source, at).ok_or_else(damaged)?;
        match chunk.kind {
            COMPRESSED | PLAIN => {
                let holds = chunk.holds.filter(|_| chunk.end <= source.len()).ok_or_else(damaged)?;
                if count.fetch_add(1, Ordering::Relaxed) >= MAX_CHUNKS {
                    return Err(format!(
                        "the image has more pieces than any machine: those from offset {at:#x} on are left out"
                    ));
                }
                self.chunks.push((self.done, at));
                self.done = self.done.saturating_add(holds).min(bytes);
            }
            // Reserved kinds that must not be skipped.
            kind @ 0x02..=0x7f => {
                return Err(format!(
                    "a chunk of unknown kind {kind:#x} is at offset {at:#x}: what follows is not read"
                ));
            }
            _ if self.empty >= MAX_EMPTY => return Err(damaged()),
            _ => self.empty = self.empty.saturating_add(1),
        }
        self.next = chunk.end;
        Ok(())
    }
}

/// A chunk's header.
struct Chunk {
    kind: u8,
    /// Where it ends.
    end: u64,
    /// Bytes of memory in it, 64 KiB at most. `None`: it cannot be.
    holds: Option<u64>,
}

impl Chunk {
    fn at(source: &Source, at: u64) -> Option<Self> {
        // Kind, length, checksum, and the number that a packed chunk begins with: how many bytes come out.
        let mut bytes = [0; 13];
        let read = source.peek(at, &mut bytes);
        let (head, data) = bytes.get(..read)?.split_at_checked(4)?;
        let [kind, a, b, c] = *head.first_chunk()?;
        let length = u64::from(u32::from_le_bytes([a, b, c, 0]));
        let data = data.get(4..).unwrap_or(&[]);
        let holds = match kind {
            PLAIN => length.checked_sub(CHECKSUM),
            _ => snap::raw::decompress_len(data).ok().and_then(|bytes| u64::try_from(bytes).ok()),
        };
        let end = at.checked_add(CHUNK_HEADER)?.checked_add(length)?;
        Some(Self { kind, end, holds: holds.filter(|bytes| (1..=Blocks::SIZE).contains(bytes)) })
    }
}

/// All ranges, in the order of their blocks.
struct Ranges {
    source: Source,
    ranges: Vec<Range>,
    /// Chunks that were met.
    chunks: AtomicUsize,
}

/// What begins every stream of frames.
const BEGIN: &[u8] = b"\xff\x06\x00\x00sNaPpY";

impl Unpack for Ranges {
    /// Of its chunk, where those before it can be followed to it; else of its range.
    fn place(&self, number: u64) -> Option<u64> {
        let after = self.ranges.partition_point(|range| range.block <= number);
        let range = self.ranges.get(after.checked_sub(1)?)?;
        let from = number.checked_sub(range.block)?.checked_mul(Blocks::SIZE)?;
        let index = range.index.lock().unwrap_or_else(PoisonError::into_inner);
        let first = index.chunks.partition_point(|(start, _)| *start <= from).checked_sub(1);
        let held = first.and_then(|first| index.chunks.get(first)).filter(|_| from < index.done);
        Some(held.map_or(index.next, |(_, at)| *at))
    }

    /// The bytes of a block, up to what is damaged. A chunk has those of one block, unless somebody else than AVML made it.
    fn unpack(&self, number: u64) -> Option<Vec<u8>> {
        let after = self.ranges.partition_point(|range| range.block <= number);
        let range = self.ranges.get(after.checked_sub(1)?)?;
        let from = number.checked_sub(range.block)?.checked_mul(Blocks::SIZE)?;
        let to = range.run.bytes.min(from.checked_add(Blocks::SIZE)?);
        let chunks: Vec<(u64, u64)> = {
            let mut index = range.index.lock().unwrap_or_else(PoisonError::into_inner);
            // What is wrong is said by the pages that are missing.
            let _ = index.walk(&self.source, to, &self.chunks);
            let first = index.chunks.partition_point(|(start, _)| *start <= from).checked_sub(1)?;
            index.chunks.iter().skip(first).take_while(|(start, _)| *start < to).copied().collect()
        };
        let mut out = Vec::new();
        for (start, at) in chunks {
            let Some(bytes) = self.chunk(at) else { break };
            let before = usize::try_from(from.saturating_sub(start)).ok()?;
            out.extend_from_slice(bytes.get(before..).unwrap_or(&[]));
        }
        out.truncate(usize::try_from(to.checked_sub(from)?).ok()?);
        (!out.is_empty()).then_some(out)
    }
}

impl Ranges {
    /// Bytes whose checksum is wrong are none.
    fn chunk(&self, at: u64) -> Option<Vec<u8>> {
        let chunk = Chunk::at(&self.source, at)?;
        // The length comes from the file, and is bounded.
        let mut out = vec![0; usize::try_from(chunk.holds?).ok()?];
        let frame = self.source.copy(at, usize::try_from(chunk.end.checked_sub(at)?).ok()?)?;
        let mut frames = snap::read::FrameDecoder::new(BEGIN.chain(frame.as_slice()));
        frames.read_exact(&mut out).ok()?;
        Some(out)
    }
}
