//! A clean machine of each build, as a starting point for scenarios.

use crate::builds::Build;
use crate::layout::Layout;
use crate::scenario::{
    CodeView, DebuggerData, Headers, KernelPages, KernelPlan, PagePlan, Paged, PagingPlan, Proc, Product, Scenario,
    TokenPlan, Unlinked, UserPlan,
};
use crate::time::Time;
use std::collections::BTreeMap;

/// SID of the interactive user.
pub const USER: &str = "S-1-5-21-1004336348-1177238915-682003330-1001";

impl TokenPlan {
    /// Local System, as the System process has it (`S-1-5-18` and its three groups).
    #[must_use]
    pub fn system() -> Self {
        Self {
            user: "S-1-5-18".into(),
            groups: ["S-1-5-32-544", "S-1-1-0", "S-1-5-11"].map(String::from).into(),
            integrity: "S-1-16-16384".into(),
            authentication_id: 0x3e7,
            session: 0,
        }
    }

    /// A service account: 19 Local Service, 20 Network Service.
    #[must_use]
    pub fn service(account: u32) -> Self {
        Self {
            user: format!("S-1-5-{account}"),
            groups: ["S-1-1-0", "S-1-5-32-545", "S-1-5-6", "S-1-2-1", "S-1-5-11", "S-1-5-15"].map(String::from).into(),
            integrity: "S-1-16-16384".into(),
            authentication_id: if account == 19 { 0x3e5 } else { 0x3e4 },
            session: 0,
        }
    }

    /// The user at the console, medium integrity.
    #[must_use]
    pub fn user(session: u32) -> Self {
        Self {
            user: USER.into(),
            groups: [
                "S-1-5-21-1004336348-1177238915-682003330-513",
                "S-1-1-0",
                "S-1-5-32-545",
                "S-1-5-4",
                "S-1-2-1",
                "S-1-5-11",
                "S-1-5-15",
                "S-1-5-5-0-175034",
            ]
            .map(String::from)
            .into(),
            integrity: "S-1-16-8192".into(),
            authentication_id: 0x2_ab12,
            session,
        }
    }

    /// A virtual account of a session: 90 Window Manager, 96 Font Driver Host.
    #[must_use]
    pub fn virtual_account(authority: u32, session: u32, integrity: &str) -> Self {
        Self {
            user: format!("S-1-5-{authority}-0-{session}"),
            groups: ["S-1-1-0", "S-1-5-32-545", "S-1-5-4", "S-1-5-11"].map(String::from).into(),
            integrity: integrity.into(),
            authentication_id: 0xb000 + u64::from(authority) * 16 + u64::from(session),
            session,
        }
    }
}

/// Shorthand for the processes of one machine.
struct Cast<'a> {
    build: Build,
    volume: &'a str,
    root: &'a str,
    start: Time,
    list: Vec<Proc>,
}

impl Cast<'_> {
    /// Adds a process; times are milliseconds after the start of System.
    fn add(&mut self, pid: u64, ppid: u64, name: &str, ms: i64) -> &mut Proc {
        self.list.push(Proc {
            pid,
            ppid,
            name: name.bytes().take(14).collect(),
            created: self.start.plus_ms(ms),
            exited: None,
            session: None,
            token: TokenPlan::system(),
            path: None,
            user: None,
            section_base: None,
            wow64: false,
            threads: 2,
            base_priority: 8,
            protection: 0,
            critical: false,
            linked: true,
            unlinked: Unlinked::default(),
            in_cid_table: true,
            absent_from: Vec::new(),
            job: None,
            shares_token_of: None,
            thread_starts: Vec::new(),
            opens: Vec::new(),
            stage: crate::motion::Stage::default(),
        });
        self.list.last_mut().expect("just added")
    }

    /// A program of System32 in a session.
    fn program(&mut self, pid: u64, ppid: u64, name: &str, ms: i64, session: u32) -> &mut Proc {
        let path = format!("{}\\system32\\{name}", self.root);
        self.image(pid, ppid, name, ms, session, &path)
    }

    /// A program anywhere in a session, by its DOS path.
    fn image(&mut self, pid: u64, ppid: u64, name: &str, ms: i64, session: u32, path: &str) -> &mut Proc {
        let plan = user_plan(self.build, self.root, pid, path, path);
        let kernel = format!("{}{}", self.volume, kernel_form(path));
        let proc = self.add(pid, ppid, name, ms);
        proc.session = Some(session);
        proc.token.session = session;
        proc.path = Some(kernel);
        proc.user = Some(plan);
        proc
    }
}

/// The kernel's spelling of a DOS path, without the device: `System32` has a capital there.
fn kernel_form(dos: &str) -> String {
    dos.get(2..).unwrap_or(dos).replace("\\system32\\", "\\System32\\")
}

/// User memory of a program: stock environment, its modules, an image base of the build's kind.
#[must_use]
pub fn user_plan(build: Build, root: &str, pid: u64, path: &str, command_line: &str) -> UserPlan {
    let system = format!("{root}\\SYSTEM32\\ntdll.dll");
    let libraries = [("KERNEL32.DLL"), ("KERNELBASE.dll")].map(|l| format!("{root}\\System32\\{l}"));
    let image_base =
        if build <= Build::W8_9200 { 0xff00_0000 + pid * 0x1_0000 } else { 0x7ff6_0000_0000 + pid * 0x12_0000 };
    UserPlan {
        path: path.into(),
        command_line: command_line.into(),
        image_base,
        modules: [path.to_owned(), system].into_iter().chain(libraries).collect(),
        environment: vec![
            format!("ComSpec={root}\\system32\\cmd.exe"),
            "NUMBER_OF_PROCESSORS=2".into(),
            "OS=Windows_NT".into(),
            format!("Path={root}\\system32;{root};{root}\\System32\\Wbem"),
            "SystemDrive=C:".into(),
            format!("SystemRoot={root}"),
            format!("windir={root}"),
        ],
        unlisted: Vec::new(),
        peb: Paged::Present,
        peb_table: Paged::Present,
        parameters: Paged::Present,
        image: Paged::Present,
        edits: Vec::new(),
        libraries: Paged::Present,
        private: Vec::new(),
    }
}

/// The command line of csrss, which is the value of `SubSystems\Windows`.
#[must_use]
pub fn csrss_command(build: Build) -> String {
    let console = if build == Build::W7_7601 { " ServerDll=winsrv:ConServerDllInitialization,2" } else { "" };
    format!(
        "%SystemRoot%\\system32\\csrss.exe ObjectDirectory=\\Windows SharedSection=1024,20480,768 Windows=On \
         SubSystemType=Windows ServerDll=basesrv,1 ServerDll=winsrv:UserServerDllInitialization,3{console} \
         ServerDll=sxssrv,4 ProfileControl=Off MaxRequestThreads=16"
    )
}

impl Scenario {
    /// A machine of this build on which nothing is wrong: 18 or so processes, two sessions, 5 MiB.
    #[must_use]
    pub fn clean(build: Build) -> Self {
        Self::clean_at(build, "C:\\Windows")
    }

    /// A machine with this kernel on which nothing is wrong.
    #[must_use]
    pub fn of(layout: &Layout) -> Self {
        Self { layout: Some(layout.clone()), ..Self::clean(layout.build) }
    }

    /// The same as [`Scenario::clean`] with another system root, such as `D:\\WINNT`.
    #[must_use]
    pub fn clean_at(build: Build, root: &str) -> Self {
        let volume = if build == Build::W7_7601 { "\\Device\\HarddiskVolume1" } else { "\\Device\\HarddiskVolume3" };
        let boot = Time::at("2026-03-14T08:00:00.0312345Z");
        let mut scenario = Self {
            build,
            seed: 0x5eed_0000 + u64::from(build.number()),
            layout: None,
            symbols: None,
            memory: vec![0x1000..0x9_f000, 0x10_0000..0x50_0000],
            kernel: KernelPlan {
                base: if build.randomises_kernel_space() { 0xffff_f803_12a0_0000 } else { 0xffff_f800_02a0_0000 },
                pages: KernelPages::Small,
                headers: Headers::Present,
                codeview: CodeView::Present,
                debugger: DebuggerData::Clear,
            },
            paging: PagingPlan {
                system_dtb: if build.randomises_kernel_space() { 0x1a_d000 } else { 0x18_7000 },
                self_reference: if build.randomises_kernel_space() { 0x1a5 } else { 0x1ed },
                low_stub: Some(0x1000),
                root_flags: 0,
                invalid_pte_mask: if build.masks_invalid_entries() { 0x2000_0000_0000 } else { 0 },
                levels: 4,
            },
            system_root: root.into(),
            volume: volume.into(),
            processors: 2,
            product: if build == Build::S2022_20348 { Product::Server } else { Product::Client },
            boot,
            captured: Time::at("2026-03-14T15:09:26.2004443Z"),
            tail_bytes: 0,
            processes: Vec::new(),
            hives: Vec::new(),
            open_keys: Vec::new(),
            named_objects: Vec::new(),
            jobs: Vec::new(),
            interrupt_ahead: BTreeMap::new(),
            pool_forms: BTreeMap::new(),
            relics: Vec::new(),
            dense: false,
            entries: false,
            on_processors: Vec::new(),
            ring_heads: false,
            idle_process: false,
            pages: PagePlan::default(),
            damage: Vec::new(),
        };
        let mut cast = Cast { build, volume, root, start: boot.plus_ms(4_712), list: Vec::new() };
        cast.kernel_processes();
        cast.sessions();
        cast.services();
        cast.desktop();
        scenario.processes = cast.list;
        scenario.hives = crate::system_hive::hives(&scenario);
        scenario
    }
}

impl Cast<'_> {
    fn kernel_processes(&mut self) {
        let (system, light) = if self.build == Build::W81_9600 { (0x62, 0x61) } else { (0x72, 0x61) };
        let build = self.build;
        let p = self.add(4, 0, "System", 0);
        p.threads = 6;
        p.protection = system;
        if build.has_registry_process() {
            let p = self.add(92, 4, "Registry", -4_250);
            p.path = Some("Registry".into());
            p.protection = system;
            p.threads = 3;
        }
        let smss = format!("{}{}\\System32\\smss.exe", self.volume, &self.root[2..]);
        let mut user =
            user_plan(build, self.root, 348, r"\SystemRoot\System32\smss.exe", r"\SystemRoot\System32\smss.exe");
        user.modules.truncate(2);
        user.environment.truncate(3);
        if build == Build::W7_7601 {
            // Mapped into every process of Windows 7, in no loader list (known noise of list comparisons).
            user.unlisted = vec![format!("{}\\System32\\apisetschema.dll", self.root)];
        }
        let p = self.add(348, 4, "smss.exe", 31);
        p.path = Some(smss);
        p.user = Some(user);
        p.base_priority = 11;
        p.protection = light;
        p.critical = true;
        // The master waits for session 0's csrss for ever (Windows Internals 7th ed., ch. 2).
        p.opens = vec![(452, 0x1f_ffff)];
    }

    fn sessions(&mut self) {
        let (command, root) = (csrss_command(self.build), self.root);
        for (pid, ppid, session, ms) in [(452, 444, 0, 1_820), (536, 520, 1, 2_530)] {
            let p = self.program(pid, ppid, "csrss.exe", ms, session);
            let user = p.user.as_mut().expect("has user memory");
            user.command_line.clone_from(&command);
            let servers =
                ["CSRSRV.dll", "basesrv.DLL", "winsrv.DLL", "sxssrv.DLL"].map(|l| format!("{root}\\SYSTEM32\\{l}"));
            user.modules.splice(2..2, servers);
            (p.base_priority, p.protection, p.critical, p.threads) = (13, 0x61, true, 3);
        }
        let p = self.program(528, 444, "wininit.exe", 2_490, 0);
        p.user.as_mut().expect("has user memory").command_line = "wininit.exe".into();
        (p.base_priority, p.protection, p.critical, p.threads) = (13, 0x61, true, 2);
        let p = self.program(616, 520, "winlogon.exe", 2_800, 1);
        p.user.as_mut().expect("has user memory").command_line = "winlogon.exe".into();
        (p.base_priority, p.threads) = (13, 2);
        let p = self.program(664, 528, "services.exe", 3_020, 0);
        (p.base_priority, p.protection, p.critical, p.threads) = (9, 0x61, true, 3);
        let p = self.program(684, 528, "lsass.exe", 3_050, 0);
        (p.base_priority, p.threads, p.critical) = (9, 3, true);
        if self.build == Build::W7_7601 {
            self.program(692, 528, "lsm.exe", 3_070, 0).threads = 2;
        }
    }

    fn services(&mut self) {
        for (pid, ms, arguments, account) in [
            (804, 3_600, "-k DcomLaunch -p", 18),
            (908, 3_900, "-k RPCSS -p", 20),
            (1012, 4_200, "-k netsvcs -p -s Schedule", 18),
            (1104, 4_350, "-k LocalService -p -s nsi", 19),
        ] {
            let p = self.program(pid, 664, "svchost.exe", ms, 0);
            let user = p.user.as_mut().expect("has user memory");
            user.command_line = format!("{} {arguments}", user.path);
            if account != 18 {
                p.token = TokenPlan::service(account);
            }
        }
        self.program(1480, 664, "spoolsv.exe", 5_300, 0);
        if self.build.has_compression_process() {
            let p = self.add(1632, 4, "MemCompression", 9_100);
            p.path = Some("MemCompression".into());
            p.protection = 0x72;
        }
    }

    fn desktop(&mut self) {
        let parent = if self.build == Build::W7_7601 { 1012 } else { 616 };
        let build = self.build;
        let p = self.program(1240, parent, "dwm.exe", 4_700, 1);
        p.user.as_mut().expect("has user memory").command_line = "\"dwm.exe\"".into();
        p.base_priority = 13;
        p.token = if build == Build::W7_7601 {
            TokenPlan::user(1)
        } else {
            TokenPlan::virtual_account(90, 1, "S-1-16-16384")
        };
        let p = self.program(2204, 616, "userinit.exe", 31_000, 1);
        p.token = TokenPlan::user(1);
        p.exited = Some(p.created.plus_ms(29_000));
        let explorer = format!("{}\\Explorer.EXE", self.root);
        let p = self.image(2260, 2204, "explorer.exe", 31_400, 1, &explorer);
        p.token = TokenPlan::user(1);
        p.path = p.path.take().map(|t| t.replace("Explorer.EXE", "explorer.exe"));
        p.threads = 4;
        let p = self.program(3012, 2260, "notepad.exe", 1_200_000, 1);
        let user = p.user.as_mut().expect("has user memory");
        user.command_line =
            "\"C:\\Windows\\system32\\notepad.exe\" C:\\Users\\alice\\Gr\u{fc}n \u{2013} \u{65e5}\u{672c}.txt".into();
        p.token = TokenPlan::user(1);
    }
}
