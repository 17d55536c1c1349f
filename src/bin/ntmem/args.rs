//! The command line.

use crate::output::Progress;
use clap::{Args, Parser, Subcommand, ValueEnum};
use ntmem::symbols::{SymbolStore, Trust, user_folder};
use std::path::{Path, PathBuf};

const ABOUT: &str = "Looks into a Windows memory image, offline: processes, sessions, tokens, and whether smss.exe is what \
                     Windows would have made it.";

const AFTER: &str = "\
Symbols: no file is needed. The layouts of most kernels are built in; those of
an unknown kernel are worked out from the image, and the result says so. Its own
PDB or Volatility 3 symbol file is better still: `ntmem symbols IMAGE...` says
exactly which one and where to fetch it. Files are looked for under each
--symbols DIR, in the folders of _NT_SYMBOL_PATH, and in the folder `symbols`
beside the image; then, only with --fetch or if _NT_SYMBOL_PATH names a server,
on that server.

Exit status: check: 0 clean, 1 violations, 2 inconclusive; every command:
3 could not analyse, 64 wrong usage, 0 otherwise.

Examples:
  ntmem check smss mem.raw
  ntmem pstree memory.dmp --symbols C:\\Symbols --symbols ntkrnlmp.pdb
  ntmem symbols *.raw --format json > to-fetch.json
  ntmem symbols pack C:\\Symbols --output kernels.ntpack
  ntmem pslist mem.raw --format jsonl > processes.jsonl
  ntmem check smss --report processes.json";

#[derive(Debug, Parser)]
#[command(name = "ntmem", version, about = ABOUT, after_help = AFTER, max_term_width = 80)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// What the image is: format, kernel, build, symbols, clocks
    Info(OneImage),
    /// The processes, a line each
    Pslist(OneImage),
    /// The processes as a tree
    Pstree(OneImage),
    /// The cross view: which of the kernel's lists hold each process, and what explains it
    Psxview(OneImage),
    /// The sessions: who built each, and what runs there
    Sessions(OneImage),
    /// A key with its subkeys and values, from the hives in memory
    #[command(
        after_help = "KEY may start with HKLM\\, HKU\\, \\REGISTRY\\MACHINE\\ or the hive's name (SYSTEM\\Setup); upper and lower case are one. CurrentControlSet is the set that Select\\Current names."
    )]
    Registry(OneKey),
    /// The hives in memory; with --extract, one of them as a file that hive tools open
    Hives(Hives),
    /// Compare with what Windows would have made (exit 0 clean, 1 violations, 2 inconclusive)
    #[command(
        override_usage = "ntmem check [OPTIONS] [NAME]... IMAGE\n       ntmem check [OPTIONS] [NAME]... --report FILE",
        after_help = "Checks: smss (smss.exe, what it reads and what it builds). Without a name: all."
    )]
    Check(Check),
    /// The symbols that images need, and where to get them; or a pack of those that are here
    Symbols(Symbols),
}

#[derive(Debug, Args)]
pub struct OneImage {
    /// The memory image
    pub image: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Symbols {
    #[command(subcommand)]
    pub pack: Option<SymbolsCommand>,
    /// The memory images (one named `pack` is `./pack`)
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Subcommand)]
pub enum SymbolsCommand {
    /// Turn folders of PDBs and Volatility 3 symbol files into one small file, for a machine that has none of them
    Pack(Pack),
}

#[derive(Debug, Args)]
pub struct Pack {
    /// Folders, looked into all the way down, and files
    #[arg(value_name = "DIR", required = true)]
    pub places: Vec<PathBuf>,
    /// The file to write; give it with --symbols
    #[arg(long, short, value_name = "FILE", default_value = "kernels.ntpack")]
    pub output: PathBuf,
}

#[derive(Debug, Args)]
pub struct OneKey {
    /// The key's path
    pub key: String,
    /// The memory image
    pub image: PathBuf,
    /// How many levels of subkeys to show with their values (JSON)
    #[arg(long, default_value_t = 1)]
    pub depth: u32,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Hives {
    /// The memory image
    pub image: PathBuf,
    /// Write this hive (its root, or the end of it: SYSTEM) to the file that --output names
    #[arg(long, value_name = "HIVE", requires = "output")]
    pub extract: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Check {
    /// Names of checks, and last the memory image
    #[arg(value_name = "NAME|IMAGE", required_unless_present = "report")]
    pub names: Vec<PathBuf>,
    /// Judge a saved JSON document (ours, or another tool's process list in that form) instead of an image
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Common {
    /// Where symbols are: a folder (symbol-server layout or flat), a PDB (also .pd_), a Volatility 3 file or zip pack, or a
    /// pack made by `ntmem symbols pack`; may be repeated
    #[arg(long, short, value_name = "DIR")]
    pub symbols: Vec<PathBuf>,
    /// Fetch missing symbols from this symbol server (Microsoft's unless told) and keep them in the user's cache folder
    #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true, value_parser = server,
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
    /// How to write the result
    #[arg(long, short, value_enum, default_value_t)]
    pub format: Format,
    /// Write the result to a file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Search all of memory too, once: for processes, exited and unlinked ones, by their objects and by their threads, and
    /// for hives that are in no list; takes as long as reading the file
    #[arg(long)]
    pub scan: bool,
    /// Physical address of System's page-table root, if it cannot be found
    #[arg(long, value_name = "ADDRESS", value_parser = address, help_heading = "If the kernel is not found")]
    pub dtb: Option<u64>,
    /// Virtual address of the kernel's image base, if it cannot be found
    #[arg(long, value_name = "ADDRESS", value_parser = address, help_heading = "If the kernel is not found")]
    pub kernel_base: Option<u64>,
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One document
    Json,
    /// One line of JSON for each process, session, outcome, hive or PDB
    Jsonl,
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

fn address(text: &str) -> Result<u64, String> {
    ntmem::parse_hex(text).ok_or_else(|| format!("{text:?} is no hexadecimal address, such as 0x1ad000"))
}

impl Command {
    /// The files it reads, and the one that it writes.
    pub fn inputs(&self) -> (Vec<&PathBuf>, Option<&PathBuf>) {
        let (mut files, common): (Vec<&PathBuf>, _) = match self {
            Self::Info(of) | Self::Pslist(of) | Self::Pstree(of) | Self::Psxview(of) | Self::Sessions(of) => {
                (vec![&of.image], &of.common)
            }
            Self::Symbols(Symbols { pack: Some(SymbolsCommand::Pack(of)), .. }) => {
                return (of.places.iter().collect(), Some(&of.output));
            }
            Self::Symbols(of) => (of.images.iter().collect(), &of.common),
            Self::Registry(of) => (vec![&of.image], &of.common),
            Self::Hives(of) => (vec![&of.image], &of.common),
            Self::Check(of) => (of.names.iter().chain(&of.report).collect(), &of.common),
        };
        files.extend(&common.symbols);
        (files, common.output.as_ref())
    }
}

impl Common {
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
