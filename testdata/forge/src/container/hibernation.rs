//! Hibernation files. `_PO_MEMORY_IMAGE` as Microsoft's PDBs have it; sets as Hibr2Bin reads them; [MS-XCA] for the two codes.

use super::put;
use crate::forge::Forged;
use crate::physical::PAGE;

/// Which Windows wrote it, and how it packed pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hibernation {
    /// Windows 7: tables of ranges and blocks of LZ77.
    Seven,
    /// The same after resuming: no header any more.
    SevenWiped,
    /// Windows 10 (19041), LZ77.
    Plain,
    /// The same with Huffman codes.
    Huffman,
    /// The same as Fast Startup leaves it, resumed from.
    FastStartup,
}

impl Forged {
    /// The file.
    #[must_use]
    pub fn as_hibernation(&self, kind: Hibernation) -> Vec<u8> {
        match kind {
            Hibernation::Seven | Hibernation::SevenWiped => self.seven(kind == Hibernation::SevenWiped),
            _ => self.ten(kind),
        }
    }

    fn seven(&self, wiped: bool) -> Vec<u8> {
        let mut out = vec![0; 3 * 4096];
        put(&mut out, 0, b"HIBR");
        put(&mut out, 0x0c, &0x128u32.to_le_bytes());
        put(&mut out, 0x18, &PAGE.to_le_bytes());
        put(&mut out, 0x20, &self.truth.captured.0.to_le_bytes());
        put(&mut out, 0x60, &3u64.to_le_bytes());
        // CR3 in KPROCESSOR_STATE.
        put(&mut out, 4096 + 0x10, &self.truth.dtb.to_le_bytes());
        if wiped {
            out[..4096].fill(0);
        }
        // Ranges of at most 100 pages, of which 255 fill a table; blocks go on through ranges.
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for run in &self.truth.runs {
            let (mut first, end) = (run.start / PAGE, run.end / PAGE);
            while first < end {
                let next = end.min(first + 100);
                ranges.push((first, next));
                first = next;
            }
        }
        let tables: Vec<&[(u64, u64)]> = ranges.chunks(0xff).collect();
        for (n, ranges) in tables.iter().enumerate() {
            out.resize(out.len().next_multiple_of(4096), 0);
            let table = out.len();
            out.resize(table + 4096, 0);
            put(&mut out, table + 8, &(ranges.len() as u32).to_le_bytes());
            for (n, (from, to)) in ranges.iter().enumerate() {
                put(&mut out, table + 16 + n * 16, &from.to_le_bytes());
                put(&mut out, table + 24 + n * 16, &to.to_le_bytes());
            }
            let frames: Vec<u64> = ranges.iter().flat_map(|(from, to)| *from..*to).collect();
            for frames in frames.chunks(16) {
                let bytes = self.bytes_of(frames);
                let mut data = lz77(&bytes);
                if data.len() >= bytes.len() {
                    data = bytes;
                }
                out.extend_from_slice(b"\x81\x81xpress");
                out.extend_from_slice(&((frames.len() as u32 - 1) | (data.len() as u32 - 1) << 10).to_le_bytes());
                out.resize(out.len() + 0x14, 0);
                data.resize(data.len().next_multiple_of(8), 0);
                out.extend(data);
            }
            if n + 1 < tables.len() {
                let next = out.len().next_multiple_of(4096) as u64 / PAGE;
                put(&mut out, table, &next.to_le_bytes());
            }
        }
        out
    }

    fn ten(&self, kind: Hibernation) -> Vec<u8> {
        let frames: Vec<u64> = self.truth.runs.iter().flat_map(|run| run.start / PAGE..run.end / PAGE).collect();
        // A fifth is the boot loader's; some of the kernel's pages are there with stale bytes.
        let (boot, kernel) = frames.split_at(frames.len() / 5);
        let mut out = vec![0; 4096 * 2];
        put(&mut out, 0, if kind == Hibernation::FastStartup { b"WAKE" } else { b"HIBR" });
        put(&mut out, 0x0c, &0x3e0u32.to_le_bytes());
        put(&mut out, 0x18, &PAGE.to_le_bytes());
        put(&mut out, 0x20, &self.truth.captured.0.to_le_bytes());
        let huffman = kind != Hibernation::Plain;
        let stale = &kernel[..20];
        let boot_at = out.len();
        let count = self.sets(boot, huffman, false, &mut out) + self.sets(stale, huffman, true, &mut out);
        out.resize(out.len().next_multiple_of(4096), 0);
        let kernel_at = out.len();
        let kernel_count = self.sets(kernel, huffman, false, &mut out);
        out.resize(out.len().next_multiple_of(4096), 0);
        put(&mut out, 0x58, &count.to_le_bytes());
        put(&mut out, 0x68, &(boot_at as u64 / PAGE).to_le_bytes());
        put(&mut out, 0x70, &(kernel_at as u64 / PAGE).to_le_bytes());
        put(&mut out, 0x228, &count.to_le_bytes());
        put(&mut out, 0x230, &kernel_count.to_le_bytes());
        put(&mut out, 0x364, &u32::from(kind == Hibernation::FastStartup).to_le_bytes());
        out
    }

    /// Compression sets of these frames; returns the number of pages.
    fn sets(&self, frames: &[u64], huffman: bool, stale: bool, out: &mut Vec<u8>) -> u64 {
        for frames in frames.chunks(16) {
            let mut ranges: Vec<(u64, u64)> = Vec::new();
            for &frame in frames {
                match ranges.last_mut() {
                    Some((first, count)) if *first + *count == frame => *count += 1,
                    _ => ranges.push((frame, 1)),
                }
            }
            let bytes = if stale { vec![0x5a; frames.len() * 4096] } else { self.bytes_of(frames) };
            let mut data = if huffman { huffman_codes(&bytes) } else { lz77(&bytes) };
            let mut method = if huffman { 2u32 } else { 0 };
            if data.len() >= bytes.len() {
                data = bytes;
                method = 0;
            }
            out.extend_from_slice(&(ranges.len() as u32 | (data.len() as u32) << 8 | method << 30).to_le_bytes());
            for (first, count) in ranges {
                out.extend_from_slice(&(first << 4 | (count - 1)).to_le_bytes());
            }
            out.extend(data);
        }
        frames.len() as u64
    }

    fn bytes_of(&self, frames: &[u64]) -> Vec<u8> {
        frames.iter().flat_map(|frame| *self.memory.get(*frame).unwrap_or(&[0; 4096])).collect()
    }
}

/// How many bytes from `at` on repeat the byte before, three at least, and not through `end`.
fn repeats(bytes: &[u8], at: usize, most: usize) -> Option<usize> {
    let before = *bytes.get(at.checked_sub(1)?)?;
    let same = bytes[at..].iter().take(most).take_while(|&&byte| byte == before).count();
    (same >= 3).then_some(same)
}

/// LZ77 with matches of distance 1 alone: [MS-XCA] 2.4.
pub(super) fn lz77(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut at, mut flags_at, mut flags, mut count) = (0, 0, 0u32, 32);
    let mut half: Option<usize> = None;
    while at < bytes.len() {
        if count == 32 {
            if !out.is_empty() {
                put(&mut out, flags_at, &flags.to_le_bytes());
            }
            flags_at = out.len();
            out.extend_from_slice(&[0; 4]);
            (flags, count) = (0, 0);
        }
        flags <<= 1;
        count += 1;
        let Some(same) = repeats(bytes, at, 60_000) else {
            out.push(bytes[at]);
            at += 1;
            continue;
        };
        flags |= 1;
        at += same;
        let mut length = same - 3;
        // Distance 1 is written as 0.
        out.extend_from_slice(&(length.min(7) as u16).to_le_bytes());
        if length < 7 {
            continue;
        }
        length -= 7;
        let nibble = length.min(15) as u8;
        match half.take() {
            Some(place) => out[place] |= nibble << 4,
            None => {
                half = Some(out.len());
                out.push(nibble);
            }
        }
        if length < 15 {
            continue;
        }
        length -= 15;
        if length < 255 {
            out.push(length as u8);
        } else {
            out.push(255);
            out.extend_from_slice(&((length + 15 + 7) as u16).to_le_bytes());
        }
    }
    // What is left of the last flags is filled with ones.
    let left = 32 - count;
    let filled = if left == 32 { u32::MAX } else { flags << left | ((1u32 << left) - 1) };
    put(&mut out, flags_at, &filled.to_le_bytes());
    out
}

/// Huffman codes of nine bits for all symbols, matches of distance 1 alone: [MS-XCA] 2.1.
fn huffman_codes(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x99u8; 256];
    // Codes go into words of 16 bits, of which the reader is two ahead: bytes between come behind the second word after.
    let mut words = Words { out: Vec::new(), places: [0, 2], bits: 0, held: 0 };
    words.out.extend_from_slice(&[0; 4]);
    let mut at = 0;
    while at < bytes.len() {
        let Some(same) = repeats(bytes, at, 60_000) else {
            words.code(u32::from(bytes[at]), 9);
            at += 1;
            continue;
        };
        at += same;
        let length = same - 3;
        words.code(256 + length.min(15) as u32, 9);
        if length >= 15 {
            if length - 15 < 255 {
                words.out.push((length - 15) as u8);
            } else {
                words.out.push(255);
                words.out.extend_from_slice(&(length as u16).to_le_bytes());
            }
        }
    }
    out.extend(words.finish());
    out
}

struct Words {
    out: Vec<u8>,
    /// Where the word that is being filled and the next one stand.
    places: [usize; 2],
    bits: u32,
    held: u32,
}

impl Words {
    fn code(&mut self, code: u32, bits: u32) {
        for bit in (0..bits).rev() {
            self.bits = self.bits << 1 | (code >> bit & 1);
            self.held += 1;
            // The reader takes a new word as soon as fewer than 16 bits are left: when this one is full and a bit more is used.
            if self.held == 17 {
                let word = (self.bits >> 1) as u16;
                let place = self.places[0];
                put(&mut self.out, place, &word.to_le_bytes());
                self.places = [self.places[1], self.out.len()];
                self.out.extend_from_slice(&[0; 2]);
                self.bits &= 1;
                self.held = 1;
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let word = (self.bits << (16 - self.held)) as u16;
        let place = self.places[0];
        put(&mut self.out, place, &word.to_le_bytes());
        self.out
    }
}
