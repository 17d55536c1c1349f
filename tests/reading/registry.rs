//! The registry of the sample images against their truth files.

use crate::common;
use crate::common::registry::{object, same_tree};
use ntmem::kernel::{Cmhive, Kernel};
use ntmem::registry::{Hive, KeyRecord, Registry, SessionManagerKeys};
use ntmem::symbols::SymbolStore;
use ntmem::{ListEnd, MemoryImage, PhysicalAddress, ReadOptions, Reading, System, VirtualAddress};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

const SAMPLES: [&str; 4] = ["win7-7601-clean", "win10-19045-clean", "win11-26100-clean", "win10-19045-brontok-lojax"];

fn image_of(material: &Path, name: &str) -> (MemoryImage, Value) {
    let image = MemoryImage::from_bytes(common::sample(material, name)).unwrap();
    (image, common::json(&material.join("samples").join(name).join("truth.json")))
}

fn compare(material: &Path, name: &str, symbols: &Path) {
    let (image, truth) = image_of(material, name);
    let kernel = image.locate_kernel(&SymbolStore::new().directory(symbols)).unwrap();
    let registry = Registry::open(&kernel);
    assert!(registry.warnings().is_empty(), "{name}: {:?}", registry.warnings());
    common::registry::assert_agrees(name, &image, &registry, &truth["hives"]);
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
    let Some(symbols) = common::symbol_files("hives_by_isf", &material) else { return };
    for name in SAMPLES {
        compare(&material, name, &symbols);
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

/// A sample whose bytes are changed where `edit` says.
fn damaged(
    material: &Path,
    name: &str,
    edit: impl Fn(&Kernel<'_>, &Registry<'_>) -> Vec<(PhysicalAddress, Vec<u8>)>,
) -> MemoryImage {
    let mut bytes = common::sample(material, name);
    let image = MemoryImage::from_bytes(bytes.clone()).unwrap();
    let kernel = image.locate_kernel(&SymbolStore::new().directory(material.join("symbols"))).unwrap();
    let registry = Registry::open(&kernel);
    for (at, new) in edit(&kernel, &registry) {
        // The samples are raw images.
        let at = usize::try_from(at.0).unwrap();
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
            let at = |address| kernel.space().translate(address).unwrap();
            let edits = [(previous, next), (next.wrapping_add(8), previous)];
            edits.into_iter().map(|(place, new)| (at(place), new.0.to_le_bytes().to_vec())).collect()
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
        let read = |scan| System::read_with(&kernel, &ReadOptions { scan, ..ReadOptions::default() }).unwrap();
        let unknown = |system: System| system.session_manager.image_file_execution_options.absent().is_some();
        assert!(unknown(read(false)) && !unknown(read(true)), "{name}: with the processes, in one pass");
    }
}

#[test]
fn a_torn_list_is_walked_both_ways() {
    let Some(material) = common::material("a_torn_list_is_walked_both_ways") else { return };
    let image = damaged(&material, "win10-19045-clean", |kernel, registry| {
        let links = kernel.layouts().cmhive.as_ref().unwrap().links.offset;
        let entry = address_of(registry, r"\REGISTRY\MACHINE\SYSTEM").wrapping_add(links);
        vec![(kernel.space().translate(entry).unwrap(), vec![0; 8])]
    });
    let kernel = image.locate_kernel(&SymbolStore::new().directory(material.join("symbols"))).unwrap();
    let registry = Registry::open(&kernel);
    assert_eq!(registry.hives().len(), 2);
    assert_eq!(registry.hive_list().end, Some(ListEnd::Broken));
    assert_eq!(registry.warnings().len(), 1, "{:?}", registry.warnings());
}

fn u64_at(bytes: &[u8], at: u64) -> u64 {
    let at = usize::try_from(at).unwrap();
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The place of the page table entry of `at`, walked by hand in a raw image.
fn entry_of(bytes: &[u8], root: u64, at: u64) -> usize {
    let mut table = root;
    for shift in [39, 30, 21] {
        let entry = u64_at(bytes, table + ((at >> shift) & 0x1ff) * 8);
        assert_eq!(entry & 0x81, 1, "{at:#x}: a table");
        table = entry & 0x000f_ffff_ffff_f000;
    }
    usize::try_from(table + ((at >> 12) & 0x1ff) * 8).unwrap()
}

/// Pages in which keys and values of a record lie.
fn pages_of(key: &KeyRecord, pages: &mut BTreeSet<u64>) {
    let values = key.values.value().unwrap().values().flat_map(|v| [&v.location, &v.data_location]);
    for place in values.chain([&key.location]).flatten() {
        pages.insert(place.r#virtual.unwrap().0 & !0xfff);
    }
    key.keys.value().unwrap().values().for_each(|key| pages_of(key, pages));
}

/// Looks for every key and value of the truth by name: each is there and right, or it is said why it cannot be read. Returns
/// how many could not.
fn nothing_is_denied(registry: &Registry<'_>, path: &str, truth: &Value) -> usize {
    let mut unknown = 0;
    let key = match registry.key_or_link(path) {
        Ok(Some(key)) => key,
        Ok(None) => panic!("{path} is said not to be there"),
        Err(why) => {
            assert!(!why.detail.is_empty());
            return 1;
        }
    };
    for (name, expected) in object(truth, "values") {
        match key.value(&name) {
            Ok(Some(value)) => {
                let written = serde_json::to_value(value.record()).unwrap();
                if written["data"].is_null() {
                    assert!(written["absent"]["data"].as_str().unwrap().starts_with("unreadable: "), "{written}");
                    unknown += 1;
                } else {
                    assert_eq!(written["data"], expected["data"], "{path}: {name}");
                }
            }
            Ok(None) => panic!("{path}: {name} is said not to be there"),
            Err(_) => unknown += 1,
        }
    }
    for (name, below) in object(truth, "keys").iter().chain(&object(truth, "volatile_keys")) {
        unknown += nothing_is_denied(registry, &format!("{path}\\{name}"), below);
    }
    unknown
}

#[test]
fn a_lost_page_is_not_an_empty_key() {
    let Some(material) = common::material("a_lost_page_is_not_an_empty_key") else { return };
    for name in ["win7-7601-clean", "win10-19045-clean"] {
        let (image, truth) = image_of(&material, name);
        let store = SymbolStore::new().directory(material.join("symbols"));
        let kernel = image.locate_kernel(&store).unwrap();
        let mut pages = BTreeSet::new();
        let registry = Registry::open(&kernel);
        let system = registry.hives().iter().find(|hive| hive.mount() == Some(r"\REGISTRY\MACHINE\SYSTEM")).unwrap();
        pages_of(&system.root().unwrap().record(u32::MAX), &mut pages);
        assert!(pages.len() > 10, "{name}");
        // Since 1803 hives lie in the process Registry, but for what is volatile.
        let owner = truth["processes"].as_array().unwrap().iter().find(|p| p["name"] == "Registry");
        let root = common::number(owner.map_or(&truth["kernel"]["dtb"], |process| &process["dtb"])).unwrap();
        assert_eq!(owner.is_some(), pages.iter().any(|page| page >> 63 == 0), "{name}");
        let mut bytes = common::sample(&material, name);
        for page in &pages {
            let entry = entry_of(&bytes, root, *page);
            let intact = bytes[entry..entry + 8].to_vec();
            bytes[entry..entry + 8].fill(0);
            let image = MemoryImage::from_bytes(bytes.clone()).unwrap();
            bytes[entry..entry + 8].copy_from_slice(&intact);
            let kernel = image.locate_kernel(&store).unwrap();
            let registry = Registry::open(&kernel);
            let tree = &truth["hives"][0]["tree"];
            let unknown = nothing_is_denied(&registry, r"\REGISTRY\MACHINE\SYSTEM", tree);
            assert!(unknown > 0, "{name}: {page:#x}");
            let hive = registry.hives().iter().find(|h| h.mount() == Some(r"\REGISTRY\MACHINE\SYSTEM")).unwrap();
            let mut file = Vec::new();
            let written = hive.write_file(&mut file).unwrap();
            // A page of volatile keys is not in the file.
            assert!(written.unreadable_blocks <= 1);
            assert_eq!(written.missing.len(), written.unreadable_blocks as usize);
            check_file(&file);
        }
    }
}

#[test]
fn a_map_with_several_tables() {
    let Some(material) = common::material("a_map_with_several_tables") else { return };
    for name in SAMPLES {
        // The samples' hives are smaller than 2 MiB, and their maps have one table. Here the directory gets a second table (the
        // same one), and the root's index leads through it.
        const BEYOND: u32 = 0x20_0000;
        let image = damaged(&material, name, |kernel, registry| {
            let layout = kernel.layouts().cmhive.as_ref().unwrap();
            let dual = kernel.layouts().dual.as_ref().unwrap();
            let address = address_of(registry, r"\REGISTRY\MACHINE\SYSTEM");
            let cmhive = Cmhive::read(kernel, address).unwrap();
            let base_block = cmhive.base_block().unwrap();
            let [stable, _] = cmhive.storages().unwrap();
            let table = kernel.space().read_u64(stable.map.unwrap()).unwrap().to_le_bytes();
            let root = kernel.space().read_u32(base_block.wrapping_add(0x24)).unwrap();
            let length = stable.length.unwrap();
            let storage = address.wrapping_add(layout.storage.offset);
            let directory = base_block.wrapping_add(0x800);
            let at = |address| kernel.space().translate(address).unwrap();
            vec![
                (at(directory), [table, table].concat()),
                (at(storage.wrapping_add(dual.map.offset)), directory.0.to_le_bytes().to_vec()),
                (at(storage.wrapping_add(dual.length.offset)), (BEYOND + length).to_le_bytes().to_vec()),
                (at(base_block.wrapping_add(0x24)), (BEYOND + root).to_le_bytes().to_vec()),
            ]
        });
        let truth = common::json(&material.join("samples").join(name).join("truth.json"));
        let kernel = image.locate_kernel(&SymbolStore::new().directory(material.join("symbols"))).unwrap();
        let registry = Registry::open(&kernel);
        let system = registry.key(r"\REGISTRY\MACHINE\SYSTEM").unwrap().unwrap();
        assert!(system.cell().0 > BEYOND);
        same_tree(&image, &system.record(u32::MAX), &truth["hives"][0]["tree"], false);
    }
}

#[cfg(feature = "isf")]
#[test]
fn every_published_kernel_has_the_layouts() {
    let Some(material) = common::material("every_published_kernel_has_the_layouts") else { return };
    let mut ways = [0, 0];
    for file in std::fs::read_dir(material.join("symbols/kernels")).unwrap() {
        let file = file.unwrap().path();
        let Ok(symbols) = ntmem::symbols::isf::load(&file, None, &ntmem::kernel::Layouts::wanted()) else {
            panic!("{}", file.display());
        };
        let layouts = ntmem::kernel::Layouts::resolve(&symbols).unwrap();
        let cmhive = layouts.cmhive.unwrap();
        assert!(cmhive.root_path.is_some() && cmhive.version.is_some() && cmhive.file_user_name.is_some());
        layouts.dual.unwrap();
        let entry = layouts.hmap_entry.unwrap();
        let by_bin = entry.permanent_bin.is_some() && entry.block_offset.is_some();
        assert_eq!(by_bin, entry.block_address.is_none(), "{}", file.display());
        ways[usize::from(by_bin)] += 1;
        symbols.global("CmpHiveListHead").unwrap();
    }
    // By the fields that Volatility's files have of _HMAP_ENTRY.
    assert_eq!(ways, [33, 180]);
}

#[test]
fn the_control_set_when_select_is_damaged() {
    let Some(material) = common::material("the_control_set_when_select_is_damaged") else { return };
    const WIN10: &str = "win10-19045-clean";
    let place = |registry: &Registry<'_>, path: &str, value: Option<&str>| {
        let key = registry.key_or_link(path).unwrap().unwrap();
        let place = value.map_or(key.location(), |value| key.value(value).unwrap().unwrap().location());
        place.unwrap().physical.unwrap()
    };
    let set = |name: &str, without_link: bool, without_select: bool| {
        let image = damaged(&material, name, |_, registry| {
            let mut edits = vec![(place(registry, r"SYSTEM\Select", Some("Current")), b"xx".to_vec())];
            if without_link {
                // _CM_KEY_NODE.SubKeyCounts[1]: the link is the only volatile subkey.
                edits.push((place(registry, "SYSTEM", None).wrapping_add(0x18), vec![0; 4]));
            }
            if without_select {
                edits.push((place(registry, r"SYSTEM\Select", None), b"xx".to_vec()));
            }
            edits
        });
        let kernel = image.locate_kernel(&SymbolStore::new().directory(material.join("symbols"))).unwrap();
        let registry = Registry::open(&kernel);
        let keys = SessionManagerKeys::read(&registry);
        let through_path = registry.key(r"HKLM\SYSTEM\CurrentControlSet\Control").map(|key| key.is_some());
        (keys, through_path)
    };
    let (keys, path) = set(WIN10, false, false);
    assert!(keys.selected("Current").absent().is_some());
    assert_eq!(keys.control_set.value().unwrap().source, "CurrentControlSet");
    assert!(keys.session_manager.value().is_some());
    assert_eq!(path, Ok(true));

    let (keys, _) = set(WIN10, true, false);
    assert!(keys.control_set.value().unwrap().assumed);
    assert!(keys.sub_systems.value().is_some());

    // On this machine there are two.
    let (keys, path) = set("win7-7601-clean", true, false);
    assert_eq!(keys.control_sets.value(), Some(&vec![1, 2]));
    assert!(keys.control_set.absent().is_some() && path.is_err());

    // Now a key of the root cannot be read, and it could be another control set.
    let (keys, path) = set(WIN10, true, true);
    assert!(keys.control_set.absent().is_some() && keys.control_sets.absent().is_some());
    assert!(keys.sub_systems.absent().is_some() && keys.mini_nt.absent().is_some(), "not known is not absent");
    assert!(keys.setup.value().is_some());
    assert!(path.is_err(), "{path:?}");
}
