//! What smss.exe was started from: SMSS-002, 003, 004, 005, 024.

use super::paths::{VolumePath, same};
use super::ranges::Ranges;
use super::scene::{ImagePath, Role, Scene, Smss, describe};
use super::{Confidence, Outcome, Severity, table};
use crate::{Process, Reading, VirtualAddress};

/// Of checks that look at what only a running process has.
pub(super) const EXITED: &str = "It has exited, and its memory with it.";

pub(super) fn check(scene: &Scene<'_>) -> Vec<Outcome> {
    let mut outcomes = scene.each("SMSS-002", |smss, outcome| path(scene, smss, outcome));
    outcomes.extend(scene.each("SMSS-003", |smss, outcome| peb_path(scene, smss, outcome)));
    outcomes.extend(scene.each("SMSS-004", |smss, outcome| file(scene, smss, outcome)));
    outcomes.extend(scene.each("SMSS-005", |smss, outcome| command_line(scene, smss, outcome)));
    outcomes.extend(scene.each("SMSS-024", names));
    outcomes
}

fn path(scene: &Scene<'_>, smss: &Smss<'_>, outcome: Outcome) -> Outcome {
    let process = smss.process;
    let text = process.path.value();
    let mut outcome = outcome.expected(scene.root.join(table::SMSS_PATH)).seen(process, "path", text.cloned());
    if let Some(text) = text {
        outcome = outcome.observed(text);
    }
    if !scene.root.is_known() {
        outcome = outcome
            .confidence(Confidence::Medium)
            .reason("The system root is not known: \\Windows and \\WINNT are accepted.");
    }
    match scene.image_path(process, table::SMSS_PATH) {
        ImagePath::Right => match scene.other_volume(smss) {
            None => outcome.pass(),
            Some(volume) => {
                let outcome = outcome.expected(format!("\\Device\\{volume}{}", scene.root.join(table::SMSS_PATH)));
                let reason = format!("The other processes of System32 run from {volume}.");
                // Which volume it is can differ from machine to machine; on one machine it should not.
                if smss.role == Role::Master || scene.silo_unknown(process) {
                    outcome.confidence(Confidence::Medium).reason(reason).violation(Severity::Info)
                } else {
                    outcome.reason(reason).violation(Severity::High)
                }
            }
        },
        ImagePath::Unknown(why) => outcome.unknown("the kernel's path of the image", why),
        ImagePath::Missing if process.is_live() => {
            outcome.observed("no path").confidence(Confidence::Medium).violation(Severity::High)
        }
        ImagePath::Missing => outcome.unknown("the kernel's path of the image", "gone with the process"),
        ImagePath::Wrong(path) => {
            let [of_volume, of_root] = table::SPARE_COPIES;
            let spare = of_volume.iter().any(|directory| path.is_below(directory))
                || of_root.iter().any(|directory| scene.root.holds_below(&path, directory));
            if spare {
                outcome.guard("servicing keeps copies there, which do not run").violation(Severity::Medium)
            } else {
                outcome.violation(Severity::Critical)
            }
        }
    }
}

fn peb_path(scene: &Scene<'_>, smss: &Smss<'_>, outcome: Outcome) -> Outcome {
    let process = smss.process;
    let (Some(kernel), Some(peb)) = (process.path.value(), process.peb_path.value()) else {
        return match process.path.value() {
            None => outcome.unknown("the kernel's path", describe(&process.path)),
            Some(_) if process.has_exited() => outcome.unknown("the PEB path", "gone with the process"),
            Some(_) => outcome.unknown("the PEB path", describe(&process.peb_path)),
        };
    };
    let outcome = outcome.expected(kernel).observed(peb).seen(process, "path", Some(kernel.clone())).seen(
        process,
        "peb_path",
        Some(peb.clone()),
    );
    let Some(of_kernel) = VolumePath::read(kernel) else {
        return outcome.unknown("the kernel's path", "unparsable");
    };
    // The PEB is the process's own memory: what is no path there is a disagreement, not a smear of the kernel's.
    let agree = VolumePath::read(peb).is_some_and(|of_peb| scene.root.agree(&of_kernel, &of_peb));
    let outcome = if scene.root.is_known() { outcome } else { outcome.confidence(Confidence::Medium) };
    if agree { outcome.pass() } else { outcome.violation(Severity::High) }
}

fn file(scene: &Scene<'_>, smss: &Smss<'_>, outcome: Outcome) -> Outcome {
    let process = smss.process;
    let Some(file) = process.section_file.value() else {
        return match process.has_exited() {
            true => outcome.unknown("the file behind the image", "gone with the process"),
            false => outcome.unknown("the file behind the image", describe(&process.section_file)),
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
        && !scene.root.agree(of_section, &of_range)
    {
        return outcome
            .expected("the file that is mapped")
            .observed(format!("{}, and {mapped} is mapped", file.name))
            .seen_at(process, "_MMVAD", "Subsection", address, Some(mapped.to_owned()))
            .violation(Severity::High);
    }
    let Some(kernel) = process.path.value() else {
        return outcome.unknown("the kernel's path", describe(&process.path));
    };
    let outcome = outcome.expected(kernel).seen(process, "path", Some(kernel.clone()));
    let Some(of_kernel) = VolumePath::read(kernel) else {
        return outcome.unknown("the kernel's path", "unparsable");
    };
    match of_section {
        Some(of_file) if scene.root.agree(&of_kernel, &of_file) => match file.transaction {
            Some(_) => outcome.pass(),
            None => {
                outcome.confidence(Confidence::Medium).reason("Whether a transaction is attached is not known.").pass()
            }
        },
        Some(_) => outcome.violation(Severity::High),
        None if file.name.is_empty() => outcome.violation(Severity::High),
        None => outcome.unknown("the name of the file", "unparsable"),
    }
}

/// The file of the image that is mapped where the section was, with the address of its descriptor.
fn mapped_file(process: &Process) -> Option<(&str, &Reading<VirtualAddress>)> {
    let base = process.section_base.value().filter(|at| !at.is_null())?;
    let vad = Ranges::of(process).ok()?.at(*base)?;
    vad.kind.value().filter(|kind| *kind == "image")?;
    Some((vad.file.value()?, &vad.address))
}

/// The words behind the image in a child's command line.
fn is_child_form(arguments: &str) -> bool {
    let hex = |word: &str| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words: Vec<&str> = arguments.split(' ').filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        [one] => hex(one),
        [one, two] => hex(one) && hex(two),
        // Windows 11: the initial command and the id of the request.
        [one, two, command, request] => {
            hex(one)
                && hex(two)
                && same(command, "winlogon.exe")
                && request
                    .strip_prefix('{')
                    .and_then(|rest| rest.strip_suffix('}'))
                    .is_some_and(|id| id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'))
        }
        _ => false,
    }
}

fn command_line(scene: &Scene<'_>, smss: &Smss<'_>, outcome: Outcome) -> Outcome {
    let process = smss.process;
    let of_child = format!("{} and one or two words of 8 hexadecimal digits", table::SMSS_COMMAND);
    let outcome = match smss.role {
        Role::Child => outcome.expected(of_child),
        _ => outcome.expected(table::SMSS_COMMAND),
    };
    let text = match &process.command_line {
        Reading::Value(text) if !text.is_empty() => text,
        _ if process.has_exited() => return outcome.unknown("the command line", "gone with the process"),
        // The path beside it is there, so that this memory was readable: somebody emptied it.
        Reading::Value(_) | Reading::Nothing if process.peb_path.value().is_some() => {
            return outcome.observed("empty").seen(process, "command_line", None).violation(Severity::Medium);
        }
        other => return outcome.unknown("the command line", describe(other)),
    };
    let outcome = outcome.observed(text).seen(process, "command_line", Some(text.clone()));
    let trimmed = text.trim_end_matches(' ');
    let rest = trimmed
        .get(..table::SMSS_COMMAND.len())
        .filter(|image| same(image, table::SMSS_COMMAND))
        .and_then(|image| trimmed.get(image.len()..));
    let (master, child) = match rest {
        Some("") => (true, false),
        Some(arguments) => (false, arguments.starts_with(' ') && is_child_form(arguments)),
        None => (false, false),
    };
    match smss.role {
        Role::Master | Role::Claimant | Role::Stranger if master => outcome.pass(),
        Role::Child if child => outcome.pass(),
        Role::Silo if master || child => outcome.pass(),
        Role::Silo => outcome.unknown("the form that a container's smss.exe has", "not observed yet"),
        Role::Undetermined if master || child => outcome.unknown("the part it plays", "not known: its parent is not"),
        Role::Child if master && scene.silo_unknown(process) => {
            let guard = "whether this is the smss.exe of a container is not known";
            outcome.guard(guard).confidence(Confidence::Low).violation(Severity::Info)
        }
        _ => outcome.violation(Severity::Medium),
    }
}

fn names(smss: &Smss<'_>, outcome: Outcome) -> Outcome {
    let process = smss.process;
    let (Some(name), Some(path)) = (process.name.value(), process.path.value()) else {
        return match process.name.value() {
            None => outcome.unknown("the image name", describe(&process.name)),
            Some(_) => outcome.unknown("the kernel's path", describe(&process.path)),
        };
    };
    let outcome = outcome.observed(name).expected(path).seen(process, "name", Some(name.clone())).seen(
        process,
        "path",
        Some(path.clone()),
    );
    let Some(read) = VolumePath::read(path) else {
        return outcome.unknown("the kernel's path", "unparsable");
    };
    // The field holds 14 characters, or 15 where nothing ends them.
    let cut = |length: usize| read.base_name().chars().take(length).collect::<String>();
    if same(name, &cut(14)) || same(name, &cut(15)) { outcome.pass() } else { outcome.violation(Severity::Medium) }
}
