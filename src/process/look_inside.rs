//! Reads what is in a process, for those processes where it is worth its time.

use super::inside::{Holder, Inside};
use super::sources::handle_tables::by_owner;
use super::witnesses::{Looked, Targets, ThreadsElsewhere, compare_images, read_code, targets, token_type};
use super::{Process, Source};
use crate::addr::PAGE_BYTES;
use crate::budget::{Budget, Use, spent};
use crate::kernel::find::pe::Start;
use crate::kernel::objects::file_object;
use crate::kernel::objects::key::KeyPaths;
use crate::kernel::objects::module::located as located_modules;
use crate::kernel::objects::object_path::ObjectPaths;
use crate::kernel::objects::thread::threads_up_to;
use crate::kernel::objects::token::located_groups;
use crate::kernel::objects::vad::vads_up_to;
use crate::kernel::{
    Eprocess, Handle, HandleEntry, Kernel, ObjectTypes, OtherThreads, Vad, VadKind, WalkEnd, handles, modules,
};
use crate::{Absent, Hex, ListEnd, Origin, ProcessList, Reading, Ticks, Timestamp, VirtualAddress};
use std::collections::{BTreeMap, HashMap};

/// Which processes to look into. The default is those that the checks need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsideOf {
    /// None, but for the threads of those of whom it is the question whether they run.
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
/// Headers of images read of one process.
const MAX_HEADERS: usize = 1 << 12;
/// Page tables read in all: those of 64 GiB in small pages.
const MAX_TABLES: usize = 1 << 15;
/// System's own memory is looked at, and neither its threads nor its handles: there are thousands, and nobody judges them.
const SYSTEM: u64 = 4;
/// Threads that are looked at where it is the question whether a process runs: one answers it.
const MOST_OF_SUSPECT: usize = 1 << 10;
/// Bytes that the record of an address range, a thread or a handle takes, in memory and in a document.
const RECORD: u64 = 1 << 10;
/// And those that it takes besides if it says where its members were read: a map of places has room for eleven from the first on.
const PLACES: u64 = 4 << 10;

impl InsideOf {
    fn takes(self, process: &Process) -> bool {
        match self {
            Self::Nobody => false,
            Self::Named(names) => names.iter().any(|name| process.is_called(name)),
            Self::Everybody => true,
            Self::One(address) => process.eprocess.value() == Some(&address),
        }
    }
}

/// Looks into the chosen processes of a list.
pub(crate) fn look(
    kernel: &Kernel<'_>,
    budget: &Budget,
    list: &mut ProcessList,
    of: InsideOf,
    elsewhere: &ThreadsElsewhere,
) {
    let suspects = match of {
        InsideOf::One(_) => HashMap::new(),
        InsideOf::Nobody | InsideOf::Named(_) | InsideOf::Everybody => threads_of_suspects(kernel, budget, list),
    };
    let boot = boot(list);
    let chosen: HashMap<VirtualAddress, usize> = list
        .items
        .iter()
        .enumerate()
        .filter(|(_, process)| of.takes(process) && !is_past(boot, process))
        .filter_map(|(index, process)| Some((*process.eprocess.value()?, index)))
        .collect();
    let mut held_of = chosen.clone();
    held_of.extend(suspects.iter().map(|(address, index)| (*address, *index)));
    if held_of.is_empty() {
        return;
    }
    let types = ObjectTypes::read(kernel);
    let others = elsewhere.by_process(kernel, &chosen);
    let (mut tables, mut looked) = (MAX_TABLES, Vec::<Looked<'_>>::new());
    // In list order, so that it is always the same ones that get no record where there is no room.
    let mut order: Vec<_> = chosen.iter().map(|(address, index)| (*address, *index)).collect();
    order.sort_by_key(|(_, index)| *index);
    for (address, index) in order {
        let Some(process) = list.items.get_mut(index) else { continue };
        if budget.is_spent(Use::Core) {
            process.inside = Reading::Absent(spent());
            continue;
        }
        let object = Eprocess::read_at(kernel, address, process.unmapped(kernel));
        let mut inside = Inside::default();
        // Of ranges few say where they lie.
        read_memory(&object, &mut inside, budget.records(2 * RECORD, Use::Core));
        inside.token_type = token_type(kernel, &object, &types);
        locate_items(kernel, &object, process);
        let code = read_code(kernel, &object, &mut inside, &mut tables);
        if matches!(of, InsideOf::One(_) | InsideOf::Everybody) || process.pid.value() != Some(&SYSTEM) {
            let others = others.get(&address).cloned().unwrap_or_default();
            let all_types = matches!(of, InsideOf::One(_));
            let room = budget.records(RECORD + PLACES, Use::Core);
            read_threads_and_handles(kernel, &object, &others, &types, all_types, room, &mut inside);
        }
        // At once: what is kept of the ones leaves the less for the others.
        match budget.take(cost(&inside), Use::Core) {
            Ok(()) => looked.push((index, object, inside, code)),
            Err(why) => process.inside = Reading::Absent(why),
        }
    }
    compare_images(kernel, &mut looked);
    let room = budget.records(RECORD + PLACES, Use::Core);
    let (held, held_end) = holders(kernel, list, &targets(&held_of, &looked), room.min(MAX_HOLDERS));
    let number = held.values().map(|held| u64::try_from(held.len()).unwrap_or(u64::MAX)).fold(0, u64::saturating_add);
    let mut held = budget.take(number.saturating_mul(RECORD + PLACES), Use::Core).map(|()| held);
    let mut tell = |inside: &mut Inside, address: &VirtualAddress| {
        let of = |held: &mut HashMap<_, Vec<Holder>>| held.remove(address).unwrap_or_default();
        inside.held_by = held.as_mut().map(of).map_err(|why| why.clone()).into();
        inside.held_by_end = Reading::Value(held_end);
    };
    for (address, index) in suspects.into_iter().filter(|(address, _)| !chosen.contains_key(address)) {
        if let Some(Reading::Value(inside)) = list.items.get_mut(index).map(|process| &mut process.inside) {
            tell(inside, &address);
        }
    }
    for (index, object, mut inside, _) in looked {
        let Some(process) = list.items.get_mut(index) else { continue };
        tell(&mut inside, &object.address());
        process.inside = Reading::Value(inside);
    }
}

/// Notes where the entries of lists lie that a record has as texts: `groups[2]`, `modules[0]`.
fn locate_items(kernel: &Kernel<'_>, object: &Eprocess<'_>, process: &mut Process) {
    /// Of each list; native programs have fewer.
    const MOST: usize = 16;
    let token = process.token.value().map(|token| token.address);
    let groups = token.map_or_else(Vec::new, |token| located_groups(kernel, token, MOST));
    for (list, places) in [("groups", groups), ("modules", located_modules(object, MOST))] {
        // What was read together goes together.
        let items = match list {
            "groups" => process.groups.value(),
            _ => process.modules.value(),
        };
        let items = items.map_or(0, Vec::len);
        // What leads to the list leads to its entries.
        let table = process.located.get(list).and_then(|place| place.table);
        for (number, mut place) in places.into_iter().take(items).enumerate() {
            place.table = place.table.or(table);
            process.located.insert(format!("{list}[{number}]").into(), place);
        }
    }
}

/// Whether a process was given back or left by an earlier boot: what it leads to is another's by now.
fn is_past(boot: Option<Timestamp>, process: &Process) -> bool {
    process.is_given_back() || boot.is_some_and(|boot| process.is_left_before(boot))
}

/// When System was made.
fn boot(list: &ProcessList) -> Option<Timestamp> {
    list.items.iter().find(|process| process.pid.value() == Some(&4)).and_then(Process::started)
}

/// Whether a process says of itself what would put it aside: it is in no list, over, given back, just made. Its threads have a word
/// in that.
fn is_suspect(process: &Process, captured: Option<Timestamp>) -> bool {
    let young = captured.zip(process.started()).is_some_and(|(captured, at)| captured.since(at) <= Ticks::seconds(60));
    let listed = process.sources.contains(&Source::ActiveList);
    let owns_threads = process.sources.iter().any(|source| matches!(source, Source::Threads | Source::ThreadScan));
    young || !listed || process.exited.value().is_some() && (owns_threads || process.holds_handles())
}

/// Reads the threads of those that it matters for whether they run, and keeps them where one has not ended. Returns who they are.
fn threads_of_suspects(kernel: &Kernel<'_>, budget: &Budget, list: &mut ProcessList) -> HashMap<VirtualAddress, usize> {
    let captured = kernel.shared_data().map(|shared| shared.system_time).filter(|time| time.0 != 0);
    let mut running = HashMap::new();
    for (index, process) in list.items.iter_mut().enumerate().filter(|(_, process)| is_suspect(process, captured)) {
        if budget.is_spent(Use::Details) {
            break;
        }
        let Some(address) = process.eprocess.value().copied() else { continue };
        let object = Eprocess::read_at(kernel, address, process.unmapped(kernel));
        let room = budget.records(RECORD + PLACES, Use::Details).min(MOST_OF_SUSPECT);
        let Ok((threads, joined)) = threads_up_to(&object, &OtherThreads::default(), room) else { continue };
        let taken = u64::try_from(threads.len()).unwrap_or(u64::MAX).saturating_mul(RECORD + PLACES);
        if threads.is_empty() || budget.take(taken, Use::Details).is_err() {
            continue;
        }
        let end = Reading::Value(joined.end());
        process.inside =
            Reading::Value(Inside { threads: Reading::Value(threads), threads_end: end, ..Inside::default() });
        if process.has_running_threads() {
            running.insert(address, index);
        } else {
            process.inside = Reading::default();
        }
    }
    running
}

/// What the records in it take, in bytes.
fn cost(inside: &Inside) -> u64 {
    fn of<T>(records: &Reading<Vec<T>>, has_places: impl Fn(&T) -> bool) -> u64 {
        let cost = |record: &T| if has_places(record) { RECORD + PLACES } else { RECORD };
        records.value().into_iter().flatten().map(cost).fold(0, u64::saturating_add)
    }
    let vads = of(&inside.vads, |vad| !vad.located.is_empty());
    let threads = of(&inside.threads, |thread| !thread.located.is_empty());
    let handles = of(&inside.handles, |handle| !handle.located.is_empty());
    let loaded = of(&inside.loaded, |_| false);
    RECORD.saturating_add(vads).saturating_add(loaded).saturating_add(threads).saturating_add(handles)
}

/// Reads the address ranges.
fn read_memory(process: &Eprocess<'_>, inside: &mut Inside, room: usize) {
    inside.vads_counted = process.vads_counted();
    match vads_up_to(process, room) {
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
            read_images(process, inside, room);
            inside.vads_end = Reading::Value(end.kind());
        }
        Err(absent) => {
            inside.vads = Reading::Absent(absent.clone());
            inside.vads_end = Reading::Absent(absent.clone());
            inside.private_executable = Reading::Absent(absent);
        }
    }
}

/// Reads what the images say of their size, and what the loader does.
fn read_images(process: &Eprocess<'_>, inside: &mut Inside, room: usize) {
    inside.loaded = modules(process)
        .map(|list| {
            list.map(|(mut list, _)| {
                list.truncate(room);
                list
            })
        })
        .into();
    let Ok(space) = process.space() else { return };
    let is_old = |at: VirtualAddress| space.origin(at).is_ok_and(Origin::is_of_another_time);
    // A page of another time may be another's.
    let listed = match &mut inside.loaded {
        Reading::Value(listed) => listed.as_mut_slice(),
        Reading::Nothing | Reading::Absent(_) => &mut [],
    };
    for module in listed {
        if module.entry.value().is_some_and(|entry| is_old(*entry)) {
            let why = || Absent::unreadable("its entry in the loader's list was copied at another time");
            (module.base, module.size) = (Reading::Absent(why()), Reading::Absent(why()));
        }
    }
    let Reading::Value(vads) = &mut inside.vads else { return };
    let images = vads.iter_mut().filter(|vad| vad.kind.value() == Some(&VadKind::Image));
    for vad in images.take(MAX_HEADERS) {
        let Some(start) = vad.start.value().copied() else { continue };
        let mut page = [0u8; PAGE_BYTES];
        let read = space.read(start, &mut page).map_err(Absent::from).map(|()| Start::of(&page));
        vad.image_size = match read {
            Ok(Start::Headers(headers)) if !is_old(start) => Ok(headers.size),
            Ok(Start::Headers(_)) => Err(Absent::unreadable("the headers at its start were copied at another time")),
            Ok(Start::Torn) => Err(Absent::unreadable("the headers at its start make no sense")),
            Ok(Start::Zeros) => Err(Absent::unreadable("the page of its headers is all zero")),
            Ok(Start::Others) => Err(Absent::unparsable("what stands at its start is no headers of an image")),
            Err(absent) => Err(absent),
        }
        .into();
    }
}

/// Reads the threads and the handles.
fn read_threads_and_handles(
    kernel: &Kernel<'_>,
    process: &Eprocess<'_>,
    others: &OtherThreads,
    types: &Result<ObjectTypes<'_>, Absent>,
    all_types: bool,
    room: usize,
    inside: &mut Inside,
) {
    match threads_up_to(process, others, room) {
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
                .map(|types| listed(kernel, types, &table.entries, all_types, MAX_LISTED.min(room)))
                .map_err(Clone::clone)
                .into();
            inside.handle_count = Reading::Value(u64::try_from(table.entries.len()).unwrap_or(u64::MAX));
            let full = inside.handles.value().is_some_and(|handles| handles.len() >= MAX_LISTED.min(room));
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

/// Reads what is read of one process, and keeps nothing of it: an image that is far away has it at hand from then on.
pub(crate) fn fetch(kernel: &Kernel<'_>, budget: &Budget, address: VirtualAddress, of: InsideOf) {
    let object = Eprocess::read(kernel, address);
    if object.is_plausible() != Ok(true) {
        return;
    }
    drop(table(kernel, &object));
    if let Some(process) = Process::within(budget, kernel, &object, Source::ActiveList) {
        let mut list = ProcessList { items: vec![process], ..ProcessList::default() };
        look(kernel, budget, &mut list, of, &ThreadsElsewhere::default());
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
fn listed(
    kernel: &Kernel<'_>,
    types: &ObjectTypes<'_>,
    entries: &[HandleEntry],
    all_types: bool,
    most: usize,
) -> Vec<Handle> {
    let mut room = MAX_HANDLE_NAMES;
    let mut keys = KeyPaths::new(kernel);
    let mut paths = ObjectPaths::new(kernel, types.clone());
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
            // Keys have their names in blocks of the registry's own.
            (Ok("Key"), Ok(body)) => keys.path(*body).into(),
            _ => types.name_of(entry.object).into(),
        };
        let mut path: Reading<String> = match (&kind, &body) {
            (Ok("File"), Ok(body)) => file_path(kernel, *body, &name, &mut paths).into(),
            (Ok("Key"), Ok(_)) => name.clone(),
            // What has no name stands in no directory.
            _ if name.is_nothing() => Reading::Nothing,
            _ => paths.path(entry.object).into(),
        };
        for text in [&mut name, &mut path] {
            let Some(length) = text.value().map(String::len) else { continue };
            match room.checked_sub(length) {
                Some(left) => room = left,
                None => {
                    let why = format!("the names of the handles before it have {MAX_HANDLE_NAMES} bytes");
                    *text = Reading::Absent(Absent::not_collected(why));
                }
            }
        }
        let cited = matches!(kind, Ok("Process" | "Thread"));
        Some(Handle {
            value: Reading::Value(entry.value),
            entry: Reading::Value(entry.at),
            located: if cited { entry.located(kernel) } else { BTreeMap::new() },
            kind: kind.map(str::to_owned).into(),
            access: Reading::Value(Hex(u64::from(entry.access))),
            object: body.into(),
            name,
            path,
            pid,
        })
    };
    entries.iter().filter_map(&mut record).take(most).collect()
}

/// The path of a file, from its device on. `None`: the device is in no directory.
fn file_path(
    kernel: &Kernel<'_>,
    file: VirtualAddress,
    name: &Reading<String>,
    paths: &mut ObjectPaths<'_>,
) -> Result<Option<String>, Absent> {
    let name = name.known().map_err(Clone::clone)?.map_or("", String::as_str);
    let device = paths.path(file_object::device_header(kernel, file)?)?;
    Ok(device.map(|device| format!("{device}{name}")))
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
    targets: &Targets,
    most: usize,
) -> (HashMap<VirtualAddress, Vec<Holder>>, ListEnd) {
    let mut held: HashMap<VirtualAddress, Vec<Holder>> = HashMap::new();
    let mut worst = ListEnd::Complete;
    let (mut compared, mut holders) = (0usize, 0usize);
    let Ok(layout) = kernel.layouts().object_header.as_ref() else { return (held, ListEnd::Broken) };
    let boot = boot(list);
    let mut listed = None;
    for process in list.items.iter().filter(|process| !is_past(boot, process)) {
        let Some(own) = process.eprocess.value() else { continue };
        let object = Eprocess::read_at(kernel, *own, process.unmapped(kernel));
        let table = match table(kernel, &object) {
            Reading::Value(table) => table,
            Reading::Nothing => {
                // Who writes a null over the way to its table leaves the table in the kernel's list.
                let tables = listed.get_or_insert_with(|| by_owner(kernel));
                match tables.get(own).map(|table| handles(kernel, *table)) {
                    Some(Ok(table)) => table,
                    Some(Err(_)) => {
                        worst = worst.max(ListEnd::Broken);
                        continue;
                    }
                    None => {
                        // Whoever runs has one.
                        if tables.is_empty() && process.is_live() && process.minimal.value() != Some(&true) {
                            worst = worst.max(ListEnd::Broken);
                        }
                        continue;
                    }
                }
            }
            Reading::Absent(_) => {
                worst = worst.max(ListEnd::Broken);
                continue;
            }
        };
        worst = worst.max(table.end.kind());
        compared = compared.saturating_add(table.entries.len());
        if compared > MAX_COMPARED || holders > most {
            return (held, ListEnd::Limit);
        }
        for entry in &table.entries {
            let body = entry.object.wrapping_add(layout.body.offset);
            let Some((target, thread)) = targets.get(&body).filter(|(target, _)| target != own) else { continue };
            holders = holders.saturating_add(1);
            if holders > most {
                break;
            }
            held.entry(*target).or_default().push(Holder {
                pid: process.pid.clone(),
                name: process.name.clone(),
                eprocess: process.eprocess.clone(),
                value: Reading::Value(entry.value),
                access: Reading::Value(Hex(u64::from(entry.access))),
                thread: thread.clone(),
                entry: Reading::Value(entry.at),
                located: entry.located(kernel),
            });
        }
    }
    (held, if holders > most { ListEnd::Limit } else { worst })
}

impl Process {
    /// Its object, read again: by its address, or where it was met, if that is elsewhere. `None`: the address is not known.
    #[must_use]
    pub fn object<'k>(&self, kernel: &'k Kernel<'k>) -> Option<Eprocess<'k>> {
        Some(Eprocess::read_at(kernel, *self.eprocess.value()?, self.unmapped(kernel)))
    }

    /// Where its object lies, if the kernel's page tables do not lead to all of it.
    pub(super) fn unmapped(&self, kernel: &Kernel<'_>) -> Option<crate::PhysicalAddress> {
        let address = *self.eprocess.value()?;
        let is_cut = kernel.page_behind(address).is_some();
        let mapped = kernel.space().translate(address).ok();
        self.physical.value().copied().filter(|physical| is_cut || mapped != Some(*physical))
    }
}
