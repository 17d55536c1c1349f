//! Kernel triage dumps (`PAGEDU64`, DumpType 4: what Windows leaves in its Minidump folder): no memory of the machine, but the header,
//! and one processor, process and thread with the drivers and pieces around pointers.
//!
//! `TRIAGE_DUMP64` lies behind the header; its members, and how the images follow one another, are as measured on 58 dumps.

use super::crash_objects::CrashObjects;
use super::objects::eprocess::time;
use crate::{Error, Hex, PhysicalAddress, Timestamp, VirtualAddress};
use serde::Serialize;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Bytes of a dump that are read: real ones have 20 KiB to 8 MiB.
const MAX_BYTES: u64 = 64 << 20;
/// The dump's own header; `TRIAGE_DUMP64` follows.
const HEADER: usize = 0x2000;
/// `DUMP_HEADER64.DumpType`, and the type of a triage dump.
const DUMP_TYPE: usize = 0xf98;
const TRIAGE: u32 = 4;
/// Drivers that are listed: real dumps name some 250.
const MAX_DRIVERS: u32 = 4096;
/// Pieces of memory: real dumps have up to 2,700.
const MAX_BLOCKS: u32 = 1 << 16;
/// Bytes of one entry in the lists of loaded and of unloaded drivers.
const DRIVER: usize = 0x90;
const UNLOADED: usize = 0x38;

/// A triage dump, opened.
#[derive(Debug)]
pub struct TriageDump {
    bytes: Vec<u8>,
}

/// What a triage dump says by itself, without layouts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CrashFacts {
    /// `x64`, `arm64`, or the number.
    pub machine: String,
    /// Number of processors.
    pub processors: u32,
    /// Build, by `MinorVersion`.
    pub build: u32,
    /// `BugCheckCode`.
    pub stop_code: Hex,
    /// `BugCheckParameter1` to 4.
    pub parameters: Vec<Hex>,
    /// `SystemTime`: when it crashed.
    pub captured: Option<Timestamp>,
    /// `SystemTime - SystemUpTime`: when it was started.
    pub boot: Option<Timestamp>,
    /// `DirectoryTableBase`: the page-table root of what ran.
    pub dtb: Option<PhysicalAddress>,
    /// `KernBase` of the block for debuggers.
    pub kernel_base: Option<VirtualAddress>,
    /// `NtBuildLabEx`, where the dump holds it.
    pub lab: Option<String>,
    /// Address of the crashing `_EPROCESS`.
    pub process: Option<VirtualAddress>,
    /// Address of the crashing `_ETHREAD`.
    pub thread: Option<VirtualAddress>,
    /// Their fields, by layouts of the dump's build. `None`: there are none.
    pub objects: Option<CrashObjects>,
    /// The drivers that were loaded, the kernel first.
    pub drivers: Vec<CrashDriver>,
    /// Drivers that were unloaded before.
    pub unloaded: Vec<CrashDriver>,
}

/// A driver in a triage dump.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CrashDriver {
    /// Its name, or path.
    pub name: String,
    /// Image base.
    pub base: VirtualAddress,
    /// `SizeOfImage`, bytes.
    pub size: u64,
    /// `TimeDateStamp` of its headers. `None`: of an unloaded one.
    pub stamp: Option<Hex>,
    /// `CheckSum`. `None`: of an unloaded one.
    pub checksum: Option<Hex>,
}

impl TriageDump {
    /// Opens a file. `None`: it is no triage dump.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Option<Self>, Error> {
        let path = path.as_ref();
        let failed = |reason| Error::Open { path: path.to_owned(), reason };
        // A pipe that nobody writes to would be waited for; what is no file is no dump.
        if !path.metadata().is_ok_and(|what| what.is_file()) {
            return Ok(None);
        }
        let mut file = File::open(path).map_err(failed)?;
        let mut bytes = vec![0; HEADER];
        let mut read = 0usize;
        while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match file.read(rest).map_err(failed)? {
                0 => break,
                more => read = read.saturating_add(more),
            }
        }
        let kind = bytes.get(DUMP_TYPE..).and_then(|rest| rest.first_chunk()).map(|kind| u32::from_le_bytes(*kind));
        if read < HEADER || !bytes.starts_with(b"PAGEDU64") || kind != Some(TRIAGE) {
            return Ok(None);
        }
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(Self { bytes }))
    }

    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..)?.first_chunk().copied()
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn u64(&self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    /// A member of `TRIAGE_DUMP64`: where in the file something lies, or a size. `None`: 0.
    fn member(&self, offset: usize) -> Option<usize> {
        usize::try_from(self.u32(HEADER.checked_add(offset)?)?).ok().filter(|at| *at != 0)
    }

    fn piece(&self, from: Option<usize>, to: Option<usize>) -> Option<&[u8]> {
        self.bytes.get(from?..to?)
    }

    /// The `_KPRCB`, up to the process behind it.
    pub(crate) fn prcb(&self) -> Option<&[u8]> {
        self.piece(self.member(0x1c), self.member(0x20))
    }

    /// The `_EPROCESS`, up to the thread behind it.
    pub(crate) fn process(&self) -> Option<&[u8]> {
        self.piece(self.member(0x20), self.member(0x24))
    }

    /// The `_ETHREAD`, up to the stack behind it.
    pub(crate) fn thread(&self) -> Option<&[u8]> {
        self.piece(self.member(0x24), self.member(0x28))
    }

    /// The block for debuggers.
    pub(crate) fn debugger_block(&self) -> Option<&[u8]> {
        let at = self.member(0x70)?;
        let block = self.piece(Some(at), at.checked_add(self.member(0x74)?))?;
        (block.get(0x10..0x14)? == b"KDBG").then_some(block)
    }

    /// Address of the process: its `ProfileListHead`, at 0x18, is an empty list.
    pub(crate) fn process_address(&self) -> Option<VirtualAddress> {
        number(self.process()?, 0x18)?.checked_sub(0x18).map(VirtualAddress).filter(|at| at.is_kernel())
    }

    /// Address of the thread: `KPRCB.CurrentThread`, at 8.
    pub(crate) fn thread_address(&self) -> Option<VirtualAddress> {
        number(self.prcb()?, 8).map(VirtualAddress).filter(|at| at.is_kernel())
    }

    /// Bytes of the machine's memory, where the dump has them.
    fn memory(&self, at: VirtualAddress, length: usize) -> Option<&[u8]> {
        let (first, count) = (self.member(0x78)?, self.u32(HEADER.checked_add(0x7c)?)?.min(MAX_BLOCKS));
        (0..usize::try_from(count).ok()?).find_map(|index| {
            let entry = first.checked_add(index.checked_mul(16)?)?;
            let (start, offset, size) =
                (self.u64(entry)?, self.u32(entry.checked_add(8)?)?, self.u32(entry.checked_add(12)?)?);
            let within = at.0.checked_sub(start)?;
            let end = within.checked_add(u64::try_from(length).ok()?)?;
            if end > u64::from(size) {
                return None;
            }
            let from = usize::try_from(u64::from(offset).checked_add(within)?).ok()?;
            self.bytes.get(from..from.checked_add(length)?)
        })
    }

    /// `PsActiveProcessHead`, by the header.
    pub(crate) fn active_head(&self) -> Option<u64> {
        self.u64(0x28)
    }

    /// What it says without layouts.
    #[must_use]
    pub fn facts(&self) -> CrashFacts {
        let word = |at: usize| self.u32(at).unwrap_or(0);
        let captured = time(Ok(self.u64(0xfa8).unwrap_or(0))).value().copied();
        let up = self.u64(0x1030).filter(|up| *up != 0);
        let block = self.debugger_block();
        let lab = block.and_then(|block| number(block, 0x208)).and_then(|at| {
            let text =
                (1..=8).rev().find_map(|lines: usize| self.memory(VirtualAddress(at), lines.checked_mul(16)?))?;
            crate::kernel::text::bytes_as_text(text)
        });
        CrashFacts {
            machine: match word(0x30) {
                0x8664 => "x64".to_owned(),
                0xaa64 => "arm64".to_owned(),
                other => format!("{other:#06x}"),
            },
            processors: word(0x34),
            build: word(0xc),
            stop_code: Hex(word(0x38).into()),
            parameters: (0..4)
                .filter_map(|index: usize| self.u64(index.checked_mul(8)?.checked_add(0x40)?).map(Hex))
                .collect(),
            captured,
            boot: captured.zip(up).and_then(|(captured, up)| captured.0.checked_sub(up)).map(Timestamp),
            dtb: self.u64(0x10).map(|dtb| PhysicalAddress(dtb).page()),
            kernel_base: block.and_then(|block| number(block, 0x18)).map(VirtualAddress),
            lab,
            process: self.process_address(),
            thread: self.thread_address(),
            objects: None,
            drivers: self.drivers(),
            unloaded: self.unloaded(),
        }
    }

    fn drivers(&self) -> Vec<CrashDriver> {
        let (Some(first), Some(count)) = (self.member(0x30), self.member(0x34)) else { return Vec::new() };
        let most = usize::try_from(MAX_DRIVERS).unwrap_or(usize::MAX);
        let driver = |index: usize| {
            let at = first.checked_add(index.checked_mul(DRIVER)?)?;
            // The name's place in the file; a KLDR_DATA_TABLE_ENTRY64 follows.
            let entry = at.checked_add(8)?;
            Some(CrashDriver {
                name: self.pooled(usize::try_from(self.u32(at)?).ok()?)?,
                base: VirtualAddress(self.u64(entry.checked_add(0x30)?)?),
                size: self.u32(entry.checked_add(0x40)?)?.into(),
                checksum: self.u32(entry.checked_add(0x78)?).map(|sum| Hex(sum.into())),
                stamp: self.u32(entry.checked_add(0x80)?).map(|stamp| Hex(stamp.into())),
            })
        };
        (0..count.min(most)).map_while(driver).collect()
    }

    /// A string of the pool: its length in characters, and UTF-16.
    fn pooled(&self, at: usize) -> Option<String> {
        const LONGEST: usize = 1024;
        let length = usize::try_from(self.u32(at)?).ok()?.min(LONGEST).checked_mul(2)?;
        let start = at.checked_add(4)?;
        Some(super::text::utf16(self.bytes.get(start..start.checked_add(length)?)?))
    }

    /// `DUMP_UNLOADED_DRIVERS64`: a count, then a `UNICODE_STRING`, 12 characters, first address and end of each.
    fn unloaded(&self) -> Vec<CrashDriver> {
        let Some(first) = self.member(0x18) else { return Vec::new() };
        let count = self.u32(first).unwrap_or(0).min(MAX_DRIVERS);
        let driver = |index: u32| {
            let at = first.checked_add(8)?.checked_add(usize::try_from(index).ok()?.checked_mul(UNLOADED)?)?;
            let name = self.bytes.get(at.checked_add(16)?..at.checked_add(40)?)?;
            let (units, _) = name.as_chunks::<2>();
            let length = units.iter().position(|unit| *unit == [0, 0]).unwrap_or(units.len());
            let (base, end) = (self.u64(at.checked_add(40)?)?, self.u64(at.checked_add(48)?)?);
            Some(CrashDriver {
                name: super::text::utf16(units.get(..length)?.as_flattened()),
                base: VirtualAddress(base),
                size: end.checked_sub(base)?,
                ..CrashDriver::default()
            })
        };
        (0..count).map_while(driver).collect()
    }
}

/// The 64-bit number at `offset`.
pub(crate) fn number(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}
