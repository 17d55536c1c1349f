//! What is normal in the Session Manager's keys, as data.

/// Rules about what runs or is done once at the start of the system: Setup and Windows PE use that themselves.
pub(super) const LENIENT: &[&str] = &["SMR-10", "SMR-11", "SMR-12", "SMR-13", "SMR-17", "SMR-18"];

/// `SubSystems\Required`.
pub(super) const REQUIRED: [&str; 2] = ["Debug", "Windows"];
/// Values of `SubSystems`.
pub(super) const SUB_SYSTEMS: &[&str] =
    &["Debug", "Kmode", "Optional", "Posix", "Os2", "Required", "Windows", "PosixSingleInstance"];
/// `SubSystems\Optional`, and the program of each.
pub(super) const OPTIONAL: [(&str, &str); 2] = [("Posix", "\\System32\\psxss.exe"), ("Os2", "\\System32\\os2ss.exe")];
/// Last build that has a POSIX subsystem: 8 and Server 2012.
pub(super) const LAST_WITH_POSIX: u32 = 9200;
/// Parameters in `SubSystems\Windows`; ServerDll apart.
pub(super) const PARAMETERS: &[&str] = &[
    "ObjectDirectory",
    "SharedSection",
    "Windows",
    "SubSystemType",
    "ServerDll",
    "ProfileControl",
    "RequestThreads",
    "MaxRequestThreads",
];
/// First build whose SharedSection has three fields: XP.
pub(super) const FIRST_WITH_THREE_FIELDS: u32 = 2600;

/// One `ServerDll=module:entry,index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerDll {
    pub(super) module: &'static str,
    /// `None`: the usual one, which is not written down.
    pub(super) entry: Option<&'static str>,
    pub(super) index: u32,
}

pub(super) const BASE: ServerDll = ServerDll { module: "basesrv", entry: None, index: 1 };
pub(super) const USER: ServerDll = ServerDll { module: "winsrv", entry: Some("UserServerDllInitialization"), index: 3 };
pub(super) const CONSOLE: ServerDll =
    ServerDll { module: "winsrv", entry: Some("ConServerDllInitialization"), index: 2 };
pub(super) const SIDE_BY_SIDE: ServerDll = ServerDll { module: "sxssrv", entry: None, index: 4 };
/// All that any version ships.
pub(super) const SERVER_DLLS: [ServerDll; 4] = [BASE, USER, CONSOLE, SIDE_BY_SIDE];

/// First build whose csrss.exe has sxssrv: Windows 7.
pub(super) const FIRST_WITH_SIDE_BY_SIDE: u32 = 7600;
/// First build whose console is no part of csrss.exe: Windows 8.
pub(super) const FIRST_WITHOUT_CONSOLE: u32 = 9200;

/// What the build lists. Without a build: what every one of them does.
pub(super) const fn server_dlls(build: Option<u32>) -> &'static [ServerDll] {
    match build {
        None => &[BASE, USER],
        Some(build) if build < FIRST_WITH_SIDE_BY_SIDE => &[BASE, USER, CONSOLE],
        Some(build) if build < FIRST_WITHOUT_CONSOLE => &[BASE, USER, CONSOLE, SIDE_BY_SIDE],
        Some(_) => &[BASE, USER, SIDE_BY_SIDE],
    }
}

/// Lists of programs beside BootExecute.
pub(super) const OTHER_LISTS: [&str; 4] =
    ["BootExecuteNoPnpSync", "PlatformExecute", "SetupExecute", "SetupExecuteNoPnpSync"];

/// DLLs that every process has: whoever replaces one is everywhere.
pub(super) const CORE_DLLS: &[&str] = &[
    "ntdll",
    "kernel32",
    "kernelbase",
    "user32",
    "gdi32",
    "gdi32full",
    "win32u",
    "advapi32",
    "sechost",
    "rpcrt4",
    "msvcrt",
    "ole32",
    "combase",
    "oleaut32",
    "shell32",
    "shlwapi",
    "ws2_32",
    "imm32",
    "ucrtbase",
    "bcryptprimitives",
];

/// Those of them that older programs bring in a version of their own.
pub(super) const BROUGHT_DLLS: &[&str] = &["msvcrt", "oleaut32", "ucrtbase"];

/// `DOS Devices`: names and where they lead.
pub(super) const DEVICES: &[(&str, &str)] = &[
    ("AUX", "\\DosDevices\\COM1"),
    ("MAILSLOT", "\\Device\\MailSlot"),
    ("NUL", "\\Device\\Null"),
    ("PIPE", "\\Device\\NamedPipe"),
    ("PRN", "\\DosDevices\\LPT1"),
    ("UNC", "\\Device\\Mup"),
];
/// `ObjectDirectories`. NT 4 had the last one too.
pub(super) const OBJECT_DIRECTORIES: [&str; 3] = ["\\Windows", "\\RPC Control", "\\DosDevices"];

/// Main programs and drivers of security products: without them, the product is off after the next start.
pub(super) const SECURITY_FILES: &[&str] = &[
    "msmpeng.exe",
    "nissrv.exe",
    "mpcmdrun.exe",
    "mssense.exe",
    "sensecncproxy.exe",
    "wdfilter.sys",
    "wdboot.sys",
    "wdnisdrv.sys",
    "mssecflt.sys",
    "securityhealthservice.exe",
    "csagent.sys",
    "csfalconservice.exe",
    "csfalconcontainer.exe",
    "sentinelagent.exe",
    "sentinelmonitor.sys",
    "sentinelservicehost.exe",
    "cb.exe",
    "repmgr.exe",
    "carbonblackk.sys",
    "cyserver.exe",
    "cyvera.exe",
    "tlaworker.exe",
    "ekrn.exe",
    "eamonm.sys",
    "avp.exe",
    "klif.sys",
    "mcshield.exe",
    "mfemms.exe",
    "mfehidk.sys",
    "ccsvchst.exe",
    "sepwscsvc64.exe",
    "savservice.exe",
    "sophosed.sys",
    "sspservice.exe",
    "sophosfilescanner.exe",
    "bdservicehost.exe",
    "vsserv.exe",
    "epsecurityservice.exe",
    "avastsvc.exe",
    "avgsvc.exe",
    "aswsp.sys",
    "mbamservice.exe",
    "mbam.sys",
    "elastic-agent.exe",
    "elastic-endpoint.exe",
    "elastic-endpoint-driver.sys",
    "sysmon.exe",
    "sysmon64.exe",
    "sysmondrv.sys",
    "coreserviceshell.exe",
    "ntrtscan.exe",
    "tmccsf.exe",
    "xagt.exe",
    "taniumclient.exe",
];
/// Directories of security products: part of their paths.
pub(super) const SECURITY_DIRECTORIES: &[&str] = &[
    "windows defender",
    "microsoft security client",
    "crowdstrike",
    "sentinelone",
    "carbonblack",
    "carbon black",
    "palo alto networks",
    "cylance",
    "\\eset\\",
    "kaspersky",
    "mcafee",
    "trellix",
    "symantec",
    "sophos",
    "bitdefender",
    "avast software",
    "\\avg\\",
    "malwarebytes",
    "trend micro",
    "\\elastic\\",
    "fireeye",
    "f-secure",
    "withsecure",
    "cortex xdr",
    "\\traps\\",
];
/// Without these, Windows does not start or has no guard.
pub(super) const CORE_FILES: &[&str] = &[
    "smss.exe",
    "csrss.exe",
    "wininit.exe",
    "winlogon.exe",
    "services.exe",
    "lsass.exe",
    "svchost.exe",
    "autochk.exe",
    "userinit.exe",
    "logonui.exe",
    "ntoskrnl.exe",
    "hal.dll",
    "ci.dll",
    "win32k.sys",
    "ntdll.dll",
    "kernel32.dll",
    "kernelbase.dll",
    "user32.dll",
    "basesrv.dll",
    "winsrv.dll",
    "csrsrv.dll",
    "sxssrv.dll",
    "utilman.exe",
    "sethc.exe",
    "lsasrv.dll",
    "msv1_0.dll",
    "amsi.dll",
    "termsrv.dll",
    "wevtsvc.dll",
    "ntfs.sys",
    "tcpip.sys",
    "fltmgr.sys",
];
/// Without these files of System32, Windows does not start.
pub(super) const BOOT_FILES: &[&str] = &["winload.efi", "winload.exe", "winresume.efi", "winresume.exe"];
/// Hives in System32\config.
pub(super) const HIVES: &[&str] = &["system", "software", "security", "sam", "default"];
/// What installers leave behind or rename to before they delete.
pub(super) const TEMPORARY: &[&str] =
    &[".tmp", ".temp", ".old", ".bak", ".rbf", ".rbs", ".delete", ".deleteme", ".rra", ".$$$", ".new"];
/// What can run, or be loaded.
pub(super) const RUNNABLE: &[&str] = &[".exe", ".dll", ".sys", ".ocx", ".cpl", ".scr", ".com", ".drv"];

/// Modules that csrss.exe is seen with, without extension.
pub(super) const CSRSS_MODULES: &[&str] = &[
    "csrss",
    "ntdll",
    "csrsrv",
    "basesrv",
    "winsrv",
    "winsrvext",
    "sxssrv",
    "sxs",
    "kernel32",
    "kernelbase",
    "user32",
    "win32u",
    "gdi32",
    "gdi32full",
    "msvcp_win",
    "ucrtbase",
    "rpcrt4",
    "cryptbase",
    "bcryptprimitives",
    "advapi32",
    "msvcrt",
    "sechost",
    "lpk",
    "usp10",
    "secur32",
    "sspicli",
    "imm32",
    "apphelp",
    "version",
    "shimeng",
    "apisetschema",
    "uxtheme",
    "combase",
    "bcrypt",
];
