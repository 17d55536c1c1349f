//! Findings for those who compute: a row for the verdict of each check, and one for each finding.

use super::worst_first;
use crate::report::page::{Cell, Page, Row, Table};
use crate::report::{Report, heading};
use crate::{Findings, Outcome, Verdict};

/// The columns. Cells of findings are empty in rows of verdicts, and of those in rows of findings the numbers are.
const COLUMNS: [&str; 19] = [
    "type",
    "build",
    "captured",
    "check",
    "verdict",
    "violations",
    "informative",
    "passed",
    "unknown",
    "gone",
    "id",
    "severity",
    "confidence",
    "pid",
    "process",
    "finding",
    "observed",
    "expected",
    "attack",
];

/// Columns that sum a verdict up.
const SUMS: usize = 5;

/// Rows of `type` `verdict`, one for each check, each with rows of `type` `finding` below it, the worst first.
pub(super) fn table(report: &Report) -> Table {
    let mut rows = Vec::new();
    for findings in &report.checks {
        rows.push(row(report, "verdict", findings, verdict(findings)));
        rows.extend(worst_first(findings).into_iter().map(|outcome| {
            row(report, "finding", findings, [vec![Cell::Nothing; SUMS], finding(report, outcome)].concat())
        }));
    }
    Table::of_data("findings", &COLUMNS, rows)
}

/// The one row, of `type` `failed`, of an image that could not be analysed: why stands where findings are told.
#[must_use]
pub fn failure(reason: &str) -> Page {
    let at = COLUMNS.iter().position(|column| *column == "finding").unwrap_or_default();
    let mut cells = vec![Cell::of("failed")];
    cells.resize(at, Cell::Nothing);
    cells.push(Cell::of(reason));
    let mut page = Page::new("Findings");
    page.data = Some(Table::of_data("findings", &COLUMNS, vec![Row::new(cells)]));
    page
}

fn row(report: &Report, kind: &str, findings: &Findings, more: Vec<Cell>) -> Row {
    let word = match findings.verdict {
        Verdict::Clean => "clean",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Violations => "violations",
    };
    let mut cells = vec![
        Cell::of(kind),
        Cell::from(report.system.kernel.as_ref().and_then(|kernel| kernel.build)),
        Cell::from(&report.system.machine.captured),
        Cell::of(findings.check.as_str()),
        Cell::of(word),
    ];
    cells.extend(more);
    Row::new(cells)
}

fn verdict(findings: &Findings) -> Vec<Cell> {
    let sums = findings.verdict_row();
    let sums: [usize; SUMS] = [sums.violations, sums.informative, sums.passed, sums.unknown, sums.gone];
    sums.map(|number| Cell::of(number.to_string())).to_vec()
}

fn finding(report: &Report, outcome: &Outcome) -> Vec<Cell> {
    let items = &report.system.processes.items;
    let process = outcome.pid.and_then(|pid| items.iter().find(|process| process.pid.value() == Some(&pid)));
    vec![
        Cell::of(outcome.id.as_str()),
        Cell::from(outcome.severity),
        Cell::from(outcome.confidence),
        Cell::from(outcome.pid),
        process.map_or(Cell::Nothing, |process| Cell::from(&process.name)),
        Cell::of(heading(outcome)),
        Cell::from(outcome.observed.as_ref()),
        Cell::from(outcome.expected.as_ref()),
        Cell::of(outcome.attack.join(" ")),
    ]
}
