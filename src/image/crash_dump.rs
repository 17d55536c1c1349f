//! Windows crash dumps of x64 systems: full (DumpType 1, 0xA), with a bitmap of pages (2, 5, 6, 7), and live kernel dumps (8, 9).
//!
//! Layout of `_DUMP_HEADER64`: as published in the debugger headers and seen in real dumps. The headers in front of the pages
//! (`SDMP`, `FDMP`, `RDMP`): as kdmp-parser and Rekall describe them.

use super::bitmap::{Bitmap, PageSet};
use super::formats::{Format, Found, Job, Opened, Opening, Refusal};
use super::runs::{Lost, Piece, Place, Runs};
use super::source::Source;
use super::{Hints, PhysicalRun};
use crate::{Error, PAGE_SIZE, PhysicalAddress, Timestamp, VirtualAddress};

/// Dumps with a 64-bit header.
pub(super) static X64: Format = Format {
    title: "a crash dump of a 64-bit Windows",
    mark: |opening| opening.source.has(0, b"PAGEDU64"),
    job: Job::Read(open),
};

/// Dumps with a 32-bit header.
pub(super) static X86: Format = Format {
    title: "a crash dump of a 32-bit Windows (PAGEDUMP)",
    mark: |opening| opening.source.has(0, b"PAGEDUMP"),
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

fn open(opening: &Opening<'_>) -> Result<Found, Refusal> {
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
    let mut opened = match kind {
        1 => full(source)?,
        2 | 5..=7 => bitmap(source, kind)?,
        8..=0xa => ranges(source, kind)?,
        _ => return Err(Refusal::Unusable(unsupported(kind))),
    };
    opened.hints = Some(hints);
    opened.maker = comment(source);
    Ok(opened.into())
}

/// `Comment`: acquisition tools put their name there.
fn comment(source: &Source) -> Option<String> {
    let bytes = source.array::<128>(COMMENT)?;
    let text = bytes.split(|byte| *byte == 0).next()?;
    let text = std::str::from_utf8(text).ok()?.trim();
    let written = !text.is_empty() && !text.starts_with("PAGE") && !text.chars().any(char::is_control);
    written.then(|| text.to_owned())
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
        3 => (
            "this is a crash dump without memory: its header is all that was written",
            "Set the kind of dump that Windows writes to \"complete\" (CrashDumpEnabled 1), or acquire the memory with an imaging tool",
        ),
        _ => (
            "this crash dump is of a type that is not known",
            "Write a complete dump (in WinDbg: .dump /f), or acquire the memory with an imaging tool",
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

/// Type 1: the pages of the header's runs, in their order.
fn full(source: &Source) -> Result<Opened, Error> {
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
        return Err(damaged("this full crash dump claims a run of more pages than there are, which cannot be".into()));
    };
    let (runs, lost) = Runs::new(source.clone(), pieces);
    let mut opened = Opened::new("crash_dump_full", runs);
    let sum = ranges.iter().map(|(_, pages)| *pages).fold(0, u64::saturating_add);
    let held = source.len().saturating_sub(HEADER) / PAGE_SIZE;
    let claimed = source.u64(NUMBER_OF_PAGES).filter(|pages| *pages != FILL && *pages != sum);
    if let Some(claimed) = claimed {
        let who = match held {
            held if held == claimed => "the runs of its header are wrong: what lies behind them is not read",
            held if held == sum => "NumberOfPages is wrong, which is not used",
            _ => "its header was damaged or changed",
        };
        opened.warn(format!(
            "the dump contradicts itself: NumberOfPages is {claimed}, its runs have {sum} pages, the file has room for {held}; {who}"
        ));
    }
    truncated(&mut opened, lost.cut.div_ceil(PAGE_SIZE));
    opened.warnings_of(None, Lost { cut: 0, ..lost });
    Ok(opened)
}

fn truncated(opened: &mut Opened, missing: u64) {
    if missing > 0 {
        opened.warn(format!(
            "the dump is truncated: {missing} pages ({} MiB) that its header promises are not in the file",
            missing / 256
        ));
    }
}

/// Types 2, 5, 6 and 7: the pages that a bitmap names, in the order of their numbers.
fn bitmap(source: &Source, kind: u32) -> Result<Opened, Error> {
    if !source.has(HEADER, b"SDMPDUMP") && !source.has(HEADER, b"FDMPDUMP") {
        return Err(damaged("this bitmap crash dump has no bitmap header".into()));
    }
    let no_bitmap = || damaged("this bitmap crash dump ends before its bitmap does".into());
    let at = |offset: u64| source.u64(HEADER.saturating_add(offset)).ok_or_else(no_bitmap);
    let (first, present, bits) = (at(0x20)?, at(0x28)?, at(0x30)?);
    let start = HEADER.saturating_add(0x38);
    let size = usize::try_from(bits.div_ceil(8)).map_err(|_| no_bitmap())?;
    let bitmap = source.copy(start, size).ok_or_else(no_bitmap)?;
    if first < start.saturating_add(bits.div_ceil(8)) {
        return Err(damaged(format!(
            "this bitmap crash dump claims that its pages begin at {first:#x}, within its headers"
        )));
    }
    let pages = PageSet::new(&bitmap, bits);
    let total = pages.total();
    let (memory, missing) = Bitmap::new(source.clone(), pages, first);
    let name = match kind {
        2 => "crash_dump_kernel",
        5 => "crash_dump_bitmap",
        _ => "crash_dump_kernel_bitmap",
    };
    let mut opened = Opened::new(name, memory);
    opened.leaves_out = true;
    truncated(&mut opened, missing);
    if present != total && present != FILL {
        let held = source.len().saturating_sub(first) / PAGE_SIZE;
        opened.warn(format!(
            "the dump contradicts itself: its header counts {present} pages, its bitmap {total}, the file has room for {held}; the bitmap is used"
        ));
    }
    Ok(opened)
}

/// Bytes of an `RDMP` header before its ranges, and of its first part, which the size of its metadata leaves out.
const RANGES: u64 = 0x30;
const RANGES_HEAD: u64 = 0x20;
/// Ranges of a dump at most: one for every 64 KiB of 64 GiB.
const MAX_RANGES: usize = 1 << 20;

/// Types 8, 9 and 0xA: the pages of ranges that stand in a header of their own.
fn ranges(source: &Source, kind: u32) -> Result<Opened, Error> {
    let cut = || damaged("this crash dump ends before its list of memory ranges does".into());
    let at = |offset: u64| source.u64(HEADER.saturating_add(offset)).ok_or_else(cut);
    let (metadata, first) = (at(0x10)?, at(0x18)?);
    let fits = metadata.checked_sub(RANGES_HEAD) == first.checked_sub(HEADER.saturating_add(0x40));
    if !source.has(HEADER.saturating_add(4), b"RDMPDUMP") || source.u32(HEADER) != Some(0x40) || !fits {
        return Err(damaged(format!("this crash dump of type {kind:#x} has no list of memory ranges")));
    }
    // The full form counts pages; the others end with a range at page 0, which they never hold.
    let total = if kind == 0xa { Some(at(0x28)?) } else { None };
    let (mut ranges, mut pages, mut offset) = (Vec::new(), 0u64, HEADER.saturating_add(RANGES));
    let mut odd = None;
    while total.is_none_or(|total| pages < total) {
        let Some(range) = source.u64(offset).zip(source.u64(offset.saturating_add(8))).filter(|_| offset < first)
        else {
            odd = Some("its list of memory ranges has no end: what follows the last of them is not read".to_owned());
            break;
        };
        if total.is_none() && range.0 == 0 {
            break;
        }
        if ranges.len() >= MAX_RANGES {
            odd = Some(format!("the dump has more than {MAX_RANGES} ranges: the others are left out"));
            break;
        }
        pages = pages.saturating_add(range.1);
        offset = offset.saturating_add(16);
        ranges.push(range);
    }
    let pieces = pieces(&ranges, first).filter(|pieces| !pieces.is_empty());
    let pieces = pieces.ok_or_else(|| damaged("this crash dump has no memory range that can be".into()))?;
    let (runs, lost) = Runs::new(source.clone(), pieces);
    let name = match kind {
        8 => "crash_dump_live_kernel",
        9 => "crash_dump_live",
        _ => "crash_dump_complete",
    };
    let mut opened = Opened::new(name, runs);
    opened.leaves_out = kind != 0xa;
    truncated(&mut opened, lost.cut.div_ceil(PAGE_SIZE));
    if let Some(total) = total.filter(|total| *total != pages) {
        opened.warn(format!("the dump contradicts itself: it counts {total} pages, its ranges have {pages}"));
    }
    opened.warnings_of(odd, Lost { cut: 0, ..lost });
    Ok(opened)
}
