//! Files that are compressed in one piece: unpacked once into a cache, in which the next run finds them.

use super::OpenOptions;
use super::source::Source;
use crate::Error;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Disk that is left alone, whatever is unpacked.
const RESERVE: u64 = 1 << 30;
/// Bytes unpacked at a time. Runs of zeros of this length become holes of the file.
const STEP: usize = 0x1_0000;
/// Bytes between two words about how far it is.
const TOLD: u64 = 16 << 20;

/// Reads a source as a stream.
pub(super) struct Stream {
    source: Source,
    at: u64,
}

impl Stream {
    pub(super) const fn new(source: Source) -> Self {
        Self { source, at: 0 }
    }

    pub(super) const fn source(&self) -> &Source {
        &self.source
    }

    /// How much was read.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    pub(super) const fn go_to(&mut self, at: u64) {
        self.at = at;
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(self.at, buf);
        self.at = self.at.saturating_add(u64::try_from(read).unwrap_or(0));
        Ok(read)
    }
}

impl Seek for Stream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.source.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// Unpacks `reader`, which reads `packed`, and gives what came out, with the file that holds it. `size`: how much that is, where the
/// container says so.
pub(super) fn to_cache(
    packed: &Source,
    mut reader: impl Read,
    size: Option<u64>,
    options: &OpenOptions<'_>,
) -> Result<(Source, PathBuf), Error> {
    let folder = options.cache.clone().or_else(folder).ok_or_else(|| Error::NotAnImage {
        what: "this file is compressed in one piece, and there is no folder to unpack it into".into(),
        advice: "Set NTMEM_CACHE to a folder with enough room, or unpack it yourself".into(),
    })?;
    let unwritable = |path: &Path, reason: io::Error| Error::NotAnImage {
        what: format!(
            "this file is compressed in one piece, and it cannot be unpacked into {}: {reason}",
            path.display()
        ),
        advice: "Set NTMEM_CACHE to a folder with enough room, or unpack it yourself".into(),
    };
    std::fs::create_dir_all(&folder).map_err(|reason| unwritable(&folder, reason))?;
    let path = folder.join(format!("{:032x}.unpacked", fingerprint(packed)));
    if let Ok(source) = Source::open(&path) {
        return Ok((source, path));
    }
    let free = free_space(&folder).map_or(u64::MAX, |free| free.saturating_sub(RESERVE));
    let limit = options.max_unpacked.unwrap_or(u64::MAX).min(free);
    let too_much = |size: Option<u64>| Error::NotAnImage {
        what: match size {
            Some(size) => format!("unpacked, this file has {} MiB, and {} MiB are allowed", size >> 20, limit >> 20),
            None => format!("unpacked, this file has more than the {} MiB that are allowed", limit >> 20),
        },
        advice: format!(
            "Allow more (--max-unpacked), or set NTMEM_CACHE to a folder with more room than {}, which has {} MiB to spare",
            folder.display(),
            free >> 20
        ),
    };
    if size.is_some_and(|size| size > limit) {
        return Err(too_much(size));
    }
    if let Some(notice) = options.notice {
        notice(&format!("unpacking into {}, {} MiB at most", path.display(), size.unwrap_or(limit) >> 20));
    }
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let written = write(&mut reader, &part, limit, size, options);
    let result = match written {
        Ok(true) => std::fs::rename(&part, &path)
            .and_then(|()| Source::open(&path))
            .map(|source| (source, path.clone()))
            .map_err(|reason| unwritable(&path, reason)),
        Ok(false) => Err(too_much(None)),
        Err(Failed::Written(reason)) => Err(unwritable(&part, reason)),
        Err(Failed::Read(reason)) => Err(Error::NotAnImage {
            what: format!("this file is compressed, and damaged or cut short: {reason}"),
            advice: "Copy it again; or unpack what can be unpacked of it yourself, and name that".into(),
        }),
    };
    let _ = std::fs::remove_file(&part);
    result
}

enum Failed {
    Read(io::Error),
    Written(io::Error),
}

/// Writes what is read as a sparse file. False: it is more than `limit`.
fn write(
    reader: &mut impl Read,
    path: &Path,
    limit: u64,
    size: Option<u64>,
    options: &OpenOptions<'_>,
) -> Result<bool, Failed> {
    let mut file = File::create(path).map_err(Failed::Written)?;
    let mut buf = vec![0; STEP];
    let (mut done, mut told) = (0u64, 0u64);
    loop {
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match reader.read(rest) {
                Ok(0) => break,
                Ok(read) => filled = filled.saturating_add(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failed::Read(error)),
            }
        }
        let bytes = buf.get(..filled).unwrap_or(&[]);
        if bytes.is_empty() {
            file.set_len(done).and_then(|()| file.flush()).map_err(Failed::Written)?;
            return Ok(true);
        }
        done = done.saturating_add(u64::try_from(filled).unwrap_or(0));
        if done > limit {
            return Ok(false);
        }
        let written = if bytes.iter().all(|byte| *byte == 0) {
            i64::try_from(filled).map_err(io::Error::other).and_then(|by| file.seek(SeekFrom::Current(by)).map(|_| ()))
        } else {
            file.write_all(bytes)
        };
        written.map_err(Failed::Written)?;
        if let Some(progress) = options.progress.filter(|_| done.saturating_sub(told) >= TOLD) {
            told = done;
            progress(done, size.unwrap_or(done).max(done));
        }
    }
}

/// The folder for what is unpacked: `NTMEM_CACHE`, or one in the user's folder for caches.
fn folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("NTMEM_CACHE").or_else(|| {
        let caches =
            set("XDG_CACHE_HOME").or_else(|| set("LOCALAPPDATA")).or_else(|| Some(set("HOME")?.join(".cache")))?;
        Some(caches.join("ntmem").join("unpacked"))
    })
}

/// Bytes that the user may still write where a folder is. `None`: not known.
#[cfg(unix)]
fn free_space(folder: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(folder).ok()?;
    about.f_bavail.checked_mul(about.f_frsize)
}

#[cfg(not(unix))]
fn free_space(_: &Path) -> Option<u64> {
    None
}

/// Names a packed file by its length and by samples of its bytes: in compressed data any of them tells two files apart.
fn fingerprint(packed: &Source) -> u128 {
    const SAMPLE: usize = 0x1_0000;
    const SAMPLES: u64 = 16;
    // FNV-1a of 128 bits.
    let mut hash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58du128;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    };
    add(&packed.len().to_le_bytes());
    for n in 0..=SAMPLES {
        let at = packed.len().saturating_sub(u64::try_from(SAMPLE).unwrap_or(0)) / SAMPLES;
        add(&packed.head(at.saturating_mul(n), SAMPLE));
    }
    hash
}
