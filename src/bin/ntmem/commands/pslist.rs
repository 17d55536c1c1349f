//! `ntmem pslist`: the processes.

use crate::args::Run;
use crate::options::{Common, Filter, Format, Images};
use crate::output::Rows;
use crate::{exit, images, open};
use clap::builder::PossibleValuesParser;
use ntmem::Picture;
use ntmem::report::{self, COLUMNS, ListOptions, Lists};
use std::path::Path;

/// The processes, a line each
#[derive(Debug, clap::Args)]
#[command(after_help = columns())]
pub struct Args {
    #[command(flatten)]
    images: Images,
    /// Columns to show, in this order: of text, csv and html
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = names(&[""]), ignore_case = true,
          hide_possible_values = true)]
    columns: Vec<String>,
    /// Column to sort by instead of the kernel's order; -NAME the other way round
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, value_parser = names(&["", "-"]), ignore_case = true,
          hide_possible_values = true)]
    sort: Option<String>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    common: Common,
}

/// Names of columns, each behind these signs, which a shell completes.
fn names(before: &[&str]) -> PossibleValuesParser {
    let names = COLUMNS.iter().map(report::ProcessColumn::name);
    PossibleValuesParser::new(names.flat_map(|name| before.iter().map(move |sign| format!("{sign}{name}"))))
}

/// Names of columns, for the help.
fn columns() -> String {
    let names: Vec<&str> = COLUMNS.iter().map(report::ProcessColumn::name).collect();
    format!(
        "Columns: {}.\nA command line in brackets is the kernel's path: the command line itself is not known.",
        names.join(", ")
    )
}

impl Run for Args {
    fn files(&self) -> Vec<&Path> {
        self.images.paths()
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }

    fn run(&self) -> anyhow::Result<u8> {
        let options = ListOptions { columns: self.columns.clone(), sort: self.sort.clone() };
        if !self.columns.is_empty() && matches!(self.common.result.format, Format::Json | Format::Jsonl) {
            let why = "--columns is for text, csv and html: a process in json and jsonl has all its members by name";
            return Err(exit::Usage(why.into()).into());
        }
        options.verify().map_err(|error| exit::Usage(error.to_string()))?;
        images::run(&self.images.images, &self.images.jobs, &self.common, |image, sheet| {
            let mut report = open::read(image, &self.common.source)?;
            let all = self.filter.apply(&mut report);
            let picture = Picture::new(&report.system);
            let rows = |rows: &mut Rows<'_>| rows.each("process", &options.sorted(&report.system));
            let code = if all { 0 } else { exit::NOT_THERE };
            let page = || report::processes(&picture, &options);
            Ok(sheet.answer_list(&report, &picture, Lists::Processes, page, rows)?.with_code(code))
        })
    }
}
