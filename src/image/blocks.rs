//! Memory in compressed blocks: single blocks are unpacked when they are asked for, and kept in a cache of bounded size that all
//! threads share.

use super::source::Bytes;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What unpacks one block.
pub(super) trait Unpack: Send + Sync {
    /// The bytes of block `number`. `None`: it is damaged or cut off.
    fn unpack(&self, number: u64) -> Option<Vec<u8>>;

    /// Where in the file block `number` begins.
    fn place(&self, number: u64) -> Option<u64>;
}

/// Bytes of unpacked blocks that are kept.
const KEPT: usize = 64 << 20;
/// Parts of the cache with a lock of their own, so that threads seldom wait for each other; fewer where blocks are so large that a part
/// would hold few.
const SHARDS: usize = 16;
const LEAST_IN_SHARD: usize = 32;

/// A block's bytes, and when it was last asked for. `None`: it cannot be unpacked, which is remembered too.
type Entry = (Option<Arc<[u8]>>, u64);

/// One part of the cache.
#[derive(Default)]
struct Shard {
    blocks: HashMap<u64, Entry>,
    bytes: usize,
}

/// What an entry costs beside the bytes of its block.
const ENTRY: usize = 64;

/// Blocks that follow one another.
pub(super) struct Blocks {
    unpack: Box<dyn Unpack>,
    shards: Vec<Mutex<Shard>>,
    clock: AtomicU64,
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").finish_non_exhaustive()
    }
}

impl Blocks {
    /// Bytes of a block of a table of runs: what AVML (a snappy chunk), hibernation files (16 pages) and others use at most. Containers
    /// with smaller blocks take one number for each and leave the rest of it empty.
    pub(super) const SIZE: u64 = 0x1_0000;

    /// Blocks that `unpack` gives, of the usual size at most.
    pub(super) fn new(unpack: impl Unpack + 'static) -> Self {
        Self::of_size(Self::SIZE, unpack)
    }

    /// Blocks of so many bytes at most.
    fn of_size(bytes: u64, unpack: impl Unpack + 'static) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).max(1);
        let count = (KEPT / LEAST_IN_SHARD).checked_div(bytes).unwrap_or(1).clamp(1, SHARDS);
        let shards = (0..count).map(|_| Mutex::default()).collect();
        Self { unpack: Box::new(unpack), shards, clock: AtomicU64::new(0) }
    }

    /// Reads from `within` bytes into block `number` on, through the blocks that follow it.
    pub(super) fn read(&self, number: u64, within: u64, buf: &mut [u8]) -> usize {
        let mut done = 0usize;
        let (mut number, mut within) = (number, within);
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let Some(block) = self.block(number) else { break };
            let from = usize::try_from(within).ok().and_then(|within| block.get(within..)).unwrap_or(&[]);
            let len = from.len().min(rest.len());
            if len == 0 {
                break;
            }
            if let (Some(to), Some(from)) = (rest.get_mut(..len), from.get(..len)) {
                to.copy_from_slice(from);
            }
            done = done.saturating_add(len);
            (number, within) = (number.saturating_add(1), 0);
        }
        done
    }

    /// Where in the file block `number` begins.
    pub(super) fn place(&self, number: u64) -> Option<u64> {
        self.unpack.place(number)
    }

    fn block(&self, number: u64) -> Option<Arc<[u8]>> {
        let index = usize::try_from(number).ok()?.checked_rem(self.shards.len())?;
        let shard = self.shards.get(index)?;
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        if let Some((block, used)) = shard.lock().unwrap_or_else(PoisonError::into_inner).blocks.get_mut(&number) {
            *used = now;
            return block.clone();
        }
        // Without the lock: two threads may unpack the same, and nobody waits for somebody else's block.
        let block: Option<Arc<[u8]>> = self.unpack.unpack(number).map(Arc::from);
        let most = KEPT.checked_div(self.shards.len()).unwrap_or(0);
        shard.lock().unwrap_or_else(PoisonError::into_inner).insert(number, block.clone(), now, most);
        block
    }
}

impl Shard {
    /// Keeps a block, and lets go of those that nobody asked for longest.
    fn insert(&mut self, number: u64, block: Option<Arc<[u8]>>, now: u64, most: usize) {
        let cost = |block: &Option<Arc<[u8]>>| block.as_ref().map_or(0, |bytes| bytes.len()).saturating_add(ENTRY);
        let room = most.saturating_sub(cost(&block));
        while self.bytes > room {
            let Some(oldest) = self.blocks.iter().min_by_key(|(_, (_, used))| *used).map(|(number, _)| *number) else {
                break;
            };
            if let Some((gone, _)) = self.blocks.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(cost(&gone));
            }
        }
        self.bytes = self.bytes.saturating_add(cost(&block));
        if let Some((before, _)) = self.blocks.insert(number, (block, now)) {
            self.bytes = self.bytes.saturating_sub(cost(&before));
        }
    }
}

/// A file that is packed in blocks of any sizes.
pub(super) struct Chunked {
    /// Where each block begins in what is unpacked, and, at the end, how long that is. Or, if they have one size, that size.
    starts: Starts,
    length: u64,
    blocks: Blocks,
}

enum Starts {
    Size(u64),
    Each(Vec<u64>),
}

impl Chunked {
    /// Blocks of `size` bytes, but for the last one.
    pub(super) fn even(size: u64, length: u64, unpack: impl Unpack + 'static) -> Self {
        Self { starts: Starts::Size(size.max(1)), length, blocks: Blocks::of_size(size, unpack) }
    }

    /// Blocks that begin at `starts`, sorted.
    pub(super) fn uneven(starts: Vec<u64>, length: u64, unpack: impl Unpack + 'static) -> Self {
        let ends = starts.iter().skip(1).copied().chain([length]);
        let largest = starts.iter().zip(ends).map(|(start, end)| end.saturating_sub(*start)).max().unwrap_or(0);
        Self { starts: Starts::Each(starts), length, blocks: Blocks::of_size(largest, unpack) }
    }
}

impl Chunked {
    /// The block that has `at`, and where in it that is.
    fn find(&self, at: u64) -> Option<(u64, u64)> {
        match &self.starts {
            Starts::Size(size) => at.checked_div(*size).zip(at.checked_rem(*size)),
            Starts::Each(starts) => {
                let number = starts.partition_point(|start| *start <= at).checked_sub(1)?;
                Some((u64::try_from(number).ok()?, at.checked_sub(*starts.get(number)?)?))
            }
        }
    }
}

impl Bytes for Chunked {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, at: u64, buf: &mut [u8]) -> usize {
        let Some(left) = self.length.checked_sub(at) else { return 0 };
        let len = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let place = self.find(at).zip(buf.get_mut(..len));
        place.map_or(0, |((number, within), buf)| self.blocks.read(number, within, buf))
    }

    fn block_offset(&self, at: u64) -> Option<u64> {
        self.blocks.place(self.find(at)?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Numbers(Arc<AtomicU64>);

    impl Unpack for Numbers {
        fn unpack(&self, number: u64) -> Option<Vec<u8>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            (number != 13).then(|| vec![number as u8; Blocks::SIZE as usize])
        }

        fn place(&self, number: u64) -> Option<u64> {
            Some(number * 100)
        }
    }

    #[test]
    fn blocks_are_unpacked_once_and_the_cache_is_bounded() {
        let count = Arc::new(AtomicU64::new(0));
        let blocks = Blocks::new(Numbers(count.clone()));
        let mut two = [0; 2];
        assert_eq!(blocks.read(4, 0xffff, &mut two), 2);
        assert_eq!(two, [4, 5]);
        assert_eq!(blocks.read(12, 0xffff, &mut two), 1, "the next block is damaged");
        assert_eq!(blocks.read(13, 0, &mut two), 0);
        assert_eq!(count.load(Ordering::Relaxed), 4, "and that is remembered");
        for number in 0..4000 {
            blocks.read(number, 0, &mut two);
        }
        let kept: usize = blocks.shards.iter().map(|shard| shard.lock().unwrap().bytes).sum();
        assert!(kept <= KEPT && kept > KEPT / 2, "{kept}");
        let true_sum: usize = blocks.shards.iter().map(|shard| shard.lock().unwrap().blocks.len()).sum();
        assert_eq!(kept, true_sum * (Blocks::SIZE as usize + ENTRY));
    }

    /// Of large blocks as much is kept as of small ones.
    #[test]
    fn large_blocks_are_kept_too() {
        struct Large(Arc<AtomicU64>);
        impl Unpack for Large {
            fn unpack(&self, number: u64) -> Option<Vec<u8>> {
                self.0.fetch_add(1, Ordering::Relaxed);
                Some(vec![number as u8; 2 << 20])
            }

            fn place(&self, _: u64) -> Option<u64> {
                None
            }
        }
        let count = Arc::new(AtomicU64::new(0));
        let file = Chunked::even(2 << 20, 60 << 20, Large(count.clone()));
        for _ in 0..3 {
            for number in 0..30 {
                assert_eq!(file.read(number << 21, &mut [0; 2]), 2);
            }
        }
        assert_eq!(count.load(Ordering::Relaxed), 30);
    }

    #[test]
    fn uneven_chunks() {
        struct Letters;
        impl Unpack for Letters {
            fn unpack(&self, number: u64) -> Option<Vec<u8>> {
                [&b"abc"[..], b"defgh", b"i"].get(number as usize).map(|bytes| bytes.to_vec())
            }

            fn place(&self, number: u64) -> Option<u64> {
                Some(number)
            }
        }
        let file = Chunked::uneven(vec![0, 3, 8], 9, Letters);
        for (at, text) in [(0, "abcdefghi"), (2, "cdefghi"), (3, "defghi"), (8, "i"), (9, ""), (50, "")] {
            let mut buf = [0; 20];
            let read = file.read(at, &mut buf);
            assert_eq!(&buf[..read], text.as_bytes());
        }
        assert_eq!([0, 2, 3, 7, 8].map(|at| file.block_offset(at)), [0, 0, 1, 1, 2].map(Some));
    }
}
