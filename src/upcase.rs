//! Letters as NT folds them: its table maps one UTF-16 unit to one, and nothing beyond ASCII to ASCII.

/// A letter as the kernel compares it.
pub(crate) fn upcase(c: char) -> char {
    one_letter(c, c.to_uppercase())
}

/// The small form of a letter, where the kernel takes both for the same.
pub(crate) fn downcase(c: char) -> char {
    one_letter(c, c.to_lowercase())
}

/// What `c` becomes, if that is one letter of one unit on the same side of ASCII; else itself.
fn one_letter(c: char, mut to: impl Iterator<Item = char>) -> char {
    match (to.next(), to.next()) {
        (Some(other), None) if other.is_ascii() == c.is_ascii() && c.len_utf16() == 1 => other,
        _ => c,
    }
}
