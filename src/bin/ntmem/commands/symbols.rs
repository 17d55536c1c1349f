//! `ntmem symbols`: what symbols images need, whether they are here, and where to fetch them.

use crate::args::Run;
use crate::options::{Common, Format, Source};
use crate::output::{self, Progress, Rows};
use crate::{exit, images, open};
use anyhow::Context as _;
use clap::Subcommand;
use ntmem::kernel::Layouts;
use ntmem::report;
use ntmem::symbols::{Manifest, PackWriter, Packed, SymbolError};
use ntmem::{Error, PdbInfo, Picture, System};
use std::path::{Path, PathBuf};

/// The symbols that images need, and where to get them; or a pack of those that are here
#[derive(Debug, clap::Args)]
#[command(mut_arg("format", Format::without_csv))]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    pack: Option<SymbolsCommand>,
    /// The memory images: files, folders of images, @FILE for a list of them, - for a list on standard input (one named `pack` is
    /// `./pack`)
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum SymbolsCommand {
    /// Turn folders of PDBs and Volatility 3 symbol files into one small file, for a machine that has none of them
    Pack(Pack),
}

#[derive(Debug, clap::Args)]
struct Pack {
    /// Folders, looked into all the way down, and files
    #[arg(value_name = "DIR", required = true)]
    places: Vec<PathBuf>,
    /// The file to write; give it with --symbols
    #[arg(long, short, value_name = "FILE", default_value = "kernels.ntpack")]
    output: PathBuf,
}

impl Run for Args {
    fn files(&self) -> Vec<&Path> {
        match &self.pack {
            // What is in folders is told to be symbols by its content.
            Some(SymbolsCommand::Pack(of)) => {
                of.places.iter().filter(|place| place.is_file()).map(PathBuf::as_path).collect()
            }
            None => self.images.iter().map(PathBuf::as_path).collect(),
        }
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }

    fn written(&self) -> Option<&Path> {
        match &self.pack {
            Some(SymbolsCommand::Pack(of)) => Some(&of.output),
            None => self.common.result.output.as_deref(),
        }
    }

    fn may_replace(&self, written: &Path) -> bool {
        let named = || self.files().contains(&written);
        self.pack.is_some() && ntmem::symbols::Pack::open(written).is_ok() && !named()
    }

    fn run(&self) -> anyhow::Result<u8> {
        match &self.pack {
            Some(SymbolsCommand::Pack(of)) => pack(of),
            None => needed(self),
        }
    }
}

/// That symbols are not here is no failure of this command; an image that cannot be analysed is, and the rest goes on.
fn needed(of: &Args) -> anyhow::Result<u8> {
    let mut manifest = Manifest::default();
    let mut machine = System::default();
    let expanded = images::Expanded::told(&of.images)?;
    let images = &expanded.images;
    for image in images {
        let name = open::name(image);
        match expanded.verify(image).and_then(|()| add(&mut manifest, &name, image, &of.common.source)) {
            Ok(system) => machine = system,
            Err(error) => {
                let reason = format!("{error:#}");
                output::error(&if images.len() > 1 { format!("{name}: {reason}") } else { reason.clone() });
                manifest.add_failed(&name, &reason);
            }
        }
    }
    if manifest.needed.is_empty() {
        return Ok(exit::FAILED);
    }
    // One image is described as by every command; of several there is nothing that is true of all.
    let mut report = of.common.source.report();
    if images.len() == 1 {
        report.system = machine;
    }
    report.symbols = Some(manifest.clone());
    let code = if manifest.failed.is_empty() { 0 } else { exit::FAILED };
    images::one(&of.common.result, &of.common.source.report(), |sheet| {
        let rows = |rows: &mut Rows<'_>| {
            rows.each("symbols", &manifest.needed);
            manifest.failed.iter().for_each(|failed| rows.failed(&failed.image, &failed.reason));
        };
        Ok(sheet.answer(&report, &Picture::new(&report.system), || report::symbols(&manifest), rows)?.with_code(code))
    })
}

/// Adds what one image needs.
fn add(manifest: &mut Manifest, name: &str, image: &Path, source: &Source) -> anyhow::Result<System> {
    let progress = Progress::new("looking for the kernel");
    let show = |done, total| progress.at(done, total);
    let store = source.symbols.store(image, &progress);
    let opened = crate::open::image(image, source)?;
    let mut system = System::default();
    system.image = Some(opened.info());
    let kernel = match opened.find_kernel(&store, &source.reading.locate(&show)) {
        Ok(kernel) => kernel,
        // The headers are gone, so that symbols are needed to go on; which, the error says.
        Err(Error::Symbols(error)) => {
            drop(progress);
            let (SymbolError::Missing { needed, .. } | SymbolError::WrongId { needed, .. }) = &error else {
                return Err(error.into());
            };
            manifest.add(name, needed, Err(&error));
            return Ok(system);
        }
        Err(error) => {
            drop(progress);
            output::warnings(opened.warnings());
            return Err(error.into());
        }
    };
    let mut info = kernel.info();
    let Some(pdb) = kernel.pdb() else {
        anyhow::bail!(
            "the kernel at {} names no PDB: its CodeView record is not there. Give its symbol file from elsewhere with --symbols FILE",
            kernel.base()
        );
    };
    let found = store.find(pdb, &Layouts::wanted());
    drop(progress);
    if let Ok(symbols) = &found {
        info.symbols = Some(symbols.source.name().to_owned());
        info.symbols_file = symbols.file.as_ref().map(|file| file.display().to_string());
    }
    if found.is_err() {
        // Which layouts every other command would use.
        info.symbols = opened.locate_kernel_with(&store, &source.reading.locate(&|_, _| ())).ok().map(|kernel| {
            let source = kernel.symbols().source.name().to_owned();
            manifest.add_instead(pdb, &source);
            source
        });
    }
    manifest.add(name, pdb, found.as_ref());
    system.kernel = Some(info);
    Ok(system)
}

/// Everything in some folders into one file.
fn pack(of: &Pack) -> anyhow::Result<u8> {
    let mut pack = PackWriter::new(Layouts::wanted());
    let (mut others, mut failed) = (0usize, 0usize);
    for place in &of.places {
        pack.add_folder(place, |file, packed| match packed {
            Packed::Added(kernel) => {
                let PdbInfo { name, guid, age } = kernel.pdb.unwrap_or_default();
                output::note("added", &format!("{name} {guid} age {age} ({}) from {}", kernel.arch, file.display()));
            }
            Packed::Known(_) => {}
            Packed::NoKernel => others = others.saturating_add(1),
            Packed::Failed(error) => {
                failed = failed.saturating_add(1);
                output::warning(&error.to_string());
            }
        })?;
    }
    if pack.is_empty() {
        anyhow::bail!(
            "no kernel's symbols are in there ({others} symbol files of other modules, {failed} that cannot be read): nothing \
             is written"
        );
    }
    let bytes = pack.finish()?;
    std::fs::write(&of.output, &bytes).with_context(|| format!("cannot write {}", of.output.display()))?;
    let sum = format!("{}: {} bytes, kernels: {}", of.output.display(), bytes.len(), pack.len());
    output::note("written", &sum);
    Ok(0)
}
