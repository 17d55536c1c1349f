//! Zip archives of symbol files: Volatility 3's packs (`windows.zip`), or a symbol folder packed to be carried somewhere. The
//! only file that uses the `zip` crate. The one member that is needed is unpacked into memory, and nothing is written, so
//! that members' names lead nowhere.

use super::cabinet::MAX_PDB;
use super::pdb_file::{damaged, guarded};
use crate::symbols::names::FileNames;
use crate::symbols::{PdbInfo, SymbolError, Symbols, Wanted};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;
use zip::ZipArchive;

/// Bytes that are read to learn what is in an archive. Volatility 3's pack of all Windows kernels takes 1 MiB; an archive's
/// directory is held in memory at several times its size.
const MAX_DIRECTORY: u64 = 16 << 20;
/// Members that are read: nobody packs a kernel's symbols more often, and each may take seconds.
const MAX_MEMBERS: usize = 16;
/// PDBs of the right name whose folders do not say which build they are of: each is unpacked to see.
const MAX_UNTOLD: usize = 8;

/// Reads the wanted symbols of the member that has those of the `needed` build.
///
/// # Errors
/// The file cannot be read or is damaged; it has no member of this build, or only such as are damaged.
pub(super) fn load(file: &Path, needed: Option<&PdbInfo>, wanted: &Wanted) -> Result<Symbols, SymbolError> {
    let needed =
        needed.ok_or_else(|| damaged(file, "it is an archive: which of its symbols are needed was not said"))?;
    guarded(file, || {
        let failed = |error: zip::result::ZipError| damaged(file, error);
        let left = Rc::new(Cell::new(MAX_DIRECTORY));
        let source = File::open(file).map_err(|error| damaged(file, error))?;
        let source = BufReader::new(Metered { source, left: Rc::clone(&left) });
        let mut archive = ZipArchive::new(source).map_err(failed)?;
        let mut first_error = None;
        for (index, name) in candidates(&archive, needed) {
            let label = file.join(&name);
            left.set(MAX_PDB);
            let outcome = member(&mut archive, index)
                .map_err(|reason| damaged(&label, reason))
                .and_then(|bytes| super::parse(&bytes, &label, Some(needed), wanted));
            match outcome {
                Ok(symbols) => return Ok(Symbols { file: Some(file.to_owned()), ..symbols }),
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| SymbolError::Missing {
            needed: Box::new(needed.clone()),
            tried: vec![format!("{}: the archive has no symbols of this kernel", file.display())],
        }))
    })
}

/// The members that may be it, best first: by number, with their names.
fn candidates<R: Read + Seek>(archive: &ZipArchive<R>, needed: &PdbInfo) -> Vec<(usize, String)> {
    let names = FileNames::of(needed);
    let mut found = Vec::new();
    let mut untold = 0usize;
    for (index, name) in archive.file_names().enumerate() {
        let Ok(name) = name else { continue };
        let mut parts = name.rsplit(['/', '\\']);
        let (last, folder) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let is = |other: &str| last.eq_ignore_ascii_case(other);
        let told = folder.eq_ignore_ascii_case(&names.folder);
        let [packed, plain] = &names.symbol_files;
        let rank = match () {
            () if told && is(names.pdb) => 0,
            () if told && is(&names.packed) => 1,
            () if is(packed) => 2,
            () if is(plain) => 3,
            () if untold < MAX_UNTOLD && (is(names.pdb) || is(&names.packed)) => {
                untold = untold.saturating_add(1);
                4
            }
            () => continue,
        };
        found.push((rank, index, name.into_owned()));
    }
    found.sort();
    found.into_iter().take(MAX_MEMBERS).map(|(_, index, name)| (index, name)).collect()
}

/// A member's bytes.
fn member<R: Read + Seek>(archive: &mut ZipArchive<R>, index: usize) -> Result<Vec<u8>, String> {
    let packed = archive.by_index(index).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    // To its end, where its checksum is compared.
    packed.take(MAX_PDB).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length >= MAX_PDB) {
        return Err(format!("unpacked, it has more than {MAX_PDB} bytes"));
    }
    Ok(bytes)
}

/// A file of which so many bytes may be read.
struct Metered {
    source: File,
    left: Rc<Cell<u64>>,
}

impl Read for Metered {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(into)?;
        let left = u64::try_from(read).ok().and_then(|read| self.left.get().checked_sub(read));
        self.left.set(left.ok_or_else(|| io::Error::other("it has more in it than an archive of symbols has"))?);
        Ok(read)
    }
}

impl Seek for Metered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.source.seek(to)
    }
}
