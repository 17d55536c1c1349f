//! x64 with five levels of page tables (Intel SDM volume 3, 4.5; CR4.LA57), for which Windows has a kernel of its own,
//! `ntkrla57.exe`.

use super::{AMD64, Architecture, Level};
use crate::memory::fault::EntryLevel;

/// x64 with 57-bit addresses.
pub static LA57: Architecture = Architecture {
    name: "la57",
    address_bits: 57,
    levels: &[
        Level { name: EntryLevel::Pml5e, shift: 48, leaf: false },
        Level { name: EntryLevel::Pml4e, shift: 39, leaf: false },
        Level { name: EntryLevel::Pdpte, shift: 30, leaf: true },
        Level { name: EntryLevel::Pde, shift: 21, leaf: true },
        Level { name: EntryLevel::Pte, shift: 12, leaf: true },
    ],
    pointer_bytes: AMD64.pointer_bytes,
    entries: AMD64.entries,
    present: AMD64.present,
    large: AMD64.large,
    frame: AMD64.frame,
};
