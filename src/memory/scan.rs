//! The scan of physical memory: everything that is looked for in one pass, in parallel, with hits in address order.

use super::pattern::{Columns, Look, Page, Word};
use crate::image::{PhysicalMemory, PhysicalRun, bytes_at};
use crate::{PAGE_SIZE, PhysicalAddress};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that one thread takes at a time. It bounds memory too: some MiB of hits, if there is one in every 16 bytes.
const CHUNK: u64 = 4 << 20;
/// Hits of chunks that are done before their turn. While there are more, threads wait for those whose turn it is.
const MAX_WAITING: usize = 1 << 18;
/// Bytes between two looks at whether the scan is to end.
const PATIENCE: usize = 1 << 20;
/// More threads than this gain nothing: memory is read faster than it arrives.
const MAX_THREADS: usize = 64;

/// One place where something that was looked for is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Where it begins.
    pub at: PhysicalAddress,
    /// Which of the things that were looked for it is: 0 for what was added to the [`Scanner`] first.
    pub what: usize,
}

/// How a scan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanEnd {
    /// All of memory was looked at.
    Complete,
    /// Whoever took the hits had enough.
    Stopped,
    /// It was cancelled: what lies behind the last hit was not looked at, or not all of it.
    Cancelled,
    /// There are more hits than were allowed; those at the lowest addresses were given.
    Limit,
}

/// What a scan came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// How it ended.
    pub end: ScanEnd,
    /// Hits that were given.
    pub hits: usize,
    /// Bytes that were looked at.
    pub bytes: u64,
    /// Bytes of memory in all.
    pub total: u64,
}

/// Searches all of physical memory, once, for everything that was added to it.
///
/// Holes are passed over, and so are pages that hold one byte value throughout, in which nothing can be. Hits come in the order
/// of their addresses, and those of one address in the order in which what they are was added, whatever the number of threads.
///
/// ```
/// # fn main() -> Result<(), ntmem::Error> {
/// use ntmem::memory::Scanner;
/// use std::ops::ControlFlow;
///
/// let image = ntmem::MemoryImage::open("testdata/samples/clean.raw")?;
/// let mut processes = 0;
/// let scan = Scanner::new().pool_tag(*b"Proc").signature(b"RSDS", 4).run(&image, |hit| {
///     processes += usize::from(hit.what == 0);
///     ControlFlow::Continue(())
/// });
/// println!("{processes} pool blocks of processes in {} bytes", scan.bytes);
/// # Ok(())
/// # }
/// ```
pub struct Scanner<'s> {
    looks: Vec<Look<'s>>,
    threads: Option<usize>,
    max_hits: usize,
    progress: Option<&'s (dyn Fn(u64, u64) + Sync)>,
    cancel: Option<&'s AtomicBool>,
}

impl fmt::Debug for Scanner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner")
            .field("looks", &self.looks.len())
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Default for Scanner<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'s> Scanner<'s> {
    /// Hits that are given unless more are allowed: a million of them is the work of somebody who means to exhaust the reader.
    pub const MAX_HITS: usize = 1 << 20;

    /// Looks for nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { looks: Vec::new(), threads: None, max_hits: Self::MAX_HITS, progress: None, cancel: None }
    }

    /// Adds `bytes` at any multiple of `alignment`, within one page: neighbours in memory are none in the file.
    #[must_use]
    pub fn signature(self, bytes: &[u8], alignment: usize) -> Self {
        self.look(Look::signature(bytes, alignment.max(1)))
    }

    /// Adds pool headers (x64) with this tag, with and without the bit that protects a block from being freed under a wrong
    /// tag. A hit is where the header begins.
    #[must_use]
    pub fn pool_tag(self, tag: [u8; 4]) -> Self {
        self.words(&[Word::pool_tag(tag)], |_, offset, add| add(offset))
    }

    /// Adds whatever `judge` makes of the places where one of `words` stands. It is called in many threads with the page and
    /// the place's offset in it, and names the offset in the page of each hit.
    #[must_use]
    pub fn words(self, words: &[Word], judge: impl Fn(Page<'_>, usize, &mut dyn FnMut(usize)) + Sync + 's) -> Self {
        self.look(Look::Words(words.to_vec(), Box::new(judge)))
    }

    /// Adds pages of which `judge` says so. It is called in many threads.
    #[must_use]
    pub fn pages(self, judge: impl Fn(Page<'_>) -> bool + Sync + 's) -> Self {
        self.look(Look::Page(Box::new(judge)))
    }

    fn look(mut self, look: Look<'s>) -> Self {
        self.looks.push(look);
        self
    }

    /// How many threads search; as many as there are processors unless told. It changes nothing of what is found.
    #[must_use]
    pub const fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Hits to give at most.
    #[must_use]
    pub const fn max_hits(mut self, hits: usize) -> Self {
        self.max_hits = hits;
        self
    }

    /// Called now and then with bytes done, which never become fewer, and bytes in all; by one thread at a time.
    #[must_use]
    pub const fn progress(mut self, progress: &'s (dyn Fn(u64, u64) + Sync)) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Ends the scan soon after this turns true.
    #[must_use]
    pub const fn cancel(mut self, cancel: &'s AtomicBool) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// How many things are looked for: the number that the next one gets.
    #[must_use]
    pub fn added(&self) -> usize {
        self.looks.len()
    }

    /// Searches all of `memory` and gives each hit to `take`, in address order, until that has enough.
    pub fn run(&self, memory: &dyn PhysicalMemory, take: impl FnMut(Hit) -> ControlFlow<()> + Send) -> Scan {
        let total = data(memory).map(|run| run.bytes).fold(0, u64::saturating_add);
        let turn = Turn { next: 0, waiting: BTreeMap::new(), held: 0, take, hits: 0, end: None };
        let pass = Pass {
            scanner: self,
            memory,
            total,
            done: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            told: Mutex::new(()),
            chunks: Mutex::new((0, PhysicalAddress(0))),
            turn: Mutex::new(turn),
        };
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let chunks = usize::try_from(total.div_ceil(CHUNK)).unwrap_or(MAX_THREADS);
        let threads = self.threads.unwrap_or_else(processors).min(MAX_THREADS).min(chunks).max(1);
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(|| pass.work())).collect();
            pass.work();
            for helper in helpers {
                if let Err(panic) = helper.join() {
                    std::panic::resume_unwind(panic);
                }
            }
        });
        pass.finish()
    }
}

/// What there is to read of a physical memory.
fn data(memory: &dyn PhysicalMemory) -> impl Iterator<Item = PhysicalRun> + '_ {
    let mut from = PhysicalAddress(0);
    std::iter::from_fn(move || {
        let run = memory.next_data(from).filter(|run| run.bytes > 0)?;
        from = run.end();
        Some(run)
    })
}

/// A part of physical memory, in which there may be holes.
struct Chunk {
    number: u64,
    start: PhysicalAddress,
    end: PhysicalAddress,
}

/// One pass over memory.
struct Pass<'p, 's, F> {
    scanner: &'p Scanner<'s>,
    memory: &'p dyn PhysicalMemory,
    total: u64,
    done: AtomicU64,
    stop: AtomicBool,
    /// Held by who tells how far it is.
    told: Mutex<()>,
    /// The number of the next chunk, and where to look for it.
    chunks: Mutex<(u64, PhysicalAddress)>,
    turn: Mutex<Turn<F>>,
}

/// Gives hits away in order.
struct Turn<F> {
    /// The chunk whose turn it is.
    next: u64,
    /// What chunks gave that were done before their turn.
    waiting: BTreeMap<u64, Vec<Hit>>,
    /// How many hits that is.
    held: usize,
    take: F,
    hits: usize,
    /// Why no more are given.
    end: Option<ScanEnd>,
}

impl<F: FnMut(Hit) -> ControlFlow<()> + Send> Pass<'_, '_, F> {
    fn work(&self) {
        // Else the others would wait for the turn of a chunk that nobody does.
        let _stop = StopOnPanic(&self.stop);
        while let Some(chunk) = self.next_chunk() {
            while self.turn().is_too_far(chunk.number) && !self.is_over() {
                std::thread::sleep(Duration::from_micros(50));
            }
            if self.is_over() {
                break;
            }
            let hits = self.look(&chunk);
            if self.turn().give(chunk.number, hits, self.scanner.max_hits) {
                self.stop.store(true, Ordering::Relaxed);
            }
            if let Some(progress) = self.scanner.progress {
                // One thread at a time, so that it never goes back.
                let _told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                progress(self.done.load(Ordering::Relaxed), self.total);
            }
        }
    }

    fn turn(&self) -> MutexGuard<'_, Turn<F>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_cancelled(&self) -> bool {
        self.scanner.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed))
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.is_cancelled()
    }

    /// The next part of memory that is not all hole. Parts end at multiples of their size.
    fn next_chunk(&self) -> Option<Chunk> {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, from) = *chunks;
        let start = self.memory.next_data(from)?.start;
        let end = PhysicalAddress((start.0 | CHUNK.wrapping_sub(1)).saturating_add(1));
        *chunks = (number.saturating_add(1), end);
        (start < end).then_some(Chunk { number, start, end })
    }

    /// All hits in one chunk, in order; no further ones where there are more than are allowed.
    fn look(&self, chunk: &Chunk) -> Vec<Hit> {
        let enough = self.scanner.max_hits.saturating_add(1);
        let (mut hits, mut columns, mut buffer) = (Vec::new(), Columns::new(), Vec::new());
        let mut from = chunk.start;
        while let Some(run) = self.memory.next_data(from).filter(|run| run.start < chunk.end && run.bytes > 0) {
            let end = run.end().min(chunk.end);
            from = end;
            let piece = PhysicalRun { start: run.start, bytes: end.0.saturating_sub(run.start.0) };
            self.memory.prefetch(piece);
            self.done.fetch_add(piece.bytes, Ordering::Relaxed);
            let mut at = PhysicalAddress(run.start.0.checked_next_multiple_of(PAGE_SIZE).unwrap_or(u64::MAX));
            // A page may lie in two pieces, of which this is the first.
            while let Some(left) = usize::try_from(end.0.saturating_sub(at.0)).ok().filter(|left| *left > 0) {
                if self.is_over() || hits.len() >= enough {
                    return hits;
                }
                let pages = bytes_at(self.memory, at, left.min(PATIENCE), &mut buffer).as_chunks::<4096>().0;
                if pages.is_empty() {
                    let mut page = [0; 4096];
                    let whole = self.memory.read(at, &mut page) == page.len();
                    if whole {
                        self.page(Page { at, bytes: &page }, &mut columns, &mut hits);
                    }
                    // What cannot be read costs its page, and not the rest of the piece.
                    at = at.wrapping_add(PAGE_SIZE);
                    continue;
                }
                for bytes in pages {
                    if hits.len() >= enough {
                        break;
                    }
                    self.page(Page { at, bytes }, &mut columns, &mut hits);
                    at = at.wrapping_add(PAGE_SIZE);
                }
            }
        }
        hits
    }

    /// Adds the hits in one page, each once.
    fn page(&self, page: Page<'_>, columns: &mut Columns, hits: &mut Vec<Hit>) {
        let filled_with = page.filled_with();
        let mut found = Vec::new();
        let mut filled = false;
        for (what, look) in self.scanner.looks.iter().enumerate() {
            if filled_with.is_some_and(|byte| !look.can_be_in(byte)) {
                continue;
            }
            if look.takes_columns() && !std::mem::replace(&mut filled, true) {
                columns.fill(page);
            }
            look.page(page, columns, &mut |offset| {
                found.push(Hit { at: page.at.wrapping_add(u64::try_from(offset).unwrap_or(0)), what });
            });
        }
        found.sort_unstable();
        found.dedup();
        hits.append(&mut found);
    }

    fn finish(self) -> Scan {
        let cancelled = self.is_cancelled();
        let mut turn = self.turn.into_inner().unwrap_or_else(PoisonError::into_inner);
        if turn.end.is_none() {
            // What was found before the scan was cancelled.
            for (_, hits) in std::mem::take(&mut turn.waiting) {
                turn.pass_on(hits, self.scanner.max_hits);
            }
        }
        let end = turn.end.unwrap_or(if cancelled { ScanEnd::Cancelled } else { ScanEnd::Complete });
        Scan { end, hits: turn.hits, bytes: self.done.into_inner(), total: self.total }
    }
}

impl<F: FnMut(Hit) -> ControlFlow<()>> Turn<F> {
    /// Whether a chunk must wait before it is looked at.
    fn is_too_far(&self, number: u64) -> bool {
        self.held > MAX_WAITING && number != self.next
    }

    /// Takes what a chunk gave, and gives away all whose turn has come. True: no more is wanted.
    fn give(&mut self, number: u64, hits: Vec<Hit>, max: usize) -> bool {
        self.held = self.held.saturating_add(hits.len());
        self.waiting.insert(number, hits);
        while let Some(hits) = self.waiting.remove(&self.next) {
            self.held = self.held.saturating_sub(hits.len());
            self.next = self.next.saturating_add(1);
            self.pass_on(hits, max);
        }
        self.end.is_some()
    }

    fn pass_on(&mut self, hits: Vec<Hit>, max: usize) {
        for hit in hits {
            if self.end.is_some() {
                return;
            }
            if self.hits >= max {
                self.end = Some(ScanEnd::Limit);
                return;
            }
            self.hits = self.hits.saturating_add(1);
            if (self.take)(hit).is_break() {
                self.end = Some(ScanEnd::Stopped);
            }
        }
    }
}

/// Ends the scan when a thread of it panics.
struct StopOnPanic<'p>(&'p AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
