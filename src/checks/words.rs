//! Texts of the registry and the kernel, taken apart and compared as smss.exe and NT do it: not as Unicode would.
//!
//! smss.exe ends a word at characters up to U+0020 and at no other (ReactOS, `SmpParseToken`): a no-break space is a letter of the
//! word it stands in. Names are compared letter by letter after NT's upcase table, which maps one letter to one and keeps letters
//! outside ASCII apart from those inside: U+212A (Kelvin sign) is no K, U+017F (long s) no S.

use crate::upcase::{downcase, upcase};
use std::fmt::Write as _;

/// What ends a word.
const fn is_blank(c: char) -> bool {
    c <= ' '
}

/// The text without blanks around it.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_blank)
}

/// The words of a text.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_blank).filter(|word| !word.is_empty())
}

/// The first word, and what follows it and the blanks behind it.
pub(super) fn first_word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches(is_blank);
    let end = text.find(is_blank).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end)?;
    (!word.is_empty()).then(|| (word, rest.trim_start_matches(is_blank)))
}

/// What is left of `text` after `prefix`.
pub(super) fn strip<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let mut rest = text.chars();
    for expected in prefix.chars() {
        if upcase(rest.next()?) != upcase(expected) {
            return None;
        }
    }
    Some(rest.as_str())
}

/// Equal but for case.
pub(super) fn same(a: &str, b: &str) -> bool {
    strip(a, b).is_some_and(str::is_empty)
}

/// Whether a text is a SID. Other tools print names of accounts, in the language of the machine: they prove nothing.
pub(super) fn is_sid(text: &str) -> bool {
    strip(text, "S-1-").is_some_and(|rest| {
        !rest.is_empty()
            && rest.split('-').all(|part| {
                let digits = strip(part, "0x");
                !digits.unwrap_or(part).is_empty()
                    && digits.unwrap_or(part).bytes().all(|digit| digit.is_ascii_hexdigit())
            })
    })
}

/// The text in one case, to be looked into for parts in lower case.
pub(super) fn lower(text: &str) -> String {
    text.chars().map(downcase).collect()
}

/// The text up to a length, with everything outside of printable ASCII escaped: what looks like a blank or like another letter
/// is told apart.
pub(super) fn escaped(text: &str, length: usize) -> String {
    let mut short = String::new();
    for (number, c) in text.chars().enumerate() {
        if number >= length {
            short.push('…');
            break;
        }
        if matches!(c, ' '..='~') {
            short.push(c);
        } else {
            let _ = write!(short, "{}", c.escape_unicode());
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_control_characters_and_the_space_alone() {
        assert_eq!(words(" a\tb\u{1}c  d ").collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        for other in ['\u{a0}', '\u{3000}', '\u{2003}', '\u{85}', '\u{200b}'] {
            let text = format!("a{other}b");
            assert_eq!(words(&text).collect::<Vec<_>>(), [text.as_str()]);
            assert_eq!(trim(&format!("{other}a{other}")), format!("{other}a{other}"));
        }
        assert_eq!(first_word("  autocheck  autochk *"), Some(("autocheck", "autochk *")));
        assert_eq!(first_word(" \t"), None);
    }

    #[test]
    fn case_is_folded_one_letter_to_one() {
        assert!(same("AUTOCHK", "autochk") && same("Ünï", "üNÏ") && same("Ω", "ω"));
        for (a, b) in [("\u{212a}", "k"), ("\u{17f}", "s"), ("\u{130}", "i"), ("ß", "ss"), ("ﬀ", "ff"), ("a", "ab")]
        {
            assert!(!same(a, b) && !same(b, a), "{a} {b}");
        }
        // NT folds UTF-16 units, and has none of the letters that take two.
        assert!(!same("\u{10428}", "\u{10400}"));
        assert_eq!(lower("\u{212a}\u{130}ÄA"), "\u{212a}\u{130}äa");
    }

    #[test]
    fn what_is_no_plain_text_is_shown_escaped() {
        assert_eq!(escaped("a\u{a0}b\u{3000}", 9), "a\\u{a0}b\\u{3000}");
        assert_eq!(escaped("abc", 2), "ab…");
    }
}
