//! Microsoft's program databases. The only file that uses the `pdb` crate.

use super::pdb_types::TypeStream;
use crate::symbols::{PdbInfo, SymbolError, SymbolSource, Symbols, Wanted};
use pdb::{FallibleIterator, PDB, Source, SourceSlice, SourceView, StreamIndex, SymbolData};
use std::collections::HashMap;
use std::fmt::{Debug, Display};
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// The stream that holds the types, in every PDB.
const TYPE_STREAM: StreamIndex = StreamIndex(2);
/// Kind of a record that gives the address of a public symbol.
const S_PUB32: u16 = 0x110e;
/// Bytes of one stream. The largest of a public kernel PDB has 5 MiB; a damaged file may claim 4 GiB.
const MAX_STREAM: u64 = 256 << 20;

/// Reads the wanted symbols of a PDB file.
///
/// Only the streams that hold them are read, and nothing of the file is kept.
///
/// # Errors
/// The file cannot be read or is damaged; its GUID or age is not the `needed` one. Wanted names that it lacks are no error
/// here: whoever asks the [`Symbols`] for them is told.
pub fn load(file: &Path, needed: Option<&PdbInfo>, wanted: &Wanted) -> Result<Symbols, SymbolError> {
    guarded(file, || read(open(file)?, file, needed, wanted))
}

/// The same out of the bytes of a PDB file; `file` is what errors call it.
///
/// # Errors
/// As for [`load`].
pub fn parse(bytes: &[u8], file: &Path, needed: Option<&PdbInfo>, wanted: &Wanted) -> Result<Symbols, SymbolError> {
    guarded(file, || {
        let pages = Pages { length: u64::try_from(bytes.len()).unwrap_or(u64::MAX), source: Cursor::new(bytes) };
        read(PDB::open(pages).map_err(|error| damaged(file, error))?, file, needed, wanted)
    })
}

/// Says whose symbols a PDB file has. The file does not hold its own name: that is the name of `file`.
///
/// # Errors
/// The file cannot be read or is damaged.
pub fn identify(file: &Path) -> Result<PdbInfo, SymbolError> {
    guarded(file, || identity(&mut open(file)?, file))
}

pub(super) fn damaged(file: &Path, reason: impl Display) -> SymbolError {
    SymbolError::File { file: file.to_owned(), reason: reason.to_string() }
}

/// Turns a panic into an error.
///
/// What the `pdb` crate does with a file's numbers was read through: it adds some of them unchecked (sizes of substreams,
/// section addresses), which panics in builds that check, and asserts that streams are as long as asked for. A damaged
/// file must not take the program with it. What unpacks cabinets asserts too.
pub(super) fn guarded<T>(file: &Path, work: impl FnOnce() -> Result<T, SymbolError>) -> Result<T, SymbolError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(damaged(file, "the file is damaged")))
}

fn open(file: &Path) -> Result<PDB<'static, Pages<File>>, SymbolError> {
    let source = File::open(file).map_err(|error| damaged(file, error))?;
    let length = source.metadata().map_err(|error| damaged(file, error))?.len();
    PDB::open(Pages { source, length }).map_err(|error| damaged(file, error))
}

fn identity<'s, S: Source<'s> + 's>(pdb: &mut PDB<'s, S>, file: &Path) -> Result<PdbInfo, SymbolError> {
    let information = pdb.pdb_information().map_err(|error| damaged(file, error))?;
    let debug = pdb.debug_information().map_err(|error| damaged(file, error))?;
    Ok(PdbInfo {
        name: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        guid: format!("{:X}", information.guid.simple()),
        // The age that images and symbol servers name is that of the DBI stream. The information stream counts something
        // else, and the two differ in the PDBs of Windows XP.
        age: debug.age().unwrap_or(information.age),
    })
}

fn read<'s, S: Source<'s> + 's>(
    mut pdb: PDB<'s, S>,
    file: &Path,
    needed: Option<&PdbInfo>,
    wanted: &Wanted,
) -> Result<Symbols, SymbolError> {
    let found = crate::symbols::id::check_id(file, identity(&mut pdb, file)?, needed)?;
    let types = pdb.raw_stream(TYPE_STREAM).map_err(|error| damaged(file, error))?;
    let types = types.ok_or_else(|| damaged(file, "it has no types"))?;
    let types = TypeStream::read(&types).and_then(|stream| stream.collect(&wanted.types));
    Ok(Symbols {
        source: SymbolSource::Pdb,
        file: Some(file.to_owned()),
        pdb: Some(found),
        types: types.map_err(|reason| damaged(file, reason))?,
        globals: globals(&mut pdb, wanted).map_err(|error| damaged(file, error))?,
        ..Symbols::default()
    })
}

/// Finds the wanted names among the public symbols.
fn globals<'s, S: Source<'s> + 's>(pdb: &mut PDB<'s, S>, wanted: &Wanted) -> pdb::Result<HashMap<String, u64>> {
    let mut found = HashMap::new();
    let names: HashMap<&[u8], &str> = wanted.globals.iter().map(|name| (name.as_bytes(), *name)).collect();
    if names.is_empty() {
        return Ok(found);
    }
    // Some dozen names are wanted of 40,000: most others are passed over by their first letter.
    let mut letters: Vec<u8> = names.keys().filter_map(|name| undecorated(name).first().copied()).collect();
    letters.sort_unstable();
    letters.dedup();
    let addresses = pdb.address_map()?;
    let table = pdb.global_symbols()?;
    let mut symbols = table.iter();
    while let Some(symbol) = symbols.next()? {
        if symbol.raw_kind() != S_PUB32 {
            continue;
        }
        let Ok(SymbolData::Public(public)) = symbol.parse() else { continue };
        let name = public.name.as_bytes();
        let bare = undecorated(name);
        if !bare.first().is_some_and(|letter| letters.contains(letter)) {
            continue;
        }
        let Some(plain) = names.get(name).or_else(|| names.get(bare)) else { continue };
        let Some(address) = public.offset.to_rva(&addresses) else { continue };
        if plain.len() == name.len() || !found.contains_key(*plain) {
            found.insert((*plain).to_owned(), u64::from(address.0));
        }
    }
    Ok(found)
}

/// The C name in what a 32-bit compiler makes of it: `_name`, `_name@8`, `@name@8` or, out of assembler, `name@8`.
fn undecorated(name: &[u8]) -> &[u8] {
    let name = name.strip_prefix(b"_").or_else(|| name.strip_prefix(b"@")).unwrap_or(name);
    name.split(|byte| *byte == b'@').next().unwrap_or_default()
}

/// A file of pages, read as streams are asked for. Unlike the `pdb` crate's own, it believes no length that the file cannot
/// have.
#[derive(Debug)]
struct Pages<R> {
    source: R,
    length: u64,
}

impl<'s, R: Read + Seek + Debug> Source<'s> for Pages<R> {
    fn view(&mut self, slices: &[SourceSlice]) -> io::Result<Box<dyn SourceView<'s>>> {
        let total = slices.iter().try_fold(0u64, |total, slice| total.checked_add(u64::try_from(slice.size).ok()?));
        let total = total.filter(|total| *total <= self.length.min(MAX_STREAM)).ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut bytes = Vec::with_capacity(usize::try_from(total).map_err(|_| io::ErrorKind::OutOfMemory)?);
        for slice in slices {
            self.source.seek(SeekFrom::Start(slice.offset))?;
            let size = u64::try_from(slice.size).unwrap_or(u64::MAX);
            let read = (&mut self.source).take(size).read_to_end(&mut bytes)?;
            if read != slice.size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Box::new(View(bytes)))
    }
}

/// The bytes of one stream.
#[derive(Debug)]
struct View(Vec<u8>);

impl SourceView<'_> for View {
    fn as_slice(&self) -> &[u8] {
        &self.0
    }
}
