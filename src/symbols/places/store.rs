//! Where symbols are looked for: folders and files of this machine, and servers that were named.

use super::cache::Cache;
use super::nt_symbol_path;
use crate::symbols::files::pdb_file;
use crate::symbols::id::same_id;
use crate::symbols::names::{FileNames, is_plain};
#[cfg(feature = "symbol-server")]
use crate::symbols::{Fetching, Server};
use crate::symbols::{PackedKernel, PdbInfo, SymbolError, Symbols, Wanted, built_in};
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Entries of one folder that are looked at for a name in another case. Symbol servers' folders have one for each module.
const MAX_ENTRIES: usize = 1 << 16;
/// PDBs of other names in one folder that are opened to see whose they are: each costs a read of some hundred KiB.
const MAX_OTHERS: usize = 256;
/// Zip archives in one folder that are opened.
const MAX_ARCHIVES: usize = 16;

/// Files named one by one that are read without knowing whose they are.
const MAX_BY_HAND: usize = 8;

/// Folders and files that may have symbols, in the order in which they are asked. Servers that were named come after all of
/// them; nothing is contacted that was not named.
///
/// ```no_run
/// # use ntmem::{PdbInfo, symbols::{SymbolStore, Wanted}};
/// let store = SymbolStore::new().directory("symbols").nt_symbol_path(r"srv*D:\Symbols*https://example.org/symbols");
/// let needed = PdbInfo { name: "ntkrnlmp.pdb".into(), guid: "606FF669409B00F7FC8C61A9C1670129".into(), age: 1 };
/// match store.find(&needed, &Wanted { types: vec!["_EPROCESS"], globals: vec!["PsActiveProcessHead"], ..Wanted::default() }) {
///     Ok(symbols) => println!("{:?}", symbols.size_of("_EPROCESS")),
///     Err(missing) => eprintln!("{missing}"),
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct SymbolStore {
    places: Vec<Place>,
    trust: Trust,
    hidden: Vec<RangeInclusive<u32>>,
    cache: Option<Cache>,
    #[cfg(feature = "symbol-server")]
    offline: bool,
    #[cfg(feature = "symbol-server")]
    watcher: Option<Watcher>,
}

/// Which layouts are good enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Those of this very kernel, by the GUID and age of its PDB.
    Exact,
    /// Also those of another update of its build, if the image itself confirms them.
    Build,
    /// Also those of other builds, corrected by what the image itself proves.
    #[default]
    Any,
}

#[derive(Clone, Debug)]
pub(super) enum Place {
    Path(PathBuf),
    /// Somewhere that is not of this machine, and why it is not asked.
    Elsewhere(String),
    #[cfg(feature = "symbol-server")]
    Server(Server),
}

/// Who is told how far fetching is.
#[cfg(feature = "symbol-server")]
#[derive(Clone)]
struct Watcher(std::sync::Arc<dyn Fn(&Fetching<'_>) + Send + Sync>);

#[cfg(feature = "symbol-server")]
impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

impl SymbolStore {
    /// A store without any place.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder. It may be laid out as symbol servers and debuggers do (`NAME/GUIDAGE/NAME`, in one or two tiers), as
    /// Volatility 3 does (`GUID-AGE.json.xz`, also under `NAME/` or `windows/NAME/`), or just have the file in it, or zip
    /// archives of any of these, or packs (`.ntpack`). PDBs may be compressed (`NAME.pd_`).
    #[must_use]
    pub fn directory(mut self, folder: impl Into<PathBuf>) -> Self {
        self.places.push(Place::Path(folder.into()));
        self
    }

    /// Adds a file: a PDB, a compressed one, a Volatility 3 symbol file, or a zip archive of them, by its content.
    #[must_use]
    pub fn file(self, file: impl Into<PathBuf>) -> Self {
        // What is a folder and what a file is seen when it is asked.
        self.directory(file)
    }

    /// Adds the places of a debugger's symbol path, as `_NT_SYMBOL_PATH` has it: `srv*D:\Symbols*https://...;E:\pdb`.
    ///
    /// Servers in it are asked if the feature `symbol-server` is on (but see [`SymbolStore::offline`]), and what they send is
    /// kept in the folder before them. Without it, and network shares at all times, they are only listed if nothing is found.
    #[must_use]
    pub fn nt_symbol_path(mut self, path: &str) -> Self {
        self.places.extend(nt_symbol_path::places(path));
        self
    }

    /// Adds a server. It is asked if no local place has the symbols, whatever the order in which places were added.
    #[cfg(feature = "symbol-server")]
    #[must_use]
    pub fn server(mut self, server: Server) -> Self {
        self.places.push(Place::Server(server));
        self
    }

    /// Asks no server, named or not.
    #[cfg(feature = "symbol-server")]
    #[must_use]
    pub fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// Calls `watcher` as bytes come in from a server.
    #[cfg(feature = "symbol-server")]
    #[must_use]
    pub fn on_fetch(mut self, watcher: impl Fn(&Fetching<'_>) + Send + Sync + 'static) -> Self {
        self.watcher = Some(Watcher(std::sync::Arc::new(watcher)));
        self
    }

    /// Sets which layouts are good enough where there are none of this very kernel: [`Trust::Any`] unless told.
    #[must_use]
    pub fn trust(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    /// Leaves kernels of these build numbers out of the table in the crate, as if nobody knew them yet.
    #[must_use]
    pub fn without_builds(mut self, builds: RangeInclusive<u32>) -> Self {
        self.hidden.push(builds);
        self
    }

    /// Keeps what is read of symbol files in this folder, from one run to the next. Entries that are damaged are made again.
    #[must_use]
    pub fn cache(self, folder: impl Into<PathBuf>) -> Self {
        Self { cache: Some(Cache::new(folder.into())), ..self }
    }

    /// Which layouts are good enough.
    #[must_use]
    pub const fn trusted(&self) -> Trust {
        self.trust
    }

    /// The layouts of kernels in the crate's table that are not left out: see [`builds`](crate::symbols::builds).
    ///
    /// # Errors
    /// The table was made for fewer fields than are wanted.
    pub fn builds(
        &self,
        wanted: &Wanted,
        choose: impl Fn(u32) -> bool,
    ) -> Result<Vec<(PackedKernel, Symbols)>, SymbolError> {
        crate::symbols::builds(wanted, |build| !self.hides(build) && choose(build))
    }

    fn hides(&self, build: u32) -> bool {
        self.hidden.iter().any(|range| range.contains(&build))
    }

    /// The wanted symbols of the first file that has those of this very build. Within a folder a PDB is preferred. Where no
    /// file has them, the table in the crate may; [`Symbols::notes`] then say what was wrong with files that were there.
    ///
    /// # Errors
    /// [`SymbolError::Missing`], with every place that was looked at and what was there. If one file is all that the store
    /// has, the error says what is wrong with it.
    pub fn find(&self, needed: &PdbInfo, wanted: &Wanted) -> Result<Symbols, SymbolError> {
        let mut search = Search { needed, wanted, cache: self.cache.as_ref(), tried: Vec::new(), failed: Vec::new() };
        for place in &self.places {
            let found = match place {
                Place::Path(folder) if folder.is_dir() => search.folder(folder),
                Place::Path(file) => search.file(file),
                Place::Elsewhere(why) => {
                    search.tried.push(why.clone());
                    None
                }
                #[cfg(feature = "symbol-server")]
                Place::Server(_) => None,
            };
            if let Some(symbols) = found {
                return Ok(symbols);
            }
        }
        #[cfg(feature = "symbol-server")]
        if let Some(symbols) = self.ask_servers(&mut search) {
            return Ok(symbols);
        }
        let Search { tried, mut failed, .. } = search;
        // It has what the kernel reader asks for: who wants more is not served by it.
        let known = built_in::exact(needed, wanted).ok().flatten();
        if let Some((_, symbols)) = known.filter(|(build, _)| !build.is_some_and(|build| self.hides(build))) {
            let notes = failed.iter().map(ToString::to_string).collect();
            return Ok(Symbols { notes, ..symbols });
        }
        match (self.places.as_slice(), failed.pop()) {
            ([Place::Path(only)], Some(error)) if only.is_file() => Err(error),
            _ => Err(SymbolError::Missing { needed: Box::new(needed.clone()), tried }),
        }
    }

    /// The wanted symbols of the files that were named one by one, whichever kernel they are of: for a kernel of which nothing says
    /// which symbols are its own. Folders and servers, which hold many kernels', are not asked.
    pub fn by_hand<'s>(&'s self, wanted: &'s Wanted) -> impl Iterator<Item = Result<Symbols, SymbolError>> + use<'s> {
        let files = self.places.iter().filter_map(|place| match place {
            Place::Path(file) if file.is_file() => Some(file),
            _ => None,
        });
        files.take(MAX_BY_HAND).map(|file| crate::symbols::load(file, None, wanted))
    }

    /// What a server has is first kept here, and then read as any file.
    #[cfg(feature = "symbol-server")]
    fn ask_servers(&self, search: &mut Search<'_>) -> Option<Symbols> {
        let tell = |fetching: &Fetching<'_>| {
            if let Some(Watcher(watcher)) = &self.watcher {
                watcher(fetching);
            }
        };
        self.places.iter().find_map(|place| {
            let Place::Server(server) = place else { return None };
            if self.offline {
                search.tried.push(format!("{}: a server: not asked, only local places were to be", server.url()));
                return None;
            }
            let file = server.fetch(search.needed, search.wanted, &tell, &mut search.tried)?;
            search.file(&file)
        })
    }
}

/// One search, and what it came across.
struct Search<'a> {
    needed: &'a PdbInfo,
    wanted: &'a Wanted,
    cache: Option<&'a Cache>,
    tried: Vec<String>,
    /// What was wrong with files that are there.
    failed: Vec<SymbolError>,
}

impl Search<'_> {
    /// Asks a file; notes what is wrong with it.
    fn file(&mut self, file: &Path) -> Option<Symbols> {
        let loaded = match self.cache {
            Some(cache) => cache.load(file, self.needed, self.wanted),
            None => crate::symbols::load(file, Some(self.needed), self.wanted),
        };
        loaded
            .map_err(|error| {
                self.tried.push(error.of_file());
                self.failed.push(error);
            })
            .ok()
    }

    /// Asks the file that these names lead to from `folder`, or the compressed one beside it; notes it if there is none.
    fn inside(&mut self, folder: &Path, names: &[&str]) -> Option<Symbols> {
        let (_, folders) = names.split_last()?;
        let packed = FileNames::of(self.needed).packed;
        let files = [follow(folder, names), follow(folder, &[folders, &[packed.as_str()]].concat())];
        if files.iter().all(Option::is_none) {
            let place = names.iter().fold(folder.to_owned(), |path, name| path.join(name));
            self.tried.push(format!("{}: no such file", place.display()));
        }
        files.iter().flatten().find_map(|file| self.file(file))
    }

    fn folder(&mut self, folder: &Path) -> Option<Symbols> {
        let FileNames { pdb: name, folder: build, .. } = FileNames::of(self.needed);
        let pdb = self
            .inside(folder, &[name, &build, name])
            .or_else(|| self.two_tiers(folder, &[name, &build, name]))
            .or_else(|| self.inside(folder, &[&build, name]))
            .or_else(|| self.inside(folder, &[name]))
            .or_else(|| self.other_names(folder, name));
        pdb.or_else(|| self.symbol_files(folder, name)).or_else(|| self.archives(folder)).or_else(|| self.packs(folder))
    }

    /// Packs of layouts, whatever their names before the dot.
    fn packs(&mut self, folder: &Path) -> Option<Symbols> {
        let is_pack = |file: &PathBuf| file.extension().is_some_and(|it| it.eq_ignore_ascii_case("ntpack"));
        entries(folder).into_iter().filter(is_pack).find_map(|file| self.file(&file))
    }

    /// Large symbol servers put `ntkrnlmp.pdb` under `nt`, and have an `index2.txt` to say so.
    fn two_tiers(&mut self, folder: &Path, names: &[&str; 3]) -> Option<Symbols> {
        follow(folder, &["index2.txt"])?;
        let tier = names[0].get(..2)?;
        self.inside(folder, &[tier, names[0], names[1], names[2]])
    }

    /// A PDB may have been stored under a name that tells builds apart.
    fn other_names(&mut self, folder: &Path, name: &str) -> Option<Symbols> {
        let is_pdb =
            |file: &PathBuf| file.extension().is_some_and(|it| it.eq_ignore_ascii_case("pdb")) && file.is_file();
        let is_named = |file: &PathBuf| file.file_name().is_some_and(|it| it.eq_ignore_ascii_case(name));
        let others: Vec<_> = entries(folder).into_iter().filter(|file| is_pdb(file) && !is_named(file)).collect();
        for file in others.iter().take(MAX_OTHERS) {
            if pdb_file::identify(file).is_ok_and(|found| same_id(&found, self.needed))
                && let Some(symbols) = self.file(file)
            {
                return Some(symbols);
            }
        }
        match others.len() {
            0 => (),
            count @ 1..=MAX_OTHERS => self.tried.push(format!(
                "{}: {count} other .pdb files, none of them of this build or none that can be read",
                folder.display()
            )),
            count => self
                .tried
                .push(format!("{}: {count} other .pdb files, of which {MAX_OTHERS} were looked at", folder.display())),
        }
        None
    }

    /// Symbol files of Volatility 3, in its own folders or not.
    fn symbol_files(&mut self, folder: &Path, name: &str) -> Option<Symbols> {
        let files = FileNames::of(self.needed).symbol_files;
        for file in &files {
            for names in [&[file.as_str()][..], &[name, file], &["windows", name, file]] {
                if let Some(file) = follow(folder, names)
                    && let Some(symbols) = self.file(&file)
                {
                    return Some(symbols);
                }
            }
        }
        let [packed, plain] = files;
        self.tried.push(format!(
            "{}: no such file, nor {plain}, nor either of them under {name} or windows/{name}",
            folder.join(packed).display()
        ));
        None
    }

    /// Zip archives in a folder: Volatility 3's packs lie there as they were fetched.
    fn archives(&mut self, folder: &Path) -> Option<Symbols> {
        let is_zip = |file: &PathBuf| file.extension().is_some_and(|it| it.eq_ignore_ascii_case("zip"));
        entries(folder).iter().filter(|file| is_zip(file)).take(MAX_ARCHIVES).find_map(|file| self.file(file))
    }
}

/// The file that these names lead to from `folder`, in whatever case.
fn follow(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    let mut at = folder.to_owned();
    for name in names {
        at = child(&at, name)?;
    }
    at.is_file().then_some(at)
}

fn child(folder: &Path, name: &str) -> Option<PathBuf> {
    // Names come out of memory images: they shall not lead out of the folder.
    if !is_plain(name) {
        return None;
    }
    let exact = folder.join(name);
    if exact.exists() {
        return Some(exact);
    }
    entries(folder).into_iter().find(|path| path.file_name().is_some_and(|it| it.eq_ignore_ascii_case(name)))
}

/// What is in a folder, in order of names.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).into_iter().flatten().take(MAX_ENTRIES);
    let mut paths: Vec<_> = listed.filter_map(io::Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
