//! What the files with a build's symbols are called, in each of the ways in which they are kept.

use crate::symbols::PdbInfo;

/// Microsoft's public symbol server.
pub(super) const MICROSOFT: &str = "https://msdl.microsoft.com/download/symbols";

/// The names for one build.
pub(super) struct FileNames<'a> {
    /// `ntkrnlmp.pdb`.
    pub pdb: &'a str,
    /// The same compressed: `ntkrnlmp.pd_`.
    pub packed: String,
    /// The folder that tells builds apart in the layout of symbol servers: GUID and age, the age in hexadecimal.
    pub folder: String,
    /// Volatility 3's names, packed and plain: GUID and age, the age in decimal.
    pub symbol_files: [String; 2],
}

impl<'a> FileNames<'a> {
    pub(super) fn of(needed: &'a PdbInfo) -> Self {
        let pdb = file_name(needed);
        let guid = needed.guid.to_ascii_uppercase();
        let mut packed = pdb.to_owned();
        packed.pop();
        packed.push('_');
        let symbol_file = format!("{guid}-{}.json", needed.age);
        Self {
            pdb,
            packed,
            folder: format!("{guid}{:X}", needed.age),
            symbol_files: [format!("{symbol_file}.xz"), symbol_file],
        }
    }
}

/// Where a symbol server keeps a PDB, below its address: `NAME/GUIDAGE/NAME`, the age in hexadecimal.
#[must_use]
pub fn server_path(needed: &PdbInfo) -> String {
    let FileNames { pdb, folder, .. } = FileNames::of(needed);
    format!("{pdb}/{folder}/{pdb}")
}

/// The name alone: a kernel built by hand names its PDB with the path it was written to.
pub(super) fn file_name(needed: &PdbInfo) -> &str {
    needed.name.rsplit(['/', '\\']).next().unwrap_or_default()
}

/// Whether a name that came out of an image names just a file: it shall lead nowhere else.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', ':', '\0'])
}
