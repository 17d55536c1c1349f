//! Everything in a folder that has a kernel's symbols, into one pack.

use crate::symbols::{PackWriter, PackedKernel, SymbolError, load};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders within folders: symbol servers' go four deep.
const MAX_DEPTH: usize = 16;
/// Files that are looked at: a mirror of a symbol server has some hundred thousand.
const MAX_FILES: usize = 1 << 20;

/// What became of one file.
#[derive(Debug)]
pub enum Packed {
    /// Its kernel is in the pack.
    Added(PackedKernel),
    /// A kernel of the same GUID and age was in it already.
    Known(PackedKernel),
    /// It has symbols, and they are no kernel's: a driver's or a library's.
    NoKernel,
    /// It has the name of a symbol file, and could not be read.
    Failed(SymbolError),
}

impl PackWriter {
    /// Adds the kernels of every symbol file in a folder and below it, or of one file, in order of paths, and tells `said` what
    /// became of each. Files that neither their name nor their content makes symbol files are passed over in silence.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn add_folder(&mut self, folder: &Path, mut said: impl FnMut(&Path, Packed)) -> Result<(), SymbolError> {
        let mut files = Vec::new();
        list(folder, MAX_DEPTH, &mut files)?;
        for file in files {
            if let Some(packed) = self.add_file(&file) {
                said(&file, packed);
            }
        }
        Ok(())
    }

    /// Adds one file's kernel. `None`: it is no symbol file.
    fn add_file(&mut self, file: &Path) -> Option<Packed> {
        let name = file.file_name()?.to_str()?.to_ascii_lowercase();
        if ![".pdb", ".pd_", ".json", ".json.xz"].iter().any(|end| name.ends_with(end)) {
            return None;
        }
        let symbols = match load(file, None, &self.wanted) {
            Ok(symbols) => symbols,
            Err(error) => return Some(Packed::Failed(error)),
        };
        // Every kernel has these, and nothing else has both of them.
        if symbols.size_of("_EPROCESS").is_err() || symbols.global("PsActiveProcessHead").is_err() {
            return Some(Packed::NoKernel);
        }
        // Pointers tell: the public symbols do not say what they are for.
        let pointer = symbols.field("_EPROCESS", "UniqueProcessId").map_or(8, |field| field.size);
        let kernel = PackedKernel {
            pdb: symbols.pdb.clone(),
            build: None,
            arch: if pointer == 4 { "x86" } else { "x64" }.to_owned(),
            made_from: symbols.source,
            source: file.file_name()?.to_string_lossy().into_owned(),
        };
        Some(match self.add(&symbols, &kernel) {
            Ok(true) => Packed::Added(kernel),
            Ok(false) => Packed::Known(kernel),
            Err(error) => Packed::Failed(error),
        })
    }
}

/// The files in a folder and below it, in order of their paths; a file alone is itself.
fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), SymbolError> {
    if folder.is_file() {
        files.push(folder.to_owned());
        return Ok(());
    }
    let failed = |error: std::io::Error| SymbolError::File { file: folder.to_owned(), reason: error.to_string() };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    for path in paths {
        if files.len() >= MAX_FILES {
            break;
        }
        // A link may lead back up.
        if path.is_dir() && !path.is_symlink() && depth > 0 {
            list(&path, depth.saturating_sub(1), files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}
