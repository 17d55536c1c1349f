//! Code in a process's memory, by its ranges and by its page tables: what SMSS-018 and SYS-11 share.

use super::core_processes::CORE;
use super::modules::is_image;
use super::ranges::{Ranges, text};
use crate::checks::case::Case;
use crate::checks::{Missing, Outcome, Severity, Why};
use crate::kernel::{AlteredPage, CodeRun, Vad};
use crate::process::Inside;
use crate::{Absent, AbsentKind, ListEnd, Location, Origin, Process, Reading, VirtualAddress};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// How much code from nowhere says about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grade {
    /// smss.exe: nothing is ever loaded into it.
    Alone,
    /// A process that others cannot open to write.
    Guarded,
    /// One that loads what others install.
    Open,
}

impl Grade {
    /// Of code that came from no image.
    pub(super) const fn foreign(self) -> Severity {
        match self {
            Self::Alone | Self::Guarded => Severity::High,
            Self::Open => Severity::Medium,
        }
    }

    /// Of a few bytes that were changed in an image, as a hook does.
    const fn hooked(self) -> Severity {
        match self {
            Self::Alone => Severity::Medium,
            Self::Guarded => Severity::Low,
            // Products hook functions in what they load into.
            Self::Open => Severity::Info,
        }
    }
}

/// One thing that was found.
pub(super) struct Found {
    pub severity: Severity,
    pub words: String,
    structure: &'static str,
    field: &'static str,
    object: Reading<VirtualAddress>,
    place: Option<Location>,
    value: String,
    /// Where it lies.
    code: Reading<VirtualAddress>,
}

/// What the memory of one process shows.
pub(super) struct Memory {
    pub found: Vec<Found>,
    /// What could not be judged.
    pub open: Option<Missing>,
    /// What only a page table says that may be torn.
    pub torn: Option<Missing>,
    /// Why a pass rests on one witness.
    pub one_witness: Option<String>,
    /// What of an image was not looked at: a sentence.
    pub unseen: Option<String>,
}

/// A page that differs in more bytes than this was not patched: it is another page.
const MOST_PATCHED: u64 = 1024;
/// Bytes of `ImageBase` in the headers of an image.
const BASE_BYTES: u64 = 8;
/// Executable pages in so many places of what one table maps are the entries of another table in its place: nobody changes the
/// protection of pages here and there.
const SCATTERED: usize = 6;
/// Things of one kind that are told.
const MAX_TOLD: usize = 8;

/// Looks at ranges and pages.
pub(super) fn look(case: &Case<'_>, process: &Process, ranges: &Ranges<'_>, grade: Grade) -> Memory {
    let mut memory = Memory { found: Vec::new(), open: None, torn: None, one_witness: None, unseen: None };
    for vad in ranges.vads.iter().filter(|vad| vad.executable.value() == Some(&true) && !is_image(vad)) {
        let of = |severity, kind: &str| Found {
            severity,
            words: format!("{kind} {} at {}", text(&vad.protection), text(&vad.start)),
            structure: "_MMVAD_SHORT",
            field: "u.VadFlags",
            object: vad.address.clone(),
            place: vad.located.get("protection").cloned(),
            value: text(&vad.protection),
            code: vad.start.clone(),
        };
        memory.found.push(if vad.private.value() == Some(&true) {
            of(grade.foreign(), "private")
        } else if grade != Grade::Open || vad.file.is_nothing() {
            // A section of the page file is as good a way into a process as memory of its own.
            of(grade.foreign(), "mapped data with")
        } else {
            // What vendors map of a file.
            of(Severity::Info, "mapped data with")
        });
    }
    let Some(inside) = process.inside.value() else { return memory };
    tables(case, process, ranges, grade, &mut memory);
    let altered = || inside.altered.value().into_iter().flatten();
    // Headers of an image, whatever the protection of their page: nobody writes to them.
    let is_header = |page: &AlteredPage| page.at.value().is_some_and(|at| ranges.starts_at(*at));
    let runs = |page: &AlteredPage| page.executable.value() == Some(&true) || is_header(page);
    if grade != Grade::Open
        && let Some(page) = altered().find(|page| runs(page) && is_another(page))
    {
        memory.torn.get_or_insert_with(|| another(page));
    }
    if grade != Grade::Open
        && let Some(vad) = ranges.vads.iter().find(|vad| is_image(vad) && begins_with_no_headers(vad))
    {
        memory.torn.get_or_insert_with(|| no_headers(vad));
    }
    not_compared(inside, grade, &mut memory);
    not_read(case, process, ranges, grade, &mut memory);
    let mut changed: Vec<Found> = altered().map(|page| changed(page, grade)).collect();
    // What is for information only does not crowd out the rest.
    changed.sort_by_key(|found| Reverse(found.severity));
    memory.found.extend(changed.into_iter().take(MAX_TOLD));
    if let Some(counted) = inside.vads_counted.value() {
        let there = ranges.vads.len();
        if is_short(inside, ranges) {
            memory.found.push(Found {
                severity: Severity::Info,
                words: format!("{counted} ranges are counted, and {there} are in the tree"),
                structure: "_EPROCESS",
                field: "VadCount",
                object: process.eprocess.clone(),
                place: process.located.get("vads_counted").cloned(),
                value: counted.to_string(),
                code: Reading::Nothing,
            });
        }
    }
    memory
}

/// Fewer ranges are in the tree than the process counts.
fn is_short(inside: &Inside, ranges: &Ranges<'_>) -> bool {
    let there = u64::try_from(ranges.vads.len()).unwrap_or(u64::MAX);
    ranges.part.is_none() && inside.vads_counted.value().is_some_and(|counted| *counted > there)
}

/// What the page tables say, against the ranges.
fn tables(case: &Case<'_>, process: &Process, ranges: &Ranges<'_>, grade: Grade, memory: &mut Memory) {
    let Some(inside) = process.inside.value() else { return };
    let Some(runs) = inside.code.value() else {
        let why = "The protection that ranges were made with: a later change of single pages does not show.";
        memory.one_witness = Some(why.to_owned());
        return;
    };
    let forbids =
        |process: &Process| process.inside.value().is_some_and(|inside| inside.no_execute.value() == Some(&true));
    if !case.rows.iter().any(|(_, process)| forbids(process)) {
        memory.one_witness = Some("No page table forbids execution: the machine runs without that.".to_owned());
        return;
    }
    let mut places: HashMap<u64, usize> = HashMap::new();
    for start in runs.iter().filter_map(|run| run.start.value()) {
        let count = places.entry(start.table_area()).or_default();
        *count = count.saturating_add(1);
    }
    let scattered = |at: VirtualAddress| places.get(&at.table_area()).is_some_and(|count| *count >= SCATTERED);
    let mut told = 0usize;
    for run in runs {
        let Some(start) = run.start.value() else { continue };
        let vad = ranges.at(*start);
        // A page of another table in the place of this one maps whatever that one does. Of the many processes that are no smss.exe,
        // a page table alone proves nothing.
        let doubtful =
            (grade != Grade::Alone || run.fit.value().is_some_and(|fit| *fit < 0)) && !is_short(inside, ranges);
        // A table of an upper level in the place of this one: its entries are no pages of the process, whatever they say.
        if run.tables.value().is_some_and(|tables| *tables > 0) {
            memory.torn.get_or_insert_with(|| torn(*start));
            continue;
        }
        // A page of any kind in the place of a table.
        if run.plausible.value() == Some(&false) {
            memory.torn.get_or_insert_with(|| no_table(*start, rights(run)));
            continue;
        }
        // What a range says as well is told of that.
        let of_range = vad.is_some_and(|vad| {
            vad.executable.value() == Some(&true) && vad.kind.value().is_some_and(|kind| kind != "image")
        });
        let table = run.located.get("entry").and_then(|entry| entry.table);
        if let Some(from) = table.filter(|from| !of_range && from.is_of_another_time()) {
            memory.torn.get_or_insert_with(|| of_another_time(*start, from, rights(run)));
            continue;
        }
        let found = match vad {
            _ if run.user_mode_only.value() == Some(&true) => {
                Ok(foreign(run, "which is not so in the kernel's table of the process", grade.foreign()))
            }
            None => match &ranges.part {
                None if doubtful => {
                    memory.torn.get_or_insert_with(|| torn(*start));
                    continue;
                }
                None => Ok(foreign(run, "in no range", grade.foreign())),
                Some(part) => Err(Missing::new(
                    format!("the range of the executable pages at {start}"),
                    format!("not found: the memory map is {part}"),
                )),
            },
            Some(vad) => match vad.kind.value() {
                None => Err(Missing::new(format!("the kind of the range at {start}"), Why::no_value(&vad.kind))),
                // None of its pages of images is the image's: by a change of rights they would be.
                Some(kind) if kind == "image" && (scattered(*start) || run.own_table.value() == Some(&false)) => {
                    memory.torn.get_or_insert_with(|| torn(*start));
                    continue;
                }
                Some(kind) if kind == "image" && ranges.is_behind(vad, *start) => {
                    Ok(foreign(run, &format!("behind the end of {}", text(&vad.file)), grade.foreign()))
                }
                Some(kind) if kind == "image" && run.outside_sections.value() == Some(&true) => {
                    let severity = if is_of_windows(case, vad, grade) { grade.foreign() } else { Severity::Info };
                    Ok(foreign(run, &format!("where {} has no code", text(&vad.file)), severity))
                }
                Some(kind) if kind == "image" => Ok(writable(case, run, vad, grade)),
                // Said of the range already.
                Some(_) if vad.executable.value() == Some(&true) => continue,
                Some(kind) => {
                    let place = format!("in {kind} memory that was made {}", text(&vad.protection));
                    Ok(foreign(run, &place, grade.foreign()))
                }
            },
        };
        match found {
            Ok(found) if told < MAX_TOLD => {
                told = told.saturating_add(1);
                memory.found.push(found);
            }
            Ok(_) => {}
            Err(missing) => {
                memory.open.get_or_insert(missing);
            }
        }
    }
    match inside.code_end.value() {
        Some(ListEnd::Complete) => {}
        Some(_) => {
            let why =
                "Not all page tables are there: for what they map, the protection that ranges were made with counts.";
            memory.one_witness = Some(why.to_owned());
        }
        None => memory.one_witness = Some("How the walk over the page tables ended is not known.".to_owned()),
    }
}

fn torn(start: VirtualAddress) -> Missing {
    Missing::new(
        format!("the page table for {start}"),
        "in doubt: it makes pages executable that no range has so, and most of it is otherwise than the ranges say. It may be torn",
    )
}

/// What stands where the table should be.
fn no_table(start: VirtualAddress, rights: &str) -> Missing {
    Missing::new(
        format!("the page table for {start}"),
        format!(
            "not to be told: what stands in its place makes pages {rights}, and is not such as page tables of user memory are: another \
             page may be there"
        ),
    )
}

/// A table that was copied at another time than memory: its page may be another's by then.
fn of_another_time(start: VirtualAddress, from: Origin, rights: &str) -> Missing {
    Missing::new(
        format!("the page table for {start} as it was when memory was copied"),
        format!("copied at another time: it came from {from}, and has pages {rights} that no range has so"),
    )
}

fn of_run(run: &CodeRun, severity: Severity, words: String) -> Found {
    Found {
        severity,
        words,
        structure: "_MMPTE",
        field: "NoExecute",
        object: Reading::Nothing,
        place: run.located.get("entry").cloned(),
        value: text(&run.entry),
        code: run.start.clone(),
    }
}

fn rights(run: &CodeRun) -> &'static str {
    if run.writable.value() == Some(&true) { "executable and writable" } else { "executable" }
}

/// Pages that came from no image.
fn foreign(run: &CodeRun, place: &str, severity: Severity) -> Found {
    of_run(run, severity, format!("pages at {} are {} in the page tables, {place}", text(&run.start), rights(run)))
}

/// Pages of an image that can be written to and run.
fn writable(case: &Case<'_>, run: &CodeRun, vad: &Vad, grade: Grade) -> Found {
    let severity = if is_of_windows(case, vad, grade) { grade.foreign() } else { Severity::Info };
    of_run(run, severity, format!("pages at {} of {} are {}", text(&run.start), text(&vad.file), rights(run)))
}

/// Whether an image is one of which it is known how its pages are mapped. Of what vendors make, some ask for other rights.
fn is_of_windows(case: &Case<'_>, vad: &Vad, grade: Grade) -> bool {
    grade == Grade::Alone
        || vad.file.value().and_then(|file| crate::checks::paths::VolumePath::read(file)).is_some_and(|path| {
            case.root.holds(&path, "\\System32\\ntdll.dll")
                || CORE.iter().any(|name| case.root.holds(&path, &format!("\\System32\\{name}")))
        })
}

/// Whether so much of a page is otherwise that it was not patched: it is another page. Where its page table is of another time it may be
/// another page too, however few bytes differ.
fn is_another(page: &AlteredPage) -> bool {
    let table = page.located.get("here").and_then(|here| here.data?.table);
    page.replaced.value() == Some(&true)
        || page.bytes.value().is_some_and(|bytes| *bytes > MOST_PATCHED)
        || table.is_some_and(Origin::is_of_another_time)
}

/// Another page in the place of one of an image: somebody put it there, or memory was copied while it changed.
fn another(page: &AlteredPage) -> Missing {
    let from = origin(page).map_or_else(String::new, |from| format!(" (from {from})"));
    Missing::new(
        format!("the page of {} at {}", text(&page.file), text(&page.at)),
        format!(
            "in doubt: {} bytes of it are not those that others have{from}. It was replaced, or memory changed while it was copied",
            text(&page.bytes)
        ),
    )
}

/// What supplied the bytes of a page that differs, or the table that leads to them, if not memory alone.
fn origin(page: &AlteredPage) -> Option<Origin> {
    let data = page.located.get("here")?.data?;
    data.table.or(data.from).filter(|from| !matches!(from, Origin::Memory | Origin::Transition | Origin::Prototype))
}

/// Whether what stands at the start of an image can be read, and is none.
fn begins_with_no_headers(vad: &Vad) -> bool {
    vad.image_size.absent().is_some_and(|absent| absent.kind == AbsentKind::Unparsable)
}

fn no_headers(vad: &Vad) -> Missing {
    Missing::new(
        format!("the page at {} of {} as it was", text(&vad.start), text(&vad.file)),
        "not to be told: it holds no headers of an image, and was replaced, or memory changed while it was copied",
    )
}

/// Pages of images that a process has of its own, and that could not be compared.
fn not_compared(inside: &Inside, grade: Grade, memory: &mut Memory) {
    for page in inside.uncompared.value().into_iter().flatten() {
        let (at, file) = (text(&page.at), text(&page.file));
        let own = page.own.value() == Some(&true);
        let copy = if own { ", of which the process has a copy of its own" } else { "" };
        let missing = match page.here.absent() {
            Some(absent) => Missing::new(format!("the page at {at} of {file}{copy}"), absent),
            None => Missing::new(format!("what {file} has at {at}{copy}"), Why::no_value(&page.there)),
        };
        match grade {
            Grade::Alone | Grade::Guarded if own => {
                memory.torn.get_or_insert(missing);
            }
            // The page may have come back while memory was copied.
            Grade::Alone | Grade::Guarded => {
                memory.open.get_or_insert(missing);
            }
            Grade::Open => {
                memory.unseen.get_or_insert_with(|| format!("Not looked at: {missing}."));
            }
        }
    }
    if inside.compared_end.value() == Some(&ListEnd::Limit) {
        let why = || "Not all pages of images were compared with their sections: there are too many.".to_owned();
        memory.unseen.get_or_insert_with(why);
    }
}

/// The headers of smss.exe and of ntdll.dll in it, where they cannot be had: other images that Windows maps there are data.
fn not_read(case: &Case<'_>, process: &Process, ranges: &Ranges<'_>, grade: Grade, memory: &mut Memory) {
    let matters = |vad: &&Vad| {
        let is_own = vad.start.value().is_some() && vad.start.value() == process.section_base.value();
        is_image(vad) && (is_own || is_ntdll(case, vad))
    };
    let absent = |vad: &&Vad| vad.image_size.absent().is_some_and(is_away);
    if grade == Grade::Alone
        && let Some(vad) = ranges.vads.iter().filter(matters).find(absent)
    {
        let headers = format!("the headers of {} at {}", text(&vad.file), text(&vad.start));
        let missing = Missing::new(headers, Why::no_value(&vad.image_size));
        memory.unseen.get_or_insert_with(|| format!("Not looked at: {missing}."));
    }
}

fn is_ntdll(case: &Case<'_>, vad: &Vad) -> bool {
    let path = vad.file.value().and_then(|file| crate::checks::paths::VolumePath::read(file));
    path.is_some_and(|path| case.root.holds(&path, "\\System32\\ntdll.dll"))
}

fn is_away(absent: &Absent) -> bool {
    absent.kind == AbsentKind::Unreadable
}

/// A page of an image that differs elsewhere.
fn changed(page: &AlteredPage, grade: Grade) -> Found {
    let bytes = page.bytes.value().copied().unwrap_or_default();
    let elsewhere = match page.pid.value() {
        Some(pid) => format!("in pid {pid}"),
        None => "in its section".to_owned(),
    };
    // Nobody writes to headers either, but for the base that the image was moved to.
    let is_moved = page.executable.value() != Some(&true) && bytes <= BASE_BYTES;
    let severity = if is_another(page) || is_moved { Severity::Info } else { grade.hooked() };
    let from = origin(page).map_or_else(String::new, |from| format!(", from {from},"));
    let other = page.other.value().map_or_else(String::new, |other| format!(" (at {other})"));
    let at = page.at.value().copied().unwrap_or_default();
    let first = at.wrapping_add(page.offset.value().copied().unwrap_or_default());
    Found {
        severity,
        words: format!(
            "{bytes} bytes of {} from {first} on{from} are not those {elsewhere}: {} instead of {}{other}",
            text(&page.file),
            text(&page.here),
            text(&page.there)
        ),
        structure: "_MMPTE",
        field: "PageFrameNumber",
        object: Reading::Nothing,
        place: page.located.get("here").cloned(),
        value: text(&page.here),
        code: Reading::Value(first),
    }
}

impl Memory {
    /// The worst of what was found.
    pub(super) fn worst(&self) -> Option<Severity> {
        self.found.iter().map(|found| found.severity).max()
    }

    /// Why a pass is not the whole answer: sentences.
    pub(super) fn reservation(&self) -> Option<String> {
        let all: Vec<&str> = self.one_witness.iter().chain(&self.unseen).map(String::as_str).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }

    /// What was found, in words.
    pub(super) fn words(&self) -> Vec<String> {
        self.found.iter().map(|found| found.words.clone()).collect()
    }

    /// What kinds of things were found.
    pub(super) fn kinds(&self) -> BTreeSet<&'static str> {
        let kind = |found: &Found| match found.field {
            "NoExecute" => "pages that were made executable",
            "PageFrameNumber" => "changed pages of an image",
            "VadCount" => "ranges that the memory map lacks",
            _ if found.severity == Severity::Info => "mapped data that is executable",
            _ => "private executable memory",
        };
        self.found.iter().map(kind).collect()
    }

    /// Adds the evidence.
    pub(super) fn show(&self, process: &Process, outcome: Outcome) -> Outcome {
        self.found.iter().fold(outcome, |outcome, found| {
            let place = (&found.object, found.place.as_ref());
            let value = Some(found.value.clone());
            outcome.seen_at(process, found.structure, found.field, place, value).of_code(&found.code)
        })
    }
}
