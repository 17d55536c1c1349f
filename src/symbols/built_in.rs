//! The table in the crate: layouts of the kernels that are public, so that most images need no symbol file.
//!
//! `testdata/tables` makes it, of public symbol files and type headers; every entry names its source.

use super::{Pack, PackedKernel, SymbolError, Symbols, Wanted};
use crate::symbols::PdbInfo;
use crate::symbols::id::same_id;

static TABLE: &[u8] = include_bytes!("built_in.ntpack");

/// The table.
#[must_use]
pub fn built_in() -> Pack {
    Pack::trusted(TABLE)
}

/// The build number of the kernel with this GUID and age, its layouts and its globals. `None`: it is not in the table.
///
/// # Errors
/// The table was made for fewer fields than are wanted.
pub(super) fn exact(needed: &PdbInfo, wanted: &Wanted) -> Result<Option<(Option<u32>, Symbols)>, SymbolError> {
    let is_it = |kernel: &PackedKernel| kernel.pdb.as_ref().is_some_and(|pdb| same_id(pdb, needed));
    let found = built_in().choose(wanted, is_it)?.into_iter().next();
    Ok(found.map(|(kernel, symbols)| (kernel.build, Symbols { pdb: Some(needed.clone()), ..symbols })))
}

/// Layouts of kernels of x64 systems, each distinct one once, with the builds and sources they come from; without globals,
/// which every update moves. Only builds that `choose` takes.
///
/// # Errors
/// The table was made for fewer fields than are wanted.
pub fn builds(wanted: &Wanted, choose: impl Fn(u32) -> bool) -> Result<Vec<(PackedKernel, Symbols)>, SymbolError> {
    let x64 = |kernel: &PackedKernel| kernel.arch == "x64" && kernel.build.is_some_and(&choose);
    built_in().distinct(wanted, x64)
}
