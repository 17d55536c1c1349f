//! From an image's path to what is in it.

use crate::options::Source;
use crate::output::{self, Progress};
use anyhow::Context as _;
use ntmem::image::{OpenOptions, without_secrets};
use ntmem::kernel::Kernel;
use ntmem::registry::Registry;
use ntmem::{Error, MemoryImage, ReadOptions, Report, System, Warning};
use std::io::Read as _;
use std::path::Path;

/// Opens an image; where it must be unpacked for that, says so.
///
/// # Errors
/// It is no image that can be read.
pub fn image(image: &Path, source: &Source) -> anyhow::Result<MemoryImage> {
    let progress = Progress::new("unpacking");
    let show = |done, total| progress.at(done, total);
    let options = OpenOptions {
        max_unpacked: source.reading.max_unpacked,
        progress: Some(&show),
        notice: Some(&|what| output::note("note", what)),
        ..OpenOptions::default()
    };
    Ok(MemoryImage::open_with(image, &options)?)
}

/// Opens an image, finds its kernel, and gives both to `f`.
///
/// # Errors
/// The image cannot be analysed, or `f` fails.
pub fn with_kernel<T>(
    image: &Path,
    source: &Source,
    f: impl FnOnce(&Kernel<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    in_opened(&self::image(image, source)?, image, source, f)
}

/// The same of an image that is open.
fn in_opened<T>(
    opened: &MemoryImage,
    image: &Path,
    source: &Source,
    f: impl FnOnce(&Kernel<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let progress = Progress::new("looking for the kernel");
    let show = |done, total| progress.at(done, total);
    let kernel = opened.locate_kernel_with(&source.symbols.store(image, &progress), &source.reading.locate(&show));
    drop(progress);
    if kernel.is_err() {
        // A truncated file may be why.
        output::warnings(opened.warnings());
    }
    let kernel = kernel.map_err(|error| came(opened).err().unwrap_or_else(|| error.into()))?;
    let done = f(&kernel.with_page_files(source.reading.open_page_files()?))?;
    came(opened)?;
    Ok(done)
}

/// Says how much was fetched of an image that is far away.
///
/// # Errors
/// Something of it did not come: what was read is not to be relied on.
pub fn came(image: &MemoryImage) -> anyhow::Result<()> {
    let Some(fetched) = image.fetched() else { return Ok(()) };
    let (requests, kib) = (fetched.requests(), fetched.bytes() >> 10);
    output::note("fetched", &format!("{kib} KiB in {requests} requests"));
    match fetched.failure() {
        None => Ok(()),
        Some(why) => anyhow::bail!("part of the image did not come from the server: {why}"),
    }
}

/// An image as it is named in results: an address without what signs it.
pub fn name(image: &Path) -> String {
    without_secrets(&image.display().to_string())
}

/// Reads an image; with `--scan`, one in which no kernel is found is searched for processes.
///
/// # Errors
/// The image cannot be analysed.
pub fn read(image: &Path, source: &Source) -> anyhow::Result<Report> {
    read_with(image, source, ReadOptions::default(), |_, _| Ok(()))
}

/// The same, by these options beside those of the command line; gives it to `f` with its kernel, or with the layouts of what was carved.
///
/// # Errors
/// The image cannot be analysed, or `f` fails.
pub fn read_with(
    image: &Path,
    source: &Source,
    options: ReadOptions<'_>,
    f: impl FnOnce(&Kernel<'_>, &mut Report) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    let opened = self::image(image, source)?;
    let mut f = Some(f);
    let read = in_opened(&opened, image, source, |kernel| {
        let read = read_kernel(kernel, image, source, options);
        // That the file was cut may be why.
        let odd = || opened.warnings().iter().chain(kernel.warnings()).cloned().collect::<Vec<_>>();
        let mut report = read.inspect_err(|_| output::warnings(&odd()))?;
        // Not before the kernel has led to processes.
        f.take().map_or(Ok(()), |f| f(kernel, &mut report))?;
        Ok(report)
    });
    match (read, f) {
        (Err(error), Some(f)) if is_without_kernel(&error) => carve(&opened, image, source, error, f),
        (read, _) => read,
    }
}

/// Whether an image could not be read because its kernel, or what that leads to, is not there.
fn is_without_kernel(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::NoKernel(_) | Error::Symbols(_) | Error::NoProcesses { .. }))
}

/// Processes of an image in which no kernel was found, with `--scan`; without it, how many there would be.
fn carve(
    opened: &MemoryImage,
    image: &Path,
    source: &Source,
    why: anyhow::Error,
    f: impl FnOnce(&Kernel<'_>, &mut Report) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    if !source.reading.scan && opened.fetched().is_some() {
        anyhow::bail!("{why:#}\nWith --scan, all of the image would be fetched and searched for processes.");
    }
    let progress = Progress::new("searching for processes");
    let (store, show) = (source.symbols.store(image, &progress), |done, total| progress.at(done, total));
    if !source.reading.scan {
        let counted = opened.count_carved(&store, &show);
        drop(progress);
        match counted {
            Ok((processes, layouts)) => anyhow::bail!(
                "{why:#}\nWith --scan, pslist, pstree, psxview, sessions, info, check, show, dump and timeline work on {processes} processes \
                 that lie in memory all the same ({layouts})."
            ),
            Err(_) => anyhow::bail!("{why:#}\n--scan would find no process either."),
        }
    }
    let carved = opened.carve(&store, &show);
    drop(progress);
    came(opened)?;
    let why = format!("{why:#}");
    let carved = carved.map_err(|none| anyhow::anyhow!("{why}\n{none}"))?;
    let carved = carved.because(&why.lines().map(str::trim).collect::<Vec<_>>().join("; "));
    let mut report = about(image, source, carved.read())?;
    f(carved.kernel(), &mut report)?;
    Ok(report)
}

fn read_kernel(kernel: &Kernel<'_>, image: &Path, source: &Source, options: ReadOptions<'_>) -> anyhow::Result<Report> {
    let progress = Progress::new("searching for processes");
    let show = |done, total| progress.at(done, total);
    let options = ReadOptions { scan: source.reading.scan, progress: Some(&show), ..options };
    let mut report = about(image, source, System::read_with(kernel, &options)?)?;
    let files = kernel.image().files().len();
    if source.reading.sha256 && files > 1 {
        let message = format!("the image is read from {files} files: sha256 is that of {} alone", image.display());
        report.system.warnings.push(Warning::new("image", message));
    }
    Ok(report)
}

/// A report about an image, with how it was made.
///
/// # Errors
/// The file cannot be read for its hash.
pub fn about(image: &Path, source: &Source, system: System) -> anyhow::Result<Report> {
    let mut report = source.report();
    report.system = system;
    report.run.image = Some(name(image));
    // What was left out of its name, or is no text, no command can say.
    report.run.unnamed = image.to_str() != report.run.image.as_deref();
    if source.reading.sha256 {
        report.run.sha256 = Some(sha256(image)?);
    }
    Ok(report)
}

/// The hash of a file, as 64 hexadecimal digits.
pub fn sha256(file: &Path) -> anyhow::Result<String> {
    use sha2::{Digest as _, Sha256};
    let mut hasher = Sha256::new();
    let cannot = || format!("cannot read {}", file.display());
    let mut from = std::fs::File::open(file).with_context(cannot)?;
    let mut piece = vec![0; 1 << 20];
    loop {
        match from.read(&mut piece).with_context(cannot)? {
            0 => break,
            read => hasher.update(piece.get(..read).unwrap_or_default()),
        }
    }
    Ok(hex(&hasher.finalize()))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Opens the registry; `--scan` looks for hives that are in no list.
///
/// # Errors
/// The image cannot be analysed, or `f` fails.
pub fn with_registry<T>(
    image: &Path,
    source: &Source,
    f: impl FnOnce(&Registry<'_>, Report) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    with_kernel(image, source, |kernel| {
        let mut registry = Registry::open(kernel);
        if source.reading.scan {
            let progress = Progress::new("searching for hives");
            registry.scan(&|done, total| progress.at(done, total));
        }
        f(&registry, about(image, source, System::without_processes(kernel, &registry))?)
    })
}
