//! Types, fields and globals of one kernel: out of the forge's own table (`tables/*.txt`) for thirteen builds, and what can be made
//! of those (`isf_reader.rs`, `c_types.rs`, `shifted.rs`).

use crate::builds::Build;
use std::collections::BTreeMap;
use std::sync::OnceLock;

const TYPES: &str = include_str!("../tables/types.txt");
const GLOBALS: &str = include_str!("../tables/globals.txt");

/// What a field is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    /// A signed or unsigned number of so many bytes.
    Int {
        /// Whether it has a sign.
        signed: bool,
        /// Its size in bytes.
        bytes: u64,
    },
    /// Nothing; only pointers point to it.
    Void,
    /// A type of the table.
    Named(String),
    /// A pointer of 8 bytes.
    Pointer(Box<Spec>),
    /// So many in a row.
    Array(u64, Box<Spec>),
    /// Bits of a number, from a position, so many.
    Bits(Box<Spec>, u32, u32),
}

impl Spec {
    fn parse(text: &str) -> Self {
        if let Some(rest) = text.strip_prefix('*') {
            return Self::Pointer(Box::new(Self::parse(rest)));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (count, item) = rest.split_once(']').expect("an array has a ]");
            return Self::Array(count.parse().expect("a count"), Box::new(Self::parse(item)));
        }
        let mut parts = text.split(':');
        let base = match parts.next().expect("a spec") {
            "void" => Self::Void,
            "u8" => Self::Int { signed: false, bytes: 1 },
            "u16" => Self::Int { signed: false, bytes: 2 },
            "u32" => Self::Int { signed: false, bytes: 4 },
            "u64" => Self::Int { signed: false, bytes: 8 },
            "i8" => Self::Int { signed: true, bytes: 1 },
            "i16" => Self::Int { signed: true, bytes: 2 },
            "i32" => Self::Int { signed: true, bytes: 4 },
            "i64" => Self::Int { signed: true, bytes: 8 },
            name => Self::Named(name.to_owned()),
        };
        match (parts.next(), parts.next()) {
            (Some(at), Some(len)) => Self::Bits(Box::new(base), at.parse().expect("bit"), len.parse().expect("bits")),
            _ => base,
        }
    }
}

/// One field of a type.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its C name.
    pub name: String,
    /// What it is.
    pub spec: Spec,
    /// Where it is, in bytes from the start of the type.
    pub offset: u64,
}

/// One type.
#[derive(Clone, Debug)]
pub struct Type {
    /// Whether it is a union.
    pub union: bool,
    /// Its size in bytes.
    pub size: u64,
    /// Its fields in the order of the table.
    pub fields: Vec<Field>,
}

/// Where a (nested) field lies and how wide it is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Bytes from the start of the outer type.
    pub offset: u64,
    /// What lies there.
    pub spec: Spec,
}

/// Types and globals of one kernel.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The build whose behaviour this kernel has: which processes there are, how handles and pool look.
    pub build: Build,
    /// Its build number as `NtBuildNumber` and `KUSER_SHARED_DATA` give it to users.
    pub number: u32,
    /// Its `NtBuildLabEx`.
    pub lab: String,
    /// All types by name.
    pub types: BTreeMap<String, Type>,
    /// Globals by name: bytes from the kernel base.
    pub globals: BTreeMap<String, u64>,
    /// GUID of the kernel's PDB as 32 hex digits, in the order in which symbol stores write it.
    pub guid: String,
    /// Age of the kernel's PDB.
    pub age: u32,
}

fn hex(text: &str) -> Option<u64> {
    (text != "-").then(|| u64::from_str_radix(text, 16).unwrap_or_else(|_| panic!("not hexadecimal: {text}")))
}

impl Layout {
    /// One of the thirteen builds.
    #[must_use]
    pub fn of(build: Build) -> Self {
        Self::all()[build.column()].clone()
    }

    /// All of them, read once.
    fn all() -> &'static [Self] {
        static ALL: OnceLock<Vec<Layout>> = OnceLock::new();
        ALL.get_or_init(|| Build::ALL.map(Self::read).into())
    }

    /// Reads the columns of a build.
    fn read(build: Build) -> Self {
        let column = build.column();
        let mut types: BTreeMap<String, Type> = BTreeMap::new();
        let mut current: Option<String> = None;
        for line in TYPES.lines().filter(|l| !l.starts_with('#') && !l.starts_with("type ")) {
            let words: Vec<&str> = line.split(' ').collect();
            if words[1] == "@" {
                current = hex(words[3 + column]).map(|size| {
                    let kind = Type { union: words[2] == "union", size, fields: Vec::new() };
                    types.insert(words[0].to_owned(), kind);
                    words[0].to_owned()
                });
            } else if let (Some(name), Some(offset)) = (&current, hex(words[3 + column])) {
                let field = Field { name: words[1].to_owned(), spec: Spec::parse(words[2]), offset };
                types.get_mut(name).expect("just opened").fields.push(field);
            }
        }
        let mut layout = Self {
            build,
            number: build.number(),
            lab: build.lab().to_owned(),
            types,
            globals: BTreeMap::new(),
            guid: String::new(),
            age: 0,
        };
        for line in GLOBALS.lines().filter(|l| !l.starts_with('#') && !l.starts_with("name ")) {
            let words: Vec<&str> = line.split(' ').collect();
            let cell = words[1 + column];
            match words[0] {
                "guid" => layout.guid = cell.to_owned(),
                "age" => layout.age = hex(cell).expect("an age") as u32,
                name => {
                    if let Some(rva) = hex(cell) {
                        layout.globals.insert(name.to_owned(), rva);
                    }
                }
            }
        }
        layout
    }

    /// The build whose tables share most fields, at the same offsets, with these types; the oldest of several.
    #[must_use]
    pub fn nearest(types: &BTreeMap<String, Type>) -> Build {
        let shared = |layout: &Self| -> usize {
            let same = |name: &String, kind: &Type| {
                let theirs = types.get(name).filter(|t| t.size == kind.size)?;
                let there = |f: &&Field| theirs.fields.iter().any(|t| t.name == f.name && t.offset == f.offset);
                Some(kind.fields.iter().filter(there).count() + 1)
            };
            layout.types.iter().filter_map(|(name, kind)| same(name, kind)).sum()
        };
        let best = Self::all().iter().rev().max_by_key(|layout| shared(layout)).expect("there are builds");
        best.build
    }

    /// Puts these types in the place of its own and keeps those that are missing among them.
    pub(crate) fn replace_types(&mut self, mut types: BTreeMap<String, Type>) {
        for (name, kind) in std::mem::take(&mut self.types) {
            types.entry(name).or_insert(kind);
        }
        self.types = types;
    }

    /// Major and minor version of the system.
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        match self.number {
            ..7600 => (6, 0),
            7600..9200 => (6, 1),
            9200..9600 => (6, 2),
            9600..10240 => (6, 3),
            _ => (10, 0),
        }
    }

    /// The size of a type in bytes.
    ///
    /// # Panics
    /// When this build has no such type.
    #[must_use]
    pub fn size(&self, kind: &str) -> u64 {
        self.types.get(kind).unwrap_or_else(|| panic!("no type {kind} in this build")).size
    }

    /// Looks up `field` or `field.field` of a type; `None` when this build has no such field.
    #[must_use]
    pub fn find(&self, kind: &str, path: &str) -> Option<Place> {
        let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
        let field = self.types.get(kind)?.fields.iter().find(|f| f.name == first)?;
        match rest {
            None => Some(Place { offset: field.offset, spec: field.spec.clone() }),
            Some(rest) => {
                let Spec::Named(inner) = &field.spec else { return None };
                let place = self.find(inner, rest)?;
                Some(Place { offset: field.offset + place.offset, spec: place.spec })
            }
        }
    }

    /// As [`Layout::find`], but the field must be there.
    ///
    /// # Panics
    /// When this build has no such field.
    #[must_use]
    pub fn place(&self, kind: &str, path: &str) -> Place {
        self.find(kind, path).unwrap_or_else(|| panic!("no field {kind}.{path} in this build"))
    }

    /// The offset of a field that must be there.
    #[must_use]
    pub fn offset(&self, kind: &str, path: &str) -> u64 {
        self.place(kind, path).offset
    }

    /// How many bytes a spec takes.
    #[must_use]
    pub fn width(&self, spec: &Spec) -> u64 {
        match spec {
            Spec::Int { bytes, .. } => *bytes,
            Spec::Void => 0,
            Spec::Named(name) => self.size(name),
            Spec::Pointer(_) => 8,
            Spec::Array(n, item) => n * self.width(item),
            Spec::Bits(base, ..) => self.width(base),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_build_has_sane_fields() {
        for build in Build::ALL {
            let layout = Layout::of(build);
            for (name, kind) in &layout.types {
                for field in &kind.fields {
                    let end = field.offset + layout.width(&field.spec);
                    assert!(end <= kind.size || kind.size == 0, "{build:?} {name}.{} ends at {end:#x}", field.name);
                }
            }
            assert!(layout.globals.contains_key("PsActiveProcessHead"), "{build:?}");
            assert_eq!(layout.guid.len(), 32);
        }
    }

    #[test]
    fn published_offsets() {
        // Windows 10 2004+ and Windows 7 SP1 x64, as in public WinDbg transcripts of `dt nt!_EPROCESS`.
        assert_eq!(Layout::of(Build::W10_19045).offset("_EPROCESS", "UniqueProcessId"), 0x440);
        assert_eq!(Layout::of(Build::W10_19045).offset("_EPROCESS", "ImageFileName"), 0x5a8);
        assert_eq!(Layout::of(Build::W7_7601).offset("_EPROCESS", "ImageFileName"), 0x2e0);
        assert_eq!(Layout::of(Build::W7_7601).offset("_EPROCESS", "Pcb.DirectoryTableBase"), 0x28);
    }
}
