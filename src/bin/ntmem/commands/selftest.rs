//! `ntmem selftest`: layouts held against a crash that Windows wrote.

use crate::args::Run;
use crate::options::Common;
use crate::output::{Output, Progress};
use ntmem::kernel::{FieldResult, SelfTest, TriageDump};
use ntmem::report;
use std::path::{Path, PathBuf};

/// Hold the layouts of a kernel against a triage dump of it (C:\Windows\Minidump): exit 1 if one is contradicted
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The triage dump
    dump: PathBuf,
    #[command(flatten)]
    common: Common,
}

impl Run for Args {
    fn files(&self) -> Vec<&Path> {
        vec![&self.dump]
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }

    fn run(&self) -> anyhow::Result<u8> {
        let Some(dump) = TriageDump::open(&self.dump)? else {
            anyhow::bail!(
                "{} is no kernel triage dump. Windows keeps them in C:\\Windows\\Minidump; other images are read by `ntmem info`",
                self.dump.display()
            );
        };
        let progress = Progress::new("reading layouts");
        let test = SelfTest::run(&dump, &self.common.symbols.store(&self.dump, &progress))?;
        drop(progress);
        let Some(test) = test else {
            anyhow::bail!(
                "there are no layouts for this kernel: give its symbol file with --symbols FILE (only x64 kernels can be tested)"
            );
        };
        let code = u8::from(test.count(FieldResult::Contradicted) > 0);
        Output::new(&self.common)
            .write(&test, &test.checks, |text, palette| report::self_test(text, &test, palette))?;
        Ok(code)
    }
}
