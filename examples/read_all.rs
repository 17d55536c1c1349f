//! Counts the newlines in all of an image's memory, through the same map that everything else is read through, with one pass of
//! `memchr` in one thread: the limit to hold scans against.
//!
//! `cargo run --release --example read_all [IMAGE]`; without an argument, on the bundled sample.

use ntmem::image::PhysicalRun;
use ntmem::{MemoryImage, PhysicalAddress, PhysicalMemory as _};

/// Bytes asked for at a time.
const PIECE: u64 = 4 << 20;

fn main() -> Result<(), ntmem::Error> {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/samples/clean.raw");
    let image = MemoryImage::open(std::env::args_os().nth(1).unwrap_or_else(|| sample.into()))?;
    let mut lines = 0usize;
    for run in image.runs() {
        let mut at = run.start;
        while at < run.end() {
            let bytes = PIECE.min(run.end().0.saturating_sub(at.0));
            image.prefetch(PhysicalRun { start: at, bytes });
            let Some(piece) = image.borrow(at, usize::try_from(bytes).unwrap_or(0)) else { break };
            lines = lines.saturating_add(memchr::memchr_iter(b'\n', piece).count());
            at = PhysicalAddress(at.0.saturating_add(u64::try_from(piece.len()).unwrap_or(PIECE)));
        }
    }
    println!("{lines}");
    Ok(())
}
