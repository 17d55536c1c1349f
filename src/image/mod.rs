//! Image files: which kind a file is, and where in it physical memory lies.
//!
//! A format is one file with one `Format` in it, and one line in the table `FORMATS`. It is told by
//! content, never by name.

#[cfg(feature = "compressed-images")]
mod aff4;
mod avml;
mod bitmap;
mod blocks;
mod content;
mod crash_dump;
mod damage;
mod dump_header;
mod elf_core;
mod ewf;
#[cfg(feature = "remote-images")]
mod far;
#[cfg(feature = "remote-images")]
mod far_pieces;
mod fetched;
mod formats;
mod hibernation;
mod hints;
mod hole;
mod hyperv;
mod inflate;
mod info;
mod kdump;
mod known;
mod libvirt;
mod lime;
#[cfg(feature = "compressed-images")]
mod packed;
mod placed;
mod qcow2;
mod qemu;
mod raw;
mod runs;
#[cfg(feature = "compressed-images")]
mod seven_zip;
#[cfg(feature = "compressed-images")]
mod seven_zip_list;
mod source;
mod split;
#[cfg(feature = "compressed-images")]
mod unpack;
mod virtualbox;
mod vmware;
pub mod write;
mod xen;
mod xpress_huffman;
#[cfg(feature = "compressed-images")]
mod zstd;

pub use fetched::{Fetched, without_secrets};
pub use hints::Hints;
pub use info::{Hint, ImageInfo};

use crate::{Error, PhysicalAddress, Warning};
use damage::Damage;
use formats::{Opened, Opening, Other};
use placed::Placed;
use source::Source;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The physical memory of the imaged machine, as far as it is known.
pub trait PhysicalMemory: Send + Sync {
    /// The first piece of memory at or above `from`; a piece ends where memory, or its place in the file, does.
    fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun>;

    /// Fills `buf` from `at` on, and returns the number of bytes read: fewer than asked for at the first hole, or at what cannot
    /// be read.
    fn read(&self, at: PhysicalAddress, buf: &mut [u8]) -> usize;

    /// Bytes from `at` on without a copy, as many as lie together, `len` at most. `None` says only that they cannot be lent: whether
    /// they are there, [`read`](Self::read) tells.
    fn borrow(&self, _at: PhysicalAddress, _len: usize) -> Option<&[u8]> {
        None
    }

    /// Says that all of a piece will be read soon, so that it can be fetched in one go. It need not be.
    fn prefetch(&self, _piece: PhysicalRun) {}

    /// Where in the file the byte at `at` lies as it is. `None`: it is in a hole, compressed, or there is no such file.
    fn file_offset(&self, _at: PhysicalAddress) -> Option<u64> {
        None
    }

    /// Where in the file the compressed block begins that has the byte at `at`. `None`: it is in a hole, or not compressed, or nothing
    /// tells.
    fn block_offset(&self, _at: PhysicalAddress) -> Option<u64> {
        None
    }

    /// Whether every look at another place takes as long as a round trip over a network: searches that nothing depends on are
    /// shorter then.
    fn is_far(&self) -> bool {
        false
    }

    /// As [`next_run`](Self::next_run), without what is known to be all zero and would cost time to read.
    fn next_data(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        self.next_run(from)
    }
}

/// Memory that several readings of a file share.
impl<M: PhysicalMemory + ?Sized> PhysicalMemory for Arc<M> {
    fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        (**self).next_run(from)
    }

    fn read(&self, at: PhysicalAddress, buf: &mut [u8]) -> usize {
        (**self).read(at, buf)
    }

    fn borrow(&self, at: PhysicalAddress, len: usize) -> Option<&[u8]> {
        (**self).borrow(at, len)
    }

    fn prefetch(&self, piece: PhysicalRun) {
        (**self).prefetch(piece);
    }

    fn file_offset(&self, at: PhysicalAddress) -> Option<u64> {
        (**self).file_offset(at)
    }

    fn block_offset(&self, at: PhysicalAddress) -> Option<u64> {
        (**self).block_offset(at)
    }

    fn is_far(&self) -> bool {
        (**self).is_far()
    }

    fn next_data(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        (**self).next_data(from)
    }
}

/// Bytes from `at` on, as many as lie together, `len` at most: lent, or else read into `buffer`. Empty: `at` is in a hole.
pub fn bytes_at<'m>(
    memory: &'m (impl PhysicalMemory + ?Sized),
    at: PhysicalAddress,
    len: usize,
    buffer: &'m mut Vec<u8>,
) -> &'m [u8] {
    if let Some(lent) = memory.borrow(at, len).filter(|lent| !lent.is_empty()) {
        return lent;
    }
    buffer.resize(len, 0);
    let read = memory.read(at, buffer);
    buffer.get(..read).unwrap_or(&[])
}

/// Whether the image holds the byte at `at`.
pub fn holds(memory: &(impl PhysicalMemory + ?Sized), at: PhysicalAddress) -> bool {
    memory.next_run(at).is_some_and(|run| run.start == at && run.bytes > 0)
}

/// A contiguous piece of physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhysicalRun {
    /// Its first address.
    pub start: PhysicalAddress,
    /// Its length in bytes.
    pub bytes: u64,
}

impl PhysicalRun {
    /// The first address behind it.
    #[must_use]
    pub const fn end(&self) -> PhysicalAddress {
        PhysicalAddress(self.start.0.saturating_add(self.bytes))
    }

    /// The part at or above `from`.
    fn from(self, from: PhysicalAddress) -> Self {
        let start = self.start.max(from);
        Self { start, bytes: self.end().0.saturating_sub(start.0) }
    }
}

/// The pieces of a physical memory, in address order; neighbours are one.
pub fn runs<M: PhysicalMemory + ?Sized>(memory: &M) -> impl Iterator<Item = PhysicalRun> + '_ {
    let mut from = PhysicalAddress(0);
    std::iter::from_fn(move || {
        // A piece without bytes would be met for ever.
        let mut run = memory.next_run(from).filter(|run| run.bytes > 0)?;
        while let Some(next) = memory.next_run(run.end()).filter(|next| next.start == run.end() && next.bytes > 0) {
            run.bytes = run.bytes.saturating_add(next.bytes);
        }
        from = run.end();
        Some(run)
    })
}

/// What is allowed when an image is opened.
#[derive(Clone, Default)]
pub struct OpenOptions<'o> {
    /// Bytes that a compressed file may have when it is unpacked into a cache; without it, what the disk has to spare.
    pub max_unpacked: Option<u64>,
    /// The folder of that cache; without it `NTMEM_CACHE`, or one in the user's folder for caches.
    pub cache: Option<PathBuf>,
    /// Called now and then while a file is unpacked, with bytes done and bytes in all, as far as that is known.
    pub progress: Option<&'o (dyn Fn(u64, u64) + Sync)>,
    /// Called before a file is unpacked, with where and how much at most.
    pub notice: Option<&'o (dyn Fn(&str) + Sync)>,
}

impl fmt::Debug for OpenOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions")
            .field("max_unpacked", &self.max_unpacked)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

/// One way to understand where memory lies in a file.
struct Reading {
    memory: Arc<dyn PhysicalMemory>,
    /// The file's first byte is not the memory's.
    moved: bool,
    warnings: Vec<Warning>,
}

/// A memory image, opened.
///
/// Where a file does not say where memory lies (a raw file from which the hole below 4 GiB was cut), it has several readings. The
/// first holds until [`locate_kernel`](Self::locate_kernel) finds a kernel under another one, and none under the first.
pub struct MemoryImage {
    format: &'static str,
    /// Bytes of the file, or of all its parts.
    bytes: u64,
    files: Vec<PathBuf>,
    within: Vec<&'static str>,
    maker: Option<String>,
    hints: Option<Hints>,
    suspects: Vec<String>,
    leaves_out: bool,
    readings: Vec<Reading>,
    chosen: OnceLock<usize>,
    /// A reading that was found in the file itself.
    placed: OnceLock<Reading>,
    fetched: Option<Arc<Fetched>>,
    damage: Damage,
}

impl fmt::Debug for MemoryImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryImage").field("format", &self.format).field("files", &self.files).finish_non_exhaustive()
    }
}

/// A document lists this many runs at most: a kernel dump can have very many.
const MAX_RUNS_LISTED: usize = 4096;

impl MemoryImage {
    /// Opens an image file by memory map; its kind is told by its content. Nothing but headers is read. Files that belong to it
    /// (the parts of a split image, the state file of a virtual machine) are found beside it. The files must not change while
    /// they are open. With the feature `remote-images`, an `https://` address will do, of a server that answers byte ranges.
    ///
    /// # Errors
    /// The file cannot be opened, or is no image of a kind that can be read: the message says what it is instead and what to
    /// do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// The same with limits of the caller's.
    ///
    /// # Errors
    /// As [`open`](Self::open); or the file is compressed, and more would be unpacked than is allowed.
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions<'_>) -> Result<Self, Error> {
        let path = path.as_ref();
        if let Some(error) = path.to_str().and_then(fetched::of_a_store) {
            return Err(error);
        }
        if let Some(url) = path.to_str().filter(|path| fetched::is_address(path)) {
            return Self::open_far(url, options);
        }
        match split::parts_beside(path) {
            parts if parts.len() > 1 => {
                let mut image = Self::open_parts_with(&parts, options)?;
                let gap = parts.last().and_then(|last| split::gap_behind(last));
                for reading in &mut image.readings {
                    reading.warnings.extend(gap.iter().cloned());
                }
                Ok(image)
            }
            _ => {
                let mut image = Self::detect(&Opening::new(open(path)?, vec![path.to_owned()], options))?;
                image.suspects.extend(split::first_beside(path));
                Ok(image)
            }
        }
    }

    /// Opens an image on a server: what is needed of it is fetched.
    #[cfg(feature = "remote-images")]
    fn open_far(url: &str, options: &OpenOptions<'_>) -> Result<Self, Error> {
        let path = PathBuf::from(without_secrets(url));
        let (source, fetched) = far::open(url).map_err(|reason| Error::Open { path: path.clone(), reason })?;
        let image = Self::detect(&Opening::new(source, vec![path.clone()], options));
        // A piece that did not come may be why it looks like something else.
        if let Some(why) = fetched.failure() {
            return Err(Error::Open { path, reason: std::io::Error::other(why.to_owned()) });
        }
        Ok(Self { fetched: Some(fetched), ..image? })
    }

    #[cfg(not(feature = "remote-images"))]
    fn open_far(url: &str, _: &OpenOptions<'_>) -> Result<Self, Error> {
        Err(Error::NotAnImage {
            what: format!(
                "{} is the address of an image on a server, and this program was built without reading those",
                without_secrets(url)
            ),
            advice: "Build it with the feature remote-images, or fetch the file and name the copy".into(),
        })
    }

    /// What was fetched of an image that is far away. `None`: it is not.
    #[must_use]
    pub fn fetched(&self) -> Option<&Fetched> {
        self.fetched.as_deref()
    }

    /// Opens an image that was split into several files, given in their order.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_parts(paths: &[impl AsRef<Path>]) -> Result<Self, Error> {
        Self::open_parts_with(paths, &OpenOptions::default())
    }

    /// The same with limits of the caller's.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub fn open_parts_with(paths: &[impl AsRef<Path>], options: &OpenOptions<'_>) -> Result<Self, Error> {
        let files: Vec<PathBuf> = paths.iter().map(|path| path.as_ref().to_owned()).collect();
        let sources = files.iter().map(|path| open(path)).collect::<Result<Vec<_>, Error>>()?;
        let warnings = split::odd_parts(&files, &sources);
        let mut image = Self::detect(&Opening::new(Source::joined(sources), files, options))?;
        for reading in &mut image.readings {
            reading.warnings.extend(warnings.iter().cloned());
        }
        Ok(image)
    }

    /// Takes an image that is in memory already.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::detect(&Opening::new(Source::new(bytes), Vec::new(), &OpenOptions::default()))
    }

    /// Takes physical memory that the caller reads: from a live machine, or from a format of the caller's own. Its format is
    /// `memory`.
    #[must_use]
    pub fn from_memory(memory: Box<dyn PhysicalMemory>) -> Self {
        let bytes = runs(&*memory).map(|run| run.bytes).fold(0, u64::saturating_add);
        Self {
            format: "memory",
            bytes,
            files: Vec::new(),
            within: Vec::new(),
            maker: None,
            hints: None,
            suspects: Vec::new(),
            leaves_out: false,
            readings: vec![Reading { memory: Arc::from(memory), moved: false, warnings: Vec::new() }],
            chosen: OnceLock::new(),
            placed: OnceLock::new(),
            fetched: None,
            damage: Damage::default(),
        }
    }

    fn detect(opening: &Opening<'_>) -> Result<Self, Error> {
        let Opened { format, memory, others, hints, maker, warnings, more_files, suspects, within, leaves_out } =
            formats::open(opening)?;
        let mut readings = vec![Reading { memory: Arc::from(memory), moved: false, warnings: warnings.clone() }];
        readings.extend(others.into_iter().map(|Other { memory, moved, note }| {
            let mut warnings = warnings.clone();
            warnings.push(Warning::new("image", note));
            Reading { memory: Arc::from(memory), moved, warnings }
        }));
        let files = opening.files.iter().cloned().chain(more_files).collect();
        let bytes = opening.source.len();
        Ok(Self {
            format,
            bytes,
            files,
            within,
            maker,
            hints,
            suspects,
            leaves_out,
            readings,
            chosen: OnceLock::new(),
            placed: OnceLock::new(),
            fetched: None,
            damage: Damage::default(),
        })
    }

    fn reading(&self) -> Option<&Reading> {
        self.placed.get().or_else(|| self.readings.get(self.chosen.get().copied().unwrap_or(0)))
    }

    /// The file's bytes as memory at these places: each piece with where it stands in the file. `None`: the file says itself where its
    /// memory lies.
    pub(crate) fn placed_at(&self, pieces: Vec<(PhysicalRun, u64)>) -> Option<Placed> {
        let raw = self.readings.first().filter(|_| self.format == "raw")?;
        Some(Placed::new(Arc::clone(&raw.memory), pieces))
    }

    /// From now on, and for good, the file is read so, which is said in these words.
    pub(crate) fn place(&self, pieces: Vec<(PhysicalRun, u64)>, note: String) {
        let (Some(memory), Some(first)) = (self.placed_at(pieces), self.readings.first()) else { return };
        let warnings = first.warnings.iter().cloned().chain([Warning::new("image", note)]).collect();
        let _ = self.placed.set(Reading { memory: Arc::new(memory), moved: true, warnings });
    }

    /// Other ways to understand where memory lies: numbers for [`adopt`](Self::adopt), whether the file's first byte is not the
    /// memory's, and the memory.
    pub(crate) fn other_readings(&self) -> impl Iterator<Item = (usize, bool, &dyn PhysicalMemory)> + '_ {
        let open = self.chosen.get().is_none();
        self.readings
            .iter()
            .enumerate()
            .skip(1)
            .filter(move |_| open)
            .map(|(number, reading)| (number, reading.moved, &*reading.memory))
    }

    /// What the file may be, given that there is no kernel in it. Where no page tables are in it either (`is_empty`), it looks at
    /// some hundred pages.
    pub(crate) fn suspicion(&self, is_empty: bool) -> Vec<String> {
        let content = || if is_empty { content::of(self) } else { None };
        // A page file has no tables that refer to themselves.
        let fits = |suspect: &&String| is_empty || !suspect.contains(known::PAGE_FILE);
        self.suspects.iter().filter(fits).cloned().chain(content()).collect()
    }

    /// Whether whoever wrote the image left memory out of it on purpose, or because it was zero.
    pub(crate) const fn leaves_out(&self) -> bool {
        self.leaves_out
    }

    /// From now on, and for good, the image is read in another of its ways.
    pub(crate) fn adopt(&self, number: usize) {
        let _ = self.chosen.set(number);
    }

    /// The kind of file: `raw`, `crash_dump_full`, `lime` ...
    #[must_use]
    pub const fn format(&self) -> &'static str {
        self.format
    }

    /// The files that it is read from: the one that was named, its further parts, those that belong to it. Empty: it is in memory.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What the container says of the machine, if it says anything.
    #[must_use]
    pub const fn hints(&self) -> Option<&Hints> {
        self.hints.as_ref()
    }

    /// What is wrong with the file although it can be used, and how it was understood where it does not say.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        self.reading().map_or(&[], |reading| &reading.warnings)
    }

    /// What of the file was asked for until now and could not be had, although the file holds it: where it is damaged, and what memory is
    /// lost with that. `None`: nothing.
    #[must_use]
    pub fn damage(&self) -> Option<Warning> {
        self.damage.text(self).map(|message| Warning::new("image", message))
    }

    /// The pieces of physical memory that the file holds, in address order.
    pub fn runs(&self) -> impl Iterator<Item = PhysicalRun> + '_ {
        runs(self)
    }

    /// The record of the file that documents hold.
    #[must_use]
    pub fn info(&self) -> ImageInfo {
        let mut files = self.files.iter().map(|path| path.display().to_string());
        let path = files.next();
        let parts: Vec<String> = files.collect();
        ImageInfo {
            format: self.format.to_owned(),
            bytes: self.bytes,
            runs: self.runs().take(MAX_RUNS_LISTED).map(|run| (run.start, run.end())).collect(),
            parts: if parts.is_empty() { parts } else { path.iter().cloned().chain(parts).collect() },
            path,
            maker: self.maker.clone(),
            within: self.within.iter().map(|&name| name.to_owned()).collect(),
            hints: Vec::new(),
        }
    }
}

fn open(path: &Path) -> Result<Source, Error> {
    Source::open(path).map_err(|reason| Error::Open { path: path.to_owned(), reason })
}

impl PhysicalMemory for MemoryImage {
    fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        self.reading()?.memory.next_run(from)
    }

    fn read(&self, at: PhysicalAddress, buf: &mut [u8]) -> usize {
        let Some(reading) = self.reading() else { return 0 };
        let read = reading.memory.read(at, buf);
        if read < buf.len() {
            self.damage.note(&*reading.memory, at.wrapping_add(u64::try_from(read).unwrap_or(u64::MAX)));
        }
        read
    }

    fn borrow(&self, at: PhysicalAddress, len: usize) -> Option<&[u8]> {
        self.reading()?.memory.borrow(at, len)
    }

    fn file_offset(&self, at: PhysicalAddress) -> Option<u64> {
        // Offsets in what was unpacked are none in the file that the user has.
        self.reading().filter(|_| self.within.is_empty())?.memory.file_offset(at)
    }

    fn block_offset(&self, at: PhysicalAddress) -> Option<u64> {
        self.reading()?.memory.block_offset(at)
    }

    fn is_far(&self) -> bool {
        self.fetched.is_some()
    }

    fn prefetch(&self, piece: PhysicalRun) {
        if let Some(reading) = self.reading() {
            reading.memory.prefetch(piece);
        }
    }

    fn next_data(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        self.reading()?.memory.next_data(from)
    }
}
