//! AFF4 images in zip files: a map of memory onto streams that are packed in chunks, described in Turtle.
//!
//! Layout: "AFF4 Standard v1.0" (aff4.org); names of properties before it: `lexicon.py` of pyaff4.

use super::PhysicalRun;
use super::blocks::{Chunked, Unpack};
use super::formats::{Found, Opened, Refusal};
use super::inflate;
use super::runs::{Piece, Place, Runs};
use super::source::Source;
use super::unpack::Stream as Reader;
use crate::{Error, PhysicalAddress};
use std::io::{BufReader, Read as _};

/// A zip file, opened.
type Archive = zip::ZipArchive<BufReader<Reader>>;

/// What to do with what cannot be read.
const ADVICE: &str =
    "Export its memory as raw with the tool that made it (for WinPmem: winpmem --export PhysicalMemory --output FILE)";

/// Bytes of a description, and of a list of streams, at most.
const MAX_TEXT: u64 = 16 << 20;
/// Bytes of the index of one bevy, and of a map, at most.
const MAX_INDEX: u64 = 64 << 20;
/// Chunks of one stream at most: 2 TiB in those of 32 KiB.
const MAX_CHUNKS: usize = 1 << 26;
/// Bytes of a chunk at most; 32 KiB is usual.
const MAX_CHUNK: u64 = 1 << 24;
/// Bytes of an entry of a map: address, length, offset in the stream, number of the stream.
const RANGE: usize = 28;

fn unusable(what: impl Into<String>) -> Refusal {
    Refusal::Unusable(Error::NotAnImage { what: what.into(), advice: ADVICE.into() })
}

/// Whether a zip file is one: it has a description, and its volume's name, in a file of its own or as its comment.
pub(super) fn is_one(archive: &Archive) -> bool {
    archive.index_for_name("information.turtle").is_some()
        && (archive.index_for_name("container.description").is_some() || archive.comment().starts_with(b"aff4://"))
}

pub(super) fn open(source: &Source, archive: &mut Archive) -> Result<Found, Refusal> {
    let mut volume = Volume { source, archive, name: String::new() };
    let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let comment = volume.archive.comment().to_vec();
    let name = text(volume.member("container.description", MAX_TEXT).or(Some(comment))).unwrap_or_default();
    volume.name = name.trim_matches(['\0', ' ', '\r', '\n']).trim_end_matches('/').to_owned();
    let Some(description) = text(volume.member("information.turtle", MAX_TEXT)) else {
        return Err(unusable("this AFF4 image has no description that can be read"));
    };
    let facts = facts(&description);
    if facts.iter().any(|fact| fact.object.contains("EncryptedStream")) {
        return Err(unusable("this AFF4 image is encrypted"));
    }
    let Some((map, ranges)) = volume.map(&facts) else {
        return Err(unusable("this AFF4 image holds no map of memory: it is one of a disk or of files, or damaged"));
    };
    let targets = volume.member_of(&map, "idx", MAX_TEXT);
    let targets = text(targets).unwrap_or_default();
    let mut targets: Vec<Target> = targets.lines().map(|urn| Target::of(urn.trim())).collect();
    let (mut streams, mut length, mut lost_chunks) = (Vec::new(), 0u64, 0u64);
    for target in &mut targets {
        if let Target::Named(urn) = target {
            let (stream, missing) = volume.stream(urn, &facts)?;
            let size = stream.len();
            *target = Target::Stream { begin: length, size };
            length = length.saturating_add(size);
            lost_chunks = lost_chunks.saturating_add(missing);
            streams.push(stream);
        }
    }
    let (mut pieces, mut cut): (Vec<Piece>, u64) = (Vec::new(), 0);
    for Range { start, bytes, offset, target } in ranges {
        let run = |bytes| PhysicalRun { start: PhysicalAddress(start), bytes };
        match targets.get(target) {
            Some(Target::Zero) => pieces.push((run(bytes), Place::Zero)),
            Some(Target::Stream { begin, size }) => {
                let held = bytes.min(size.saturating_sub(offset));
                cut = cut.saturating_add(bytes.saturating_sub(held));
                pieces.push((run(held), Place::File(begin.saturating_add(offset))));
            }
            // What could not be read when the image was made, and what is nowhere.
            _ => {}
        }
    }
    let (runs, mut lost) = Runs::new(Source::joined(streams), pieces);
    lost.cut = lost.cut.saturating_add(cut);
    let mut opened = Opened::new("aff4", runs);
    opened.maker = facts.iter().find(|fact| fact.is("tool")).map(|fact| fact.object.clone());
    opened.warnings_of(None, lost);
    if lost_chunks > 0 {
        opened.warn(format!(
            "{lost_chunks} chunks of the image are not in the file: is it cut, or one of several volumes?"
        ));
    }
    Ok(opened.into())
}

/// What the numbers of a map stand for.
enum Target {
    Named(String),
    Stream {
        begin: u64,
        size: u64,
    },
    Zero,
    /// Memory that could not be read, or a pattern instead of it.
    Nothing,
}

impl Target {
    fn of(urn: &str) -> Self {
        match urn.split_once("Schema#").or_else(|| urn.split_once("aff4:")).map(|(_, name)| name) {
            Some("Zero") => Self::Zero,
            _ if urn.starts_with("aff4://") => Self::Named(urn.to_owned()),
            _ => Self::Nothing,
        }
    }
}

/// An entry of a map.
struct Range {
    start: u64,
    bytes: u64,
    offset: u64,
    target: usize,
}

fn ranges(bytes: &[u8]) -> Vec<Range> {
    let range = |entry: &[u8; RANGE]| {
        let word = |at: usize| entry.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let target = entry.last_chunk().map(|bytes| u32::from_le_bytes(*bytes))?;
        Some(Range { start: word(0)?, bytes: word(8)?, offset: word(16)?, target: usize::try_from(target).ok()? })
    };
    bytes.as_chunks::<RANGE>().0.iter().filter_map(range).collect()
}

/// A statement of the description.
struct Fact {
    subject: String,
    predicate: String,
    object: String,
}

impl Fact {
    fn is(&self, name: &str) -> bool {
        self.predicate == name
    }
}

/// The statements of a Turtle text, as far as AFF4 uses it: names in angle brackets or with a prefix, texts, numbers.
fn facts(text: &str) -> Vec<Fact> {
    let (mut facts, mut subject, mut predicate) = (Vec::new(), None::<String>, None::<String>);
    let mut left = text.trim_start();
    while let Some(first) = left.chars().next() {
        let (token, rest) = match first {
            '<' => left.get(1..).and_then(|rest| rest.split_once('>')).unwrap_or((left, "")),
            '"' => {
                let (token, rest) = left.get(1..).and_then(|rest| rest.split_once('"')).unwrap_or((left, ""));
                // Its type follows.
                let end = if rest.starts_with("^^") { rest.find([' ', ';', ',', '\n', '\r']) } else { Some(0) };
                (token, end.and_then(|end| rest.get(end..)).unwrap_or(""))
            }
            '#' | '@' => {
                left = left.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
                continue;
            }
            ';' | ',' | '.' => {
                if first != ',' {
                    predicate = None;
                }
                if first == '.' {
                    subject = None;
                }
                left = left.get(1..).unwrap_or("").trim_start();
                continue;
            }
            _ => {
                let end = left.find(|c: char| c.is_whitespace() || matches!(c, ';' | ',')).unwrap_or(left.len());
                left.split_at_checked(end.max(first.len_utf8())).unwrap_or((left, ""))
            }
        };
        // The name without its prefix or the address of its schema.
        let short = |token: &str| token.rsplit(['#', ':']).next().unwrap_or(token).to_owned();
        match (&subject, &predicate) {
            (None, _) => subject = Some(token.to_owned()),
            (Some(_), None) => predicate = Some(short(token)),
            (Some(subject), Some(predicate)) => {
                let object = token.to_owned();
                facts.push(Fact { subject: subject.clone(), predicate: predicate.clone(), object });
            }
        }
        left = rest.trim_start();
    }
    facts
}

struct Volume<'v> {
    source: &'v Source,
    archive: &'v mut Archive,
    /// Its URN.
    name: String,
}

impl Volume<'_> {
    /// A file of the archive, unpacked. `None`: it is not there, damaged, or has more than `most` bytes.
    fn member(&mut self, name: &str, most: u64) -> Option<Vec<u8>> {
        let file = self.archive.by_name(name).ok()?;
        (file.size() <= most).then_some(())?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// The names that a part of an object may have in the archive.
    fn names(&self, urn: &str, part: &str) -> [String; 2] {
        let whole = format!("{urn}/{part}");
        let below = whole.strip_prefix(&self.name).map_or(whole.as_str(), |name| name.trim_start_matches('/'));
        [below.to_owned(), whole.replacen("aff4://", "aff4%3A%2F%2F", 1)]
    }

    fn member_of(&mut self, urn: &str, part: &str, most: u64) -> Option<Vec<u8>> {
        self.names(urn, part).iter().find_map(|name| self.member(name, most))
    }

    /// The map of memory, and its ranges: the one that is said to be memory, or else the longest.
    fn map(&mut self, facts: &[Fact]) -> Option<(String, Vec<Range>)> {
        let mut best: Option<(bool, u64, String, Vec<Range>)> = None;
        let is_map = |fact: &&Fact| matches!(fact.object.rsplit(['#', ':']).next(), Some("Map" | "map"));
        for fact in facts.iter().filter(|fact| fact.is("a") || fact.is("type")).filter(is_map) {
            let Some(bytes) = self.member_of(&fact.subject, "map", MAX_INDEX) else { continue };
            let ranges = ranges(&bytes);
            let length = ranges.iter().map(|range| range.bytes).fold(0, u64::saturating_add);
            let memory = fact.subject.to_ascii_lowercase().contains("memory");
            if best.as_ref().is_none_or(|(was, most, ..)| (*was, *most) < (memory, length)) {
                best = Some((memory, length, fact.subject.clone(), ranges));
            }
        }
        best.map(|(_, _, subject, ranges)| (subject, ranges))
    }

    /// A stream, and how many of its chunks are not there.
    fn stream(&mut self, urn: &str, facts: &[Fact]) -> Result<(Source, u64), Refusal> {
        let fact = |names: &[&str]| {
            let mut of_this = facts.iter().filter(|fact| fact.subject == urn);
            of_this.find(|fact| names.contains(&fact.predicate.as_str())).map(|fact| fact.object.as_str())
        };
        let number = |names: &[&str]| fact(names).and_then(|value| value.parse::<u64>().ok());
        let size = number(&["size", "streamSize"]);
        let chunk = number(&["chunkSize", "chunk_size"]).unwrap_or(0x8000);
        let in_bevy =
            number(&["chunksInSegment", "chunks_in_segment", "chunksPerSegment", "chunks_per_segment"]).unwrap_or(1024);
        let Some(size) = size.filter(|_| (1..=MAX_CHUNK).contains(&chunk) && (1..=1 << 24).contains(&in_bevy)) else {
            return Err(unusable(format!("{urn}, a stream of this AFF4 image, is not described, or cannot be")));
        };
        let method = Method::of(fact(&["compressionMethod", "compression"]).unwrap_or("rfc1950"))?;
        // Every chunk takes a byte or more of the file.
        let wanted = size.div_ceil(chunk).min(self.source.len());
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(MAX_CHUNKS);
        let mut chunks: Vec<(u64, u32)> = Vec::new();
        let mut missing = 0usize;
        for bevy in 0u64.. {
            if chunks.len() >= wanted {
                break;
            }
            let full = usize::try_from(in_bevy).unwrap_or(usize::MAX).min(wanted.saturating_sub(chunks.len()));
            let found = self.bevy(urn, bevy).unwrap_or_default();
            // Of a stream that is cut, all bevies behind the cut are missing: nothing is set aside for them.
            if found.is_empty() {
                missing = wanted.saturating_sub(chunks.len());
                break;
            }
            let here = found.len().min(full);
            chunks.extend(found.into_iter().take(full));
            if here < full {
                missing = wanted.saturating_sub(chunks.len());
                break;
            }
        }
        let held = u64::try_from(chunks.len()).unwrap_or(0).saturating_mul(chunk).min(size);
        let packed = Chunks { source: self.source.clone(), chunks, size: chunk, method };
        Ok((Source::new(Chunked::even(chunk, held, packed)), u64::try_from(missing).unwrap_or(u64::MAX)))
    }

    /// Where the chunks of a bevy are in the file, and how many bytes each has.
    fn bevy(&mut self, urn: &str, number: u64) -> Option<Vec<(u64, u32)>> {
        let name = format!("{number:08}");
        let index = self.names(urn, &name).iter().find_map(|name| self.archive.index_for_name(name))?;
        let file = self.archive.by_index(index).ok()?;
        (file.compression() == zip::CompressionMethod::Stored).then_some(())?;
        let (begin, size) = (file.data_start()?, file.size());
        drop(file);
        let place = |offset: u64, bytes: u64| {
            let end = offset.checked_add(bytes)?;
            (end <= size).then_some((begin.checked_add(offset)?, u32::try_from(bytes).ok()?))
        };
        if let Some(index) = self.member_of(urn, &format!("{name}.index"), MAX_INDEX) {
            let entry = |entry: &[u8; 12]| {
                let (offset, length) = entry.split_first_chunk::<8>()?;
                let length = length.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))?;
                place(u64::from_le_bytes(*offset), u64::from(length))
            };
            return Some(index.as_chunks::<12>().0.iter().map(|one| entry(one).unwrap_or_default()).collect());
        }
        // Before the standard: where chunks begin, or where they end.
        let index = self.member_of(urn, &format!("{name}/index"), MAX_INDEX)?;
        let mut offsets: Vec<u64> =
            index.as_chunks::<4>().0.iter().map(|one| u64::from(u32::from_le_bytes(*one))).collect();
        if offsets.first() != Some(&0) {
            offsets.insert(0, 0);
        }
        if offsets.last() != Some(&size) {
            offsets.push(size);
        }
        let between = |pair: &[u64]| {
            let [from, to] = pair else { return None };
            place(*from, to.checked_sub(*from)?)
        };
        Some(offsets.windows(2).map(|pair| between(pair).unwrap_or_default()).collect())
    }
}

/// How chunks are packed.
#[derive(Clone, Copy)]
enum Method {
    Snappy,
    Zlib,
    Lz4,
    Plain,
}

impl Method {
    fn of(name: &str) -> Result<Self, Refusal> {
        match name {
            name if name.contains("snappy") => Ok(Self::Snappy),
            name if name.contains("rfc1950") => Ok(Self::Zlib),
            name if name.contains("lz4") => Ok(Self::Lz4),
            name if name.contains("Null") || name.contains("stored") => Ok(Self::Plain),
            name => Err(unusable(format!("this AFF4 image is packed in a way that is not known ({name})"))),
        }
    }
}

struct Chunks {
    source: Source,
    chunks: Vec<(u64, u32)>,
    size: u64,
    method: Method,
}

impl Unpack for Chunks {
    /// In its archive.
    fn place(&self, number: u64) -> Option<u64> {
        self.chunks.get(usize::try_from(number).ok()?).map(|(at, _)| *at)
    }

    fn unpack(&self, number: u64) -> Option<Vec<u8>> {
        let (at, bytes) = *self.chunks.get(usize::try_from(number).ok()?)?;
        let (size, length) = (usize::try_from(self.size).ok()?, usize::try_from(bytes).ok()?);
        (1..=size.saturating_mul(2)).contains(&length).then_some(())?;
        let packed = self.source.copy(at, length)?;
        // What does not become shorter is stored as it is.
        if length == size {
            return Some(packed);
        }
        match self.method {
            Method::Plain => Some(packed),
            Method::Zlib => inflate::zlib_up_to(&packed, size),
            Method::Snappy => {
                let bytes = snap::raw::decompress_len(&packed).ok().filter(|bytes| *bytes <= size)?;
                let mut out = vec![0; bytes];
                snap::raw::Decoder::new().decompress(&packed, &mut out).ok()?;
                Some(out)
            }
            Method::Lz4 => {
                let mut out = vec![0; size];
                // Some write the length in front.
                let behind = packed
                    .get(4..)
                    .filter(|_| packed.starts_with(&u32::try_from(size).ok().unwrap_or(0).to_le_bytes()));
                let bytes = lz4_flex::block::decompress_into(behind.unwrap_or(&packed), &mut out).ok()?;
                out.truncate(bytes);
                Some(out)
            }
        }
    }
}
