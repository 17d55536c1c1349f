//! EWF (E01): an image in compressed chunks, in segments .E01, .E02 ... .E99, .EAA and so on.
//!
//! Layout: "Expert Witness Compression Format" of libewf.

use super::blocks::{Chunked, Unpack};
use super::formats::{Format, Found, Job, Opening, Refusal};
use super::inflate;
use super::source::Source;
use crate::{Error, Warning};
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static FORMAT: Format =
    Format { title: "an EWF image (E01)", mark: |opening| opening.source.has(0, MAGIC), job: Job::Read(open) };

const MAGIC: &[u8] = b"EVF\x09\x0d\x0a\xff\x00";
/// Which segment it is, from 1 on.
const SEGMENT_NUMBER: u64 = 9;
/// Where the sections begin.
const FILE_HEADER: u64 = 13;
/// Bytes of a section's head.
const SECTION: u64 = 76;
/// Segments of one image at most: E01 to ZZZ.
const MAX_SEGMENTS: usize = 14971;
/// Sections of one segment at most.
const MAX_SECTIONS: usize = 1 << 16;
/// Chunks of one image at most: 2 TiB in those of 32 KiB.
const MAX_CHUNKS: usize = 1 << 26;
/// Bytes that a chunk takes in the file at least: its entry in two tables, a byte or more of zlib with its head and its sum.
const SMALLEST_CHUNK: u64 = 16;
/// Bytes of a chunk at most; 32 KiB is usual.
const MAX_CHUNK: u64 = 1 << 24;
const CHECKSUM: u64 = 4;
/// Of an entry of a table: the chunk is compressed.
const COMPRESSED: u32 = 1 << 31;

/// A chunk: segment, offset, bytes, compressed.
#[derive(Clone, Copy)]
struct Chunk {
    segment: u16,
    compressed: bool,
    at: u64,
    bytes: u32,
}

fn open(opening: &Opening<'_>) -> Result<Found, Refusal> {
    let number = opening.source.u16(SEGMENT_NUMBER).unwrap_or(1);
    if number > 1 {
        let first = opening.file().and_then(first_segment);
        let first = first
            .map_or_else(|| "the first one, whose name ends in .E01".to_owned(), |path| path.display().to_string());
        return Err(Refusal::Unusable(Error::NotAnImage {
            what: format!("this is segment {number} of an EWF image (E01)"),
            advice: format!("Name {first}: the others are found beside it"),
        }));
    }
    let mut image = Image::default();
    let mut parts = vec![opening.source.clone()];
    if let Some(first) = opening.file() {
        parts.extend(segments(first));
    }
    for (number, part) in parts.iter().enumerate().take(MAX_SEGMENTS) {
        image.segment(number, part)?;
    }
    let (Some(size), false) = (image.chunk_size, image.chunks.is_empty()) else {
        return Err(Refusal::NotThis("it has no table of its chunks".into()));
    };
    let there = u64::try_from(image.chunks.len()).unwrap_or(u64::MAX);
    let mut warnings = Vec::new();
    if !image.ended || there < image.chunk_count {
        let message = format!(
            "the image is not whole: {there} of {} chunks are in the segments that are here; is a segment missing beside it?",
            image.chunk_count.max(there)
        );
        warnings.push(Warning::new("image", message));
    }
    if image.unsound > 0 {
        let message = format!(
            "{} lists of chunks do not fit their checksums: the file is damaged, copy it again; what they list may be misplaced",
            image.unsound
        );
        warnings.push(Warning::new("image", message));
    }
    let length = there.saturating_mul(size).min(if image.bytes == 0 { u64::MAX } else { image.bytes });
    let chunks = Chunked::even(size, length, Chunks { parts, chunks: image.chunks, size });
    Ok(Found::Inside("ewf", Source::new(chunks), warnings))
}

/// The first segment beside another one, if it is there.
fn first_segment(other: &Path) -> Option<PathBuf> {
    let end = other.extension()?.to_str()?;
    let letter = if end.starts_with(|letter: char| letter.is_ascii_lowercase()) { 'e' } else { 'E' };
    Some(other.with_extension(format!("{letter}01"))).filter(|path| path.is_file())
}

/// The segments beside the first, in their order.
fn segments(first: &Path) -> impl Iterator<Item = Source> {
    let end = first.extension().and_then(|end| end.to_str()).unwrap_or("").to_owned();
    let path = first.to_owned();
    let lower = end.starts_with('e') || end.starts_with('s');
    let names = (end.len() == 3 && end.ends_with("01")).then_some(2..MAX_SEGMENTS).into_iter().flatten();
    names.map_while(move |number| beside(&path, end.get(..1)?, number, lower))
}

fn beside(first: &Path, letter: &str, number: usize, lower: bool) -> Option<Source> {
    let end = match number {
        0..100 => format!("{letter}{number:02}"),
        number => {
            // EAA, EAB ... EZZ, FAA ...
            let index = number.checked_sub(100)?;
            let start = letter.to_ascii_uppercase().bytes().next()?;
            let letter = |value: usize, from: u8| Some(char::from(from.checked_add(u8::try_from(value).ok()?)?));
            let end: String = [letter(index / 676, start)?, letter(index / 26 % 26, b'A')?, letter(index % 26, b'A')?]
                .iter()
                .collect();
            if lower { end.to_ascii_lowercase() } else { end }
        }
    };
    let path: PathBuf = first.with_extension(end);
    let source = path.is_file().then(|| Source::open(&path).ok())??;
    source.has(0, MAGIC).then_some(source)
}

/// What the sections say.
#[derive(Default)]
struct Image {
    chunk_size: Option<u64>,
    chunk_count: u64,
    bytes: u64,
    chunks: Vec<Chunk>,
    /// Chunks before the last table, and whether its sums are right.
    last: (usize, bool),
    /// Tables of which neither copy has right sums.
    unsound: u32,
    /// Chunks of the segments before this one.
    before: usize,
    ended: bool,
}

impl Image {
    fn segment(&mut self, number: usize, source: &Source) -> Result<(), Refusal> {
        let mut at = FILE_HEADER;
        self.before = self.chunks.len();
        // Where the chunks' bytes end: the last chunk of a table says it nowhere.
        let mut data_end = 0u64;
        for _ in 0..MAX_SECTIONS {
            let Some(kind) = source.array::<16>(at) else { break };
            let kind = kind.split(|byte| *byte == 0).next().unwrap_or(&[]).to_vec();
            let (Some(next), Some(size)) = (source.u64(at.saturating_add(16)), source.u64(at.saturating_add(24)))
            else {
                break;
            };
            let body = at.saturating_add(SECTION);
            match kind.as_slice() {
                b"volume" | b"disk" | b"data" => self.volume(source, body)?,
                b"sectors" => data_end = at.saturating_add(size),
                b"table" => {
                    self.last = (self.chunks.len(), is_sound(source, body));
                    // SMART and the first EnCase have no section of their own for the bytes: they lie behind the table's entries.
                    let end = if data_end == 0 { at.saturating_add(size) } else { data_end };
                    self.table(number, source, body, end.min(source.len()));
                }
                // The same once more: where the first was damaged.
                b"table2" if !self.last.1 => {
                    if is_sound(source, body) {
                        self.chunks.truncate(self.last.0);
                        self.table(number, source, body, data_end.min(source.len()));
                    } else {
                        self.unsound = self.unsound.saturating_add(1);
                    }
                }
                b"done" => self.ended = true,
                _ => {}
            }
            // The last section leads to itself.
            if next <= at {
                break;
            }
            at = next;
        }
        Ok(())
    }

    fn volume(&mut self, source: &Source, at: u64) -> Result<(), Refusal> {
        let field = |offset: u64| source.u32(at.saturating_add(offset)).map(u64::from);
        let (Some(count), Some(sectors), Some(sector), Some(all)) =
            (field(4), field(8), field(12), source.u64(at.saturating_add(16)))
        else {
            return Err(Refusal::NotThis("it ends within the description of its volume".into()));
        };
        let size = sectors.saturating_mul(sector);
        if size == 0 || size > MAX_CHUNK {
            return Err(Refusal::Unusable(Error::NotAnImage {
                what: format!("this EWF image (E01) has chunks of {size} bytes, which cannot be"),
                advice: "It is damaged: copy it again".into(),
            }));
        }
        self.chunk_size = Some(size);
        self.chunk_count = count;
        // Old versions have 32 bits for it, and padding behind them.
        self.bytes = all.saturating_mul(sector);
        Ok(())
    }

    fn table(&mut self, number: usize, source: &Source, at: u64, data_end: u64) {
        let (Some(count), Some(base)) = (source.u32(at), source.u64(at.saturating_add(8))) else { return };
        let entries = at.saturating_add(24);
        let entry = |n: u32| source.u32(entries.saturating_add(u64::from(n).saturating_mul(4)));
        let place = |entry: u32| base.saturating_add(u64::from(entry & !COMPRESSED));
        let Ok(segment) = u16::try_from(number) else { return };
        // Tables over tables: no more chunks than the file has room for.
        let room = usize::try_from(source.len() / SMALLEST_CHUNK).unwrap_or(MAX_CHUNKS);
        let most = self.before.saturating_add(room).min(MAX_CHUNKS);
        for n in 0..count {
            let Some(this) = entry(n).filter(|_| self.chunks.len() < most) else { break };
            let begin = place(this);
            let next = if n.saturating_add(1) < count { entry(n.saturating_add(1)).map(place) } else { None };
            let end = next.filter(|next| *next > begin).unwrap_or(data_end).max(begin);
            let bytes = u32::try_from(end.saturating_sub(begin).min(MAX_CHUNK.saturating_mul(2))).unwrap_or(u32::MAX);
            self.chunks.push(Chunk { segment, compressed: this & COMPRESSED != 0, at: begin, bytes });
        }
    }
}

/// Whether a table's checksums are right: that of its head, and that of its entries behind them.
fn is_sound(source: &Source, at: u64) -> bool {
    let inner = || {
        let count = u64::from(source.u32(at)?);
        let entries = usize::try_from(count.checked_mul(4)?).ok()?;
        let (head, list) = (source.copy(at, 20)?, source.copy(at.checked_add(24)?, entries)?);
        let behind = at.checked_add(24)?.checked_add(u64::try_from(entries).ok()?)?;
        let sums = (source.u32(at.checked_add(20)?)?, source.u32(behind)?);
        Some(sums == (adler32(&head), adler32(&list)))
    };
    inner() == Some(true)
}

struct Chunks {
    parts: Vec<Source>,
    chunks: Vec<Chunk>,
    size: u64,
}

impl Unpack for Chunks {
    /// In its segment.
    fn place(&self, number: u64) -> Option<u64> {
        self.chunks.get(usize::try_from(number).ok()?).map(|chunk| chunk.at)
    }

    fn unpack(&self, number: u64) -> Option<Vec<u8>> {
        let chunk = self.chunks.get(usize::try_from(number).ok()?)?;
        let part = self.parts.get(usize::from(chunk.segment))?;
        let size = usize::try_from(self.size).ok()?;
        if chunk.compressed {
            // The last chunk may be shorter.
            return inflate::zlib_up_to(&part.head(chunk.at, usize::try_from(chunk.bytes).ok()?), size);
        }
        // A checksum follows the bytes.
        let bytes = u64::from(chunk.bytes).checked_sub(CHECKSUM)?.min(self.size);
        let plain = part.copy(chunk.at, usize::try_from(bytes).ok()?)?;
        // Where a last, shorter chunk ends is not always told.
        let wrong = bytes == self.size && part.u32(chunk.at.checked_add(bytes)?) != Some(adler32(&plain));
        (!wrong).then_some(plain)
    }
}

/// Adler-32 (RFC 1950).
fn adler32(bytes: &[u8]) -> u32 {
    const PRIME: u32 = 65521;
    let (mut a, mut b) = (1u32, 0u32);
    // As many as fit in 32 bits before a division is due.
    for piece in bytes.chunks(5552) {
        for byte in piece {
            a = a.wrapping_add(u32::from(*byte));
            b = b.wrapping_add(a);
        }
        (a, b) = (a % PRIME, b % PRIME);
    }
    b << 16 | a
}
