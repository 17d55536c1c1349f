//! Where the layouts of a kernel come from, best first: files of this very kernel, the table in the crate by its PDB, the same
//! by its build number, and other builds' layouts corrected by what the image proves.

use super::layouts::Layouts;
use crate::symbols::{SymbolSource, Symbols, built_in, disagreements as differences};
use crate::{PdbInfo, Warning};

/// Disagreements that are named one by one; there are few, or all is wrong.
const MAX_NAMED: usize = 8;

/// What a file says of this very kernel and the table in the crate says otherwise. One of them is wrong: the file may have
/// been made to mislead.
pub(super) fn disagreements(symbols: &Symbols, pdb: &PdbInfo) -> Vec<Warning> {
    let wanted = Layouts::wanted();
    if !matches!(symbols.source, SymbolSource::Pdb | SymbolSource::Isf) {
        return Vec::new();
    }
    let Ok(Some(known)) = built_in().find(pdb, &wanted) else { return Vec::new() };
    let all = differences(symbols, &known, &wanted);
    let file = symbols.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
    let mut warnings: Vec<Warning> = all
        .iter()
        .take(MAX_NAMED)
        .map(|what| {
            Warning::new("symbols", format!("{file} and the built-in table disagree, the file is used: {what}"))
        })
        .collect();
    if let Some(more) = all.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        warnings.push(Warning::new("symbols", format!("{file} and the built-in table disagree in {more} more places")));
    }
    warnings
}
