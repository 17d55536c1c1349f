//! The columns that a list of processes can have.

use super::words::{integrity, time};
use crate::report::page::{Cell, Column, Row, Table, Tone};
use crate::report::users::PROFILE_MARK;
use crate::report::{UserName, Users};
use crate::{ListEnd, Process, Reading, System, Timestamp};
use std::fmt::Display;

/// How to show a list of processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Names of columns, of [`COLUMNS`], from left to right. Empty: those that a list usually has.
    pub columns: Vec<String>,
    /// Name of the column to sort by; a `-` before it turns the order round. `None`: the kernel's order.
    pub sort: Option<String>,
}

/// There is no column of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no column {0}; there are: {list}", list = names())]
pub struct UnknownColumn(pub String);

/// One column: its name, and what is in it.
pub struct ProcessColumn {
    name: &'static str,
    head: &'static str,
    least: usize,
    right: bool,
    /// In a list that nobody chose the columns of: 0 never left out, the highest first; `None`: not in it.
    usual: Option<u8>,
    cell: fn(&Process, &Users) -> Cell,
    key: fn(&Process, &Users) -> Key,
}

/// What rows are sorted by: what is not known comes first, then numbers, then text.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Unknown,
    Number(u64),
    Text(String),
}

/// The columns that there are.
pub const COLUMNS: &[ProcessColumn] = &[
    right("pid", "PID", 6, Some(0), |p, _| (&p.pid).into(), |p, _| number(&p.pid)),
    right("ppid", "PPID", 6, Some(0), |p, _| (&p.ppid).into(), |p, _| number(&p.ppid)),
    left("name", "NAME", 14, Some(0), |p, _| name(p), |p, _| text(&p.name)),
    right("session", "SES", 3, Some(0), |p, _| (&p.session).into(), |p, _| number(&p.session)),
    left("user", "USER", 8, Some(0), user, |p, users| text(&users.of(p))),
    left("sid", "SID", 8, None, |p, _| (&p.user).into(), |p, _| text(&p.user)),
    left(
        "integrity",
        "INT",
        6,
        Some(5),
        |p, _| Cell::read(&p.integrity, |sid| integrity(sid)),
        |p, _| text(&p.integrity),
    ),
    right("threads", "THR", 3, Some(4), |p, _| (&p.threads).into(), |p, _| number(&p.threads)),
    right("handles", "HND", 4, Some(4), |p, _| (&p.handles).into(), |p, _| number(&p.handles)),
    left("wow64", "W64", 3, Some(5), |p, _| Cell::read(&p.wow64, |is| yes(*is)), |p, _| text(&p.wow64)),
    left("created", "CREATED (UTC)", 19, Some(2), |p, _| time(&p.created), |p, _| moment(&p.created)),
    left("exited", "EXITED (UTC)", 19, Some(3), |p, _| time(&p.exited), |p, _| moment(&p.exited)),
    left("path", "PATH", 8, None, |p, _| (&p.path).into(), |p, _| text(&p.path)),
    left("peb_path", "PEB PATH", 8, None, |p, _| (&p.peb_path).into(), |p, _| text(&p.peb_path)),
    left("eprocess", "EPROCESS", 18, None, |p, _| (&p.eprocess).into(), |p, _| text(&p.eprocess)),
    left("physical", "PHYSICAL", 18, None, |p, _| (&p.physical).into(), |p, _| text(&p.physical)),
    left("dtb", "DTB", 18, None, |p, _| (&p.dtb).into(), |p, _| text(&p.dtb)),
    left("peb", "PEB", 18, None, |p, _| (&p.peb).into(), |p, _| text(&p.peb)),
    left("protection", "PROTECTION", 10, None, |p, _| (&p.protection).into(), |p, _| text(&p.protection)),
    left("sources", "SOURCES", 8, None, |p, _| Cell::of(sources(p)), |p, _| Key::Text(sources(p))),
    left("command_line", "COMMAND LINE", 12, Some(0), |p, _| command(p), |p, _| text(&p.command_line)),
];

type CellOf = fn(&Process, &Users) -> Cell;
type KeyOf = fn(&Process, &Users) -> Key;

const fn left(
    name: &'static str,
    head: &'static str,
    least: usize,
    usual: Option<u8>,
    cell: CellOf,
    key: KeyOf,
) -> ProcessColumn {
    ProcessColumn { name, head, least, right: false, usual, cell, key }
}

const fn right(
    name: &'static str,
    head: &'static str,
    least: usize,
    usual: Option<u8>,
    cell: CellOf,
    key: KeyOf,
) -> ProcessColumn {
    ProcessColumn { name, head, least, right: true, usual, cell, key }
}

fn number<T: Copy + Into<u64>>(reading: &Reading<T>) -> Key {
    reading.value().map_or(Key::Unknown, |value| Key::Number((*value).into()))
}

fn moment(reading: &Reading<Timestamp>) -> Key {
    reading.value().map_or(Key::Unknown, |at| Key::Number(at.0))
}

fn text<T: Display>(reading: &Reading<T>) -> Key {
    reading.value().map_or(Key::Unknown, |value| Key::Text(value.to_string().to_lowercase()))
}

impl ProcessColumn {
    /// Its name: `command_line`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

/// What `--columns` can name.
fn names() -> String {
    COLUMNS.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

fn named(name: &str) -> Result<&'static ProcessColumn, UnknownColumn> {
    let wanted = name.trim().replace('-', "_");
    let found = COLUMNS.iter().find(|column| column.name.eq_ignore_ascii_case(&wanted));
    found.ok_or_else(|| UnknownColumn(name.to_owned()))
}

impl ListOptions {
    /// Whether all columns that are named are there.
    ///
    /// # Errors
    /// The first that is not.
    pub fn verify(&self) -> Result<(), UnknownColumn> {
        let sort = self.sort.as_deref().map(|sort| sort.strip_prefix('-').unwrap_or(sort));
        self.columns.iter().map(String::as_str).chain(sort).try_for_each(|name| named(name).map(drop))
    }

    /// The columns to show.
    fn columns(&self) -> Vec<&'static ProcessColumn> {
        if self.columns.is_empty() {
            return COLUMNS.iter().filter(|column| column.usual.is_some()).collect();
        }
        self.columns.iter().filter_map(|name| named(name).ok()).collect()
    }

    /// The processes in the order that is asked for.
    #[must_use]
    pub fn sorted<'s>(&self, system: &'s System) -> Vec<&'s Process> {
        let mut processes: Vec<&Process> = system.processes.items.iter().collect();
        self.sort(&mut processes, &Users::new(&system.machine));
        processes
    }

    /// A table of these processes.
    pub(super) fn table(&self, system: &System) -> Table {
        let users = Users::new(&system.machine);
        let columns = self.columns();
        let processes = self.sorted(system);
        let usual = self.columns.is_empty();
        let row = |process: &&Process| {
            let tone = if process.has_exited() { Tone::Faint } else { Tone::Plain };
            let mut cells: Vec<Cell> = columns.iter().map(|column| (column.cell)(process, &users)).collect();
            if usual {
                cells.extend([user_source(process, &users), Cell::from(&process.path), list_end(system)]);
            }
            Row::new(cells).tone(tone)
        };
        let mut shown: Vec<Column> = columns.iter().map(|column| column.page(usual)).collect();
        if usual {
            shown.extend(["user_source", "path", "list_end"].map(Column::data));
        }
        Table { name: "processes", rows: processes.iter().map(row).collect(), columns: shown, ..Table::default() }
    }

    /// Sorts; processes of one value stay in the kernel's order.
    fn sort(&self, processes: &mut [&Process], users: &Users) {
        let Some(sort) = &self.sort else { return };
        let (turned, name) = sort.strip_prefix('-').map_or((false, sort.as_str()), |name| (true, name));
        let Ok(column) = named(name) else { return };
        processes.sort_by(|one, other| {
            let order = (column.key)(one, users).cmp(&(column.key)(other, users));
            if turned { order.reverse() } else { order }
        });
    }
}

impl ProcessColumn {
    /// As a column of a page; `usual`: nobody chose it, so that it can be left out.
    fn page(&self, usual: bool) -> Column {
        let spare = self.usual.filter(|_| usual).unwrap_or(0);
        let column = Column::new(self.head, self.name, self.least).spare(spare);
        // A process that is over must not pass for one that runs.
        let column = if self.name == "exited" { column.instead("STATE", "exited") } else { column };
        if self.right { column.right() } else { column }
    }
}

/// The name as it is, for people with spaces at its ends made visible.
pub(super) fn name(process: &Process) -> Cell {
    match &process.name {
        Reading::Value(name) => Cell::of(name).told(visible(name)),
        other => other.into(),
    }
}

/// The user's name, for people with the mark of what it is known from.
pub(super) fn user(process: &Process, users: &Users) -> Cell {
    let of = process.user.clone().map(|sid| users.name(&sid));
    match &of {
        Reading::Value(UserName::Profile(folder)) => Cell::of(folder).told(format!("{folder}{PROFILE_MARK}")),
        other => other.into(),
    }
}

/// What the user's name is known from.
pub(super) fn user_source(process: &Process, users: &Users) -> Cell {
    Cell::read(&process.user, |sid| {
        let source = match users.name(sid) {
            UserName::WellKnown(_) => "well known",
            UserName::Profile(_) => "profile folder",
            UserName::Sid(_) => "sid",
        };
        source.to_owned()
    })
}

/// Whether a list of processes is whole: who computes with a row has no line below the list.
pub(super) fn list_end(system: &System) -> Cell {
    match system.processes.end {
        _ if system.processes.is_carved() => Cell::of("carved"),
        Some(ListEnd::Complete) => Cell::of("complete"),
        Some(ListEnd::Cycle) => Cell::of("cycle"),
        Some(ListEnd::Broken) => Cell::of("broken"),
        Some(ListEnd::Limit) => Cell::of("limit"),
        None => Cell::Unknown("whoever made the list does not say how it ended".to_owned()),
    }
}

/// Spaces at the ends of a name are there to deceive.
pub(super) fn visible(name: &str) -> String {
    let begin = name.len().saturating_sub(name.trim_start().len());
    let end = name.trim_end().len().max(begin);
    let show = |space: &str| space.chars().map(|c| format!("<U+{:04X}>", u32::from(c))).collect::<String>();
    let (left, rest) = name.split_at_checked(begin).unwrap_or(("", name));
    let (middle, right) = rest.split_at_checked(end.saturating_sub(begin)).unwrap_or((rest, ""));
    format!("{}{middle}{}", show(left), show(right))
}

/// The command line, or else the path that the kernel has.
pub(super) fn command(process: &Process) -> Cell {
    match (&process.command_line, &process.path) {
        (Reading::Value(_), _) | (_, Reading::Nothing) => Cell::from(&process.command_line),
        (_, Reading::Value(path)) => Cell::from(&process.command_line).told(format!("[{path}]")),
        (Reading::Nothing, Reading::Absent(_)) => Cell::from(&process.path),
        (Reading::Absent(_), _) => Cell::from(&process.command_line),
    }
}

fn sources(process: &Process) -> String {
    process.sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}
