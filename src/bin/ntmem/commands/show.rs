//! `ntmem show`: one process, whole.

use crate::answer::{Answer, Sheet};
use crate::args::Run;
use crate::exit::{self, NotThere, Usage};
use crate::options::{Common, Format};
use crate::output::Rows;
use crate::{chosen, images, open};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use ntmem::checks::{BASELINES, check_in};
use ntmem::report::{self, Lists, Page, Part, Report, Which, Whole};
use ntmem::{Picture, ReadOptions, Warning};
use std::path::{Path, PathBuf};

/// One process: who it is, its token, modules, address ranges, threads, handles, who holds it, and what was found
#[derive(Debug, clap::Args)]
#[command(after_help = parts())]
pub struct Args {
    /// Pid, address of the _EPROCESS (0x...), or name
    #[arg(value_name = "PID|0xEPROCESS|NAME")]
    process: String,
    /// The memory image
    image: PathBuf,
    /// These parts only
    #[arg(long, value_name = "PART,...", value_delimiter = ',', value_parser = PossibleValuesParser::new(Part::ALL.map(|(_, name)| name)).try_map(part),
          hide_possible_values = true)]
    only: Vec<Part>,
    #[command(flatten)]
    common: Common,
}

/// Names of parts, for the help.
fn parts() -> String {
    format!("Parts: {}.", Part::ALL.map(|(_, name)| name).join(", "))
}

fn part(text: String) -> Result<Part, String> {
    Part::named(&text).ok_or(text)
}

impl Run for Args {
    fn files(&self) -> Vec<&Path> {
        vec![&self.image]
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }

    fn run(&self) -> anyhow::Result<u8> {
        self.one_list()?;
        images::run_one(&self.image, &self.common, |image, sheet| {
            let which = Which::parse(&self.process);
            let report = open::read_with(image, &self.common.source, ReadOptions::default(), |kernel, report| {
                let at = match chosen::position(&which, report, self.common.source.reading.scan) {
                    Ok(at) => at,
                    Err(error) if error.is::<NotThere>() => {
                        report.system.warnings.push(Warning::new("processes", error.to_string()));
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                };
                report.system.look_into(kernel, at);
                let picture = Picture::new(&report.system);
                report.checks = check_in(&picture, BASELINES);
                let outcomes = report.checks.iter().flat_map(|findings| &findings.outcomes);
                let whole = Whole::read(kernel, &picture, at, outcomes);
                report.whole = whole.map(|whole| whole.with_only(&self.only));
                if !self.only.is_empty() {
                    report.checks.clear();
                }
                Ok(())
            })?;
            self.answer(&which, &report, sheet)
        })
    }
}

impl Args {
    /// There is room for one list in csv.
    fn one_list(&self) -> Result<(), Usage> {
        let lists = || Part::ALL.into_iter().filter(|(part, _)| part.is_list());
        let one = matches!(self.only.as_slice(), [part] if part.is_list());
        if self.common.result.format != Format::Csv || one {
            return Ok(());
        }
        let names: Vec<&str> = lists().map(|(_, name)| name).collect();
        Err(Usage(format!("csv is one list: name it with --only, one of {}", names.join(", "))))
    }

    fn answer(&self, which: &Which, report: &Report, sheet: &Sheet<'_>) -> anyhow::Result<Answer> {
        let picture = Picture::new(&report.system);
        let page = || match &report.whole {
            Some(whole) => report::show(report, whole, &self.only),
            None => Page::saying(chosen::nothing(which, self.common.source.reading.scan)),
        };
        let rows = |rows: &mut Rows<'_>| {
            let Some(whole) = &report.whole else { return };
            let is_wanted = |part| self.only.is_empty() || self.only.contains(&part);
            rows.add("process", &whole.process);
            if is_wanted(Part::Modules) {
                rows.each("module", whole.modules.value().map_or(&[][..], Vec::as_slice));
            }
            if let Some(inside) = whole.process.inside.value() {
                if is_wanted(Part::Vads) {
                    rows.each("vad", inside.vads.value().map_or(&[][..], Vec::as_slice));
                }
                if is_wanted(Part::Threads) {
                    rows.each("thread", inside.threads.value().map_or(&[][..], Vec::as_slice));
                }
                if is_wanted(Part::Handles) {
                    rows.each("handle", inside.handles.value().map_or(&[][..], Vec::as_slice));
                }
                if is_wanted(Part::HeldBy) {
                    rows.each("holder", inside.held_by.value().map_or(&[][..], Vec::as_slice));
                }
            }
            if is_wanted(Part::Findings) {
                rows.each("finding", &whole.findings);
            }
        };
        let code = if report.whole.is_some() { 0 } else { exit::NOT_THERE };
        // Who asks for parts of one process does not ask for the other processes.
        let lists = if self.only.is_empty() { Lists::All } else { Lists::Sessions };
        Ok(sheet.answer_list(report, &picture, lists, page, rows)?.with_code(code))
    }
}
