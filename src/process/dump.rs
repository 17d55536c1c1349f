//! Bytes of a process, copied out of its address space.

use crate::addr::PAGE_BYTES;
use crate::memory::AddressSpace;
use crate::{PAGE_SIZE, VirtualAddress};
use serde::Serialize;
use std::io;

/// A range longer than this is cut: ranges that are reserved have terabytes, of which next to nothing is there.
pub const MAX_DUMPED: u64 = 1 << 30;

/// Holes that are told of a range: one of 1 GiB has pages of two kinds by turns at most so many times in any process.
pub const MAX_HOLES: usize = 1 << 14;

/// Pages in a row that could not be read for reasons of one kind, and are zero in the copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// The first byte.
    pub start: VirtualAddress,
    /// Behind the last byte.
    pub end: VirtualAddress,
    /// The kind of place that they are in, in the words of `ntmem read`: `page_file`, `demand_zero`, `not_in_image`. Where there are
    /// too many, the last has all that is behind it: `several`.
    pub kind: &'static str,
    /// Why the first page of it could not be read.
    pub reason: String,
    /// What would supply the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// What was copied of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dumped {
    /// Bytes that were given out, those of holes included.
    pub bytes: u64,
    /// Bytes that were read.
    pub read: u64,
    /// What could not be read, in rising order.
    pub holes: Vec<Hole>,
    /// The range is longer than [`MAX_DUMPED`], and what is behind that was not copied.
    pub cut: bool,
}

/// Copies `[start, end)` page by page to `to`. Pages that cannot be read are zero.
///
/// # Errors
/// Those of `to`.
pub fn dump(
    space: &AddressSpace<'_>,
    start: VirtualAddress,
    end: VirtualAddress,
    mut to: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Dumped> {
    let mut dumped = Dumped::default();
    let length = end.0.saturating_sub(start.0);
    dumped.cut = length > MAX_DUMPED;
    let last = start.0.saturating_add(length.min(MAX_DUMPED));
    let mut at = start.0;
    let mut page = [0u8; PAGE_BYTES];
    // Of what kind the last hole is: pages of one page file are, wherever in it they lie.
    let mut last_kind = None;
    while at < last {
        // Up to the end of the page that `at` lies in.
        let room = PAGE_SIZE.saturating_sub(at % PAGE_SIZE).min(last.saturating_sub(at));
        let piece = page.get_mut(..usize::try_from(room).unwrap_or(0)).unwrap_or_default();
        piece.fill(0);
        match space.read(VirtualAddress(at), piece) {
            Ok(()) => dumped.read = dumped.read.saturating_add(room),
            Err(fault) => {
                piece.fill(0);
                let behind = VirtualAddress(at.saturating_add(room));
                let kind = Some((fault.kind(), fault.place()));
                let is_full = dumped.holes.len() >= MAX_HOLES;
                match dumped.holes.last_mut().filter(|hole| hole.end.0 == at && kind == last_kind || is_full) {
                    Some(hole) => {
                        hole.end = behind;
                        if kind != last_kind {
                            hole.kind = "several";
                        }
                    }
                    None => dumped.holes.push(Hole {
                        start: VirtualAddress(at),
                        end: behind,
                        kind: fault.kind(),
                        reason: fault.to_string(),
                        remedy: fault.remedy(),
                    }),
                }
                last_kind = kind;
            }
        }
        to(piece)?;
        dumped.bytes = dumped.bytes.saturating_add(room);
        at = at.saturating_add(room);
    }
    Ok(dumped)
}

/// A name of a file that no name in an image can lead out of a folder, or make a device of: letters, digits, `.`, `-` and `_`
/// of the last part of a path, 64 at most, behind `prefix`.
#[must_use]
pub fn file_name(prefix: &str, name: &str) -> String {
    const MOST: usize = 64;
    let last = name.rsplit(['\\', '/']).next().unwrap_or_default();
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = last.chars().map(safe).take(MOST).collect();
    let name = name.trim_matches('.');
    if name.is_empty() { format!("{prefix}.bin") } else { format!("{prefix}.{name}.bin") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        for (name, wanted) in [
            (r"C:\Windows\System32\ntdll.dll", "0x1000.ntdll.dll.bin"),
            ("../../etc/passwd", "0x1000.passwd.bin"),
            (r"..\..\..", "0x1000.bin"),
            ("", "0x1000.bin"),
            ("CON", "0x1000.CON.bin"),
            ("a:b*c\u{0}\u{202e}", "0x1000.a_b_c__.bin"),
        ] {
            assert_eq!(file_name("0x1000", name), wanted);
        }
        assert!(file_name("0x1000", &"x".repeat(9000)).len() < 80);
    }
}
