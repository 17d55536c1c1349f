//! LiME images, and AVML images of version 1, which are the same: ranges of memory, each behind a header of 32 bytes.
//!
//! Layout: `lime.h` of LiME (magic, version, first address, last address, reserved).

use super::PhysicalRun;
use super::formats::{Format, Found, Job, Opened, Opening, Refusal};
use super::runs::{Place, Runs};
use super::source::Source;
use crate::{PAGE_SIZE, PhysicalAddress};

/// See the module.
pub(super) static FORMAT: Format =
    Format { title: "a LiME image", mark: |opening| opening.source.has(0, MAGIC), job: Job::Read(open) };

const MAGIC: &[u8; 4] = b"EMiL";
const HEADER: u64 = 0x20;
/// Ranges of one image at most. A machine has some dozens; AVML makes one of each 16 MiB, which are a million in 16 TiB.
const MAX_RANGES: usize = 1 << 20;

/// A range's header: the memory, and where its bytes begin.
pub(super) fn range(source: &Source, at: u64) -> Option<PhysicalRun> {
    let (first, last) = (source.u64(at.checked_add(8)?)?, source.u64(at.checked_add(16)?)?);
    // The last address belongs to it; some writers give the one behind it, which no range of a machine ends with.
    let bytes = match last.checked_sub(first)? {
        bytes if bytes > 0 && bytes.is_multiple_of(PAGE_SIZE) => bytes,
        bytes => bytes.checked_add(1)?,
    };
    Some(PhysicalRun { start: PhysicalAddress(first), bytes })
}

fn open(opening: &Opening<'_>) -> Result<Found, Refusal> {
    let source = &opening.source;
    let mut pieces = Vec::new();
    let (mut at, mut odd) = (0u64, None);
    while at < source.len() {
        if pieces.len() >= MAX_RANGES {
            odd =
                Some(format!("the image has more than {MAX_RANGES} ranges: those from offset {at:#x} on are left out"));
            break;
        }
        let version = source.u32(at.saturating_add(4));
        let found = range(source, at).filter(|_| source.has(at, MAGIC) && version == Some(1));
        let Some(run) = found else {
            let what = if source.len().saturating_sub(at) < HEADER { "ends within a" } else { "has no" };
            odd = Some(format!("the file {what} range's header at offset {at:#x}: what follows is not read"));
            break;
        };
        let data = at.saturating_add(HEADER);
        pieces.push((run, Place::File(data)));
        at = data.saturating_add(run.bytes);
    }
    // A range of less than a page, and no other: some memory begins with the mark.
    if pieces.iter().all(|(run, _)| run.bytes < PAGE_SIZE) {
        return Err(Refusal::NotThis("its first range cannot be".into()));
    }
    let (runs, lost) = Runs::new(source.clone(), pieces);
    let mut opened = Opened::new("lime", runs);
    opened.warnings_of(odd, lost);
    Ok(opened.into())
}
