//! The command line program: arguments in, one report out. What is known and what is judged is the library's.
//!
//! A command is one file in `commands/`: its arguments, and [`args::Run`] for them. `args.rs` lists the commands.

mod answer;
mod args;
mod commands;
mod exit;
mod images;
mod open;
mod options;
mod output;

use args::{Cli, Run};
use clap::Parser as _;
use exit::Usage;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors.
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let command = cli.command.chosen();
    match spare_evidence(command).map_err(Into::into).and_then(|()| command.run()) {
        Ok(code) => ExitCode::from(code),
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&format!("{error:#}"));
            ExitCode::from(exit::code(&error))
        }
    }
}

/// Refuses to write the result over what it is made from.
fn spare_evidence(command: &dyn Run) -> Result<(), Usage> {
    let Some(output) = command.written() else { return Ok(()) };
    let symbols = command.common().into_iter().flat_map(|common| &common.source.symbols.symbols).map(PathBuf::as_path);
    match command.files().into_iter().chain(symbols).find(|input| is_same_file(input, output)) {
        Some(input) => {
            Err(Usage(format!("--output {} would overwrite {}: name another file", output.display(), input.display())))
        }
        None => Ok(()),
    }
}

/// Whether two paths lead to one file that exists.
fn is_same_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(one), Ok(other)) = (one.metadata(), other.metadata()) {
        use std::os::unix::fs::MetadataExt as _;
        return one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino());
    }
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
