//! How a report was made.

use serde::Serialize;

/// How a report was made: what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Run {
    /// The arguments of the program, its name left out.
    pub arguments: Vec<String>,
    /// The image, as it was named.
    pub image: Option<String>,
    /// Its SHA-256, where that was asked for: 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// All of memory was searched.
    pub scan: bool,
}

/// A command to paste into a shell. Words are put in quotes where a shell would take them apart; double ones where that is
/// enough, because every shell knows them.
#[must_use]
pub fn command(words: &[&str]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:=@%+,-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if !word.ends_with('\\') && !word.contains(['"', '$', '`', '!']) {
        format!("\"{word}\"")
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_gives_the_words_back() {
        for words in [
            &["plain", "with space", r"HKLM\SYSTEM\Control\Session Manager"][..],
            &["", "it's", "$HOME", "`id`", "a\"b", r"ends\", "*", ";rm -rf /", "!x", "~", "(", "#"],
        ] {
            let script = format!("for w in {}; do printf '%s\\0' \"$w\"; done", command(words));
            let Ok(output) = std::process::Command::new("sh").args(["-c", &script]).output() else {
                println!("skipped: there is no sh");
                return;
            };
            let given = String::from_utf8(output.stdout).unwrap();
            assert_eq!(given.split_terminator('\0').collect::<Vec<_>>(), words, "{script}");
        }
    }
}
