//! What is known about one key and its values, owned and apart from the hive it was read from.

use super::data::{self, RegistryData, ValueType};
use super::name;
use crate::location::Location;
use crate::reading::record;
use crate::{Absent, AbsentKind, Reading, Timestamp};
use serde::de::Error as _;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

record! {
    /// One key of the registry.
    ///
    /// A name that `values` or `keys` does not have is really absent only if `values_missing` or `keys_missing` is empty:
    /// [`KeyRecord::value`], [`KeyRecord::data`] and [`KeyRecord::key`] see to that.
    pub struct KeyRecord {
        /// `_CM_KEY_NODE.LastWriteTime`.
        last_written: Timestamp,
        /// The key's class name. Nothing: it has none.
        class: String,
        /// Where a symbolic-link key leads (`SymbolicLinkValue`). Nothing: it is no link.
        link: String,
        /// The values whose names could be read, by name. Of several with one name, the first counts, as for the kernel.
        values: BTreeMap<String, RegistryValue>,
        /// The subkeys, by name, stable and volatile ones.
        keys: BTreeMap<String, KeyRecord>,
        ;
        /// The whole path, from `\REGISTRY` on, with links followed.
        path: String,
        /// True for a key that lives in memory only, and is gone after a restart.
        volatile: bool,
        /// Where the key node lies.
        location: Option<Location>,
        /// Why values may be missing from `values`; empty: the list was read to its end.
        values_missing: Vec<Absent>,
        /// Why subkeys may be missing from `keys`; empty: the lists were read to their ends.
        keys_missing: Vec<Absent>,
        /// What is odd about the key.
        notes: Vec<String>,
        /// Names that more than one value, or more than one subkey, has; and the key's own, where the one above it has another of its name.
        /// The kernel makes no second one.
        repeated: Vec<String>,
    }
}

impl KeyRecord {
    /// The value of this name, in upper or lower case. Nothing: the key really has none.
    #[must_use]
    pub fn value(&self, name: &str) -> Reading<&RegistryValue> {
        find(&self.values, &self.values_missing, name)
    }

    /// The data of the value of this name. Nothing: the key really has no such value.
    #[must_use]
    pub fn data(&self, name: &str) -> Reading<&RegistryData> {
        match self.value(name).known().map(|value| value.map(|value| value.data.known())) {
            Ok(None) => Reading::Nothing,
            Ok(Some(Ok(Some(data)))) => Reading::Value(data),
            // A value always has data, if of no length.
            Ok(Some(Ok(None))) => Reading::Absent(Absent::not_collected("")),
            Ok(Some(Err(absent))) | Err(absent) => Reading::Absent(absent.clone()),
        }
    }

    /// The subkey of this name, in upper or lower case. Nothing: the key really has none.
    #[must_use]
    pub fn key(&self, name: &str) -> Reading<&Self> {
        find(&self.keys, &self.keys_missing, name)
    }

    /// The last part of the path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('\\').next().unwrap_or(&self.path)
    }
}

fn find<'a, T>(all: &'a Reading<BTreeMap<String, T>>, missing: &[Absent], wanted: &str) -> Reading<&'a T> {
    let items = match all.known() {
        Ok(items) => items,
        Err(absent) => return Reading::Absent(absent.clone()),
    };
    let exact = items.and_then(|items| items.get(wanted));
    let found = exact.or_else(|| {
        let mut items = items.into_iter().flatten();
        items.find(|(name, _)| name::same(name, wanted)).map(|(_, item)| item)
    });
    match (found, missing.first()) {
        (Some(item), _) => Reading::Value(item),
        (None, None) => Reading::Nothing,
        (None, Some(reason)) => Reading::Absent(reason.clone()),
    }
}

/// One value of a key. In a document: `{"type": "REG_DWORD", "data": "0x00000001", ...}`, with numbers and bytes in
/// hexadecimal, several texts as a list, and `data` null, with its reason in `absent`, where only the name could be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegistryValue {
    /// The type.
    pub kind: ValueType,
    /// The data. Never nothing: data of no length are empty.
    pub data: Reading<RegistryData>,
    /// True for a value of a key that lives in memory only.
    pub volatile: bool,
    /// Where the `_CM_KEY_VALUE` lies.
    pub location: Option<Location>,
    /// Where the data lie, or their first piece.
    pub data_location: Option<Location>,
    /// What is odd about the value.
    pub notes: Vec<String>,
    /// Text behind the NUL that ends the data's text: programs read up to there. `None`: there is none.
    pub hidden: Option<String>,
}

impl Serialize for RegistryValue {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("type", &self.kind.to_string())?;
        match self.data.value() {
            Some(RegistryData::Texts(texts)) => map.serialize_entry("data", texts)?,
            Some(data) => map.serialize_entry("data", &data.to_string())?,
            None => map.serialize_entry("data", &None::<String>)?,
        }
        map.serialize_entry("volatile", &self.volatile)?;
        map.serialize_entry("location", &self.location)?;
        map.serialize_entry("data_location", &self.data_location)?;
        map.serialize_entry("notes", &self.notes)?;
        if let Some(hidden) = &self.hidden {
            map.serialize_entry("hidden", hidden)?;
        }
        let absent: BTreeMap<_, _> = self.data.absent().map(|absent| ("data", absent)).into_iter().collect();
        map.serialize_entry("absent", &absent)?;
        map.end()
    }
}

/// The form in documents.
#[derive(Deserialize)]
struct Written {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    data: Option<WrittenData>,
    #[serde(default)]
    volatile: bool,
    #[serde(default)]
    location: Option<Location>,
    #[serde(default)]
    data_location: Option<Location>,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    hidden: Option<String>,
    #[serde(default)]
    absent: BTreeMap<String, Absent>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenData {
    Number(u64),
    Text(String),
    Texts(Vec<String>),
}

impl<'de> Deserialize<'de> for RegistryValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut written = Written::deserialize(from)?;
        let kind = ValueType::parse(&written.kind)
            .ok_or_else(|| D::Error::custom(format!("{:?} is no type of a registry value", written.kind)))?;
        let data = match written.data {
            Some(data) => Reading::Value(decode(kind, data).map_err(D::Error::custom)?),
            None => Reading::Absent(
                written.absent.remove("data").unwrap_or_else(|| Absent::new(AbsentKind::NotCollected, "")),
            ),
        };
        let Written { volatile, location, data_location, notes, hidden, .. } = written;
        Ok(Self { kind, data, volatile, location, data_location, notes, hidden })
    }
}

fn decode(kind: ValueType, data: WrittenData) -> Result<RegistryData, String> {
    let is_number = matches!(kind, ValueType::DWORD | ValueType::DWORD_BIG_ENDIAN | ValueType::QWORD);
    let number = |number: u64| match kind {
        ValueType::QWORD => Ok(RegistryData::Qword(number)),
        _ => u32::try_from(number).map(RegistryData::Dword).map_err(|_| format!("{number:#x} is no {kind}")),
    };
    match (kind, data) {
        (ValueType::MULTI_SZ, WrittenData::Texts(texts)) => Ok(RegistryData::Texts(texts)),
        (ValueType::SZ | ValueType::EXPAND_SZ | ValueType::LINK, WrittenData::Text(text)) => {
            Ok(RegistryData::Text(text))
        }
        (_, WrittenData::Number(n)) if is_number => number(n),
        (_, WrittenData::Text(text)) if is_number && text.starts_with("0x") => {
            crate::parse_hex(&text).ok_or_else(|| format!("{text:?} is no number")).and_then(number)
        }
        (_, WrittenData::Text(text)) => {
            let bytes = data::from_hexadecimal(&text);
            bytes.map(RegistryData::Bytes).ok_or_else(|| format!("{text:?} is not bytes in hexadecimal"))
        }
        (_, WrittenData::Number(_) | WrittenData::Texts(_)) => Err(format!("data of another form than {kind} has")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: ValueType, data: RegistryData) -> RegistryValue {
        RegistryValue { kind, data: Reading::Value(data), ..RegistryValue::default() }
    }

    #[test]
    fn documents_and_back() {
        let mut lost = value(ValueType::SZ, RegistryData::Text(String::new()));
        lost.data = Reading::Absent(Absent::unreadable("0x1000 is paged out"));
        lost.hidden = Some("behind".to_owned());
        let values = [
            ("text", value(ValueType::EXPAND_SZ, RegistryData::Text("%a%".into()))),
            ("texts", value(ValueType::MULTI_SZ, RegistryData::Texts(vec!["a".into(), String::new()]))),
            ("number", value(ValueType::DWORD, RegistryData::Dword(1))),
            ("big-endian", value(ValueType::DWORD_BIG_ENDIAN, RegistryData::Dword(1))),
            ("long", value(ValueType::QWORD, RegistryData::Qword(u64::MAX))),
            ("short", value(ValueType::DWORD, RegistryData::Bytes(vec![1]))),
            ("bytes", value(ValueType(0x77), RegistryData::Bytes(vec![]))),
            ("lost", lost),
        ];
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let key = KeyRecord { values: Reading::Value(values), path: "\\REGISTRY\\A".into(), ..KeyRecord::default() };
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<KeyRecord>(&text).unwrap(), key, "{text}");
        assert!(text.contains(r#""number":{"type":"REG_DWORD","data":"0x00000001""#), "{text}");
    }

    #[test]
    fn absent_is_not_unknown() {
        let values: BTreeMap<_, _> = [("Name".to_owned(), value(ValueType::DWORD, RegistryData::Dword(1)))].into();
        let mut key = KeyRecord { values: Reading::Value(values), ..KeyRecord::default() };
        assert_eq!(key.data("NAME"), Reading::Value(&RegistryData::Dword(1)));
        assert_eq!(key.data("other"), Reading::Nothing);
        assert_eq!(key.key("other").absent().map(|absent| absent.kind), Some(AbsentKind::NotCollected));
        key.values_missing.push(Absent::unreadable("page"));
        assert!(key.data("other").absent().is_some());
        assert!(key.data("Name").value().is_some());
    }
}
