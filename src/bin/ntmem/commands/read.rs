//! `ntmem read`: bytes, and where each page of them came from.

use crate::args::Run;
use crate::exit::Usage;
use crate::options::{Common, Format, address};
use crate::output::{Progress, Rows};
use crate::{images, open};
use anyhow::Context as _;
use ntmem::kernel::Kernel;
use ntmem::memory::AddressSpace;
use ntmem::registry::Registry;
use ntmem::{MemoryRead, PhysicalAddress, Picture, System, VirtualAddress, report};
use std::path::{Path, PathBuf};

/// Bytes at an address, and for each page where they came from or why they are missing
#[derive(Debug, clap::Args)]
#[command(mut_arg("format", Format::without_csv))]
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
    /// As hex, text (UTF-8), unicode (UTF-16), or the fields of a structure by its name: _EPROCESS, _UNICODE_STRING
    #[arg(long = "as", value_name = "FORM", default_value = "hex", value_parser = form)]
    form: Form,
    #[command(flatten)]
    common: Common,
}

/// What the bytes are shown as.
#[derive(Clone, Debug)]
enum Form {
    Hex,
    Text,
    Unicode,
    Structure(String),
}

fn form(text: &str) -> Result<Form, String> {
    match text {
        "hex" => Ok(Form::Hex),
        "text" => Ok(Form::Text),
        "unicode" => Ok(Form::Unicode),
        name if name.starts_with('_') => Ok(Form::Structure(name.to_owned())),
        _ => Err("hex, text, unicode, or the name of a structure, which begins with _".to_owned()),
    }
}

impl Run for Args {
    fn files(&self) -> Vec<&Path> {
        vec![&self.image]
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }

    fn run(&self) -> anyhow::Result<u8> {
        images::run_one(&self.image, &self.common, |image, sheet| {
            open::with_kernel(image, &self.common.source, |kernel| {
                let read = self.read(kernel)?;
                let mut system = System::without_processes(kernel, &Registry::open(kernel));
                system.warnings = kernel.warnings().to_vec();
                let mut report = open::about(image, &self.common.source, system)?;
                report.read = Some(read.clone());
                let rows = |rows: &mut Rows<'_>| rows.each("page", &read.pages);
                sheet.answer(&report, &Picture::new(&report.system), || report::memory(&read), rows)
            })
        })
    }
}

impl Args {
    fn read(&self, kernel: &Kernel<'_>) -> anyhow::Result<MemoryRead> {
        Ok(match &self.form {
            Form::Hex => self.bytes(kernel)?,
            Form::Text => self.bytes(kernel)?.with_text(false),
            Form::Unicode => self.bytes(kernel)?.with_text(true),
            Form::Structure(_) if self.physical => {
                return Err(Usage("a structure may lie in several pages: name its virtual address".into()).into());
            }
            Form::Structure(name) => {
                // The names of structures that are asked for live as long as the program.
                let name: &'static str = name.clone().leak();
                let store = self.common.source.symbols.store(&self.image, &Progress::new("looking for symbols"));
                let symbols = kernel.structure_symbols(name, &store).with_context(|| {
                    format!(
                        "the symbols in use ({}) do not describe {name}: give the PDB with --symbols",
                        kernel.symbols().source.name()
                    )
                })?;
                MemoryRead::of_structure(self.space(kernel)?, VirtualAddress(self.address), &symbols, name)?
            }
        })
    }

    fn bytes(&self, kernel: &Kernel<'_>) -> anyhow::Result<MemoryRead> {
        if self.physical {
            return Ok(MemoryRead::of_memory(kernel.image(), PhysicalAddress(self.address), self.bytes));
        }
        Ok(MemoryRead::of_space(self.space(kernel)?, VirtualAddress(self.address), self.bytes))
    }

    fn space<'k>(&self, kernel: &'k Kernel<'k>) -> anyhow::Result<AddressSpace<'k>> {
        let Some(pid) = self.pid else { return Ok(kernel.space()) };
        let none = || Usage(format!("no process on the active list has pid {pid}; `ntmem pslist IMAGE` lists them"));
        Ok(kernel.process_of(pid)?.ok_or_else(none)?.space()?)
    }
}
