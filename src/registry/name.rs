//! Names of keys and values: how they are compared, and the hashes that subkey lists keep of them.

use crate::upcase::upcase;

/// True where the kernel takes both for the same name.
#[must_use]
pub(super) fn same(a: &str, b: &str) -> bool {
    a == b || a.chars().map(upcase).eq(b.chars().map(upcase))
}

/// The name in the form in which equal names are equal.
#[must_use]
pub(super) fn folded(name: &str) -> String {
    name.chars().map(upcase).collect()
}

/// What a subkey list says of a subkey's name, without reading the subkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// `li`: nothing.
    None,
    /// `lf`: the first four characters.
    Start([u8; 4]),
    /// `lh`: the hash of the whole name.
    Hash(u32),
}

impl Hint {
    /// False where the hint rules out that the subkey has this name. Names beyond ASCII are never ruled out.
    pub(super) fn may_be(self, name: &str) -> bool {
        if !name.is_ascii() {
            return true;
        }
        match self {
            Self::None => true,
            // Zeros stand for a name that is not kept in bytes.
            Self::Start([0, ..]) => true,
            Self::Start(start) => {
                let mut wanted = [0u8; 4];
                for (to, from) in wanted.iter_mut().zip(name.bytes()) {
                    *to = from;
                }
                wanted.eq_ignore_ascii_case(&start)
            }
            Self::Hash(hash) => hash == name_hash(name),
        }
    }
}

/// The hash in `lh` lists: each UTF-16 unit of the name in upper case is added to 37 times what was there.
fn name_hash(name: &str) -> u32 {
    let mut units = [0u16; 2];
    name.chars()
        .map(upcase)
        .flat_map(|c| c.encode_utf16(&mut units).to_vec())
        .fold(0u32, |hash, unit| hash.wrapping_mul(37).wrapping_add(u32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_as_the_kernel_does() {
        assert!(same("Session Manager", "SESSION MANAGER"));
        assert!(same("Ärger", "äRGER"));
        // Kelvin sign, dotless i, sharp s: no case of k, i, ss.
        assert!(!same("\u{212a}ey", "key"));
        assert!(!same("\u{131}", "I"));
        assert!(!same("ß", "SS"));
        assert!(!same("a", "ab"));
    }

    #[test]
    fn hints_rule_out() {
        // 'A' 65, 'B' 66: 65 * 37 + 66.
        assert!(Hint::Hash(2471).may_be("ab"));
        assert!(!Hint::Hash(2471).may_be("ac"));
        assert!(Hint::Start(*b"Sess").may_be("session manager"));
        assert!(!Hint::Start(*b"Sess").may_be("Ses"));
        assert!(Hint::Start(*b"ab\0\0").may_be("AB"));
        assert!(Hint::Start([0; 4]).may_be("anything"));
        assert!(Hint::Hash(1).may_be("ä"));
    }
}
