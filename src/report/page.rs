//! A page: what a view has to say, in blocks. A view decides; a renderer prints, and decides nothing.
//!
//! The words of a page may hold anything that an image holds: renderers escape them, views do not.

use crate::memory_read::hex_lines;
use crate::{Hex, Reading, Timestamp};
use std::fmt::Display;

/// What a view has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Title of a document; text has none.
    pub title: String,
    /// From top to bottom.
    pub blocks: Vec<Block>,
    /// What it says as rows for those who compute, where its first table is not that.
    pub data: Option<Table>,
}

/// One piece of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Block {
    /// An empty line.
    Gap,
    /// A heading of this level: 1, 2, 3.
    Heading(u8, Words),
    /// Words, broken to the width of the page.
    Paragraph(Paragraph),
    /// A line as it is: never broken, spaces and all.
    Line(Words),
    /// Bytes from an address on, two digits each: lines are made of them where they are printed, because there can be a million.
    Bytes(Hex, String),
    /// Names and values.
    Facts(Facts),
    /// Rows under columns: lists, matrices and trees.
    Table(Table),
    /// Commands to paste into a shell.
    Commands(Commands),
    /// A heading and what belongs to it.
    Section(Section),
    /// A picture: text has none, because it has the same in words.
    Figure(Figure),
}

/// What a section of a page is about; a document can show it in a way of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Name that a link can lead to.
    pub anchor: String,
    /// How what is said in it is meant.
    pub tone: Tone,
    /// Its heading and what is below.
    pub blocks: Vec<Block>,
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// What it shows.
    pub title: String,
    /// What is drawn.
    pub drawing: Drawing,
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drawing {
    /// Nodes, each after its parent.
    Tree(Vec<Node>),
    /// Points in time.
    Timeline(Timeline),
}

/// A node of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// 0: a root.
    pub depth: usize,
    /// What stands in it.
    pub label: String,
    /// How it is meant.
    pub tone: Tone,
}

/// Points in time, on an axis on which each power of two of the time that passed has the same room: what happened in the first seconds
/// stays apart from what came hours later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Where the axis begins.
    pub from: Timestamp,
    /// In the order of time. None is before its beginning.
    pub marks: Vec<Mark>,
}

/// A point in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub label: String,
    /// How it is meant.
    pub tone: Tone,
}

/// How words are meant. What that looks like is the renderer's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Said plainly.
    #[default]
    Plain,
    /// A heading or a name.
    Head,
    /// As it should be.
    Good,
    /// Odd, or not known.
    Odd,
    /// Wrong.
    Bad,
    /// Beside the point: exited processes, addresses.
    Faint,
}

/// Words with their tones, in one line or paragraph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(pub Vec<Span>);

/// Words of one tone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The words. Not escaped.
    pub text: String,
    /// How they are meant.
    pub tone: Tone,
}

/// Words, broken to the width of the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paragraph {
    /// The words.
    pub words: Words,
    /// Columns to the left of its first line, and of the others.
    pub indent: (usize, usize),
    /// It is one of many, a line each: where tables are not cut, it is not broken either.
    pub entry: bool,
}

/// Names and values, a line or more each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Columns to the left of the names.
    pub indent: usize,
    /// Columns that a name takes, with what is between it and its value.
    pub names: usize,
    /// Name and value; a name can be empty where the value goes on.
    pub items: Vec<(Words, Words)>,
}

/// Commands to paste into a shell: never broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// Columns to the left of the name.
    pub indent: usize,
    /// Columns that the name takes.
    pub names: usize,
    /// What the commands are for.
    pub name: Words,
    /// A command each.
    pub lines: Vec<String>,
}

/// Rows under columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// What the table is, for a document: `processes`.
    pub name: &'static str,
    /// Its columns. The last takes what room is left.
    pub columns: Vec<Column>,
    /// Its rows.
    pub rows: Vec<Row>,
    /// Beginnings of cells for which a mark may stand where the page is too narrow, each with its mark: the page then says what the mark
    /// stands for.
    pub marks: Vec<(String, String)>,
    /// Where the page is too narrow for the last column, its cells go on below; else they are cut.
    pub broken: bool,
}

/// One column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub head: String,
    /// Its name for scripts and in `--columns`: `ppid`.
    pub name: &'static str,
    /// Columns that it takes at least.
    pub least: usize,
    /// Numbers stand at the right.
    pub right: bool,
    /// No space before it: the marks of a matrix stand side by side.
    pub joined: bool,
    /// It is left out where the page is too narrow, the highest number first; 0: never.
    pub spare: u8,
    /// What is to be told all the same where it is left out: a heading, and a word for rows that have a value in it.
    pub instead: Option<(&'static str, &'static str)>,
    /// It is for those who compute, and in no page that people read.
    pub data: bool,
}

/// One row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Depth in a tree: the first cell stands so much further to the right.
    pub depth: usize,
    /// How the row is meant.
    pub tone: Tone,
    /// Its cells; with `spanned` one, over all columns.
    pub cells: Vec<Cell>,
    /// The first cell goes over all columns.
    pub spanned: bool,
    /// What stands below it.
    pub below: Vec<Paragraph>,
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Words or a number.
    Words(Words),
    /// Words for people, and the same for those who compute: a time to the second, and whole.
    Told(Words, Box<Cell>),
    /// There is none.
    Nothing,
    /// Not known, and why.
    Unknown(String),
}

impl Page {
    /// An empty page.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// A page that says this, and nothing else.
    pub fn saying(words: impl Into<Words>) -> Self {
        let mut page = Self::default();
        page.paragraph((0, 2), words);
        page
    }

    /// The same with the hash of the image file below, where that was asked for.
    #[must_use]
    pub fn with_hash(mut self, report: &super::Report) -> Self {
        if let Some(sha256) = &report.run.sha256 {
            let mut facts = Facts::new(0, 8);
            facts.add("sha256", sha256.as_str());
            self.facts(facts);
        }
        self
    }

    /// Marks the rows of processes with these ids in all tables that have a column of ids, as what is wrong.
    #[must_use]
    pub fn with_bad(mut self, pids: &std::collections::BTreeSet<u64>) -> Self {
        for block in &mut self.blocks {
            let Block::Table(table) = block else { continue };
            let Some(at) = table.columns.iter().position(|column| column.name == "pid") else { continue };
            for row in table.rows.iter_mut().filter(|row| row.tone == Tone::Plain) {
                let Some(Cell::Words(words)) = row.cells.get(at) else { continue };
                if words.plain().parse::<u64>().is_ok_and(|pid| pids.contains(&pid)) {
                    row.tone = Tone::Bad;
                }
            }
        }
        self
    }

    /// What a list is about, for those who compute: [`data`](Self::data), else the first table.
    #[must_use]
    pub fn list(&self) -> Option<&Table> {
        let first = self.blocks.iter().find_map(|block| match block {
            Block::Table(table) => Some(table),
            _ => None,
        });
        self.data.as_ref().or(first)
    }
}

/// The lines of [`Block::Bytes`].
pub(super) fn byte_lines(address: Hex, hex: &str) -> impl Iterator<Item = Words> {
    hex_lines(address, hex)
        .map(|(address, line)| Tone::Faint.say(format!("{:016x}", address.0)).and(Tone::Plain, format!("  {line}")))
}

/// What blocks are added to.
pub(super) trait Blocks {
    /// The blocks so far.
    fn blocks(&mut self) -> &mut Vec<Block>;

    /// An empty line, if anything stands above it.
    fn gap(&mut self) -> &mut Self {
        if !self.blocks().is_empty() {
            self.blocks().push(Block::Gap);
        }
        self
    }

    fn heading(&mut self, level: u8, words: impl Into<Words>) -> &mut Self {
        self.blocks().push(Block::Heading(level, words.into()));
        self
    }

    fn paragraph(&mut self, indent: (usize, usize), words: impl Into<Words>) -> &mut Self {
        self.blocks().push(Block::Paragraph(Paragraph { words: words.into(), indent, entry: false }));
        self
    }

    /// One of many, a line each.
    fn entry(&mut self, indent: (usize, usize), words: impl Into<Words>) -> &mut Self {
        self.blocks().push(Block::Paragraph(Paragraph { words: words.into(), indent, entry: true }));
        self
    }

    /// A line as it is.
    fn verbatim(&mut self, words: impl Into<Words>) -> &mut Self {
        self.blocks().push(Block::Line(words.into()));
        self
    }

    fn facts(&mut self, facts: Facts) -> &mut Self {
        if !facts.items.is_empty() {
            self.blocks().push(Block::Facts(facts));
        }
        self
    }

    fn table(&mut self, table: Table) -> &mut Self {
        self.blocks().push(Block::Table(table));
        self
    }
}

impl Blocks for Page {
    fn blocks(&mut self) -> &mut Vec<Block> {
        &mut self.blocks
    }
}

impl Blocks for Section {
    fn blocks(&mut self) -> &mut Vec<Block> {
        &mut self.blocks
    }
}

impl Section {
    pub(super) fn new(anchor: impl Into<String>, tone: Tone) -> Self {
        Self { anchor: anchor.into(), tone, blocks: Vec::new() }
    }
}

impl Facts {
    pub(super) const fn new(indent: usize, names: usize) -> Self {
        Self { indent, names, items: Vec::new() }
    }

    pub(super) fn add(&mut self, name: impl Into<Words>, value: impl Into<Words>) -> &mut Self {
        self.items.push((name.into(), value.into()));
        self
    }
}

impl Words {
    /// More words, of a tone of their own.
    #[must_use]
    pub fn and(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.0.push(Span { text: text.into(), tone });
        self
    }

    /// The words without their tones. Not escaped.
    #[must_use]
    pub fn plain(&self) -> String {
        self.0.iter().map(|span| span.text.as_str()).collect()
    }

    /// True where nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|span| span.text.is_empty())
    }
}

impl Tone {
    /// Words of this tone.
    pub(super) fn say(self, text: impl Into<String>) -> Words {
        Words(vec![Span { text: text.into(), tone: self }])
    }
}

impl From<&str> for Words {
    fn from(text: &str) -> Self {
        Tone::Plain.say(text)
    }
}

impl From<String> for Words {
    fn from(text: String) -> Self {
        Tone::Plain.say(text)
    }
}

/// To the second: `2026-03-14 08:00:02`.
pub(super) fn short(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..19).map_or_else(|| text.clone(), |second| second.replace('T', " "))
}

impl Cell {
    /// Words, where there are any.
    pub(super) fn of(text: impl Into<String>) -> Self {
        Self::Words(Words::from(text.into()))
    }

    /// A time: to the second for people.
    pub(super) fn time(at: Timestamp) -> Self {
        Self::of(at.to_string()).told(short(at))
    }

    /// The cell, in other words for people.
    pub(super) fn told(self, words: impl Into<Words>) -> Self {
        Self::Told(words.into(), Box::new(self))
    }

    /// What people read.
    pub(super) fn words(&self) -> Option<&Words> {
        match self {
            Self::Words(words) | Self::Told(words, _) => Some(words),
            Self::Nothing | Self::Unknown(_) => None,
        }
    }

    /// A reading's value as `f` writes it.
    pub(super) fn read<T>(reading: &Reading<T>, f: impl FnOnce(&T) -> String) -> Self {
        match reading {
            Reading::Value(value) => Self::of(f(value)),
            Reading::Nothing => Self::Nothing,
            Reading::Absent(absent) => Self::Unknown(absent.to_string()),
        }
    }
}

impl<T: Display> From<&Reading<T>> for Cell {
    fn from(reading: &Reading<T>) -> Self {
        Self::read(reading, T::to_string)
    }
}

impl<T: Display> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, |value| Self::of(value.to_string()))
    }
}

impl Column {
    pub(super) fn new(head: &str, name: &'static str, least: usize) -> Self {
        Self { head: head.to_owned(), name, least, ..Self::default() }
    }

    pub(super) const fn right(mut self) -> Self {
        self.right = true;
        self
    }

    pub(super) const fn joined(mut self) -> Self {
        self.joined = true;
        self
    }

    pub(super) const fn spare(mut self, spare: u8) -> Self {
        self.spare = spare;
        self
    }

    pub(super) const fn instead(mut self, head: &'static str, word: &'static str) -> Self {
        self.instead = Some((head, word));
        self
    }

    /// A column for those who compute.
    pub(super) fn data(name: &'static str) -> Self {
        Self { name, data: true, ..Self::default() }
    }
}

impl Table {
    /// Rows for those who compute.
    pub(super) fn of_data(name: &'static str, columns: &[&'static str], rows: Vec<Row>) -> Self {
        Self { name, columns: columns.iter().map(|name| Column::data(name)).collect(), rows, ..Self::default() }
    }
}

impl Row {
    pub(super) fn new(cells: Vec<Cell>) -> Self {
        Self { cells, ..Self::default() }
    }

    /// One cell over all columns.
    pub(super) fn spanned(words: impl Into<Words>, tone: Tone) -> Self {
        Self { tone, cells: vec![Cell::Words(words.into())], spanned: true, ..Self::default() }
    }

    pub(super) const fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    pub(super) const fn depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    pub(super) fn below(mut self, indent: usize, words: impl Into<Words>) -> Self {
        self.below.push(Paragraph { words: words.into(), indent: (indent, indent), entry: false });
        self
    }
}
