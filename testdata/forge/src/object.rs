//! Kernel objects: `_OBJECT_HEADER` before the body, optional headers before that, type objects behind `ObTypeIndexTable`.

use crate::builds::Build;
use crate::machine::Machine;
use crate::scenario::PoolForm;

/// Bytes of `_OBJECT_HEADER` before the body.
const HEADER: u64 = 0x30;
/// Bytes of `_OBJECT_HEADER_NAME_INFO`.
const NAME: u64 = 0x20;
/// The optional headers by their bits in `InfoMask` (`ObpInfoMaskToOffset`), nearest to the object first: creator, name, handle,
/// quota, process.
const OPTIONAL: [(u64, u64); 5] = [(1, 0x20), (2, NAME), (4, 0x10), (8, 0x20), (0x10, 0x10)];

/// Which optional headers an object has.
fn info_mask(kind: &str, name: Option<&str>, form: PoolForm) -> u64 {
    match form {
        PoolForm::Headers(mask) => u64::from(mask & 0x1f),
        _ => (if kind == "Process" || kind == "Thread" { 8 } else { 0 }) | if name.is_some() { 2 } else { 0 },
    }
}

/// Name, pool tag, paged or not, index before Windows 10, index in Windows 10 and later. Process, Token, Job and Thread kept their
/// numbers over many builds (public listings of `ObTypeIndexTable`); the rest vary, and readers must ask the table.
const TYPES: [(&str, &[u8; 4], bool, u8, u8); 9] = [
    ("Type", b"ObjT", false, 2, 2),
    ("Directory", b"Dire", true, 3, 3),
    ("SymbolicLink", b"Symb", true, 4, 4),
    ("Token", b"Toke", true, 5, 5),
    ("Job", b"Job ", false, 6, 6),
    ("Process", b"Proc", false, 7, 7),
    ("Thread", b"Thre", false, 8, 8),
    ("File", b"File", false, 28, 37),
    ("Section", b"Sect", true, 33, 45),
];

/// Only where a scenario opens keys: what lies in the pools of the others stays where it is.
const KEY: (&str, &[u8; 4], bool, u8, u8) = ("Key", b"Key ", true, 35, 44);

/// The same, where a scenario has named objects.
const NAMED: [(&str, &[u8; 4], bool, u8, u8); 2] =
    [("Event", b"Even", false, 12, 16), ("Mutant", b"Muta", false, 14, 17)];

impl Machine {
    /// The pool tag of an object type: Windows 7 marks process, thread and other protected allocations in the top bit.
    fn tag_of(&self, kind: &str) -> ([u8; 4], bool) {
        let (_, tag, paged, ..) = TYPES.iter().chain([&KEY]).chain(&NAMED).find(|t| t.0 == kind).expect("a known type");
        let mut tag = **tag;
        if self.build() == Build::W7_7601 && matches!(kind, "Process" | "Thread" | "Token" | "File" | "Job" | "Section")
        {
            tag[3] |= 0x80;
        }
        (tag, *paged)
    }

    /// Creates the type objects and `ObTypeIndexTable`.
    pub fn forge_types(&mut self) {
        // Vista has no such table: headers point to their type.
        let table = self.find_global("ObTypeIndexTable");
        let modern = self.build() >= Build::W10_10240;
        if let Some(cookie) = self.find_global("ObHeaderCookie") {
            let byte = self.cookie;
            self.write(cookie, &[byte]);
        }
        // The first two slots are no types (slot 1 holds a poison value in older builds).
        if let Some(table) = table {
            self.write_u64(table, 0);
            self.write_u64(table + 8, 0xbad0_b0b0);
        }
        let keys = (!self.plan.open_keys.is_empty()).then_some(KEY);
        let named = if self.plan.named_objects.is_empty() { &[][..] } else { &NAMED };
        let kinds: Vec<_> = TYPES.into_iter().chain(keys).chain(named.iter().copied()).collect();
        for &(name, _, _, old, new) in &kinds {
            let index = if modern { new } else { old };
            self.types.insert(name, (index, 0));
        }
        let mut heads = Vec::new();
        for (name, tag, _, _, _) in kinds {
            let index = self.types[name].0;
            let body = self.object("Type", self.layout.size("_OBJECT_TYPE"), None);
            self.types.insert(name, (index, body));
            if let Some(table) = table {
                self.write_u64(table + u64::from(index) * 8, body);
            }
            let type_of_types = self.types["Type"].1;
            self.maybe(body - HEADER, "_OBJECT_HEADER", "Type", type_of_types);
            let buffer = self.pool(true, b"ObNm", name.len() as u64 * 2 + 2);
            let at = body + self.offset("_OBJECT_TYPE", "Name");
            self.put_string(at, name, buffer);
            self.put(body, "_OBJECT_TYPE", "Index", u64::from(index));
            self.put(body, "_OBJECT_TYPE", "Key", u64::from(u32::from_le_bytes(*tag)));
            let list = body + self.offset("_OBJECT_TYPE", "TypeList");
            self.link(&[list]);
            heads.push(body);
        }
        for (global, name) in [
            ("PsProcessType", "Process"),
            ("PsThreadType", "Thread"),
            ("PsJobType", "Job"),
            ("SeTokenObjectType", "Token"),
            ("ObpTypeObjectType", "Type"),
        ] {
            let body = self.types[name].1;
            self.set_global(global, body);
        }
    }

    /// Allocates an object of a type; says where its body is. `name`: an `_OBJECT_HEADER_NAME_INFO` says it.
    pub fn object(&mut self, kind: &str, bytes: u64, name: Option<&str>) -> u64 {
        self.object_in(kind, bytes, name, PoolForm::Block)
    }

    /// Bytes between the start of an allocation and the object in it.
    pub fn before_object(&self, kind: &str, name: Option<&str>, form: PoolForm) -> u64 {
        let mask = info_mask(kind, name, form);
        HEADER + OPTIONAL.iter().filter(|(bit, _)| mask & bit != 0).map(|(_, bytes)| bytes).sum::<u64>()
    }

    /// The same in a form of its own.
    pub fn object_in(&mut self, kind: &str, bytes: u64, name: Option<&str>, form: PoolForm) -> u64 {
        let (mut tag, paged) = self.tag_of(kind);
        let before = self.before_object(kind, name, form);
        let start = match form {
            PoolForm::Big => self.big_pool(paged, before + bytes),
            PoolForm::Segment { at } => self.segment_pool(paged, &tag, before, bytes, at),
            PoolForm::Block | PoolForm::Headers(_) | PoolForm::Tag(_) => {
                if let PoolForm::Tag(other) = form {
                    tag = other;
                }
                self.pool(paged, &tag, before + bytes)
            }
        };
        let body = start + before;
        let header = body - HEADER;
        let quota = kind == "Process" || kind == "Thread";
        self.put(header, "_OBJECT_HEADER", "PointerCount", if quota { 0x7_fff3 } else { 0x7fff });
        self.put(header, "_OBJECT_HEADER", "HandleCount", 1);
        let (index, of_type) = self.types[kind];
        self.maybe(header, "_OBJECT_HEADER", "TypeIndex", u64::from(self.encode_index(header, index)));
        self.maybe(header, "_OBJECT_HEADER", "Type", of_type);
        self.maybe(header, "_OBJECT_HEADER", "InfoMask", info_mask(kind, name, form));
        if name.is_some() {
            self.maybe(header, "_OBJECT_HEADER", "NameInfoOffset", NAME);
        }
        if quota {
            self.maybe(header, "_OBJECT_HEADER", "QuotaInfoOffset", before - HEADER);
        }
        if let Some(name) = name {
            // The nearest to the header is the lowest bit that is set; name comes before quota.
            let buffer = self.pool(true, b"ObNm", name.len() as u64 * 2 + 2);
            let at = header - NAME + self.offset("_OBJECT_HEADER_NAME_INFO", "Name");
            self.put_string(at, name, buffer);
        }
        body
    }

    /// Since Windows 10 the type index is mixed with a cookie and the second byte of the header's address
    /// (`ObHeaderCookie`; Volatility 3 and Geoff Chappell describe the same).
    pub fn encode_index(&self, header: u64, index: u8) -> u8 {
        if self.find_global("ObHeaderCookie").is_some() { index ^ self.cookie ^ (header >> 8) as u8 } else { index }
    }
}
