//! The table in the crate: layouts of the kernels that are public, so that most images need no symbol file.
//!
//! `testdata/tables` makes it, of public symbol files and type headers; every entry names its source.

use super::{Pack, PackedKernel, SymbolError, SymbolSource, Symbols, Wanted};
use crate::PdbInfo;

static TABLE: &[u8] = include_bytes!("built_in.ntpack");

/// The table.
#[must_use]
pub fn built_in() -> Pack {
    Pack::trusted(TABLE)
}

/// The layouts and globals of the kernel with this GUID and age. `None`: it is not in the table.
///
/// # Errors
/// The table was made for fewer fields than are wanted.
pub(super) fn exact(needed: &PdbInfo, wanted: &Wanted) -> Result<Option<Symbols>, SymbolError> {
    Ok(built_in().find(needed, wanted)?.map(|symbols| Symbols { source: SymbolSource::BuiltIn, ..symbols }))
}

/// Layouts of kernels of x64 systems, each distinct one once, with the builds and sources they come from; without globals,
/// which every update moves. Builds for which `hidden` is true are left out.
///
/// # Errors
/// The table was made for fewer fields than are wanted.
pub fn builds(wanted: &Wanted, hidden: impl Fn(u32) -> bool) -> Result<Vec<(PackedKernel, Symbols)>, SymbolError> {
    let x64 = |kernel: &PackedKernel| kernel.arch == "x64" && kernel.build.is_some_and(|build| !hidden(build));
    let types = Wanted { globals: Vec::new(), ..wanted.clone() };
    let mut distinct: Vec<(PackedKernel, Symbols)> = Vec::new();
    for (kernel, symbols) in built_in().choose(&types, x64)? {
        let same = |(other, known): &&(PackedKernel, Symbols)| other.build == kernel.build && known.types == symbols.types;
        if !distinct.iter().any(|entry| same(&entry)) {
            distinct.push((kernel, symbols));
        }
    }
    Ok(distinct)
}
