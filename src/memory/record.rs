//! What was read at an address, page by page: owned, for documents.

use super::fault::Fault;
use super::space::AddressSpace;
use crate::image::PhysicalMemory;
use crate::{Hex, Origin, PAGE_SIZE, PhysicalAddress, VirtualAddress};
use serde::Serialize;

/// Bytes that one read gives: more is the work of a dump.
pub const MAX_READ: u64 = 1 << 24;

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

/// The pieces of `[at, at + bytes)` in one page each: address and length.
fn pieces(at: u64, bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    let end = at.saturating_add(bytes.min(MAX_READ));
    let mut from = at;
    std::iter::from_fn(move || {
        let left = VirtualAddress(from).left_in_page().min(end.saturating_sub(from));
        let piece = (from, left);
        from = from.saturating_add(left);
        (left > 0).then_some(piece)
    })
}

/// Two digits for each byte that was read, and dots for the others.
fn digits(hex: &mut String, read: &[u8], bytes: u64) {
    for byte in read {
        hex.push_str(&format!("{byte:02x}"));
    }
    let missing = bytes.saturating_sub(u64::try_from(read.len()).unwrap_or(u64::MAX));
    hex.push_str(&"..".repeat(usize::try_from(missing).unwrap_or(0)));
}

impl MemoryRead {
    /// Reads `bytes` bytes (at most [`MAX_READ`]) of an address space.
    #[must_use]
    pub fn of_space(space: AddressSpace<'_>, at: VirtualAddress, bytes: u64) -> Self {
        let mut read = Self { address: Hex(at.0), space: "virtual", pages: Vec::new(), hex: String::new() };
        for (from, length) in pieces(at.0, bytes) {
            let at = VirtualAddress(from);
            let mut buf = vec![0u8; usize::try_from(length).unwrap_or(0)];
            let (done, fault) = space.read_some(at, &mut buf);
            digits(&mut read.hex, buf.get(..done).unwrap_or_default(), length);
            let page = PageRead {
                address: Hex(from),
                bytes: length,
                from: if fault.is_none() { space.origin(at).ok() } else { None },
                physical: space.resolve(at).physical(),
                missing: fault.as_ref().map(Fault::kind),
                reason: fault.as_ref().map(Fault::to_string),
                remedy: fault.as_ref().and_then(Fault::remedy),
            };
            read.pages.push(page);
        }
        read
    }

    /// Reads `bytes` bytes (at most [`MAX_READ`]) of physical memory.
    #[must_use]
    pub fn of_memory(memory: &dyn PhysicalMemory, at: PhysicalAddress, bytes: u64) -> Self {
        let mut read = Self { address: Hex(at.0), space: "physical", pages: Vec::new(), hex: String::new() };
        for (from, length) in pieces(at.0, bytes) {
            let mut buf = vec![0u8; usize::try_from(length).unwrap_or(0)];
            let done = memory.read(PhysicalAddress(from), &mut buf);
            digits(&mut read.hex, buf.get(..done).unwrap_or_default(), length);
            let whole = done == buf.len();
            read.pages.push(PageRead {
                address: Hex(from),
                bytes: length,
                from: whole.then_some(Origin::Memory),
                physical: Some(PhysicalAddress(from)),
                missing: (!whole).then_some("not_in_image"),
                reason: (!whole).then(|| format!("{} is not in the image", PhysicalAddress(from))),
                remedy: None,
            });
        }
        read
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
            (Hex(self.address.0.wrapping_add(offset)), format!("{:<47}  {text}", words.join(" ")))
        };
        digits.chunks(LINE_BYTES).enumerate().map(line).collect()
    }
}

/// Bytes in a line of text.
const LINE_BYTES: usize = 16;
const LINE: u64 = PAGE_SIZE / 256;
