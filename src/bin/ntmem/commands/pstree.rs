//! `ntmem pstree`: the processes under their parents.

use crate::args::Run;
use crate::open;
use crate::options::Common;
use crate::output::Output;
use ntmem::Picture;
use ntmem::report::{self, Document, Report};
use std::path::{Path, PathBuf};

/// The processes as a tree
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
        let (document, lines) = (Document::new(&report, &picture), &report.system.processes.items);
        let out = Output::new(&self.common);
        out.write(&document, lines, |text, palette| report::process_tree(text, &picture, palette))
    }
}
