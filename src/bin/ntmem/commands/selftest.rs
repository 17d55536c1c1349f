//! `ntmem selftest`: layouts held against a crash that Windows wrote.

use crate::args::Run;
use crate::images;
use crate::options::{Common, ResultOptions, Symbols, report as made};
use crate::output::{Progress, Rows};
use ntmem::kernel::{FieldResult, SelfTest, TriageDump};
use ntmem::{Picture, report};
use std::path::{Path, PathBuf};

/// Hold the layouts of a kernel against a triage dump of it (C:\Windows\Minidump): exit 1 if one is contradicted
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The triage dump
    dump: PathBuf,
    #[command(flatten)]
    symbols: Symbols,
    #[command(flatten)]
    result: ResultOptions,
}

impl Run for Args {
    fn files(&self) -> Vec<&Path> {
        vec![&self.dump]
    }

    fn common(&self) -> Option<&Common> {
        None
    }

    fn written(&self) -> Option<&Path> {
        self.result.output.as_deref()
    }

    fn run(&self) -> anyhow::Result<u8> {
        let report = made();
        images::one(&self.result, &report, |sheet| {
            let test = self.test()?;
            let rows = |rows: &mut Rows<'_>| rows.each("field", &test.checks);
            let pages = || vec![report::self_test(&test)];
            let answer = sheet.answer_with(&report, &Picture::new(&report.system), &test, pages, rows)?;
            Ok(answer.with_code(u8::from(test.count(FieldResult::Contradicted) > 0)))
        })
    }
}

impl Args {
    fn test(&self) -> anyhow::Result<SelfTest> {
        let Some(dump) = TriageDump::open(&self.dump)? else {
            anyhow::bail!(
                "{} is no kernel triage dump. Windows keeps them in C:\\Windows\\Minidump; other images are read by `ntmem info`",
                self.dump.display()
            );
        };
        let progress = Progress::new("reading layouts");
        let test = SelfTest::run(&dump, &self.symbols.store(&self.dump, &progress))?;
        drop(progress);
        test.ok_or_else(|| {
            anyhow::anyhow!(
                "there are no layouts for this kernel: give its symbol file with --symbols FILE (only x64 kernels can be tested)"
            )
        })
    }
}
