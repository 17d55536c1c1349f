//! Deflated blocks (zlib, RFC 1950): pages of QEMU and kdump, chunks of EWF.

use std::io::Read as _;

/// Exactly `size` bytes of a zlib stream; whatever it holds beyond that is not looked at.
pub(super) fn zlib(data: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut out = vec![0; size];
    flate2::read::ZlibDecoder::new(data).read_exact(&mut out).ok()?;
    Some(out)
}

/// What a zlib stream holds, `size` bytes at most.
pub(super) fn zlib_up_to(data: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(size);
    let limit = u64::try_from(size).ok()?;
    flate2::read::ZlibDecoder::new(data).take(limit).read_to_end(&mut out).ok()?;
    Some(out)
}
