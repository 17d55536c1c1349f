//! Raw images: byte n of the file is byte n of physical memory; or the memory without the hole below 4 GiB.

use super::formats::{Opened, Opening, Other};
use super::hole;
use super::runs::{Place, Runs};
use super::source::Source;
use super::{PhysicalMemory, PhysicalRun};
use crate::{Error, PAGE_SIZE, PhysicalAddress};
use std::sync::Arc;

/// A machine that runs Windows NT has more memory than this, and a file that is smaller holds no kernel.
const SMALLEST: u64 = 0x10_0000;
/// Bytes looked at to tell text from memory.
const LOOK: usize = 0x1000;
/// Lengths of headers that tools put in front of raw memory, or that were left there when a container was cut open.
const HEADERS: [u64; 7] = [0x20, 0x40, 0x200, 0x400, 0x1000, 0x2000, 0x1_0000];

/// Takes the file as it is. The last page may be partial. `doubts`: what the file looked like and is not.
pub(super) fn open(opening: &Opening<'_>, doubts: &[(&'static str, String)]) -> Result<Opened, Error> {
    let source = &opening.source;
    let length = source.len();
    if is_text(&source.head(0, LOOK)) && !has_start_block(source) {
        return Err(Error::NotAnImage {
            what: "this is a text file, not a memory image".into(),
            advice: "Name the file that the acquisition tool wrote; a process list or report of another tool goes to `check --report`".into(),
        });
    }
    if length < SMALLEST {
        if let Some((title, why)) = doubts.first() {
            return Err(Error::NotAnImage {
                what: format!("this file begins as {title} does, but {why}"),
                advice: "It is damaged or cut short: copy it again".into(),
            });
        }
        return Err(Error::NotAnImage {
            what: format!("this file of {length} bytes is too small to be a memory image"),
            advice: "A raw image is as long as the machine's memory: was the copy cut short?".into(),
        });
    }
    let whole = [(PhysicalRun { start: PhysicalAddress(0), bytes: length }, Place::File(0))];
    let memory: Arc<dyn PhysicalMemory> = Arc::new(Runs::new(source.clone(), whole).0);
    let holes = hole::begins(length).map(|begin| Other {
        memory: Box::new(hole::with_hole(&memory, begin)),
        moved: false,
        note: hole::note(begin),
    });
    let headers = HEADERS.into_iter().chain(headers_by_stub(source));
    let others = headers.map(|header| behind_header(source, header)).chain(holes).collect();
    let mut opened = Opened::new("raw", memory);
    opened.others = others;
    Ok(opened)
}

/// Bytes at the start of a file in which a processor start block is looked for: it lies below 1 MiB of memory.
const STUBS: usize = 0x10_0000 + 0x1_0000;
/// Pages that a header is tried to have, beside what is left of one.
const HEADER_PAGES: u64 = 4;

/// Lengths of a header that would put a processor start block (`PROCESSOR_START_BLOCK`: a jump over its data, `CompletionFlag` 1,
/// a page-table root at 0xA0), which is somewhere within a page of the file, to the start of a page of memory.
fn headers_by_stub(source: &Source) -> Vec<u64> {
    let rest = start_block(source).map_or(0, |at| at % PAGE_SIZE);
    let pages = if rest == 0 { 0 } else { HEADER_PAGES };
    let lengths = (0..pages).map(|page| page.saturating_mul(PAGE_SIZE).saturating_add(rest));
    lengths.filter(|length| !HEADERS.contains(length)).collect()
}

/// Whether a page of the first MiB begins with a processor start block, as in the memory of every machine that was not hidden from:
/// whatever the first page is like then, the file is memory as it is.
pub(super) fn has_start_block(source: &Source) -> bool {
    source.len() >= SMALLEST && start_block(source).is_some_and(|at| at.is_multiple_of(PAGE_SIZE))
}

/// Where the first processor start block of a file lies.
fn start_block(source: &Source) -> Option<u64> {
    const BLOCK: usize = 0xa8;
    source.prefetch(0, u64::try_from(STUBS).unwrap_or(0));
    let bytes = source.head(0, STUBS);
    let is_stub = |at: usize| {
        let block = bytes.get(at..at.checked_add(BLOCK)?)?;
        let root = u64::from_le_bytes(*block.get(0xa0..)?.first_chunk()?);
        (block.first() == Some(&0xe9) && root != 0 && root & 0xffff_0000_0000_0fff == 0).then_some(at)
    };
    let mut marks = memchr::memmem::find_iter(&bytes, b"\x06\x00\x01\x00\x00\x00");
    marks.find_map(|mark| is_stub(mark.checked_sub(2)?)).and_then(|at| u64::try_from(at).ok())
}

/// The reading in which the file begins with `header` bytes that are no memory.
fn behind_header(source: &Source, header: u64) -> Other {
    let memory = PhysicalRun { start: PhysicalAddress(0), bytes: source.len().saturating_sub(header) };
    Other {
        memory: Box::new(Runs::new(source.clone(), [(memory, Place::File(header))]).0),
        moved: true,
        note: format!(
            "the file begins with {header:#x} bytes that are no memory: page tables resolve if memory begins behind them, and it is read so"
        ),
    }
}

/// True for UTF-8 or ASCII without control characters, and for what starts with a UTF-16 mark.
fn is_text(head: &[u8]) -> bool {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return head.iter().filter(|byte| **byte == 0).count() < head.len().div_ceil(2)
            && !head.windows(4).any(|four| four == [0; 4]);
    }
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut at the end of what is looked at.
        Err(error) if error.error_len().is_none() => {
            head.get(..error.valid_up_to()).and_then(|head| std::str::from_utf8(head).ok()).unwrap_or("")
        }
        Err(_) => return false,
    };
    !valid.is_empty() && valid.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r'))
}
