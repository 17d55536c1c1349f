//! The outcomes of checks for people.

use super::{Palette, wrap};
use crate::checks::{Away, Evidence, Judgement, Missing};
use crate::{Findings, Origin, Outcome, Severity, Shown, Verdict};
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// The verdict; violations, worst first, with what was read where; what could not be evaluated and why; what passed.
///
/// # Errors
/// Those of writing.
pub fn findings(out: &mut impl Write, findings: &Findings, palette: &Palette) -> fmt::Result {
    verdict(out, findings, palette)?;
    let mut violations: Vec<&Outcome> = findings.violations().collect();
    violations.sort_by_key(|outcome| std::cmp::Reverse(outcome.severity));
    for outcome in violations {
        writeln!(out)?;
        violation(out, outcome, palette)?;
    }
    not_evaluated(out, findings, palette)?;
    for (word, judgement) in [("Passed", Judgement::Pass), ("Not applicable", Judgement::NotApplicable)] {
        let words = ids(findings.outcomes.iter().filter(|outcome| outcome.outcome == judgement));
        if !words.is_empty() {
            writeln!(out)?;
            wrap(out, &format!("{word}: {words}"), 0, 2)?;
        }
    }
    if !findings.passed_over.is_empty() {
        writeln!(out, "\nNot judged:")?;
        for words in &findings.passed_over {
            wrap(out, &Shown(words).to_string(), 2, 4)?;
        }
    }
    Ok(())
}

fn verdict(out: &mut impl Write, findings: &Findings, palette: &Palette) -> fmt::Result {
    let (style, word) = match findings.verdict {
        Verdict::Clean => (palette.good, "clean"),
        Verdict::Inconclusive => (palette.odd, "inconclusive"),
        Verdict::Violations => (palette.bad, "VIOLATIONS"),
    };
    let counted = findings.outcomes.iter().filter(|outcome| outcome.counts()).count();
    let informative = findings.violations().count().saturating_sub(counted);
    let unknown = findings.unknown().count();
    let passed = findings.outcomes.iter().filter(|outcome| outcome.outcome == Judgement::Pass).count();
    writeln!(out, "{}: {}", Shown(&findings.check), style.paint(word))?;
    let line = format!("{counted} violations, {informative} worth knowing, {passed} passed, {unknown} not evaluated");
    wrap(out, &line, 2, 2)?;
    if let Some(layouts) = &findings.layouts {
        let line = format!("layouts: {}: worked out from the image itself, not known from symbols", Shown(layouts));
        wrap(out, &line, 2, 4)?;
    }
    if let Some(away) = &findings.away {
        rests_on(out, away, palette)?;
    }
    for system in &findings.beside {
        wrap(out, &format!("also in this image: {}", Shown(system)), 2, 4)?;
    }
    for mode in &findings.modes {
        wrap(out, &format!("machine: {}", Shown(&mode.to_string())), 2, 4)?;
    }
    Ok(())
}

/// What the verdict rests on where memory could not be read.
fn rests_on(out: &mut impl Write, away: &Away, palette: &Palette) -> fmt::Result {
    if let Some(pid) = away.main.filter(|_| !away.of_main.is_empty()) {
        let line = format!("not read of pid {pid}: {}", away.of_main.join(", "));
        wrap(out, &palette.odd.paint(Shown(&line)).to_string(), 2, 4)?;
    }
    let number = away.rules.len();
    let s = if number == 1 { "" } else { "s" };
    wrap(out, &format!("{number} rule{s} could not judge, because memory could not be read"), 2, 4)?;
    for need in &away.needs {
        wrap(out, &format!("{} would settle {}", Shown(&need.what), need.rules.join(", ")), 4, 6)?;
    }
    Ok(())
}

fn violation(out: &mut impl Write, outcome: &Outcome, palette: &Palette) -> fmt::Result {
    let severity = outcome.severity.unwrap_or(Severity::Info);
    let style = if outcome.counts() { palette.bad } else { palette.odd };
    let of = outcome.pid.map_or_else(String::new, |pid| format!(" pid {pid}"));
    writeln!(out, "{} {}{of}: {}", style.paint(severity), outcome.id, Shown(&outcome.heading))?;
    let mut line = |word: &str, text: &str| wrap(out, &format!("{word:<9} {}", Shown(text)), 2, 12);
    if let Some(text) = &outcome.observed {
        line("observed", text)?;
    }
    if let Some(text) = &outcome.expected {
        line("expected", text)?;
    }
    if let Some(text) = &outcome.guard {
        line("but", text)?;
    }
    if let Some(text) = &outcome.reason {
        line("note", text)?;
    }
    if !outcome.attack.is_empty() {
        line("ATT&CK", &outcome.attack.join(", "))?;
    }
    for evidence in &outcome.evidence {
        at(out, evidence, palette)?;
    }
    Ok(())
}

/// `at  _EPROCESS.ImageFileName of 3260`, or a registry key and its value; and the addresses beside it, or below it where they
/// do not fit.
fn at(out: &mut impl Write, evidence: &Evidence, palette: &Palette) -> fmt::Result {
    let mut lines = Vec::new();
    let mut words = Vec::new();
    match &evidence.key {
        Some(key) => {
            lines.push(short_key(key));
            words.push(format!("{}, {}", value_name(key, &evidence.field), evidence.structure));
        }
        None => {
            let of = evidence.pid.map_or_else(String::new, |pid| format!(" of {pid}"));
            lines.push(format!("{}.{}{of}", evidence.structure, evidence.field));
        }
    }
    let addresses = [("structure", evidence.object), ("virtual", evidence.r#virtual)];
    words.extend(addresses.into_iter().filter_map(|(word, at)| Some(format!("{word} {}", at?))));
    words.extend(evidence.physical.map(|at| format!("physical {at}")));
    let elsewhere =
        evidence.from.filter(|from| !matches!(from, Origin::Memory | Origin::Transition | Origin::Prototype));
    words.extend(elsewhere.map(|from| format!("from {from}")));
    words.extend(evidence.layout.as_ref().map(|layout| format!("({layout} layout)")));
    let below = packed(&words);
    match (lines.as_mut_slice(), below.as_slice()) {
        ([what], [places]) if evidence.key.is_none() && fits(&[what, ", ", places]) => {
            what.push_str(&format!(", {places}"));
        }
        _ => lines.extend(below),
    }
    for (number, line) in lines.iter().enumerate() {
        let word = if number == 0 { "at" } else { "" };
        writeln!(out, "  {word:<9} {}", palette.faint.paint(Shown(line)))?;
    }
    Ok(())
}

/// Whether the parts, one behind another, fit in a line of evidence.
fn fits(parts: &[&str]) -> bool {
    const INDENT: usize = 12;
    let length: usize = parts.iter().map(|part| part.chars().count()).sum();
    length.saturating_add(INDENT) <= super::WIDTH
}

/// The words in as few lines as they fit in.
fn packed(words: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if fits(&[line, " ", word]) => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.clone()),
        }
    }
    lines
}

/// `HKLM\SYSTEM\ControlSet001\Control\Session Manager\SubSystems`
fn short_key(key: &str) -> String {
    const MACHINE: &str = "\\REGISTRY\\MACHINE\\";
    let start = key.get(..MACHINE.len()).filter(|start| start.eq_ignore_ascii_case(MACHINE));
    start.and(key.get(MACHINE.len()..)).map_or_else(|| key.to_owned(), |rest| format!("HKLM\\{rest}"))
}

/// `Required` of `SubSystems\Required`.
fn value_name<'f>(key: &str, field: &'f str) -> &'f str {
    let last = key.rsplit('\\').next().unwrap_or(key);
    let name = field.split_once(&format!("{last}\\")).map(|(_, name)| name);
    name.or_else(|| field.rsplit('\\').next()).unwrap_or(field)
}

/// Once per reason: on a list without paths, many checks lack the same.
fn not_evaluated(out: &mut impl Write, findings: &Findings, palette: &Palette) -> fmt::Result {
    let mut reasons: Vec<(String, Vec<&Outcome>)> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for outcome in findings.unknown() {
        let needs = outcome.missing.as_ref().map_or_else(String::new, Missing::to_string);
        let at = *known.entry(needs.clone()).or_insert(reasons.len());
        match reasons.get_mut(at) {
            Some((_, outcomes)) => outcomes.push(outcome),
            None => reasons.push((needs, vec![outcome])),
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", palette.odd.paint("Not evaluated, which is no evidence of anything normal:"))?;
    for (needs, outcomes) in reasons {
        let one = outcomes.len() == 1;
        let words = format!("{} {} {}", ids(outcomes.into_iter()), if one { "needs" } else { "need" }, Shown(&needs));
        wrap(out, &words, 2, 4)?;
    }
    Ok(())
}

/// `SMSS-001 (468, 3260), SMSS-006`
fn ids<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> String {
    let mut of: Vec<(&str, Vec<String>)> = Vec::new();
    for outcome in outcomes {
        let pid = outcome.pid.map(|pid| pid.to_string());
        match of.last_mut().filter(|(id, _)| *id == outcome.id) {
            Some((_, pids)) => pids.extend(pid),
            None => of.push((&outcome.id, pid.into_iter().collect())),
        }
    }
    let words: Vec<String> = of
        .into_iter()
        .map(|(id, pids)| if pids.is_empty() { id.to_owned() } else { format!("{id} ({})", pids.join(", ")) })
        .collect();
    words.join(", ")
}
