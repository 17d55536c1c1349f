//! `ntmem read`: bytes, and where each page of them came from.

use crate::args::Run;
use crate::exit::Usage;
use crate::open;
use crate::options::{Common, address};
use crate::output::{self, Output};
use ntmem::kernel::Kernel;
use ntmem::{MemoryRead, PhysicalAddress, Report, System, VirtualAddress, report};
use std::path::{Path, PathBuf};

/// Bytes at an address, and for each page where they came from or why they are missing
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The address, hexadecimal
    #[arg(value_parser = address)]
    address: u64,
    /// The memory image
    image: PathBuf,
    /// In the address space of this process; the kernel's unless told
    #[arg(long, value_name = "N", conflicts_with = "physical")]
    pid: Option<u64>,
    /// The address is one of physical memory
    #[arg(long)]
    physical: bool,
    /// How many bytes, at most 16 MiB
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    bytes: u64,
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
        open::with_kernel(&self.image, &self.common, |kernel| {
            let read = self.read(kernel)?;
            let mut system = System::default();
            (system.image, system.kernel) = (Some(kernel.image().info()), Some(kernel.info()));
            system.warnings = kernel.warnings().to_vec();
            output::warnings(&system.warnings);
            let mut report = Report::new(system);
            let lines = read.pages.clone();
            report.read = Some(read);
            Output::new(&self.common).write(&report, &lines, |text, palette| match &report.read {
                Some(read) => report::memory(text, read, palette),
                None => Ok(()),
            })
        })
    }
}

impl Args {
    fn read(&self, kernel: &Kernel<'_>) -> anyhow::Result<MemoryRead> {
        if self.physical {
            return Ok(MemoryRead::of_memory(kernel.image(), PhysicalAddress(self.address), self.bytes));
        }
        let space = match self.pid {
            None => kernel.space(),
            Some(pid) => {
                let none =
                    || Usage(format!("no process on the active list has pid {pid}; `ntmem pslist IMAGE` lists them"));
                kernel.process_of(pid)?.ok_or_else(none)?.space()?
            }
        };
        Ok(MemoryRead::of_space(space, VirtualAddress(self.address), self.bytes))
    }
}
