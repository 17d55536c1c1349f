//! `HandleTableListHead`: the list of all handle tables, each of which names the process that it was made for.

use super::note_ends;
use crate::kernel::{Eprocess, Kernel, list_both_ways};
use crate::process::found::Found;
use crate::process::list::MAX_PROCESSES;
use crate::{Absent, ListEnd, ProcessList, VirtualAddress, Warning};
use std::collections::{BTreeMap, BTreeSet};

/// The processes that own a handle table in the list: by `HANDLE_TABLE.QuotaProcess`, or where that is null, as in System's, by
/// who of `list` uses the table.
///
/// # Errors
/// Nobody began the list; the symbols lack the head or a field.
pub(in crate::process) fn find(
    kernel: &Kernel<'_>,
    list: &ProcessList,
    warnings: &mut Vec<Warning>,
) -> Result<Found, Absent> {
    let layout = kernel.layouts().handle_table.as_ref()?;
    let links = layout.links.ok_or_else(|| Absent::no_symbol("_HANDLE_TABLE.HandleTableList"))?;
    let owner = layout.owner.ok_or_else(|| Absent::no_symbol("_HANDLE_TABLE.QuotaProcess"))?;
    let space = kernel.space();
    let head = kernel.global("HandleTableListHead")?;
    if space.read_pointer(head)?.is_null() {
        return Err(Absent::not_applicable("its head is null: it is not kept here"));
    }
    let joined = list_both_ways(space, head, MAX_PROCESSES, VirtualAddress::is_kernel);
    let mut found = Found::by_walk(Vec::new(), ListEnd::Complete);
    note_ends(&mut found, warnings, "the list of handle tables", &joined);
    let mut users: Option<BTreeMap<VirtualAddress, VirtualAddress>> = None;
    let mut owner_of = |entry: VirtualAddress| {
        let table = entry.wrapping_sub(links.offset);
        match space.read_pointer(table.wrapping_add(owner.offset)) {
            Ok(owner) if owner.is_null() => {
                Ok(users.get_or_insert_with(|| users_of_tables(kernel, list)).get(&table).copied())
            }
            Ok(owner) => Ok(Some(owner).filter(|owner| owner.is_kernel())),
            Err(fault) => Err(fault),
        }
    };
    let owners: Vec<_> = joined.entries.iter().map(|entry| (*entry, owner_of(*entry))).collect();
    let mut seen = BTreeSet::new();
    for (_, process) in &owners {
        match process {
            Ok(process) => found.addresses.extend(process.filter(|process| seen.insert(*process))),
            Err(_) => found.end = found.end.max(ListEnd::Broken),
        }
    }
    let of: BTreeMap<_, _> = owners.into_iter().filter_map(|(entry, process)| Some((entry, process.ok()??))).collect();
    found.note_one_way(&joined, |entry| of.get(&entry).copied());
    Ok(found)
}

/// Which known process uses which table.
fn users_of_tables(kernel: &Kernel<'_>, list: &ProcessList) -> BTreeMap<VirtualAddress, VirtualAddress> {
    let user =
        |address: VirtualAddress| Some((Eprocess::read(kernel, address).handle_table().value().copied()?, address));
    list.items.iter().filter_map(|process| user(*process.eprocess.value()?)).collect()
}
