//! What Windows keeps in page-table entries that are not present: `_MMPTE_PROTOTYPE`, `_MMPTE_TRANSITION`, `_MMPTE_SOFTWARE` and
//! `_MMPTE_SUBSECTION` in the kernel's symbols.

use crate::{PhysicalAddress, VirtualAddress};

/// `SwizzleBit` of all forms.
const SWIZZLE: u64 = 1 << 4;
/// `Prototype` of all forms.
const PROTOTYPE: u64 = 1 << 10;
/// `_MMPTE_TRANSITION.Transition`. In a prototype form the bit is `Combined`, and says nothing here.
const TRANSITION: u64 = 1 << 11;
/// `_MMPTE_TRANSITION.PageFrameNumber`, in the widest of its forms (20348 on).
const FRAME: u64 = 0x000f_ffff_ffff_f000;
/// `_MMPTE_SOFTWARE.PageFileHigh`.
const PAGE_FILE_HIGH: u64 = 0xffff_ffff_0000_0000;
/// `_MMPTE_PROTOTYPE.ProtoAddress` where only the VAD knows the prototype entry.
const VAD_KNOWS: u64 = 0xffff_ffff_0000;

/// Bits that may be in the mask. It lies beyond memory whatever the machine has, and x64 processors have 36 address bits at least, 52 at
/// most.
pub(crate) const MASK_BITS: std::ops::RangeInclusive<u32> = 35..=51;

/// How one kernel writes entries that are not present.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowsPte {
    /// `MiState.Hardware.InvalidPteMask`, before 1709 `MiInvalidPteMask`: bits that keep processors from speculating on the
    /// entry. `None`: it is not known, and only what does not depend on it is.
    pub invalid_pte_mask: Option<u64>,
    /// Where the number of a page file and that of a page in it stand. `None`: the symbols do not say.
    pub page_file: Option<PageFileBits>,
}

/// `_MMPTE_SOFTWARE.PageFileLow` and `PageFileHigh`, each by its lowest bit and its number of bits. The first moved between
/// updates of one build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageFileBits {
    /// The number of the page file.
    pub number: (u8, u8),
    /// The number of the page in it.
    pub index: (u8, u8),
}

impl Default for WindowsPte {
    fn default() -> Self {
        Self { invalid_pte_mask: Some(0), page_file: None }
    }
}

/// The bits of `entry` from `position` on.
fn bits(entry: u64, (position, length): (u8, u8)) -> u64 {
    let above = u64::BITS.saturating_sub(u32::from(length)).min(u64::BITS - 1);
    entry.wrapping_shr(u32::from(position)) & (u64::MAX >> above)
}

/// What an entry that is not present says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing at all.
    Zero,
    /// The page is shared: this entry of kernel memory has it, by the pointer with the mask undone and as it stands.
    Prototype([VirtualAddress; 2]),
    /// The page is shared, and the VAD knows its entry.
    AskVad,
    /// The page left the working set and is still in memory, on the standby or modified list.
    Transition(PhysicalAddress),
    /// The page is in a page file, or in the store that is numbered as one.
    PageFile { number: u32, index: u64 },
    /// The page is in a page file or in transition, and how this kernel writes that is not known.
    PagedOut,
    /// The page was promised, and would read as zeros.
    DemandZero,
}

impl WindowsPte {
    /// Undoes what Windows does to entries that are not present (`MiSwizzleInvalidPte`): the bits of the mask are set, and
    /// where they were set already, the swizzle bit is instead.
    const fn plain(&self, entry: u64) -> u64 {
        match self.invalid_pte_mask {
            Some(mask) if entry & SWIZZLE == 0 => entry & !mask,
            _ => entry,
        }
    }

    /// Whether an entry with a frame or a place is such as this kernel writes it: with the mask, or with the swizzle bit.
    pub(super) const fn is_written(&self, entry: u64) -> bool {
        match self.invalid_pte_mask {
            None => true,
            Some(mask) if entry & SWIZZLE == 0 => entry & mask == mask,
            Some(mask) => entry & mask != 0,
        }
    }

    /// Whether an entry may hold bits of a mask that is not known.
    const fn may_be_masked(&self, entry: u64) -> bool {
        let low = 1u64.wrapping_shl(*MASK_BITS.start()).wrapping_sub(1);
        self.invalid_pte_mask.is_none() && entry & SWIZZLE == 0 && entry & !low != 0
    }

    /// Reads an entry whose bit for *present* is clear.
    pub(super) fn form(&self, entry: u64) -> Form {
        if entry == 0 {
            return Form::Zero;
        }
        let plain = self.plain(entry);
        if entry & PROTOTYPE != 0 {
            // Whether the mask was set in pointers too is not known for sure: both readings are given.
            let pointer = |entry: u64| VirtualAddress((entry.cast_signed() >> 16).cast_unsigned());
            return if plain >> 16 == VAD_KNOWS || entry >> 16 == VAD_KNOWS || self.may_be_masked(entry) {
                Form::AskVad
            } else {
                Form::Prototype([pointer(plain), pointer(entry)])
            };
        }
        if self.may_be_masked(entry) {
            return Form::PagedOut;
        }
        if entry & TRANSITION != 0 {
            return Form::Transition(PhysicalAddress(plain & FRAME));
        }
        let Some(PageFileBits { number, index }) = self.page_file else {
            return if plain & PAGE_FILE_HIGH == 0 { Form::DemandZero } else { Form::PagedOut };
        };
        match (bits(plain, number), bits(plain, index)) {
            (0, 0) => Form::DemandZero,
            (number, index) => Form::PageFile { number: u32::try_from(number).unwrap_or(u32::MAX), index },
        }
    }

    /// Reads a prototype entry that is not present: there the prototype form means a `_SUBSECTION`, whose address this is.
    pub(super) fn subsection(&self, entry: u64) -> Option<VirtualAddress> {
        let address = VirtualAddress((self.plain(entry).cast_signed() >> 16).cast_unsigned());
        (entry & PROTOTYPE != 0).then_some(address)
    }
}

/// What an entry that is not present shows of the mask, by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The entry.
    pub entry: u64,
    /// It had bits of the mask before: then there is a mask, and they are among its bits.
    pub swizzled: bool,
    pub shown: Shown,
}

/// See [`Trace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A frame, with the mask in it.
    Frame(u64),
    /// A place in a page file, with the mask in it.
    Place,
    /// Nothing but whether there is a mask: all its bits are set.
    Ones,
}

/// What the entries of one table show, prototype entries too. Nothing, if most are such as no kernel writes: then the page is no table any
/// more.
pub(crate) fn traces_of_table(entries: &[[u8; 8]]) -> Vec<Trace> {
    let found: Vec<Trace> = entries.iter().filter_map(|entry| trace(u64::from_le_bytes(*entry))).collect();
    let odd = |trace: &&Trace| match trace.shown {
        // Frames have 40 bits, and page files less than 2^28 pages (1 TiB).
        Shown::Frame(_) => trace.entry >> 52 != 0,
        Shown::Place => trace.entry >> 60 != 0,
        Shown::Ones => false,
    };
    if found.iter().filter(odd).count().saturating_mul(2) > found.len() { Vec::new() } else { found }
}

/// See [`Trace`]. `None`: the entry shows nothing, or is no entry that is not present.
const fn trace(entry: u64) -> Option<Trace> {
    let shown = if entry & 1 != 0 {
        return None;
    } else if entry & PROTOTYPE != 0 {
        // Whether pointers are masked is not known for sure.
        if entry >> 16 != VAD_KNOWS {
            return None;
        }
        Shown::Ones
    } else if entry & TRANSITION != 0 {
        Shown::Frame(entry & FRAME)
    } else if entry & PAGE_FILE_HIGH != 0 {
        Shown::Place
    } else {
        return None;
    };
    Some(Trace { entry, swizzled: entry & SWIZZLE != 0, shown })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ptes(invalid_pte_mask: u64, number: u8) -> WindowsPte {
        let page_file = Some(PageFileBits { number: (number, 4), index: (32, 32) });
        WindowsPte { invalid_pte_mask: Some(invalid_pte_mask), page_file }
    }

    /// The worked examples of a machine whose mask is bit 45, number in bits 12 to 15.
    #[test]
    fn page_file_entries_with_a_mask() {
        let ptes = ptes(1 << 45, 12);
        let page = |number, index| Form::PageFile { number, index };
        assert_eq!(ptes.form(0x0000_3a2b_0000_2084), page(2, 0x1a2b));
        assert_eq!(ptes.form(0x0000_2483_0000_0084), page(0, 0x483));
        // The bit was set before: the swizzle bit says so.
        assert_eq!(ptes.form(0x0000_2483_0000_0094), page(0, 0x2483));
        assert_eq!(ptes.form(0x0000_2000_0123_4880), Form::Transition(PhysicalAddress(0x123_4000)));
        assert_eq!(ptes.form(0xffff_ffff_0000_04b0), Form::AskVad);
        assert_eq!(WindowsPte::default().form(0xffff_ffff_0000_04a0), Form::AskVad);
        let Form::Prototype([_, pointer]) = ptes.form(0x8a01_2345_6788_04b0) else { panic!() };
        assert_eq!(pointer, VirtualAddress(0xffff_8a01_2345_6788));
        assert_eq!(ptes.form(0x0000_2000_0000_0080), Form::DemandZero);
        assert_eq!(ptes.form(0), Form::Zero);
    }

    /// Where the mask is not known, what may hold bits of it says nothing; the swizzle bit says that there are none.
    #[test]
    fn a_mask_that_is_not_known() {
        let ptes = WindowsPte { invalid_pte_mask: None, ..ptes(0, 12) };
        assert_eq!(ptes.form(0x0000_2483_0000_0084), Form::PagedOut);
        assert_eq!(ptes.form(0x0000_2483_0000_0094), Form::PageFile { number: 0, index: 0x2483 });
        assert_eq!(ptes.form(0x0000_0003_0000_0084), Form::PageFile { number: 0, index: 3 });
        assert_eq!(ptes.form(0x0000_2000_0123_4880), Form::PagedOut);
        assert_eq!(ptes.form(0x0000_0000_0123_4880), Form::Transition(PhysicalAddress(0x123_4000)));
        assert_eq!(ptes.form(0x8a01_2345_6788_04a0), Form::AskVad);
        assert_eq!(ptes.form(0xffff_ffff_0000_04b0), Form::AskVad);
        assert_eq!(ptes.form(0x80), Form::DemandZero);
    }

    /// Kernels of one build number have the number in bits 1 to 4 or 12 to 15, by their updates.
    #[test]
    fn the_layout_tells_where_the_number_is() {
        let (old, new) = (ptes(0, 1), ptes(0, 12));
        let entry = 0x0000_0042_0000_1082;
        assert_eq!(old.form(entry), Form::PageFile { number: 1, index: 0x42 });
        assert_eq!(new.form(entry), Form::PageFile { number: 1, index: 0x42 });
        assert_eq!(old.form(0x0000_0042_0000_2082), Form::PageFile { number: 1, index: 0x42 });
        assert_eq!(new.form(0x0000_0042_0000_2082), Form::PageFile { number: 2, index: 0x42 });
        assert_eq!(WindowsPte::default().form(entry), Form::PagedOut);
    }
}
