//! Text out of a memory image, safe to print.

use std::fmt;

/// Shows text with control characters, invisible ones, and those that turn the direction of writing as `\u{..}`, and letters of
/// another alphabet in a word of Latin letters as `<U+0455>`: a process may be named to confuse the terminal or its reader.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_ascii() && !self.0.chars().any(char::is_control) {
            return f.pad(self.0);
        }
        let mut text = String::with_capacity(self.0.len());
        // A word of another alphabet alone is somebody's language; among Latin letters it is there to deceive.
        for word in self.0.split_inclusive(|c: char| !c.is_alphanumeric() && !is_unsafe(c)) {
            let latin = word.chars().any(|c| c.is_ascii_alphabetic());
            for c in word.chars() {
                if is_unsafe(c) {
                    text.extend(c.escape_unicode());
                } else if latin && is_like_latin(c) {
                    text.push_str(&format!("<U+{:04X}>", u32::from(c)));
                } else {
                    text.push(c);
                }
            }
        }
        f.pad(&text)
    }
}

/// Letters of the alphabets that have letters which look Latin, and forms of Latin letters that no language writes (Unicode Technical
/// Standard 39, confusables): Greek, Cyrillic, Armenian, Cherokee, Lisu, letter-like signs, full-width and mathematical letters,
/// dotless i, long s.
fn is_like_latin(c: char) -> bool {
    matches!(c, 'ı' | 'ȷ' | 'ſ' | 'ǀ' | 'ɑ' | 'ɡ' | 'ɩ' | '\u{370}'..='\u{58f}' | '\u{13a0}'..='\u{13fd}' | '\u{1c80}'..='\u{1c88}'
        | '\u{1f00}'..='\u{1fff}' | '\u{2100}'..='\u{2188}' | '\u{2de0}'..='\u{2dff}' | '\u{a4d0}'..='\u{a4ff}'
        | '\u{a640}'..='\u{a69f}' | '\u{ab70}'..='\u{abbf}' | '\u{ff01}'..='\u{ff5e}' | '\u{1d400}'..='\u{1d7ff}')
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

    #[test]
    fn letters_that_look_latin_are_told_from_a_language() {
        assert_eq!(Shown("sm\u{455}s.exe").to_string(), "sm<U+0455>s.exe");
        assert_eq!(Shown("\u{ff53}mss.exe").to_string(), "<U+FF53>mss.exe");
        assert_eq!(Shown("sms\u{17f}").to_string(), "sms<U+017F>");
        assert_eq!(Shown("sm\u{200b}\u{455}s").to_string(), "sm\\u{200b}<U+0455>s");
        for plain in ["C:\\Users\\Müller\\a.exe", "C:\\Users\\Иван\\отчёт.exe", "C:\\用户\\a.exe", "Ελλάδα.exe"]
        {
            assert_eq!(Shown(plain).to_string(), plain);
        }
    }
}
