//! Symbols: where they are looked for, what they say, and the typed offsets made of them. Nothing here knows of memory.

mod error;
#[cfg(feature = "isf")]
pub mod isf;
pub(crate) mod layout;
pub mod pdb_file;
mod pdb_types;
mod store;
mod table;

pub use error::SymbolError;
pub use layout::{Bits, Embedded, Field, Natural};
pub use store::SymbolStore;
pub use table::{FieldInfo, SymbolSource, Symbols, TypeInfo, Wanted};

use crate::PdbInfo;
use std::path::Path;

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
