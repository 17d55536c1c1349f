//! `ntmem hives`: the hives in memory, or one of them as a file.

use crate::args::Run;
use crate::exit::{NotThere, Usage};
use crate::options::Common;
use crate::output::Rows;
use crate::{images, open, output};
use anyhow::Context as _;
use ntmem::registry::Registry;
use ntmem::{Picture, report};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The hives in memory; with --extract, one of them as a file that hive tools open
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The memory image
    image: PathBuf,
    /// Write this hive (its root, or the end of it: SYSTEM) to the file that --output names, which must not exist, or to standard output (-)
    #[arg(long, value_name = "HIVE", requires = "output")]
    extract: Option<String>,
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
        if let Some(name) = &self.extract {
            return open::with_registry(&self.image, &self.common.source, |registry, report| {
                output::warnings(&report.system.warnings);
                self.extract(name, registry)
            });
        }
        images::run_one(&self.image, &self.common, |image, sheet| {
            open::with_registry(image, &self.common.source, |registry, mut report| {
                let list = registry.hive_list();
                report.hives = Some(list.clone());
                let rows = |rows: &mut Rows<'_>| rows.each("hive", &list.items);
                sheet.answer(&report, &Picture::new(&report.system), || report::hives(&list), rows)
            })
        })
    }
}

impl Args {
    fn extract(&self, name: &str, registry: &Registry<'_>) -> anyhow::Result<u8> {
        let ends = |root: &str| root.to_lowercase().ends_with(&name.to_lowercase());
        let hive = registry.hives().iter().find(|hive| hive.mount().is_some_and(ends));
        let hive =
            hive.ok_or_else(|| NotThere(format!("no hive is mounted at {name}; `ntmem hives IMAGE` lists them")))?;
        let path = self.written().ok_or_else(|| Usage("--extract needs --output FILE".into()))?;
        let to_stream = path.as_os_str() == "-";
        let name = if to_stream { "standard output".to_owned() } else { path.display().to_string() };
        let cannot = || format!("cannot write {name}");
        let mut to: Box<dyn Write> = if to_stream {
            Box::new(std::io::stdout().lock())
        } else {
            Box::new(std::fs::File::create_new(path).with_context(cannot)?)
        };
        let written = hive.write_file(&mut *to)?;
        to.flush().with_context(cannot)?;
        let how = match written.unreadable_blocks {
            0 => format!("all {} blocks were read", written.blocks),
            lost => format!("{lost} of {} blocks could not be read and are zero", written.blocks),
        };
        output::note("written", &format!("{name}: {} bytes, {how}", written.bytes));
        Ok(0)
    }
}
