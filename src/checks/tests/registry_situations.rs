//! Registries of honest machines that look odd, and of dirty ones that look honest.

use super::registry::*;
use super::{find, outcome, text};
use crate::checks::Judgement::{NotApplicable, Pass, Violation};
use crate::checks::{Findings, Severity, check_smss};
use crate::registry::RegistryData;
use crate::{Reading, System, VirtualAddress};
use proptest::prelude::*;

/// What a rule says of the machine: nothing, or a severity.
fn graded(findings: &Findings, id: &str) -> Option<Severity> {
    let found = outcome(findings, id, None);
    assert!(matches!(found.outcome, Pass | Violation), "{found}");
    found.severity
}

fn build(system: &mut System, build: u32) {
    system.kernel.as_mut().unwrap().build = Some(build);
}

const CON: &str = "ServerDll=winsrv:ConServerDllInitialization,2";

fn line(of: u32) -> String {
    match of {
        // XP and 2003: expanded or not, two heaps smaller.
        2600 => WINDOWS.replace("20480,768", "3072,512").replace("ServerDll=sxssrv,4", CON),
        6002 => WINDOWS.replace("ServerDll=sxssrv,4", CON),
        7601 => WINDOWS.replace("ServerDll=sxssrv,4", &format!("{CON} ServerDll=sxssrv,4")),
        _ => WINDOWS.to_owned(),
    }
}

/// All versions, each with what its users may have tuned.
#[test]
fn the_windows_subsystem_of_honest_machines() {
    for version in [2600, 3790, 6002, 7601, 9200, 9600, 17763, 20348, 26100] {
        let stock = line(match version {
            3790 => 2600,
            other => other,
        });
        for value in [
            stock.clone(),
            stock.replace("1024,20480,768", "1024,20480,1536"),
            stock.replace("%SystemRoot%", "C:\\WINDOWS"),
            stock.to_uppercase(),
            format!("{}  ", stock.replace(' ', "  ")),
        ] {
            let findings = with(|s| {
                build(s, version);
                set(s, SUB_SYSTEMS, "Windows", sz(&value));
                for pid in [452, 536] {
                    find(s, pid).command_line = text(&stock.replace("%SystemRoot%", "C:\\WINDOWS"));
                }
            });
            for id in ["SMR-03", "SMR-04"] {
                assert_eq!(graded(&findings, id), None, "{version}: {value}: {}", outcome(&findings, id, None));
            }
            let live = outcome(&findings, "SMR-05", 452);
            assert!(!live.counts(), "{version}: {value}: {live}");
            assert_eq!(live.outcome == Violation, value.contains("1536"), "{live}");
        }
    }
}

#[test]
fn server_dlls_of_another_version() {
    let severity = |version: u32, value: &str| {
        let findings = with(|s| {
            build(s, version);
            set(s, SUB_SYSTEMS, "Windows", sz(value));
        });
        (graded(&findings, "SMR-04"), outcome(&findings, "SMR-04", None).guard.is_some())
    };
    // Left by an upgrade.
    assert_eq!(severity(19045, &line(7601)), (Some(Severity::Info), true));
    assert_eq!(severity(19045, &WINDOWS.replace("ServerDll=sxssrv,4 ", "")), (Some(Severity::Low), true));
    assert_eq!(severity(19045, &WINDOWS.replace("basesrv,1", "basesrv,7")), (Some(Severity::High), false));
    assert_eq!(severity(7601, WINDOWS), (Some(Severity::Medium), false));
    assert_eq!(severity(2600, &line(7601)), (Some(Severity::High), false));
}

#[test]
fn server_dlls_of_malware() {
    // ZeroAccess on Windows 7.
    let consrv = line(7601).replace("winsrv:ConServerDll", "consrv:ConServerDll");
    for (version, value) in [
        (7601, consrv.clone()),
        (19045, format!("{WINDOWS} ServerDll=evil,5")),
        (19045, format!("{WINDOWS} ServerDll=winsrv:EvilInitialization,5")),
        (19045, format!("{WINDOWS} ServerDll=C:\\Temp\\basesrv,5")),
        (19045, WINDOWS.replace("sxssrv,4", "sxssrv,3")),
        (19045, WINDOWS.replace("sxssrv,4", "sxssrv")),
        (19045, WINDOWS.replace("ServerDll=basesrv,1 ", "")),
        (19045, WINDOWS.replace("basesrv,1", "\u{432}asesrv,1")),
        (19045, String::new()),
    ] {
        let findings = with(|s| {
            build(s, version);
            set(s, SUB_SYSTEMS, "Windows", sz(&value));
        });
        assert_eq!(graded(&findings, "SMR-04"), Some(Severity::Critical), "{value}");
        // Edited since the boot: what runs is not what is written.
        assert_eq!(outcome(&findings, "SMR-05", 452).severity, Some(Severity::High), "{value}");
    }
    let found = with(|s| {
        build(s, 7601);
        set(s, SUB_SYSTEMS, "Windows", sz(&consrv));
    });
    let observed = outcome(&found, "SMR-04", None).observed.clone().unwrap();
    assert!(observed.contains("consrv:ConServerDllInitialization,2"), "{observed}");
    let gone = with(|s| unset(s, SUB_SYSTEMS, "Windows"));
    assert_eq!(graded(&gone, "SMR-03"), Some(Severity::Critical));
}

#[test]
fn parameters_of_csrss() {
    for (from, to, severity) in [
        (r"ObjectDirectory=\Windows", r"ObjectDirectory=\Evil", Severity::High),
        ("SharedSection=1024,20480,768 ", "", Severity::Medium),
        ("1024,20480,768", "1024,20480", Severity::Medium),
        ("1024,20480,768", "1024,x,768", Severity::Medium),
        ("Windows=On", "Windows=On Evil=1", Severity::Low),
        (r"%SystemRoot%\system32\csrss.exe", r"%SystemRoot%\csrss.exe", Severity::Critical),
        (r"%SystemRoot%\system32\csrss.exe", r"%SystemRoot%\system32\..\csrss.exe", Severity::Critical),
        (r"%SystemRoot%\system32\csrss.exe", "csrss.exe", Severity::Critical),
    ] {
        assert!(WINDOWS.contains(from));
        let findings = with(|s| set(s, SUB_SYSTEMS, "Windows", sz(&WINDOWS.replacen(from, to, 1))));
        assert_eq!(graded(&findings, "SMR-03"), Some(severity), "{to}");
    }
}

/// The kernel half of the Windows subsystem, as it runs.
#[test]
fn the_loaded_win32k() {
    let loaded = |path: &str| {
        graded(
            &with(|s| {
                let driver = crate::Driver { name: text("win32k.sys"), path: text(path), ..crate::Driver::default() };
                s.drivers.items.push(driver);
            }),
            "SMR-07",
        )
    };
    assert_eq!(loaded("\\SystemRoot\\System32\\win32k.sys"), None);
    assert_eq!(loaded("\\??\\C:\\Windows\\system32\\WIN32K.SYS"), None);
    assert_eq!(loaded("\\SystemRoot\\Temp\\win32k.sys"), Some(Severity::High));
    assert_eq!(loaded("\\??\\C:\\Users\\a\\win32k.sys"), Some(Severity::High));
}

#[test]
fn subsystems() {
    let required = |names: &[&str], version, change: fn(&mut System)| {
        let findings = with(|s| {
            build(s, version);
            set(s, SUB_SYSTEMS, "Required", multi(names));
            change(s);
        });
        graded(&findings, "SMR-01")
    };
    let none = |_: &mut System| ();
    assert_eq!(required(&["windows", "DEBUG", ""], 19045, none), None);
    // smss.exe looks for a value of the very name (ReactOS, `SmpConfigureSubSystems`).
    assert_eq!(required(&["windows", " DEBUG "], 19045, none), Some(Severity::Low));
    assert_eq!(required(&["Debug", "Windows\t"], 19045, none), Some(Severity::Medium));
    assert_eq!(required(&["Debug", "Windows", "Foo"], 19045, none), Some(Severity::High));
    let foo: fn(&mut System) = |s| set(s, SUB_SYSTEMS, "foo", sz("%SystemRoot%\\foo.exe"));
    assert_eq!(required(&["Debug", "Windows", "Foo"], 19045, foo), Some(Severity::Critical));
    let evidence = with(|s| {
        foo(s);
        set(s, SUB_SYSTEMS, "Required", multi(&["Debug", "Windows", "Foo"]));
    });
    let fields = outcome(&evidence, "SMR-01", None).evidence.iter().map(|evidence| evidence.field.as_str());
    assert!(fields.eq([r"SubSystems\Foo", r"SubSystems\Required"]));
    assert_eq!(required(&["Debug"], 19045, none), Some(Severity::Medium));
    assert_eq!(required(&["Debug", "Windows", "Posix"], 7601, none), Some(Severity::Info));
    assert_eq!(required(&["Debug", "Windows", "Posix"], 19045, none), Some(Severity::Critical));
    let moved: fn(&mut System) = |s| set(s, SUB_SYSTEMS, "Posix", sz("C:\\Temp\\psxss.exe"));
    assert_eq!(required(&["Debug", "Windows", "Posix"], 7601, moved), Some(Severity::Critical));

    let optional = |names: &[&str]| graded(&with(|s| set(s, SUB_SYSTEMS, "Optional", multi(names))), "SMR-06");
    assert_eq!(optional(&[]), None);
    assert_eq!(optional(&["posix"]), None);
    assert_eq!(optional(&["Foo"]), Some(Severity::Medium));
    assert_eq!(graded(&with(|s| unset(s, SUB_SYSTEMS, "Optional")), "SMR-06"), None);
    let kmode = |driver: &str| graded(&with(|s| set(s, SUB_SYSTEMS, "Kmode", sz(driver))), "SMR-07");
    assert_eq!(kmode(r"%systemroot%\SYSTEM32\WIN32K.SYS"), None);
    assert_eq!(kmode(r"\Systemroot\System32\win32k.sys"), None);
    assert_eq!(kmode(r"\??\C:\Users\a\win32k.sys"), Some(Severity::High));
}

#[test]
fn programs_at_boot() {
    let boot = |lines: &[&str]| {
        let findings = with(|s| set(s, SESSION_MANAGER, "BootExecute", multi(lines)));
        graded(&findings, "SMR-10")
    };
    for honest in [
        "autocheck autochk *",
        "autocheck autochk /q /v *",
        "autocheck autochk /k:C *",
        r"autocheck autochk /p \??\C:",
        r"autocheck autochk /r \??\C:",
        r"autocheck autochk /x \??\D:",
        r"autocheck autoconv \DosDevices\x: /FS:NTFS",
        r"autocheck autoconv \??\Volume{0a1b} /FS:NTFS",
        "AutoCheck AUTOCHK.EXE *  ",
        r"autocheck %SystemRoot%\System32\autochk.exe *",
    ] {
        assert_eq!(boot(&[honest]), None, "{honest}");
        assert_eq!(boot(&["autocheck autochk *", honest, ""]), None, "{honest}");
    }
    for vendor in
        ["aswBoot.exe /M:-5", "defrag_native", "sdnclean64.exe", r"\??\C:\Program Files\Avast Software\aswBoot.exe /A"]
    {
        assert_eq!(boot(&["autocheck autochk *", vendor]), Some(Severity::Info), "{vendor}");
    }
    // The name alone is known of it, and a bare name is anybody's file in System32.
    assert_eq!(boot(&["autocheck autochk *", "lsdelete"]), Some(Severity::Low));
    for foreign in [
        "evil",
        "autocheck evil *",
        r"\??\C:\Users\a\aswBoot.exe",
        r"autocheck \??\C:\Temp\autochk.exe *",
        r"autocheck \SystemRoot\System32\..\Temp\autochk.exe *",
        "smss.exe",
        "autocheck autorun *",
    ] {
        assert_eq!(boot(&["autocheck autochk *", foreign]), Some(Severity::High), "{foreign}");
    }
    for close in [
        "autocheck autoche *",
        "autocheck autochck *",
        "autocheck autochkk *",
        "autocheck autocheck *",
        "autocheck \u{430}utochk *",
    ] {
        assert_eq!(boot(&[close]), Some(Severity::Critical), "{close}");
    }
    let single = with(|s| set(s, SESSION_MANAGER, "BootExecute", sz("autocheck autochk *")));
    assert_eq!(graded(&single, "SMR-10"), None);
    assert_eq!(boot(&[]), Some(Severity::Info));
}

#[test]
fn servicing_and_setup() {
    let setup = |line: &str| {
        let findings = with(|s| set(s, SESSION_MANAGER, "SetupExecute", multi(&[line])));
        (graded(&findings, "SMR-11"), outcome(&findings, "SMR-11", None).guard.is_some())
    };
    let poqexec = r"C:\Windows\System32\poqexec.exe /display_progress \SystemRoot\WinSxS\pending.xml";
    assert_eq!(setup(poqexec), (Some(Severity::Info), true));
    assert_eq!(setup("setupcl.exe"), (Some(Severity::Info), true));
    assert_eq!(setup(r"C:\Temp\poqexec.exe"), (Some(Severity::High), false));
    let new: fn(&mut System) = |s| set(s, SESSION_MANAGER, "PlatformExecute", multi(&["vendor.exe"]));
    assert_eq!(graded(&with(new), "SMR-11"), Some(Severity::High));
    let changes: [fn(&mut System); 2] = [
        |s| {
            s.session_manager.setup = s.session_manager.select.clone();
            set(s, |keys| &mut keys.setup, "SystemSetupInProgress", dword(1));
        },
        |s| s.machine.root = text(r"X:\Windows"),
    ];
    // Written to stop the event log; no sign of Windows PE alone.
    let key = with(|s| {
        new(s);
        s.session_manager.mini_nt = s.session_manager.select.clone();
    });
    assert_eq!(graded(&key, "SMR-11"), Some(Severity::High));
    for mode in changes {
        let findings = with(|s| {
            new(s);
            mode(s);
        });
        let found = outcome(&findings, "SMR-11", None);
        assert_eq!(found.severity, Some(Severity::Medium));
        assert!(found.guard.is_some());
    }
}

#[test]
fn pending_operations() {
    let pending = |texts: &[&str]| {
        let findings = with(|s| set(s, SESSION_MANAGER, "PendingFileRenameOperations", multi(texts)));
        graded(&findings, "SMR-13")
    };
    assert_eq!(pending(&[]), None);
    for installer in [
        &[r"\??\C:\Users\a\AppData\Local\Temp\{1}\setup.exe", ""][..],
        &[r"\??\C:\Users\a\AppData\Local\Temp\x.tmp"],
        &[r"\??\C:\Config.Msi\1a2b.rbf", "", r"\??\C:\Program Files\App\a.dll.old", ""],
        &[r"\??\C:\Windows\System32\SETA1.tmp", r"!\??\C:\Windows\System32\vendor.dll"],
        &[r"*1\??\C:\Program Files (x86)\Microsoft\EdgeUpdate\1\msedgeupdate.dll", ""],
        &[r"\??\C:\Program Files\App\new.exe", r"!\??\C:\Program Files\App\app.exe"],
        &[r"\??\C:\Windows\System32\DriverStore\Temp\{1}\x.sys", ""],
        &[r"\??\C:\Program Files\Avast Software\Avast\aswX.dll.tmp", ""],
    ] {
        assert_eq!(pending(installer), Some(Severity::Info), "{installer:?}");
    }
    // What is usual: products that were uninstalled, redistributables and drivers that wait for the restart.
    for usual in [
        &[r"\??\C:\Windows\System32\vendor.dll", ""][..],
        &[r"\??\C:\Windows\System32\Npcap\wpcap.dll", ""],
        &[r"\??\C:\Config.Msi\12ab.rbf", r"\??\C:\Windows\system32\msvcp140.dll"],
        &[r"\??\C:\Config.Msi\PT8A1.tmp", r"!\??\C:\Windows\system32\msvcp140.dll"],
        &[r"\??\D:\Config.Msi\12ab.rbf", r"\??\C:\Windows\system32\drivers\vmci.sys"],
        &[
            r"\??\C:\Windows\system32\vcruntime140.dll",
            r"\??\C:\Windows\system32\vcruntime140.dll.old",
            r"\??\C:\Config.Msi\1.rbf",
            r"\??\C:\Windows\system32\vcruntime140.dll",
        ],
        &[r"\??\C:\Program Files\VMware\drivers\vmci.sys", r"!\??\C:\Windows\System32\drivers\vmci.sys"],
        &[r"\??\C:\Windows\Temp\{1}\vendor.dll", r"!\??\C:\Windows\System32\vendor.dll"],
        &[r"\??\C:\Windows\SystemTemp\x.tmp", r"!\??\C:\Windows\SysWOW64\vendor.dll"],
        // Old versions of Microsoft Defender, each in a folder of its own.
        &[r"\??\C:\ProgramData\Microsoft\Windows Defender\Platform\4.18.2001.10-0\MpOAV.dll", ""],
        &[r"\??\C:\ProgramData\Microsoft\Windows Defender\Definition Updates\{5CF01E4A}\mpengine.dll", ""],
    ] {
        assert_eq!(pending(usual), Some(Severity::Info), "{usual:?}");
    }
    // From an unknown place; of a core file, wherever from.
    assert_eq!(pending(&[r"\??\D:\x.dll", r"\??\C:\Windows\System32\x.dll"]), Some(Severity::Low));
    for from in [r"\??\C:\Config.Msi\1.rbf", r"\??\C:\Windows\Temp\x.tmp"] {
        assert_eq!(pending(&[from, r"!\??\C:\Windows\System32\ntdll.dll"]), Some(Severity::High), "{from}");
    }
    let of_user = [r"\??\C:\Users\x\b.dll", r"\??\C:\Windows\Temp\b.dll"];
    let hop = [of_user[0], of_user[1], of_user[1], r"\??\C:\Windows\System32\version.dll"];
    assert_eq!(pending(&hop), Some(Severity::High), "by way of the temporary directory");
    let of_product = r"\??\C:\Program Files\Windows Defender\MpOAV.dll";
    assert_eq!(pending(&[of_product, ""]), Some(Severity::Low));
    // By way of a place that is trusted, or out of a folder that was moved there.
    let user = r"\??\C:\Users\x\b.dll";
    for (hop, target) in [
        (r"\??\C:\Windows\WinSxS\Temp\b.dll", r"!\??\C:\Windows\System32\ntdll.dll"),
        (r"\??\C:\Windows\WinSxS\Temp\b.dll", r"\??\C:\Windows\System32\version.dll"),
        (r"\??\C:\Config.Msi\b.dll", r"\??\C:\Windows\System32\version.dll"),
        (r"\??\C:\Program Files\App\b.dll", r"\??\C:\Windows\SysWOW64\version.dll"),
    ] {
        assert_eq!(pending(&[user, hop, hop, target]), Some(Severity::High), "{hop} {target}");
    }
    let folder = r"\??\C:\Windows\WinSxS\Temp\d";
    let out_of = [r"\??\C:\Users\x\d", folder, r"\??\C:\Windows\WinSxS\Temp\d\b.dll", r"\??\C:\Windows\System32\b.dll"];
    assert_eq!(pending(&out_of), Some(Severity::High));
    for needed in [
        r"\??\C:\Windows\System32\config\SYSTEM",
        r"\??\C:\Windows\System32\config\SECURITY",
        r"\??\C:\Windows\System32\winload.efi",
        r"\??\C:\Windows\SysWOW64\ntdll.dll",
    ] {
        assert_eq!(pending(&[needed, ""]), Some(Severity::High), "{needed}");
    }
    for of_user in [r"!\??\C:\Windows\SysWOW64\ntdll.dll", r"!\??\C:\Windows\explorer.exe"] {
        assert_eq!(pending(&[user, of_user]), Some(Severity::High), "{of_user}");
    }
    for dirty in [
        &[r"\??\C:\ProgramData\Microsoft\Windows Defender\Platform\4.18\MsMpEng.exe", ""][..],
        &[r"\??\C:\Windows\System32\drivers\WdFilter.sys", ""],
        &[r"\??\C:\Users\a\evil.dll", r"!\??\C:\Windows\System32\version.dll"],
        &[r"\??\C:\ProgramData\x.exe", r"!\??\C:\Windows\System32\sethc.exe"],
        &[r"\??\D:\x.exe", r"!\??\C:\Windows\System32\utilman.exe"],
        &[r"\??\C:\Windows\System32\autochk.exe", ""],
        &[
            r"\??\C:\Users\a\x.tmp",
            "",
            r"\??\C:\Users\a\evil.exe",
            r"!\??\C:\Program Files\Windows Defender\MsMpEng.exe",
        ],
    ] {
        assert_eq!(pending(dirty), Some(Severity::High), "{dirty:?}");
    }
    let second = with(|s| {
        set(s, SESSION_MANAGER, "AllowProtectedRenames", dword(1));
        set(s, SESSION_MANAGER, "PendingFileRenameOperations2", multi(&[r"\??\C:\Windows\System32\ntdll.dll", ""]));
    });
    assert_eq!(graded(&second, "SMR-13"), Some(Severity::High));
    assert_eq!(graded(&second, "SMR-18"), Some(Severity::Medium));
}

#[test]
fn known_dlls() {
    let known = |name: &str, file: &str| graded(&with(|s| set(s, KNOWN_DLLS, name, sz(file))), "SMR-14");
    assert_eq!(known("KERNEL32", "Kernel32.DLL"), None);
    assert_eq!(known("DllDirectory", r"C:\WINDOWS\System32"), None);
    assert_eq!(known("_xtajit", "xtajit.dll"), None);
    assert_eq!(known("kernel32", "evil.dll"), Some(Severity::High));
    assert_eq!(known("odd", "other.dll"), Some(Severity::Info));
    assert_eq!(known("odd", r"C:\Temp\odd.dll"), Some(Severity::High));
    assert_eq!(known("odd", "odd.exe"), Some(Severity::Medium));
    assert_eq!(known("DllDirectory32", r"C:\Temp"), Some(Severity::High));
    let excluded =
        |name: &str| graded(&with(|s| set(s, SESSION_MANAGER, "ExcludeFromKnownDlls", multi(&[name]))), "SMR-14");
    assert_eq!(excluded(""), None);
    for brought in ["difxapi.dll", "msvcrt.dll", "oleaut32.dll"] {
        assert_eq!(excluded(brought), Some(Severity::Info), "programs bring their own: {brought}");
    }
    assert_eq!(excluded("Kernel32.dll"), Some(Severity::High));
    assert_eq!(graded(&with(|s| s.session_manager.known_dlls = Reading::Nothing), "SMR-14"), Some(Severity::Medium));
}

#[test]
fn environments() {
    let with_values = |values: &[(&str, &str)]| {
        let findings = with(|s| values.iter().for_each(|(name, value)| set(s, ENVIRONMENT, name, sz(value))));
        graded(&findings, "SMR-16")
    };
    let path = |path: &str| with_values(&[("Path", path)]);
    assert_eq!(path(r"C:\Program Files\Vendor\bin;%SystemRoot%\system32;C:\Python27\;C:\Users\a\bin"), None);
    assert_eq!(path(r"C:\Python27\;%SystemRoot%\system32"), Some(Severity::Info));
    assert_eq!(path(r#""C:\Program Files (x86)\a";C:\WINDOWS\System32\;;D:\tools"#), None);
    assert_eq!(path(r"C:\ProgramData\Oracle\Java\javapath;%SystemRoot%\system32"), Some(Severity::Info));
    for dirty in [r"C:\Users\a\bin", r"%TEMP%", r"\\server\share", ".", r"C:\Windows\Temp"] {
        assert_eq!(path(&format!(r"{dirty};%SystemRoot%\system32")), Some(Severity::Medium), "{dirty}");
    }
    assert_eq!(with_values(&[("ComSpec", r"C:\WINDOWS\SYSTEM32\CMD.EXE")]), None);
    // Left by a product that is gone: .NET loads it with COR_ENABLE_PROFILING=1 only.
    assert_eq!(with_values(&[("COR_PROFILER", "{1}")]), Some(Severity::Info));
    assert_eq!(with_values(&[("COR_PROFILER", "{1}"), ("COR_ENABLE_PROFILING", "0")]), Some(Severity::Info));
    assert_eq!(with_values(&[("COR_PROFILER", "{1}"), ("COR_ENABLE_PROFILING", "1")]), Some(Severity::Medium));
    let of_users =
        [("COR_PROFILER", "{1}"), ("COR_ENABLE_PROFILING", "1"), ("COR_PROFILER_PATH", r"C:\Users\Public\p.dll")];
    assert_eq!(with_values(&of_users), Some(Severity::High));
    let product = [
        ("CORECLR_PROFILER", "{1}"),
        ("CORECLR_ENABLE_PROFILING", "1"),
        ("CORECLR_PROFILER_PATH_64", r"C:\Program Files\Vendor\profiler.dll"),
    ];
    assert_eq!(with_values(&product), Some(Severity::Info));
    assert_eq!(with_values(&[("windir", r"C:\evil")]), Some(Severity::Medium));
    // smss.exe takes every value over before it expands SubSystems.
    assert_eq!(with_values(&[("SystemRoot", r"C:\Users\Public")]), Some(Severity::High));
    assert_eq!(with_values(&[("SystemRoot", r"C:\Windows"), ("SystemDrive", "C:")]), None);
    assert_eq!(with_values(&[("SystemDrive", "U:")]), Some(Severity::Medium));
    // A name that the same key gives a meaning is what it means.
    let through = |name: &'static str, value: &'static str, entry: &'static str| {
        let path = format!(r"{entry};%SystemRoot%\system32");
        with_values(&[(name, value), ("Path", path.as_str())])
    };
    assert_eq!(through("X", r"C:\Users\Public", "%X%"), Some(Severity::Medium));
    assert_eq!(through("JAVA_HOME", r"C:\Users\alice\jdk", r"%JAVA_HOME%\bin"), Some(Severity::Medium));
    assert_eq!(through("JAVA_HOME", r"C:\Program Files\jdk", r"%JAVA_HOME%\bin"), None);
    assert_eq!(through("X", "%X%%X%%X%%X%", "%X%"), None, "a name that leads to itself");
    let mut hidden = of_users;
    hidden[2].1 = r"%ProgramFiles%\p.dll";
    let [first, second, third] = hidden;
    assert_eq!(with_values(&[first, second, third]), Some(Severity::Info));
    assert_eq!(with_values(&[first, second, third, ("ProgramFiles", r"C:\Users\Public")]), Some(Severity::High));
    // Other ways to bring code into everything that a framework runs.
    for (name, value) in [
        ("APPDOMAIN_MANAGER_ASM", "evil, Version=1.0.0.0"),
        ("DOTNET_ADDITIONAL_DEPS", r"C:\Users\Public\deps"),
        ("DOTNET_SHARED_STORE", r"C:\Users\Public\store"),
        ("DOTNET_ROOT", r"C:\Users\Public\dotnet"),
        ("COMPlus_JitPath", r"C:\Users\Public\jit.dll"),
        ("JAVA_TOOL_OPTIONS", r"-Xmx1g -javaagent:C:\Users\Public\a.jar"),
        ("NODE_OPTIONS", r"--require C:\Users\Public\a.js"),
        ("PSModulePath", r"C:\Users\Public\m;%SystemRoot%\system32\WindowsPowerShell\v1.0\Modules"),
    ] {
        assert_eq!(with_values(&[(name, value)]), Some(Severity::Medium), "{name}");
    }
    for (name, value, severity) in [
        ("DOTNET_ROOT", r"C:\Program Files\dotnet", None),
        ("JAVA_TOOL_OPTIONS", "-Dfile.encoding=UTF8", None),
        ("JAVA_TOOL_OPTIONS", r"-javaagent:C:\appdynamics\javaagent.jar", Some(Severity::Info)),
        ("NODE_OPTIONS", "--max-old-space-size=4096", None),
        (
            "PSModulePath",
            r"%ProgramFiles%\WindowsPowerShell\Modules;%SystemRoot%\system32\WindowsPowerShell\v1.0\Modules",
            None,
        ),
        ("PYTHONPATH", r"C:\Users\dev\lib", Some(Severity::Info)),
    ] {
        assert_eq!(with_values(&[(name, value)]), severity, "{name}={value}");
    }
    assert_eq!(with_values(&[("SAFEBOOT_OPTION", "MINIMAL")]), Some(Severity::Info));
    let safe = with(|s| {
        set(s, ENVIRONMENT, "SAFEBOOT_OPTION", sz("MINIMAL"));
        s.machine.safe_mode = Reading::Value(true);
    });
    assert_eq!(graded(&safe, "SMR-16"), None);
}

#[test]
fn names_and_modes() {
    let device = |name: &str, target: &str| graded(&with(|s| set(s, DOS_DEVICES, name, sz(target))), "SMR-17");
    assert_eq!(device("PRN", r"\??\LPT1"), None);
    assert_eq!(device("COM3", r"\Device\Serial2"), None);
    assert_eq!(device("NUL", r"\Device\Null"), None);
    assert_eq!(device("PIPE", r"\Device\Evil"), Some(Severity::Medium));
    assert_eq!(device("other", r"\Device\Other"), Some(Severity::Info));
    let mode = |name: &str, value| graded(&with(|s| set(s, SESSION_MANAGER, name, dword(value))), "SMR-18");
    assert_eq!(mode("SafeDllSearchMode", 1), None);
    assert_eq!(mode("SafeDllSearchMode", 0), Some(Severity::Low));
    assert_eq!(mode("AllowProtectedRenames", 1), Some(Severity::Low));
    assert_eq!(mode("NumberOfInitialSessions", 4), Some(Severity::Info));
    assert_eq!(mode("GlobalFlag", 0x200), Some(Severity::Low));
    assert_eq!(mode("DisableWpbtExecution", 1), None);
    let directory = with(|s| {
        set(s, SESSION_MANAGER, "ObjectDirectories", multi(&[r"\Windows", r"\RPC Control", r"\Evil"]));
    });
    assert_eq!(graded(&directory, "SMR-17"), Some(Severity::Info));
}

/// Values that no Windows ever had are said not to be judged, and cost no time to speak of.
#[test]
fn endless_values() {
    let many = |text: &str| RegistryData::Texts(vec![text.to_owned(); 300_000]);
    let findings = with(|s| {
        set(s, SUB_SYSTEMS, "Required", many("Windows"));
        set(s, SUB_SYSTEMS, "Windows", sz(&format!("{WINDOWS} {}", "ServerDll=sxssrv,4 ".repeat(300_000))));
        set(s, SESSION_MANAGER, "BootExecute", many("autocheck autochk *"));
        set(s, SESSION_MANAGER, "PendingFileRenameOperations", many(r"\??\C:\x"));
        set(s, KNOWN_DLLS, "DllDirectory", many("x"));
    });
    for id in ["SMR-10", "SMR-13"] {
        assert_eq!(outcome(&findings, id, None).outcome, crate::checks::Judgement::Unknown, "{id}");
    }
    assert_eq!(graded(&findings, "SMR-04"), Some(Severity::Critical));
}

#[test]
fn a_container_has_its_own_registry() {
    let findings = with(|s| {
        let csrss = find(s, 536);
        csrss.silo = Reading::Value(VirtualAddress(0xffff_a000_0000_2000));
        csrss.command_line = text(&WINDOWS.replace("768", "4096").replace("16", "17"));
    });
    assert_eq!(outcome(&findings, "SMR-05", 536).outcome, NotApplicable);
    assert_eq!(outcome(&findings, "SMR-05", 452).outcome, Pass);
}

#[test]
fn modules_of_csrss() {
    let modules = |modules: &[&str]| {
        let findings = with(|s| {
            find(s, 452).modules = Reading::Value(modules.iter().map(|module| (*module).to_owned()).collect());
        });
        outcome(&findings, "SMR-04", None).clone()
    };
    let usual = [
        r"C:\Windows\system32\csrss.exe",
        r"C:\Windows\SYSTEM32\ntdll.dll",
        r"C:\Windows\system32\CSRSRV.dll",
        r"C:\Windows\system32\basesrv.DLL",
        r"C:\Windows\system32\winsrv.DLL",
        r"C:\Windows\system32\sxssrv.DLL",
    ];
    let found = modules(&usual);
    assert_eq!((found.outcome, found.reason), (Pass, None));
    // Named, and not loaded: noted.
    assert!(modules(&usual[..5]).reason.unwrap().contains("has not loaded sxssrv"));
    let odd = modules(&[&usual[..], &[r"C:\Windows\System32\evil.dll"]].concat());
    assert_eq!(odd.outcome, Pass);
    assert!(odd.reason.unwrap().contains("evil"));
    let elsewhere = modules(&[&usual[..], &[r"C:\Temp\winsrv.dll"]].concat());
    assert_eq!(elsewhere.severity, Some(Severity::Info));
}

fn data() -> impl Strategy<Value = RegistryData> {
    let word = prop_oneof![
        "[ \\\\?%:!*.,;=/a-c]{0,20}",
        any::<String>(),
        prop::sample::select(vec![
            "autocheck",
            "autochk",
            WINDOWS,
            r"\??\C:\Windows\System32\x.dll",
            "ServerDll=",
            "\u{130}\u{17f}"
        ])
        .prop_map(str::to_owned),
    ];
    prop_oneof![
        3 => word.clone().prop_map(RegistryData::Text),
        3 => prop::collection::vec(word, 0..4).prop_map(RegistryData::Texts),
        1 => any::<u32>().prop_map(RegistryData::Dword),
        1 => any::<u64>().prop_map(RegistryData::Qword),
        1 => prop::collection::vec(any::<u8>(), 0..8).prop_map(RegistryData::Bytes),
    ]
}

proptest! {
    /// Whatever the values hold, every rule answers.
    #[test]
    fn any_data_is_answered(all in prop::collection::vec(data(), 30)) {
        let mut system = clean();
        let names = [
            (SUB_SYSTEMS, &["Required", "Windows", "Kmode", "Debug", "Optional", "Posix", "Os2", "?"][..]),
            (SESSION_MANAGER, &[
                "BootExecute", "SetupExecute", "Execute", "S0InitialCommand", "PendingFileRenameOperations",
                "ExcludeFromKnownDlls", "ObjectDirectories", "ProtectionMode", "GlobalFlag", "AllowProtectedRenames",
            ][..]),
            (KNOWN_DLLS, &["DllDirectory", "DllDirectory32", "x", ""][..]),
            (ENVIRONMENT, &["ComSpec", "Path", "windir", "COR_PROFILER"][..]),
            (DOS_DEVICES, &["C:", "PIPE", "\u{130}"][..]),
        ];
        let places = names.iter().flat_map(|(key, names)| names.iter().map(move |name| (*key, *name)));
        for ((key, name), data) in places.zip(all) {
            set(&mut system, key, name, data);
        }
        let findings = check_smss(&system);
        for rule in crate::checks::rules() {
            prop_assert!(findings.of(rule.id).next().is_some(), "{}", rule.id);
        }
    }
}
