//! `ntmem registry`: one key.

use crate::args::Run;
use crate::options::{Common, Format};
use crate::output::Rows;
use crate::{exit, images, open};
use ntmem::{Picture, Warning, report};
use std::path::{Path, PathBuf};

const AFTER: &str = "KEY may start with HKLM\\, HKU\\, \\REGISTRY\\MACHINE\\ or the hive's name (SYSTEM\\Setup); upper and \
                     lower case are one. CurrentControlSet is the set that Select\\Current names.";

/// A key with its subkeys and values, from the hives in memory
#[derive(Debug, clap::Args)]
#[command(mut_arg("format", Format::without_csv))]
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
        images::run_one(&self.image, &self.common, |image, sheet| {
            open::with_registry(image, &self.common.source, |registry, mut report| {
                let found = match registry.key(&self.key) {
                    // HKLM and HKU are no keys of a hive: hives hang below them.
                    Err(_) if !registry.mounts_below(&self.key).is_empty() => None,
                    found => found.map_err(|absent| {
                        let hint = report::key_hint(&self.key, registry);
                        anyhow::anyhow!("cannot tell whether {} is there: {absent}. {hint}", self.key)
                    })?,
                };
                let page = match found {
                    Some(found) => {
                        let record = found.record(self.depth);
                        let page = report::key(&record);
                        report.registry = Some(record);
                        page
                    }
                    None => {
                        let hint = report::key_hint(&self.key, registry);
                        let warning = format!("there is no key {}. {hint}", self.key);
                        report.system.warnings.push(Warning::new("registry", warning));
                        report::no_key(&self.key, &hint)
                    }
                };
                report.system.warnings.extend(registry.read_from_files());
                let rows = |rows: &mut Rows<'_>| {
                    if let Some(key) = &report.registry {
                        rows.add("key", key);
                    }
                };
                let code = if report.registry.is_some() { 0 } else { exit::NOT_THERE };
                Ok(sheet.answer(&report, &Picture::new(&report.system), || page, rows)?.with_code(code))
            })
        })
    }
}
