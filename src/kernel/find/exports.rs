//! The export table of a PE image in virtual memory: names, and where they lie. Kernels export a few of their globals.

use crate::VirtualAddress;
use crate::kernel::view::View;
use crate::memory::AddressSpace;
use crate::symbols::Stored;
use goblin::pe::header::Header;
use std::collections::BTreeMap;

/// Bytes of the export directory with its tables and names that are read: kernels have some 128 KiB.
const MAX_DIRECTORY: u32 = 0x8_0000;
/// Names that are looked at: kernels export some 3500.
const MAX_NAMES: u32 = 1 << 14;

/// Offsets in `IMAGE_EXPORT_DIRECTORY` (winnt.h).
const FUNCTION_COUNT: u64 = 0x14;
const NAME_COUNT: u64 = 0x18;
const FUNCTIONS: u64 = 0x1c;
const NAMES: u64 = 0x20;
const ORDINALS: u64 = 0x24;

/// The addresses of those of `names` that the image at `base` exports and whose part of the table can be read. Forwarders, which
/// lie in another image, are none.
pub(crate) fn find<'n>(
    space: AddressSpace<'_>,
    base: VirtualAddress,
    names: &[&'n str],
) -> BTreeMap<&'n str, VirtualAddress> {
    let mut found = BTreeMap::new();
    let Some(table) = ExportTable::read(space, base) else { return found };
    for index in 0..table.names {
        if found.len() >= names.len() {
            break;
        }
        let Some(text) = table.number::<u32>(table.name_table, u64::from(index), 4) else { continue };
        let Some(name) = names.iter().find(|name| table.has_text(text, name)) else { continue };
        if let Some(rva) = table.address(u64::from(index)) {
            found.entry(*name).or_insert_with(|| base.wrapping_add(u64::from(rva)));
        }
    }
    found
}

/// The directory with all that belongs to it, which linkers lay out in one piece.
struct ExportTable<'m> {
    view: View<'m>,
    /// Where it starts, and its size, relative to the image.
    rva: u32,
    size: u32,
    /// `SizeOfImage`.
    image: u32,
    names: u32,
    functions: u32,
    name_table: u32,
    ordinal_table: u32,
    function_table: u32,
}

impl<'m> ExportTable<'m> {
    fn read(space: AddressSpace<'m>, base: VirtualAddress) -> Option<Self> {
        let mut bytes = [0u8; 0x1000];
        let (read, _) = space.read_some(base, &mut bytes);
        let optional = Header::parse(bytes.get(..read)?).ok()?.optional_header?;
        let directory = *optional.data_directories.get_export_table()?;
        let (rva, size) = (directory.virtual_address, directory.size.min(MAX_DIRECTORY));
        let view = View::read(space, base.wrapping_add(u64::from(rva)), u64::from(size));
        let word = |offset: u64| view.bytes(offset, 4).ok().and_then(u32::decode);
        let (names, functions) = (word(NAME_COUNT)?.min(MAX_NAMES), word(FUNCTION_COUNT)?);
        let (name_table, ordinal_table, function_table) = (word(NAMES)?, word(ORDINALS)?, word(FUNCTIONS)?);
        let image = optional.windows_fields.size_of_image;
        Some(Self { view, rva, size, image, names, functions, name_table, ordinal_table, function_table })
    }

    /// The bytes at `rva` of the image, where they are in the directory and can be read.
    fn bytes(&self, rva: u64, size: u64) -> Option<&[u8]> {
        self.view.bytes(rva.checked_sub(u64::from(self.rva))?, size).ok()
    }

    /// Entry `index` of the table at `rva`, whose entries have `size` bytes.
    fn number<T: Stored>(&self, table: u32, index: u64, size: u64) -> Option<T> {
        T::decode(self.bytes(u64::from(table).checked_add(index.checked_mul(size)?)?, size)?)
    }

    /// True if `name` stands at `rva`, and ends there.
    fn has_text(&self, rva: u32, name: &str) -> bool {
        let length = u64::try_from(name.len()).unwrap_or(u64::MAX);
        let text = self.bytes(u64::from(rva), length.saturating_add(1));
        text.and_then(|text| text.strip_suffix(b"\0")) == Some(name.as_bytes())
    }

    /// The address, relative to the image, of the name with this number.
    fn address(&self, index: u64) -> Option<u32> {
        let ordinal: u16 = self.number(self.ordinal_table, index, 2)?;
        let rva: u32 = (u32::from(ordinal) < self.functions)
            .then(|| self.number(self.function_table, u64::from(ordinal), 4))
            .flatten()?;
        let forwarded = rva.checked_sub(self.rva).is_some_and(|within| within < self.size);
        (rva != 0 && rva < self.image && !forwarded).then_some(rva)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryImage, PhysicalAddress};

    const BASE: VirtualAddress = VirtualAddress(0xffff_f800_0040_0000);
    /// Where the directory lies in the image.
    const DIRECTORY: usize = 0x2000;

    /// A machine in whose memory an image of 16 pages is mapped at `BASE`: page tables at 0x1000 to 0x4000, the image from
    /// 0x10000 on. Exports: `Alpha` at 0x5008, `Beta` at 0x6010, `Far` forwarded; names are on a page of their own.
    fn machine(hole: Option<usize>) -> MemoryImage {
        let mut memory = vec![0u8; 0x10_0000];
        let put = |memory: &mut Vec<u8>, at: usize, bytes: &[u8]| memory[at..at + bytes.len()].copy_from_slice(bytes);
        for (at, entry) in [(0x1f80, 0x2003u64), (0x2000, 0x3003), (0x3010, 0x4003)] {
            put(&mut memory, at, &entry.to_le_bytes());
        }
        for page in (0..16).filter(|page| Some(*page) != hole) {
            put(&mut memory, 0x4000 + page * 8, &(0x1_0003 + ((page as u64) << 12)).to_le_bytes());
        }
        let image = 0x1_0000;
        put(&mut memory, image, b"MZ");
        put(&mut memory, image + 0x3c, &0x80u32.to_le_bytes());
        put(&mut memory, image + 0x80, b"PE\0\0\x64\x86");
        put(&mut memory, image + 0x80 + 20, &0xf0u16.to_le_bytes());
        let optional = image + 0x98;
        put(&mut memory, optional, &0x20bu16.to_le_bytes());
        put(&mut memory, optional + 56, &0x1_0000u32.to_le_bytes());
        put(&mut memory, optional + 108, &16u32.to_le_bytes());
        put(&mut memory, optional + 112, &(DIRECTORY as u32).to_le_bytes());
        put(&mut memory, optional + 116, &0x2000u32.to_le_bytes());
        let mut words = |at: usize, words: &[u32]| {
            for (index, word) in words.iter().enumerate() {
                put(&mut memory, image + at + index * 4, &word.to_le_bytes());
            }
        };
        words(DIRECTORY + 0x14, &[4, 3, 0x2100, 0x2200, 0x2300]);
        // Ordinals are not in the order of names: Alpha 3, Beta 1, Far 2.
        words(0x2100, &[0, 0x6010, 0x3020, 0x5008]);
        words(0x2200, &[0x3000, 0x3010, 0x2400]);
        words(0x2300, &[0x0001_0003, 2]);
        put(&mut memory, image + 0x3000, b"Alpha\0");
        put(&mut memory, image + 0x3010, b"Beta\0");
        put(&mut memory, image + 0x2400, b"Far\0");
        MemoryImage::from_bytes(memory).unwrap()
    }

    fn exports(image: &MemoryImage) -> Vec<(&'static str, u64)> {
        let space = AddressSpace::new(image, PhysicalAddress(0x1000));
        let found = find(space, BASE, &["Alpha", "Beta", "Far", "Alph", "Gamma"]);
        found.into_iter().map(|(name, at)| (name, at.0 - BASE.0)).collect()
    }

    #[test]
    fn names_lead_to_addresses_through_ordinals() {
        assert_eq!(exports(&machine(None)), [("Alpha", 0x5008), ("Beta", 0x6010)]);
    }

    #[test]
    fn what_cannot_be_read_is_not_found() {
        // The names of two are gone with their page; without the first pages there is no table at all.
        for hole in [0, 2, 3] {
            assert_eq!(exports(&machine(Some(hole))), [], "page {hole}");
        }
    }
}
