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
    let page = clap_mangen::Man::new(command.clone());
    page.render_title(bytes)?;
    page.render_name_section(bytes)?;
    synopsis(&mut command, ".SH", bytes);
    page.render_description_section(bytes)?;
    notes(&command, ".SH", bytes);
    for of in command.get_subcommands_mut() {
        section(of, bytes)?;
    }
    page.render_version_section(bytes)
}

/// The section of a command, and those of its own commands.
fn section(command: &mut clap::Command, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    if command.get_name() == "help" {
        return Ok(());
    }
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_uppercase();
    bytes.extend(format!(".SH \"{name}\"\n").into_bytes());
    synopsis(command, ".SS", bytes);
    let page = clap_mangen::Man::new(command.clone());
    let mut sections = Vec::new();
    page.render_description_section(&mut sections)?;
    page.render_options_section(&mut sections)?;
    // Sections of a page of its own are parts of the command's section here.
    bytes.extend(String::from_utf8_lossy(&sections).replace(".SH ", ".SS ").into_bytes());
    notes(command, ".SS", bytes);
    command.get_subcommands_mut().try_for_each(|of| section(of, bytes))
}

/// How the command is called, as its help says it.
fn synopsis(command: &mut clap::Command, heading: &str, bytes: &mut Vec<u8>) {
    let usage = command.render_usage().to_string();
    let usage = usage.trim().trim_start_matches("Usage:").trim();
    bytes.extend(format!("{heading} SYNOPSIS\n").into_bytes());
    lines(usage, bytes);
}

/// What the help says after the options.
fn notes(command: &clap::Command, heading: &str, bytes: &mut Vec<u8>) {
    if let Some(after) = command.get_after_long_help().or(command.get_after_help()) {
        bytes.extend(format!("{heading} NOTES\n").into_bytes());
        lines(&after.to_string(), bytes);
    }
}

/// Lines as they are: commands among them are to be pasted. Longer ones than a terminal has columns are filled.
fn lines(text: &str, bytes: &mut Vec<u8>) {
    const COLUMNS: usize = 80;
    for line in text.lines() {
        let fill = if line.chars().count() > COLUMNS { ".fi\n" } else { ".nf\n" };
        // A point or an apostrophe at the begin of a line would be a request.
        let guarded = line.replace('\\', "\\e").replace('-', "\\-");
        bytes.extend(format!("{fill}\\&{guarded}\n").into_bytes());
    }
    bytes.extend(b".fi\n");
}
