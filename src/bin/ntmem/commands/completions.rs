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
                manual(command, &mut bytes)?;
                std::io::stdout().write_all(&bytes).context("cannot write to standard output")?;
                return Ok(0);
            }
        };
        clap_complete::generate(shell, &mut command, "ntmem", &mut bytes);
        std::io::stdout().write_all(&bytes).context("cannot write to standard output")?;
        Ok(0)
    }
}

/// One page: the program, and below it each command with what it takes.
fn manual(mut command: clap::Command, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    command.build();
    let commands: Vec<clap::Command> =
        command.get_subcommands().filter(|of| of.get_name() != "help").cloned().collect();
    clap_mangen::Man::new(command).render(bytes)?;
    for of in commands {
        let name = of.get_bin_name().unwrap_or(of.get_name()).to_uppercase();
        let page = clap_mangen::Man::new(of);
        let mut sections = Vec::new();
        page.render_synopsis_section(&mut sections)?;
        page.render_description_section(&mut sections)?;
        page.render_options_section(&mut sections)?;
        page.render_extra_section(&mut sections)?;
        // Sections of a page of its own are parts of the command's section here.
        let sections = String::from_utf8_lossy(&sections).replace(".SH ", ".SS ");
        bytes.extend(format!(".SH \"{name}\"\n{sections}").into_bytes());
    }
    Ok(())
}
