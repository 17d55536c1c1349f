//! The list of files of a 7-Zip archive: `7zFormat.txt` of the LZMA SDK. It is read here, with bounds for its numbers.

use super::packed::is_page_file;
use std::cmp::Reverse;

/// Bytes before what is packed.
pub(super) const HEADER: u64 = 32;
/// Files and blocks of one archive at most.
const MAX_FILES: u64 = 1 << 20;
/// Coders of a block at most; filters in front of a codec are one or two.
const MAX_CODERS: u64 = 8;

/// A file in a block.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub block: usize,
    /// Where it begins in what comes out of the block.
    pub offset: u64,
    pub size: u64,
    /// Its CRC-32, if the list has it.
    pub sum: Option<u32>,
}

/// What an archive says that it holds: files that have bytes, and their names in the same order.
#[derive(Default)]
pub(super) struct List {
    pub blocks: Vec<Block>,
    pub files: Vec<Entry>,
    pub names: Vec<String>,
}

impl List {
    /// The largest file; one that has the name of a page file only where there is no other.
    pub(super) fn largest(&self) -> Option<(usize, Entry)> {
        let all = self.files.iter().copied().enumerate().filter(|(_, entry)| entry.size > 0);
        let rank = |(number, entry): &(usize, Entry)| {
            (!self.names.get(*number).is_some_and(|name| is_page_file(name)), entry.size, Reverse(*number))
        };
        all.max_by_key(rank)
    }
}

/// The list, from its parts.
pub(super) fn header(input: &mut Input<'_>) -> Option<List> {
    let mut list = List::default();
    loop {
        match input.u8()? {
            0x00 => return Some(list),
            0x02 => {
                while input.u8()? != 0 {
                    let size = input.number()?;
                    input.skip(size)?;
                }
            }
            0x04 => list = List { names: list.names, ..streams(input)? },
            0x05 => list.names = names(input)?,
            _ => return None,
        }
    }
}

/// Names of the files that have bytes.
fn names(input: &mut Input<'_>) -> Option<Vec<String>> {
    let count = input.number()?;
    let (mut empty, mut names): (Vec<bool>, Vec<String>) = (Vec::new(), Vec::new());
    loop {
        let kind = input.u8()?;
        if kind == 0 {
            break;
        }
        let size = input.number()?;
        let mut property = Input(input.take(size)?);
        match kind {
            0x0e => empty = property.bits(count)?,
            // 0: the names follow.
            0x11 if property.u8()? == 0 => {
                let (letters, _) = property.0.as_chunks::<2>();
                let letters: Vec<u16> = letters.iter().map(|letter| u16::from_le_bytes(*letter)).collect();
                let all = letters.split(|letter| *letter == 0).take(usize::try_from(count.min(MAX_FILES)).ok()?);
                names = all.map(String::from_utf16_lossy).collect();
            }
            _ => {}
        }
    }
    let has_bytes = |n: usize| !empty.get(n).copied().unwrap_or(false);
    Some(names.into_iter().enumerate().filter(|(n, _)| has_bytes(*n)).map(|(_, name)| name).collect())
}

/// Where packed bytes are, how they are packed, and which files they are.
pub(super) fn streams(input: &mut Input<'_>) -> Option<List> {
    let (mut at, mut sizes, mut blocks) = (0u64, Vec::new(), Vec::new());
    // How many files each block has, their sizes but for each block's last one, and sums.
    let mut counts: Option<Vec<u64>> = None;
    let (mut lengths, mut sums): (Vec<u64>, Vec<Option<u32>>) = (Vec::new(), Vec::new());
    loop {
        match input.u8()? {
            0x00 => break,
            0x06 => {
                at = input.number()?.checked_add(HEADER)?;
                let count = input.number()?;
                loop {
                    match input.u8()? {
                        0x00 => break,
                        0x09 => sizes = input.numbers(count)?,
                        0x0a => drop(input.sums(count)?),
                        _ => return None,
                    }
                }
            }
            0x07 => blocks = self::blocks(input)?,
            0x08 => loop {
                let of_blocks = || counts.clone().unwrap_or_else(|| vec![1; blocks.len()]);
                match input.u8()? {
                    0x00 => break,
                    0x0d => counts = Some(input.numbers(u64::try_from(blocks.len()).ok()?)?),
                    0x09 => {
                        for count in of_blocks() {
                            lengths.extend(input.numbers(count.saturating_sub(1))?);
                        }
                    }
                    0x0a => {
                        // Of a block with one file the sum may be known already.
                        let open = of_blocks()
                            .into_iter()
                            .zip(&blocks)
                            .filter(|(count, block)| *count != 1 || block.sum.is_none());
                        let open = open.map(|(count, _)| count).try_fold(0u64, u64::checked_add)?;
                        sums = input.sums(open)?;
                    }
                    _ => return None,
                }
            },
            _ => return None,
        }
    }
    // Each block has one packed stream: those with more are told by their coders.
    let mut sizes = sizes.into_iter();
    for block in &mut blocks {
        (block.at, block.bytes) = (at, 0);
        for n in 0..block.streams {
            let size = sizes.next()?;
            if n == 0 {
                block.bytes = size;
            }
            at = at.checked_add(size)?;
        }
    }
    let counts = counts.unwrap_or_else(|| vec![1; blocks.len()]);
    let (mut files, mut lengths, mut sums) = (Vec::new(), lengths.into_iter(), sums.into_iter());
    for (number, (count, block)) in counts.into_iter().zip(&blocks).enumerate() {
        let (mut offset, whole) = (0u64, block.size()?);
        for n in 0..count {
            let left = whole.checked_sub(offset)?;
            let size = if n.saturating_add(1) == count { left } else { lengths.next().filter(|size| *size <= left)? };
            let sum = if count == 1 && block.sum.is_some() { block.sum } else { sums.next().flatten() };
            files.push(Entry { block: number, offset, size, sum });
            offset = offset.checked_add(size)?;
        }
    }
    Some(List { blocks, files, names: Vec::new() })
}

/// Bytes that were packed together: one coder after the other.
#[derive(Default)]
pub(super) struct Block {
    /// The coders: what identifies each, and its properties.
    pub coders: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whose input is whose output.
    pub bonds: Vec<(u64, u64)>,
    /// The coder that packed bytes go into.
    pub first: u64,
    /// Streams of packed bytes; only blocks of one can be read.
    pub streams: u64,
    /// Bytes that come out of each coder.
    pub sizes: Vec<u64>,
    sum: Option<u32>,
    /// Where its packed bytes begin in the file, and how many they are.
    pub at: u64,
    pub bytes: u64,
}

fn blocks(input: &mut Input<'_>) -> Option<Vec<Block>> {
    (input.u8()? == 0x0b).then_some(())?;
    let count = input.number()?;
    // Each takes some bytes of the list; 0: they follow.
    (count <= input.left().min(MAX_FILES) && input.u8()? == 0).then_some(())?;
    let mut blocks = (0..count).map(|_| block(input)).collect::<Option<Vec<Block>>>()?;
    loop {
        match input.u8()? {
            0x00 => return Some(blocks),
            0x0c => {
                for block in &mut blocks {
                    block.sizes = input.numbers(u64::try_from(block.coders.len()).ok()?)?;
                }
            }
            0x0a => {
                let sums = input.sums(count)?;
                blocks.iter_mut().zip(sums).for_each(|(block, sum)| block.sum = sum);
            }
            _ => return None,
        }
    }
}

fn block(input: &mut Input<'_>) -> Option<Block> {
    let count = input.number().filter(|count| (1..=MAX_CODERS).contains(count))?;
    let mut block = Block::default();
    let (mut inputs, mut outputs) = (0u64, 0u64);
    for _ in 0..count {
        let flags = input.u8()?;
        let id = input.take(u64::from(flags & 0xf))?.to_vec();
        let (ins, outs) = if flags & 0x10 != 0 { (input.number()?, input.number()?) } else { (1, 1) };
        let size = if flags & 0x20 != 0 { input.number()? } else { 0 };
        block.coders.push((id, input.take(size)?.to_vec()));
        inputs = inputs.checked_add(ins.min(MAX_CODERS))?;
        // Coders of several streams, as for programs, are known and not unpacked.
        outputs = outputs.checked_add(outs)?;
    }
    (outputs == count).then_some(())?;
    for _ in 1..count {
        block.bonds.push((input.number()?, input.number()?));
    }
    block.streams = inputs.checked_sub(count.checked_sub(1)?)?;
    if block.streams == 1 {
        let bound = |n: &u64| block.bonds.iter().any(|(into, _)| into == n);
        block.first = (0..count).find(|n| !bound(n))?;
    } else {
        for _ in 0..block.streams {
            input.number()?;
        }
    }
    Some(block)
}

impl Block {
    /// The coder whose output goes into no other.
    fn last(&self) -> Option<usize> {
        (0..self.coders.len()).find(|n| !self.bonds.iter().any(|(_, out)| usize::try_from(*out) == Ok(*n)))
    }

    /// Bytes that come out.
    pub(super) fn size(&self) -> Option<u64> {
        self.sizes.get(self.last()?).copied()
    }
}

/// Bytes of the list that are left.
pub(super) struct Input<'i>(pub(super) &'i [u8]);

impl<'i> Input<'i> {
    fn left(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    fn take(&mut self, count: u64) -> Option<&'i [u8]> {
        let (taken, left) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = left;
        Some(taken)
    }

    fn skip(&mut self, count: u64) -> Option<()> {
        self.take(count).map(|_| ())
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A number: as many bytes follow the first as it has bits set on top, and what is left of it is the number's top.
    fn number(&mut self) -> Option<u64> {
        let first = self.u8()?;
        let count = first.leading_ones();
        let mut value = 0u64;
        for n in 0..count.min(8) {
            value |= u64::from(self.u8()?).checked_shl(n.saturating_mul(8))?;
        }
        let top = u64::from(first) & 0x7fu64.checked_shr(count).unwrap_or(0);
        Some(value | top.checked_shl(count.saturating_mul(8)).unwrap_or(0))
    }

    /// So many numbers; each takes a byte or more.
    fn numbers(&mut self, count: u64) -> Option<Vec<u64>> {
        (count <= self.left().min(MAX_FILES)).then_some(())?;
        (0..count).map(|_| self.number()).collect()
    }

    /// So many bits, the highest first.
    fn bits(&mut self, count: u64) -> Option<Vec<bool>> {
        (count <= MAX_FILES).then_some(())?;
        let bytes = self.take(count.div_ceil(8))?;
        let bits = bytes.iter().flat_map(|byte| (0..8).map(move |n| byte & 0x80u8.wrapping_shr(n) != 0));
        Some(bits.take(usize::try_from(count).ok()?).collect())
    }

    /// Sums of so many streams, of those that have one.
    fn sums(&mut self, count: u64) -> Option<Vec<Option<u32>>> {
        let all = self.u8()? != 0;
        let has = if all {
            (count <= self.left().min(MAX_FILES))
                .then(|| usize::try_from(count).ok())?
                .map(|count| vec![true; count])?
        } else {
            self.bits(count)?
        };
        let sum = |has: bool, input: &mut Self| {
            let bytes = if has { input.take(4)?.first_chunk() } else { None };
            Some(bytes.map(|bytes| u32::from_le_bytes(*bytes)))
        };
        has.into_iter().map(|has| sum(has, self)).collect()
    }
}
