//! `ntmem read`: bytes, and where each page of them came from.

use crate::answer::{Answer, Sheet};
use crate::args::Run;
use crate::exit::{self, Usage};
use crate::options::{Common, Format, address};
use crate::output::{Progress, Rows};
use crate::{chosen, images, open};
use anyhow::Context as _;
use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command};
use ntmem::kernel::{Eprocess, Kernel, known_structures};
use ntmem::memory::AddressSpace;
use ntmem::registry::Registry;
use ntmem::report::{self, Report, Which};
use ntmem::{MemoryRead, PhysicalAddress, Picture, ReadOptions, System, VirtualAddress};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Bytes at an address, and for each page where they came from or why they are missing
#[derive(Debug, clap::Args)]
#[command(mut_arg("format", Format::without_csv), after_help = structures())]
pub struct Args {
    /// The address, hexadecimal
    #[arg(value_parser = address)]
    address: u64,
    /// The memory image
    image: PathBuf,
    /// In the address space of this process, by pid, address of its _EPROCESS, or name; the kernel's unless told
    #[arg(long, value_name = "PID|0xEPROCESS|NAME", conflicts_with = "physical")]
    pid: Option<String>,
    /// The address is one of physical memory
    #[arg(long)]
    physical: bool,
    /// How many bytes, at most 16 MiB
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    bytes: u64,
    /// As hex, text (UTF-8), unicode (UTF-16), or the fields of a structure by its name: _EPROCESS, _UNICODE_STRING
    #[arg(long = "as", value_name = "FORM", default_value = "hex", value_parser = FormParser, hide_possible_values = true)]
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

/// Takes any structure's name, and completes those that are known without a symbol file.
#[derive(Clone)]
struct FormParser;

impl TypedValueParser for FormParser {
    type Value = Form;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Form, clap::Error> {
        form.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let names = ["hex", "text", "unicode"].into_iter().chain(known_structures());
        Some(Box::new(names.map(PossibleValue::new)))
    }
}

/// Names of structures, for the help.
fn structures() -> String {
    let names: Vec<&str> = known_structures().into_iter().collect();
    format!(
        "Structures that take no symbol file, with the fields that are known: {}.\nWith the kernel's own PDB (--symbols), every structure \
         that it describes, whole.",
        names.join(", ")
    )
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
            if self.physical {
                // Physical memory is there whether a kernel is found in it or not.
                let opened = open::image(image, &self.common.source)?;
                let read = self.in_form(MemoryRead::of_memory(&opened, PhysicalAddress(self.address), self.bytes))?;
                let mut system = System::default();
                system.image = Some(opened.info());
                system.warnings = opened.damage().into_iter().chain(opened.warnings().iter().cloned()).collect();
                let answer = self.answer(image, sheet, read, system)?;
                open::came(&opened)?;
                return Ok(answer);
            }
            open::with_kernel(image, &self.common.source, |kernel| {
                let read = self.read(kernel)?;
                let mut system = System::without_processes(kernel, &Registry::open(kernel));
                let said = kernel.warnings().iter().cloned().chain(kernel.unchecked_page_files());
                system.warnings = kernel.image().damage().into_iter().chain(said).collect();
                self.answer(image, sheet, read, system)
            })
        })
    }
}

impl Args {
    fn answer(&self, image: &Path, sheet: &Sheet<'_>, read: MemoryRead, system: System) -> anyhow::Result<Answer> {
        let mut report = open::about(image, &self.common.source, system)?;
        report.read = Some(read.clone());
        let rows = |rows: &mut Rows<'_>| rows.each("page", &read.pages);
        // Not one byte of what was asked for is in the image.
        let there = read.pages.iter().any(|page| page.from.is_some());
        let code = if there { 0 } else { exit::NOT_THERE };
        Ok(sheet.answer(&report, &Picture::new(&report.system), || report::memory(&read), rows)?.with_code(code))
    }

    fn in_form(&self, read: MemoryRead) -> anyhow::Result<MemoryRead> {
        match &self.form {
            Form::Hex => Ok(read),
            Form::Text => Ok(read.with_text(false)),
            Form::Unicode => Ok(read.with_text(true)),
            Form::Structure(_) => {
                Err(Usage("a structure may lie in several pages: name its virtual address".into()).into())
            }
        }
    }

    fn read(&self, kernel: &Kernel<'_>) -> anyhow::Result<MemoryRead> {
        let space = self.space(kernel)?;
        let Form::Structure(name) = &self.form else {
            return self.in_form(MemoryRead::of_space(space, VirtualAddress(self.address), self.bytes));
        };
        // The names of structures that are asked for live as long as the program.
        let name: &'static str = name.clone().leak();
        let store = self.common.source.symbols.store(&self.image, &Progress::new("looking for symbols"));
        let symbols = kernel.structure_symbols(name, &store).with_context(|| {
            let source = kernel.symbols().source.name();
            format!(
                "the symbols in use ({source}) do not describe {name}. Give the kernel's PDB with --symbols (`ntmem symbols IMAGE` says which \
                 and where to fetch it); `ntmem read --help` lists the structures that take none"
            )
        })?;
        Ok(MemoryRead::of_structure(space, VirtualAddress(self.address), &symbols, name)?)
    }

    fn space<'k>(&self, kernel: &'k Kernel<'k>) -> anyhow::Result<AddressSpace<'k>> {
        let Some(which) = self.pid.as_deref().map(Which::parse) else { return Ok(kernel.space()) };
        let listed = match which {
            Which::Pid(pid) => kernel.process_of(pid)?,
            _ => None,
        };
        let process = match listed {
            Some(process) => process,
            // Who is in no list is found as `show` finds him.
            None => self.looked_for(kernel, &which)?,
        };
        Ok(process.space()?)
    }

    fn looked_for<'k>(&self, kernel: &'k Kernel<'k>, which: &Which) -> anyhow::Result<Eprocess<'k>> {
        let progress = Progress::new("searching for processes");
        let show = |done, total| progress.at(done, total);
        let scan = self.common.source.reading.scan;
        let options = ReadOptions { scan, progress: Some(&show), ..ReadOptions::default() };
        let report = Report::new(System::read_with(kernel, &options)?);
        let process = report.system.processes.items.get(chosen::position(which, &report, scan)?);
        let address = process.and_then(|process| process.eprocess.value().copied());
        Ok(Eprocess::read(kernel, address.context("the address of the process is not known")?))
    }
}
