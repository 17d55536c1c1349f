//! Pictures of a machine: how it came up, who built which session, and who started whom.

use super::process_tree::by_missing_parent;
use super::words::{brief, named, short};
use crate::report::Report;
use crate::report::page::{Block, Drawing, Figure, Mark, Node, Page, Timeline, Tone};
use crate::{Picture, Process, Session, System};
use std::collections::BTreeSet;

/// Processes that are drawn; a list has all.
const DRAWN: usize = 400;

/// The pictures of a report, those that there is something for.
#[must_use]
pub fn figures(report: &Report, picture: &Picture<'_>) -> Page {
    let bad = bad_pids(report);
    let mut page = Page::new("Pictures");
    let mut add = |title: &str, drawing: Drawing| {
        page.blocks.push(Block::Figure(Figure { title: title.to_owned(), drawing }));
    };
    let built = sessions(picture, &bad);
    if !built.is_empty() {
        add("Sessions: who built each, and its core processes", Drawing::Tree(built));
    }
    let marks = boot(picture.system(), &bad);
    if let Some(first) = marks.first().map(|mark| mark.at) {
        // The clock may have been set since.
        let started = picture.system().machine.boot.value().copied().filter(|boot| *boot <= first);
        let from = started.unwrap_or(first);
        let since = if started.is_some() { "the start of the system" } else { "the first of these processes" };
        add(
            &format!("How the sessions came up: time after {since} ({} UTC), on a logarithmic axis", short(from)),
            Drawing::Timeline(Timeline { from, marks }),
        );
    }
    let nodes = processes(picture, &bad);
    if !nodes.is_empty() {
        add("Processes under their parents", Drawing::Tree(nodes));
    }
    page
}

/// Ids of processes with findings that count.
#[must_use]
pub fn bad_pids(report: &Report) -> BTreeSet<u64> {
    let outcomes = report.checks.iter().flat_map(|findings| &findings.outcomes);
    outcomes.filter(|outcome| outcome.counts()).filter_map(|outcome| outcome.pid).collect()
}

fn tone(process: &Process, bad: &BTreeSet<u64>) -> Tone {
    if process.pid.value().is_some_and(|pid| bad.contains(pid)) {
        Tone::Bad
    } else if process.has_exited() {
        Tone::Faint
    } else {
        Tone::Plain
    }
}

/// What smss.exe builds: itself and the processes that make a session.
fn is_core(process: &Process) -> bool {
    const CORE: [&str; 7] =
        ["smss.exe", "csrss.exe", "wininit.exe", "winlogon.exe", "services.exe", "lsass.exe", "LogonUI.exe"];
    CORE.iter().any(|name| process.is_named(name))
}

fn sessions(picture: &Picture<'_>, bad: &BTreeSet<u64>) -> Vec<Node> {
    let items = &picture.system().processes.items;
    let mut nodes = Vec::new();
    for process in items.iter().filter(|process| process.is_called("smss.exe") && process.session.value().is_none()) {
        nodes.push(Node { depth: 0, label: named(process), tone: tone(process, bad) });
    }
    for session in picture.sessions() {
        let kind = session.kind.map_or("of unknown kind", |kind| kind.as_str());
        nodes.push(Node {
            depth: 1,
            label: format!("session {} {kind}, {}", session.id, builder(session)),
            tone: Tone::Head,
        });
        let members = items.iter().filter(|process| process.session.value() == Some(&session.id) && is_core(process));
        nodes.extend(members.map(|process| Node { depth: 2, label: named(process), tone: tone(process, bad) }));
    }
    nodes
}

fn builder(session: &Session) -> String {
    match (session.creator_pid, &session.creator_name) {
        (Some(pid), Some(name)) => format!("built by {name} ({pid})"),
        (Some(pid), None) => format!("built by pid {pid}, which is gone"),
        (None, _) => "builder not known".to_owned(),
    }
}

/// The core processes in the order of their creation.
fn boot(system: &System, bad: &BTreeSet<u64>) -> Vec<Mark> {
    let started = system.processes.items.iter().filter(|process| process.pid.value() == Some(&4) || is_core(process));
    let mark = |process: &Process| {
        let at = process.started()?;
        let session = process.session.value().map_or_else(String::new, |id| format!(", session {id}"));
        let label = format!("{}  {}{session}", short(at), named(process));
        Some(Mark { at, label, tone: tone(process, bad) })
    };
    let mut marks: Vec<Mark> = started.filter_map(mark).take(DRAWN).collect();
    marks.sort_by_key(|mark| mark.at.0);
    marks
}

fn processes(picture: &Picture<'_>, bad: &BTreeSet<u64>) -> Vec<Node> {
    let items = &picture.system().processes.items;
    let tree = picture.tree();
    let node = |(depth, at): (usize, usize)| {
        let process = items.get(at)?;
        let session = process.session.value().map_or_else(String::new, |id| format!("  session {id}"));
        let exited = if process.has_exited() { "  exited" } else { "" };
        let label = format!("{} ({}){session}{exited}", brief(&process.name), brief(&process.pid));
        Some(Node { depth, label, tone: tone(process, bad) })
    };
    let mut nodes: Vec<Node> = Vec::new();
    for (missing, roots) in by_missing_parent(items, tree) {
        let below = usize::from(!missing.is_empty());
        if !missing.is_empty() {
            nodes.push(Node { depth: 0, label: missing, tone: Tone::Faint });
        }
        if nodes.len() >= DRAWN {
            break;
        }
        let under = roots.into_iter().flat_map(|root| tree.walk_from(root));
        nodes.extend(under.take(DRAWN).map(|(depth, at)| (depth.saturating_add(below), at)).filter_map(node));
    }
    nodes.truncate(DRAWN);
    nodes
}
