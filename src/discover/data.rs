//! What the kernel's image holds of its own variables: the pages of the sections without code, and the lists that start there.

use crate::kernel::find::pe;
use crate::memory::{AddressSpace, Architecture};
use crate::{PAGE_SIZE, VirtualAddress};

/// Pages that are read: kernels' sections without code have 3 to 6 MiB; a damaged table of sections may promise 4 GiB.
const MAX_PAGES: u64 = 1 << 13;
/// Kernels are smaller: they have 6 to 20 MiB. Taken for the size of one whose headers are gone.
const MAX_SIZE: u64 = 32 << 20;
/// `IMAGE_SCN_MEM_EXECUTE` and `IMAGE_SCN_MEM_DISCARDABLE` (winnt.h). What is not to be written later (`ALMOSTRO`, `CFGRO`) holds
/// variables too, so that `IMAGE_SCN_MEM_WRITE` would say less.
const NO_DATA: u32 = 0x2200_0000;

/// Heads of lists that are looked at: kernels have some hundreds, and numbers that look like heads are few more.
const MAX_HEADS: usize = 1 << 16;

/// The kernel's variables, read once.
#[derive(Debug)]
pub(crate) struct KernelData {
    arch: &'static Architecture,
    base: VirtualAddress,
    size: u64,
    pieces: Vec<Piece>,
    heads: Vec<ListHead>,
}

/// The head of a list that is not empty, whose entries lie outside of the image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListHead {
    pub at: VirtualAddress,
    /// The first and the last entry, as far as they can be read.
    pub entries: [Option<VirtualAddress>; 2],
}

/// Pages that lie together, as numbers.
#[derive(Debug)]
struct Piece {
    at: VirtualAddress,
    words: Vec<u64>,
}

impl KernelData {
    /// Reads the sections without code of the kernel at `base`; without headers, all that is mapped there. Pages that
    /// cannot be read, or hold nothing but zeros, are left out.
    pub(crate) fn read(space: AddressSpace<'_>, base: VirtualAddress) -> Self {
        let (size, sections) = pe::sections(space, base).unwrap_or((MAX_SIZE, Vec::new()));
        let size = size.min(MAX_SIZE);
        let data = sections.iter().filter(|section| section.characteristics & NO_DATA == 0);
        let mut ranges: Vec<(u64, u64)> = data.map(|s| (s.virtual_address.into(), s.virtual_size.into())).collect();
        if ranges.is_empty() {
            ranges.push((0, size));
        }
        let mut data = Self { arch: space.architecture(), base, size, pieces: Vec::new(), heads: Vec::new() };
        let mut left = MAX_PAGES;
        for (from, bytes) in ranges {
            // Sections that overlap, or reach beyond the image, come from damaged headers.
            let end = from.saturating_add(bytes).min(size);
            let mut offset = from & !PAGE_SIZE.wrapping_sub(1);
            while offset < end && left > 0 {
                data.take_page(space, base.wrapping_add(offset));
                offset = offset.saturating_add(PAGE_SIZE);
                left = left.saturating_sub(1);
            }
        }
        data.heads = data.find_heads(space);
        data
    }

    /// Each of the two neighbours leads back to a head, or cannot be read; one can.
    fn find_heads(&self, space: AddressSpace<'_>) -> Vec<ListHead> {
        let pairs = self.places().filter_map(|(at, words)| {
            let [next, previous, ..] = words else { return None };
            let both = self.may_point_out(*next) && self.may_point_out(*previous);
            both.then_some((at, VirtualAddress(*next), VirtualAddress(*previous)))
        });
        let heads = pairs.take(MAX_HEADS).filter_map(|(at, next, previous)| {
            let back = space.read_pointer(next.wrapping_add(8)).ok();
            let forth = space.read_pointer(previous).ok();
            if [back, forth].into_iter().flatten().any(|link| link != at) || (back.is_none() && forth.is_none()) {
                return None;
            }
            Some(ListHead { at, entries: [back.map(|_| next), forth.map(|_| previous)] })
        });
        heads.collect()
    }

    /// All heads of lists, in address order.
    pub(crate) fn heads(&self) -> &[ListHead] {
        &self.heads
    }

    /// The image base.
    pub(crate) const fn base(&self) -> VirtualAddress {
        self.base
    }

    /// `SizeOfImage`, or a bound for it.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    fn take_page(&mut self, space: AddressSpace<'_>, at: VirtualAddress) {
        let mut copy = [0u8; 4096];
        let borrowed = space.translate(at).ok().and_then(|page| space.memory().borrow(page, copy.len()));
        let page = match borrowed.filter(|page| page.len() == copy.len()) {
            Some(page) => page,
            None if space.read(at, &mut copy).is_ok() => &copy,
            None => return,
        };
        let (words, _) = page.as_chunks::<8>();
        if words.iter().all(|word| *word == [0; 8]) {
            return;
        }
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        match self.pieces.last_mut() {
            Some(piece) if piece.end() == at => piece.words.extend(words),
            _ => self.pieces.push(Piece { at, words: words.collect() }),
        }
    }

    /// Whether an address lies in the image.
    pub(crate) const fn has(&self, at: VirtualAddress) -> bool {
        at.0 >= self.base.0 && at.0.wrapping_sub(self.base.0) < self.size
    }

    /// Every place in it, in address order, with the numbers from there on that lie together.
    pub(crate) fn places(&self) -> impl Iterator<Item = (VirtualAddress, &[u64])> {
        self.pieces.iter().flat_map(|piece| {
            let addresses = (0u64..).map(|index| piece.at.wrapping_add(index.wrapping_mul(8)));
            addresses.zip((0..piece.words.len()).filter_map(|index| piece.words.get(index..)))
        })
    }

    /// Where this number stands, in address order.
    pub(crate) fn holding(&self, number: u64) -> impl Iterator<Item = VirtualAddress> {
        self.places().filter(move |(_, words)| words.first() == Some(&number)).map(|(at, _)| at)
    }

    /// Whether a number may be the address of something that the kernel allocated: in the kernel's half, outside of its image,
    /// at a multiple of 8.
    pub(crate) const fn may_point_out(&self, number: u64) -> bool {
        let at = VirtualAddress(number);
        at.is_kernel() && number.is_multiple_of(8) && self.arch.is_canonical(at) && !self.has(at)
    }
}

impl Piece {
    fn end(&self) -> VirtualAddress {
        self.at.wrapping_add(u64::try_from(self.words.len()).unwrap_or(0).wrapping_mul(8))
    }
}
