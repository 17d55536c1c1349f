//! Who has a hand in the process, and what it holds itself: SMSS-022, 028.

use super::core_processes::NO_CALLBACK;
use super::ranges::text;
use crate::checks::case::{Case, ImagePath};
use crate::checks::core::smss::SMSS;
use crate::checks::core::{LOCAL_SYSTEM, SYSTEM_PID};
use crate::checks::paths::VolumePath;
use crate::checks::rule::{About, INJECTION, Rule};
use crate::checks::subject::{Role, Subject};
use crate::checks::{Confidence, Outcome, Severity, Why};
use crate::kernel::Handle;
use crate::process::Holder;
use crate::{ListEnd, Process, Reading};
use std::collections::BTreeSet;

/// SMSS-022: no debugger, no invasive handles.
pub static HOLDERS: Rule = Rule {
    id: "SMSS-022",
    title: "no debugger, no invasive handles",
    wrong: "a debugger, or handles that can change the process",
    core: false,
    attack: &[INJECTION],
    about: About {
        what: "EPROCESS.DebugPort and KPROCESS.InstrumentationCallback are null, and no other process has a handle to it with one \
               of PROCESS_CREATE_THREAD, VM_OPERATION, VM_WRITE, DUP_HANDLE, CREATE_PROCESS, SET_INFORMATION, SUSPEND_RESUME, \
               WRITE_DAC or WRITE_OWNER, or to a thread of it with SET_CONTEXT, SET_INFORMATION, SUSPEND_RESUME, \
               SET_THREAD_TOKEN, WRITE_DAC or WRITE_OWNER.",
        why: "Each of these is enough to run code in another process, or a step on the way: memory can be written, handles \
               copied out, a child inherits, more rights be granted.",
        benign: "System, the smss.exe that made it, csrss, services, lsass, wininit and winlogon of System32 and \
               known security products from where they are installed have reasons: not reported, or info; not those that hold \
               another process's very token. Before 8.1 smss.exe is not protected: svchost.exe of System32 is info, and other \
               services that are installed are low. Suspending alone is low. Handles of smss.exe itself to strangers are info.",
        source: "Process access rights of winnt.h; MITRE ATT&CK T1055; _HANDLE_TABLE_ENTRY of public symbols.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| invasive(case, subject.process, outcome)),
};

/// SMSS-028: master holds session 0's csrss.
pub static CSRSS: Rule = Rule {
    id: "SMSS-028",
    title: "master holds session 0's csrss",
    wrong: "master has no handle to the csrss.exe of session 0",
    core: false,
    attack: &[],
    about: About {
        what: "The handle table of the master has a handle to the csrss.exe of session 0.",
        why: "When its work is done the master waits on this handle for ever: the end of that csrss.exe ends \
               Windows.",
        benign: "Few images were seen: never above info.",
        source: "Windows Internals 7th edition part 1, chapter 2, after step 38.",
    },
    judge: |case, rule| case.each_if(rule, is_of_system, |subject, outcome| csrss(case, subject.process, outcome)),
};

/// `WRITE_DAC` and `WRITE_OWNER` (winnt.h): every other right can be had by them.
const WRITE_RIGHTS: u64 = 0x4_0000 | 0x8_0000;
/// `PROCESS_CREATE_THREAD`, `VM_OPERATION`, `VM_WRITE`, `DUP_HANDLE`, `CREATE_PROCESS`, `SET_INFORMATION` (winnt.h): what it takes to
/// run code in another process, or to take from it what it holds.
const INVASIVE_ACCESS: u64 = 0x2 | 0x8 | 0x20 | 0x40 | 0x80 | 0x200 | WRITE_RIGHTS;
/// `PROCESS_SUSPEND_RESUME`: the process can be stopped. Protected processes too give it to administrators.
const SUSPEND: u64 = 0x800;
/// `THREAD_SUSPEND_RESUME`, `SET_CONTEXT`, `SET_INFORMATION`, `SET_THREAD_TOKEN` (winnt.h).
const INVASIVE_TO_THREAD: u64 = 0x2 | 0x10 | 0x20 | 0x80 | WRITE_RIGHTS;
/// `PROCESS_VM_WRITE` and `PROCESS_CREATE_THREAD`.
const WRITING_ACCESS: u64 = 0x20 | 0x2;
/// `PROCESS_VM_READ` (winnt.h).
const VM_READ: u64 = 0x10;
/// Processes of Windows that have handles to others for their work.
const CORE_HOLDERS: &[&str] = &["csrss.exe", "services.exe", "lsass.exe", "wininit.exe", "winlogon.exe"];
/// Services of products that watch other processes, each with the folder of its vendor below Program Files, or in Common Files there
/// (any one whose name begins so). By the vendors' documentation; more exist. A name alone anybody can take.
const SECURITY_PRODUCTS: &[(&str, &[&str])] = &[
    ("MsMpEng.exe", &["Windows Defender", "Microsoft Security Client"]),
    ("MsSense.exe", &["Windows Defender Advanced Threat Protection"]),
    ("CSFalconService.exe", &["CrowdStrike"]),
    ("SentinelAgent.exe", &["SentinelOne"]),
    ("RepMgr.exe", &["Confer"]),
    ("cyserver.exe", &["Palo Alto Networks"]),
    ("elastic-endpoint.exe", &["Elastic"]),
    ("ekrn.exe", &["ESET"]),
    ("avp.exe", &["Kaspersky Lab"]),
    ("AvastSvc.exe", &["Avast Software", "AVAST Software"]),
    ("AVGSvc.exe", &["AVG"]),
    ("bdservicehost.exe", &["Bitdefender"]),
    ("mfemms.exe", &["McAfee", "Trellix"]),
    ("McShield.exe", &["McAfee"]),
    ("SSPService.exe", &["Sophos"]),
    ("SavService.exe", &["Sophos"]),
    ("ccSvcHst.exe", &["Symantec", "Norton"]),
    ("xagt.exe", &["FireEye"]),
];
/// The first build in which smss.exe is protected.
const FIRST_PROTECTED: u32 = 9600;

fn is_of_system(subject: &Subject<'_>) -> bool {
    matches!(subject.role, Role::Master | Role::Claimant)
}

/// How bad a handle is in the hands of a stranger. `None`: it changes nothing.
pub(super) fn invasive_by(holder: &Holder) -> Option<Severity> {
    let access = holder.access.value()?.0;
    let (invasive, suspends) = match holder.thread {
        Reading::Nothing | Reading::Absent(_) => (INVASIVE_ACCESS, SUSPEND),
        Reading::Value(_) => (INVASIVE_TO_THREAD, 0),
    };
    if access & invasive != 0 { Some(Severity::Medium) } else { (access & suspends != 0).then_some(Severity::Low) }
}

/// Who has the handle, and to what, in words.
pub(super) fn words(holder: &Holder) -> String {
    let (name, pid, access) = (text(&holder.name), text(&holder.pid), text(&holder.access));
    let thread = match holder.thread.value() {
        Some(tid) => format!(" to its thread {tid}"),
        None => String::new(),
    };
    format!("{name} (pid {pid}) has handle {}{thread} with access {access}", handle(&holder.value))
}

/// Adds the entry of the handle to the evidence: it lies in the table of who holds it.
pub(super) fn show(case: &Case<'_>, holder: &Holder, outcome: Outcome) -> Outcome {
    let unlisted = Process { pid: holder.pid.clone(), name: holder.name.clone(), ..Process::default() };
    let listed = holder.eprocess.value().and_then(|at| case.at_address(*at)).map(|(_, owner)| owner);
    let place = (&holder.entry, holder.located.get("access"));
    let owner = listed.unwrap_or(&unlisted);
    outcome.seen_at(owner, "_HANDLE_TABLE_ENTRY", "GrantedAccessBits", place, Some(text(&holder.access)))
}

fn invasive(case: &Case<'_>, process: &Process, outcome: Outcome) -> Outcome {
    let mut outcome = outcome.expected("no debug port, no handle to change it by, none of its own to strangers");
    if process.has_exited() {
        return outcome.not_applicable("It has exited.");
    }
    let mut found: Vec<(Severity, String)> = Vec::new();
    let mut kinds = BTreeSet::new();
    let mut guard = None;
    if let Some(at) = process.debug_port.value().filter(|at| !at.is_null()) {
        found.push((Severity::Medium, format!("debug port {at}")));
        kinds.insert("a debugger");
        outcome = outcome.seen(process, "debug_port", Some(at.to_string()));
    }
    if let Some(at) = process.instrumentation.value() {
        found.push((Severity::Medium, format!("instrumentation callback {at}")));
        kinds.insert("an instrumentation callback");
        outcome = outcome.seen(process, "instrumentation", Some(at.to_string()));
    }
    let held = process.inside.value().and_then(|inside| inside.held_by.value());
    for (holder, worst) in held.into_iter().flatten().filter_map(|holder| Some((holder, invasive_by(holder)?))) {
        let severity = match standing(case, holder) {
            Standing::Usual => continue,
            Standing::Known(why) => {
                guard = Some(why);
                Severity::Info
            }
            // Whoever opens smss.exe for all that it may have gets the right to suspend it.
            Standing::Installed if worst == Severity::Low => Severity::Info,
            Standing::Installed if !is_protected(case) => Severity::Low,
            Standing::Installed => worst,
            Standing::Other => worst,
        };
        found.push((severity, words(holder)));
        kinds.insert("handles of others that can change it");
        outcome = show(case, holder, outcome);
    }
    for (handle, target) in reaches(case, process) {
        let (name, pid, access) = (text(&target.name), text(&target.pid), text(&handle.access));
        // What smss.exe opens beside its children has been seen on few images only.
        kinds.insert("handles of its own to others");
        found.push((Severity::Info, format!("it has a handle to {name} (pid {pid}) with access {access}")));
        let place = (&handle.entry, handle.located.get("access"));
        outcome = outcome.seen_at(process, "_HANDLE_TABLE_ENTRY", "GrantedAccessBits", place, Some(access));
    }
    if let Some(worst) = found.iter().map(|(severity, _)| *severity).max() {
        let words: Vec<String> = found.into_iter().map(|(_, words)| words).collect();
        let outcome = outcome.observed(words.join("; ")).headed_by(kinds);
        return match guard.filter(|_| worst == Severity::Info) {
            Some(guard) => outcome.guard(guard).violation(worst),
            None => outcome.violation(worst),
        };
    }
    if let Some(absent) = process.debug_port.absent() {
        return outcome.unknown("EPROCESS.DebugPort", absent);
    }
    let outcome = match process.instrumentation.absent() {
        None => outcome,
        Some(_) => outcome.confidence(Confidence::Medium).reason(NO_CALLBACK),
    };
    let outcome = outcome.observed("no debug port");
    let Some(inside) = process.inside.value() else {
        return outcome.unknown("the handle table of every process", Why::no_value(&process.inside));
    };
    let Some(held) = inside.held_by.value() else {
        return outcome.unknown("the handle table of every process", Why::no_value(&inside.held_by));
    };
    if let Some(part) = case.part_reason() {
        return outcome.unknown("the handle table of every process", part);
    }
    if inside.held_by_end.value() != Some(&ListEnd::Complete) {
        return outcome.unknown("the handle table of every process", "not read to its end for all");
    }
    if held.iter().any(|holder| holder.access.value().is_none()) {
        return outcome.unknown("the access of every handle to it", "not read for all");
    }
    outcome.observed(format!("no debug port; {} handles, none of them unusual", held.len())).pass()
}

/// Processes that it could read, write or run code in, and that are none it starts.
fn reaches<'a>(case: &Case<'a>, process: &'a Process) -> Vec<(&'a Handle, &'a Process)> {
    let handles = process.inside.value().and_then(|inside| inside.handles.value());
    let reaches = |handle: &&Handle| {
        handle.kind.value().is_some_and(|kind| kind == "Process")
            && handle.access.value().is_some_and(|access| access.0 & (WRITING_ACCESS | VM_READ) != 0)
    };
    let target = |handle: &'a Handle| {
        let (_, target) = case.at_address(*handle.object.value()?)?;
        let own = std::ptr::eq(target, process) || case.core.children.usual.iter().any(|name| target.is_named(name));
        (!own && !target.has_exited()).then_some((handle, target))
    };
    handles.into_iter().flatten().filter(reaches).filter_map(target).collect()
}

/// What a holder of handles is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It made the process, or is the kernel.
    Usual,
    /// Windows or a security product, which has reasons.
    Known(&'static str),
    /// A service where only administrators install.
    Installed,
    Other,
}

pub(super) fn standing(case: &Case<'_>, holder: &Holder) -> Standing {
    if holder.pid.value() == Some(&SYSTEM_PID) {
        return Standing::Usual;
    }
    let found = match holder.eprocess.value() {
        Some(address) => case.at_address(*address),
        // Another tool's list may have no addresses.
        None => case
            .rows
            .iter()
            .copied()
            .find(|(_, process)| holder.pid.value().is_some() && holder.pid.value() == process.pid.value()),
    };
    let Some((at, process)) = found else { return Standing::Other };
    let role = case.smss.iter().find(|subject| subject.at == at).map(|subject| subject.role);
    let placed = |below: &str| matches!(case.image_path(process, below), ImagePath::Right);
    // The path of the master is judged for itself: where it could not be read, nothing is known against the handle.
    if role == Some(Role::Master) && matches!(case.image_path(process, SMSS.path), ImagePath::Unknown(_)) {
        return Standing::Usual;
    }
    if matches!(role, Some(Role::Master | Role::Child | Role::Silo)) && placed(SMSS.path) {
        return Standing::Usual;
    }
    // Who runs with another process's very token is not who it says.
    let shares = || {
        let token = |process: &Process| process.token.value().map(|token| token.address).filter(|at| !at.is_null());
        let own = token(process);
        own.is_some()
            && case.rows.iter().any(|(_, other)| {
                !std::ptr::eq(*other, process)
                    && !other.has_exited()
                    && other.eprocess != process.eprocess
                    && token(other) == own
            })
    };
    if process.user.value().is_none_or(|user| user != LOCAL_SYSTEM) || shares() {
        return Standing::Other;
    }
    let own = |name: &&str| process.is_named(name) && placed(&format!("\\System32\\{name}"));
    if CORE_HOLDERS.iter().any(own) {
        return Standing::Known("a core process of Windows, from System32 and of Local System");
    }
    if is_security_product(process) && case.is_installed(process) {
        return Standing::Known("a security product, in its vendor's folder and of Local System");
    }
    if !is_protected(case) && own(&"svchost.exe") {
        return Standing::Known("svchost.exe, from System32 and of Local System, and smss.exe is not protected");
    }
    if case.is_installed(process) { Standing::Installed } else { Standing::Other }
}

/// Whether this build protects smss.exe from services. One that is not known does.
pub(super) fn is_protected(case: &Case<'_>) -> bool {
    case.build.is_none_or(|build| build >= FIRST_PROTECTED)
}

/// By the name and the folder of the vendor.
fn is_security_product(process: &Process) -> bool {
    let Some(path) = process.path.value().and_then(|path| VolumePath::read(path)) else { return false };
    let in_folder = |folder: &&str| {
        ["Program Files", "Program Files (x86)"].iter().any(|top| {
            path.begins_with(&format!("\\{top}\\{folder}"))
                || path.begins_with(&format!("\\{top}\\Common Files\\{folder}"))
        }) || path.is_below(&format!("\\ProgramData\\Microsoft\\{folder}\\Platform"))
    };
    let product = SECURITY_PRODUCTS.iter().find(|(name, _)| process.is_named(name));
    product.is_some_and(|(_, folders)| folders.iter().any(in_folder))
}

fn handle(value: &Reading<u64>) -> String {
    value.value().map_or_else(|| "?".to_owned(), |value| format!("{value:#x}"))
}

/// When its work is done, the master waits for the csrss.exe of session 0 to end.
fn csrss(case: &Case<'_>, process: &Process, outcome: Outcome) -> Outcome {
    let outcome = outcome.expected("a handle to the csrss.exe of session 0");
    if process.has_exited() {
        return outcome.not_applicable("It has exited.");
    }
    let session = case.sessions.iter().find(|session| session.id == 0 && !case.is_silo(session));
    let Some((_, csrss)) = session.and_then(|session| session.csrss.first()) else {
        return outcome.unknown("the csrss.exe of session 0", "not in the list");
    };
    let Some(inside) = process.inside.value() else {
        return outcome.unknown("the master's handle table", Why::no_value(&process.inside));
    };
    let Some(handles) = inside.handles.value() else {
        return outcome.unknown("the master's handle table", Why::no_value(&inside.handles));
    };
    let leads_there = |handle: &&Handle| match (handle.object.value(), csrss.eprocess.value()) {
        (Some(object), Some(own)) => object == own,
        _ => {
            handle.kind.value().is_some_and(|kind| kind == "Process")
                && handle.pid.value().is_some()
                && handle.pid.value() == csrss.pid.value()
        }
    };
    let outcome = outcome.seen(csrss, "pid", csrss.pid.value().map(u64::to_string));
    if let Some(found) = handles.iter().find(leads_there) {
        return outcome.observed(format!("handle {} with access {}", handle(&found.value), text(&found.access))).pass();
    }
    let outcome = outcome.observed(format!("none among {} handles", text(&inside.handle_count)));
    if inside.handles_end.value() != Some(&ListEnd::Complete) {
        return outcome.unknown("the master's whole handle table", "not read to its end");
    }
    if handles.iter().any(|handle| handle.kind.value().is_none() || handle.object.value().is_none()) {
        return outcome.unknown("the object of each of the master's handles", "not read for all");
    }
    outcome.confidence(Confidence::Medium).violation(Severity::Info)
}
