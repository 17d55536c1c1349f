//! Xpress with Huffman codes, unpacking only: [MS-XCA] 2.2. Windows 8 and later pack hibernation files so.

/// Symbols: 256 literals, then matches by 16 lengths and 16 widths of the distance.
const SYMBOLS: usize = 512;
/// Bits of the longest code.
const LONGEST: u32 = 15;
/// Bytes that one table of codes serves.
const PIECE: usize = 0x1_0000;

/// Unpacks `packed` into all of `out`. It ends when `out` is full, not when the input is: the last codes may stand in bits that were
/// read long before. `None`: the bytes are damaged, or hold less.
pub(super) fn unpack(packed: &[u8], out: &mut [u8]) -> Option<()> {
    let mut input = Input { left: packed, bits: 0, held: 0 };
    let mut done = 0usize;
    while done < out.len() {
        let codes = Codes::read(input.take(SYMBOLS / 2)?)?;
        input.begin();
        let end = done.saturating_add(PIECE).min(out.len());
        while done < end {
            let symbol = input.symbol(&codes)?;
            let Some(kind) = symbol.checked_sub(256) else {
                *out.get_mut(done)? = u8::try_from(symbol).ok()?;
                done = done.saturating_add(1);
                continue;
            };
            let length = input.length(usize::from(kind & 15))?;
            let distance = input.distance(u32::from(kind >> 4))?;
            let from = done.checked_sub(distance)?;
            // What a match brings beyond the end is not wanted.
            let stop = done.saturating_add(length).min(out.len());
            for index in done..stop {
                // It may reach into what it writes itself.
                let byte = *out.get(from.saturating_add(index.saturating_sub(done)))?;
                *out.get_mut(index)? = byte;
            }
            done = stop;
        }
    }
    Some(())
}

/// The codes of one piece: for each 15 bits, the symbol that they begin with, and the length of its code.
struct Codes(Vec<(u16, u8)>);

impl Codes {
    /// From the lengths of all codes, four bits each. Codes of one length follow one another in the order of their symbols.
    fn read(lengths: &[u8]) -> Option<Self> {
        let mut table = Vec::with_capacity(1 << LONGEST);
        for bits in 1..=LONGEST {
            let symbols = (0u16..).zip(lengths.iter().flat_map(|byte| [byte & 15, byte >> 4]));
            for (symbol, _) in symbols.filter(|(_, length)| u32::from(*length) == bits) {
                let room = 1usize.checked_shl(LONGEST.checked_sub(bits)?)?;
                let size = table.len().checked_add(room).filter(|size| *size <= 1 << LONGEST)?;
                table.resize(size, (symbol, u8::try_from(bits).ok()?));
            }
        }
        // Every row of bits begins with some code.
        (table.len() == 1 << LONGEST).then_some(Self(table))
    }
}

/// The packed bytes to come, and the bits that were taken of them.
struct Input<'p> {
    left: &'p [u8],
    /// The next bits, the first on top.
    bits: u32,
    /// How many of them there are, less 16.
    held: i32,
}

impl<'p> Input<'p> {
    fn take(&mut self, count: usize) -> Option<&'p [u8]> {
        let (taken, left) = self.left.split_at_checked(count)?;
        self.left = left;
        Some(taken)
    }

    /// The next 16 bits; behind the end there are none, and the last codes need none of them.
    fn word(&mut self) -> u32 {
        self.take(2).and_then(|word| word.first_chunk()).map_or(0, |word| u32::from(u16::from_le_bytes(*word)))
    }

    /// Fills the bits at the begin of a piece.
    fn begin(&mut self) {
        let first = self.word();
        self.bits = first << 16 | self.word();
        self.held = 16;
    }

    fn skip(&mut self, count: u32) -> Option<()> {
        self.bits = self.bits.checked_shl(count)?;
        self.held = self.held.checked_sub(i32::try_from(count).ok()?)?;
        if self.held < 0 {
            let word = self.word();
            self.bits |= word.checked_shl(self.held.unsigned_abs())?;
            self.held = self.held.checked_add(16)?;
        }
        Some(())
    }

    fn symbol(&mut self, codes: &Codes) -> Option<u16> {
        let index = self.bits >> (u32::BITS.checked_sub(LONGEST)?);
        let (symbol, bits) = *codes.0.get(usize::try_from(index).ok()?)?;
        self.skip(u32::from(bits))?;
        Some(symbol)
    }

    fn length(&mut self, short: usize) -> Option<usize> {
        let mut length = short;
        if short == 15 {
            let [byte] = *self.take(1)?.first_chunk()?;
            length = match byte {
                255 => match u16::from_le_bytes(*self.take(2)?.first_chunk()?) {
                    0 => usize::try_from(u32::from_le_bytes(*self.take(4)?.first_chunk()?)).ok()?,
                    word => usize::from(word),
                },
                byte => usize::from(byte).checked_add(15)?,
            };
            if length < 15 {
                return None;
            }
        }
        length.checked_add(3)
    }

    fn distance(&mut self, width: u32) -> Option<usize> {
        let low = if width == 0 { 0 } else { self.bits >> u32::BITS.checked_sub(width)? };
        self.skip(width)?;
        usize::try_from(1u32.checked_shl(width)?.checked_add(low)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// [MS-XCA] 3.2: the alphabet, and then "abc" a hundred times.
    #[test]
    fn published_examples() {
        let mut packed = vec![0u8; 256];
        packed[0x30..0x3d]
            .copy_from_slice(&[0x50, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x45, 0x44]);
        packed[0x3d] = 0x04;
        packed[0x80] = 0x04;
        packed.extend_from_slice(&[
            0xd8, 0x52, 0x3e, 0xd7, 0x94, 0x11, 0x5b, 0xe9, 0x19, 0x5f, 0xf9, 0xd6, 0x7c, 0xdf, 0x8d, 0x04, 0x00, 0x00,
            0x00, 0x00,
        ]);
        let mut out = [0; 26];
        assert_eq!(unpack(&packed, &mut out), Some(()));
        assert_eq!(&out, b"abcdefghijklmnopqrstuvwxyz");
        let mut packed = vec![0u8; 256];
        packed[0x30..0x32].copy_from_slice(&[0x30, 0x23]);
        packed[0x80] = 0x02;
        packed[0x8f] = 0x20;
        packed.extend_from_slice(&[0xa8, 0xdc, 0x00, 0x00, 0xff, 0x26, 0x01]);
        let mut out = [0; 300];
        assert_eq!(unpack(&packed, &mut out), Some(()));
        assert_eq!(out.to_vec(), b"abc".repeat(100));
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(packed in proptest::collection::vec(any::<u8>(), 0..2000), room in 0usize..70_000) {
            let mut out = vec![0; room];
            let _ = unpack(&packed, &mut out);
        }

        #[test]
        fn any_codes_do_no_harm(packed in proptest::collection::vec(any::<u8>(), 0..2000), room in 0usize..70_000) {
            // All codes of nine bits.
            let mut all = vec![0x99u8; 256];
            all.extend(packed);
            let mut out = vec![0; room];
            let _ = unpack(&all, &mut out);
        }
    }
}
