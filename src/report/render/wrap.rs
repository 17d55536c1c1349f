//! Words with tones, broken into lines.

use crate::Shown;
use crate::report::page::{Tone, Words};
use crate::report::{Palette, Style};

/// Escaped pieces of one line.
#[derive(Default)]
pub(super) struct Line {
    pieces: Vec<(Tone, String)>,
    width: usize,
}

impl Line {
    /// A line that begins with spaces.
    pub(super) fn indented(columns: usize) -> Self {
        let mut line = Self::default();
        line.space(columns);
        line
    }

    /// Columns that it takes.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    /// Adds spaces.
    pub(super) fn space(&mut self, columns: usize) {
        self.push(Tone::Plain, " ".repeat(columns));
    }

    /// Adds words that are escaped already.
    pub(super) fn push(&mut self, tone: Tone, text: String) {
        self.width = self.width.saturating_add(columns(&text));
        match self.pieces.last_mut() {
            Some((last, before)) if *last == tone => before.push_str(&text),
            _ if text.is_empty() => {}
            _ => self.pieces.push((tone, text)),
        }
    }

    /// Adds words.
    pub(super) fn words(&mut self, words: &Words) {
        for span in &words.0 {
            self.push(span.tone, Shown(&span.text).to_string());
        }
    }

    /// Adds what another line holds.
    pub(super) fn append(&mut self, other: Self) {
        for (tone, text) in other.pieces {
            self.push(tone, text);
        }
    }

    /// Cuts it to this many columns, the last of which says so.
    pub(super) fn cut(&mut self, width: usize) {
        if self.width <= width {
            return;
        }
        let mut room = width.saturating_sub(1);
        for (_, text) in &mut self.pieces {
            let length = columns(text);
            if length > room {
                *text = beginning(text, room).to_owned();
            }
            room = room.saturating_sub(length);
        }
        self.pieces.retain(|(_, text)| !text.is_empty());
        self.width = self.pieces.iter().map(|(_, text)| columns(text)).sum();
        let tone = self.pieces.last().map_or(Tone::Plain, |(tone, _)| *tone);
        self.push(tone, "\u{2026}".to_owned());
    }

    /// Writes it without spaces at its end. `over`: the tone of what has none of its own.
    pub(super) fn write(mut self, out: &mut String, palette: &Palette, over: Tone) {
        while let Some((_, text)) = self.pieces.last_mut() {
            text.truncate(text.trim_end_matches(' ').len());
            if !text.is_empty() {
                break;
            }
            self.pieces.pop();
        }
        for (tone, text) in self.pieces {
            let tone = if tone == Tone::Plain { over } else { tone };
            // Spaces have no colour.
            let begin = text.len().saturating_sub(text.trim_start_matches(' ').len());
            let (space, text) = text.split_at_checked(begin).unwrap_or(("", &text));
            let style = style(tone, palette);
            for part in [space, style.on, text, style.off] {
                out.push_str(part);
            }
        }
        out.push('\n');
    }
}

/// What a tone looks like on a terminal.
pub(super) const fn style(tone: Tone, palette: &Palette) -> Style {
    match tone {
        Tone::Plain => Style { on: "", off: "" },
        Tone::Head => palette.head,
        Tone::Good => palette.good,
        Tone::Odd => palette.odd,
        Tone::Bad => palette.bad,
        Tone::Faint => palette.faint,
    }
}

/// Words broken into lines of `width` columns; `first` is the line that they begin in, `rest` the indent of the others. A word
/// that is longer than a line, such as a path, is not broken: it would be no path any more.
pub(super) fn wrap(words: &Words, width: usize, first: Line, rest: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = first;
    let mut empty = true;
    for word in split(words) {
        let length: usize = word.iter().map(|(_, text)| columns(text.trim_end_matches(' '))).sum();
        if line.width().saturating_add(length) > width && !empty {
            lines.push(std::mem::replace(&mut line, Line::indented(rest)));
        }
        for (tone, text) in word {
            line.push(tone, text);
        }
        empty = false;
    }
    lines.push(line);
    lines
}

/// Columns that a text takes on a terminal: letters of East Asia take two.
#[cfg(feature = "cli")]
fn columns(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

#[cfg(not(feature = "cli"))]
fn columns(text: &str) -> usize {
    text.chars().count()
}

/// As much of a text as there is room for.
fn beginning(text: &str, room: usize) -> &str {
    let ends = text.char_indices().map(|(at, c)| at.saturating_add(c.len_utf8()));
    let fits = |end: &usize| text.get(..*end).is_some_and(|text| columns(text) <= room);
    ends.take_while(fits).last().and_then(|end| text.get(..end)).unwrap_or_default()
}

/// Words between spaces, escaped; a change of tone inside a word does not end it.
fn split(words: &Words) -> Vec<Vec<(Tone, String)>> {
    let mut all: Vec<Vec<(Tone, String)>> = Vec::new();
    let mut open = false;
    for span in &words.0 {
        let text = Shown(&span.text).to_string();
        for part in text.split_inclusive(' ') {
            let piece = (span.tone, part.to_owned());
            match all.last_mut().filter(|_| open) {
                Some(word) => word.push(piece),
                None => all.push(vec![piece]),
            }
            open = !part.ends_with(' ');
        }
    }
    all
}
