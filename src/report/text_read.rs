//! Bytes of memory, as text.

use super::{Palette, wrap};
use crate::memory_read::MemoryRead;
use std::fmt::{self, Write};

/// Writes bytes, 16 to a line, and then for each page where it came from or why it is missing.
///
/// # Errors
/// `out` fails.
pub fn memory(out: &mut impl Write, read: &MemoryRead, palette: &Palette) -> fmt::Result {
    for (address, line) in read.lines() {
        writeln!(out, "{}  {line}", palette.faint.paint(format!("{:016x}", address.0)))?;
    }
    writeln!(out)?;
    for page in &read.pages {
        let physical = page.physical.map_or_else(String::new, |at| format!(", physical {at}"));
        let line = match (&page.from, &page.reason) {
            (Some(from), _) => format!("{:#018x} {} bytes from {from}{physical}", page.address.0, page.bytes),
            (None, reason) => format!(
                "{:#018x} {} bytes missing: {}",
                page.address.0,
                page.bytes,
                reason.as_deref().unwrap_or("nothing supplies them")
            ),
        };
        wrap(out, &line, 0, 2)?;
    }
    Ok(())
}
