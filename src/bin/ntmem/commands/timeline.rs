//! `ntmem timeline`: what happened when.

use crate::args::Run;
use crate::options::{Common, Images};
use crate::output::{Rows, Told};
use crate::{images, open};
use ntmem::checks::{BASELINES, check_in};
use ntmem::registry::{HiveList, Registry};
use ntmem::report::{Document, Lists};
use ntmem::{Picture, ReadOptions, report};
use std::path::Path;

/// Everything that bears a time, in order: processes, threads, keys, hives, findings; jsonl and csv for Timesketch
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
        // What reads timelines wants events alone.
        let (images, jobs) = (&self.images.images, self.images.jobs.number());
        images::run_as(images, jobs, &self.common, Told::Events, |image, sheet| {
            let mut hives = HiveList::default();
            let mut report = open::read_with(image, &self.common.source, ReadOptions::default(), |kernel, _| {
                hives = Registry::open(kernel).hive_list();
                Ok(())
            })?;
            let picture = Picture::new(&report.system);
            report.checks = check_in(&picture, BASELINES);
            report.timeline = Some(report::events(&report, &picture, &hives));
            let events = report.timeline.as_deref().unwrap_or_default();
            let rows = |rows: &mut Rows<'_>| rows.each("event", events);
            let document = Document::new(&report, &picture).with(Lists::Machine);
            sheet.answer_with(&report, &picture, &document, || vec![report::timeline(events).with_hash(&report)], rows)
        })
    }
}
