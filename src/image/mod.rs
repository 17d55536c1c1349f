//! Image files: which kind a file is, and where in it physical memory lies.

mod crash_dump;
mod map;
mod raw;
mod source;

use crate::{Error, ImageInfo, PhysicalAddress, Timestamp, VirtualAddress, Warning};
use map::Map;
use source::Source;
use std::path::Path;

/// The physical memory of the imaged machine, as far as it is known.
pub trait PhysicalMemory: Send + Sync {
    /// The first piece of memory at or above `from`; a piece ends where memory, or its place in the file, does.
    fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun>;

    /// Bytes from `at` on without a copy, as many as lie together, `len` at most. `None`: `at` is in a hole.
    fn borrow(&self, at: PhysicalAddress, len: usize) -> Option<&[u8]>;

    /// Says that all of a piece will be read soon, so that it can be fetched in one go. It need not be.
    fn prefetch(&self, _piece: PhysicalRun) {}

    /// Fills `buf` from `at` on, and returns the number of bytes read: fewer than asked for at the first hole.
    fn read(&self, at: PhysicalAddress, buf: &mut [u8]) -> usize {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let piece = u64::try_from(done)
                .ok()
                .and_then(|done| at.checked_add(done))
                .and_then(|at| self.borrow(at, rest.len()));
            match piece {
                Some(piece) if !piece.is_empty() => {
                    for (to, from) in rest.iter_mut().zip(piece) {
                        *to = *from;
                    }
                    done = done.saturating_add(piece.len());
                }
                _ => break,
            }
        }
        done
    }
}

/// A contiguous piece of physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhysicalRun {
    /// Its first address.
    pub start: PhysicalAddress,
    /// Its length in bytes.
    pub bytes: u64,
}

impl PhysicalRun {
    /// The first address behind it.
    #[must_use]
    pub const fn end(&self) -> PhysicalAddress {
        PhysicalAddress(self.start.0.saturating_add(self.bytes))
    }

    /// The part at or above `from`.
    fn from(self, from: PhysicalAddress) -> Self {
        let start = self.start.max(from);
        Self { start, bytes: self.end().0.saturating_sub(start.0) }
    }
}

/// What the header of a crash dump says of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpHeader {
    /// `DirectoryTableBase`: the page-table root of whatever ran.
    pub dtb: PhysicalAddress,
    /// Address of `PsLoadedModuleList`.
    pub loaded_module_list: VirtualAddress,
    /// Address of `PsActiveProcessHead`.
    pub active_process_head: VirtualAddress,
    /// Address of `KdDebuggerDataBlock`.
    pub debugger_data_block: VirtualAddress,
    /// `SystemTime`: when the dump was made.
    pub system_time: Option<Timestamp>,
    /// `SystemTime - SystemUpTime`: when the system started.
    pub boot: Option<Timestamp>,
}

/// What a format's parser makes of a file.
struct Parsed {
    format: &'static str,
    map: Map,
    header: Option<DumpHeader>,
    warnings: Vec<Warning>,
}

/// A memory image, opened.
#[derive(Debug)]
pub struct MemoryImage {
    source: Source,
    format: &'static str,
    map: Map,
    header: Option<DumpHeader>,
    warnings: Vec<Warning>,
}

/// A document lists this many runs at most: a kernel dump can have very many.
const MAX_RUNS_LISTED: usize = 4096;

impl MemoryImage {
    /// Opens an image file by memory map; its kind is told by its content. Nothing but headers is read. The file must not
    /// change while it is open.
    ///
    /// # Errors
    /// The file cannot be opened, or is no image of a kind that can be read: the message says what it is instead and what to
    /// do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let source = Source::open(path).map_err(|reason| Error::Open { path: path.to_owned(), reason })?;
        Self::parse(source)
    }

    /// Takes an image that is in memory already.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::parse(Source::Owned(bytes))
    }

    fn parse(source: Source) -> Result<Self, Error> {
        let Parsed { format, map, header, warnings } = parse(&source)?;
        Ok(Self { source, format, map, header, warnings })
    }

    /// The kind of file: `raw`, `crash_dump_full`, `crash_dump_bitmap`, `crash_dump_kernel_bitmap`.
    #[must_use]
    pub const fn format(&self) -> &'static str {
        self.format
    }

    /// The header, if the image is a crash dump.
    #[must_use]
    pub const fn dump_header(&self) -> Option<&DumpHeader> {
        self.header.as_ref()
    }

    /// What is wrong with the file although it can be used.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The pieces of physical memory that the file holds, in address order.
    pub fn runs(&self) -> impl Iterator<Item = PhysicalRun> + '_ {
        runs(self)
    }

    /// The record of the file that documents hold.
    #[must_use]
    pub fn info(&self) -> ImageInfo {
        ImageInfo {
            format: self.format.to_owned(),
            bytes: u64::try_from(self.source.len()).unwrap_or(u64::MAX),
            runs: self.runs().take(MAX_RUNS_LISTED).map(|run| (run.start, run.end())).collect(),
        }
    }
}

/// The pieces of a physical memory, in address order.
pub fn runs<M: PhysicalMemory + ?Sized>(memory: &M) -> impl Iterator<Item = PhysicalRun> + '_ {
    let mut from = PhysicalAddress(0);
    std::iter::from_fn(move || {
        let run = memory.next_run(from)?;
        from = run.end();
        Some(run)
    })
}

impl PhysicalMemory for MemoryImage {
    fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        self.map.next_run(from)
    }

    fn borrow(&self, at: PhysicalAddress, len: usize) -> Option<&[u8]> {
        let (offset, left) = self.map.find(at)?;
        let offset = usize::try_from(offset).ok()?;
        let end = offset.checked_add(len.min(usize::try_from(left).unwrap_or(usize::MAX)))?;
        self.source.get(offset..end)
    }

    fn prefetch(&self, piece: PhysicalRun) {
        let mut at = piece.start;
        while let Some((offset, left)) = self.map.find(at).filter(|_| at < piece.end()) {
            let length = left.min(piece.end().0.saturating_sub(at.0));
            self.source.prefetch(offset, length);
            at = at.wrapping_add(length);
        }
    }
}

/// Files that are something else, by their first bytes.
const OTHERS: &[(&[u8], &str, &str)] = &[
    (b"MDMP", "this is a minidump of one process", "Take an image of the whole memory"),
    (b"EMiL", "this is a LiME image", "This format cannot be read yet: convert it to raw"),
    (b"AVML", "this is an AVML image", "This format cannot be read yet: convert it to raw"),
    (
        b"\x7fELF",
        "this is an ELF file, perhaps a core dump of a virtual machine",
        "This format cannot be read yet: convert it to raw",
    ),
    (b"HIBR", "this is a hibernation file", "This format cannot be read yet: convert it to raw"),
    (b"hibr", "this is a hibernation file", "This format cannot be read yet: convert it to raw"),
    (b"RSTR", "this is a hibernation file that was resumed from", "This format cannot be read yet: convert it to raw"),
    (b"WAKE", "this is a hibernation file that was resumed from", "This format cannot be read yet: convert it to raw"),
    (b"wake", "this is a hibernation file that was resumed from", "This format cannot be read yet: convert it to raw"),
    (b"EVF\x09", "this is an EWF (E01) container", "Mount or export it as raw first"),
    (b"\x28\xb5\x2f\xfd", "this file is compressed with zstd", "Decompress it first: zstd -d FILE"),
    (b"\x1f\x8b", "this file is compressed with gzip", "Decompress it first: gzip -dk FILE"),
    (b"\xfd7zXZ\0", "this file is compressed with xz", "Decompress it first: xz -dk FILE"),
    (b"BZh", "this file is compressed with bzip2", "Decompress it first: bzip2 -dk FILE"),
    (b"PK\x03\x04", "this is a ZIP archive", "Unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "this is a 7-Zip archive", "Unpack it first"),
    (b"Rar!", "this is a RAR archive", "Unpack it first"),
    (
        b"Microsoft C/C++ MSF 7.00",
        "this is a PDB, not a memory image",
        "Give its folder with --symbols, and the image last",
    ),
    (b"regf", "this is a registry hive, not a memory image", "Name the memory image"),
    (b"\xd0\xbe\xd2\xbe", "this is a VMware snapshot state", "Name the .vmem file beside it, which is a raw image"),
    (b"\xd1\xba\xd1\xba", "this is a VMware snapshot state", "Name the .vmem file beside it, which is a raw image"),
    (b"\xd2\xbe\xd2\xbe", "this is a VMware snapshot state", "Name the .vmem file beside it, which is a raw image"),
    (b"\xd3\xbe\xd3\xbe", "this is a VMware snapshot state", "Name the .vmem file beside it, which is a raw image"),
];

/// Tells the format by the first bytes; what nothing else claims is raw.
fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    if bytes.starts_with(crash_dump::SIGNATURE) {
        return crash_dump::parse(bytes);
    }
    if bytes.starts_with(crash_dump::SIGNATURE_32) {
        return crash_dump::parse_32();
    }
    if let Some((_, what, advice)) = OTHERS.iter().find(|(magic, _, _)| bytes.starts_with(magic)) {
        return Err(Error::NotAnImage { what: (*what).into(), advice: (*advice).into() });
    }
    raw::parse(bytes)
}
