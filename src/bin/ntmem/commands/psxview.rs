//! `ntmem psxview`: which of the kernel's lists hold each process.

use crate::args::Run;
use crate::open;
use crate::options::Common;
use crate::output::Output;
use ntmem::Picture;
use ntmem::report::{self, Document, Report};
use std::path::{Path, PathBuf};

/// The cross view: which of the kernel's lists hold each process, and what explains it
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

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }

    fn run(&self) -> anyhow::Result<u8> {
        let report = Report::new(open::read(&self.image, &self.common)?);
        let picture = Picture::new(&report.system);
        let (document, lines) = (Document::new(&report, &picture), picture.cross_view());
        let out = Output::new(&self.common);
        out.write(&document, lines, |text, palette| report::cross_view(text, &picture, palette))
    }
}
