//! Symbols: where they are looked for, what they say, and the typed offsets made of them. Nothing here knows of memory.

mod agree;
mod built_in;
mod cache;
mod error;
#[cfg(feature = "isf")]
pub mod isf;
pub(crate) mod layout;
mod pack;
mod pack_folder;
pub mod pdb_file;
mod pdb_types;
mod store;
mod table;

pub use agree::disagreements;
pub use built_in::{builds, built_in};
pub use error::{SymbolError, server_path};
pub use layout::{Bits, Embedded, Field, Natural, Stored};
pub use pack::{Pack, PackWriter, PackedKernel};
pub use pack_folder::Packed;
pub use store::{SymbolStore, Trust};
pub use table::{FieldInfo, SymbolSource, Symbols, TypeInfo, Wanted};

use crate::PdbInfo;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Reads the wanted symbols of a file: a PDB, a Volatility 3 symbol file, or a [`Pack`] (which takes a `needed`). Its content
/// says which, not its name.
///
/// # Errors
/// The file cannot be read, is damaged or of another kind; its GUID or age is not the `needed` one.
pub fn load(file: &Path, needed: Option<&PdbInfo>, wanted: &Wanted) -> Result<Symbols, SymbolError> {
    let other = |reason: &str| SymbolError::File { file: file.to_owned(), reason: reason.to_owned() };
    let mut start = [0; 16];
    let read = File::open(file).and_then(|mut open| open.read(&mut start));
    read.map_err(|error| other(&error.to_string()))?;
    match start {
        [b'M', b'i', b'c', b'r', b'o', b's', b'o', b'f', b't', ..] => pdb_file::load(file, needed, wanted),
        #[cfg(feature = "isf")]
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] | [b'{' | b' ' | b'\t' | b'\r' | b'\n', ..] => {
            isf::load(file, needed, wanted)
        }
        #[cfg(not(feature = "isf"))]
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] | [b'{', ..] => {
            Err(other("a JSON file: this program was built without them"))
        }
        [b'M', b'S', b'C', b'F', ..] => Err(other("compressed: expand it first")),
        start if start == *pack::MAGIC => {
            let pack = Pack::open(file)?;
            let needed = needed.ok_or_else(|| other("a pack holds many kernels: name the one that is needed"))?;
            let none = || other(&format!("this pack has no kernel of GUID {}, age {}", needed.guid, needed.age));
            pack.find(needed, wanted)?.ok_or_else(none)
        }
        _ => Err(other("neither a PDB, nor a symbol file of Volatility 3, nor a pack of layouts")),
    }
}

/// Whether two names stand for the same build: its GUID and age. File names differ (`ntkrnlmp.pdb` is also kept as `nt.pdb`),
/// and so does the case of hexadecimal digits.
fn same_id(one: &PdbInfo, other: &PdbInfo) -> bool {
    one.guid.eq_ignore_ascii_case(&other.guid) && one.age == other.age
}

/// Lets a file's symbols pass if they are the needed ones, under the name that the kernel has for them.
fn check_id(file: &Path, found: PdbInfo, needed: Option<&PdbInfo>) -> Result<PdbInfo, SymbolError> {
    match needed {
        Some(needed) if !same_id(needed, &found) => Err(SymbolError::WrongId {
            file: file.to_owned(),
            found: Box::new(found),
            needed: Box::new(needed.clone()),
        }),
        Some(needed) => Ok(PdbInfo { name: needed.name.clone(), ..found }),
        None => Ok(found),
    }
}
