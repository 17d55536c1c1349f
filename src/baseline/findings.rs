//! What all checks of one kind say, and the verdict.

use super::{Judgement, Outcome, table};
use crate::Mode;
use serde::{Deserialize, Serialize};

/// The sum of the outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every core check passed; supporting ones may be unknown.
    Clean,
    /// Nothing wrong was seen, and a core check could not be evaluated.
    Inconclusive,
    /// Something above severity info.
    Violations,
}

/// The outcomes of one named group of checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Name of the group: `smss`.
    pub check: String,
    /// The sum.
    pub verdict: Verdict,
    /// Every outcome, by id, then pid.
    pub outcomes: Vec<Outcome>,
    /// Rows of the process list that are no process, or otherwise not judged, and why.
    #[serde(default)]
    pub passed_over: Vec<String>,
    /// The states of the machine that were reckoned with.
    #[serde(default)]
    pub modes: Vec<Mode>,
}

impl Findings {
    /// Sorts and sums up. `master` is the pid whose unknowns count; unknowns of other processes do not.
    pub(super) fn new(check: &str, mut outcomes: Vec<Outcome>, master: Option<u64>, passed_over: Vec<String>) -> Self {
        outcomes.sort_by_key(|outcome| (table::order(&outcome.id), outcome.pid));
        let open = |outcome: &Outcome| {
            outcome.outcome == Judgement::Unknown
                && table::rule(&outcome.id).is_some_and(|rule| rule.core)
                && (outcome.pid.is_none() || master.is_none() || outcome.pid == master)
        };
        let verdict = if outcomes.iter().any(Outcome::counts) {
            Verdict::Violations
        } else if outcomes.iter().any(open) {
            Verdict::Inconclusive
        } else {
            Verdict::Clean
        };
        Self { check: check.to_owned(), verdict, outcomes, passed_over, modes: Vec::new() }
    }

    pub(super) fn in_modes(mut self, modes: Vec<Mode>) -> Self {
        self.modes = modes;
        self
    }

    /// Violations of any severity, info included.
    pub fn violations(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.outcome == Judgement::Violation)
    }

    /// What could not be evaluated.
    pub fn unknown(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.outcome == Judgement::Unknown)
    }

    /// The outcomes of one check.
    pub fn of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Outcome> {
        self.outcomes.iter().filter(move |outcome| outcome.id == id)
    }
}
