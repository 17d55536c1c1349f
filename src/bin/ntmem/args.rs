//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use ntmem::symbols::SymbolStore;
use std::path::PathBuf;

const ABOUT: &str = "Looks into a Windows memory image, offline: processes, sessions, tokens, and whether smss.exe is what \
                     Windows would have made it.";

const AFTER: &str = "\
Symbols: the layouts of a kernel come from its own PDB, or from a Volatility 3
symbol file. `ntmem symbols IMAGE` says exactly which one an image needs and
where to fetch it. They are looked for under each --symbols DIR, in the local
folders of _NT_SYMBOL_PATH, and in the folder `symbols` beside the image.

Exit status: check: 0 clean, 1 violations, 2 inconclusive; every command:
3 could not analyse, 64 wrong usage, 0 otherwise.

Examples:
  ntmem check smss mem.raw --symbols C:\\Symbols
  ntmem pstree memory.dmp --symbols ntkrnlmp.pdb
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
    #[command(after_help = "Checks: smss (smss.exe, what it reads and what it builds). Without a name: all.")]
    Check(Check),
    /// The symbols this image needs, and where to get them
    Symbols(OneImage),
}

#[derive(Debug, Args)]
pub struct OneImage {
    /// The memory image
    pub image: PathBuf,
    #[command(flatten)]
    pub common: Common,
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
    #[arg(value_name = "NAME... IMAGE", required_unless_present = "report")]
    pub names: Vec<PathBuf>,
    /// Judge a saved JSON document (ours, or another tool's process list in that form) instead of an image
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Common {
    /// Where symbols are: a folder (symbol-server layout or flat), a PDB, or a Volatility 3 file; may be repeated
    #[arg(long, short, value_name = "DIR")]
    pub symbols: Vec<PathBuf>,
    /// How to write the result
    #[arg(long, short, value_enum, default_value_t)]
    pub format: Format,
    /// Write the result to a file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Search all of memory for processes too, exited and unlinked ones; takes as long as reading the file
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
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One document
    Json,
    /// One line for each process, session or outcome
    Jsonl,
}

fn address(text: &str) -> Result<u64, String> {
    ntmem::parse_hex(text).ok_or_else(|| format!("{text:?} is no hexadecimal address, such as 0x1ad000"))
}

impl Command {
    /// The files it reads, and what all commands take.
    pub fn inputs(&self) -> (Vec<&PathBuf>, &Common) {
        match self {
            Self::Info(of)
            | Self::Pslist(of)
            | Self::Pstree(of)
            | Self::Psxview(of)
            | Self::Sessions(of)
            | Self::Symbols(of) => (vec![&of.image], &of.common),
            Self::Registry(of) => (vec![&of.image], &of.common),
            Self::Hives(of) => (vec![&of.image], &of.common),
            Self::Check(of) => (of.names.iter().chain(&of.report).collect(), &of.common),
        }
    }
}

impl Common {
    /// Every place to look for symbols.
    pub fn store(&self, image: &std::path::Path) -> SymbolStore {
        let mut store = self.symbols.iter().fold(SymbolStore::new(), |store, place| {
            if place.is_file() { store.file(place) } else { store.directory(place) }
        });
        if let Ok(path) = std::env::var("_NT_SYMBOL_PATH") {
            store = store.nt_symbol_path(&path);
        }
        if let Some(beside) = image.parent().map(|folder| folder.join("symbols")).filter(|folder| folder.is_dir()) {
            store = store.directory(beside);
        }
        store
    }
}
