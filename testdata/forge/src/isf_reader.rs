//! A layout out of a Volatility 3 symbol file.

use crate::json::Value;
use crate::layout::{Field, Layout, Spec, Type};
use std::collections::BTreeMap;

/// Without these nothing can be forged.
const NEEDED: [&str; 5] =
    ["NtBuildNumber", "ObTypeIndexTable", "PsActiveProcessHead", "PsInitialSystemProcess", "PsLoadedModuleList"];

impl Layout {
    /// Reads a Volatility 3 symbol file of an x64 kernel (intermediate symbol format, as JSON text). Globals, GUID and age are the
    /// file's, and so are types; those that it lacks are the nearest build's. The file does not name its build: it is the one
    /// whose tables share most offsets ([`Layout::nearest`]).
    ///
    /// # Panics
    /// When the text is no such file, or names none of the globals without which there is no kernel.
    #[must_use]
    pub fn from_isf(text: &str) -> Self {
        let document = Value::parse(text);
        let member = |name: &str| document.get(name).unwrap_or_else(|| panic!("a symbol file has {name}"));
        let sizes = |name: &str| -> BTreeMap<&str, u64> {
            let size = |v: &Value| v.get("size").and_then(Value::number).unwrap_or(0);
            member(name).members().iter().map(|(n, v)| (n.as_str(), size(v))).collect()
        };
        let unions = |v: &Value| v.get("kind").and_then(Value::as_text) == Some("union");
        let reader = Specs { base: member("base_types"), enums: sizes("enums"), types: sizes("user_types") };
        let mut types = BTreeMap::new();
        for (name, kind) in member("user_types").members() {
            let mut fields: Vec<Field> = kind
                .get("fields")
                .map_or(&[][..], Value::members)
                .iter()
                .filter_map(|(name, field)| {
                    let offset = field.get("offset").and_then(Value::number)?;
                    Some(Field { name: name.clone(), spec: reader.spec(field.get("type")?)?, offset })
                })
                .collect();
            fields.sort_by(|a, b| a.offset.cmp(&b.offset).then_with(|| a.name.cmp(&b.name)));
            types.insert(name.clone(), Type { union: unions(kind), size: reader.types[name.as_str()], fields });
        }
        let globals: BTreeMap<String, u64> = member("symbols")
            .members()
            .iter()
            .filter_map(|(name, v)| Some((name.clone(), v.get("address").and_then(Value::number)?)))
            .collect();
        for name in NEEDED {
            assert!(globals.contains_key(name), "the symbol file has no {name}");
        }
        let pdb = member("metadata").get("windows").and_then(|w| w.get("pdb")).expect("a symbol file names its PDB");
        let build = Self::nearest(&types);
        let mut layout = Self::of(build);
        layout.guid = pdb.get("GUID").and_then(Value::as_text).expect("a GUID").to_owned();
        layout.age = pdb.get("age").and_then(Value::number).expect("an age") as u32;
        layout.globals = globals;
        layout.replace_types(types);
        layout
    }
}

/// What a field's description is read with.
struct Specs<'a> {
    base: &'a Value,
    enums: BTreeMap<&'a str, u64>,
    types: BTreeMap<&'a str, u64>,
}

impl Specs<'_> {
    /// `None`: a type of which the file does not even know the size.
    fn spec(&self, value: &Value) -> Option<Spec> {
        let text = |name: &str| value.get(name).and_then(Value::as_text);
        let number = |name: &str| value.get(name).and_then(Value::number);
        let below = |name: &str| self.spec(value.get(name)?);
        Some(match text("kind")? {
            "base" => {
                let base = self.base.get(text("name")?)?;
                match base.get("size").and_then(Value::number)? {
                    0 => Spec::Void,
                    bytes => Spec::Int { signed: matches!(base.get("signed"), Some(Value::Bool(true))), bytes },
                }
            }
            "pointer" => Spec::Pointer(Box::new(below("subtype").unwrap_or(Spec::Void))),
            "array" => Spec::Array(number("count")?, Box::new(below("subtype")?)),
            "bitfield" => {
                Spec::Bits(Box::new(below("type")?), number("bit_position")? as u32, number("bit_length")? as u32)
            }
            "enum" => Spec::Int { signed: true, bytes: *self.enums.get(text("name")?).unwrap_or(&4) },
            "struct" | "union" | "class" => {
                let name = text("name")?;
                self.types.get(name).map(|_| Spec::Named(name.to_owned()))?
            }
            _ => Spec::Void,
        })
    }
}
