//! Whether foreign code runs in smss.exe: SMSS-018.

use super::EXITED;
use super::pages::{self, Grade};
use super::ranges::Ranges;
use super::threads::{self, Grades};
use crate::checks::case::Case;
use crate::checks::rule::{About, INJECTION, Rule};
use crate::checks::subject::Subject;
use crate::checks::{Confidence, Outcome, Severity, Witness};

/// SMSS-018: no private executable memory, threads start in the image.
pub static CODE: Rule = Rule {
    id: "SMSS-018",
    title: "no private executable memory, threads start in the image",
    wrong: "private executable memory, or a thread from outside the image",
    core: false,
    attack: &[INJECTION],
    about: About {
        what: "Every VAD that was made executable is an image. Every page that is executable in the page tables, or in those that user mode \
               runs on (KVA shadow), lies in an image, in a section of it that has code, and not behind its end. No page of an image can be \
               both written to and executed, or differs from the same page elsewhere; a copy of its own that the process has in a page \
               file or in the compressed store is compared as well. Every image begins with headers. ETHREAD.StartAddress and \
               Win32StartAddress of every thread that has not ended lie in smss.exe or ntdll.dll. Threads are those of \
               EPROCESS.ThreadListHead, KPROCESS.ThreadListHead and PspCidTable.",
        why: "Injected code needs executable memory of its own, and mostly a thread that starts in it. smss.exe \
               makes neither: on Windows 10 it even forbids itself dynamic code. VADs and lists can be written over; the processor \
               goes by page tables, the scheduler by threads.",
        benign: "Where page tables are not at hand the protection of VADs alone is judged, with medium confidence. A page that \
                 differs as a whole may be smeared, and one of the process's own that cannot be had may be anything: unknown. Before Vista Win32StartAddress shares its place with a message id and \
                 is not looked at.",
        source: "MITRE ATT&CK T1055; Windows Internals 7th edition part 1, chapter 2, step 2, chapter 5 (page tables, VADs); Intel \
                 SDM volume 3, 4.5; _MMVAD, _MMPTE_HARDWARE and _ETHREAD of public symbols.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| code(case, subject, outcome)),
};

fn code(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    if process.has_exited() {
        return outcome.not_applicable(EXITED);
    }
    let outcome = outcome.expected(match case.core.modules {
        Some(_) => format!("none; every thread starts in {} or ntdll.dll", case.core.name),
        None => "none; every thread starts in an image".to_owned(),
    });
    let ranges = match Ranges::of(process) {
        Ok(ranges) => ranges,
        Err(why) => {
            let outcome = outcome.unknown("the memory map, with the threads' start addresses", why);
            return if Ranges::are_lost(process) { outcome.decides() } else { outcome };
        }
    };
    let alone = case.core.modules.is_some();
    let memory = pages::look(case, process, &ranges, if alone { Grade::Alone } else { Grade::Open });
    let grades = Grades { any_image: !alone, elsewhere: Severity::High, nowhere: Severity::Low, of_kernel: None };
    let threads = threads::look(case, subject, &ranges, grades);
    let outcome = threads.show(process, memory.show(process, outcome));
    let worst = memory.worst().max(threads.worst());
    let torn = memory.torn.clone().or(threads.stray.clone());
    // What is for information only does not outweigh what is one of two things.
    if let Some(worst) = worst.filter(|worst| *worst > Severity::Info || torn.is_none()) {
        let words: Vec<String> = memory.words().into_iter().chain(threads.words()).collect();
        let outcome = outcome.observed(words.join("; ")).headed_by(memory.kinds().into_iter().chain(threads.kinds()));
        return if worst == Severity::Info { outcome.confidence(Confidence::Low) } else { outcome }.violation(worst);
    }
    if let Some(torn) = torn {
        return outcome.missing(torn).decides();
    }
    if let Some(part) = ranges.part {
        let outcome = outcome.unknown("the whole memory map", part);
        return if ranges.is_torn { outcome.decides() } else { outcome };
    }
    if let Some(why) = threads.missing {
        return outcome.unknown("the whole list of threads", why);
    }
    if let Some(missing) = memory.open.clone().or(threads.open) {
        return outcome.missing(missing);
    }
    let outcome = outcome
        .observed(format!("no private code, {} threads", threads.number))
        .witnessed([Witness::Ranges, Witness::Threads]);
    let outcome = if memory.one_witness.is_none() { outcome.witnessed([Witness::PageTables]) } else { outcome };
    match memory.reservation() {
        None => outcome.pass(),
        Some(why) => outcome.confidence(Confidence::Medium).reason(why).pass(),
    }
}
