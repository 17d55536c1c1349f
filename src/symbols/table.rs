//! What a symbol file says, as owned tables: types with their fields, and the addresses of globals.

use super::SymbolError;
use crate::symbols::PdbInfo;
use std::collections::HashMap;
use std::path::PathBuf;

/// Types and globals of one kernel image, whichever file they came from.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    /// Where the tables came from.
    pub source: SymbolSource,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// The PDB these symbols belong to.
    pub pdb: Option<PdbInfo>,
    /// What is worth knowing about where they came from: a file that was named and could not be used.
    pub notes: Vec<String>,
    pub(super) types: HashMap<String, TypeInfo>,
    pub(super) globals: HashMap<String, u64>,
}

/// Where symbols came from, best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SymbolSource {
    /// Microsoft's program database.
    #[default]
    Pdb,
    /// A Volatility 3 symbol file.
    Isf,
    /// The table in this crate, by the kernel's PDB id or by its build number.
    BuiltIn,
    /// Layouts of a neighbouring build, corrected by what the image itself proves.
    Heuristic,
}

impl SymbolSource {
    /// The word that documents use: `pdb`, `isf`, `built_in`, `heuristic`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pdb => "pdb",
            Self::Isf => "isf",
            Self::BuiltIn => "built_in",
            Self::Heuristic => "heuristic",
        }
    }
}

/// One structure or union.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeInfo {
    /// Size in bytes.
    pub size: u64,
    /// Fields by name; those of anonymous structs and unions stand among their parent's.
    pub fields: HashMap<String, FieldInfo>,
}

/// One field of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldInfo {
    /// Distance in bytes from the start of the structure.
    pub offset: u64,
    /// Size in bytes of the field, or of the integer that holds it if it is a bit-field. 0: the file does not say.
    pub size: u64,
    /// Lowest bit and number of bits, for a bit-field.
    pub bits: Option<(u8, u8)>,
    /// Name of the structure or union that the field is (not points to).
    pub structure: Option<String>,
}

/// What to load from a symbol file: everything else in it is passed over.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Names of structures; the ones they embed come with them.
    pub types: Vec<&'static str>,
    /// The fields that will be asked for: a structure's name and the path from it, with dots. Files that hold whole types do
    /// not need them; a [`Pack`](super::Pack) keeps nothing else.
    pub fields: Vec<(&'static str, &'static str)>,
    /// Names of globals.
    pub globals: Vec<&'static str>,
}

impl Wanted {
    /// Asks for these fields of a structure too: the `STRUCTURE` and `FIELDS` of a [`layout!`](crate::layout).
    #[must_use]
    pub fn with(mut self, structure: &'static str, fields: &[&'static str]) -> Self {
        self.types.push(structure);
        self.fields.extend(fields.iter().map(|field| (structure, *field)));
        self
    }
}

/// Structures may nest this deep in a field path; the kernel's nest 4 deep.
const MAX_PATH: usize = 16;

impl Symbols {
    /// Tables from elsewhere than a file: written out in a program, or kept by it. [`Symbols::with_type`] and
    /// [`Symbols::with_global`] fill them.
    #[must_use]
    pub fn new(source: SymbolSource, pdb: Option<PdbInfo>) -> Self {
        Self { source, pdb, ..Self::default() }
    }

    /// Adds a structure, or replaces the one of that name.
    #[must_use]
    pub fn with_type(mut self, name: &str, info: TypeInfo) -> Self {
        self.types.insert(name.to_owned(), info);
        self
    }

    /// Adds a global by its distance in bytes from the image base, or replaces the one of that name.
    #[must_use]
    pub fn with_global(mut self, name: &str, rva: u64) -> Self {
        self.globals.insert(name.to_owned(), rva);
        self
    }

    /// What the symbols say of a structure.
    #[must_use]
    pub fn type_info(&self, structure: &str) -> Option<&TypeInfo> {
        self.types.get(structure)
    }

    /// The field that `path` leads to from structure `structure`: `"Pcb.DirectoryTableBase"`. Offsets are summed.
    ///
    /// # Errors
    /// Names the structure or field that the symbols lack.
    pub fn field(&self, structure: &str, path: &str) -> Result<FieldInfo, SymbolError> {
        // Packs have the fields that are asked for under their whole path.
        if let Some(field) = self.types.get(structure).and_then(|info| info.fields.get(path)) {
            return Ok(field.clone());
        }
        let mut at = structure;
        let mut offset = 0u64;
        let mut parts = path.split('.').take(MAX_PATH).peekable();
        while let Some(part) = parts.next() {
            let info = self.types.get(at).ok_or_else(|| SymbolError::NoType { name: at.to_owned() })?;
            let field = info.fields.get(part).ok_or_else(|| SymbolError::NoField { name: format!("{at}.{part}") })?;
            offset = offset.saturating_add(field.offset);
            if parts.peek().is_none() {
                return Ok(FieldInfo { offset, ..field.clone() });
            }
            at = field
                .structure
                .as_deref()
                .ok_or_else(|| SymbolError::NoField { name: format!("{structure}.{path}") })?;
        }
        Err(SymbolError::NoField { name: format!("{structure}.{path}") })
    }

    /// Size in bytes of a structure.
    ///
    /// # Errors
    /// The symbols lack it.
    pub fn size_of(&self, structure: &str) -> Result<u64, SymbolError> {
        self.types
            .get(structure)
            .map(|info| info.size)
            .ok_or_else(|| SymbolError::NoType { name: structure.to_owned() })
    }

    /// Distance in bytes of a global from the image base.
    ///
    /// # Errors
    /// The symbols lack it.
    pub fn global(&self, name: &str) -> Result<u64, SymbolError> {
        self.globals.get(name).copied().ok_or_else(|| SymbolError::NoGlobal { name: name.to_owned() })
    }

    /// Takes a field away that stands under its whole path, as if the symbols lacked it.
    #[must_use]
    pub fn with_field(mut self, structure: &str, path: &str, field: FieldInfo) -> Self {
        if let Some(info) = self.types.get_mut(structure) {
            info.fields.insert(path.to_owned(), field);
        }
        self
    }

    /// The same without a field.
    #[must_use]
    pub fn without_field(mut self, structure: &str, path: &str) -> Self {
        if let Some(info) = self.types.get_mut(structure) {
            info.fields.remove(path);
        }
        self
    }

    /// The same without globals: for an image in which they lie nowhere.
    #[must_use]
    pub(crate) fn without_globals(self) -> Self {
        Self { globals: HashMap::new(), ..self }
    }

    /// The globals by name, in order.
    #[must_use]
    pub fn globals(&self) -> std::collections::BTreeMap<&str, u64> {
        self.globals.iter().map(|(name, rva)| (name.as_str(), *rva)).collect()
    }

    /// Numbers of structures and globals that were loaded.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        (self.types.len(), self.globals.len())
    }
}
