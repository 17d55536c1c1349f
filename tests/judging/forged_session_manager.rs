//! What the checks say of the Session Manager's keys in forged images of every build.

use crate::common::forged::Opened;
use ntmem::checks::{Judgement, Severity};
use ntmem::{Findings, Outcome, Verdict, check_smss};
use ntmem_forge::hive_plan::{HiveDamage, Key};
use ntmem_forge::{Build, Paged, Scenario};

const SESSION_MANAGER: &str = r"ControlSet001\Control\Session Manager";

fn findings(scenario: &Scenario) -> Findings {
    check_smss(&Opened::new(&scenario.forge()).system())
}

fn outcome<'a>(findings: &'a Findings, id: &'a str) -> &'a Outcome {
    findings.of(id).next().unwrap_or_else(|| panic!("no {id}"))
}

#[test]
fn clean_registries_pass_every_rule() {
    for build in Build::ALL {
        let findings = findings(&Scenario::clean(build));
        for found in findings.outcomes.iter().filter(|outcome| outcome.id.starts_with("SMR-")) {
            assert_eq!(found.outcome, Judgement::Pass, "{build:?}: {found}");
        }
        assert!(findings.of("SMR-05").count() >= 2, "{build:?}");
    }
}

type Change = fn(&mut Key);

#[test]
fn one_thing_wrong_is_found_where_it_lies() {
    let cases: [(&str, &str, &str, Severity, Change); 6] = [
        ("SMR-01", "SubSystems", "Required", Severity::Critical, |key| {
            key.multi("Required", &["Debug", "Windows", "Foo"]).expand("Foo", r"%SystemRoot%\foo.exe");
        }),
        ("SMR-10", "", "BootExecute", Severity::Critical, |key| {
            key.multi("BootExecute", &["autocheck autochk *", "autocheck autoche *"]);
        }),
        ("SMR-10", "", "BootExecute", Severity::High, |key| {
            key.multi("BootExecute", &["autocheck autochk *", "evil"]);
        }),
        ("SMR-12", "", "S0InitialCommand", Severity::High, |key| {
            key.sz("S0InitialCommand", "evil.exe");
        }),
        ("SMR-14", "KnownDLLs", "DllDirectory", Severity::High, |key| {
            key.expand("DllDirectory", r"C:\Users\Public");
        }),
        ("SMR-15", "AppCertDlls", "x", Severity::High, |key| {
            key.sz("x", r"C:\x.dll");
        }),
    ];
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        for (id, path, value, severity, change) in &cases {
            let mut scenario = Scenario::clean(build);
            change(scenario.session_manager(path));
            let findings = findings(&scenario);
            let found = outcome(&findings, id);
            assert_eq!((found.outcome, found.severity), (Judgement::Violation, Some(*severity)), "{build:?}: {found}");
            let evidence = found.evidence.iter().find(|evidence| evidence.field.ends_with(&format!("\\{value}")));
            let evidence = evidence.unwrap_or_else(|| panic!("{build:?}: {id}: {:?}", found.evidence));
            let below = if path.is_empty() { String::new() } else { format!("\\{path}") };
            assert_eq!(
                evidence.key.as_deref(),
                Some(format!(r"\REGISTRY\MACHINE\SYSTEM\{SESSION_MANAGER}{below}").as_str())
            );
            assert!(evidence.r#virtual.is_some() && evidence.physical.is_some(), "{evidence:?}");
        }
    }
}

/// A profiler of .NET that the environment names by its class is looked up in the SOFTWARE hive.
#[test]
fn a_profiler_by_its_class() {
    const CLASS: &str = "{846F5F1C-F9AE-4B07-969E-05C26BC060D8}";
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let judged = |below: &str, file: Option<&str>| {
            let mut scenario = Scenario::clean(build);
            scenario.session_manager("Environment").sz("COR_ENABLE_PROFILING", "1").sz("COR_PROFILER", CLASS);
            let software =
                &mut scenario.hives.iter_mut().find(|hive| hive.root_path.ends_with("SOFTWARE")).unwrap().root;
            let classes = software.at(below);
            classes.at("{00000000-0000-0000-0000-000000000001}");
            if let Some(file) = file {
                classes
                    .at(&format!("{}\\InprocServer32", CLASS.to_lowercase()))
                    .expand("", file)
                    .sz("ThreadingModel", "Both");
            }
            let findings = findings(&scenario);
            let found = outcome(&findings, "SMR-16");
            (found.severity, found.to_string())
        };
        let (native, other) = (r"Classes\CLSID", r"Classes\WOW6432Node\CLSID");
        let (severity, _) = judged(native, Some(r"C:\Program Files\Datadog\.NET Tracer\win-x64\Profiler.dll"));
        assert_eq!(severity, Some(Severity::Info), "{build:?}");
        assert_eq!(judged(native, Some(r"%ProgramFiles%\Vendor\Profiler.dll")).0, Some(Severity::Info), "{build:?}");
        assert_eq!(judged(native, Some(r"C:\Users\Public\p.dll")).0, Some(Severity::High), "{build:?}");
        assert_eq!(judged(other, Some(r"C:\ProgramData\p.dll")).0, Some(Severity::High), "{build:?}");
        assert_eq!(judged(native, None).0, Some(Severity::Medium), "{build:?}");
    }
}

/// Debuggers and verifiers of one path (`UseFilter`, with a subkey for each) are read from the SOFTWARE hive.
#[test]
fn image_file_execution_options_with_filters() {
    const OPTIONS: &str = r"Microsoft\Windows NT\CurrentVersion\Image File Execution Options";
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let judged = |program: &str, change: &dyn Fn(&mut Key)| {
            let mut scenario = Scenario::clean(build);
            let software =
                &mut scenario.hives.iter_mut().find(|hive| hive.root_path.ends_with("SOFTWARE")).unwrap().root;
            change(software.at(&format!("{OPTIONS}\\{program}")));
            let findings = findings(&scenario);
            let found = outcome(&findings, "SMR-12");
            (found.outcome, found.severity)
        };
        let debugger = |used: u32| {
            move |key: &mut Key| {
                key.dword("UseFilter", used);
                key.at("0").sz("FilterFullPath", r"C:\Windows\System32\winlogon.exe").sz("Debugger", "evil.exe");
            }
        };
        let high = (Judgement::Violation, Some(Severity::High));
        assert_eq!(judged("winlogon.exe", &debugger(1)), high, "{build:?}");
        assert_eq!(judged("winlogon.exe", &debugger(0)).0, Judgement::Pass, "{build:?}: filters are off");
        let verifier = |flag: u32| {
            move |key: &mut Key| {
                key.sz("VerifierDlls", "evil.dll").dword("GlobalFlag", flag);
            }
        };
        let medium = (Judgement::Violation, Some(Severity::Medium));
        assert_eq!(judged("smss.exe", &verifier(0x100)), medium, "{build:?}");
        assert_eq!(judged("smss.exe", &verifier(0)).0, Judgement::Pass, "{build:?}: the verifier is off");
        let filtered = |key: &mut Key| {
            key.dword("UseFilter", 1);
            verifier(0x100)(key.at("0"));
        };
        assert_eq!(judged("csrss.exe", &filtered), medium, "{build:?}");
        assert_eq!(judged("notepad.exe", &verifier(0x100)).0, Judgement::Pass, "{build:?}: no program of the start");
    }
}

/// The other control set's evil is nobody's.
#[test]
fn only_the_control_set_in_use_is_judged() {
    let findings = findings(&Scenario::clean(Build::W10_19045).with_second_control_set());
    assert_eq!(outcome(&findings, "SMR-10").outcome, Judgement::Pass);
    assert_eq!(outcome(&findings, "SMR-00").outcome, Judgement::Pass);
    assert!(outcome(&findings, "SMR-00").reason.as_deref().unwrap().contains("ControlSet002"));
}

#[test]
fn what_is_paged_out_is_unknown() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let data = HiveDamage::DataPage {
            key: format!(r"{SESSION_MANAGER}\SubSystems"),
            value: "Windows".into(),
            state: Paged::Out,
        };
        let found = findings(&Scenario::clean(build).with_hive_damage(data));
        for id in ["SMR-03", "SMR-04", "SMR-05"] {
            assert_eq!(outcome(&found, id).outcome, Judgement::Unknown, "{build:?}: {}", outcome(&found, id));
        }
        assert_eq!(outcome(&found, "SMR-10").outcome, Judgement::Pass);
        assert_eq!(found.verdict, Verdict::Inconclusive);
        let key = HiveDamage::KeyPage { key: SESSION_MANAGER.into(), state: Paged::Out };
        let found = findings(&Scenario::clean(build).with_hive_damage(key));
        for id in ["SMR-01", "SMR-10", "SMR-11", "SMR-13", "SMR-15"] {
            assert_eq!(outcome(&found, id).outcome, Judgement::Unknown, "{build:?}: {}", outcome(&found, id));
        }
        assert_eq!(found.verdict, Verdict::Inconclusive);
    }
}
