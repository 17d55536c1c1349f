//! What all checks of one kind say, and the verdict.

use super::witness::{most, witnesses};
use super::{Away, Baseline, Case, Confidence, Judgement, Outcome};
use crate::Mode;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

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
    /// Other systems in the image, a sentence each: an earlier boot, or what was made to mislead.
    #[serde(default)]
    pub beside: Vec<String>,
    /// `heuristic`, where all of it rests on layouts that were worked out from the image itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layouts: Option<String>,
    /// What was not looked for, and how it is: a clean verdict says nothing of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_looked_for: Vec<String>,
    /// What could not be judged because memory could not be read. `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<Away>,
}

/// The word of [`SymbolSource::Heuristic`](crate::symbols::SymbolSource::Heuristic), as `kernel.symbols` has it.
const HEURISTIC: &str = crate::symbols::SymbolSource::Heuristic.name();

impl Verdict {
    /// Whether the verdict is not clean while an outcome is what it is. `master` is the pid whose unknowns count; unknowns of other
    /// processes do not.
    fn is_open(baseline: &Baseline, outcome: &Outcome, master: Option<u64>) -> bool {
        let core = || baseline.rule(&outcome.id).is_some_and(|rule| rule.core);
        let of_master = || outcome.pid.is_none() || master.is_none() || outcome.pid == master;
        outcome.outcome == Judgement::Unknown && (outcome.decides || core() && of_master())
    }

    pub(super) fn of(baseline: &Baseline, outcomes: &[Outcome], master: Option<u64>) -> Self {
        let open = |outcome: &Outcome| Self::is_open(baseline, outcome, master);
        if outcomes.iter().any(Outcome::counts) {
            Self::Violations
        } else if outcomes.iter().any(open) {
            Self::Inconclusive
        } else {
            Self::Clean
        }
    }
}

/// A plain reading follows lists and tables. What is in none of them takes a search of all memory.
fn not_looked_for(case: &Case<'_>) -> Vec<String> {
    let searched = case.system.processes.views.iter().any(|view| view.source.by_scan());
    let unlooked = case.system.image.is_some() && !searched;
    unlooked.then(|| "hidden processes not looked for: --scan".to_owned()).into_iter().collect()
}

/// The ids that none but carved processes have.
fn pids_of_carved(case: &Case<'_>) -> BTreeSet<u64> {
    let of = |carved: bool| {
        let processes = case.processes().filter(move |process| process.is_carved() == carved);
        processes.filter_map(|process| process.pid.value().copied()).collect::<BTreeSet<u64>>()
    };
    of(true).difference(&of(false)).copied().collect()
}

/// What would count of processes that were carved: one that an earlier boot or a guest left in memory would look the same, so that it
/// is told, and decides nothing but that the machine is not clean.
fn of_carved(outcome: Outcome) -> Outcome {
    let Some(severity) = outcome.severity.filter(|_| outcome.counts()) else { return outcome };
    let why = format!(
        "not known: the process was carved out of memory. Of a process that ran it would be a violation ({severity})"
    );
    outcome.unknown("a process of which it is known that it ran on this machine", why).decides()
}

/// What would count, and rests on a page table that was copied at another time than memory: by then the page may be another's, so that
/// it is told, and decides nothing but that the machine is not clean.
fn of_another_time(outcome: Outcome) -> Outcome {
    let from = || outcome.evidence.iter().filter_map(|evidence| evidence.table).find(|from| from.is_of_another_time());
    let Some((severity, from)) = outcome.severity.filter(|_| outcome.counts()).zip(from()) else { return outcome };
    let why = format!(
        "copied at another time than memory: it came from {from}. If it is the one that memory goes with, this is a violation ({severity})"
    );
    outcome.unknown("the page table that leads to what it looks at", why).decides()
}

impl Findings {
    /// Sorts and sums up.
    pub(super) fn new(baseline: &Baseline, case: &Case<'_>, mut outcomes: Vec<Outcome>) -> Self {
        let order: BTreeMap<&str, usize> = baseline.rules.iter().map(|rule| rule.id).zip(0..).collect();
        outcomes.sort_by_key(|outcome| (order.get(outcome.id.as_str()).copied().unwrap_or(usize::MAX), outcome.pid));
        for outcome in &mut outcomes {
            outcome.witnesses = witnesses(&outcome.witnesses, &outcome.evidence);
            outcome.confidence = outcome.confidence.map(|confidence| confidence.min(most(&outcome.witnesses)));
            let wrong = outcome.outcome == Judgement::Violation;
            // A rule that asks for several things says itself which of them is wrong.
            if let Some(rule) = baseline.rule(&outcome.id).filter(|rule| !wrong || outcome.heading == rule.title) {
                (if wrong { rule.wrong } else { rule.title }).clone_into(&mut outcome.heading);
            }
            outcome.evidence.iter_mut().for_each(|evidence| evidence.name_space(case));
        }
        let carved = case.system.processes.is_carved();
        let pids = pids_of_carved(case);
        let rests_on_carved = |outcome: &Outcome| {
            let mut named = outcome.pid.into_iter().chain(outcome.evidence.iter().filter_map(|evidence| evidence.pid));
            carved || named.any(|pid| pids.contains(&pid))
        };
        outcomes = outcomes
            .into_iter()
            .map(|outcome| if rests_on_carved(&outcome) { of_carved(outcome) } else { outcome })
            .map(of_another_time)
            .collect();
        // Who reads an outcome alone sees what it means for the verdict.
        for outcome in &mut outcomes {
            outcome.decides = Verdict::is_open(baseline, outcome, case.main_pid());
        }
        let away = Away::of(&outcomes, case);
        let findings = Self {
            check: baseline.name.to_owned(),
            verdict: match Verdict::of(baseline, &outcomes, case.main_pid()) {
                // A process that was not carved may have been there, and so may one that is not this machine's.
                Verdict::Clean if carved => Verdict::Inconclusive,
                verdict => verdict,
            },
            outcomes,
            passed_over: case.passed_over.clone(),
            modes: case.modes.to_vec(),
            beside: case.system.kernel.iter().flat_map(|kernel| &kernel.others).map(ToString::to_string).collect(),
            layouts: None,
            not_looked_for: not_looked_for(case),
            away,
        };
        match case.system.kernel.as_ref().and_then(|kernel| kernel.symbols.as_deref()) {
            Some(HEURISTIC) => findings.by_heuristic_layouts(),
            _ => findings,
        }
    }

    /// Says of every outcome that it rests on layouts that were worked out from the image: none is of high confidence then.
    fn by_heuristic_layouts(mut self) -> Self {
        for outcome in &mut self.outcomes {
            outcome.confidence = outcome.confidence.map(|confidence| confidence.min(Confidence::Medium));
            for evidence in &mut outcome.evidence {
                evidence.layout = Some(HEURISTIC.to_owned());
            }
        }
        self.layouts = Some(HEURISTIC.to_owned());
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
