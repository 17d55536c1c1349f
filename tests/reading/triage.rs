//! Triage dumps: what they say, and layouts that are held against them.
#![allow(clippy::cast_possible_truncation)]

use ntmem::kernel::{CrashFacts, FieldResult, SelfTest, TriageDump};
use ntmem::report::CrashDocument;
use ntmem::symbols::SymbolStore;
use ntmem_forge::{Build, DebuggerData, Driver, Forged, Layout, Scenario};
use std::path::Path;

const DRIVERS: [Driver; 2] = [
    Driver { name: "ntoskrnl.exe", base: 0xffff_f802_6b60_0000, size: 0x104_6000, stamp: 0x1234_5678 },
    Driver { name: "Контроль.sys", base: 0xffff_f802_7000_0000, size: 0x8000, stamp: 0x5f00_0001 },
];
const UNLOADED: [Driver; 1] = [Driver { name: "dump_x.sys", base: 0xffff_f802_7100_0000, size: 0xe000, stamp: 0 }];
const BUILDS: [Build; 6] =
    [Build::W7_7601, Build::W81_9600, Build::W10_17763, Build::W10_19045, Build::W11_22000, Build::W11_26100];
/// System, and a process of a user.
const SYSTEM: u64 = 4;

fn forged(build: Build) -> (Layout, Forged) {
    let mut scenario = Scenario::clean(build);
    scenario.kernel.debugger = DebuggerData::Clear;
    (Layout::of(build), scenario.forge())
}

fn opened(folder: &Path, bytes: &[u8]) -> Option<TriageDump> {
    let path = folder.join("010126-1-01.dmp");
    std::fs::write(&path, bytes).unwrap();
    TriageDump::open(&path).unwrap()
}

fn processes(forged: &Forged) -> Vec<u64> {
    let explorer = forged.truth.processes.iter().find(|process| process.name == b"explorer.exe").unwrap();
    vec![SYSTEM, 348, explorer.pid]
}

#[test]
fn a_crash_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for build in BUILDS {
        let (layout, forged) = forged(build);
        for pid in processes(&forged) {
            let what = format!("{build:?}, pid {pid}");
            let bytes = forged.as_triage_dump(&layout, pid, &DRIVERS, &UNLOADED);
            let dump = opened(folder.path(), &bytes).expect("a triage dump");
            let truth = forged.truth.process(pid).unwrap();
            let facts: CrashFacts = dump.facts();
            assert_eq!((facts.machine.as_str(), facts.stop_code.0), ("x64", 0xe2), "{what}");
            assert_eq!(facts.build, forged.truth.build, "{what}");
            assert_eq!(facts.captured.unwrap().0, forged.truth.captured.0, "{what}");
            assert_eq!(facts.boot.unwrap().0, forged.truth.boot.0, "{what}");
            assert_eq!(facts.dtb.unwrap().0, truth.dtb & !0xfff, "{what}");
            assert_eq!(facts.process.unwrap().0, truth.eprocess, "{what}");
            assert_eq!(facts.kernel_base.unwrap().0, forged.truth.kernel_base, "{what}");
            assert_eq!(facts.lab.as_deref(), Some(layout.lab.as_str()), "{what}");
            let named: Vec<(&str, u64, u64, u64)> = facts
                .drivers
                .iter()
                .map(|driver| (driver.name.as_str(), driver.base.0, driver.size, driver.stamp.unwrap().0))
                .collect();
            let expected = DRIVERS.map(|driver| (driver.name, driver.base, driver.size.into(), driver.stamp.into()));
            assert_eq!(named, expected, "{what}");
            let gone: Vec<(&str, u64, u64)> =
                facts.unloaded.iter().map(|driver| (driver.name.as_str(), driver.base.0, driver.size)).collect();
            assert_eq!(gone, UNLOADED.map(|driver| (driver.name, driver.base, u64::from(driver.size))), "{what}");

            // The built-in layouts of the build: nothing is contradicted, and they read the process.
            let test = SelfTest::run(&dump, &SymbolStore::new()).unwrap().expect("layouts of this build");
            let wrong: Vec<_> = test.checks.iter().filter(|check| check.result == FieldResult::Contradicted).collect();
            assert!(wrong.is_empty(), "{what}: {wrong:?}");
            assert!(test.count(FieldResult::Consistent) >= 20, "{what}: {:?}", test.checks);
            let objects = &test.objects;
            assert_eq!(objects.pid, Some(pid), "{what}");
            assert_eq!(objects.ppid, Some(truth.ppid), "{what}");
            assert_eq!(
                objects.name.as_deref().map(str::as_bytes),
                Some(&truth.name[..truth.name.len().min(14)]),
                "{what}"
            );
            assert_eq!(objects.created.map(|time| time.0), Some(truth.created.0), "{what}");
            assert_eq!(objects.owner, Some(pid), "{what}");
            assert_eq!(objects.peb.map(|at| at.0), truth.peb, "{what}");
            assert!(objects.tid.is_some_and(|tid| tid.is_multiple_of(4)) && objects.start.is_some(), "{what}");
            assert_eq!(objects.contradicted, 0, "{what}");

            let document = serde_json::to_value(CrashDocument::new(&dump, Some(objects.clone()))).unwrap();
            assert_eq!(document["crash"]["objects"]["pid"], pid, "{what}");
            // There is no memory in it to judge.
            let error = ntmem::MemoryImage::open(folder.path().join("010126-1-01.dmp")).unwrap_err().to_string();
            assert!(error.contains("triage"), "{error}");
        }
    }
}

/// Layouts of another kernel are contradicted, field by field.
#[test]
fn layouts_that_are_wrong_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (layout, forged) = forged(Build::W10_19045);
    let bytes = forged.as_triage_dump(&layout, 348, &DRIVERS, &UNLOADED);
    let dump = opened(folder.path(), &bytes).unwrap();
    for (kind, field) in [("_EPROCESS", "UniqueProcessId"), ("_EPROCESS", "Token"), ("_ETHREAD", "ThreadListEntry")] {
        let other = layout.clone().shifted(kind, layout.offset(kind, field), 8);
        let file = folder.path().join("other.json");
        std::fs::write(&file, Scenario::of(&other).forge().isf).unwrap();
        let test = SelfTest::run(&dump, &SymbolStore::new().file(&file)).unwrap().unwrap();
        assert!(test.count(FieldResult::Contradicted) > 0, "{kind}.{field}: {:?}", test.checks);
        assert!(test.objects.contradicted > 0, "{kind}.{field}");
    }
}

/// Cut off anywhere, or with any member of `TRIAGE_DUMP64` wild: less is told, and nothing else happens.
#[test]
fn damaged_dumps() {
    let folder = tempfile::tempdir().unwrap();
    let (layout, forged) = forged(Build::W10_19045);
    let bytes = forged.as_triage_dump(&layout, 348, &DRIVERS, &UNLOADED);
    let look = |bytes: &[u8]| {
        if let Some(dump) = opened(folder.path(), bytes) {
            let _ = (dump.facts(), SelfTest::run(&dump, &SymbolStore::new()).unwrap());
        }
    };
    (0..bytes.len()).step_by(1013).for_each(|end| look(&bytes[..end]));
    for member in (0x2000..0x2080).step_by(4) {
        for value in [0, 1, 0x2000, bytes.len() as u32 - 1, 0x7fff_ffff, u32::MAX] {
            let mut wild = bytes.clone();
            wild[member..member + 4].copy_from_slice(&value.to_le_bytes());
            look(&wild);
        }
    }
}
