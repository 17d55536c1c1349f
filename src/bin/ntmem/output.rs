//! Where results, warnings and progress go.

use crate::options::{Common, Format, ResultOptions};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ntmem::Warning;
use ntmem::report::Palette;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Where the result goes, and in which form.
pub struct Output {
    file: Option<PathBuf>,
    format: Format,
}

impl Output {
    /// What `--output` and `--format` say.
    pub fn new(common: &Common) -> Self {
        Self::of(&common.result)
    }

    /// The same.
    pub fn of(options: &ResultOptions) -> Self {
        Self { file: options.output.clone(), format: options.format }
    }

    /// Writes the whole document, one line for each of `lines`, or what `text` writes. Returns the exit status 0.
    pub fn write<T: Serialize>(
        &self,
        document: &impl Serialize,
        lines: &[T],
        text: impl FnOnce(&mut String, &Palette) -> std::fmt::Result,
    ) -> anyhow::Result<u8> {
        let mut out: Box<dyn Write> = match &self.file {
            Some(path) => {
                Box::new(std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?)
            }
            None => Box::new(std::io::stdout().lock()),
        };
        let mut bytes = Vec::new();
        match self.format {
            Format::Text => {
                let mut written = String::new();
                let colour = self.file.is_none() && colour(&std::io::stdout());
                text(&mut written, &if colour { Palette::ANSI } else { Palette::default() })?;
                bytes = written.into_bytes();
            }
            Format::Json => {
                serde_json::to_writer_pretty(&mut bytes, document)?;
                bytes.push(b'\n');
            }
            Format::Jsonl => {
                for line in lines {
                    serde_json::to_writer(&mut bytes, line)?;
                    bytes.push(b'\n');
                }
            }
        }
        let written = out.write_all(&bytes).and_then(|()| out.flush());
        written.with_context(|| match &self.file {
            Some(path) => format!("cannot write {}", path.display()),
            None => "cannot write to standard output".to_owned(),
        })?;
        Ok(0)
    }
}

/// Colour is for a terminal, and for nobody who says NO_COLOR.
fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Says on standard error what went wrong.
pub fn error(message: &str) {
    say("error", "\u{1b}[1;31m", message);
}

/// Says on standard error what was done.
pub fn note(word: &str, message: &str) {
    say(word, "", message);
}

/// Says on standard error what is odd.
pub fn warning(message: &str) {
    say("warning", "\u{1b}[33m", message);
}

/// Says on standard error what is worth knowing beside the result.
pub fn warnings(warnings: &[Warning]) {
    for warning in warnings {
        self::warning(&warning.to_string());
    }
}

fn say(word: &str, style: &str, message: &str) {
    let (on, off) = if colour(&std::io::stderr()) { (style, "\u{1b}[0m") } else { ("", "") };
    // A hostile image may have written part of it.
    let shown: String = message.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect();
    // Not `eprintln!`, which panics where nobody reads it any more.
    let _ = writeln!(std::io::stderr(), "{on}{word}:{off} {shown}");
}

/// True if somebody closed the other end of the pipe: `ntmem pslist mem.raw | head`.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    error.chain().any(|cause| kind(cause) == Some(std::io::ErrorKind::BrokenPipe))
}

/// A bar on standard error, on a terminal only, once something has taken more than a second.
pub struct Progress {
    bar: ProgressBar,
    begun: Instant,
}

impl Progress {
    /// A bar that is not shown yet.
    pub fn new(what: &'static str) -> Self {
        let bar = ProgressBar::hidden();
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes} {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        Self { bar, begun: Instant::now() }
    }

    /// Notes how far it is.
    pub fn at(&self, done: u64, total: u64) {
        show(&self.bar, self.begun, done, total);
    }

    /// What notes how far a file is that comes from a server: its address, bytes that are here, bytes in all. The same bar
    /// shows it.
    #[cfg(feature = "symbol-server")]
    pub fn fetching(&self) -> impl Fn(&str, u64, Option<u64>) + Send + Sync + 'static {
        let (bar, begun) = (self.bar.clone(), self.begun);
        move |url, received, total| {
            let name = url.rsplit('/').next().unwrap_or_default();
            bar.set_message(format!("fetching {name}"));
            // Where the server does not say how long it is, the bar is full.
            show(&bar, begun, received, total.unwrap_or(received));
        }
    }
}

fn show(bar: &ProgressBar, begun: Instant, done: u64, total: u64) {
    if bar.is_hidden() && std::io::stderr().is_terminal() && begun.elapsed() > Duration::from_secs(1) {
        bar.set_draw_target(ProgressDrawTarget::stderr());
    }
    bar.set_length(total);
    bar.set_position(done);
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
