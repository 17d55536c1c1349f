//! Which files the processes that Windows is made of run and load, beside smss.exe: SYS-16.

use super::core_processes::{CORE, FIRST_PROTECTED, is_from_image};
use super::file::mapped_file;
use super::memory::owner_of;
use super::pages::Grade;
use super::ranges::{Ranges, text};
use crate::checks::case::{Case, ImagePath};
use crate::checks::paths::VolumePath;
use crate::checks::places::{Place, place_of};
use crate::checks::rule::{About, MASQUERADE, Rule};
use crate::checks::{Confidence, Outcome, Severity, Why, Witness};
use crate::kernel::{SectionFile, Vad};
use crate::{AbsentKind, Process, Reading, VirtualAddress};

/// SYS-16: core processes run their own files.
pub static IMAGES: Rule = Rule {
    id: "SYS-16",
    title: "core processes run their own files",
    wrong: "a core process that runs or has loaded another file",
    core: false,
    attack: &[MASQUERADE, "T1055.001", "T1055.012"],
    about: About {
        what: "The kernel's path, the FILE_OBJECT of the image's section, EPROCESS.ImageFilePointer, the PEB's path and the image \
               mapped at EPROCESS.SectionBaseAddress of csrss.exe, wininit.exe and winlogon.exe name that file of System32; the PEB \
               names the same base; and no image in them is a file from where users can write.",
        why: "These run as Local System from the start on, and their names are taken as often as that of smss.exe. csrss.exe loads files \
              of Windows alone, and from 8.1 on it is protected.",
        benign: "winlogon.exe loads what vendors install, input methods and accessibility among them: files of ProgramData are info \
                 there, others of Program Files are not told. Before 8.1 csrss.exe is not protected: medium. A container's files are \
                 not judged. The kernel's path of csrss.exe has a rule of its own.",
        source: "Windows Internals 7th edition part 1, chapter 3 (protected processes); MITRE ATT&CK T1036.005, T1055.001, T1055.012; \
                 _EPROCESS, _FILE_OBJECT, _MMVAD and _PEB of public symbols; module lists of Windows 7 to 11.",
    },
    judge: images,
};

/// Files that are told of one process.
const MAX_TOLD: usize = 8;

/// What was found in one process.
struct Found<'a> {
    severity: Severity,
    words: String,
    place: Where<'a>,
}

/// Where it was.
enum Where<'a> {
    /// A field of the record, and its value.
    Field(&'static str, String),
    /// The file of a range.
    Range(&'a Vad, String),
}

fn images(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let whole = Outcome::new(rule, None).expected("the file of System32, in all places");
    if !is_from_image(case) {
        return vec![whole.not_applicable("The list does not say which files processes run.")];
    }
    let (mut outcomes, mut looked_at, mut unread) = (Vec::new(), 0usize, None);
    let in_silo = |process: &Process| process.silo.value().is_some_and(|at| !at.is_null());
    for name in CORE {
        for process in case.running(name).filter(|process| process.is_live() && !in_silo(process)) {
            looked_at = looked_at.saturating_add(1);
            if process.section_file.value().is_none() {
                unread.get_or_insert_with(|| (title(process), Why::no_value(&process.section_file)));
            }
            let mut found = own_file(case, process, name);
            found.extend(loaded(case, process, name));
            let Some(worst) = found.iter().map(|found| found.severity).max() else {
                if let Some(why) = process.section_file.absent().filter(|why| why.kind == AbsentKind::Unparsable) {
                    let what = format!("the file behind the image of {}", title(process));
                    outcomes.push(Outcome::about(rule, process).unknown(what, why).decides());
                } else if let Some(base) = process
                    .image_base
                    .value()
                    .filter(|base| process.section_base.value().is_some_and(|section| section != *base))
                    && let Some(owner) = owner_of(case, process, *base)
                {
                    let what = format!("the page of the PEB of {}", title(process));
                    let why = format!(
                        "in doubt: it names {base}, where the image of pid {owner} lies, and may be that process's"
                    );
                    outcomes.push(Outcome::about(rule, process).unknown(what, why).decides());
                } else if let Some(part) = elsewhere(process).and_then(|ranges| ranges.part) {
                    let what = format!("the memory map of {}", title(process));
                    let why =
                        format!("{part}, and neither its image nor its PEB is in it: it may be another process's");
                    outcomes.push(Outcome::about(rule, process).unknown(what, why).decides());
                } else if matches!(case.image_path(process, &format!("\\System32\\{name}")), ImagePath::Wrong(_))
                    && judges_path(name)
                {
                    let what = format!("the kernel's path of {}", title(process));
                    let why = "contradicted: its name and the file of its image say otherwise";
                    outcomes.push(Outcome::about(rule, process).unknown(what, why).decides());
                }
                continue;
            };
            let words: Vec<&str> = found.iter().map(|found| found.words.as_str()).collect();
            let outcome = Outcome::about(rule, process)
                .expected(case.root.join(&format!("\\System32\\{name}")))
                .observed(format!("{}: {}", title(process), words.join("; ")));
            let outcome = found.iter().fold(outcome, |outcome, found| match &found.place {
                Where::Field(field, value) => outcome.seen(process, field, Some(value.clone())),
                Where::Range(vad, file) => {
                    let at = vad.at("file");
                    outcome.seen_at(process, "_MMVAD", "Subsection", at, Some(file.clone())).of_code(&vad.start)
                }
            });
            outcomes.push(outcome.violation(worst));
        }
    }
    if !outcomes.is_empty() {
        return outcomes;
    }
    if looked_at == 0 {
        return vec![whole.unknown("a core process", "not in the list")];
    }
    let whole = whole.observed(format!("in {looked_at} processes"));
    let whole = whole.witnessed([Witness::Object, Witness::File, Witness::Ranges]);
    vec![
        match unread {
            Some((name, why)) => {
                let reason = format!("The file behind the image of {name} was {why}.");
                whole.confidence(Confidence::Medium).reason(reason)
            }
            None => whole,
        }
        .pass(),
    ]
}

fn title(process: &Process) -> String {
    format!("{} (pid {})", text(&process.name), text(&process.pid))
}

/// Whether the kernel's path of a core process is judged here; that of csrss.exe is with its protection.
fn judges_path(name: &str) -> bool {
    name != "csrss.exe"
}

/// Whether this rule says what there is to say of the kernel's path of a process.
pub(super) fn judges(case: &Case<'_>, process: &Process) -> bool {
    let is_core = CORE.iter().any(|name| judges_path(name) && process.is_named(name));
    is_core && is_from_image(case) && process.is_live() && process.silo.value().is_none_or(|at| at.is_null())
}

/// The ranges of a process, if neither its image nor its PEB lies in any of them: they are another's.
fn elsewhere(process: &Process) -> Option<Ranges<'_>> {
    let known = |reading: &Reading<VirtualAddress>| reading.value().copied().filter(|at| !at.is_null());
    let (peb, section) = (known(&process.peb)?, known(&process.section_base)?);
    let ranges = Ranges::of(process).ok().filter(|ranges| !ranges.vads.is_empty())?;
    (ranges.at(peb).is_none() && ranges.at(section).is_none()).then_some(ranges)
}

/// What names the file that it runs.
fn own_file<'a>(case: &Case<'_>, process: &'a Process, name: &str) -> Vec<Found<'a>> {
    let below = format!("\\System32\\{name}");
    let mut found = Vec::new();
    let mut push = |severity, words: String, place| found.push(Found { severity, words, place });
    // Its name and the file that its image was made of agree: the page with the path may be another's, which is said for itself.
    let of_section = process.section_file.value().and_then(|file| VolumePath::read(&file.name));
    let agreed = process.is_named(name) && of_section.is_some_and(|file| case.root.holds(&file, &below));
    if judges_path(name)
        && !agreed
        && let (ImagePath::Wrong(_), Some(path)) = (case.image_path(process, &below), process.path.value())
    {
        push(Severity::High, format!("its path is {path}"), Where::Field("path", path.clone()));
    }
    // A process that runs has its file in both places. Builds that lack one of them are told by where it was read.
    for (nothing, field, words) in [
        (process.section.is_nothing(), "section", "EPROCESS.SectionObject"),
        (process.image_file.is_nothing(), "image_file", "EPROCESS.ImageFilePointer"),
    ] {
        if nothing && process.located.contains_key(field) {
            push(Severity::Low, format!("{words} is null"), Where::Field(field, "null".to_owned()));
        }
    }
    let is_wrong = |text: &str| VolumePath::read(text).is_some_and(|path| !case.root.holds(&path, &below));
    let files: [(&Reading<SectionFile>, &'static str, &str); 2] = [
        (&process.section_file, "section_file", "the file of its section"),
        (&process.image_file, "image_file", "the file of ImageFilePointer"),
    ];
    for (file, field, words) in files {
        let Some(file) = file.value() else { continue };
        if file.name.is_empty() || is_wrong(&file.name) {
            push(Severity::High, format!("{words} is {}", file.name), Where::Field(field, file.name.clone()));
        } else if file.delete_pending || file.transaction == Some(true) {
            let words = format!("{words} is about to be deleted, or in a transaction");
            push(Severity::High, words, Where::Field(field, file.name.clone()));
        }
    }
    if let Some(path) = process.peb_path.value().filter(|path| is_wrong(path)) {
        push(Severity::High, format!("the PEB's path is {path}"), Where::Field("peb_path", path.clone()));
    }
    let known = |at: &Reading<VirtualAddress>| at.value().copied().filter(|at| !at.is_null());
    if let (Some(peb), Some(section)) = (known(&process.image_base), known(&process.section_base))
        && peb != section
        && owner_of(case, process, peb).is_none()
    {
        let words = format!("the PEB's image is at {peb}, and its section at {section}");
        push(Severity::High, words, Where::Field("image_base", peb.to_string()));
    }
    if let Some(base) = known(&process.section_base)
        && let Ok(ranges) = Ranges::of(process)
    {
        let words = match ranges.at(base).map(|vad| vad.kind.value()) {
            None if ranges.part.is_none() && !ranges.vads.is_empty() => Some("nothing is".to_owned()),
            Some(Some(kind)) if kind != "image" => Some(format!("{kind} memory is")),
            _ => None,
        };
        if let Some(words) = words {
            let words = format!("{words} where its image should be ({base})");
            push(Severity::High, words, Where::Field("section_base", base.to_string()));
        }
    }
    if let Some((file, vad)) = mapped_file(process).filter(|(file, _)| is_wrong(file)) {
        push(Severity::High, format!("{file} is mapped in its place"), Where::Range(vad, file.to_owned()));
    }
    found
}

/// Images from where they do not belong.
fn loaded<'a>(case: &Case<'_>, process: &'a Process, name: &str) -> Vec<Found<'a>> {
    let Ok(ranges) = Ranges::of(process) else { return Vec::new() };
    let protected = case.build.is_some_and(|build| build >= FIRST_PROTECTED);
    // Of these csrss.exe loads none but those of Windows.
    let grade = if name == "csrss.exe" && protected { Grade::Guarded } else { Grade::Open };
    let own = process.section_base.value();
    let odd = |vad: &'a Vad| {
        let file = vad.file.value().filter(|_| vad.kind.value().is_some_and(|kind| kind == "image"))?;
        if own.is_some() && vad.start.value() == own {
            return None;
        }
        let path = VolumePath::read(file)?;
        let severity = match place_of(&case.root, &path) {
            Place::Writable if path.is_below("\\ProgramData") && grade == Grade::Open => Severity::Info,
            Place::Writable => grade.foreign(),
            Place::ProgramFiles | Place::Other if grade == Grade::Guarded => Severity::Medium,
            Place::Other if name == "csrss.exe" => Severity::Info,
            _ => return None,
        };
        let words = format!("{file} is mapped at {}", text(&vad.start));
        Some(Found { severity, words, place: Where::Range(vad, file.clone()) })
    };
    let mut found: Vec<Found<'a>> = ranges.vads.iter().filter_map(odd).collect();
    found.sort_by_key(|found| std::cmp::Reverse(found.severity));
    found.truncate(MAX_TOLD);
    found
}
