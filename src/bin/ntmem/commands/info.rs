//! `ntmem info`: what the image is.

use crate::args::Run;
use crate::open;
use crate::options::Common;
use crate::output::Output;
use ntmem::Picture;
use ntmem::kernel::TriageDump;
use ntmem::report::{self, CrashDocument, Document, Report};
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

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }

    fn run(&self) -> anyhow::Result<u8> {
        // A triage dump holds no memory of the machine, and says much of its crash all the same.
        if let Some(dump) = TriageDump::open(&self.image)? {
            let facts = CrashDocument::new(&dump);
            let out = Output::new(&self.common);
            return out.write(&facts, &[&facts], |text, palette| report::crash(text, &facts.crash, palette));
        }
        let report = Report::new(open::read(&self.image, &self.common)?);
        let picture = Picture::new(&report.system);
        let document = Document::new(&report, &picture).without_lists();
        let out = Output::new(&self.common);
        out.write(&document, &[&document], |text, palette| report::info(text, &picture, palette))
    }
}
