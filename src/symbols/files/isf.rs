//! Symbol files of Volatility 3: its intermediate symbol format, `.json` or `.json.xz`, made from the same PDBs.
//!
//! What the members mean: the format's JSON schemas (version 6.x) in Volatility 3's sources.

use crate::symbols::{FieldInfo, PdbInfo, SymbolError, SymbolSource, Symbols, TypeInfo, Wanted};
use lzma_rust2::XzReader;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of a document, unpacked. The largest of a Windows kernel has 7 MiB; a packed file can blow up a thousandfold.
const MAX_DOCUMENT: u64 = 64 << 20;
/// KiB that unpacking may take. `xz -9` asks for 64 MiB; a header can ask for 4 GiB.
const MAX_DICTIONARY: u32 = 96 << 10;
/// How a packed file starts.
const XZ_MAGIC: &[u8] = b"\xfd7zXZ\0";

/// Reads the wanted symbols of a symbol file, packed or not.
///
/// # Errors
/// The file cannot be read, is damaged or of another kind; its GUID or age is not the `needed` one. Wanted names that it
/// lacks are no error here: whoever asks the [`Symbols`] for them is told.
pub fn load(file: &Path, needed: Option<&PdbInfo>, wanted: &Wanted) -> Result<Symbols, SymbolError> {
    let open = File::open(file).map_err(|error| damaged(file, error))?;
    let mut bytes = Vec::new();
    open.take(MAX_DOCUMENT).read_to_end(&mut bytes).map_err(|error| damaged(file, error))?;
    parse(&bytes, file, needed, wanted)
}

/// The same out of the bytes of a symbol file; `file` is what errors call it.
///
/// # Errors
/// As for [`load`].
pub fn parse(bytes: &[u8], file: &Path, needed: Option<&PdbInfo>, wanted: &Wanted) -> Result<Symbols, SymbolError> {
    if !bytes.starts_with(XZ_MAGIC) {
        return read(bytes, file, needed, wanted);
    }
    let mut document = Vec::new();
    let packed = XzReader::new_mem_limit(bytes, true, MAX_DICTIONARY);
    packed.take(MAX_DOCUMENT).read_to_end(&mut document).map_err(|error| damaged(file, error))?;
    read(&document, file, needed, wanted)
}

fn damaged(file: &Path, reason: impl Display) -> SymbolError {
    SymbolError::File { file: file.to_owned(), reason: reason.to_string() }
}

fn read(json: &[u8], file: &Path, needed: Option<&PdbInfo>, wanted: &Wanted) -> Result<Symbols, SymbolError> {
    if json.len() >= usize::try_from(MAX_DOCUMENT).unwrap_or(usize::MAX) {
        return Err(damaged(file, format_args!("it has more than {MAX_DOCUMENT} bytes")));
    }
    let document: Document = serde_json::from_slice(json).map_err(|error| damaged(file, error))?;
    let Some(Windows { pdb }) = &document.metadata.windows else {
        return Err(damaged(file, "it is not of a Windows image: it has no metadata.windows.pdb"));
    };
    let found = PdbInfo { name: pdb.database.clone(), guid: pdb.guid.to_ascii_uppercase(), age: pdb.age };
    let found = crate::symbols::id::check_id(file, found, needed)?;
    let types = document.types(wanted).map_err(|error| damaged(file, error))?;
    let globals = document.globals(wanted).map_err(|error| damaged(file, error))?;
    Ok(Symbols {
        source: SymbolSource::Isf,
        file: Some(file.to_owned()),
        pdb: Some(found),
        types,
        globals,
        ..Symbols::default()
    })
}

/// A document of which only the outline is read: a kernel has 1,600 types and 40,000 symbols, and a hundred are wanted.
#[derive(Deserialize)]
struct Document<'a> {
    metadata: Metadata,
    base_types: HashMap<String, Size>,
    enums: HashMap<String, Size>,
    #[serde(borrow)]
    user_types: HashMap<String, &'a RawValue>,
    #[serde(borrow)]
    symbols: &'a RawValue,
}

#[derive(Deserialize)]
struct Metadata {
    windows: Option<Windows>,
}

#[derive(Deserialize)]
struct Windows {
    pdb: Pdb,
}

#[derive(Deserialize)]
struct Pdb {
    #[serde(rename = "GUID")]
    guid: String,
    age: u32,
    database: String,
}

/// Anything with a size in bytes.
#[derive(Clone, Copy, Deserialize)]
struct Size {
    size: u64,
}

#[derive(Deserialize)]
struct UserType {
    size: u64,
    fields: HashMap<String, Member>,
}

#[derive(Deserialize)]
struct Member {
    offset: u64,
    #[serde(rename = "type")]
    kind: Description,
    /// Whether the source gave it no name: what is in it belongs to the structure around it.
    #[serde(default)]
    anonymous: bool,
}

/// What a field is. Which members are there depends on `kind`; `serde_json` bounds how deep they nest (128).
#[derive(Deserialize)]
struct Description {
    kind: String,
    name: Option<String>,
    /// Of a pointer, if it is not the usual one: the base type of its size.
    base: Option<String>,
    count: Option<u64>,
    subtype: Option<Box<Description>>,
    bit_position: Option<u8>,
    bit_length: Option<u8>,
    /// Of a bit-field: the integer that holds it.
    #[serde(rename = "type")]
    storage: Option<Box<Description>>,
}

impl Document<'_> {
    /// The wanted structures, and all that they embed.
    fn types(&self, wanted: &Wanted) -> serde_json::Result<HashMap<String, TypeInfo>> {
        let mut types = HashMap::new();
        let mut sizes = HashMap::new();
        let mut nameless: Vec<(String, u64, String)> = Vec::new();
        let mut todo: Vec<String> = wanted.types.iter().map(|name| (*name).to_owned()).collect();
        while let Some(name) = todo.pop() {
            let Some(raw) = self.user_types.get(&name) else { continue };
            if types.contains_key(&name) {
                continue;
            }
            let UserType { size, fields: members } = serde_json::from_str(raw.get())?;
            let mut fields = HashMap::with_capacity(members.len());
            for (field, Member { offset, kind, anonymous }) in members {
                let size = self.size(&kind, &mut sizes);
                let bits = kind.bit_position.zip(kind.bit_length);
                let structure = kind.name.filter(|_| matches!(kind.kind.as_str(), "struct" | "union" | "class"));
                todo.extend(structure.clone());
                if let Some(inner) = structure.as_ref().filter(|_| anonymous) {
                    nameless.push((name.clone(), offset, inner.clone()));
                }
                fields.insert(field, FieldInfo { offset, size, bits, structure });
            }
            types.insert(name, TypeInfo { size, fields });
        }
        spread(&mut types, &nameless);
        Ok(types)
    }

    /// Size in bytes of what is described. 0: the document does not say. `known` keeps sizes of structures.
    fn size(&self, what: &Description, known: &mut HashMap<String, u64>) -> u64 {
        let name = what.name.as_deref().unwrap_or_default();
        let named = |sizes: &HashMap<String, Size>, name: &str| sizes.get(name).map_or(0, |it| it.size);
        match what.kind.as_str() {
            "base" => named(&self.base_types, name),
            "pointer" => named(&self.base_types, what.base.as_deref().unwrap_or("pointer")),
            "enum" => named(&self.enums, name),
            "array" => {
                let element = what.subtype.as_ref().map_or(0, |element| self.size(element, known));
                element.saturating_mul(what.count.unwrap_or_default())
            }
            "bitfield" => what.storage.as_ref().map_or(0, |storage| self.size(storage, known)),
            "struct" | "union" | "class" => {
                if let Some(size) = known.get(name) {
                    return *size;
                }
                let size = self.user_types.get(name).and_then(|raw| serde_json::from_str::<Size>(raw.get()).ok());
                let size = size.map_or(0, |it| it.size);
                known.insert(name.to_owned(), size);
                size
            }
            _ => 0,
        }
    }

    /// Addresses of the wanted symbols.
    fn globals(&self, wanted: &Wanted) -> serde_json::Result<HashMap<String, u64>> {
        serde_json::Deserializer::from_str(self.symbols.get()).deserialize_map(Addresses(wanted))
    }
}

/// Anonymous structures and unions nest this deep at most; the kernel's nest 3 deep.
const MAX_NESTED: usize = 8;

/// Puts the members of anonymous structures and unions among those of the structures around them, as PDBs have them. `nameless`:
/// the structure around, the offset in it, the type of the anonymous member.
fn spread(types: &mut HashMap<String, TypeInfo>, nameless: &[(String, u64, String)]) {
    // Each turn takes what is one level deeper.
    for _ in 0..MAX_NESTED {
        let mut changed = false;
        for (around, offset, inner) in nameless {
            let Some(TypeInfo { fields, .. }) = types.get(inner).cloned() else { continue };
            let Some(outer) = types.get_mut(around) else { continue };
            for (name, info) in fields {
                if let Entry::Vacant(place) = outer.fields.entry(name) {
                    place.insert(FieldInfo { offset: offset.saturating_add(info.offset), ..info });
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
}

#[derive(Deserialize)]
struct Address {
    address: u64,
}

/// Takes the wanted ones out of a map of symbols.
struct Addresses<'w>(&'w Wanted);

impl<'de> Visitor<'de> for Addresses<'_> {
    type Value = HashMap<String, u64>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("symbols by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = HashMap::new();
        let names: HashSet<&str> = self.0.globals.iter().copied().collect();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if names.contains(&*name) {
                found.insert(name.into_owned(), map.next_value::<Address>()?.address);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}
