//! Registry trees, held against the facts they were made from.

use ntmem::Location;
use ntmem::registry::{KeyRecord, Registry, RegistryData};
use ntmem::{MemoryImage, PhysicalMemory};
use serde_json::{Map, Value};

/// An object's member that is an object itself; empty if it is not there.
pub fn object(of: &Value, member: &str) -> Map<String, Value> {
    of.get(member).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Whether these bytes lie where evidence says that they do.
pub fn starts_with(image: &MemoryImage, place: Option<&Location>, expected: &[u8]) -> bool {
    let physical = place.and_then(|place| place.physical.filter(|_| place.r#virtual.is_some())).unwrap();
    image.borrow(physical, expected.len()) == Some(expected)
}

/// Compares a key and all below it; returns how many keys and values were compared.
pub fn same_tree(image: &MemoryImage, ours: &KeyRecord, truth: &Value, volatile: bool) -> (usize, usize) {
    let path = &ours.path;
    assert_eq!(ours.volatile, volatile, "{path}");
    assert!(ours.values_missing.is_empty() && ours.keys_missing.is_empty() && ours.notes.is_empty(), "{ours:?}");
    assert!(ours.last_written.value().is_some(), "{path}: {:?}", ours.last_written);
    let values = ours.values.value().unwrap();
    let expected = object(truth, "values");
    assert_eq!(values.len(), expected.len(), "{path}: {values:?}");
    for (name, truth) in &expected {
        let value = values.get(name).unwrap_or_else(|| panic!("{path}: no value {name}"));
        let written = serde_json::to_value(value).unwrap();
        for field in ["type", "data"] {
            assert_eq!(written[field], truth[field], "{path}: value {name}: {field}");
        }
        assert_eq!(value.volatile, volatile, "{path}: value {name}");
        // Evidence: the bytes are where they are said to be.
        assert!(starts_with(image, value.location.as_ref(), b"vk"), "{path}: {name}");
        if let Some(RegistryData::Text(text)) = value.data.value().filter(|data| !data.is_empty()) {
            let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).take(2).collect();
            assert!(starts_with(image, value.data_location.as_ref(), &wide), "{path}: {name}");
        }
    }
    assert!(starts_with(image, ours.location.as_ref(), b"nk"), "{path}");
    let keys = ours.keys.value().unwrap();
    let (stable, gone) = (object(truth, "keys"), object(truth, "volatile_keys"));
    assert_eq!(keys.len(), stable.len() + gone.len(), "{path}");
    let mut count = (1, expected.len());
    for (truth, volatile) in stable.iter().map(|k| (k, volatile)).chain(gone.iter().map(|k| (k, true))) {
        let key = keys.get(truth.0).unwrap_or_else(|| panic!("{path}: no key {}", truth.0));
        let below = same_tree(image, key, truth.1, volatile);
        count = (count.0 + below.0, count.1 + below.1);
    }
    count
}

/// Compares all hives with `truth`: the list, and key by key and value by value.
pub fn assert_agrees(name: &str, image: &MemoryImage, registry: &Registry<'_>, truth: &Value) {
    let list = serde_json::to_value(registry.hive_list()).unwrap();
    assert_eq!(list["end"], "complete");
    let truth = truth.as_array().unwrap();
    let mut total = (0, 0);
    assert_eq!(registry.hives().len(), truth.len(), "{name}: {list}");
    for ((hive, ours), truth) in registry.hives().iter().zip(list["items"].as_array().unwrap()).zip(truth) {
        assert_eq!(super::number(&ours["cmhive"]), super::number(&truth["cmhive"]), "{name}");
        assert_eq!(ours["root"], truth["root"], "{name}: root");
        // The structure has two names of the file, one by device and one by `\\SystemRoot`.
        let last = |file: &Value| file.as_str().unwrap().to_lowercase().rsplit('\\').next().unwrap().to_owned();
        assert_eq!(last(&ours["file"]), last(&truth["file"]), "{name}: file");
        let tree = hive.root().unwrap().record(u32::MAX);
        let (keys, values) = same_tree(image, &tree, &truth["tree"], false);
        eprintln!("{name}: {}: {keys} keys, {values} values", truth["root"]);
        total = (total.0 + keys, total.1 + values);
    }
    assert!(total.0 > 20 && total.1 > 50, "{name}: compared {total:?} keys and values");
}
