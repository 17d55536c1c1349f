//! `ntmem explain`: what a rule means.

use crate::args::Run;
use crate::options::{Common, Format, ResultOptions};
use crate::output::{Output, Rows, Style};
use clap::builder::PossibleValuesParser;
use ntmem::checks::{Rule, rules};
use ntmem::report;
use serde::Serialize;
use std::path::Path;

/// What a rule of `check` means: what is compared, why, what explains a deviation away, where the fact comes from
#[derive(Debug, clap::Args)]
#[command(after_help = "Without an id: all rules, a line each.")]
pub struct Args {
    /// The rule, as an outcome names it: SMSS-021
    #[arg(value_parser = ids(), ignore_case = true, hide_possible_values = true)]
    id: Option<String>,
    #[command(flatten)]
    result: ResultOptions,
}

/// Ids of all rules, which a shell completes.
fn ids() -> PossibleValuesParser {
    PossibleValuesParser::new(rules().map(|rule| rule.id))
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
            (Some(_), [rule, ..]) => report::rule(rule),
            (_, all) => report::rules(all),
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
