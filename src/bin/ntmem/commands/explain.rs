//! `ntmem explain`: what a rule means.

use crate::args::Run;
use crate::exit::Usage;
use crate::options::{Common, ResultOptions};
use crate::output::Output;
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
        if let (Some(id), []) = (&self.id, found.as_slice()) {
            return Err(Usage(format!("there is no rule {id}; `ntmem explain` lists all")).into());
        }
        let generator = format!("ntmem {}", env!("CARGO_PKG_VERSION"));
        let document = Document { schema: report::SCHEMA, generator, rules: &found };
        Output::of(&self.result).write(&document, &found, |text, palette| match self.id {
            Some(_) => found.iter().try_for_each(|rule| report::rule(text, rule, palette)),
            None => report::rules(text, &found),
        })
    }
}
