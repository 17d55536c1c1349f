//! `ntmem completions`: what a shell needs to complete the command line, and the manual page.

use crate::args::{Cli, Run};
use crate::options::Common;
use anyhow::Context as _;
use clap::{CommandFactory as _, ValueEnum};
use clap_complete::Shell;
use std::io::Write as _;
use std::path::Path;

/// Completions for a shell, or the manual page, on standard output
#[derive(Debug, clap::Args)]
#[command(after_help = "For bash: ntmem completions bash > ~/.local/share/bash-completion/completions/ntmem\n\
                        Manual page: ntmem completions man > ntmem.1; man ./ntmem.1")]
pub struct Args {
    /// What to write
    #[arg(value_enum)]
    what: What,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
    /// The manual page
    Man,
}

impl Run for Args {
    fn files(&self) -> Vec<&Path> {
        Vec::new()
    }

    fn common(&self) -> Option<&Common> {
        None
    }

    fn run(&self) -> anyhow::Result<u8> {
        let mut command = Cli::command();
        let mut bytes = Vec::new();
        let shell = match self.what {
            What::Bash => Shell::Bash,
            What::Elvish => Shell::Elvish,
            What::Fish => Shell::Fish,
            What::Powershell => Shell::PowerShell,
            What::Zsh => Shell::Zsh,
            What::Man => {
                clap_mangen::Man::new(command).render(&mut bytes)?;
                std::io::stdout().write_all(&bytes).context("cannot write to standard output")?;
                return Ok(0);
            }
        };
        clap_complete::generate(shell, &mut command, "ntmem", &mut bytes);
        std::io::stdout().write_all(&bytes).context("cannot write to standard output")?;
        Ok(0)
    }
}
