//! `ntmem read`: bytes, and where each page of them came from.

use crate::args::Run;
use crate::exit::Usage;
use crate::options::{Common, address};
use crate::output::Rows;
use crate::{images, open};
use ntmem::kernel::Kernel;
use ntmem::{MemoryRead, PhysicalAddress, Picture, VirtualAddress, report};
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
        images::run(std::slice::from_ref(&self.image), &self.common, |image, sheet| {
            open::with_kernel(image, &self.common, |kernel| {
                let read = self.read(kernel)?;
                let mut report = self.common.report();
                let system = &mut report.system;
                (system.image, system.kernel) = (Some(kernel.image().info()), Some(kernel.info()));
                system.warnings = kernel.warnings().to_vec();
                report.run.image = Some(image.display().to_string());
                report.read = Some(read.clone());
                let rows = |rows: &mut Rows<'_>| rows.each("page", &read.pages);
                sheet.answer(&report, &Picture::new(&report.system), || report::memory(&read), rows)
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
