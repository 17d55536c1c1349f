//! Files compressed with zstd: read in place where they have many frames (`pzstd`, the seekable format), else unpacked once.
//!
//! Layout: RFC 8878, and zstd's `seekable_compression_format.md`, whose table is a frame that is skipped.

use super::blocks::{Chunked, Unpack};
use super::formats::{Format, Found, Job, Opening, Refusal};
use super::source::Source;
use super::unpack::{Stream, to_cache};
use std::io::{self, Read};

/// See the module.
pub(super) static FORMAT: Format =
    Format { title: "a file compressed with zstd", mark: |opening| is_frame(&opening.source), job: Job::Read(open) };

const MAGIC: u32 = 0xfd2f_b528;
/// Frames that hold nothing for us have one of sixteen marks.
const SKIPPED: u32 = 0x184d_2a50;
/// Frames of one file at most.
const MAX_FRAMES: usize = 1 << 22;
/// Bytes of a frame that is unpacked for a few of them: to unpack larger ones again and again takes longer than to unpack all once.
const MAX_FRAME: u64 = 1 << 20;

fn is_frame(source: &Source) -> bool {
    match source.u32(0) {
        Some(MAGIC) => true,
        Some(word) if word & !15 == SKIPPED => {
            let next = source.u32(4).map(|size| u64::from(size).saturating_add(8));
            next.and_then(|next| source.u32(next)).is_some_and(|word| word == MAGIC || word & !15 == SKIPPED)
        }
        _ => false,
    }
}

fn open(opening: &Opening<'_>) -> Result<Found, Refusal> {
    let source = &opening.source;
    if let Some(frames) = table(source).or_else(|| frames(source)).filter(|frames| frames.len() > 1) {
        let mut length = 0u64;
        let starts = frames
            .iter()
            .map(|frame| {
                let start = length;
                length = length.saturating_add(frame.size);
                start
            })
            .collect();
        let chunks = Chunked::uneven(starts, length, Frames { source: source.clone(), frames });
        return Ok(Found::Inside("zstd", Source::new(chunks), Vec::new()));
    }
    let (inside, path) = to_cache(source, AllFrames::new(Stream::new(source.clone())), None, opening.options)?;
    Ok(Found::unpacked("zstd", inside, path))
}

/// A frame: where it stands, and how much it holds.
struct Frame {
    at: u64,
    packed: u64,
    size: u64,
}

/// Where the table of the seekable format ends: how many entries it has, what is in them, a mark.
const TABLE_END: u64 = 9;
const TABLE_MARK: u32 = 0x8f92_eab1;
/// The table is a frame that is skipped, with this mark.
const TABLE: u32 = SKIPPED | 0xe;
/// Of what is in an entry: a checksum behind the two sizes.
const SUMS: u8 = 0x80;

/// All frames by the table at the end of the file, if that leads from its first byte to the table, and all are small.
fn table(source: &Source) -> Option<Vec<Frame>> {
    let foot = source.len().checked_sub(TABLE_END)?;
    if source.u32(foot.checked_add(5)?) != Some(TABLE_MARK) {
        return None;
    }
    let (count, entry) = (source.u32(foot)?, if source.u8(foot.checked_add(4)?)? & SUMS != 0 { 12usize } else { 8 });
    let count = usize::try_from(count).ok().filter(|count| *count <= MAX_FRAMES)?;
    let bytes = count.checked_mul(entry)?;
    let entries = foot.checked_sub(u64::try_from(bytes).ok()?)?;
    let begin = entries.checked_sub(8)?;
    let size = u64::from(source.u32(begin.checked_add(4)?)?);
    if source.u32(begin) != Some(TABLE) || entries.checked_add(size) != Some(source.len()) {
        return None;
    }
    let (mut at, mut frames) = (0u64, Vec::with_capacity(count));
    for sizes in source.copy(entries, bytes)?.chunks_exact(entry) {
        let number = |from: usize| Some(u64::from(u32::from_le_bytes(*sizes.get(from..)?.first_chunk()?)));
        let (packed, size) = (number(0)?, number(4)?);
        // Of four bytes 128 KiB come at most: a block of one byte, repeated.
        (size <= MAX_FRAME && size >> 15 <= packed && packed <= begin).then_some(())?;
        if size > 0 {
            frames.push(Frame { at, packed, size });
        }
        at = at.checked_add(packed)?;
    }
    (at == begin).then_some(frames)
}

/// All frames, if each says how much it holds and that is little.
fn frames(source: &Source) -> Option<Vec<Frame>> {
    let (mut at, mut frames) = (0u64, Vec::new());
    while at < source.len() {
        let mark = source.u32(at)?;
        if mark & !15 == SKIPPED {
            at = at.checked_add(8)?.checked_add(u64::from(source.u32(at.checked_add(4)?)?))?;
            continue;
        }
        if mark != MAGIC || frames.len() >= MAX_FRAMES {
            return None;
        }
        let begin = at;
        let flags = source.u8(at.checked_add(4)?)?;
        let single = flags & 0x20 != 0;
        at = at.checked_add(if single { 5 } else { 6 })?;
        at = at.checked_add([0, 1, 2, 4].get(usize::from(flags & 3)).copied()?)?;
        let (size, bytes) = match (flags >> 6, single) {
            (0, true) => (u64::from(source.u8(at)?), 1),
            (0, false) => return None,
            (1, _) => (u64::from(source.u16(at)?).checked_add(256)?, 2),
            (2, _) => (u64::from(source.u32(at)?), 4),
            _ => (source.u64(at)?, 8),
        };
        if size > MAX_FRAME {
            return None;
        }
        at = at.checked_add(bytes)?;
        loop {
            let [a, b, c] = source.array(at)?;
            let block = u32::from_le_bytes([a, b, c, 0]);
            // A block of one byte, repeated, has that byte alone.
            let bytes = if block >> 1 & 3 == 1 { 1 } else { u64::from(block >> 3) };
            at = at.checked_add(3)?.checked_add(bytes)?;
            if block & 1 == 1 {
                break;
            }
        }
        at = at.checked_add(if flags & 4 != 0 { 4 } else { 0 })?;
        if size > 0 {
            frames.push(Frame { at: begin, packed: at.checked_sub(begin)?, size });
        }
    }
    Some(frames)
}

struct Frames {
    source: Source,
    frames: Vec<Frame>,
}

impl Unpack for Frames {
    fn place(&self, number: u64) -> Option<u64> {
        self.frames.get(usize::try_from(number).ok()?).map(|frame| frame.at)
    }

    fn unpack(&self, number: u64) -> Option<Vec<u8>> {
        let frame = self.frames.get(usize::try_from(number).ok()?)?;
        let packed = self.source.copy(frame.at, usize::try_from(frame.packed).ok()?)?;
        exactly(&packed, usize::try_from(frame.size).ok()?)
    }
}

/// The `size` bytes that a frame holds.
pub(super) fn exactly(packed: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut out = vec![0; size];
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed).ok()?;
    decoder.read_exact(&mut out).ok()?;
    // The last block may hold nothing, and the sum stands behind it.
    decoder.read(&mut [0]).ok()?;
    is_right(&decoder.decoder).then_some(out)
}

/// Whether the sum behind a frame's content is that of what came out. Not every frame has one.
fn is_right(frame: &ruzstd::decoding::FrameDecoder) -> bool {
    frame.get_checksum_from_data().is_none_or(|sum| frame.get_calculated_checksum() == Some(sum))
}

/// The frames of a stream, one after the other, as one.
struct AllFrames {
    frame: Option<ruzstd::decoding::StreamingDecoder<Stream, ruzstd::decoding::FrameDecoder>>,
    rest: Option<Stream>,
}

impl AllFrames {
    const fn new(stream: Stream) -> Self {
        Self { frame: None, rest: Some(stream) }
    }
}

impl Read for AllFrames {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let read = frame.read(buf)?;
                if read > 0 || buf.is_empty() {
                    return Ok(read);
                }
                if !is_right(&frame.decoder) {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "a frame's content is not what its sum says",
                    ));
                }
                self.rest = self.frame.take().map(ruzstd::decoding::StreamingDecoder::into_inner);
            }
            let Some(mut stream) = self.rest.take() else { return Ok(0) };
            match stream.skip_to_frame(MAGIC, SKIPPED)? {
                true => self.frame = Some(ruzstd::decoding::StreamingDecoder::new(stream).map_err(io::Error::other)?),
                false => return Ok(0),
            }
        }
    }
}

impl Stream {
    /// Goes over frames that are skipped. False: nothing is left.
    fn skip_to_frame(&mut self, magic: u32, skipped: u32) -> io::Result<bool> {
        loop {
            let at = self.at();
            match self.source().u32(at) {
                None if at >= self.source().len() => return Ok(false),
                Some(word) if word == magic => return Ok(true),
                Some(word) if word & !15 == skipped => {
                    let size = self.source().u32(at.saturating_add(4)).unwrap_or(0);
                    self.go_to(at.saturating_add(8).saturating_add(u64::from(size)));
                }
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "what follows a frame is none")),
            }
        }
    }
}
