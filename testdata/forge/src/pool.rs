//! Kernel pool: blocks with `_POOL_HEADER`s that chain up within each page.

use crate::machine::{KERNEL_DATA, Machine};
use crate::physical::PAGE;

/// A pool region.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Next unused address.
    next: u64,
    /// Size of the block before, in the same page, in 16-byte units.
    previous: u64,
}

impl Pool {
    /// A pool that grows from `start`, which lies on a page.
    #[must_use]
    pub fn new(start: u64) -> Self {
        Self { next: start, previous: 0 }
    }
}

/// Largest block that shares pages; what is larger gets pages of its own without a header.
const SMALL: u64 = 0xff0;

impl Machine {
    /// Allocates pool and says where the caller's bytes begin. Blocks of up to a page have a header before them.
    pub fn pool(&mut self, paged: bool, tag: &[u8; 4], bytes: u64) -> u64 {
        let block = (bytes + 16).next_multiple_of(16);
        if block > SMALL {
            return self.big_pool(paged, bytes);
        }
        let pool = if paged { &self.paged } else { &self.nonpaged };
        let used = pool.next % PAGE;
        if used != 0 && used + block > PAGE {
            let rest = PAGE - used;
            self.pool_block(paged, b"Free", rest, true);
        }
        self.pool_block(paged, tag, block, false) + 16
    }

    /// Gives away what is left of the current page, so that the next block begins one.
    pub fn fresh_page(&mut self, paged: bool) {
        let next = if paged { self.paged.next } else { self.nonpaged.next };
        if !next.is_multiple_of(PAGE) {
            self.pool_block(paged, b"Free", PAGE - next % PAGE, true);
        }
    }

    fn pool_block(&mut self, paged: bool, tag: &[u8; 4], block: u64, free: bool) -> u64 {
        let pool = if paged { &self.paged } else { &self.nonpaged };
        let (at, previous) = (pool.next, pool.previous);
        if at.is_multiple_of(PAGE) {
            let frame = self.memory.take();
            self.kernel.map(&mut self.memory, at, frame, KERNEL_DATA);
        }
        // PoolType: 0 free; else type + 2: non-paged 2, paged 3 (the readers' convention since Windows 7).
        let kind = if free { 0 } else { 2 + u64::from(paged) };
        self.put(at, "_POOL_HEADER", "PreviousSize", previous);
        self.put(at, "_POOL_HEADER", "BlockSize", block / 16);
        self.put(at, "_POOL_HEADER", "PoolType", kind);
        self.put(at, "_POOL_HEADER", "PoolTag", u64::from(u32::from_le_bytes(*tag)));
        let pool = if paged { &mut self.paged } else { &mut self.nonpaged };
        pool.next += block;
        pool.previous = if pool.next.is_multiple_of(PAGE) { 0 } else { block / 16 };
        at
    }

    /// Allocates pages without a header.
    pub fn big_pool(&mut self, paged: bool, bytes: u64) -> u64 {
        self.fresh_page(paged);
        let at = if paged { self.paged.next } else { self.nonpaged.next };
        let pages = bytes.div_ceil(PAGE);
        for n in 0..pages {
            let frame = self.memory.take();
            self.kernel.map(&mut self.memory, at + n * PAGE, frame, KERNEL_DATA);
        }
        let pool = if paged { &mut self.paged } else { &mut self.nonpaged };
        pool.next += pages * PAGE;
        pool.previous = 0;
        at
    }

    /// Allocates a block of a segment heap: in front of the pool header, of which only size, type and tag count, lies an encoded
    /// header of the heap, and blocks cross pages. The body begins `at` bytes into a page, `before` bytes into the block.
    pub fn segment_pool(&mut self, paged: bool, tag: &[u8; 4], before: u64, bytes: u64, at: u64) -> u64 {
        assert!(at < PAGE && at.is_multiple_of(16));
        let lead = before + 32;
        let body_at = if at < lead { at + PAGE } else { at };
        let run = self.big_pool(paged, body_at + bytes);
        let header = run + body_at - before - 16;
        let encoded = [self.rng.next_u64().to_le_bytes(), self.rng.next_u64().to_le_bytes()].concat();
        self.write(header - 16, &encoded);
        self.put(header, "_POOL_HEADER", "BlockSize", ((before + bytes + 16).div_ceil(16)) & 0xff);
        self.put(header, "_POOL_HEADER", "PoolType", 2 + u64::from(paged));
        self.put(header, "_POOL_HEADER", "PoolTag", u64::from(u32::from_le_bytes(*tag)));
        header + 16
    }
}
