//! Windows crash dumps of x64 systems: full (DumpType 1) and the bitmap kinds (5, 6).
//!
//! Layout of `_DUMP_HEADER64`: as published in the debugger headers and seen in real dumps.

use super::map::{Map, PageBitmap, RunTable};
use super::{DumpHeader, Parsed, PhysicalRun};
use crate::{Error, PAGE_SIZE, PhysicalAddress, Timestamp, VirtualAddress, Warning};
use scroll::{LE, Pread};

/// First bytes of a 64-bit dump.
pub(super) const SIGNATURE: &[u8] = b"PAGEDU64";
/// First bytes of a 32-bit dump.
pub(super) const SIGNATURE_32: &[u8] = b"PAGEDUMP";

const HEADER: u64 = 0x2000;
const DIRECTORY_TABLE_BASE: usize = 0x10;
const PS_LOADED_MODULE_LIST: usize = 0x20;
const PS_ACTIVE_PROCESS_HEAD: usize = 0x28;
const MACHINE: usize = 0x30;
const KD_DEBUGGER_DATA_BLOCK: usize = 0x80;
const NUMBER_OF_RUNS: usize = 0x88;
const RUNS: usize = 0x98;
/// `PhysicalMemoryBlockBuffer` has 700 bytes: 16 of head, 16 a run.
const MAX_RUNS: u32 = 42;
const DUMP_TYPE: usize = 0xf98;
const SYSTEM_TIME: usize = 0xfa8;
const SYSTEM_UP_TIME: usize = 0x1030;
const BITMAP: usize = 0x2000;
const BITMAP_FIRST_PAGE: usize = 0x2020;
const BITMAP_PAGES: usize = 0x2030;
const BITMAP_BITS: usize = 0x2038;

const MACHINE_AMD64: u32 = 0x8664;

/// Reads the header of a 64-bit dump and maps its pages.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    let short = |_| Error::NotAnImage {
        what: "this is the start of a Windows crash dump, cut off within its header".into(),
        advice: "Copy the dump again; nothing of it can be used".into(),
    };
    let machine: u32 = bytes.pread_with(MACHINE, LE).map_err(short)?;
    if machine != MACHINE_AMD64 {
        let name = match machine {
            0xaa64 => "ARM64",
            0x1c0 | 0x1c2 | 0x1c4 => "ARM",
            0x14c => "x86",
            _ => "unknown",
        };
        return Err(Error::Unsupported {
            what: format!("this crash dump is of another kind of machine: {name} ({machine:#06x})"),
            advice: "Only x64 systems can be analysed so far".into(),
        });
    }
    let kind: u32 = bytes.pread_with(DUMP_TYPE, LE).map_err(short)?;
    let up_time: u64 = bytes.pread_with(SYSTEM_UP_TIME, LE).map_err(short)?;
    let time = bytes.pread_with(SYSTEM_TIME, LE).ok().and_then(Timestamp::plausible);
    let header = DumpHeader {
        // A CR3 value: DumpIt leaves the process-context bits in it.
        dtb: PhysicalAddress(bytes.pread_with::<u64>(DIRECTORY_TABLE_BASE, LE).map_err(short)?).page(),
        loaded_module_list: VirtualAddress(bytes.pread_with(PS_LOADED_MODULE_LIST, LE).map_err(short)?),
        active_process_head: VirtualAddress(bytes.pread_with(PS_ACTIVE_PROCESS_HEAD, LE).map_err(short)?),
        debugger_data_block: VirtualAddress(bytes.pread_with(KD_DEBUGGER_DATA_BLOCK, LE).map_err(short)?),
        system_time: time.filter(|time| time.0 != 0),
        boot: time
            .and_then(|time| time.0.checked_sub(up_time))
            .filter(|boot| *boot != 0 && up_time != 0)
            .map(Timestamp),
    };
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let (format, map, missing) = match kind {
        1 => {
            let (table, lost) = full(bytes, length)?;
            ("crash_dump_full", Map::Runs(table), lost.div_ceil(PAGE_SIZE))
        }
        5 | 6 => {
            let (bitmap, missing) = bitmap(bytes, length)?;
            (if kind == 5 { "crash_dump_bitmap" } else { "crash_dump_kernel_bitmap" }, Map::Bitmap(bitmap), missing)
        }
        _ => return Err(unsupported(kind)),
    };
    let mut warnings = Vec::new();
    if missing > 0 {
        warnings.push(Warning::new(
            "image",
            format!(
                "the dump is truncated: {missing} pages ({} MiB) that its header promises are not in the file",
                missing / 256
            ),
        ));
    }
    Ok(Parsed { format, map, header: Some(header), warnings })
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

/// What a 32-bit dump gets.
pub(super) fn parse_32() -> Result<Parsed, Error> {
    Err(Error::Unsupported {
        what: "this is a crash dump of a 32-bit Windows (PAGEDUMP)".into(),
        advice: "Only x64 systems can be analysed so far".into(),
    })
}

fn full(bytes: &[u8], length: u64) -> Result<(RunTable, u64), Error> {
    let damaged =
        |what: String| Error::NotAnImage { what, advice: "The dump's header is damaged: copy the dump again".into() };
    let count: u32 = bytes.pread_with(NUMBER_OF_RUNS, LE).unwrap_or(0);
    if count == 0 || count > MAX_RUNS {
        return Err(damaged(format!("this full crash dump claims {count} runs of memory, which cannot be")));
    }
    let mut runs = Vec::new();
    let mut offset = HEADER;
    let mut at = RUNS;
    for _ in 0..count {
        let Ok((base, pages)) =
            bytes.gread_with::<u64>(&mut at, LE).and_then(|base| Ok((base, bytes.gread_with::<u64>(&mut at, LE)?)))
        else {
            break;
        };
        let (Some(start), Some(size)) = (base.checked_mul(PAGE_SIZE), pages.checked_mul(PAGE_SIZE)) else {
            return Err(damaged(format!(
                "this full crash dump claims a run of {pages} pages at page {base:#x}, which cannot be"
            )));
        };
        runs.push((PhysicalRun { start: PhysicalAddress(start), bytes: size }, offset));
        offset = offset.saturating_add(size);
    }
    Ok(RunTable::new(runs, length))
}

fn bitmap(bytes: &[u8], length: u64) -> Result<(PageBitmap, u64), Error> {
    let damaged = |what: &str| Error::NotAnImage {
        what: what.into(),
        advice: "The dump was cut short or damaged: copy it again".into(),
    };
    let signature = bytes.get(BITMAP..BITMAP.saturating_add(8)).unwrap_or(&[]);
    if !matches!(signature, b"SDMPDUMP" | b"FDMPDUMP") {
        return Err(damaged("this bitmap crash dump has no bitmap header"));
    }
    let no_bitmap = || damaged("this bitmap crash dump ends before its bitmap does");
    let first: u64 = bytes.pread_with(BITMAP_FIRST_PAGE, LE).map_err(|_| no_bitmap())?;
    let pages: u64 = bytes.pread_with(BITMAP_PAGES, LE).map_err(|_| no_bitmap())?;
    let size = usize::try_from(pages.div_ceil(8)).map_err(|_| no_bitmap())?;
    let bits = BITMAP_BITS.checked_add(size).and_then(|end| bytes.get(BITMAP_BITS..end)).ok_or_else(no_bitmap)?;
    Ok(PageBitmap::new(bits, pages, first, length))
}
