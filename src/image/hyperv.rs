//! Machines that Hyper-V saved (.vmrs; .vsv since Windows 8.1): keys and values in tables, memory in blocks of 1 MiB.
//!
//! Layout: `FORMAT.md` of `hvs_file` in Microsoft's openvmm; packed blocks are plain Xpress ([MS-XCA] 2.4).

use super::blocks::{Chunked, Unpack};
use super::formats::{Format, Found, Job, Opened, Opening, Refusal};
use super::runs::{Piece, Place, Runs, push};
use super::source::Source;
use super::{PhysicalRun, known};
use crate::{Error, PAGE_SIZE, PhysicalAddress, xpress};
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
pub(super) static FORMAT: Format = Format {
    title: "a machine saved by Hyper-V (.vmrs)",
    mark: |opening| is_one(&opening.source),
    job: Job::Read(open),
};

const MARK: u32 = 0x0128_2014;
/// Bytes of the file's header, of which there are two, a page each.
const HEADER: usize = 46;
const OBJECTS: u64 = 0x2000;
const OBJECTS_MARK: u32 = 0x0111_0001;
const LOG_MARK: u32 = 0x0111_0003;
/// Bytes of an entry of a table of objects: its kind, a checksum, an offset, a size, flags.
const OBJECT: u64 = 18;
/// Bytes of the header of a table of keys.
const KEYS_HEADER: u64 = 10;
const KEYS_MARK: u16 = 2;
/// Bytes of an entry of a table of keys before the key's name.
const KEY: u64 = 21;
/// Of an entry: its value is elsewhere in the file.
const ELSEWHERE: u8 = 1;

/// Bytes of memory in a block, and pages.
const BLOCK: u64 = 1 << 20;
const BLOCK_PAGES: u64 = BLOCK / PAGE_SIZE;
/// Objects of one file at most: the blocks of 2 TiB.
const MAX_OBJECTS: usize = 1 << 21;
/// Bytes of one table of keys at most; they are of 4 KiB.
const MAX_TABLE: u64 = 1 << 20;
/// Ranges of memory at most: a machine has one for each node and each side of a hole.
const MAX_RANGES: usize = 1 << 12;
/// Pieces of memory at most.
const MAX_PIECES: usize = 1 << 22;

/// The header stands twice; of a file that is cut or damaged one is enough if the table of objects follows.
fn is_one(source: &Source) -> bool {
    let marks = [0, PAGE_SIZE].map(|at| source.u32(at) == Some(MARK));
    marks == [true; 2] || marks.contains(&true) && source.u32(OBJECTS) == Some(OBJECTS_MARK)
}

/// One of the two headers.
struct Header {
    sequence: u16,
    version: u32,
    log: u64,
}

impl Header {
    /// `None`: its checksum is wrong.
    fn read(source: &Source, at: u64) -> Option<Self> {
        has_sum::<HEADER>(source, at, 4)?;
        let field = |offset: u64| at.checked_add(offset);
        Some(Self { sequence: source.u16(field(8)?)?, version: source.u32(field(10)?)?, log: source.u64(field(26)?)? })
    }
}

/// The CRC-32 at `sum` in the `N` bytes at `at` is that of the bytes without it.
fn has_sum<const N: usize>(source: &Source, at: u64, sum: usize) -> Option<()> {
    let mut bytes = source.array::<N>(at)?;
    let field = bytes.get_mut(sum..)?.first_chunk_mut::<4>()?;
    let wanted = u32::from_le_bytes(std::mem::take(field));
    (crc32fast::hash(&bytes) == wanted).then_some(())
}

fn open(opening: &Opening<'_>) -> Result<Found, Refusal> {
    let source = &opening.source;
    let headers = [0, PAGE_SIZE].map(|at| Header::read(source, at));
    // The sequence counts on over its end.
    let newer = |a: &Header, b: &Header| a.sequence.wrapping_sub(b.sequence) < 0x8000;
    let header = match headers {
        [Some(a), Some(b)] => Some(if newer(&a, &b) { a } else { b }),
        [a, b] => a.or(b),
    };
    if let Some(version) = header.as_ref().map(|header| header.version).filter(|version| *version < 0x200) {
        return Err(Refusal::Unusable(Error::Unsupported {
            what: format!("this machine was saved by an old Hyper-V (version {version:#x} of its files)"),
            advice: known::HYPER_V.into(),
        }));
    }
    let mut tables = key_tables(source);
    let mut keys = Keys::of_newest(source, &tables);
    if keys.ranges.is_empty() && keys.blocks.is_empty() {
        return Err(Refusal::Unusable(Error::NotAnImage {
            what: "this file of Hyper-V holds no memory: it is a machine's configuration, its state while it runs, or a production checkpoint, or the copy is cut short".into(),
            advice: "If it is shorter than the original, copy it again. Otherwise save the machine (Save-VM), or take a standard checkpoint of it, and name the .vmrs file of that".into(),
        }));
    }
    let mut ranges = keys.ranges(source);
    let without_ranges = ranges.is_empty();
    if without_ranges {
        ranges = guessed_ranges(&keys);
    }
    if keys.lacks(&ranges) {
        // There are files whose tables are not all led to.
        sweep(source, &mut tables);
        keys = Keys::of_all(source, &tables);
    }
    let (memory, lost, missing) = memory(source, &keys, &ranges);
    let mut opened = Opened::new("hyperv", memory);
    opened.maker = Some("Hyper-V".into());
    opened.warnings_of(None, lost);
    if header.is_none() {
        opened.warn("the file's headers are damaged: it is read without them".into());
    }
    if without_ranges {
        opened.warn("the file does not say where memory lies: it is read with a hole from 0xf8000000 to 4 GiB".into());
    }
    if missing > 0 {
        opened.warn(format!("{} MiB of the machine's memory are not in the file", missing.div_ceil(BLOCK_PAGES)));
    }
    if keys.odd > 0 {
        opened.warn(format!("{} blocks of memory cannot be, or lie behind the end of the file", keys.odd));
    }
    if let Some(log) = header.map(|header| header.log)
        && source.u32(log) == Some(LOG_MARK)
        && source.u32(log.saturating_add(8)).is_some_and(|entries| entries > 0)
    {
        opened.warn("changes stand in the file's log that were not written to their places: the copy was made while Hyper-V wrote".into());
    }
    Ok(opened.into())
}

/// A table of keys: its number; of those with one number the highest sequence counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Table {
    index: u16,
    sequence: u16,
    at: u64,
    size: u64,
}

impl Table {
    fn read(source: &Source, at: u64, size: u64) -> Option<Self> {
        let number = |by: u64| source.u16(at.checked_add(by)?);
        (number(0)? == KEYS_MARK).then_some(())?;
        Some(Self { index: number(2)?, sequence: number(4)?, at, size })
    }
}

/// All tables of keys that the tables of objects lead to.
fn key_tables(source: &Source) -> BTreeSet<Table> {
    let mut found = BTreeSet::new();
    let (mut waiting, mut seen, mut left) = (vec![OBJECTS], BTreeSet::new(), MAX_OBJECTS);
    while let Some(table) = waiting.pop() {
        if !seen.insert(table) || source.u32(table) != Some(OBJECTS_MARK) {
            continue;
        }
        let count = source.u32(table.saturating_add(4)).unwrap_or(0);
        for n in 0..u64::from(count) {
            let at = table.saturating_add(8).saturating_add(n.saturating_mul(OBJECT));
            let field = |by: u64| at.saturating_add(by);
            let (Some(kind), Some(offset), Some(size)) = (source.u8(at), source.u64(field(5)), source.u32(field(13)))
            else {
                break;
            };
            if left == 0 {
                break;
            }
            left = left.saturating_sub(1);
            match kind {
                1 => waiting.push(offset),
                2 => found.extend(Table::read(source, offset, u64::from(size))),
                _ => {}
            }
        }
    }
    found
}

/// Looks for tables of keys on every page of the file.
fn sweep(source: &Source, tables: &mut BTreeSet<Table>) {
    let known: BTreeSet<u64> = tables.iter().map(|table| table.at).collect();
    let mut at = OBJECTS;
    while let Some((from, to)) = source.next_data(at) {
        let mut page = from & !(PAGE_SIZE.saturating_sub(1));
        while page < to {
            if !known.contains(&page) && tables.len() < MAX_OBJECTS && has_sum::<10>(source, page, 6).is_some() {
                tables.extend(Table::read(source, page, MAX_TABLE));
            }
            page = page.saturating_add(PAGE_SIZE);
        }
        at = to.max(at.saturating_add(1));
    }
}

/// Where the bytes of a value lie.
type Value = (u64, u32);

/// A range of memory: its first page, its pages, its first page in the row of all blocks.
type Range = (u64, u64, u64);

/// The keys that memory is under.
#[derive(Default)]
struct Keys {
    ranges: BTreeMap<u32, Value>,
    blocks: BTreeMap<u64, Value>,
    /// Blocks that cannot be.
    odd: u32,
}

impl Keys {
    /// The keys of the newest table of each number.
    fn of_newest(source: &Source, tables: &BTreeSet<Table>) -> Self {
        let newest: BTreeMap<u16, &Table> = tables.iter().map(|table| (table.index, table)).collect();
        let mut keys = Self::default();
        for table in newest.into_values() {
            keys.table(source, table.at, table.size);
        }
        keys
    }

    /// The keys of all tables; of one that several have, the newest.
    fn of_all(source: &Source, tables: &BTreeSet<Table>) -> Self {
        let mut keys = Self::default();
        for table in tables.iter().rev() {
            keys.table(source, table.at, table.size);
        }
        keys
    }

    /// Takes the keys of one table, which were not met before.
    fn table(&mut self, source: &Source, table: u64, size: u64) {
        let end = table.saturating_add(size.min(MAX_TABLE)).min(source.len());
        let mut at = table.saturating_add(KEYS_HEADER);
        while at.saturating_add(KEY) < end {
            let field = |offset: u64| at.saturating_add(offset);
            let (Some(kind), Some(flags), Some(size), Some(name)) =
                (source.u8(at), source.u8(field(1)), source.u32(field(2)), source.u8(field(20)))
            else {
                break;
            };
            let data = field(KEY).saturating_add(u64::from(name));
            let next = field(u64::from(size));
            if !(1..=9).contains(&kind) || next < data || next > end {
                break;
            }
            // An array of bytes.
            if kind == 7 {
                let name = source.head(field(KEY), usize::from(name.saturating_sub(1)));
                self.key(source, &name, flags, data);
            }
            at = next;
        }
    }

    fn key(&mut self, source: &Source, name: &[u8], flags: u8, data: u64) {
        let Ok(name) = std::str::from_utf8(name) else { return };
        let Some(size) = source.u32(data) else { return };
        let behind = data.saturating_add(4);
        let Some(at) = (if flags & ELSEWHERE != 0 { source.u64(behind) } else { Some(behind) }) else { return };
        if let Some(number) = name.strip_prefix("RamMemoryBlock").and_then(|number| number.parse().ok()) {
            if self.ranges.len() < MAX_RANGES {
                self.ranges.entry(number).or_insert((at, size));
            }
        } else if let Some(number) = name.strip_prefix("RamBlock").and_then(|number| number.parse().ok()) {
            let there = at.checked_add(u64::from(size)).is_some_and(|end| end <= source.len());
            if !there || u64::from(size) > BLOCK {
                self.odd = self.odd.saturating_add(1);
            } else if size > 0 && self.blocks.len() < MAX_OBJECTS {
                self.blocks.entry(number).or_insert((at, size));
            }
        }
    }

    /// The ranges of memory: `MemoryBlockSaveStruct`.
    fn ranges(&self, source: &Source) -> Vec<Range> {
        let range = |(at, size): &Value| {
            let field = |offset: u64| source.u64(at.checked_add(offset)?);
            // Nobody's address has more than 52 bits.
            let in_reach = |pages: u64| (pages <= 1 << 40).then_some(pages);
            (*size >= 32).then_some(())?;
            Some((in_reach(field(24)?)?, in_reach(field(8)?)?, in_reach(field(16)?)?))
        };
        self.ranges.values().filter_map(range).filter(|(_, pages, _)| *pages > 0).collect()
    }

    /// Whether blocks are missing.
    fn lacks(&self, ranges: &[Range]) -> bool {
        let wanted: u64 = ranges.iter().map(|(_, pages, _)| pages.div_ceil(BLOCK_PAGES)).fold(0, u64::saturating_add);
        wanted > u64::try_from(self.blocks.len()).unwrap_or(u64::MAX)
    }
}

/// Where memory lies if the file does not say: around the hole that Hyper-V's machines have.
fn guessed_ranges(keys: &Keys) -> Vec<Range> {
    const HOLE: u64 = 0xf800_0000 / PAGE_SIZE;
    const ABOVE: u64 = (1 << 32) / PAGE_SIZE;
    let last = keys.blocks.last_key_value().map_or(0, |(number, _)| *number).min(1 << 32);
    let pages = last.saturating_add(1).saturating_mul(BLOCK_PAGES);
    let above = (ABOVE, pages.saturating_sub(HOLE), HOLE);
    [(0, pages.min(HOLE), 0), above].into_iter().filter(|(_, pages, _)| *pages > 0).collect()
}

/// The memory of all ranges, and the pages of them that no block holds.
fn memory(source: &Source, keys: &Keys, ranges: &[Range]) -> (Runs, super::runs::Lost, u64) {
    // Packed blocks follow the file as if they were a part of it, unpacked.
    let mut packed: Vec<Value> = Vec::new();
    let place = |packed: &mut Vec<Value>, (at, size): Value| {
        if u64::from(size) == BLOCK {
            return at;
        }
        let number = u64::try_from(packed.len()).unwrap_or(u64::MAX);
        packed.push((at, size));
        source.len().saturating_add(number.saturating_mul(BLOCK))
    };
    let places: BTreeMap<u64, u64> =
        keys.blocks.iter().map(|(number, value)| (*number, place(&mut packed, *value))).collect();
    let (mut pieces, mut missing): (Vec<Piece>, u64) = (Vec::new(), 0);
    for (first, pages, row) in ranges {
        let end = row.saturating_add(*pages);
        let mut held = 0u64;
        for (block, place) in places.range(row / BLOCK_PAGES..end.div_ceil(BLOCK_PAGES)) {
            let begin = block.saturating_mul(BLOCK_PAGES);
            let (from, to) = (begin.max(*row), begin.saturating_add(BLOCK_PAGES).min(end));
            let pages = to.saturating_sub(from);
            if pieces.len() >= MAX_PIECES {
                break;
            }
            let start = first.saturating_add(from.saturating_sub(*row)).saturating_mul(PAGE_SIZE);
            let run = PhysicalRun { start: PhysicalAddress(start), bytes: pages.saturating_mul(PAGE_SIZE) };
            let within = from.saturating_sub(begin).saturating_mul(PAGE_SIZE);
            push(&mut pieces, run, Place::File(place.saturating_add(within)));
            held = held.saturating_add(pages);
        }
        missing = missing.saturating_add(pages.saturating_sub(held));
    }
    let length = u64::try_from(packed.len()).unwrap_or(0).saturating_mul(BLOCK);
    let blocks = Chunked::even(BLOCK, length, Packed { source: source.clone(), blocks: packed });
    let (runs, lost) = Runs::new(Source::joined(vec![source.clone(), Source::new(blocks)]), pieces);
    (runs, lost, missing)
}

/// Packed blocks.
struct Packed {
    source: Source,
    blocks: Vec<Value>,
}

impl Unpack for Packed {
    fn place(&self, number: u64) -> Option<u64> {
        self.blocks.get(usize::try_from(number).ok()?).map(|(at, _)| *at)
    }

    fn unpack(&self, number: u64) -> Option<Vec<u8>> {
        let (at, size) = *self.blocks.get(usize::try_from(number).ok()?)?;
        let packed = self.source.copy(at, usize::try_from(size).ok()?)?;
        let mut out = vec![0; usize::try_from(BLOCK).ok()?];
        xpress::unpack(&packed, &mut out).ok().filter(|bytes| *bytes == out.len())?;
        Some(out)
    }
}
