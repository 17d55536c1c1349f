//! One finding: what is wrong, the norm, what was read where, why it matters, and what to do next.

use super::worst_first;
use crate::checks::{Baseline, Evidence, Rule, Space};
use crate::report::page::{Block, Blocks as _, Commands, Facts, Section, Tone, Words};
use crate::report::views::columns::visible;
use crate::report::views::words::short_key;
use crate::report::{Report, command, command_about, command_in, command_on, heading, leads};
use crate::{Findings, Origin, Outcome, Severity};
use std::collections::BTreeSet;

/// Commands for one finding: the nearest ones.
const COMMANDS: usize = 4;
/// Processes that commands are given for, of a finding about several.
const PROCESSES: usize = 8;
/// Bytes that such a command shows at most.
const SHOWN: u64 = 4096;

/// Every violation, the worst first. What a rule is about is said once.
pub(super) fn all(report: &Report, findings: &Findings) -> Vec<Section> {
    let mut explained = BTreeSet::new();
    let all = worst_first(findings).into_iter();
    let rule = |id: &str| Baseline::named(&findings.check).and_then(|baseline| baseline.rule(id));
    all.map(|outcome| one(report, outcome, rule(&outcome.id).filter(|_| explained.insert(outcome.id.clone()))))
        .collect()
}

/// `critical SMSS-017 pid 384 smss.exe: hollowed`
pub(super) fn head(report: &Report, outcome: &Outcome) -> Words {
    let severity = outcome.severity.unwrap_or(Severity::Info);
    let tone = if outcome.counts() { Tone::Bad } else { Tone::Odd };
    let of = outcome.pid.map_or_else(String::new, |pid| {
        let items = &report.system.processes.items;
        let process = items.iter().find(|process| process.pid.value() == Some(&pid));
        let name = process.and_then(|process| process.name.value());
        format!(" pid {pid}{}", name.map_or_else(String::new, |name| format!(" {}", visible(name))))
    });
    tone.say(severity.to_string()).and(Tone::Plain, format!(" {}{of}: {}", outcome.id, heading(outcome)))
}

/// `explain`: the rule, where it is to be explained.
fn one(report: &Report, outcome: &Outcome, explain: Option<&Rule>) -> Section {
    let tone = if outcome.counts() { Tone::Bad } else { Tone::Odd };
    let of = outcome.pid.map_or_else(String::new, |pid| format!("-{pid}"));
    let mut section = Section::new(format!("{}{of}", outcome.id.to_lowercase()), tone);
    section.heading(2, head(report, outcome));
    let mut facts = Facts::new(2, 10);
    let mut line = |word: &str, text: &Option<String>| {
        if let Some(text) = text {
            facts.add(word, text.as_str());
        }
    };
    line("observed", &outcome.observed);
    line("expected", &outcome.expected);
    line("excused", &outcome.guard);
    line("note", &outcome.reason);
    let witnesses: Vec<&str> = outcome.witnesses.iter().map(|witness| witness.as_str()).collect();
    let alone = if witnesses.len() == 1 { " alone" } else { "" };
    line("rests on", &Some(format!("{}{alone}", witnesses.join(", "))).filter(|_| !witnesses.is_empty()));
    if heading(outcome) != outcome.title {
        line("norm", &Some(outcome.title.clone()));
    }
    line("why", &explain.map(|rule| rule.about.why.to_owned()));
    if !outcome.attack.is_empty() {
        facts.add("ATT&CK", outcome.attack.join(", "));
    }
    outcome.evidence.iter().for_each(|evidence| at(&mut facts, evidence));
    section.facts(facts);
    let lines = next(report, outcome);
    if !lines.is_empty() {
        section.blocks().push(Block::Commands(Commands { indent: 2, names: 10, name: "next".into(), lines }));
    }
    section
}

/// The field, or the registry key and its value; below it the addresses.
fn at(facts: &mut Facts, evidence: &Evidence) {
    let mut places = Vec::new();
    let what = match &evidence.key {
        Some(key) => {
            places.push(format!("{}, {}", value_name(key, &evidence.field), evidence.structure));
            short_key(key)
        }
        None => {
            let of = evidence.pid.map_or_else(String::new, |pid| format!(" of {pid}"));
            format!("{}.{}{of}", evidence.structure, evidence.field)
        }
    };
    facts.add("at", Tone::Faint.say(what));
    let addresses = [("structure", evidence.object), ("virtual", evidence.r#virtual)];
    places.extend(addresses.into_iter().filter_map(|(word, at)| Some(format!("{word} {}", at?))));
    places.extend(evidence.physical.map(|at| format!("physical {at}")));
    // In a raw image it is the physical address.
    let offset = evidence.file_offset.filter(|offset| evidence.physical.is_none_or(|at| at.0 != *offset));
    places.extend(offset.map(|at| format!("file offset {at:#x}")));
    let elsewhere = |from: Option<Origin>| {
        from.filter(|from| !matches!(from, Origin::Memory | Origin::Transition | Origin::Prototype))
    };
    places.extend(elsewhere(evidence.from).map(|from| format!("from {from}")));
    let data = evidence.data.and_then(|data| Some((data.r#virtual, elsewhere(data.from)?)));
    places.extend(data.map(|(at, from)| format!("its value virtual {at} from {from}")));
    places.extend(evidence.table.map(|table| format!("by a page table from {table}")));
    places.extend(evidence.layout.as_ref().map(|layout| format!("({layout} layout)")));
    if !places.is_empty() {
        facts.add("", Tone::Faint.say(places.join(" ")));
    }
}

/// What shows more, the nearest first.
fn next(report: &Report, outcome: &Outcome) -> Vec<String> {
    let explain = command(&["ntmem", "explain", &outcome.id]);
    let Some(image) = report.image_word() else {
        return report.without_commands().map(|_| explain).into_iter().collect();
    };
    let image = image.as_str();
    let mut lines: Vec<String> = Vec::new();
    let mut add = |line: String| {
        if leads(&line) && !lines.contains(&line) {
            lines.push(line);
        }
    };
    let evidence = || outcome.evidence.iter();
    evidence().flat_map(|entry| code(report, entry, image)).take(COMMANDS - 1).for_each(&mut add);
    let read = evidence().find_map(|entry| read(report, entry, image));
    let show = |pid: u64| command_about(report, pid, &["ntmem", "show", &pid.to_string(), image]);
    if let Some(pid) = outcome.pid {
        read.into_iter().for_each(&mut add);
        evidence().filter_map(|entry| registry(report, entry, image)).for_each(&mut add);
        // Others are evidence only: the process judged is the one to look at.
        add(show(pid));
        lines.truncate(COMMANDS);
    } else {
        let pids: Vec<u64> = evidence().filter_map(|entry| entry.pid).collect();
        // What is wrong about several is in none of them alone.
        read.filter(|_| pids.len() < 2).into_iter().for_each(&mut add);
        evidence().filter_map(|entry| registry(report, entry, image)).take(COMMANDS).for_each(&mut add);
        pids.into_iter().take(PROCESSES).map(show).for_each(&mut add);
    }
    lines.push(explain);
    lines
}

/// The command that shows the registry key of an entry.
fn registry(report: &Report, evidence: &Evidence, image: &str) -> Option<String> {
    Some(command_on(report, &["ntmem", "registry", &short_key(evidence.key.as_deref()?), image]))
}

/// What shows the code that an entry speaks of, and writes its range to a file: where nothing is mapped there is none.
fn code(report: &Report, evidence: &Evidence, image: &str) -> Vec<String> {
    let (Some(at), Some(pid)) = (evidence.code.filter(|at| !at.is_kernel()), evidence.pid) else { return Vec::new() };
    let items = &report.system.processes.items;
    let of_pid = items.iter().filter(|process| process.pid.value() == Some(&pid));
    let ranges = of_pid.filter_map(|process| process.inside.value()?.vads.value()).flatten();
    let mut bounds = ranges.filter_map(|vad| Some((*vad.start.value()?, *vad.end.value()?)));
    let start = bounds.find(|(start, end)| (*start..=*end).contains(&at)).map(|(start, _)| start.to_string());
    let (pid_word, at_word, folder) = (pid.to_string(), at.to_string(), format!("pid-{pid}"));
    let read = ["ntmem", "read", &at_word, image, "--pid", &pid_word];
    // An entry of a page table leads to a page, in a range or not.
    let is_mapped = start.is_some() || evidence.structure == "_MMPTE";
    let read = is_mapped.then(|| command_about(report, pid, &read));
    // Whatever in a range an entry speaks of, the range is one file.
    let dump = start.map(|start| {
        let words = ["ntmem", "dump", &pid_word, image, "--vad", &start, "--output", &folder];
        command_about(report, pid, &words)
    });
    read.into_iter().chain(dump).collect()
}

/// The command that shows what an entry shows. Physical addresses need no address space: they lead there whosever it is. Where nothing
/// was read there is none.
fn read(report: &Report, evidence: &Evidence, image: &str) -> Option<String> {
    evidence.value.as_ref()?;
    let number = |value: &String| value.starts_with("S-1-") || value.starts_with("0x") || value.parse::<u64>().is_ok();
    // Of a page it is bytes that are shown.
    let bytes = evidence.structure == "_MMPTE" || evidence.value.as_ref().is_some_and(number);
    let form = if bytes { "hex" } else { "unicode" };
    if let Some((data, at)) = evidence.data.and_then(|data| Some((data, data.physical?))) {
        let (at, bytes) = (at.to_string(), data.bytes.to_string());
        return Some(command_in(report, &["ntmem", "read", &at, image, "--physical", "--bytes", &bytes, "--as", form]));
    }
    // What is in no memory, in a page file or in the compressed store, its process leads to.
    let away = evidence.data.map(|data| (data.r#virtual, data.bytes.min(SHOWN), form));
    let away = away.or_else(|| Some((evidence.r#virtual.filter(|_| evidence.physical.is_none())?, 64, "hex")));
    if let Some((at, bytes, form)) = away
        && (at.is_kernel() || evidence.owner_pid.is_some())
    {
        let pid = evidence.owner_pid.filter(|_| !at.is_kernel()).map(|pid| pid.to_string());
        let (at, bytes) = (at.to_string(), bytes.to_string());
        let mut words = vec!["ntmem", "read", &at, image];
        words.extend(pid.iter().flat_map(|pid| ["--pid", pid.as_str()]));
        // Bytes are shown as they are unless told.
        words.extend(["--bytes", &bytes].into_iter().chain(["--as", form].into_iter().filter(|_| form != "hex")));
        return Some(command_on(report, &words));
    }
    if let Some(at) = evidence.physical {
        return Some(command_in(report, &["ntmem", "read", &at.to_string(), image, "--physical", "--bytes", "64"]));
    }
    let object = evidence.object.filter(|_| evidence.space == Some(Space::Kernel))?;
    Some(command_on(report, &["ntmem", "read", &object.to_string(), image, "--as", &evidence.structure]))
}

/// `Required` of `SubSystems\Required`.
fn value_name<'f>(key: &str, field: &'f str) -> &'f str {
    let last = key.rsplit('\\').next().unwrap_or(key);
    let name = field.split_once(&format!("{last}\\")).map(|(_, name)| name);
    name.or_else(|| field.rsplit('\\').next()).unwrap_or(field)
}
