//! Which image the process runs from, by the kernel and by its own account: SMSS-002, 003.

use crate::checks::case::{Case, ImagePath};
use crate::checks::missing::GONE;
use crate::checks::paths::VolumePath;
use crate::checks::rule::{About, MASQUERADE, Rule};
use crate::checks::subject::{Role, Subject};
use crate::checks::words::same;
use crate::checks::{Confidence, Outcome, Severity, Why};
use crate::{Absent, Process};

/// SMSS-002: image path (kernel).
pub static KERNEL_PATH: Rule = Rule {
    id: "SMSS-002",
    title: "image path (kernel)",
    wrong: "image is not System32\\smss.exe",
    core: true,
    attack: &[MASQUERADE],
    about: About {
        what: "EPROCESS.SeAuditProcessCreationInfo.ImageFileName without its device is System32\\smss.exe below \
               KUSER_SHARED_DATA.NtSystemRoot, and the device is the one that other processes of System32 run from.",
        why: "The kernel writes this path when it creates the process, out of the process's own reach. Malware \
               that takes the name runs from a folder of the user, of the system root or of its own: Brontok and \
               Sober did.",
        benign: "Any device is right as long as all agree: disks, memory disks of Windows PE, virtual disks. The \
               system root may be another than C:\\Windows. Servicing keeps copies in WinSxS and the like, which do \
               not run: medium instead of critical.",
        source: "Public listings of XP to Windows 11; Sigma rule \"System File Execution Location Anomaly\"; CERT-In \
               and Fortinet on Brontok and Sober.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| path(case, subject, outcome)),
};

/// SMSS-003: PEB path agrees with the kernel's.
pub static PEB_PATH: Rule = Rule {
    id: "SMSS-003",
    title: "PEB path agrees with the kernel's",
    wrong: "PEB path is not the kernel's",
    core: false,
    attack: &[MASQUERADE],
    about: About {
        what: "RTL_USER_PROCESS_PARAMETERS.ImagePathName, brought to one form (\\SystemRoot, drive letter, \\??\\), \
               is the kernel's path.",
        why: "A process can write to its own PEB and so show tools another path. It cannot reach the kernel's \
               copy.",
        benign: "The PEB is often paged out: not judged then.",
        source: "MemProcFS, PEB_MASQ; ired.team on PEB masquerading; listings in which smss.exe shows \
               \\SystemRoot\\System32\\smss.exe on every version.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| peb_path(case, subject, outcome)),
};

/// Where Windows keeps other copies of its programs: below the root of the volume, and below the system root.
const SPARE_COPIES: [&[&str]; 2] =
    [&["\\$WINDOWS.~BT", "\\$WinREAgent"], &["\\WinSxS", "\\SoftwareDistribution", "\\SystemTemp", "\\uus"]];

fn path(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    let text = process.path.value();
    let mut outcome = outcome.expected(case.root.join(case.core.path)).seen(process, "path", text.cloned());
    if let Some(text) = text {
        outcome = outcome.observed(text);
    }
    if !case.root.is_known() {
        outcome = outcome
            .confidence(Confidence::Medium)
            .reason("The system root is not known: \\Windows and \\WINNT are accepted.");
    }
    if let Some(text) = text.filter(|text| is_no_device(process, text))
        && matches!(case.image_path(process, case.core.path), ImagePath::Right)
    {
        let reason = format!("The kernel writes the path of a device here: {text:?} is not its writing.");
        return outcome.expected(format!("\\Device\\...{}", case.core.path)).reason(reason).violation(Severity::Low);
    }
    match case.image_path(process, case.core.path) {
        ImagePath::Right => match case.other_volume(subject) {
            None => outcome.pass(),
            Some(volume) => {
                let outcome = outcome.expected(format!("\\Device\\{volume}{}", case.root.join(case.core.path)));
                let reason = format!("The other processes of System32 run from {volume}.");
                // A guest whose Windows is on a share of its host has all of it there.
                let of_share = text.and_then(|text| VolumePath::read(text)).is_some_and(|path| {
                    path.device()
                        .and_then(|device| device.get(.."vmsmb".len()))
                        .is_some_and(|start| same(start, "vmsmb"))
                });
                if of_share && subject.role == Role::Master {
                    return outcome.reason(reason).violation(Severity::Low);
                }
                // Which volume it is can differ from machine to machine; on one machine it should not.
                if subject.role == Role::Master || case.silo_unknown(process) {
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
        ImagePath::Missing => outcome.unknown("the kernel's path of the image", GONE),
        ImagePath::Wrong(path) => {
            let [of_volume, of_root] = SPARE_COPIES;
            let spare = of_volume.iter().any(|directory| path.is_below(directory))
                || of_root.iter().any(|directory| case.root.holds_below(&path, directory));
            if spare {
                outcome.guard("servicing keeps copies there, which do not run").violation(Severity::Medium)
            } else {
                outcome.violation(Severity::Critical)
            }
        }
    }
}

/// Whether a path that was read out of the kernel begins with no device, as other tools show paths and the kernel does not.
fn is_no_device(process: &Process, path: &str) -> bool {
    process.located.contains_key("path") && !path.get(..8).is_some_and(|start| same(start, "\\Device\\"))
}

fn peb_path(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    let (Some(kernel), Some(peb)) = (process.path.value(), process.peb_path.value()) else {
        return match process.path.value() {
            None => outcome.unknown("the kernel's path", Why::no_value(&process.path)),
            Some(_) if process.has_exited() => outcome.unknown("the PEB path", GONE),
            Some(_) => outcome.unknown("the PEB path", Why::no_value(&process.peb_path)),
        };
    };
    let outcome = outcome.expected(kernel).observed(peb).seen(process, "path", Some(kernel.clone())).seen(
        process,
        "peb_path",
        Some(peb.clone()),
    );
    let Some(of_kernel) = VolumePath::read(kernel) else {
        return outcome.unknown("the kernel's path", Absent::unparsable(""));
    };
    // The PEB is the process's own memory: what is no path there is a disagreement, not a smear of the kernel's.
    let agree = VolumePath::read(peb).is_some_and(|of_peb| case.root.agree(&of_kernel, &of_peb));
    let outcome = if case.root.is_known() { outcome } else { outcome.confidence(Confidence::Medium) };
    if agree { outcome.pass() } else { outcome.violation(Severity::High) }
}
