//! One machine at two moments: what an image holds that was taken while the machine ran on.
//!
//! Both moments are forged from one plan, so that whatever is there at both lies at one address. What is born between is made in
//! both and wiped from the earlier one; what ends between is made in both and taken down in the later one, in the order in which
//! Windows does it (Windows Internals 7th edition part 1, chapter 3, "Terminating a process").

use crate::forge::Forged;
use crate::machine::Machine;
use crate::physical::PAGE;
use crate::process::Made;
use crate::scenario::{Place, Proc, Scenario, Unlinked};
use crate::time::Time;
use std::collections::BTreeSet;

/// Bytes of `_OBJECT_HEADER` before an object.
const HEADER: u64 = 0x30;
/// The type index that a freed object has: the first entry of `ObTypeIndexTable` that is no type.
const FREED: u8 = 1;

/// What has become of a process at the moment that is forged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It is as its plan says.
    #[default]
    AsPlanned,
    /// It is not made yet: what will be its memory is empty.
    NotYet,
    /// It runs, and meanwhile its last thread has ended and its last handle was closed.
    MovedOn,
    /// It has ended. Somebody holds a reference, or its object was given back as well.
    Over {
        /// When.
        at: Time,
        /// Whether somebody holds a reference.
        referenced: bool,
    },
}

/// One machine at two moments.
#[derive(Clone, Debug)]
pub struct Moments {
    /// The earlier one.
    pub before: Forged,
    /// The later one.
    pub after: Forged,
    /// Ids of the processes that were born or have ended between.
    pub touched: BTreeSet<u64>,
}

/// How many processes are born, end, and go on between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Born.
    pub born: usize,
    /// Ended.
    pub ending: usize,
    /// Of which a thread ends, and a handle is closed.
    pub moving: usize,
}

impl Changes {
    /// As many as there can be.
    pub const ALL: Self = Self { born: BORN.len(), ending: ENDING.len(), moving: MOVING.len() };
}

/// Ids of those that are born between the moments.
const BORN: [u64; 4] = [2_600, 2_664, 2_728, 2_792];
/// Ids of those that end between the moments: some referenced still, some gone.
const ENDING: [(u64, bool); 4] = [(2_372, false), (2_412, true), (2_468, false), (2_528, true)];
/// Those that go on: of each a thread ends and a handle is closed.
const MOVING: [u64; 3] = [684, 1_012, 2_260];

impl Scenario {
    /// This machine, and the same `minutes` later. Between the two processes are born, end, and go on. `change` is what else
    /// becomes of it: it is given the plan of the later moment.
    #[must_use]
    pub fn moments(&self, minutes: i64, change: impl Fn(&mut Scenario)) -> Moments {
        self.moments_with(minutes, Changes::ALL, change)
    }

    /// The same with so many changes, or as many as there can be.
    #[must_use]
    pub fn moments_with(&self, minutes: i64, changes: Changes, change: impl Fn(&mut Scenario)) -> Moments {
        let born = &BORN[..changes.born.min(BORN.len())];
        let ending = &ENDING[..changes.ending.min(ENDING.len())];
        let moving = &MOVING[..changes.moving.min(MOVING.len())];
        let mut before = self.clone();
        let later = self.captured.plus_ms(minutes * 60_000);
        let between = |n: usize, of: usize| {
            let span = minutes * 60_000;
            self.captured.plus_ms(span * (n as i64 + 1) / (of as i64 + 1))
        };
        let mut names = ["svchost.exe", "cmd.exe", "WmiPrvSE.exe", "taskhostw.exe"].into_iter().cycle();
        let mut program = |pid: u64, created: Time| -> Proc {
            let name = names.next().expect("endless");
            let (session, parent) = if matches!(name, "cmd.exe" | "taskhostw.exe") { (1, 2_260) } else { (0, 664) };
            let path = format!("{}\\system32\\{name}", self.system_root);
            self.program(pid, parent, &path, created, Some(session))
        };
        for (n, (pid, _)) in ending.iter().enumerate() {
            before.processes.push(program(*pid, self.captured.plus_ms(-600_000 - 60_000 * n as i64)));
        }
        for (n, pid) in born.iter().enumerate() {
            before.processes.push(program(*pid, between(n, born.len())));
        }
        let mut after = before.clone();
        after.captured = later;
        for pid in born {
            before.process(*pid).leave(Stage::NotYet);
        }
        for (n, (pid, referenced)) in ending.iter().enumerate() {
            let at = between(n, ending.len());
            after.process(*pid).leave(Stage::Over { at, referenced: *referenced });
        }
        for pid in moving {
            after.process(*pid).stage = Stage::MovedOn;
        }
        change(&mut after);
        let ended = ending.iter().map(|(pid, _)| *pid);
        let touched = born.iter().copied().chain(ended).chain(moving.iter().copied()).collect();
        Moments { before: before.forge(), after: after.forge(), touched }
    }
}

impl Proc {
    fn leave(&mut self, stage: Stage) {
        let there = matches!(stage, Stage::Over { referenced: true, .. });
        self.stage = stage;
        (self.linked, self.in_cid_table, self.unlinked) = (there, there, Unlinked::Kept);
        self.absent_from = vec![Place::SessionList, Place::MmList, Place::HandleTables, Place::JobList];
    }
}

impl Moments {
    /// An image of which this share of the pages, in percent, is from the later moment.
    #[must_use]
    pub fn share(&self, percent: u64, seed: u64) -> Vec<u8> {
        let mut rng = crate::rng::Rng::new(seed);
        self.mixed(|_| rng.below(100) < percent)
    }

    /// An image that is from the later moment from this address on: one pass from the bottom up.
    #[must_use]
    pub fn torn_at(&self, address: u64) -> Vec<u8> {
        self.mixed(|page| page * PAGE >= address)
    }

    /// The same from the top down.
    #[must_use]
    pub fn torn_below(&self, address: u64) -> Vec<u8> {
        self.mixed(|page| page * PAGE < address)
    }

    /// An image that was copied in so many passes, each over every so many-th MiB, the later of them at the later moment.
    #[must_use]
    pub fn passes(&self, passes: u64, early: u64) -> Vec<u8> {
        self.mixed(|page| ((page * PAGE) >> 20) % passes >= early)
    }

    /// An image with the pages from the later moment for which `later` says so.
    #[must_use]
    pub fn mixed(&self, mut later: impl FnMut(u64) -> bool) -> Vec<u8> {
        let mut image = self.before.image.clone();
        for (page, (own, other)) in
            (0..).zip(image.chunks_mut(PAGE as usize).zip(self.after.image.chunks(PAGE as usize)))
        {
            if later(page) {
                own.copy_from_slice(other);
            }
        }
        image
    }
}

impl Machine {
    /// The ids that threads of ended and unborn processes have no more, or not yet.
    pub fn release_ids(&mut self, plan: &Scenario, made: &[Made]) {
        let gone: BTreeSet<u64> = plan
            .processes
            .iter()
            .zip(made)
            .flat_map(|(process, made)| {
                let threads = made.threads.clone();
                let kept = match process.stage {
                    Stage::AsPlanned => threads.len(),
                    Stage::MovedOn => threads.len().saturating_sub(1),
                    Stage::NotYet | Stage::Over { .. } => 0,
                };
                threads.into_iter().skip(kept)
            })
            .collect();
        self.cids.retain(|_, object| !gone.contains(object));
    }

    /// Makes of each process what its stage says, when all is laid out.
    pub fn settle_stages(&mut self, plan: &Scenario, made: &mut [Made]) {
        for (process, made) in plan.processes.iter().zip(made) {
            match process.stage {
                Stage::AsPlanned => {}
                Stage::NotYet => self.unmake(made),
                Stage::MovedOn => self.move_on(made),
                Stage::Over { at, referenced } => self.end(made, at, referenced),
            }
        }
    }

    /// A thread ends, a handle is closed.
    fn move_on(&mut self, made: &mut Made) {
        let threads = made.threads.clone();
        let Some((last, left)) = threads.split_last() else { return };
        self.end_thread(*last, true);
        self.relink_threads(made.body, left);
        self.put(made.body, "_EPROCESS", "ActiveThreads", left.len() as u64);
        made.truth.threads = left.len() as u32;
        // The handle to that thread, which is the last of those to threads.
        let handle = made.thread_handles().max().expect("it has a thread");
        self.close(made, handle);
    }

    fn close(&mut self, made: &mut Made, handle: u64) {
        let table = made.table.expect("a running process has a table");
        let code = self.read_u64(table + self.offset("_HANDLE_TABLE", "TableCode"));
        self.write(code + handle / 4 * 16, &[0; 16]);
        made.handles.remove(&handle);
        let count = made.handles.len() as u64;
        if self.layout.find("_HANDLE_TABLE", "HandleCount").is_some() {
            self.put(table, "_HANDLE_TABLE", "HandleCount", count);
        } else {
            let lists = table + self.offset("_HANDLE_TABLE", "FreeLists");
            self.put(lists, "_HANDLE_TABLE_FREE_LIST", "HandleCount", count);
        }
        made.truth.handles = Some(count as u32);
    }

    fn end_thread(&mut self, thread: u64, given_back: bool) {
        // Terminated; no longer running with STATUS_PENDING.
        self.put(thread, "_ETHREAD", "Tcb.State", 4);
        self.put(thread, "_ETHREAD", "ExitStatus", 0);
        if given_back {
            self.free_header(thread);
        }
    }

    fn relink_threads(&mut self, process: u64, threads: &[u64]) {
        for (head, entry) in [("ThreadListHead", "ThreadListEntry"), ("Pcb.ThreadListHead", "Tcb.ThreadListEntry")] {
            let (head, entry) = (process + self.offset("_EPROCESS", head), self.offset("_ETHREAD", entry));
            let ring: Vec<u64> = std::iter::once(head).chain(threads.iter().map(|thread| thread + entry)).collect();
            self.link(&ring);
        }
    }

    /// The header of an object whose memory was given back.
    fn free_header(&mut self, object: u64) {
        let index = self.encode_index(object - HEADER, FREED);
        self.maybe(object - HEADER, "_OBJECT_HEADER", "TypeIndex", u64::from(index));
        self.put(object - HEADER, "_OBJECT_HEADER", "PointerCount", 0);
        self.put(object - HEADER, "_OBJECT_HEADER", "HandleCount", 0);
    }

    /// Threads first, then handles and user memory, then the object.
    fn end(&mut self, made: &mut Made, at: Time, referenced: bool) {
        let kind = "_EPROCESS";
        for thread in made.threads.clone() {
            self.end_thread(thread, true);
        }
        self.relink_threads(made.body, &[]);
        self.put(made.body, kind, "ActiveThreads", 0);
        self.put(made.body, kind, "ExitTime", at.0);
        self.put(made.body, kind, "ExitStatus", 0);
        for flag in ["ProcessExiting", "ProcessDelete", "VmDeleted"] {
            self.maybe(made.body, kind, flag, 1);
        }
        self.put(made.body, kind, "ObjectTable", 0);
        self.put(made.body, kind, "SectionObject", 0);
        self.put(made.body, kind, "Peb", 0);
        let root = made.body + self.offset(kind, "VadRoot");
        if self.layout.types.contains_key("_MM_AVL_TABLE") && self.build() <= crate::Build::W8_9200 {
            self.put(root, "_MM_AVL_TABLE", "BalancedRoot.RightChild", 0);
            self.put(root, "_MM_AVL_TABLE", "NumberGenericTableElements", 0);
        } else {
            self.write_u64(root, 0);
            self.maybe(made.body, kind, "VadCount", 0);
        }
        self.wipe_user_half(made);
        if let Some(table) = made.table {
            self.wipe(table, self.layout.size("_HANDLE_TABLE"));
        }
        if !referenced {
            self.free_header(made.body);
            self.free_header(made.truth.token);
        }
        let truth = &mut made.truth;
        (truth.exited, truth.threads, truth.handles) = (Some(at), 0, None);
        (truth.peb, truth.peb_readable) = (None, false);
    }

    /// Nothing of it is there.
    fn unmake(&mut self, made: &Made) {
        self.wipe_user_half(made);
        for thread in made.threads.clone() {
            self.wipe(thread - HEADER, HEADER + self.layout.size("_ETHREAD"));
        }
        if let Some(table) = made.table {
            self.wipe(table, self.layout.size("_HANDLE_TABLE"));
        }
        let token = made.truth.token;
        self.wipe(token - HEADER, HEADER + self.offset("_TOKEN", "VariablePart"));
        self.wipe(made.body - HEADER, HEADER + self.layout.size("_EPROCESS"));
    }

    fn wipe(&mut self, at: u64, bytes: u64) {
        self.write(at, &vec![0; bytes as usize]);
    }

    /// Page tables and pages of the user half, but for what others share.
    fn wipe_user_half(&mut self, made: &Made) {
        let Some(space) = &made.space else { return };
        let shared: BTreeSet<u64> =
            self.shared_images.values().copied().chain(std::iter::once(self.shared_data)).collect();
        for frame in space.frames().filter(|frame| !shared.contains(frame)) {
            *self.memory.frame(frame) = [0; 4096];
        }
        for n in 0..256 {
            self.memory.write_u64(space.root * PAGE + n * 8, 0);
        }
    }
}

impl Made {
    fn thread_handles(&self) -> impl Iterator<Item = u64> {
        (1..=self.threads.len() as u64).map(|n| n * 4)
    }
}
