//! Images in several files: the parts beside the first.

use super::source::Source;
use crate::Warning;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Parts of one image at most: three digits count no further.
const MAX_PARTS: usize = 1000;

/// Ends of the names of first parts, as split tools give them.
const FIRST: [&str; 4] = ["001", "000", "aa", "aaa"];

/// All parts of an image of which the first is named, in their order. One alone, or none: it is not split.
pub(super) fn parts_beside(path: &Path) -> Vec<PathBuf> {
    let mut parts = vec![path.to_owned()];
    let first = path.extension().and_then(OsStr::to_str).filter(|end| FIRST.contains(end));
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
        assert_eq!(successor("009").as_deref(), Some("010"));
        assert_eq!(successor("az").as_deref(), Some("ba"));
        assert_eq!(successor("999"), None);
    }
}
