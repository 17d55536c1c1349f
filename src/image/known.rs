//! Files that are recognised and not read: what each is, and how to get at the memory, if there is any in it.

use super::formats::{Format, Job, Opening};
use super::source::Source;
use super::{virtualbox, xen};
use crate::PAGE_SIZE;

/// Files that start with some bytes.
macro_rules! starts {
    ($($mark:expr, $title:expr, $advice:expr;)*) => {
        &[$(&Format {
            title: $title,
            mark: |opening: &Opening<'_>| opening.source.has(0, $mark),
            job: Job::Name($advice),
        },)*]
    };
}

/// Files that something in them shows.
macro_rules! shown {
    ($($mark:expr, $title:expr, $advice:expr;)*) => {
        &[$(&Format {
            title: $title,
            mark: |opening: &Opening<'_>| {
                let is: fn(&Source) -> bool = $mark;
                is(&opening.source)
            },
            job: Job::Name($advice),
        },)*]
    };
}

/// What to do with a state of Hyper-V that cannot be read.
pub(super) const HYPER_V: &str = "Convert it to a raw image on a Windows that has Hyper-V's library: MemProcFS opens it (-device FILE) and gives memory.pmem";
const ACQUIRE: &str = "Name the file that the acquisition tool wrote, or acquire the memory of the machine";
const DISK: &str = "A disk holds no memory but in its pagefile.sys and hiberfil.sys: copy hiberfil.sys out of it (7-Zip, or mount it read-only) and name that";

/// By their first bytes, which no memory begins with but by chance of 1 in 2^32 or less.
pub(super) static STARTS: &[&Format] = starts![
    b"MDMP", "a minidump of one process", "It holds no memory of the machine: take an image of the whole memory";
    b"\xcf\xfa\xed\xfe", "a program or a core dump of macOS (Mach-O)", ACQUIRE;
    b"\xce\xfa\xed\xfe", "a program or a core dump of macOS (Mach-O)", ACQUIRE;
    b"EVF2\r\n\x81\x00", "an EWF image of the second version (Ex01)", "Export it as raw: in EnCase or X-Ways as \"raw image (dd)\", or with ewfexport of a recent libewf";
    b"LVF\x09\x0d\x0a\xff\x00", "a logical evidence file (L01)", "It holds files: export the memory image that is in it";
    b"LEF2\r\n\x81\x00", "a logical evidence file (Lx01)", "It holds files: export the memory image that is in it";
    b"ADSEGMENTEDFILE\x00", "an AccessData image (AD1)", "It holds files: open it in FTK Imager and export the memory image that is in it";
    b"AFF10\r\n\x00", "an AFF image of the first format", "Convert it: affconvert -r FILE";
    b"XenSavedDomain\n", "a machine saved by an old Xen", xen::ADVICE;
    b"HyperVStorage", "a machine saved by Hyper-V", HYPER_V;
    b"\x00\x00\x64\x86\x84\x19\x10\x07", "the state of a Firecracker machine", "Name the memory file of the snapshot, which is raw";
    b"\x7fVirtualBox SavedState V", "a machine saved by an old VirtualBox", virtualbox::ADVICE;
    b"WithoutFreeSpace", "a virtual machine's disk (Parallels)", DISK;
    b"WithouFreSpacExt", "a virtual machine's disk (Parallels)", DISK;
    b"QED\0", "a virtual machine's disk (QED)", DISK;
    b"QFI\xfb\0\0\0\x01", "a virtual machine's disk (qcow)", DISK;
    b"KDMV", "a virtual machine's disk (VMDK)", DISK;
    b"COWD", "a virtual machine's disk (VMDK)", DISK;
    b"# Disk DescriptorFile", "the description of a virtual machine's disk (VMDK)", DISK;
    b"vhdxfile", "a virtual machine's disk (VHDX)", DISK;
    b"conectix", "a virtual machine's disk (VHD)", DISK;
    b"\xebR\x90NTFS    ", "a disk volume (NTFS)", DISK;
    b"\xebX\x90MSDOS5.0", "a disk volume (FAT)", DISK;
    b"\xebv\x90EXFAT   ", "a disk volume (exFAT)", DISK;
    b"\xeb\x58\x90-FVE-FS-", "a disk volume encrypted with BitLocker", DISK;
    b"SQLite format 3\x00", "a database (SQLite)", ACQUIRE;
    b"ElfFile\x00", "an event log of Windows", ACQUIRE;
    b"\xd4\xc3\xb2\xa1", "a capture of network traffic (pcap)", ACQUIRE;
    b"\x0a\x0d\x0d\x0a", "a capture of network traffic (pcapng)", ACQUIRE;
    b"Rar!\x1a\x07", "a RAR archive", "Unpack it first: 7z x FILE";
    b"MSCF\0\0\0\0", "a cabinet", "Unpack it first: 7z x FILE";
    b"\x04\x22\x4d\x18", "a file compressed with lz4", "Unpack it first: lz4 -d FILE";
    b"\xff\x06\x00\x00sNaPpY", "a file compressed with snappy", "Unpack it first: snzip -d FILE (or python -m snappy -d FILE OUT)";
    b"\x89LZO\x00\r\n\x1a\n", "a file compressed with lzop", "Unpack it first: lzop -d FILE";
    b"Microsoft C/C++ MSF 7.00", "a PDB, not a memory image", "Give its folder with --symbols, and the image last";
    b"regf", "a registry hive, not a memory image", "Name the memory image";
    b"%PDF-", "a document (PDF)", ACQUIRE;
];

#[cfg(not(feature = "compressed-images"))]
/// What this build cannot unpack.
pub(super) static PACKED: &[&Format] = starts![
    b"\x28\xb5\x2f\xfd", "a file compressed with zstd", "Decompress it first: zstd -d FILE";
    b"\x1f\x8b\x08", "a file compressed with gzip", "Decompress it first: gzip -dk FILE";
    b"\xfd7zXZ\0", "a file compressed with xz", "Decompress it first: xz -dk FILE";
    b"BZh91AY&SY", "a file compressed with bzip2", "Decompress it first: bzip2 -dk FILE";
    b"PK\x03\x04", "a zip archive", "Unpack it first";
    b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Unpack it first: 7z x FILE";
];
#[cfg(feature = "compressed-images")]
pub(super) static PACKED: &[&Format] = &[];

/// By what stands elsewhere in them.
pub(super) static SHOWN: &[&Format] = shown![
    |source| source.has(512, b"EFI PART"), "a disk (GPT)", DISK;
    is_mbr, "a disk (MBR)", DISK;
    is_vhd, "a virtual machine's disk (VHD)", DISK;
    is_vdi, "a virtual machine's disk (VDI)", DISK;
    is_lzma, "a file compressed with lzma", "Unpack it first: xz --format=lzma -dc FILE > OUT";
    is_split_zip, "the last part of a zip archive in several parts", "Join them first: zip -s 0 FILE --out WHOLE.zip, with all parts beside it";
    |source| source.has(0, b"PK\x07\x08PK\x03\x04"), "the first part of a zip archive in several parts", "Join them first: zip -s 0 FILE.zip --out WHOLE.zip, where FILE.zip is the last of them";
    |source| source.has(257, b"ustar"), "a tar archive", "Unpack it first: tar -xf FILE";
    |source| source.has(0x8001, b"CD001"), "a CD or DVD image (ISO)", ACQUIRE;
    is_program, "a program or driver of Windows", ACQUIRE;
    is_elf_program, "a program or library of Linux (ELF)", ACQUIRE;
    is_zlib, "a zlib stream, as LiME writes it with compress=1", "Unpack it first: zlib-flate -uncompress < FILE > OUT (qpdf), or pigz -dz";
];

/// A partition table whose entries can be: a memory's first page may hold a boot sector's mark by chance.
fn is_mbr(source: &Source) -> bool {
    if !source.has(510, b"\x55\xaa") {
        return false;
    }
    let mut used = 0u32;
    for n in 0..4u64 {
        let at = 446u64.saturating_add(n.saturating_mul(16));
        let (Some(state), Some(kind), Some(first), Some(count)) = (
            source.u8(at),
            source.u8(at.saturating_add(4)),
            source.u32(at.saturating_add(8)),
            source.u32(at.saturating_add(12)),
        ) else {
            return false;
        };
        if !matches!(state, 0 | 0x80) || (kind == 0) != (count == 0) || (kind != 0 && first == 0) {
            return false;
        }
        used = used.saturating_add(u32::from(kind != 0));
    }
    used > 0
}

/// A fixed VHD has its mark in the last sector alone.
fn is_vhd(source: &Source) -> bool {
    source.len().checked_sub(512).is_some_and(|at| source.has(at, b"conectix"))
}

/// What made it stands in front, in words that differ.
fn is_vdi(source: &Source) -> bool {
    source.has(0, b"<<< ") && source.u32(0x40) == Some(0xbeda_107f)
}

/// The form before xz: a byte of properties, the size of the dictionary (which is what packers choose), the size of the content or -1, and
/// the first byte of the range coder, which is zero. One in 2^40 pages begins so by chance.
fn is_lzma(source: &Source) -> bool {
    let inner = || {
        let (properties, dictionary) = (source.u8(0)?, source.u32(1)?);
        let (size, first) = (source.u64(5)?, source.u8(13)?);
        let usual = dictionary.is_power_of_two() || (dictionary / 3).is_power_of_two() && dictionary.is_multiple_of(3);
        let fits = size == u64::MAX || (size >> 40 == 0 && size > source.len());
        (properties == 0x5d && usual && (1 << 12..=3 << 29).contains(&dictionary) && fits && first == 0).then_some(())
    };
    inner().is_some()
}

/// The end of its list of files says that it is of a further disk.
fn is_split_zip(source: &Source) -> bool {
    source.len().checked_sub(22).is_some_and(|end| {
        source.has(end, b"PK\x05\x06")
            && source.u16(end.saturating_add(4)).is_some_and(|disk| (1..1000).contains(&disk))
    })
}

/// Files of this size and a whole number of pages may be parts of a memory image: no tool cuts one into smaller parts than this.
const PART: u64 = 16 << 20;

/// An executable whose sections reach about as far as the file does; a page of one may begin a memory by chance.
fn is_program(source: &Source) -> bool {
    let inner = || {
        let header = u64::from(source.u32(0x3c)?);
        // A part of a memory image may begin with one, such as the kernel.
        if source.len() >= PART && source.len().is_multiple_of(PAGE_SIZE) {
            return None;
        }
        if !source.has(0, b"MZ") || !source.has(header, b"PE\0\0") {
            return None;
        }
        let (count, optional) = (source.u16(header.checked_add(6)?)?, source.u16(header.checked_add(20)?)?);
        let sections = header.checked_add(24)?.checked_add(u64::from(optional))?;
        let ends = (0..u64::from(count.min(96))).filter_map(|n| {
            let at = sections.checked_add(n.checked_mul(40)?)?;
            Some(
                u64::from(source.u32(at.checked_add(16)?)?).saturating_add(u64::from(source.u32(at.checked_add(20)?)?)),
            )
        });
        let end = ends.max()?;
        (end <= source.len() && source.len() <= end.saturating_mul(4).max(1 << 20)).then_some(())
    };
    inner().is_some()
}

/// A 64-bit ELF file that is no core dump, and whose section headers end where the file does; a loader's page in memory knows nothing of
/// them.
fn is_elf_program(source: &Source) -> bool {
    let inner = || {
        let [table, size, count] = [source.u64(0x28)?, source.u16(0x3a)?.into(), source.u16(0x3c)?.into()];
        let end = table.checked_add(u64::checked_mul(size, count)?)?;
        let kind = source.u16(0x10)?;
        (source.has(0, b"\x7fELF\x02") && kind != 4 && table != 0 && end == source.len()).then_some(())
    };
    inner().is_some()
}

/// LiME packs all of its output, headers included, with a window of 2 KiB or the usual one.
pub(super) fn is_zlib(source: &Source) -> bool {
    let Some([first, second]) = source.array(0) else { return false };
    let header = u16::from_be_bytes([first, second]);
    matches!(first, 0x38 | 0x78) && header.is_multiple_of(31) && {
        super::inflate::zlib_start(&source.head(0, 0x1000), 8)
            .is_some_and(|bytes| bytes.starts_with(b"EMiL") || first == 0x38)
    }
}

/// Many memory images begin so too: the first page of memory is seldom used.
pub(super) const PAGE_FILE: &str = "a page file or a hibernation file that was resumed from: its first page is zero";

/// Marks that memory has by chance.
pub(super) static WEAK: &[&Format] = &[
    &Format {
        title: "a program or driver of Windows, or a part of a memory image that begins with one",
        mark: |opening| {
            let source = &opening.source;
            source.has(0, b"MZ") && source.u32(0x3c).is_some_and(|at| source.has(u64::from(at), b"PE\0\0"))
        },
        job: Job::Suspect(
            "Name the file that the acquisition tool wrote; join parts in their order first: cat PART... > OUT",
        ),
    },
    &Format {
        title: "a disk or a volume: its first sector ends as a boot sector does",
        mark: |opening| opening.source.has(510, b"\x55\xaa"),
        job: Job::Suspect(DISK),
    },
    &Format {
        title: "the blocks of a hibernation file whose header is gone",
        mark: |opening| opening.source.has(0, b"\x81\x81xpress"),
        job: Job::Suspect("Copy the whole hiberfil.sys, from its first byte on"),
    },
    &Format {
        title: "the begin of a Hyper-V machine's state",
        mark: |opening| matches!(opening.source.u32(0), Some(0x0128_2014 | 0x0001_8201)),
        job: Job::Suspect(HYPER_V),
    },
    &Format {
        title: PAGE_FILE,
        mark: |opening| {
            let page = opening.source.head(0, 4096);
            page.iter().all(|byte| *byte == 0) && opening.source.head(4096, 4096).iter().any(|byte| *byte != 0)
        },
        job: Job::Suspect("A page file holds single pages that belong to a memory image, and tells nothing alone"),
    },
];
