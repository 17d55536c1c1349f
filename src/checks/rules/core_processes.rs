//! Code in the processes that Windows is made of beside smss.exe, who watches them, and who takes their names: SYS-11, 12, 13.

use super::pages::{self, Grade, Memory};
use super::ranges::{Ranges, text};
use crate::Process;
use crate::checks::case::Case;
use crate::checks::core::SYSTEM_PID;
use crate::checks::rule::{About, INJECTION, MASQUERADE, Rule};
use crate::checks::{Confidence, Outcome, Severity, Witness};

/// SYS-11: code of core processes comes from images.
pub static CODE: Rule = Rule {
    id: "SYS-11",
    title: "code of core processes comes from images",
    wrong: "executable memory in a core process that is of no image",
    core: false,
    attack: &[INJECTION],
    about: About {
        what: "In System's user half, csrss.exe, wininit.exe and winlogon.exe no VAD that is no image was made executable, no page is \
               executable in the page tables that lies in no image, and ntdll.dll is the same in all of them.",
        why: "These run from the start on and are trusted by all others. Code that came from no image was put there.",
        benign: "winlogon.exe loads what vendors install, and products hook functions in it: medium, and info where a few bytes of \
                 an image were changed. Before 8.1 csrss.exe is not protected: medium.",
        source: "MITRE ATT&CK T1055; Windows Internals 7th edition part 1, chapters 2 and 5; _MMVAD and _MMPTE_HARDWARE of public \
                 symbols.",
    },
    judge: code,
};

/// SYS-12: nobody debugs a core process.
pub static WATCHED: Rule = Rule {
    id: "SYS-12",
    title: "nobody debugs a core process",
    wrong: "a debugger or an instrumentation callback in a core process",
    core: false,
    attack: &[INJECTION],
    about: About {
        what: "EPROCESS.DebugPort and KPROCESS.InstrumentationCallback of csrss.exe, wininit.exe and winlogon.exe are null.",
        why: "Whoever debugs a process writes to it; an instrumentation callback runs after each of its system calls.",
        benign: "Some products watch processes by an instrumentation callback: low.",
        source: "_EPROCESS and _KPROCESS of public symbols; public descriptions of ProcessInstrumentationCallback.",
    },
    judge: watched,
};

/// SYS-13: names of the kernel's own processes.
pub static NAMES: Rule = Rule {
    id: "SYS-13",
    title: "names of the kernel's own processes",
    wrong: "a program with the name of a process of the kernel",
    core: false,
    attack: &[MASQUERADE],
    about: About {
        what: "A process called Registry, MemCompression or Secure System is a minimal one: it has no image and no user half. Each \
               is there once, and Registry and Secure System start before smss.exe.",
        why: "The kernel makes them without a program. A program of that name passes for one of them in most listings.",
        benign: "Before the builds that have them the names mean nothing.",
        source: "Windows Internals 7th edition part 1, chapter 3 (minimal processes); _EPROCESS.Minimal of public symbols; listings of \
                 Windows 10 and 11.",
    },
    judge: names,
};

/// Those beside System, whose names other programs do not bear.
const CORE: [&str; 3] = ["csrss.exe", "wininit.exe", "winlogon.exe"];
/// The first build in which csrss.exe and smss.exe are protected.
const FIRST_PROTECTED: u32 = 9600;
/// Processes of the kernel, the first build that has each, and whether it starts before smss.exe.
const OF_KERNEL: [(&str, u32, bool); 3] =
    [("Registry", 17134, true), ("MemCompression", 14393, false), ("Secure System", 10240, true)];

fn core<'a>(case: &'a Case<'_>) -> impl Iterator<Item = &'a Process> {
    case.processes()
        .filter(|process| process.pid.value() == Some(&SYSTEM_PID) || CORE.iter().any(|name| process.is_called(name)))
}

fn is_from_image(case: &Case<'_>) -> bool {
    case.system.kernel.is_some() && case.processes().any(|process| process.inside.value().is_some())
}

fn name(process: &Process) -> String {
    format!("{} (pid {})", text(&process.name), text(&process.pid))
}

fn code(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let whole = Outcome::new(rule, None).expected("none");
    if !is_from_image(case) {
        return vec![whole.not_applicable("The list does not say what is in processes.")];
    }
    let (mut outcomes, mut looked_at, mut unread, mut one_witness) = (Vec::new(), 0usize, None, None);
    for process in core(case).filter(|process| !process.has_exited()) {
        let guarded = process.pid.value() == Some(&SYSTEM_PID) || process.is_called("csrss.exe");
        let grade = if guarded && case.build.is_some_and(|build| build >= FIRST_PROTECTED) {
            Grade::Guarded
        } else {
            Grade::Open
        };
        let memory: Memory = match Ranges::of(process) {
            Ok(ranges) => pages::look(case, process, &ranges, grade),
            Err(why) => {
                unread.get_or_insert_with(|| (name(process), why));
                continue;
            }
        };
        looked_at = looked_at.saturating_add(1);
        if memory.one_witness.is_some() {
            one_witness = one_witness.or(memory.one_witness.clone());
        }
        if let Some(worst) = memory.worst() {
            let outcome = Outcome::about(rule, process).expected("none").confidence(Confidence::Medium);
            let outcome = outcome.observed(format!("in {}: {}", name(process), memory.words().join("; ")));
            let kinds: Vec<&str> = memory.kinds().into_iter().collect();
            let outcome = outcome.headed(format!("{} in a core process", kinds.join(", ")));
            outcomes.push(memory.show(process, outcome).violation(worst));
        } else if let Some(torn) = memory.torn {
            outcomes.push(Outcome::about(rule, process).expected("none").missing(torn).decides());
        }
    }
    if !outcomes.is_empty() {
        return outcomes;
    }
    vec![match (looked_at, unread) {
        (0, Some((name, why))) => whole.unknown(format!("the memory map of {name}"), why),
        (0, None) => whole.unknown("a core process", "not in the list"),
        (_, unread) => {
            let whole = whole.observed(format!("none in {looked_at} processes")).witnessed([Witness::Ranges]);
            match (unread, one_witness) {
                (Some((name, _)), _) => {
                    whole.confidence(Confidence::Medium).reason(format!("The memory map of {name} was not read."))
                }
                (None, Some(why)) => whole.confidence(Confidence::Medium).reason(why),
                (None, None) => whole.witnessed([Witness::PageTables]),
            }
            .pass()
        }
    }]
}

fn watched(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let whole = Outcome::new(rule, None).expected("neither");
    if !is_from_image(case) {
        return vec![whole.not_applicable("The list does not say who debugs processes.")];
    }
    let (mut outcomes, mut looked_at, mut no_callback) = (Vec::new(), 0usize, false);
    let others = |process: &&Process| process.pid.value() != Some(&SYSTEM_PID) && !process.has_exited();
    for process in core(case).filter(others) {
        looked_at = looked_at.saturating_add(1);
        no_callback |= process.instrumentation.absent().is_some();
        let about = || Outcome::about(rule, process).expected("neither");
        if let Some(port) = process.debug_port.value() {
            let outcome = about().observed(format!("{} has the debug port {port}", name(process)));
            let outcome = outcome.headed("a debugger in a core process");
            outcomes.push(outcome.seen(process, "debug_port", Some(port.to_string())).violation(Severity::Medium));
        }
        if let Some(at) = process.instrumentation.value() {
            let outcome = about().observed(format!("{} has the instrumentation callback {at}", name(process)));
            let outcome = outcome.headed("an instrumentation callback in a core process");
            outcomes.push(outcome.seen(process, "instrumentation", Some(at.to_string())).violation(Severity::Low));
        }
    }
    if !outcomes.is_empty() {
        return outcomes;
    }
    let whole = whole.observed(format!("none in {looked_at} processes")).witnessed([Witness::Object]);
    vec![match (looked_at, no_callback) {
        (0, _) => whole.unknown("a core process", "not in the list"),
        (_, false) => whole.pass(),
        (_, true) => whole.confidence(Confidence::Medium).reason(NO_CALLBACK).pass(),
    }]
}

/// What is said where the callback could not be read.
pub(super) const NO_CALLBACK: &str = "Whether there is an instrumentation callback is not known.";

fn names(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let whole = Outcome::new(rule, None).expected("minimal processes");
    if !is_from_image(case) {
        return vec![whole.not_applicable("The list does not say which processes are minimal.")];
    }
    let master = case.master().and_then(|master| master.process.started());
    let (mut outcomes, mut looked_at) = (Vec::new(), 0usize);
    for (own, first, early) in OF_KERNEL {
        if case.build.is_none_or(|build| build < first) {
            continue;
        }
        let named = |process: &&Process| process.name.value().is_some_and(|name| name == own) && process.is_live();
        let mut before: Option<&Process> = None;
        for process in case.processes().filter(named) {
            looked_at = looked_at.saturating_add(1);
            let late = process.started().zip(master).is_some_and(|(started, master)| started > master);
            let image = process.path.value().filter(|path| path.starts_with('\\'));
            let wrong = if process.minimal.value() == Some(&false) {
                Some("is no minimal process".to_owned())
            } else if let Some(image) = image {
                Some(format!("has the image {image}"))
            } else if early && late {
                Some("started after smss.exe".to_owned())
            } else {
                before.filter(|_| !is_silo(process)).map(|before| format!("is there beside {}", name(before)))
            };
            before = before.or(Some(process));
            let Some(wrong) = wrong else { continue };
            let minimal = process.minimal.value().map(bool::to_string);
            outcomes.push(
                Outcome::about(rule, process)
                    .expected("a minimal process, once")
                    .observed(format!("{} {wrong}", name(process)))
                    .seen(process, "name", process.name.value().cloned())
                    .seen(process, "minimal", minimal)
                    .violation(Severity::Medium),
            );
        }
    }
    if outcomes.is_empty() {
        outcomes.push(whole.observed(format!("{looked_at} of them")).witnessed([Witness::Object]).pass());
    }
    outcomes
}

/// True where the process runs in a container.
fn is_silo(process: &Process) -> bool {
    process.silo.value().is_some()
}
