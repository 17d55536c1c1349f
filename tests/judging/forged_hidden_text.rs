//! What the Session Manager's keys hold and registry editors do not show, and lines that are almost those of Windows.

use crate::common::forged::Opened;
use ntmem::checks::{Judgement, Severity};
use ntmem::{Findings, Verdict, check_smss};
use ntmem_forge::hive_plan::{Data, Value};
use ntmem_forge::{Build, Scenario};

use Severity::{Critical, High, Info, Low, Medium};

const BUILDS: [Build; 4] = [Build::W7_7601, Build::W10_17763, Build::W10_19045, Build::W11_26100];

fn judged(build: Build, change: impl FnOnce(&mut Scenario)) -> Findings {
    let mut scenario = Scenario::clean(build);
    change(&mut scenario);
    check_smss(&Opened::new(&scenario.forge()).system())
}

/// What the rule says, and that nothing else is said beside it.
fn assert_graded(what: &str, findings: &Findings, id: &str, worst: Option<Severity>) {
    let found: Vec<_> = findings.of(id).collect();
    assert_eq!(found.iter().filter_map(|outcome| outcome.severity).max(), worst, "{what}: {found:?}");
    let verdict = if worst > Some(Info) { Verdict::Violations } else { Verdict::Clean };
    assert_eq!(findings.verdict, verdict, "{what}");
    if worst.is_some() {
        assert!(found.iter().any(|outcome| !outcome.evidence.is_empty()), "{what}");
    }
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The text of a value of the plan.
fn text_of(scenario: &mut Scenario, path: &str, name: &str) -> String {
    let value = scenario.session_manager(path).values.iter().find(|value| value.name == name);
    match value.map(|value| &value.data) {
        Some(Data::Sz(text) | Data::ExpandSz(text)) => text.clone(),
        other => panic!("{path}\\{name}: {other:?}"),
    }
}

#[test]
fn names_that_go_on_behind_a_nul() {
    for build in BUILDS {
        for (path, name, id, worst) in [
            ("SubSystems", "Windows\0x", "SMR-02", High),
            ("SubSystems", "Required\0", "SMR-02", High),
            ("Environment", "ComSpec\0x", "SMR-16", High),
            ("KnownDLLs", "kernel32\0x", "SMR-14", High),
            ("DOS Devices", "NUL\0x", "SMR-17", High),
            ("", "BootExecute\0x", "SMR-18", Medium),
        ] {
            let findings = judged(build, |scenario| {
                scenario.session_manager(path).sz(name, "kernel32.dll");
            });
            assert_graded(&format!("{build:?} {path} {name:?}"), &findings, id, Some(worst));
        }
        let subkey = judged(build, |scenario| {
            scenario.session_manager("SubSystems\0x");
        });
        assert_graded(&format!("{build:?} a subkey"), &subkey, "SMR-18", Some(Medium));
    }
}

#[test]
fn texts_that_go_on_behind_a_nul() {
    for build in BUILDS {
        for (path, name, id, worst) in [
            ("SubSystems", "Windows", "SMR-02", Low),
            ("SubSystems", "Kmode", "SMR-02", Low),
            ("Environment", "ComSpec", "SMR-16", Low),
            // Installers write this one, at times with what else was in their buffer.
            ("Environment", "Path", "SMR-16", Info),
        ] {
            let with = |behind: &str| {
                judged(build, |scenario| {
                    let text = text_of(scenario, path, name);
                    let bytes = wide(&format!("{text}\0{behind}"));
                    scenario.session_manager(path).set(name, Data::Raw(2, bytes));
                })
            };
            assert_graded(&format!("{build:?} {name}"), &with(" ServerDll=evil,5\0"), id, Some(worst));
            assert_graded(&format!("{build:?} {name}, nothing behind"), &with("\0\0\0"), id, None);
        }
    }
}

#[test]
fn what_there_is_one_of_is_there_twice() {
    for build in BUILDS {
        let value = judged(build, |scenario| {
            let data = Data::MultiSz(vec!["Debug".into(), "Windows".into()]);
            scenario.session_manager("SubSystems").values.push(Value { name: "REQUIRED".into(), data });
        });
        assert_graded(&format!("{build:?} a value"), &value, "SMR-02", Some(High));
        let key = |path: &'static str, parent: &'static str| {
            judged(build, |scenario| {
                let second = scenario.session_manager(path).clone();
                let keys = &mut scenario.system_hive().root.at("ControlSet001\\Control").at(parent).keys;
                keys.push(second);
            })
        };
        let below = key("SubSystems", "Session Manager");
        assert_graded(&format!("{build:?} a key"), &below, "SMR-02", Some(High));
        let all = key("", "");
        assert_graded(&format!("{build:?} the Session Manager's key"), &all, "SMR-18", Some(High));
    }
}

#[test]
fn lines_of_boot_programs_in_another_form() {
    for build in BUILDS {
        for (line, worst) in [
            ("autocheck autochk *", None),
            ("autocheck autochk /k:C *", None),
            ("AUTOCHECK AUTOCHK *", None),
            ("debug autocheck autochk *", Some(Info)),
            ("async autocheck autochk *", Some(Info)),
            ("autocheck autochk.exe *", None),
            ("autocheck \"autochk\" *", Some(Info)),
            ("autocheck \\SystemRoot\\System32\\autochk.exe *", None),
            ("autocheck autochk.exe.exe *", Some(Critical)),
            ("autocheck autoconv.exe.exe *", Some(Critical)),
            ("debug evil", Some(High)),
        ] {
            let findings = judged(build, |scenario| {
                scenario.session_manager("").multi("BootExecute", &[line]);
            });
            assert_graded(&format!("{build:?} {line}"), &findings, "SMR-10", worst);
        }
        let blank = judged(build, |scenario| {
            scenario.session_manager("SubSystems").multi("Required", &["Debug", "Windows\t"]);
        });
        assert_graded(&format!("{build:?} a blank"), &blank, "SMR-01", Some(Medium));
    }
}

/// A key of which Windows 2000 took the names of files to delete.
#[test]
fn files_that_the_old_key_names() {
    for build in BUILDS {
        let naming = |file: Option<&'static str>| {
            judged(build, |scenario| {
                let key = scenario.session_manager("FileRenameOperations");
                if let Some(file) = file {
                    key.multi("1", &[file]);
                }
            })
        };
        for (file, worst) in [
            (None, None),
            (Some("\\??\\C:\\Windows\\System32\\ntdll.dll"), Some(High)),
            (Some("\\??\\C:\\Windows\\System32\\drivers\\WdFilter.sys"), Some(High)),
            (Some("\\??\\C:\\Config.Msi\\1.rbf"), Some(Low)),
        ] {
            let findings = naming(file);
            let found: Vec<_> = findings.of("SMR-13").collect();
            assert_eq!(
                found.iter().filter_map(|outcome| outcome.severity).max(),
                worst,
                "{build:?} {file:?}: {found:?}"
            );
            if file.is_none() {
                assert_eq!(found[0].outcome, Judgement::Pass, "{build:?}");
            }
        }
    }
}
