//! `ntmem info`: what the image is.

use crate::args::Run;
use crate::options::{Common, Format, Images};
use crate::output::{Progress, Rows};
use crate::{images, open};
use ntmem::kernel::{Kernel, SelfTest, TriageDump};
use ntmem::report::{self, CrashDocument, Document, Lists, MachineRow, Report};
use ntmem::{Picture, ReadOptions};
use std::path::Path;

/// What the image is: format, kernel, build, symbols, clocks
#[derive(Debug, clap::Args)]
#[command(mut_arg("format", Format::without_csv))]
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
            // A triage dump holds no memory of the machine, and says much of its crash all the same.
            if let Some(dump) = TriageDump::open(image)? {
                let store = self.common.source.symbols.store(image, &Progress::new("reading layouts"));
                let objects = SelfTest::run(&dump, &store).ok().flatten().map(|test| test.objects);
                let (report, facts) = (self.common.source.report(), CrashDocument::new(&dump, objects));
                let rows = |rows: &mut Rows<'_>| rows.add("crash", &facts.crash);
                let pages = || vec![report::crash(&facts.crash)];
                return sheet.answer_with(&report, &Picture::new(&report.system), &facts, pages, rows);
            }
            let ask = |kernel: &Kernel<'_>, report: &mut Report| {
                let Some(known) = &mut report.system.kernel else { return Ok(()) };
                match kernel.find_page_files() {
                    Ok(files) => known.page_files = files,
                    Err(why) => drop(known.absent.insert("page_files".to_owned(), why)),
                }
                Ok(())
            };
            let report = open::read_with(image, &self.common.source, ReadOptions::default(), ask)?;
            let picture = Picture::new(&report.system);
            let document = Document::new(&report, &picture).with(Lists::Machine);
            let rows = |rows: &mut Rows<'_>| rows.add("machine", &MachineRow::new(&picture));
            sheet.answer_with(&report, &picture, &document, || vec![report::info(&picture).with_hash(&report)], rows)
        })
    }
}
