//! Reads what is in a process, for those processes where it is worth its time.

use super::Process;
use super::code::{self, Code, Compared};
use super::inside::{Holder, Inside};
use super::sources::cid_table;
use crate::kernel::objects::file_object;
use crate::kernel::{
    Eprocess, Handle, HandleEntry, Kernel, ObjectTypes, OtherThreads, Vad, WalkEnd, handles, threads, vads,
};
use crate::memory::{EntryLevel, Fault};
use crate::{Absent, Hex, ListEnd, ProcessList, Reading, Ticks, Timestamp, VirtualAddress};
use std::collections::HashMap;

/// Which processes to look into. The default is those that the checks need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsideOf {
    /// None.
    Nobody,
    /// Those of these names, by name or by path: whoever bears such a name.
    Named(&'static [&'static str]),
    /// All: takes time, and room in documents.
    Everybody,
    /// The one whose `_EPROCESS` lies there, with its handles of all types.
    One(VirtualAddress),
}

/// Types of objects whose handles a record lists.
const LISTED: [&str; 5] = ["Process", "Thread", "Section", "ALPC Port", "Port"];

/// Handles that one record lists. A busy csrss.exe of Windows 7 has some thousand.
const MAX_LISTED: usize = 1 << 16;
/// Bytes of names that the handles of one record have in all; hostile ones could all share one long name.
const MAX_HANDLE_NAMES: usize = 1 << 22;
/// Entries of handle tables compared in all: a machine has a million at most, and hostile processes can share one large table.
const MAX_COMPARED: usize = 1 << 23;
/// Holders recorded in all.
const MAX_HOLDERS: usize = 1 << 16;
/// Page tables read in all: those of 64 GiB in small pages.
const MAX_TABLES: usize = 1 << 15;
/// System's own memory is looked at, and neither its threads nor its handles: there are thousands, and nobody judges them.
const SYSTEM: u64 = 4;
/// Address ranges, threads and handles recorded in all: hostile processes can share these too.
const MAX_RECORDS: usize = 1 << 20;

impl InsideOf {
    fn takes(self, process: &Process) -> bool {
        match self {
            Self::Nobody => false,
            Self::Named(names) => names.iter().any(|name| bears_name(process, name)),
            Self::Everybody => true,
            Self::One(address) => process.eprocess.value() == Some(&address),
        }
    }
}

/// Whether a process is called `name`, by its object, its path, its own account of it, or its image's file.
pub(crate) fn bears_name(process: &Process, name: &str) -> bool {
    let paths = [process.path.value(), process.peb_path.value(), process.section_file.value().map(|file| &file.name)];
    let last = |path: &String| path.rsplit('\\').next().is_some_and(|last| last.eq_ignore_ascii_case(name));
    process.name.value().is_some_and(|short| short.eq_ignore_ascii_case(name)) || paths.into_iter().flatten().any(last)
}

/// Threads that other places have than the lists of their processes.
#[derive(Debug, Default)]
pub(crate) struct ThreadsElsewhere {
    /// Those of the table of ids. `None`: it could not be read.
    pub numbered: Option<Vec<VirtualAddress>>,
    /// Those that a search of memory found, each with its process.
    pub scanned: Vec<(VirtualAddress, VirtualAddress)>,
}

impl ThreadsElsewhere {
    /// Those of the table of ids alone.
    pub(crate) fn of_ids(kernel: &Kernel<'_>) -> Self {
        let ids = cid_table::read(kernel, &mut Vec::new());
        Self { numbered: ids.ok().map(|ids| ids.threads), scanned: Vec::new() }
    }

    /// The threads of each of these processes.
    fn by_process(
        &self,
        kernel: &Kernel<'_>,
        chosen: &HashMap<VirtualAddress, usize>,
    ) -> HashMap<VirtualAddress, OtherThreads> {
        let owner = kernel.layouts().thread.as_ref().ok().and_then(|layout| layout.process);
        let known = self.numbered.as_ref().filter(|_| owner.is_some()).map(|_| Vec::new());
        let mut of: HashMap<VirtualAddress, OtherThreads> = chosen
            .keys()
            .map(|process| (*process, OtherThreads { numbered: known.clone(), scanned: Vec::new() }))
            .collect();
        for thread in self.numbered.iter().flatten() {
            let Some(owner) = owner else { break };
            let process = kernel.space().read_pointer(thread.wrapping_add(owner.offset));
            if let Some(others) = process.ok().and_then(|process| of.get_mut(&process)) {
                others.numbered.get_or_insert_default().push(*thread);
            }
        }
        for (thread, process) in &self.scanned {
            if let Some(others) = of.get_mut(process) {
                others.scanned.push(*thread);
            }
        }
        of
    }
}

/// Looks into the chosen processes of a list.
pub(crate) fn look(kernel: &Kernel<'_>, list: &mut ProcessList, of: InsideOf, elsewhere: &ThreadsElsewhere) {
    let chosen: HashMap<VirtualAddress, usize> = list
        .items
        .iter()
        .enumerate()
        .filter(|(_, process)| of.takes(process) && !is_past(list, process))
        .filter_map(|(index, process)| Some((*process.eprocess.value()?, index)))
        .collect();
    if chosen.is_empty() {
        return;
    }
    let types = ObjectTypes::read(kernel);
    let others = elsewhere.by_process(kernel, &chosen);
    let (mut room, mut tables) = (MAX_RECORDS, MAX_TABLES);
    // In list order, so that it is always the same ones that get no record where there is no room.
    let mut order: Vec<_> = chosen.iter().map(|(address, index)| (*address, *index)).collect();
    order.sort_by_key(|(_, index)| *index);
    let mut looked = Vec::new();
    for (address, index) in order {
        let Some(process) = list.items.get_mut(index) else { continue };
        if room == 0 {
            let why = format!("the processes before it gave {MAX_RECORDS} records of what is in them");
            process.inside = Reading::Absent(Absent::not_collected(why));
            continue;
        }
        let object = Eprocess::read_at(kernel, address, process.unmapped(kernel));
        let all = matches!(of, InsideOf::One(_) | InsideOf::Everybody);
        let mut inside = Inside::default();
        memory(&object, &mut inside);
        inside.token_type = token_type(kernel, &object, &types);
        let ranges = inside.vads.value().map_or(&[][..], Vec::as_slice);
        let code = code::read(kernel, &object, ranges, &mut tables);
        tell_code(&code, &mut inside);
        if all || process.pid.value() != Some(&SYSTEM) {
            let others = others.get(&address).cloned().unwrap_or_default();
            threads_and_handles(kernel, &object, &others, &types, matches!(of, InsideOf::One(_)), &mut inside);
        }
        room = room.saturating_sub(records(&inside));
        looked.push((index, object, inside, code.ok()));
    }
    tell_altered(kernel, &mut looked);
    let targets = targets(&chosen, &looked);
    let (mut held, held_end) = holders(kernel, list, &targets);
    for (index, object, mut inside, _) in looked {
        inside.held_by = Reading::Value(held.remove(&object.address()).unwrap_or_default());
        inside.held_by_end = Reading::Value(held_end);
        if let Some(process) = list.items.get_mut(index) {
            process.inside = Reading::Value(inside);
        }
    }
}

type Looked<'k> = (usize, Eprocess<'k>, Inside, Option<Code>);

/// What a handle can lead to: the processes, and their threads with their ids. Each gives the process.
fn targets(
    chosen: &HashMap<VirtualAddress, usize>,
    looked: &[Looked<'_>],
) -> HashMap<VirtualAddress, (VirtualAddress, Reading<u64>)> {
    let mut targets: HashMap<_, _> = chosen.keys().map(|process| (*process, (*process, Reading::Nothing))).collect();
    for (_, object, inside, _) in looked {
        for thread in inside.threads.value().into_iter().flatten() {
            if let Some(address) = thread.address.value() {
                targets.entry(*address).or_insert_with(|| (object.address(), thread.tid.clone()));
            }
        }
    }
    targets
}

fn tell_code(code: &Result<Code, Absent>, inside: &mut Inside) {
    match code {
        Ok(code) => {
            inside.code = Reading::Value(code.runs.clone());
            inside.code_pages = Reading::Value(code.pages);
            inside.no_execute = Reading::Value(code.no_execute);
            inside.code_end = Reading::Value(code.end);
        }
        Err(absent) => {
            inside.code = Reading::Absent(absent.clone());
            inside.code_pages = Reading::Absent(absent.clone());
            inside.no_execute = Reading::Absent(absent.clone());
            inside.code_end = Reading::Absent(absent.clone());
            inside.altered = Reading::Absent(absent.clone());
        }
    }
}

/// Compares the images of all that were looked into.
fn tell_altered(kernel: &Kernel<'_>, looked: &mut [Looked<'_>]) {
    let with_code = |looked: &&Looked<'_>| looked.3.is_some();
    let compared: Vec<Compared<'_, '_>> = looked
        .iter()
        .filter_map(|(_, object, inside, code)| {
            let vads = inside.vads.value().map_or(&[][..], Vec::as_slice);
            Some(Compared { process: object.clone(), code: code.as_ref()?, vads })
        })
        .collect();
    let altered = code::altered(kernel, &compared);
    drop(compared);
    for ((_, _, inside, _), altered) in looked.iter_mut().filter(|looked| with_code(&&**looked)).zip(altered) {
        inside.altered = Reading::Value(altered);
    }
}

/// Whether a process was given back or left by an earlier boot: what it leads to is another's by now.
fn is_past(list: &ProcessList, process: &Process) -> bool {
    let boot = || list.items.iter().find(|process| process.pid.value() == Some(&4)).and_then(Process::started);
    let is_left = |(boot, started): (Timestamp, Timestamp)| boot.since(started) > Ticks::seconds(60);
    process.is_given_back() || process.is_known_by_object_alone() && boot().zip(process.started()).is_some_and(is_left)
}

/// How many records there are in it.
fn records(inside: &Inside) -> usize {
    let vads = inside.vads.value().map_or(0, Vec::len);
    let threads = inside.threads.value().map_or(0, Vec::len);
    let handles = inside.handles.value().map_or(0, Vec::len);
    vads.saturating_add(threads).saturating_add(handles).saturating_add(1)
}

/// The type of the object that `EPROCESS.Token` leads to.
fn token_type(kernel: &Kernel<'_>, process: &Eprocess<'_>, types: &Result<ObjectTypes<'_>, Absent>) -> Reading<String> {
    let read = |token: VirtualAddress| {
        let types = types.as_ref().map_err(Clone::clone)?;
        let header = types.header(token)?;
        let nowhere = || Absent::unparsable(format!("EPROCESS.Token leads to {token}, where nothing is mapped"));
        match kernel.space().translate(token) {
            // The kernel's page tables are never paged out: where an upper one has nothing, nothing was ever mapped.
            Err(Fault::NotPresent { level, entry: 0, .. }) if level != EntryLevel::Pte => Err(nowhere()),
            Err(Fault::NonCanonical { .. }) => Err(nowhere()),
            _ => types.type_of(header).map(str::to_owned),
        }
    };
    match process.token() {
        Reading::Value(token) => read(token).into(),
        Reading::Nothing => Reading::Nothing,
        Reading::Absent(absent) => Reading::Absent(absent),
    }
}

/// Reads the address ranges.
fn memory(process: &Eprocess<'_>, inside: &mut Inside) {
    inside.vads_counted = process.vads_counted();
    match vads(process) {
        Ok((vads, end)) => {
            let known = |vad: &Vad| match (vad.private.value(), vad.executable.value()) {
                (Some(private), Some(executable)) => Some(*private && *executable),
                _ => None,
            };
            inside.private_executable = if vads.iter().any(|vad| known(vad) == Some(true)) {
                Reading::Value(true)
            } else if end == WalkEnd::Complete && vads.iter().all(|vad| known(vad).is_some()) {
                Reading::Value(false)
            } else {
                Reading::Absent(Absent::unreadable(format!("not all address ranges could be read: the tree {end}")))
            };
            inside.vads = Reading::Value(vads);
            inside.vads_end = Reading::Value(end.kind());
        }
        Err(absent) => {
            inside.vads = Reading::Absent(absent.clone());
            inside.vads_end = Reading::Absent(absent.clone());
            inside.private_executable = Reading::Absent(absent);
        }
    }
}

/// Reads the threads and the handles.
fn threads_and_handles(
    kernel: &Kernel<'_>,
    process: &Eprocess<'_>,
    others: &OtherThreads,
    types: &Result<ObjectTypes<'_>, Absent>,
    all_types: bool,
    inside: &mut Inside,
) {
    match threads(process, others) {
        Ok((threads, joined)) => {
            inside.threads = Reading::Value(threads);
            inside.threads_end = Reading::Value(joined.end());
        }
        Err(absent) => {
            inside.threads = Reading::Absent(absent.clone());
            inside.threads_end = Reading::Absent(absent);
        }
    }
    match table(kernel, process).known() {
        Ok(Some(table)) => {
            inside.handles = types
                .as_ref()
                .map(|types| listed(kernel, types, &table.entries, all_types))
                .map_err(Clone::clone)
                .into();
            inside.handle_count = Reading::Value(u64::try_from(table.entries.len()).unwrap_or(u64::MAX));
            let full = inside.handles.value().is_some_and(|handles| handles.len() >= MAX_LISTED);
            inside.handles_end =
                Reading::Value(table.end.kind().max(if full { ListEnd::Limit } else { ListEnd::Complete }));
        }
        Ok(None) => {
            inside.handles = Reading::Nothing;
            inside.handle_count = Reading::Nothing;
            inside.handles_end = Reading::Nothing;
        }
        Err(absent) => {
            inside.handles = Reading::Absent(absent.clone());
            inside.handle_count = Reading::Absent(absent.clone());
            inside.handles_end = Reading::Absent(absent.clone());
        }
    }
}

/// The handle table of a process. Nothing: it has none, as after its end.
pub(super) fn table(kernel: &Kernel<'_>, process: &Eprocess<'_>) -> Reading<crate::kernel::Handles> {
    match process.handle_table().known() {
        Ok(Some(table)) => handles(kernel, *table).into(),
        Ok(None) => Reading::Nothing,
        Err(absent) => Reading::Absent(absent.clone()),
    }
}

/// Records of the handles whose types are listed, or of all.
fn listed(kernel: &Kernel<'_>, types: &ObjectTypes<'_>, entries: &[HandleEntry], all_types: bool) -> Vec<Handle> {
    let mut room = MAX_HANDLE_NAMES;
    let mut record = |entry: &HandleEntry| {
        let kind = match types.type_of(entry.object) {
            Ok(kind) if !all_types && !LISTED.contains(&kind) => return None,
            kind => kind,
        };
        let body = types.body(entry.object);
        let pid = match (&kind, &body) {
            (Ok("Process"), Ok(body)) => Eprocess::read(kernel, *body).pid().into(),
            (Ok("Thread"), Ok(body)) => thread_pid(kernel, *body).into(),
            (Ok(_), Ok(_)) => Reading::Nothing,
            (Err(absent), _) | (_, Err(absent)) => Reading::Absent(absent.clone()),
        };
        let mut name: Reading<String> = match (&kind, &body) {
            (Ok("File"), Ok(body)) => file_object::read(kernel, *body).map(|file| file.map(|file| file.name)).into(),
            _ => types.name_of(entry.object).into(),
        };
        if let Some(length) = name.value().map(String::len) {
            match room.checked_sub(length) {
                Some(left) => room = left,
                None => {
                    let why = format!("the names of the handles before it have {MAX_HANDLE_NAMES} bytes");
                    name = Reading::Absent(Absent::not_collected(why));
                }
            }
        }
        Some(Handle {
            value: Reading::Value(entry.value),
            kind: kind.map(str::to_owned).into(),
            access: Reading::Value(Hex(u64::from(entry.access))),
            object: body.into(),
            name,
            pid,
        })
    };
    entries.iter().filter_map(&mut record).take(MAX_LISTED).collect()
}

fn thread_pid(kernel: &Kernel<'_>, thread: VirtualAddress) -> Result<u64, Absent> {
    let layout = kernel.layouts().thread.as_ref()?;
    Ok(kernel.space().read_u64(thread.wrapping_add(layout.pid.offset))?)
}

/// Who holds handles to the chosen processes and their threads, by the address of each process: all handle tables are walked once, and their entries
/// compared by address alone.
fn holders(
    kernel: &Kernel<'_>,
    list: &ProcessList,
    targets: &HashMap<VirtualAddress, (VirtualAddress, Reading<u64>)>,
) -> (HashMap<VirtualAddress, Vec<Holder>>, ListEnd) {
    let mut held: HashMap<VirtualAddress, Vec<Holder>> = HashMap::new();
    let mut worst = ListEnd::Complete;
    let (mut compared, mut holders) = (0usize, 0usize);
    let Ok(layout) = kernel.layouts().object_header.as_ref() else { return (held, ListEnd::Broken) };
    for process in list.items.iter().filter(|process| !is_past(list, process)) {
        let Some(own) = process.eprocess.value() else { continue };
        let object = Eprocess::read_at(kernel, *own, process.unmapped(kernel));
        let table = match table(kernel, &object) {
            Reading::Value(table) => table,
            Reading::Nothing => continue,
            Reading::Absent(_) => {
                worst = worst.max(ListEnd::Broken);
                continue;
            }
        };
        worst = worst.max(table.end.kind());
        compared = compared.saturating_add(table.entries.len());
        if compared > MAX_COMPARED || holders > MAX_HOLDERS {
            return (held, ListEnd::Limit);
        }
        for entry in &table.entries {
            let body = entry.object.wrapping_add(layout.body.offset);
            let Some((target, thread)) = targets.get(&body).filter(|(target, _)| target != own) else { continue };
            holders = holders.saturating_add(1);
            if holders > MAX_HOLDERS {
                break;
            }
            held.entry(*target).or_default().push(Holder {
                pid: process.pid.clone(),
                name: process.name.clone(),
                eprocess: process.eprocess.clone(),
                value: Reading::Value(entry.value),
                access: Reading::Value(Hex(u64::from(entry.access))),
                thread: thread.clone(),
            });
        }
    }
    (held, if holders > MAX_HOLDERS { ListEnd::Limit } else { worst })
}

impl Process {
    /// Where its object lies, if it is not mapped at its address.
    pub(super) fn unmapped(&self, kernel: &Kernel<'_>) -> Option<crate::PhysicalAddress> {
        let mapped = kernel.space().translate(*self.eprocess.value()?).ok();
        self.physical.value().copied().filter(|physical| mapped != Some(*physical))
    }
}
