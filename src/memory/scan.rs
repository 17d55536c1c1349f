//! Scans of physical memory: page by page, in parallel, with results in address order.

use crate::image::{PhysicalMemory, PhysicalRun, runs};
use crate::{PAGE_SIZE, PhysicalAddress};

/// Bytes that one thread takes at a time.
const CHUNK: u64 = 16 << 20;

/// Calls `look` with every whole page of physical memory (its address and its 4096 bytes) and returns what it found, in
/// address order whatever the number of threads. Chunks of 16 MiB are handed out in address order, and no further one is
/// after `enough` says so of what one page gave.
///
/// `progress` is called now and then with bytes done and bytes in all.
pub fn scan_pages<T: Send>(
    memory: &dyn PhysicalMemory,
    look: impl Fn(PhysicalAddress, &[u8; 4096]) -> Option<T> + Sync,
    enough: impl Fn(&T) -> bool + Sync,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Vec<T> {
    use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    let chunks: Vec<PhysicalRun> = runs(memory).flat_map(pieces).collect();
    let total = chunks.iter().map(|chunk| chunk.bytes).fold(0, u64::saturating_add);
    let (next, stop, done) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicU64::new(0));
    let work = || {
        let mut found = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let Some(chunk) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            memory.prefetch(*chunk);
            let mut at = chunk.start;
            while let Some(bytes) =
                usize::try_from(chunk.end().0.saturating_sub(at.0)).ok().filter(|left| *left >= 4096)
            {
                let Some(piece) = memory.borrow(at, bytes) else { break };
                let (pages, _) = piece.as_chunks::<4096>();
                for page in pages {
                    if let Some(hit) = look(at, page) {
                        if enough(&hit) {
                            stop.store(true, Ordering::Relaxed);
                        }
                        found.push((at, hit));
                    }
                    at = at.wrapping_add(PAGE_SIZE);
                }
                if pages.is_empty() {
                    break;
                }
            }
            progress(done.fetch_add(chunk.bytes, Ordering::Relaxed).saturating_add(chunk.bytes), total);
        }
        found
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(chunks.len());
    let mut found = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut found = work();
        for helper in helpers {
            match helper.join() {
                Ok(more) => found.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        found
    });
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, hit)| hit).collect()
}

/// Cuts a run into chunks that start at page bounds.
fn pieces(run: PhysicalRun) -> impl Iterator<Item = PhysicalRun> {
    let first = run.start.0.checked_next_multiple_of(PAGE_SIZE).unwrap_or(u64::MAX);
    let end = run.end().0;
    let step = usize::try_from(CHUNK).unwrap_or(usize::MAX);
    (first..end)
        .step_by(step)
        .map(move |start| PhysicalRun { start: PhysicalAddress(start), bytes: end.saturating_sub(start).min(CHUNK) })
}
