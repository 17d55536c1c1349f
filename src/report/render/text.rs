//! A page as text.

use super::wrap::{Line, wrap};
use crate::Shown;
use crate::report::Palette;
use crate::report::page::{Block, Cell, Column, Commands, Facts, Page, Paragraph, Row, Span, Table, Tone, byte_lines};

/// Deeper nesting is not shown further to the right.
const DEEPEST: usize = 12;
/// A cell that is longer pushes its row to the right, and not all others.
const WIDEST: usize = 48;
/// The last column of a table that is cut is worth that many columns, or none.
const WORTH: usize = 16;
/// One that is broken into lines has to have room for sentences.
const WORTH_BROKEN: usize = 40;

/// How text is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextStyle {
    /// Columns of a line. Words that are longer, such as paths, are not broken.
    pub width: usize,
    /// Whether tables are cut to this width too: what has no room is left out. Otherwise each row is whole.
    pub cut: bool,
    /// Colours.
    pub palette: Palette,
}

impl Default for TextStyle {
    fn default() -> Self {
        Self { width: 80, cut: false, palette: Palette::default() }
    }
}

impl Page {
    /// The page as text.
    #[must_use]
    pub fn text(&self, style: &TextStyle) -> String {
        let mut out = String::new();
        blocks(&mut out, &self.blocks, style);
        out
    }
}

fn blocks(out: &mut String, blocks: &[Block], style: &TextStyle) {
    for block in blocks {
        match block {
            Block::Gap => out.push('\n'),
            Block::Heading(_, words) => {
                for line in wrap(words, style.width, Line::default(), 2) {
                    line.write(out, &style.palette, Tone::Head);
                }
            }
            Block::Paragraph(of) => paragraph(out, of, Tone::Plain, style),
            Block::Line(words) => {
                let mut line = Line::default();
                line.words(words);
                line.write(out, &style.palette, Tone::Plain);
            }
            Block::Bytes(address, hex) => {
                for words in byte_lines(*address, hex) {
                    let mut line = Line::default();
                    line.words(&words);
                    line.write(out, &style.palette, Tone::Plain);
                }
            }
            Block::Facts(of) => facts(out, of, style),
            Block::Table(of) => table(out, of, style),
            Block::Commands(of) => commands(out, of, style),
            Block::Section(of) => self::blocks(out, &of.blocks, style),
            Block::Figure(_) => {}
        }
    }
}

fn paragraph(out: &mut String, of: &Paragraph, tone: Tone, style: &TextStyle) {
    let width = if of.entry && !style.cut { usize::MAX } else { style.width };
    for line in wrap(&of.words, width, Line::indented(of.indent.0), of.indent.1) {
        line.write(out, &style.palette, tone);
    }
}

fn facts(out: &mut String, of: &Facts, style: &TextStyle) {
    let indent = of.indent.saturating_add(of.names);
    for (name, value) in &of.items {
        let mut line = Line::indented(of.indent);
        line.words(name);
        line.space(indent.saturating_sub(line.width()).max(usize::from(!name.is_empty())));
        for line in wrap(value, style.width, line, indent) {
            line.write(out, &style.palette, Tone::Plain);
        }
    }
}

fn commands(out: &mut String, of: &Commands, style: &TextStyle) {
    let indent = of.indent.saturating_add(of.names);
    for (number, command) in of.lines.iter().enumerate() {
        let mut line = Line::indented(of.indent);
        if number == 0 {
            line.words(&of.name);
        }
        line.space(indent.saturating_sub(line.width()));
        line.push(Tone::Plain, Shown(command).to_string());
        line.write(out, &style.palette, Tone::Plain);
    }
}

/// A column as it is printed.
struct Place<'t> {
    /// Its position in the table.
    at: usize,
    column: &'t Column,
    width: usize,
    /// There is no room for it: what stands there instead.
    instead: Option<(&'static str, &'static str)>,
}

/// A table's columns as they are printed.
struct Shape<'t> {
    table: &'t Table,
    columns: Vec<Place<'t>>,
    /// Headings of columns that there is no room for.
    left_out: Vec<&'t str>,
}

impl<'t> Shape<'t> {
    fn new(table: &'t Table, style: &TextStyle) -> Self {
        let place = |(at, column): (usize, &'t Column)| {
            let cells = table.rows.iter().filter(|row| !row.spanned).map(|row| length(row, at));
            let longest = cells.filter(|length| *length <= WIDEST.max(column.least)).max().unwrap_or(0);
            let width = longest.max(column.least).max(column.head.chars().count());
            Place { at, column, width, instead: None }
        };
        let columns = table.columns.iter().enumerate().filter(|(_, column)| !column.data).map(place).collect();
        let mut shape = Self { table, columns, left_out: Vec::new() };
        let worth = if table.broken { WORTH_BROKEN } else { WORTH };
        if style.cut {
            while shape.fixed().saturating_add(worth) > style.width && shape.leave_out() {}
        }
        shape
    }

    /// Columns of all but the last.
    fn fixed(&self) -> usize {
        let but_last = self.columns.iter().rev().skip(1);
        but_last.map(|place| place.width.saturating_add(usize::from(!place.column.joined))).sum()
    }

    /// Leaves out what can best be spared, and says whether there was such a column.
    fn leave_out(&mut self) -> bool {
        let spare = |place: &Place<'_>| if place.instead.is_some() { 0 } else { place.column.spare };
        let most = self.columns.iter().map(spare).max().unwrap_or(0);
        if most == 0 {
            return false;
        }
        for mut place in std::mem::take(&mut self.columns) {
            if spare(&place) != most {
                self.columns.push(place);
                continue;
            }
            self.left_out.push(&place.column.head);
            place.instead = place.column.instead.filter(|_| self.says_something(place.at));
            if let Some((head, word)) = place.instead {
                place.width = head.len().max(word.len());
                self.columns.push(place);
            }
        }
        true
    }

    /// Whether a column has more than nothing in some row.
    fn says_something(&self, at: usize) -> bool {
        let cells = self.table.rows.iter().filter(|row| !row.spanned).filter_map(|row| row.cells.get(at));
        cells.into_iter().any(|cell| *cell != Cell::Nothing)
    }

    /// A line of these cells, one for each column.
    fn line(&self, cells: impl Fn(&Place<'_>) -> Line) -> Line {
        let mut line = Line::default();
        for (number, place) in self.columns.iter().enumerate() {
            self.begin(&mut line, number);
            let cell = cells(place);
            let room = place.width.saturating_sub(cell.width());
            if place.column.right {
                line.space(room);
            }
            line.append(cell);
            if !place.column.right && number.saturating_add(1) < self.columns.len() {
                line.space(room);
            }
        }
        line
    }

    /// The space before a column.
    fn begin(&self, line: &mut Line, number: usize) {
        if number > 0 && self.columns.get(number).is_some_and(|place| !place.column.joined) {
            line.space(1);
        }
    }

    fn head(&self) -> Line {
        self.line(|place| {
            let mut line = Line::default();
            let head = place.instead.map_or_else(|| place.column.head.clone(), |(head, _)| head.to_owned());
            line.push(Tone::Plain, head);
            line
        })
    }

    fn row(&self, row: &Row) -> Line {
        self.line(|place| match (place.instead, row.cells.get(place.at)) {
            (Some((_, word)), Some(Cell::Words(_) | Cell::Told(..))) => {
                let mut line = Line::default();
                line.push(Tone::Plain, word.to_owned());
                line
            }
            _ => cell(row, place.at, true),
        })
    }

    /// The lines of a row whose last cell goes on below.
    fn broken(&self, row: &Row, width: usize) -> Vec<Line> {
        let words = self.columns.last().and_then(|place| row.cells.get(place.at)?.words());
        let Some(words) = words else { return vec![self.row(row)] };
        let last = self.columns.len().saturating_sub(1);
        let mut line = Line::default();
        for (number, place) in self.columns.iter().enumerate() {
            self.begin(&mut line, number);
            if number < last {
                let cell = cell(row, place.at, true);
                let room = place.width.saturating_sub(cell.width());
                line.space(if place.column.right { room } else { 0 });
                line.append(cell);
                line.space(if place.column.right { 0 } else { room });
            }
        }
        let begin = line.width();
        wrap(words, width, line, begin)
    }
}

/// The table with marks in the place of what they stand for, where it does not fit as it is.
fn with_marks(of: &Table, style: &TextStyle) -> Option<Table> {
    let natural = Shape::new(of, &TextStyle { cut: false, ..*style });
    if !style.cut || of.marks.is_empty() || natural.fixed().saturating_add(WORTH) <= style.width {
        return None;
    }
    let mut shorter = of.clone();
    for cell in shorter.rows.iter_mut().flat_map(|row| &mut row.cells) {
        let (Cell::Words(words) | Cell::Told(words, _)) = cell else { continue };
        for Span { text, .. } in &mut words.0 {
            let mark = of.marks.iter().find_map(|(long, mark)| {
                let rest = text.strip_prefix(long.as_str())?;
                rest.starts_with('-').then(|| format!("{mark}{rest}"))
            });
            if let Some(mark) = mark {
                *text = mark;
            }
        }
    }
    Some(shorter)
}

fn table(out: &mut String, of: &Table, style: &TextStyle) {
    if let Some(shorter) = with_marks(of, style) {
        table_as_it_is(out, &shorter, style);
        for (long, mark) in &of.marks {
            paragraph(
                out,
                &Paragraph { words: format!("{mark}  {long}").into(), indent: (0, 4), entry: false },
                Tone::Faint,
                style,
            );
        }
        return;
    }
    table_as_it_is(out, of, style);
}

fn table_as_it_is(out: &mut String, of: &Table, style: &TextStyle) {
    let shape = Shape::new(of, style);
    let write = |out: &mut String, mut line: Line, tone: Tone| {
        if style.cut {
            line.cut(style.width);
        }
        line.write(out, &style.palette, tone);
    };
    if of.columns.iter().any(|column| !column.head.is_empty()) {
        write(out, shape.head(), Tone::Head);
    }
    for row in &of.rows {
        if row.spanned {
            let mut line = Line::indented(indent(row));
            line.append(cell(row, 0, false));
            write(out, line, row.tone);
        } else if style.cut && of.broken {
            shape.broken(row, style.width).into_iter().for_each(|line| line.write(out, &style.palette, row.tone));
        } else {
            write(out, shape.row(row), row.tone);
        }
        for below in &row.below {
            paragraph(out, below, Tone::Faint, style);
        }
    }
    if !shape.left_out.is_empty() {
        let words = format!("not shown, for want of room: {} (--width 0 shows all)", shape.left_out.join(", "));
        paragraph(out, &Paragraph { words: words.into(), indent: (0, 2), entry: false }, Tone::Faint, style);
    }
}

fn indent(row: &Row) -> usize {
    row.depth.min(DEEPEST).saturating_mul(2)
}

/// A row's cell at this position, the first one moved to the right by its depth.
fn cell(row: &Row, at: usize, moved: bool) -> Line {
    let mut line = Line::indented(if moved && at == 0 { indent(row) } else { 0 });
    match row.cells.get(at) {
        Some(Cell::Words(words) | Cell::Told(words, _)) => line.words(words),
        Some(Cell::Nothing) => line.push(Tone::Plain, "-".to_owned()),
        Some(Cell::Unknown(_)) => line.push(Tone::Plain, "?".to_owned()),
        None => {}
    }
    line
}

fn length(row: &Row, at: usize) -> usize {
    cell(row, at, true).width()
}
