//! `ntmem check`: is it what Windows would have made?

use crate::args::Run;
use crate::exit::Usage;
use crate::open;
use crate::options::Common;
use crate::output::{self, Output};
use anyhow::Context as _;
use ntmem::checks::{BASELINES, Baseline, check_in};
use ntmem::report::{self, Document, Report};
use ntmem::{Picture, System, Verdict};
use std::path::{Path, PathBuf};

/// Compare with what Windows would have made (exit 0 clean, 1 violations, 2 inconclusive)
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "ntmem check [OPTIONS] [NAME]... IMAGE\n       ntmem check [OPTIONS] [NAME]... --report FILE",
    after_help = checks()
)]
pub struct Args {
    /// Names of checks, and last the memory image
    #[arg(value_name = "NAME|IMAGE", required_unless_present = "report")]
    names: Vec<PathBuf>,
    /// Judge a saved JSON document (ours, or another tool's process list in that form) instead of an image
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

impl Run for Args {
    fn files(&self) -> Vec<&Path> {
        self.names.iter().chain(&self.report).map(PathBuf::as_path).collect()
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }

    fn run(&self) -> anyhow::Result<u8> {
        let (system, chosen) = self.input()?;
        let mut report = Report::new(system);
        let picture = Picture::new(&report.system);
        let findings = check_in(&picture, &chosen);
        let verdicts = || findings.iter().map(|findings| findings.verdict);
        let code = if verdicts().any(|verdict| verdict == Verdict::Violations) {
            1
        } else if verdicts().any(|verdict| verdict == Verdict::Inconclusive) {
            2
        } else {
            0
        };
        report.checks = findings;
        let lines: Vec<_> = report.checks.iter().flat_map(|check| &check.outcomes).collect();
        let written = Output::new(&self.common).write(&Document::new(&report, &picture), &lines, |text, palette| {
            report.checks.iter().try_for_each(|check| report::findings(text, check, palette))
        });
        match written {
            // The verdict is in the exit status too: `ntmem check mem.raw | head` must not pass for clean.
            Err(error) if !output::is_broken_pipe(&error) => Err(error),
            _ => Ok(code),
        }
    }
}

impl Args {
    /// The records to judge, of the image or of a saved document, and by which baselines.
    fn input(&self) -> anyhow::Result<(System, Vec<&'static Baseline>)> {
        match (&self.report, self.names.split_last()) {
            (Some(file), _) => {
                if let Some(image) = self.names.last().filter(|name| name.is_file() && named(name).is_none()) {
                    return Err(Usage(format!("an image ({}) or --report, not both", image.display())).into());
                }
                let chosen = chosen(&self.names)?;
                Ok((saved(file)?, chosen))
            }
            (None, Some((image, names))) => {
                let chosen = chosen(names)?;
                if let Some(Baseline { name, .. }) = named(image).filter(|_| !image.exists()) {
                    let which =
                        format!("which image? `ntmem check {name} IMAGE`, or `ntmem check {name} --report FILE`");
                    return Err(Usage(which).into());
                }
                Ok((open::read(image, &self.common)?, chosen))
            }
            (None, None) => Err(Usage("check needs an image, or a report with --report".into()).into()),
        }
    }
}

/// What `--help` says of the names.
fn checks() -> String {
    let words: Vec<String> =
        BASELINES.iter().map(|baseline| format!("{} ({})", baseline.name, baseline.title)).collect();
    format!("Checks: {}. Without a name: all.", words.join("; "))
}

fn named(name: &Path) -> Option<&'static Baseline> {
    BASELINES.iter().copied().find(|baseline| name.as_os_str() == baseline.name)
}

/// The baselines of these names; all, without a name. A misspelt one must not pass for clean.
fn chosen(names: &[PathBuf]) -> Result<Vec<&'static Baseline>, Usage> {
    if let Some(name) = names.iter().find(|name| named(name).is_none()) {
        let known: Vec<&str> = BASELINES.iter().map(|baseline| baseline.name).collect();
        let words = format!("there is no check named {}; there is: {}", name.display(), known.join(", "));
        return Err(Usage(words));
    }
    let wanted = |baseline: &Baseline| names.is_empty() || names.iter().any(|name| name.as_os_str() == baseline.name);
    Ok(BASELINES.iter().copied().filter(|baseline| wanted(baseline)).collect())
}

/// Reads a saved document.
fn saved(file: &Path) -> anyhow::Result<System> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let report: Report = serde_json::from_slice(&text).with_context(|| {
        format!("{} is no report: it must be a JSON document as `ntmem pslist --format json` writes it", file.display())
    })?;
    output::warnings(&report.system.warnings);
    Ok(report.system)
}
