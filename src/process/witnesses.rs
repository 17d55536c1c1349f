//! Second witnesses of what is in a process: threads that other places have, what page tables and other processes say of its code,
//! what the header in front of its token says.

use super::code::{self, Code};
use super::compare::{Compared, compare};
use super::inside::Inside;
use super::sources::cid_table::{self, Ids};
use crate::kernel::{Eprocess, Kernel, ObjectTypes, OtherThreads, Vad};
use crate::memory::{EntryLevel, Fault};
use crate::{Absent, AbsentKind, ListEnd, Reading, VirtualAddress};
use std::collections::{HashMap, HashSet};

/// Threads that other places have than the lists of their processes.
#[derive(Debug, Default)]
pub(crate) struct ThreadsElsewhere {
    /// Those of the table of ids. `None`: it could not be read.
    pub numbered: Option<Vec<VirtualAddress>>,
    /// Those of them that have another id than the one that leads to them.
    pub misnumbered: Vec<VirtualAddress>,
    /// Those that a search of memory found, each with its process.
    pub scanned: Vec<(VirtualAddress, VirtualAddress)>,
}

impl ThreadsElsewhere {
    /// Those of the table of ids alone.
    pub(crate) fn of_ids(kernel: &Kernel<'_>) -> Self {
        Self::in_table(cid_table::read(kernel, &mut Vec::new()).ok())
    }

    /// Those of a table of ids that was read.
    pub(crate) fn in_table(ids: Option<Ids>) -> Self {
        let (numbered, misnumbered) = ids.map(|ids| (ids.threads, ids.misnumbered)).unzip();
        Self { numbered, misnumbered: misnumbered.unwrap_or_default(), scanned: Vec::new() }
    }

    /// The threads of each of these processes.
    pub(super) fn by_process(
        &self,
        kernel: &Kernel<'_>,
        chosen: &HashMap<VirtualAddress, usize>,
    ) -> HashMap<VirtualAddress, OtherThreads> {
        let owner = kernel.layouts().thread.as_ref().ok().and_then(|layout| layout.process);
        let known = self.numbered.as_ref().filter(|_| owner.is_some()).map(|_| Vec::new());
        let mut of: HashMap<VirtualAddress, OtherThreads> = chosen
            .keys()
            .map(|process| (*process, OtherThreads { numbered: known.clone(), ..OtherThreads::default() }))
            .collect();
        let misnumbered: HashSet<VirtualAddress> = self.misnumbered.iter().copied().collect();
        for thread in self.numbered.iter().flatten() {
            let Some(owner) = owner else { break };
            let process = kernel.space().read_pointer(thread.wrapping_add(owner.offset));
            if let Some(others) = process.ok().and_then(|process| of.get_mut(&process)) {
                others.numbered.get_or_insert_default().push(*thread);
                if misnumbered.contains(thread) {
                    others.misnumbered.push(*thread);
                }
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

/// A process that was looked into: its position in the list, and what was found.
pub(super) type Looked<'k> = (usize, Eprocess<'k>, Inside, Option<Code>);

/// Objects that a handle can lead to, each with the process and, of a thread, its id.
pub(super) type Targets = HashMap<VirtualAddress, (VirtualAddress, Reading<u64>)>;

/// The threads of those that were looked into, beside the processes themselves.
pub(super) fn targets(processes: &HashMap<VirtualAddress, usize>, looked: &[Looked<'_>]) -> Targets {
    let mut targets: Targets = processes.keys().map(|process| (*process, (*process, Reading::Nothing))).collect();
    for (_, object, inside, _) in looked {
        for thread in inside.threads.value().into_iter().flatten() {
            // What another page brought there is another's.
            let is_astray = thread.owner.absent().is_some_and(|absent| absent.kind == AbsentKind::Unparsable);
            if let Some(address) = thread.address.value().filter(|_| !is_astray) {
                targets.entry(*address).or_insert_with(|| (object.address(), thread.tid.clone()));
            }
        }
    }
    targets
}

/// Reads what the page tables say of the code of a process; `room`: tables that may be read.
pub(super) fn read_code(
    kernel: &Kernel<'_>,
    object: &Eprocess<'_>,
    inside: &mut Inside,
    room: &mut usize,
) -> Option<Code> {
    let ranges = inside.vads.value().map_or(&[][..], Vec::as_slice);
    match code::read(kernel, object, ranges, &inside.ends_of_images(), room) {
        Ok(code) => {
            inside.code = Reading::Value(code.runs.clone());
            inside.code_pages = Reading::Value(code.pages);
            inside.no_execute = Reading::Value(code.no_execute);
            inside.code_end = Reading::Value(code.end);
            Some(code)
        }
        Err(absent) => {
            inside.code = Reading::Absent(absent.clone());
            inside.code_pages = Reading::Absent(absent.clone());
            inside.no_execute = Reading::Absent(absent.clone());
            inside.code_end = Reading::Absent(absent.clone());
            inside.altered = Reading::Absent(absent.clone());
            inside.uncompared = Reading::Absent(absent);
            None
        }
    }
}

/// Compares the images of all that were looked into.
pub(super) fn compare_images(kernel: &Kernel<'_>, looked: &mut [Looked<'_>]) {
    let compared: Vec<Compared<'_, '_>> = looked
        .iter()
        .filter_map(|(_, object, inside, code)| {
            let vads: &[Vad] = inside.vads.value().map_or(&[], Vec::as_slice);
            Some(Compared { process: object.clone(), code: code.as_ref()?, vads })
        })
        .collect();
    let comparisons = compare(kernel, &compared);
    drop(compared);
    for ((_, _, inside, _), compared) in looked.iter_mut().filter(|looked| looked.3.is_some()).zip(comparisons) {
        if let Reading::Value(runs) = &mut inside.code {
            for run in runs {
                let own = run.start.value().and_then(|start| compared.own_tables.get(&start.table_area()));
                run.own_table = own.map_or_else(Reading::default, |own| Reading::Value(*own));
            }
        }
        inside.altered = Reading::Value(compared.altered);
        inside.uncompared = Reading::Value(compared.uncompared);
        inside.compared_end = Reading::Value(if compared.cut { ListEnd::Limit } else { ListEnd::Complete });
    }
}

/// The type of the object that `EPROCESS.Token` leads to.
pub(super) fn token_type(
    kernel: &Kernel<'_>,
    process: &Eprocess<'_>,
    types: &Result<ObjectTypes<'_>, Absent>,
) -> Reading<String> {
    let read = |token: VirtualAddress| {
        let types = types.as_ref().map_err(Clone::clone)?;
        if !types.knows("Token") {
            return Err(Absent::unreadable("the kernel's types have no name `Token` that can be read"));
        }
        let header = types.header(token)?;
        let nowhere = || Absent::unparsable(format!("EPROCESS.Token leads to {token}, where nothing is mapped"));
        match kernel.space().translate(token) {
            // The kernel's page tables are never paged out: where an upper one has nothing, nothing was ever mapped.
            Err(Fault::NotPresent { level, entry: 0, .. }) if level != EntryLevel::Pte => Err(nowhere()),
            Err(Fault::NonCanonical { .. }) => Err(nowhere()),
            // A header that is none may be a page that is torn.
            _ => types.type_of(header).map(str::to_owned).map_err(|none| Absent::unreadable(none.detail)),
        }
    };
    match process.token() {
        Reading::Value(token) => read(token).into(),
        Reading::Nothing => Reading::Nothing,
        Reading::Absent(absent) => Reading::Absent(absent),
    }
}
