//! Ready-made departures from the clean machine: benign oddities and attacks, each one step.

use crate::clean::user_plan;
use crate::scenario::{Damage, JobPlan, Paged, Place, Private, Proc, Scenario, TokenPlan, Unlinked};
use crate::time::Time;

/// In what a second `smss.exe` differs from the real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impostor {
    /// Kernel path in the user's profile.
    Path,
    /// Parent is explorer.
    Parent,
    /// The console user's token.
    User,
    /// Session 1.
    Session,
    /// 32-bit.
    Wow64,
    /// Started hours after boot (as all the others do; otherwise a perfect copy).
    Late,
    /// All of it, as Brontok does.
    All,
}

impl Scenario {
    /// A program of this machine by its DOS path, to be changed and pushed to `processes`.
    #[must_use]
    pub fn program(&self, pid: u64, ppid: u64, path: &str, created: Time, session: Option<u32>) -> Proc {
        let name = path.rsplit('\\').next().unwrap_or(path);
        let rest = path.get(2..).unwrap_or(path).replace("\\system32\\", "\\System32\\");
        let mut token = TokenPlan::system();
        token.session = session.unwrap_or(0);
        Proc {
            pid,
            ppid,
            name: name.bytes().take(14).collect(),
            created,
            exited: None,
            session,
            token,
            path: Some(format!("{}{rest}", self.volume)),
            user: Some(user_plan(self.build, &self.system_root, pid, path, path)),
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
        }
    }

    /// A session child of smss: path and arguments as the build writes them.
    #[must_use]
    pub fn session_child(&self, pid: u64, created: Time, session: u32, arguments: &str) -> Proc {
        let mut child = self.processes.iter().find(|p| p.pid == 348).expect("a clean machine's smss").clone();
        (child.pid, child.ppid, child.created, child.critical) = (pid, 348, created, false);
        child.opens.clear();
        child.session = Some(session);
        child.token.session = session;
        if let Some(user) = &mut child.user {
            user.command_line = format!("\\SystemRoot\\System32\\smss.exe {arguments}");
        }
        child
    }

    fn insert_after(&mut self, pid: u64, proc: Proc) {
        let at = self.processes.iter().position(|p| p.pid == pid).expect("a process to follow");
        self.processes.insert(at + 1, proc);
    }

    /// The two session children, exited and still in the list.
    #[must_use]
    pub fn with_exited_session_children(mut self) -> Self {
        for (pid, session, before) in [(444, 0, 452), (520, 1, 536)] {
            let created = self.process(before).created.plus_ms(-140);
            let mut child = self.session_child(pid, created, session, "000000d0 00000074 ");
            child.exited = Some(created.plus_ms(900));
            child.in_cid_table = false;
            self.insert_after(348, child);
        }
        self
    }

    /// A session in the making: a live child, two seconds old, and no csrss yet.
    #[must_use]
    pub fn with_young_session_child(mut self) -> Self {
        let child = self.session_child(3300, self.captured.plus_ms(-2_000), 2, "00000124 000000b8 ");
        self.processes.push(child);
        self
    }

    /// A server silo: its own smss, csrss, wininit, services and lsass, in session 4 (as a public process list of a container shows).
    #[must_use]
    pub fn with_silo(mut self) -> Self {
        let start = self.boot.plus_ms(3_600_000);
        let root = self.system_root.clone();
        self.jobs.push(JobPlan { id: 4400, silo_session: Some(4) });
        let mut smss = self.session_child(4508, start, 4, "000000d0 00000084 ");
        smss.session = None;
        smss.token.session = 4;
        smss.critical = true;
        let mut list = vec![smss];
        for (pid, ppid, name, ms) in [
            (4524, 4508, "csrss.exe", 120),
            (3752, 4508, "wininit.exe", 310),
            (2488, 3752, "services.exe", 520),
            (700, 3752, "lsass.exe", 560),
            (4716, 2488, "CExecSvc.exe", 900),
        ] {
            let path = format!("{root}\\system32\\{name}");
            let mut proc = self.program(pid, ppid, &path, start.plus_ms(ms), Some(4));
            if matches!(name, "csrss.exe" | "wininit.exe" | "services.exe") {
                (proc.protection, proc.critical) = (0x61, true);
            }
            if name == "csrss.exe" {
                proc.user.as_mut().expect("user memory").command_line = crate::clean::csrss_command(self.build);
            }
            list.push(proc);
        }
        // The container's files are on a volume of their own; ntdll is the host's.
        for proc in &mut list {
            proc.job = Some(4400);
            proc.path = proc
                .path
                .take()
                .map(|p| p.replace(&self.volume, "\\Device\\VhdHardDisk{4f1c8f6d-0a2b-4c3d-9e8f-001122334455}"));
        }
        self.processes.extend(list);
        self
    }

    /// A second `smss.exe`.
    #[must_use]
    pub fn with_impostor(mut self, kind: Impostor) -> Self {
        let is = |k: Impostor| kind == k || kind == Impostor::All;
        let mut fake = self.session_child(3636, self.captured.plus_ms(-5_400_000), 0, "");
        fake.ppid = if is(Impostor::Parent) { 2260 } else { 4 };
        fake.session = is(Impostor::Session).then_some(1);
        fake.token.session = u32::from(is(Impostor::Session));
        fake.critical = !is(Impostor::User);
        fake.wow64 = is(Impostor::Wow64);
        if is(Impostor::User) {
            fake.token = TokenPlan::user(1);
            fake.token.session = u32::from(is(Impostor::Session));
            (fake.protection, fake.base_priority) = (0, 8);
        }
        let user = fake.user.as_mut().expect("user memory");
        user.command_line = user.path.clone();
        if is(Impostor::Path) {
            let path = "C:\\Users\\alice\\AppData\\Local\\smss.exe";
            user.path = path.into();
            user.command_line = format!("\"{path}\"");
            user.image_base = 0x40_0000;
            user.modules[0] = path.into();
            fake.path = Some(format!("{}{}", self.volume, &path[2..]));
        }
        self.processes.push(fake);
        self
    }

    /// The real smss with its image replaced: the PEB names another base, private and executable.
    #[must_use]
    pub fn with_hollowed_smss(mut self) -> Self {
        let smss = self.process(348);
        let user = smss.user.as_mut().expect("user memory");
        smss.section_base = Some(user.image_base);
        user.image_base = 0x1_4000_0000;
        let mut bytes = vec![0x90; 0x3000];
        bytes[..2].copy_from_slice(b"MZ");
        user.private.push(Private { start: 0x1_5000_0000, bytes, protection: 6 });
        smss.thread_starts = vec![0x1_5000_1000];
        self
    }

    /// A process that is in no list.
    #[must_use]
    pub fn with_unlinked(mut self, pid: u64) -> Self {
        self.process(pid).linked = false;
        self
    }

    /// A process that is in no list but the scan of memory finds: `left` are the places that somebody forgot.
    #[must_use]
    pub fn with_hidden(mut self, pid: u64, unlinked: Unlinked, left: &[Place]) -> Self {
        let all = [Place::ThreadIds, Place::MmList, Place::SessionList, Place::JobList, Place::HandleTables];
        let process = self.process(pid);
        (process.linked, process.in_cid_table, process.unlinked) = (false, false, unlinked);
        process.absent_from = all.into_iter().filter(|place| !left.contains(place)).collect();
        self
    }

    /// A process of which only the object is there yet: no thread, and links that are null.
    #[must_use]
    pub fn with_process_in_the_making(mut self) -> Self {
        let path = format!("{}\\system32\\cmd.exe", self.system_root);
        let mut made = self.program(4100, 2260, &path, self.captured.plus_ms(-20), Some(1));
        (made.threads, made.linked, made.unlinked) = (0, false, Unlinked::Null);
        made.in_cid_table = false;
        made.absent_from = vec![Place::MmList, Place::SessionList, Place::HandleTables];
        self.processes.push(made);
        self
    }

    /// The first two session creators' ids given to others: one long after, one in the very second in which the child exited.
    #[must_use]
    pub fn with_reused_ids(mut self) -> Self {
        let root = self.system_root.clone();
        let path = format!("{root}\\system32\\svchost.exe");
        let csrss = self.process(452).created;
        let mut same_second = self.program(444, 664, &path, Time(csrss.0 - csrss.0 % 10_000_000).plus_ms(999), Some(0));
        same_second.user.as_mut().expect("user memory").command_line = format!("{path} -k netsvcs -p -s Themes");
        let later = self.program(520, 664, &path, self.boot.plus_ms(600_000), Some(0));
        self.processes.extend([same_second, later]);
        self
    }

    /// Parents in a ring: services is the child of a svchost that is the child of services' own creator.
    #[must_use]
    pub fn with_parent_ring(mut self) -> Self {
        self.process(528).ppid = 804;
        self
    }

    /// The clock was set back by so many seconds after smss began: everything later is stamped earlier.
    #[must_use]
    pub fn with_clock_step(mut self, seconds: i64) -> Self {
        let turn = self.process(348).created;
        for proc in &mut self.processes {
            if proc.created > turn {
                proc.created = proc.created.plus_ms(-seconds * 1000);
                proc.exited = proc.exited.map(|t| t.plus_ms(-seconds * 1000));
                self.interrupt_ahead.insert(proc.pid, seconds * 1000);
            }
        }
        self
    }

    /// The forward link of a process leads nowhere.
    #[must_use]
    pub fn with_torn_flink(mut self, pid: u64) -> Self {
        self.damage.push(Damage::TornFlink { pid, to: UNMAPPED });
        self
    }

    /// The backward link of a process leads nowhere.
    #[must_use]
    pub fn with_torn_blink(mut self, pid: u64) -> Self {
        self.damage.push(Damage::TornBlink { pid, to: UNMAPPED });
        self
    }

    /// The PEB of a process in a state.
    #[must_use]
    pub fn with_peb(mut self, pid: u64, state: Paged) -> Self {
        self.process(pid).user.as_mut().expect("user memory").peb = state;
        self
    }
}

/// A kernel address that is never mapped.
pub const UNMAPPED: u64 = 0xffff_9999_dead_0000;
