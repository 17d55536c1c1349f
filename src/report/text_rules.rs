//! The rules of checks for people: a line each, one in full, and all as a page.

use super::{Palette, wrap};
use crate::checks::{BASELINES, Rule};
use std::fmt::{self, Write};

/// A line for each rule: its id and its title.
///
/// # Errors
/// Those of writing.
pub fn rules(out: &mut impl Write, rules: &[&Rule]) -> fmt::Result {
    let width = rules.iter().map(|rule| rule.id.len()).max().unwrap_or(0);
    rules.iter().try_for_each(|rule| writeln!(out, "{:width$}  {}", rule.id, rule.title))
}

/// One rule in full.
///
/// # Errors
/// Those of writing.
pub fn rule(out: &mut impl Write, rule: &Rule, palette: &Palette) -> fmt::Result {
    writeln!(out, "{}: {}", palette.odd.paint(rule.id), rule.title)?;
    for (word, text) in parts(rule) {
        writeln!(out)?;
        wrap(out, &format!("{:<14} {text}", format!("{word}:")), 2, 17)?;
    }
    Ok(())
}

/// The members of a rule that have something to say, each with its heading.
fn parts(rule: &Rule) -> Vec<(&'static str, String)> {
    let about = &rule.about;
    let core = if rule.core { "yes: where it cannot be judged, the verdict is inconclusive" } else { "" };
    let all = [
        ("Violation", rule.wrong.to_owned()),
        ("What", about.what.to_owned()),
        ("Why", about.why.to_owned()),
        ("Harmless", about.benign.to_owned()),
        ("Source", about.source.to_owned()),
        ("Core", core.to_owned()),
        ("ATT&CK", rule.attack.join(", ")),
    ];
    all.into_iter().filter(|(_, text)| !text.is_empty()).collect()
}

/// All rules of all baselines as a page in Markdown: `docs/rules.md` of the repository.
#[must_use]
pub fn rules_page() -> String {
    let mut page = "# Rules\n\nMade from the rules in `src/checks` (`NTMEM_WRITE=1 cargo test --test judging rules_page` writes it anew). \
                    `ntmem explain ID` prints the same.\n"
        .to_owned();
    for baseline in BASELINES {
        page.push_str(&format!("\n## `{}`: {}\n", baseline.name, baseline.title));
        for rule in baseline.rules.iter() {
            page.push_str(&format!("\n### {}: {}\n\n", rule.id, rule.title));
            for (word, text) in parts(rule) {
                page.push_str(&format!("- **{word}**: {}\n", escaped(&text)));
            }
        }
    }
    page
}

/// Backslashes, stars and the like as they are.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '*' | '_' | '<' | '>' | '[' | ']' | '`' | '#') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
