//! The registry read as smss.exe reads it, and pending operations played to their end.

use super::outcome;
use super::registry::{DOS_DEVICES, ENVIRONMENT, SESSION_MANAGER, dword, multi, set, sz, with};
use crate::checks::Severity;
use crate::checks::Severity::{Critical, High, Info, Low, Medium};
use crate::registry::{KeyRecord, RegistryData, RegistryValue};
use crate::{Process, Reading, System};
use std::collections::BTreeMap;

fn severity(id: &str, change: impl FnOnce(&mut System)) -> Option<Severity> {
    outcome(&with(change), id, None).severity
}

fn boot(lines: &[&str]) -> Option<Severity> {
    severity("SMR-10", |s| set(s, SESSION_MANAGER, "BootExecute", multi(lines)))
}

#[test]
fn blanks_of_unicode_are_letters_of_a_name() {
    for close in [
        "autocheck\u{a0}autochk *",
        "autocheck autochk\u{3000}*",
        "autocheck\u{2003}autochk\u{2003}*",
        "autocheck auto\u{200b}chk *",
    ] {
        assert_eq!(boot(&[close]), Some(Critical), "{}", close.escape_unicode());
    }
    for other in ["\u{3000}", "\u{a0}", "\u{212a}"] {
        assert_eq!(boot(&["autocheck autochk *", other]), Some(High), "{}", other.escape_unicode());
    }
    let shown = with(|s| set(s, SESSION_MANAGER, "BootExecute", multi(&["autocheck\u{a0}autochk *"])));
    assert!(outcome(&shown, "SMR-10", None).observed.as_deref().is_some_and(|text| text.contains("\\u{a0}")));
    // Tabs and the like are blanks to smss.exe too.
    assert_eq!(boot(&["\tautocheck\tautochk\u{1} * "]), None);
}

#[test]
fn a_list_ends_at_its_first_empty_text() {
    assert_eq!(boot(&["autocheck autochk *", "", "evil"]), Some(Info));
    assert_eq!(boot(&["autocheck autochk *", "evil", ""]), Some(High));
    assert_eq!(boot(&["autocheck autochk *", " ", "evil"]), Some(High), "blank is not empty");
}

#[test]
fn programs_of_windows_that_do_harm() {
    assert_eq!(boot(&[r"autocheck autofmt \??\C: /fs:ntfs"]), Some(Medium));
    let setup = |line: &str| severity("SMR-11", |s| set(s, SESSION_MANAGER, "SetupExecute", multi(&[line])));
    assert_eq!(setup(r"poqexec.exe \??\C:\Users\Public\evil.xml"), Some(High));
    assert_eq!(setup(r"poqexec.exe /display_progress \SystemRoot\WinSxS\pending.xml"), Some(Info));
}

fn pending(texts: &[&str]) -> Option<Severity> {
    severity("SMR-13", |s| set(s, SESSION_MANAGER, "PendingFileRenameOperations", multi(texts)))
}

const WD: &str = r"\??\C:\Windows\System32\drivers\WdFilter.sys";

#[test]
fn a_guarded_place_that_is_left_empty() {
    let aside = r"\??\C:\Windows\System32\drivers\WdFilter.old";
    assert_eq!(pending(&[WD, aside]), Some(High), "put aside in its own folder, and nothing in its place");
    let new = r"\??\C:\Windows\System32\drivers\WdFilter.new";
    assert_eq!(pending(&[WD, aside, new, WD]), Some(Info), "the old one aside, the new one in its place");
    assert_eq!(pending(&[new, WD, WD, aside]), Some(High), "the new one is put aside at the end");
    assert_eq!(pending(&[WD, "", new, WD]), Some(Info));
    let folder = r"\??\C:\Program Files\CrowdStrike";
    assert_eq!(pending(&[folder, ""]), Some(High));
    assert_eq!(pending(&[folder, r"\??\C:\x"]), Some(High));
    assert_eq!(pending(&[folder, r"\??\C:\x", r"\??\C:\Program Files\new", folder]), Some(Info));
    assert_eq!(pending(&[r"\??\C:\Program Files\SomeApp", r"\??\C:\Program Files\SomeApp.old"]), Some(Info));
    assert_eq!(pending(&[r"\??\C:\Windows\System32\drivers", r"\??\C:\Windows\System32\x"]), Some(High));
    assert_eq!(pending(&[r"\??\C:\Windows\System32\ntdll.dll", r"\??\C:\Windows\System32\ntdll.bak"]), Some(High));
    // What an installer unpacked is not what runs.
    assert_eq!(pending(&[r"\??\C:\Users\a\AppData\Local\Temp\{1}\MsMpEng.exe", ""]), Some(Info));
    assert_eq!(pending(&[r"\??\C:\Windows\System32\drivers\vmci.sys", ""]), Some(Info));
}

#[test]
fn names_that_hide_a_place_are_understood() {
    for dirty in [
        &[r"\??\GLOBALROOT\Device\HarddiskVolume3\Windows\System32\ntdll.dll", ""][..],
        &[r"\??\GLOBALROOT\SystemRoot\System32\drivers\WdFilter.sys", ""],
        &[r"\??\C:\PROGRA~1\CROWDS~1\CSFALC~1.EXE", ""],
        &[r"\??\C:\PROGRA~1\CROWDS~1", ""],
        &[r"\??\C:\Windows\SysNative\ntdll.dll", ""],
        &[r"\??\C:\Users\Public\t.dll", r"!\??\GLOBALROOT\Device\HarddiskVolume3\Windows\System32\termsrv.dll"],
        &[r"\??\C:\Users\Public\t.dll", r"!\??\C:\Windows\SysNative\termsrv.dll"],
    ] {
        assert_eq!(pending(dirty), Some(High), "{dirty:?}");
    }
    for plain in [r"Windows\System32\ntdll.dll", r"Windows\System32\drivers\WdFilter.sys", r"Windows\System32\drivers"]
    {
        for start in [
            r"\??\C:\",
            r"\??\C:/",
            r"\\?\C:\",
            r"\??\Global\C:\",
            r"\??\Global\GLOBAL\C:\",
            r"\??\GLOBALROOT\GLOBAL??\C:\",
            r"\??\GLOBALROOT\??\GLOBALROOT\??\GLOBALROOT\??\GLOBALROOT\??\GLOBALROOT\??\GLOBALROOT\??\C:\",
            r"\Sessions\0\DosDevices\00000000-000003e7\C:\",
            r"\??\BootPartition\",
            r"\??\HarddiskVolume3\",
            r"\??\STORAGE#Volume#{0a}#0000000000100000#{53f5630d-b6bf-11d0-94f2-00a0c91efb8b}\",
            r"\??\GLOBALROOT\ArcName\multi(0)disk(0)rdisk(0)partition(3)\",
            r"\??\GLOBALROOT\Device\Harddisk0\Partition3\",
            r"\??\GLOBALROOT\Device\BootDevice\",
            r"\??\C:\Windows\Temp\..\..\",
            r"\??\C:\Users\.\..\",
            r"\??\UNC\localhost\C$\",
            r"\??\UNC\127.0.0.1\C$\",
            r"\??\UNC\DESKTOP-1\c$\",
            r"\??\GLOBALROOT\Device\Mup\localhost\C$\",
        ] {
            for end in ["", "::$DATA", ".", " ", ". .", ":x:$DATA"] {
                let name = format!("{start}{plain}{end}");
                assert_eq!(pending(&[&name, ""]), Some(High), "{name}");
                assert_eq!(pending(&[&name, r"\??\C:\x"]), Some(High), "{name}");
            }
            let user = r"\??\C:\Users\Public\t.dll";
            assert_eq!(pending(&[user, &format!(r"!{start}Windows\System32\termsrv.dll")]), Some(High), "{start}");
            // What is nobody's harm in the plain form is none in this.
            assert_eq!(pending(&[&format!(r"{start}Users\a\AppData\Local\Temp\x.tmp"), ""]), Some(Info), "{start}");
        }
    }
    // Of a share nobody knows where it lies, the name of the file is known.
    assert_eq!(pending(&[r"\??\UNC\localhost\sys\ntdll.dll", ""]), Some(High));
    assert_eq!(pending(&[r"\??\UNC\localhost\sys\notes.txt", ""]), Some(Info));
    assert_eq!(pending(&[r"\??\C:\Users\All Users\Microsoft\Windows Defender", r"\??\C:\x"]), Some(High));
    // A snapshot is no volume that this Windows runs from.
    for snapshot in [r"\??\GLOBALROOT\Device\HarddiskVolumeShadowCopy2", r"\??\HarddiskVolumeShadowCopy2"] {
        for file in [r"Windows\System32\ntdll.dll", r"Windows\System32\vendor.dll", r"Program Files\CrowdStrike\a.exe"]
        {
            assert_eq!(pending(&[&format!(r"{snapshot}\{file}"), ""]), Some(Info), "{file}");
        }
        let old = format!(r"{snapshot}\Windows\System32\ntdll.dll");
        assert_eq!(pending(&[&old, r"!\??\C:\Windows\System32\ntdll.dll"]), Some(High), "an old one from elsewhere");
    }
    assert!(pending(&[r"\??\C:\Windows\SYSTEM~1\ntdll.dll", ""]) >= Some(Low));
    assert_eq!(pending(&[r"\??\GLOBALROOT\Device\HarddiskVolume3\Users\a\x.tmp", ""]), Some(Info));
}

#[test]
fn an_old_version_of_a_product_that_runs_from_a_new_one() {
    let platform = r"ProgramData\Microsoft\Windows Defender\Platform";
    let delete = |version: &str| format!(r"\??\C:\{platform}\{version}\MsMpEng.exe");
    let running = |s: &mut System, deleted: &str| {
        let mut process = super::process(2400, 640, "MsMpEng.exe", Some(0), 30);
        process.path = super::text(&format!(r"\Device\HarddiskVolume3\{platform}\4.18.2\MsMpEng.exe"));
        super::add(s, process);
        set(s, SESSION_MANAGER, "PendingFileRenameOperations", multi(&[&delete(deleted), ""]));
    };
    assert_eq!(severity("SMR-13", |s| running(s, "4.18.1")), Some(Info));
    assert_eq!(severity("SMR-13", |s| running(s, "4.18.2")), Some(High), "the one that runs");
    assert_eq!(pending(&[&delete("4.18.1"), ""]), Some(High), "none runs");
    let copy = |s: &mut System| {
        running(s, "4.18.1");
        let last: &mut Process = s.processes.items.last_mut().unwrap();
        last.path = super::text(r"\Device\HarddiskVolume3\Users\a\MsMpEng.exe");
    };
    assert_eq!(severity("SMR-13", copy), Some(High), "anybody's program of that name proves nothing");
}

fn environment(name: &str, value: &str) -> Option<Severity> {
    severity("SMR-16", |s| set(s, ENVIRONMENT, name, sz(value)))
}

#[test]
fn variables_of_dot_net() {
    assert_eq!(environment("DOTNET_STARTUP_HOOKS", r"C:\Users\Public\hook.dll"), Some(High));
    assert_eq!(environment("DOTNET_STARTUP_HOOKS", r"C:\Program Files\Agent\hook.dll"), Some(Info));
    assert_eq!(environment("DOTNET_STARTUP_HOOKS", r"C:\Program Files\Agent\a.dll;C:\Temp\b.dll"), Some(High));
    assert_eq!(environment("DOTNET_STARTUP_HOOKS", "Hook"), Some(Medium));
    assert_eq!(environment("COMPlus_ETWEnabled", "0"), Some(Low));
    assert_eq!(environment("DOTNET_EtwEnabled", "0"), Some(Low));
    assert_eq!(environment("COMPlus_ETWEnabled", "1"), None);
    assert_eq!(environment("DOTNET_EnableDiagnostics", "0"), Some(Info));
    assert_eq!(environment("DOTNET_CLI_TELEMETRY_OPTOUT", "1"), None);
}

#[test]
fn drive_letters() {
    let device = |name: &str, target: &str| severity("SMR-17", |s| set(s, DOS_DEVICES, name, sz(target)));
    assert_eq!(device("P:", r"\??\G:\Dev\Projects"), Some(Info));
    assert_eq!(device("P:", r"\??\C:\Users\Public\x"), Some(Medium));
    assert_eq!(device("C:", r"\??\D:\x"), Some(Medium), "the system's own");
    for whole in [r"\??\D:\", r"\??\D:", r"\Device\HarddiskVolume5", r"\??\Volume{0a}\"] {
        assert_eq!(device("P:", whole), Some(Info), "another drive has its own letter too: {whole}");
    }
    assert_eq!(device("P:", r"\??\D:\..\Users\x"), Some(Medium));
    assert_eq!(device("P:", r"\??\UNC\localhost\C$\Users\x"), Some(Medium));
    assert_eq!(device("P:", "x"), Some(Medium), "nobody knows where that is");
}

#[test]
fn setup_excuses_by_one_value_alone_and_its_command_is_told() {
    let setup = |s: &mut System, values: &[(&str, RegistryData)]| {
        s.session_manager.setup = s.session_manager.select.clone();
        for (name, data) in values {
            set(s, |keys| &mut keys.setup, name, data.clone());
        }
        set(s, SESSION_MANAGER, "BootExecute", multi(&["autocheck autochk *", "edrkill"]));
    };
    let kind = [("SetupType", dword(2)), ("CmdLine", sz("cmd.exe /c x.bat"))];
    assert_eq!(severity("SMR-10", |s| setup(s, &kind)), Some(High));
    assert_eq!(severity("SMR-12", |s| setup(s, &kind)), Some(Info));
    let idle = with(|s| setup(s, &[("SetupType", dword(0)), ("CmdLine", sz("cmd.exe /c x.bat"))]));
    let shown = outcome(&idle, "SMR-12", None);
    assert_eq!(shown.severity, Some(Info));
    assert!(shown.observed.as_deref().is_some_and(|text| text.contains("cmd.exe /c x.bat")), "{:?}", shown.observed);
    assert_eq!(severity("SMR-12", |s| setup(s, &[("SetupType", dword(0)), ("CmdLine", sz(""))])), None);
    let in_progress = with(|s| setup(s, &[("SystemSetupInProgress", dword(1))]));
    let found = outcome(&in_progress, "SMR-10", None);
    assert_eq!(found.severity, Some(Medium));
    assert!(
        found.guard.as_deref().is_some_and(|guard| guard.contains("administrators can write")),
        "{:?}",
        found.guard
    );
}

fn option(values: &[(&str, RegistryData)]) -> KeyRecord {
    let value = |data: &RegistryData| RegistryValue { data: Reading::Value(data.clone()), ..RegistryValue::default() };
    let values: BTreeMap<_, _> = values.iter().map(|(name, data)| ((*name).to_owned(), value(data))).collect();
    KeyRecord { values: Reading::Value(values), keys: Reading::Value(BTreeMap::new()), ..KeyRecord::default() }
}

/// What runs when a program of the start ends (T1546.012): both values are needed for it.
#[test]
fn programs_for_the_end_of_others() {
    let graded = |flag: u32, monitor: Option<&'static str>| {
        severity("SMR-12", move |s| {
            if let Reading::Value(all) = &mut s.session_manager.image_file_execution_options {
                all.keys = Reading::Value([("csrss.exe".to_owned(), option(&[("GlobalFlag", dword(flag))]))].into());
            }
            let exits = monitor.map(|monitor| {
                let of_program = option(&[("ReportingMode", dword(1)), ("MonitorProcess", sz(monitor))]);
                KeyRecord { keys: Reading::Value([("CSRSS.EXE".to_owned(), of_program)].into()), ..option(&[]) }
            });
            s.session_manager.silent_process_exit = exits.map_or(Reading::Nothing, Reading::Value);
        })
    };
    assert_eq!(graded(0x200, Some(r"C:\Users\evil.exe")), Some(Severity::Medium));
    assert_eq!(graded(0, Some(r"C:\Users\evil.exe")), None, "it is not in force");
    assert_eq!(graded(0x200, None), None);
    assert_eq!(graded(0x200, Some("")), None);
}

#[test]
fn options_of_programs_by_path_and_verifiers() {
    let options = |program: &str, record: KeyRecord| {
        let program = program.to_owned();
        severity("SMR-12", move |s| {
            if let Reading::Value(all) = &mut s.session_manager.image_file_execution_options {
                all.keys = Reading::Value([(program, record)].into());
            }
        })
    };
    let filtered = |used: u32| {
        let filter =
            option(&[("FilterFullPath", sz(r"C:\Windows\System32\winlogon.exe")), ("Debugger", sz("evil.exe"))]);
        KeyRecord { keys: Reading::Value([("0".to_owned(), filter)].into()), ..option(&[("UseFilter", dword(used))]) }
    };
    assert_eq!(options("winlogon.exe", filtered(1)), Some(High));
    assert_eq!(options("winlogon.exe", filtered(0)), None, "filters are not in use");
    let verifier = |flag: u32| option(&[("VerifierDlls", sz("evil.dll")), ("GlobalFlag", dword(flag))]);
    assert_eq!(options("smss.exe", verifier(0x100)), Some(Medium));
    assert_eq!(options("smss.exe", verifier(0)), None, "they are not loaded");
}
