//! Colours for a terminal, or none.

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
    /// No colours.
    pub const NONE: Self = {
        let none = Style { on: "", off: "" };
        Self { head: none, good: none, odd: none, bad: none, faint: none }
    };
    /// ANSI colours.
    pub const ANSI: Self = Self {
        head: Style { on: "\u{1b}[1m", off: "\u{1b}[0m" },
        good: Style { on: "\u{1b}[32m", off: "\u{1b}[0m" },
        odd: Style { on: "\u{1b}[33m", off: "\u{1b}[0m" },
        bad: Style { on: "\u{1b}[1;31m", off: "\u{1b}[0m" },
        faint: Style { on: "\u{1b}[2m", off: "\u{1b}[0m" },
    };
}
