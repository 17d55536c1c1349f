//! PE images in virtual memory: headers, and the CodeView record that names their PDB.

use crate::memory::AddressSpace;
use crate::{PAGE_SIZE, PdbInfo, VirtualAddress};
use goblin::pe::header::Header;
use goblin::pe::section_table::SectionTable;
use scroll::{LE, Pread};

/// What is read of an image in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeImage {
    /// Where its headers lie.
    pub base: VirtualAddress,
    /// `SizeOfImage`.
    pub size: u64,
    /// `Machine`: 0x8664 for x64.
    pub machine: u16,
    /// The PDB that its CodeView record names.
    pub pdb: Option<PdbInfo>,
    /// The name in its export directory: `ntoskrnl.exe`.
    pub exports_as: Option<String>,
}

/// `IMAGE_DEBUG_TYPE_CODEVIEW`.
const CODEVIEW: u32 = 2;
/// An image has a handful of debug records.
const MAX_DEBUG_RECORDS: u32 = 64;
/// `IMAGE_FILE_MACHINE_AMD64`.
const AMD64: u16 = 0x8664;
/// Size of an `IMAGE_DEBUG_DIRECTORY`.
const DEBUG_RECORD: u32 = 28;
/// Longest name of a PDB that is read.
const MAX_NAME: usize = 260;
/// `RSDS`, GUID, age: what stands before the name.
const RSDS_HEAD: usize = 24;

/// True if a page that starts like this may be the first of a PE image.
#[must_use]
pub fn starts_like_pe(space: AddressSpace<'_>, base: VirtualAddress) -> bool {
    space.read_array(base).is_ok_and(|magic: [u8; 2]| &magic == b"MZ")
}

impl PeImage {
    /// Reads the image whose headers lie at `base`. `None`: there is none, or its headers cannot be read.
    #[must_use]
    pub fn read(space: AddressSpace<'_>, base: VirtualAddress) -> Option<Self> {
        if !starts_like_pe(space, base) {
            return None;
        }
        let mut bytes = [0u8; 0x1000];
        let (read, _) = space.read_some(base, &mut bytes);
        let header = Header::parse(bytes.get(..read)?).ok()?;
        let optional = header.optional_header?;
        let debug = optional.data_directories.get_debug_table().copied();
        let size = u64::from(optional.windows_fields.size_of_image);
        let pdb = debug.and_then(|debug| code_view(space, base, debug.virtual_address, debug.size));
        let exports = optional.data_directories.get_export_table().map(|exports| exports.virtual_address);
        let exports_as = exports.and_then(|exports| export_name(space, base, exports));
        Some(Self { base, size, machine: header.coff_header.machine, pdb, exports_as })
    }

    /// Whether it is the kernel of an x64 Windows, by what it says of itself.
    #[must_use]
    pub(crate) fn kernel_mark(&self, space: AddressSpace<'_>) -> Option<KernelMark> {
        let by_name = self.exports_as.as_deref().map(is_kernel_file);
        let by_sections = || {
            let sections = sections(space, self.base).map_or_else(Vec::new, |(_, sections)| sections);
            sections.iter().any(|section| KERNEL_SECTIONS.contains(&&section.name))
        };
        let mark = match (&self.pdb, by_name) {
            (Some(pdb), by_name) => (is_kernel_pdb(&pdb.name) || by_name == Some(true)).then_some(KernelMark::Names),
            (None, Some(by_name)) => by_name.then_some(KernelMark::Names),
            (None, None) => by_sections().then_some(KernelMark::Sections),
        };
        mark.filter(|_| self.machine == AMD64)
    }
}

/// What says that an image is a kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KernelMark {
    /// The PDB that it names, or the name under which it exports what it exports.
    Names,
    /// Neither is there: sections that no other image has.
    Sections,
}

/// The code of the pool and that of the debugger's start: sections of the kernel's image in every x64 version.
const KERNEL_SECTIONS: [&[u8; 8]; 2] = [b"POOLCODE", b"INITKDBG"];

/// `IMAGE_EXPORT_DIRECTORY.Name`.
fn export_name(space: AddressSpace<'_>, base: VirtualAddress, directory: u32) -> Option<String> {
    /// Offset of `Name` in `IMAGE_EXPORT_DIRECTORY` (winnt.h).
    const NAME: u64 = 0xc;
    /// The longest name of a kernel's file, and its end.
    const LONGEST: usize = 16;
    let at = base.checked_add(u64::from(directory))?.checked_add(NAME)?;
    let name = base.checked_add(u64::from(space.read_u32(at).ok()?))?;
    let mut bytes = [0u8; LONGEST];
    let (read, _) = space.read_some(name, &mut bytes);
    let text = std::str::from_utf8(bytes.get(..read)?.split(|byte| *byte == 0).next()?).ok()?;
    // What a page of zeros or other bytes leads to is no name.
    let is_file = [".exe", ".dll", ".sys"].iter().any(|end| text.to_ascii_lowercase().ends_with(end));
    is_file.then(|| text.to_owned())
}

/// What stands where an image should begin.
pub(crate) enum Start {
    /// Headers of an image.
    Headers(Headers),
    /// The beginning of headers that make no sense further on.
    Torn,
    /// Zeros: the page was lost, or written over.
    Zeros,
    /// Something else.
    Others,
}

/// What headers say.
pub(crate) struct Headers {
    /// `SizeOfImage`.
    pub size: u64,
    /// `ImageBase`: where the loader put the image, in memory.
    pub base: u64,
    /// Where that stands in the page, in bytes, and how many bytes it has.
    pub base_at: (usize, usize),
    /// The sections.
    pub sections: Vec<SectionTable>,
}

impl Headers {
    /// The first byte of each section that has code, from the start of the image, and how many it has, to whole pages.
    pub(crate) fn code(&self) -> Vec<(u64, u64)> {
        /// `IMAGE_SCN_MEM_EXECUTE`.
        const EXECUTE: u32 = 1 << 29;
        let code = self.sections.iter().filter(|section| section.characteristics & EXECUTE != 0);
        code.map(|section| {
            let bytes = u64::from(section.virtual_size.max(section.size_of_raw_data)).next_multiple_of(PAGE_SIZE);
            (u64::from(section.virtual_address), bytes)
        })
        .collect()
    }

    /// Whether every section has pages of its own. Those that share pages are all mapped alike.
    pub(crate) fn has_whole_pages(&self) -> bool {
        let is_whole = |section: &SectionTable| u64::from(section.virtual_address).is_multiple_of(PAGE_SIZE);
        !self.sections.is_empty() && self.sections.iter().all(is_whole)
    }
}

impl Start {
    /// Reads the first page of an image.
    pub(crate) fn of(page: &[u8]) -> Self {
        match headers(page) {
            Some(headers) => Self::Headers(headers),
            None if page.starts_with(b"MZ") => Self::Torn,
            None if page.iter().all(|byte| *byte == 0) => Self::Zeros,
            None => Self::Others,
        }
    }
}

/// `None`: there are none, or they make no sense.
fn headers(page: &[u8]) -> Option<Headers> {
    /// `IMAGE_NT_OPTIONAL_HDR64_MAGIC`.
    const PE64: u16 = 0x20b;
    let header = Header::parse(page).ok()?;
    let optional = header.optional_header?;
    // Behind the signature (4 bytes), the COFF header (20) and the optional header.
    let optional_size = usize::from(header.coff_header.size_of_optional_header);
    let start = usize::try_from(header.dos_header.pe_pointer).ok()?.checked_add(24)?;
    let sections = header.coff_header.sections(page, &mut { start.checked_add(optional_size)? }).ok()?;
    let (within, bytes) = if optional.standard_fields.magic == PE64 { (24, 8) } else { (28, 4) };
    let windows = optional.windows_fields;
    let base_at = (start.checked_add(within)?, bytes);
    Some(Headers { size: u64::from(windows.size_of_image), base: windows.image_base, base_at, sections })
}

/// The sections of the image at `base`. `None`: its headers cannot be read.
pub(crate) fn sections(space: AddressSpace<'_>, base: VirtualAddress) -> Option<(u64, Vec<SectionTable>)> {
    let mut bytes = [0u8; 0x1000];
    let (read, _) = space.read_some(base, &mut bytes);
    headers(bytes.get(..read)?).map(|headers| (headers.size, headers.sections))
}

/// Finds the CodeView record through the debug directory.
fn code_view(space: AddressSpace<'_>, base: VirtualAddress, directory: u32, size: u32) -> Option<PdbInfo> {
    for index in 0..(size / DEBUG_RECORD).min(MAX_DEBUG_RECORDS) {
        let at = base.checked_add(u64::from(directory))?.checked_add(u64::from(index.checked_mul(DEBUG_RECORD)?))?;
        let Ok(record) = space.read_array::<{ DEBUG_RECORD as usize }>(at) else { continue };
        let kind: u32 = record.pread_with(12, LE).ok()?;
        let data: u32 = record.pread_with(20, LE).ok()?;
        if kind == CODEVIEW
            && let Some(pdb) = base.checked_add(u64::from(data)).and_then(|at| rsds(space, at))
        {
            return Some(pdb);
        }
    }
    None
}

/// Reads a CodeView record of the `RSDS` kind at `at`.
#[must_use]
pub fn rsds(space: AddressSpace<'_>, at: VirtualAddress) -> Option<PdbInfo> {
    let mut bytes = [0u8; RSDS_HEAD + MAX_NAME];
    let (read, _) = space.read_some(at, &mut bytes);
    parse_rsds(bytes.get(..read)?)
}

/// Reads a CodeView record of the `RSDS` kind: GUID, age, name.
#[must_use]
pub fn parse_rsds(bytes: &[u8]) -> Option<PdbInfo> {
    if !bytes.starts_with(b"RSDS") {
        return None;
    }
    let d1: u32 = bytes.pread_with(4, LE).ok()?;
    let d2: u16 = bytes.pread_with(8, LE).ok()?;
    let d3: u16 = bytes.pread_with(10, LE).ok()?;
    let rest = bytes.get(12..20)?;
    let age: u32 = bytes.pread_with(20, LE).ok()?;
    let name = bytes.get(RSDS_HEAD..)?;
    let name = name.get(..name.iter().position(|byte| *byte == 0)?)?;
    let name = std::str::from_utf8(name).ok()?;
    // Builders may leave a full path.
    let name = name.rsplit(['\\', '/']).next()?;
    if name.is_empty() || name.chars().any(char::is_control) {
        return None;
    }
    let guid = rest.iter().fold(format!("{d1:08X}{d2:04X}{d3:04X}"), |guid, byte| format!("{guid}{byte:02X}"));
    Some(PdbInfo { name: name.to_owned(), guid, age })
}

/// True for the names that Windows kernels' files have had.
fn is_kernel_file(name: &str) -> bool {
    ["ntoskrnl.exe", "ntkrnlmp.exe", "ntkrpamp.exe", "ntkrnlpa.exe", "ntkrla57.exe"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

/// True for the names that Windows kernels' PDBs have had.
#[must_use]
pub fn is_kernel_pdb(name: &str) -> bool {
    ["ntkrnlmp.pdb", "ntoskrnl.pdb", "ntkrpamp.pdb", "ntkrnlpa.pdb", "ntkrla57.pdb"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_view_record() {
        let mut bytes = b"RSDS".to_vec();
        bytes.extend((0u8..16).collect::<Vec<_>>());
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(b"d:\\obj\\ntkrnlmp.pdb\0");
        let pdb = parse_rsds(&bytes).unwrap();
        assert_eq!(pdb.name, "ntkrnlmp.pdb");
        assert_eq!(pdb.guid, "0302010005040706".to_owned() + "08090A0B0C0D0E0F");
        assert_eq!(pdb.age, 3);
        assert_eq!(parse_rsds(&bytes[..bytes.len() - 1]), None, "the name must end");
        assert_eq!(parse_rsds(b"NB10"), None);
    }
}
