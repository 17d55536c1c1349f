//! Reading images without the forge.

/// A 64-bit number at a physical address.
pub fn u64_at(image: &[u8], at: u64) -> u64 {
    u64::from_le_bytes(image[at as usize..at as usize + 8].try_into().expect("8 bytes"))
}

/// A page walk as the Intel manual writes it.
pub fn translate(image: &[u8], root: u64, va: u64) -> Option<u64> {
    let mut table = root;
    for shift in [39, 30, 21, 12] {
        let entry = u64_at(image, table + (va >> shift & 0x1ff) * 8);
        if entry & 1 == 0 {
            return None;
        }
        let base = entry & 0x000f_ffff_ffff_f000;
        if shift == 12 || shift < 39 && entry & 0x80 != 0 {
            let span = 1u64 << shift;
            return Some((base & !(span - 1)) + va % span);
        }
        table = base;
    }
    None
}
