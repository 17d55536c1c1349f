//! Every rule about the Session Manager's keys: as it should be, with one thing wrong, with one thing missing.

use super::{at, gone, machine, outcome, process, text};
use crate::checks::Judgement::{Pass, Unknown, Violation};
use crate::checks::{Confidence, Findings, Severity, Verdict};
use crate::location::Location;
use crate::registry::{ControlSet, KeyRecord, RegistryData, RegistryValue, SessionManagerKeys, ValueType};
use crate::{Absent, PhysicalAddress, Process, Reading, System, VirtualAddress, check_smss};
use std::collections::BTreeMap;

const CONTROL: &str = r"\REGISTRY\MACHINE\SYSTEM\ControlSet001\Control";
/// `SubSystems\Windows` of Windows 8 and later (fact sheet 3.3).
pub(super) const WINDOWS: &str = r"%SystemRoot%\system32\csrss.exe ObjectDirectory=\Windows SharedSection=1024,20480,768 Windows=On SubSystemType=Windows ServerDll=basesrv,1 ServerDll=winsrv:UserServerDllInitialization,3 ServerDll=sxssrv,4 ProfileControl=Off MaxRequestThreads=16";

pub(super) fn sz(value: &str) -> RegistryData {
    RegistryData::Text(value.to_owned())
}

pub(super) fn multi(values: &[&str]) -> RegistryData {
    RegistryData::Texts(values.iter().map(|value| (*value).to_owned()).collect())
}

pub(super) fn dword(value: u32) -> RegistryData {
    RegistryData::Dword(value)
}

type Field = fn(&mut SessionManagerKeys) -> &mut Reading<KeyRecord>;

pub(super) const SESSION_MANAGER: Field = |keys| &mut keys.session_manager;
pub(super) const SUB_SYSTEMS: Field = |keys| &mut keys.sub_systems;
pub(super) const KNOWN_DLLS: Field = |keys| &mut keys.known_dlls;
pub(super) const APP_CERT_DLLS: Field = |keys| &mut keys.app_cert_dlls;
pub(super) const ENVIRONMENT: Field = |keys| &mut keys.environment;
pub(super) const DOS_DEVICES: Field = |keys| &mut keys.dos_devices;
pub(super) const SELECT: Field = |keys| &mut keys.select;

fn record(system: &mut System, key: Field) -> &mut KeyRecord {
    match key(&mut system.session_manager) {
        Reading::Value(record) => record,
        other => panic!("{other:?}"),
    }
}

fn values(record: &mut KeyRecord) -> &mut BTreeMap<String, RegistryValue> {
    match &mut record.values {
        Reading::Value(values) => values,
        other => panic!("{other:?}"),
    }
}

pub(super) fn set(system: &mut System, key: Field, name: &str, data: RegistryData) {
    let kind = match &data {
        RegistryData::Text(_) => ValueType::EXPAND_SZ,
        RegistryData::Texts(_) => ValueType::MULTI_SZ,
        RegistryData::Dword(_) => ValueType::DWORD,
        RegistryData::Qword(_) => ValueType::QWORD,
        RegistryData::Bytes(_) => ValueType::BINARY,
    };
    let location = Some(Location {
        structure: "_CM_KEY_VALUE".into(),
        field: "Signature".into(),
        r#virtual: Some(VirtualAddress(0x24d_5a00_2654)),
        physical: Some(PhysicalAddress(0x84_1654)),
        ..Location::default()
    });
    let value = RegistryValue { kind, data: Reading::Value(data), location, ..RegistryValue::default() };
    values(record(system, key)).insert(name.to_owned(), value);
}

pub(super) fn unset(system: &mut System, key: Field, name: &str) {
    assert!(values(record(system, key)).remove(name).is_some(), "{name}");
}

fn lose(system: &mut System, key: Field, name: &str) {
    set(system, key, name, sz(""));
    values(record(system, key)).get_mut(name).unwrap().data = gone();
}

/// The list of values was cut off.
fn cut(system: &mut System, key: Field) {
    record(system, key).values_missing.push(Absent::unreadable("0x24d5a003000: not present"));
}

fn key(path: &str) -> Reading<KeyRecord> {
    Reading::Value(KeyRecord {
        path: format!("{CONTROL}\\{path}"),
        values: Reading::Value(BTreeMap::new()),
        keys: Reading::Value(BTreeMap::new()),
        ..KeyRecord::default()
    })
}

/// The stock keys of Windows 10, as the fact sheet lists them (3.2 to 3.4).
pub(super) fn clean() -> System {
    let mut system = machine();
    system.session_manager = SessionManagerKeys {
        select: key(r"..\..\Select"),
        control_set: Reading::Value(ControlSet {
            number: 1,
            source: r"Select\Current".into(),
            ..ControlSet::default()
        }),
        linked: Reading::Value(1),
        next_start: Reading::Nothing,
        rivals: Vec::new(),
        control_sets: Reading::Value(vec![1]),
        session_manager: key("Session Manager"),
        sub_systems: key(r"Session Manager\SubSystems"),
        known_dlls: key(r"Session Manager\KnownDLLs"),
        app_cert_dlls: Reading::Nothing,
        environment: key(r"Session Manager\Environment"),
        dos_devices: key(r"Session Manager\DOS Devices"),
        file_rename_operations: Reading::Nothing,
        memory_management: key(r"Session Manager\Memory Management"),
        mini_nt: Reading::Nothing,
        safe_boot_option: Reading::Nothing,
        setup: key(r"..\..\Setup"),
        image_file_execution_options: key("Image File Execution Options"),
        silent_process_exit: Reading::Nothing,
        profiler_classes: Reading::Absent(crate::Absent::not_applicable("no profiler is named")),
        profiler_classes_32: Reading::Absent(crate::Absent::not_applicable("no profiler is named")),
    };
    let all: [(Field, &str, RegistryData); 27] = [
        (SELECT, "Current", dword(1)),
        (SELECT, "Default", dword(1)),
        (SELECT, "Failed", dword(0)),
        (SESSION_MANAGER, "BootExecute", multi(&["autocheck autochk *"])),
        (SESSION_MANAGER, "SETUPEXECUTE", multi(&[])),
        (SESSION_MANAGER, "ExcludeFromKnownDlls", multi(&[])),
        (SESSION_MANAGER, "ObjectDirectories", multi(&[r"\Windows", r"\RPC Control"])),
        (SESSION_MANAGER, "NumberOfInitialSessions", dword(2)),
        (SESSION_MANAGER, "ProtectionMode", dword(1)),
        (SESSION_MANAGER, "GlobalFlag", dword(0)),
        (SUB_SYSTEMS, "Debug", sz("")),
        (SUB_SYSTEMS, "Kmode", sz(r"\SystemRoot\System32\win32k.sys")),
        (SUB_SYSTEMS, "Optional", multi(&["Posix"])),
        (SUB_SYSTEMS, "Posix", sz(r"%SystemRoot%\system32\psxss.exe")),
        (SUB_SYSTEMS, "Required", multi(&["Debug", "Windows"])),
        (SUB_SYSTEMS, "Windows", sz(WINDOWS)),
        (KNOWN_DLLS, "DllDirectory", sz(r"%SystemRoot%\system32")),
        (KNOWN_DLLS, "DllDirectory32", sz(r"%SystemRoot%\syswow64")),
        (KNOWN_DLLS, "kernel32", sz("kernel32.dll")),
        (KNOWN_DLLS, "PSAPI", sz("PSAPI.DLL")),
        (KNOWN_DLLS, "_Wow64", sz("Wow64.dll")),
        (ENVIRONMENT, "ComSpec", sz(r"%SystemRoot%\system32\cmd.exe")),
        (ENVIRONMENT, "Path", sz(r"%SystemRoot%\system32;%SystemRoot%;%SYSTEMROOT%\System32\WindowsPowerShell\v1.0\")),
        (ENVIRONMENT, "windir", sz("%SystemRoot%")),
        (DOS_DEVICES, "PIPE", sz(r"\Device\NamedPipe")),
        (DOS_DEVICES, "AUX", sz(r"\DosDevices\COM1")),
        (|keys| &mut keys.memory_management, "PagingFiles", multi(&[r"?:\pagefile.sys"])),
    ];
    for (key, name, data) in all {
        set(&mut system, key, name, data);
    }
    for name in ["advapi32", "clbcatq", "combase", "COMDLG32", "gdi32", "IMM32", "MSCTF", "ole32", "rpcrt4", "user32"] {
        set(&mut system, KNOWN_DLLS, name, sz(&format!("{name}.dll")));
    }
    for pid in [452, 536] {
        crate::checks::tests::find(&mut system, pid).command_line = text(WINDOWS);
    }
    system
}

pub(super) fn with(change: impl FnOnce(&mut System)) -> Findings {
    let mut system = clean();
    change(&mut system);
    check_smss(&system)
}

fn options(program: &str, debugger: Reading<RegistryData>) -> BTreeMap<String, KeyRecord> {
    let value = RegistryValue { kind: ValueType::SZ, data: debugger, ..RegistryValue::default() };
    let Reading::Value(mut key) = key(program) else { unreachable!() };
    values(&mut key).insert("Debugger".into(), value);
    [(program.to_owned(), key)].into()
}

type Change = fn(&mut System);

/// Rule, process of the violation, its severity, the change that brings it about, the change that hides what the rule needs.
const CASES: &[(&str, Option<u64>, Severity, Change, Change)] = &[
    (
        "SMR-00",
        None,
        Severity::Info,
        |s| set(s, SELECT, "Default", dword(2)),
        |s| s.session_manager.control_set = gone(),
    ),
    (
        "SMR-01",
        None,
        Severity::High,
        |s| set(s, SUB_SYSTEMS, "Required", multi(&["Debug", "Windows", "Foo"])),
        |s| lose(s, SUB_SYSTEMS, "Required"),
    ),
    ("SMR-02", None, Severity::Medium, |s| set(s, SUB_SYSTEMS, "Foo", sz("x.exe")), |s| cut(s, SUB_SYSTEMS)),
    (
        "SMR-03",
        None,
        Severity::Critical,
        |s| set(s, SUB_SYSTEMS, "Windows", sz(&WINDOWS.replace(r"%SystemRoot%\system32", r"C:\Temp"))),
        |s| lose(s, SUB_SYSTEMS, "Windows"),
    ),
    (
        "SMR-04",
        None,
        Severity::Critical,
        |s| set(s, SUB_SYSTEMS, "Windows", sz(&format!("{WINDOWS} ServerDll=evil,5"))),
        |s| s.session_manager.sub_systems = gone(),
    ),
    (
        "SMR-05",
        Some(452),
        Severity::High,
        |s| crate::checks::tests::find(s, 452).command_line = text(&format!("{WINDOWS} ServerDll=evil,5")),
        |s| crate::checks::tests::find(s, 452).command_line = gone(),
    ),
    (
        "SMR-06",
        None,
        Severity::Medium,
        |s| set(s, SUB_SYSTEMS, "Posix", sz(r"%SystemRoot%\Temp\psxss.exe")),
        |s| lose(s, SUB_SYSTEMS, "Posix"),
    ),
    (
        "SMR-07",
        None,
        Severity::High,
        |s| set(s, SUB_SYSTEMS, "Kmode", sz(r"\SystemRoot\System32\win32x.sys")),
        |s| lose(s, SUB_SYSTEMS, "Kmode"),
    ),
    (
        "SMR-08",
        None,
        Severity::Low,
        |s| set(s, SUB_SYSTEMS, "Debug", sz("ntsd.exe")),
        |s| lose(s, SUB_SYSTEMS, "Debug"),
    ),
    (
        "SMR-10",
        None,
        Severity::Critical,
        |s| set(s, SESSION_MANAGER, "BootExecute", multi(&["autocheck autoche *"])),
        |s| lose(s, SESSION_MANAGER, "BootExecute"),
    ),
    (
        "SMR-11",
        None,
        Severity::High,
        |s| set(s, SESSION_MANAGER, "BootExecuteNoPnpSync", multi(&["evil"])),
        |s| cut(s, SESSION_MANAGER),
    ),
    (
        "SMR-12",
        None,
        Severity::High,
        |s| set(s, SESSION_MANAGER, "S0InitialCommand", sz("evil.exe")),
        |s| s.session_manager.image_file_execution_options = gone(),
    ),
    (
        "SMR-13",
        None,
        Severity::High,
        |s| {
            let texts = multi(&[r"\??\C:\Program Files\Windows Defender\MsMpEng.exe", ""]);
            set(s, SESSION_MANAGER, "PendingFileRenameOperations", texts);
        },
        |s| lose(s, SESSION_MANAGER, "PendingFileRenameOperations"),
    ),
    (
        "SMR-14",
        None,
        Severity::High,
        |s| set(s, KNOWN_DLLS, "DllDirectory", sz(r"C:\Users\Public")),
        |s| lose(s, KNOWN_DLLS, "DllDirectory"),
    ),
    (
        "SMR-15",
        None,
        Severity::High,
        |s| {
            s.session_manager.app_cert_dlls = key(r"Session Manager\AppCertDlls");
            set(s, APP_CERT_DLLS, "x", sz(r"C:\x.dll"));
        },
        |s| s.session_manager.app_cert_dlls = gone(),
    ),
    (
        "SMR-16",
        None,
        Severity::High,
        |s| set(s, ENVIRONMENT, "ComSpec", sz(r"C:\Temp\cmd.exe")),
        |s| lose(s, ENVIRONMENT, "ComSpec"),
    ),
    (
        "SMR-17",
        None,
        Severity::Medium,
        |s| set(s, DOS_DEVICES, "C:", sz(r"\Device\HarddiskVolume9\evil")),
        |s| s.session_manager.dos_devices = gone(),
    ),
    (
        "SMR-18",
        None,
        Severity::Medium,
        |s| set(s, SESSION_MANAGER, "ProtectionMode", dword(0)),
        |s| lose(s, SESSION_MANAGER, "ProtectionMode"),
    ),
];

#[test]
fn right_wrong_and_missing() {
    let clean = with(|_| {});
    assert_eq!(clean.verdict, Verdict::Clean, "{:#?}", clean.unknown().map(ToString::to_string).collect::<Vec<_>>());
    for (id, pid, severity, violate, spoil) in CASES {
        assert_eq!(outcome(&clean, id, *pid).outcome, Pass, "{}", outcome(&clean, id, *pid));
        let violated = with(violate);
        let after = outcome(&violated, id, *pid);
        assert_eq!((after.outcome, after.severity), (Violation, Some(*severity)), "{after}");
        assert_eq!(violated.verdict == Verdict::Violations, *severity > Severity::Info, "{id}");
        assert!(after.observed.is_some() && after.expected.is_some(), "{after}");
        let evidence = after.evidence.iter().find(|evidence| evidence.key.is_some());
        assert!(evidence.is_some_and(|evidence| evidence.key.as_deref().unwrap().starts_with("\\REGISTRY")), "{id}");
        let spoilt = with(spoil);
        let unknown = outcome(&spoilt, id, *pid);
        assert_eq!(unknown.outcome, Unknown, "{unknown}");
        let reason = unknown.reason.as_deref().unwrap();
        assert!(reason.starts_with(&format!("Not evaluated: {id} needs ")), "{reason}");
        assert!(reason.contains("0xfffff80000001000: not present") || reason.contains("0x24d5a003000"), "{reason}");
    }
    let ids: Vec<&str> = CASES.iter().map(|case| case.0).collect();
    let all = crate::checks::rules().filter(|rule| rule.id.starts_with("SMR-"));
    assert_eq!(all.map(|rule| rule.id).collect::<Vec<_>>(), ids);
}

#[test]
fn evidence_tells_key_value_and_place() {
    let findings = with(|s| set(s, SUB_SYSTEMS, "Required", multi(&["Debug", "Windows", "Foo"])));
    let found = &outcome(&findings, "SMR-01", None).evidence[0];
    assert_eq!(found.key.as_deref(), Some(format!(r"{CONTROL}\Session Manager\SubSystems").as_str()));
    assert_eq!((found.structure.as_str(), found.field.as_str()), ("_CM_KEY_VALUE", r"SubSystems\Required"));
    assert_eq!(found.r#virtual, Some(VirtualAddress(0x24d_5a00_2654)));
    assert_eq!(found.physical, Some(PhysicalAddress(0x84_1654)));
    assert_eq!(found.value.as_deref(), Some("Debug | Windows | Foo"));
    let mut report = crate::Report::new(crate::System::default());
    report.checks.push(findings.clone());
    let picture = crate::Picture::new(&report.system);
    let written = crate::report::findings(&report, &picture, crate::report::FindingsOptions::default());
    let written = written.text(&crate::report::TextStyle::default());
    let joined = written.split_whitespace().collect::<Vec<_>>().join(" ");
    let place = r"at HKLM\SYSTEM\ControlSet001\Control\Session Manager\SubSystems Required, _CM_KEY_VALUE virtual 0x0000024d5a002654 physical 0x0000000000841654";
    assert!(joined.contains(place), "{written}");
}

#[test]
fn without_a_control_set_nothing_is_known() {
    let all_unknown = |findings: &Findings, words: &str| {
        for found in findings.outcomes.iter().filter(|outcome| outcome.id.starts_with("SMR-")) {
            assert_eq!(found.outcome, Unknown, "{found}");
            assert!(found.reason.as_deref().unwrap().contains(words), "{found}");
        }
    };
    all_unknown(
        &with(|s| s.session_manager = SessionManagerKeys::default()),
        "needs the registry, which was not collected",
    );
    let unresolved = with(|s| {
        let keys = &mut s.session_manager;
        keys.control_set = Reading::Absent(Absent::unreadable("SYSTEM\\Select: page"));
        let why = || Reading::Absent(Absent::unreadable("which control set is in use is not known"));
        (keys.session_manager, keys.sub_systems, keys.known_dlls) = (why(), why(), why());
        (keys.environment, keys.dos_devices, keys.app_cert_dlls) = (why(), why(), why());
    });
    all_unknown(&unresolved, "needs the control set in use");
    // It names one that is not there.
    let dangling = with(|s| s.session_manager.control_sets = Reading::Value(vec![2, 3]));
    all_unknown(&dangling, "ControlSet001, which does not exist");
    assert_eq!(dangling.verdict, Verdict::Inconclusive);
}

#[test]
fn an_assumed_control_set_is_less_sure() {
    let findings = with(|s| {
        s.session_manager.select = gone();
        let assumed =
            ControlSet { number: 1, assumed: true, source: "the only one there is".into(), ..ControlSet::default() };
        s.session_manager.control_set = Reading::Value(assumed);
    });
    assert_eq!(outcome(&findings, "SMR-00", None).outcome, Unknown);
    let found = outcome(&findings, "SMR-10", None);
    assert_eq!((found.outcome, found.confidence), (Pass, Some(Confidence::Medium)));
    assert_eq!(findings.verdict, Verdict::Clean);
}

#[test]
fn what_counts_is_told_although_something_is_unknown() {
    let findings = with(|s| {
        set(s, SESSION_MANAGER, "Execute", multi(&["evil"]));
        s.session_manager.image_file_execution_options = gone();
    });
    assert_eq!(outcome(&findings, "SMR-12", None).outcome, Violation);
    // What is only worth knowing does not hide that the rest could not be read.
    let findings = with(|s| {
        set(s, SUB_SYSTEMS, "Os2", sz(r"%SystemRoot%\system32\os2ss.exe"));
        lose(s, SUB_SYSTEMS, "Optional");
    });
    assert_eq!(outcome(&findings, "SMR-06", None).outcome, Unknown);
}

#[test]
fn written_after_the_boot_is_a_level_worse() {
    let at_second = |second: u64| {
        let findings = with(|s| {
            set(s, SUB_SYSTEMS, "Debug", sz("x"));
            record(s, SUB_SYSTEMS).last_written = at(second);
        });
        outcome(&findings, "SMR-08", None).severity
    };
    // System started at second 16.
    assert_eq!(at_second(0), Some(Severity::Low));
    assert_eq!(at_second(17), Some(Severity::Low), "smss.exe writes at every boot");
    assert_eq!(at_second(3600), Some(Severity::Medium));
    // Alone it is nothing.
    assert_eq!(with(|s| record(s, SUB_SYSTEMS).last_written = at(3600)).verdict, Verdict::Clean);
}

#[test]
fn debuggers_of_core_programs() {
    let debugged = |program: &str, debugger| {
        let findings = with(|s| {
            let Reading::Value(key) = &mut s.session_manager.image_file_execution_options else { unreachable!() };
            key.keys = Reading::Value(options(program, debugger));
        });
        let found = outcome(&findings, "SMR-12", None).clone();
        (found.outcome, found.evidence.iter().map(|evidence| evidence.field.clone()).collect::<Vec<_>>())
    };
    let (found, fields) = debugged("WinLogon.exe", Reading::Value(sz("cmd.exe")));
    assert_eq!(found, Violation);
    assert_eq!(fields, [r"Image File Execution Options\WinLogon.exe\Debugger"]);
    assert_eq!(debugged("winlogon.exe", Reading::Value(sz(""))).0, Pass);
    assert_eq!(debugged("winlogon.exe", gone()).0, Unknown);
}

#[test]
fn every_running_csrss_is_compared() {
    let findings = with(|s| {
        let other = process(900, 444, "csrss.exe", Some(2), 300);
        s.processes.items.push(Process { command_line: text("csrss.exe"), ..other });
        let over =
            Process { exited: at(400), threads: Reading::Value(0), ..process(904, 444, "csrss.exe", Some(3), 300) };
        s.processes.items.push(over);
    });
    let pids: Vec<_> = findings.of("SMR-05").map(|outcome| (outcome.pid, outcome.outcome)).collect();
    assert_eq!(pids, [(Some(452), Pass), (Some(536), Pass), (Some(900), Violation)]);
    let nobody = with(|s| s.processes.items.retain(|process| !process.is_named("csrss.exe")));
    assert_eq!(outcome(&nobody, "SMR-05", None).outcome, Unknown);
}
