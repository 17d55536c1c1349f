//! The bytes of an image: a mapped file, a buffer, several of them one after the other, or what another container holds.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes at offsets.
pub(super) trait Bytes: Send + Sync {
    /// How many there are.
    fn len(&self) -> u64;

    /// Fills `buf` from `at` on, and returns the number of bytes read: fewer than asked for at the end, or where they cannot be had.
    fn read(&self, at: u64, buf: &mut [u8]) -> usize;

    /// The same for a few bytes of which nobody else asks: of a mapped file, without mapping their page.
    fn peek(&self, at: u64, buf: &mut [u8]) -> usize {
        self.read(at, buf)
    }

    /// Bytes from `at` on without a copy, as many as lie together, `len` at most. `None`: they must be read.
    fn lend(&self, _at: u64, _len: usize) -> Option<&[u8]> {
        None
    }

    /// Where in the file on disk the byte at `at` lies as it is. `None`: it is packed, or there is not one such file.
    fn file_offset(&self, _at: u64) -> Option<u64> {
        None
    }

    /// Where in the file on disk the compressed block begins that has the byte at `at`. `None`: it is in none.
    fn block_offset(&self, _at: u64) -> Option<u64> {
        None
    }

    /// Says that a range will be read soon.
    fn prefetch(&self, _at: u64, _len: u64) {}

    /// The first range `[from, to)` at or above `at` that is no hole of a sparse file.
    fn next_data(&self, at: u64) -> Option<(u64, u64)> {
        (at < self.len()).then(|| (at, self.len()))
    }
}

/// Bytes at offsets, shared, with what parsers ask of them.
#[derive(Clone)]
pub(super) struct Source(Arc<dyn Bytes>);

/// How many there are: nobody wants to see them all.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.len()).finish()
    }
}

impl Source {
    /// Whatever gives bytes.
    pub(super) fn new(bytes: impl Bytes + 'static) -> Self {
        Self(Arc::new(bytes))
    }

    /// Maps a file. Nothing of it is read.
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        Mapped::open(path).map(Self::new)
    }

    /// Several, one after the other.
    pub(super) fn joined(parts: Vec<Self>) -> Self {
        let mut length = 0u64;
        let parts = parts
            .into_iter()
            .map(|part| {
                let start = length;
                length = length.saturating_add(part.len());
                (start, part)
            })
            .collect();
        Self::new(Joined { parts, length })
    }

    /// The bytes from `from` on, `len` at most.
    pub(super) fn window(&self, from: u64, len: u64) -> Self {
        let len = len.min(self.len().saturating_sub(from));
        Self::new(Window { of: self.clone(), from, len })
    }

    /// The `N` bytes at `at`.
    pub(super) fn array<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        (self.read(at, &mut bytes) == N).then_some(bytes)
    }

    /// `len` bytes at `at`, copied. `None`: they are not all there. Whoever calls bounds `len`.
    pub(super) fn copy(&self, at: u64, len: usize) -> Option<Vec<u8>> {
        // Nothing is set aside for what is not there.
        let end = at.checked_add(u64::try_from(len).ok()?)?;
        if end > self.len() {
            return None;
        }
        let mut bytes = vec![0; len];
        (self.read(at, &mut bytes) == len).then_some(bytes)
    }

    /// Up to `len` bytes at `at`: fewer at the end.
    pub(super) fn head(&self, at: u64, len: usize) -> Vec<u8> {
        let left = usize::try_from(self.len().saturating_sub(at)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(left)];
        let read = self.read(at, &mut bytes);
        bytes.truncate(read);
        bytes
    }

    /// The byte at `at`.
    pub(super) fn u8(&self, at: u64) -> Option<u8> {
        self.array::<1>(at).map(|[byte]| byte)
    }

    /// The little-endian 16-bit number at `at`.
    pub(super) fn u16(&self, at: u64) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    /// The little-endian 32-bit number at `at`.
    pub(super) fn u32(&self, at: u64) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    /// The little-endian 64-bit number at `at`.
    pub(super) fn u64(&self, at: u64) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    /// The big-endian 16-bit number at `at`.
    pub(super) fn be_u16(&self, at: u64) -> Option<u16> {
        self.array(at).map(u16::from_be_bytes)
    }

    /// The big-endian 32-bit number at `at`.
    pub(super) fn be_u32(&self, at: u64) -> Option<u32> {
        self.array(at).map(u32::from_be_bytes)
    }

    /// The big-endian 64-bit number at `at`.
    pub(super) fn be_u64(&self, at: u64) -> Option<u64> {
        self.array(at).map(u64::from_be_bytes)
    }

    /// Whether `magic` stands at `at`.
    pub(super) fn has(&self, at: u64, magic: &[u8]) -> bool {
        self.head(at, magic.len()) == magic
    }
}

impl std::ops::Deref for Source {
    type Target = dyn Bytes;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// Copies as much of `from` at `at` as there is and fits, and returns how much that is.
fn copy_at(from: &[u8], at: u64, buf: &mut [u8]) -> usize {
    let rest = usize::try_from(at).ok().and_then(|at| from.get(at..)).unwrap_or(&[]);
    let len = rest.len().min(buf.len());
    if let (Some(to), Some(from)) = (buf.get_mut(..len), rest.get(..len)) {
        to.copy_from_slice(from);
    }
    len
}

fn lend_at(from: &[u8], at: u64, len: usize) -> Option<&[u8]> {
    let rest = from.get(usize::try_from(at).ok()?..)?;
    rest.get(..len.min(rest.len())).filter(|piece| !piece.is_empty())
}

impl Bytes for Vec<u8> {
    fn len(&self) -> u64 {
        u64::try_from(self.as_slice().len()).unwrap_or(u64::MAX)
    }

    fn read(&self, at: u64, buf: &mut [u8]) -> usize {
        copy_at(self, at, buf)
    }

    fn file_offset(&self, at: u64) -> Option<u64> {
        Some(at)
    }

    fn lend(&self, at: u64, len: usize) -> Option<&[u8]> {
        lend_at(self, at, len)
    }
}

/// A file in memory.
struct Mapped {
    map: memmap2::Mmap,
    /// Asked where its holes are.
    #[cfg_attr(not(unix), allow(dead_code))]
    file: File,
    /// The last answer about holes: from where it was asked, and the range that was found. A file system goes through its list of
    /// extents for each, and a scan asks for every few MiB.
    #[cfg_attr(not(unix), allow(dead_code))]
    last_data: Mutex<(u64, u64, u64)>,
}

impl Mapped {
    fn open(path: &Path) -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::FileTypeExt as _;
            let kind = std::fs::metadata(path)?.file_type();
            // Opening a pipe waits for whoever writes into it.
            if kind.is_fifo() || kind.is_socket() || kind.is_char_device() {
                return Err(std::io::Error::new(
                    std::io::ErrorKind::InvalidInput,
                    "it is a pipe or a device; write it to a file first, an image is read in any order",
                ));
            }
        }
        let file = File::open(path)?;
        let about = file.metadata()?;
        if about.is_dir() {
            return Err(std::io::Error::new(
                std::io::ErrorKind::IsADirectory,
                "it is a directory; name the image file in it",
            ));
        }
        if about.is_file() && about.len() == 0 {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "the file is empty: the acquisition wrote nothing, or the copy failed",
            ));
        }
        // SAFETY: the map is read-only and private to this value, and is only ever handed out as `&[u8]` of plain bytes,
        // for which every bit pattern is valid. What no program can rule out is that somebody else shortens or writes the
        // file meanwhile: evidence files do not change while they are examined, and the documentation of `MemoryImage::open`
        // asks for that.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(&file) }?;
        // Kernel objects lie all over memory: reading ahead would read what nobody asks for.
        #[cfg(unix)]
        let _ = map.advise(memmap2::Advice::Random);
        Ok(Self { map, file, last_data: Mutex::default() })
    }
}

impl Bytes for Mapped {
    fn len(&self) -> u64 {
        u64::try_from(self.map.len()).unwrap_or(u64::MAX)
    }

    fn read(&self, at: u64, buf: &mut [u8]) -> usize {
        copy_at(&self.map, at, buf)
    }

    #[cfg(unix)]
    fn peek(&self, at: u64, buf: &mut [u8]) -> usize {
        use std::os::unix::fs::FileExt as _;
        match self.file.read_at(buf, at) {
            Ok(read) if read == buf.len() => read,
            _ => self.read(at, buf),
        }
    }

    fn file_offset(&self, at: u64) -> Option<u64> {
        Some(at)
    }

    fn lend(&self, at: u64, len: usize) -> Option<&[u8]> {
        lend_at(&self.map, at, len)
    }

    /// Fetches a range of the file in one go: without it, a scan would fault page by page. Other systems read ahead by themselves.
    #[cfg(unix)]
    fn prefetch(&self, at: u64, len: u64) {
        if let (Ok(at), Ok(len)) = (usize::try_from(at), usize::try_from(len)) {
            let _ = self.map.advise_range(memmap2::Advice::Sequential, at, len);
        }
    }

    #[cfg(unix)]
    fn next_data(&self, at: u64) -> Option<(u64, u64)> {
        use rustix::fs::{SeekFrom, seek};
        use rustix::io::Errno;
        if at >= self.len() {
            return None;
        }
        let mut last = self.last_data.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, from, to) = *last;
        if asked <= at && at < to {
            return Some((at.max(from), to));
        }
        let from = match seek(&self.file, SeekFrom::Data(at)) {
            Ok(from) => from,
            // Nothing but a hole is left.
            Err(Errno::NXIO) => return None,
            // The file system does not know.
            Err(_) => return Some((at, self.len())),
        };
        let to = seek(&self.file, SeekFrom::Hole(from)).unwrap_or(self.len()).min(self.len());
        if from >= to {
            return None;
        }
        *last = (at, from, to);
        Some((from, to))
    }
}

/// Several sources, each with the offset at which it begins.
struct Joined {
    parts: Vec<(u64, Source)>,
    length: u64,
}

impl Joined {
    /// The part that holds `at`, and the offset in it.
    fn part(&self, at: u64) -> Option<(u64, &Source)> {
        let after = self.parts.partition_point(|(start, _)| *start <= at);
        let (start, part) = self.parts.get(after.checked_sub(1)?)?;
        let within = at.checked_sub(*start).filter(|within| *within < part.len())?;
        Some((within, part))
    }
}

impl Bytes for Joined {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, at: u64, buf: &mut [u8]) -> usize {
        let mut done = 0usize;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let now = u64::try_from(done).ok().and_then(|done| at.checked_add(done));
            let Some((within, part)) = now.and_then(|at| self.part(at)) else { break };
            let read = part.read(within, rest);
            if read == 0 {
                break;
            }
            done = done.saturating_add(read);
        }
        done
    }

    fn lend(&self, at: u64, len: usize) -> Option<&[u8]> {
        let (within, part) = self.part(at)?;
        part.lend(within, len)
    }

    fn block_offset(&self, at: u64) -> Option<u64> {
        let (within, part) = self.part(at)?;
        part.block_offset(within)
    }

    fn prefetch(&self, at: u64, len: u64) {
        let mut at = at;
        let end = at.saturating_add(len);
        while let Some((within, part)) = self.part(at).filter(|_| at < end) {
            let here = part.len().saturating_sub(within).min(end.saturating_sub(at));
            part.prefetch(within, here);
            at = at.saturating_add(here);
        }
    }

    fn next_data(&self, at: u64) -> Option<(u64, u64)> {
        let mut at = at;
        while let Some((within, part)) = self.part(at) {
            let start = at.saturating_sub(within);
            if let Some((from, to)) = part.next_data(within) {
                return Some((start.saturating_add(from), start.saturating_add(to)));
            }
            at = start.saturating_add(part.len());
        }
        None
    }
}

/// A range of another source.
struct Window {
    of: Source,
    from: u64,
    len: u64,
}

impl Window {
    /// Where `at` lies in the whole, and how many bytes of `len` from there belong to the window.
    fn place(&self, at: u64, len: usize) -> Option<(u64, usize)> {
        let left = self.len.checked_sub(at).filter(|left| *left > 0)?;
        Some((self.from.checked_add(at)?, len.min(usize::try_from(left).unwrap_or(usize::MAX))))
    }
}

impl Bytes for Window {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, at: u64, buf: &mut [u8]) -> usize {
        let Some((at, len)) = self.place(at, buf.len()) else { return 0 };
        buf.get_mut(..len).map_or(0, |buf| self.of.read(at, buf))
    }

    fn lend(&self, at: u64, len: usize) -> Option<&[u8]> {
        let (at, len) = self.place(at, len)?;
        self.of.lend(at, len)
    }

    fn file_offset(&self, at: u64) -> Option<u64> {
        self.of.file_offset(self.from.checked_add(at)?)
    }

    fn block_offset(&self, at: u64) -> Option<u64> {
        self.of.block_offset(self.from.checked_add(at)?)
    }

    fn prefetch(&self, at: u64, len: u64) {
        if let Some(at) = self.from.checked_add(at) {
            self.of.prefetch(at, len);
        }
    }

    fn next_data(&self, at: u64) -> Option<(u64, u64)> {
        let (from, to) = self.of.next_data(self.from.checked_add(at)?)?;
        let (from, to) = (from.saturating_sub(self.from), to.saturating_sub(self.from).min(self.len));
        (from < to).then_some((from, to))
    }
}
