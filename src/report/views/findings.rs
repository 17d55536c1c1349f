//! What the checks say: the verdict, whose image it is, who is good and who is not, each finding, and what was not looked at.

mod finding;
mod limits;
mod list;
mod story;
mod subject;

use super::words::count;
use crate::checks::Judgement;
use crate::report::Report;
use crate::report::page::{Blocks as _, Page, Tone};
use crate::{Findings, Outcome, Picture, Severity, Verdict};
pub use list::failure;

/// How to show findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FindingsOptions {
    /// A line for each finding, what could not be read or is not to be told, and nothing else.
    pub brief: bool,
}

/// What the checks of a report say. `picture`: that of its system.
#[must_use]
pub fn findings(report: &Report, picture: &Picture<'_>, options: FindingsOptions) -> Page {
    let mut page = Page::new("Findings");
    page.data = Some(list::table(report));
    for (number, findings) in report.checks.iter().enumerate() {
        if number > 0 {
            page.gap();
        }
        verdict(&mut page, report, findings);
        if options.brief {
            if let Some(whose) = subject::in_a_line(report).filter(|_| number == 0) {
                page.entry((2, 4), whose);
            }
            brief(&mut page, report, findings);
            continue;
        }
        if number == 0 {
            page.gap();
            subject::add(&mut page, report, picture);
        }
        page.gap();
        story::add(&mut page, report, findings);
        limits::rests_on(&mut page, findings);
        for block in finding::all(report, findings) {
            page.gap();
            page.blocks.push(crate::report::page::Block::Section(block));
        }
        limits::not_evaluated(&mut page, findings);
        rest(&mut page, findings);
    }
    if !options.brief {
        limits::limits(&mut page, report);
        legend(&mut page, report);
    }
    page
}

/// `smss: VIOLATIONS`, and the sums.
fn verdict(page: &mut Page, report: &Report, findings: &Findings) {
    let (tone, word) = match findings.verdict {
        Verdict::Clean => (Tone::Good, "clean"),
        Verdict::Inconclusive => (Tone::Odd, "inconclusive"),
        Verdict::Violations => (Tone::Bad, "VIOLATIONS"),
    };
    let counted = findings.outcomes.iter().filter(|outcome| outcome.counts()).count();
    let informative = findings.violations().count().saturating_sub(counted);
    let passed = findings.outcomes.iter().filter(|outcome| outcome.outcome == Judgement::Pass).count();
    let words = Tone::Plain.say(format!("{}: ", findings.check)).and(tone, word);
    let but_for = limits::but_for(findings).filter(|_| findings.verdict == Verdict::Clean);
    page.heading(
        1,
        match but_for {
            Some(but_for) => words.and(Tone::Odd, but_for),
            None => words,
        },
    );
    let gone = findings.unknown().filter(|outcome| outcome.is_gone()).count();
    let open = findings.unknown().count().saturating_sub(gone);
    let gone = if gone > 0 { format!(", {gone} gone with exited processes") } else { String::new() };
    let sums = format!(
        "{}, {informative} for information, {passed} passed, {open} not evaluated{gone}",
        count(counted, "violation", "violations"),
    );
    page.paragraph((2, 2), sums);
    limits::not_read(page, findings);
    limits::because(page, report, findings);
}

/// Violations, the worst first.
fn worst_first(findings: &Findings) -> Vec<&Outcome> {
    let mut violations: Vec<&Outcome> = findings.violations().collect();
    violations.sort_by_key(|outcome| std::cmp::Reverse(outcome.severity));
    violations
}

/// A line for each violation, and what the verdict could not rest on: `clean` alone would say more than is known.
fn brief(page: &mut Page, report: &Report, findings: &Findings) {
    for outcome in worst_first(findings) {
        let mut words = finding::head(report, outcome);
        if let Some(observed) = &outcome.observed {
            words = words.and(Tone::Plain, format!(" ({observed})"));
        }
        page.entry((0, 4), words);
    }
    limits::away(page, findings);
    limits::beside(page, findings);
}

/// What passed, what does not apply, and what was not judged.
fn rest(page: &mut Page, findings: &Findings) {
    for (word, judgement) in [("Passed", Judgement::Pass), ("Not applicable", Judgement::NotApplicable)] {
        let words = ids(findings.outcomes.iter().filter(|outcome| outcome.outcome == judgement));
        if !words.is_empty() {
            page.gap().paragraph((0, 2), format!("{word}: {words}"));
        }
    }
    if !findings.passed_over.is_empty() {
        page.gap().heading(2, "Not judged:");
        for words in &findings.passed_over {
            page.paragraph((2, 4), words.as_str());
        }
    }
}

/// What the severities mean, where there is one.
fn legend(page: &mut Page, report: &Report) {
    if report.checks.iter().any(|findings| findings.violations().next().is_some()) {
        let words = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info]
            .map(|severity| format!("{severity}: {}", meaning(severity)));
        page.gap().paragraph((0, 2), Tone::Faint.say(format!("Severities: {}.", words.join("; "))));
    }
}

const fn meaning(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "what malware does",
        Severity::High => "nothing that Windows does explains it",
        Severity::Medium => "suspicious alone",
        Severity::Low => "odd",
        Severity::Info => "for information, it does not count",
    }
}

/// `SMSS-001 (468, 3260), SMSS-006`
fn ids<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> String {
    let mut of: Vec<(&str, Vec<String>)> = Vec::new();
    for outcome in outcomes {
        let pid = outcome.pid.map(|pid| pid.to_string());
        match of.last_mut().filter(|(id, _)| *id == outcome.id) {
            Some((_, pids)) => pids.extend(pid),
            None => of.push((&outcome.id, pid.into_iter().collect())),
        }
    }
    let words: Vec<String> = of
        .into_iter()
        .map(|(id, pids)| if pids.is_empty() { id.to_owned() } else { format!("{id} ({})", pids.join(", ")) })
        .collect();
    words.join(", ")
}
