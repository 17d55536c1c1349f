//! What a run reads, and that it does not write over it.

use crate::args::Run;
use crate::exit::Usage;
use crate::{images, open};
use ntmem::symbols::{Wanted, load};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Refuses to write a result over what it is made from, and over what may be somebody else's evidence. It looks before anything is
/// written, and goes by the identity of files: a link to one, and another way to it, is that file.
pub fn spare(command: &dyn Run) -> Result<(), Usage> {
    // What does not exist is no evidence; a pipe and a terminal hold none.
    let Some(output) = command.written().filter(|output| output.is_file() && !command.may_replace(output)) else {
        return Ok(());
    };
    match why_not(command, output) {
        Some(why) => Err(Usage(format!("the result would overwrite {}, {why}: name another file", output.display()))),
        None => Ok(()),
    }
}

/// Why a file must stay as it is.
fn why_not(command: &dyn Run, output: &Path) -> Option<String> {
    if inputs(command).iter().any(|input| is_same_file(input, output)) {
        return Some("which is read for it".to_owned());
    }
    let images = images_of(command);
    if let Some(image) = images.iter().find(|image| made_of(command, image).iter().any(|of| is_same_file(of, output))) {
        return Some(format!("which is read for it: it belongs to {}", open::name(image)));
    }
    if let Some(image) = images.iter().find(|image| goes_with(output, image)) {
        return Some(format!("which may belong to {}", open::name(image)));
    }
    if !is_text(output) {
        return Some("which is no text and may be evidence".to_owned());
    }
    load(output, None, &Wanted::default()).is_ok().then(|| "which is a symbol file".to_owned())
}

/// The files that arguments and options name.
fn inputs(command: &dyn Run) -> Vec<PathBuf> {
    let named = command.files().into_iter().chain(command.documents());
    let mut files: Vec<PathBuf> = named.map(Path::to_owned).collect();
    files.extend(command.files().into_iter().filter_map(images::list_in));
    if let Some(common) = command.common() {
        files.extend(common.source.symbols.symbols.iter().cloned());
        // A folder that cannot be listed is told where its files are to be opened.
        files.extend(common.source.reading.page_file_paths().unwrap_or_default());
    }
    files
}

/// The images that arguments name: those of folders and lists too.
fn images_of(command: &dyn Run) -> Vec<PathBuf> {
    images::Expanded::of(&command.files().into_iter().map(Path::to_owned).collect::<Vec<_>>()).images
}

/// The files that an image is made of: itself, its parts, what a hypervisor keeps beside it.
fn made_of(command: &dyn Run, image: &Path) -> Vec<PathBuf> {
    let mut files = vec![image.to_owned()];
    // One on a server has none here.
    if image.is_file()
        && let Some(opened) = command.common().and_then(|common| open::image(image, &common.source).ok())
    {
        files.extend(opened.files().iter().cloned());
    }
    files
}

/// Whether a file has the name of a further part of an image, or of what a hypervisor keeps beside it, whether that is read or not:
/// `r.002` beside `r.001`, `vm.vmx` beside `vm.vmem`.
fn goes_with(file: &Path, image: &Path) -> bool {
    let extension = file.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let belongs = |extension: &str| {
        extension.bytes().all(|digit| digit.is_ascii_digit())
            || ["vmx", "vmem", "vmss", "vmsn", "vmsd"].contains(&extension)
    };
    folder(file) == folder(image)
        && file.file_stem() == image.file_stem()
        && extension.is_some_and(|extension| belongs(&extension))
}

/// The folder that a file is in.
fn folder(file: &Path) -> Option<PathBuf> {
    let folder = file.parent()?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    folder.canonicalize().ok()
}

/// Whether a file that exists begins as what this program writes: with text, or with nothing.
fn is_text(file: &Path) -> bool {
    let mut start = Vec::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(4096).read_to_end(&mut start));
    // The last letter may be cut.
    let text = std::str::from_utf8(&start).map_or_else(|error| error.error_len().is_none(), |_| true);
    read.is_ok() && text && !start.contains(&0)
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
