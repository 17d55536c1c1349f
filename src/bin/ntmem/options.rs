//! Options that several commands take.

use crate::output::Progress;
use anyhow::Context as _;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum};
use ntmem::image::without_secrets;
use ntmem::kernel::LocateOptions;
use ntmem::report::{ProcessFilter, Users, path_word};
use ntmem::symbols::{SymbolStore, Trust, user_folder};
use ntmem::{PageFile, PhysicalAddress, Report, System, VirtualAddress, Warning};
use std::path::{Path, PathBuf};

/// What every command takes that prints something of an image.
#[derive(Debug, Args)]
pub struct Common {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub result: ResultOptions,
}

/// What every command takes that opens an image.
#[derive(Debug, Args)]
pub struct Source {
    #[command(flatten)]
    pub symbols: Symbols,
    #[command(flatten)]
    pub reading: Reading,
}

/// The images of a command that takes several.
#[derive(Debug, Args)]
pub struct Images {
    /// The memory images: files, folders of images, @FILE for a list of them, - for a list on standard input
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,
    #[command(flatten)]
    pub jobs: Jobs,
}

/// How many images are worked on at the same time.
#[derive(Debug, Args)]
pub struct Jobs {
    /// Images that are worked on at the same time: one for each processor unless told
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

impl Jobs {
    /// Images at a time: one for each processor unless told.
    pub fn number(&self) -> usize {
        self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
    }
}

impl Images {
    /// Their paths, as they were given.
    pub fn paths(&self) -> Vec<&Path> {
        self.images.iter().map(PathBuf::as_path).collect()
    }
}

/// Which processes to show.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which processes")]
pub struct Filter {
    /// With this pid
    #[arg(long, value_name = "PID,...", value_delimiter = ',')]
    pid: Vec<u64>,
    /// With this in the name, path or command line
    #[arg(long, value_name = "TEXT,...", value_delimiter = ',')]
    name: Vec<String>,
    /// Of this user: the SID, or part of the name
    #[arg(long, value_name = "USER,...", value_delimiter = ',')]
    user: Vec<String>,
    /// Of this session; `none`: of those that are in none
    #[arg(long, value_name = "ID|none,...", value_delimiter = ',', value_parser = session)]
    session: Vec<OfSession>,
}

/// A file or folder that is there.
fn existing(path: &str) -> Result<PathBuf, String> {
    std::fs::metadata(path).map(|_| PathBuf::from(path)).map_err(|error| error.to_string())
}

/// A session, or none.
#[derive(Clone, Copy, Debug)]
struct OfSession(Option<u32>);

fn session(text: &str) -> Result<OfSession, String> {
    match text {
        "none" => Ok(OfSession(None)),
        id => id.parse().map(|id| OfSession(Some(id))).map_err(|_| "the number of a session, or none".to_owned()),
    }
}

impl Filter {
    /// Leaves in a report the processes that are asked for, and says there who is not. True: all are there that are named.
    pub fn apply(&self, report: &mut Report) -> bool {
        let filter = ProcessFilter {
            pids: self.pid.clone(),
            names: self.name.clone(),
            users: self.user.clone(),
            sessions: self.session.iter().filter_map(|of| of.0).collect(),
            in_none: self.session.iter().any(|of| of.0.is_none()),
        };
        if filter.is_empty() {
            return true;
        }
        let users = Users::new(&report.system.machine);
        report.system.processes.filtered = true;
        report.system.processes.items.retain(|process| filter.takes(process, &users));
        let items = &report.system.processes.items;
        let there = |pid: &u64| items.iter().any(|process| process.pid.value() == Some(pid));
        let missing: Vec<String> = self.pid.iter().filter(|pid| !there(pid)).map(ToString::to_string).collect();
        let what = match missing.as_slice() {
            [] if items.is_empty() => "no process is as asked for".to_owned(),
            [] => return true,
            pids => format!("no process that is as asked for has pid {}", pids.join(", ")),
        };
        let more = if report.run.scan { "" } else { "; --scan finds more, exited and unlinked ones" };
        report.system.warnings.push(Warning::new("processes", format!("{what}{more}")));
        false
    }
}

/// How to write the result, and where.
#[derive(Debug, Args)]
#[command(next_help_heading = "Result")]
pub struct ResultOptions {
    /// How to write the result
    #[arg(long, short, value_enum, default_value_t)]
    pub format: Format,
    /// Write the result to a file instead of standard output (-)
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Columns of a line of text, 40 at least: those of the terminal unless told, 0 for as many as it takes. Paths and commands, which
    /// are to be copied, are not broken
    #[arg(long, value_name = "COLUMNS", value_parser = columns)]
    pub width: Option<usize>,
}

/// So many columns, or 0.
fn columns(text: &str) -> Result<usize, String> {
    /// What stands beside a name takes more than half of fewer.
    const LEAST: usize = 40;
    match text.parse() {
        Ok(number) if number == 0 || number >= LEAST => Ok(number),
        _ => Err(format!("a number of columns, {LEAST} at least, or 0 for as many as it takes")),
    }
}

impl Source {
    /// A report with how it was made, and nothing in it.
    pub fn report(&self) -> Report {
        let mut report = report();
        report.run.scan = self.reading.scan;
        report.run.options = self.repeated();
        report
    }

    /// What another command on the same image takes too, page files left out. What was fetched is there for it.
    fn repeated(&self) -> Vec<String> {
        let Symbols { symbols, trust, .. } = &self.symbols;
        let mut words = Vec::new();
        let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
        for place in symbols {
            add("--symbols", path_word(&place.display().to_string()));
        }
        if let Some(level) = trust.to_possible_value().filter(|_| *trust != Level::default()) {
            add("--trust", level.get_name().to_owned());
        }
        let Reading { dtb, kernel_base, max_unpacked, .. } = &self.reading;
        for (option, address) in [("--dtb", dtb), ("--kernel-base", kernel_base)] {
            if let Some(address) = address {
                add(option, format!("{address:#x}"));
            }
        }
        if let Some(bytes) = max_unpacked {
            add("--max-unpacked", bytes.to_string());
        }
        words
    }
}

/// A report with the arguments of the program, about no image.
pub fn report() -> Report {
    let mut report = Report::new(System::default());
    // A word that is no text is shown as well as it goes: it is for people.
    report.run.arguments = std::env::args_os().map(|word| without_secrets(&word.to_string_lossy())).collect();
    if let Some(program) = report.run.arguments.first_mut() {
        "ntmem".clone_into(program);
    }
    report
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One document
    Json,
    /// One line of JSON for each item; every line says what it is and of which image
    Jsonl,
    /// Comma-separated values: a line for each item of the list
    Csv,
    /// One file to read in a browser, without script
    Html,
}

impl Format {
    /// `--format` of a command that tells no list.
    pub fn without_csv(format: clap::Arg) -> clap::Arg {
        let values = Self::value_variants().iter().filter(|format| **format != Self::Csv);
        let values: Vec<_> = values.filter_map(Self::to_possible_value).collect();
        format.value_parser(PossibleValuesParser::new(values).try_map(|word| Self::from_str(&word, false)))
    }
}

/// How to read an image.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reading the image")]
pub struct Reading {
    /// Search all of memory too, once: for processes, exited and unlinked ones, by their objects and by their threads, and
    /// for hives that are in no list; takes as long as reading the file
    #[arg(long)]
    pub scan: bool,
    /// A copy of one of the machine's page files (pagefile.sys, swapfile.sys), or a folder with them; may be repeated, in any
    /// order: which is which is told by their content
    #[arg(long = "pagefile", value_name = "FILE")]
    pub page_files: Vec<PathBuf>,
    /// Tell the SHA-256 of the image file too
    #[arg(long)]
    pub sha256: bool,
    /// Physical address of System's page-table root, if it cannot be found
    #[arg(long, value_name = "ADDRESS", value_parser = address, help_heading = "If the kernel is not found")]
    pub dtb: Option<u64>,
    /// Virtual address of the kernel's image base, if it cannot be found
    #[arg(long, value_name = "ADDRESS", value_parser = address, help_heading = "If the kernel is not found")]
    pub kernel_base: Option<u64>,
    /// How much a compressed image may have when it is unpacked (64G, 500M); without it, what the disk has to spare
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "If the image is compressed")]
    pub max_unpacked: Option<u64>,
}

impl Reading {
    /// The page files: those that are named, and those in folders that are.
    ///
    /// # Errors
    /// A folder cannot be listed, or has none.
    pub fn page_file_paths(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for place in &self.page_files {
            if place.is_dir() {
                let before = paths.len();
                paths.extend(page_files_in(place)?);
                anyhow::ensure!(
                    paths.len() > before,
                    "{} has no file with pagefile or swapfile in its name: name the copy itself",
                    place.display()
                );
            } else {
                paths.push(place.clone());
            }
        }
        paths.sort();
        paths.dedup();
        Ok(paths)
    }

    /// Opens the page files.
    ///
    /// # Errors
    /// One cannot be opened, or a folder has none.
    pub fn open_page_files(&self) -> anyhow::Result<Vec<PageFile>> {
        let open = |path: &PathBuf| {
            PageFile::open(path).with_context(|| format!("cannot open the page file {}", path.display()))
        };
        self.page_file_paths()?.iter().map(open).collect()
    }

    /// Where the kernel is said to be.
    pub fn locate<'o>(&self, progress: &'o (dyn Fn(u64, u64) + Sync)) -> LocateOptions<'o> {
        LocateOptions {
            dtb: self.dtb.map(PhysicalAddress),
            kernel_base: self.kernel_base.map(VirtualAddress),
            thorough: self.scan,
            progress: Some(progress),
        }
    }
}

/// Shorter files are no page files: Windows makes none below 16 MiB, and tests have small ones.
const LEAST_PAGE_FILE: u64 = 1 << 16;

/// The files in a folder that Windows would name so; where there are none, those that people name after them: whole pages, and the word in
/// the name.
fn page_files_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = std::fs::read_dir(folder).with_context(|| format!("cannot look into {}", folder.display()))?;
    let files: Vec<PathBuf> =
        listed.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect();
    let name =
        |path: &Path| path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let words = ["pagefile", "swapfile"];
    let usual = |path: &&PathBuf| {
        let name = name(path);
        words.iter().any(|begins| name.starts_with(begins)) && name.ends_with(".sys")
    };
    let unusual = |path: &&PathBuf| {
        let bytes = path.metadata().map_or(0, |of| of.len());
        let name = name(path);
        words.iter().any(|word| name.contains(word)) && bytes >= LEAST_PAGE_FILE && bytes.is_multiple_of(4096)
    };
    let found: Vec<PathBuf> = files.iter().filter(usual).cloned().collect();
    Ok(if found.is_empty() { files.iter().filter(unusual).cloned().collect() } else { found })
}

/// A hexadecimal address.
pub fn address(text: &str) -> Result<u64, String> {
    ntmem::parse_hex(text).ok_or_else(|| format!("{text:?} is no hexadecimal address, such as 0x1ad000"))
}

/// A number of bytes, with K, M, G or T behind it.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text.get(digits.len()..).unwrap_or("").to_ascii_lowercase().trim_end_matches('b') {
        "" => Some(0),
        "k" | "ki" => Some(10),
        "m" | "mi" => Some(20),
        "g" | "gi" => Some(30),
        "t" | "ti" => Some(40),
        _ => None,
    };
    let bytes = shift.and_then(|shift| digits.parse::<u64>().ok()?.checked_mul(1u64 << shift));
    bytes.ok_or_else(|| format!("{text:?} is no size, such as 64G"))
}

/// Where symbols come from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Symbols")]
pub struct Symbols {
    /// Where symbols are: a folder (symbol-server layout or flat), a PDB (also .pd_), a Volatility 3 file or zip pack, or a
    /// pack made by `ntmem symbols pack`; may be repeated
    #[arg(long, short, value_name = "DIR", value_hint = clap::ValueHint::AnyPath, value_parser = existing)]
    pub symbols: Vec<PathBuf>,
    /// Fetch missing symbols from this symbol server (Microsoft's unless told) and keep them in the user's cache folder
    #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true, value_parser = server,
          hide = !cfg!(feature = "symbol-server"),
          default_missing_value = "https://msdl.microsoft.com/download/symbols")]
    pub fetch: Option<String>,
    /// Ask no server, not even one that _NT_SYMBOL_PATH names
    #[arg(long, conflicts_with = "fetch")]
    pub offline: bool,
    /// Which layouts will do where there are no symbols of this very kernel
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    pub trust: Level,
    /// Do not keep what is read of symbol files for the next run
    #[arg(long)]
    pub no_cache: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Those of this very kernel only: a symbol file, or the built-in table by its PDB
    Exact,
    /// Also the built-in table by build number, if the image confirms it
    Build,
    /// Also other builds' layouts, corrected by what the image proves
    #[default]
    Any,
}

fn server(text: &str) -> Result<String, String> {
    if !cfg!(feature = "symbol-server") {
        return Err(
            "this program was built without the network (feature `symbol-server`); `ntmem symbols IMAGE` says what \
                    to fetch elsewhere"
                .to_owned(),
        );
    }
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("http://") || lower.starts_with("https://") {
        Ok(text.to_owned())
    } else {
        Err("a symbol server's address starts with https:// or http://".to_owned())
    }
}

impl Symbols {
    /// Every place to look for symbols. `progress` shows how far fetching is.
    pub fn store(&self, image: &Path, progress: &Progress) -> SymbolStore {
        let mut store = self.symbols.iter().fold(SymbolStore::new(), |store, place| {
            if place.is_file() { store.file(place) } else { store.directory(place) }
        });
        if let Ok(path) = std::env::var("_NT_SYMBOL_PATH") {
            store = store.nt_symbol_path(&path);
        }
        if let Some(beside) = image.parent().map(|folder| folder.join("symbols")).filter(|folder| folder.is_dir()) {
            store = store.directory(beside);
        }
        store = store.trust(match self.trust {
            Level::Exact => Trust::Exact,
            Level::Build => Trust::Build,
            Level::Any => Trust::Any,
        });
        if let Some(folder) = user_folder().filter(|_| !self.no_cache) {
            store = store.cache(folder.join("layouts"));
        }
        self.servers(store, progress)
    }

    #[cfg(feature = "symbol-server")]
    fn servers(&self, mut store: SymbolStore, progress: &Progress) -> SymbolStore {
        use ntmem::symbols::Server;
        // What was fetched once is there for every later run.
        if let Some(fetched) = Server::default_folder().filter(|folder| folder.is_dir()) {
            store = store.directory(fetched);
        }
        if let Some(url) = &self.fetch {
            store = store.server(Server::new(url));
        }
        if self.offline {
            store = store.offline();
        }
        let show = progress.fetching();
        store.on_fetch(move |fetching| show(fetching.url, fetching.received, fetching.total))
    }

    #[cfg(not(feature = "symbol-server"))]
    fn servers(&self, store: SymbolStore, _: &Progress) -> SymbolStore {
        store
    }
}
