//! Packs: the layouts of many kernels in one small file. The crate's own table is one, and so is what `ntmem symbols pack`
//! makes of a folder of PDBs for a machine that has none.
//!
//! A pack holds the fields and globals that were asked for when it was made, and their names: one that was made for fewer
//! than are asked for now says so. Kernels of one build share most of their structures, and each distinct one is kept once.
//! Behind 16 bytes of magic and a CRC-32 of the rest, which no damage of a few bytes survives, it is a `postcard` document.

use crate::symbols::id::same_id;
use crate::symbols::{FieldInfo, PdbInfo, SymbolError, SymbolSource, Symbols, TypeInfo, Wanted};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// How a pack starts; the last byte is the version of its form.
pub(super) const MAGIC: &[u8; 16] = b"ntmem layouts\r\n\x01";
/// Bytes of a pack. That of all 1,900 kernels that anybody counted would have 1 MiB; in memory, its lists may take 24 times as
/// much as in a file that was made to mislead.
const MAX_PACK: usize = 16 << 20;

/// What a pack has of a kernel beside its layouts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedKernel {
    /// The PDB that names it. `None`: types of a build whose PDB is not known.
    pub pdb: Option<PdbInfo>,
    /// Build number, where it is known: 7601, 19041. Kernels of 19042 to 19045 are 19041's.
    pub build: Option<u32>,
    /// `x64`, `x86`.
    pub arch: String,
    /// The kind of file that its entry was made from.
    pub made_from: SymbolSource,
    /// Where that file came from, for a person.
    pub source: String,
}

/// Layouts of many kernels.
#[derive(Clone)]
pub struct Pack {
    bytes: Cow<'static, [u8]>,
    file: Option<PathBuf>,
}

impl std::fmt::Debug for Pack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pack").field("bytes", &self.bytes.len()).field("file", &self.file).finish()
    }
}

/// The document.
#[derive(Default, Serialize, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    structures: Vec<Structure<'a>>,
    #[serde(borrow)]
    globals: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    sources: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    kernels: Vec<Entry<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Structure<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    fields: Vec<Cow<'a, str>>,
    /// The distinct layouts of this structure, each a [`Row`] of its own so that only one of them is read.
    #[serde(borrow)]
    rows: Vec<Cow<'a, [u8]>>,
}

/// One layout of a structure: its size, and where each of the fields lies, if it has it.
#[derive(PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Row {
    size: u64,
    fields: Vec<Option<Place>>,
}

#[derive(PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Place {
    offset: u64,
    size: u64,
    bits: Option<(u8, u8)>,
}

#[derive(Serialize, Deserialize)]
struct Entry<'a> {
    /// Name, GUID and age.
    #[serde(borrow)]
    pdb: Option<(Cow<'a, str>, [u8; 16], u32)>,
    build: Option<u32>,
    #[serde(borrow)]
    arch: Cow<'a, str>,
    /// [`SymbolSource`]: 0 a PDB, 1 a Volatility 3 symbol file, 2 a table of types.
    made_from: u8,
    source: u32,
    /// [`Values`], read for the wanted kernel alone.
    #[serde(borrow)]
    values: Cow<'a, [u8]>,
}

/// Which row of each structure, counted from 1 (0: it lacks the structure), and the address of each global.
#[derive(Serialize, Deserialize)]
struct Values {
    rows: Vec<u32>,
    globals: Vec<Option<u64>>,
}

const MADE_FROM: [SymbolSource; 3] = [SymbolSource::Pdb, SymbolSource::Isf, SymbolSource::BuiltIn];

impl Pack {
    /// Reads a pack's file.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or is no pack.
    pub fn open(file: &Path) -> Result<Self, SymbolError> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_PACK).unwrap_or(u64::MAX).saturating_add(1);
        let read = std::fs::File::open(file).and_then(|open| open.take(limit).read_to_end(&mut bytes));
        read.map_err(|error| damaged(file, &error.to_string()))?;
        Self::parse(bytes.into(), file)
    }

    /// The same out of the bytes of a file; `file` is what errors call it.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn parse(bytes: Cow<'static, [u8]>, file: &Path) -> Result<Self, SymbolError> {
        if bytes.len() > MAX_PACK {
            return Err(damaged(file, &too_large()));
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| {
            damaged(file, "it is no pack of layouts, or one of a version that this program does not know")
        })?;
        let (crc, body) = rest.split_first_chunk().ok_or_else(|| damaged(file, "it ends in its header"))?;
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return Err(damaged(file, "it is damaged: its checksum is wrong. Make it again with `ntmem symbols pack`"));
        }
        let pack = Self { bytes, file: Some(file.to_owned()) };
        pack.body()?;
        Ok(pack)
    }

    /// The table in the crate, which was checked when it was made.
    pub(in crate::symbols) fn trusted(bytes: &'static [u8]) -> Self {
        Self { bytes: Cow::Borrowed(bytes), file: None }
    }

    fn body(&self) -> Result<Body<'_>, SymbolError> {
        let head = MAGIC.len().saturating_add(4);
        let body = self.bytes.get(head..).unwrap_or_default();
        postcard::from_bytes(body).map_err(|error| self.damaged(&error))
    }

    fn damaged(&self, reason: &dyn std::fmt::Display) -> SymbolError {
        damaged(self.file.as_deref().unwrap_or(Path::new("the built-in table")), &reason.to_string())
    }

    /// What it holds, in its order.
    ///
    /// # Errors
    /// It is damaged.
    pub fn kernels(&self) -> Result<Vec<PackedKernel>, SymbolError> {
        let body = self.body()?;
        Ok(body.kernels.iter().map(|entry| entry.describe(&body)).collect())
    }

    /// Structures, fields and globals that are wanted and that it was not made for: an older version made it.
    ///
    /// # Errors
    /// It is damaged.
    pub fn lacks(&self, wanted: &Wanted) -> Result<Vec<String>, SymbolError> {
        Ok(Names::new(&self.body()?, wanted).lacking)
    }

    /// The layouts of the kernel that `needed` names, as far as it was made for them: see [`lacks`](Self::lacks). `None`: it
    /// has none of that GUID and age.
    ///
    /// # Errors
    /// It is damaged.
    pub fn find(&self, needed: &PdbInfo, wanted: &Wanted) -> Result<Option<Symbols>, SymbolError> {
        let body = self.body()?;
        let is_it = |entry: &&Entry<'_>| entry.pdb().is_some_and(|pdb| same_id(&pdb, needed));
        let Some(entry) = body.kernels.iter().find(is_it) else { return Ok(None) };
        let names = Names::new(&body, wanted);
        let values = names.values(entry).map_err(|error| self.damaged(&error))?;
        let symbols = names.symbols(&values).map_err(|error| self.damaged(&error))?;
        let source = entry.describe(&body).made_from;
        let pdb = Some(PdbInfo { name: needed.name.clone(), ..entry.pdb().unwrap_or_default() });
        Ok(Some(Symbols { source, file: self.file.clone(), pdb, ..symbols }))
    }

    /// Every entry that `choose` takes, with its layouts: source [`SymbolSource::BuiltIn`].
    ///
    /// # Errors
    /// It is damaged.
    pub fn choose(
        &self,
        wanted: &Wanted,
        choose: impl Fn(&PackedKernel) -> bool,
    ) -> Result<Vec<(PackedKernel, Symbols)>, SymbolError> {
        self.select(wanted, choose, |_, _| true)
    }

    /// The same without globals, and of kernels of one build that have the same layouts only the first.
    pub(in crate::symbols) fn distinct(
        &self,
        wanted: &Wanted,
        choose: impl Fn(&PackedKernel) -> bool,
    ) -> Result<Vec<(PackedKernel, Symbols)>, SymbolError> {
        let mut known = HashSet::new();
        let types = Wanted { globals: Vec::new(), ..wanted.clone() };
        self.select(&types, choose, |build, rows| known.insert((build, rows)))
    }

    /// `new` is asked of a build, and of the number of the layout that it has of each wanted structure.
    fn select(
        &self,
        wanted: &Wanted,
        choose: impl Fn(&PackedKernel) -> bool,
        mut new: impl FnMut(Option<u32>, Vec<u32>) -> bool,
    ) -> Result<Vec<(PackedKernel, Symbols)>, SymbolError> {
        let body = self.body()?;
        let names = Names::new(&body, wanted);
        let mut chosen = Vec::new();
        for entry in &body.kernels {
            let kernel = entry.describe(&body);
            if !choose(&kernel) {
                continue;
            }
            let values = names.values(entry).map_err(|error| self.damaged(&error))?;
            if new(kernel.build, names.rows(&values)) {
                let symbols = names.symbols(&values).map_err(|error| self.damaged(&error))?;
                let pdb = kernel.pdb.clone();
                chosen.push((kernel, Symbols { source: SymbolSource::BuiltIn, pdb, ..symbols }));
            }
        }
        Ok(chosen)
    }
}

impl Entry<'_> {
    fn pdb(&self) -> Option<PdbInfo> {
        let (name, guid, age) = self.pdb.as_ref()?;
        let guid = guid.iter().fold(String::with_capacity(32), |text, byte| format!("{text}{byte:02X}"));
        Some(PdbInfo { name: name.to_string(), guid, age: *age })
    }

    fn describe(&self, body: &Body<'_>) -> PackedKernel {
        let source = usize::try_from(self.source).ok().and_then(|index| body.sources.get(index));
        PackedKernel {
            pdb: self.pdb(),
            build: self.build,
            arch: self.arch.to_string(),
            made_from: MADE_FROM.get(usize::from(self.made_from)).copied().unwrap_or_default(),
            source: source.map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// The names of a pack that are wanted, with their places in its lists.
struct Names<'b> {
    body: &'b Body<'b>,
    structures: Vec<(usize, &'b Structure<'b>, Vec<Name>)>,
    globals: Vec<Name>,
    /// What is wanted and not among the pack's names.
    lacking: Vec<String>,
}

/// A name's place in a list of the pack, and the name.
type Name = (usize, &'static str);

impl<'b> Names<'b> {
    /// What the pack lacks of it is passed over, as if the kernel had no such thing: a pack may be older than this program.
    fn new(body: &'b Body<'b>, wanted: &Wanted) -> Self {
        let mut lacking = Vec::new();
        let mut structures: BTreeMap<&str, Vec<&'static str>> =
            wanted.types.iter().map(|name| (*name, Vec::new())).collect();
        for (structure, field) in &wanted.fields {
            structures.entry(structure).or_default().push(field);
        }
        let mut found = Vec::new();
        for (name, fields) in structures {
            let Some((at, structure)) = body.structures.iter().enumerate().find(|(_, known)| known.name == name) else {
                lacking.push(name.to_owned());
                continue;
            };
            let mut places = Vec::new();
            for field in fields {
                match structure.fields.iter().position(|known| *known == field) {
                    Some(at) => places.push((at, field)),
                    None => lacking.push(format!("{name}.{field}")),
                }
            }
            found.push((at, structure, places));
        }
        let mut globals = Vec::new();
        for name in &wanted.globals {
            match body.globals.iter().position(|known| known == name) {
                Some(at) => globals.push((at, *name)),
                None => lacking.push((*name).to_owned()),
            }
        }
        Self { body, structures: found, globals, lacking }
    }

    fn values(&self, entry: &Entry<'_>) -> Result<Values, String> {
        let values: Values = postcard::from_bytes(&entry.values).map_err(|error| error.to_string())?;
        if values.rows.len() != self.body.structures.len() || values.globals.len() != self.body.globals.len() {
            return Err("an entry does not fit its lists of names".into());
        }
        Ok(values)
    }

    /// The number of the layout of each wanted structure; 0: there is none.
    fn rows(&self, values: &Values) -> Vec<u32> {
        self.structures.iter().map(|(at, ..)| values.rows.get(*at).copied().unwrap_or(0)).collect()
    }

    fn symbols(&self, values: &Values) -> Result<Symbols, String> {
        let mut types = HashMap::new();
        for (at, structure, fields) in &self.structures {
            let row = values.rows.get(*at).and_then(|row| usize::try_from(row.checked_sub(1)?).ok());
            let Some(row) = row else { continue };
            let row = structure.rows.get(row).ok_or("an entry names a layout that is not there")?;
            let row: Row = postcard::from_bytes(row).map_err(|error| error.to_string())?;
            let place = |at: usize| {
                let Place { offset, size, bits } = row.fields.get(at)?.as_ref()?;
                Some(FieldInfo { offset: *offset, size: *size, bits: *bits, structure: None })
            };
            let fields = fields.iter().filter_map(|(at, name)| Some(((*name).to_owned(), place(*at)?)));
            types.insert(structure.name.to_string(), TypeInfo { size: row.size, fields: fields.collect() });
        }
        let address = |at: usize| values.globals.get(at).copied().flatten();
        let globals = self.globals.iter().filter_map(|(at, name)| Some(((*name).to_owned(), address(*at)?)));
        Ok(Symbols { types, globals: globals.collect(), ..Symbols::default() })
    }
}

/// Makes a pack.
///
/// ```no_run
/// # use ntmem::symbols::{self, PackWriter, PackedKernel};
/// # use std::path::Path;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let wanted = ntmem::kernel::Layouts::wanted();
/// let mut pack = PackWriter::new(wanted.clone());
/// let symbols = symbols::load(Path::new("ntkrnlmp.pdb"), None, &wanted)?;
/// pack.add(&symbols, &PackedKernel { pdb: symbols.pdb.clone(), arch: "x64".into(), ..PackedKernel::default() })?;
/// std::fs::write("kernels.ntpack", pack.finish()?)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct PackWriter {
    pub(super) wanted: Wanted,
    structures: Vec<(&'static str, Vec<&'static str>)>,
    /// The distinct layouts of each structure, with their numbers counted from 1.
    rows: Vec<HashMap<Vec<u8>, u32>>,
    sources: Vec<String>,
    kernels: Vec<(PackedKernel, u32, Vec<u8>)>,
    /// GUIDs and ages of these.
    known: HashSet<([u8; 16], u32)>,
}

impl PackWriter {
    /// A pack for these fields and globals, without a kernel.
    #[must_use]
    pub fn new(wanted: Wanted) -> Self {
        let mut fields: BTreeMap<&'static str, Vec<&'static str>> =
            wanted.types.iter().map(|name| (*name, Vec::new())).collect();
        for (structure, field) in &wanted.fields {
            fields.entry(structure).or_default().push(field);
        }
        let structures: Vec<_> = fields.into_iter().collect();
        let rows = structures.iter().map(|_| HashMap::new()).collect();
        Self { wanted, structures, rows, sources: Vec::new(), kernels: Vec::new(), known: HashSet::new() }
    }

    /// Adds a kernel. False: one with the same GUID and age is there already.
    ///
    /// # Errors
    /// The GUID is none, or a value cannot be written.
    pub fn add(&mut self, symbols: &Symbols, kernel: &PackedKernel) -> Result<bool, SymbolError> {
        if let Some(pdb) = &kernel.pdb
            && !self.known.insert((guid_of(pdb)?, pdb.age))
        {
            return Ok(false);
        }
        let mut chosen = Vec::with_capacity(self.structures.len());
        for ((structure, fields), rows) in self.structures.iter().zip(&mut self.rows) {
            let Ok(size) = symbols.size_of(structure) else {
                chosen.push(0);
                continue;
            };
            let place = |field: &&'static str| {
                let FieldInfo { offset, size, bits, .. } = symbols.field(structure, field).ok()?;
                Some(Place { offset, size, bits })
            };
            let row = written(&Row { size, fields: fields.iter().map(place).collect() })?;
            let next = u32::try_from(rows.len().saturating_add(1)).unwrap_or(u32::MAX);
            chosen.push(*rows.entry(row).or_insert(next));
        }
        let globals = self.wanted.globals.iter().map(|name| symbols.global(name).ok()).collect();
        let values = written(&Values { rows: chosen, globals })?;
        let known = self.sources.iter().position(|source| *source == kernel.source);
        let source = known.unwrap_or_else(|| {
            self.sources.push(kernel.source.clone());
            self.sources.len().saturating_sub(1)
        });
        self.kernels.push((kernel.clone(), u32::try_from(source).unwrap_or(u32::MAX), values));
        Ok(true)
    }

    /// Number of kernels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kernels.len()
    }

    /// True before the first kernel was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kernels.is_empty()
    }

    /// The bytes of the pack's file: the same for the same kernels in the same order.
    ///
    /// # Errors
    /// It has more kernels than a pack may have.
    pub fn finish(&self) -> Result<Vec<u8>, SymbolError> {
        let structures = self.structures.iter().zip(&self.rows).map(|((name, fields), rows)| {
            let mut rows: Vec<_> = rows.iter().map(|(row, number)| (*number, Cow::Borrowed(row.as_slice()))).collect();
            rows.sort_by_key(|(number, _)| *number);
            Structure {
                name: Cow::Borrowed(name),
                fields: fields.iter().map(|field| Cow::Borrowed(*field)).collect(),
                rows: rows.into_iter().map(|(_, row)| row).collect(),
            }
        });
        let kernels = self.kernels.iter().map(|(kernel, source, values)| {
            let pdb = kernel
                .pdb
                .as_ref()
                .map(|pdb| Ok::<_, SymbolError>((Cow::Borrowed(pdb.name.as_str()), guid_of(pdb)?, pdb.age)));
            Ok::<_, SymbolError>(Entry {
                pdb: pdb.transpose()?,
                build: kernel.build,
                arch: Cow::Borrowed(&kernel.arch),
                made_from: MADE_FROM
                    .iter()
                    .position(|known| *known == kernel.made_from)
                    .and_then(|at| at.try_into().ok())
                    .unwrap_or(2),
                source: *source,
                values: Cow::Borrowed(values),
            })
        });
        let body = Body {
            structures: structures.collect(),
            globals: self.wanted.globals.iter().map(|name| Cow::Borrowed(*name)).collect(),
            sources: self.sources.iter().map(|source| Cow::Borrowed(source.as_str())).collect(),
            kernels: kernels.collect::<Result<_, _>>()?,
        };
        let body = written(&body)?;
        let bytes = [MAGIC.as_slice(), &crc32fast::hash(&body).to_le_bytes(), &body].concat();
        if bytes.len() > MAX_PACK { Err(unwritable(too_large())) } else { Ok(bytes) }
    }
}

fn written(value: &impl Serialize) -> Result<Vec<u8>, SymbolError> {
    postcard::to_allocvec(value).map_err(|error| unwritable(error.to_string()))
}

fn unwritable(reason: String) -> SymbolError {
    SymbolError::File { file: PathBuf::from("pack"), reason }
}

fn damaged(file: &Path, reason: &str) -> SymbolError {
    SymbolError::File { file: file.to_owned(), reason: reason.to_owned() }
}

fn too_large() -> String {
    format!("it has more than {MAX_PACK} bytes, which no pack has: make several")
}

/// The 16 bytes that 32 hexadecimal digits stand for, in their order.
fn guid_of(pdb: &PdbInfo) -> Result<[u8; 16], SymbolError> {
    let number = u128::from_str_radix(&pdb.guid, 16).ok().filter(|_| pdb.guid.len() == 32);
    number.map(u128::to_be_bytes).ok_or_else(|| unwritable(format!("{} is no GUID", pdb.guid)))
}
