//! What stands at the image base: SMSS-017.

use super::EXITED;
use super::modules::is_native;
use super::ranges::{Ranges, text};
use crate::checks::case::Case;
use crate::checks::paths::VolumePath;
use crate::checks::rule::{About, Rule};
use crate::checks::subject::Subject;
use crate::checks::{Outcome, Severity, Why, Witness};
use crate::kernel::Vad;
use crate::{Absent, Origin, Process, Reading, VirtualAddress};

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

/// The process whose image lies at this base, if it is not the one whose PEB says so: one page may have come from there.
pub(super) fn owner_of(case: &Case<'_>, process: &Process, base: VirtualAddress) -> Option<u64> {
    let is_owner = |other: &&Process| {
        !std::ptr::eq(*other, process) && !other.has_exited() && other.section_base.value() == Some(&base)
    };
    case.processes().find(is_owner)?.pid.value().copied()
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
    // What memory alone proves does not rest on a PEB that a page table out of a page file leads to.
    let table = process.located.get("image_base").and_then(|at| at.table);
    let doubtful = table.is_some_and(Origin::is_of_another_time) && section.is_some() && peb != section;
    let of_peb =
        |outcome: Outcome| outcome.seen(process, "image_base", known(&process.image_base).map(|at| at.to_string()));
    let peb = peb.filter(|_| !doubtful);
    let expected = format!(
        "{}, the PEB's and the section's, with {} mapped there",
        section.map_or_else(|| "one address".to_owned(), |at| at.to_string()),
        case.core.name
    );
    let outcome = outcome.expected(expected);
    let outcome = if doubtful { outcome } else { of_peb(outcome) };
    let mut outcome = outcome.seen(process, "section_base", section.map(|at| at.to_string()));
    if let (Some(peb), Some(section)) = (peb, section)
        && peb != section
    {
        let own = Ranges::of(process).ok().and_then(|ranges| ranges.at(section));
        if let (Some(owner), Some(vad)) = (owner_of(case, process, peb), own)
            && matches!(backing(case, subject, vad, section), Backing::Right)
        {
            let why =
                format!("in doubt: it names {peb}, where the image of pid {owner} lies, and may be that process's");
            return outcome.unknown("the page of the PEB", why).decides();
        }
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
            outcome = outcome
                .seen_at(process, "_MMVAD_SHORT", "StartingVpn", vad.at("start"), Some(text(&vad.start)))
                .of_code(&vad.start);
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
            // All of the tree was read: what it lacks is its word too.
            let outcome = outcome.witnessed([Witness::Ranges]);
            return outcome.observed(format!("nothing is mapped at {base}")).violation(Severity::Critical);
        }
        None => {}
    }
    if let Some(named) = known(&process.image_base).filter(|_| doubtful) {
        return of_peb(outcome).observed(format!("the PEB names {named}")).violation(Severity::Critical);
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
