//! The answers of one check for several sessions, joined into one outcome.

use crate::checks::case::Case;
use crate::checks::{Missing, Outcome, Severity, Why};

/// The worst answer decides: a violation, then an unknown, then a pass; not applicable where nothing else is left.
#[derive(Default)]
pub(super) struct Tally {
    violations: Vec<(Severity, String)>,
    unknown: Option<Missing>,
    passed: Vec<String>,
    not_applicable: Vec<String>,
}

impl Tally {
    pub(super) fn pass(&mut self, words: String) {
        self.passed.push(words);
    }

    pub(super) fn violation(&mut self, severity: Severity, words: String) {
        self.violations.push((severity, words));
    }

    pub(super) fn not_applicable(&mut self, words: String) {
        self.not_applicable.push(words);
    }

    /// The first reason is kept.
    pub(super) fn unknown(&mut self, needs: &str, why: impl Into<Why>) {
        self.unknown.get_or_insert_with(|| Missing::new(needs, why));
    }

    /// Something is not in the list: a violation where the list is whole.
    pub(super) fn absence(&mut self, case: &Case<'_>, severity: Severity, words: String) {
        match case.part_reason() {
            Some(part) => self.unknown("the whole process list", part),
            None => self.violation(severity, words),
        }
    }

    /// Something is not in the list, rightly, where the list is whole.
    pub(super) fn gone(&mut self, case: &Case<'_>, words: String) {
        match case.part_reason() {
            Some(part) => self.unknown("the whole process list", part),
            None => self.pass(words),
        }
    }

    /// A pass of this check depends on what is not in the list.
    pub(super) fn needs_whole_list(&mut self, case: &Case<'_>) {
        if let Some(part) = case.part_reason() {
            self.unknown("the whole process list", part);
        }
    }

    /// `needs` and `why` say what was missing where no session gave an answer.
    pub(super) fn into_outcome(self, outcome: Outcome, needs: &str, why: &str) -> Outcome {
        let worst = self.violations.iter().map(|(severity, _)| *severity).max();
        if let Some(worst) = worst {
            let words: Vec<String> = self.violations.into_iter().map(|(_, words)| words).collect();
            return outcome.observed(words.join("; ")).violation(worst);
        }
        let outcome = if self.passed.is_empty() { outcome } else { outcome.observed(self.passed.join("; ")) };
        if let Some(missing) = self.unknown {
            outcome.missing(missing)
        } else if !self.passed.is_empty() {
            outcome.pass()
        } else if !self.not_applicable.is_empty() {
            outcome.not_applicable(format!("{}.", self.not_applicable.join("; ")))
        } else {
            outcome.unknown(needs, why)
        }
    }
}
