//! LZ4 blocks (Yann Collet, "LZ4 Block Format Description"), the writer's side.

use crate::xpress::longest;

/// Shortest match that the format has.
const LEAST: usize = 4;
/// No match begins in the last 12 bytes, and the last 5 are literals.
const TAIL: usize = 12;

/// Compresses bytes to one block.
#[must_use]
pub fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut at, mut from) = (0, 0);
    while at + TAIL <= bytes.len() {
        match longest(&bytes[..bytes.len() - 5], at, 0xffff, LEAST) {
            Some((back, length)) => {
                sequence(&mut out, &bytes[from..at], Some((back, length)));
                at += length;
                from = at;
            }
            None => at += 1,
        }
    }
    sequence(&mut out, &bytes[from..], None);
    out
}

fn sequence(out: &mut Vec<u8>, literals: &[u8], copy: Option<(usize, usize)>) {
    let long = copy.map_or(0, |(_, length)| length - LEAST);
    out.push((literals.len().min(15) << 4 | long.min(15)) as u8);
    rest(out, literals.len());
    out.extend_from_slice(literals);
    if let Some((back, _)) = copy {
        out.extend_from_slice(&(back as u16).to_le_bytes());
        rest(out, long);
    }
}

/// What a length has beyond the 15 of its half byte.
fn rest(out: &mut Vec<u8>, length: usize) {
    if let Some(mut more) = length.checked_sub(15) {
        while more >= 255 {
            out.push(255);
            more -= 255;
        }
        out.push(more as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by hand after the format's description.
    #[test]
    fn a_run_and_a_tail() {
        // One literal, a match of 58 at distance 1, five literals.
        assert_eq!(compress(&[b'a'; 64]), [0x1f, b'a', 1, 0, 58 - 4 - 15, 0x50, b'a', b'a', b'a', b'a', b'a']);
        assert_eq!(compress(b"short"), [&[0x50][..], b"short"].concat());
    }
}
