//! The file behind the image: SMSS-004.

use super::ranges::Ranges;
use crate::checks::case::Case;
use crate::checks::paths::VolumePath;
use crate::checks::rule::{About, Rule};
use crate::checks::subject::Subject;
use crate::checks::{Confidence, Outcome, Severity, Why};
use crate::{Absent, Process, Reading, VirtualAddress};

/// SMSS-004: file behind the image agrees.
pub static IMAGE_FILE: Rule = Rule {
    id: "SMSS-004",
    title: "file behind the image agrees",
    wrong: "file behind the image is another",
    core: false,
    attack: &["T1055.013"],
    about: About {
        what: "The FILE_OBJECT behind the image's section has the name of the kernel's path and of the mapped \
               range, is not about to be deleted and is part of no transaction.",
        why: "Process doppelgänging, ghosting and herpaderping start a process from a file that is rolled back, \
               deleted or overwritten; the file object keeps the trace.",
        benign: "",
        source: "MITRE ATT&CK T1055.013; public descriptions of process ghosting and herpaderping; _FILE_OBJECT of \
               public symbols.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| file(case, subject, outcome)),
};

fn file(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    let Some(file) = process.section_file.value() else {
        return match process.has_exited() {
            true => outcome.unknown("the file behind the image", "gone with the process"),
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
    // What is mapped can be another section than the one that the process was made from.
    let of_section = VolumePath::read(&file.name);
    if let Some((mapped, address)) = mapped_file(process)
        && let (Some(of_section), Some(of_range)) = (&of_section, VolumePath::read(mapped))
        && !case.root.agree(of_section, &of_range)
    {
        return outcome
            .expected("the file that is mapped")
            .observed(format!("{}, and {mapped} is mapped", file.name))
            .seen_at(process, "_MMVAD", "Subsection", address, Some(mapped.to_owned()))
            .violation(Severity::High);
    }
    let Some(kernel) = process.path.value() else {
        return outcome.unknown("the kernel's path", Why::no_value(&process.path));
    };
    let outcome = outcome.expected(kernel).seen(process, "path", Some(kernel.clone()));
    let Some(of_kernel) = VolumePath::read(kernel) else {
        return outcome.unknown("the kernel's path", Absent::unparsable(""));
    };
    match of_section {
        Some(of_file) if case.root.agree(&of_kernel, &of_file) => match file.transaction {
            Some(_) => outcome.pass(),
            None => {
                outcome.confidence(Confidence::Medium).reason("Whether a transaction is attached is not known.").pass()
            }
        },
        Some(_) => outcome.violation(Severity::High),
        None if file.name.is_empty() => outcome.violation(Severity::High),
        None => outcome.unknown("the name of the file", Absent::unparsable("")),
    }
}

/// The file of the image that is mapped where the section was, with the address of its descriptor.
fn mapped_file(process: &Process) -> Option<(&str, &Reading<VirtualAddress>)> {
    let base = process.section_base.value().filter(|at| !at.is_null())?;
    let vad = Ranges::of(process).ok()?.at(*base)?;
    vad.kind.value().filter(|kind| *kind == "image")?;
    Some((vad.file.value()?, &vad.address))
}
