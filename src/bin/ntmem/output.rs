//! Where results, warnings and progress go.

use crate::exit::Usage;
use crate::options::{Format, ResultOptions};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ntmem::report::{Event, Page, Palette, Report, Row, TextStyle};
use ntmem::{Timestamp, Warning};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Columns where nothing tells how many there are.
const WIDTH: usize = 80;

/// Where the result goes.
pub struct Output {
    file: Option<PathBuf>,
    to: Box<dyn Write>,
}

impl Output {
    /// The file that `--output` names, made now, or standard output, which `-` is too.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn new(options: &ResultOptions) -> anyhow::Result<Self> {
        let file = options.output.clone().filter(|path| path.as_os_str() != "-");
        let to: Box<dyn Write> = match &file {
            Some(path) => {
                Box::new(std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?)
            }
            None => Box::new(std::io::stdout().lock()),
        };
        Ok(Self { file, to })
    }

    /// Writes a piece of the result.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = self.to.write_all(bytes).and_then(|()| self.to.flush());
        written.with_context(|| match &self.file {
            Some(path) => format!("cannot write {}", path.display()),
            None => "cannot write to standard output".to_owned(),
        })
    }
}

/// What a command tells of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// What is in it.
    #[default]
    Items,
    /// What happened: rows of events alone, because what reads timelines takes no others.
    Events,
    /// What is wrong with it: that it could not be analysed is told in the same rows.
    Verdicts,
}

/// How results are written.
#[derive(Clone, Copy)]
pub struct Style {
    pub format: Format,
    text: TextStyle,
    /// Of several images: each piece says which one it is about.
    several: bool,
    /// Of a folder or list: there may have been several.
    pub may_be_several: bool,
    pub told: Told,
}

/// A piece of a result.
#[derive(Default)]
pub struct Piece {
    /// What stands once above all pieces.
    pub head: Vec<u8>,
    pub bytes: Vec<u8>,
}

impl Style {
    /// The style that options ask for.
    ///
    /// # Errors
    /// There is no such form of several images.
    pub fn new(options: &ResultOptions, several: bool) -> Result<Self, Usage> {
        if several && options.format == Format::Html {
            return Err(Usage("html is about one image: name one, or ask for --format text, json or jsonl".to_owned()));
        }
        let stdout = std::io::stdout();
        let terminal = options.output.as_deref().is_none_or(|path| path.as_os_str() == "-") && stdout.is_terminal();
        let (width, cut) = match options.width {
            Some(0) => (usize::MAX, false),
            Some(width) => (width, true),
            None if terminal => (terminal_width(), true),
            None => (WIDTH, false),
        };
        let palette = if terminal && colour(&stdout) { Palette::ANSI } else { Palette::default() };
        Ok(Self {
            format: options.format,
            text: TextStyle { width, cut, palette },
            several,
            may_be_several: several,
            told: Told::Items,
        })
    }

    /// What stands before all answers.
    pub fn begin(&self, run: &Report) -> Vec<u8> {
        match self.format {
            Format::Json if self.several => b"[\n".to_vec(),
            Format::Jsonl if self.told != Told::Events => {
                let mut bytes = Vec::new();
                line(&mut bytes, &run.run_row());
                bytes
            }
            _ => Vec::new(),
        }
    }

    /// What stands after them.
    pub fn end(&self) -> &'static [u8] {
        if self.format == Format::Json && self.several { b"\n]\n" } else { b"" }
    }

    /// A document.
    pub fn document(&self, bytes: &mut Vec<u8>, first: bool, document: &impl Serialize) -> anyhow::Result<()> {
        if !first {
            bytes.extend(b",\n");
        }
        serde_json::to_writer_pretty(&mut *bytes, document)?;
        if !self.several {
            bytes.push(b'\n');
        }
        Ok(())
    }

    /// Pages about an image: text and CSV have room for the first.
    pub fn pages(&self, image: &str, host: Option<&str>, first: bool, pages: &[Page]) -> anyhow::Result<Piece> {
        let mut piece = Piece::default();
        let Some(page) = pages.first() else { return Ok(piece) };
        match self.format {
            Format::Html => piece.bytes = ntmem::report::html(&format!("ntmem: {image}"), pages).into_bytes(),
            Format::Csv => {
                let no_list = "csv is for lists; this command has --format text, json, jsonl and html";
                anyhow::ensure!(page.list().is_some(), Usage(no_list.to_owned()));
                piece = self.csv(image, host, page);
            }
            _ => {
                self.name(&mut piece.bytes, image, first);
                piece.bytes.extend(page.text(&self.text).into_bytes());
            }
        }
        Ok(piece)
    }

    /// The list of a page, with the image where there may be several.
    fn csv(&self, image: &str, host: Option<&str>, page: &Page) -> Piece {
        let lead = [("image", image), ("host", host.unwrap_or_default())];
        let lead: &[(&str, &str)] =
            if self.may_be_several || self.several || self.told != Told::Items { &lead } else { &[] };
        // That an image could not be analysed has a column of its own where its row would not be one of events or findings.
        let trail: &[(&str, &str)] = if self.fails_in_a_column() { &[("failed", "")] } else { &[] };
        Piece { head: page.csv_head(lead, trail).into_bytes(), bytes: page.csv(lead, trail, false).into_bytes() }
    }

    fn fails_in_a_column(&self) -> bool {
        self.format == Format::Csv && self.told == Told::Items && (self.several || self.may_be_several)
    }

    /// Which image the text below is about.
    fn name(&self, bytes: &mut Vec<u8>, image: &str, first: bool) {
        if self.several {
            let gap = if first { "" } else { "\n" };
            bytes.extend(format!("{gap}==> {} <==\n", ntmem::Shown(image)).into_bytes());
        }
    }

    /// What is said on standard output of an image that could not be analysed.
    pub fn failed(&self, image: &str, first: bool, reason: &str) -> Piece {
        let mut bytes = Vec::new();
        match self.format {
            Format::Csv if self.several && self.told == Told::Verdicts => {
                return self.csv(image, None, &ntmem::report::failure(reason));
            }
            Format::Csv if self.several && self.told == Told::Events => {
                return self.csv(image, None, &ntmem::report::timeline(&[not_analysed(image, reason)]));
            }
            Format::Jsonl if self.told == Told::Events => {
                Rows::new(&mut bytes, Some(image), None).add("event", &not_analysed(image, reason));
            }
            Format::Jsonl => failed(&mut bytes, image, reason),
            Format::Json if self.several => {
                let document = serde_json::json!({
                    "schema": ntmem::report::SCHEMA, "generator": ntmem::report::generator(),
                    "image": { "path": image }, "failed": reason,
                });
                // A value of its own always has such a form.
                let _ = self.document(&mut bytes, first, &document);
            }
            Format::Text if self.several => {
                self.name(&mut bytes, image, first);
                bytes.extend(b"not analysed\n");
            }
            _ => {}
        }
        Piece { bytes, ..Piece::default() }
    }

    /// A page after all answers: text only.
    pub fn last(&self, page: &Page) -> Vec<u8> {
        if self.format == Format::Text { format!("\n{}", page.text(&self.text)).into_bytes() } else { Vec::new() }
    }
}

/// Rows of images that could not be analysed, in a list whose columns are not known before the first that could be.
pub struct FailedLines {
    wanted: bool,
    /// How many columns the list has, once that is known.
    columns: Option<usize>,
    waiting: Vec<(String, String)>,
}

impl FailedLines {
    /// None so far.
    pub fn new(style: &Style) -> Self {
        Self { wanted: style.fails_in_a_column(), columns: None, waiting: Vec::new() }
    }

    /// One more.
    pub fn push(&mut self, image: &str, reason: &str) {
        if self.wanted {
            self.waiting.push((image.to_owned(), reason.to_owned()));
        }
    }

    /// Takes note of the line of column names.
    pub fn headed(&mut self, head: &[u8]) {
        if !head.is_empty() {
            // No name of a column has a comma.
            self.columns = Some(head.iter().filter(|byte| **byte == b',').count().saturating_add(1));
        }
    }

    /// Those that wait and can be written now.
    pub fn take(&mut self) -> String {
        let Some(columns) = self.columns else { return String::new() };
        let between = vec![""; columns.saturating_sub(2)];
        let line = |(image, reason): (String, String)| {
            ntmem::report::csv_line(&[&[image.as_str()], between.as_slice(), &[reason.as_str()]].concat())
        };
        std::mem::take(&mut self.waiting).into_iter().map(line).collect()
    }

    /// Those that wait still: no image could be analysed.
    pub fn last(&mut self) -> String {
        if self.waiting.is_empty() {
            return String::new();
        }
        self.columns = Some(2);
        ntmem::report::csv_line(&["image", "failed"]) + &self.take()
    }
}

/// What readers of timelines take of an image that could not be analysed: an event at the time when its file was written last, or now.
fn not_analysed(image: &str, reason: &str) -> Event {
    let written = std::fs::metadata(image).and_then(|file| file.modified()).ok();
    let reason = reason.lines().next().unwrap_or_default();
    Event::not_analysed(image, reason, Timestamp::of_system(written.unwrap_or_else(SystemTime::now)))
}

/// The row of an image that could not be analysed.
pub fn failed(bytes: &mut Vec<u8>, image: &str, reason: &str) {
    #[derive(Serialize)]
    struct Failed<'a> {
        reason: &'a str,
    }
    Rows::new(bytes, Some(image), None).add("failed", &Failed { reason });
}

/// Lines of JSON, each of which stands alone.
pub struct Rows<'b> {
    bytes: &'b mut Vec<u8>,
    image: Option<&'b str>,
    host: Option<&'b str>,
}

impl<'b> Rows<'b> {
    /// Rows about an image of a machine.
    pub const fn new(bytes: &'b mut Vec<u8>, image: Option<&'b str>, host: Option<&'b str>) -> Self {
        Self { bytes, image, host }
    }

    /// Adds one row of this type.
    pub fn add<T: Serialize>(&mut self, kind: &str, item: &T) {
        line(self.bytes, &Row { kind, image: self.image, host: self.host, item });
    }

    /// Adds rows of one type.
    pub fn each<T: Serialize>(&mut self, kind: &str, items: &[T]) {
        items.iter().for_each(|item| self.add(kind, item));
    }

    /// Adds the row of another image, which could not be analysed.
    pub fn failed(&mut self, image: &str, reason: &str) {
        failed(self.bytes, image, reason);
    }
}

/// A line of JSON: our own records always have such a form.
fn line<T: Serialize>(bytes: &mut Vec<u8>, item: &T) {
    let begin = bytes.len();
    if serde_json::to_writer(&mut *bytes, item).is_err() {
        bytes.truncate(begin);
        return;
    }
    bytes.push(b'\n');
}

fn terminal_width() -> usize {
    terminal_size::terminal_size().map_or(WIDTH, |(width, _)| usize::from(width.0))
}

/// Colour is for a terminal that has some, and for nobody who says NO_COLOR.
fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
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

/// Bars of single images would write over each other, and over that of the whole run.
static SEVERAL: AtomicBool = AtomicBool::new(false);

/// A bar on standard error, on a terminal only, once something has taken more than a second.
pub struct Progress {
    bar: ProgressBar,
    begun: Instant,
    quiet: bool,
}

impl Progress {
    /// A bar that is not shown yet.
    pub fn new(what: &'static str) -> Self {
        Self::with(what, "{msg} [{bar:30}] {bytes}/{total_bytes} {eta}", SEVERAL.load(Ordering::Relaxed))
    }

    /// A bar over several images, in place of theirs.
    pub fn over_images() -> Self {
        SEVERAL.store(true, Ordering::Relaxed);
        Self::with("images", "{msg} [{bar:30}] {pos}/{len} {eta}", false)
    }

    fn with(what: &'static str, template: &str, quiet: bool) -> Self {
        let bar = ProgressBar::hidden();
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        Self { bar, begun: Instant::now(), quiet }
    }

    /// Notes how far it is.
    pub fn at(&self, done: u64, total: u64) {
        if !self.quiet {
            show(&self.bar, self.begun, done, total);
        }
    }

    /// What notes how far a file is that comes from a server: its address, bytes that are here, bytes in all. The same bar
    /// shows it.
    #[cfg(feature = "symbol-server")]
    pub fn fetching(&self) -> impl Fn(&str, u64, Option<u64>) + Send + Sync + 'static {
        let (bar, begun, quiet) = (self.bar.clone(), self.begun, self.quiet);
        move |url, received, total| {
            if quiet {
                return;
            }
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
