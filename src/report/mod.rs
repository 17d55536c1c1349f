//! One serialised document of everything that is known, and its renderings.
//!
//! A view builds a [`Page`] of blocks; a renderer prints a page as text ([`Page::text`]), or its list as CSV ([`Page::csv`]).

mod crash;
mod document;
mod foreign;
#[cfg(feature = "isf")]
mod lists;
pub mod page;
mod palette;
mod render;
mod rows;
mod run;
mod summary;
#[cfg(test)]
mod text_tests;
mod users;
mod views;
mod whole;

pub use crash::CrashDocument;
pub use document::{Document, Lists, Report, SCHEMA, generator};
#[cfg(feature = "isf")]
pub use lists::{ListError, read_lists};
pub use page::Page;
pub use palette::{Palette, Style};
pub use render::{TextStyle, csv_line, html};
pub use rows::{ImageRow, MachineRow, OutcomeRow, Row, RunRow, VerdictRow};
pub use run::{Run, command, path_word};
pub(crate) use run::{command_about, command_in, command_on, leads};
pub use summary::{Summary, summary};
pub use users::{UserName, Users};
pub use views::{
    COLUMNS, Event, FindingsOptions, ListOptions, Part, ProcessColumn, ProcessFilter, TreeRow, UnknownColumn, bad_pids,
    crash, cross_view, events, failure, figures, findings, hives, info, key, key_hint, memory, no_key, process_tree,
    processes, rule, rules, rules_page, self_test, sessions, show, symbols, timeline, tree_rows,
};
pub use whole::{Which, Whole};

use crate::{Findings, ListEnd, Outcome, System};

/// That the list of processes is a part, if it is or may be one.
fn part_of_list(system: &System) -> Option<String> {
    if system.processes.is_carved() {
        let what = "These processes were carved out of memory: no kernel was found. Some may be of an earlier boot or of a guest, some \
                    may be over, and who is missing may have run all the same.";
        return Some(what.to_owned());
    }
    let why = match system.processes.end {
        Some(ListEnd::Complete) => return None,
        Some(ListEnd::Cycle) => "its links run in a circle",
        Some(ListEnd::Broken) => "its links are broken",
        Some(ListEnd::Limit) => "it was read up to the cap only",
        None => {
            return (!system.processes.items.is_empty())
                .then(|| "The list of processes may be a part: whoever made it does not say how it ended.".to_owned());
        }
    };
    Some(format!("The list of processes is a part: {why}. What is missing from it proves nothing."))
}

/// What an outcome says: of a violation, what is wrong.
fn heading(outcome: &Outcome) -> &str {
    if outcome.heading.is_empty() { &outcome.title } else { &outcome.heading }
}

/// The first of the worst violations.
fn worst(findings: &Findings) -> Option<&Outcome> {
    findings.violations().min_by_key(|outcome| std::cmp::Reverse(outcome.severity))
}
