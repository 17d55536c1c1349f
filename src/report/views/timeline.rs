//! What happened when: everything that bears a time, in order.

use super::words::{named, short_key};
use crate::kernel::Thread;
use crate::registry::{HiveList, KeyRecord};
use crate::report::page::{Blocks as _, Cell, Column, Page, Row, Table, Tone};
use crate::report::{Report, heading};
use crate::{Outcome, Picture, Process, Reading, Timestamp};
use serde::Serialize;

/// Something that happened. The names of the first three members are those that Timesketch asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When, in UTC.
    pub datetime: Timestamp,
    /// What the time is: `Process created`.
    pub timestamp_desc: &'static str,
    /// What happened, in words.
    pub message: String,
    /// Structure and field, or key, that the time was read from.
    pub source: String,
    /// The process it is about.
    pub pid: Option<u64>,
    /// Of a finding: how bad it is.
    pub severity: Option<String>,
    /// Of a finding: ATT&CK technique ids.
    pub tag: Vec<String>,
}

impl Event {
    /// That an image could not be analysed, at the time when its file was written.
    #[must_use]
    pub fn not_analysed(image: &str, why: &str, written: Timestamp) -> Self {
        Self {
            datetime: written,
            timestamp_desc: "Image not analysed",
            message: format!("{image} could not be analysed: {why}"),
            source: "the file's last write".to_owned(),
            pid: None,
            severity: None,
            tag: Vec::new(),
        }
    }
}

/// Everything of a report that bears a time, in the order of time. `hives`: those in memory.
#[must_use]
pub fn events(report: &Report, picture: &Picture<'_>, hives: &HiveList) -> Vec<Event> {
    let system = picture.system();
    let mut events = Vec::new();
    let mut add = |time: Option<&Timestamp>, what, message: String, source: &str, pid| {
        if let Some(at) = time {
            let source = source.to_owned();
            events.push(Event {
                datetime: *at,
                timestamp_desc: what,
                message,
                source,
                pid,
                severity: None,
                tag: Vec::new(),
            });
        }
    };
    let machine = &system.machine;
    add(machine.boot.value(), "System started", "the system started".into(), "KUSER_SHARED_DATA", None);
    add(machine.captured.value(), "Image taken", "the memory image was taken".into(), "KUSER_SHARED_DATA", None);
    for process in &system.processes.items {
        let (pid, name) = (process.pid.value().copied(), named(process));
        let command = process.command_line.value().or(process.path.value());
        let command = command.map_or_else(String::new, |command| format!(": {command}"));
        let parent = process.ppid.value().map_or_else(String::new, |ppid| format!(" by pid {ppid}"));
        let created = format!("{name} was created{parent}{command}");
        add(process.created.value(), "Process created", created, "_EPROCESS.CreateTime", pid);
        add(process.exited.value(), "Process exited", format!("{name} exited"), "_EPROCESS.ExitTime", pid);
        let threads = process.inside.value().and_then(|inside| inside.threads.value());
        for thread in threads.into_iter().flatten() {
            let of = |word: &str| format!("thread {} of {name} {word}{}", number(&thread.tid), start(thread));
            add(thread.created.value(), "Thread created", of("was created"), "_ETHREAD.CreateTime", pid);
            add(thread.exited.value(), "Thread exited", of("exited"), "_ETHREAD.ExitTime", pid);
        }
    }
    for key in system.session_manager.keys().into_values().filter_map(Reading::value) {
        let message = format!("key written: {}", short_key(&key.path));
        add(key.last_written.value(), "Registry key last written", message, "_CM_KEY_NODE.LastWriteTime", None);
    }
    for hive in &hives.items {
        let root = hive.root.value().or(hive.file.value()).map_or("a hive", String::as_str);
        let message = format!("hive written to its file: {root}");
        add(hive.last_written.value(), "Hive last written", message, "_HBASE_BLOCK.TimeStamp", None);
    }
    // A saved timeline says itself that it is a part.
    let last = || system.processes.items.iter().filter_map(|process| process.created.value()).max();
    let at = machine.captured.value().or_else(last);
    if let Some(part) = crate::report::part_of_list(system) {
        add(at, "Image taken", part, "PsActiveProcessHead", None);
    }
    let outcomes = report.checks.iter().flat_map(|findings| findings.violations());
    events.extend(outcomes.filter_map(|outcome| finding(outcome, picture)));
    // Of one time, in the order of the kernel's lists.
    events.sort_by_key(|event| event.datetime);
    events
}

fn number(reading: &Reading<u64>) -> String {
    reading.value().map_or_else(|| "?".to_owned(), u64::to_string)
}

fn start(thread: &Thread) -> String {
    thread.win32_start.value().map_or_else(String::new, |at| format!(", start {at}"))
}

/// A finding, at the time of what it is about: the process's creation, the key's last write, else that of the image.
fn finding(outcome: &Outcome, picture: &Picture<'_>) -> Option<Event> {
    let system = picture.system();
    let items = &system.processes.items;
    let process = outcome.pid.and_then(|pid| items.iter().find(|process| process.pid.value() == Some(&pid)));
    let key = outcome.evidence.iter().find_map(|evidence| evidence.key.as_deref());
    let written = || key.and_then(|key| last_written(system.session_manager.keys().into_values(), key));
    let (at, source) = process
        .and_then(|process| Some((process.created.value()?, "_EPROCESS.CreateTime")))
        .or_else(|| Some((written()?, "_CM_KEY_NODE.LastWriteTime")))
        .or_else(|| Some((system.machine.captured.value()?, "KUSER_SHARED_DATA")))?;
    let observed = outcome.observed.as_ref().map_or_else(String::new, |observed| format!(": {observed}"));
    let of = process.map_or_else(String::new, |process: &Process| format!("{}: ", named(process)));
    Some(Event {
        datetime: *at,
        timestamp_desc: "Finding",
        message: format!("{} {of}{}{observed}", outcome.id, heading(outcome)),
        source: source.to_owned(),
        pid: outcome.pid,
        severity: outcome.severity.map(|severity| severity.to_string()),
        tag: outcome.attack.clone(),
    })
}

fn last_written<'k>(mut keys: impl Iterator<Item = &'k Reading<KeyRecord>>, path: &str) -> Option<&'k Timestamp> {
    keys.find_map(|key| key.value().filter(|key| key.path.eq_ignore_ascii_case(path))?.last_written.value())
}

/// Events as a table.
#[must_use]
pub fn timeline(events: &[Event]) -> Page {
    let mut page = Page::new("Timeline");
    let columns = vec![
        Column::new("DATETIME (UTC)", "datetime", 19),
        // The message says it too.
        Column::new("WHAT", "timestamp_desc", 15).spare(1),
        Column::new("PID", "pid", 6).right(),
        Column::new("SEVERITY", "severity", 8),
        Column::new("ATT&CK", "tag", 9).spare(2),
        Column::new("SOURCE", "source", 12).spare(3),
        Column::new("MESSAGE", "message", 12),
    ];
    let row = |event: &Event| {
        let tag = event.tag.join(" ");
        let tone = if event.severity.is_some() { Tone::Bad } else { Tone::Plain };
        Row::new(vec![
            Cell::time(event.datetime),
            Cell::of(event.timestamp_desc),
            Cell::from(event.pid),
            Cell::from(event.severity.as_ref()),
            if tag.is_empty() { Cell::Nothing } else { Cell::of(tag) },
            Cell::of(event.source.as_str()),
            Cell::of(event.message.as_str()),
        ])
        .tone(tone)
    };
    let rows = events.iter().map(row).collect();
    page.table(Table { name: "timeline", columns, rows, broken: true, ..Table::default() });
    page
}
