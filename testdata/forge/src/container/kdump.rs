//! kdump, as makedumpfile's `diskdump_mod.h` and QEMU's `dump.h` describe it; pages packed by zlib (RFC 1950, 1951), every other one
//! plain.

use super::put;
use crate::forge::Forged;
use crate::physical::PAGE;

impl Forged {
    /// A kdump; `flat`: in the form that is written to a pipe, in records of which the header is written once more at the end.
    #[must_use]
    pub fn as_kdump(&self, flat: bool) -> Vec<u8> {
        let out = self.as_kdump_packed(1, repeated);
        if flat { flattened(&out) } else { out }
    }

    /// A kdump whose pages `pack` packs, which `flag` stands for: 1 zlib, 2 LZO, 4 snappy, 0x20 zstd. Every other page is plain, and what
    /// does not become shorter.
    #[must_use]
    pub fn as_kdump_packed(&self, flag: u32, pack: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let frames: Vec<u64> = self.truth.runs.iter().flat_map(|run| run.start / PAGE..run.end / PAGE).collect();
        let pages = self.memory.end() / PAGE;
        let half = pages.div_ceil(8).next_multiple_of(PAGE) as usize;
        let mut out = vec![0; 2 * 4096 + 2 * half];
        put(&mut out, 0, b"KDUMP   ");
        put(&mut out, 8, &6u32.to_le_bytes());
        put(&mut out, 0x1a8, &flag.to_le_bytes());
        put(&mut out, 0x1ac, &4096u32.to_le_bytes());
        put(&mut out, 0x1b0, &1u32.to_le_bytes());
        put(&mut out, 0x1b4, &((2 * half / 4096) as u32).to_le_bytes());
        put(&mut out, 0x1b8, &(pages as u32).to_le_bytes());
        for frame in &frames {
            let at = 2 * 4096 + (*frame / 8) as usize;
            out[at] |= 1 << (frame % 8);
            out[at + half] |= 1 << (frame % 8);
        }
        let table = out.len();
        out.resize(table + frames.len() * 24, 0);
        let zero_at = out.len();
        out.extend(pack(&[0; 4096]));
        let zero_size = out.len() - zero_at;
        for (n, frame) in frames.iter().enumerate() {
            let bytes = self.memory.get(*frame).unwrap_or(&[0; 4096]);
            let (at, size, flags) = if bytes.iter().all(|&byte| byte == 0) {
                (zero_at, zero_size, flag)
            } else if n % 2 == 0 {
                out.extend_from_slice(bytes);
                (out.len() - 4096, 4096, 0)
            } else {
                // What grows when it is packed is not: the half of a page that is zero is packed as a match.
                let packed = Some(pack(bytes)).filter(|packed| packed.len() < 4096);
                let (stored, flags) = packed.as_deref().map_or((&bytes[..], 0), |packed| (packed, flag));
                out.extend_from_slice(stored);
                (out.len() - stored.len(), stored.len(), flags)
            };
            put(&mut out, table + n * 24, &(at as u64).to_le_bytes());
            put(&mut out, table + n * 24 + 8, &(size as u32).to_le_bytes());
            put(&mut out, table + n * 24 + 12, &flags.to_le_bytes());
        }
        // The notes of the processors, behind all pages.
        let mut note = Vec::new();
        for word in [5u32, 0x1b8, 0] {
            note.extend_from_slice(&word.to_le_bytes());
        }
        note.extend_from_slice(b"QEMU\0\0\0\0");
        let cpu = note.len();
        note.resize(cpu + 0x1b8, 0);
        put(&mut note, cpu + 0x1a0, &self.truth.dtb.to_le_bytes());
        let notes_at = out.len() as u64;
        put(&mut out, 4096 + 0x30, &notes_at.to_le_bytes());
        put(&mut out, 4096 + 0x38, &(note.len() as u64).to_le_bytes());
        out.extend(note);
        out
    }
}

/// Records of 100,000 bytes, those of zeros left out; the first page comes first with other bytes, and again at the end.
fn flattened(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4096];
    put(&mut out, 0, b"makedumpfile");
    put(&mut out, 16, &1u64.to_be_bytes());
    put(&mut out, 24, &1u64.to_be_bytes());
    let mut record = |at: u64, bytes: &[u8]| {
        out.extend_from_slice(&at.to_be_bytes());
        out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        out.extend_from_slice(bytes);
    };
    record(0, &[0xff; 4096]);
    for (n, piece) in bytes.chunks(100_000).enumerate() {
        if n + 1 == bytes.len().div_ceil(100_000) || piece.iter().any(|&byte| byte != 0) {
            record(n as u64 * 100_000, piece);
        }
    }
    record(0, &bytes[..4096]);
    record(u64::MAX, &[]);
    let end = out.len();
    put(&mut out, end - 8, &u64::MAX.to_be_bytes());
    out
}

/// zlib: a stored block and matches of zeros where bytes end in many zeros, else the bytes themselves.
pub(super) fn repeated(bytes: &[u8]) -> Vec<u8> {
    let used = bytes.len() - bytes.iter().rev().take_while(|&&byte| byte == 0).count();
    // Up to 257 zeros are written one by one.
    if used + 320 > bytes.len() {
        return bytes.to_vec();
    }
    // A block of what is used, then one of fixed codes: a zero, and matches of 258 zeros and fewer.
    let mut out = vec![0x78, 0x01, 0];
    out.extend_from_slice(&(used as u16).to_le_bytes());
    out.extend_from_slice(&(!(used as u16)).to_le_bytes());
    out.extend_from_slice(&bytes[..used]);
    let mut bits = Bits { out, byte: 0, held: 0 };
    // The last block, fixed codes.
    bits.low(0b011, 3);
    let mut left = bytes.len() - used;
    bits.code(0x30, 8);
    left -= 1;
    while left >= 258 {
        // Length 258 is code 285: eight bits from 0xc0 for 280 on. Distance 1 is code 0 of five bits.
        bits.code(0xc5, 8);
        bits.code(0, 5);
        left -= 258;
    }
    for _ in 0..left {
        bits.code(0x30, 8);
    }
    // The end: code 256, seven zero bits.
    bits.code(0, 7);
    let mut out = bits.finish();
    out.extend(adler(bytes));
    out
}

struct Bits {
    out: Vec<u8>,
    byte: u8,
    held: u32,
}

impl Bits {
    fn bit(&mut self, bit: u32) {
        self.byte |= (bit as u8) << self.held;
        self.held += 1;
        if self.held == 8 {
            self.out.push(self.byte);
            (self.byte, self.held) = (0, 0);
        }
    }

    /// A number, its lowest bit first.
    fn low(&mut self, value: u32, bits: u32) {
        (0..bits).for_each(|n| self.bit(value >> n & 1));
    }

    /// A code, its highest bit first.
    fn code(&mut self, value: u32, bits: u32) {
        (0..bits).rev().for_each(|n| self.bit(value >> n & 1));
    }

    fn finish(mut self) -> Vec<u8> {
        if self.held > 0 {
            self.out.push(self.byte);
        }
        self.out
    }
}

pub(super) fn adler(bytes: &[u8]) -> [u8; 4] {
    let (mut a, mut b) = (1u32, 0u32);
    for &byte in bytes {
        a = (a + u32::from(byte)) % 65521;
        b = (b + a) % 65521;
    }
    (b << 16 | a).to_be_bytes()
}
