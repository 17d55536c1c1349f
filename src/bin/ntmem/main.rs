//! The command line program: arguments in, one report out. What is known and what is judged is the library's.
//!
//! A command is one file in `commands/`: its arguments, and [`args::Run`] for them. `args.rs` lists the commands.

mod answer;
mod args;
mod chosen;
mod commands;
mod evidence;
mod exit;
mod images;
mod open;
mod options;
mod output;

use args::Cli;
use clap::Parser as _;
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
    match evidence::spare(command).map_err(Into::into).and_then(|()| command.run()) {
        Ok(code) => ExitCode::from(code),
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&format!("{error:#}"));
            ExitCode::from(exit::code(&error))
        }
    }
}
