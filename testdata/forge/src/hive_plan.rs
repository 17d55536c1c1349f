//! Registry hives as plain data.

use crate::json::{self, Value as Json};
use crate::scenario::Paged;
use crate::time::Time;

/// A hive to forge.
#[derive(Clone, Debug)]
pub struct HivePlan {
    /// `FileFullPath`, such as `\Device\HarddiskVolume3\Windows\System32\config\SYSTEM`.
    pub path: String,
    /// `FileUserName`, such as `\SystemRoot\System32\Config\SYSTEM`.
    pub file: String,
    /// `HiveRootPath`, such as `\REGISTRY\MACHINE\SYSTEM`.
    pub root_path: String,
    /// Its root key.
    pub root: Key,
    /// Whether cell maps are reached through a directory of their own even when a small one would do.
    pub full_directory: bool,
    /// Where the process Registry has the hive: a view of its file (10 1803 and later) whose subsections have so many pages each,
    /// the last one as many as are left. None: private memory of that process, or paged pool.
    pub view: Option<Vec<u64>>,
    /// States that are dealt out to its stable pages in turn (a view's first page is the file's header); empty: all are present.
    pub pages: Vec<Paged>,
    /// What is wrong with it. Keys are named by their path below the root, `Select` or `ControlSet001\Control`.
    pub damage: Vec<HiveDamage>,
}

/// A key.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// `LastWriteTime`.
    pub written: Time,
    /// Its values, in order.
    pub values: Vec<Value>,
    /// Its subkeys. Lists are written sorted, as Windows keeps them.
    pub keys: Vec<Key>,
    /// Whether it lives in volatile storage (so do all its subkeys).
    pub volatile: bool,
    /// What its list of subkeys is made of.
    pub list: ListKind,
}

/// Kinds of subkey lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// `lh`: cell and hash of the name.
    Lh,
    /// `lf`: cell and first four characters.
    Lf,
    /// `li`: cells only.
    Li,
    /// `ri` over several `lh`, two keys each.
    Ri,
}

/// A value.
#[derive(Clone, Debug)]
pub struct Value {
    /// Its name; empty: the default value.
    pub name: String,
    /// What it holds.
    pub data: Data,
}

/// What a value holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// REG_SZ
    Sz(String),
    /// REG_EXPAND_SZ
    ExpandSz(String),
    /// REG_MULTI_SZ
    MultiSz(Vec<String>),
    /// REG_LINK (no terminating zero)
    Link(String),
    /// REG_DWORD
    Dword(u32),
    /// REG_QWORD
    Qword(u64),
    /// REG_BINARY
    Binary(Vec<u8>),
    /// Any type number with any bytes.
    Raw(u32, Vec<u8>),
}

/// One thing that is wrong with a hive.
#[derive(Clone, Debug)]
pub enum HiveDamage {
    /// The page with the key's node is in a state (the node is put on a page of its own).
    KeyPage {
        /// Which key.
        key: String,
        /// The state.
        state: Paged,
    },
    /// The page with the value's own cell is in a state.
    ValuePage {
        /// Which key.
        key: String,
        /// Which value.
        value: String,
        /// The state.
        state: Paged,
    },
    /// The page with the value's data is in a state (data of more than 4 bytes).
    DataPage {
        /// Which key.
        key: String,
        /// Which value.
        value: String,
        /// The state.
        state: Paged,
    },
    /// The key's cell says that it has this size.
    CellSize {
        /// Which key.
        key: String,
        /// Negative: in use.
        size: i32,
    },
    /// The value says that its data has this length.
    DataLength {
        /// Which key.
        key: String,
        /// Which value.
        value: String,
        /// The length, with or without the top bit for data in place.
        length: u32,
    },
    /// The key's subkey list is an `ri` list whose one entry is that list.
    SelfList {
        /// Which key.
        key: String,
    },
    /// The key is the only subkey of itself.
    SelfKey {
        /// Which key.
        key: String,
    },
    /// The key's subkey list is this cell.
    ListCell {
        /// Which key.
        key: String,
        /// A cell index.
        cell: u32,
    },
    /// The cell map has no address for the page of the key's node (which is put on a page of its own).
    NoMap {
        /// Which key.
        key: String,
    },
    /// `_HHIVE.Signature` is another.
    Signature(u32),
    /// It is not in the list of hives.
    Unlinked,
    /// The pages with its `_CMHIVE` are in a state.
    Object(Paged),
}

impl HiveDamage {
    /// The key whose node must be on a page of its own.
    pub(crate) fn lone_key(&self) -> Option<&str> {
        match self {
            Self::KeyPage { key, .. } | Self::NoMap { key } => Some(key),
            _ => None,
        }
    }
}

impl Key {
    /// A key without anything.
    #[must_use]
    pub fn new(name: &str, written: Time) -> Self {
        let (values, keys) = (Vec::new(), Vec::new());
        Self { name: name.into(), written, values, keys, volatile: false, list: ListKind::Lh }
    }

    /// The subkey at a path, made if it is not there.
    pub fn at(&mut self, path: &str) -> &mut Self {
        let (written, volatile) = (self.written, self.volatile);
        path.split('\\').filter(|p| !p.is_empty()).fold(self, |key, name| {
            let found = key.keys.iter().position(|k| k.name.eq_ignore_ascii_case(name));
            let at = found.unwrap_or_else(|| {
                key.keys.push(Self { volatile, ..Self::new(name, written) });
                key.keys.len() - 1
            });
            &mut key.keys[at]
        })
    }

    /// Sets a value, replacing one of that name.
    pub fn set(&mut self, name: &str, data: Data) -> &mut Self {
        match self.values.iter_mut().find(|v| v.name.eq_ignore_ascii_case(name)) {
            Some(value) => value.data = data,
            None => self.values.push(Value { name: name.into(), data }),
        }
        self
    }

    /// Sets a REG_SZ.
    pub fn sz(&mut self, name: &str, text: &str) -> &mut Self {
        self.set(name, Data::Sz(text.into()))
    }

    /// Sets a REG_EXPAND_SZ.
    pub fn expand(&mut self, name: &str, text: &str) -> &mut Self {
        self.set(name, Data::ExpandSz(text.into()))
    }

    /// Sets a REG_MULTI_SZ.
    pub fn multi(&mut self, name: &str, list: &[&str]) -> &mut Self {
        self.set(name, Data::MultiSz(list.iter().map(|s| (*s).to_owned()).collect()))
    }

    /// Sets a REG_DWORD.
    pub fn dword(&mut self, name: &str, value: u32) -> &mut Self {
        self.set(name, Data::Dword(value))
    }

    /// Takes a value away.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.values.retain(|v| !v.name.eq_ignore_ascii_case(name));
        self
    }

    /// The key as JSON: `values`, `keys`, `volatile_keys`.
    #[must_use]
    pub(crate) fn to_json(&self) -> Json {
        let pick = |volatile: bool| {
            Json::Object(
                self.keys.iter().filter(|k| k.volatile == volatile).map(|k| (k.name.clone(), k.to_json())).collect(),
            )
        };
        let values = self.values.iter().map(|v| (v.name.clone(), v.data.to_json())).collect();
        json::object([
            ("written", Json::text(&self.written.to_string())),
            ("values", Json::Object(values)),
            ("keys", pick(false)),
            ("volatile_keys", pick(true)),
        ])
    }
}

impl Data {
    /// Type number and bytes, as the registry stores them (Windows SDK, `winnt.h`: REG_*).
    #[must_use]
    pub fn stored(&self) -> (u32, Vec<u8>) {
        let wide = |s: &str| s.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let zero = |s: &str| [wide(s), vec![0, 0]].concat();
        match self {
            Self::Sz(s) => (1, zero(s)),
            Self::ExpandSz(s) => (2, zero(s)),
            Self::Binary(b) => (3, b.clone()),
            Self::Dword(d) => (4, d.to_le_bytes().into()),
            Self::Link(s) => (6, wide(s)),
            Self::MultiSz(list) => (7, list.iter().flat_map(|s| zero(s)).chain([0, 0]).collect()),
            Self::Qword(q) => (11, q.to_le_bytes().into()),
            Self::Raw(kind, bytes) => (*kind, bytes.clone()),
        }
    }

    fn to_json(&self) -> Json {
        let hex = |b: &[u8]| Json::text(&b.iter().map(|b| format!("{b:02x}")).collect::<String>());
        let (kind, data) = match self {
            Self::Sz(s) => ("REG_SZ", Json::text(s)),
            Self::ExpandSz(s) => ("REG_EXPAND_SZ", Json::text(s)),
            Self::Link(s) => ("REG_LINK", Json::text(s)),
            Self::MultiSz(l) => ("REG_MULTI_SZ", Json::Array(l.iter().map(|s| Json::text(s)).collect())),
            Self::Dword(d) => ("REG_DWORD", Json::text(&format!("{d:#010x}"))),
            Self::Qword(q) => ("REG_QWORD", Json::text(&format!("{q:#018x}"))),
            Self::Binary(b) => ("REG_BINARY", hex(b)),
            Self::Raw(kind, b) => {
                return json::object([("type", Json::Number(u64::from(*kind))), ("data", hex(b))]);
            }
        };
        json::object([("type", Json::text(kind)), ("data", data)])
    }
}
