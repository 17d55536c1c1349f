//! Bytes of memory, and where each page of them came from.

use crate::memory_read::MemoryRead;
use crate::report::page::{Blocks as _, Page, Tone};

/// Bytes, 16 to a line, and then for each page where it came from or why it is missing.
#[must_use]
pub fn memory(read: &MemoryRead) -> Page {
    let mut page = Page::new("Memory");
    for (address, line) in read.lines() {
        page.verbatim(Tone::Faint.say(format!("{:016x}", address.0)).and(Tone::Plain, format!("  {line}")));
    }
    page.gap();
    for part in &read.pages {
        let physical = part.physical.map_or_else(String::new, |at| format!(", physical {at}"));
        let line = match (&part.from, &part.reason) {
            (Some(from), _) => format!("{:#018x} {} bytes from {from}{physical}", part.address.0, part.bytes),
            (None, reason) => format!(
                "{:#018x} {} bytes missing: {}",
                part.address.0,
                part.bytes,
                reason.as_deref().unwrap_or("nothing supplies them")
            ),
        };
        page.paragraph((0, 2), line);
    }
    page
}
