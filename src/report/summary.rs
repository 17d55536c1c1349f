//! Many images on one page: a line each.

use super::page::{Blocks as _, Cell, Column, Page, Row, Table, Tone};
use super::{Report, worst};
use crate::Verdict;

/// What is told of one image among many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    image: String,
    host: Option<String>,
    build: Option<u32>,
    /// The worst of the checks.
    verdict: Option<Verdict>,
    worst: Option<String>,
    failed: Option<String>,
}

impl Summary {
    /// Of an image that was analysed.
    #[must_use]
    pub fn of(image: &str, report: &Report) -> Self {
        let verdict = report.checks.iter().map(|findings| findings.verdict).max();
        let worst = report.checks.iter().filter_map(worst).max_by_key(|outcome| outcome.severity);
        // What is for information is no finding that an image is sorted by.
        let worst = worst.filter(|outcome| outcome.counts());
        Self {
            image: image.to_owned(),
            host: report.system.machine.host.value().cloned(),
            build: report.system.kernel.as_ref().and_then(|kernel| kernel.build),
            verdict,
            worst: worst.map(|outcome| {
                let of = outcome.pid.map_or_else(String::new, |pid| format!(" pid {pid}"));
                let severity = outcome.severity.map_or_else(String::new, |severity| format!("{severity} "));
                format!("{severity}{}{of}: {}", outcome.id, super::heading(outcome))
            }),
            failed: None,
        }
    }

    /// Of one that could not be.
    #[must_use]
    pub fn failed(image: &str, reason: &str) -> Self {
        Self {
            image: image.to_owned(),
            host: None,
            build: None,
            verdict: None,
            worst: None,
            failed: Some(reason.lines().next().unwrap_or_default().trim_end_matches(['.', ':']).to_owned()),
        }
    }

    fn row(&self) -> Row {
        let (tone, word) = match (self.verdict, &self.failed) {
            (_, Some(_)) => (Tone::Odd, "not analysed"),
            (Some(Verdict::Violations), _) => (Tone::Bad, "VIOLATIONS"),
            (Some(Verdict::Inconclusive), _) => (Tone::Odd, "inconclusive"),
            (Some(Verdict::Clean), _) => (Tone::Good, "clean"),
            (None, None) => (Tone::Plain, "analysed"),
        };
        Row::new(vec![
            Cell::of(self.image.as_str()),
            Cell::from(self.host.as_ref()),
            Cell::from(self.build),
            Cell::Words(tone.say(word)),
            Cell::from(self.failed.as_ref().or(self.worst.as_ref())),
        ])
    }
}

/// A table of images, in their order, and their number.
#[must_use]
pub fn summary(of: &[Summary]) -> Page {
    let mut page = Page::new("Images");
    let columns = vec![
        Column::new("IMAGE", "image", 8),
        Column::new("HOST", "host", 8),
        Column::new("BUILD", "build", 5).right(),
        Column::new("RESULT", "result", 12),
        Column::new("WORST FINDING", "worst", 12),
    ];
    page.table(Table { name: "images", columns, rows: of.iter().map(Summary::row).collect(), ..Table::default() });
    let count = |is: fn(&Summary) -> bool| of.iter().filter(|summary| is(summary)).count();
    let failed = count(|summary| summary.failed.is_some());
    let mut words = format!("{} images", of.len());
    for (number, word) in [
        (count(|summary| summary.verdict == Some(Verdict::Violations)), "with violations"),
        (count(|summary| summary.verdict == Some(Verdict::Inconclusive)), "inconclusive"),
        (count(|summary| summary.verdict == Some(Verdict::Clean)), "clean"),
        (failed, "not analysed"),
    ] {
        if number > 0 {
            words.push_str(&format!(", {number} {word}"));
        }
    }
    page.paragraph((0, 2), words);
    page
}
