//! Reads what is in a process, for those processes where it is worth its time.

use super::Process;
use super::inside::{Holder, Inside};
use crate::kernel::objects::file_object;
use crate::kernel::{Eprocess, Handle, HandleEntry, Kernel, ObjectTypes, Vad, WalkEnd, handles, threads, vads};
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

/// Looks into the chosen processes of a list.
pub(crate) fn look(kernel: &Kernel<'_>, list: &mut ProcessList, of: InsideOf) {
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
    let (mut held, held_end) = holders(kernel, list, &chosen);
    let mut room = MAX_RECORDS;
    // In list order, so that it is always the same ones that get no record where there is no room.
    let mut chosen: Vec<_> = chosen.into_iter().collect();
    chosen.sort_by_key(|(_, index)| *index);
    for (address, index) in chosen {
        let Some(process) = list.items.get_mut(index) else { continue };
        if room == 0 {
            let why = format!("the processes before it gave {MAX_RECORDS} records of what is in them");
            process.inside = Reading::Absent(Absent::not_collected(why));
            continue;
        }
        let object = Eprocess::read_at(kernel, address, process.unmapped(kernel));
        let mut inside = read(kernel, &object, &types, matches!(of, InsideOf::One(_)));
        inside.held_by = Reading::Value(held.remove(&address).unwrap_or_default());
        inside.held_by_end = Reading::Value(held_end);
        room = room.saturating_sub(records(&inside));
        process.inside = Reading::Value(inside);
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

fn read(
    kernel: &Kernel<'_>,
    process: &Eprocess<'_>,
    types: &Result<ObjectTypes<'_>, Absent>,
    all_types: bool,
) -> Inside {
    let mut inside = Inside::default();
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
    match threads(process) {
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
    inside
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

/// Who holds handles to the chosen processes, by the address of each: all handle tables are walked once, and their entries
/// compared by address alone.
fn holders(
    kernel: &Kernel<'_>,
    list: &ProcessList,
    chosen: &HashMap<VirtualAddress, usize>,
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
            if body == *own || !chosen.contains_key(&body) {
                continue;
            }
            holders = holders.saturating_add(1);
            if holders > MAX_HOLDERS {
                break;
            }
            held.entry(body).or_default().push(Holder {
                pid: process.pid.clone(),
                name: process.name.clone(),
                eprocess: process.eprocess.clone(),
                value: Reading::Value(entry.value),
                access: Reading::Value(Hex(u64::from(entry.access))),
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
