//! The command line program: arguments in, one report out. What is known and what is judged is the library's.

mod args;
mod output;

use anyhow::Context as _;
use args::{Check, Cli, Command, Common, OneImage};
use clap::Parser as _;
use ntmem::kernel::LocateOptions;
use ntmem::report::{self, Report};
use ntmem::symbols::{SymbolError, server_path};
use ntmem::{Error, MemoryImage, PhysicalAddress, ReadOptions, System, Verdict, VirtualAddress, check_smss};
use output::{Output, Progress};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Could not analyse.
const FAILED: u8 = 3;
/// Wrong usage, as in sysexits.h.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(&cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&format!("{error:#}"));
            ExitCode::from(if error.is::<Usage>() { USAGE } else { FAILED })
        }
    }
}

/// The command line asks for something that there is not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn run(command: &Command) -> anyhow::Result<u8> {
    match command {
        Command::Info(of) => info(of),
        Command::Pslist(of) => {
            let (report, out) = open(of)?;
            let lines = &report.system.processes.items;
            out.write(&report, lines, |text, palette| report::processes(text, &report.system, palette))
        }
        Command::Pstree(of) => {
            let (report, out) = open(of)?;
            let lines = &report.system.processes.items;
            out.write(&report, lines, |text, palette| report::process_tree(text, &report.system, palette))
        }
        Command::Sessions(of) => {
            let (report, out) = open(of)?;
            out.write(&report, &report.system.sessions, |text, palette| report::sessions(text, &report.system, palette))
        }
        Command::Check(of) => check(of),
        Command::Symbols(of) => symbols(of),
    }
}

/// Reads an image, and says on standard error what was odd about it.
fn read(image: &Path, common: &Common) -> anyhow::Result<System> {
    let progress = Progress::new("looking for the kernel");
    let show = |done, total| progress.at(done, total);
    let options = locate_options(common, &show);
    let opened = MemoryImage::open(image)?;
    let kernel = opened.locate_kernel_with(&common.store(image), &options)?;
    drop(progress);
    let progress = Progress::new("searching for processes");
    let show = |done, total| progress.at(done, total);
    let system = System::read_with(&kernel, &ReadOptions { scan: common.scan, progress: Some(&show) })?;
    drop(progress);
    output::warnings(&system.warnings);
    Ok(system)
}

fn locate_options<'o>(common: &Common, progress: &'o (dyn Fn(u64, u64) + Sync)) -> LocateOptions<'o> {
    LocateOptions {
        dtb: common.dtb.map(PhysicalAddress),
        kernel_base: common.kernel_base.map(VirtualAddress),
        progress: Some(progress),
    }
}

fn open(of: &OneImage) -> anyhow::Result<(Report, Output)> {
    let system = read(&of.image, &of.common)?;
    Ok((Report::new(system), Output::new(&of.common)))
}

/// The whole report but for what `pslist` shows.
fn info(of: &OneImage) -> anyhow::Result<u8> {
    let (mut report, out) = open(of)?;
    let system = report.system.clone();
    report.system.processes.items.clear();
    out.write(&report, &[&report], |text, palette| report::info(text, &system, palette))
}

fn check(of: &Check) -> anyhow::Result<u8> {
    let (names, system) = match (&of.report, of.names.split_last()) {
        (Some(file), _) => (&of.names[..], saved(file)?),
        (None, Some((image, names))) => {
            known_checks(names)?;
            if image.as_os_str() == "smss" && !image.exists() {
                return Err(
                    Usage("which image? `ntmem check smss IMAGE`, or `ntmem check smss --report FILE`".into()).into()
                );
            }
            (names, read(image, &of.common)?)
        }
        (None, None) => return Err(Usage("check needs an image, or a report with --report".into()).into()),
    };
    known_checks(names)?;
    let findings = check_smss(&system);
    let code = match findings.verdict {
        Verdict::Clean => 0,
        Verdict::Violations => 1,
        Verdict::Inconclusive => 2,
    };
    let mut report = Report::new(system);
    report.checks.push(findings);
    let out = Output::new(&of.common);
    let lines: Vec<_> = report.checks.iter().flat_map(|check| &check.outcomes).collect();
    out.write(&report, &lines, |text, palette| {
        report.checks.iter().try_for_each(|check| report::findings(text, check, palette))
    })?;
    Ok(code)
}

/// Refuses names that no check has: a misspelt one must not pass for clean.
fn known_checks(names: &[PathBuf]) -> Result<(), Usage> {
    match names.iter().find(|name| name.as_os_str() != "smss") {
        Some(name) => Err(Usage(format!("there is no check named {}; there is: smss", name.display()))),
        None => Ok(()),
    }
}

/// Reads a saved document.
fn saved(file: &Path) -> anyhow::Result<System> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let report: Report = serde_json::from_slice(&text).with_context(|| {
        format!("{} is no report: it must be a JSON document as `ntmem pslist --format json` writes it", file.display())
    })?;
    output::warnings(&report.system.warnings);
    Ok(report.system)
}

/// What symbols an image needs; that they are not here is no failure of this command.
fn symbols(of: &OneImage) -> anyhow::Result<u8> {
    let progress = Progress::new("looking for the kernel");
    let show = |done, total| progress.at(done, total);
    let store = of.common.store(&of.image);
    let image = MemoryImage::open(&of.image)?;
    let mut system = System { image: Some(image.info()), ..System::default() };
    let mut text = String::new();
    let needed = match image.find_kernel(&store, &locate_options(&of.common, &show)) {
        Ok(kernel) => {
            system.kernel = Some(kernel.info());
            kernel.pdb().clone()
        }
        // The headers are gone, so that symbols are needed to go on; which, the error says.
        Err(Error::Symbols(SymbolError::Missing { needed, tried })) => {
            writeln!(text, "{}", SymbolError::Missing { needed: needed.clone(), tried })?;
            *needed
        }
        Err(error) => return Err(error.into()),
    };
    drop(progress);
    if text.is_empty() {
        match store.find(&needed, &ntmem::kernel::Layouts::wanted()) {
            Ok(found) => {
                let file = found.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
                writeln!(text, "needs  {} {} age {}", needed.name, needed.guid, needed.age)?;
                writeln!(text, "found  {} ({})", file, found.source.name())?;
                writeln!(text, "server {}", server_path(&needed))?;
                if let Some(kernel) = &mut system.kernel {
                    kernel.symbols = Some(found.source.name().to_owned());
                    kernel.symbols_file = Some(file);
                }
            }
            Err(error) => writeln!(text, "{error}")?,
        }
    }
    let report = Report::new(system);
    Output::new(&of.common).write(&report, &[&report.system.kernel], |out, _| out.write_str(&text))
}
