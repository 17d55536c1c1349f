//! The file behind the image: SMSS-004.

use super::ranges::Ranges;
use crate::checks::case::Case;
use crate::checks::missing::GONE;
use crate::checks::paths::VolumePath;
use crate::checks::rule::{About, Rule};
use crate::checks::subject::Subject;
use crate::checks::words::same;
use crate::checks::{Confidence, Outcome, Severity, Why};
use crate::kernel::Vad;
use crate::{Absent, Process};

/// SMSS-004: file behind the image agrees.
pub static IMAGE_FILE: Rule = Rule {
    id: "SMSS-004",
    title: "file behind the image agrees",
    wrong: "file behind the image is another",
    core: false,
    attack: &["T1055.013"],
    about: About {
        what: "The FILE_OBJECT behind the image's section has the name of the kernel's path, of the mapped range and of \
               EPROCESS.ImageFilePointer, lies on the device that the path names, is not about to be deleted and is part of no \
               transaction. A process that runs has its file in both places.",
        why: "Process doppelgänging, ghosting and herpaderping start a process from a file that is rolled back, \
               deleted or overwritten; the file object keeps the trace.",
        benign: "A FILE_OBJECT with an extension may be in a transaction or have something else: not judged.",
        source: "MITRE ATT&CK T1055.013; public descriptions of process ghosting and herpaderping; _FILE_OBJECT of \
               public symbols.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| file(case, subject, outcome)),
};

fn file(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    if let Some(outcome) = gone(process, &outcome) {
        return outcome;
    }
    let Some(file) = process.section_file.value() else {
        return match process.has_exited() {
            true => outcome.unknown("the file behind the image", GONE),
            false => outcome.unknown("the file behind the image", Why::no_value(&process.section_file)),
        };
    };
    let outcome = outcome.observed(if file.name.is_empty() { "no name" } else { &file.name }).seen(
        process,
        "section_file",
        Some(file.name.clone()),
    );
    if file.delete_pending {
        return outcome
            .expected("a file that stays")
            .reason("The file is about to be deleted.")
            .violation(Severity::High);
    }
    if file.transaction == Some(true) {
        return outcome
            .expected("a file outside transactions")
            .reason("The file is part of a transaction.")
            .violation(Severity::High);
    }
    // The kernel keeps the file that the process was made from in a second place.
    let of_section = VolumePath::read(&file.name);
    if let Some(image) = process.image_file.value()
        && let (Some(of_section), Some(of_image)) = (&of_section, VolumePath::read(&image.name))
        && !case.root.agree(of_section, &of_image)
    {
        return outcome
            .expected("one file in SectionObject and ImageFilePointer")
            .observed(format!("{}, and {} in ImageFilePointer", file.name, image.name))
            .seen(process, "image_file", Some(image.name.clone()))
            .violation(Severity::High);
    }
    // What is mapped can be another section than the one that the process was made from.
    if let Some((mapped, vad)) = mapped_file(process)
        && let (Some(of_section), Some(of_range)) = (&of_section, VolumePath::read(mapped))
        && !case.root.agree(of_section, &of_range)
    {
        return outcome
            .expected("the file that is mapped")
            .observed(format!("{}, and {mapped} is mapped", file.name))
            .seen_at(process, "_MMVAD", "Subsection", vad.at("file"), Some(mapped.to_owned()))
            .violation(Severity::High);
    }
    let Some(kernel) = process.path.value() else {
        return outcome.unknown("the kernel's path", Why::no_value(&process.path));
    };
    let outcome = outcome.expected(kernel).seen(process, "path", Some(kernel.clone()));
    let Some(of_kernel) = VolumePath::read(kernel) else {
        return outcome.unknown("the kernel's path", Absent::unparsable(""));
    };
    // The kernel makes the path of the device that the file object names.
    let device = process.image_file.value().and_then(|image| image.device.as_deref()).or(file.device.as_deref());
    if let (Some(of_path), Some(of_file)) = (of_kernel.device().filter(|device| !is_shared(device)), device)
        && of_path.rsplit('\\').next().is_none_or(|last| !same(last, of_file))
    {
        return outcome
            .expected(format!("the device of its FILE_OBJECT, {of_file}"))
            .observed(kernel)
            .reason(format!("The kernel's path names the device {of_path}, and the file is on {of_file}."))
            .violation(Severity::Medium);
    }
    // A file that is open has a device. Where others of it are told, it is not the device's name that is lost.
    let is_told = |other: &Process| other.section_file.value().is_some_and(|file| file.device.is_some());
    if device.is_none() && process.is_live() && case.processes().any(is_told) {
        let why = "not read: FILE_OBJECT.DeviceObject leads to no device with a name, and those of other processes do";
        return outcome.unknown("the device of its file", why).decides();
    }
    let extension = file.extension.or_else(|| process.image_file.value()?.extension);
    match of_section {
        Some(of_file) if case.root.agree(&of_kernel, &of_file) => match (extension, file.transaction) {
            (Some(extension), _) => outcome.unknown(
                "whether the file is part of a transaction",
                format!("not told: FILE_OBJECT.FileObjectExtension is {extension}, and what it holds is not described"),
            ),
            (None, Some(_)) => outcome.pass(),
            (None, None) => {
                outcome.confidence(Confidence::Medium).reason("Whether a transaction is attached is not known.").pass()
            }
        },
        Some(_) => outcome.violation(Severity::High),
        None if file.name.is_empty() => outcome.violation(Severity::High),
        None => outcome.unknown("the name of the file", Absent::unparsable("")),
    }
}

/// A process that runs has its file in both places.
fn gone(process: &Process, outcome: &Outcome) -> Option<Outcome> {
    let fields = [
        (process.image_file.is_nothing(), "image_file", "EPROCESS.ImageFilePointer"),
        (process.section.is_nothing(), "section", "EPROCESS.SectionObject"),
    ];
    // Builds that lack ImageFilePointer are told by where it was read.
    let is_null = |(nothing, field, _): &(bool, &str, &str)| *nothing && process.located.contains_key(*field);
    let null: Vec<_> = fields.into_iter().filter(is_null).collect();
    let runs = process.is_live() && process.minimal.value() != Some(&true);
    if null.is_empty() || !runs {
        return None;
    }
    let names: Vec<&str> = null.iter().map(|(_, _, name)| *name).collect();
    let outcome = outcome.clone().expected("the file of the image, in both places");
    let outcome = outcome.observed(format!("{} null", names.join(" and ")));
    let outcome = null.iter().fold(outcome, |outcome, (_, field, _)| outcome.seen(process, field, None));
    Some(outcome.violation(Severity::Low))
}

/// Whether a device is a share of the machine around this one, whose paths name the share too.
fn is_shared(device: &str) -> bool {
    device.get(.."vmsmb".len()).is_some_and(|start| same(start, "vmsmb"))
}

/// The file of the image that is mapped where the section was, with the address of its descriptor.
pub(super) fn mapped_file(process: &Process) -> Option<(&str, &Vad)> {
    let base = process.section_base.value().filter(|at| !at.is_null())?;
    let vad = Ranges::of(process).ok()?.at(*base)?;
    vad.kind.value().filter(|kind| *kind == "image")?;
    Some((vad.file.value()?, vad))
}
