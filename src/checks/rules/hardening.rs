//! How the process is guarded, and what never touches it: SMSS-013, 014, 015, 023, 026, 027.

use crate::checks::case::Case;
use crate::checks::core::level;
use crate::checks::rule::{About, INJECTION, MASQUERADE, Rule};
use crate::checks::subject::{Role, Subject};
use crate::checks::{Confidence, Outcome, Severity, Why};
use crate::{Absent, AbsentKind, Hex, Process, Reading, Ticks, VirtualAddress};
use std::collections::BTreeMap;

/// SMSS-013: protection is WinTcb-Light (0x61).
pub static PROTECTION: Rule = Rule {
    id: "SMSS-013",
    title: "protection is WinTcb-Light (0x61)",
    wrong: "protection is not WinTcb-Light (0x61)",
    core: false,
    attack: &["T1562.001"],
    about: About {
        what: "EPROCESS.Protection.Level is 0x61 (signer WinTcb, type protected light) from build 9600 on, and SignatureLevel and \
               SectionSignatureLevel are not below those of the others that are protected so.",
        why: "Protection keeps administrators from opening the process with rights to write. A type of none, whoever the signer, \
               means that it was stripped by kernel code, or that the process was never smss.exe; a signer below WinTcb lets \
               more processes in.",
        benign: "Builds before 9600 have no such protection. The values of a container's processes have not been \
                 observed: info. A stronger signer or type is info.",
        source: "CrowdStrike, Evolution of Protected Processes part 2; PS_PROTECTION of public symbols and phnt.",
    },
    judge: protected,
};

/// SMSS-014: no 32-bit process.
pub static NATIVE: Rule = Rule {
    id: "SMSS-014",
    title: "no 32-bit process",
    wrong: "a 32-bit process",
    core: false,
    attack: &[MASQUERADE],
    about: About {
        what: "EPROCESS.WoW64Process is null on 64-bit Windows.",
        why: "smss.exe is a native 64-bit image there. Much malware that borrows the name is 32-bit.",
        benign: "32-bit Windows has no such field: not applicable.",
        source: "Public listings; _EPROCESS of public symbols.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| wow64(case, subject.process, outcome)),
};

/// SMSS-015: marked critical.
pub static CRITICAL: Rule = Rule {
    id: "SMSS-015",
    title: "marked critical",
    wrong: "not marked critical",
    core: false,
    attack: &["T1562.001"],
    about: About {
        what: "BreakOnTermination is set in EPROCESS.Flags of the master.",
        why: "The master marks itself critical when it starts. Whoever wants to end it without stopping the \
               machine clears the flag first.",
        benign: "",
        source: "Windows Internals 7th edition part 1, chapter 2, step 1; ReactOS base/system/smss/smss.c.",
    },
    judge: |case, rule| case.each_if(rule, is_of_system, |subject, outcome| critical(case, subject.process, outcome)),
};

/// SMSS-023: no windows, no sockets.
pub static WINDOWS: Rule = Rule {
    id: "SMSS-023",
    title: "no windows, no sockets",
    wrong: "state of the window manager",
    core: false,
    attack: &[INJECTION],
    about: About {
        what: "EPROCESS.Win32Process is null. Sockets are not looked at.",
        why: "smss.exe is a native program and never becomes a GUI process. Foreign code in it that calls user32 \
               does.",
        benign: "",
        source: "Windows Internals 6th edition part 2 (native application); _EPROCESS of public symbols.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| windows(subject.process, outcome)),
};

/// SMSS-026: priority and thread count.
pub static PRIORITY: Rule = Rule {
    id: "SMSS-026",
    title: "priority and thread count",
    wrong: "another base priority, or many threads",
    core: false,
    attack: &[],
    about: About {
        what: "KPROCESS.BasePriority is 11 and EPROCESS.ActiveThreads at most 16.",
        why: "The master sets its own priority to 11 and has two to four threads.",
        benign: "Never above info.",
        source: "Windows Internals 7th edition part 1, chapter 2, step 3; ReactOS base/system/smss/smss.c; thread \
               counts of 46 public listings.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| priority(case, subject.process, outcome)),
};

/// SMSS-027: dynamic code is disabled.
pub static DYNAMIC_CODE: Rule = Rule {
    id: "SMSS-027",
    title: "dynamic code is disabled",
    wrong: "dynamic code is allowed",
    core: false,
    attack: &["T1562.001"],
    about: About {
        what: "DisableDynamicCode is set in EPROCESS.MitigationFlags of the master from build 10240 on.",
        why: "smss.exe forbids itself to make executable memory. Without the flag code can be injected without \
               help from the kernel.",
        benign: "Stated by a book and not confirmed on many images: never above info.",
        source: "Windows Internals 7th edition part 1, chapter 2, step 2.",
    },
    judge: |case, rule| {
        case.each_if(rule, is_of_system, |subject, outcome| dynamic_code(case, subject.process, outcome))
    },
};

fn is_of_system(subject: &Subject<'_>) -> bool {
    matches!(subject.role, Role::Master | Role::Claimant)
}

fn is_not_applicable<T>(reading: &Reading<T>) -> bool {
    reading.is_nothing() || reading.absent().is_some_and(|Absent { kind, .. }| *kind == AbsentKind::NotApplicable)
}

fn protected(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    case.each(rule, |subject, outcome| {
        protection(case, case.core.protection, subject.process, subject.role == Role::Silo, outcome)
    })
}

/// Whether a process has the protection that its build gives it, by `levels` from a build on. `lenient`: the value has not been
/// observed for this kind of process.
pub(in crate::checks) fn protection(
    case: &Case<'_>,
    levels: &[(u32, u64)],
    process: &Process,
    lenient: bool,
    outcome: Outcome,
) -> Outcome {
    let Some(&(first, usual)) = levels.first() else {
        return outcome.not_applicable("It is not protected.");
    };
    let right = case.build.map_or(Some(usual), |build| level(levels, build));
    let outcome = outcome.expected(words(right.unwrap_or(usual)));
    let Some(right) = right else {
        return outcome.not_applicable(format!("Protected processes of this kind came with build {first}."));
    };
    let Some(found) = process.protection.value() else {
        return if case.build.is_none() && is_not_applicable(&process.protection) {
            outcome.not_applicable("This build has no such field.")
        } else {
            outcome.unknown("EPROCESS.Protection", Why::no_value(&process.protection))
        };
    };
    let outcome = outcome.observed(found).seen(process, "protection", Some(found.to_string()));
    if found.0 == right {
        match weaker_signature(case, process) {
            None => outcome.pass(),
            Some((words, value)) => outcome
                .observed(format!("{found}, and {words}"))
                .expected("signature levels as others have that are protected so")
                .seen(process, "section_signature_level", Some(value))
                .headed("it may load what is signed worse than others of its protection")
                .violation(Severity::Medium),
        }
    } else if case.build.is_none() {
        outcome.unknown("the build", format!("not known: before {first} there was no protection"))
    } else if lenient {
        outcome.guard("the protection of a container's processes has not been observed yet").violation(Severity::Info)
    } else {
        let (severity, reason) = weaker(found.0, right);
        outcome.reason(reason).violation(severity)
    }
}

/// One of the two levels of a process.
type LevelOf = fn(&Process) -> &Reading<Hex>;

/// Whether a process may run or load files that are signed worse than most processes may that are protected in the same way: two of them at
/// the least. Levels are the low four bits. Returns what it is in words, and the level of what it loads.
fn weaker_signature(case: &Case<'_>, process: &Process) -> Option<(String, String)> {
    const LEVEL: u64 = 0xf;
    let alike = || {
        case.processes().filter(|other| {
            !std::ptr::eq(*other, process) && other.is_live() && other.protection.value() == process.protection.value()
        })
    };
    let levels: [(&str, LevelOf); 2] = [
        ("SignatureLevel", |process| &process.signature_level),
        ("SectionSignatureLevel", |process| &process.section_signature_level),
    ];
    levels.into_iter().find_map(|(name, level)| {
        let own = level(process).value()?;
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for other in alike().filter_map(|other| level(other).value()) {
            let count = counts.entry(other.0 & LEVEL).or_default();
            *count = count.saturating_add(1);
        }
        let (usual, count) = counts.into_iter().max_by_key(|(level, count)| (*count, *level))?;
        (count >= 2 && own.0 & LEVEL < usual).then(|| {
            let words = format!("{name} is {own}, where {count} others that are protected so have level {usual:#x}");
            (words, level(process).value().map(ToString::to_string).unwrap_or_default())
        })
    })
}

/// What another level means. Its low three bits are the type (`PS_PROTECTED_TYPE`: none, light, protected), the upper four the
/// signer (`PS_PROTECTED_SIGNER`): a signer protects from those below it, and without a type there is no protection whoever signed.
fn weaker(found: u64, right: u64) -> (Severity, &'static str) {
    const TYPES: std::ops::RangeInclusive<u64> = 1..=2;
    /// `PsProtectedSignerApp`: the last number, and no rank.
    const APP: u64 = 8;
    let (kind, signer) = (found & 7, (found >> 4) & 0xf);
    if kind == 0 {
        (Severity::High, "Its type is none: stripped, or an impostor.")
    } else if !TYPES.contains(&kind) || signer >= APP {
        (Severity::Medium, "No Windows process has such a type or signer.")
    } else if signer < (right >> 4) & 0xf {
        (Severity::Medium, "Its signer is below the right one, so that more processes can open it.")
    } else {
        (Severity::Info, "It is protected as well or better.")
    }
}

fn words(level: u64) -> String {
    match level {
        0x61 => "0x61 (WinTcb-Light)".to_owned(),
        level => format!("{level:#x}"),
    }
}

fn wow64(case: &Case<'_>, process: &Process, outcome: Outcome) -> Outcome {
    let outcome = outcome.expected("native");
    let arch = case.system.kernel.as_ref().and_then(|kernel| kernel.arch.as_deref());
    if arch == Some("x86") || is_not_applicable(&process.wow64) {
        return outcome.not_applicable("A 32-bit system.");
    }
    match process.wow64.value() {
        None => outcome.unknown("EPROCESS.WoW64Process", Why::no_value(&process.wow64)),
        Some(true) => {
            outcome.observed("WoW64Process is set").seen(process, "wow64", Some("set".into())).violation(Severity::High)
        }
        Some(false) => outcome.observed("native").seen(process, "wow64", Some("null".into())).pass(),
    }
}

/// A process runs its first instructions within this, on a machine that is busy starting.
const YOUNG: Ticks = Ticks::seconds(5);

fn critical(case: &Case<'_>, process: &Process, outcome: Outcome) -> Outcome {
    if !case.core.critical {
        return outcome.not_applicable("It need not be.");
    }
    let outcome = outcome.expected("BreakOnTermination set");
    match process.critical.value() {
        None => outcome.unknown("EPROCESS.Flags", Why::no_value(&process.critical)),
        Some(true) => outcome.observed("set").seen(process, "critical", Some("set".into())).pass(),
        Some(false) => {
            let outcome = outcome.observed("clear").seen(process, "critical", Some("clear".into()));
            match case.age(process) {
                Ok(age) if age <= YOUNG => outcome
                    .guard("it was made a moment before the image, and marks itself when it has begun to run")
                    .violation(Severity::Info),
                _ => outcome.violation(Severity::Medium),
            }
        }
    }
}

fn windows(process: &Process, outcome: Outcome) -> Outcome {
    let outcome = outcome.expected("none");
    if process.has_exited() {
        return outcome.not_applicable("It has exited.");
    }
    match process.win32_process.known() {
        Err(absent) => outcome.unknown("EPROCESS.Win32Process", absent),
        Ok(Some(at)) if *at != VirtualAddress(0) => outcome
            .observed(format!("Win32Process {at}"))
            .seen(process, "win32_process", Some(at.to_string()))
            .violation(Severity::High),
        Ok(_) => outcome
            .observed("no window manager state")
            .seen(process, "win32_process", None)
            .confidence(Confidence::Medium)
            .reason("Sockets were not looked at.")
            .pass(),
    }
}

fn priority(case: &Case<'_>, process: &Process, outcome: Outcome) -> Outcome {
    let (Some(usual), Some(most)) = (case.core.base_priority, case.core.most_threads) else {
        return outcome.not_applicable("They differ.");
    };
    let outcome = outcome.expected(format!("base priority {usual}, at most {most} threads"));
    if process.has_exited() {
        return outcome.not_applicable("It has exited.");
    }
    let (priority, threads) = (process.base_priority.value(), process.threads.value());
    let odd_priority = priority.is_some_and(|priority| *priority != usual);
    let odd_threads = threads.is_some_and(|threads| *threads > most);
    let outcome = outcome.seen(process, "base_priority", priority.map(ToString::to_string)).seen(
        process,
        "threads",
        threads.map(ToString::to_string),
    );
    let words = |name: &str, value: Option<String>| format!("{name} {}", value.unwrap_or_else(|| "not known".into()));
    let outcome = outcome.observed(format!(
        "{}, {}",
        words("base priority", priority.map(ToString::to_string)),
        words("threads", threads.map(ToString::to_string)),
    ));
    if odd_priority || odd_threads {
        let odd = [(odd_priority, "another base priority"), (odd_threads, "many threads")];
        let odd: Vec<&str> = odd.into_iter().filter(|(is, _)| *is).map(|(_, words)| words).collect();
        outcome.headed(odd.join(", ")).violation(Severity::Info)
    } else if priority.is_none() {
        outcome.unknown("the base priority", Why::no_value(&process.base_priority))
    } else if threads.is_none() {
        outcome.unknown("the number of threads", Why::no_value(&process.threads))
    } else {
        outcome.pass()
    }
}

/// Stated by a book and not seen on an image yet: never above info.
fn dynamic_code(case: &Case<'_>, process: &Process, outcome: Outcome) -> Outcome {
    let outcome = outcome.expected("DisableDynamicCode set");
    let Some(first) = case.core.dynamic_code_disabled else {
        return outcome.not_applicable("It may make code.");
    };
    match case.build {
        Some(build) if build < first => {
            return outcome.not_applicable(format!("{} does so since build {first}.", case.core.name));
        }
        None => return outcome.unknown("the build", "not known"),
        Some(_) => {}
    }
    match process.dynamic_code_disabled.value() {
        None => outcome.unknown("EPROCESS.MitigationFlags", Why::no_value(&process.dynamic_code_disabled)),
        Some(true) => outcome.observed("set").seen(process, "dynamic_code_disabled", Some("set".into())).pass(),
        Some(false) => outcome
            .observed("clear")
            .seen(process, "dynamic_code_disabled", Some("clear".into()))
            .violation(Severity::Info),
    }
}
