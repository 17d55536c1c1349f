//! Structures that have been the same in every x64 Windows since XP: no symbol file is needed for them. Those of hives lie in files
//! too, and must not change. A test holds them against every symbol file at hand.

use super::table::{FieldInfo, SymbolSource, Symbols, TypeInfo};

/// Name, size, and of each field name, offset, size, and lowest bit with number of bits of a bit-field.
type Form = (&'static str, u64, &'static [(&'static str, u64, u64, Option<(u8, u8)>)]);

const FORMS: [Form; 14] = [
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
    ("_LUID", 8, &[("LowPart", 0, 4, None), ("HighPart", 4, 4, None)]),
    ("_GUID", 16, &[("Data1", 0, 4, None), ("Data2", 4, 2, None), ("Data3", 6, 2, None), ("Data4", 8, 8, None)]),
    ("_CLIENT_ID", 16, &[("UniqueProcess", 0, 8, None), ("UniqueThread", 8, 8, None)]),
    // From 8.1 on.
    (
        "_PS_PROTECTION",
        1,
        &[
            ("Level", 0, 1, None),
            ("Type", 0, 1, Some((0, 3))),
            ("Audit", 0, 1, Some((3, 1))),
            ("Signer", 0, 1, Some((4, 4))),
        ],
    ),
    (
        "_HBASE_BLOCK",
        0x1000,
        &[
            ("Signature", 0, 4, None),
            ("Sequence1", 4, 4, None),
            ("Sequence2", 8, 4, None),
            ("TimeStamp", 0xc, 8, None),
            ("Major", 0x14, 4, None),
            ("Minor", 0x18, 4, None),
            ("Type", 0x1c, 4, None),
            ("Format", 0x20, 4, None),
            ("RootCell", 0x24, 4, None),
            ("Length", 0x28, 4, None),
            ("Cluster", 0x2c, 4, None),
            ("FileName", 0x30, 64, None),
            ("CheckSum", 0x1fc, 4, None),
            ("BootType", 0xff8, 4, None),
            ("BootRecover", 0xffc, 4, None),
        ],
    ),
    // Its beginning: what follows differs.
    (
        "_KUSER_SHARED_DATA",
        0x334,
        &[
            ("TickCountMultiplier", 4, 4, None),
            ("InterruptTime", 8, 12, None),
            ("SystemTime", 0x14, 12, None),
            ("TimeZoneBias", 0x20, 12, None),
            ("ImageNumberLow", 0x2c, 2, None),
            ("ImageNumberHigh", 0x2e, 2, None),
            ("NtSystemRoot", 0x30, 520, None),
            ("NtProductType", 0x264, 4, None),
            ("NtMajorVersion", 0x26c, 4, None),
            ("NtMinorVersion", 0x270, 4, None),
            ("KdDebuggerEnabled", 0x2d4, 1, None),
            ("ActiveConsoleId", 0x2d8, 4, None),
            ("SharedDataFlags", 0x2f0, 4, None),
            ("TickCount", 0x320, 12, None),
            ("Cookie", 0x330, 4, None),
        ],
    ),
];

/// The names of the structures that [`fixed`] knows.
pub fn fixed_names() -> impl Iterator<Item = &'static str> {
    FORMS.iter().map(|(name, ..)| *name)
}

/// The form of a structure that is the same in all of them, or of its beginning. `None`: it is none of these.
#[must_use]
pub fn fixed(name: &str) -> Option<Symbols> {
    let (name, size, fields) = FORMS.iter().find(|(known, ..)| *known == name)?;
    let field = |(name, offset, size, bits): &(&str, u64, u64, Option<(u8, u8)>)| {
        ((*name).to_owned(), FieldInfo { offset: *offset, size: *size, bits: *bits, structure: None })
    };
    let info = TypeInfo { size: *size, fields: fields.iter().map(field).collect() };
    Some(Symbols::new(SymbolSource::BuiltIn, None).with_type(name, info))
}
