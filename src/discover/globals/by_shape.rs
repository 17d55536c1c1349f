//! Globals by their shape: the kernel's data is searched for what can only be them, because of where it leads.

use crate::VirtualAddress;
use crate::discover::data::{KernelData, ListHead};
use crate::kernel::layouts::{CmhiveLayout, EprocessLayout};
use crate::kernel::objects::handles;
use crate::kernel::{Direction, HIVE_SIGNATURE, Layouts, PROCESS_OBJECT, list, memory_block, text};
use crate::memory::AddressSpace;
use std::collections::{BTreeSet, HashSet};

/// Places whose neighbourhood is read in each search. Kernels' data has some ten thousand pointers.
const MAX_LOOKUPS: usize = 1 << 16;
/// Pointers out of the image that are looked at at all, those included that lead where others did.
const MAX_POINTERS: usize = 1 << 18;
/// Entries of a list that are followed to get to its head: more processes than a machine has.
const MAX_ENTRIES: usize = 1 << 14;
/// Processes that the table of ids is asked for.
const MAX_ASKED: usize = 64;
/// Types that must know their index one after the other: all kernels have 30 and more.
const MIN_TYPES: u8 = 5;

/// What is searched, and with what knowledge.
#[derive(Clone, Copy)]
pub(super) struct Search<'s> {
    pub space: AddressSpace<'s>,
    pub data: &'s KernelData,
    pub layouts: &'s Layouts,
}

impl Search<'_> {
    /// `CmpHiveListHead`: the neighbours are hives.
    pub(super) fn hive_lists(&self) -> BTreeSet<VirtualAddress> {
        let Ok(layout) = &self.layouts.cmhive else { return BTreeSet::new() };
        let is_hive = |entry: VirtualAddress| self.is_hive(layout, entry.wrapping_sub(layout.links.offset));
        let all = |head: &&ListHead| head.entries.into_iter().flatten().all(is_hive);
        self.data.heads().iter().filter(all).map(|head| head.at).collect()
    }

    /// `PsLoadedModuleList`: the first module is the kernel.
    pub(super) fn module_lists(&self) -> BTreeSet<VirtualAddress> {
        let Ok(layout) = &self.layouts.ldr_entry else { return BTreeSet::new() };
        let is_kernel = |entry: VirtualAddress| {
            let module = entry.wrapping_sub(layout.load_order.offset);
            self.space.read_pointer(module.wrapping_add(layout.base.offset)) == Ok(self.data.base())
        };
        self.heads_by_first(is_kernel)
    }

    /// `PsActiveProcessHead` where System is still the first of it.
    pub(super) fn process_lists(&self) -> BTreeSet<VirtualAddress> {
        let links = self.layouts.process.links.offset;
        self.heads_by_first(|entry| self.is_system(entry.wrapping_sub(links)))
    }

    fn heads_by_first(&self, is: impl Fn(VirtualAddress) -> bool) -> BTreeSet<VirtualAddress> {
        let first = |head: &&ListHead| head.entries.first().copied().flatten().is_some_and(&is);
        self.data.heads().iter().filter(first).map(|head| head.at).collect()
    }

    /// Whether the process System lies here: pid 4, and the mark of a process object or at least its name.
    pub(super) fn is_system(&self, process: VirtualAddress) -> bool {
        let layout = &self.layouts.process;
        let named = || self.space.read_array(process.wrapping_add(layout.name.offset)) == Ok(*b"System\0");
        self.pid(layout, process) == Some(4)
            && if layout.header_type.is_some() { self.is_process(process) } else { named() }
    }

    fn is_process(&self, process: VirtualAddress) -> bool {
        let kind = self.layouts.process.header_type;
        kind.is_none_or(|kind| self.space.read_array(process.wrapping_add(kind.offset)) == Ok([PROCESS_OBJECT]))
    }

    fn pid(&self, layout: &EprocessLayout, process: VirtualAddress) -> Option<u64> {
        self.space.read_u64(process.wrapping_add(layout.pid.offset)).ok()
    }

    /// The list that System is in: the one entry that lies in the kernel's image, with the processes of the list. `None`: the list is
    /// torn, or does not come by the image exactly once.
    pub(super) fn active_list(&self, system: VirtualAddress) -> Option<(VirtualAddress, Vec<VirtualAddress>)> {
        let links = self.layouts.process.links.offset;
        let start = system.wrapping_add(links);
        let valid = |at: VirtualAddress| self.data.has(at) || self.data.may_point_out(at.0);
        let mut heads = BTreeSet::new();
        let mut processes = vec![system];
        // Either direction may be torn before it gets to the head.
        for direction in [Direction::Forward, Direction::Backward] {
            let (entries, _) = list(self.space, start, direction, MAX_ENTRIES, valid);
            let (in_image, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| self.data.has(*entry));
            heads.extend(in_image);
            processes.extend(others.into_iter().map(|entry| entry.wrapping_sub(links)));
        }
        let mut seen = HashSet::new();
        processes.retain(|process| seen.insert(*process) && self.is_process(*process));
        let head = heads.pop_first().filter(|_| heads.is_empty())?;
        Some((head, processes))
    }

    /// `PspCidTable`: where a pointer lies to a handle table that has System as 4 and some other process as its id.
    pub(super) fn cid_tables(&self, system: VirtualAddress, processes: &[VirtualAddress]) -> BTreeSet<VirtualAddress> {
        let Ok(code) = self.layouts.handle_table.as_ref().map(|layout| layout.code.offset) else {
            return BTreeSet::new();
        };
        let object = |table, id| handles::object_of(self.space, self.layouts, table, id).ok().flatten();
        let others: Vec<(u64, VirtualAddress)> = processes
            .iter()
            .filter(|process| **process != system)
            .filter_map(|process| Some((self.pid(&self.layouts.process, *process)?, *process)))
            .take(MAX_ASKED)
            .collect();
        let pointers = self.pointers(|_| true).take(MAX_LOOKUPS);
        let tables = pointers.filter(|(_, table)| {
            let page = self.space.read_u64(table.wrapping_add(code));
            page.is_ok_and(|page| self.is_table_code(page))
                && object(*table, 4) == Some(system)
                && others.iter().any(|(pid, process)| object(*table, *pid) == Some(*process))
        });
        tables.map(|(at, _)| at).collect()
    }

    /// `TableCode`: the number of levels, 0 to 2, and the address of a page; the highest of three levels is less than a page.
    const fn is_table_code(&self, code: u64) -> bool {
        let aligned = matches!(code & 0xfff, 0 | 1) || code & 0xf == 2;
        aligned && self.data.may_point_out(code & !3)
    }

    /// `ObTypeIndexTable`: pointers to types, of which each knows its index; the first is number 2.
    pub(super) fn type_tables(&self) -> BTreeSet<VirtualAddress> {
        let Ok(layout) = &self.layouts.object_type else { return BTreeSet::new() };
        let index = |at: VirtualAddress| {
            let [index] = self.space.read_array(at.wrapping_add(layout.index.offset)).ok()?;
            Some(index)
        };
        let may_be = |words: &[u64]| words.get(1..3).is_some_and(|two| two.iter().all(|w| self.data.may_point_out(*w)));
        let seconds = self.pointers(may_be).take(MAX_LOOKUPS).filter(|(_, kind)| index(*kind) == Some(2));
        let tables = seconds.map(|(at, _)| at.wrapping_sub(16)).filter(|table| {
            (2..2u8.saturating_add(MIN_TYPES)).all(|number| {
                let slot = table.wrapping_add(u64::from(number).wrapping_mul(8));
                self.space.read_pointer(slot).is_ok_and(|kind| index(kind) == Some(number))
            })
        });
        tables.collect()
    }

    /// The first process of this name that System started.
    pub(super) fn child_of_system(&self, processes: &[VirtualAddress], name: &[u8; 9]) -> Option<VirtualAddress> {
        let layout = &self.layouts.process;
        let is = |process: &&VirtualAddress| {
            self.space.read_u64(process.wrapping_add(layout.ppid.offset)) == Ok(4)
                && self.space.read_array(process.wrapping_add(layout.name.offset)) == Ok(*name)
        };
        processes.iter().find(is).copied()
    }

    /// The master hive: the only one in the list that is mounted nowhere and has no file. Since Vista every other says where it is
    /// mounted. `None`: there is not exactly one.
    pub(super) fn master_hive(&self, head: VirtualAddress) -> Option<VirtualAddress> {
        let layout = self.layouts.cmhive.as_ref().ok()?;
        let (entries, _) = list(self.space, head, Direction::Forward, MAX_ENTRIES, VirtualAddress::is_kernel);
        let names = [layout.root_path?, layout.file_full_path?, layout.file_user_name?];
        let is_master = |hive: &VirtualAddress| {
            let name = |offset: u64| text::unicode_string(self.space, hive.wrapping_add(offset));
            self.is_hive(layout, *hive) && names.iter().all(|field| name(field.offset) == Ok(None))
        };
        let mut masters = entries.into_iter().map(|entry| entry.wrapping_sub(layout.links.offset)).filter(is_master);
        masters.next().filter(|_| masters.next().is_none())
    }

    /// `MmPhysicalMemoryBlock`: a pointer to ranges of pages whose sum stands beside them.
    pub(super) fn memory_blocks(&self) -> BTreeSet<VirtualAddress> {
        let pointers = self.pointers(|_| true).take(MAX_LOOKUPS);
        pointers.filter(|(_, block)| memory_block::read(self.space, *block).is_ok()).map(|(at, _)| at).collect()
    }

    fn is_hive(&self, layout: &CmhiveLayout, hive: VirtualAddress) -> bool {
        self.space.read_u32(hive.wrapping_add(layout.signature.offset)) == Ok(HIVE_SIGNATURE)
    }

    /// Pointers to pool memory in the kernel's data, each once, where `like` holds for what follows.
    fn pointers(&self, like: impl Fn(&[u64]) -> bool) -> impl Iterator<Item = (VirtualAddress, VirtualAddress)> {
        let mut seen = HashSet::new();
        let out = self.data.places().filter_map(move |(at, words)| {
            let to = *words.first()?;
            // Pool memory comes in units of 16 bytes.
            (to.is_multiple_of(16) && self.data.may_point_out(to) && like(words)).then_some((at, VirtualAddress(to)))
        });
        out.take(MAX_POINTERS).filter(move |(_, to)| seen.insert(*to))
    }
}
