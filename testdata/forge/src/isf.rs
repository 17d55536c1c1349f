//! The forge's tables as a Volatility 3 symbol file (intermediate symbol format 6.1.0), so that a test needs no outside symbols.

use crate::json::{self, Value};
use crate::layout::{Layout, Spec};

/// Base types: name, size, signed, kind.
const BASE: [(&str, u64, bool, &str); 13] = [
    ("void", 0, true, "void"),
    ("char", 1, true, "char"),
    ("unsigned char", 1, false, "char"),
    ("short", 2, true, "int"),
    ("unsigned short", 2, false, "int"),
    ("long", 4, true, "int"),
    ("unsigned long", 4, false, "int"),
    ("long long", 8, true, "int"),
    ("unsigned long long", 8, false, "int"),
    ("pointer", 8, false, "int"),
    ("int", 4, true, "int"),
    ("unsigned int", 4, false, "int"),
    ("wchar", 2, true, "int"),
];

fn base(name: &str) -> Value {
    json::object([("kind", Value::text("base")), ("name", Value::text(name))])
}

fn of_spec(layout: &Layout, spec: &Spec) -> Value {
    match spec {
        Spec::Void => base("void"),
        Spec::Int { signed, bytes } => {
            let (name, ..) =
                BASE[1..9].iter().find(|(_, size, sign, _)| size == bytes && sign == signed).expect("a base type");
            base(name)
        }
        Spec::Named(name) => {
            let kind = if layout.types[name].union { "union" } else { "struct" };
            json::object([("kind", Value::text(kind)), ("name", Value::text(name))])
        }
        Spec::Pointer(to) => {
            // A pointer to a type that this build does not have is a pointer to nothing known.
            let known = !matches!(&**to, Spec::Named(name) if !layout.types.contains_key(name));
            let target = if known { of_spec(layout, to) } else { base("void") };
            json::object([("kind", Value::text("pointer")), ("subtype", target)])
        }
        Spec::Array(count, item) => json::object([
            ("kind", Value::text("array")),
            ("count", Value::Number(*count)),
            ("subtype", of_spec(layout, item)),
        ]),
        Spec::Bits(of, position, length) => json::object([
            ("kind", Value::text("bitfield")),
            ("bit_position", Value::Number(u64::from(*position))),
            ("bit_length", Value::Number(u64::from(*length))),
            ("type", of_spec(layout, of)),
        ]),
    }
}

/// The one enumeration: readers ask for its names.
const PRODUCT_TYPE: &str = "_NT_PRODUCT_TYPE";

fn product_type() -> Value {
    json::object([("kind", Value::text("enum")), ("name", Value::text(PRODUCT_TYPE))])
}

/// The whole document.
#[must_use]
pub fn document(layout: &Layout) -> String {
    let base_types = BASE.iter().map(|&(name, size, signed, kind)| {
        let value = json::object([
            ("endian", Value::text("little")),
            ("kind", Value::text(kind)),
            ("signed", Value::Bool(signed)),
            ("size", Value::Number(size)),
        ]);
        (name, value)
    });
    let user_types = layout.types.iter().map(|(name, kind)| {
        let fields = kind.fields.iter().map(|f| {
            let kind = if f.name == "NtProductType" { product_type() } else { of_spec(layout, &f.spec) };
            (f.name.as_str(), json::object([("offset", Value::Number(f.offset)), ("type", kind)]))
        });
        let value = json::object([
            ("kind", Value::text(if kind.union { "union" } else { "struct" })),
            ("size", Value::Number(kind.size)),
            ("fields", json::object(fields)),
        ]);
        (name.as_str(), value)
    });
    let symbols =
        layout.globals.iter().map(|(name, &rva)| (name.as_str(), json::object([("address", Value::Number(rva))])));
    let constants = [("NtProductWinNt", 1), ("NtProductLanManNt", 2), ("NtProductServer", 3)];
    let products = json::object([
        ("base", Value::text("long")),
        ("constants", json::object(constants.map(|(name, value)| (name, Value::Number(value))))),
        ("size", Value::Number(4)),
    ]);
    let pdb = json::object([
        ("GUID", Value::text(&layout.guid)),
        ("age", Value::Number(u64::from(layout.age))),
        ("database", Value::text("ntkrnlmp.pdb")),
        ("machine_type", Value::Number(0x8664)),
    ]);
    let producer = json::object([
        ("name", Value::text("ntmem-forge")),
        ("version", Value::text("0.0.0")),
        ("datetime", Value::text("2026-01-01T00:00:00.000000")),
    ]);
    let metadata = json::object([
        ("format", Value::text("6.1.0")),
        ("producer", producer),
        ("windows", json::object([("pdb", pdb)])),
    ]);
    json::object([
        ("base_types", json::object(base_types)),
        ("enums", json::object([(PRODUCT_TYPE, products)])),
        ("metadata", metadata),
        ("symbols", json::object(symbols)),
        ("user_types", json::object(user_types)),
    ])
    .to_string()
}
