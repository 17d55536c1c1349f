//! Whether what was read is the machine that ran: its page tables, and which of several systems it is.

use super::ranges::text;
use crate::checks::case::Case;
use crate::checks::core::SYSTEM_PID;
use crate::checks::rule::{About, Rule};
use crate::checks::{Confidence, Outcome, Severity, Witness};
use crate::{AbsentKind, PhysicalAddress, Process};
use std::collections::HashMap;

/// SYS-01: one kernel half in all page tables.
pub static KERNEL_HALF: Rule = Rule {
    id: "SYS-01",
    title: "one kernel half in all page tables",
    wrong: "page tables that show another kernel than the other processes see",
    core: true,
    attack: &["T1014"],
    about: About {
        what: "The entries of each process's top page table that lead to the kernel's image, KUSER_SHARED_DATA and \
               process objects are those of the root that the kernel is read with.",
        why: "All processes share the kernel half of the address space. Page tables copied for one of them, or for a root \
               that tools are led to, can show objects as they were before somebody changed them.",
        benign: "A single process that differs may be smeared by the acquisition: not judged, and named. So is one of whose table an \
                 entry leads to where nothing can be read: it shows no other kernel.",
        source: "Windows Internals, 7th edition, part 1, chapter 5 (x64 address space layouts); counted on clean machines \
                 of 7601 to 26100: no process differs.",
    },
    judge: kernel_half,
};

/// SYS-02: a process that runs has page tables.
pub static PAGE_TABLES: Rule = Rule {
    id: "SYS-02",
    title: "a process that runs has page tables",
    wrong: "a process that runs without page tables",
    core: false,
    attack: &["T1014"],
    about: About {
        what: "KPROCESS.DirectoryTableBase of a process with threads is an address that a page table can have, in the \
               memory of the machine, and no \
               two of them have one root: what is read through it is one of theirs, and the verdict is open.",
        why: "No thread can run without it. A value that is none keeps tools out of the process's memory.",
        benign: "Drivers that protect games write over the root of the game while it does not run: info, but for zero, and for \
                 System. An image that ends before the memory of the machine does lacks the tables of many.",
        source: "Intel SDM volume 3, 4.5 (CR3); public reports on anti-cheat drivers.",
    },
    judge: page_tables,
};

/// SYS-03: the system that ran last is told.
pub static RAN_LAST: Rule = Rule {
    id: "SYS-03",
    title: "the system that ran last",
    wrong: "another system than the one that ran last",
    core: true,
    attack: &[],
    about: About {
        what: "Of the systems in the image that prove themselves by their System process, one has the latest \
               KUSER_SHARED_DATA.SystemTime (where that is gone: the newest stamp of its processes and threads), was started \
               after the others had stopped, and has its own threads on its processors; the header of a dump leads to it.",
        why: "An earlier boot may still lie whole in memory, and a page that leads tools to it is soon rewritten.",
        benign: "Earlier boots are usual; they are named, and change nothing.",
        source: "This project's own trials with two systems in one image.",
    },
    judge: ran_last,
};

/// The document has no more runs of an image than these: where the last one ends is not known.
const MOST_RUNS: usize = 4096;
/// Of so many processes at least all but one have their page tables in the image, if it is whole.
const IN_IMAGE: usize = 4;

/// Pids that are named in one outcome.
const MAX_NAMED: usize = 8;

fn live<'a>(case: &Case<'a>) -> Vec<&'a Process> {
    case.rows.iter().map(|row| row.1).filter(|process| process.is_live()).collect()
}

/// Whether Windows does not run without the process, by its names.
fn is_needed(process: &Process) -> bool {
    const NEEDED: [&str; 7] =
        ["Registry", "smss.exe", "csrss.exe", "wininit.exe", "winlogon.exe", "services.exe", "lsass.exe"];
    process.pid.value() == Some(&SYSTEM_PID) || NEEDED.iter().any(|name| process.is_called(name))
}

fn kernel_half(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let live = live(case);
    let outcome = Outcome::new(rule, None)
        .witnessed([Witness::Object, Witness::PageTables])
        .expected("one kernel half in the page tables of all processes");
    let collected = |process: &&Process| {
        process.shares_kernel.absent().is_none_or(|absent| absent.kind != AbsentKind::NotCollected)
    };
    if !live.iter().any(collected) {
        return vec![outcome.not_applicable("The list does not say what page tables map.")];
    }
    let of = |shares: bool| live.iter().filter(move |process| process.shares_kernel.value() == Some(&shares));
    let (agree, differ): (Vec<&&Process>, Vec<&&Process>) = (of(true).collect(), of(false).collect());
    if agree.is_empty() && differ.is_empty() {
        return vec![outcome.not_applicable("No process's own page tables are in the image.")];
    }
    let pids: Vec<String> = differ.iter().filter_map(|process| process.pid.value()).map(u64::to_string).collect();
    let mut named = pids.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if let Some(more) = pids.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        named.push_str(&format!(" and {more} more"));
    }
    let of_system = differ.iter().find(|process| process.pid.value() == Some(&SYSTEM_PID));
    let outcome = match of_system.or(differ.first()) {
        Some(process) => outcome.seen(process, "dtb", process.dtb.value().map(ToString::to_string)),
        None => {
            let outcome = outcome.observed(format!("{} agree", agree.len()));
            // What stands at the root of one that Windows needs is no page table: nobody knows what kernel it sees. Drivers that
            // protect games write over the root of the game, which disagrees with nobody then.
            let rootless = live.iter().filter(|process| is_needed(process)).find_map(|process| {
                let absent = process.shares_kernel.absent().filter(|absent| absent.kind == AbsentKind::Unparsable)?;
                Some((text(&process.pid), absent))
            });
            return vec![match rootless {
                Some((pid, absent)) => outcome.unknown(format!("the page table of pid {pid}"), absent),
                None => outcome.pass(),
            }];
        }
    };
    let outcome = outcome.observed(format!("{} agree, pid {named} maps another one", agree.len()));
    // The kernel is read with one of those that agree; System itself is where everybody else starts.
    vec![if agree.len() <= 1 {
        outcome.reason("no other process maps the kernel that was read").violation(Severity::Critical)
    } else if of_system.is_some() {
        let reason = "System's page-table root leads tools to a kernel that no other process sees";
        outcome.reason(reason).violation(Severity::High)
    } else {
        outcome.unknown("one kernel half in all processes", format!("not so: pid {named} maps another one"))
    }]
}

fn page_tables(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let live = live(case);
    let mut outcomes: Vec<Outcome> = live.iter().filter_map(|process| root(rule, process)).collect();
    outcomes.extend(beyond(case, rule, &live));
    outcomes.extend(shared_root(rule, &live));
    if outcomes.is_empty() {
        let outcome = Outcome::new(rule, None).expected("the address of a page table in every process that runs");
        outcomes.push(if live.iter().any(|process| process.dtb.value().is_some()) {
            outcome.pass()
        } else {
            outcome.not_applicable("The list has no page-table roots.")
        });
    }
    outcomes
}

/// Two processes that run cannot have one root: what is read through it belongs to one of them at most. The idle process runs with
/// System's.
fn shared_root(rule: &Rule, live: &[&Process]) -> Option<Outcome> {
    let mut owners: HashMap<PhysicalAddress, &Process> = HashMap::new();
    let own = live.iter().filter(|process| {
        process.pid.value().is_some_and(|pid| *pid != 0)
            && process.threads.value().is_some_and(|threads| *threads > 0)
            && !process.is_named("Secure System")
    });
    own.filter_map(|process| Some((process, process.dtb.value()?.page()))).find_map(|(process, root)| {
        let other = owners.insert(root, process)?;
        let why = format!(
            "contradicted: pid {} and pid {} both have the root {root}, so the memory of one of them cannot be read",
            text(&other.pid),
            text(&process.pid)
        );
        Some(Outcome::about(rule, process).expected("a page table of its own").unknown("its page table", why).decides())
    })
}

/// A process without a page table.
fn root(rule: &Rule, process: &Process) -> Option<Outcome> {
    let absent = process.dtb.absent().filter(|absent| absent.kind == AbsentKind::Unparsable)?;
    process.threads.value().filter(|threads| **threads > 0)?;
    Some(rootless(rule, process, &absent.detail, absent.detail.contains(" 0x0,")))
}

fn rootless(rule: &Rule, process: &Process, words: &str, is_null: bool) -> Outcome {
    let outcome = Outcome::about(rule, process)
        .observed(words)
        .expected("the address of a page table")
        .seen(process, "dtb", None)
        .confidence(Confidence::Medium);
    // No game's: System's root is the one that tools begin with.
    if process.pid.value() == Some(&SYSTEM_PID) {
        return outcome.violation(Severity::Medium);
    }
    if is_null {
        outcome.violation(Severity::Low)
    } else {
        let guard = "drivers that protect games write over it while the process does not run";
        outcome.guard(guard).violation(Severity::Info)
    }
}

/// Processes whose root lies behind the memory of the machine, by what the image holds of it. An image that was cut off lacks the
/// page tables of many: it is none of theirs.
fn beyond(case: &Case<'_>, rule: &Rule, live: &[&Process]) -> Vec<Outcome> {
    let Some(runs) = case.system.image.as_ref().map(|image| &image.runs).filter(|runs| runs.len() < MOST_RUNS) else {
        return Vec::new();
    };
    let Some(end) = runs.iter().map(|(_, end)| *end).max() else { return Vec::new() };
    let root = |process: &Process| {
        process.threads.value().filter(|threads| **threads > 0)?;
        process.dtb.value().map(|root| root.page())
    };
    let rooted = live.iter().filter_map(|process| Some((*process, root(process)?)));
    let (outside, inside): (Vec<_>, Vec<_>) = rooted.partition(|(_, root)| *root >= end);
    if outside.len().saturating_mul(IN_IMAGE) > inside.len() {
        return Vec::new();
    }
    let words = |root| format!("DirectoryTableBase is {root}, and the memory of the machine ends at {end}");
    // System's is made first, in low memory.
    let alone = outside.len() == 1;
    let outside = outside.into_iter().filter(|(process, _)| alone || process.pid.value() == Some(&SYSTEM_PID));
    outside.map(|(process, root)| rootless(rule, process, &words(root), false)).collect()
}

fn ran_last(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let outcome = Outcome::new(rule, None).expected("one system that ran last");
    let Some(kernel) = &case.system.kernel else {
        return vec![outcome.not_applicable("A process list, without an image.")];
    };
    let outcome = match kernel.others.as_slice() {
        [] if kernel.others_searched == Some(false) => outcome.observed("no other system was met in the first 16 MiB"),
        [] => outcome.observed("no other system was met"),
        [one] => outcome.observed(format!("beside it {one}")),
        several => outcome.observed(format!("{} further systems", several.len())),
    };
    vec![match &kernel.undecided {
        Some(why) => outcome.unknown("the system that ran last", format!("not to be told: {why}")),
        None => outcome.pass(),
    }]
}
