//! The command line.

use crate::commands::{
    check, completions, convert, dump, explain, hives, info, pslist, pstree, psxview, read, registry, selftest,
    sessions, show, symbols, timeline,
};
use crate::options::Common;
use clap::{Parser, Subcommand};
use std::path::Path;

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

Page files: what was in pagefile.sys or swapfile.sys when the image was taken is
read where copies of them are given with --pagefile; the compressed store of
Windows 10 and later is in memory, and read without being asked. Whatever could
not be read says which file would have it.

Exit status: check: 0 clean, 1 violations, 2 inconclusive; every command:
3 could not analyse, 4 the key or process asked for is not there, 64 wrong
usage, 0 otherwise. Of several images it is the worst: 3, 1, 2, 0.

Examples:
  ntmem check smss mem.raw
  ntmem check smss mem.raw --pagefile pagefile.sys --pagefile swapfile.sys
  ntmem read 0xfffff78000000000 mem.raw --bytes 64
  ntmem pstree memory.dmp --symbols C:\\Symbols --symbols ntkrnlmp.pdb
  ntmem symbols *.raw --format json > to-fetch.json
  ntmem symbols pack C:\\Symbols --output kernels.ntpack
  ntmem pslist mem.raw --format jsonl > processes.jsonl
  ntmem check smss --report processes.json
  ntmem show smss.exe mem.raw --only modules,handles
  ntmem check evidence/ --format jsonl > all.jsonl
  ntmem explain SMSS-021";

#[derive(Debug, Parser)]
#[command(name = "ntmem", version, about = ABOUT, after_help = AFTER, max_term_width = 80)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// What a command does with its arguments.
pub trait Run {
    /// The images that it is about, as they were named.
    fn files(&self) -> Vec<&Path>;

    /// The saved documents that it is about.
    fn documents(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// The options that all commands about images have.
    fn common(&self) -> Option<&Common>;

    /// The file that it writes instead of standard output.
    fn written(&self) -> Option<&Path> {
        self.common()?.result.output.as_deref()
    }

    /// Whether what lies there is an earlier result of this command, and no text.
    fn may_replace(&self, _written: &Path) -> bool {
        false
    }

    /// Does the work, and gives the exit status.
    ///
    /// # Errors
    /// What kept it from doing so; [`exit::code`](crate::exit::code) has the exit status for that.
    fn run(&self) -> anyhow::Result<u8>;
}

/// Declares the commands: name, module. The help is that of the module's `Args`.
macro_rules! commands {
    ($($name:ident => $module:ident,)*) => {
        #[derive(Debug, Subcommand)]
        pub enum Command {
            $($name($module::Args),)*
        }

        impl Command {
            /// The command that was given.
            pub fn chosen(&self) -> &dyn Run {
                match self {
                    $(Self::$name(args) => args,)*
                }
            }
        }
    };
}

commands! {
    Info => info,
    Pslist => pslist,
    Pstree => pstree,
    Psxview => psxview,
    Sessions => sessions,
    Show => show,
    Registry => registry,
    Hives => hives,
    Read => read,
    Dump => dump,
    Timeline => timeline,
    Check => check,
    Explain => explain,
    Symbols => symbols,
    Selftest => selftest,
    Convert => convert,
    Completions => completions,
}
