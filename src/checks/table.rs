//! The facts of the baseline as data. What a rule is about, and what Windows would have made.

/// One rule.
pub(super) struct Rule {
    /// `SMSS-001`.
    pub(super) id: &'static str,
    /// What it asks for.
    pub(super) title: &'static str,
    /// Unknown for the master makes the verdict inconclusive.
    pub(super) core: bool,
    /// ATT&CK techniques. Ids only: names of tactics change.
    pub(super) attack: &'static [&'static str],
}

const MASQUERADE: &str = "T1036.005";
const INJECTION: &str = "T1055";
const BOOT: &str = "T1547.001";

const fn plain(id: &'static str, title: &'static str, attack: &'static [&'static str]) -> Rule {
    Rule { id, title, core: false, attack }
}

const fn core(id: &'static str, title: &'static str, attack: &'static [&'static str]) -> Rule {
    Rule { id, title, core: true, attack }
}

/// Every rule, in the order of a report.
pub(super) const RULES: &[Rule] = &[
    core("SMSS-000", "master present", &["T1014"]),
    core("SMSS-001", "parent is System (4)", &["T1134.004", MASQUERADE]),
    core("SMSS-002", "image path (kernel)", &[MASQUERADE]),
    plain("SMSS-003", "PEB path agrees with the kernel's", &[MASQUERADE]),
    plain("SMSS-004", "file behind the image agrees", &["T1055.013"]),
    plain("SMSS-005", "form of the command line", &["T1036"]),
    core("SMSS-006", "one live master", &[MASQUERADE]),
    plain("SMSS-007", "no stale session child", &[MASQUERADE]),
    core("SMSS-008", "user is Local System", &["T1134", MASQUERADE]),
    plain("SMSS-009", "token has the shape of System's", &["T1134.001"]),
    plain("SMSS-010", "token is not shared", &["T1134.001"]),
    core("SMSS-011", "session of the master is none", &[MASQUERADE]),
    core("SMSS-012", "started within seconds of the boot", &[MASQUERADE]),
    plain("SMSS-013", "protection is WinTcb-Light (0x61)", &["T1562.001"]),
    plain("SMSS-014", "no 32-bit process", &[MASQUERADE]),
    plain("SMSS-015", "marked critical", &["T1562.001"]),
    plain("SMSS-016", "native modules only", &["T1055.001"]),
    plain("SMSS-017", "not hollowed", &["T1055.012"]),
    plain("SMSS-018", "no private executable memory, threads start in the image", &[INJECTION]),
    plain("SMSS-019", "children are known", &[BOOT]),
    plain("SMSS-020", "no look-alike names", &[MASQUERADE, "T1036.002"]),
    plain("SMSS-021", "every view has the same processes", &["T1014"]),
    plain("SMSS-022", "no debugger, no invasive handles", &[INJECTION]),
    plain("SMSS-023", "no windows, no sockets", &[INJECTION]),
    plain("SMSS-024", "image name agrees with the path", &["T1036", "T1014"]),
    plain("SMSS-025", "master has not exited", &[]),
    plain("SMSS-026", "priority and thread count", &[]),
    plain("SMSS-027", "dynamic code is disabled", &["T1562.001"]),
    plain("SMSS-028", "master holds session 0's csrss", &[]),
    plain("SMR-00", "control set resolved", &[]),
    core("SMR-01", "Required is Debug and Windows", &["T1547"]),
    plain("SMR-02", "every value of SubSystems is known", &["T1547"]),
    core("SMR-03", "Windows starts csrss from System32", &["T1574"]),
    core("SMR-04", "ServerDll list", &["T1574"]),
    plain("SMR-05", "registry agrees with csrss's command line", &["T1547"]),
    plain("SMR-06", "Optional, Posix and Os2", &["T1547"]),
    plain("SMR-07", "Kmode is win32k.sys", &["T1547"]),
    plain("SMR-08", "Debug is empty", &[]),
    core("SMR-10", "BootExecute", &[BOOT]),
    plain("SMR-11", "BootExecuteNoPnpSync, PlatformExecute, SetupExecute", &[BOOT]),
    plain("SMR-12", "Execute, S0InitialCommand, winlogon's debugger", &[BOOT, "T1546.012"]),
    plain("SMR-13", "PendingFileRenameOperations", &["T1562.001"]),
    plain("SMR-14", "KnownDLLs", &["T1574.001"]),
    plain("SMR-15", "AppCertDlls", &["T1546.009"]),
    plain("SMR-16", "Environment", &["T1574.007", "T1574.012"]),
    plain("SMR-17", "DOS Devices, ObjectDirectories", &[]),
    plain("SMR-18", "ProtectionMode, AllowProtectedRenames, search modes", &["T1574.001"]),
    plain("SES-01", "one csrss per session", &[]),
    core("SES-02", "csrss and wininit or winlogon have one creator", &["T1134.004", MASQUERADE]),
    plain("SES-03", "the creator of a session has gone", &["T1134.004", MASQUERADE]),
    plain("SES-04", "one wininit, in session 0", &[MASQUERADE]),
    plain("SES-05", "one winlogon per user session", &[MASQUERADE]),
    plain("SES-06", "csrss: path and protection", &[MASQUERADE, "T1562.001"]),
    plain("SES-07", "session agrees with the token's", &["T1134.001"]),
    plain("SES-08", "sessions classified", &[]),
];

/// The rule with this id.
pub(super) fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

/// The rule's place in a report.
pub(super) fn order(id: &str) -> usize {
    RULES.iter().position(|rule| rule.id == id).unwrap_or(usize::MAX)
}

/// Where a record's field comes from when the record does not say itself: structure and field.
pub(super) fn field(name: &str) -> (&'static str, &str) {
    let known = FIELDS.iter().find(|(field, ..)| *field == name);
    known.map_or(("_EPROCESS", name), |(_, structure, field)| (structure, field))
}

const FIELDS: &[(&str, &str, &str)] = &[
    ("active_links", "_EPROCESS", "ActiveProcessLinks"),
    ("pid", "_EPROCESS", "UniqueProcessId"),
    ("ppid", "_EPROCESS", "InheritedFromUniqueProcessId"),
    ("name", "_EPROCESS", "ImageFileName"),
    ("created", "_EPROCESS", "CreateTime"),
    ("exited", "_EPROCESS", "ExitTime"),
    ("session", "_EPROCESS", "Session"),
    ("wow64", "_EPROCESS", "WoW64Process"),
    ("threads", "_EPROCESS", "ActiveThreads"),
    ("path", "_EPROCESS", "SeAuditProcessCreationInfo"),
    ("peb_path", "_RTL_USER_PROCESS_PARAMETERS", "ImagePathName"),
    ("command_line", "_RTL_USER_PROCESS_PARAMETERS", "CommandLine"),
    ("modules", "_PEB_LDR_DATA", "InLoadOrderModuleList"),
    ("image_base", "_PEB", "ImageBaseAddress"),
    ("section_base", "_EPROCESS", "SectionBaseAddress"),
    ("section_file", "_FILE_OBJECT", "FileName"),
    ("user", "_TOKEN", "UserAndGroups"),
    ("groups", "_TOKEN", "UserAndGroups"),
    ("integrity", "_TOKEN", "IntegrityLevelIndex"),
    ("authentication_id", "_TOKEN", "AuthenticationId"),
    ("token_session", "_TOKEN", "SessionId"),
    ("token", "_EPROCESS", "Token"),
    ("protection", "_EPROCESS", "Protection"),
    ("critical", "_EPROCESS", "Flags"),
    ("dynamic_code_disabled", "_EPROCESS", "MitigationFlags"),
    ("base_priority", "_KPROCESS", "BasePriority"),
    ("debug_port", "_EPROCESS", "DebugPort"),
    ("win32_process", "_EPROCESS", "Win32Process"),
    ("silo", "_EPROCESS", "Job"),
];

/// Processes that run from System32 of every machine, in all that their volume tells of where that is.
pub(super) const OF_SYSTEM32: &[&str] =
    &["csrss.exe", "wininit.exe", "winlogon.exe", "services.exe", "lsass.exe", "svchost.exe"];
/// Pid of System on every version.
pub(super) const SYSTEM_PID: u64 = 4;
/// The image, below the system root.
pub(super) const SMSS_PATH: &str = "\\System32\\smss.exe";
/// What the PEB says of it on every version, and the whole command line of the master.
pub(super) const SMSS_COMMAND: &str = "\\SystemRoot\\System32\\smss.exe";
/// Local System.
pub(super) const LOCAL_SYSTEM: &str = "S-1-5-18";
/// The System integrity label, Vista and later.
pub(super) const SYSTEM_LABEL: &str = "S-1-16-16384";
/// LUID of the Local System logon.
pub(super) const SYSTEM_LOGON: u64 = 0x3e7;
/// Groups that a token gets by a logon or from the service manager; `*` ends a prefix.
pub(super) const FOREIGN_GROUPS: &[&str] = &["S-1-5-6", "S-1-5-4", "S-1-2-1", "S-1-5-5-*", "S-1-5-80-*"];
/// `PS_PROTECTION.Level`: signer WinTcb, type protected light.
pub(super) const WIN_TCB_LIGHT: u64 = 0x61;
/// First build with `EPROCESS.Protection`: 8.1.
pub(super) const FIRST_PROTECTED: u32 = 9600;
/// First build where smss switches dynamic code off: Windows 10.
pub(super) const FIRST_WITHOUT_DYNAMIC_CODE: u32 = 10240;
/// Set by smss itself.
pub(super) const BASE_PRIORITY: i32 = 11;
/// Threads seen: 2 to 4.
pub(super) const MANY_THREADS: u32 = 16;
/// Seconds from System's start to smss's: inclusive bounds of what passes, is low, is medium; beyond is high.
pub(super) const START_BANDS: [i64; 4] = [-2, 10, 60, 600];
/// Seconds a session child lives at most before it is odd (low), and suspicious (medium).
pub(super) const CHILD_AGE: [i64; 2] = [60, 300];
/// Session children that the master has at work at a time on a machine of few processors.
pub(super) const CHILDREN_AT_ONCE: usize = 4;
/// Modules of smss.exe in its loader lists, below the system root.
pub(super) const MODULES: &[&str] = &[SMSS_PATH, "\\System32\\ntdll.dll"];
/// Builds of Windows 7, where apisetschema.dll is mapped into every process.
pub(super) const API_SET_NOISE: std::ops::RangeInclusive<u32> = 7600..=7601;

/// What smss starts on every boot or for every session.
pub(super) const CHILDREN: &[&str] = &["smss.exe", "csrss.exe", "wininit.exe", "winlogon.exe", "autochk.exe"];
/// What it starts now and then: conversion of a volume, servicing, setup, firmware's own program, crash reports.
pub(super) const CHILDREN_AT_TIMES: &[&str] =
    &["autoconv.exe", "autofmt.exe", "setupcl.exe", "poqexec.exe", "wpbbin.exe", "WerFault.exe"];
/// What other vendors have it start; not all of it lives in System32.
pub(super) const CHILDREN_OF_VENDORS: &[&str] =
    &["PvsVmBoot.exe", "SophosNA.exe", "omnissa-ic-nga.exe", "icarus_rvrt.exe"];
/// The POSIX subsystem, and the last build that has one: 8 and Server 2012.
pub(super) const POSIX: (&str, u32) = ("psxss.exe", 9200);

/// Where Windows keeps other copies of smss.exe: below the root of the volume, and below the system root.
pub(super) const SPARE_COPIES: [&[&str]; 2] =
    [&["\\$WINDOWS.~BT", "\\$WinREAgent"], &["\\WinSxS", "\\SoftwareDistribution", "\\SystemTemp", "\\uus"]];

/// `PROCESS_VM_WRITE` and `PROCESS_CREATE_THREAD` (winnt.h): what it takes to run code in another process.
pub(super) const INVASIVE_ACCESS: u64 = 0x20 | 0x2;
/// `PROCESS_VM_READ` (winnt.h).
pub(super) const VM_READ: u64 = 0x10;
/// Processes of Windows that have handles to others for their work.
pub(super) const CORE_HOLDERS: &[&str] = &["csrss.exe", "services.exe", "lsass.exe", "wininit.exe", "winlogon.exe"];
/// Services of products that watch other processes. By the vendors' documentation; more exist.
pub(super) const SECURITY_PRODUCTS: &[&str] = &[
    "MsMpEng.exe",
    "MsSense.exe",
    "CSFalconService.exe",
    "SentinelAgent.exe",
    "RepMgr.exe",
    "cyserver.exe",
    "elastic-endpoint.exe",
    "ekrn.exe",
    "avp.exe",
    "AvastSvc.exe",
    "AVGSvc.exe",
    "bdservicehost.exe",
    "mfemms.exe",
    "SSPService.exe",
    "xagt.exe",
];
