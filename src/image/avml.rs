//! AVML images of version 2: the memory of each range is a snappy framed stream, and the stream's length stands behind it.
//!
//! Layout: the documentation of AVML (`image.rs` there); snappy: `framing_format.txt` and `format_description.txt` of its project.

use super::blocks::{Blocks, Unpack};
use super::formats::{Format, Found, Job, Opened, Opening, Refusal};
use super::runs::{Piece, Place, Runs, push};
use super::source::Source;
use super::{PhysicalRun, lime};
use crate::PhysicalAddress;
use std::io::Read as _;

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
/// Chunks of one image at most: those of 1 TiB of memory, whose index takes 128 MiB.
const MAX_CHUNKS: usize = 1 << 24;
/// Pieces of memory that do not follow one another. A range is of 16 MiB; short chunks in its middle are nobody's but an attacker's.
const MAX_PIECES: usize = 1 << 20;
/// Bytes of a chunk before its data: its type, its length in three bytes, a checksum.
const CHUNK_HEADER: u64 = 4;
const CHECKSUM: u64 = 4;

/// Kinds of chunks.
const COMPRESSED: u8 = 0x00;
const PLAIN: u8 = 0x01;
const STREAM: u8 = 0xff;

fn open(opening: &Opening<'_>) -> Result<Found, Refusal> {
    let source = &opening.source;
    let mut walk = Walk { source, chunks: Vec::new(), pieces: Vec::new(), odd: None };
    let mut at = 0;
    while at < source.len() && walk.odd.is_none() {
        let Some(run) =
            lime::range(source, at).filter(|_| source.has(at, MAGIC) && source.u32(at.saturating_add(4)) == Some(2))
        else {
            walk.odd = Some(format!("the file has no range's header at offset {at:#x}: what follows is not read"));
            break;
        };
        at = walk.stream(at.saturating_add(HEADER), run).saturating_add(TRAILER);
    }
    let Walk { chunks, pieces, odd, .. } = walk;
    if pieces.is_empty() {
        return Err(Refusal::NotThis("its first range cannot be".into()));
    }
    let (runs, lost) = Runs::new(source.clone(), pieces);
    let blocks = Blocks::new(Chunks { source: source.clone(), chunks });
    let mut opened = Opened::new("avml", runs.with_blocks(blocks));
    opened.maker = Some("AVML".into());
    opened.warnings_of(odd, lost);
    Ok(opened.into())
}

/// The walk over all chunks, of which only the headers are read.
struct Walk<'s> {
    source: &'s Source,
    /// File offsets of the chunks that hold memory.
    chunks: Vec<u64>,
    pieces: Vec<Piece>,
    odd: Option<String>,
}

impl Walk<'_> {
    /// Goes over the chunks of one range, and returns where they end.
    fn stream(&mut self, begin: u64, run: PhysicalRun) -> u64 {
        let (mut at, mut done) = (begin, 0u64);
        loop {
            let Some((kind, length)) = chunk(self.source, at) else {
                if done < run.bytes {
                    self.odd = Some(format!("the file is truncated at offset {at:#x}, in the range at {}", run.start));
                }
                return at;
            };
            let stream = kind == STREAM && length == 6;
            // The next thing is the length of the stream.
            if done >= run.bytes && !(stream && at == begin) {
                return at;
            }
            let next = at.saturating_add(CHUNK_HEADER).saturating_add(length);
            match kind {
                COMPRESSED | PLAIN => {
                    let bytes = unpacked(self.source, at, kind, length).filter(|_| next <= self.source.len());
                    let Some(bytes) = bytes else {
                        self.odd = Some(format!(
                            "the file is truncated or damaged at offset {at:#x}: what follows is not read"
                        ));
                        return next;
                    };
                    if self.chunks.len() >= MAX_CHUNKS || self.pieces.len() >= MAX_PIECES {
                        self.odd = Some(format!(
                            "the image has more pieces than any machine: those from offset {at:#x} on are left out"
                        ));
                        return next;
                    }
                    let block = u64::try_from(self.chunks.len()).unwrap_or(u64::MAX);
                    self.chunks.push(at);
                    let start = PhysicalAddress(run.start.0.saturating_add(done));
                    let bytes = bytes.min(run.bytes.saturating_sub(done));
                    push(&mut self.pieces, PhysicalRun { start, bytes }, Place::Packed { block, within: 0 });
                    done = done.saturating_add(bytes);
                }
                // Reserved kinds that must not be skipped.
                0x02..=0x7f => {
                    self.odd = Some(format!(
                        "a chunk of unknown kind {kind:#x} is at offset {at:#x}: what follows is not read"
                    ));
                    return next;
                }
                _ => {}
            }
            at = next;
        }
    }
}

/// A chunk's kind, and the bytes that follow its header.
fn chunk(source: &Source, at: u64) -> Option<(u8, u64)> {
    let [kind, a, b, c] = source.array(at)?;
    Some((kind, u64::from(u32::from_le_bytes([a, b, c, 0]))))
}

/// How many bytes a chunk holds, unpacked; a chunk holds 64 KiB at most.
fn unpacked(source: &Source, at: u64, kind: u8, length: u64) -> Option<u64> {
    let data = at.checked_add(CHUNK_HEADER)?.checked_add(CHECKSUM)?;
    let bytes = match kind {
        PLAIN => length.checked_sub(CHECKSUM)?,
        _ => u64::try_from(snap::raw::decompress_len(&source.head(data, 5)).ok()?).ok()?,
    };
    (1..=Blocks::SIZE).contains(&bytes).then_some(bytes)
}

struct Chunks {
    source: Source,
    chunks: Vec<u64>,
}

/// What begins every stream of frames.
const BEGIN: &[u8] = b"\xff\x06\x00\x00sNaPpY";

impl Unpack for Chunks {
    /// Bytes whose checksum is wrong are none.
    fn unpack(&self, number: u64) -> Option<Vec<u8>> {
        let at = *self.chunks.get(usize::try_from(number).ok()?)?;
        let (kind, length) = chunk(&self.source, at)?;
        // The length comes from the file, and was bounded when the chunk was met.
        let mut out = vec![0; usize::try_from(unpacked(&self.source, at, kind, length)?).ok()?];
        let frame = self.source.copy(at, usize::try_from(length.checked_add(CHUNK_HEADER)?).ok()?)?;
        let mut frames = snap::read::FrameDecoder::new(BEGIN.chain(frame.as_slice()));
        frames.read_exact(&mut out).ok()?;
        Some(out)
    }
}
