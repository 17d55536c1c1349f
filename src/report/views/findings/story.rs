//! What was found, by subject: which process is bad, which is good, what was changed.

use crate::checks::{Baseline, Judgement};
use crate::report::page::{Block, Blocks as _, Commands, Facts, Page, Tone, Words};
use crate::report::views::columns::visible;
use crate::report::views::words::{brief, count};
use crate::report::{Report, command_about, heading, leads};
use crate::{AbsentKind, Findings, Outcome, Process, Reading, Severity};
use std::collections::BTreeMap;

/// Headings of one subject that are said; the others are counted.
const SAID: usize = 4;
/// Bad processes that commands are given for.
const MOST: usize = 3;

pub(super) fn add(page: &mut Page, report: &Report, findings: &Findings) {
    let mut facts = Facts::new(0, 10);
    let mut others: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    let mut pids: BTreeMap<u64, Vec<&Outcome>> = BTreeMap::new();
    for outcome in &findings.outcomes {
        match outcome.pid {
            Some(pid) => pids.entry(pid).or_default().push(outcome),
            None => others.entry(area(outcome)).or_default().push(outcome),
        }
    }
    let mut told: Vec<(bool, String, Words)> = pids
        .iter()
        .map(|(pid, outcomes)| (is_bad(outcomes), format!("pid {pid}"), process(report, findings, *pid, outcomes)))
        .collect();
    // Who is bad stands above who is good.
    told.sort_by_key(|(bad, ..)| !bad);
    for (_, pid, words) in told {
        facts.add(pid, words);
    }
    for (area, outcomes) in others {
        facts.add(area, said(findings, &outcomes, "as Windows makes it"));
    }
    page.facts(facts);
    let bad = pids.iter().filter(|(_, outcomes)| is_bad(outcomes)).map(|(pid, _)| *pid);
    let lines = next(report, bad.take(MOST).collect());
    if !lines.is_empty() {
        page.blocks().push(Block::Commands(Commands { indent: 0, names: 10, name: "next".into(), lines }));
    }
}

/// What shows the bad processes whole, and has their executables.
fn next(report: &Report, pids: Vec<u64>) -> Vec<String> {
    let Some(image) = report.image_word() else { return Vec::new() };
    let image = image.as_str();
    let of = |pid: u64| {
        let (of, folder) = (pid.to_string(), format!("pid-{pid}"));
        let show = command_about(report, pid, &["ntmem", "show", &of, image]);
        let dump = command_about(report, pid, &["ntmem", "dump", &of, image, "--output", &folder]);
        [Some(show), Some(dump).filter(|_| has_executable(report, pid))].into_iter().flatten()
    };
    pids.into_iter().flat_map(of).filter(|line| leads(line)).collect()
}

/// Whether there is something to dump: a range where its executable is mapped, or where its PEB says that it is. Of whom the ranges were
/// not looked at there may be.
fn has_executable(report: &Report, pid: u64) -> bool {
    let items = &report.system.processes.items;
    items.iter().filter(|process| process.pid.value() == Some(&pid)).any(|process| {
        let bases = [&process.section_base, &process.image_base];
        let mut bases = bases.into_iter().filter_map(|base| base.value().filter(|base| !base.is_null()));
        match process.inside.value().map(|inside| &inside.vads) {
            Some(Reading::Value(vads)) => bases.any(|base| vads.iter().any(|vad| vad.start.value() == Some(base))),
            Some(Reading::Absent(absent)) if absent.kind != AbsentKind::NotCollected => false,
            _ => !process.section_base.is_nothing(),
        }
    })
}

/// Which part of the machine a rule is about that is not about one process.
fn area(outcome: &Outcome) -> &'static str {
    match outcome.id.split('-').next() {
        Some("SMR") => "registry",
        Some("SES") => "sessions",
        _ => "machine",
    }
}

fn is_bad(outcomes: &[&Outcome]) -> bool {
    outcomes.iter().any(|outcome| outcome.counts())
}

fn process(report: &Report, findings: &Findings, pid: u64, outcomes: &[&Outcome]) -> Words {
    let items = &report.system.processes.items;
    let process = items.iter().find(|process| process.pid.value() == Some(&pid));
    let name =
        process.map_or_else(|| "not listed".to_owned(), |process| brief(&process.name.clone().map(|n| visible(&n))));
    let words = said(findings, outcomes, "nothing wrong");
    let who = Tone::Head.say(name).and(Tone::Plain, part(report, pid, process, outcomes));
    Words(who.and(Tone::Plain, ": ").0.into_iter().chain(words.0).collect())
}

/// Which part a process plays that bears the name of the master: it, or one that is none of Windows'.
fn part(report: &Report, pid: u64, process: Option<&Process>, outcomes: &[&Outcome]) -> &'static str {
    let master = report.system.master().and_then(|master| master.pid.value().copied());
    let grave = outcomes.iter().any(|outcome| outcome.severity >= Some(Severity::High));
    match process {
        _ if master == Some(pid) => ", the master",
        Some(process) if process.is_called("smss.exe") && grave => ", not Windows' smss.exe",
        _ => "",
    }
}

/// Whether somebody looked for the answer of an outcome and could not have it, though the rule decides.
fn would_decide(findings: &Findings, outcome: &Outcome) -> bool {
    let core = || Baseline::named(&findings.check).and_then(|baseline| baseline.rule(&outcome.id));
    outcome.outcome == Judgement::Unknown
        && !outcome.is_gone()
        && (outcome.decides || core().is_some_and(|rule| rule.core))
}

/// What is wrong with a subject, or that nothing is: of what was judged only where something that decides was not.
fn said(findings: &Findings, outcomes: &[&Outcome], fine: &str) -> Words {
    let mut wrong: Vec<&Outcome> = outcomes.iter().copied().filter(|outcome| outcome.counts()).collect();
    wrong.sort_by_key(|outcome| std::cmp::Reverse(outcome.severity));
    let of = |judgement| outcomes.iter().filter(|outcome| outcome.outcome == judgement).count();
    let passed = of(Judgement::Pass);
    let gone = outcomes.iter().filter(|outcome| outcome.is_gone()).count();
    let open = of(Judgement::Unknown).saturating_sub(gone);
    if wrong.is_empty() {
        let (tone, fine) = if outcomes.iter().any(|outcome| would_decide(findings, outcome)) {
            (Tone::Odd, "not all could be judged".to_owned())
        } else if passed == 0 {
            (Tone::Odd, "nothing could be said".to_owned())
        } else if open > 0 {
            (Tone::Good, format!("{fine}, as far as it could be judged"))
        } else {
            (Tone::Good, fine.to_owned())
        };
        let mut sums = format!("{passed} passed");
        for (number, word) in [(open, "not evaluated"), (gone, "gone with the process")] {
            if number > 0 {
                sums.push_str(&format!(", {number} {word}"));
            }
        }
        return tone.say(format!("{fine} ({sums})"));
    }
    let headings: Vec<&str> = wrong.iter().take(SAID).map(|outcome| heading(outcome)).collect();
    let more = wrong.len().saturating_sub(SAID);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let ids = match wrong.as_slice() {
        // The subject says whose it is.
        [one] => one.id.clone(),
        several => count(several.len(), "finding", "findings"),
    };
    Tone::Bad.say(format!("{ids}: ")).and(Tone::Plain, format!("{}{more}", headings.join("; ")))
}
