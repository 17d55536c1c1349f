//! `ntmem explain`: what a rule means.

use crate::args::Run;
use crate::exit::Usage;
use crate::options::{Common, Format, ResultOptions};
use crate::output::{Output, Rows, Style};
use ntmem::checks::{Rule, rules};
use ntmem::report;
use serde::Serialize;
use std::path::Path;

/// What a rule of `check` means: what is compared, why, what explains a deviation away, where the fact comes from
#[derive(Debug, clap::Args)]
#[command(after_help = "Without an id: all rules, a line each.")]
pub struct Args {
    /// The rule, as an outcome names it: SMSS-021
    id: Option<String>,
    #[command(flatten)]
    result: ResultOptions,
}

/// The document: the rules that were asked for.
#[derive(Serialize)]
struct Document<'r> {
    schema: u32,
    generator: String,
    rules: &'r [&'static Rule],
}

impl Run for Args {
    fn files(&self) -> Vec<&Path> {
        Vec::new()
    }

    fn common(&self) -> Option<&Common> {
        None
    }

    fn written(&self) -> Option<&Path> {
        self.result.output.as_deref()
    }

    fn run(&self) -> anyhow::Result<u8> {
        let wanted = |rule: &&Rule| self.id.as_ref().is_none_or(|id| rule.id.eq_ignore_ascii_case(id));
        let found: Vec<&'static Rule> = rules().filter(|rule| wanted(rule)).collect();
        let page = match (&self.id, found.as_slice()) {
            (Some(id), []) => return Err(Usage(format!("there is no rule {id}; `ntmem explain` lists all")).into()),
            (Some(_), [rule, ..]) => report::rule(rule),
            (None, all) => report::rules(all),
        };
        let style = Style::new(&self.result, false)?;
        let mut bytes = Vec::new();
        match style.format {
            Format::Json => {
                let (schema, generator) = (report::SCHEMA, report::generator());
                style.document(&mut bytes, true, &Document { schema, generator, rules: &found })?;
            }
            Format::Jsonl => Rows::new(&mut bytes, None, None).each("rule", &found),
            Format::Text | Format::Csv | Format::Html => {
                let piece = style.pages("rules", None, true, &[page])?;
                bytes = [piece.head, piece.bytes].concat();
            }
        }
        Output::new(&self.result)?.write(&bytes)?;
        Ok(0)
    }
}
