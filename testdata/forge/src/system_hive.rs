//! What a stock SYSTEM hive says, as far as the session manager reads it (stock values: Microsoft KB 102985 and public registry
//! listings of Windows 7 to 11).

use crate::builds::Build;
use crate::clean::csrss_command;
use crate::hive_plan::{Data, HiveDamage, HivePlan, Key, ListKind};
use crate::scenario::{Product, Scenario};
use crate::time::Time;

/// Path of the session manager's key in the selected control set.
pub const SESSION_MANAGER: &str = "ControlSet001\\Control\\Session Manager";

/// Libraries that every build knows.
const KNOWN_DLLS: [&str; 20] = [
    "advapi32", "clbcatq", "COMDLG32", "difxapi", "gdi32", "IMAGEHLP", "IMM32", "kernel32", "MSCTF", "MSVCRT",
    "NORMALIZ", "NSI", "ole32", "OLEAUT32", "PSAPI", "rpcrt4", "sechost", "SHELL32", "user32", "WS2_32",
];

impl Scenario {
    /// The SYSTEM hive.
    ///
    /// # Panics
    /// When the scenario has none.
    pub fn system_hive(&mut self) -> &mut HivePlan {
        self.hives.iter_mut().find(|h| h.root_path.ends_with("\\SYSTEM")).expect("a SYSTEM hive")
    }

    /// A key of the SYSTEM hive below `ControlSet001\Control\Session Manager`, made if it is not there.
    pub fn session_manager(&mut self, path: &str) -> &mut Key {
        self.system_hive().root.at(SESSION_MANAGER).at(path)
    }

    /// LoJax' entry: `autocheck autoche *` among the programs that run at boot (MITRE ATT&CK S0397).
    #[must_use]
    pub fn with_lojax(mut self) -> Self {
        self.session_manager("").multi("BootExecute", &["autocheck autochk *", "autocheck autoche *"]);
        self
    }

    /// A second control set, not selected, with other values.
    #[must_use]
    pub fn with_second_control_set(mut self) -> Self {
        let root = &mut self.system_hive().root;
        let mut other = root.at("ControlSet001").clone();
        other.name = "ControlSet002".into();
        other.at("Control\\Session Manager").multi("BootExecute", &["autocheck evil *"]);
        root.keys.push(other);
        self
    }

    /// A path of so many keys, `Deep\1\2\3...`, in the SYSTEM hive.
    #[must_use]
    pub fn with_deep_path(mut self, levels: u32) -> Self {
        let path = (1..=levels).fold("Deep".to_owned(), |p, n| format!("{p}\\{n}"));
        self.system_hive().root.at(&path).sz("end", "here");
        self
    }

    /// A value of so many bytes under `Select` (more than 16,344 are stored as big data).
    #[must_use]
    pub fn with_big_value(mut self, bytes: usize) -> Self {
        let data = (0..bytes).map(|n| (n % 251) as u8).collect();
        self.system_hive().root.at("Select").set("Big", Data::Binary(data));
        self
    }

    /// Damage to the SYSTEM hive.
    #[must_use]
    pub fn with_hive_damage(mut self, damage: HiveDamage) -> Self {
        self.system_hive().damage.push(damage);
        self
    }
}

/// The hives of a clean machine.
#[must_use]
pub fn hives(scenario: &Scenario) -> Vec<HivePlan> {
    let written = scenario.boot.plus_ms(-86_400_000 * 40);
    let plan = |name: &str, root: Key| HivePlan {
        path: format!("{}{}\\System32\\config\\{name}", scenario.volume, &scenario.system_root[2..]),
        file: format!("\\SystemRoot\\System32\\Config\\{name}"),
        root_path: format!("\\REGISTRY\\MACHINE\\{name}"),
        root,
        full_directory: false,
        view: None,
        pages: Vec::new(),
        damage: Vec::new(),
    };
    let mut software = Key::new("CMI-CreateHive{8B1E7C54-3D2F-4A6B-9C0D-5E4F3A2B1C0D}", written);
    software
        .at("Microsoft\\Windows NT\\CurrentVersion")
        .sz("CurrentBuild", &scenario.build.number().to_string())
        .sz("SystemRoot", &scenario.system_root);
    vec![plan("SYSTEM", system(scenario, written)), plan("SOFTWARE", software)]
}

fn system(scenario: &Scenario, written: Time) -> Key {
    let mut root = Key::new("CMI-CreateHive{2A7FB991-7BBE-4F9D-B91E-7CB51D4737F5}", written);
    root.at("Select").dword("Current", 1).dword("Default", 1).dword("Failed", 0).dword("LastKnownGood", 1);
    root.at("Setup").dword("SystemSetupInProgress", 0).dword("SetupType", 0).sz("CmdLine", "");
    root.at("MountedDevices").set("\\DosDevices\\C:", Data::Binary((0..24).collect()));
    let control = root.at("ControlSet001\\Control");
    control.at("ComputerName\\ComputerName").sz("ComputerName", "DESKTOP-7Q2R4TN");
    control.at("Windows").expand("Directory", "%SystemRoot%").dword("NoInteractiveServices", 1);
    control.at("Terminal Server").dword("fDenyTSConnections", 1);
    session_manager(control.at("Session Manager"), scenario);
    let services = root.at("ControlSet001\\Services");
    for n in 0..24 {
        let name = format!("svc{n:03}");
        services
            .at(&name)
            .expand("ImagePath", &format!("system32\\drivers\\{name}.sys"))
            .dword("Start", n % 5)
            .dword("Type", 1);
    }
    services.list = ListKind::Ri;
    root.at("ControlSet001\\Enum").list = ListKind::Li;
    // A link that exists only while the machine runs.
    let mut link = Key::new("CurrentControlSet", scenario.boot);
    link.volatile = true;
    link.set("SymbolicLinkValue", Data::Link("\\Registry\\Machine\\System\\ControlSet001".into()));
    root.keys.push(link);
    let mut list = Key::new("hivelist", scenario.boot);
    list.volatile = true;
    list.sz(
        "\\REGISTRY\\MACHINE\\SYSTEM",
        &format!("{}{}\\System32\\config\\SYSTEM", scenario.volume, &scenario.system_root[2..]),
    );
    root.at("ControlSet001\\Control").keys.push(list);
    root
}

fn session_manager(key: &mut Key, scenario: &Scenario) {
    let server = scenario.product != Product::Client;
    key.list = ListKind::Lf;
    key.dword("CriticalSectionTimeout", 0x27_8d00)
        .multi("ExcludeFromKnownDlls", &[])
        .dword("GlobalFlag", 0)
        .dword("NumberOfInitialSessions", 2)
        .multi("ObjectDirectories", &["\\Windows", "\\RPC Control"])
        .dword("ProcessorControl", 2)
        .dword("ProtectionMode", 1)
        .dword("ResourceTimeoutCount", 0x9_e340)
        .multi("RunLevelExecute", &["WinInit", "ServiceControlManager"])
        .multi("RunLevelValidate", &["ServiceControlManager"])
        .multi("SETUPEXECUTE", &[])
        .multi("BootExecute", &[if server { "autocheck autochk /q /v *" } else { "autocheck autochk *" }]);
    if scenario.build > Build::W7_7601 {
        key.expand("BootShell", "%SystemRoot%\\system32\\bootim.exe");
    }
    key.at("Configuration Manager").dword("RegistryLazyFlushInterval", 60);
    key.at("DOS Devices")
        .sz("AUX", "\\DosDevices\\COM1")
        .sz("MAILSLOT", "\\Device\\MailSlot")
        .sz("NUL", "\\Device\\Null")
        .sz("PIPE", "\\Device\\NamedPipe")
        .sz("PRN", "\\DosDevices\\LPT1")
        .sz("UNC", "\\Device\\Mup");
    key.at("Environment")
        .expand("ComSpec", "%SystemRoot%\\system32\\cmd.exe")
        .sz("OS", "Windows_NT")
        .expand("Path", "%SystemRoot%\\system32;%SystemRoot%;%SystemRoot%\\System32\\Wbem")
        .sz("PATHEXT", ".COM;.EXE;.BAT;.CMD;.VBS;.VBE;.JS;.JSE;.WSF;.WSH;.MSC")
        .sz("PROCESSOR_ARCHITECTURE", "AMD64")
        .expand("TEMP", "%SystemRoot%\\TEMP")
        .expand("TMP", "%SystemRoot%\\TEMP")
        .sz("USERNAME", "SYSTEM")
        .expand("windir", "%SystemRoot%")
        .sz("NUMBER_OF_PROCESSORS", &scenario.processors.to_string());
    let known = key.at("KnownDLLs");
    known.expand("DllDirectory", "%SystemRoot%\\system32").expand("DllDirectory32", "%SystemRoot%\\syswow64");
    for name in KNOWN_DLLS {
        known.sz(name, &format!("{name}.dll"));
    }
    key.at("Memory Management")
        .dword("ClearPageFileAtShutdown", 0)
        .multi("PagingFiles", &["?:\\pagefile.sys"])
        .multi("ExistingPageFiles", &["\\??\\C:\\pagefile.sys"]);
    let systems = key.at("SubSystems");
    systems
        .expand("Debug", "")
        .expand("Kmode", "\\SystemRoot\\System32\\win32k.sys")
        .multi("Optional", if scenario.build == Build::W7_7601 { &["Posix"] } else { &[] })
        .expand("Posix", "%SystemRoot%\\system32\\psxss.exe")
        .multi("Required", &["Debug", "Windows"])
        .expand("Windows", &csrss_command(scenario.build));
    let mut shared = Key::new("CSRSS", scenario.boot);
    shared.volatile = true;
    shared.set("CsrSrvSharedSectionBase", Data::Qword(0x7ffe_00b0_0000));
    systems.keys.push(shared);
}
