//! Windows crash dumps of x64 systems: full (DumpType 1) and the bitmap kinds (5, 6).
//!
//! Layout of `_DUMP_HEADER64`: as published in the debugger headers and seen in real dumps.

use super::bitmap::{Bitmap, PageSet};
use super::formats::{Format, Found, Job, Opened, Opening, Refusal};
use super::runs::{Piece, Place, Runs};
use super::source::Source;
use super::{Hints, PhysicalRun};
use crate::{Error, PAGE_SIZE, PhysicalAddress, Timestamp, VirtualAddress};

/// Dumps with a 64-bit header.
pub(super) static X64: Format = Format {
    title: "a crash dump of a 64-bit Windows",
    mark: |source| source.has(0, b"PAGEDU64"),
    job: Job::Read(open),
};

/// Dumps with a 32-bit header.
pub(super) static X86: Format = Format {
    title: "a crash dump of a 32-bit Windows (PAGEDUMP)",
    mark: |source| source.has(0, b"PAGEDUMP"),
    job: Job::Name("Only x64 systems can be analysed so far"),
};

const HEADER: u64 = 0x2000;
const MINOR_VERSION: u64 = 0xc;
const DIRECTORY_TABLE_BASE: u64 = 0x10;
const PS_LOADED_MODULE_LIST: u64 = 0x20;
const PS_ACTIVE_PROCESS_HEAD: u64 = 0x28;
const MACHINE: u64 = 0x30;
const KD_DEBUGGER_DATA_BLOCK: u64 = 0x80;
const NUMBER_OF_RUNS: u64 = 0x88;
const NUMBER_OF_PAGES: u64 = 0x90;
const RUNS: u64 = 0x98;
/// `PhysicalMemoryBlockBuffer` has 700 bytes: 16 of head, 16 a run.
const MAX_RUNS: u32 = 42;
const DUMP_TYPE: u64 = 0xf98;
const SYSTEM_TIME: u64 = 0xfa8;
const COMMENT: u64 = 0xfb0;
const SYSTEM_UP_TIME: u64 = 0x1030;

/// What fills every field that is not written.
const FILL: u64 = 0x4547_4150_4547_4150;

const MACHINE_AMD64: u32 = 0x8664;

fn open(opening: &Opening) -> Result<Found, Refusal> {
    let source = &opening.source;
    let short = || Error::NotAnImage {
        what: "this is the start of a Windows crash dump, cut off within its header".into(),
        advice: "Copy the dump again; nothing of it can be used".into(),
    };
    let machine = source.u32(MACHINE).ok_or_else(short)?;
    if machine != MACHINE_AMD64 {
        let name = match machine {
            0xaa64 => "ARM64",
            0x1c0 | 0x1c2 | 0x1c4 => "ARM",
            0x14c => "x86",
            _ => "unknown",
        };
        return Err(Refusal::Unusable(Error::Unsupported {
            what: format!("this crash dump is of another kind of machine: {name} ({machine:#06x})"),
            advice: "Only x64 systems can be analysed so far".into(),
        }));
    }
    let kind = source.u32(DUMP_TYPE).ok_or_else(short)?;
    let hints = hints(source).ok_or_else(short)?;
    let (mut opened, missing) = match kind {
        1 => full(source)?,
        5 | 6 => bitmap(source, kind)?,
        _ => return Err(Refusal::Unusable(unsupported(kind))),
    };
    opened.hints = Some(hints);
    if missing > 0 {
        opened.warn(format!(
            "the dump is truncated: {missing} pages ({} MiB) that its header promises are not in the file",
            missing / 256
        ));
    }
    Ok(opened.into())
}

/// What the header says of the machine.
fn hints(source: &Source) -> Option<Hints> {
    let written = |at| source.u64(at).map(|value| Some(value).filter(|value| *value != FILL && *value != 0));
    let address = |at| written(at).map(|value| value.map(VirtualAddress));
    let up_time = written(SYSTEM_UP_TIME)?;
    let time = source.u64(SYSTEM_TIME).and_then(Timestamp::plausible);
    let boot = time.zip(up_time).and_then(|(time, up)| time.0.checked_sub(up)).filter(|boot| *boot != 0);
    Some(Hints {
        // A CR3 value: DumpIt leaves the process-context bits in it.
        roots: written(DIRECTORY_TABLE_BASE)?.map(|root| PhysicalAddress(root).page()).into_iter().collect(),
        loaded_module_list: address(PS_LOADED_MODULE_LIST)?,
        active_process_head: address(PS_ACTIVE_PROCESS_HEAD)?,
        debugger_data_block: address(KD_DEBUGGER_DATA_BLOCK)?,
        system_time: time.filter(|time| time.0 != 0),
        boot: boot.map(Timestamp),
        build: source.u32(MINOR_VERSION).filter(|build| (1000..=0xffff).contains(build)),
        ..Hints::from("crash dump header")
    })
}

/// Why a dump of another type is of no use here.
fn unsupported(kind: u32) -> Error {
    let (what, advice) = match kind {
        4 => (
            "this is a kernel triage dump (DumpType 4, a \"minidump\"): it holds a few stacks and structures, not the machine's memory",
            "No process list can be read from it. Take a complete memory dump, or acquire the memory with an imaging tool",
        ),
        2 => (
            "this is a kernel summary dump (DumpType 2) of an old Windows",
            "Only full (1) and bitmap (5, 6) dumps can be read so far",
        ),
        _ => (
            "this crash dump is of a type that cannot be read yet",
            "Only full (1) and bitmap (5, 6) dumps can be read so far",
        ),
    };
    Error::Unsupported { what: format!("{what} [DumpType {kind:#x}]"), advice: advice.into() }
}

fn damaged(what: String) -> Error {
    Error::NotAnImage { what, advice: "The dump was cut short or damaged: copy it again".into() }
}

/// The pieces of ranges (first page, pages) whose pages follow one another in the file from `first` on.
fn pieces(ranges: &[(u64, u64)], first: u64) -> Option<Vec<Piece>> {
    let mut offset = first;
    let piece = |&(base, pages): &(u64, u64)| {
        let (start, bytes) = (base.checked_mul(PAGE_SIZE)?, pages.checked_mul(PAGE_SIZE)?);
        let place = Place::File(offset);
        offset = offset.saturating_add(bytes);
        Some((PhysicalRun { start: PhysicalAddress(start), bytes }, place))
    };
    ranges.iter().map(piece).collect()
}

fn full(source: &Source) -> Result<(Opened, u64), Error> {
    let count = source.u32(NUMBER_OF_RUNS).unwrap_or(0);
    if count == 0 || count > MAX_RUNS {
        return Err(damaged(format!("this full crash dump claims {count} runs of memory, which cannot be")));
    }
    let run = |n: u32| {
        let at = RUNS.saturating_add(u64::from(n).saturating_mul(16));
        Some((source.u64(at)?, source.u64(at.saturating_add(8))?))
    };
    let ranges: Vec<(u64, u64)> = (0..count).map_while(run).collect();
    let Some(pieces) = pieces(&ranges, HEADER) else {
        return Err(damaged("this full crash dump claims a run of more pages than can be".into()));
    };
    let (runs, lost) = Runs::new(source.clone(), pieces);
    Ok((Opened::new("crash_dump_full", runs), lost.cut.saturating_add(lost.twice).div_ceil(PAGE_SIZE)))
}

fn bitmap(source: &Source, kind: u32) -> Result<(Opened, u64), Error> {
    if !source.has(HEADER, b"SDMPDUMP") && !source.has(HEADER, b"FDMPDUMP") {
        return Err(damaged("this bitmap crash dump has no bitmap header".into()));
    }
    let no_bitmap = || damaged("this bitmap crash dump ends before its bitmap does".into());
    let at = |offset: u64| source.u64(HEADER.saturating_add(offset)).ok_or_else(no_bitmap);
    let (first, bits) = (at(0x20)?, at(0x30)?);
    let size = usize::try_from(bits.div_ceil(8)).map_err(|_| no_bitmap())?;
    let bitmap = source.copy(HEADER.saturating_add(0x38), size).ok_or_else(no_bitmap)?;
    let (memory, missing) = Bitmap::new(source.clone(), PageSet::new(&bitmap, bits), first);
    Ok((Opened::new(if kind == 5 { "crash_dump_bitmap" } else { "crash_dump_kernel_bitmap" }, memory), missing))
}
