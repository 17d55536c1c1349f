//! How a report was made.

use super::Report;
use crate::Shown;
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
    /// The options that it took to find the kernel and its symbols, page files left out: commands that are printed repeat them.
    #[serde(skip)]
    pub options: Vec<String>,
    /// No command can name the image: its name is no text, or what signs its address was left out.
    #[serde(skip)]
    pub unnamed: bool,
}

impl Report {
    /// The image as a word of a command. `None`: there is none, or no command would lead to it.
    pub(crate) fn image_word(&self) -> Option<String> {
        self.run.image.as_deref().filter(|_| !self.run.unnamed).map(path_word)
    }

    /// That no command is printed that reads the image, where that is so.
    pub(crate) fn without_commands(&self) -> Option<&'static str> {
        let named = || self.image_word().is_some_and(|image| leads(&command_on(self, &[&image])));
        (self.run.image.is_some() && !named()).then_some(
            "No commands are printed that read the image: the name of it, or of a file that is read with it, cannot be written as text. \
             Give them a link with a plain name.",
        )
    }
}

/// A path as a word of a command, where one that begins with `-` would be an option.
#[must_use]
pub fn path_word(path: &str) -> String {
    if path.starts_with('-') { format!("./{path}") } else { path.to_owned() }
}

/// Whether a command says what is meant: a name that is no text was lost.
pub(crate) fn leads(command: &str) -> bool {
    !command.contains(char::REPLACEMENT_CHARACTER)
}

/// A command to paste into a shell. Words are put in quotes where a shell would take them apart; double ones where that is
/// enough, because every shell knows them.
#[must_use]
pub fn command(words: &[&str]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// The same for a command that reads the image of a report: with what it took to find its kernel and symbols.
#[must_use]
pub(crate) fn command_in(report: &Report, words: &[&str]) -> String {
    let options = report.run.options.iter().map(String::as_str);
    command(&words.iter().copied().chain(options).collect::<Vec<_>>())
}

/// The same with the page files that were read with the image too: for what may lie in them.
#[must_use]
pub(crate) fn command_on(report: &Report, words: &[&str]) -> String {
    let files =
        report.system.kernel.iter().flat_map(|kernel| &kernel.page_files).filter_map(|file| file.file.as_deref());
    let files: Vec<String> = files.map(path_word).collect();
    let options = files.iter().flat_map(|file| ["--pagefile", file]);
    command_in(report, &words.iter().copied().chain(options).collect::<Vec<_>>())
}

/// The same for a command about one process: who is found by a search of all memory alone is found by one again.
#[must_use]
pub(crate) fn command_about(report: &Report, pid: u64, words: &[&str]) -> String {
    let items = &report.system.processes.items;
    let mut of_pid = items.iter().filter(|process| process.pid.value() == Some(&pid)).peekable();
    let searched = report.run.scan
        && of_pid.peek().is_some()
        && of_pid.all(|process| process.sources.iter().all(|source| source.by_scan()));
    command_on(report, &words.iter().copied().chain(searched.then_some("--scan")).collect::<Vec<_>>())
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:=@%+,-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if leads(word) && Shown(word).to_string() != word {
        // What would be shown in another way, control characters and letters that look Latin: byte by byte, as most shells take it.
        let byte = |byte: u8| match byte {
            b' '..=b'~' if !matches!(byte, b'\'' | b'\\') => char::from(byte).to_string(),
            other => format!("\\x{other:02x}"),
        };
        format!("$'{}'", word.bytes().map(byte).collect::<String>())
    } else if !word.ends_with('\\') && !word.contains(['"', '$', '`', '!']) {
        format!("\"{word}\"")
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{KernelInfo, PageFileInfo};

    #[test]
    fn page_files_that_were_read_are_given_again() {
        let file =
            |number, file: Option<&str>| PageFileInfo { number, file: file.map(str::to_owned), ..Default::default() };
        let page_files = vec![file(0, Some("copies/pagefile.sys")), file(1, None), file(2, Some("swap file.sys"))];
        let mut report = Report::new(crate::System::default());
        let words = ["ntmem", "show", "4", "mem.raw"];
        assert_eq!(command_on(&report, &words), "ntmem show 4 mem.raw");
        report.system.kernel = Some(KernelInfo { page_files, ..KernelInfo::default() });
        assert_eq!(
            command_on(&report, &words),
            "ntmem show 4 mem.raw --pagefile copies/pagefile.sys --pagefile \"swap file.sys\""
        );
        report.run.options = vec!["--symbols".into(), "my symbols".into()];
        assert_eq!(
            command_on(&report, &words),
            "ntmem show 4 mem.raw --pagefile copies/pagefile.sys --pagefile \"swap file.sys\" --symbols \"my symbols\""
        );
        assert_eq!(command_in(&report, &words), "ntmem show 4 mem.raw --symbols \"my symbols\"");
    }

    /// What is no plain text is written so that a shell gives it back, and shown as it is written.
    #[test]
    fn names_that_deceive_are_given_back() {
        let words = ["nl\nx.raw", "\u{1b}[2J.raw", "sm\u{455}s.raw", "it's \\ \u{202e}x", "\u{7f}7"];
        let written = command(&words);
        assert_eq!(Shown(&written).to_string(), written);
        let script = format!("for w in {written}; do printf '%s\\0' \"$w\"; done");
        let Ok(output) = std::process::Command::new("bash").args(["-c", &script]).output() else {
            println!("skipped: there is no bash");
            return;
        };
        let given = String::from_utf8(output.stdout).unwrap();
        assert_eq!(given.split_terminator('\0').collect::<Vec<_>>(), words, "{script}");
    }

    /// A command that reads nothing is worse than none.
    #[test]
    fn names_that_are_no_text_are_in_no_command() {
        let mut report = Report::new(crate::System::default());
        report.run.image = Some("-x.raw".into());
        assert_eq!(report.image_word().as_deref(), Some("./-x.raw"));
        assert_eq!(report.without_commands(), None);
        report.run.options = vec!["--symbols".into(), "s\u{fffd}".into()];
        assert!(report.without_commands().is_some());
        report.run.options.clear();
        report.run.unnamed = true;
        assert_eq!(report.image_word(), None);
        assert!(report.without_commands().is_some());
    }

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
