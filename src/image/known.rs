//! Files that are recognised and not read: what each is, and how to get at the memory, if there is any in it.

use super::formats::{Format, Job};
use super::source::Source;

const CONVERT: &str = "This format cannot be read yet: convert it to raw";

/// A file that starts with some bytes.
macro_rules! starts {
    ($($mark:expr, $title:expr, $advice:expr;)*) => {
        &[$(&Format { title: $title, mark: |source: &Source| source.has(0, $mark), job: Job::Name($advice) },)*]
    };
}

/// In no order: their marks exclude each other.
pub(super) static FORMATS: &[&Format] = starts![
    b"MDMP", "a minidump of one process", "Take an image of the whole memory";
    b"AVML", "an AVML image", CONVERT;
    b"\x7fELF", "an ELF file, perhaps a core dump of a virtual machine", CONVERT;
    b"HIBR", "a hibernation file", CONVERT;
    b"hibr", "a hibernation file", CONVERT;
    b"RSTR", "a hibernation file that was resumed from", CONVERT;
    b"WAKE", "a hibernation file that was resumed from", CONVERT;
    b"wake", "a hibernation file that was resumed from", CONVERT;
    b"EVF\x09", "an EWF (E01) container", "Mount or export it as raw first";
    b"\x28\xb5\x2f\xfd", "a file compressed with zstd", "Decompress it first: zstd -d FILE";
    b"\x1f\x8b", "a file compressed with gzip", "Decompress it first: gzip -dk FILE";
    b"\xfd7zXZ\0", "a file compressed with xz", "Decompress it first: xz -dk FILE";
    b"BZh", "a file compressed with bzip2", "Decompress it first: bzip2 -dk FILE";
    b"PK\x03\x04", "a ZIP archive", "Unpack it first";
    b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Unpack it first";
    b"Rar!", "a RAR archive", "Unpack it first";
    b"Microsoft C/C++ MSF 7.00", "a PDB, not a memory image", "Give its folder with --symbols, and the image last";
    b"regf", "a registry hive, not a memory image", "Name the memory image";
    b"\xd0\xbe\xd2\xbe", "a VMware snapshot state", "Name the .vmem file beside it, which is a raw image";
    b"\xd1\xba\xd1\xba", "a VMware snapshot state", "Name the .vmem file beside it, which is a raw image";
    b"\xd2\xbe\xd2\xbe", "a VMware snapshot state", "Name the .vmem file beside it, which is a raw image";
    b"\xd3\xbe\xd3\xbe", "a VMware snapshot state", "Name the .vmem file beside it, which is a raw image";
];
