//! `ntmem check`: is it what Windows would have made?

use crate::args::Run;
use crate::exit::Usage;
use crate::open;
use crate::options::Common;
use crate::output::{self, Output};
use anyhow::Context as _;
use ntmem::checks::check_smss_in;
use ntmem::report::{self, Document, Report};
use ntmem::{Picture, System, Verdict};
use std::path::{Path, PathBuf};

/// Compare with what Windows would have made (exit 0 clean, 1 violations, 2 inconclusive)
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "ntmem check [OPTIONS] [NAME]... IMAGE\n       ntmem check [OPTIONS] [NAME]... --report FILE",
    after_help = "Checks: smss (smss.exe, what it reads and what it builds). Without a name: all."
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

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(&self) -> anyhow::Result<u8> {
        let mut report = Report::new(self.system()?);
        let picture = Picture::new(&report.system);
        let findings = check_smss_in(&picture);
        let code = match findings.verdict {
            Verdict::Clean => 0,
            Verdict::Violations => 1,
            Verdict::Inconclusive => 2,
        };
        report.checks.push(findings);
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
    /// The records to judge: of the image, or of a saved document.
    fn system(&self) -> anyhow::Result<System> {
        match (&self.report, self.names.split_last()) {
            (Some(file), _) => {
                if let Some(image) = self.names.last().filter(|name| name.is_file() && name.as_os_str() != "smss") {
                    return Err(Usage(format!("an image ({}) or --report, not both", image.display())).into());
                }
                known_checks(&self.names)?;
                saved(file)
            }
            (None, Some((image, names))) => {
                known_checks(names)?;
                if image.as_os_str() == "smss" && !image.exists() {
                    let which = "which image? `ntmem check smss IMAGE`, or `ntmem check smss --report FILE`";
                    return Err(Usage(which.into()).into());
                }
                open::read(image, &self.common)
            }
            (None, None) => Err(Usage("check needs an image, or a report with --report".into()).into()),
        }
    }
}

/// Refuses names that no check has: a misspelt one must not pass for clean.
fn known_checks(names: &[PathBuf]) -> Result<(), Usage> {
    match names.iter().find(|name| name.as_os_str() != "smss") {
        Some(name) => Err(Usage(format!("there is no check named {}; there is: smss", name.display()))),
        None => Ok(()),
    }
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
