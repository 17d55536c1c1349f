//! Forged hives of every build: what is read equals what was written, and what is damaged is unknown, never empty.

use crate::common;
use crate::common::forged::Opened;
use ntmem::registry::{Registry, RegistryData};
use ntmem_forge::hive_plan::HiveDamage;
use ntmem_forge::{Build, Paged, Scenario};
use serde_json::Value;

const SUB_SYSTEMS: &str = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\SubSystems";
const FORGED_SUB_SYSTEMS: &str = r"ControlSet001\Control\Session Manager\SubSystems";

fn with<T>(scenario: &Scenario, look: impl FnOnce(&Registry<'_>) -> T) -> T {
    let forged = scenario.forge();
    let opened = Opened::new(&forged);
    let kernel = opened.kernel();
    look(&Registry::open(&kernel))
}

#[test]
fn every_build_is_read_as_written() {
    for build in Build::ALL {
        for full_directory in [false, true] {
            let mut scenario = Scenario::clean(build);
            for hive in &mut scenario.hives {
                hive.full_directory = full_directory;
            }
            let forged = scenario.forge();
            let opened = Opened::new(&forged);
            let truth: Value = serde_json::from_str(&forged.truth.to_json()).unwrap();
            let kernel = opened.kernel();
            let registry = Registry::open(&kernel);
            assert!(registry.warnings().is_empty(), "{build:?}: {:?}", registry.warnings());
            common::registry::assert_agrees(&format!("{build:?}"), &opened.image, &registry, &truth["hives"]);
        }
    }
}

#[test]
fn the_control_set_that_is_selected() {
    for build in [Build::W7_7601, Build::W10_19045] {
        with(&Scenario::clean(build).with_second_control_set(), |registry| {
            let key = registry.key(r"SYSTEM\CurrentControlSet\Control\Session Manager").unwrap().unwrap();
            assert!(key.path().contains("ControlSet001"), "{}", key.path());
            let boot = key.value("BootExecute").unwrap().unwrap().record();
            assert!(!boot.data.value().unwrap().to_string().contains("evil"));
        });
    }
}

/// A value whose page is gone is unreadable; one that was never there does not exist.
#[test]
fn gone_is_another_thing_than_absent() {
    for build in Build::ALL {
        for damage in [
            HiveDamage::DataPage { key: FORGED_SUB_SYSTEMS.into(), value: "Windows".into(), state: Paged::Out },
            HiveDamage::ValuePage { key: FORGED_SUB_SYSTEMS.into(), value: "Windows".into(), state: Paged::Out },
        ] {
            with(&Scenario::clean(build).with_hive_damage(damage.clone()), |registry| {
                let key = registry.key(SUB_SYSTEMS).unwrap().unwrap();
                let record = key.record(0);
                assert!(
                    record.data("Windows").absent().is_some(),
                    "{build:?} {damage:?}: {:?}",
                    record.data("Windows")
                );
            });
        }
        let gone = HiveDamage::KeyPage { key: FORGED_SUB_SYSTEMS.into(), state: Paged::Out };
        with(&Scenario::clean(build).with_hive_damage(gone), |registry| {
            assert!(
                registry.key(SUB_SYSTEMS).is_err(),
                "{build:?}: a key that cannot be read is not known to be absent"
            );
        });
        with(&Scenario::clean(build), |registry| {
            let record = registry.key(SUB_SYSTEMS).unwrap().unwrap().record(0);
            assert!(record.data("NoSuchValue").is_nothing());
            assert!(registry.key(r"SYSTEM\No\Such\Key").unwrap().is_none());
        });
    }
}

#[test]
fn large_and_deep() {
    for build in [Build::W7_7601, Build::W10_17134, Build::W11_26100] {
        with(&Scenario::clean(build).with_big_value(70_000), |registry| {
            let value = registry.key(r"SYSTEM\Select").unwrap().unwrap().value("Big").unwrap().unwrap();
            let expected: Vec<u8> = (0..70_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
            assert_eq!(value.record().data.value(), Some(&RegistryData::Bytes(expected)));
        });
        with(&Scenario::clean(build).with_deep_path(300), |registry| {
            let path = (1..=300).fold(r"SYSTEM\Deep".to_owned(), |path, level| format!(r"{path}\{level}"));
            let end = registry.key(&path).unwrap().unwrap().value("end").unwrap().unwrap().record();
            assert_eq!(end.data.value().unwrap().as_text(), Some("here"));
        });
    }
}

#[test]
fn damaged_cells() {
    for build in [Build::W7_7601, Build::W10_17134, Build::W11_26100] {
        for damage in [
            HiveDamage::SelfList { key: FORGED_SUB_SYSTEMS.into() },
            HiveDamage::SelfKey { key: FORGED_SUB_SYSTEMS.into() },
            HiveDamage::CellSize { key: FORGED_SUB_SYSTEMS.into(), size: i32::MIN },
            HiveDamage::CellSize { key: FORGED_SUB_SYSTEMS.into(), size: -8 },
            HiveDamage::CellSize { key: FORGED_SUB_SYSTEMS.into(), size: i32::MAX },
            HiveDamage::DataLength { key: FORGED_SUB_SYSTEMS.into(), value: "Windows".into(), length: 0x7fff_ffff },
            HiveDamage::ListCell { key: FORGED_SUB_SYSTEMS.into(), cell: 0x7fff_fff0 },
            HiveDamage::NoMap { key: FORGED_SUB_SYSTEMS.into() },
        ] {
            with(&Scenario::clean(build).with_hive_damage(damage.clone()), |registry| {
                // It ends, and what it says of a damaged place is not that there is nothing.
                if let Ok(found) = registry.key(SUB_SYSTEMS) {
                    let record = found.unwrap_or_else(|| panic!("{build:?} {damage:?}: not absent")).record(u32::MAX);
                    let odd = record.data("Windows").absent().is_some()
                        || !record.keys_missing.is_empty()
                        || !record.values_missing.is_empty()
                        || record.values.absent().is_some()
                        || !record.notes.is_empty()
                        || record.keys.value().is_some_and(|keys| !keys.is_empty());
                    assert!(odd, "{build:?} {damage:?}: {record:?}");
                }
                // The rest of the hive is still there.
                assert!(registry.key(r"SYSTEM\Select").unwrap().is_some(), "{build:?} {damage:?}");
            });
        }
    }
}
