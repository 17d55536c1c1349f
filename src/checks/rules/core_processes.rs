//! Code in the processes that Windows is made of beside smss.exe, who watches them, and who takes their names: SYS-11, 12, 13.

use super::handles::{self, Standing, is_protected};
use super::pages::{self, Grade, Memory};
use super::ranges::{Ranges, text};
use super::threads::{self, Grades, Threads};
use crate::checks::case::Case;
use crate::checks::core::SYSTEM_PID;
use crate::checks::rule::{About, INJECTION, MASQUERADE, Rule};
use crate::checks::subject::{Role, Subject};
use crate::checks::{Confidence, Missing, Outcome, Severity, Witness};
use crate::process::Holder;
use crate::{ListEnd, Process, VirtualAddress};
use std::collections::HashMap;

/// SYS-11: code of core processes comes from images.
pub static CODE: Rule = Rule {
    id: "SYS-11",
    title: "code of core processes comes from images",
    wrong: "executable memory or a thread in a core process that is of no image",
    core: false,
    attack: &[INJECTION],
    about: About {
        what: "In System's user half, csrss.exe, wininit.exe and winlogon.exe no VAD that is no image was made executable, no page is \
               executable in the page tables, or in those that user mode runs on (KVA shadow), that lies in no image or outside of its sections \
               that have code, ntdll.dll is the same in all of them, and ETHREAD.StartAddress \
               and Win32StartAddress of every thread that has not ended lie in an image.",
        why: "These run from the start on and are trusted by all others. Code that came from no image was put there.",
        benign: "winlogon.exe loads what vendors install, and products hook functions in it: medium, and info where a few bytes of \
                 an image were changed. Before 8.1 csrss.exe is not protected: medium. A thread that started where nothing is mapped any \
                 more, or in the kernel, is info.",
        source: "MITRE ATT&CK T1055; Windows Internals 7th edition part 1, chapters 2 and 5; _MMVAD and _MMPTE_HARDWARE of public \
                 symbols.",
    },
    judge: code,
};

/// SYS-12: nobody debugs a core process.
pub static WATCHED: Rule = Rule {
    id: "SYS-12",
    title: "nobody debugs a core process",
    wrong: "a debugger, an instrumentation callback or a stranger's handle to a core process",
    core: false,
    attack: &[INJECTION],
    about: About {
        what: "EPROCESS.DebugPort and KPROCESS.InstrumentationCallback of System, csrss.exe, wininit.exe and winlogon.exe are null, and no \
               process but those of Windows and of what is installed has a handle to them, or to their threads, by which they can be \
               changed (the rights are those of SMSS-022).",
        why: "Whoever debugs a process writes to it; an instrumentation callback runs after each of its system calls; a handle with the \
              right to write or to make threads is how code gets in.",
        benign: "Some products watch processes by an instrumentation callback: low. Services of System32 and what is installed have \
                 reasons, if they run as a service: not reported, or info where the process is protected (System, csrss.exe and \
                 wininit.exe from 8.1 on). Where it is not protected, an administrator may open it: low. The right to suspend alone is info.",
        source: "_EPROCESS, _KPROCESS and _HANDLE_TABLE_ENTRY of public symbols; public descriptions of \
                 ProcessInstrumentationCallback; process access rights of winnt.h.",
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
               is there once, and Registry and Secure System start before smss.exe. No process that has a PEB is marked as minimal.",
        why: "The kernel makes them without a program. A program of that name passes for one of them in most listings.",
        benign: "Before the builds that have them the names mean nothing.",
        source: "Windows Internals 7th edition part 1, chapter 3 (minimal processes); _EPROCESS.Minimal of public symbols; listings of \
                 Windows 10 and 11.",
    },
    judge: names,
};

/// Those beside System, whose names other programs do not bear.
pub(super) const CORE: [&str; 3] = ["csrss.exe", "wininit.exe", "winlogon.exe"];
/// The first build in which csrss.exe and smss.exe are protected.
pub(super) const FIRST_PROTECTED: u32 = 9600;
/// Processes of the kernel, the first build that has each, and whether it starts before smss.exe.
const OF_KERNEL: [(&str, u32, bool); 3] =
    [("Registry", 17134, true), ("MemCompression", 14393, false), ("Secure System", 10240, true)];

fn core<'a>(case: &'a Case<'_>) -> impl Iterator<Item = &'a Process> {
    case.processes()
        .filter(|process| process.pid.value() == Some(&SYSTEM_PID) || CORE.iter().any(|name| process.is_called(name)))
}

pub(super) fn is_from_image(case: &Case<'_>) -> bool {
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
    let (mut unseen, mut has_threads) = (None, false);
    for process in core(case).filter(|process| !process.has_exited()) {
        let is_system = process.pid.value() == Some(&SYSTEM_PID);
        let guarded = process.pid.value() == Some(&SYSTEM_PID) || process.is_called("csrss.exe");
        let grade = if guarded && case.build.is_some_and(|build| build >= FIRST_PROTECTED) {
            Grade::Guarded
        } else {
            Grade::Open
        };
        let ranges = match Ranges::of(process) {
            Ok(ranges) => ranges,
            Err(why) if Ranges::are_lost(process) => {
                let outcome = Outcome::about(rule, process).expected("none");
                outcomes.push(outcome.unknown(format!("the memory map of {}", name(process)), why).decides());
                continue;
            }
            Err(why) => {
                unread.get_or_insert_with(|| (name(process), why));
                continue;
            }
        };
        let memory: Memory = pages::look(case, process, &ranges, grade);
        // System has thousands, of the kernel, and they are not looked into.
        let grades = Grades {
            any_image: true,
            elsewhere: grade.foreign(),
            nowhere: Severity::Info,
            of_kernel: Some(Severity::Info),
        };
        let subject = Subject { process, at: 0, role: Role::Peer };
        let threads = (!is_system).then(|| threads::look(case, &subject, &ranges, grades));
        looked_at = looked_at.saturating_add(1);
        one_witness = one_witness.or_else(|| memory.one_witness.clone());
        let open = memory.open.as_ref().map(|open| format!("Not judged in {}: {open}.", name(process)));
        unseen = unseen.or(open).or_else(|| memory.unseen.clone());
        has_threads |= threads.as_ref().is_some_and(|threads| threads.number > 0);
        if let Some(part) = &ranges.part {
            one_witness.get_or_insert_with(|| format!("The memory map of {} is {part}.", name(process)));
        }
        if let Some(threads) = threads.as_ref().filter(|threads| threads.missing.is_some() || threads.open.is_some()) {
            let list = threads.missing.clone().map(|why| Missing::new("its list of threads", why));
            if let Some(open) = list.or_else(|| threads.open.clone()) {
                let name = name(process);
                one_witness.get_or_insert_with(|| format!("Not all threads of {name} could be judged: {open}."));
            }
        }
        let of_threads = threads.as_ref().and_then(Threads::worst);
        // What is for information only does not outweigh what is one of two things.
        let worst = memory.worst().max(of_threads).filter(|worst| *worst > Severity::Info || memory.torn.is_none());
        if let Some(worst) = worst {
            let words = memory.words().into_iter().chain(threads.iter().flat_map(Threads::words));
            let words: Vec<String> = words.collect();
            let outcome = Outcome::about(rule, process).expected("none").confidence(Confidence::Medium);
            let outcome = outcome.observed(format!("in {}: {}", name(process), words.join("; ")));
            let outcome = outcome.headed_by(memory.kinds().into_iter().chain(threads.iter().flat_map(Threads::kinds)));
            let outcome = memory.show(process, outcome);
            let outcome = match &threads {
                Some(threads) => threads.show(process, outcome),
                None => outcome,
            };
            outcomes.push(outcome.violation(worst));
        } else if let Some(torn) =
            memory.torn.or_else(|| threads.and_then(|threads| threads.open).filter(|_| ranges.is_torn))
        {
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
            let whole = whole.observed(format!("none in {looked_at} processes"));
            let whole = whole.witnessed([Witness::Ranges]);
            let whole = if has_threads { whole.witnessed([Witness::Threads]) } else { whole };
            let whole =
                if one_witness.is_none() && unread.is_none() { whole.witnessed([Witness::PageTables]) } else { whole };
            let unread = unread.map(|(name, _)| format!("The memory map of {name} was not read."));
            match unread.or(one_witness).or(unseen) {
                Some(why) => whole.confidence(Confidence::Medium).reason(why),
                None => whole,
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
    let mut standings: HashMap<VirtualAddress, Standing> = HashMap::new();
    let (mut looked_for_handles, mut handles_open) = (false, false);
    for process in core(case).filter(|process| !process.has_exited()) {
        looked_at = looked_at.saturating_add(1);
        no_callback |= process.instrumentation.absent().is_some();
        let about = || Outcome::about(rule, process).expected("neither, and no handle of a stranger");
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
        let held = process.inside.value().and_then(|inside| inside.held_by.value());
        let held_end = process.inside.value().and_then(|inside| inside.held_by_end.value());
        handles_open |= held.is_none() || held_end != Some(&ListEnd::Complete);
        let guarded = is_protected(case)
            && (process.pid.value() == Some(&SYSTEM_PID)
                || ["csrss.exe", "wininit.exe"].iter().any(|name| process.is_called(name)));
        for holder in held.into_iter().flatten() {
            looked_for_handles = true;
            let Some(worst) = handles::invasive_by(holder) else { continue };
            let standing = match holder.eprocess.value() {
                Some(address) => *standings.entry(*address).or_insert_with(|| of_core(case, holder)),
                None => of_core(case, holder),
            };
            let severity = match standing {
                Standing::Usual | Standing::Known(_) => continue,
                Standing::Installed if guarded => Severity::Info,
                Standing::Installed => continue,
                // Administrators get that right to every process.
                Standing::Other if worst == Severity::Low => Severity::Info,
                Standing::Other if guarded => worst,
                Standing::Other => Severity::Low,
            };
            let outcome = about().observed(format!("{}: {}", name(process), handles::words(holder)));
            outcomes.push(handles::show(case, holder, outcome).violation(severity));
        }
    }
    if !outcomes.is_empty() {
        return outcomes;
    }
    let whole = whole.observed(format!("none in {looked_at} processes")).witnessed([Witness::Object]);
    let whole = if looked_for_handles { whole.witnessed([Witness::Handles]) } else { whole };
    let whole = if handles_open && looked_at > 0 {
        whole.confidence(Confidence::Medium).reason("Who holds handles to all of them is not known.")
    } else {
        whole
    };
    vec![match (looked_at, no_callback) {
        (0, _) => whole.unknown("a core process", "not in the list"),
        (_, false) => whole.pass(),
        (_, true) => whole.confidence(Confidence::Medium).reason(NO_CALLBACK).pass(),
    }]
}

/// Who holds a handle to a core process. Services that run under accounts of their own are as good as installed here: some of System32
/// look after sessions.
fn of_core(case: &Case<'_>, holder: &Holder) -> Standing {
    const SERVICE_ACCOUNTS: [&str; 2] = ["S-1-5-19", "S-1-5-20"];
    let standing = handles::standing(case, holder);
    let process = holder.eprocess.value().and_then(|at| case.at_address(*at)).map(|(_, process)| process);
    let is_service = |process: &Process| {
        process.user.value().is_some_and(|user| SERVICE_ACCOUNTS.contains(&user.as_str())) && case.is_installed(process)
    };
    match standing {
        Standing::Other if process.is_some_and(is_service) => Standing::Installed,
        other => other,
    }
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
    let marked = |process: &&Process| process.minimal.value() == Some(&true) && process.peb.value().is_some();
    for process in case.processes().filter(|process| marked(process) && process.is_live()) {
        outcomes.push(
            Outcome::about(rule, process)
                .expected("minimal processes without a PEB")
                .observed(format!(
                    "{} is marked as a minimal process, and has the PEB {}",
                    name(process),
                    text(&process.peb)
                ))
                .seen(process, "peb", process.peb.value().map(ToString::to_string))
                .headed("a process with a PEB that is marked as minimal")
                .violation(Severity::Medium),
        );
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
