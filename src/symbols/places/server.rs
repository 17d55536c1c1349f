//! A symbol server: what is asked of it for one PDB, how the answer is checked, and where it is kept.

use super::download::{Failure, Limits, download};
use crate::symbols::names::{FileNames, is_plain};
use crate::symbols::{PdbInfo, SymbolError, Wanted};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::NamedTempFile;

/// Bytes of an answer that says where else a file is.
const MAX_POINTER: u64 = 4096;

/// A symbol server, and how patient to be with it.
///
/// ```no_run
/// # use ntmem::symbols::{Server, SymbolStore};
/// # use std::time::Duration;
/// let server = Server::new(Server::MICROSOFT).keep_in("symbols").timeout(Duration::from_secs(10));
/// let store = SymbolStore::new().directory("symbols").server(server);
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    url: String,
    keep: Option<PathBuf>,
    limits: Limits,
}

/// How far a file is that is being fetched.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Fetching<'a> {
    /// Its address.
    pub url: &'a str,
    /// Bytes that are here.
    pub received: u64,
    /// Bytes that it has, if the server says so.
    pub total: Option<u64>,
}

impl Server {
    /// Microsoft's public server.
    pub const MICROSOFT: &'static str = crate::symbols::names::MICROSOFT;

    /// A server by its `http://` or `https://` address. It is not contacted until symbols are looked for that no local
    /// place has.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), keep: None, limits: Limits::default() }
    }

    /// Where fetched files are kept, in the layout of symbol servers. Unless told: [`Server::default_folder`].
    #[must_use]
    pub fn keep_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.keep = Some(folder.into());
        self
    }

    /// How long the server may take to accept a connection, and be silent after that. Unless told: 30 seconds.
    #[must_use]
    pub fn timeout(mut self, silence: Duration) -> Self {
        self.limits.silence = silence;
        self
    }

    /// How often a file is asked for, if the server is busy or the connection breaks off: at least once. Unless told: 4 times.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.limits.attempts = attempts.max(1);
        self
    }

    /// How long to wait before the second attempt; twice as long before each further one. Unless told: half a second.
    #[must_use]
    pub fn backoff(mut self, first: Duration) -> Self {
        self.limits.backoff = first;
        self
    }

    /// Bytes that a file may have. Unless told: 512 MiB.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.limits.max_bytes = bytes;
        self
    }

    /// The address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The user's own folder for fetched symbols: `symbols` in [`user_folder`](crate::symbols::user_folder).
    #[must_use]
    pub fn default_folder() -> Option<PathBuf> {
        Some(crate::symbols::user_folder()?.join("symbols"))
    }

    /// Fetches the PDB of a build and keeps it. Returns the file; otherwise adds to `tried` what each request gave.
    pub(super) fn fetch(
        &self,
        needed: &PdbInfo,
        wanted: &Wanted,
        progress: &dyn Fn(&Fetching<'_>),
        tried: &mut Vec<String>,
    ) -> Option<PathBuf> {
        let names = FileNames::of(needed);
        if !is_plain(names.pdb) || !is_plain(&names.folder) {
            tried.push(format!("{}: not asked for a PDB of such a name: {:?}", self.url, needed.name));
            return None;
        }
        let Some(keep) = self.keep.clone().or_else(Self::default_folder) else {
            tried.push(format!("{}: not asked: there is no folder to keep its files in", self.url));
            return None;
        };
        let folder = keep.join(names.pdb).join(&names.folder);
        let base = format!("{}/{}/{}", self.url.trim_end_matches('/'), encoded(names.pdb), encoded(&names.folder));
        let one = Request { limits: &self.limits, needed, wanted, progress, folder: &folder };
        let mut asked = vec![(format!("{base}/{}", encoded(names.pdb)), names.pdb)];
        if cfg!(feature = "compressed-symbols") {
            asked.push((format!("{base}/{}", encoded(&names.packed)), &names.packed));
        }
        for (url, name) in asked {
            match one.file(&url, name) {
                Ok(file) => return Some(file),
                Err(why) => {
                    tried.push(format!("{url}: {why}"));
                    // A server that does not answer is not asked for the next.
                    if !matches!(why, Failure::NotFound(_) | Failure::Wrong(_)) {
                        return None;
                    }
                }
            }
        }
        let pointer = format!("{base}/file.ptr");
        match self.pointer(&pointer) {
            Ok(target) if is_url(&target) => match one.file(&target, names.pdb) {
                Ok(file) => return Some(file),
                Err(why) => tried.push(format!("{target} (named by {pointer}): {why}")),
            },
            Ok(target) => tried.push(format!("{pointer}: the file is at {target:?}, which is not asked")),
            Err(Failure::NotFound(_)) => (),
            Err(why) => tried.push(format!("{pointer}: {why}")),
        }
        None
    }

    /// Where a server says that a file is: its `file.ptr` has `PATH:` and a place, or `MSG:` and words.
    fn pointer(&self, url: &str) -> Result<String, Failure> {
        let mut answer = Vec::new();
        let limits = Limits { max_bytes: MAX_POINTER, ..self.limits.clone() };
        let mut file = tempfile::tempfile().map_err(|error| Failure::Final(error.to_string()))?;
        download(url, &limits, &mut file, &|_| ())?;
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(MAX_POINTER).read_to_end(&mut answer));
        read.map_err(|error| Failure::Final(error.to_string()))?;
        let text = String::from_utf8_lossy(&answer);
        let text = text.trim();
        match text.split_once(':') {
            Some((word, message)) if word.eq_ignore_ascii_case("MSG") => {
                Err(Failure::Final(format!("the server says: {:?}", message.trim())))
            }
            Some((word, path)) if word.eq_ignore_ascii_case("PATH") => Ok(path.trim().to_owned()),
            _ => Ok(text.to_owned()),
        }
    }
}

/// What all requests for one build share.
struct Request<'a> {
    limits: &'a Limits,
    needed: &'a PdbInfo,
    wanted: &'a Wanted,
    progress: &'a dyn Fn(&Fetching<'_>),
    folder: &'a Path,
}

impl Request<'_> {
    /// Fetches a file under another name, and gives it its own once it has been found to be what it should be.
    fn file(&self, url: &str, name: &str) -> Result<PathBuf, Failure> {
        if !is_url(url) {
            return Err(Failure::Final("neither an http:// nor an https:// address: not asked".to_owned()));
        }
        let target = self.folder.join(name);
        let cannot = |error: std::io::Error| Failure::Final(format!("cannot write {}: {error}", target.display()));
        let mut part = Part::new(self.folder).map_err(cannot)?;
        download(url, self.limits, part.file.as_file_mut(), self.progress)?;
        let kept = part.file.path();
        check(kept, self.needed, self.wanted).map_err(Failure::Wrong)?;
        part.file.as_file().sync_all().map_err(cannot)?;
        part.keep(&target).map_err(cannot)?;
        Ok(target)
    }
}

/// A file that is being fetched. It is deleted, with the folders that were made for it, unless it is kept.
struct Part {
    file: NamedTempFile,
    _folders: NewFolders,
}

/// Folders that were made, the innermost last.
struct NewFolders(Vec<PathBuf>);

impl Part {
    fn new(folder: &Path) -> std::io::Result<Self> {
        let missing = folder.ancestors().take_while(|at| !at.as_os_str().is_empty() && !at.exists());
        let mut folders: Vec<_> = missing.map(Path::to_owned).collect();
        folders.reverse();
        let folders = NewFolders(folders);
        fs::create_dir_all(folder)?;
        let mut named = tempfile::Builder::new();
        named.prefix("fetching-").suffix(".part");
        #[cfg(unix)]
        // As any new file: others may read it, if the user's mask lets them.
        named.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        Ok(Self { file: named.tempfile_in(folder)?, _folders: folders })
    }

    fn keep(self, name: &Path) -> std::io::Result<()> {
        self.file.persist(name).map(drop).map_err(|failed| failed.error)
    }
}

impl Drop for NewFolders {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            // One that has something in it stays.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Whether a fetched file has all its bytes, and the symbols of this very build.
fn check(file: &Path, needed: &PdbInfo, wanted: &Wanted) -> Result<(), String> {
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let mut start = Vec::new();
    let read = File::open(file).and_then(|open| open.take(64).read_to_end(&mut start));
    read.map_err(|error| error.to_string())?;
    let number = |at: usize| {
        let bytes = start.get(at..)?.first_chunk::<4>()?;
        Some(u64::from(u32::from_le_bytes(*bytes)))
    };
    let whole = if start.starts_with(b"Microsoft C/C++ MSF 7.00") {
        // Bytes of a page, and number of pages.
        number(0x20).zip(number(0x28)).and_then(|(page, pages)| page.checked_mul(pages))
    } else if start.starts_with(b"MSCF") {
        number(8)
    } else {
        None
    };
    if let Some(whole) = whole.filter(|whole| *whole > length) {
        return Err(format!("it has {length} bytes of {whole}"));
    }
    crate::symbols::load(file, Some(needed), wanted).map(drop).map_err(|error| match error {
        SymbolError::File { reason, .. } => reason,
        SymbolError::WrongId { found, .. } => {
            format!("it is of another build: GUID {}, age {}", found.guid, found.age)
        }
        other => other.to_string(),
    })
}

fn is_url(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"))
}

/// A name as part of an address (RFC 3986): it came out of an image.
fn encoded(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
