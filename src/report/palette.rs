//! Colours for a terminal, or none.

use std::fmt;

/// What is written before and after a piece of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Before it.
    pub on: &'static str,
    /// After it.
    pub off: &'static str,
}

/// The styles that the text renderings use. The default writes nothing but the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Palette {
    /// Headings.
    pub head: Style,
    /// What is as it should be.
    pub good: Style,
    /// What is odd, or not known.
    pub odd: Style,
    /// What is wrong.
    pub bad: Style,
    /// What is beside the point: exited processes, addresses.
    pub faint: Style,
}

impl Palette {
    /// ANSI colours.
    pub const ANSI: Self = Self {
        head: Style { on: "\u{1b}[1m", off: "\u{1b}[0m" },
        good: Style { on: "\u{1b}[32m", off: "\u{1b}[0m" },
        odd: Style { on: "\u{1b}[33m", off: "\u{1b}[0m" },
        bad: Style { on: "\u{1b}[1;31m", off: "\u{1b}[0m" },
        faint: Style { on: "\u{1b}[2m", off: "\u{1b}[0m" },
    };
}

impl Style {
    /// The text in this style; its own width stays what it is.
    pub(super) fn paint<T: fmt::Display>(self, text: T) -> Painted<T> {
        Painted { style: self, text }
    }
}

pub(super) struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.style.on)?;
        self.text.fmt(f)?;
        f.write_str(self.style.off)
    }
}
