//! 7-Zip archives with an image in them: LZMA, LZMA2, deflate, bzip2 or stored, also in one block with other files.
//!
//! Layout: `7zFormat.txt` of the LZMA SDK.

use super::formats::{Format, Found, Job, Opening, Refusal};
use super::seven_zip_list::{Block, Entry, HEADER, Input, List, header, streams};
use super::source::Source;
use super::unpack::{Stream, to_cache};
use crate::{Error, Warning};
use std::io::{self, BufReader, Read};

/// See the module.
pub(super) static FORMAT: Format = Format {
    title: "a 7-Zip archive",
    mark: |opening| opening.source.has(0, b"7z\xbc\xaf\x27\x1c"),
    job: Job::Read(open),
};

const BY_HAND: &str = "Unpack it first: 7z x FILE";
/// Bytes of the list of files at most, packed and unpacked.
const MAX_LIST: u64 = 16 << 20;
/// How often the list is packed at most.
const MAX_PACKED: usize = 4;
/// Dictionary of LZMA at least and at most: 7-Zip makes 1.5 GiB.
const DICTIONARY: (u64, u64) = (1 << 12, 3 << 29);
/// Bytes that come of one packed byte at most: LZMA repeats 273 bytes by a third of a bit, bzip2 packs 900,000 zeros into 40 bytes. What
/// a list promises beyond is no reason to set memory aside, or to begin.
const RATIO: u64 = 1 << 16;

fn refused(what: impl Into<String>, advice: &str) -> Refusal {
    Refusal::Unusable(Error::NotAnImage { what: what.into(), advice: advice.into() })
}

fn damaged() -> Refusal {
    refused(
        "this 7-Zip archive is damaged: the list of its files cannot be read",
        "Copy it again; or unpack what can be unpacked of it: 7z x FILE",
    )
}

fn open(opening: &Opening<'_>) -> Result<Found, Refusal> {
    let source = &opening.source;
    let list = list(source)?;
    let (largest, entry) =
        list.largest().ok_or_else(|| refused("this 7-Zip archive holds no file", "Name the memory image"))?;
    let mut warnings = Vec::new();
    if list.files.len() > 1 {
        let name = list.names.get(largest).map_or("it has no name", String::as_str);
        let message = format!("of the {} files in the archive, the largest is read: {name}", list.files.len());
        warnings.push(Warning::new("image", message));
    }
    let block = list.blocks.get(entry.block).ok_or_else(damaged)?;
    let end = entry.offset.checked_add(entry.size).filter(|end| *end <= block.bytes.saturating_mul(RATIO));
    end.ok_or_else(damaged)?;
    let reader = OneFile::new(block.reader(source)?, entry);
    let (inside, path) = to_cache(source, reader, Some(entry.size), opening.options)?;
    Ok(Found::Unpacked { name: "7z", source: inside, path, warnings })
}

/// The list of files, unpacked as often as it is packed.
fn list(source: &Source) -> Result<List, Refusal> {
    let start = source.array::<20>(12).zip(source.u32(8));
    let (start, sum) = start.ok_or_else(cut_short)?;
    if crc32fast::hash(&start) != sum {
        return Err(damaged());
    }
    let [Some(at), Some(length)] = [source.u64(12), source.u64(20)] else { return Err(cut_short()) };
    let at = at.checked_add(HEADER).ok_or_else(damaged)?;
    if length == 0 {
        // An archive without files has no list.
        return Ok(List::default());
    }
    if at.checked_add(length).is_none_or(|end| end > source.len()) {
        return Err(cut_short());
    }
    let length = usize::try_from(length).ok().filter(|_| length <= MAX_LIST).ok_or_else(damaged)?;
    let mut bytes = source.copy(at, length).ok_or_else(damaged)?;
    if source.u32(28) != Some(crc32fast::hash(&bytes)) {
        return Err(damaged());
    }
    for _ in 0..MAX_PACKED {
        let mut input = Input(&bytes);
        match input.u8() {
            Some(0x01) => return header(&mut input).ok_or_else(damaged),
            Some(0x17) => {
                let list = streams(&mut input).ok_or_else(damaged)?;
                let block = list.blocks.first().ok_or_else(damaged)?;
                let size = block.size().filter(|size| *size <= MAX_LIST).ok_or_else(damaged)?;
                let mut unpacked = Vec::new();
                block.reader(source)?.take(size).read_to_end(&mut unpacked).map_err(|_| damaged())?;
                bytes = unpacked;
            }
            _ => break,
        }
    }
    Err(damaged())
}

fn cut_short() -> Refusal {
    refused(
        "this 7-Zip archive is cut short: the list of its files, which stands at its end, is not in it",
        "Copy it again; if it has parts (.7z.001 ...), name the first, with the others beside it",
    )
}

impl Block {
    /// What unpacks it.
    fn reader(&self, source: &Source) -> Result<Box<dyn Read>, Refusal> {
        if self.streams != 1 {
            return Err(refused(
                "what this 7-Zip archive holds is packed in several streams, as programs are (BCJ2)",
                BY_HAND,
            ));
        }
        if self.at.checked_add(self.bytes).is_none_or(|end| end > source.len()) {
            return Err(damaged());
        }
        let most = self.bytes.saturating_mul(RATIO);
        let packed = Stream::new(source.window(self.at, self.bytes));
        let mut reader: Box<dyn Read> = Box::new(BufReader::new(packed));
        let mut now = self.first;
        for _ in 0..self.coders.len() {
            let index = usize::try_from(now).map_err(|_| damaged())?;
            let ((id, properties), size) = self.coders.get(index).zip(self.sizes.get(index)).ok_or_else(damaged)?;
            reader = unpacking(id, properties, most.min(*size), *size, reader)?;
            match self.bonds.iter().find(|(_, out)| *out == now) {
                Some((into, _)) => now = *into,
                None => return Ok(reader),
            }
        }
        Err(damaged())
    }
}

/// A coder that unpacks what `reader` gives into `size` bytes, of which `most` can be.
fn unpacking(
    id: &[u8],
    properties: &[u8],
    most: u64,
    size: u64,
    reader: Box<dyn Read>,
) -> Result<Box<dyn Read>, Refusal> {
    let dictionary = |wanted: u64| {
        let most = most.clamp(DICTIONARY.0, DICTIONARY.1);
        u32::try_from(wanted.min(most)).map_err(|_| damaged())
    };
    Ok(match id {
        [0x00] => reader,
        [0x21] => {
            let bits = properties.first().copied().filter(|bits| *bits <= 40).ok_or_else(damaged)?;
            let wanted = match bits {
                40 => u64::from(u32::MAX),
                bits => u64::from(2 | bits & 1).wrapping_shl(u32::from(bits / 2).saturating_add(11)),
            };
            Box::new(lzma_rust2::Lzma2Reader::new(reader, dictionary(wanted)?, None))
        }
        [0x03, 0x01, 0x01] => {
            let (bits, wanted) = properties.split_first().ok_or_else(damaged)?;
            let wanted = wanted.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)).ok_or_else(damaged)?;
            let dictionary = dictionary(u64::from(wanted))?;
            let reader = lzma_rust2::LzmaReader::new_with_props(reader, size, *bits, dictionary, None);
            Box::new(reader.map_err(|_| damaged())?)
        }
        [0x04, 0x01, 0x08] => Box::new(flate2::read::DeflateDecoder::new(reader)),
        [0x04, 0x02, 0x02] => Box::new(bzip2::read::MultiBzDecoder::new(reader)),
        [0x03, 0x03, 0x01, 0x03] | [0x04] => Box::new(lzma_rust2::filter::bcj::BcjReader::new_x86(reader, 0)),
        [0x06, 0xf1, 0x07, 0x01] => {
            return Err(refused(
                "what this 7-Zip archive holds is encrypted",
                "Unpack it with its password: 7z x FILE",
            ));
        }
        id => {
            let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            return Err(refused(
                format!("what this 7-Zip archive holds is packed in a way that is not known here ({id})"),
                BY_HAND,
            ));
        }
    })
}

/// One file of what comes out of a block, held against its length and its sum.
struct OneFile {
    block: Box<dyn Read>,
    file: Entry,
    /// Bytes that lie before it, and of it, still to come.
    before: u64,
    left: u64,
    sum: crc32fast::Hasher,
}

impl OneFile {
    fn new(block: Box<dyn Read>, file: Entry) -> Self {
        Self { block, file, before: file.offset, left: file.size, sum: crc32fast::Hasher::new() }
    }
}

impl Read for OneFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // What lies before it must be unpacked, too; and only now: what is in the cache already is not.
        let skipped = io::copy(&mut self.block.by_ref().take(self.before), &mut io::sink())?;
        if skipped < self.before {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends before the file begins"));
        }
        self.before = 0;
        let read = self.block.by_ref().take(self.left).read(buf)?;
        self.sum.update(buf.get(..read).unwrap_or(&[]));
        self.left = self.left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        if read == 0 && !buf.is_empty() {
            if self.left > 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too early"));
            }
            if self.file.sum.is_some_and(|wanted| wanted != self.sum.clone().finalize()) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum is wrong"));
            }
        }
        Ok(read)
    }
}
