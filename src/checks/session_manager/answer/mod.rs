//! One rule's answer in the making: what was read, what is wrong with it, what could not be read.

mod hidden;
mod values;

use super::facts;
use super::keys::{HiveKey, Keys, missing};
use crate::Process;
use crate::checks::{Confidence, Evidence, Missing, Outcome, Rule, Severity, Why};
use crate::location::Location;
use crate::registry::KeyRecord;
use std::collections::{BTreeMap, BTreeSet};

/// Longest value in the evidence; the whole of it is with the keys.
const MAX_VALUE: usize = 1000;
/// So many findings are told in words.
const MAX_TOLD: usize = 6;
/// Environments have twenty values, KnownDLLs forty.
const MAX_EVIDENCE: usize = 64;
/// Values and texts beyond are hostile: no key here has a hundred.
const MAX_LOOKED_AT: usize = 1024;

/// Something that is not as Windows makes it.
struct Finding {
    severity: Severity,
    observed: String,
    expected: String,
    guard: Option<String>,
    /// The value it is about.
    label: String,
}

/// See the module.
pub(super) struct Answer<'g, 'a> {
    pub(super) keys: &'g Keys<'a>,
    outcome: Outcome,
    expected: String,
    findings: Vec<Finding>,
    unknown: Option<Missing>,
    passed: Vec<String>,
    notes: Vec<String>,
    evidence: BTreeMap<String, Evidence>,
    /// Values that findings about others rest on.
    related: BTreeSet<String>,
    raise: bool,
}

impl<'g, 'a> Answer<'g, 'a> {
    /// An answer of this rule; `expected` is what the outcome says if nothing was found.
    pub(super) fn new(keys: &'g Keys<'a>, rule: &Rule, expected: impl Into<String>) -> Self {
        Self::of(keys, Outcome::new(rule, None), expected)
    }

    pub(super) fn of(keys: &'g Keys<'a>, outcome: Outcome, expected: impl Into<String>) -> Self {
        Self {
            keys,
            outcome,
            expected: expected.into(),
            findings: Vec::new(),
            unknown: keys.unresolved(),
            passed: Vec::new(),
            notes: Vec::new(),
            evidence: BTreeMap::new(),
            related: BTreeSet::new(),
            raise: true,
        }
    }

    /// That a key was written after the boot says nothing here.
    pub(super) const fn never_raised(mut self) -> Self {
        self.raise = false;
        self
    }

    /// What is wrong with a value of a key, or with its absence.
    pub(super) fn violation(
        &mut self,
        key: HiveKey<'_>,
        value: &str,
        severity: Severity,
        observed: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let label = key.label(value);
        if let Some(record) = key.read.value() {
            self.evidence
                .entry(label.clone())
                .or_insert_with_key(|label| evidence(record, record.location.as_ref(), "_CM_KEY_NODE", label, None));
        }
        let mut finding =
            Finding { severity, observed: observed.into(), expected: expected.into(), guard: None, label };
        if severity > Severity::Info {
            match &self.keys.special {
                Some(words) if severity < Severity::Critical && self.is_lenient() => {
                    finding.severity = lowered(severity);
                    finding.guard = Some(words.clone());
                }
                _ if self.raise => {
                    if let Some(at) = self.keys.written_after_boot(key) {
                        finding.severity = raised(severity);
                        self.note(format!("{} was written {at}, after the boot: a level worse.", key.name));
                    }
                }
                _ => {}
            }
        }
        self.findings.push(finding);
    }

    fn is_lenient(&self) -> bool {
        facts::LENIENT.contains(&self.outcome.id.as_str())
    }

    /// Names the benign situation that the last finding was graded by.
    pub(super) fn guard(&mut self, words: &str) {
        if let Some(last) = self.findings.last_mut() {
            last.guard.get_or_insert_with(|| words.to_owned());
        }
    }

    pub(super) fn pass(&mut self, words: impl Into<String>) {
        self.passed.push(words.into());
    }

    /// Something to add, once.
    pub(super) fn note(&mut self, words: impl Into<String>) {
        let words = words.into();
        if !self.notes.contains(&words) {
            self.notes.push(words);
        }
    }

    /// The first reason is kept.
    pub(super) fn unknown(&mut self, needs: impl Into<String>, why: impl Into<Why>) {
        self.not_known(Missing::new(needs, why));
    }

    fn not_known(&mut self, missing: Missing) {
        self.unknown.get_or_insert(missing);
    }

    /// Adds a process's field to the evidence.
    pub(super) fn seen(mut self, process: &Process, field: &str, value: Option<String>) -> Self {
        self.outcome = self.outcome.seen(process, field, value);
        self
    }

    /// Lowers the confidence.
    pub(super) fn unsure(&mut self) {
        self.outcome.confidence = Some(Confidence::Medium);
    }

    pub(super) fn counts(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity > Severity::Info)
    }

    /// The same of a rule about several values: headed by those that are not as Windows makes them.
    pub(super) fn judge_values(self) -> Outcome {
        /// Values that are named.
        const NAMED: usize = 3;
        let of: BTreeSet<&str> =
            self.findings.iter().map(|finding| finding.label.rsplit('\\').next().unwrap_or_default()).collect();
        let named: Vec<&str> = of.iter().copied().filter(|name| !name.starts_with('(')).take(NAMED).collect();
        let more = if of.len() > NAMED { " and others" } else { "" };
        let head = match named.as_slice() {
            [] => None,
            [one] if more.is_empty() => Some(format!("{one} is not as Windows makes it")),
            several => Some(format!("{}{more} are not as Windows makes them", several.join(", "))),
        };
        match head {
            Some(head) => self.judge().headed(head),
            None => self.judge(),
        }
    }

    /// The worst decides: what counts, then what is not known, then what is worth knowing.
    pub(super) fn judge(mut self) -> Outcome {
        if self.keys.is_assumed() {
            self.unsure();
            self.note("The control set is the only one there is; nothing else tells that it is in use.");
        }
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let counts = self.counts();
        let told = joined(self.findings.iter().map(|finding| finding.observed.as_str()));
        let mut outcome = self.outcome;
        let worst = self.findings.first().map(|finding| finding.severity);
        let about: BTreeSet<&String> = self.findings.iter().map(|finding| &finding.label).collect();
        let related = self.related;
        let wanted = |label: &String| about.is_empty() || about.contains(label) || related.contains(label);
        let evidence = self.evidence.into_iter().filter(|(label, _)| wanted(label));
        outcome.evidence.extend(evidence.map(|(_, evidence)| evidence).take(MAX_EVIDENCE));
        if let Some(missing) = self.unknown.filter(|_| !counts) {
            outcome = outcome.expected(self.expected).missing(missing);
            return if told.is_empty() { outcome } else { outcome.observed(told) };
        }
        if let Some(severity) = worst {
            let expected = joined(self.findings.iter().map(|finding| finding.expected.as_str()));
            outcome = outcome.observed(told).expected(expected).violation(severity);
            let graded = self.findings.into_iter().take_while(|finding| finding.severity == severity);
            outcome.guard = graded.filter_map(|finding| finding.guard).next();
        } else {
            let words = joined(self.passed.iter().map(String::as_str));
            outcome = outcome.observed(words).expected(self.expected).pass();
        }
        if self.notes.is_empty() { outcome } else { outcome.reason(self.notes.join(" ")) }
    }
}

fn evidence(
    record: &KeyRecord,
    at: Option<&Location>,
    structure: &str,
    label: &str,
    value: Option<String>,
) -> Evidence {
    Evidence {
        key: Some(record.path.clone()),
        structure: structure.to_owned(),
        field: label.to_owned(),
        value,
        ..Evidence::default()
    }
    .at(at)
}

/// Different texts, up to a number of them.
fn joined<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let mut seen = BTreeSet::new();
    let mut different: Vec<&str> = texts.filter(|text| !text.is_empty() && seen.insert(*text)).collect();
    let more = different.len().saturating_sub(MAX_TOLD);
    different.truncate(MAX_TOLD);
    let told = different.join("; ");
    if more == 0 { told } else { format!("{told}; and {more} more") }
}

pub(super) fn shortened(text: &str, length: usize) -> String {
    let mut short: String = text.chars().take(length).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

const fn raised(severity: Severity) -> Severity {
    match severity {
        Severity::Info | Severity::Low => Severity::Medium,
        Severity::Medium => Severity::High,
        Severity::High | Severity::Critical => Severity::Critical,
    }
}

const fn lowered(severity: Severity) -> Severity {
    match severity {
        Severity::Info | Severity::Low => Severity::Info,
        Severity::Medium => Severity::Low,
        Severity::High => Severity::Medium,
        Severity::Critical => Severity::High,
    }
}
