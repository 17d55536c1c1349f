//! The registry of the sample images against their truth files.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use ntmem::kernel::Kernel;
use ntmem::registry::{Hive, KeyRecord, Registry, SessionManagerKeys};
use ntmem::symbols::SymbolStore;
use ntmem::{ListEnd, MemoryImage, Reading, VirtualAddress};
use serde_json::{Map, Value};
use std::path::Path;

const SAMPLES: [&str; 4] = ["win7-7601-clean", "win10-19045-clean", "win11-26100-clean", "win10-19045-brontok-lojax"];

fn image_of(material: &Path, name: &str) -> (MemoryImage, Value) {
    let image = MemoryImage::from_bytes(common::sample(material, name)).unwrap();
    (image, common::json(&material.join("samples").join(name).join("truth.json")))
}

fn object<'a>(of: &'a Value, member: &str) -> Map<String, Value> {
    of.get(member).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Compares a key and all below it; returns how many keys and values were compared.
fn same_tree(ours: &KeyRecord, truth: &Value, volatile: bool) -> (usize, usize) {
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
        let place = value.location.as_ref().unwrap();
        assert!(place.r#virtual.is_some() && place.physical.is_some(), "{path}: {name}");
    }
    let keys = ours.keys.value().unwrap();
    let (stable, gone) = (object(truth, "keys"), object(truth, "volatile_keys"));
    assert_eq!(keys.len(), stable.len() + gone.len(), "{path}");
    let mut count = (1, expected.len());
    for (truth, volatile) in stable.iter().map(|k| (k, volatile)).chain(gone.iter().map(|k| (k, true))) {
        let key = keys.get(truth.0).unwrap_or_else(|| panic!("{path}: no key {}", truth.0));
        let below = same_tree(key, truth.1, volatile);
        count = (count.0 + below.0, count.1 + below.1);
    }
    count
}

fn compare(material: &Path, name: &str, symbols: &Path) {
    let (image, truth) = image_of(material, name);
    let kernel = image.locate_kernel(&SymbolStore::new().directory(symbols)).unwrap();
    let registry = Registry::open(&kernel);
    assert!(registry.warnings().is_empty(), "{name}: {:?}", registry.warnings());
    let list = serde_json::to_value(registry.hive_list()).unwrap();
    assert_eq!(list["end"], "complete");
    let truth = truth["hives"].as_array().unwrap();
    assert_eq!(registry.hives().len(), truth.len(), "{name}: {list}");
    for ((hive, ours), truth) in registry.hives().iter().zip(list["items"].as_array().unwrap()).zip(truth) {
        assert_eq!(common::number(&ours["cmhive"]), common::number(&truth["cmhive"]), "{name}");
        for field in ["file", "root"] {
            assert_eq!(ours[field], truth[field], "{name}: {field}");
        }
        let tree = hive.root().unwrap().record(u32::MAX);
        let (keys, values) = same_tree(&tree, &truth["tree"], false);
        eprintln!("{name}: {}: {keys} keys, {values} values", truth["root"]);
        assert!(keys > 5 && values > 5);
    }
}

#[test]
fn hives_by_pdb() {
    let Some(material) = common::material("hives_by_pdb") else { return };
    for name in SAMPLES {
        compare(&material, name, &material.join("symbols"));
    }
}

#[test]
fn hives_by_isf() {
    let Some(material) = common::material("hives_by_isf") else { return };
    for name in SAMPLES {
        compare(&material, name, &material.join("symbols/isf"));
    }
}

#[test]
fn session_manager_keys() {
    let Some(material) = common::material("session_manager_keys") else { return };
    for name in SAMPLES {
        let (image, truth) = image_of(&material, name);
        let kernel = image.locate_kernel(&SymbolStore::new().directory(material.join("symbols"))).unwrap();
        let registry = Registry::open(&kernel);
        let keys = SessionManagerKeys::read(&registry);
        let system = &truth["hives"][0]["tree"]["keys"];
        let control = &system["ControlSet001"]["keys"]["Control"]["keys"];
        let manager = &control["Session Manager"];
        let set = keys.control_set.value().unwrap();
        assert_eq!((set.number, set.assumed, set.source.as_str()), (1, false, r"Select\Current"), "{name}");
        let sets: Vec<u32> = (1..100).filter(|number| system.get(format!("ControlSet{number:03}")).is_some()).collect();
        assert_eq!(keys.control_sets.value(), Some(&sets), "{name}");
        for (ours, truth) in [
            (&keys.select, &system["Select"]),
            (&keys.setup, &system["Setup"]),
            (&keys.session_manager, manager),
            (&keys.sub_systems, &manager["keys"]["SubSystems"]),
            (&keys.known_dlls, &manager["keys"]["KnownDLLs"]),
            (&keys.app_cert_dlls, &manager["keys"]["AppCertDlls"]),
            (&keys.environment, &manager["keys"]["Environment"]),
            (&keys.dos_devices, &manager["keys"]["DOS Devices"]),
            (&keys.memory_management, &manager["keys"]["Memory Management"]),
            (&keys.mini_nt, &control["MiniNT"]),
            (&keys.safe_boot_option, &control["SafeBoot"]["keys"]["Option"]),
        ] {
            if truth.is_null() {
                assert!(ours.is_nothing(), "{name}: {ours:?}");
                continue;
            }
            let record = ours.value().unwrap_or_else(|| panic!("{name}: {ours:?}"));
            let expected = object(truth, "values");
            assert_eq!(record.values.value().unwrap().len(), expected.len());
            for (value, truth) in &expected {
                let upper = value.to_uppercase();
                let written = serde_json::to_value(record.value(&upper).value().unwrap()).unwrap();
                assert_eq!(written["data"], truth["data"], "{name}: {value}");
            }
            assert!(record.data("no such value").is_nothing());
        }
        let options = keys.image_file_execution_options.value().unwrap();
        assert!(options.key("winlogon.exe").is_nothing());
        let document = serde_json::to_string(&keys).unwrap();
        assert_eq!(serde_json::from_str::<SessionManagerKeys>(&document).unwrap(), keys, "{name}");
    }
}

#[test]
fn ways_to_name_a_key() {
    let Some(material) = common::material("ways_to_name_a_key") else { return };
    let (image, _) = image_of(&material, "win10-19045-clean");
    let kernel = image.locate_kernel(&SymbolStore::new().directory(material.join("symbols"))).unwrap();
    let registry = Registry::open(&kernel);
    for path in [
        r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager",
        r"hklm\system\currentcontrolset\control\session manager",
        r"HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\Session Manager",
        r"\REGISTRY\MACHINE\SYSTEM\CurrentControlSet\Control\Session Manager",
        r"SYSTEM\CurrentControlSet\Control\Session Manager\",
    ] {
        let key = registry.key(path).unwrap().unwrap();
        assert_eq!(key.path(), r"\REGISTRY\MACHINE\SYSTEM\ControlSet001\Control\Session Manager", "{path}");
        assert!(key.value("bootexecute").unwrap().is_some());
    }
    assert!(registry.key(r"HKLM\SYSTEM\CurrentControlSet\Control\MiniNT").unwrap().is_none());
    // Not loaded is not the same as not there.
    let absent = registry.key(r"HKLM\SAM\SAM").unwrap_err();
    assert_eq!(absent.kind.name(), "unreadable", "{absent}");
    let link = registry.key_or_link(r"HKLM\SYSTEM\CurrentControlSet").unwrap().unwrap();
    assert!(link.is_volatile());
    assert_eq!(link.link().value().map(String::as_str), Some(r"\Registry\Machine\System\ControlSet001"));
    let followed = registry.key(r"HKLM\SYSTEM\CurrentControlSet").unwrap().unwrap();
    assert_eq!(followed.path(), r"\REGISTRY\MACHINE\SYSTEM\ControlSet001");
}

/// Removes what a file does not have.
fn only_stable(key: &KeyRecord) -> KeyRecord {
    let mut key = key.clone();
    let keys = key.keys.value().cloned().unwrap_or_default();
    let stable = keys.into_iter().filter(|(_, key)| !key.volatile).map(|(name, key)| (name, only_stable(&key)));
    key.keys = Reading::Value(stable.collect());
    key.path = String::new();
    key.location = None;
    let mut values = key.values.value().cloned().unwrap_or_default();
    for value in values.values_mut() {
        (value.location, value.data_location) = (None, None);
    }
    key.values = Reading::Value(values);
    key
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// What readers of hive files check before they read: header, checksum, the chain of bins, cells that fill each bin.
/// Returns the number of bins.
fn check_file(bytes: &[u8]) -> usize {
    assert_eq!(&bytes[..4], b"regf");
    assert_eq!(u32_at(bytes, 4), u32_at(bytes, 8), "sequence numbers");
    assert_eq!(u32_at(bytes, 0x28) as usize, bytes.len() - 0x1000, "length of the bins");
    let sum = (0..0x1fc).step_by(4).fold(0, |sum, at| sum ^ u32_at(bytes, at));
    assert_eq!(sum, u32_at(bytes, 0x1fc), "checksum");
    let mut bin = 0x1000;
    let mut bins = 0;
    while bin < bytes.len() {
        assert_eq!(&bytes[bin..bin + 4], b"hbin", "at {bin:#x}");
        assert_eq!(u32_at(bytes, bin + 4) as usize, bin - 0x1000);
        bin += u32_at(bytes, bin + 8) as usize;
        bins += 1;
    }
    assert_eq!(bin, bytes.len());
    bins
}

#[test]
fn hives_written_as_files() {
    let Some(material) = common::material("hives_written_as_files") else { return };
    for name in SAMPLES {
        let (image, _) = image_of(&material, name);
        let kernel = image.locate_kernel(&SymbolStore::new().directory(material.join("symbols"))).unwrap();
        for hive in Registry::open(&kernel).hives() {
            let mut file = Vec::new();
            let written = hive.write_file(&mut file).unwrap();
            assert_eq!(written.bytes, file.len() as u64);
            assert_eq!((written.unreadable_blocks, written.rebuilt_bins), (0, 0), "{name}: {:?}", written.missing);
            assert!(!written.rebuilt_header);
            assert!(check_file(&file) > 0);
            let again = Hive::from_file(file).unwrap();
            assert!(again.record().notes.is_empty());
            let (ours, theirs) = (hive.root().unwrap().record(99), again.root().unwrap().record(99));
            assert_eq!(only_stable(&ours), only_stable(&theirs), "{name}: {}", hive.label());
        }
    }
}

/// A sample whose bytes are changed at virtual addresses of the kernel, which `edit` gives.
fn damaged(
    material: &Path,
    name: &str,
    edit: impl Fn(&Kernel<'_>, &Registry<'_>) -> Vec<(VirtualAddress, Vec<u8>)>,
) -> MemoryImage {
    let mut bytes = common::sample(material, name);
    let image = MemoryImage::from_bytes(bytes.clone()).unwrap();
    let kernel = image.locate_kernel(&SymbolStore::new().directory(material.join("symbols"))).unwrap();
    let registry = Registry::open(&kernel);
    for (at, new) in edit(&kernel, &registry) {
        let physical = kernel.space().translate(at).unwrap();
        // The samples are raw images.
        let at = usize::try_from(physical.0).unwrap();
        bytes[at..at + new.len()].copy_from_slice(&new);
    }
    MemoryImage::from_bytes(bytes).unwrap()
}

fn address_of(registry: &Registry<'_>, root: &str) -> VirtualAddress {
    let hive = registry.hives().iter().find(|hive| hive.mount() == Some(root)).unwrap();
    *hive.record().cmhive.value().unwrap()
}

const SOFTWARE: &str = r"\REGISTRY\MACHINE\SOFTWARE";

#[test]
fn an_unlinked_hive_is_found_by_a_scan() {
    let Some(material) = common::material("an_unlinked_hive_is_found_by_a_scan") else { return };
    for name in SAMPLES {
        let image = damaged(&material, name, |kernel, registry| {
            let links = kernel.layouts().cmhive.as_ref().unwrap().links.offset;
            let entry = address_of(registry, SOFTWARE).wrapping_add(links);
            let next = kernel.space().read_pointer(entry).unwrap();
            let previous = kernel.space().read_pointer(entry.wrapping_add(8)).unwrap();
            vec![(previous, next.0.to_le_bytes().to_vec()), (next.wrapping_add(8), previous.0.to_le_bytes().to_vec())]
        });
        let kernel = image.locate_kernel(&SymbolStore::new().directory(material.join("symbols"))).unwrap();
        let mut registry = Registry::open(&kernel);
        assert_eq!(registry.hives().len(), 1, "{name}");
        let path = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion";
        assert_eq!(registry.key(path).unwrap_err().kind.name(), "unreadable");
        assert!(SessionManagerKeys::read(&registry).image_file_execution_options.absent().is_some());
        assert_eq!(registry.scan(&|_, _| ()), 1, "{name}");
        assert_eq!(registry.hives()[1].record().sources, ["scan"]);
        assert!(registry.key(path).unwrap().unwrap().value("SystemRoot").unwrap().is_some(), "{name}");
        assert_eq!(registry.scan(&|_, _| ()), 0, "{name}: the second scan");
    }
}

#[test]
fn a_torn_list_is_walked_both_ways() {
    let Some(material) = common::material("a_torn_list_is_walked_both_ways") else { return };
    let image = damaged(&material, "win10-19045-clean", |kernel, registry| {
        let links = kernel.layouts().cmhive.as_ref().unwrap().links.offset;
        vec![(address_of(registry, r"\REGISTRY\MACHINE\SYSTEM").wrapping_add(links), vec![0; 8])]
    });
    let kernel = image.locate_kernel(&SymbolStore::new().directory(material.join("symbols"))).unwrap();
    let registry = Registry::open(&kernel);
    assert_eq!(registry.hives().len(), 2);
    assert_eq!(registry.hive_list().end, Some(ListEnd::Broken));
    assert_eq!(registry.warnings().len(), 1, "{:?}", registry.warnings());
}
