//! How a report was made.

use super::Report;
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
    let options = files.flat_map(|file| ["--pagefile", file]);
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
