//! In what two pages of one image differ, but for what the loader writes anew where the image is elsewhere.

use crate::addr::PAGE_BYTES;
use crate::kernel::find::pe::Start;

/// Where the images of the two pages are.
pub(super) struct Moved {
    /// Where that of the first begins.
    pub to: u64,
    /// Where that of the other may begin, if elsewhere.
    pub from: Vec<u64>,
    /// They are the first pages, with the headers.
    pub is_first: bool,
}

/// In what two pages differ.
pub(super) struct Difference {
    /// The first byte.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
    /// More than half of what the other has.
    pub replaced: bool,
    /// The bytes from the first on, in the one and in the other.
    pub here: String,
    pub there: String,
}

type Page = [u8; PAGE_BYTES];

/// Bytes that are told of a difference: a patch at the start of a function has 5 to 14.
const MAX_TOLD: usize = 16;
/// Addresses in images: 8 bytes (`IMAGE_REL_BASED_DIR64`), or 4 in 32-bit ones (`IMAGE_REL_BASED_HIGHLOW`).
const WIDTHS: [usize; 2] = [8, 4];

/// `None`: they do not differ, but for addresses.
pub(super) fn difference(here: &Page, there: &Page, moved: &Moved) -> Option<Difference> {
    let written = written(here, there, moved);
    let is_other = |at: &usize| here.get(*at) != there.get(*at) && written.get(*at) != Some(&true);
    let differing: Vec<usize> = (0..PAGE_BYTES).filter(is_other).collect();
    let (first, last) = (*differing.first()?, *differing.last()?);
    let held = there.iter().filter(|byte| **byte != 0).count();
    let gone = differing.iter().filter(|at| there.get(**at) != Some(&0)).count();
    // Up to the last byte that differs, so that what is the same behind it is not told.
    let told = |page: &Page| -> String {
        let bytes = page.get(first..=last).unwrap_or_default();
        bytes.iter().take(MAX_TOLD).map(|byte| format!("{byte:02x}")).collect()
    };
    Some(Difference {
        offset: u64::try_from(first).unwrap_or_default(),
        bytes: u64::try_from(differing.len()).unwrap_or(u64::MAX),
        replaced: gone.saturating_mul(2) > held,
        here: told(here),
        there: told(there),
    })
}

/// The bytes that the loader writes, with what it writes.
fn written(here: &Page, there: &Page, moved: &Moved) -> [bool; PAGE_BYTES] {
    let mut written = [false; PAGE_BYTES];
    let mut mark = |from: usize, bytes: usize| {
        written.iter_mut().skip(from).take(bytes).for_each(|written| *written = true);
    };
    if moved.is_first {
        // Of the headers, the base alone.
        if let Start::Headers(headers) = Start::of(there) {
            let (at, bytes) = headers.base_at;
            let base = moved.to.to_le_bytes();
            let is_here = at.checked_add(bytes).and_then(|end| here.get(at..end));
            if is_here.is_some() && is_here == base.get(..bytes) {
                mark(at, bytes);
            }
        }
        return written;
    }
    for from in &moved.from {
        let by = moved.to.wrapping_sub(*from);
        let is_low = |base: u64| base >> 32 == 0;
        for width in WIDTHS.into_iter().filter(|width| *width == 8 || is_low(moved.to) && is_low(*from)) {
            // The first may begin in the page before.
            let mut end = 1usize;
            while end < PAGE_BYTES.saturating_add(width) {
                let (start, last) = (end.saturating_sub(width), end.min(PAGE_BYTES));
                let before = width.saturating_sub(end);
                let word = |page: &Page| number(page.get(start..last).unwrap_or_default());
                let differs = word(here) != word(there);
                if differs && is_moved(word(here), word(there), by, before, last.saturating_sub(start)) {
                    mark(start, last.saturating_sub(start));
                    end = end.saturating_add(width);
                } else {
                    end = end.saturating_add(1);
                }
            }
        }
    }
    written
}

/// Whether the `length` bytes of a number that lie in the page, behind `before` of it in the page before, are those of one that was
/// moved.
fn is_moved(here: u64, there: u64, by: u64, before: usize, length: usize) -> bool {
    let bits = |bytes: usize| u32::try_from(bytes).unwrap_or(8).saturating_mul(8);
    let mask = u64::MAX.checked_shr(u64::BITS.saturating_sub(bits(length))).unwrap_or(0);
    let by = by.checked_shr(bits(before)).unwrap_or(0);
    let moved = there.wrapping_add(by);
    here == moved & mask || before > 0 && here == moved.wrapping_add(1) & mask
}

/// A little-endian number of 8 bytes at most.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number.wrapping_shl(8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> Page {
        let mut page = [0u8; PAGE_BYTES];
        let mut word = 0x1234_5678_9abc_def0u64;
        for byte in &mut page {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (word >> 56) as u8;
        }
        page
    }

    fn put(page: &mut Page, at: usize, bytes: &[u8]) {
        page[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Pointers of an image that is elsewhere, at any place, two in a row and over the ends of a page.
    #[test]
    fn addresses_that_were_moved() {
        let (from, to) = (0x1_8000_0000u64, 0x7ff6_1234_0000u64);
        let moved = Moved { to, from: vec![from], is_first: false };
        let (mut here, mut there) = (code(), code());
        for at in [0x20, 0x28, 0x103, 0xff0] {
            put(&mut here, at, &(to + 0x4321).to_le_bytes());
            put(&mut there, at, &(from + 0x4321).to_le_bytes());
        }
        put(&mut here, 0xffd, &to.to_le_bytes()[..3]);
        put(&mut there, 0xffd, &from.to_le_bytes()[..3]);
        put(&mut here, 0, &(to + 0xffff_1000).to_le_bytes()[3..]);
        put(&mut there, 0, &(from + 0xffff_1000).to_le_bytes()[3..]);
        assert!(difference(&here, &there, &moved).is_none());
        // At its own place an image has no such differences.
        let still = Moved { to, from: vec![], is_first: false };
        assert!(difference(&here, &there, &still).is_some());
        // What is no address is told, and nothing else.
        put(&mut here, 0x200, &[0xe9, 1, 2, 3, 4]);
        put(&mut there, 0x200, &[0x48, 0x89, 0x5c, 0x24, 8]);
        let told = difference(&here, &there, &moved).unwrap();
        assert_eq!((told.offset, told.bytes, told.replaced), (0x200, 5, false));
        assert_eq!((told.here.as_str(), told.there.as_str()), ("e901020304", "48895c2408"));
    }

    #[test]
    fn addresses_of_32_bits() {
        let (from, to) = (0x40_0000u64, 0x7120_0000u64);
        let moved = Moved { to, from: vec![from], is_first: false };
        let (mut here, mut there) = (code(), code());
        for at in [5, 0x101, 0xabc] {
            put(&mut here, at, &(to as u32 + 0x1234).to_le_bytes());
            put(&mut there, at, &(from as u32 + 0x1234).to_le_bytes());
        }
        assert!(difference(&here, &there, &moved).is_none());
    }
}
