//! One line of a list of programs that smss.exe runs: `[autocheck|async|debug] image [arguments]`.

use super::boot_tools::{FORMATTER, KEYWORDS, SERVICING_TOOLS, VENDOR_TOOLS, VOLUME_TOOLS, VendorTool};
use super::keys::Keys;
use crate::checks::places::{Place, path, place};
use crate::checks::rules::resemblance::distance;
use crate::checks::words::{first_word, lower, same, trim, words};

/// A line in parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BootEntry<'t> {
    /// The whole line.
    pub(super) text: &'t str,
    pub(super) keyword: Option<&'t str>,
    /// There are several keywords, or the image is in quotes.
    pub(super) odd: bool,
    /// Path, or a bare name, which means System32. Empty: there is none.
    pub(super) image: &'t str,
    pub(super) arguments: &'t str,
}

/// What a line is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// As Windows itself writes it.
    Stock,
    /// A program of Windows' own in a form that it is not known to be written in.
    OddForm,
    /// autofmt, which formats a volume.
    Formats,
    /// poqexec or setupcl.
    Servicing,
    /// A boot program of a vendor, from where such are.
    Vendor(&'static VendorTool),
    /// Named almost as autochk, or made to look like a line of Windows.
    LookAlike,
    /// Anything else.
    Foreign,
}

/// Longest stem that is compared with autochk, letter by letter.
const LONGEST: usize = 12;

impl<'t> BootEntry<'t> {
    pub(super) fn read(text: &'t str) -> Self {
        let mut rest = trim(text);
        let (mut keyword, mut odd) = (None, false);
        while let Some((word, after)) = first_word(rest) {
            let is_keyword = KEYWORDS.iter().any(|known| same(known, word));
            // A second autocheck is a program of that name.
            let again = keyword.is_some_and(|before| same(before, word));
            if !is_keyword || again || after.is_empty() {
                break;
            }
            odd = keyword.is_some();
            keyword = Some(word);
            rest = after;
        }
        let odd = odd || rest.starts_with('"');
        let (image, arguments) = image(rest);
        Self { text, keyword, odd, image, arguments }
    }

    /// The image's name, lower case, without extension.
    pub(super) fn stem(&self) -> String {
        let name = lower(self.image.rsplit(['\\', '/']).next().unwrap_or(self.image));
        name.strip_suffix(".exe").map(str::to_owned).unwrap_or(name)
    }

    pub(super) fn kind(&self, keys: &Keys<'_>) -> Kind {
        // No line of Windows has letters outside ASCII. What looks like a blank in one is a letter to smss.exe.
        if !self.text.is_ascii() {
            return if self.looks_like_autochk() { Kind::LookAlike } else { Kind::Foreign };
        }
        let stem = self.stem();
        let bare = !self.image.contains(['\\', '/', ':']);
        let in_system32 = || {
            bare || path(self.image)
                .is_some_and(|path| keys.case.root.holds(&path, &format!("\\System32\\{}", path.base_name())))
        };
        let is = |names: &[&str]| names.contains(&stem.as_str());
        if is(&VOLUME_TOOLS) && in_system32() {
            let autocheck = self.keyword.is_some_and(|word| same(word, "autocheck"));
            let as_windows = autocheck && !self.odd && self.has_usual_arguments();
            return if as_windows { Kind::Stock } else { Kind::OddForm };
        }
        // Windows looks for the very file where a name has its extension.
        if stem.strip_suffix(".exe").is_some_and(|stem| VOLUME_TOOLS.contains(&stem)) {
            return Kind::LookAlike;
        }
        if is(&[FORMATTER]) && in_system32() {
            return Kind::Formats;
        }
        if is(&SERVICING_TOOLS) && in_system32() {
            // The script says what is done: one that users can write makes the program theirs.
            let of_users = |word: &str| place(&keys.case.root, word) == Place::Writable;
            return if words(self.arguments).any(of_users) { Kind::Foreign } else { Kind::Servicing };
        }
        let installed = || bare || matches!(place(&keys.case.root, self.image), Place::System32 | Place::ProgramFiles);
        if let Some(tool) = VENDOR_TOOLS.iter().find(|tool| tool.stem == stem).filter(|_| installed()) {
            return Kind::Vendor(tool);
        }
        if stem.chars().count() <= LONGEST && (1..=2).contains(&distance(&stem, "autochk")) {
            return Kind::LookAlike;
        }
        Kind::Foreign
    }

    /// Whether the line reads like one with autochk, for somebody who takes every blank for a blank.
    fn looks_like_autochk(&self) -> bool {
        let close = |word: &str| {
            let stem = word.rsplit(['\\', '/']).next().unwrap_or(word);
            let stem = stem.strip_suffix(".exe").unwrap_or(stem);
            stem.chars().count() <= LONGEST && distance(stem, "autochk") <= 2
        };
        let is_blank =
            |c: char| c.is_whitespace() || matches!(c, '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
        lower(self.text).split(is_blank).any(close)
    }

    /// Switches, volumes, and the star that means all volumes. autochk has no argument that runs anything.
    fn has_usual_arguments(&self) -> bool {
        let usual =
            |word: &str| word == "*" || word.starts_with(['/', '-']) || word.starts_with("\\??\\") || is_volume(word);
        !self.arguments.is_empty() && words(self.arguments).all(usual)
    }
}

/// `C:`, `\DosDevices\C:`
fn is_volume(word: &str) -> bool {
    const NAMES: &str = "\\DosDevices\\";
    let rest = word.get(..NAMES.len()).filter(|start| same(start, NAMES)).and(word.get(NAMES.len()..)).unwrap_or(word);
    let mut chars = rest.chars();
    chars.next().is_some_and(|drive| drive.is_ascii_alphabetic()) && chars.as_str() == ":"
}

fn word_ends(word: &str, end: &str) -> bool {
    lower(word).ends_with(end)
}

/// The image and what follows it. A path may be in quotes, or have blanks up to its `.exe`.
fn image(text: &str) -> (&str, &str) {
    if let Some(quoted) = text.strip_prefix('"') {
        let (image, rest) = quoted.split_once('"').unwrap_or((quoted, ""));
        return (image, trim(rest));
    }
    let Some((word, rest)) = first_word(text) else { return ("", "") };
    let lower = lower(text);
    if word.contains('\\') && !word_ends(word, ".exe") {
        let end = lower.match_indices(".exe").map(|(at, found)| at.saturating_add(found.len()));
        let mut ends = end.filter(|end| lower.get(*end..).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')));
        if let Some((image, rest)) = ends.next().and_then(|end| text.split_at_checked(end)) {
            return (image, trim(rest));
        }
    }
    (word, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_line() {
        for (text, keyword, image, arguments) in [
            ("debug autocheck autochk *", Some("autocheck"), "autochk", "*"),
            ("autocheck autochk *", Some("autocheck"), "autochk", "*"),
            (" AutoCheck  AUTOCHK  /q /v * ", Some("AutoCheck"), "AUTOCHK", "/q /v *"),
            ("aswBoot.exe /M:1", None, "aswBoot.exe", "/M:1"),
            ("autocheck", None, "autocheck", ""),
            ("autocheck autocheck *", Some("autocheck"), "autocheck", "*"),
            ("async debug x", Some("debug"), "x", ""),
            ("\"C:\\Program Files\\a b\\x.exe\" /y", None, "C:\\Program Files\\a b\\x.exe", "/y"),
            ("\\??\\C:\\Program Files\\a\\x.exe /y z.exe", None, "\\??\\C:\\Program Files\\a\\x.exe", "/y z.exe"),
            ("\\??\\C:\\x y", None, "\\??\\C:\\x", "y"),
            ("", None, "", ""),
        ] {
            let odd =
                text.starts_with('"') || ["debug autocheck", "async debug"].iter().any(|two| text.starts_with(two));
            assert_eq!(BootEntry::read(text), BootEntry { text, keyword, odd, image, arguments }, "{text}");
        }
    }
}
