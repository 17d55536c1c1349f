//! `ntmem registry`: one key.

use crate::args::Run;
use crate::open;
use crate::options::Common;
use crate::output::{self, Output};
use ntmem::{Warning, report};
use std::path::{Path, PathBuf};

const AFTER: &str = "KEY may start with HKLM\\, HKU\\, \\REGISTRY\\MACHINE\\ or the hive's name (SYSTEM\\Setup); upper and \
                     lower case are one. CurrentControlSet is the set that Select\\Current names.";

/// A key with its subkeys and values, from the hives in memory
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// The key's path
    key: String,
    /// The memory image
    image: PathBuf,
    /// How many levels of subkeys to show with their values (JSON)
    #[arg(long, default_value_t = 1)]
    depth: u32,
    #[command(flatten)]
    common: Common,
}

impl Run for Args {
    fn files(&self) -> Vec<&Path> {
        vec![&self.image]
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }

    fn run(&self) -> anyhow::Result<u8> {
        open::with_registry(&self.image, &self.common, |registry, mut report| {
            let found = registry
                .key(&self.key)
                .map_err(|absent| anyhow::anyhow!("cannot tell whether {} is there: {absent}", self.key))?;
            report.registry = found.map(|key| key.record(self.depth));
            if report.registry.is_none() {
                let warning = Warning::new("registry", format!("there is no key {}", self.key));
                output::warnings(std::slice::from_ref(&warning));
                report.system.warnings.push(warning);
            }
            let out = Output::new(&self.common);
            out.write(&report, &[&report.registry], |text, palette| match &report.registry {
                Some(key) => report::key(text, key, palette),
                None => Ok(()),
            })
        })
    }
}
