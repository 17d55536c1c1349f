//! Processes and sessions for people: plain text of 80 columns, or as little more as paths need.

use super::{Palette, wrap};
use crate::picture::Picture;
use crate::process::Source;
use crate::{Creator, Parent, Process, Reading, Session, Shown, Timestamp};
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// Deeper nesting is not shown further to the right.
const DEEPEST: usize = 12;
/// Column at which a tree's other columns start.
const TREE_WIDTH: usize = 38;

/// The process list in list order: pid, parent's pid, name, session, user, creation; exit and path below.
///
/// # Errors
/// Those of writing.
pub fn processes(out: &mut impl Write, picture: &Picture<'_>, palette: &Palette) -> fmt::Result {
    let head = format!("{:>6} {:>6} {:<14} {:>3} {:<17} {}", "PID", "PPID", "NAME", "SES", "USER", "CREATED (UTC)");
    writeln!(out, "{}", palette.head.paint(head))?;
    for process in &picture.system().processes.items {
        let line = format!(
            "{:>6} {:>6} {:<14} {:>3} {:<17} {}",
            number(&process.pid),
            number(&process.ppid),
            Shown(&text(&process.name)),
            number(&process.session),
            user(process),
            time(&process.created),
        );
        let style = if process.has_exited() { palette.faint } else { Default::default() };
        writeln!(out, "{}", style.paint(line))?;
        if let Some(at) = process.exited.value() {
            writeln!(out, "{:14}{}", "", palette.faint.paint(format_args!("exited {}", short(*at))))?;
        }
        if let Some(path) = process.path.value() {
            writeln!(out, "{:14}{}", "", palette.faint.paint(Shown(path)))?;
        } else if let Some(absent) = process.path.absent() {
            writeln!(out, "{:14}{}", "", palette.faint.paint(format_args!("path {}", Shown(&absent.to_string()))))?;
        }
    }
    Ok(())
}

/// The processes under their parents. A parent that is not there is a line of its own, in brackets, so that what one
/// vanished process started stays together.
///
/// # Errors
/// Those of writing.
pub fn process_tree(out: &mut impl Write, picture: &Picture<'_>, palette: &Palette) -> fmt::Result {
    let items = &picture.system().processes.items;
    let tree = picture.tree();
    let head = format!("{:<TREE_WIDTH$} {:>3} {:<17} {}", "PROCESS (PID)", "SES", "USER", "CREATED (UTC)");
    writeln!(out, "{}", palette.head.paint(head))?;
    // Groups in the order of their first member.
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
    for (missing, roots) in order {
        let indent = usize::from(!missing.is_empty());
        if !missing.is_empty() {
            writeln!(out, "{}", palette.faint.paint(missing))?;
        }
        for (depth, at) in roots.into_iter().flat_map(|root| tree.walk_from(root)) {
            if let Some(process) = items.get(at) {
                tree_line(out, process, depth.saturating_add(indent), palette)?;
            }
        }
    }
    Ok(())
}

fn tree_line(out: &mut impl Write, process: &Process, depth: usize, palette: &Palette) -> fmt::Result {
    let gone = process.has_exited();
    let name = format!(
        "{:width$}{} ({}){}",
        "",
        Shown(&text(&process.name)),
        number(&process.pid),
        if gone { " exited" } else { "" },
        width = depth.min(DEEPEST).saturating_mul(2),
    );
    let line =
        format!("{name:<TREE_WIDTH$} {:>3} {:<17} {}", number(&process.session), user(process), time(&process.created));
    let style = if gone { palette.faint } else { Default::default() };
    writeln!(out, "{}", style.paint(line))
}

/// Empty for a root that rightly has no parent.
fn missing_parent(items: &[Process], parent: Parent) -> String {
    let name = |at: usize| items.get(at).map_or_else(|| "?".to_owned(), |process| text(&process.name));
    match parent {
        Parent::Vanished(pid) => format!("[{pid}, not listed]"),
        Parent::Reused { pid, now } => format!("[{pid}, gone: {} has the pid now]", Shown(&name(now))),
        Parent::Ring(up) => format!("[{}, in a ring of parents]", Shown(&name(up))),
        Parent::Unknown => "[parent not known]".to_owned(),
        Parent::None | Parent::Listed(_) | Parent::Exited(_) => String::new(),
    }
}

/// The sessions: kind, who built each, and what runs there.
///
/// # Errors
/// Those of writing.
pub fn sessions(out: &mut impl Write, picture: &Picture<'_>, palette: &Palette) -> fmt::Result {
    let items = &picture.system().processes.items;
    for session in picture.sessions() {
        let kind = session.kind.map_or("of unknown kind", |kind| kind.as_str());
        let head = format!("Session {} {kind}, {}", session.id, built_by(session));
        writeln!(out, "{}", palette.head.paint(head))?;
        if let Some(line) = evidence_of_creator(session) {
            wrap(out, &line, 2, 17)?;
        }
        let members = items.iter().filter(|process| process.session.value() == Some(&session.id));
        let (gone, running): (Vec<_>, Vec<_>) = members.partition(|process| process.has_exited());
        for (word, processes) in [("running", running), ("exited", gone)] {
            if processes.is_empty() {
                continue;
            }
            let names: Vec<String> = processes
                .iter()
                .map(|process| format!("{} ({})", Shown(&text(&process.name)), number(&process.pid)))
                .collect();
            let line = format!("{word:<8} {:>4}  {}", processes.len(), names.join(", "));
            wrap(out, &line, 2, 17)?;
        }
    }
    Ok(())
}

fn built_by(session: &Session) -> String {
    let Some(pid) = session.creator_pid else { return "builder not known".to_owned() };
    let state = match session.creator {
        Some(Creator::Live) => ", live",
        Some(Creator::Exited) => ", exited",
        Some(Creator::Vanished) => ", gone",
        Some(Creator::Reused) => ", gone, its pid given to another",
        None => "",
    };
    let name = session.creator_name.as_ref().map_or_else(String::new, |name| format!(" ({})", Shown(name)));
    format!("built by pid {pid}{name}{state}")
}

/// How the creator of a session is known.
fn evidence_of_creator(session: &Session) -> Option<String> {
    session.creator_pid?;
    let name = |name: &Option<String>| Shown(name.as_deref().unwrap_or("?")).to_string();
    let namers = session.creator_named_by.iter().map(|by| {
        let pid = by.pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
        format!("{} ({pid})", name(&by.name))
    });
    let namers: Vec<String> = namers.collect();
    let found = match (session.creator_exited, session.creator_sources.as_slice()) {
        (_, []) => String::new(),
        (Some(exited), sources) => format!("; it exited {}, seen in {}", short(exited), Source::names(sources)),
        (None, sources) => format!("; seen in {}", Source::names(sources)),
    };
    Some(format!("named by       {}{found}", namers.join(" and ")))
}

fn text(reading: &Reading<String>) -> String {
    match reading {
        Reading::Value(text) => text.clone(),
        Reading::Nothing => "-".to_owned(),
        Reading::Absent(_) => "?".to_owned(),
    }
}

fn number<T: fmt::Display>(reading: &Reading<T>) -> String {
    match reading {
        Reading::Value(value) => value.to_string(),
        Reading::Nothing => "-".to_owned(),
        Reading::Absent(_) => "?".to_owned(),
    }
}

fn time(reading: &Reading<Timestamp>) -> String {
    match reading {
        Reading::Value(at) => short(*at),
        Reading::Nothing => "-".to_owned(),
        Reading::Absent(_) => "?".to_owned(),
    }
}

/// To the second: `2026-03-14 08:00:02`.
pub(super) fn short(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..19).map_or_else(|| text.clone(), |second| second.replace('T', " "))
}

/// The user in at most 17 characters.
fn user(process: &Process) -> String {
    let Some(sid) = process.user.value() else { return number(&process.user) };
    match sid.as_str() {
        "S-1-5-18" => return "SYSTEM".to_owned(),
        "S-1-5-19" => return "LOCAL SERVICE".to_owned(),
        "S-1-5-20" => return "NETWORK SERVICE".to_owned(),
        _ => {}
    }
    let sid = Shown(sid).to_string();
    let (first, last) = (sid.get(..8), sid.rsplit('-').next());
    match (first, last) {
        (Some(first), Some(last)) if sid.len() > 17 => format!("{first}..-{last}").chars().take(17).collect(),
        _ => sid,
    }
}
