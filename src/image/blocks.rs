//! Memory in compressed blocks: single blocks are unpacked when they are asked for, and kept in a cache of bounded size that all
//! threads share.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What unpacks one block.
pub(super) trait Unpack: Send + Sync {
    /// The bytes of block `number`, [`Blocks::SIZE`] at most. `None`: it is damaged or cut off.
    fn unpack(&self, number: u64) -> Option<Vec<u8>>;
}

/// Bytes of unpacked blocks that are kept.
const KEPT: usize = 64 << 20;
/// Parts of the cache with a lock of their own, so that threads seldom wait for each other.
const SHARDS: usize = 16;

/// A block's bytes, and when it was last asked for. `None`: it cannot be unpacked, which is remembered too.
type Entry = (Option<Arc<[u8]>>, u64);

/// Blocks of one size, but for what is left over in one.
pub(super) struct Blocks {
    unpack: Box<dyn Unpack>,
    shards: Vec<Mutex<HashMap<u64, Entry>>>,
    clock: AtomicU64,
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").finish_non_exhaustive()
    }
}

impl Blocks {
    /// Bytes of a block: what AVML (a snappy chunk), hibernation files (16 pages) and others use at most. Containers with smaller
    /// blocks take one number for each and leave the rest of it empty.
    pub(super) const SIZE: u64 = 0x1_0000;
    /// Blocks in one part of the cache.
    const PER_SHARD: usize = KEPT / SHARDS / 0x1_0000;

    /// Blocks that `unpack` gives.
    pub(super) fn new(unpack: impl Unpack + 'static) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
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

    fn block(&self, number: u64) -> Option<Arc<[u8]>> {
        let index = usize::try_from(number).ok()?.checked_rem(self.shards.len())?;
        let shard = self.shards.get(index)?;
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        if let Some((block, used)) = shard.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&number) {
            *used = now;
            return block.clone();
        }
        // Without the lock: two threads may unpack the same, and nobody waits for somebody else's block.
        let block: Option<Arc<[u8]>> = self.unpack.unpack(number).map(Arc::from);
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= Self::PER_SHARD
            && let Some(oldest) = shard.iter().min_by_key(|(_, (_, used))| *used).map(|(number, _)| *number)
        {
            shard.remove(&oldest);
        }
        shard.insert(number, (block.clone(), now));
        block
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
        let kept: usize = blocks.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert_eq!(kept as u64 * Blocks::SIZE, KEPT as u64);
    }
}
