//! `ntmem sessions`: the sessions.

use crate::args::Run;
use crate::open;
use crate::options::Common;
use crate::output::Output;
use ntmem::report::{self, Report};
use std::path::{Path, PathBuf};

/// The sessions: who built each, and what runs there
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
        let report = Report::new(open::read(&self.image, &self.common)?);
        let lines = &report.system.sessions;
        let out = Output::new(&self.common);
        out.write(&report, lines, |text, palette| report::sessions(text, &report.system, palette))
    }
}
