//! Copies of page files.

use super::super::fault::PageFileFault;
use crate::PAGE_SIZE;
use crate::addr::PAGE_BYTES;
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Pages that are looked at to tell whether a file holds anything: 1 GiB. Of a true page file the first of them tells.
const BLANK_PAGES: u64 = 1 << 18;

/// How files of packers begin.
const PACKED: [(&[u8], &str); 5] = [
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"PK\x03\x04", "ZIP"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\xfd7zXZ\x00", "xz"),
];

/// A copy of a page file (`pagefile.sys`, `swapfile.sys`), opened. Page *n* lies at 4096 × *n*; there is no header.
pub struct PageFile {
    name: String,
    bytes: u64,
    data: Mutex<Box<dyn ReadSeek>>,
}

trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

impl PageFile {
    /// Opens a file. Nothing of it is read yet.
    ///
    /// # Errors
    /// It cannot be opened, or is empty.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        // Asked before it is opened: a pipe would wait for somebody who writes.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let file = Self::new(path.display().to_string(), File::open(path)?)?;
        if file.is_empty() {
            return Err(io::Error::other("it is empty: the copy failed"));
        }
        match file.packed() {
            None if file.bytes < PAGE_SIZE => {
                Err(io::Error::other(format!("it has {} bytes, less than a page: the copy failed", file.bytes)))
            }
            Some(how) => Err(io::Error::other(format!("it is packed ({how}): unpack it, and give what comes out"))),
            None => Ok(file),
        }
    }

    /// Takes a page file that is in memory. `name` stands for it in messages, and is compared with the kernel's names.
    #[must_use]
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self { name: name.into(), bytes: length, data: Mutex::new(Box::new(Cursor::new(bytes))) }
    }

    fn new(name: String, mut data: impl ReadSeek + 'static) -> io::Result<Self> {
        let bytes = data.seek(SeekFrom::End(0))?;
        Ok(Self { name, bytes, data: Mutex::new(Box::new(data)) })
    }

    /// The path that it was opened by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The last part of its name.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.name.rsplit(['/', '\\']).next().unwrap_or_default()
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether it is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Whether it begins with nothing but zeros, as far as is looked.
    pub(crate) fn is_blank(&self) -> bool {
        let pages = (self.bytes / PAGE_SIZE).min(BLANK_PAGES);
        let mut pages = (0..pages).filter_map(|page| self.page(page.saturating_mul(PAGE_SIZE)).ok());
        pages.all(|page| *page == [0; PAGE_BYTES])
    }

    /// How it is packed. Page files are whole pages; one of them may begin like anything.
    fn packed(&self) -> Option<&'static str> {
        let mut start = Vec::new();
        let mut data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        data.seek(SeekFrom::Start(0)).ok()?;
        data.by_ref().take(PAGE_SIZE).read_to_end(&mut start).ok()?;
        let found = PACKED.iter().find(|(magic, _)| start.starts_with(magic));
        found.filter(|_| !self.bytes.is_multiple_of(PAGE_SIZE)).map(|(_, how)| *how)
    }

    /// The page at `offset`.
    ///
    /// # Errors
    /// The file has no whole page there, or cannot be read.
    pub(crate) fn page(&self, offset: u64) -> Result<Box<[u8; PAGE_BYTES]>, PageFileFault> {
        if offset.checked_add(PAGE_SIZE).is_none_or(|end| end > self.bytes) {
            return Err(PageFileFault::TooShort);
        }
        let mut page = Box::new([0u8; PAGE_BYTES]);
        let mut data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        let read = data.seek(SeekFrom::Start(offset)).and_then(|_| data.read_exact(page.as_mut_slice()));
        read.map(|()| page).map_err(|_| PageFileFault::Failed)
    }
}

impl fmt::Debug for PageFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageFile").field("name", &self.name).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_copies_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let opened = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            PageFile::open(path).map(|file| file.len()).map_err(|error| error.to_string())
        };
        for (magic, how) in PACKED {
            let packed = [magic, &[7; 500]].concat();
            assert!(opened("pagefile.sys", &packed).unwrap_err().contains(how));
            // Whole pages may hold what some process had.
            let page = [magic, &[0; PAGE_BYTES]].concat();
            assert_eq!(opened("pagefile.sys", &page[..PAGE_BYTES]), Ok(PAGE_SIZE));
        }
    }

    /// Opening a pipe waits for somebody who writes.
    #[cfg(unix)]
    #[test]
    fn a_pipe_is_no_page_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pagefile.sys");
        if std::process::Command::new("mkfifo").arg(&path).status().is_ok_and(|made| made.success()) {
            assert!(PageFile::open(path).unwrap_err().to_string().contains("no file"));
        }
    }
}
