//! Whether foreign code runs in smss.exe: SMSS-018.

use super::EXITED;
use super::modules::is_native;
use super::pages::{self, Grade};
use super::ranges::{Ranges, text};
use crate::checks::case::Case;
use crate::checks::paths::VolumePath;
use crate::checks::rule::{About, INJECTION, Rule};
use crate::checks::subject::Subject;
use crate::checks::{Confidence, Missing, Outcome, Severity, Why, Witness};
use crate::kernel::{Thread, ThreadState};
use crate::picture::SessionModel;
use crate::{AbsentKind, ListEnd, Process, Reading, VirtualAddress};

/// SMSS-018: no private executable memory, threads start in the image.
pub static CODE: Rule = Rule {
    id: "SMSS-018",
    title: "no private executable memory, threads start in the image",
    wrong: "private executable memory, or a thread from outside the image",
    core: false,
    attack: &[INJECTION],
    about: About {
        what: "No VAD that is no image was made executable, no page is executable in the page tables that lies in no image, no page \
               of an image can be written to and executed or differs from the image elsewhere, and ETHREAD.StartAddress and \
               Win32StartAddress of every thread that has not ended lie in smss.exe or ntdll.dll. Threads are those of \
               EPROCESS.ThreadListHead, KPROCESS.ThreadListHead and PspCidTable.",
        why: "Injected code needs executable memory of its own, and mostly a thread that starts in it. smss.exe \
               makes neither: on Windows 10 it even forbids itself dynamic code. VADs and lists can be written over; the processor \
               goes by page tables, the scheduler by threads.",
        benign: "Where page tables are not at hand the protection of VADs alone is judged, with medium confidence. A page that \
                 differs as a whole may be smeared: info. Before Vista Win32StartAddress shares its place with a message id and \
                 is not looked at.",
        source: "MITRE ATT&CK T1055; Windows Internals 7th edition part 1, chapter 2, step 2, chapter 5 (page tables, VADs); Intel \
                 SDM volume 3, 4.5; _MMVAD, _MMPTE_HARDWARE and _ETHREAD of public symbols.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| code(case, subject, outcome)),
};

fn code(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    if process.has_exited() {
        return outcome.not_applicable(EXITED);
    }
    let outcome = outcome.expected(match case.core.modules {
        Some(_) => format!("none; every thread starts in {} or ntdll.dll", case.core.name),
        None => "none; every thread starts in an image".to_owned(),
    });
    let ranges = match Ranges::of(process) {
        Ok(ranges) => ranges,
        Err(why) => return outcome.unknown("the memory map, with the threads' start addresses", why),
    };
    let grade = if case.core.modules.is_some() { Grade::Alone } else { Grade::Open };
    let memory = pages::look(case, process, &ranges, grade);
    let mut outcome = memory.show(process, outcome);
    let (mut worst, mut found) = (memory.worst(), memory.words());
    let (torn, mut stray) = (memory.torn, None);
    let mut open = memory.open;
    let (threads, missing) = threads(process);
    for &thread in &threads {
        if let Some(why) = misnumbered(process, thread) {
            stray.get_or_insert_with(|| Missing::new(format!("whose thread is at {}", text(&thread.address)), why));
            continue;
        }
        let (severity, words, field) = match start(case, subject, &ranges, thread) {
            Start::Right => match unlisted(process, thread) {
                Some(words) => (Severity::Medium, words, "ThreadListEntry"),
                None => continue,
            },
            Start::Elsewhere(words, field) => (Severity::High, format!("starts {words}"), field),
            // What waits or runs started somewhere.
            Start::Nowhere(at, field) if is_at_work(thread) => {
                (Severity::Low, format!("starts at {at}, where nothing is mapped"), field)
            }
            Start::Nowhere(at, _) => {
                let why = format!("stale: nothing is mapped at {at} any more");
                open.get_or_insert(Missing::new(format!("the start address of thread {}", text(&thread.tid)), why));
                continue;
            }
            Start::Unknown(why) => {
                open.get_or_insert(Missing::new(format!("the start address of thread {}", text(&thread.tid)), why));
                continue;
            }
        };
        let (place, value) = match field {
            "StartAddress" => (thread.at("start"), Some(text(&thread.start))),
            "Win32StartAddress" => (thread.at("win32_start"), Some(text(&thread.win32_start))),
            _ => (thread.at("in_process_list"), None),
        };
        outcome = outcome.seen_at(process, "_ETHREAD", field, place, value);
        found.push(format!("thread {} {words}", text(&thread.tid)));
        worst = worst.max(Some(severity));
    }
    let torn = torn.or(stray);
    // What is for information only does not outweigh what is one of two things.
    if let Some(worst) = worst.filter(|worst| *worst > Severity::Info || torn.is_none()) {
        let outcome = outcome.observed(found.join("; "));
        return if worst == Severity::Info { outcome.confidence(Confidence::Low) } else { outcome }.violation(worst);
    }
    if let Some(torn) = torn {
        return outcome.missing(torn).decides();
    }
    if let Some(part) = ranges.part {
        return outcome.unknown("the whole memory map", part);
    }
    if let Some(why) = missing {
        return outcome.unknown("the whole list of threads", why);
    }
    if let Some(missing) = open {
        return outcome.missing(missing);
    }
    let outcome = outcome
        .observed(format!("no private code, {} threads", threads.len()))
        .witnessed([Witness::Ranges, Witness::Threads]);
    match memory.one_witness {
        None => outcome.witnessed([Witness::PageTables]).pass(),
        Some(why) => outcome.confidence(Confidence::Medium).reason(why).pass(),
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

/// Why a thread that no list has may be none: the page that it stands in may be another's.
fn misnumbered(process: &Process, thread: &Thread) -> Option<Why> {
    // By both of its own accounts it is another's: the list leads astray, or the object was overwritten.
    let others = thread.owner.value().zip(process.eprocess.value()).is_some_and(|(owner, own)| owner != own)
        && thread.pid.value().zip(process.pid.value()).is_some_and(|(of, own)| of != own);
    if others {
        return Some(format!("it names process {} as its own", text(&thread.pid)).into());
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
    Unknown(Why),
}

fn start(case: &Case<'_>, subject: &Subject<'_>, ranges: &Ranges<'_>, thread: &Thread) -> Start {
    // With five levels of page tables, too, the highest eight bits are alike.
    let odd = |at: &&VirtualAddress| !matches!(at.0 >> 56, 0 | 0xff);
    if let Some(at) = [&thread.start, &thread.win32_start].into_iter().filter_map(|at| at.value()).find(odd) {
        return Start::Unknown(format!("{at} is no address that a thread can start at").into());
    }
    let of_kernel = place(case, subject, ranges, &thread.start, "StartAddress");
    // Before Vista the field is shared with the id of the message that a server thread waits for.
    if case.model == SessionModel::Master || matches!(of_kernel, Start::Elsewhere(..)) {
        return of_kernel;
    }
    match (place(case, subject, ranges, &thread.win32_start, "Win32StartAddress"), of_kernel) {
        (elsewhere @ Start::Elsewhere(..), _) => elsewhere,
        (_, unknown @ (Start::Unknown(_) | Start::Nowhere(..))) => unknown,
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
) -> Start {
    let Some(&address) = address.value().filter(|at| !at.is_null()) else {
        return Start::Unknown(Why::no_value(address));
    };
    if address.is_kernel() {
        return Start::Unknown(format!("one of the kernel: {address}").into());
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
    let Some(file) = vad.file.value() else { return Start::Unknown(Why::no_value(&vad.file)) };
    let own = || {
        let (of_file, path) = (VolumePath::read(file), subject.process.path.value());
        let of_kernel = path.and_then(|path| VolumePath::read(path));
        of_file.zip(of_kernel).is_some_and(|(of_file, of_kernel)| case.root.agree(&of_kernel, &of_file))
    };
    if case.core.modules.is_none() || is_native(case, subject, file) || own() {
        Start::Right
    } else {
        Start::Elsewhere(format!("at {address}, in {file}"), field)
    }
}
