//! Security identifiers.

/// The bytes of a SID in text form (`_SID`: revision, count, 6 bytes of authority big-endian, 32-bit parts little-endian; MS-DTYP 2.4.2.2).
///
/// # Panics
/// When the text is no SID.
#[must_use]
pub fn to_bytes(text: &str) -> Vec<u8> {
    let parts: Vec<u64> =
        text.strip_prefix("S-").expect("a SID").split('-').map(|p| p.parse().expect("a number")).collect();
    let mut out = vec![parts[0] as u8, (parts.len() - 2) as u8];
    out.extend_from_slice(&parts[1].to_be_bytes()[2..]);
    parts[2..].iter().for_each(|&p| out.extend_from_slice(&(p as u32).to_le_bytes()));
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn administrators() {
        // MS-DTYP 2.4.2.4, BUILTIN_ADMINISTRATORS.
        assert_eq!(super::to_bytes("S-1-5-32-544"), [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0]);
    }
}
