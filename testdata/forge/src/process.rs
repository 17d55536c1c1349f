//! `_EPROCESS`es and all that hangs on them.

use crate::builds::Build;
use crate::machine::{Machine, utf16z};
use crate::paging::Space;
use crate::physical::PAGE;
use crate::scenario::{Place, PoolForm, Proc};
use crate::section::Files;
use crate::session::Session;
use crate::shared_data::USER_VIEW;
use crate::thread::ThreadPlan;
use crate::truth::TruthProcess;
use crate::user::{IMAGE_BYTES, LIBRARY_BYTES, UserMemory, library_base, wow64_peb};
use crate::vad::Region;
use std::collections::BTreeMap;

const KIND: &str = "_EPROCESS";

/// A process that was forged.
#[derive(Debug)]
pub struct Made {
    /// Its `_EPROCESS`.
    pub body: u64,
    /// Its address space (System's is the kernel's own).
    pub space: Option<Space>,
    /// Its handles: value to (object header, access).
    pub handles: BTreeMap<u64, (u64, u64)>,
    /// Its threads.
    pub threads: Vec<u64>,
    /// Its handle table.
    pub table: Option<u64>,
    /// Its user memory.
    pub user: Option<UserMemory>,
    /// The facts.
    pub truth: TruthProcess,
}

/// The places that hold a process, in the words of [`crate::TruthProcess::sources`]. Objects that lead to others than their owner
/// (handles, processors) are not reckoned with.
fn sources(proc: &Proc) -> Vec<&'static str> {
    let lives = proc.exited.is_none();
    let there = proc.linked || lives;
    let at = |place: Place| !proc.absent_from.contains(&place);
    [
        ("active_list", proc.linked),
        ("cid_table", proc.in_cid_table),
        ("session_list", there && proc.session.is_some() && at(Place::SessionList)),
        ("mm_list", there && at(Place::MmList)),
        ("threads", lives && proc.threads > 0 && at(Place::ThreadIds)),
        ("handle_tables", lives && at(Place::HandleTables)),
        ("job_list", lives && proc.job.is_some() && at(Place::JobList)),
    ]
    .into_iter()
    .filter_map(|(source, held)| held.then_some(source))
    .collect()
}

impl Machine {
    /// Creates a process. Lists that join processes are the caller's.
    pub fn forge_process(&mut self, proc: &Proc, files: &mut Files, sessions: &BTreeMap<u32, Session>) -> Made {
        let form = self.plan.pool_forms.get(&proc.pid).copied().unwrap_or(PoolForm::Block);
        let body = self.object_in("Process", self.layout.size(KIND), None, form);
        // ProcessObject is 3.
        self.put(body, KIND, "Pcb.Header.Type", 3);
        let wait = body + self.offset(KIND, "Pcb.Header") + self.offset("_DISPATCHER_HEADER", "WaitListHead");
        self.link(&[wait]);
        self.write(body + self.offset(KIND, "ImageFileName"), &proc.name[..proc.name.len().min(15)]);
        self.put(body, KIND, "UniqueProcessId", proc.pid);
        self.put(body, KIND, "InheritedFromUniqueProcessId", proc.ppid);
        self.put(body, KIND, "CreateTime", proc.created.0);
        let ahead = self.plan.interrupt_ahead.get(&proc.pid).copied().unwrap_or(0);
        let since = proc.created.plus_ms(ahead).0.saturating_sub(self.plan.boot.0);
        self.maybe(body, KIND, "CreateInterruptTime", if proc.created.0 == 0 { 0 } else { since });
        // A number that each process gets in turn; System has 1.
        self.maybe(body, KIND, "SequenceNumber", (proc.pid / 4).max(1));
        self.put(body, KIND, "ExitTime", proc.exited.map_or(0, |t| t.0));
        self.put(body, KIND, "ExitStatus", if proc.exited.is_some() { 0 } else { 0x103 });
        self.put(body, KIND, "Pcb.BasePriority", u64::from(proc.base_priority));
        self.put(body, KIND, "PriorityClass", 2);
        self.maybe(body, KIND, "Protection.Level", u64::from(proc.protection));
        self.put(body, KIND, "Cookie", 0);
        self.put(body, KIND, "BreakOnTermination", u64::from(proc.critical));
        for flag in ["CreateReported", "HasAddressSpace", "ProcessInserted", "ProcessInSession"] {
            let on = flag != "ProcessInSession" || proc.session.is_some();
            self.maybe(body, KIND, flag, u64::from(on));
        }
        if proc.exited.is_some() {
            for flag in ["ProcessExiting", "ProcessDelete", "VmDeleted"] {
                self.maybe(body, KIND, flag, 1);
            }
        }
        let minimal = proc.user.is_none() && proc.pid != 4 && proc.exited.is_none();
        self.maybe(body, KIND, "Minimal", u64::from(minimal));
        if let Some(id) = proc.session {
            self.put(body, KIND, "Session", sessions[&id].address);
        }
        let token = match proc.shares_token_of.and_then(|pid| self.tokens.get(&pid)) {
            Some(&token) => token,
            None => self.forge_token(&proc.token),
        };
        self.tokens.insert(proc.pid, token);
        // An EX_FAST_REF: the low four bits count references handed out in advance.
        self.put(body, KIND, "Token", token | 0xa);
        self.forge_audit_name(body, proc.path.as_deref());
        let mut made = self.forge_memory(body, proc);
        self.forge_backing(body, proc, files, &mut made);
        self.forge_threads(body, proc, &mut made);
        if proc.in_cid_table {
            self.cids.insert(proc.pid, body);
        }
        let truth = &mut made.truth;
        truth.pid = proc.pid;
        truth.ppid = proc.ppid;
        truth.name = proc.name[..proc.name.len().min(15)].to_vec();
        truth.eprocess = body;
        truth.physical = self.kernel.physical(body).expect("pool is mapped");
        truth.created = proc.created;
        truth.exited = proc.exited;
        truth.session = proc.session;
        truth.user.clone_from(&proc.token.user);
        truth.groups.clone_from(&proc.token.groups);
        truth.integrity.clone_from(&proc.token.integrity);
        truth.authentication_id = proc.token.authentication_id;
        truth.token = token;
        truth.token_session = proc.token.session;
        truth.path.clone_from(&proc.path);
        truth.wow64 = proc.wow64;
        truth.threads = if proc.exited.is_some() { 0 } else { proc.threads };
        truth.base_priority = proc.base_priority;
        truth.protection = self.build().has_protection().then_some(proc.protection);
        truth.critical = proc.critical;
        truth.in_active_list = proc.linked;
        truth.in_cid_table = proc.in_cid_table;
        truth.sources = sources(proc);
        if self.find_global("HandleTableListHead").is_none() {
            truth.sources.retain(|source| *source != "handle_tables");
        }
        made
    }

    /// `SeAuditProcessCreationInfo.ImageFileName`: an `_OBJECT_NAME_INFORMATION` with its text behind it.
    pub fn forge_audit_name(&mut self, body: u64, path: Option<&str>) {
        let text = path.unwrap_or("");
        let head = self.layout.size("_OBJECT_NAME_INFORMATION");
        let info = self.pool(true, b"SeOn", head + utf16z(text).len() as u64);
        if path.is_some() {
            self.put_string(info, text, info + head);
        }
        self.put(body, KIND, "SeAuditProcessCreationInfo.ImageFileName", info);
    }

    /// Page tables and user memory.
    fn forge_memory(&mut self, body: u64, proc: &Proc) -> Made {
        let mut truth = TruthProcess::default();
        let mut space = None;
        let mut user = None;
        let dtb = if proc.pid == 4 && proc.ppid == 0 {
            self.plan.paging.system_dtb
        } else {
            let root = self.memory.take();
            let mut own = Space::new(root, self.plan.paging.levels);
            if let (Some(plan), None) = (&proc.user, proc.exited) {
                user = Some((plan.clone(), self.forge_user(&mut own, proc, plan)));
            }
            space = Some(own);
            root * PAGE
        };
        self.put(body, KIND, "Pcb.DirectoryTableBase", dtb | self.plan.paging.root_flags);
        truth.dtb = dtb;
        let user = user.map(|(plan, memory)| {
            self.put(body, KIND, "Peb", memory.peb);
            truth.peb = Some(memory.peb);
            truth.peb_readable = plan.peb.in_memory() && plan.peb_table.in_memory();
            truth.image_base = Some(plan.image_base);
            truth.modules = memory.modules.iter().map(|m| m.0.clone()).collect();
            truth.peb_path = Some(plan.path.clone());
            truth.command_line = Some(plan.command_line);
            memory
        });
        Made { body, space, handles: BTreeMap::new(), threads: Vec::new(), table: None, user, truth }
    }

    /// Section, file, WOW64.
    fn forge_backing(&mut self, body: u64, proc: &Proc, files: &mut Files, made: &mut Made) {
        let image = proc.path.as_deref().filter(|p| p.starts_with('\\'));
        if let (Some(path), Some(user)) = (image, &proc.user) {
            let (file, area) = self.forge_file(files, path, IMAGE_BYTES / PAGE);
            if proc.exited.is_none() {
                let section = self.forge_section(area);
                self.put(body, KIND, "SectionObject", section);
            }
            self.maybe(body, KIND, "ImageFilePointer", file);
            let base = proc.section_base.unwrap_or(user.image_base);
            self.put(body, KIND, "SectionBaseAddress", base);
            made.truth.section_base = Some(base);
        }
        if let Some(user) = &made.user {
            let mut regions: Vec<Region> = user
                .private
                .iter()
                .map(|&(start, bytes, protection)| Region { start, bytes, protection, file: None, image: false })
                .collect();
            for region in regions.iter_mut().filter(|r| user.shared.contains(&r.start)) {
                region.file = Some(self.forge_fileless(region.bytes / PAGE));
            }
            for (n, (path, start, bytes)) in user.modules.iter().enumerate() {
                let path = if n == 0 { proc.path.clone().unwrap_or_default() } else { self.kernel_path(path) };
                let file = Some(self.forge_file(files, &path, bytes / PAGE));
                regions.push(Region { start: *start, bytes: *bytes, protection: 7, file, image: true });
            }
            if proc.wow64 {
                let start = wow64_peb(proc.pid);
                regions.push(Region { start, bytes: PAGE, protection: 4, file: None, image: false });
            }
            for (path, start, bytes) in &user.unlisted {
                let path = self.kernel_path(path);
                let file = Some(self.forge_file(files, &path, bytes / PAGE));
                regions.push(Region { start: *start, bytes: *bytes, protection: 7, file, image: true });
            }
            if let (true, Some(space)) = (self.plan.pages.sections, &made.space) {
                for region in &regions {
                    let Some((_, area)) = region.file else { continue };
                    self.forge_view(space, region.start, area, &user.frames);
                }
            }
            self.forge_vads(body, regions);
        } else if proc.pid == 4 {
            // System has the shared page and ntdll in its user half, though nothing of it need be in memory.
            let path = self.kernel_path(&format!("{}\\SYSTEM32\\ntdll.dll", self.plan.system_root));
            let file = Some(self.forge_file(files, &path, LIBRARY_BYTES / PAGE));
            let start = library_base(self.build());
            let shared = Region { start: USER_VIEW, bytes: PAGE, protection: 1, file: None, image: false };
            let library = Region { start, bytes: LIBRARY_BYTES, protection: 7, file, image: true };
            self.forge_vads(body, vec![shared, library]);
        }
        if proc.wow64 {
            let peb32 = wow64_peb(proc.pid);
            if self.layout.types.contains_key("_EWOW64PROCESS") && self.layout.find(KIND, "WoW64Process").is_some() {
                let at = self.pool(false, b"Wow6", self.layout.size("_EWOW64PROCESS"));
                self.put(at, "_EWOW64PROCESS", "Peb", peb32);
                self.put(body, KIND, "WoW64Process", at);
            } else {
                self.put(body, KIND, "Wow64Process", peb32);
            }
        }
    }

    /// The kernel's spelling of a library's path.
    fn kernel_path(&self, dos: &str) -> String {
        let rest = dos.get(2..).unwrap_or(dos).replace("\\SYSTEM32\\", "\\System32\\");
        format!("{}{rest}", self.plan.volume)
    }

    /// Threads, and a handle to each.
    fn forge_threads(&mut self, body: u64, proc: &Proc, made: &mut Made) {
        let (list, kernel_list) = (self.offset(KIND, "ThreadListHead"), self.offset(KIND, "Pcb.ThreadListHead"));
        let mut ring = vec![body + list];
        let mut kernel_ring = vec![body + kernel_list];
        let count = if proc.exited.is_some() { 0 } else { proc.threads };
        for n in 0..count {
            let id = self.free_id(proc.pid);
            let numbered = !proc.absent_from.contains(&Place::ThreadIds);
            let peb = made.truth.peb;
            let thread = self.forge_thread(&ThreadPlan {
                process: (proc.pid, body),
                id,
                numbered,
                created: proc.created.plus_ms(i64::from(n) * 37 + 1),
                start: proc
                    .thread_starts
                    .get(n as usize)
                    .copied()
                    .unwrap_or(made.truth.image_base.map_or(0, |b| b + 0x1000)),
                teb: peb.map_or(
                    0,
                    |p| if self.build() <= Build::W8_9200 { p - 0x2000 } else { p + 0x1000 } + u64::from(n) * 0x2000,
                ),
                priority: proc.base_priority,
            });
            ring.push(thread + self.offset("_ETHREAD", "ThreadListEntry"));
            kernel_ring.push(thread + self.offset("_ETHREAD", "Tcb.ThreadListEntry"));
            made.threads.push(thread);
            made.handles.insert(u64::from(n + 1) * 4, (thread - 0x30, 0x1f_ffff));
        }
        self.link(&ring);
        self.link(&kernel_ring);
        self.put(body, KIND, "ActiveThreads", u64::from(count));
    }

    /// A client id that no process of the plan and no thread has.
    fn free_id(&self, near: u64) -> u64 {
        let mut id = (near & 0xffff & !3) + 4;
        while self.cids.contains_key(&id) || self.plan.processes.iter().any(|p| p.pid == id || p.ppid == id) {
            id += 4;
        }
        id
    }
}
