//! What one check says.

use super::table;
use crate::location::Location;
use crate::{PhysicalAddress, Process, Reading, VirtualAddress};
use serde::{Deserialize, Serialize};
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

/// One field that a check looked at: enough to look at the same bytes in another tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// The process it belongs to.
    pub pid: Option<u64>,
    /// Path of the registry key it belongs to, from `\REGISTRY` on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// C name of the structure.
    pub structure: String,
    /// C name of the field; of a registry value, the last part of its key's path and its own name: `SubSystems\Required`.
    pub field: String,
    /// Virtual address of the structure, where that of the field is not told.
    pub object: Option<VirtualAddress>,
    /// Virtual address of the field, if the record tells.
    pub r#virtual: Option<VirtualAddress>,
    /// Physical address of the field, if the record tells.
    pub physical: Option<PhysicalAddress>,
    /// What was there. `None`: nothing, or not readable.
    pub value: Option<String>,
    /// `heuristic`, where the place of the field is not known from symbols of this kernel or build, but was worked out from
    /// the image itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
}

/// The outcome of one check for one process, or for the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Id of the rule: `SMSS-001`.
    pub id: String,
    /// What the rule asks for, in a few words.
    pub title: String,
    /// The answer.
    pub outcome: Judgement,
    /// Of a violation only.
    pub severity: Option<Severity>,
    /// Of a pass or a violation.
    pub confidence: Option<Confidence>,
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
    /// The benign situation that lowered the severity.
    #[serde(default)]
    pub guard: Option<String>,
    /// ATT&CK technique ids of what a violation would mean.
    #[serde(default)]
    pub attack: Vec<String>,
}

impl Outcome {
    /// An outcome of the check `id`, not judged yet.
    pub(super) fn new(id: &str, pid: Option<u64>) -> Self {
        let rule = table::rule(id);
        Self {
            id: id.to_owned(),
            title: rule.map_or("", |rule| rule.title).to_owned(),
            outcome: Judgement::Unknown,
            severity: None,
            confidence: None,
            pid,
            observed: None,
            expected: None,
            evidence: Vec::new(),
            reason: None,
            guard: None,
            attack: rule.map_or(&[][..], |rule| rule.attack).iter().map(|&id| id.to_owned()).collect(),
        }
    }

    /// An outcome of the check `id` about `process`.
    pub(super) fn about(id: &str, process: &Process) -> Self {
        Self::new(id, process.pid.value().copied())
    }

    pub(super) fn pass(mut self) -> Self {
        self.outcome = Judgement::Pass;
        self.confidence.get_or_insert(Confidence::High);
        self
    }

    pub(super) fn violation(mut self, severity: Severity) -> Self {
        self.outcome = Judgement::Violation;
        self.severity = Some(severity);
        self.confidence.get_or_insert(Confidence::High);
        self
    }

    /// Not judged: `needs` (with article) was not there, because of `why`.
    pub(super) fn unknown(mut self, needs: &str, why: impl fmt::Display) -> Self {
        self.outcome = Judgement::Unknown;
        self.severity = None;
        self.confidence = None;
        let why = why.to_string();
        let was = match why.strip_prefix("no symbol: ") {
            Some(what) => format!("which the symbols in use lack: {what}"),
            None => format!("which was {why}"),
        };
        self.reason = Some(format!(
            "Not evaluated: {} needs {needs}, {was}. This is not evidence that {}.",
            self.id,
            if self.pid.is_some() { "the process is normal" } else { "the machine is normal" },
        ));
        self
    }

    pub(super) fn not_applicable(mut self, reason: impl Into<String>) -> Self {
        self.outcome = Judgement::NotApplicable;
        self.reason = Some(reason.into());
        self
    }

    pub(super) fn observed(mut self, text: impl fmt::Display) -> Self {
        self.observed = Some(text.to_string());
        self
    }

    pub(super) fn expected(mut self, text: impl fmt::Display) -> Self {
        self.expected = Some(text.to_string());
        self
    }

    pub(super) fn reason(mut self, text: impl Into<String>) -> Self {
        self.reason = Some(text.into());
        self
    }

    pub(super) fn guard(mut self, text: impl Into<String>) -> Self {
        self.guard = Some(text.into());
        self
    }

    /// Lowers the confidence to at most this.
    pub(super) fn confidence(mut self, confidence: Confidence) -> Self {
        self.confidence = Some(self.confidence.map_or(confidence, |now| now.min(confidence)));
        self
    }

    /// Adds one field of a process to the evidence; `field` is the record's name for it.
    pub(super) fn seen(mut self, process: &Process, field: &str, value: Option<String>) -> Self {
        let (structure, name) = table::field(field);
        let found = process.located.get(field);
        let text =
            |of: fn(&Location) -> &String, else_: &str| found.map_or_else(|| else_.to_owned(), |at| of(at).clone());
        self.evidence.push(Evidence {
            pid: process.pid.value().copied(),
            key: None,
            structure: text(|at| &at.structure, structure),
            field: text(|at| &at.field, name),
            object: None,
            r#virtual: found.and_then(|at| at.r#virtual),
            physical: found.and_then(|at| at.physical),
            value,
            layout: None,
        });
        self
    }

    /// Adds one field of a structure that belongs to a process; `object` is the structure's address.
    pub(super) fn seen_at(
        mut self,
        process: &Process,
        structure: &str,
        field: &str,
        object: &Reading<VirtualAddress>,
        value: Option<String>,
    ) -> Self {
        self.evidence.push(Evidence {
            pid: process.pid.value().copied(),
            key: None,
            structure: structure.to_owned(),
            field: field.to_owned(),
            object: object.value().copied(),
            r#virtual: None,
            physical: None,
            value,
            layout: None,
        });
        self
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
        write!(f, ": {}", self.title)?;
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
