//! Kinds of files that have symbols, one file each. The content of a file says what it is, not its name.

#[cfg(feature = "compressed-symbols")]
mod cabinet;
#[cfg(feature = "isf")]
pub mod isf;
pub(super) mod pack;
pub(super) mod pack_folder;
pub mod pdb_file;
mod pdb_types;
#[cfg(feature = "compressed-symbols")]
mod zip_archive;

use super::{PdbInfo, SymbolError, Symbols, Wanted};
use pack::Pack;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What a file with symbols is. Its content says so, not its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pdb,
    /// A symbol file of Volatility 3.
    Isf,
    Cabinet,
    Zip,
    /// Layouts of many kernels.
    Pack,
}

impl Kind {
    /// By a file's first bytes; what else it is, or that this program was built without its kind.
    fn of(start: &[u8]) -> Result<Self, &'static str> {
        let is = |magic: &[u8]| start.starts_with(magic);
        let kind = match start {
            _ if is(b"Microsoft") => Self::Pdb,
            _ if is(b"\xfd7zXZ\0") => Self::Isf,
            [b'{' | b' ' | b'\t' | b'\r' | b'\n', ..] => Self::Isf,
            _ if is(b"MSCF") => Self::Cabinet,
            _ if is(b"PK\x03\x04") || is(b"PK\x05\x06") => Self::Zip,
            _ if is(pack::MAGIC) => Self::Pack,
            _ => {
                return Err(
                    "neither a PDB nor a symbol file of Volatility 3, nor one of these packed, nor a pack of layouts",
                );
            }
        };
        match kind {
            Self::Isf if !cfg!(feature = "isf") => Err("a JSON file: this program was built without them"),
            Self::Cabinet if !cfg!(feature = "compressed-symbols") => Err("compressed: expand it first"),
            Self::Zip if !cfg!(feature = "compressed-symbols") => Err("a zip archive: unpack it first"),
            kind => Ok(kind),
        }
    }
}

/// Reads the wanted symbols of a file: a PDB (plain, or compressed as symbol servers do), a Volatility 3 symbol file, a zip
/// archive that has either, or a [`Pack`]. Its content says which, not its name.
///
/// # Errors
/// The file cannot be read, is damaged or of another kind; its GUID or age is not the `needed` one. An archive holds many
/// builds' symbols: without `needed` it is an error.
pub fn load(file: &Path, needed: Option<&PdbInfo>, wanted: &Wanted) -> Result<Symbols, SymbolError> {
    let mut start = [0; 16];
    let read = File::open(file).and_then(|mut open| open.read(&mut start));
    let start = read.map(|read| start.get(..read).unwrap_or_default());
    let kind = start.map_err(|error| pdb_file::damaged(file, error))?;
    match Kind::of(kind).map_err(|reason| pdb_file::damaged(file, reason))? {
        Kind::Pdb => pdb_file::load(file, needed, wanted),
        #[cfg(feature = "isf")]
        Kind::Isf => isf::load(file, needed, wanted),
        #[cfg(feature = "compressed-symbols")]
        Kind::Cabinet => cabinet::load(file, needed, wanted),
        #[cfg(feature = "compressed-symbols")]
        Kind::Zip => zip_archive::load(file, needed, wanted),
        Kind::Pack => {
            let other = |reason: &str| pdb_file::damaged(file, reason);
            let pack = Pack::open(file)?;
            let needed = needed.ok_or_else(|| other("a pack holds many kernels: name the one that is needed"))?;
            let none = || other(&format!("this pack has no kernel of GUID {}, age {}", needed.guid, needed.age));
            pack.find(needed, wanted)?.ok_or_else(none)
        }
        #[cfg(not(all(feature = "isf", feature = "compressed-symbols")))]
        _ => Err(pdb_file::damaged(file, "this program was built without that kind of file")),
    }
}

/// The same out of the bytes of a file that an archive had; `file` is what errors call it.
#[cfg(feature = "compressed-symbols")]
fn parse(bytes: &[u8], file: &Path, needed: Option<&PdbInfo>, wanted: &Wanted) -> Result<Symbols, SymbolError> {
    match Kind::of(bytes).map_err(|reason| pdb_file::damaged(file, reason))? {
        Kind::Pdb => pdb_file::parse(bytes, file, needed, wanted),
        #[cfg(feature = "isf")]
        Kind::Isf => isf::parse(bytes, file, needed, wanted),
        Kind::Cabinet => cabinet::read(std::io::Cursor::new(bytes), file, needed, wanted),
        _ => Err(pdb_file::damaged(file, "an archive in an archive: unpack the outer one first")),
    }
}
