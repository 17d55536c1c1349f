//! The command line program: arguments in, one report out. What is known and what is judged is the library's.

mod args;
mod output;
mod symbols;

use anyhow::Context as _;
use args::{Check, Cli, Command, Common, Hives, OneImage, OneKey};
use clap::Parser as _;
use ntmem::kernel::{Kernel, LocateOptions};
use ntmem::registry::Registry;
use ntmem::report::{self, Report};
use ntmem::{MemoryImage, PhysicalAddress, ReadOptions, System, Verdict, VirtualAddress, Warning, check_smss};
use output::{Output, Progress};
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
    spare_evidence(command)?;
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
        Command::Psxview(of) => {
            let (report, out) = open(of)?;
            let lines = &report.system.cross_view;
            out.write(&report, lines, |text, palette| report::cross_view(text, &report.system, palette))
        }
        Command::Sessions(of) => {
            let (report, out) = open(of)?;
            out.write(&report, &report.system.sessions, |text, palette| report::sessions(text, &report.system, palette))
        }
        Command::Registry(of) => registry(of),
        Command::Hives(of) => hives(of),
        Command::Check(of) => check(of),
        Command::Symbols(of) => symbols::run(of),
    }
}

/// Refuses to write the result over what it is made from.
fn spare_evidence(command: &Command) -> Result<(), Usage> {
    let (inputs, Some(output)) = command.inputs() else { return Ok(()) };
    match inputs.into_iter().find(|input| is_same_file(input, output)) {
        Some(input) => {
            Err(Usage(format!("--output {} would overwrite {}: name another file", output.display(), input.display())))
        }
        None => Ok(()),
    }
}

/// Whether two paths lead to one file that exists.
fn is_same_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(one), Ok(other)) = (one.metadata(), other.metadata()) {
        use std::os::unix::fs::MetadataExt as _;
        return one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino());
    }
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Opens an image, finds its kernel, and gives both to `f`.
fn with_kernel<T>(
    image: &Path,
    common: &Common,
    f: impl FnOnce(&Kernel<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let progress = Progress::new("looking for the kernel");
    let show = |done, total| progress.at(done, total);
    let opened = MemoryImage::open(image)?;
    let kernel = opened.locate_kernel_with(&common.store(image, &progress), &locate_options(common, &show));
    drop(progress);
    if kernel.is_err() {
        // A truncated file may be why.
        output::warnings(opened.warnings());
    }
    let kernel = kernel?;
    f(&kernel)
}

/// Reads an image, and says on standard error what was odd about it.
fn read(image: &Path, common: &Common) -> anyhow::Result<System> {
    with_kernel(image, common, |kernel| {
        let progress = Progress::new("searching for processes");
        let show = |done, total| progress.at(done, total);
        let options = ReadOptions { scan: common.scan, progress: Some(&show), ..ReadOptions::default() };
        let system = System::read_with(kernel, &options)?;
        drop(progress);
        output::warnings(&system.warnings);
        Ok(system)
    })
}

/// Opens the registry; `--scan` looks for hives that are in no list.
fn with_registry<T>(
    image: &Path,
    common: &Common,
    f: impl FnOnce(&Registry<'_>, Report) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    with_kernel(image, common, |kernel| {
        let mut registry = Registry::open(kernel);
        if common.scan {
            let progress = Progress::new("searching for hives");
            registry.scan(&|done, total| progress.at(done, total));
        }
        output::warnings(registry.warnings());
        let (image, info) = (Some(kernel.image().info()), Some(kernel.info()));
        let warnings = registry.warnings().to_vec();
        f(&registry, Report::new(System { image, kernel: info, warnings, ..System::default() }))
    })
}

fn registry(of: &OneKey) -> anyhow::Result<u8> {
    with_registry(&of.image, &of.common, |registry, mut report| {
        let found = registry
            .key(&of.key)
            .map_err(|absent| anyhow::anyhow!("cannot tell whether {} is there: {absent}", of.key))?;
        report.registry = found.map(|key| key.record(of.depth));
        if report.registry.is_none() {
            let warning = Warning::new("registry", format!("there is no key {}", of.key));
            output::warnings(std::slice::from_ref(&warning));
            report.system.warnings.push(warning);
        }
        Output::new(&of.common).write(&report, &[&report.registry], |text, palette| match &report.registry {
            Some(key) => report::key(text, key, palette),
            None => Ok(()),
        })
    })
}

fn hives(of: &Hives) -> anyhow::Result<u8> {
    with_registry(&of.image, &of.common, |registry, mut report| {
        let Some(name) = &of.extract else {
            let list = registry.hive_list();
            report.hives = Some(list.clone());
            return Output::new(&of.common)
                .write(&report, &list.items, |text, palette| report::hives(text, &list, palette));
        };
        let ends = |root: &str| root.to_lowercase().ends_with(&name.to_lowercase());
        let hive = registry.hives().iter().find(|hive| hive.mount().is_some_and(ends));
        let hive =
            hive.ok_or_else(|| Usage(format!("no hive is mounted at {name}; `ntmem hives IMAGE` lists them")))?;
        let path = of.common.output.as_ref().ok_or_else(|| Usage("--extract needs --output FILE".into()))?;
        let mut file = std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let written = hive.write_file(&mut file)?;
        let how = match written.unreadable_blocks {
            0 => format!("all {} blocks were read", written.blocks),
            lost => format!("{lost} of {} blocks could not be read and are zero", written.blocks),
        };
        output::note("written", &format!("{}: {} bytes, {how}", path.display(), written.bytes));
        Ok(0)
    })
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
    report.system.cross_view.clear();
    out.write(&report, &[&report], |text, palette| report::info(text, &system, palette))
}

fn check(of: &Check) -> anyhow::Result<u8> {
    let system = match (&of.report, of.names.split_last()) {
        (Some(file), _) => {
            if let Some(image) = of.names.last().filter(|name| name.is_file() && name.as_os_str() != "smss") {
                return Err(Usage(format!("an image ({}) or --report, not both", image.display())).into());
            }
            known_checks(&of.names)?;
            saved(file)?
        }
        (None, Some((image, names))) => {
            known_checks(names)?;
            if image.as_os_str() == "smss" && !image.exists() {
                return Err(
                    Usage("which image? `ntmem check smss IMAGE`, or `ntmem check smss --report FILE`".into()).into()
                );
            }
            read(image, &of.common)?
        }
        (None, None) => return Err(Usage("check needs an image, or a report with --report".into()).into()),
    };
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
    let written = out.write(&report, &lines, |text, palette| {
        report.checks.iter().try_for_each(|check| report::findings(text, check, palette))
    });
    match written {
        // The verdict is in the exit status too: `ntmem check mem.raw | head` must not pass for clean.
        Err(error) if !output::is_broken_pipe(&error) => Err(error),
        _ => Ok(code),
    }
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
