//! `ntmem pstree`: the processes under their parents.

use crate::args::Run;
use crate::options::{Common, Images};
use crate::output::Rows;
use crate::{images, open};
use ntmem::Picture;
use ntmem::report::{self, Lists};
use std::path::Path;

/// The processes as a tree
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    images: Images,
    #[command(flatten)]
    common: Common,
}

impl Run for Args {
    fn files(&self) -> Vec<&Path> {
        self.images.paths()
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }

    fn run(&self) -> anyhow::Result<u8> {
        images::run(&self.images.images, &self.images.jobs, &self.common, |image, sheet| {
            let report = open::read(image, &self.common.source)?;
            let picture = Picture::new(&report.system);
            let rows = |rows: &mut Rows<'_>| rows.each("process", &report::tree_rows(&picture));
            sheet.answer_list(&report, &picture, Lists::Processes, || report::process_tree(&picture), rows)
        })
    }
}
