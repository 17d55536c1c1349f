//! The command line program: arguments in, one report out. What is known and what is judged is the library's.
//!
//! A command is one file in `commands/`: its arguments, and [`args::Run`] for them. `args.rs` lists the commands.

mod answer;
mod args;
mod chosen;
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
    // Page files, further parts of images, what a folder or a list names: none of them begins as text does.
    if output.is_file() && !is_text(output) {
        let output = output.display();
        return Err(Usage(format!(
            "--output would overwrite {output}, which is no text and may be evidence: name another file"
        )));
    }
    let symbols = command.common().into_iter().flat_map(|common| &common.source.symbols.symbols).map(PathBuf::as_path);
    let lists = command.files().into_iter().filter_map(|file| file.to_str()?.strip_prefix('@').map(Path::new));
    let page_files = command.common().into_iter().flat_map(|common| &common.source.reading.page_files);
    let page_files = page_files.map(PathBuf::as_path);
    if let Some(image) = command.files().into_iter().find(|image| output.is_file() && is_part_of(output, image)) {
        let (output, image) = (output.display(), image.display());
        return Err(Usage(format!(
            "--output would overwrite {output}, which may belong to {image}: name another file"
        )));
    }
    match command
        .files()
        .into_iter()
        .chain(symbols)
        .chain(lists)
        .chain(page_files)
        .find(|input| is_same_file(input, output))
    {
        Some(input) => {
            Err(Usage(format!("--output {} would overwrite {}: name another file", output.display(), input.display())))
        }
        None => Ok(()),
    }
}

/// Whether a file has the name of a further part of an image, or of what a hypervisor keeps beside it: `r.002` beside `r.001`.
fn is_part_of(file: &Path, image: &Path) -> bool {
    let extension = file.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let belongs = |extension: &str| {
        extension.bytes().all(|digit| digit.is_ascii_digit())
            || ["vmx", "vmem", "vmss", "vmsn", "vmsd"].contains(&extension)
    };
    file.parent() == image.parent()
        && file.file_stem() == image.file_stem()
        && extension.is_some_and(|extension| belongs(&extension))
}

/// Whether a file that exists begins as what this program writes: with text, or with nothing.
fn is_text(file: &Path) -> bool {
    use std::io::Read as _;
    let mut start = Vec::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(4096).read_to_end(&mut start));
    // The last letter may be cut.
    let text = std::str::from_utf8(&start).map_or_else(|error| error.error_len().is_none(), |_| true);
    read.is_ok() && text && !start.contains(&0)
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
