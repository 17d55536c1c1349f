//! x64 with four levels of page tables (Intel SDM volume 3, 4.5).

use super::{Architecture, Level};
use crate::memory::fault::EntryLevel;

/// x64 with 48-bit addresses.
pub static AMD64: Architecture = Architecture {
    name: "amd64",
    pointer_bytes: 8,
    address_bits: 48,
    levels: &[
        Level { name: EntryLevel::Pml4e, shift: 39, leaf: false },
        Level { name: EntryLevel::Pdpte, shift: 30, leaf: true },
        Level { name: EntryLevel::Pde, shift: 21, leaf: true },
        Level { name: EntryLevel::Pte, shift: 12, leaf: true },
    ],
    entries: 512,
    present: 1,
    large: 1 << 7,
    frame: 0x000f_ffff_ffff_f000,
};
