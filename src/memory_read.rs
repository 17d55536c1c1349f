//! What was read at an address, page by page: owned, for documents.

use crate::{Hex, Origin, PhysicalAddress};
use serde::Serialize;

/// Bytes at an address, and for each page where they came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryRead {
    /// Where it begins.
    pub address: Hex,
    /// `virtual` or `physical`.
    pub space: &'static str,
    /// The pages, in order.
    pub pages: Vec<PageRead>,
    /// All bytes, two digits each; `..` for those that could not be read.
    pub hex: String,
}

/// The part of a read that lies in one page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PageRead {
    /// Where it begins.
    pub address: Hex,
    /// Bytes asked for.
    pub bytes: u64,
    /// What supplied it. `None`: nothing did.
    pub from: Option<Origin>,
    /// Where it lies in memory. `None`: it does not.
    pub physical: Option<PhysicalAddress>,
    /// The kind of place that it is in or should be in, where it could not be read: `page_file`, `file_only`, `not_in_image` ...
    pub missing: Option<&'static str>,
    /// Why it could not be read.
    pub reason: Option<String>,
    /// What would supply it, if anything could.
    pub remedy: Option<String>,
}

impl MemoryRead {
    /// The bytes, 16 to a line, each line with its address.
    #[must_use]
    pub fn lines(&self) -> Vec<(Hex, String)> {
        let (digits, _) = self.hex.as_bytes().as_chunks::<2>();
        let line = |(index, line): (usize, &[[u8; 2]])| {
            let offset = u64::try_from(index).unwrap_or(0).saturating_mul(LINE);
            let words: Vec<&str> = line.iter().map(|two| std::str::from_utf8(two).unwrap_or("..")).collect();
            let text: String = line
                .iter()
                .map(|two| std::str::from_utf8(two).ok().and_then(|two| u8::from_str_radix(two, 16).ok()))
                .map(|byte| byte.filter(|byte| (b' '..=b'~').contains(byte)).map_or('.', char::from))
                .collect();
            (Hex(self.address.0.wrapping_add(offset)), format!("{:<47}  {text}", words.join(" ")))
        };
        digits.chunks(LINE_BYTES).enumerate().map(line).collect()
    }
}

/// Bytes in a line of text.
const LINE_BYTES: usize = 16;
const LINE: u64 = 16;
