//! Images in several files: the parts beside the first.

use super::source::Source;
use crate::Warning;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Parts of one image at most: three digits count no further.
const MAX_PARTS: usize = 1000;

/// Whether a name ends as split tools end that of a first part: `001`, `000`, `0001`; `aa`, `aaa`; `00`.
fn is_first(end: &str) -> bool {
    let number = || {
        end.len() <= MAX_DIGITS && end.bytes().all(|byte| byte.is_ascii_digit()) && matches!(end.parse(), Ok(0u32 | 1))
    };
    match end.len() {
        // Two digits that begin at one end other names than those of parts.
        2 => matches!(end, "00" | "aa"),
        3 => end == "aaa" || number(),
        _ => end.len() > 3 && number(),
    }
}

/// Digits of a part's number at most.
const MAX_DIGITS: usize = 6;

/// All parts of an image of which the first is named, in their order. One alone, or none: it is not split.
pub(super) fn parts_beside(path: &Path) -> Vec<PathBuf> {
    let mut parts = vec![path.to_owned()];
    let first = path.extension().and_then(OsStr::to_str).filter(|end| is_first(end));
    // `split` puts its letters behind the name without a point: xaa.
    let Some(mut end) = first.map(str::to_owned) else { return parts };
    while parts.len() < MAX_PARTS {
        let Some(next) = successor(&end) else { break };
        let file = path.with_extension(&next);
        if !file.is_file() {
            break;
        }
        parts.push(file);
        end = next;
    }
    parts
}

/// Names behind a missing part that are tried.
const LOOKED_BEHIND: usize = 16;

/// What is to be said if a part is not there, and one behind it is.
pub(super) fn gap_behind(last: &Path) -> Option<Warning> {
    let missing = successor(last.extension()?.to_str()?)?;
    let mut end = missing.clone();
    let later = std::iter::from_fn(|| {
        end = successor(&end)?;
        Some(last.with_extension(&end))
    });
    let later = later.take(LOOKED_BEHIND).find(|path| path.is_file())?;
    let missing = last.with_extension(missing);
    Some(Warning::new(
        "image",
        format!(
            "the part {} is missing, and {} is there: what lies in them and behind is not read",
            missing.display(),
            later.display()
        ),
    ))
}

/// What is to be said of a file that may be a later part, if the first is beside it and no kernel is found.
pub(super) fn first_beside(path: &Path) -> Option<String> {
    let end = path.extension()?.to_str()?;
    let firsts = ["0", "1", "a"].map(|last| {
        let fill = if last == "a" { "a" } else { "0" };
        format!("{}{last}", fill.repeat(end.len().saturating_sub(1)))
    });
    let alike = |first: &&String| end != first.as_str() && (is_first(first) && !is_first(end) && same_kind(first, end));
    let first = firsts.iter().filter(alike).map(|first| path.with_extension(first)).find(|path| path.is_file())?;
    Some(format!(
        "It may be a later part of a split image: {} is beside it. Name that one, the others are found",
        first.display()
    ))
}

/// Both are numbers, or both are letters.
fn same_kind(one: &str, other: &str) -> bool {
    let all = |text: &str, is: fn(&u8) -> bool| text.bytes().all(|byte| is(&byte));
    [u8::is_ascii_digit as fn(&u8) -> bool, u8::is_ascii_lowercase].into_iter().any(|is| all(one, is) && all(other, is))
}

/// The next number or the next letters of the same length.
fn successor(end: &str) -> Option<String> {
    let mut bytes = end.as_bytes().to_vec();
    for byte in bytes.iter_mut().rev() {
        match byte {
            b'9' => *byte = b'0',
            b'z' => *byte = b'a',
            _ => {
                *byte = byte.saturating_add(1);
                return String::from_utf8(bytes).ok();
            }
        }
    }
    None
}

/// What is odd about parts: all have one length, and the last may be shorter.
pub(super) fn odd_parts(files: &[PathBuf], parts: &[Source]) -> Vec<Warning> {
    let Some(length) = parts.first().map(|part| part.len()) else { return Vec::new() };
    let odd = parts.split_last().into_iter().flat_map(|(last, others)| {
        let others = others.iter().map(move |part| part.len() != length);
        others.chain([last.len() > length])
    });
    let named = files.iter().zip(odd).filter(|(_, odd)| *odd).map(|(file, _)| {
        let message = format!(
            "the part {} is not as long as the first one: is it whole, and are the parts in order? What follows it may be misplaced",
            file.display()
        );
        Warning::new("image", message)
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_up_to_the_first_that_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["m.raw.001", "m.raw.002", "m.raw.003", "m.raw.005", "x.aa", "x.ab", "y.009", "y.010"] {
            std::fs::write(at(name), b"x").unwrap();
        }
        assert_eq!(parts_beside(&at("m.raw.001")), ["m.raw.001", "m.raw.002", "m.raw.003"].map(at));
        assert_eq!(parts_beside(&at("x.aa")), ["x.aa", "x.ab"].map(at));
        assert_eq!(parts_beside(&at("m.raw.002")), [at("m.raw.002")], "it is no first part");
        let gap = gap_behind(&at("m.raw.003")).unwrap().message;
        assert!(gap.contains("m.raw.004 is missing") && gap.contains("m.raw.005 is there"), "{gap}");
        assert!(gap_behind(&at("x.ab")).is_none());
        assert!(first_beside(&at("m.raw.003")).unwrap().contains("m.raw.001 is beside it"));
        assert!(first_beside(&at("x.ab")).unwrap().contains("x.aa"));
        for alone in ["m.raw.001", "x.aa", "y.010", "m.raw"] {
            assert_eq!(first_beside(&at(alone)), None, "{alone}");
        }
        let firsts = ["001", "000", "0001", "00", "aa", "aaa"];
        assert!(firsts.iter().all(|end| is_first(end)));
        assert!(!["01", "002", "ab", "raw", "1", "0000000001", ""].iter().any(|end| is_first(end)));
        assert_eq!(successor("009").as_deref(), Some("010"));
        assert_eq!(successor("az").as_deref(), Some("ba"));
        assert_eq!(successor("999"), None);
    }
}
