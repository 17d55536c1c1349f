//! From an image's path to what is in it.

use crate::options::Common;
use crate::output::{self, Progress};
use ntmem::image::OpenOptions;
use ntmem::kernel::Kernel;
use ntmem::registry::Registry;
use ntmem::{MemoryImage, ReadOptions, Report, System};
use std::path::Path;

/// Opens an image; where it must be unpacked for that, says so.
///
/// # Errors
/// It is no image that can be read.
pub fn image(image: &Path, common: &Common) -> anyhow::Result<MemoryImage> {
    let progress = Progress::new("unpacking");
    let show = |done, total| progress.at(done, total);
    let options = OpenOptions {
        max_unpacked: common.reading.max_unpacked,
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
    common: &Common,
    f: impl FnOnce(&Kernel<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let progress = Progress::new("looking for the kernel");
    let show = |done, total| progress.at(done, total);
    let opened = self::image(image, common)?;
    let kernel = opened.locate_kernel_with(&common.symbols.store(image, &progress), &common.reading.locate(&show));
    drop(progress);
    if kernel.is_err() {
        // A truncated file may be why.
        output::warnings(opened.warnings());
    }
    let kernel = kernel?.with_page_files(common.reading.open_page_files()?);
    f(&kernel)
}

/// Reads an image, and says on standard error what was odd about it.
///
/// # Errors
/// The image cannot be analysed.
pub fn read(image: &Path, common: &Common) -> anyhow::Result<System> {
    with_kernel(image, common, |kernel| {
        let progress = Progress::new("searching for processes");
        let show = |done, total| progress.at(done, total);
        let options = ReadOptions { scan: common.reading.scan, progress: Some(&show), ..ReadOptions::default() };
        let system = System::read_with(kernel, &options)?;
        drop(progress);
        output::warnings(&system.warnings);
        Ok(system)
    })
}

/// Opens the registry; `--scan` looks for hives that are in no list.
///
/// # Errors
/// The image cannot be analysed, or `f` fails.
pub fn with_registry<T>(
    image: &Path,
    common: &Common,
    f: impl FnOnce(&Registry<'_>, Report) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    with_kernel(image, common, |kernel| {
        let mut registry = Registry::open(kernel);
        if common.reading.scan {
            let progress = Progress::new("searching for hives");
            registry.scan(&|done, total| progress.at(done, total));
        }
        output::warnings(registry.warnings());
        let (image, info) = (Some(kernel.image_info()), Some(kernel.info()));
        let warnings = registry.warnings().to_vec();
        let mut system = System::default();
        (system.image, system.kernel, system.warnings) = (image, info, warnings);
        f(&registry, Report::new(system))
    })
}
