//! Structures that have been the same in every x64 Windows since XP: no symbol file is needed for them. Those of hives lie in files
//! too, and must not change. A test holds them against every symbol file at hand.

use super::table::{FieldInfo, SymbolSource, Symbols, TypeInfo};

/// Name, size, and of each field name, offset, size, and lowest bit with number of bits of a bit-field.
type Form = (&'static str, u64, &'static [(&'static str, u64, u64, Option<(u8, u8)>)]);

const FORMS: [Form; 8] = [
    ("_UNICODE_STRING", 16, &[("Length", 0, 2, None), ("MaximumLength", 2, 2, None), ("Buffer", 8, 8, None)]),
    ("_LIST_ENTRY", 16, &[("Flink", 0, 8, None), ("Blink", 8, 8, None)]),
    ("_LARGE_INTEGER", 8, &[("LowPart", 0, 4, None), ("HighPart", 4, 4, None), ("QuadPart", 0, 8, None)]),
    ("_EX_FAST_REF", 8, &[("Object", 0, 8, None), ("RefCnt", 0, 8, Some((0, 4))), ("Value", 0, 8, None)]),
    (
        "_SID",
        12,
        &[
            ("Revision", 0, 1, None),
            ("SubAuthorityCount", 1, 1, None),
            ("IdentifierAuthority", 2, 6, None),
            ("SubAuthority", 8, 4, None),
        ],
    ),
    ("_SID_AND_ATTRIBUTES", 16, &[("Sid", 0, 8, None), ("Attributes", 8, 4, None)]),
    (
        "_CM_KEY_NODE",
        0x50,
        &[
            ("Signature", 0, 2, None),
            ("Flags", 2, 2, None),
            ("LastWriteTime", 4, 8, None),
            ("Parent", 0x10, 4, None),
            ("SubKeyCounts", 0x14, 8, None),
            ("SubKeyLists", 0x1c, 8, None),
            ("ValueList", 0x24, 8, None),
            ("Security", 0x2c, 4, None),
            ("Class", 0x30, 4, None),
            ("NameLength", 0x48, 2, None),
            ("ClassLength", 0x4a, 2, None),
            ("Name", 0x4c, 2, None),
        ],
    ),
    (
        "_CM_KEY_VALUE",
        0x18,
        &[
            ("Signature", 0, 2, None),
            ("NameLength", 2, 2, None),
            ("DataLength", 4, 4, None),
            ("Data", 8, 4, None),
            ("Type", 0xc, 4, None),
            ("Flags", 0x10, 2, None),
            ("Spare", 0x12, 2, None),
            ("Name", 0x14, 2, None),
        ],
    ),
];

/// The form of a structure that is the same in all of them. `None`: it is none of these.
#[must_use]
pub fn fixed(name: &str) -> Option<Symbols> {
    let (name, size, fields) = FORMS.iter().find(|(known, ..)| *known == name)?;
    let field = |(name, offset, size, bits): &(&str, u64, u64, Option<(u8, u8)>)| {
        ((*name).to_owned(), FieldInfo { offset: *offset, size: *size, bits: *bits, structure: None })
    };
    let info = TypeInfo { size: *size, fields: fields.iter().map(field).collect() };
    Some(Symbols {
        source: SymbolSource::BuiltIn,
        types: [((*name).to_owned(), info)].into_iter().collect(),
        ..Symbols::default()
    })
}
