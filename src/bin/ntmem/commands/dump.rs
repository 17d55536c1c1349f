//! `ntmem dump`: bytes of a process as files.

use crate::args::Run;
use crate::chosen;
use crate::exit::{NotThere, Usage};
use crate::open::{self, hex};
use crate::options::{Common, Source, address};
use crate::output;
use anyhow::Context as _;
use ntmem::kernel::{Eprocess, Kernel, modules};
use ntmem::process::{Dumped, dump, file_name};
use ntmem::report::{self, Report, Which};
use ntmem::{Process, ReadOptions, VirtualAddress};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Bytes of a process as files: its executable as it is mapped, a module, an address range, or all
///
/// Writes into the folder that --output names, and beside the files manifest.json: for each file its range, what could not be read and is zero in it, and its SHA-256. What is written later of the same process is added to it.
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
#[derive(Serialize, Deserialize)]
struct Manifest {
    schema: u32,
    generator: String,
    image: String,
    /// Of the image file, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image_sha256: Option<String>,
    process: Option<String>,
    pid: Option<u64>,
    eprocess: Option<VirtualAddress>,
    /// A [`File`] each; those of an earlier run as they are.
    files: Vec<serde_json::Value>,
}

const MANIFEST: &str = "manifest.json";

impl Manifest {
    /// Puts it into the folder, in the place of an earlier one.
    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let (path, new) = (folder.join(MANIFEST), folder.join("manifest.json.new"));
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        // What lies there under that name is not ours, or of a run that was stopped.
        std::fs::File::create_new(&new)
            .and_then(|mut file| file.write_all(&bytes))
            .with_context(|| format!("cannot write {}", new.display()))?;
        std::fs::rename(&new, &path).with_context(|| format!("cannot write {}", path.display()))
    }
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

    /// It never writes over a file that is there.
    fn written(&self) -> Option<&Path> {
        None
    }

    fn run(&self) -> anyhow::Result<u8> {
        let output = self.output.display();
        if self.output.as_os_str() == "-" {
            return Err(Usage("dump writes several files: name a folder with --output".into()).into());
        }
        if self.output.exists() && !self.output.is_dir() {
            return Err(Usage(format!("{output} is a file: dump writes into a folder, name one with --output")).into());
        }
        let which = Which::parse(&self.process);
        open::read_with(&self.image, &self.source, ReadOptions::default(), |kernel, report| {
            let at = chosen::position(&which, report, self.source.reading.scan)?;
            report.system.look_into(kernel, at);
            self.dump(kernel, report, at, &self.output)
        })?;
        Ok(0)
    }
}

impl Args {
    fn dump(&self, kernel: &Kernel<'_>, report: &Report, at: usize, folder: &Path) -> anyhow::Result<()> {
        let process = report.system.processes.items.get(at).context("the process is not in the list any more")?;
        let object = process.object(kernel).context("the address of the process is not known")?;
        let space = object.space().map_err(|absent| anyhow::anyhow!("its page tables: {absent}"))?;
        let ranges = self.ranges(&object, process)?;
        if ranges.is_empty() {
            return Err(NotThere(self.no_range(process)).into());
        }
        let mut manifest = self.manifest(report, process, folder)?;
        let name = |range: &Range| file_name(&format!("{}.{}", range.what, range.start), &range.name);
        // What lies there already is somebody's, and is seen before anything is written.
        if let Some(there) = ranges.iter().map(|range| folder.join(name(range))).find(|path| path.exists()) {
            anyhow::bail!("{} is there already: name another folder", there.display());
        }
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        for range in ranges {
            let file = name(&range);
            let path = folder.join(&file);
            let cannot = || format!("cannot write {}", path.display());
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
            let file = File { file, what, name, start, end, dumped, sha256: hex(&hasher.finalize()) };
            manifest.files.push(serde_json::to_value(file)?);
            // After each file: whoever is interrupted has a manifest of what is there.
            manifest.write(folder)?;
        }
        Ok(())
    }

    /// The manifest in the folder, if it is of this process, or a new one.
    fn manifest(&self, report: &Report, process: &Process, folder: &Path) -> anyhow::Result<Manifest> {
        let own = Manifest {
            schema: ntmem::report::SCHEMA,
            generator: ntmem::report::generator(),
            image: open::name(&self.image),
            image_sha256: report.run.sha256.clone(),
            process: process.name.value().cloned(),
            pid: process.pid.value().copied(),
            eprocess: process.eprocess.value().copied(),
            files: Vec::new(),
        };
        let path = folder.join(MANIFEST);
        if !path.exists() {
            return Ok(own);
        }
        let there = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
        let same = |there: &Manifest| {
            (&there.image, there.pid, there.eprocess) == (&own.image, own.pid, own.eprocess)
                && there.schema == own.schema
        };
        let Some(there) = there.filter(same) else {
            anyhow::bail!("{} is of another process or image: name another folder", path.display());
        };
        Ok(Manifest { image_sha256: there.image_sha256.clone().or(own.image_sha256), ..there })
    }

    /// That the process has no range as it was asked for.
    fn no_range(&self, process: &Process) -> String {
        let pid = process.pid.value().map_or_else(|| self.process.clone(), u64::to_string);
        let image = report::path_word(&open::name(&self.image));
        let what = match (&self.module, self.vad) {
            (Some(module), _) => format!("its loader lists no module whose name has {module} in it"),
            (None, Some(at)) => format!("no address range of it has {at:#x}"),
            (None, None) if process.has_exited() => "it has exited, and its memory was given back".to_owned(),
            (None, None) if self.all => "it has no address ranges".to_owned(),
            (None, None) => match process.section_base.value().filter(|base| base.0 != 0) {
                Some(base) => format!("no address range begins where its executable is mapped, {base}"),
                None => "it has no executable of its own, as System and minimal processes have none".to_owned(),
            },
        };
        let list = report::command(&["ntmem", "show", &pid, &image, "--only", "modules,vads"]);
        format!("nothing to write: {what}. What there is: {list}")
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
        let starts = |base: &&VirtualAddress| vads.into_iter().flatten().any(|vad| vad.start.value() == Some(*base));
        // The executable of a hollowed process is not where the kernel mapped it: what its PEB names is what runs.
        let of_peb = process.image_base.value();
        let base = process.section_base.value().filter(starts).or(of_peb);
        if let Some(base) =
            base.filter(|base| self.vad.is_none() && !self.all && Some(*base) != process.section_base.value())
        {
            output::note(
                "note",
                &format!(
                    "nothing is left of the executable that the kernel mapped; the one at {base} is what the PEB names"
                ),
            );
        }
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
