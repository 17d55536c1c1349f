//! `ntmem info`: what the image is.

use crate::args::Run;
use crate::open;
use crate::options::Common;
use crate::output::Output;
use ntmem::report::{self, Report};
use std::path::{Path, PathBuf};

/// What the image is: format, kernel, build, symbols, clocks
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The memory image
    image: PathBuf,
    #[command(flatten)]
    common: Common,
}

impl Run for Args {
    fn files(&self) -> Vec<&Path> {
        vec![&self.image]
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(&self) -> anyhow::Result<u8> {
        let mut report = Report::new(open::read(&self.image, &self.common)?);
        let system = report.system.clone();
        // The whole report but for what `pslist` shows.
        report.system.processes.items.clear();
        report.system.cross_view.clear();
        let out = Output::new(&self.common);
        out.write(&report, &[&report], |text, palette| report::info(text, &system, palette))
    }
}
