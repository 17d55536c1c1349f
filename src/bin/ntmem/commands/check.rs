//! `ntmem check`: is it what Windows would have made?

use crate::answer::{Answer, Sheet};
use crate::args::Run;
use crate::exit::Usage;
use crate::options::{Common, Format, Jobs, Source};
use crate::output::{Rows, Told};
use crate::{images, open};
use anyhow::Context as _;
use ntmem::checks::{BASELINES, Baseline, check_in};
use ntmem::report::{self, Document, FindingsOptions, ListOptions, Report};
use ntmem::{Picture, Verdict};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Compare with what Windows would have made (exit 0 clean, 1 violations, 2 inconclusive)
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "ntmem check [OPTIONS] [NAME]... IMAGE...\n       ntmem check [OPTIONS] [NAME]... --report FILE",
    after_help = checks()
)]
pub struct Args {
    /// Names of checks, and behind them the memory images
    #[arg(value_name = "NAME|IMAGE", required_unless_present = "report")]
    names: Vec<PathBuf>,
    /// Judge a saved list instead of an image: a JSON document of ntmem, or what another tool printed (Volatility 3's JSON of
    /// pslist, pstree or psscan; repeated for cmdline and getsids beside it, and for psscan beside pslist, which are compared if the
    /// files are named so; MemProcFS' process.csv; Velociraptor's pslist rows)
    #[arg(long, value_name = "FILE")]
    report: Vec<PathBuf>,
    /// A line for each finding, what could not be read, and nothing else
    #[arg(long)]
    brief: bool,
    #[command(flatten)]
    jobs: Jobs,
    #[command(flatten)]
    common: Common,
}

impl Run for Args {
    fn files(&self) -> Vec<&Path> {
        self.sorted().map(|(_, images)| images.iter().map(PathBuf::as_path).collect()).unwrap_or_default()
    }

    fn documents(&self) -> Vec<&Path> {
        self.report.iter().map(PathBuf::as_path).collect()
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }

    fn run(&self) -> anyhow::Result<u8> {
        let (checks, images) = self.sorted()?;
        if self.brief && self.common.result.format != Format::Text && self.common.result.format != Format::Html {
            return Err(
                Usage("--brief is for text and html: json, jsonl and csv have every finding whole".into()).into()
            );
        }
        match self.report.as_slice() {
            files @ [first, ..] => {
                // `-` is a list of images elsewhere.
                let named = if first.as_os_str() == "-" { PathBuf::from("standard input") } else { first.clone() };
                images::run_as(&[named], 1, &self.common, Told::Verdicts, |_, sheet| {
                    self.judge(&checks, saved(files, &self.common.source)?, sheet)
                })
            }
            [] => images::run_as(images, self.jobs.number(), &self.common, Told::Verdicts, |image, sheet| {
                self.judge(&checks, open::read(image, &self.common.source)?, sheet)
            }),
        }
    }
}

impl Args {
    /// The names of checks, and the images behind them.
    fn sorted(&self) -> Result<(Vec<&'static Baseline>, &[PathBuf]), Usage> {
        let known = |word: &PathBuf| BASELINES.iter().copied().find(|baseline| word.as_os_str() == baseline.name);
        let names = self.names.iter().map_while(known).collect::<Vec<_>>();
        let images = self.names.get(names.len()..).unwrap_or_default();
        let there_are = BASELINES.iter().map(|baseline| baseline.name).collect::<Vec<_>>().join(", ");
        // A misspelt name must not pass for an image, nor for clean.
        let but_last = images.len().saturating_sub(usize::from(self.report.is_empty()));
        if let Some(word) = images.iter().take(but_last).find(|word| is_a_name(word)) {
            return Err(Usage(format!("there is no check named {}; there is: {there_are}", word.display())));
        }
        match (images.first(), self.report.first()) {
            (Some(image), Some(_)) => Err(Usage(format!("an image ({}) or --report, not both", image.display()))),
            (None, None) => {
                Err(Usage("which image? `ntmem check smss IMAGE`, or `ntmem check smss --report FILE`".into()))
            }
            _ => Ok((if names.is_empty() { BASELINES.to_vec() } else { names }, images)),
        }
    }

    fn judge(&self, baselines: &[&Baseline], mut report: Report, sheet: &Sheet<'_>) -> anyhow::Result<Answer> {
        let picture = Picture::new(&report.system);
        report.checks = check_in(&picture, baselines);
        let codes = report.checks.iter().map(|findings| match findings.verdict {
            Verdict::Clean => 0,
            Verdict::Violations => 1,
            Verdict::Inconclusive => 2,
        });
        let code = codes.fold(0, images::worst);
        let options = FindingsOptions { brief: self.brief };
        let pages = || {
            let bad = report::bad_pids(&report);
            vec![
                report::findings(&report, &picture, options),
                report::figures(&report, &picture),
                report::processes(&picture, &ListOptions::default()).with_bad(&bad),
                report::cross_view(&picture).with_bad(&bad),
            ]
        };
        let rows = |rows: &mut Rows<'_>| {
            for findings in &report.checks {
                findings.outcome_rows().for_each(|row| rows.add("outcome", &row));
            }
            for findings in &report.checks {
                rows.add("verdict", &findings.verdict_row());
            }
        };
        let document = Document::new(&report, &picture);
        Ok(sheet.answer_with(&report, &picture, &document, pages, rows)?.with_code(code))
    }
}

/// What `--help` says of the names, and of images.
fn checks() -> String {
    let words = BASELINES.iter().map(|baseline| format!("{} ({})", baseline.name, baseline.title));
    format!(
        "Checks: {}. Without a name: all.\nIMAGE: a file, a folder of images, @FILE for a list of them, - for a list on standard \
         input.",
        words.collect::<Vec<_>>().join("; ")
    )
}

/// Whether a word is meant as the name of a check: no file has it, and it looks like no path.
fn is_a_name(word: &Path) -> bool {
    let text = word.to_string_lossy();
    text != "-" && !text.starts_with('@') && !text.contains(['/', '\\', '.']) && !word.exists()
}

/// Documents and lists have some MiB, and one of a machine of a hundred thousand processes not a GiB. What is longer is cut off there,
/// and is no JSON then.
const MAX_SAVED: u64 = 1 << 30;

/// Reads a saved document, or what other tools printed.
fn saved(files: &[PathBuf], source: &Source) -> anyhow::Result<Report> {
    let read = |file: &PathBuf| {
        let cannot = || format!("cannot read {}", file.display());
        let is_input = file.as_os_str() == "-";
        let from: Box<dyn Read> =
            if is_input { Box::new(std::io::stdin().lock()) } else { Box::new(File::open(file).with_context(cannot)?) };
        let mut bytes = Vec::new();
        from.take(MAX_SAVED.saturating_add(1)).read_to_end(&mut bytes).with_context(cannot)?;
        let name = if is_input { "standard input".to_owned() } else { file.display().to_string() };
        Ok((name, bytes))
    };
    let files = files.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let mut report = report::read_lists(&files)?;
    report.run = source.report().run;
    Ok(report)
}
