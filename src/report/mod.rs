//! One serialised document of everything that is known, and its renderings.

mod crash;
mod document;
mod foreign;
mod palette;
mod text;
mod text_checks;
mod text_info;
mod text_psxview;
mod text_read;
mod text_registry;
mod text_rules;
mod text_symbols;
#[cfg(test)]
mod text_tests;

pub use crash::{CrashDocument, crash, self_test};
pub use document::{Document, Report, SCHEMA};
pub use palette::{Palette, Style};
pub use text::{process_tree, processes, sessions};
pub use text_checks::findings;
pub use text_info::info;
pub use text_psxview::cross_view;
pub use text_read::memory;
pub use text_registry::{hives, key};
pub use text_rules::{rule, rules, rules_page};
pub use text_symbols::symbols;

use std::fmt::{self, Write};

/// Width that text is broken to.
const WIDTH: usize = 80;

/// Writes words in lines of at most 80 columns, the first indented by `first`, the others by `rest`. A word that is longer
/// than a line, such as a path, is not broken: it would be no path any more.
fn wrap(out: &mut impl Write, text: &str, first: usize, rest: usize) -> fmt::Result {
    let mut line = " ".repeat(first);
    let mut empty = true;
    for word in text.split_inclusive(' ') {
        let long = line.chars().count().saturating_add(word.trim_end().chars().count()) > WIDTH;
        if long && !empty {
            writeln!(out, "{}", line.trim_end())?;
            line = " ".repeat(rest);
        }
        line.push_str(word);
        empty = false;
    }
    writeln!(out, "{}", line.trim_end())
}
