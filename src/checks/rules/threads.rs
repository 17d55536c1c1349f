//! Where the threads of a process start, and which lists have them: what SMSS-018 and SYS-11 share.

use super::modules::is_native;
use super::ranges::{Ranges, text};
use crate::checks::case::Case;
use crate::checks::paths::VolumePath;
use crate::checks::subject::Subject;
use crate::checks::{Missing, Outcome, Severity, Why};
use crate::kernel::{Thread, ThreadState};
use crate::picture::SessionModel;
use crate::{AbsentKind, ListEnd, Process, Reading, VirtualAddress};

/// How bad it is where threads of a process start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grades {
    /// Any image of the process is as good as its own.
    pub any_image: bool,
    /// In what is no image.
    pub elsewhere: Severity,
    /// Where nothing is mapped, of what waits or runs.
    pub nowhere: Severity,
    /// In the kernel. `None`: it is not judged.
    pub of_kernel: Option<Severity>,
}

/// A thread that is not as it should be.
struct Odd<'a> {
    severity: Severity,
    words: String,
    /// What it is, for a heading.
    kind: &'static str,
    field: &'static str,
    thread: &'a Thread,
}

/// What the threads of one process show.
pub(super) struct Threads<'a> {
    odd: Vec<Odd<'a>>,
    /// One that may be another's: its page may be torn.
    pub stray: Option<Missing>,
    /// One whose start could not be judged.
    pub open: Option<Missing>,
    /// Why they may not be all.
    pub missing: Option<Why>,
    /// Those that have not ended.
    pub number: usize,
}

/// Looks at all threads that have not ended.
pub(super) fn look<'a>(case: &Case<'_>, subject: &Subject<'a>, ranges: &Ranges<'_>, grades: Grades) -> Threads<'a> {
    let process = subject.process;
    let (live, missing) = threads(process);
    let mut all = Threads { odd: Vec::new(), stray: None, open: None, missing, number: live.len() };
    for thread in live {
        if let Some(why) = misnumbered(process, thread) {
            let what = format!("the owner of the thread at {}", text(&thread.address));
            all.stray.get_or_insert_with(|| Missing::new(what, why));
            continue;
        }
        let mut open = |why: Why| {
            all.open.get_or_insert(Missing::new(format!("the start address of thread {}", text(&thread.tid)), why));
        };
        let (severity, words, kind, field) = match start(case, subject, ranges, thread, grades.any_image) {
            Start::Right => match (unlisted(process, thread), renamed(case, process, thread)) {
                (Some(words), _) => (Severity::Medium, words, "a thread that its list lacks", "ThreadListEntry"),
                (None, Some((words, true))) => {
                    (Severity::Medium, words, "a thread that names another process", "Cid.UniqueProcess")
                }
                // What was lost names nobody.
                (None, Some((words, false))) => {
                    all.open.get_or_insert(Missing::new(
                        format!("the process that thread {} names", text(&thread.tid)),
                        format!("contradicted: it {words}, which is none"),
                    ));
                    continue;
                }
                (None, None) => continue,
            },
            Start::Elsewhere(words, field) => {
                (grades.elsewhere, format!("starts {words}"), "a thread from outside the image", field)
            }
            // What waits or runs started somewhere.
            Start::Nowhere(at, field) if is_at_work(thread) => {
                let words = format!("starts at {at}, where nothing is mapped");
                (grades.nowhere, words, "a thread from where nothing is mapped", field)
            }
            Start::Nowhere(at, _) => {
                open(format!("stale: nothing is mapped at {at} any more").into());
                continue;
            }
            Start::OfKernel(at, field) => match grades.of_kernel {
                Some(severity) => (
                    severity,
                    format!("starts at {at}, in the kernel"),
                    "a thread from an address of the kernel",
                    field,
                ),
                None => {
                    open(format!("an address of the kernel: {at}").into());
                    continue;
                }
            },
            Start::Unknown(why) => {
                open(why);
                continue;
            }
        };
        all.odd.push(Odd { severity, words, kind, field, thread });
    }
    all
}

impl Threads<'_> {
    /// The worst of what was found.
    pub(super) fn worst(&self) -> Option<Severity> {
        self.odd.iter().map(|odd| odd.severity).max()
    }

    /// What was found, in words.
    pub(super) fn words(&self) -> impl Iterator<Item = String> {
        self.odd.iter().map(|odd| format!("thread {} {}", text(&odd.thread.tid), odd.words))
    }

    /// What it is, for a heading.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.odd.iter().map(|odd| odd.kind)
    }

    /// Adds the evidence.
    pub(super) fn show(&self, process: &Process, outcome: Outcome) -> Outcome {
        self.odd.iter().fold(outcome, |outcome, odd| {
            let (place, start, value) = match odd.field {
                "StartAddress" => (odd.thread.at("start"), &odd.thread.start, None),
                "Win32StartAddress" => (odd.thread.at("win32_start"), &odd.thread.win32_start, None),
                "Cid.UniqueProcess" => (odd.thread.at("pid"), &Reading::Nothing, Some(text(&odd.thread.pid))),
                _ => (odd.thread.at("in_process_list"), &Reading::Nothing, None),
            };
            let value = value.or_else(|| start.value().map(ToString::to_string));
            outcome.seen_at(process, "_ETHREAD", odd.field, place, value).of_code(start)
        })
    }
}

/// It was scheduled, and has not ended.
fn is_at_work(thread: &Thread) -> bool {
    use ThreadState::{Initialized, Other, Terminated};
    thread.state.value().is_some_and(|state| !matches!(state, Initialized | Terminated | Other))
}

/// A thread that runs, and that the process's own list does not have although it was walked to its end.
fn unlisted(process: &Process, thread: &Thread) -> Option<String> {
    let whole = process.inside.value()?.threads_end.value() == Some(&ListEnd::Complete);
    let elsewhere = || {
        let places = [(&thread.in_kernel_list, "the scheduler's list"), (&thread.in_cid_table, "the table of ids")];
        let has: Vec<&str> =
            places.iter().filter(|(has, _)| has.value() == Some(&true)).map(|(_, name)| *name).collect();
        if has.is_empty() { "memory".to_owned() } else { has.join(" and ") }
    };
    (whole && is_at_work(thread) && thread.in_process_list.value() == Some(&false))
        .then(|| format!("is in {} alone", elsewhere()))
}

/// A thread that belongs to the process, by the pointer that the scheduler goes by, and says that its process has another id; and whether
/// a process has that.
fn renamed(case: &Case<'_>, process: &Process, thread: &Thread) -> Option<(String, bool)> {
    let belongs = thread.owner.value().is_some() && thread.owner.value() == process.eprocess.value();
    let (of, own) = (thread.pid.value()?, process.pid.value()?);
    (belongs && is_at_work(thread) && of != own).then(|| {
        let is_there = *of != 0 && case.processes().any(|other| other.pid.value() == Some(of));
        (format!("says that its process is {of}"), is_there)
    })
}

/// Why a thread that no list has may be none: the page that it stands in may be another's.
fn misnumbered(process: &Process, thread: &Thread) -> Option<Why> {
    // By both of its own accounts it is another's: the list leads astray, or the object was overwritten.
    let others = thread.owner.value().zip(process.eprocess.value()).is_some_and(|(owner, own)| owner != own)
        && thread.pid.value().zip(process.pid.value()).is_some_and(|(of, own)| of != own);
    if others {
        return Some(format!("in doubt: the thread names process {} as its own", text(&thread.pid)).into());
    }
    if let Some(absent) = thread.owner.absent().filter(|absent| absent.kind == AbsentKind::Unparsable) {
        return Some(absent.into());
    }
    let absent = thread.in_cid_table.absent().filter(|absent| absent.kind == AbsentKind::Unparsable)?;
    (unlisted(process, thread).is_some() && thread.in_kernel_list.value() != Some(&true)).then(|| absent.into())
}

/// The threads that have not ended, and why they may not be all.
fn threads(process: &Process) -> (Vec<&Thread>, Option<Why>) {
    let Some(inside) = process.inside.value() else { return (Vec::new(), Some(Why::no_value(&process.inside))) };
    let Some(all) = inside.threads.value() else { return (Vec::new(), Some(Why::no_value(&inside.threads))) };
    let live: Vec<&Thread> = all.iter().filter(|thread| thread.has_ended() != Some(true)).collect();
    let active = process.threads.value().and_then(|number| usize::try_from(*number).ok());
    let missing = if inside.threads_end.value() != Some(&ListEnd::Complete) {
        Some("a part: the walk of it did not come to its end".into())
    } else if live.is_empty() {
        Some("empty".into())
    } else {
        // One taken off the list is still counted.
        active
            .filter(|active| *active > live.len())
            .map(|active| format!("a part: {} of the {active} threads are in it", live.len()).into())
    };
    (live, missing)
}

enum Start {
    Right,
    /// Where, in words, and which field says so.
    Elsewhere(String, &'static str),
    /// Nothing is mapped there.
    Nowhere(VirtualAddress, &'static str),
    /// In the kernel's half.
    OfKernel(VirtualAddress, &'static str),
    Unknown(Why),
}

fn start(case: &Case<'_>, subject: &Subject<'_>, ranges: &Ranges<'_>, thread: &Thread, any_image: bool) -> Start {
    // With five levels of page tables, too, the highest eight bits are alike.
    let odd = |at: &&VirtualAddress| !matches!(at.0 >> 56, 0 | 0xff);
    if let Some(at) = [&thread.start, &thread.win32_start].into_iter().filter_map(|at| at.value()).find(odd) {
        return Start::Unknown(format!("no address that a thread can start at: {at}").into());
    }
    let place = |address, field| place(case, subject, ranges, address, field, any_image);
    let of_kernel = place(&thread.start, "StartAddress");
    // Before Vista the field is shared with the id of the message that a server thread waits for.
    if case.model == SessionModel::Master || matches!(of_kernel, Start::Elsewhere(..)) {
        return of_kernel;
    }
    match (place(&thread.win32_start, "Win32StartAddress"), of_kernel) {
        (elsewhere @ Start::Elsewhere(..), _) => elsewhere,
        (_, unknown @ (Start::Unknown(_) | Start::Nowhere(..) | Start::OfKernel(..))) => unknown,
        // The thread may have none, and may set it to anything.
        (Start::Unknown(_), of_kernel) if thread.win32_start.is_nothing() => of_kernel,
        (of_creator, _) => of_creator,
    }
}

fn place(
    case: &Case<'_>,
    subject: &Subject<'_>,
    ranges: &Ranges<'_>,
    address: &Reading<VirtualAddress>,
    field: &'static str,
    any_image: bool,
) -> Start {
    let Some(&address) = address.value().filter(|at| !at.is_null()) else {
        return Start::Unknown(Why::no_value(address));
    };
    if address.is_kernel() {
        return Start::OfKernel(address, field);
    }
    let Some(vad) = ranges.at(address) else {
        return match &ranges.part {
            Some(part) => {
                Start::Unknown(format!("in no range that is known ({address}), and the memory map is {part}").into())
            }
            None => Start::Nowhere(address, field),
        };
    };
    let Some(kind) = vad.kind.value() else { return Start::Unknown(Why::no_value(&vad.kind)) };
    if kind != "image" {
        return Start::Elsewhere(format!("at {address}, in {kind} memory ({})", text(&vad.protection)), field);
    }
    if ranges.is_behind(vad, address) {
        return Start::Elsewhere(format!("at {address}, behind the end of {}", text(&vad.file)), field);
    }
    if any_image {
        return Start::Right;
    }
    let Some(file) = vad.file.value() else { return Start::Unknown(Why::no_value(&vad.file)) };
    let own = || {
        let (of_file, path) = (VolumePath::read(file), subject.process.path.value());
        let of_kernel = path.and_then(|path| VolumePath::read(path));
        of_file.zip(of_kernel).is_some_and(|(of_file, of_kernel)| case.root.agree(&of_kernel, &of_file))
    };
    if is_native(case, subject, file) || own() {
        Start::Right
    } else {
        Start::Elsewhere(format!("at {address}, in {file}"), field)
    }
}
