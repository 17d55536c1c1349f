//! Deflated blocks (zlib, RFC 1950): pages of QEMU and kdump, chunks of EWF.

use std::io::Read;

/// A zlib stream of exactly `size` bytes. `None`: it has fewer or more, or the sum behind them is another.
pub(super) fn zlib(data: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut out = vec![0; size];
    let mut decoder = flate2::read::ZlibDecoder::new(data);
    decoder.read_exact(&mut out).ok()?;
    ends_well(decoder).then_some(out)
}

/// The first `size` bytes of a zlib stream, of which what follows is not looked at.
pub(super) fn zlib_start(data: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut out = vec![0; size];
    flate2::read::ZlibDecoder::new(data).read_exact(&mut out).ok()?;
    Some(out)
}

/// What a zlib stream holds, `size` bytes at most.
pub(super) fn zlib_up_to(data: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(size);
    let limit = u64::try_from(size).ok()?;
    let mut decoder = flate2::read::ZlibDecoder::new(data);
    decoder.by_ref().take(limit).read_to_end(&mut out).ok()?;
    ends_well(decoder).then_some(out)
}

/// The sum is looked at only when somebody reads up to it.
fn ends_well(mut decoder: impl Read) -> bool {
    matches!(decoder.read(&mut [0]), Ok(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// With any bit changed nothing is given, or what was there.
    #[test]
    fn changed_bits_are_noticed() {
        let page: Vec<u8> = (0..4096u32).map(|n| ((n * n) >> 7) as u8).collect();
        for level in [0, 6] {
            let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
            packer.write_all(&page).unwrap();
            let whole = packer.finish().unwrap();
            assert!(zlib(&whole, 4096).unwrap() == page && zlib_up_to(&whole, 0x8000).unwrap() == page);
            for bit in 0..whole.len() * 8 {
                let mut packed = whole.clone();
                packed[bit / 8] ^= 1 << (bit % 8);
                for found in [zlib(&packed, 4096), zlib_up_to(&packed, 4096)].into_iter().flatten() {
                    assert!(found == page, "{level} {bit}");
                }
            }
        }
    }
}
