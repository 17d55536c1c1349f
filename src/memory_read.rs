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
    /// What they say, where they were asked for as text: `\u{fffd}` stands for what is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The structure that they were asked for as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub structure: Option<StructureRead>,
}

/// A structure by its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StructureRead {
    /// Its C name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its fields and those of the structures in it, in order of offset. Of built-in layouts, those that are known.
    pub fields: Vec<FieldRead>,
}

/// One field of a structure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FieldRead {
    /// Distance in bytes from the start of the structure.
    pub offset: u64,
    /// Its path: `Pcb.DirectoryTableBase`.
    pub name: String,
    /// Its size in bytes, or that of the number whose bits it is. 0: the symbols do not say.
    pub bytes: u64,
    /// Lowest bit and number of bits, of a bit-field.
    pub bits: Option<(u8, u8)>,
    /// The structure that it is.
    pub structure: Option<String>,
    /// A number of up to 8 bytes in hexadecimal, or the first bytes of what is longer. `None`: not all of it could be read, or its
    /// size is not known.
    pub value: Option<String>,
    /// The text that a `_UNICODE_STRING` leads to, or that an array of characters holds.
    pub text: Option<String>,
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
    /// The byte at this distance from the start. `None`: it could not be read, or was not asked for.
    #[must_use]
    pub fn byte(&self, index: usize) -> Option<u8> {
        let at = index.checked_mul(2)?;
        u8::from_str_radix(self.hex.get(at..at.checked_add(2)?)?, 16).ok()
    }

    /// The same with the bytes as text: as UTF-16 or as UTF-8.
    #[must_use]
    pub fn with_text(mut self, utf16: bool) -> Self {
        let bytes: Vec<u8> = (0..self.hex.len() / 2).map(|index| self.byte(index).unwrap_or(0)).collect();
        let (pairs, _) = bytes.as_chunks::<2>();
        self.text = Some(if utf16 {
            String::from_utf16_lossy(&pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect::<Vec<_>>())
        } else {
            String::from_utf8_lossy(&bytes).into_owned()
        });
        self
    }

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
            // In pairs, so that a line with its address has room on a terminal of 80 columns.
            let pairs: Vec<String> = words.chunks(2).map(<[&str]>::concat).collect();
            (Hex(self.address.0.wrapping_add(offset)), format!("{:<39}  {text}", pairs.join(" ")))
        };
        digits.chunks(LINE_BYTES).enumerate().map(line).collect()
    }
}

/// Bytes in a line of text.
const LINE_BYTES: usize = 16;
const LINE: u64 = 16;
