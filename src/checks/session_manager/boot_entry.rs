//! One line of a list of programs that smss.exe runs: `[autocheck|async|debug] image [arguments]`.

use super::facts;
use super::keys::Keys;
use crate::checks::places::{Place, path, place};
use crate::checks::rules::resemblance::distance;
use crate::checks::words::same;

/// A line in parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BootEntry<'t> {
    pub(super) keyword: Option<&'t str>,
    /// Path, or a bare name, which means System32. Empty: there is none.
    pub(super) image: &'t str,
    pub(super) arguments: &'t str,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As Windows itself writes it.
    Stock,
    /// A program of Windows' own in a form that it is not known to be written in.
    OddForm,
    /// poqexec or setupcl.
    Servicing,
    /// A boot program of a vendor, from where such are.
    Vendor,
    /// Named almost as autochk.
    LookAlike,
    /// Anything else.
    Foreign,
}

/// Longest stem that is compared with autochk, letter by letter.
const LONGEST: usize = 12;

impl<'t> BootEntry<'t> {
    pub(super) fn read(text: &'t str) -> Self {
        let mut rest = text.trim();
        let mut keyword = None;
        while let Some((word, after)) = first_word(rest) {
            let is_keyword = facts::KEYWORDS.iter().any(|known| same(known, word));
            // A second autocheck is a program of that name.
            let again = keyword.is_some_and(|before| same(before, word));
            if !is_keyword || again || after.is_empty() {
                break;
            }
            keyword = Some(word);
            rest = after;
        }
        let (image, arguments) = image(rest);
        Self { keyword, image, arguments }
    }

    /// The image's name, lower case, without extension.
    pub(super) fn stem(&self) -> String {
        let name = self.image.rsplit(['\\', '/']).next().unwrap_or(self.image).to_lowercase();
        name.strip_suffix(".exe").map(str::to_owned).unwrap_or(name)
    }

    pub(super) fn kind(&self, keys: &Keys<'_>) -> Kind {
        let stem = self.stem();
        let bare = !self.image.contains(['\\', '/', ':']);
        let in_system32 = || {
            bare || path(self.image)
                .is_some_and(|path| keys.case.root.holds(&path, &format!("\\System32\\{}", path.base_name())))
        };
        let is = |names: &[&str]| names.contains(&stem.as_str());
        if is(&facts::VOLUME_TOOLS) && in_system32() {
            let autocheck = self.keyword.is_some_and(|word| same(word, "autocheck"));
            return if autocheck && self.has_usual_arguments() { Kind::Stock } else { Kind::OddForm };
        }
        if is(&facts::SERVICING_TOOLS) && in_system32() {
            return Kind::Servicing;
        }
        let installed = || bare || matches!(place(&keys.case.root, self.image), Place::System32 | Place::ProgramFiles);
        if is(facts::VENDOR_TOOLS) && installed() {
            return Kind::Vendor;
        }
        if stem.chars().count() <= LONGEST && (1..=2).contains(&distance(&stem, "autochk")) {
            return Kind::LookAlike;
        }
        Kind::Foreign
    }

    /// Switches, volumes, and the star that means all volumes. autochk has no argument that runs anything.
    fn has_usual_arguments(&self) -> bool {
        let usual =
            |word: &str| word == "*" || word.starts_with(['/', '-']) || word.starts_with("\\??\\") || is_volume(word);
        !self.arguments.is_empty() && self.arguments.split_whitespace().all(usual)
    }
}

/// `C:`, `\DosDevices\C:`
fn is_volume(word: &str) -> bool {
    const NAMES: &str = "\\DosDevices\\";
    let rest = word.get(..NAMES.len()).filter(|start| same(start, NAMES)).and(word.get(NAMES.len()..)).unwrap_or(word);
    let mut chars = rest.chars();
    chars.next().is_some_and(|drive| drive.is_ascii_alphabetic()) && chars.as_str() == ":"
}

fn first_word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end)?;
    (!word.is_empty()).then(|| (word, rest.trim_start()))
}

/// The image and what follows it. A path may be in quotes, or have blanks up to its `.exe`.
fn image(text: &str) -> (&str, &str) {
    if let Some(quoted) = text.strip_prefix('"') {
        let (image, rest) = quoted.split_once('"').unwrap_or((quoted, ""));
        return (image, rest.trim_start());
    }
    let Some((word, rest)) = first_word(text) else { return ("", "") };
    let lower = text.to_ascii_lowercase();
    if word.contains('\\') && !word.to_ascii_lowercase().ends_with(".exe") {
        let end = lower.match_indices(".exe").map(|(at, found)| at.saturating_add(found.len()));
        let mut ends = end.filter(|end| lower.get(*end..).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')));
        if let Some((image, rest)) = ends.next().and_then(|end| text.split_at_checked(end)) {
            return (image, rest.trim_start());
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
            assert_eq!(BootEntry::read(text), BootEntry { keyword, image, arguments }, "{text}");
        }
    }
}
