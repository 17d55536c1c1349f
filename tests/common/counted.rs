//! Memory that counts how often it is asked: the measure of work that is the same on every machine.

use ntmem::image::PhysicalRun;
use ntmem::{PhysicalAddress, PhysicalMemory};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Physical memory from address 0 on, without holes.
pub struct Counted {
    bytes: Vec<u8>,
    asked: Arc<AtomicU64>,
}

impl Counted {
    /// The memory, and how often bytes of it were read or lent.
    pub fn new(bytes: Vec<u8>) -> (Self, Arc<AtomicU64>) {
        let asked = Arc::new(AtomicU64::new(0));
        (Self { bytes, asked: Arc::clone(&asked) }, asked)
    }

    fn from(&self, at: PhysicalAddress) -> &[u8] {
        self.asked.fetch_add(1, Ordering::Relaxed);
        usize::try_from(at.0).ok().and_then(|at| self.bytes.get(at..)).unwrap_or_default()
    }
}

impl PhysicalMemory for Counted {
    fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        let bytes = (self.bytes.len() as u64).checked_sub(from.0).filter(|bytes| *bytes > 0)?;
        Some(PhysicalRun { start: from, bytes })
    }

    fn read(&self, at: PhysicalAddress, buf: &mut [u8]) -> usize {
        let from = self.from(at);
        let len = from.len().min(buf.len());
        buf[..len].copy_from_slice(&from[..len]);
        len
    }

    fn borrow(&self, at: PhysicalAddress, len: usize) -> Option<&[u8]> {
        let from = self.from(at);
        Some(&from[..from.len().min(len)]).filter(|lent| !lent.is_empty())
    }
}
