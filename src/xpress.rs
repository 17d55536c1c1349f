//! Plain LZ77 of Xpress, unpacking only: [MS-XCA] 2.4. Windows packs pages of the compressed store and of hibernation files so.

/// Why packed bytes cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// The packed bytes end within an operation.
    #[error("the packed bytes end too early")]
    Truncated,
    /// A match begins before the first byte that was unpacked.
    #[error("a match reaches back before the beginning")]
    OutOfWindow,
    /// A length in its longest form is less than what a shorter form holds.
    #[error("a match has a length that no packer writes")]
    BadLength,
    /// There is no room for what the packed bytes hold.
    #[error("the packed bytes hold more than expected")]
    TooLong,
}

/// Unpacks all of `packed` into the beginning of `out`, and returns the number of bytes written. The work is bounded by the two
/// lengths.
///
/// # Errors
/// The packed bytes are damaged, or hold more than `out` has room for. `out` then holds a part.
pub(crate) fn unpack(packed: &[u8], out: &mut [u8]) -> Result<usize, Malformed> {
    let mut input = Input { left: packed, high_half: None };
    let mut done = 0usize;
    while !input.left.is_empty() {
        let flags = u32::from_le_bytes(input.take()?);
        for bit in (0..u32::BITS).rev() {
            // The flags of the last group are filled up with ones: the input may end where a match is due.
            if input.left.is_empty() {
                break;
            }
            if flags >> bit & 1 == 0 {
                let [literal] = input.take()?;
                *out.get_mut(done).ok_or(Malformed::TooLong)? = literal;
                done = done.saturating_add(1);
            } else {
                let (distance, length) = input.take_match()?;
                let from = done.checked_sub(distance).ok_or(Malformed::OutOfWindow)?;
                let end = done.checked_add(length).ok_or(Malformed::TooLong)?;
                repeat(out.get_mut(from..end).ok_or(Malformed::TooLong)?, distance);
                done = end;
            }
        }
    }
    Ok(done)
}

/// Fills `bytes` by repeating its first `distance` bytes.
fn repeat(bytes: &mut [u8], distance: usize) {
    for index in distance..bytes.len() {
        // A match may reach into what it writes itself.
        let byte = bytes.get(index.saturating_sub(distance)).copied().unwrap_or_default();
        if let Some(place) = bytes.get_mut(index) {
            *place = byte;
        }
    }
}

/// The packed bytes to come.
struct Input<'p> {
    left: &'p [u8],
    /// The half of a byte that the match before left for the next one whose length does not fit.
    high_half: Option<u8>,
}

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, left) = self.left.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.left = left;
        Ok(*bytes)
    }

    /// How far back the next match begins, and its length.
    fn take_match(&mut self) -> Result<(usize, usize), Malformed> {
        let word = u16::from_le_bytes(self.take()?);
        let distance = usize::from(word >> 3).saturating_add(1);
        let short = u32::from(word & 7);
        let length = if short < 7 { short } else { self.take_length()? };
        let length = usize::try_from(length).map_err(|_| Malformed::TooLong)?;
        Ok((distance, length.checked_add(3).ok_or(Malformed::TooLong)?))
    }

    /// A length that does not fit into the match's own three bits: what is then added in a longer form *replaces* the shorter
    /// ones only from 16 bits on.
    fn take_length(&mut self) -> Result<u32, Malformed> {
        let half = if let Some(half) = self.high_half.take() {
            half
        } else {
            let [byte] = self.take()?;
            self.high_half = Some(byte >> 4);
            byte & 0xf
        };
        if half < 15 {
            return Ok(u32::from(half).saturating_add(7));
        }
        let [byte] = self.take()?;
        if byte < 255 {
            return Ok(u32::from(byte).saturating_add(15 + 7));
        }
        let word = u32::from(u16::from_le_bytes(self.take()?));
        let length = if word == 0 { u32::from_le_bytes(self.take()?) } else { word };
        if length < 15 + 7 { Err(Malformed::BadLength) } else { Ok(length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unpacked(packed: &[u8], room: usize) -> Result<Vec<u8>, Malformed> {
        let mut out = vec![0xee; room];
        unpack(packed, &mut out).map(|length| out[..length].to_vec())
    }

    /// [MS-XCA] 3.1.
    #[test]
    fn the_examples_of_the_specification() {
        let alphabet = b"abcdefghijklmnopqrstuvwxyz";
        let packed = [&[0x3f, 0, 0, 0][..], alphabet].concat();
        assert_eq!(unpacked(&packed, 4096).unwrap(), alphabet);
        let packed = [0xff, 0xff, 0xff, 0x1f, 0x61, 0x62, 0x63, 0x17, 0x00, 0x0f, 0xff, 0x26, 0x01];
        assert_eq!(unpacked(&packed, 300).unwrap(), b"abc".repeat(100));
        assert_eq!(unpacked(&packed, 299), Err(Malformed::TooLong));
    }

    /// The lengths at which the form changes, written by hand from [MS-XCA] 2.4: a literal, then one match of distance 1.
    #[test]
    fn each_form_of_a_length() {
        let forms: [(&[u8], usize); 8] = [
            (&[0x00, 0x00], 3),
            (&[0x06, 0x00], 9),
            (&[0x07, 0x00, 0x00], 10),
            (&[0x07, 0x00, 0x0e], 24),
            (&[0x07, 0x00, 0x0f, 0x00], 25),
            (&[0x07, 0x00, 0x0f, 0xfe], 279),
            (&[0x07, 0x00, 0x0f, 0xff, 0x16, 0x00], 25),
            (&[0x07, 0x00, 0x0f, 0xff, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00], 0x1_0003),
        ];
        for (form, length) in forms {
            let packed = [&[0xff, 0xff, 0xff, 0x7f, b'x'][..], form].concat();
            assert_eq!(unpacked(&packed, 0x2_0000).unwrap(), vec![b'x'; length + 1], "{form:x?}");
            for cut in 1..form.len() {
                // Cut before a match is the end, within one it is damage.
                assert_eq!(
                    unpacked(&packed[..packed.len() - cut], 0x2_0000),
                    Err(Malformed::Truncated),
                    "{form:x?} {cut}"
                );
            }
        }
        // Two long matches share a byte; a literal stands between them.
        let shared = [0xff, 0xff, 0xff, 0x5f, b'x', 0x07, 0x00, 0x21, b'y', 0x07, 0x00];
        let expected = [vec![b'x'; 12], vec![b'y'; 13]].concat();
        assert_eq!(unpacked(&shared, 4096).unwrap(), expected);
    }

    #[test]
    fn damage_is_told() {
        assert_eq!(unpacked(&[0xff, 0xff, 0xff], 9), Err(Malformed::Truncated));
        assert_eq!(unpacked(&[0xff, 0xff, 0xff, 0xff, 0x00, 0x00], 9), Err(Malformed::OutOfWindow));
        assert_eq!(unpacked(&[0xff, 0xff, 0xff, 0x7f, b'x', 0x08, 0x00], 9), Err(Malformed::OutOfWindow));
        let short = [0xff, 0xff, 0xff, 0x7f, b'x', 0x07, 0x00, 0x0f, 0xff, 0x15, 0x00];
        assert_eq!(unpacked(&short, 4096), Err(Malformed::BadLength));
        assert_eq!(unpacked(&[], 9).unwrap(), b"");
    }

    /// A packer that shares no thought with the reader: the longest match by brute force, lengths as [MS-XCA] 2.3 writes them.
    fn pack(plain: &[u8]) -> Vec<u8> {
        let (mut out, mut place, mut flags, mut half) = (vec![0; 4], 0usize, Vec::new(), None::<usize>);
        let mut at = 0;
        while at < plain.len() {
            let best = (1..=at.min(8192))
                .map(|distance| {
                    let same = (at..plain.len()).take_while(|i| plain[*i] == plain[*i - distance]).count();
                    (same, std::cmp::Reverse(distance))
                })
                .max()
                .filter(|(same, _)| *same >= 3);
            flags.push(best.is_some());
            if let Some((same, std::cmp::Reverse(distance))) = best {
                at += same;
                let rest = same - 3;
                out.extend((((distance - 1) << 3 | rest.min(7)) as u16).to_le_bytes());
                if rest >= 7 {
                    let nibble = (rest - 7).min(15) as u8;
                    match half.take() {
                        Some(byte) => out[byte] |= nibble << 4,
                        None => {
                            half = Some(out.len());
                            out.push(nibble);
                        }
                    }
                    if nibble == 15 {
                        out.push((rest - 22).min(255) as u8);
                        if rest - 22 >= 255 {
                            out.extend((rest as u16).to_le_bytes());
                        }
                    }
                }
            } else {
                out.push(plain[at]);
                at += 1;
            }
            if flags.len() == 32 {
                let word = flags.drain(..).fold(0u32, |word, flag| word << 1 | u32::from(flag));
                out[place..place + 4].copy_from_slice(&word.to_le_bytes());
                place = out.len();
                out.extend([0; 4]);
            }
        }
        flags.resize(32, true);
        let word = flags.into_iter().fold(0u32, |word, flag| word << 1 | u32::from(flag));
        out[place..place + 4].copy_from_slice(&word.to_le_bytes());
        out
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(pieces in proptest::collection::vec((0u8..4, 1usize..600), 0..30)) {
            let plain: Vec<u8> = pieces.iter().flat_map(|(byte, count)| (0..*count).map(move |i| byte + (i % 3) as u8)).collect();
            let packed = pack(&plain);
            prop_assert_eq!(unpacked(&packed, plain.len()).unwrap(), plain.clone());
            if let Some(less) = plain.len().checked_sub(1) {
                prop_assert_eq!(unpacked(&packed, less), Err(Malformed::TooLong));
            }
        }

        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), room in 0usize..5000) {
            if let Ok(plain) = unpacked(&bytes, room) {
                prop_assert!(plain.len() <= room);
            }
        }
    }
}
