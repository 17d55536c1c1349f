//! Text out of a memory image, safe to print.

use std::fmt;

/// Shows text with control characters, invisible ones, and those that turn the direction of writing as `\u{..}`: a process
/// may be named to confuse the terminal or its reader.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.chars().any(is_unsafe) {
            return f.pad(self.0);
        }
        let mut text = String::with_capacity(self.0.len());
        for c in self.0.chars() {
            if is_unsafe(c) {
                text.extend(c.escape_unicode());
            } else {
                text.push(c);
            }
        }
        f.pad(&text)
    }
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_unseen() {
        assert_eq!(Shown("smss.exe").to_string(), "smss.exe");
        assert_eq!(Shown("\u{1b}[2J\u{202e}exe").to_string(), "\\u{1b}[2J\\u{202e}exe");
        assert_eq!(format!("{:<10}|", Shown("a\nb")), "a\\u{a}b   |");
    }
}
