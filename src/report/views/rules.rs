//! The rules of checks: a line each, one in full, and all as a page of the documentation.

use crate::checks::{BASELINES, Rule};
use crate::report::page::{Blocks as _, Cell, Column, Facts, Page, Row, Table, Tone};

/// A line for each rule: its id and its title.
#[must_use]
pub fn rules(rules: &[&Rule]) -> Page {
    let mut page = Page::new("Rules");
    let columns = vec![Column::new("", "id", 8), Column::new("", "title", 12)];
    let row = |rule: &&Rule| Row::new(vec![Cell::of(rule.id), Cell::of(rule.title)]);
    page.table(Table { name: "rules", columns, rows: rules.iter().map(row).collect(), ..Table::default() });
    page
}

/// One rule in full.
#[must_use]
pub fn rule(rule: &Rule) -> Page {
    let mut page = Page::new(rule.id);
    page.paragraph((0, 2), Tone::Odd.say(rule.id).and(Tone::Plain, format!(": {}", rule.title)));
    for (word, text) in parts(rule) {
        let mut facts = Facts::new(2, 15);
        facts.add(format!("{word}:"), text);
        page.gap().facts(facts);
    }
    page
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
