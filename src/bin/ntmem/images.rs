//! Many images in one command: which, in parallel, in order.

use crate::answer::{Answer, Sheet};
use crate::exit::{self, Usage};
use crate::open;
use crate::options::{Common, Jobs, ResultOptions};
use crate::output::{self, FailedLines, Output, Progress, Style, Told};
use anyhow::Context as _;
use ntmem::report::{self, Report, Summary};
use ntmem::{Error, MemoryImage};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

/// A folder of evidence holds some thousand images.
const MOST: usize = 1 << 20;
/// Images that may be done before one that stands before them.
const AHEAD: usize = 4;

/// The images that arguments name.
#[derive(Default)]
pub struct Expanded {
    /// Their paths, in order.
    pub images: Vec<PathBuf>,
    /// Why what stands in the place of some of them is none: a folder without images, a list that cannot be read.
    failed: BTreeMap<PathBuf, String>,
    /// What is worth telling: files of a folder that are passed over.
    notes: Vec<String>,
}

impl Expanded {
    /// The images that arguments name: files, folders of images, `@FILE` for a list, `-` for a list on standard input.
    pub fn of(arguments: &[PathBuf]) -> Self {
        let mut all = Self::default();
        for argument in arguments {
            let text = argument.to_string_lossy();
            let list = if text == "-" {
                let read = standard_input().map(str::to_owned).map_err(str::to_owned);
                Some((read, "standard input".to_owned()))
            } else {
                list_in(argument).map(|file| {
                    let read = std::fs::read_to_string(&file).map_err(|error| error.to_string());
                    (read, file.display().to_string())
                })
            };
            match list {
                None => all.add(argument),
                Some((Err(error), from)) => {
                    all.fail(argument, format!("cannot read the list of images {from}: {error}"));
                }
                Some((Ok(list), from)) => {
                    let before = all.images.len();
                    let lines =
                        list.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty());
                    lines.for_each(|line| all.add(Path::new(line)));
                    if all.images.len() == before {
                        all.fail(argument, format!("no image is named in {from}: it is to have a path on each line"));
                    }
                }
            }
        }
        all
    }

    /// An image, or those in a folder.
    fn add(&mut self, path: &Path) {
        if !path.is_dir() {
            self.images.push(path.to_owned());
        } else if let Err(error) = self.add_folder(path) {
            self.fail(path, format!("{error:#}"));
        }
    }

    /// As an image that cannot be opened: the others are looked at all the same.
    fn fail(&mut self, path: &Path, why: String) {
        self.images.push(path.to_owned());
        self.failed.insert(path.to_owned(), why);
    }

    /// The images in a folder, by name; not those in folders below. What else is in it is named.
    fn add_folder(&mut self, folder: &Path) -> anyhow::Result<()> {
        let cannot = || format!("cannot read the folder {}", folder.display());
        let mut images = Vec::new();
        let (mut others, mut folders, mut no_files) = (Vec::new(), Vec::new(), Vec::new());
        for entry in std::fs::read_dir(folder).with_context(cannot)? {
            let path = entry.with_context(cannot)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.is_file() {
                no_files.push(path);
            } else if is_meant_as_image(&path) || !matches!(MemoryImage::open(&path), Err(Error::NotAnImage { .. })) {
                images.push(path);
            } else {
                others.push(path);
            }
        }
        images.sort();
        let mut notes = Vec::new();
        for (paths, what) in [
            (others, "no memory images and are passed over"),
            (no_files, "no files, or lead to none, and are passed over"),
            (folders, "folders, which are not gone into: name them"),
        ] {
            if !paths.is_empty() {
                notes.push(format!("in {}, these are {what}: {}", folder.display(), names(paths)));
            }
        }
        if images.is_empty() {
            let more = notes.iter().map(|note| format!("\n{note}")).collect::<String>();
            anyhow::bail!("no memory image is in the folder {}{more}", folder.display());
        }
        self.images.extend(images);
        self.notes.extend(notes);
        Ok(())
    }

    /// The images that a command is to look at.
    ///
    /// # Errors
    /// They are too many.
    pub fn told(arguments: &[PathBuf]) -> anyhow::Result<Self> {
        let all = Self::of(arguments);
        anyhow::ensure!(all.images.len() <= MOST, Usage(format!("more than {MOST} images")));
        all.notes.iter().for_each(|note| output::note("note", note));
        Ok(all)
    }

    /// That a path stands for no image, if it does not.
    ///
    /// # Errors
    /// It does not.
    pub fn verify(&self, image: &Path) -> anyhow::Result<()> {
        self.failed.get(image).map_or(Ok(()), |why| Err(anyhow::anyhow!("{why}")))
    }
}

/// The file of a list that an argument names.
pub fn list_in(argument: &Path) -> Option<PathBuf> {
    let text = argument.to_string_lossy();
    text.strip_prefix('@').filter(|_| !argument.exists()).map(PathBuf::from)
}

/// What comes on standard input, which can be read but once.
fn standard_input() -> Result<&'static str, &'static str> {
    static READ: OnceLock<Result<String, String>> = OnceLock::new();
    let read = READ.get_or_init(|| {
        let mut list = String::new();
        std::io::stdin().read_to_string(&mut list).map(|_| list).map_err(|error| error.to_string())
    });
    read.as_deref().map_err(String::as_str)
}

/// Whether a file bears a name that images bear: what is wrong with it then, a copy that was cut short, is to be told of it.
fn is_meant_as_image(path: &Path) -> bool {
    const ENDS: [&str; 6] = ["raw", "mem", "dmp", "vmem", "lime", "avml"];
    let end = path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    ENDS.contains(&end.as_str())
}

/// Names of files, in order, the first of many.
fn names(mut paths: Vec<PathBuf>) -> String {
    /// Names that are told.
    const TOLD: usize = 50;
    paths.sort();
    let name = |path: &PathBuf| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let told: Vec<String> = paths.iter().take(TOLD).map(name).collect();
    match paths.len().saturating_sub(TOLD) {
        0 => told.join(", "),
        more => format!("{} and {more} more", told.join(", ")),
    }
}

/// Answers about every image, in their order, and gives the worst exit status: 3, 1, 2, 0.
///
/// # Errors
/// The result cannot be written, or the one image there is cannot be analysed.
pub fn run(
    arguments: &[PathBuf],
    jobs: &Jobs,
    common: &Common,
    answer: impl Fn(&Path, &Sheet<'_>) -> anyhow::Result<Answer> + Sync,
) -> anyhow::Result<u8> {
    run_as(arguments, jobs.number(), common, Told::Items, answer)
}

/// Answers about one image.
///
/// # Errors
/// It cannot be analysed, or the answer cannot be written.
pub fn run_one(
    image: &PathBuf,
    common: &Common,
    answer: impl Fn(&Path, &Sheet<'_>) -> anyhow::Result<Answer> + Sync,
) -> anyhow::Result<u8> {
    run_as(std::slice::from_ref(image), 1, common, Told::Items, answer)
}

/// The same of a command that tells this of each image.
///
/// # Errors
/// As [`run`].
pub fn run_as(
    arguments: &[PathBuf],
    jobs: usize,
    common: &Common,
    told: Told,
    answer: impl Fn(&Path, &Sheet<'_>) -> anyhow::Result<Answer> + Sync,
) -> anyhow::Result<u8> {
    let expanded = Expanded::told(arguments)?;
    let images = expanded.images.as_slice();
    let several = images.len() > 1;
    let mut style = Style::new(&common.result, several)?;
    style.told = told;
    // A folder that happens to hold one image gives the same columns as one with two.
    style.may_be_several = images != arguments;
    let done = |at: usize, image: &Path| {
        expanded.verify(image)?;
        answer(image, &Sheet { image: Some(image), first: at == 0, style })
    };
    let mut out: Option<Output> = None;
    let mut code = 0;
    let mut summaries = Vec::new();
    let mut lone_failure = None;
    // The first image may have none: it could not be analysed.
    let mut headed = false;
    let mut failed = FailedLines::new(&style);
    let progress = several.then(Progress::over_images);
    let count = u64::try_from(images.len()).unwrap_or(u64::MAX);
    in_order(images, jobs, done, |at, image, answer| {
        if let Some(progress) = &progress {
            progress.at(u64::try_from(at).unwrap_or(u64::MAX), count);
        }
        let name = open::name(image);
        let piece = match answer {
            Ok(answer) => {
                for warning in answer.warnings {
                    output::warning(&about(&name, several, &warning));
                }
                code = worst(code, answer.code);
                summaries.push(answer.summary);
                answer.piece
            }
            Err(error) => {
                let reason = format!("{error:#}");
                code = worst(code, exit::FAILED);
                summaries.push(Summary::failed(&name, &reason));
                if several {
                    output::error(&about(&name, several, &reason));
                } else {
                    lone_failure = Some(error);
                }
                failed.push(&name, &reason);
                style.failed(&name, at == 0, &reason)
            }
        };
        if at == 0 && !(piece.bytes.is_empty() && lone_failure.is_some()) {
            let mut opened = Output::new(&common.result)?;
            opened.write(&style.begin(&common.source.report()))?;
            out = Some(opened);
        }
        let head = if headed { &[][..] } else { &piece.head };
        headed |= !piece.head.is_empty();
        failed.headed(&piece.head);
        out.as_mut().map_or(Ok(()), |out| out.write(&[head, failed.take().as_bytes(), &piece.bytes].concat()))
    })
    .or_else(|error| tolerate(error, code))?;
    if let Some(out) = &mut out {
        let mut last = failed.last().into_bytes();
        last.extend(style.end());
        if several {
            last.extend(style.last(&report::summary(&summaries)));
        }
        out.write(&last).or_else(|error| tolerate(error, code))?;
    }
    match lone_failure {
        Some(error) => Err(error),
        None => Ok(code),
    }
}

/// Writes the one answer of a command that makes one out of all its images.
///
/// # Errors
/// It cannot be written, or there is no such form.
pub fn one(
    result: &ResultOptions,
    run: &Report,
    answer: impl FnOnce(&Sheet<'_>) -> anyhow::Result<Answer>,
) -> anyhow::Result<u8> {
    let style = Style::new(result, false)?;
    let answer = answer(&Sheet { image: None, first: true, style })?;
    let mut bytes = style.begin(run);
    bytes.extend(answer.piece.head);
    bytes.extend(answer.piece.bytes);
    Output::new(result)?.write(&bytes)?;
    Ok(answer.code)
}

/// The verdict is in the exit status too: `ntmem check mem.raw | head` must not pass for clean.
fn tolerate(error: anyhow::Error, code: u8) -> anyhow::Result<()> {
    if output::is_broken_pipe(&error) && code != 0 { Ok(()) } else { Err(error) }
}

fn about(image: &str, several: bool, message: &str) -> String {
    // Some messages begin with what could not be done to it.
    let named = message.starts_with(&format!("cannot open {image}:"));
    if several && !named { format!("{image}: {message}") } else { message.to_owned() }
}

/// The worse of two exit statuses: could not analyse, not there, violations, inconclusive.
pub fn worst(one: u8, other: u8) -> u8 {
    let rank =
        |code: u8| [exit::FAILED, exit::NOT_THERE, 1, 2].iter().position(|worse| *worse == code).unwrap_or(usize::MAX);
    if rank(one) <= rank(other) { one } else { other }
}

/// Works on several images at a time and takes what comes of them in their order. No image is begun that is far ahead of the
/// last one taken, so that little has to be kept.
fn in_order<T: Send>(
    images: &[PathBuf],
    jobs: usize,
    work: impl Fn(usize, &Path) -> T + Sync,
    mut take: impl FnMut(usize, &Path, T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if jobs <= 1 || images.len() <= 1 {
        return images.iter().enumerate().try_for_each(|(at, image)| take(at, image, work(at, image)));
    }
    struct State<T> {
        next: usize,
        taken: usize,
        ended: bool,
        done: BTreeMap<usize, T>,
    }
    let state = Mutex::new(State { next: 0, taken: 0, ended: false, done: BTreeMap::new() });
    let changed = Condvar::new();
    let ahead = jobs.saturating_mul(AHEAD);
    std::thread::scope(|threads| {
        for _ in 0..jobs {
            threads.spawn(|| {
                loop {
                    let mut now = state.lock().unwrap_or_else(PoisonError::into_inner);
                    while !now.ended && now.next >= now.taken.saturating_add(ahead) {
                        now = changed.wait(now).unwrap_or_else(PoisonError::into_inner);
                    }
                    let at = now.next;
                    let Some(image) = images.get(at).filter(|_| !now.ended) else { return };
                    now.next = at.saturating_add(1);
                    drop(now);
                    let result = work(at, image);
                    state.lock().unwrap_or_else(PoisonError::into_inner).done.insert(at, result);
                    changed.notify_all();
                }
            });
        }
        let mut all = || {
            for (at, image) in images.iter().enumerate() {
                let mut now = state.lock().unwrap_or_else(PoisonError::into_inner);
                let result = loop {
                    if let Some(result) = now.done.remove(&at) {
                        now.taken = at.saturating_add(1);
                        break result;
                    }
                    now = changed.wait(now).unwrap_or_else(PoisonError::into_inner);
                };
                drop(now);
                changed.notify_all();
                take(at, image, result)?;
            }
            Ok(())
        };
        let result = all();
        state.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        changed.notify_all();
        result
    })
}
