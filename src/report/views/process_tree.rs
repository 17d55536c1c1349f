//! The processes under their parents.

use super::columns::{command, list_end, user, user_source, visible};
use super::processes::{has_marked, notes, with_marks};
use super::words::{brief, time};
use crate::report::Users;
use crate::report::page::{Blocks as _, Cell, Column, Page, Row, Table, Tone};
use crate::{Parent, Picture, Process, ProcessTree};
use std::collections::BTreeMap;

/// The processes under their parents. A parent that is not there is a row of its own, in brackets, so that what one
/// vanished process started stays together.
#[must_use]
pub fn process_tree(picture: &Picture<'_>) -> Page {
    let system = picture.system();
    let items = &system.processes.items;
    let tree = picture.tree();
    let users = Users::new(&system.machine);
    let mut table = Table {
        name: "process tree",
        columns: vec![
            Column::new("PROCESS (PID)", "process", 38),
            Column::new("SES", "session", 3).right(),
            Column::new("USER", "user", 8),
            Column::new("CREATED (UTC)", "created", 19).spare(1),
            Column::new("COMMAND LINE", "command_line", 12),
        ],
        ..Table::default()
    };
    table.columns.extend(DATA.map(Column::data));
    // The same numbers as in rows of JSON.
    let places: BTreeMap<usize, TreeRow<'_>> = places(picture).collect();
    for (missing, roots) in by_missing_parent(items, tree) {
        let indent = usize::from(!missing.is_empty());
        if !missing.is_empty() {
            table.rows.push(Row::spanned(missing, Tone::Faint));
        }
        for (depth, at) in roots.into_iter().flat_map(|root| tree.walk_from(root)) {
            if let Some(process) = items.get(at) {
                let mut row = row(process, &users).depth(depth.saturating_add(indent));
                let place = places.get(&at);
                row.cells.extend([
                    Cell::from(place.map(|place| place.depth)),
                    Cell::from(place.map(|place| place.row)),
                    Cell::from(place.and_then(|place| place.parent_row)),
                    Cell::from(&process.pid),
                    Cell::from(&process.ppid),
                    Cell::from(&process.name),
                    Cell::from(&process.exited),
                    Cell::from(&process.path),
                    user_source(process, &users),
                    list_end(system),
                ]);
                table.rows.push(row);
            }
        }
    }
    let mut page = Page::new("Process tree");
    let marked = has_marked(&table);
    page.table(with_marks(table));
    notes(&mut page, system, marked);
    page
}

/// What those who compute need of each process beside what people read.
const DATA: [&str; 10] =
    ["depth", "row", "parent_row", "pid", "ppid", "name", "exited", "path", "user_source", "list_end"];

fn row(process: &Process, users: &Users) -> Row {
    let gone = process.has_exited();
    let name = process.name.clone().map(|name| visible(&name));
    let name = format!("{} ({}){}", brief(&name), brief(&process.pid), if gone { " exited" } else { "" });
    let cells = vec![
        Cell::of(name),
        Cell::from(&process.session),
        user(process, users),
        time(&process.created),
        command(process),
    ];
    Row::new(cells).tone(if gone { Tone::Faint } else { Tone::Plain })
}

/// The roots under the parent that they miss, in the order of the first; no words: they rightly have none.
pub(super) fn by_missing_parent(items: &[Process], tree: &ProcessTree) -> Vec<(String, Vec<usize>)> {
    let mut order: Vec<(String, Vec<usize>)> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for &root in tree.roots() {
        let missing = missing_parent(items, tree.parent(root));
        match known.get(&missing).filter(|_| !missing.is_empty()).and_then(|&at| order.get_mut(at)) {
            Some((_, roots)) => roots.push(root),
            None => {
                known.insert(missing.clone(), order.len());
                order.push((missing, vec![root]));
            }
        }
    }
    order
}

/// Empty for a root that rightly has no parent.
fn missing_parent(items: &[Process], parent: Parent) -> String {
    let name = |at: usize| items.get(at).map_or_else(|| "?".to_owned(), |process| brief(&process.name));
    match parent {
        Parent::Vanished(pid) => format!("[{pid}, not listed]"),
        Parent::Reused { pid, now } => format!("[{pid}, gone: {} has the pid now]", name(now)),
        Parent::Ring(up) => format!("[{}, in a ring of parents]", name(up)),
        Parent::Unknown => "[parent not known]".to_owned(),
        Parent::None | Parent::Listed(_) | Parent::Exited(_) => String::new(),
    }
}

/// A process with its place in the tree.
#[derive(Debug, serde::Serialize)]
pub struct TreeRow<'a> {
    depth: usize,
    row: usize,
    parent_row: Option<usize>,
    #[serde(flatten)]
    process: &'a Process,
}

/// Every process once, each after its parent: with its depth, its number, and the number of its parent's row.
#[must_use]
pub fn tree_rows<'s>(picture: &Picture<'s>) -> Vec<TreeRow<'s>> {
    places(picture).map(|(_, row)| row).collect()
}

/// The same with its position in the list.
fn places<'s>(picture: &Picture<'s>) -> impl Iterator<Item = (usize, TreeRow<'s>)> {
    let items = &picture.system().processes.items;
    let tree = picture.tree();
    let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
    let mut rows = Vec::new();
    for (depth, at) in tree.walk() {
        let Some(process) = items.get(at) else { continue };
        let row = rows.len();
        numbers.insert(at, row);
        let parent_row = tree.parent(at).position().and_then(|up| numbers.get(&up).copied());
        rows.push((at, TreeRow { depth, row, parent_row, process }));
    }
    rows.into_iter()
}
