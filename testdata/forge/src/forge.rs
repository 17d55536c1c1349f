//! From a scenario to an image.

use crate::isf;
use crate::machine::Machine;
use crate::physical::{PAGE, Physical};
use crate::process::Made;
use crate::scenario::Scenario;
use crate::section::Files;
use crate::session::Session;
use crate::truth::{Truth, TruthHive};
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
        let hives = machine.forge_hives(self, &mut made);
        machine.forge_jobs(self, &made);
        machine.join_processes(self, &mut made, &sessions);
        machine.forge_damage(self, &made);
        machine.finish_page_tables(&made);
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
            hives,
        };
        Forged {
            image: Vec::new(),
            truth,
            isf: isf::document(&machine.layout),
            user_frames,
            globals: machine.layout.globals.iter().map(|(n, rva)| (n.clone(), self.kernel.base + rva)).collect(),
            processors: self.processors,
            root_flags: self.paging.root_flags,
            memory: machine.memory,
        }
    }
}

impl Machine {
    /// The lists that run through all processes, and the tables that name them.
    fn join_processes(&mut self, plan: &Scenario, made: &mut [Made], sessions: &BTreeMap<u32, Session>) {
        let kind = "_EPROCESS";
        let active: Vec<u64> =
            plan.processes.iter().zip(made.iter()).filter(|(p, _)| p.linked).map(|(_, m)| m.body).collect();
        for (field, head) in [("ActiveProcessLinks", self.find_global("PsActiveProcessHead")), ("MmProcessLinks", None)]
        {
            let link = self.offset(kind, field);
            let ring: Vec<u64> = head.into_iter().chain(active.iter().map(|b| b + link)).collect();
            self.link(&ring);
        }
        let lone = self.offset(kind, "ActiveProcessLinks");
        for (p, m) in plan.processes.iter().zip(made.iter()) {
            if !p.linked {
                self.link(&[m.body + lone]);
            }
        }
        let link = self.offset(kind, "SessionProcessLinks");
        for (id, session) in sessions {
            let members = plan.processes.iter().zip(made.iter()).filter(|(p, _)| p.session == Some(*id));
            let ring: Vec<u64> = std::iter::once(session.list).chain(members.map(|(_, m)| m.body + link)).collect();
            self.link(&ring);
        }
        self.set_global("PsInitialSystemProcess", made[0].body);
        self.forge_cid_table();
        self.forge_handle_tables(plan, made);
        let tables: Vec<u64> = made.iter().filter_map(|m| m.table).collect();
        self.link_handle_tables(&tables);
        let registry = plan.processes.iter().position(|p| p.name == b"Registry").map(|i| made[i].body);
        if let Some(body) = registry {
            self.set_global("CmpRegistryProcess", body);
        }
    }

    /// Hives; their bins are in the process Registry where there is one.
    fn forge_hives(&mut self, plan: &Scenario, made: &mut [Made]) -> Vec<TruthHive> {
        let home = plan.processes.iter().position(|p| p.name == b"Registry" && p.ppid == 4);
        let mut out = Vec::new();
        for hive in &plan.hives {
            let space = home.and_then(|n| made[n].space.as_mut());
            out.push(TruthHive { cmhive: self.forge_hive(hive, space), plan: hive.clone() });
        }
        let addresses: Vec<u64> = out.iter().map(|h| h.cmhive).collect();
        self.link_hives(&addresses);
        out
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
