//! What a scan looks for in one page.

use crate::PhysicalAddress;
use memchr::memmem::Finder;

/// A page of physical memory.
#[derive(Clone, Copy, Debug)]
pub struct Page<'p> {
    /// Where it lies.
    pub at: PhysicalAddress,
    /// Its bytes.
    pub bytes: &'p [u8; 4096],
}

impl Page<'_> {
    /// The byte value that fills all of it: memory that was never used, or was wiped.
    #[must_use]
    pub fn filled_with(&self) -> Option<u8> {
        let (words, _) = self.bytes.as_chunks::<8>();
        let [first, ..] = self.bytes;
        let filled = [*first; 8];
        // The first line tells nearly always.
        let (line, rest) = words.split_at_checked(8)?;
        (line.iter().all(|word| *word == filled) && differences(rest, filled) == 0).then_some(*first)
    }

    /// The 64-bit word at `offset`.
    #[must_use]
    pub fn u64(&self, offset: usize) -> Option<u64> {
        self.bytes.get(offset..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }
}

/// The bits in which any of `words` differs from `other`. A loop without a way out is one that compilers make wide.
fn differences(words: &[[u8; 8]], other: [u8; 8]) -> u64 {
    let other = u64::from_le_bytes(other);
    words.iter().fold(0, |any, word| any | (u64::from_le_bytes(*word) ^ other))
}

/// A 32-bit word that marks a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// Places are multiples of this: 4, 8, or a multiple of 16.
    pub step: usize,
    /// Bytes from the place to the word: a multiple of 4.
    pub offset: usize,
    /// The bits that count.
    pub mask: u32,
    /// What they are.
    pub value: u32,
}

impl Word {
    /// The tag in a pool header of x64, without regard to the bit that protects the block. Pool blocks lie at multiples of 16;
    /// half of that costs little.
    #[must_use]
    pub const fn pool_tag(tag: [u8; 4]) -> Self {
        let mask = 0x7fff_ffff;
        Self { step: 8, offset: 4, mask, value: u32::from_le_bytes(tag) & mask }
    }

    const fn is(&self, word: u32) -> bool {
        word & self.mask == self.value
    }

    /// Gives the places in a page that the word marks.
    fn places(&self, columns: &Columns, mut give: impl FnMut(usize)) {
        for (column, words) in (0usize..).zip(&columns.0) {
            let shift = column.wrapping_mul(4).wrapping_sub(self.offset);
            if !shift.is_multiple_of(self.step.min(16)) {
                continue;
            }
            for (block, words) in (0usize..).zip(words.as_chunks::<32>().0) {
                // A loop without a way out is one that compilers make wide.
                if !words.iter().fold(false, |any, word| any | self.is(*word)) {
                    continue;
                }
                for (row, word) in (0usize..).zip(words) {
                    let place = block.wrapping_mul(32).wrapping_add(row).wrapping_mul(16).wrapping_add(shift);
                    if self.is(*word) && place < 4096 && place.is_multiple_of(self.step) {
                        give(place);
                    }
                }
            }
        }
    }
}

/// The 32-bit words of a page by their place in each 16 bytes: those that are looked for stand in one or two of the columns.
pub(super) struct Columns([[u32; 256]; 4]);

impl Columns {
    pub(super) const fn new() -> Self {
        Self([[0; 256]; 4])
    }

    pub(super) fn fill(&mut self, page: Page<'_>) {
        let Self(columns) = self;
        let [first, second, third, fourth] = columns.each_mut().map(|column| column.as_chunks_mut::<4>().0);
        let (squares, _) = page.bytes.as_chunks::<64>();
        for ((((square, first), second), third), fourth) in squares.iter().zip(first).zip(second).zip(third).zip(fourth)
        {
            // Four rows at a time: compilers see the transposition.
            let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = words(square);
            *first = [a, e, i, m];
            *second = [b, f, j, n];
            *third = [c, g, k, o];
            *fourth = [d, h, l, p];
        }
    }
}

fn words(bytes: &[u8; 64]) -> [u32; 16] {
    let mut words = [0; 16];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

/// What is made of a place that a word marks; the last argument takes the offset of each hit in the page.
type Judge<'s> = dyn Fn(Page<'_>, usize, &mut dyn FnMut(usize)) + Sync + 's;

/// One thing to look for.
pub(super) enum Look<'s> {
    /// Bytes at multiples of a number.
    Bytes(Box<Finder<'static>>, usize),
    /// What is made of places that words mark.
    Words(Vec<Word>, Box<Judge<'s>>),
    /// Whole pages.
    Page(Box<dyn Fn(Page<'_>) -> bool + Sync + 's>),
}

impl<'s> Look<'s> {
    pub(super) fn signature(bytes: &[u8], alignment: usize) -> Self {
        match bytes.first_chunk() {
            Some(first) if matches!(alignment, 4 | 8) || alignment.is_multiple_of(16) => {
                let word = Word { step: alignment, offset: 0, mask: u32::MAX, value: u32::from_le_bytes(*first) };
                let bytes = bytes.to_vec();
                let judge = move |page: Page<'_>, offset: usize, add: &mut dyn FnMut(usize)| {
                    if page.bytes.get(offset..).is_some_and(|rest| rest.starts_with(&bytes)) {
                        add(offset);
                    }
                };
                Self::Words(vec![word], Box::new(judge))
            }
            _ => Self::Bytes(Box::new(Finder::new(bytes).into_owned()), alignment),
        }
    }

    /// Whether it takes the columns of a page.
    pub(super) const fn takes_columns(&self) -> bool {
        matches!(self, Self::Words(..))
    }

    /// Whether it can be in a page that this byte fills.
    pub(super) fn can_be_in(&self, byte: u8) -> bool {
        match self {
            Self::Bytes(finder, _) => finder.needle().iter().all(|own| *own == byte),
            Self::Words(words, _) => words.iter().any(|word| word.is(u32::from_le_bytes([byte; 4]))),
            Self::Page(_) => false,
        }
    }

    pub(super) fn page(&self, page: Page<'_>, columns: &Columns, add: &mut dyn FnMut(usize)) {
        match self {
            Self::Bytes(finder, _) if finder.needle().is_empty() => {}
            Self::Bytes(finder, alignment) => {
                let mut from = 0usize;
                while let Some(found) = page.bytes.get(from..).and_then(|rest| finder.find(rest)) {
                    let at = from.saturating_add(found);
                    if at.is_multiple_of(*alignment) {
                        add(at);
                    }
                    // They may overlap.
                    from = at.saturating_add(1);
                }
            }
            Self::Words(words, judge) => {
                for word in words {
                    word.places(columns, |place| judge(page, place, add));
                }
            }
            Self::Page(judge) => {
                if judge(page) {
                    add(0);
                }
            }
        }
    }
}
