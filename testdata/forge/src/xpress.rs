//! Plain LZ77 of Xpress ([MS-XCA] 2.3, 2.4), the writer's side.

/// Shortest match that the format has.
const LEAST: usize = 3;
/// Farthest match: the offset less one has 13 bits.
const FAR: usize = 1 << 13;

/// Compresses bytes: at each place the longest match among the nearest candidates.
#[must_use]
pub fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut out = Output { bytes: vec![0; 4], flags_at: 0, flags: 0, count: 0, half: None };
    let mut at = 0;
    while at < bytes.len() {
        match longest(bytes, at, FAR, LEAST) {
            Some((back, length)) => {
                out.reference(back, length);
                at += length;
            }
            None => {
                out.literal(bytes[at]);
                at += 1;
            }
        }
    }
    out.finish()
}

/// How far back, and how long, the longest earlier copy of what comes next is; of several the nearest.
pub(crate) fn longest(bytes: &[u8], at: usize, far: usize, least: usize) -> Option<(usize, usize)> {
    let mut best: Option<(usize, usize)> = None;
    for start in (at.saturating_sub(far)..at).rev() {
        // Copies may overlap what they make.
        let length = (0..bytes.len() - at).take_while(|&n| bytes[start + n] == bytes[at + n]).count();
        if length >= least && best.is_none_or(|(_, l)| length > l) {
            best = Some((at - start, length));
            if at + length == bytes.len() {
                break;
            }
        }
    }
    best
}

struct Output {
    bytes: Vec<u8>,
    /// Where the current word of flags goes.
    flags_at: usize,
    flags: u32,
    count: u32,
    /// Where a length began whose byte has its upper half free.
    half: Option<usize>,
}

impl Output {
    fn flag(&mut self, set: bool) {
        self.flags = self.flags << 1 | u32::from(set);
        self.count += 1;
        if self.count == 32 {
            self.write_flags();
            self.flags_at = self.bytes.len();
            self.bytes.extend_from_slice(&[0; 4]);
        }
    }

    fn write_flags(&mut self) {
        self.bytes[self.flags_at..self.flags_at + 4].copy_from_slice(&self.flags.to_le_bytes());
        (self.flags, self.count) = (0, 0);
    }

    fn literal(&mut self, byte: u8) {
        self.bytes.push(byte);
        self.flag(false);
    }

    fn reference(&mut self, back: usize, length: usize) {
        let long = length - LEAST;
        let word = ((back - 1) << 3 | long.min(7)) as u16;
        self.bytes.extend_from_slice(&word.to_le_bytes());
        if long >= 7 {
            let rest = long - 7;
            let four = rest.min(15) as u8;
            match self.half.take() {
                Some(at) => self.bytes[at] |= four << 4,
                None => {
                    self.half = Some(self.bytes.len());
                    self.bytes.push(four);
                }
            }
            if rest >= 15 {
                let more = rest - 15;
                self.bytes.push(more.min(255) as u8);
                if more >= 255 {
                    // The whole length again, in place of the sum.
                    self.bytes.extend_from_slice(&(long as u16).to_le_bytes());
                }
            }
        }
        self.flag(true);
    }

    fn finish(mut self) -> Vec<u8> {
        // What is left of the flags says that a match would come.
        let rest = 32 - self.count;
        self.flags = if rest == 32 { u32::MAX } else { self.flags << rest | ((1 << rest) - 1) };
        self.write_flags();
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of [MS-XCA] 3.1.
    #[test]
    fn published_vectors() {
        let letters: Vec<u8> = (b'a'..=b'z').collect();
        assert_eq!(compress(&letters), [&[0x3f, 0, 0, 0], letters.as_slice()].concat());
        let repeated = b"abc".repeat(100);
        let expected = [0xff, 0xff, 0xff, 0x1f, 0x61, 0x62, 0x63, 0x17, 0x00, 0x0f, 0xff, 0x26, 0x01];
        assert_eq!(compress(&repeated), expected);
    }

    /// Two lengths share a byte: the second goes into its upper half.
    #[test]
    fn halves_of_a_byte() {
        let mut bytes = b"0123456789abcdef".to_vec();
        bytes.extend_from_slice(b"0123456789abcdef#0123456789abcdef");
        let packed = compress(&bytes);
        // 16 literals, a match of 16 (long 13: 7 + 6), a literal, a match of 16 again.
        let at = 4 + 16;
        assert_eq!(packed[at..at + 3], [0x7f, 0, 0x66]);
        assert_eq!(packed[at + 3..], [b'#', 0x87, 0]);
    }
}
