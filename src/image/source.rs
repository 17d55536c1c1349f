//! The bytes of an image: a mapped file, or a buffer.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

/// Bytes of an image.
pub(super) enum Source {
    Mapped(memmap2::Mmap),
    Owned(Vec<u8>),
}

/// How many there are: nobody wants to see them all.
impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple(if matches!(self, Self::Mapped(_)) { "Mapped" } else { "Owned" }).field(&self.len()).finish()
    }
}

impl Source {
    /// Maps a file. Nothing of it is read.
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
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
        Ok(Self::Mapped(map))
    }
}

impl Source {
    /// Fetches a range of the file in one go: without it, a scan would fault page by page.
    #[cfg(unix)]
    pub(super) fn prefetch(&self, offset: u64, length: u64) {
        if let (Self::Mapped(map), Ok(offset), Ok(length)) = (self, usize::try_from(offset), usize::try_from(length)) {
            let _ = map.advise_range(memmap2::Advice::Sequential, offset, length);
        }
    }

    /// Other systems read ahead by themselves.
    #[cfg(not(unix))]
    pub(super) fn prefetch(&self, _: u64, _: u64) {}
}

impl Deref for Source {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}
