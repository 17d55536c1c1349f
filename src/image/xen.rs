//! Machines that Xen saved (`xl save`, XenServer): records, of which some hold pages with their frame numbers.
//!
//! Layout: `docs/specs/libxl-migration-stream.pandoc` and `libxc-migration-stream.pandoc` of Xen; `tools/xl/xl.h` for the file around
//! them.

use super::PhysicalRun;
use super::formats::{Format, Found, Job, Opened, Opening, Refusal};
use super::runs::{Piece, Place, Runs, push};
use super::source::Source;
use crate::{Error, PAGE_SIZE, PhysicalAddress};

/// See the module.
pub(super) static FORMAT: Format =
    Format { title: "a machine saved by Xen", mark: |opening| stream(&opening.source).is_some(), job: Job::Read(open) };

/// What else to do, if the file cannot be read.
pub(super) const ADVICE: &str = "Dump its memory as an ELF core instead, which can be read: xl dump-core DOMAIN FILE";

/// Of the file that `xl save` writes; 32 bytes with what follows.
const XL: &[u8] = b"Xen saved domain, xl format\n \0 \r";
/// Of a stream of libxl.
const LIBXL: &[u8] = b"LibxlFmt";
/// Of a stream of libxc.
const LIBXC: &[u8] = b"\xff\xff\xff\xff\xff\xff\xff\xffXENF";
/// Records before the memory in a stream of libxl at most.
const MAX_OUTER: u32 = 1 << 10;
/// Pages of one record at most; Xen writes 1024.
const MAX_BATCH: u64 = 1 << 16;
/// Pieces of memory that do not follow one another, at most.
const MAX_PIECES: usize = 1 << 22;

const HVM: u32 = 2;
/// Kinds of records in a stream of libxc.
const END: u32 = 0;
const PAGES: u32 = 1;
/// Where the stream of libxc begins.
enum Start {
    Here(u64),
    /// It is in one of libxl, whose records begin here.
    Within(u64),
}

fn stream(source: &Source) -> Option<Start> {
    let begin = if source.has(0, XL) {
        // Byte order, two words of flags, and the length of the domain's configuration.
        48u64.checked_add(u64::from(source.u32(44)?))?
    } else {
        0
    };
    if source.has(begin, LIBXL) {
        Some(Start::Within(begin.checked_add(16)?))
    } else if source.has(begin, LIBXC) {
        Some(Start::Here(begin))
    } else {
        None
    }
}

/// A record's kind, where its body is, and where the next one is.
fn record(source: &Source, at: u64) -> Option<(u32, u64, u64)> {
    let (kind, length) = (source.u32(at)?, source.u32(at.checked_add(4)?)?);
    let body = at.checked_add(8)?;
    Some((kind, body, body.checked_add(u64::from(length).next_multiple_of(8))?))
}

/// The stream of libxc in one of libxl.
fn inner(source: &Source, mut at: u64) -> Option<u64> {
    for _ in 0..MAX_OUTER {
        let (kind, body, next) = record(source, at)?;
        if kind == 1 {
            return source.has(body, LIBXC).then_some(body);
        }
        at = next;
    }
    None
}

fn open(opening: &Opening<'_>) -> Result<Found, Refusal> {
    let source = &opening.source;
    let begin = match stream(source) {
        Some(Start::Here(at)) => Some(at),
        Some(Start::Within(at)) => inner(source, at),
        None => None,
    };
    let no_memory = |what: &str| Refusal::Unusable(Error::NotAnImage { what: what.into(), advice: ADVICE.into() });
    let Some(begin) = begin else {
        return Err(no_memory("this machine was saved by Xen, and its memory is not in the file, or cut off"));
    };
    let options = source.be_u16(begin.saturating_add(16)).unwrap_or(0);
    let domain = begin.saturating_add(24);
    if options & 1 != 0 || source.u32(domain) != Some(HVM) {
        return Err(no_memory(
            "this machine was saved by Xen, and is none that runs Windows (it is paravirtual, or of another byte order)",
        ));
    }
    let mut batches = Batches { source, pieces: Vec::new() };
    let (mut at, mut odd) = (domain.saturating_add(16), None);
    loop {
        let Some((kind, body, next)) = record(source, at).filter(|_| batches.pieces.len() < MAX_PIECES) else {
            odd = Some(format!("the file ends at offset {at:#x}, before its last record"));
            break;
        };
        match kind {
            END => break,
            PAGES if batches.take(body, next).is_none() => {
                odd = Some(format!("the pages at offset {at:#x} are damaged or cut off: what follows is not read"));
                break;
            }
            _ => {}
        }
        at = next;
    }
    if batches.pieces.is_empty() {
        return Err(no_memory("this machine was saved by Xen, and no page of its memory is in the file"));
    }
    // Of a page that was saved while the machine ran, and again, the last copy counts.
    batches.pieces.reverse();
    let (runs, lost) = Runs::new(source.clone(), batches.pieces);
    let mut opened = Opened::new("xen_save", runs);
    opened.maker = Some("Xen".into());
    opened.warnings_of(odd, super::runs::Lost { twice: 0, ..lost });
    Ok(opened.into())
}

struct Batches<'s> {
    source: &'s Source,
    pieces: Vec<Piece>,
}

impl Batches<'_> {
    /// Takes a record of pages: their numbers with their kinds, and then those that have bytes. `None`: it cannot be.
    fn take(&mut self, body: u64, end: u64) -> Option<()> {
        let count = u64::from(self.source.u32(body)?);
        let numbers = body.checked_add(8)?;
        let mut page = numbers.checked_add(count.checked_mul(8)?)?;
        if count > MAX_BATCH || page > end {
            return None;
        }
        for n in 0..count {
            let number = self.source.u64(numbers.checked_add(n.checked_mul(8)?)?)?;
            // Not allocated, broken, or without a page.
            if number >> 60 >= 0xd {
                continue;
            }
            let next = page.checked_add(PAGE_SIZE)?;
            if next > end {
                return None;
            }
            let start = (number & ((1 << 52) - 1)).checked_mul(PAGE_SIZE)?;
            push(&mut self.pieces, PhysicalRun { start: PhysicalAddress(start), bytes: PAGE_SIZE }, Place::File(page));
            page = next;
        }
        Some(())
    }
}
