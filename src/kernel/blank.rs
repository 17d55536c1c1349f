//! Parts of an object that were lost though their page is there: a sector of it, or its rest, is zeros or ones.

use std::ops::Range;

/// Bytes in a row that are taken for a lost part: half a sector. Whoever writes over one field does not write over so many, and no object
/// has so many zeros around a field that is never zero.
const LEAST: usize = 0x100;

/// The stretches of `bytes` that are lost, and the byte that they hold: zeros with a field among them of which `never_zero` says that no
/// object has it as zero, by its offset (a multiple of 8), and ones.
pub(super) fn stretches(bytes: &[u8], never_zero: impl Fn(u64) -> bool) -> Vec<(Range<usize>, u8)> {
    let mut found = Vec::new();
    let mut at = 0usize;
    for run in bytes.chunk_by(|one, other| one == other) {
        let range = at..at.saturating_add(run.len());
        at = range.end;
        let Some(byte) = run.first().copied().filter(|byte| run.len() >= LEAST && [0, 0xff].contains(byte)) else {
            continue;
        };
        let mut fields = (range.start..range.end.saturating_sub(7)).filter(|offset| offset.is_multiple_of(8));
        if byte == 0xff || fields.any(|offset| u64::try_from(offset).is_ok_and(&never_zero)) {
            found.push((range, byte));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_around_what_is_never_zero_and_ones() {
        let mut bytes = vec![1u8; 0x800];
        bytes[0x100..0x300].fill(0);
        bytes[0x400..0x4ff].fill(0xff);
        bytes[0x500..0x700].fill(0xff);
        assert_eq!(stretches(&bytes, |offset| offset == 0x2f8), [(0x100..0x300, 0), (0x500..0x700, 0xff)]);
        assert_eq!(stretches(&bytes, |offset| offset == 0x300), [(0x500..0x700, 0xff)], "no field of it is told");
        // One field is somebody's edit.
        bytes[0x110] = 1;
        bytes[0x208] = 1;
        assert_eq!(stretches(&bytes, |offset| offset == 0x150), [(0x500..0x700, 0xff)]);
    }
}
