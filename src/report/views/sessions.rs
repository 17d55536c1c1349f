//! The sessions: kind, who built each, and what runs there.

use super::columns::list_end;
use super::words::{named, short};
use crate::process::Source;
use crate::report::page::{Blocks as _, Cell, Facts, Page, Row, Table};
use crate::{Creator, Picture, Session};

/// The sessions of a system.
#[must_use]
pub fn sessions(picture: &Picture<'_>) -> Page {
    let system = picture.system();
    let mut page = Page::new("Sessions");
    for session in picture.sessions() {
        let kind = session.kind.map_or("of unknown kind", |kind| kind.as_str());
        page.heading(2, format!("Session {} {kind}, {}", session.id, built_by(session)));
        let mut facts = Facts::new(2, 15);
        if session.creator_pid.is_some() {
            facts.add("named by", evidence_of_creator(session));
        }
        let members = system.processes.items.iter().filter(|process| process.session.value() == Some(&session.id));
        let (gone, running): (Vec<_>, Vec<_>) = members.partition(|process| process.has_exited());
        for (word, processes) in [("running", running), ("exited", gone)] {
            if !processes.is_empty() {
                let names: Vec<String> = processes.iter().map(|process| named(process)).collect();
                facts.add(format!("{word:<8} {:>4}", processes.len()), names.join(", "));
            }
        }
        page.facts(facts);
    }
    super::processes::notes(&mut page, system, false);
    page.data = Some(table(picture));
    page
}

/// The same as rows.
fn table(picture: &Picture<'_>) -> Table {
    const COLUMNS: [&str; 10] = [
        "id",
        "kind",
        "creator_pid",
        "creator_name",
        "creator",
        "creator_exited",
        "running",
        "exited",
        "pids",
        "list_end",
    ];
    let system = picture.system();
    let row = |session: &Session| {
        let members = || system.processes.items.iter().filter(|process| process.session.value() == Some(&session.id));
        let exited = members().filter(|process| process.has_exited()).count();
        let pids: Vec<String> = session.pids.iter().map(ToString::to_string).collect();
        Row::new(vec![
            Cell::from(Some(session.id)),
            Cell::from(session.kind.map(|kind| kind.as_str())),
            Cell::from(session.creator_pid),
            Cell::from(session.creator_name.as_ref()),
            Cell::from(session.creator.map(became)),
            Cell::from(session.creator_exited),
            Cell::of(members().count().saturating_sub(exited).to_string()),
            Cell::of(exited.to_string()),
            Cell::of(pids.join(" ")),
            list_end(system),
        ])
    };
    Table::of_data("sessions", &COLUMNS, picture.sessions().iter().map(row).collect())
}

/// What has become of the creator, as documents say it.
const fn became(creator: Creator) -> &'static str {
    match creator {
        Creator::Live => "live",
        Creator::Exited => "exited",
        Creator::Vanished => "vanished",
        Creator::Reused => "reused",
    }
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
    let name = session.creator_name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
    format!("built by pid {pid}{name}{state}")
}

/// How the creator of a session is known.
fn evidence_of_creator(session: &Session) -> String {
    let namers = session.creator_named_by.iter().map(|by| {
        let pid = by.pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
        format!("{} ({pid})", by.name.as_deref().unwrap_or("?"))
    });
    let namers: Vec<String> = namers.collect();
    let found = match (session.creator_exited, session.creator_sources.as_slice()) {
        (_, []) => String::new(),
        (Some(exited), sources) => format!("; it exited {}, seen in {}", short(exited), Source::names(sources)),
        (None, sources) => format!("; seen in {}", Source::names(sources)),
    };
    format!("{}{found}", namers.join(" and "))
}
