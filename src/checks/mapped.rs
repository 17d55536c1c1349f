//! What is mapped into smss.exe, and where its threads began: SMSS-016, 017, 018.

use super::image::EXITED;
use super::paths::{VolumePath, same};
use super::ranges::{Ranges, text};
use super::scene::{Role, Scene, Smss, describe};
use super::{Confidence, Outcome, Severity, table};
use crate::kernel::{Thread, Vad};
use crate::picture::SessionModel;
use crate::{ListEnd, Process, Reading, VirtualAddress};

pub(super) fn check(scene: &Scene<'_>) -> Vec<Outcome> {
    let mut outcomes = scene.each("SMSS-016", |smss, outcome| modules(scene, smss, outcome));
    outcomes.extend(scene.each("SMSS-017", |smss, outcome| bases(scene, smss, outcome)));
    outcomes.extend(scene.each("SMSS-018", |smss, outcome| code(scene, smss, outcome)));
    outcomes
}

/// Whether a file is smss.exe or ntdll.dll of this Windows.
fn is_native(scene: &Scene<'_>, smss: &Smss<'_>, file: &str) -> bool {
    VolumePath::read(file).is_some_and(|path| {
        table::MODULES.iter().any(|below| {
            // A container's files lie in layers whose place on the host has not been observed.
            scene.root.holds(&path, below)
                || (smss.role == Role::Silo
                    && below.rsplit('\\').next().is_some_and(|name| same(name, path.base_name())))
        })
    })
}

fn modules(scene: &Scene<'_>, smss: &Smss<'_>, outcome: Outcome) -> Outcome {
    let process = smss.process;
    let listed = process.modules.value().filter(|modules| !modules.is_empty());
    if process.has_exited() && listed.is_none() {
        return outcome.not_applicable(EXITED);
    }
    let noise = scene.build.is_none_or(|build| table::API_SET_NOISE.contains(&build));
    let known = |file: &str| {
        is_native(scene, smss, file)
            || (noise
                && VolumePath::read(file).is_some_and(|path| scene.root.holds(&path, "\\System32\\apisetschema.dll")))
    };
    let mut outcome = outcome.expected("smss.exe and ntdll.dll, both from System32").seen(
        process,
        "modules",
        listed.map(|modules| modules.join(", ")),
    );
    let mut others: Vec<String> = listed.into_iter().flatten().filter(|file| !known(file)).cloned().collect();
    let ranges = Ranges::of(process);
    let images: Vec<&Vad> = ranges.iter().flat_map(|ranges| ranges.vads).filter(|vad| is_image(vad)).collect();
    for vad in &images {
        if let Some(file) = vad.file.value().filter(|file| !known(file)) {
            outcome = outcome.seen_at(process, "_MMVAD", "Subsection", &vad.address, Some(file.clone()));
            // What the lists name too is said once.
            let of_range = VolumePath::read(file);
            let is_listed = |listed: &String| {
                VolumePath::read(listed)
                    .zip(of_range.as_ref())
                    .is_some_and(|(of_list, of_range)| scene.root.agree(&of_list, of_range))
            };
            match others.iter_mut().find(|other| is_listed(other)) {
                Some(other) => other.push_str(&format!(" at {}", text(&vad.start))),
                None => others.push(format!("{file} at {}", text(&vad.start))),
            }
        }
    }
    if !others.is_empty() {
        return outcome.observed(format!("also {}", others.join(", "))).violation(Severity::High);
    }
    // An image that was taken out of the lists is still in the memory map, so that the lists alone prove nothing.
    let ranges = match ranges {
        Ok(ranges) => ranges,
        Err(why) => return outcome.unknown("the memory map", why),
    };
    if let Some(nameless) = images.iter().find(|vad| vad.file.value().is_none()) {
        let needs = format!("the file of the image at {}", text(&nameless.start));
        return outcome.unknown(&needs, describe(&nameless.file));
    }
    if let Some(part) = ranges.part {
        return outcome.unknown("the whole memory map", part);
    }
    if images.is_empty() {
        return outcome.unknown("an image in the memory map", "not there");
    }
    let files: Vec<&str> = images.iter().filter_map(|vad| vad.file.value()).map(String::as_str).collect();
    let outcome = outcome.observed(files.join(", "));
    match listed {
        Some(_) => outcome.pass(),
        None => outcome
            .confidence(Confidence::Medium)
            .reason(format!("The memory map alone was judged: the module list is {}.", describe(&process.modules)))
            .pass(),
    }
}

fn is_image(vad: &Vad) -> bool {
    vad.kind.value().is_some_and(|kind| kind == "image")
}

/// Whether the range is smss.exe's own image.
enum Backing {
    Right,
    Wrong(String),
    Unknown(String),
}

/// What stands at the image base.
fn backing(scene: &Scene<'_>, smss: &Smss<'_>, vad: &Vad, base: VirtualAddress) -> Backing {
    let Some(kind) = vad.kind.value() else { return Backing::Unknown(describe(&vad.kind)) };
    if kind != "image" {
        return Backing::Wrong(format!("{kind} memory ({})", text(&vad.protection)));
    }
    let file = match vad.file.known() {
        Ok(Some(file)) => file,
        Ok(None) => return Backing::Unknown("empty".to_owned()),
        Err(absent) => return Backing::Unknown(absent.to_string()),
    };
    if vad.start.value() != Some(&base) {
        return Backing::Wrong(format!("the middle of {file}"));
    }
    let of_file = VolumePath::read(file);
    let of_kernel = smss.process.path.value().and_then(|path| VolumePath::read(path));
    match (of_file, of_kernel) {
        (None, _) => Backing::Unknown("unparsable".to_owned()),
        (Some(of_file), Some(of_kernel)) if scene.root.agree(&of_kernel, &of_file) => Backing::Right,
        _ if is_native(scene, smss, file) && file.to_ascii_lowercase().ends_with("smss.exe") => Backing::Right,
        _ => Backing::Wrong(file.clone()),
    }
}

fn bases(scene: &Scene<'_>, smss: &Smss<'_>, outcome: Outcome) -> Outcome {
    let process = smss.process;
    // A page that is there and all zero was lost, not written.
    let known = |reading: &Reading<VirtualAddress>| reading.value().copied().filter(|at| !at.is_null());
    let (peb, section) = (known(&process.image_base), known(&process.section_base));
    if process.has_exited() && peb.is_none() {
        return outcome.not_applicable(EXITED);
    }
    let mut outcome = outcome
        .expected(format!(
            "{}, the PEB's and the section's, with smss.exe mapped there",
            section.map_or_else(|| "one address".to_owned(), |at| at.to_string())
        ))
        .seen(process, "image_base", peb.map(|at| at.to_string()))
        .seen(process, "section_base", section.map(|at| at.to_string()));
    if let (Some(peb), Some(section)) = (peb, section)
        && peb != section
    {
        return outcome.observed(format!("the PEB names {peb}")).violation(Severity::Critical);
    }
    let Some(base) = section.or(peb) else {
        return outcome.unknown("the PEB's image base", describe(&process.image_base));
    };
    let ranges = match Ranges::of(process) {
        Ok(ranges) => ranges,
        Err(why) => return outcome.observed(base).unknown("the memory map", why),
    };
    match ranges.at(base) {
        Some(vad) => {
            outcome = outcome.seen_at(process, "_MMVAD_SHORT", "StartingVpn", &vad.address, Some(text(&vad.start)));
            match backing(scene, smss, vad, base) {
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
        outcome.unknown("the PEB's image base", describe(&process.image_base))
    } else if section.is_none() {
        outcome.unknown("the section's base", describe(&process.section_base))
    } else {
        outcome.pass()
    }
}

/// SMSS-018.
fn code(scene: &Scene<'_>, smss: &Smss<'_>, outcome: Outcome) -> Outcome {
    let process = smss.process;
    if process.has_exited() {
        return outcome.not_applicable(EXITED);
    }
    let mut outcome = outcome.expected("none; every thread starts in smss.exe or ntdll.dll");
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
    let mut open: Option<(String, String)> = None;
    let (threads, missing) = threads(process);
    for &thread in &threads {
        match start(scene, smss, &ranges, thread) {
            Start::Right => {}
            Start::Elsewhere(words, field) => {
                found.push(format!("thread {} starts {words}", text(&thread.tid)));
                outcome = outcome.seen_at(process, "_ETHREAD", field, &thread.address, Some(words));
            }
            Start::Unknown(why) => {
                open.get_or_insert((format!("the start address of thread {}", text(&thread.tid)), why));
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
    if let Some((needs, why)) = open {
        return outcome.unknown(&needs, why);
    }
    let outcome = outcome.observed(format!("no private code, {} threads", threads.len()));
    if process.dynamic_code_disabled.value() == Some(&true) {
        return outcome.pass();
    }
    outcome
        .confidence(Confidence::Medium)
        .reason("The protection that ranges were made with: a later change of single pages does not show.")
        .pass()
}

/// The threads that have not ended, and why they may not be all.
fn threads(process: &Process) -> (Vec<&Thread>, Option<String>) {
    let Some(inside) = process.inside.value() else { return (Vec::new(), Some(describe(&process.inside))) };
    let Some(all) = inside.threads.value() else { return (Vec::new(), Some(describe(&inside.threads))) };
    let live: Vec<&Thread> = all.iter().filter(|thread| thread.terminated.value() != Some(&true)).collect();
    let active = process.threads.value().and_then(|number| usize::try_from(*number).ok());
    let missing = if inside.threads_end.value() != Some(&ListEnd::Complete) {
        Some("a part: the walk of it did not come to its end".to_owned())
    } else if live.is_empty() {
        Some("empty".to_owned())
    } else {
        // One taken off the list is still counted.
        active
            .filter(|active| *active > live.len())
            .map(|active| format!("a part: {} of the {active} threads are in it", live.len()))
    };
    (live, missing)
}

enum Start {
    Right,
    /// Where, in words, and which field says so.
    Elsewhere(String, &'static str),
    Unknown(String),
}

fn start(scene: &Scene<'_>, smss: &Smss<'_>, ranges: &Ranges<'_>, thread: &Thread) -> Start {
    let of_kernel = place(scene, smss, ranges, &thread.start, "StartAddress");
    // Before Vista the field is shared with the id of the message that a server thread waits for.
    if scene.model == SessionModel::Master || matches!(of_kernel, Start::Elsewhere(..)) {
        return of_kernel;
    }
    match (place(scene, smss, ranges, &thread.win32_start, "Win32StartAddress"), of_kernel) {
        (elsewhere @ Start::Elsewhere(..), _) => elsewhere,
        (_, unknown @ Start::Unknown(_)) => unknown,
        // The thread may have none, and may set it to anything.
        (Start::Unknown(_), of_kernel) if thread.win32_start.is_nothing() => of_kernel,
        (of_creator, _) => of_creator,
    }
}

fn place(
    scene: &Scene<'_>,
    smss: &Smss<'_>,
    ranges: &Ranges<'_>,
    address: &Reading<VirtualAddress>,
    field: &'static str,
) -> Start {
    let Some(&address) = address.value().filter(|at| !at.is_null()) else {
        return Start::Unknown(describe(address));
    };
    if address.is_kernel() {
        return Start::Unknown(format!("one of the kernel: {address}"));
    }
    let Some(vad) = ranges.at(address) else {
        return Start::Unknown(match &ranges.part {
            Some(part) => format!("in no range that is known ({address}), and the memory map is {part}"),
            // Its code has been taken out since.
            None => format!("stale: nothing is mapped at {address} any more"),
        });
    };
    let Some(kind) = vad.kind.value() else { return Start::Unknown(describe(&vad.kind)) };
    if kind != "image" {
        return Start::Elsewhere(format!("at {address}, in {kind} memory ({})", text(&vad.protection)), field);
    }
    let Some(file) = vad.file.value() else { return Start::Unknown(describe(&vad.file)) };
    let own = || {
        let (of_file, path) = (VolumePath::read(file), smss.process.path.value());
        let of_kernel = path.and_then(|path| VolumePath::read(path));
        of_file.zip(of_kernel).is_some_and(|(of_file, of_kernel)| scene.root.agree(&of_kernel, &of_file))
    };
    if is_native(scene, smss, file) || own() {
        Start::Right
    } else {
        Start::Elsewhere(format!("at {address}, in {file}"), field)
    }
}
