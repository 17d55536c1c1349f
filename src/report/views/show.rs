//! One process, whole.

use super::columns::visible;
use super::words::{brief, count, integrity, known, time};
use crate::process::Source;
use crate::report::page::{Blocks as _, Cell, Column, Facts, Page, Row, Table, Tone};
use crate::report::{Report, UserName, Users, Whole, heading};
use crate::{ListEnd, Outcome, Process, Reading, VirtualAddress};

/// A part of what there is to tell of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Who it is, who made it, when, by what file.
    Identity,
    /// Its token: user, groups, privileges.
    Token,
    /// What its loader lists.
    Modules,
    /// Its address ranges.
    Vads,
    /// Its threads.
    Threads,
    /// Its handles.
    Handles,
    /// Who has handles to it.
    HeldBy,
    /// Its environment.
    Environment,
    /// The findings that name it.
    Findings,
}

impl Part {
    /// All of them, in the order of a page, by name.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Identity, "identity"),
        (Self::Findings, "findings"),
        (Self::Token, "token"),
        (Self::Modules, "modules"),
        (Self::Threads, "threads"),
        (Self::Vads, "vads"),
        (Self::Handles, "handles"),
        (Self::HeldBy, "held_by"),
        (Self::Environment, "environment"),
    ];

    /// Whether it has rows, rather than facts.
    #[must_use]
    pub const fn is_list(self) -> bool {
        matches!(self, Self::Modules | Self::Vads | Self::Threads | Self::Handles | Self::HeldBy)
    }

    /// The part of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let wanted = name.trim().replace('-', "_");
        Self::ALL.iter().find(|(_, known)| known.eq_ignore_ascii_case(&wanted)).map(|(part, _)| *part)
    }
}

/// Everything about one process, or these parts of it.
#[must_use]
pub fn show(report: &Report, whole: &Whole, parts: &[Part]) -> Page {
    let process = &whole.process;
    let mut page = Page::new(format!("Process {}", brief(&process.pid)));
    let users = Users::new(&report.system.machine);
    for (part, _) in Part::ALL.into_iter().filter(|(part, _)| parts.is_empty() || parts.contains(part)) {
        page.gap();
        match part {
            Part::Identity => identity(&mut page, whole, &users),
            Part::Findings => findings(&mut page, whole),
            Part::Token => token(&mut page, process, &users),
            Part::Modules => modules(&mut page, whole),
            Part::Threads => threads(&mut page, report, whole),
            Part::Vads => vads(&mut page, process),
            Part::Handles => handles(&mut page, process),
            Part::HeldBy => held_by(&mut page, process),
            Part::Environment => environment(&mut page, process),
        }
    }
    page
}

fn identity(page: &mut Page, whole: &Whole, users: &Users) {
    let process = &whole.process;
    let state = if process.has_exited() { ", exited" } else { "" };
    page.heading(
        1,
        format!("{} ({}){state}", brief(&process.name.clone().map(|name| visible(&name))), brief(&process.pid)),
    );
    let mut facts = Facts::new(2, 14);
    facts.add("parent", whole.parent.as_str());
    if !whole.children.is_empty() {
        facts.add("children", whole.children.join(", "));
    }
    facts.add("path", known(&process.path));
    facts.add("PEB path", known(&process.peb_path));
    facts.add("command line", known(&process.command_line));
    facts.add("file", known(&process.section_file.clone().map(|file| file.name)));
    facts.add("created", known(&process.created));
    if !process.exited.is_nothing() {
        facts.add("exited", known(&process.exited));
    }
    facts.add("session", known(&process.session));
    facts.add("user", known(&process.user.clone().map(|sid| user(users, &sid))));
    facts.add("integrity", known(&process.integrity.clone().map(|sid| format!("{} ({sid})", integrity(&sid)))));
    facts.add("protection", known(&process.protection));
    facts.add("32-bit", known(&process.wow64.clone().map(|is| if is { "yes" } else { "no" })));
    facts.add("critical", known(&process.critical.clone().map(|is| if is { "yes" } else { "no" })));
    facts.add("_EPROCESS", format!("{} physical {}", brief(&process.eprocess), brief(&process.physical)));
    facts.add("page tables", known(&process.dtb));
    facts.add("PEB", known(&process.peb));
    facts.add("image base", format!("{} (PEB), {} (kernel)", brief(&process.image_base), brief(&process.section_base)));
    facts.add("debug port", known(&process.debug_port));
    facts.add("job", known(&process.job));
    facts.add("seen in", Source::names(&process.sources));
    page.facts(facts);
}

/// `anna* (S-1-5-21-...)`
fn user(users: &Users, sid: &str) -> String {
    match users.name(sid) {
        UserName::Sid(sid) => sid,
        UserName::WellKnown(name) => format!("{name} ({sid})"),
        UserName::Profile(folder) => format!("{folder}, by the folder of the profile ({sid})"),
    }
}

fn findings(page: &mut Page, whole: &Whole) {
    let words = count(whole.findings.len(), "finding names it", "findings name it");
    page.heading(2, words);
    let mut facts = Facts::new(2, 18);
    let mut findings: Vec<&Outcome> = whole.findings.iter().collect();
    // The worst first.
    findings.sort_by_key(|outcome| std::cmp::Reverse(outcome.severity));
    for outcome in findings {
        let severity = outcome.severity.map_or_else(String::new, |severity| severity.to_string());
        let tone = if outcome.counts() { Tone::Bad } else { Tone::Odd };
        let observed = outcome.observed.as_ref().map_or_else(String::new, |observed| format!(": {observed}"));
        let name = tone.say(format!("{severity:<8}")).and(Tone::Plain, format!(" {}", outcome.id));
        facts.add(name, format!("{}{observed}", heading(outcome)));
    }
    page.facts(facts);
}

fn token(page: &mut Page, process: &Process, users: &Users) {
    page.heading(2, "Token");
    let Some(token) = list(page, &process.token, "token") else { return };
    let mut facts = Facts::new(2, 14);
    facts.add("address", token.address.to_string());
    facts.add("kind", token.kind.as_str());
    facts.add("source", token.source.as_str());
    facts.add("logon", known(&process.authentication_id));
    facts.add("session", known(&process.token_session));
    for sid in &token.sids {
        let name = match &sid.name {
            Some(name) => format!("{} ({name})", sid.sid),
            None => user(users, &sid.sid),
        };
        facts.add("group", format!("{name}, attributes {}", sid.attributes));
    }
    for privilege in &token.privileges {
        facts.add("privilege", format!("{}{}", privilege.name, if privilege.enabled { ", enabled" } else { "" }));
    }
    for (field, why) in &token.absent {
        facts.add(field.as_str(), Tone::Odd.say(why.to_string()));
    }
    page.facts(facts);
}

fn modules(page: &mut Page, whole: &Whole) {
    page.heading(2, format!("Modules{}", of(&whole.modules, &whole.modules_end)));
    let Some(modules) = list(page, &whole.modules, "modules") else { return };
    let vads = whole.process.inside.value().and_then(|inside| inside.vads.value());
    let mapped = |base: Option<&VirtualAddress>| {
        let found = vads?.iter().find(|vad| vad.start.value() == base && base.is_some());
        found.map(|vad| Cell::from(&vad.file))
    };
    let row = |module: &crate::kernel::Module| {
        Row::new(vec![
            Cell::from(&module.base),
            Cell::read(&module.size, |size| format!("{size:#x}")),
            Cell::from(&module.path),
            mapped(module.base.value()).unwrap_or_else(|| Cell::Unknown("no range begins there".to_owned())),
        ])
    };
    let columns = vec![
        Column::new("BASE", "base", 18),
        Column::new("SIZE", "size", 8).right(),
        Column::new("PATH (PEB)", "path", 20),
        Column::new("FILE (VAD)", "file", 20),
    ];
    page.table(Table { name: "modules", columns, rows: modules.iter().map(row).collect(), ..Table::default() });
}

/// The driver that an address of the kernel lies in.
fn driver(report: &Report, at: VirtualAddress) -> String {
    let found = report.system.drivers.items.iter().find_map(|driver| {
        let (base, size) = (driver.base.value()?, driver.size.value()?);
        let offset = at.0.checked_sub(base.0).filter(|offset| *offset < u64::from(*size))?;
        Some(format!("{}+{offset:#x}", brief(&driver.name)))
    });
    found.unwrap_or_else(|| "the kernel's half, in no driver that is listed".to_owned())
}

fn threads(page: &mut Page, report: &Report, whole: &Whole) {
    let Some(inside) = inside(page, &whole.process, "Threads") else { return };
    page.heading(2, format!("Threads{}", of(&inside.threads, &inside.threads_end)));
    let Some(threads) = list(page, &inside.threads, "threads") else { return };
    let place = |start: &Reading<VirtualAddress>| match start.value() {
        Some(at) if at.is_kernel() => Cell::of(driver(report, *at)),
        Some(at) => Cell::of(whole.place(*at).unwrap_or_else(|| "nowhere that is known".to_owned())),
        None => Cell::Nothing,
    };
    let row = |thread: &crate::kernel::Thread| {
        let over = thread.terminated.value() == Some(&true) || thread.exited.value().is_some();
        Row::new(vec![
            Cell::from(&thread.tid),
            Cell::from(&thread.state),
            time(&thread.created),
            Cell::from(&thread.start),
            Cell::from(&thread.win32_start),
            place(if thread.win32_start.value().is_some_and(|at| !at.is_null()) {
                &thread.win32_start
            } else {
                &thread.start
            }),
        ])
        .tone(if over { Tone::Faint } else { Tone::Plain })
    };
    let columns = vec![
        Column::new("TID", "tid", 6).right(),
        Column::new("STATE", "state", 8),
        Column::new("CREATED (UTC)", "created", 19).spare(2),
        Column::new("START", "start", 18).spare(1),
        Column::new("WIN32 START", "win32_start", 18),
        Column::new("IN", "in", 12),
    ];
    page.table(Table { name: "threads", columns, rows: threads.iter().map(row).collect(), ..Table::default() });
}

fn vads(page: &mut Page, process: &Process) {
    let Some(inside) = inside(page, process, "Address ranges") else { return };
    page.heading(2, format!("Address ranges{}", of(&inside.vads, &inside.vads_end)));
    let Some(vads) = list(page, &inside.vads, "address ranges") else { return };
    let row = |vad: &crate::kernel::Vad| {
        let odd = vad.private.value() == Some(&true) && vad.executable.value() == Some(&true);
        Row::new(vec![
            Cell::from(&vad.start),
            Cell::from(&vad.end),
            Cell::from(&vad.kind),
            Cell::from(&vad.protection),
            Cell::from(&vad.commit),
            Cell::from(&vad.file),
        ])
        .tone(if odd { Tone::Bad } else { Tone::Plain })
    };
    let columns = vec![
        Column::new("START", "start", 18),
        Column::new("END", "end", 18),
        Column::new("KIND", "kind", 7),
        Column::new("PROTECTION", "protection", 17),
        Column::new("COMMIT", "commit", 6).right().spare(1),
        Column::new("FILE", "file", 12),
    ];
    page.table(Table { name: "vads", columns, rows: vads.iter().map(row).collect(), ..Table::default() });
}

fn handles(page: &mut Page, process: &Process) {
    let Some(inside) = inside(page, process, "Handles") else { return };
    page.heading(2, format!("Handles{}", of(&inside.handles, &inside.handles_end)));
    let Some(handles) = list(page, &inside.handles, "handles") else { return };
    let row = |handle: &crate::kernel::Handle| {
        let name = match (&handle.name, handle.pid.value()) {
            (_, Some(pid)) => Cell::of(format!("pid {pid}")),
            // What is known of a name is better than half of a path.
            (name, None) if handle.path.value().is_none() => Cell::from(name),
            _ => Cell::from(&handle.path),
        };
        Row::new(vec![
            Cell::read(&handle.value, |value| format!("{value:#x}")),
            Cell::from(&handle.kind),
            Cell::from(&handle.access),
            Cell::from(&handle.object),
            name,
        ])
    };
    let columns = vec![
        Column::new("HANDLE", "value", 8).right(),
        Column::new("TYPE", "kind", 12),
        Column::new("ACCESS", "access", 8),
        Column::new("OBJECT", "object", 18),
        Column::new("NAME", "name", 12),
    ];
    page.table(Table { name: "handles", columns, rows: handles.iter().map(row).collect(), ..Table::default() });
}

fn held_by(page: &mut Page, process: &Process) {
    let Some(inside) = inside(page, process, "Held by") else { return };
    page.heading(2, format!("Handles to it that others have{}", of(&inside.held_by, &inside.held_by_end)));
    let Some(holders) = list(page, &inside.held_by, "holders") else { return };
    let row = |holder: &crate::process::Holder| {
        Row::new(vec![
            Cell::from(&holder.pid),
            Cell::from(&holder.name),
            Cell::read(&holder.value, |value| format!("{value:#x}")),
            Cell::from(&holder.access),
        ])
    };
    let columns = vec![
        Column::new("PID", "pid", 6).right(),
        Column::new("NAME", "name", 14),
        Column::new("HANDLE", "value", 8).right(),
        Column::new("ACCESS", "access", 8),
    ];
    page.table(Table { name: "holders", columns, rows: holders.iter().map(row).collect(), ..Table::default() });
}

fn environment(page: &mut Page, process: &Process) {
    page.heading(2, "Environment");
    if let Some(variables) = list(page, &process.environment, "environment") {
        for variable in variables {
            page.paragraph((2, 4), variable.as_str());
        }
    }
}

/// What is in a process, or that it was not read.
fn inside<'p>(page: &mut Page, process: &'p Process, title: &str) -> Option<&'p crate::process::Inside> {
    match process.inside.known() {
        Ok(Some(inside)) => Some(inside),
        Ok(None) => {
            page.heading(2, title).paragraph((2, 4), "none");
            None
        }
        Err(why) => {
            page.heading(2, title).paragraph((2, 4), Tone::Odd.say(why.to_string()));
            None
        }
    }
}

/// The list, where there is one; else why not.
fn list<'r, T>(page: &mut Page, reading: &'r Reading<T>, what: &str) -> Option<&'r T> {
    match reading.known() {
        Ok(Some(list)) => return Some(list),
        Ok(None) => page.paragraph((2, 4), format!("no {what}")),
        Err(why) => page.paragraph((2, 4), Tone::Odd.say(format!("{what}: {why}"))),
    };
    None
}

/// `: 12`, or `: 12, a part: the walk ended in a cycle`
fn of<T>(list: &Reading<Vec<T>>, end: &Reading<ListEnd>) -> String {
    let number = list.value().map_or_else(String::new, |list| format!(": {}", list.len()));
    let end = match end.value() {
        Some(ListEnd::Cycle) => ", a part: its links run in a circle",
        Some(ListEnd::Broken) => ", a part: it is broken off",
        Some(ListEnd::Limit) => ", a part: it was read up to the cap",
        Some(ListEnd::Complete) | None => "",
    };
    format!("{number}{end}")
}
