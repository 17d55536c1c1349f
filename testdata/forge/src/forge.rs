//! From a scenario to an image.

use crate::hive_file::HiveFile;
use crate::hive_plan::HiveDamage;
use crate::isf;
use crate::machine::Machine;
use crate::physical::{PAGE, Physical};
use crate::process::Made;
use crate::scenario::{Place, Proc, Scenario, Unlinked};
use crate::section::Files;
use crate::session::Session;
use crate::swap::{SwapFile, Went};
use crate::thread::ThreadPlan;
use crate::truth::{Truth, TruthHive, TruthPage, TruthPlace};
use std::collections::{BTreeMap, BTreeSet};

/// An image, what it holds, and symbols for it.
#[derive(Clone, Debug)]
pub struct Forged {
    /// The raw image: byte n is physical address n.
    pub image: Vec<u8>,
    /// What it holds.
    pub truth: Truth,
    /// A Volatility 3 symbol file for its kernel.
    pub isf: String,
    /// The frames themselves, for other containers.
    pub memory: Physical,
    /// Frames that user memory of some process maps.
    pub user_frames: BTreeSet<u64>,
    /// Addresses of kernel globals.
    pub globals: BTreeMap<String, u64>,
    /// Number of processors.
    pub processors: u32,
    /// Bits below the address in page-table roots.
    pub root_flags: u64,
    /// Page files, by number. The virtual store is among them, without pages.
    pub paging_files: Vec<SwapFile>,
}

impl Scenario {
    /// Forges the image.
    ///
    /// # Panics
    /// When the scenario contradicts itself or does not fit its memory.
    #[must_use]
    pub fn forge(&self) -> Forged {
        let mut forged = self.forge_frames();
        forged.image = forged.memory.raw();
        forged.image.resize(forged.image.len() + self.tail_bytes as usize, 0xa5);
        forged
    }

    /// As [`Scenario::forge`], but without the raw image: for memory that reaches far.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn forge_frames(&self) -> Forged {
        let mut machine = Machine::new(self);
        machine.forge_shared_data();
        machine.forge_kernel_image();
        machine.forge_low_stub();
        machine.forge_types();
        machine.forge_globals();
        machine.forge_debugger_data();
        let modules = machine.forge_modules();
        // What lies at the top of every address space: the HAL's heap.
        let frame = machine.memory.take();
        machine.kernel.map(&mut machine.memory, 0xffff_ffff_ffd0_0000, frame, crate::machine::KERNEL_DATA);
        let mut sessions: BTreeMap<u32, Session> = BTreeMap::new();
        for id in self.processes.iter().filter_map(|p| p.session) {
            sessions.entry(id).or_insert_with(|| machine.forge_session(id));
        }
        let mut files = Files::default();
        let mut made: Vec<Made> =
            self.processes.iter().map(|p| machine.forge_process(p, &mut files, &sessions)).collect();
        let (hives, hive_files) = machine.forge_hives(self, &mut made, &mut files);
        machine.forge_open_keys(self, &mut made);
        machine.forge_named_objects(self, &mut made, &mut files);
        machine.forge_jobs(self, &made);
        machine.join_processes(self, &mut made, &sessions);
        let relics = machine.forge_relics(self);
        machine.forge_memory_block();
        machine.forge_damage(self, &made);
        machine.settle_pages(self, &mut made, &mut files, &hives, &hive_files);
        machine.settle_stages(self, &mut made);
        machine.finish_page_tables(&made);
        let home = self.processes.iter().position(|p| p.name == b"Registry" && p.ppid == 4);
        machine.lose_hive_views(&hive_files, home.map(|n| &made[n]));
        let pages = machine.page_truth(&made);
        let shared = machine.shared_data;
        let user_frames = made
            .iter()
            .filter_map(|m| m.space.as_ref())
            .flat_map(|s| s.frames().collect::<Vec<_>>())
            .filter(|&f| f != shared)
            .collect();
        let truth = Truth {
            kernel_base: self.kernel.base,
            kernel_physical: machine.kernel_physical(),
            kernel_size: machine.kernel_size,
            dtb: self.paging.system_dtb,
            build: machine.layout.number,
            lab: machine.layout.lab.clone(),
            guid: machine.layout.guid.clone(),
            age: machine.layout.age,
            loaded_modules: modules,
            bytes: machine.memory.end() + self.tail_bytes,
            runs: machine.memory.runs().to_vec(),
            system_root: self.system_root.clone(),
            boot: self.boot,
            captured: self.captured,
            processes: made.into_iter().map(|m| m.truth).collect(),
            relics,
            hives,
            pages,
            paging_files: self.pages.files.clone(),
        };
        Forged {
            image: Vec::new(),
            truth,
            isf: isf::document(&machine.layout),
            user_frames,
            globals: machine.layout.globals.iter().map(|(n, rva)| (n.clone(), self.kernel.base + rva)).collect(),
            processors: self.processors,
            root_flags: self.paging.root_flags,
            paging_files: std::mem::take(&mut machine.swap.files),
            memory: machine.memory,
        }
    }
}

impl Machine {
    /// The lists that run through all processes, and the tables that name them.
    fn join_processes(&mut self, plan: &Scenario, made: &mut [Made], sessions: &BTreeMap<u32, Session>) {
        self.release_ids(plan, made);
        let kind = "_EPROCESS";
        let active: Vec<u64> =
            plan.processes.iter().zip(made.iter()).filter(|(p, _)| p.linked).map(|(_, m)| m.body).collect();
        let link = self.offset(kind, "ActiveProcessLinks");
        let head = self.find_global("PsActiveProcessHead");
        let ring: Vec<u64> = head.into_iter().chain(active.iter().map(|b| b + link)).collect();
        self.link(&ring);
        self.unlink_active(plan, made);
        let link = self.offset(kind, "MmProcessLinks");
        // An address space goes with the object, not before.
        let has_space = |p: &Proc| (p.linked || p.exited.is_none()) && !p.absent_from.contains(&Place::MmList);
        let members = plan.processes.iter().zip(made.iter()).filter(|(p, _)| has_space(p));
        let mut ring: Vec<u64> = members.map(|(_, m)| m.body + link).collect();
        ring.extend(self.ring_head(plan));
        ring.extend(self.forge_idle_process(plan).map(|body| body + link));
        self.link(&ring);
        let link = self.offset(kind, "SessionProcessLinks");
        for (id, session) in sessions {
            let members = plan.processes.iter().zip(made.iter()).filter(|(p, _)| {
                p.session == Some(*id)
                    && (p.linked || p.exited.is_none())
                    && !p.absent_from.contains(&Place::SessionList)
            });
            let ring: Vec<u64> = std::iter::once(session.list).chain(members.map(|(_, m)| m.body + link)).collect();
            self.link(&ring);
        }
        self.set_global("PsInitialSystemProcess", made[0].body);
        self.forge_cid_table();
        self.forge_handle_tables(plan, made);
        let in_list = plan.processes.iter().zip(made.iter());
        let in_list = in_list.filter(|(p, _)| !p.absent_from.contains(&Place::HandleTables));
        let tables: Vec<u64> = in_list.filter_map(|(_, m)| m.table).collect();
        self.link_handle_tables(&tables);
        self.forge_processors(plan, made);
        let registry = plan.processes.iter().position(|p| p.name == b"Registry").map(|i| made[i].body);
        if let Some(body) = registry {
            self.set_global("CmpRegistryProcess", body);
        }
    }

    /// Gives processes that are off the active list the links they have there, and takes others out of one direction of it.
    fn unlink_active(&mut self, plan: &Scenario, made: &[Made]) {
        let link = self.offset("_EPROCESS", "ActiveProcessLinks");
        let head = self.global("PsActiveProcessHead");
        let entries: Vec<(&Proc, u64)> = plan.processes.iter().zip(made).map(|(p, m)| (p, m.body + link)).collect();
        let linked = |(p, at): &(&Proc, u64)| p.linked.then_some(*at);
        for (n, (p, at)) in entries.iter().enumerate() {
            let before = entries[..n].iter().rev().find_map(linked).unwrap_or(head);
            let next = entries[n + 1..].iter().find_map(linked).unwrap_or(head);
            match (p.linked, p.unlinked) {
                (false, Unlinked::Alone) => self.link(&[*at]),
                (false, Unlinked::Null) => {}
                (false, Unlinked::Kept) => {
                    self.write_u64(*at, next);
                    self.write_u64(*at + 8, before);
                }
                (true, _) => {
                    if p.absent_from.contains(&Place::Forward) {
                        self.write_u64(before, next);
                    }
                    if p.absent_from.contains(&Place::Backward) {
                        self.write_u64(next + 8, before);
                    }
                }
            }
        }
    }

    /// The process of the idle threads (`PsIdleProcess`): id 0, in no list for people, its thread on a processor of its own.
    fn forge_idle_process(&mut self, plan: &Scenario) -> Option<u64> {
        plan.idle_process.then_some(())?;
        let kind = "_EPROCESS";
        let body = self.object("Process", self.layout.size(kind), None);
        self.put(body, kind, "Pcb.Header.Type", 3);
        self.put(body, kind, "Pcb.DirectoryTableBase", plan.paging.system_dtb);
        let name = body + self.offset(kind, "ImageFileName");
        self.write(name, b"Idle");
        self.put(body, kind, "ActiveThreads", 2);
        self.set_global("PsIdleProcess", body);
        let thread = self.forge_thread(&ThreadPlan {
            process: (0, body),
            id: 0,
            numbered: false,
            created: plan.boot,
            start: 0,
            teb: 0,
            priority: 0,
        });
        self.put_on_processor(plan.on_processors.len() as u64, thread);
        Some(body)
    }

    /// The control block of a processor that runs this thread.
    fn put_on_processor(&mut self, processor: u64, thread: u64) {
        let kind = "_KPRCB";
        let block = self.system_pages(self.layout.size(kind).div_ceil(0x1000));
        self.put(block, kind, "CurrentThread", thread);
        let at = self.global("KiProcessorBlock") + processor * 8;
        self.write_u64(at, block);
    }

    /// A list head among other things of the kernel's.
    fn ring_head(&mut self, plan: &Scenario) -> Option<u64> {
        plan.ring_heads.then(|| self.pool(false, b"Head", 0x200) + 0x100)
    }

    /// The processors' control blocks, with the thread that each runs.
    fn forge_processors(&mut self, plan: &Scenario, made: &[Made]) {
        for (n, pid) in (0u64..).zip(&plan.on_processors) {
            let process = plan.processes.iter().position(|p| p.pid == *pid).expect("a process to run");
            // The first handle of every process is to its first thread.
            let thread = made[process].handles[&4].0 + 0x30;
            self.put_on_processor(n, thread);
        }
    }

    /// Hives; their bins are in the process Registry where there is one.
    fn forge_hives(
        &mut self,
        plan: &Scenario,
        made: &mut [Made],
        files: &mut Files,
    ) -> (Vec<TruthHive>, Vec<HiveFile>) {
        let home = plan.processes.iter().position(|p| p.name == b"Registry" && p.ppid == 4);
        let (mut out, mut views, mut mapped) = (Vec::new(), Vec::new(), Vec::new());
        for hive in &plan.hives {
            let space = home.and_then(|n| made[n].space.as_mut());
            let (cmhive, view) = self.forge_hive(hive, space, files);
            out.push(TruthHive { cmhive, plan: hive.clone() });
            if let Some((region, file)) = view {
                views.push(region);
                mapped.push(file);
            }
        }
        self.hand_out_hive_files(&mapped, &mut made[0].handles);
        if let (Some(n), false) = (home, views.is_empty()) {
            self.forge_vads(made[n].body, views);
        }
        let linked = |h: &&TruthHive| !h.plan.damage.iter().any(|damage| matches!(damage, HiveDamage::Unlinked));
        let addresses: Vec<u64> = out.iter().filter(linked).map(|h| h.cmhive).collect();
        self.link_hives(&addresses);
        (out, mapped)
    }

    /// A handle table for every process that has not exited.
    fn forge_handle_tables(&mut self, plan: &Scenario, made: &mut [Made]) {
        for (n, process) in plan.processes.iter().enumerate().filter(|(_, p)| p.exited.is_none()) {
            for &(pid, access) in &process.opens {
                let target = plan.processes.iter().position(|p| p.pid == pid).expect("a process to open");
                let object = made[target].body - 0x30;
                let handle = made[n].handles.keys().max().unwrap_or(&0) + 4;
                made[n].handles.insert(handle, (object, u64::from(access)));
            }
            let body = made[n].body;
            let table = self.forge_handle_table((process.pid, body), &made[n].handles);
            self.put(body, "_EPROCESS", "ObjectTable", table);
            made[n].table = Some(table);
            made[n].truth.handles = Some(made[n].handles.len() as u32);
        }
    }

    /// What is done when all that shares pages is there: sections, page tables, the store, page files, prototype entries.
    fn settle_pages(
        &mut self,
        plan: &Scenario,
        made: &mut [Made],
        files: &mut Files,
        hives: &[TruthHive],
        hive_files: &[HiveFile],
    ) {
        self.settle_sections();
        self.forge_cache_maps(hive_files);
        for hive in hives {
            for damage in &hive.plan.damage {
                if let HiveDamage::Object(state) = damage {
                    let bytes = self.layout.size("_CMHIVE");
                    (0..bytes.div_ceil(PAGE)).for_each(|n| self.page_out_kernel(hive.cmhive + n * PAGE, *state));
                }
            }
        }
        for (root, va, state) in std::mem::take(&mut self.later_tables) {
            self.page_out_table(root, va, state);
        }
        let owner = plan.processes.iter().position(|p| p.name == b"MemCompression" && p.ppid == 4);
        self.forge_store(owner.and_then(|n| Some((made[n].body, made[n].space.as_mut()?))));
        self.forge_paging_files(files);
        self.page_out_prototypes();
    }

    /// Where the pages are that no hardware entry maps.
    fn page_truth(&self, made: &[Made]) -> Vec<TruthPage> {
        let owner = |root: u64| made.iter().find(|m| m.space.as_ref().is_some_and(|s| s.root == root));
        let place = |went: &Went| match *went {
            Went::Frame(frame) => TruthPlace::Memory(frame * PAGE),
            Went::File(number, index) => TruthPlace::PageFile { number, index },
            Went::Store(number, index) => TruthPlace::Store { number, index },
            Went::OnlyInFile => TruthPlace::OnlyInFile,
            Went::Lost => TruthPlace::Nowhere,
        };
        let page = |m: &crate::swap::Moved| TruthPage {
            pid: owner(m.root).map(|m| m.truth.pid),
            address: m.address,
            table: m.table,
            place: place(&m.went),
        };
        self.swap.moved.iter().map(page).collect()
    }

    /// Gives every process the kernel half and its own self-reference.
    fn finish_page_tables(&mut self, made: &[Made]) {
        let root = self.kernel.root;
        let slot = u64::from(self.plan.paging.self_reference);
        let kernel_half: Vec<u64> = (256..512).map(|n| self.memory.read_u64(root * PAGE + n * 8)).collect();
        for own in made.iter().filter_map(|m| m.space.as_ref()).map(|s| s.root).chain([root]) {
            for (n, entry) in (256u64..).zip(&kernel_half) {
                self.memory.write_u64(own * PAGE + n * 8, *entry);
            }
            assert_eq!(kernel_half[slot as usize - 256], 0, "the self-reference slot is used");
            // Valid, write, accessed, dirty; not for users, not to run.
            self.memory.write_u64(own * PAGE + slot * 8, (own * PAGE) | 0x8000_0000_0000_0063);
        }
    }
}
