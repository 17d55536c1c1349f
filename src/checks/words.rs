//! Texts of the kernel and the registry, compared as Windows compares them.

/// What is left of `text` after `prefix`, compared as Windows does.
pub(super) fn strip<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let mut rest = text.chars();
    for expected in prefix.chars() {
        if !same_char(rest.next()?, expected) {
            return None;
        }
    }
    Some(rest.as_str())
}

/// Equal but for case. A letter outside ASCII never equals one inside: Windows' table keeps them apart, Unicode's folding
/// would take U+017F for an S.
pub(super) fn same(a: &str, b: &str) -> bool {
    strip(a, b).is_some_and(str::is_empty)
}

fn same_char(a: char, b: char) -> bool {
    a.eq_ignore_ascii_case(&b) || (!a.is_ascii() && !b.is_ascii() && a.to_uppercase().eq(b.to_uppercase()))
}
