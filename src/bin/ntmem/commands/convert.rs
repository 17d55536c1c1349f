//! `ntmem convert`: the image in another container.

use crate::args::Run;
use crate::exit::Usage;
use crate::open;
use crate::options::{Common, Source};
use crate::output::{self, Progress};
use anyhow::Context as _;
use clap::ValueEnum;
use ntmem::image::write::{Container, DumpFacts, write};
use ntmem::kernel::Kernel;
use ntmem::{MemoryImage, PhysicalAddress, VirtualAddress};
use std::io::{self, Read as _, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The image in another container: raw, LiME, or a crash dump
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A raw file is sparse: what is no memory, or is not in the image, is a hole of it, which other tools read as zeros. Keep LiME or a crash dump where that must not be mistaken for memory."
)]
pub struct Args {
    /// The memory image
    image: PathBuf,
    /// The file to write, which must not exist; - for standard output, in which holes are zeros
    out: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t)]
    to: To,
    #[command(flatten)]
    source: Source,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum To {
    /// Byte n of the file is byte n of memory
    #[default]
    Raw,
    /// Ranges, each with its address
    Lime,
    /// What WinDbg opens; the kernel must be found
    #[value(name = "crash_dump", alias = "crash-dump")]
    CrashDump,
}

impl Run for Args {
    fn files(&self) -> Vec<&Path> {
        vec![&self.image]
    }

    fn common(&self) -> Option<&Common> {
        None
    }

    /// It never writes over a file that is there.
    fn written(&self) -> Option<&Path> {
        None
    }

    fn run(&self) -> anyhow::Result<u8> {
        let to_stream = self.out.as_os_str() == "-";
        if to_stream && self.to == To::CrashDump {
            let why = "the head of a crash dump is written last: name a file, or write raw or LiME to standard output";
            return Err(Usage(why.into()).into());
        }
        if !to_stream && self.out.exists() {
            return Err(
                Usage(format!("{} is there already: name a file that does not exist", self.out.display())).into()
            );
        }
        let image = open::image(&self.image, &self.source)?;
        let looking = Progress::new("looking for the kernel");
        let show = |done, total| looking.at(done, total);
        let store = self.source.symbols.store(&self.image, &looking);
        // Where memory lies in a file that does not say so, the kernel's page tables tell.
        let kernel = image.locate_kernel_with(&store, &self.source.reading.locate(&show));
        drop(looking);
        let (container, facts) = match self.to {
            To::Raw => (Container::Raw, DumpFacts::default()),
            To::Lime => (Container::Lime, DumpFacts::default()),
            To::CrashDump => {
                let kernel =
                    kernel.context("a crash dump names the kernel, which was not found; --to lime needs none")?;
                (Container::CrashDump, facts(&kernel))
            }
        };
        output::warnings(image.warnings());
        let name = if to_stream { "standard output".to_owned() } else { self.out.display().to_string() };
        let cannot = || format!("cannot write {name}");
        let progress = Progress::new("writing");
        let show = |done, total| progress.at(done, total);
        let written = if to_stream {
            let mut out = Forward { to: std::io::stdout().lock(), at: 0 };
            write(&image, &mut out, container, &facts, &show)
        } else {
            let mut file = std::fs::File::create_new(&self.out).with_context(cannot)?;
            write(&image, &mut file, container, &facts, &show)
        };
        let written = written.with_context(cannot)?;
        drop(progress);
        open::came(&image)?;
        let mib = |bytes: u64| bytes >> 20;
        output::note("written", &format!("{name}: {} MiB of memory, runs: {}", mib(written.bytes), written.runs));
        if container == Container::Raw && written.holes > 0 {
            output::note("holes", &format!("{} MiB are no memory, or were not in the image:", mib(written.holes)));
            holes(&image);
        }
        if written.unreadable > 0 {
            output::warning(&format!(
                "{} bytes could not be read, though the image should hold them: {}",
                written.unreadable,
                match container {
                    Container::Raw =>
                        "they are a hole of the file, which other tools read as zeros; --to lime leaves them out",
                    Container::Lime | Container::CrashDump => "they are left out of what was written",
                }
            ));
            output::warnings(image.damage().as_slice());
        }
        Ok(0)
    }
}

/// A stream in which what is skipped is zeros: it goes forward alone.
struct Forward<W> {
    to: W,
    at: u64,
}

impl<W: Write> Write for Forward<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.at = self.at.saturating_add(u64::try_from(written).unwrap_or(0));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W: Write> Seek for Forward<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(_) => None,
        };
        let skipped = target.and_then(|target| target.checked_sub(self.at));
        let back = || {
            let why = "what could not be read changes what was written before: name a file, or write raw";
            io::Error::new(io::ErrorKind::Unsupported, why)
        };
        let skipped = skipped.ok_or_else(back)?;
        io::copy(&mut io::repeat(0).take(skipped), self)?;
        Ok(self.at)
    }
}

/// Holes that are listed one by one.
const MAX_HOLES: usize = 64;

fn holes(image: &MemoryImage) {
    let mut end = PhysicalAddress(0);
    let mut count = 0usize;
    for run in image.runs() {
        if run.start > end {
            count = count.saturating_add(1);
            if count <= MAX_HOLES {
                output::note("hole", &format!("{end} to {}", run.start));
            }
        }
        end = run.end();
    }
    if let Some(more) = count.checked_sub(MAX_HOLES).filter(|more| *more > 0) {
        output::note("holes", &format!("and {more} further ones"));
    }
}

fn facts(kernel: &Kernel<'_>) -> DumpFacts {
    let global = |name: &str| kernel.global(name).unwrap_or(VirtualAddress(0));
    let shared = kernel.shared_data();
    DumpFacts {
        dtb: kernel.space().root(),
        build: kernel.info().build.unwrap_or(0),
        processors: shared.map_or(1, |shared| shared.processors),
        loaded_module_list: global("PsLoadedModuleList"),
        active_process_head: global("PsActiveProcessHead"),
        debugger_data_block: global("KdDebuggerDataBlock"),
        pfn_database: kernel
            .global("MmPfnDatabase")
            .ok()
            .and_then(|at| kernel.space().read_pointer(at).ok())
            .unwrap_or(VirtualAddress(0)),
        captured: shared.map(|shared| shared.system_time),
        boot: shared.and_then(ntmem::kernel::SharedData::boot),
    }
}
