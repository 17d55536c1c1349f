//! Pages as one HTML document: no script, nothing from elsewhere, readable on paper, in the dark and by a screen reader.

use super::svg;
use crate::Shown;
use crate::report::page::{
    Block, Cell, Commands, Facts, Page, Paragraph, Row, Section, Table, Tone, Words, byte_lines,
};
use std::fmt::Write as _;

const STYLE: &str = include_str!("style.css");

/// Deeper nesting is not shown further to the right.
const DEEPEST: usize = 12;

/// Columns of a table for which paper is turned to landscape, with all that is on its page.
const WIDE: usize = 7;
/// A cell that is longer is broken on paper, anywhere; the others stay in one line.
const LONG: usize = 48;

/// One document of these pages, each under its title.
#[must_use]
pub fn html(title: &str, pages: &[Page]) -> String {
    let mut out = String::new();
    out.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    // Whatever the image holds: no script runs, and nothing is fetched.
    out.push_str(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
    );
    let title = escaped(title);
    let _ = write!(out, "<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n");
    let _ = write!(out, "<a class=\"skip\" href=\"#main\">To the report</a>\n<header><h1>{title}</h1>\n<nav><ul>\n");
    for (number, page) in pages.iter().enumerate() {
        let _ = writeln!(out, "<li><a href=\"#page-{number}\">{}</a></li>", escaped(&page.title));
    }
    out.push_str("</ul></nav>\n</header>\n<main id=\"main\">\n");
    for (number, page) in pages.iter().enumerate() {
        let is_wide = |block: &Block| matches!(block, Block::Table(table) if table.columns.len() >= WIDE);
        let wide = if page.blocks.iter().any(is_wide) { " class=\"wide\"" } else { "" };
        let _ = write!(out, "<section id=\"page-{number}\"{wide}>\n<h2>{}</h2>\n", escaped(&page.title));
        blocks(&mut out, &page.blocks);
        out.push_str("</section>\n");
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

/// Text that is safe in HTML, between tags and in attributes; what would mislead a reader is made visible first.
pub(super) fn escaped(text: &str) -> String {
    let shown = Shown(text).to_string();
    let mut out = String::with_capacity(shown.len());
    for c in shown.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// The class of a tone.
pub(super) const fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain => "plain",
        Tone::Head => "head",
        Tone::Good => "good",
        Tone::Odd => "odd",
        Tone::Bad => "bad",
        Tone::Faint => "faint",
    }
}

fn words(words: &Words) -> String {
    let mut out = String::new();
    for span in &words.0 {
        if span.tone == Tone::Plain {
            out.push_str(&escaped(&span.text));
        } else {
            let _ = write!(out, "<span class=\"{}\">{}</span>", class(span.tone), escaped(&span.text));
        }
    }
    out
}

fn blocks(out: &mut String, all: &[Block]) {
    for block in all {
        match block {
            Block::Gap => {}
            Block::Heading(level, of) => {
                // The document has the first level, pages the second.
                let level = level.saturating_add(2).min(6);
                let _ = writeln!(out, "<h{level}>{}</h{level}>", words(of));
            }
            Block::Paragraph(of) => paragraph(out, of),
            Block::Line(of) => {
                let _ = writeln!(out, "<pre class=\"line\">{}</pre>", words(of));
            }
            Block::Bytes(address, hex) => {
                for line in byte_lines(*address, hex) {
                    let _ = writeln!(out, "<pre class=\"line\">{}</pre>", words(&line));
                }
            }
            Block::Facts(of) => facts(out, of),
            Block::Table(of) => table(out, of),
            Block::Commands(of) => commands(out, of),
            Block::Section(of) => section(out, of),
            Block::Figure(of) => svg::figure(out, of),
        }
    }
}

fn paragraph(out: &mut String, of: &Paragraph) {
    let _ = writeln!(out, "<p>{}</p>", words(&of.words));
}

fn facts(out: &mut String, of: &Facts) {
    out.push_str("<dl>\n");
    let mut open = false;
    for (name, value) in &of.items {
        if !name.is_empty() || !open {
            let _ = write!(out, "<dt>{}</dt>", words(name));
        }
        open = true;
        let _ = writeln!(out, "<dd>{}</dd>", words(value));
    }
    out.push_str("</dl>\n");
}

fn commands(out: &mut String, of: &Commands) {
    let _ = write!(out, "<p class=\"label\">{}</p>\n<pre><code>", words(&of.name));
    for line in &of.lines {
        let _ = writeln!(out, "{}", escaped(line));
    }
    out.push_str("</code></pre>\n");
}

fn section(out: &mut String, of: &Section) {
    let _ = writeln!(out, "<section class=\"finding {}\" id=\"{}\">", class(of.tone), escaped(&of.anchor));
    blocks(out, &of.blocks);
    out.push_str("</section>\n");
}

fn table(out: &mut String, of: &Table) {
    let name = escaped(of.name);
    let _ = writeln!(out, "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{name}\">");
    let _ = writeln!(out, "<table><caption>{name}</caption>");
    if of.columns.iter().any(|column| !column.head.is_empty()) {
        out.push_str("<thead><tr>");
        for column in of.columns.iter().filter(|column| !column.data) {
            let mark = if column.joined || column.least == 1 { " class=\"mark\"" } else { "" };
            let head = escaped(column.head.trim());
            let _ = write!(out, "<th scope=\"col\"{mark} title=\"{}\">{head}</th>", escaped(column.name));
        }
        out.push_str("</tr></thead>\n");
    }
    out.push_str("<tbody>\n");
    of.rows.iter().for_each(|row| self::row(out, of, row));
    out.push_str("</tbody></table></div>\n");
}

fn row(out: &mut String, table: &Table, row: &Row) {
    let _ = write!(out, "<tr class=\"{}\">", class(row.tone));
    let columns = || table.columns.iter().enumerate().filter(|(_, column)| !column.data);
    let all = columns().count();
    if row.spanned {
        let text = row.cells.first().map_or_else(String::new, cell);
        let _ = write!(out, "<td colspan=\"{all}\">{text}</td>");
    } else {
        for (number, (at, column)) in columns().enumerate() {
            let is_long = row.cells.get(at).is_some_and(is_long);
            let kind = match (column.right, column.joined || column.least == 1) {
                (true, _) => " class=\"number\"",
                (_, true) => " class=\"mark\"",
                _ if is_long => " class=\"long\"",
                _ => "",
            };
            let depth = row.depth.min(DEEPEST);
            let moved = if number == 0 && depth > 0 {
                format!(" style=\"padding-left:{}em\"", depth.saturating_mul(1))
            } else {
                String::new()
            };
            let text = row.cells.get(at).map_or_else(String::new, cell);
            let _ = write!(out, "<td{kind}{moved}>{text}</td>");
        }
    }
    out.push_str("</tr>\n");
    for below in &row.below {
        let _ = writeln!(out, "<tr class=\"below\"><td colspan=\"{all}\">{}</td></tr>", words(&below.words));
    }
}

fn is_long(cell: &Cell) -> bool {
    matches!(cell, Cell::Words(words) if words.plain().chars().count() > LONG)
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Words(of) | Cell::Told(of, _) => words(of),
        Cell::Nothing => "<span class=\"faint\">-</span>".to_owned(),
        Cell::Unknown(why) => format!("<abbr title=\"{}\">?</abbr>", escaped(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_image_becomes_markup() {
        let hostile = "<script>alert(1)</script>\"'&\u{202e}\u{1b}";
        let mut page = Page::new(hostile);
        let said = Words::from(hostile);
        let table = Table {
            name: "t",
            columns: vec![crate::report::page::Column::new("A", "a", 1)],
            rows: vec![
                Row::new(vec![Cell::Unknown(hostile.into())]).below(1, hostile),
                Row::spanned(hostile, Tone::Bad),
            ],
            ..Table::default()
        };
        page.blocks = vec![
            Block::Heading(1, said.clone()),
            Block::Paragraph(Paragraph { words: said.clone(), ..Paragraph::default() }),
            Block::Facts(Facts { indent: 0, names: 0, items: vec![(said.clone(), said.clone())] }),
            Block::Table(table),
            Block::Commands(Commands { name: said, lines: vec![hostile.into()], ..Commands::default() }),
            Block::Section(Section { anchor: hostile.into(), tone: Tone::Bad, blocks: Vec::new() }),
        ];
        let out = html(hostile, &[page]);
        assert!(!out.contains("<script") && !out.contains(['\u{202e}', '\u{1b}']), "{out}");
        let quotes = out.matches("alert").count();
        assert_eq!(out.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;").count(), quotes);
        assert!(quotes >= 12);
    }
}
