//! Machines that VirtualBox saved (.sav): units of records, packed page by page, of which `pgm` holds the memory.
//!
//! Layout: the head of VirtualBox' `SSM.cpp` and the records of its `PGMSavedState.cpp`.

use super::PhysicalRun;
use super::blocks::{Chunked, Unpack};
use super::formats::{Format, Found, Job, Opened, Opening, Refusal};
use super::runs::{Piece, Place, Runs, push};
use super::source::Source;
use crate::{Error, PAGE_SIZE, PhysicalAddress};

/// See the module.
pub(super) static FORMAT: Format = Format {
    title: "a machine saved by VirtualBox (.sav)",
    mark: |opening| opening.source.has(0, b"\x7fVirtualBox SavedState V2.0\n"),
    job: Job::Read(open),
};

/// What else to do, if the file cannot be read.
pub(super) const ADVICE: &str =
    "Resume it and write a core, which can be read: VBoxManage debugvm NAME dumpvmcore --filename=FILE";

const HEADER: u64 = 64;
const UNIT: &[u8; 8] = b"\nUnit\n\0\0";
/// Bytes of a unit's header before its name.
const UNIT_HEADER: u64 = 0x2c;
/// The pass of a unit that is written when the machine stands still.
const FINAL: u32 = u32::MAX;
/// Versions of the unit `pgm` that name its ranges first, since VirtualBox 4.
const VERSIONS: std::ops::RangeInclusive<u32> = 11..=14;
/// Units at most: a machine has some dozens, and a live save has a hundred passes of a few of them.
const MAX_UNITS: u32 = 1 << 16;

/// Bytes of a record at most: writers make blocks of 4 KiB.
const MAX_RECORD: u64 = 1 << 20;
/// Bytes of records that are unpacked together.
const GROUP: u64 = 1 << 16;
/// Such groups at most: those of 1 TiB.
const MAX_GROUPS: usize = 1 << 24;
/// Pieces of memory that do not follow one another, at most.
const MAX_PIECES: usize = 1 << 22;

/// Around the fields of a structure.
const BEGIN: u32 = 0x1920_0102;
const END: u32 = 0x1992_0406;

/// How the bytes of a record are packed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Lzf,
    Zeros,
}

/// A record: where its bytes are in the file, and how many come out.
#[derive(Clone, Copy)]
struct Record {
    packing: Packing,
    at: u64,
    bytes: u64,
    unpacked: u64,
}

/// What stands at an offset of a unit.
enum Next {
    Record(Record),
    /// The unit ends.
    Last,
}

/// The record at `at`, and where the next one is.
fn record(source: &Source, at: u64) -> Option<(Next, u64)> {
    let kind = source.u8(at)?;
    if kind & 0xe0 != 0x80 {
        return None;
    }
    let (bytes, after) = length(source, at.checked_add(1)?)?;
    let begin = at.checked_add(1)?.checked_add(after)?;
    let next = begin.checked_add(bytes)?;
    if next > source.len() || bytes > MAX_RECORD {
        return None;
    }
    // The first byte of what is packed says how many KiB it is.
    let packed = |packing| {
        let unpacked = u64::from(source.u8(begin)?).checked_mul(0x400)?;
        Some(Record { packing, at: begin.checked_add(1)?, bytes: bytes.checked_sub(1)?, unpacked })
    };
    let record = match kind & 0xf {
        1 => return Some((Next::Last, next)),
        2 => Record { packing: Packing::Plain, at: begin, bytes, unpacked: bytes },
        3 => packed(Packing::Lzf)?,
        4 => packed(Packing::Zeros)?,
        _ => return None,
    };
    Some((Next::Record(record), next))
}

/// A length, written as UTF-8 writes characters, and the bytes that it takes.
fn length(source: &Source, at: u64) -> Option<(u64, u64)> {
    let first = source.u8(at)?;
    let count = match first.leading_ones() {
        0 => return Some((u64::from(first), 1)),
        count @ 2..=6 => count,
        _ => return None,
    };
    let mask = 0x7fu8.checked_shr(count)?;
    let mut value = u64::from(first & mask);
    for n in 1..u64::from(count) {
        let byte = source.u8(at.checked_add(n)?).filter(|byte| byte & 0xc0 == 0x80)?;
        value = value << 6 | u64::from(byte & 0x3f);
    }
    Some((value, u64::from(count)))
}

impl Record {
    fn unpack(&self, source: &Source) -> Option<Vec<u8>> {
        let size = usize::try_from(self.unpacked).ok()?;
        if self.packing == Packing::Zeros {
            return Some(vec![0; size]);
        }
        let bytes = source.copy(self.at, usize::try_from(self.bytes).ok()?)?;
        if self.packing == Packing::Plain { Some(bytes) } else { lzf(&bytes, size) }
    }
}

/// Unpacks LZF (`lzf_d.c` of liblzf): runs of bytes, and copies of what came out before. `None`: not `size` bytes come out.
fn lzf(packed: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(size);
    let mut left = packed;
    while let Some((control, rest)) = left.split_first() {
        left = rest;
        if *control < 0x20 {
            let (run, rest) = left.split_at_checked(usize::from(*control).checked_add(1)?)?;
            out.extend_from_slice(run);
            left = rest;
        } else {
            let mut take = || {
                let (byte, rest) = left.split_first()?;
                left = rest;
                Some(usize::from(*byte))
            };
            let mut length = usize::from(control >> 5).checked_add(2)?;
            if length == 9 {
                length = length.checked_add(take()?)?;
            }
            let back = usize::from(control & 0x1f) << 8 | take()?;
            let from = out.len().checked_sub(back)?.checked_sub(1)?;
            // It may reach into what it writes itself.
            for at in from..from.checked_add(length)? {
                out.push(*out.get(at)?);
            }
        }
        if out.len() > size {
            return None;
        }
    }
    (out.len() == size).then_some(out)
}

fn open(opening: &Opening<'_>) -> Result<Found, Refusal> {
    let source = &opening.source;
    let mut stream = Stream::new(source);
    let (mut units, mut odd): (Vec<Vec<Piece>>, Option<String>) = (Vec::new(), None);
    let (mut at, mut live, mut ballooned) = (HEADER, false, 0u64);
    for _ in 0..MAX_UNITS {
        let Some(unit) = Unit::read(source, at) else { break };
        if unit.name != b"pgm" {
            let Some(next) = behind(source, unit.data) else {
                odd = Some(format!("the file ends within the unit at offset {at:#x}, or is damaged there"));
                break;
            };
            at = next;
            continue;
        }
        if !VERSIONS.contains(&unit.version) {
            return Err(Refusal::Unusable(Error::Unsupported {
                what: format!(
                    "this machine was saved by a VirtualBox whose memory (version {} of it) cannot be read",
                    unit.version
                ),
                advice: ADVICE.into(),
            }));
        }
        stream.go_to(unit.data);
        let mut pages = Pages::default();
        let whole = pages.unit(&mut stream, unit.pass == FINAL, live);
        live |= unit.pass != FINAL;
        ballooned = ballooned.saturating_add(pages.ballooned);
        units.push(pages.pieces);
        if whole.is_none() {
            odd = Some(format!(
                "the file is truncated or damaged at offset {:#x}, in the machine's memory: what follows is not read",
                stream.now.next
            ));
            break;
        }
        // The machine's memory is complete, and nothing else is wanted of it.
        if unit.pass == FINAL {
            break;
        }
        let Some(next) = stream.end() else { break };
        at = next;
    }
    if units.iter().all(Vec::is_empty) {
        return Err(Refusal::Unusable(Error::NotAnImage {
            what: "this file of VirtualBox holds no memory, or is cut before it".into(),
            advice: format!("Copy it again. {ADVICE}"),
        }));
    }
    // What was saved later, when the machine stood still, is what counts.
    let pieces: Vec<Piece> = units.into_iter().rev().flatten().collect();
    let (runs, lost) = Runs::new(stream.into_source(), pieces);
    let mut opened = Opened::new("virtualbox", runs);
    opened.maker = Some("VirtualBox".into());
    opened.warnings_of(odd, super::runs::Lost { twice: 0, ..lost });
    if ballooned > 0 {
        opened.warn(format!(
            "{ballooned} pages were given back to the host by the guest's balloon: they are not in the file"
        ));
    }
    Ok(opened.into())
}

/// The header of a unit.
struct Unit {
    name: Vec<u8>,
    version: u32,
    pass: u32,
    /// Where its records begin.
    data: u64,
}

impl Unit {
    fn read(source: &Source, at: u64) -> Option<Self> {
        if !source.has(at, UNIT) {
            return None;
        }
        let field = |offset: u64| source.u32(at.checked_add(offset)?);
        let (version, pass, length) = (field(0x18)?, field(0x20)?, field(0x28)?);
        let name = at.checked_add(UNIT_HEADER)?;
        let data = name.checked_add(u64::from(length))?;
        let name = source.head(name, usize::try_from(length.min(48)).ok()?);
        Some(Self { name: name.split(|byte| *byte == 0).next()?.to_vec(), version, pass, data })
    }
}

/// Where the records from `at` on end.
fn behind(source: &Source, mut at: u64) -> Option<u64> {
    loop {
        match record(source, at)? {
            (Next::Last, next) => return Some(next),
            (Next::Record(_), next) => at = next,
        }
    }
}

/// The unpacked bytes of records, one after the other, and an index of where which are.
struct Stream<'s> {
    source: &'s Source,
    now: Cursor,
    /// Up to where in the stream the index goes.
    indexed: u64,
    /// For each group of records: where it begins in the stream, and in the file.
    starts: Vec<u64>,
    files: Vec<u64>,
    /// The next record begins a group.
    apart: bool,
}

/// A place in the stream.
#[derive(Clone)]
struct Cursor {
    /// Where the next record is in the file.
    next: u64,
    record: Option<Record>,
    /// Bytes of the record that were taken.
    used: u64,
    /// The place in the stream.
    at: u64,
}

impl<'s> Stream<'s> {
    const fn new(source: &'s Source) -> Self {
        let now = Cursor { next: 0, record: None, used: 0, at: 0 };
        Self { source, now, indexed: 0, starts: Vec::new(), files: Vec::new(), apart: true }
    }

    /// Goes on with the records of another unit.
    const fn go_to(&mut self, records: u64) {
        self.now = Cursor { next: records, record: None, used: 0, at: self.indexed };
        self.apart = true;
    }

    /// Bytes of the record that are left; of the next one, if there are none. `None`: the unit ends, or is damaged.
    fn left(&mut self) -> Option<u64> {
        loop {
            let left = self.now.record.map_or(0, |record| record.unpacked.saturating_sub(self.now.used));
            if left > 0 {
                return Some(left);
            }
            let (Next::Record(next), behind) = record(self.source, self.now.next)? else { return None };
            if self.now.at >= self.indexed {
                self.index(self.now.next, next.unpacked)?;
            }
            self.now = Cursor { next: behind, record: Some(next), used: 0, at: self.now.at };
        }
    }

    fn index(&mut self, file: u64, unpacked: u64) -> Option<()> {
        let group = self.starts.last().map_or(0, |start| self.indexed.saturating_sub(*start));
        if self.apart || group.saturating_add(unpacked) > GROUP {
            if self.starts.len() >= MAX_GROUPS {
                return None;
            }
            self.starts.push(self.indexed);
            self.files.push(file);
            self.apart = false;
        }
        self.indexed = self.indexed.saturating_add(unpacked);
        Some(())
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut out = [0; N];
        for byte in &mut out {
            self.left()?;
            let record = self.now.record?;
            *byte = match record.packing {
                Packing::Plain => self.source.u8(record.at.checked_add(self.now.used)?)?,
                Packing::Zeros => 0,
                // Seldom: writers pack whole pages alone.
                Packing::Lzf => *record.unpack(self.source)?.get(usize::try_from(self.now.used).ok()?)?,
            };
            self.now.used = self.now.used.saturating_add(1);
            self.now.at = self.now.at.saturating_add(1);
        }
        Some(out)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn skip(&mut self, mut bytes: u64) -> Option<()> {
        while bytes > 0 {
            let step = self.left()?.min(bytes);
            self.now.used = self.now.used.saturating_add(step);
            self.now.at = self.now.at.saturating_add(step);
            bytes = bytes.saturating_sub(step);
        }
        Some(())
    }

    /// Where the unit ends in the file.
    fn end(&self) -> Option<u64> {
        behind(self.source, self.now.next)
    }

    fn into_source(self) -> Source {
        let packed =
            Packed { source: self.source.clone(), starts: self.starts.clone(), files: self.files, end: self.indexed };
        Source::new(Chunked::uneven(self.starts, self.indexed, packed))
    }
}

/// The pages that a unit holds.
#[derive(Default)]
struct Pages {
    pieces: Vec<Piece>,
    ballooned: u64,
}

impl Pages {
    /// Goes through a unit. `resumed`: earlier passes named the ranges. `None`: it is damaged or cut off.
    fn unit(&mut self, stream: &mut Stream<'_>, last: bool, resumed: bool) -> Option<()> {
        if last {
            structures(stream)?;
        }
        if !resumed {
            // The hole below 4 GiB, and how much memory there is.
            stream.skip(12)?;
            ranges(stream, 16)?;
            ranges(stream, 8)?;
        }
        let mut address = u64::MAX;
        loop {
            let kind = stream.u8()?;
            if kind == 0xff {
                return Some(());
            }
            let (named, kind) = (kind & 0x80 != 0, kind & 0x7f);
            if matches!(kind, 0 | 1 | 8) {
                address = if named { stream.u64()? } else { address.checked_add(PAGE_SIZE)? };
            } else if named {
                // The number of a range, and of a page in it.
                stream.skip(5)?;
            }
            match kind {
                0 => self.page(address, Place::Zero)?,
                1 => {
                    // The page's first byte is in the next record.
                    let at = stream.now.at;
                    stream.skip(PAGE_SIZE)?;
                    self.page(address, Place::Pages { first: at, stride: PAGE_SIZE.saturating_add(1) })?;
                }
                8 => self.ballooned = self.ballooned.saturating_add(1),
                2 => stream.skip(PAGE_SIZE)?,
                3 => {}
                4 | 5 => stream.skip(PAGE_SIZE.saturating_add(1))?,
                6 | 7 => stream.skip(1)?,
                _ => return None,
            }
        }
    }

    fn page(&mut self, address: u64, place: Place) -> Option<()> {
        (address.is_multiple_of(PAGE_SIZE) && self.pieces.len() < MAX_PIECES).then_some(())?;
        push(&mut self.pieces, PhysicalRun { start: PhysicalAddress(address), bytes: PAGE_SIZE }, place);
        Some(())
    }
}

/// Passes over the structure of the machine, and one of each processor.
fn structures(stream: &mut Stream<'_>) -> Option<()> {
    let mut count = 0u32;
    loop {
        let before = stream.now.clone();
        if stream.u32()? != BEGIN {
            stream.now = before;
            return (count > 0).then_some(());
        }
        // A flag, an address and a number; versions differ in the numbers that follow.
        stream.skip(13)?;
        let mut numbers = 0..16;
        while stream.u32()? != END {
            numbers.next()?;
        }
        count = count.saturating_add(1);
    }
}

/// Passes over a list of ranges of ROM, or of devices' memory: each has two names, and `addresses` bytes behind them.
fn ranges(stream: &mut Stream<'_>, addresses: u64) -> Option<()> {
    while stream.u8()? != 0xff {
        let name = stream.u32()?;
        stream.skip(u64::from(name).saturating_add(5))?;
        let name = stream.u32()?;
        stream.skip(u64::from(name).saturating_add(addresses))?;
    }
    Some(())
}

struct Packed {
    source: Source,
    starts: Vec<u64>,
    files: Vec<u64>,
    end: u64,
}

impl Unpack for Packed {
    fn place(&self, number: u64) -> Option<u64> {
        self.files.get(usize::try_from(number).ok()?).copied()
    }

    fn unpack(&self, number: u64) -> Option<Vec<u8>> {
        let number = usize::try_from(number).ok()?;
        let end = self.starts.get(number.checked_add(1)?).copied().unwrap_or(self.end);
        let size = usize::try_from(end.checked_sub(*self.starts.get(number)?)?).ok()?;
        let (mut at, mut out) = (*self.files.get(number)?, Vec::with_capacity(size));
        while out.len() < size {
            let (Next::Record(one), next) = record(&self.source, at)? else { return None };
            out.extend(one.unpack(&self.source)?);
            at = next;
        }
        (out.len() == size).then_some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples by hand, from the description of the format in liblzf.
    #[test]
    fn lzf_unpacks_runs_and_copies() {
        assert_eq!(lzf(b"\x02abc", 3).as_deref(), Some(&b"abc"[..]));
        assert_eq!(lzf(b"\x00a\x60\x00", 6).as_deref(), Some(&b"aaaaaa"[..]), "a copy of what it writes itself");
        assert_eq!(lzf(b"\x02abc\x20\x02", 6).as_deref(), Some(&b"abcabc"[..]));
        let long = lzf(b"\x00z\xe0\x05\x00", 15);
        assert_eq!(long.as_deref(), Some(&[b'z'; 15][..]));
        for (bad, size) in [(&b"\x02ab"[..], 3), (b"\x20\x00", 3), (b"\x00a\x20\x01", 4), (b"\x02abc", 2), (b"\xe0", 9)]
        {
            assert_eq!(lzf(bad, size), None, "{bad:?}");
        }
    }
}
