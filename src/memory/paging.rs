//! x64 page tables: entry bits as data, and the walk.
//!
//! Bits of a present entry: Intel SDM volume 3, 4.5. Bits of a not-present one: `_MMPTE_TRANSITION` and `_MMPTE_SOFTWARE` in
//! the kernel's symbols.

use super::fault::{EntryLevel, Fault};
use crate::image::PhysicalMemory;
use crate::{PhysicalAddress, VirtualAddress};

const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
/// Not present: `_MMPTE_TRANSITION.SwizzleBit`.
const SWIZZLE: u64 = 1 << 4;
/// Not present: `Prototype`.
const PROTOTYPE: u64 = 1 << 10;
/// Not present: `Transition`.
const TRANSITION: u64 = 1 << 11;
/// Bits 12 to 51 of a present entry: the address of a page or table.
const FRAME: u64 = 0x000f_ffff_ffff_f000;
/// Not present: bits 32 to 63, `PageFileHigh`.
const PAGE_FILE_HIGH: u64 = 0xffff_ffff_0000_0000;

/// One level of the walk.
struct Level {
    name: EntryLevel,
    /// Lowest bit of the address that indexes this table.
    shift: u32,
    /// Whether an entry may map a page by itself.
    leaf: bool,
}

/// The four levels, top down.
const LEVELS: [Level; 4] = [
    Level { name: EntryLevel::Pml4e, shift: 39, leaf: false },
    Level { name: EntryLevel::Pdpte, shift: 30, leaf: true },
    Level { name: EntryLevel::Pde, shift: 21, leaf: true },
    Level { name: EntryLevel::Pte, shift: 12, leaf: true },
];

/// Where a virtual address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Translation {
    /// The physical address.
    pub physical: PhysicalAddress,
    /// Size of the page in bytes, as a power of two.
    pub shift: u32,
}

/// True where bits 48 to 63 repeat bit 47.
pub(super) const fn is_canonical(at: VirtualAddress) -> bool {
    let top = at.0 >> 47;
    top == 0 || top == 0x1_ffff
}

/// The address with bits 48 to 63 as bit 47.
pub(super) const fn canonical(at: u64) -> VirtualAddress {
    VirtualAddress((at.cast_signed().wrapping_shl(16) >> 16).cast_unsigned())
}

/// Reads the entry at `at`.
pub(super) fn entry(memory: &dyn PhysicalMemory, at: PhysicalAddress) -> Option<u64> {
    let mut bytes = [0u8; 8];
    (memory.read(at, &mut bytes) == 8).then(|| u64::from_le_bytes(bytes))
}

/// Undoes what Windows 10 1803 and later do to entries that are not present (`MiSwizzleInvalidPte`, against speculation on
/// them): bits of `MiState.Hardware.InvalidPteMask` are set, and where they were set already, the swizzle bit is instead.
const fn unswizzle(entry: u64, invalid_pte_mask: u64) -> u64 {
    if entry & SWIZZLE == 0 { entry & !invalid_pte_mask } else { entry }
}

/// `_MMPTE_PROTOTYPE.ProtoAddress`, bits 16 to 63, sign-extended; all ones from bit 32 on means that only the VAD knows it.
const fn prototype_address(entry: u64) -> Option<VirtualAddress> {
    const VAD_KNOWS: u64 = 0xffff_ffff_0000;
    let address = entry >> 16;
    if address == VAD_KNOWS { None } else { Some(VirtualAddress((entry.cast_signed() >> 16).cast_unsigned())) }
}

/// What one entry says.
pub(super) enum Step {
    /// Go on in the table there.
    Table(PhysicalAddress),
    /// The page is there.
    Page(PhysicalAddress),
    /// The page is shared, and the entry at this address in kernel memory knows where it is.
    Prototype(VirtualAddress),
    /// The walk ends.
    Fault(Fault),
}

/// Reads one entry's meaning. `at` is the address being translated.
pub(super) fn step(entry: u64, level: usize, at: VirtualAddress, invalid_pte_mask: u64) -> Step {
    let Some(Level { name, shift, leaf }) = LEVELS.get(level) else {
        return Step::Fault(Fault::NotPresent { at, level: EntryLevel::Pte, entry });
    };
    let last = *name == EntryLevel::Pte;
    if entry & PRESENT != 0 {
        let frame = PhysicalAddress(entry & FRAME);
        if last {
            return Step::Page(frame);
        }
        if *leaf && entry & LARGE != 0 {
            // Low frame bits of a large page are flags (PAT) or reserved.
            return Step::Page(PhysicalAddress(frame.0 & !((1u64 << shift).wrapping_sub(1))));
        }
        return Step::Table(frame);
    }
    if entry == 0 {
        return Step::Fault(Fault::NotPresent { at, level: *name, entry });
    }
    let plain = unswizzle(entry, invalid_pte_mask);
    if entry & PROTOTYPE != 0 {
        return match prototype_address(plain) {
            Some(prototype) if last && prototype.is_kernel() => Step::Prototype(prototype),
            _ => Step::Fault(Fault::Prototype { at, entry }),
        };
    }
    if entry & TRANSITION != 0 {
        // The page left the working set and is still in memory, on the standby or modified list.
        let frame = PhysicalAddress(plain & FRAME);
        return if last { Step::Page(frame) } else { Step::Table(frame) };
    }
    if plain & PAGE_FILE_HIGH != 0 {
        return Step::Fault(Fault::PagedOut { at, level: *name, entry });
    }
    Step::Fault(Fault::DemandZero { at, entry })
}

/// The table that a present entry leads to. `None`: it maps a page, or nothing.
pub(super) fn table_below(entry: u64, level: usize) -> Option<PhysicalAddress> {
    let deepest = level.saturating_add(1) >= LEVELS.len();
    let table = !deepest && entry & PRESENT != 0 && (level == 0 || entry & LARGE == 0);
    table.then_some(PhysicalAddress(entry & FRAME))
}

/// The frame bits, as they stand in it, of an entry whose page is in transition and in which no bit was swizzled.
pub(super) const fn transition_frame(entry: u64) -> Option<u64> {
    let kind = entry & (PRESENT | SWIZZLE | PROTOTYPE | TRANSITION);
    if kind == TRANSITION { Some(entry & FRAME) } else { None }
}

/// Walks the tables from `root` to the page that holds `at`.
pub(super) fn translate(
    memory: &dyn PhysicalMemory,
    root: PhysicalAddress,
    at: VirtualAddress,
    invalid_pte_mask: u64,
) -> Result<Translation, Fault> {
    walk(memory, root, at, invalid_pte_mask, true)
}

/// The page that a prototype entry in kernel memory leads to. The entry's own page is looked up without following further
/// prototypes: hostile ones could lead to one another.
fn shared_page(
    memory: &dyn PhysicalMemory,
    root: PhysicalAddress,
    at: VirtualAddress,
    prototype: VirtualAddress,
    entry: u64,
    invalid_pte_mask: u64,
) -> Result<PhysicalAddress, Fault> {
    let unknown = Fault::Prototype { at, entry };
    let place = walk(memory, root, prototype, invalid_pte_mask, false).map_err(|_| unknown)?.physical;
    let shared = self::entry(memory, place).ok_or(unknown)?;
    match step(shared, LEVELS.len().wrapping_sub(1), at, invalid_pte_mask) {
        Step::Page(page) => Ok(page),
        Step::Fault(fault @ (Fault::PagedOut { .. } | Fault::DemandZero { .. })) => Err(fault),
        // In a prototype entry the prototype bit means a subsection: the page is still in its file.
        Step::Table(_) | Step::Prototype(_) | Step::Fault(_) => Err(unknown),
    }
}

fn walk(
    memory: &dyn PhysicalMemory,
    root: PhysicalAddress,
    at: VirtualAddress,
    invalid_pte_mask: u64,
    follow: bool,
) -> Result<Translation, Fault> {
    if !is_canonical(at) {
        return Err(Fault::NonCanonical { at });
    }
    let mut table = root;
    for (index, level) in LEVELS.iter().enumerate() {
        let slot = table.wrapping_add(((at.0 >> level.shift) & 0x1ff).wrapping_mul(8));
        let entry = entry(memory, slot).ok_or(Fault::NotInImage { at, needed: slot, level: Some(level.name) })?;
        match step(entry, index, at, invalid_pte_mask) {
            Step::Table(next) => table = next,
            Step::Page(page) => {
                let within = at.0 & (1u64 << level.shift).wrapping_sub(1);
                return Ok(Translation { physical: page.wrapping_add(within), shift: level.shift });
            }
            Step::Prototype(prototype) if follow => {
                let page = shared_page(memory, root, at, prototype, entry, invalid_pte_mask)?;
                return Ok(Translation { physical: page.wrapping_add(at.page_offset()), shift: level.shift });
            }
            Step::Prototype(_) => return Err(Fault::Prototype { at, entry }),
            Step::Fault(fault) => return Err(fault),
        }
    }
    // The last level is a leaf: its step is a page or a fault.
    Err(Fault::NotPresent { at, level: EntryLevel::Pte, entry: 0 })
}

/// Lowest bit of the address that indexes the table of this level (0: PML4).
pub(super) fn shift(level: usize) -> Option<u32> {
    LEVELS.get(level).map(|level| level.shift)
}
