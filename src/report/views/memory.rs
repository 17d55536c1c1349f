//! Bytes of memory, and where each page of them came from.

use super::columns::visible;
use crate::memory_read::{FieldRead, MemoryRead};
use crate::report::page::{Blocks as _, Page, Tone};

/// Bytes, 16 to a line, as text, or as the fields of a structure; and then for each page where it came from or why it is missing.
#[must_use]
pub fn memory(read: &MemoryRead) -> Page {
    let mut page = Page::new("Memory");
    if let Some(structure) = &read.structure {
        page.paragraph((0, 2), format!("{}, {:#x} bytes at {:#018x}", structure.name, structure.bytes, read.address.0));
        structure.fields.iter().for_each(|field| self::field(&mut page, field));
    }
    if let Some(text) = &read.text {
        for text in text.split('\0').filter(|text| !text.is_empty()) {
            page.paragraph((0, 2), visible(text));
        }
    }
    if read.text.is_none() && read.structure.is_none() {
        for (address, line) in read.lines() {
            page.verbatim(Tone::Faint.say(format!("{:016x}", address.0)).and(Tone::Plain, format!("  {line}")));
        }
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

/// `+0x2e8 UniqueProcessId 0xcbc`
fn field(page: &mut Page, field: &FieldRead) {
    let bits = field.bits.map_or_else(String::new, |(low, count)| match count {
        1 => format!(" bit {low}"),
        _ => format!(" bits {low}-{}", low.saturating_add(count).saturating_sub(1)),
    });
    let words = field.value.as_deref().filter(|_| field.offset.is_multiple_of(8)).and_then(pointers);
    let value = words.as_deref().or(field.value.as_deref()).unwrap_or("not read");
    let text = field.text.as_ref().map_or_else(String::new, |text| format!("  {}", visible(text)));
    // What a structure holds stands in the lines of its fields.
    let value = if field.structure.is_some() { "" } else { value };
    let what = format!("  {}{bits}  {value}{text}", field.name);
    page.verbatim(Tone::Faint.say(format!("{:>7}", format!("+{:#x}", field.offset))).and(Tone::Plain, what));
}

/// The bytes of two pointers, as in the head of a list, as numbers that can be pasted.
fn pointers(bytes: &str) -> Option<String> {
    let bytes: Vec<u8> = bytes.split(' ').map(|two| u8::from_str_radix(two, 16).ok()).collect::<Option<_>>()?;
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    let (words, _) = bytes.as_chunks::<8>();
    Some(words.iter().map(|word| format!("{:#018x}", u64::from_le_bytes(*word))).collect::<Vec<_>>().join(" "))
}
