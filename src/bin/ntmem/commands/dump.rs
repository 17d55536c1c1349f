//! `ntmem dump`: bytes of a process as files.

use super::show::{ambiguous, nothing};
use crate::args::Run;
use crate::exit;
use crate::open::{self, hex};
use crate::options::{Common, Source, address};
use crate::output;
use anyhow::Context as _;
use ntmem::kernel::{Eprocess, Kernel, modules};
use ntmem::process::{Dumped, dump, file_name};
use ntmem::report::{Report, Which};
use ntmem::{Process, ReadOptions, VirtualAddress};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Bytes of a process as files: its executable as it is mapped, a module, an address range, or all
///
/// Writes into the folder that --output names, and beside the files manifest.json: for each file its range, what could not be read and is zero in it, and its SHA-256.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Pid, address of the _EPROCESS (0x...), or name
    #[arg(value_name = "PID|0xEPROCESS|NAME")]
    process: String,
    /// The memory image
    image: PathBuf,
    /// The modules whose name has this in it, as the loader lists them
    #[arg(long, value_name = "NAME", group = "what")]
    module: Option<String>,
    /// The address range that this address lies in
    #[arg(long, value_name = "ADDRESS", value_parser = address, group = "what")]
    vad: Option<u64>,
    /// All address ranges
    #[arg(long, group = "what")]
    all: bool,
    /// The folder to write into; what is there already is left alone
    #[arg(long, short, value_name = "DIR", required = true)]
    output: PathBuf,
    #[command(flatten)]
    source: Source,
}

/// A range to write.
struct Range {
    what: &'static str,
    name: String,
    start: VirtualAddress,
    end: VirtualAddress,
}

/// `manifest.json`.
#[derive(Serialize)]
struct Manifest<'a> {
    schema: u32,
    generator: String,
    image: String,
    /// Of the image file, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    image_sha256: Option<&'a str>,
    process: Option<&'a str>,
    pid: Option<u64>,
    eprocess: Option<VirtualAddress>,
    files: Vec<File>,
}

/// One file of it.
#[derive(Serialize)]
struct File {
    file: String,
    what: &'static str,
    name: String,
    start: VirtualAddress,
    end: VirtualAddress,
    #[serde(flatten)]
    dumped: Dumped,
    sha256: String,
}

impl Run for Args {
    fn files(&self) -> Vec<&Path> {
        vec![&self.image]
    }

    fn common(&self) -> Option<&Common> {
        None
    }

    fn written(&self) -> Option<&Path> {
        Some(&self.output)
    }

    fn run(&self) -> anyhow::Result<u8> {
        let which = Which::parse(&self.process);
        let mut code = 0;
        open::read_with(&self.image, &self.source, ReadOptions::default(), |kernel, report| {
            let at = match which.find(&report.system).as_slice() {
                [at] => *at,
                [] => {
                    output::error(&nothing(&which, self.source.reading.scan));
                    code = exit::NOT_THERE;
                    return Ok(());
                }
                several => return Err(ambiguous(&which, several, report).into()),
            };
            report.system.look_into(kernel, at);
            code = self.dump(kernel, report, at, &self.output)?;
            Ok(())
        })?;
        Ok(code)
    }
}

impl Args {
    fn dump(&self, kernel: &Kernel<'_>, report: &Report, at: usize, folder: &Path) -> anyhow::Result<u8> {
        let process = report.system.processes.items.get(at).context("the process is not in the list any more")?;
        let object = process.object(kernel).context("the address of the process is not known")?;
        let space = object.space().map_err(|absent| anyhow::anyhow!("its page tables: {absent}"))?;
        let ranges = self.ranges(&object, process)?;
        if ranges.is_empty() {
            output::error(
                "the process has no such range; `ntmem show PID IMAGE --only modules,vads` lists those there are",
            );
            return Ok(exit::NOT_THERE);
        }
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let mut files = Vec::new();
        for range in ranges {
            let file = file_name(&format!("{}.{}", range.what, range.start), &range.name);
            let path = folder.join(&file);
            let cannot = || format!("cannot write {}", path.display());
            // What lies there already is somebody's.
            let mut to = std::fs::File::create_new(&path).with_context(cannot)?;
            let mut hasher = Sha256::new();
            let dumped = dump(&space, range.start, range.end, |bytes| {
                hasher.update(bytes);
                to.write_all(bytes)
            });
            let dumped = dumped.with_context(cannot)?;
            let how = match dumped.holes.len() {
                0 => "whole".to_owned(),
                1 => format!("{} bytes read, and what could not be read is zero: one hole", dumped.read),
                holes => format!("{} bytes read, and what could not be read is zero: {holes} holes", dumped.read),
            };
            output::note("written", &format!("{}: {} bytes, {how}", path.display(), dumped.bytes));
            let Range { what, name, start, end } = range;
            files.push(File { file, what, name, start, end, dumped, sha256: hex(&hasher.finalize()) });
        }
        let manifest = Manifest {
            schema: ntmem::report::SCHEMA,
            generator: ntmem::report::generator(),
            image: open::name(&self.image),
            image_sha256: report.run.sha256.as_deref(),
            process: process.name.value().map(String::as_str),
            pid: process.pid.value().copied(),
            eprocess: process.eprocess.value().copied(),
            files,
        };
        let path = folder.join("manifest.json");
        let text = serde_json::to_vec_pretty(&manifest)?;
        let mut to = std::fs::File::create_new(&path).with_context(|| format!("cannot write {}", path.display()))?;
        to.write_all(&text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(0)
    }

    /// What to write.
    fn ranges(&self, object: &Eprocess<'_>, process: &Process) -> anyhow::Result<Vec<Range>> {
        if let Some(wanted) = &self.module {
            let modules = modules(object).map_err(|absent| anyhow::anyhow!("the modules of the process: {absent}"))?;
            let range = |module: ntmem::kernel::Module| {
                let (name, start) = (module.name.value()?.clone(), *module.base.value()?);
                let end = VirtualAddress(start.0.checked_add(u64::from(*module.size.value()?))?);
                let meant = name.to_lowercase().contains(&wanted.to_lowercase());
                meant.then_some(Range { what: "module", name, start, end })
            };
            return Ok(modules.into_iter().flat_map(|(modules, _)| modules).filter_map(range).collect());
        }
        let inside = process.inside.known().map_err(|absent| anyhow::anyhow!("what is in the process: {absent}"))?;
        let vads = inside.map(|inside| inside.vads.known()).transpose();
        let vads = vads.map_err(|absent| anyhow::anyhow!("the address ranges of the process: {absent}"))?.flatten();
        let base = process.section_base.value();
        let range = |vad: &ntmem::kernel::Vad| {
            let (start, last) = (*vad.start.value()?, vad.end.value()?);
            let meant = match self.vad {
                Some(at) => (start.0..=last.0).contains(&at),
                None => self.all || Some(&start) == base,
            };
            let what = if self.all || self.vad.is_some() { "vad" } else { "image" };
            let name = vad.file.value().cloned().unwrap_or_default();
            meant.then_some(Range { what, name, start, end: VirtualAddress(last.0.checked_add(1)?) })
        };
        Ok(vads.into_iter().flatten().filter_map(range).collect())
    }
}
