//! Many images in one command: which, in parallel, in order.

use crate::answer::{Answer, Sheet};
use crate::exit::{self, Usage};
use crate::open;
use crate::options::{Common, Jobs, ResultOptions};
use crate::output::{self, Output, Progress, Style};
use anyhow::Context as _;
use ntmem::report::{self, Report, Summary};
use ntmem::{Error, MemoryImage};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

/// A folder of evidence holds some thousand images.
const MOST: usize = 1 << 20;
/// Images that may be done before one that stands before them.
const AHEAD: usize = 4;

/// The images that arguments name: files, folders of images, `@FILE` for a list, `-` for a list on standard input.
///
/// # Errors
/// A list or folder cannot be read, or there is nothing in it.
pub fn expand(arguments: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    for argument in arguments {
        let text = argument.to_string_lossy();
        if text == "-" {
            let mut list = String::new();
            std::io::stdin().read_to_string(&mut list).context("cannot read the list of images on standard input")?;
            images.extend(listed(&list, "standard input")?);
        } else if let Some(file) = text.strip_prefix('@').filter(|_| !argument.exists()) {
            let list =
                std::fs::read_to_string(file).with_context(|| format!("cannot read the list of images {file}"))?;
            images.extend(listed(&list, file)?);
        } else if argument.is_dir() {
            images.extend(of_folder(argument)?);
        } else {
            images.push(argument.clone());
        }
        anyhow::ensure!(images.len() <= MOST, Usage(format!("more than {MOST} images")));
    }
    Ok(images)
}

/// A path on each line.
fn listed(list: &str, file: &str) -> anyhow::Result<Vec<PathBuf>> {
    let images: Vec<PathBuf> = list.lines().map(str::trim).filter(|line| !line.is_empty()).map(PathBuf::from).collect();
    anyhow::ensure!(!images.is_empty(), "no image is named in {file}: it is to have a path on each line");
    Ok(images)
}

/// The images in a folder, by name; not those in folders below.
fn of_folder(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read the folder {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    let all = files.len();
    // What is of no kind that there are images of is something else; what is damaged is reported.
    files.retain(|file| !matches!(MemoryImage::open(file), Err(Error::NotAnImage { .. })));
    anyhow::ensure!(!files.is_empty(), "no memory image is in the folder {}", folder.display());
    let others = all.saturating_sub(files.len());
    if others > 0 {
        output::note("note", &format!("{}: {others} files are no memory images and are passed over", folder.display()));
    }
    Ok(files)
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
    run_as(arguments, jobs.number(), common, false, answer)
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
    run_as(std::slice::from_ref(image), 1, common, false, answer)
}

/// The same with rows of what happened alone.
///
/// # Errors
/// As [`run`].
pub fn run_of_events(
    arguments: &[PathBuf],
    jobs: &Jobs,
    common: &Common,
    answer: impl Fn(&Path, &Sheet<'_>) -> anyhow::Result<Answer> + Sync,
) -> anyhow::Result<u8> {
    run_as(arguments, jobs.number(), common, true, answer)
}

fn run_as(
    arguments: &[PathBuf],
    jobs: usize,
    common: &Common,
    events: bool,
    answer: impl Fn(&Path, &Sheet<'_>) -> anyhow::Result<Answer> + Sync,
) -> anyhow::Result<u8> {
    let images = expand(arguments)?;
    let several = images.len() > 1;
    let mut style = Style::new(&common.result, several)?;
    style.events = events;
    let done = |at: usize, image: &Path| answer(image, &Sheet { image: Some(image), first: at == 0, style });
    let mut out: Option<Output> = None;
    let mut code = 0;
    let mut summaries = Vec::new();
    let mut lone_failure = None;
    let progress = several.then(Progress::over_images);
    let count = u64::try_from(images.len()).unwrap_or(u64::MAX);
    in_order(&images, jobs, done, |at, image, answer| {
        if let Some(progress) = &progress {
            progress.at(u64::try_from(at).unwrap_or(u64::MAX), count);
        }
        let name = open::name(image);
        let bytes = match answer {
            Ok(answer) => {
                for warning in answer.warnings {
                    output::warning(&about(&name, several, &warning));
                }
                code = worst(code, answer.code);
                summaries.push(answer.summary);
                answer.bytes
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
                style.failed(&name, at == 0, &reason)
            }
        };
        if at == 0 && !(bytes.is_empty() && lone_failure.is_some()) {
            let mut opened = Output::new(&common.result)?;
            opened.write(&style.begin(&common.source.report()))?;
            out = Some(opened);
        }
        out.as_mut().map_or(Ok(()), |out| out.write(&bytes))
    })
    .or_else(|error| tolerate(error, code))?;
    if let Some(out) = &mut out {
        let mut last = style.end().to_vec();
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
    bytes.extend(answer.bytes);
    Output::new(result)?.write(&bytes)?;
    Ok(answer.code)
}

/// The verdict is in the exit status too: `ntmem check mem.raw | head` must not pass for clean.
fn tolerate(error: anyhow::Error, code: u8) -> anyhow::Result<()> {
    if output::is_broken_pipe(&error) && code != 0 { Ok(()) } else { Err(error) }
}

fn about(image: &str, several: bool, message: &str) -> String {
    if several { format!("{image}: {message}") } else { message.to_owned() }
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
