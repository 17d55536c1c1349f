//! Where results, warnings and progress go.

use crate::args::{Common, Format};
use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use ntmem::Warning;
use ntmem::report::Report;
use serde::Serialize;
use std::io::{IsTerminal as _, Write};
use std::time::{Duration, Instant};

/// Where the result goes: a file, or standard output.
pub struct Output(Box<dyn Write>);

impl Output {
    /// Opens what `--output` names. Colour goes to a terminal alone.
    pub fn open(common: &Common) -> anyhow::Result<Self> {
        Ok(Self(match &common.output {
            Some(path) => {
                let file = std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
                Box::new(std::io::BufWriter::new(anstream::StripStream::new(file)))
            }
            None => Box::new(std::io::BufWriter::new(anstream::stdout())),
        }))
    }

    /// Writes text.
    pub fn text(&mut self, text: &str) -> anyhow::Result<()> {
        self.0.write_all(text.as_bytes())?;
        Ok(self.0.flush()?)
    }

    /// Writes a document, or (`lines`) one line for each of its parts.
    pub fn json<T: Serialize>(&mut self, format: Format, report: &Report, lines: &[T]) -> anyhow::Result<()> {
        if format == Format::Jsonl {
            for line in lines {
                serde_json::to_writer(&mut self.0, line)?;
                writeln!(self.0)?;
            }
        } else {
            serde_json::to_writer_pretty(&mut self.0, report)?;
            writeln!(self.0)?;
        }
        Ok(self.0.flush()?)
    }
}

/// Says on standard error what went wrong.
pub fn error(message: &str) {
    let red = AnsiColor::Red.on_default().bold();
    anstream::eprintln!("{red}error:{red:#} {}", printable(message));
}

/// Says on standard error what is worth knowing beside the result.
pub fn warnings(warnings: &[Warning]) {
    let yellow = AnsiColor::Yellow.on_default();
    for warning in warnings {
        anstream::eprintln!("{yellow}warning:{yellow:#} {}", printable(&warning.to_string()));
    }
}

/// Text that a hostile image may have written, without control characters but line ends.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// True if somebody closed the other end of the pipe: `ntmem pslist mem.raw | head`.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(std::io::ErrorKind::BrokenPipe)
    })
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
        if self.bar.is_hidden() && std::io::stderr().is_terminal() && self.begun.elapsed() > Duration::from_secs(1) {
            self.bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Styles for a terminal; anstream takes them out elsewhere.
pub fn styles() -> [(Style, Style); 0] {
    []
}
