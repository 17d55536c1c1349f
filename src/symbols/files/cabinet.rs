//! Compressed symbol files (`ntkrnlmp.pd_`): cabinets with one PDB in them, as symbol servers keep them. The only file that
//! uses the `cab` crate. They are unpacked into memory, and nothing is written.

use super::pdb_file;
use super::pdb_file::{damaged, guarded};
use crate::symbols::{PdbInfo, SymbolError, Symbols, Wanted};
use cab::{Cabinet, CompressionType, FolderEntry};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

/// Bytes of a PDB, unpacked. Those of Windows kernels have 5 to 20 MiB, the largest of Microsoft's server some hundred; a
/// packed file can blow up a thousandfold.
pub(super) const MAX_PDB: u64 = 512 << 20;
/// Bytes of one block, unpacked: the format's limit for compressed ones. What lies before a file in its folder is unpacked too.
const BLOCK: u64 = 0x8000;

/// Reads the wanted symbols of the PDB in a cabinet.
///
/// # Errors
/// The file cannot be read or is damaged, holds no PDB, or is packed in a way that cannot be unpacked here; then as for
/// [`pdb_file::load`].
pub(super) fn load(file: &Path, needed: Option<&PdbInfo>, wanted: &Wanted) -> Result<Symbols, SymbolError> {
    let open = File::open(file).map_err(|error| damaged(file, error))?;
    read(BufReader::new(open), file, needed, wanted)
}

/// The same out of any source of bytes; `file` is what errors call it.
pub(super) fn read(
    source: impl Read + Seek,
    file: &Path,
    needed: Option<&PdbInfo>,
    wanted: &Wanted,
) -> Result<Symbols, SymbolError> {
    let (name, pdb) = guarded(file, || unpack(source, file))?;
    let symbols = pdb_file::parse(&pdb, &file.join(name), needed, wanted)?;
    Ok(Symbols { file: Some(file.to_owned()), ..symbols })
}

/// The PDB in a cabinet, and its name there.
fn unpack(source: impl Read + Seek, file: &Path) -> Result<(String, Vec<u8>), SymbolError> {
    let failed = |error: std::io::Error| damaged(file, format_args!("cannot unpack it: {error}"));
    let mut cabinet = Cabinet::new(source).map_err(failed)?;
    let (folder, name, size) = cabinet
        .folder_entries()
        .flat_map(|folder| folder.file_entries().map(move |entry| (folder, entry)))
        .find(|(_, entry)| entry.name().to_ascii_lowercase().ends_with(".pdb"))
        .map(|(folder, entry)| (folder, entry.name().to_owned(), u64::from(entry.uncompressed_size())))
        .ok_or_else(|| damaged(file, "it is a cabinet without a PDB"))?;
    check(folder, size).map_err(|reason| damaged(file, reason))?;
    let mut pdb = Vec::new();
    cabinet.read_file(&name).and_then(|packed| packed.take(MAX_PDB).read_to_end(&mut pdb)).map_err(failed)?;
    if u64::try_from(pdb.len()).ok() != Some(size) {
        return Err(damaged(file, format_args!("cannot unpack it: {} of {size} bytes are there", pdb.len())));
    }
    Ok((name, pdb))
}

/// Refuses what cannot be unpacked, before anything is.
fn check(folder: &FolderEntry, size: u64) -> Result<(), String> {
    if size >= MAX_PDB || u64::from(folder.num_data_blocks()) > MAX_PDB / BLOCK {
        return Err(format!("unpacked, it would have more than {MAX_PDB} bytes"));
    }
    match folder.compression_type() {
        CompressionType::Quantum(..) => {
            Err("packed with Quantum, which cannot be unpacked here: expand it first (`expand`, 7-Zip)".to_owned())
        }
        _ => Ok(()),
    }
}
