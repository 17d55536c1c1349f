//! AVML, version 2: each block of 16 MiB at most behind a header, as a snappy framed stream, then the length of that.
//!
//! AVML's documentation; snappy's `framing_format.txt` and `format_description.txt`.

use crate::forge::Forged;
use crate::physical::PAGE;

/// Bytes of a block of AVML, and of a chunk of snappy.
const BLOCK: u64 = 16 << 20;
const CHUNK: usize = 0x1_0000;

impl Forged {
    /// An AVML file as its program writes it: blocks that are all zero are left out.
    #[must_use]
    pub fn as_avml(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for run in &self.truth.runs {
            for start in (run.start..run.end).step_by(BLOCK as usize) {
                let block = start..(start + BLOCK).min(run.end);
                let mut bytes = Vec::new();
                self.append_run(&block, &mut bytes);
                if bytes.iter().all(|&byte| byte == 0) {
                    continue;
                }
                out.extend_from_slice(&0x4c4d_5641u32.to_le_bytes());
                out.extend_from_slice(&2u32.to_le_bytes());
                out.extend_from_slice(&block.start.to_le_bytes());
                out.extend_from_slice(&(block.end - 1).to_le_bytes());
                out.extend_from_slice(&[0; 8]);
                let begin = out.len();
                framed(&bytes, &mut out);
                out.extend_from_slice(&((out.len() - begin) as u64).to_le_bytes());
            }
        }
        out
    }

    /// The runs that an AVML file of this machine holds.
    #[must_use]
    pub fn runs_in_avml(&self) -> Vec<std::ops::Range<u64>> {
        let mut out: Vec<std::ops::Range<u64>> = Vec::new();
        for run in &self.truth.runs {
            for start in (run.start..run.end).step_by(BLOCK as usize) {
                let end = (start + BLOCK).min(run.end);
                let mut frames = start / PAGE..end / PAGE;
                if !frames.any(|frame| self.memory.get(frame).is_some_and(|bytes| bytes.iter().any(|&byte| byte != 0)))
                {
                    continue;
                }
                match out.last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    _ => out.push(start..end),
                }
            }
        }
        out
    }
}

/// A framed stream: every third chunk plain, the others packed.
fn framed(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\xff\x06\x00\x00sNaPpY");
    for (n, chunk) in bytes.chunks(CHUNK).enumerate() {
        let (kind, data) = if n % 3 == 2 { (1, chunk.to_vec()) } else { (0, packed(chunk)) };
        out.push(kind);
        out.extend_from_slice(&((data.len() + 4) as u32).to_le_bytes()[..3]);
        let crc = crc32c(chunk);
        out.extend_from_slice(&crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes());
        out.extend_from_slice(&data);
    }
}

/// Snappy: the length, then literals, and copies of the byte before where bytes repeat.
pub(super) fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push((length as u8) | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    let (mut at, mut literal) = (0, 0);
    while at < bytes.len() {
        let same = bytes[at..].iter().take(64).take_while(|&&byte| at > 0 && byte == bytes[at - 1]).count();
        if same < 16 {
            at += 1;
            continue;
        }
        put_literal(&bytes[literal..at], &mut out);
        out.push(((same - 1) << 2 | 2) as u8);
        out.extend_from_slice(&1u16.to_le_bytes());
        at += same;
        literal = at;
    }
    put_literal(&bytes[literal..], &mut out);
    out
}

fn put_literal(bytes: &[u8], out: &mut Vec<u8>) {
    for piece in bytes.chunks(0x1_0000) {
        match piece.len() - 1 {
            short @ 0..60 => out.push((short << 2) as u8),
            long => {
                out.push(61 << 2);
                out.extend_from_slice(&(long as u16).to_le_bytes());
            }
        }
        out.extend_from_slice(piece);
    }
}

/// CRC-32C (Castagnoli), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}
