//! Reading for people: bytes, and for each page where they came from or why they are missing.

use super::fault::Fault;
use super::space::AddressSpace;
use crate::image::PhysicalMemory;
use crate::memory_read::{MemoryRead, PageRead};
use crate::{Hex, Origin, PhysicalAddress, VirtualAddress};

/// Bytes that one read gives: more is the work of a dump.
pub const MAX_READ: u64 = 1 << 24;

/// The pieces of `[at, at + bytes)` in one page each: address and length.
fn pieces(at: u64, bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    // Behind the last address there is none.
    let mut left = bytes.min(MAX_READ).min(u64::MAX.wrapping_sub(at).saturating_add(1));
    let mut from = at;
    std::iter::from_fn(move || {
        let piece = (from, VirtualAddress(from).left_in_page().min(left));
        from = from.wrapping_add(piece.1);
        left = left.saturating_sub(piece.1);
        (piece.1 > 0).then_some(piece)
    })
}

/// Two digits for each byte that was read, and dots for the others.
fn digits(hex: &mut String, read: &[u8], bytes: u64) {
    for byte in read {
        hex.push_str(&format!("{byte:02x}"));
    }
    let missing = bytes.saturating_sub(u64::try_from(read.len()).unwrap_or(u64::MAX));
    hex.push_str(&"..".repeat(usize::try_from(missing).unwrap_or(0)));
}

impl MemoryRead {
    fn begun(at: u64, space: &'static str) -> Self {
        Self { address: Hex(at), space, pages: Vec::new(), hex: String::new(), text: None, structure: None }
    }

    /// Reads `bytes` bytes (at most [`MAX_READ`]) of an address space.
    #[must_use]
    pub fn of_space(space: AddressSpace<'_>, at: VirtualAddress, bytes: u64) -> Self {
        let mut read = Self::begun(at.0, "virtual");
        for (from, length) in pieces(at.0, bytes) {
            let at = VirtualAddress(from);
            let mut buf = vec![0u8; usize::try_from(length).unwrap_or(0)];
            let (done, fault) = space.read_some(at, &mut buf);
            digits(&mut read.hex, buf.get(..done).unwrap_or_default(), length);
            let page = PageRead {
                address: Hex(from),
                bytes: length,
                from: if fault.is_none() { space.origin(at).ok() } else { None },
                physical: space.resolve(at).physical(),
                missing: fault.as_ref().map(Fault::kind),
                reason: fault.as_ref().map(Fault::to_string),
                remedy: fault.as_ref().and_then(Fault::remedy),
            };
            read.pages.push(page);
        }
        read
    }

    /// Reads `bytes` bytes (at most [`MAX_READ`]) of physical memory.
    #[must_use]
    pub fn of_memory(memory: &dyn PhysicalMemory, at: PhysicalAddress, bytes: u64) -> Self {
        let mut read = Self::begun(at.0, "physical");
        for (from, length) in pieces(at.0, bytes) {
            let mut buf = vec![0u8; usize::try_from(length).unwrap_or(0)];
            let done = memory.read(PhysicalAddress(from), &mut buf);
            digits(&mut read.hex, buf.get(..done).unwrap_or_default(), length);
            let whole = done == buf.len();
            let next = PhysicalAddress(from).wrapping_add(u64::try_from(done).unwrap_or(u64::MAX));
            let damaged = !whole && crate::image::holds(memory, next);
            read.pages.push(PageRead {
                address: Hex(from),
                bytes: length,
                from: whole.then_some(Origin::Memory),
                physical: Some(PhysicalAddress(from)),
                missing: (!whole).then_some(if damaged { "damaged" } else { "not_in_image" }),
                reason: (!whole).then(|| match damaged {
                    true => format!("{} is in a block of the image file that does not unpack", PhysicalAddress(from)),
                    false => format!("{} is not in the image", PhysicalAddress(from)),
                }),
                remedy: None,
            });
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_reach_the_last_address() {
        let pieces = |at, bytes| pieces(at, bytes).collect::<Vec<_>>();
        assert_eq!(pieces(0x1ffe, 4), [(0x1ffe, 2), (0x2000, 2)]);
        assert_eq!(pieces(u64::MAX, 256), [(u64::MAX, 1)]);
        assert_eq!(pieces(0xffff_ffff_ffff_ff00, 512), [(0xffff_ffff_ffff_ff00, 256)]);
        assert_eq!(pieces(0, 0), []);
    }
}
