//! Files that are compressed in one piece: unpacked once into a cache, in which the next run finds them.

use super::OpenOptions;
use super::source::Source;
use crate::Error;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    // What was unpacked before, whole.
    let whole = |source: &Source| size.is_none_or(|size| size == source.len());
    if let Some(source) = Source::open(&path).ok().filter(whole) {
        return Ok((source, path));
    }
    remove_leftovers(&folder);
    let free = free_space(&folder).map_or(u64::MAX, |free| free.saturating_sub(RESERVE));
    let room = Room { allowed: options.max_unpacked.unwrap_or(u64::MAX), free };
    let limit = room.limit();
    let too_much = |size: Option<u64>| room.refuse(size, &folder);
    if size.is_some_and(|size| size > limit) {
        return Err(too_much(size));
    }
    if let Some(notice) = options.notice {
        notice(&format!("unpacking into {}, {} MiB at most", path.display(), size.unwrap_or(limit) >> 20));
    }
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let written = write(&mut reader, &part, limit, size, options);
    let result = match written {
        Ok(true) if std::fs::metadata(&part).is_ok_and(|about| about.len() == 0) => Err(Error::NotAnImage {
            what: "this file is compressed, and holds nothing".into(),
            advice: "Name the memory image; if this should be one, it was empty when it was compressed".into(),
        }),
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

/// Bytes that may be unpacked.
#[derive(Clone, Copy)]
struct Room {
    /// By whoever calls.
    allowed: u64,
    /// By the disk.
    free: u64,
}

impl Room {
    fn limit(self) -> u64 {
        self.allowed.min(self.free)
    }

    /// Says what there is too much of, and what gives room: what limits, and that alone. `size`: what it takes, where that is known.
    fn refuse(self, size: Option<u64>, folder: &Path) -> Error {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let limit = self.limit() >> 20;
        let takes = match size {
            Some(size) => format!("unpacked, this file has {} MiB", mib(size)),
            None => format!("unpacked, this file has more than {limit} MiB"),
        };
        let (mut why, mut advice) = (Vec::new(), Vec::new());
        let least = size.unwrap_or_else(|| self.limit().saturating_add(1));
        if self.allowed < least {
            why.push(format!("{} MiB are allowed", self.allowed >> 20));
            advice.push(match size {
                Some(size) => format!("allow more: --max-unpacked {}M", mib(size)),
                None => "allow more with --max-unpacked".to_owned(),
            });
        }
        if self.free < least {
            let folder = folder.display();
            why.push(format!("{folder} has room for {} MiB", self.free >> 20));
            advice.push(format!(
                "set NTMEM_CACHE to a folder on a disk with more room, or remove what was unpacked before from {folder}"
            ));
        }
        let mut advice = advice.join("; ");
        if let Some(first) = advice.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Error::NotAnImage { what: format!("{takes}, and {}", why.join(", and ")), advice }
    }
}

/// How long after its last byte a file is held for left behind by a program that was stopped while it unpacked.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3600);

/// Removes what programs that were stopped while they unpacked have left behind: nobody else does, and it can be as large as a machine.
fn remove_leftovers(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        // The folder may hold other people's files.
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('.'));
        let is_ours = |(sum, rest): (&str, &str)| {
            sum.len() == 32 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()) && rest.ends_with(".part")
        };
        if name.is_some_and(is_ours) && age().is_some_and(|age| age > LEFT_BEHIND) {
            let _ = std::fs::remove_file(&path);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    /// The advice names what limits, and that alone: to allow more is of no use on a full disk.
    #[test]
    fn advice_about_room_helps() {
        let folder = Path::new("/cache");
        let said = |allowed, free, size| Room { allowed, free }.refuse(size, folder).to_string();
        let mib = 1u64 << 20;
        let allowed = said(8 * mib, 100 * mib, Some(20 * mib + 1));
        assert!(allowed.contains("has 21 MiB, and 8 MiB are allowed"), "{allowed}");
        assert!(allowed.contains("Allow more: --max-unpacked 21M") && !allowed.contains("NTMEM_CACHE"), "{allowed}");
        let full = said(u64::MAX, 8 * mib, Some(20 * mib));
        assert!(full.contains("room for 8 MiB") && full.contains("Set NTMEM_CACHE"), "{full}");
        assert!(!full.contains("--max-unpacked"), "{full}");
        let both = said(9 * mib, 8 * mib, Some(20 * mib));
        assert!(both.contains("--max-unpacked 20M") && both.contains("set NTMEM_CACHE"), "{both}");
        let unknown = said(8 * mib, 100 * mib, None);
        assert!(unknown.contains("more than 8 MiB") && unknown.contains("--max-unpacked"), "{unknown}");
        assert!(!unknown.contains("NTMEM_CACHE"), "{unknown}");
        assert!(said(u64::MAX, 0, None).contains("room for 0 MiB"));
    }

    #[test]
    fn what_was_left_behind_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let sum = "0123456789abcdef0123456789abcdef";
        let old = SystemTime::now() - LEFT_BEHIND - Duration::from_secs(60);
        for (name, time) in [
            (format!("{sum}.12.part"), old),
            (format!("{sum}.13.part"), SystemTime::now()),
            (format!("{sum}.unpacked"), old),
            ("evidence.part".to_owned(), old),
            (format!("{}.zip.part", sum.replace('0', "x")), old),
        ] {
            File::create(folder.path().join(name)).unwrap().set_modified(time).unwrap();
        }
        remove_leftovers(folder.path());
        let mut left: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|one| one.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let expected = [
            format!("{sum}.13.part"),
            format!("{sum}.unpacked"),
            "evidence.part".to_owned(),
            format!("{}.zip.part", sum.replace('0', "x")),
        ];
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(left, expected);
    }
}
