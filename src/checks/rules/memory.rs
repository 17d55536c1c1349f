//! What stands at the image base, and whether foreign code runs: SMSS-017, 018.

use super::EXITED;
use super::modules::{is_image, is_native};
use super::ranges::{Ranges, text};
use crate::checks::case::Case;
use crate::checks::paths::VolumePath;
use crate::checks::rule::{About, INJECTION, Rule};
use crate::checks::subject::Subject;
use crate::checks::{Confidence, Missing, Outcome, Severity, Why, Witness};
use crate::kernel::{Thread, Vad};
use crate::picture::SessionModel;
use crate::{Absent, ListEnd, Process, Reading, VirtualAddress};

/// SMSS-017: not hollowed.
pub static IMAGE_BASE: Rule = Rule {
    id: "SMSS-017",
    title: "not hollowed",
    wrong: "image base holds another image",
    core: false,
    attack: &["T1055.012"],
    about: About {
        what: "PEB.ImageBaseAddress is EPROCESS.SectionBaseAddress, and the VAD there is an image range that begins \
               there and belongs to smss.exe.",
        why: "Process hollowing unmaps the image and puts other code in its place, or moves the PEB's pointer to \
               it.",
        benign: "A PEB page that is there and all zero was lost, not written: not judged.",
        source: "MITRE ATT&CK T1055.012; _PEB, _EPROCESS, _MMVAD of public symbols.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| bases(case, subject, outcome)),
};

/// SMSS-018: no private executable memory, threads start in the image.
pub static CODE: Rule = Rule {
    id: "SMSS-018",
    title: "no private executable memory, threads start in the image",
    wrong: "private executable memory, or a thread from outside the image",
    core: false,
    attack: &[INJECTION],
    about: About {
        what: "No VAD that is no image was made executable, and ETHREAD.StartAddress and Win32StartAddress of every \
               live thread lie in smss.exe or ntdll.dll.",
        why: "Injected code needs executable memory of its own, and mostly a thread that starts in it. smss.exe \
               makes neither: on Windows 10 it even forbids itself dynamic code.",
        benign: "A start address whose range is gone is stale: not judged. Before Vista Win32StartAddress shares its \
               place with a message id and is not looked at.",
        source: "MITRE ATT&CK T1055; Windows Internals 7th edition part 1, chapter 2, step 2; _MMVAD and _ETHREAD of \
               public symbols.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| code(case, subject, outcome)),
};

/// Whether the range is the process's own image.
enum Backing {
    Right,
    Wrong(String),
    Unknown(Why),
}

/// What stands at the image base.
fn backing(case: &Case<'_>, subject: &Subject<'_>, vad: &Vad, base: VirtualAddress) -> Backing {
    let Some(kind) = vad.kind.value() else { return Backing::Unknown(Why::no_value(&vad.kind)) };
    if kind != "image" {
        return Backing::Wrong(format!("{kind} memory ({})", text(&vad.protection)));
    }
    let file = match vad.file.known() {
        Ok(Some(file)) => file,
        Ok(None) => return Backing::Unknown("empty".into()),
        Err(absent) => return Backing::Unknown(absent.into()),
    };
    if vad.start.value() != Some(&base) {
        return Backing::Wrong(format!("the middle of {file}"));
    }
    let of_file = VolumePath::read(file);
    let of_kernel = subject.process.path.value().and_then(|path| VolumePath::read(path));
    match (of_file, of_kernel) {
        (None, _) => Backing::Unknown(Absent::unparsable("").into()),
        (Some(of_file), Some(of_kernel)) if case.root.agree(&of_kernel, &of_file) => Backing::Right,
        _ if is_native(case, subject, file) && of_file_name(file, case.core.name) => Backing::Right,
        _ => Backing::Wrong(file.clone()),
    }
}

/// Whether a path ends in this name.
fn of_file_name(file: &str, name: &str) -> bool {
    file.to_ascii_lowercase().ends_with(name)
}

fn bases(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    // A page that is there and all zero was lost, not written.
    let known = |reading: &Reading<VirtualAddress>| reading.value().copied().filter(|at| !at.is_null());
    let (peb, section) = (known(&process.image_base), known(&process.section_base));
    if process.has_exited() && peb.is_none() {
        return outcome.not_applicable(EXITED);
    }
    let mut outcome = outcome
        .expected(format!(
            "{}, the PEB's and the section's, with {} mapped there",
            section.map_or_else(|| "one address".to_owned(), |at| at.to_string()),
            case.core.name
        ))
        .seen(process, "image_base", peb.map(|at| at.to_string()))
        .seen(process, "section_base", section.map(|at| at.to_string()));
    if let (Some(peb), Some(section)) = (peb, section)
        && peb != section
    {
        return outcome.observed(format!("the PEB names {peb}")).violation(Severity::Critical);
    }
    let Some(base) = section.or(peb) else {
        return outcome.unknown("the PEB's image base", Why::no_value(&process.image_base));
    };
    let ranges = match Ranges::of(process) {
        Ok(ranges) => ranges,
        Err(why) => return outcome.observed(base).unknown("the memory map", why),
    };
    match ranges.at(base) {
        Some(vad) => {
            outcome = outcome.seen_at(process, "_MMVAD_SHORT", "StartingVpn", &vad.address, Some(text(&vad.start)));
            match backing(case, subject, vad, base) {
                Backing::Wrong(what) => {
                    return outcome.observed(format!("{base} holds {what}")).violation(Severity::Critical);
                }
                Backing::Unknown(why) => {
                    return outcome.observed(base).unknown("what is mapped at the image base", why);
                }
                Backing::Right => {}
            }
        }
        None if ranges.part.is_none() => {
            return outcome.observed(format!("nothing is mapped at {base}")).violation(Severity::Critical);
        }
        None => {}
    }
    let outcome = outcome.observed(base);
    if let Some(part) = ranges.part {
        outcome.unknown("the whole memory map", part)
    } else if peb.is_none() {
        outcome.unknown("the PEB's image base", Why::no_value(&process.image_base))
    } else if section.is_none() {
        outcome.unknown("the section's base", Why::no_value(&process.section_base))
    } else {
        outcome.pass()
    }
}

fn code(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    if process.has_exited() {
        return outcome.not_applicable(EXITED);
    }
    let mut outcome = outcome.expected(match case.core.modules {
        Some(_) => format!("none; every thread starts in {} or ntdll.dll", case.core.name),
        None => "none; every thread starts in an image".to_owned(),
    });
    let ranges = match Ranges::of(process) {
        Ok(ranges) => ranges,
        Err(why) => return outcome.unknown("the memory map, with the threads' start addresses", why),
    };
    let mut found = Vec::new();
    let executable = |vad: &&&Vad| vad.executable.value() == Some(&true) && !is_image(vad);
    let (private, mapped): (Vec<&Vad>, Vec<&Vad>) =
        ranges.vads.iter().filter(|vad| executable(&vad)).partition(|vad| vad.private.value() == Some(&true));
    for vad in &private {
        found.push(format!("private {} at {}", text(&vad.protection), text(&vad.start)));
        outcome = outcome.seen_at(process, "_MMVAD_SHORT", "u.VadFlags", &vad.address, Some(text(&vad.protection)));
    }
    let mut open: Option<Missing> = None;
    let (threads, missing) = threads(process);
    for &thread in &threads {
        match start(case, subject, &ranges, thread) {
            Start::Right => {}
            Start::Elsewhere(words, field) => {
                found.push(format!("thread {} starts {words}", text(&thread.tid)));
                outcome = outcome.seen_at(process, "_ETHREAD", field, &thread.address, Some(words));
            }
            Start::Unknown(why) => {
                open.get_or_insert(Missing::new(format!("the start address of thread {}", text(&thread.tid)), why));
            }
        }
    }
    if !found.is_empty() {
        return outcome.observed(found.join("; ")).violation(Severity::High);
    }
    if let Some(vad) = mapped.first() {
        // Seen in no image of smss.exe, and no source says that it cannot be.
        return outcome
            .observed(format!("mapped data with {} at {}", text(&vad.protection), text(&vad.start)))
            .seen_at(process, "_MMVAD_SHORT", "u.VadFlags", &vad.address, Some(text(&vad.protection)))
            .confidence(Confidence::Low)
            .violation(Severity::Info);
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
    if process.dynamic_code_disabled.value() == Some(&true) {
        return outcome.pass();
    }
    outcome
        .confidence(Confidence::Medium)
        .reason("The protection that ranges were made with: a later change of single pages does not show.")
        .pass()
}

/// The threads that have not ended, and why they may not be all.
fn threads(process: &Process) -> (Vec<&Thread>, Option<Why>) {
    let Some(inside) = process.inside.value() else { return (Vec::new(), Some(Why::no_value(&process.inside))) };
    let Some(all) = inside.threads.value() else { return (Vec::new(), Some(Why::no_value(&inside.threads))) };
    let live: Vec<&Thread> = all.iter().filter(|thread| thread.terminated.value() != Some(&true)).collect();
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
    Unknown(Why),
}

fn start(case: &Case<'_>, subject: &Subject<'_>, ranges: &Ranges<'_>, thread: &Thread) -> Start {
    let of_kernel = place(case, subject, ranges, &thread.start, "StartAddress");
    // Before Vista the field is shared with the id of the message that a server thread waits for.
    if case.model == SessionModel::Master || matches!(of_kernel, Start::Elsewhere(..)) {
        return of_kernel;
    }
    match (place(case, subject, ranges, &thread.win32_start, "Win32StartAddress"), of_kernel) {
        (elsewhere @ Start::Elsewhere(..), _) => elsewhere,
        (_, unknown @ Start::Unknown(_)) => unknown,
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
        let why = match &ranges.part {
            Some(part) => format!("in no range that is known ({address}), and the memory map is {part}"),
            // Its code has been taken out since.
            None => format!("stale: nothing is mapped at {address} any more"),
        };
        return Start::Unknown(why.into());
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
