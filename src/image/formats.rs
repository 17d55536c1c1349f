//! The table of formats, and which of them a file is.

use super::runs::Lost;
use super::source::Source;
use super::{
    Hints, OpenOptions, PhysicalMemory, avml, crash_dump, elf_core, ewf, hibernation, hyperv, kdump, known, libvirt,
    lime, qcow2, qemu, raw, virtualbox, vmware, xen,
};
#[cfg(feature = "compressed-images")]
use super::{packed, seven_zip, zstd};
use crate::{Error, Warning};
use std::fmt;
use std::path::{Path, PathBuf};

/// What is looked at to tell a format, in this order: what has the longest mark first. What none of them takes is raw.
static FORMATS: &[&Format] = &[
    &crash_dump::X64,
    &crash_dump::X86,
    &lime::FORMAT,
    &avml::FORMAT,
    &elf_core::FORMAT,
    &vmware::STATE,
    &vmware::MEMORY,
    &qemu::FORMAT,
    &libvirt::FORMAT,
    &qcow2::FORMAT,
    &virtualbox::FORMAT,
    &hyperv::FORMAT,
    &xen::FORMAT,
    &hibernation::FORMAT,
    &kdump::FORMAT,
    &kdump::FLATTENED,
    &ewf::FORMAT,
    #[cfg(feature = "compressed-images")]
    &zstd::FORMAT,
    #[cfg(feature = "compressed-images")]
    &packed::GZIP,
    #[cfg(feature = "compressed-images")]
    &packed::XZ,
    #[cfg(feature = "compressed-images")]
    &packed::BZIP2,
    #[cfg(feature = "compressed-images")]
    &packed::ZIP,
    #[cfg(feature = "compressed-images")]
    &packed::ZLIB,
    #[cfg(feature = "compressed-images")]
    &seven_zip::FORMAT,
];

/// Containers in containers are opened to this depth: a LiME image in a zip in a zstd. Deeper nests are made to exhaust the reader.
const MAX_DEPTH: usize = 3;

/// A kind of file. Each that is read has one, in its file; what is recognised and not read has one in [`known`].
pub(super) struct Format {
    /// What it is, with its article: `a LiME image`.
    pub title: &'static str,
    /// Whether a file may be of this kind: by its first bytes, cheaply.
    pub mark: fn(&Opening<'_>) -> bool,
    /// What to do with it.
    pub job: Job,
}

/// What to do with a file of some kind.
pub(super) enum Job {
    /// Read it.
    Read(fn(&Opening<'_>) -> Result<Found, Refusal>),
    /// Say what it is, and what to do.
    Name(&'static str),
    /// The mark is weak: read it as raw, and say so only if no kernel is found.
    Suspect(&'static str),
}

/// A file that is about to be opened.
pub(super) struct Opening<'o> {
    /// Its bytes.
    pub source: Source,
    /// Where it lies, the parts of a split file in their order. Empty: nowhere, it is in memory or in another container.
    pub files: Vec<PathBuf>,
    /// What the caller allows.
    #[cfg_attr(not(feature = "compressed-images"), allow(dead_code))]
    pub options: &'o OpenOptions<'o>,
}

impl<'o> Opening<'o> {
    pub(super) const fn new(source: Source, files: Vec<PathBuf>, options: &'o OpenOptions<'o>) -> Self {
        Self { source, files, options }
    }

    /// The file, if it is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match self.files.as_slice() {
            [file] => Some(file),
            _ => None,
        }
    }
}

/// What a format makes of a file.
pub(super) enum Found {
    Memory(Box<Opened>),
    /// It is a wrapper (its name first), and this is inside.
    Inside(&'static str, Source, Vec<Warning>),
    /// The same, unpacked into a file.
    #[cfg(feature = "compressed-images")]
    Unpacked {
        name: &'static str,
        source: Source,
        path: PathBuf,
        warnings: Vec<Warning>,
    },
}

#[cfg(feature = "compressed-images")]
impl Found {
    /// What is inside a wrapper, unpacked into a file.
    pub(super) const fn unpacked(name: &'static str, source: Source, path: PathBuf) -> Self {
        Self::Unpacked { name, source, path, warnings: Vec::new() }
    }
}

/// A file in which memory was found.
pub(super) struct Opened {
    /// The word for documents: `lime`.
    pub format: &'static str,
    pub memory: Box<dyn PhysicalMemory>,
    /// Other ways to understand where memory lies, each with what to say if it turns out to be right.
    pub others: Vec<Other>,
    pub hints: Option<Hints>,
    /// The program that wrote the file, where it says so.
    pub maker: Option<String>,
    pub warnings: Vec<Warning>,
    /// Files beside the named one that were read too.
    pub more_files: Vec<PathBuf>,
    /// What the file may be instead, should there be no kernel in it.
    pub suspects: Vec<String>,
    /// What it was wrapped in.
    pub within: Vec<&'static str>,
    /// Memory that is not in it was left out on purpose: a kernel dump holds the kernel's pages.
    pub leaves_out: bool,
}

/// Another way to understand where memory lies in a file.
pub(super) struct Other {
    pub memory: Box<dyn PhysicalMemory>,
    /// The file's first byte is not the memory's.
    pub moved: bool,
    /// What to say if it turns out to be right.
    pub note: String,
}

impl Opened {
    pub(super) fn new(format: &'static str, memory: impl PhysicalMemory + 'static) -> Self {
        Self {
            format,
            memory: Box::new(memory),
            others: Vec::new(),
            hints: None,
            maker: None,
            warnings: Vec::new(),
            more_files: Vec::new(),
            suspects: Vec::new(),
            within: Vec::new(),
            leaves_out: false,
        }
    }

    /// The same of which memory was left out on purpose.
    pub(super) fn that_leaves_out(self) -> Self {
        Self { leaves_out: true, ..self }
    }

    /// Adds what is odd about a container of pieces.
    pub(super) fn warnings_of(&mut self, odd: Option<String>, lost: Lost) {
        if let Some(odd) = odd {
            self.warn(odd);
        }
        if lost.cut > 0 {
            self.warn(format!("the file is truncated: {} that it promises are not in it", Size(lost.cut)));
        }
        if lost.twice > 0 {
            self.warn(format!("{} of memory are in the file twice: the first copy is used", Size(lost.twice)));
        }
    }

    /// Adds what is odd about the file.
    pub(super) fn warn(&mut self, message: String) {
        self.warnings.push(Warning::new("image", message));
    }
}

impl From<Opened> for Found {
    fn from(opened: Opened) -> Self {
        Self::Memory(Box::new(opened))
    }
}

/// A number of bytes for people.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ 0..0x10_0000 => write!(f, "{bytes} bytes"),
            bytes => write!(f, "{} MiB", bytes >> 20),
        }
    }
}

/// Why a format did not take a file that has its mark.
pub(super) enum Refusal {
    /// What follows the mark is not of this format, for this reason: the mark stands there by chance, or the file is damaged.
    NotThis(String),
    /// It is of this format, and cannot be used.
    Unusable(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Unusable(error)
    }
}

/// Opens a file as whatever it is.
pub(super) fn open(opening: &Opening<'_>) -> Result<Opened, Error> {
    let (mut within, mut warnings, mut more_files) = (Vec::new(), Vec::new(), Vec::new());
    let mut inner: Option<Opening<'_>> = None;
    for _ in 0..=MAX_DEPTH {
        let found = open_one(inner.as_ref().unwrap_or(opening));
        match found.map_err(|error| inside(error, &within))? {
            Found::Memory(mut opened) => {
                warnings.append(&mut opened.warnings);
                more_files.append(&mut opened.more_files);
                return Ok(Opened { within, warnings, more_files, ..*opened });
            }
            Found::Inside(name, source, mut odd) => {
                within.push(name);
                warnings.append(&mut odd);
                inner = Some(Opening::new(source, Vec::new(), opening.options));
            }
            #[cfg(feature = "compressed-images")]
            Found::Unpacked { name, source, path, warnings: mut odd } => {
                within.push(name);
                warnings.append(&mut odd);
                inner = Some(Opening::new(source, Vec::new(), opening.options));
                more_files.push(path);
            }
        }
    }
    Err(Error::NotAnImage {
        what: format!("this file is packed more than {MAX_DEPTH} times over ({})", within.join(" in ")),
        advice: "Unpack it until the memory image itself is there".into(),
    })
}

/// Says of what is wrong with what was packed that it was packed.
fn inside(error: Error, within: &[&str]) -> Error {
    match error {
        Error::NotAnImage { what, advice } if !within.is_empty() => Error::NotAnImage {
            what: format!("of what is packed in this file ({}): {what}", within.join(", ")),
            advice,
        },
        error => error,
    }
}

fn open_one(opening: &Opening<'_>) -> Result<Found, Error> {
    let (mut doubts, mut suspects) = (Vec::new(), Vec::new());
    let tables = [FORMATS, known::PACKED, known::STARTS, known::SHOWN, known::WEAK];
    for format in tables.into_iter().flatten().copied() {
        if !(format.mark)(opening) {
            continue;
        }
        match &format.job {
            Job::Name(advice) if raw::has_start_block(&opening.source) => {
                suspects.push(format!("The file may be {}. {advice}", format.title));
                doubts.push((format.title, "a processor start block lies in its first MiB, as in memory".to_owned()));
            }
            Job::Name(advice) => {
                return Err(Error::NotAnImage { what: format!("this is {}", format.title), advice: (*advice).into() });
            }
            Job::Suspect(advice) => suspects.push(format!("The file may be {}. {advice}", format.title)),
            Job::Read(read) => match read(opening) {
                Ok(found) => return Ok(found),
                Err(Refusal::Unusable(error)) => return Err(error),
                Err(Refusal::NotThis(why)) => doubts.push((format.title, why)),
            },
        }
    }
    let mut opened = raw::open(opening, &doubts)?;
    for (title, why) in doubts {
        let doubt = format!("the file begins as {title} does, but {why}");
        opened.warn(format!("{doubt}: it is read as raw memory"));
        opened.suspects.push(format!("Note that {doubt}: is it damaged, or only a part of it?"));
    }
    opened.suspects.append(&mut suspects);
    Ok(opened.into())
}
