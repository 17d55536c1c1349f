//! What was not looked at, and what was missing.

use super::ids;
use crate::checks::Missing;
use crate::report::page::{Blocks as _, Page, Tone};
use crate::report::views::words::count;
use crate::report::{Report, part_of_list};
use crate::{Findings, Outcome, Verdict};
use std::collections::BTreeMap;

/// Processes that are named of which something could not be read; a document has all.
const TOLD: usize = 6;
/// Warnings that are said; a document has all.
const WARNINGS: usize = 5;

/// Once per reason: on a list without paths, many checks lack the same.
pub(super) fn not_evaluated(page: &mut Page, findings: &Findings) {
    let gone = |outcome: &&Outcome| outcome.is_gone();
    let reasons = by_need(findings.unknown().filter(|outcome| !gone(outcome)));
    if !reasons.is_empty() {
        page.gap().heading(2, Tone::Odd.say("Not evaluated, which is not proof that it is normal:"));
    }
    for (needs, outcomes) in reasons {
        page.paragraph((2, 4), need(&needs, &outcomes));
    }
    let lost = ids(findings.unknown().filter(gone));
    if !lost.is_empty() {
        page.gap()
            .paragraph((0, 2), format!("Gone with processes that have exited, and nothing brings it back: {lost}"));
    }
}

/// Why nothing more is known than `inconclusive`.
pub(super) fn because(page: &mut Page, report: &Report, findings: &Findings) {
    /// Reasons that are told here; all are below.
    const TOLD: usize = 3;
    if findings.verdict != Verdict::Inconclusive {
        return;
    }
    let open = by_need(findings.unknown().filter(|outcome| outcome.decides));
    for (needs, outcomes) in open.iter().take(TOLD) {
        page.paragraph((2, 4), Tone::Odd.say(format!("because {}", need(needs, outcomes))));
    }
    if let Some(more) = open.len().checked_sub(TOLD).filter(|more| *more > 0) {
        page.paragraph((2, 4), format!("and for {}", count(more, "more reason", "more reasons")));
    }
    if let Some(part) = part_of_list(&report.system).filter(|_| open.is_empty()) {
        page.paragraph((2, 4), Tone::Odd.say(part));
    }
}

/// Outcomes by what they lack, in the order of the first of each.
fn by_need<'o>(outcomes: impl Iterator<Item = &'o Outcome>) -> Vec<(String, Vec<&'o Outcome>)> {
    let mut reasons: Vec<(String, Vec<&Outcome>)> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for outcome in outcomes {
        let needs = needs(outcome);
        let at = *known.entry(needs.clone()).or_insert(reasons.len());
        match reasons.get_mut(at) {
            Some((_, outcomes)) => outcomes.push(outcome),
            None => reasons.push((needs, vec![outcome])),
        }
    }
    reasons
}

/// `SMR-01, SMR-03 need the key SubSystems, which was unreadable`
fn need(needs: &str, outcomes: &[&Outcome]) -> String {
    let need = if outcomes.len() == 1 { "needs" } else { "need" };
    format!("{} {need} {needs}", ids(outcomes.iter().copied()))
}

/// What an outcome lacks.
fn needs(outcome: &Outcome) -> String {
    outcome.missing.as_ref().map_or_else(|| outcome.reason.clone().unwrap_or_default(), Missing::to_string)
}

/// What of smss.exe and csrss.exe could not be read, and of the process that the verdict is about: a line each.
pub(super) fn not_read(page: &mut Page, findings: &Findings) {
    let Some(away) = &findings.away else { return };
    let told = |pid| away.processes.iter().any(|process| process.pid == pid);
    if let Some(pid) = away.main.filter(|pid| !told(*pid) && !away.of_main.is_empty()) {
        page.paragraph((2, 4), Tone::Odd.say(format!("not read of pid {pid}: {}", away.of_main.join(", "))));
    }
    for process in away.processes.iter().take(TOLD) {
        let mut what = process.what.clone();
        let of_main = away.of_main.iter().filter(|_| away.main == Some(process.pid));
        what.extend(of_main.filter(|of_main| !process.what.contains(of_main)).cloned());
        let words = format!("not read of pid {} {}: {}", process.pid, process.name, what.join(", "));
        let needs = match process.needs.as_slice() {
            [] => String::new(),
            needs => format!(" (needs {})", needs.join(", ")),
        };
        page.paragraph((2, 4), Tone::Odd.say(words).and(Tone::Plain, needs));
    }
    if let Some(more) = away.processes.len().checked_sub(TOLD).filter(|more| *more > 0) {
        page.paragraph((2, 4), format!("and of {more} further processes"));
    }
}

/// What a verdict of clean leaves open of smss.exe and csrss.exe.
pub(super) fn but_for(findings: &Findings) -> Option<String> {
    let processes = &findings.away.as_ref()?.processes;
    let of: Vec<String> =
        processes.iter().take(TOLD).map(|process| format!("{} ({})", process.name, process.pid)).collect();
    (!of.is_empty()).then(|| format!(", but for what could not be read of {}", of.join(", ")))
}

/// What the verdict rests on where memory could not be read, and which other systems are in the image.
pub(super) fn rests_on(page: &mut Page, findings: &Findings) {
    away(page, findings);
    for what in &findings.not_looked_for {
        page.paragraph((2, 4), what.as_str());
    }
    beside(page, findings);
}

/// Which rules could not judge because memory could not be read, and what would let them.
pub(super) fn away(page: &mut Page, findings: &Findings) {
    if let Some(away) = findings.away.as_ref().filter(|away| !away.rules.is_empty()) {
        let rules = count(away.rules.len(), "rule", "rules");
        page.paragraph((2, 4), format!("{rules} could not judge, because memory could not be read"));
        for need in &away.needs {
            page.paragraph((4, 6), format!("{} would settle {}", need.what, need.rules.join(", ")));
        }
    }
}

/// The other systems in the image.
pub(super) fn beside(page: &mut Page, findings: &Findings) {
    for system in &findings.beside {
        page.paragraph((2, 4), format!("also in this image: {system}"));
    }
}

/// What nobody looked at.
pub(super) fn limits(page: &mut Page, report: &Report) {
    let system = &report.system;
    let mut limits: Vec<String> = Vec::new();
    limits.extend(part_of_list(system));
    if report.checks.iter().any(|findings| findings.layouts.is_some()) {
        limits.push(
            "The layouts were worked out from the image itself: no symbols of this kernel or build are known. `ntmem symbols \
             IMAGE` names the file that would be better."
                .to_owned(),
        );
    }
    if system.kernel.as_ref().is_some_and(|kernel| kernel.others_searched == Some(false)) {
        limits.push(
            "Other systems, such as an earlier boot, were looked for in the first 16 MiB alone (2 MiB of an image on a server): --scan looks through all memory."
                .to_owned(),
        );
    }
    if report.checks.iter().any(|findings| !findings.not_looked_for.is_empty()) {
        limits.push("Memory was not searched: --scan adds processes and hives that are in no list.".to_owned());
    }
    let warnings = &system.warnings;
    limits.extend(warnings.iter().take(WARNINGS).map(|warning| format!("warning: {warning}")));
    if let Some(more) = warnings.len().checked_sub(WARNINGS).filter(|more| *more > 0) {
        limits.push(format!("{more} further warnings are in the document (--format json)."));
    }
    limits.extend(report.without_commands().map(str::to_owned));
    if !limits.is_empty() {
        page.gap().heading(2, "Limits of this report:");
        for limit in limits {
            page.paragraph((2, 4), limit);
        }
    }
}
