//! The name of a PDB: which build of a program it belongs to.

use super::SymbolError;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Names one PDB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PdbInfo {
    /// File name: `ntkrnlmp.pdb`.
    pub name: String,
    /// 32 hexadecimal digits, upper case, as symbol servers write it.
    pub guid: String,
    /// Age of the DBI stream, as the CodeView record has it.
    pub age: u32,
}

/// Whether two names stand for the same build: its GUID and age. File names differ (`ntkrnlmp.pdb` is also kept as `nt.pdb`),
/// and so does the case of hexadecimal digits.
pub(super) fn same_id(one: &PdbInfo, other: &PdbInfo) -> bool {
    one.guid.eq_ignore_ascii_case(&other.guid) && one.age == other.age
}

/// Lets a file's symbols pass if they are the needed ones, under the name that the kernel has for them.
pub(super) fn check_id(file: &Path, found: PdbInfo, needed: Option<&PdbInfo>) -> Result<PdbInfo, SymbolError> {
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
