//! The baselines: for each process that is judged, what is normal and the rules that compare.

use super::core::{self, CoreProcess};
use super::session_manager::control_set::RESOLVED;
use super::{Case, Findings, Outcome, Rule};
use crate::System;
use crate::picture::Picture;
use crate::process::InsideOf;
use crate::registry::SessionManagerKeys;
use std::borrow::Cow;
use std::sync::LazyLock;

/// What one `check` does: the rules that judge a process and what belongs to it.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// The word on the command line and in documents: `smss`.
    pub name: &'static str,
    /// What is judged, in a few words.
    pub title: &'static str,
    /// What is normal for the process.
    pub process: &'static CoreProcess,
    /// Names of the processes whose address ranges, threads and handles the rules need.
    pub look_into: &'static [&'static str],
    /// The rules, in the order of a report.
    pub rules: Cow<'static, [&'static Rule]>,
}

/// Every baseline: the one list of them.
pub static BASELINES: &[&Baseline] = &[&core::smss::BASELINE];

impl Baseline {
    /// The baseline of [`BASELINES`] with this name; upper and lower case are one.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        BASELINES.iter().copied().find(|baseline| baseline.name.eq_ignore_ascii_case(name))
    }

    /// The rule with this id.
    #[must_use]
    pub fn rule(&self, id: &str) -> Option<&'static Rule> {
        self.rules.iter().copied().find(|rule| rule.id.eq_ignore_ascii_case(id))
    }

    /// The same baseline with one more rule, at the end.
    #[must_use]
    pub fn with(mut self, rule: &'static Rule) -> Self {
        self.rules.to_mut().push(rule);
        self
    }

    /// Judges a system by every rule, each with at least one outcome.
    #[must_use]
    pub fn check(&self, system: &System) -> Findings {
        self.check_in(&Picture::new(system))
    }

    /// The same, of a picture that others ask too.
    #[must_use]
    pub fn check_in(&self, picture: &Picture<'_>) -> Findings {
        let case = Case::new(picture, self.process);
        let mut outcomes: Vec<Outcome> = self.rules.iter().flat_map(|rule| (rule.judge)(&case, rule)).collect();
        for (what, keys) in picture.system().session_manager.others() {
            outcomes.extend(self.of_other_keys(picture, &what, keys));
        }
        Findings::new(self, &case, outcomes)
    }
}

impl Baseline {
    /// What counts in keys that are not in use, and will be, or may be: `what` says which.
    fn of_other_keys(&self, picture: &Picture<'_>, what: &str, keys: &SessionManagerKeys) -> Vec<Outcome> {
        let case = Case::with_keys(picture, self.process, keys);
        let rules = self.rules.iter().filter(|rule| rule.id.starts_with(OF_KEYS) && rule.id != RESOLVED.id);
        let outcomes = rules.flat_map(|rule| (rule.judge)(&case, rule)).filter(Outcome::counts);
        outcomes
            .map(|outcome| {
                let observed = outcome.observed.clone().unwrap_or_default();
                outcome.observed(format!("{what}: {observed}"))
            })
            .collect()
    }
}

/// How the ids of rules about the Session Manager's keys begin.
const OF_KEYS: &str = "SMR-";

/// Judges a system by each of these baselines: those of [`BASELINES`], or others.
#[must_use]
pub fn check_with(system: &System, baselines: &[&Baseline]) -> Vec<Findings> {
    check_in(&Picture::new(system), baselines)
}

/// The same, of a picture that others ask too.
#[must_use]
pub fn check_in(picture: &Picture<'_>, baselines: &[&Baseline]) -> Vec<Findings> {
    baselines.iter().map(|baseline| baseline.check_in(picture)).collect()
}

/// Judges smss.exe, the sessions it built, and the registry it reads: every rule of SMSS, SMR and SES, each with at least
/// one outcome. A rule whose input is missing is unknown, never passed.
#[must_use]
pub fn check_smss(system: &System) -> Findings {
    core::smss::BASELINE.check(system)
}

/// Every rule of every baseline, each once.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    BASELINES.iter().flat_map(|baseline| baseline.rules.iter().copied())
}

/// The processes that some baseline looks into.
static LOOKED_INTO: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut names: Vec<&str> = BASELINES.iter().flat_map(|baseline| baseline.look_into.iter().copied()).collect();
    names.sort_unstable();
    names.dedup();
    names
});

/// Those that the baselines need: the registry of baselines passes its names down to the reader.
impl Default for InsideOf {
    fn default() -> Self {
        Self::Named(&LOOKED_INTO)
    }
}
