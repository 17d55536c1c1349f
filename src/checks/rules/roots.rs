//! Whether every page-table root belongs to a process: SYS-05.

use crate::checks::case::Case;
use crate::checks::rule::{About, Rule};
use crate::checks::{Confidence, Outcome, Severity, Witness};
use crate::process::UnownedRoot;

/// SYS-05: every page-table root is a process's.
pub static OWNED: Rule = Rule {
    id: "SYS-05",
    title: "every page-table root is a process's",
    wrong: "page tables that belong to no process",
    core: false,
    attack: &["T1014"],
    about: About {
        what: "With --scan: every page that leads to itself and to this kernel, as a page-table root does, is named by \
               KPROCESS.DirectoryTableBase of one of the processes that were found. No root of another maps a process's own memory.",
        why: "What runs has a root. Where no process names it, one is hidden, or the root that a process names is not the one that it \
              runs with: tools then read memory that somebody made for them.",
        benign: "A process that ended may leave its tables in memory that was freed: info, and where nothing of user memory hangs on \
                 them, nothing.",
        source: "Windows Internals, 7th edition, part 1, chapter 5 (x64 address space layouts); none on clean machines of 7601 to 26100.",
    },
    judge: owned,
};

/// Roots that are named in one outcome.
const MAX_NAMED: usize = 4;

fn owned(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let outcome = Outcome::new(rule, None)
        .witnessed([Witness::PageTables, Witness::Search])
        .expected("each page-table root named by a process");
    let Some(roots) = &case.system.processes.unowned_roots else {
        return vec![outcome.not_applicable("Memory was not searched for page-table roots: --scan.")];
    };
    if let Some((root, pid)) = roots.iter().find_map(|found| Some((found.root, found.like?))) {
        let why = format!(
            "contradicted: the root {root}, which no process has, maps the own memory of pid {pid}, which has another"
        );
        return vec![outcome.unknown("which page tables a process runs with", why).decides()];
    }
    let used: Vec<&UnownedRoot> = roots.iter().filter(|found| found.user_entries > 0).collect();
    if used.is_empty() {
        let words = match roots.len() {
            0 => "all that were found".to_owned(),
            empty => format!("all but {empty}, on which no user memory hangs any more"),
        };
        return vec![outcome.observed(words).pass()];
    }
    let mut named = used.iter().take(MAX_NAMED).map(|found| found.root.to_string()).collect::<Vec<_>>().join(", ");
    if let Some(more) = used.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        named.push_str(&format!(" and {more} more"));
    }
    vec![
        outcome
            .observed(format!("no process has the root at {named}"))
            .guard("a process that ended may have left it in memory that was freed")
            .confidence(Confidence::Low)
            .violation(Severity::Info),
    ]
}
