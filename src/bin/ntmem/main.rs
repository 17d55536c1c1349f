//! The command line program: arguments in, one report out. What is known and what is judged is the library's.

mod args;
mod output;

use anyhow::Context as _;
use args::{Check, Cli, Command, Common, Format, OneImage};
use clap::Parser as _;
use ntmem::kernel::{Kernel, LocateOptions};
use ntmem::report::{Report, text};
use ntmem::{MemoryImage, PhysicalAddress, System, Verdict, VirtualAddress, Warning, check_smss};
use output::{Output, Progress};
use std::path::Path;
use std::process::ExitCode;

/// Could not analyse.
const FAILED: u8 = 3;
/// Wrong usage, as in sysexits.h.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(&cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&format!("{error:#}"));
            ExitCode::from(if error.is::<Usage>() { USAGE } else { FAILED })
        }
    }
}

/// The command line asks for something that there is not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn run(command: &Command) -> anyhow::Result<u8> {
    match command {
        Command::Info(of) => {
            show(of, |report, palette| text::info(&report.system, palette), Report::clone_without_processes)
        }
        Command::Pslist(of) => show(of, |report, palette| text::pslist(&report.system, palette), Clone::clone),
        Command::Pstree(of) => show(of, |report, palette| text::pstree(&report.system, palette), Clone::clone),
        Command::Sessions(of) => show(of, |report, palette| text::sessions(&report.system, palette), Clone::clone),
        Command::Check(of) => check(of),
        Command::Symbols(of) => symbols(of),
    }
}
