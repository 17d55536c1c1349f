//! Rows that stand alone: each says what it is, and of which image and machine.

use super::{Report, SCHEMA};
use crate::checks::Judgement;
use crate::{Findings, ImageInfo, KernelInfo, Machine, Mode, Outcome, Picture, Timestamp, Verdict};
use serde::Serialize;

/// One row: the type and the origin of an item, and its members.
#[derive(Debug, Serialize)]
pub struct Row<'a, T> {
    /// `process`, `outcome` and so on.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// The image, as it was named.
    pub image: Option<&'a str>,
    /// The computer's name, if it is known.
    pub host: Option<&'a str>,
    /// What it is about.
    #[serde(flatten)]
    pub item: T,
}

/// The first row of all.
#[derive(Debug, Serialize)]
pub struct RunRow<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    image: Option<&'a str>,
    host: Option<&'a str>,
    schema: u32,
    generator: Option<&'a str>,
    arguments: &'a [String],
    scan: bool,
}

/// What an image is: the first row about it.
#[derive(Debug, Serialize)]
pub struct ImageRow<'a> {
    #[serde(flatten)]
    file: Option<&'a ImageInfo>,
    sha256: Option<&'a str>,
    kernel: Option<&'a KernelInfo>,
    boot: Option<Timestamp>,
    captured: Option<Timestamp>,
    processes_end: Option<crate::ListEnd>,
}

/// What a group of checks says: the last row about an image.
#[derive(Debug, Serialize)]
pub struct VerdictRow<'a> {
    check: &'a str,
    verdict: Verdict,
    pub(super) violations: usize,
    pub(super) informative: usize,
    pub(super) passed: usize,
    pub(super) unknown: usize,
    pub(super) gone: usize,
    not_applicable: usize,
    worst: Option<&'a Outcome>,
}

/// An outcome, with the group of checks that it belongs to.
#[derive(Debug, Serialize)]
pub struct OutcomeRow<'a> {
    check: &'a str,
    verdict: Verdict,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

impl Report {
    /// The row of the run.
    #[must_use]
    pub fn run_row(&self) -> RunRow<'_> {
        RunRow {
            kind: "run",
            image: None,
            host: None,
            schema: SCHEMA,
            generator: self.generator.as_deref(),
            arguments: &self.run.arguments,
            scan: self.run.scan,
        }
    }

    /// The row of the image.
    #[must_use]
    pub fn image_row(&self) -> ImageRow<'_> {
        let system = &self.system;
        ImageRow {
            file: system.image.as_ref(),
            sha256: self.run.sha256.as_deref(),
            kernel: system.kernel.as_ref(),
            boot: system.machine.boot.value().copied(),
            captured: system.machine.captured.value().copied(),
            processes_end: system.processes.end,
        }
    }
}

impl Findings {
    /// The row of each outcome.
    pub fn outcome_rows(&self) -> impl Iterator<Item = OutcomeRow<'_>> {
        let row = |outcome| OutcomeRow { check: &self.check, verdict: self.verdict, outcome };
        self.outcomes.iter().map(row)
    }

    /// The row of the verdict.
    #[must_use]
    pub fn verdict_row(&self) -> VerdictRow<'_> {
        let of = |judgement| self.outcomes.iter().filter(|outcome| outcome.outcome == judgement).count();
        let violations = self.outcomes.iter().filter(|outcome| outcome.counts()).count();
        VerdictRow {
            check: &self.check,
            verdict: self.verdict,
            violations,
            informative: of(Judgement::Violation).saturating_sub(violations),
            passed: of(Judgement::Pass),
            unknown: of(Judgement::Unknown),
            gone: self.outcomes.iter().filter(|outcome| outcome.is_gone()).count(),
            not_applicable: of(Judgement::NotApplicable),
            worst: super::worst(self),
        }
    }
}

/// A machine and its states.
#[derive(Debug, Serialize)]
pub struct MachineRow<'a> {
    machine: &'a Machine,
    modes: &'a [Mode],
    processes: usize,
    sessions: usize,
}

impl<'a> MachineRow<'a> {
    /// The row of the machine that a picture shows.
    #[must_use]
    pub fn new(picture: &'a Picture<'_>) -> Self {
        let system = picture.system();
        Self {
            machine: &system.machine,
            modes: picture.modes(),
            processes: system.processes.items.len(),
            sessions: picture.sessions().len(),
        }
    }
}
