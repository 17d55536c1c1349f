//! What was read of symbol files, kept from one run to the next: a PDB of twelve megabytes comes down to a kilobyte.
//!
//! An entry belongs to one file in one state (its path, length and time of change), so that the cache never answers for a file
//! that nobody named or that has changed. An entry that is damaged, or lacks what is asked for now, is made again.

use crate::symbols::{Pack, PackWriter, PackedKernel, PdbInfo, SymbolError, Symbols, Wanted};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

/// The user's own folder for what can be made or fetched again: `ntmem` below `%LOCALAPPDATA%`, `$XDG_CACHE_HOME`, `~/.cache` or,
/// on macOS, `~/Library/Caches`. `None`: the environment names none of these.
#[must_use]
pub fn user_folder() -> Option<PathBuf> {
    // The XDG specification: a relative path is to be ignored.
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|home| home.join("Library/Caches"))
    } else {
        folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))
    };
    Some(caches?.join("ntmem"))
}

/// A folder with one small pack for each symbol file.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// As [`crate::symbols::load`], from the cache where it has the file.
    pub(super) fn load(&self, file: &Path, needed: &PdbInfo, wanted: &Wanted) -> Result<Symbols, SymbolError> {
        let Some(identity) = identity(file) else { return crate::symbols::load(file, Some(needed), wanted) };
        let name = format!("{}-{}-{:08x}.ntpack", needed.guid, needed.age, crc32fast::hash(identity.as_bytes()));
        // The GUID comes out of a memory image.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if !name.chars().all(plain) {
            return crate::symbols::load(file, Some(needed), wanted);
        }
        let entry = self.folder.join(name);
        if let Some(symbols) = read(&entry, &identity, needed, wanted) {
            return Ok(Symbols { file: Some(file.to_owned()), ..symbols });
        }
        let symbols = crate::symbols::load(file, Some(needed), wanted)?;
        // Who may not write there goes without.
        let _ = self.write(&entry, identity, &symbols, wanted);
        Ok(symbols)
    }

    fn write(&self, entry: &Path, source: String, symbols: &Symbols, wanted: &Wanted) -> Result<(), SymbolError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mut pack = PackWriter::new(wanted.clone());
        let kernel = PackedKernel {
            pdb: symbols.pdb.clone(),
            build: None,
            arch: String::new(),
            made_from: symbols.source,
            source,
        };
        pack.add(symbols, &kernel)?;
        let bytes = pack.finish()?;
        // Written aside and renamed: whoever reads at the same time finds all of it or nothing.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let aside = self.folder.join(format!("{}-{number}.part", std::process::id()));
        let written = fs::create_dir_all(&self.folder)
            .and_then(|()| fs::write(&aside, bytes))
            .and_then(|()| fs::rename(&aside, entry));
        written.map_err(|error| {
            let _ = fs::remove_file(&aside);
            SymbolError::File { file: entry.to_owned(), reason: error.to_string() }
        })
    }
}

/// The entry's symbols, if it is whole, of this file, and has all that is wanted.
fn read(entry: &Path, identity: &str, needed: &PdbInfo, wanted: &Wanted) -> Option<Symbols> {
    let pack = Pack::open(entry).ok()?;
    let [kernel] = pack.kernels().ok()?.try_into().ok()?;
    // Of an older version: it is read of the file again.
    let whole = pack.lacks(wanted).is_ok_and(|lacking| lacking.is_empty());
    (whole && kernel.source == identity).then(|| pack.find(needed, wanted).ok().flatten())?
}

/// A file and its state, as one text.
fn identity(file: &Path) -> Option<String> {
    let about = fs::metadata(file).ok()?;
    let changed = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let path = fs::canonicalize(file).ok()?;
    Some(format!("{}|{}|{}", path.to_str()?, about.len(), changed.as_nanos()))
}
