//! Raw images of many gigabytes, streamed to a file, for measuring readers.

use crate::forge::Forged;
use crate::physical::PAGE;
use crate::rng::Rng;
use crate::scenario::Scenario;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Bytes written at once.
const CHUNK: u64 = 1 << 20;
/// Bytes of prepared filler from which pages are copied.
const POOL: usize = 16 << 20;

impl Scenario {
    /// Writes a raw image of `bytes` (rounded down to whole pages) to a file: the machine's frames spread over all of it, the rest filled
    /// with what memory is full of: zero pages, noise, text, code-like bytes, pointers and page-table-like words, look-alikes of what
    /// finders search for (`MZ`, `RSDS`, pool tags). The same arguments give the same bytes. `image` of the result is empty.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_large(&self, path: &Path, bytes: u64) -> io::Result<Forged> {
        let bytes = bytes / PAGE * PAGE;
        let mut plan = self.clone();
        plan.memory = vec![0x1000..0x9_f000, 0x10_0000..bytes];
        let forged = plan.forge_frames();
        let filler = Filler::new(self.seed, self.dense);
        let mut out = File::create(path)?;
        let mut chunk = vec![0; CHUNK as usize];
        let mut frames = forged.memory.frames().peekable();
        for start in (0..bytes).step_by(CHUNK as usize) {
            let len = CHUNK.min(bytes - start) as usize;
            // Firmware's megabyte has no noise: what finders look for there must stand out as it does on a machine.
            if start == 0 {
                chunk.fill(0)
            } else {
                filler.fill(start, &mut chunk[..len])
            }
            while let Some((frame, data)) = frames.next_if(|(n, _)| n * PAGE < start + len as u64) {
                let at = (frame * PAGE - start) as usize;
                chunk[at..at + PAGE as usize].copy_from_slice(data);
            }
            out.write_all(&chunk[..len])?;
        }
        drop(frames);
        out.flush()?;
        Ok(forged)
    }
}

/// Prepared bytes of several kinds.
struct Filler {
    pool: Vec<u8>,
    seed: u64,
    dense: bool,
}

impl Filler {
    fn new(seed: u64, dense: bool) -> Self {
        let mut rng = Rng::new(seed ^ 0x6669_6c6c);
        let mut pool = Vec::with_capacity(POOL);
        while pool.len() < POOL {
            let from = pool.len();
            // A stretch of 64 KiB of one kind.
            match rng.below(10) {
                0..=3 => noise(&mut pool, &mut rng, from + 0x1_0000),
                4..=5 => text(&mut pool, &mut rng, from + 0x1_0000),
                6..=7 => code(&mut pool, &mut rng, from + 0x1_0000),
                _ => pointers(&mut pool, &mut rng, from + 0x1_0000),
            }
            pool.truncate(from + 0x1_0000);
            decoys(&mut pool[from..], &mut rng);
        }
        Self { pool, seed, dense }
    }

    /// Fills a chunk that begins at a physical address.
    fn fill(&self, start: u64, chunk: &mut [u8]) {
        let mut rng = Rng::new(self.seed ^ start);
        // Pieces of 64 KiB: about a third zero, as memory is, unless it shall be full.
        for piece in chunk.chunks_mut(0x1_0000) {
            if rng.below(3) == 0 && !self.dense {
                piece.fill(0);
            } else {
                let pages = (POOL - 0x1_0000) / 4096;
                let from = rng.below(pages as u64) as usize * 4096;
                piece.copy_from_slice(&self.pool[from..from + piece.len()]);
            }
        }
    }
}

fn noise(pool: &mut Vec<u8>, rng: &mut Rng, end: usize) {
    while pool.len() < end {
        pool.extend_from_slice(&rng.next_u64().to_le_bytes());
    }
}

fn text(pool: &mut Vec<u8>, rng: &mut Rng, end: usize) {
    const WORDS: [&str; 8] = [
        "\\Device\\",
        "Windows",
        "system32\\",
        "smss.exe ",
        "svchost",
        "Microsoft ",
        "HKEY_LOCAL_MACHINE\\",
        "http://",
    ];
    while pool.len() < end {
        let word = WORDS[rng.below(8) as usize];
        if rng.below(2) == 0 {
            pool.extend_from_slice(word.as_bytes());
        } else {
            pool.extend(word.encode_utf16().flat_map(u16::to_le_bytes));
        }
    }
}

fn code(pool: &mut Vec<u8>, rng: &mut Rng, end: usize) {
    const BYTES: [u8; 16] =
        [0x48, 0x8b, 0x89, 0x0f, 0xe8, 0xff, 0x00, 0x00, 0x24, 0x4c, 0x83, 0xc4, 0xc3, 0xcc, 0x75, 0x85];
    while pool.len() < end {
        let word = rng.next_u64();
        pool.extend((0..8).map(|n| {
            if word >> (n * 8 + 7) & 1 == 0 { BYTES[(word >> (n * 8) & 15) as usize] } else { (word >> (n * 8)) as u8 }
        }));
    }
}

fn pointers(pool: &mut Vec<u8>, rng: &mut Rng, end: usize) {
    while pool.len() < end {
        let word = rng.next_u64();
        let value = match word & 7 {
            0..=2 => 0,
            3..=4 => 0xffff_8000_0000_0000 | word >> 17,
            // A page-table entry: frame, and the low bits of a valid page.
            5 => (word >> 28 & 0xf_ffff) << 12 | 0x63,
            6 => word >> 48,
            _ => 0x7ff6_0000_0000 | word >> 36,
        };
        pool.extend_from_slice(&value.to_le_bytes());
    }
}

/// Look-alikes of what finders search for, one or two in a stretch.
fn decoys(stretch: &mut [u8], rng: &mut Rng) {
    let mut put = |align: u64, bytes: &[u8]| {
        let at = (rng.below((stretch.len() as u64 - 0x1000) / align) * align) as usize;
        stretch[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(0x1000, b"MZ\x90\0\x03\0\0\0");
    put(16, b"\0\0\0\x02Proc\0\0\0\0\0\0\0\0");
    put(4, b"RSDS\x10\x32\x54\x76\x98\xba\xdc\xfe\x01\x23\x45\x67\x89\xab\xcd\xef\x01\0\0\0tcpip.pdb\0");
}
