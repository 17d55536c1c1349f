//! A saved report says the same as its image.

use crate::common;
use crate::common::forged::Opened;
use ntmem::symbols::SymbolStore;
use ntmem::{MemoryImage, ReadOptions, Report, System, check_smss};
use ntmem_forge::variants::Impostor;
use ntmem_forge::{Build, Scenario};

fn assert_survives(name: &str, system: System) {
    let findings = check_smss(&system);
    let mut report = Report::new(system);
    report.checks.push(findings.clone());
    let saved = serde_json::to_string(&report).unwrap();
    let back: Report = serde_json::from_str(&saved).unwrap();
    for (before, after) in report.system.processes.items.iter().zip(&back.system.processes.items) {
        assert_eq!(after, before, "{name}");
    }
    assert_eq!(back.system, report.system, "{name}");
    assert_eq!(check_smss(&back.system), findings, "{name}");
    // And nothing of it is lost when it is saved again.
    report.checks.clear();
    assert_eq!(serde_json::to_value(&back).unwrap(), serde_json::to_value(&report).unwrap(), "{name}");
}

#[test]
fn samples() {
    let Some(material) = common::material("samples") else { return };
    let store = SymbolStore::new().directory(material.join("symbols"));
    for name in ["win7-7601-clean", "win10-19045-clean", "win11-26100-clean", "win10-19045-brontok-lojax"] {
        let image = MemoryImage::from_bytes(common::sample(&material, name)).unwrap();
        let kernel = image.locate_kernel(&store).unwrap();
        for scan in [false, true] {
            let options = ReadOptions { scan, ..ReadOptions::default() };
            assert_survives(name, System::read_with(&kernel, &options).unwrap());
        }
    }
}

#[test]
fn forged_machines() {
    for build in [Build::W7_7601, Build::W10_14393, Build::W10_19045, Build::W11_26100] {
        let clean = || Scenario::clean(build);
        for (name, scenario) in [
            ("clean", clean()),
            ("hollowed", clean().with_hollowed_smss()),
            ("impostor", clean().with_impostor(Impostor::All)),
            ("exited children", clean().with_exited_session_children().with_reused_ids()),
            ("ring", clean().with_parent_ring()),
            ("clock step", clean().with_clock_step(3600)),
            ("young child", clean().with_young_session_child()),
            ("torn list", clean().with_torn_flink(528).with_torn_blink(528)),
            ("unlinked", clean().with_unlinked(348)),
            ("PEB paged out", clean().with_peb(348, ntmem_forge::Paged::Out)),
        ] {
            assert_survives(&format!("{build:?} {name}"), Opened::new(&scenario.forge()).system());
        }
        if build >= Build::W10_14393 {
            assert_survives(&format!("{build:?} silo"), Opened::new(&clean().with_silo().forge()).system());
        }
    }
}
