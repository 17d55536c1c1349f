//! What one check says.

use super::missing::GONE;
use super::{Evidence, Missing, Rule, Why, Witness};
use crate::{Location, Process, Reading, VirtualAddress};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The answer of a check. Unknown is never a kind of pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// What the check needs was read, and is as Windows makes it.
    Pass,
    /// It is not as Windows makes it.
    Violation,
    /// A required input is missing; `reason` says which.
    Unknown,
    /// This version of Windows, or a process of this kind, has nothing to check; `reason` says why.
    NotApplicable,
}

/// How bad a violation is. From [`Low`](Severity::Low) on it makes the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; never counts.
    Info,
    /// Odd.
    Low,
    /// Suspicious alone.
    Medium,
    /// Not explained by anything that Windows does.
    High,
    /// What malware does.
    Critical,
}

/// How sure a pass or a violation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The input is indirect, or the rule rests on one observation.
    Low,
    /// Something supporting is missing.
    Medium,
    /// The input is the kernel's own, and the rule holds on every image known.
    High,
}

/// The outcome of one check for one process, or for the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Id of the rule: `SMSS-001`.
    pub id: String,
    /// What the rule asks for, in a few words.
    pub title: String,
    /// What the answer is about: of a violation, what is wrong, else the title.
    #[serde(default)]
    pub heading: String,
    /// The answer.
    pub outcome: Judgement,
    /// Of a violation only.
    pub severity: Option<Severity>,
    /// Of a pass or a violation: not more than its [`witnesses`](Self::witnesses) are good for.
    pub confidence: Option<Confidence>,
    /// The kinds of structures that it rests on: what would have to be changed, all of it, for it to be otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witnesses: Vec<Witness>,
    /// The process judged. `None`: the machine as a whole.
    pub pid: Option<u64>,
    /// What was found.
    pub observed: Option<String>,
    /// What Windows would have made.
    pub expected: Option<String>,
    /// The fields looked at.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// Why the check could not judge, or does not apply; of a pass or violation, what else there is to say.
    pub reason: Option<String>,
    /// Of an unknown: what is missing, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// The benign situation that lowered the severity.
    #[serde(default)]
    pub guard: Option<String>,
    /// ATT&CK technique ids of what a violation would mean.
    #[serde(default)]
    pub attack: Vec<String>,
    /// Of an unknown: while it is open, the verdict is not clean.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub decides: bool,
}

impl Outcome {
    /// An outcome of this rule, not judged yet. `pid`: the process that it is about; `None`: the machine.
    #[must_use]
    pub fn new(rule: &Rule, pid: Option<u64>) -> Self {
        Self {
            id: rule.id.to_owned(),
            title: rule.title.to_owned(),
            heading: rule.title.to_owned(),
            outcome: Judgement::Unknown,
            severity: None,
            confidence: None,
            witnesses: Vec::new(),
            pid,
            observed: None,
            expected: None,
            evidence: Vec::new(),
            reason: None,
            missing: None,
            guard: None,
            attack: rule.attack.iter().map(|&id| id.to_owned()).collect(),
            decides: false,
        }
    }

    /// An outcome of this rule about `process`.
    #[must_use]
    pub fn about(rule: &Rule, process: &Process) -> Self {
        Self::new(rule, process.pid.value().copied())
    }

    /// It is as Windows makes it.
    #[must_use]
    pub fn pass(mut self) -> Self {
        self.outcome = Judgement::Pass;
        self.confidence.get_or_insert(Confidence::High);
        self
    }

    /// It is not as Windows makes it.
    #[must_use]
    pub fn violation(mut self, severity: Severity) -> Self {
        self.outcome = Judgement::Violation;
        self.severity = Some(severity);
        self.confidence.get_or_insert(Confidence::High);
        self
    }

    /// Not judged: `needs` (with its article) was not there, because of `why`.
    #[must_use]
    pub fn unknown(self, needs: impl Into<String>, why: impl Into<Why>) -> Self {
        self.missing(Missing::new(needs, why))
    }

    /// Not judged, because of what is missing.
    #[must_use]
    pub fn missing(mut self, missing: Missing) -> Self {
        self.outcome = Judgement::Unknown;
        self.severity = None;
        self.confidence = None;
        self.reason = Some(format!(
            "Not evaluated: {} needs {missing}. This is not evidence that {}.",
            self.id,
            if self.pid.is_some() { "the process is normal" } else { "the machine is normal" },
        ));
        self.missing = Some(missing);
        self
    }

    /// While it is unknown, the verdict is not clean: something was seen that is one of two things.
    #[must_use]
    pub fn decides(mut self) -> Self {
        self.decides = true;
        self
    }

    /// There is nothing to judge; the reason is a sentence.
    #[must_use]
    pub fn not_applicable(mut self, reason: impl Into<String>) -> Self {
        self.outcome = Judgement::NotApplicable;
        self.reason = Some(reason.into());
        self
    }

    /// The same with the kinds of things that are wrong, each once, in the order of the alphabet.
    #[must_use]
    pub(super) fn headed_by<'k>(self, kinds: impl IntoIterator<Item = &'k str>) -> Self {
        let kinds: BTreeSet<&str> = kinds.into_iter().collect();
        self.headed(kinds.into_iter().collect::<Vec<_>>().join(", "))
    }

    /// Of a violation of a rule that asks for several things: which of them is wrong, in a few words.
    #[must_use]
    pub fn headed(mut self, what: impl Into<String>) -> Self {
        self.heading = what.into();
        self
    }

    /// What was found.
    #[must_use]
    pub fn observed(mut self, text: impl fmt::Display) -> Self {
        self.observed = Some(text.to_string());
        self
    }

    /// What Windows would have made.
    #[must_use]
    pub fn expected(mut self, text: impl fmt::Display) -> Self {
        self.expected = Some(text.to_string());
        self
    }

    /// What else there is to say: a sentence.
    #[must_use]
    pub fn reason(mut self, text: impl Into<String>) -> Self {
        self.reason = Some(text.into());
        self
    }

    /// The benign situation that lowers the severity.
    #[must_use]
    pub fn guard(mut self, text: impl Into<String>) -> Self {
        self.guard = Some(text.into());
        self
    }

    /// Lowers the confidence to at most this.
    #[must_use]
    pub fn confidence(mut self, confidence: Confidence) -> Self {
        self.confidence = Some(self.confidence.map_or(confidence, |now| now.min(confidence)));
        self
    }

    /// Names what it rests on beside the fields in its evidence, which name it themselves.
    #[must_use]
    pub fn witnessed(mut self, by: impl IntoIterator<Item = Witness>) -> Self {
        self.witnesses.extend(by);
        self
    }

    /// Adds one field of a process to the evidence. `field` is the name of the member of [`Process`] that holds it; the
    /// evidence names the structure and field of the kernel.
    #[must_use]
    pub fn seen(mut self, process: &Process, field: &str, value: Option<String>) -> Self {
        self.evidence.push(Evidence::of_process(process, field, value));
        self
    }

    /// Adds entries of a list of a process to the evidence, by their positions: each where it lies, or the list where that is not told.
    #[must_use]
    pub(super) fn seen_items(mut self, process: &Process, list: &str, items: &[String], which: &[usize]) -> Self {
        let item = |number: &usize| Evidence::of_item(process, list, *number, items.get(*number)?);
        let found: Option<Vec<Evidence>> = which.iter().map(item).collect();
        match found.filter(|found| !found.is_empty()) {
            Some(found) => self.evidence.extend(found),
            None => return self.seen(process, list, Some(items.join(", ")).filter(|_| !items.is_empty())),
        }
        self
    }

    /// Adds one field of a structure that belongs to a process: where it lies, if its record tells, else the structure's address.
    #[must_use]
    pub fn seen_at(
        mut self,
        process: &Process,
        structure: &str,
        field: &str,
        at: (&Reading<VirtualAddress>, Option<&Location>),
        value: Option<String>,
    ) -> Self {
        let (object, place) = at;
        let evidence = Evidence {
            pid: process.pid.value().copied(),
            // What the symbols call it is nearer than what most builds do.
            structure: place.map_or_else(|| structure.to_owned(), |place| place.structure.to_string()),
            field: place.map_or_else(|| field.to_owned(), |place| place.field.to_string()),
            object: object.value().copied().filter(|_| place.is_none()),
            value,
            ..Evidence::default()
        };
        self.evidence.push(evidence.at(place));
        self
    }

    /// The last entry of the evidence speaks of code that lies here.
    #[must_use]
    pub(super) fn of_code(mut self, at: &Reading<VirtualAddress>) -> Self {
        if let Some(last) = self.evidence.last_mut() {
            last.code = at.value().copied();
        }
        self
    }

    /// Whether it is unknown because what it takes went with a process that is over: no other file or option would supply it.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let gone = |missing: &Missing| matches!(&missing.why, Why::Reason(reason) if reason == GONE);
        self.outcome == Judgement::Unknown && self.missing.as_ref().is_some_and(gone)
    }

    /// Whether it is an unknown that keeps the verdict from being clean.
    #[must_use]
    pub fn is_in_the_way(&self) -> bool {
        self.outcome == Judgement::Unknown && self.decides
    }

    /// Whether it is a violation that counts for the verdict.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.outcome == Judgement::Violation && self.severity.is_some_and(|severity| severity > Severity::Info)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        })
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Violation => "violation",
            Self::Unknown => "unknown",
            Self::NotApplicable => "not applicable",
        })
    }
}

/// One line: `SMSS-001 violation (high) pid 3260: parent is System (4): observed 2732, expected 4 (System)`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.outcome)?;
        if let Some(severity) = self.severity {
            write!(f, " ({severity})")?;
        }
        if let Some(pid) = self.pid {
            write!(f, " pid {pid}")?;
        }
        write!(f, ": {}", if self.heading.is_empty() { &self.title } else { &self.heading })?;
        let mut sign = ':';
        for (word, text) in [("observed", &self.observed), ("expected", &self.expected)] {
            if let Some(text) = text {
                write!(f, "{sign} {word} {}", crate::Shown(text))?;
                sign = ',';
            }
        }
        match (&self.reason, self.outcome) {
            (Some(reason), Judgement::Unknown | Judgement::NotApplicable) => {
                write!(f, "{sign} {}", crate::Shown(reason))
            }
            _ => Ok(()),
        }
    }
}
