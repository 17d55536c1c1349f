//! Where the blocks of a hive lie in memory: `_HHIVE.Storage` maps.

use super::cells::{BLOCK, CellIndex};
use crate::kernel::{Cmhive, Kernel, Storage, registry_process};
use crate::memory::AddressSpace;
use crate::{Absent, VirtualAddress};

/// Entries in one table of a map (`_HMAP_TABLE.Table`).
const TABLE_ENTRIES: u64 = 512;
/// Low bits of a block's or bin's address are flags: bins start at multiples of 16 bytes at least.
const FLAGS: u64 = 0xf;

/// The cell maps of one hive.
#[derive(Clone, Debug)]
pub(super) struct CellMap<'k> {
    kernel: &'k Kernel<'k>,
    /// The address space of the process Registry; `None`: the build has none.
    user: Result<Option<AddressSpace<'k>>, Absent>,
    storages: [Storage; 2],
}

/// One block of a hive.
pub(super) struct Block<'k> {
    /// Where it lies.
    pub at: VirtualAddress,
    /// The address space to read it in.
    pub space: AddressSpace<'k>,
}

impl<'k> CellMap<'k> {
    /// The maps of `hive`. `user` is what [`registry_process`] gave.
    pub(super) fn new(
        kernel: &'k Kernel<'k>,
        hive: &Cmhive<'k>,
        user: Result<Option<AddressSpace<'k>>, Absent>,
    ) -> Result<Self, Absent> {
        Ok(Self { kernel, user, storages: hive.storages()? })
    }

    /// Looks for the process Registry, once for all hives.
    pub(super) fn user_space(kernel: &'k Kernel<'k>) -> Result<Option<AddressSpace<'k>>, Absent> {
        registry_process(kernel)
    }

    fn storage(&self, index: CellIndex) -> &Storage {
        let [stable, volatile] = &self.storages;
        if index.is_volatile() { volatile } else { stable }
    }

    /// Bytes of bins in the storage that `index` belongs to.
    pub(super) fn length(&self, index: CellIndex) -> Result<u32, Absent> {
        self.storage(index).length.clone()
    }

    /// The address of the block that `index` lies in.
    fn address(&self, index: CellIndex) -> Result<VirtualAddress, Absent> {
        let layout = self.kernel.layouts().hmap_entry.as_ref()?;
        let space = self.kernel.space();
        let block = u64::from(index.offset() / BLOCK);
        let (table_index, entry_index) = (block / TABLE_ENTRIES, block % TABLE_ENTRIES);
        let storage = self.storage(index);
        let slot = storage.map.clone().map(|map| map.wrapping_add(table_index.wrapping_mul(8)));
        let mut table = slot.and_then(|slot| non_null(space.read_pointer(slot)?, "table"));
        if table.is_err() && table_index == 0 {
            // The directory of a small hive is a field of the hive itself.
            table = table.or_else(|why| non_null(storage.small_dir.clone()?, "table").map_err(|_| why));
        }
        let at = table?.wrapping_add(entry_index.wrapping_mul(layout.size));
        let read = |field: crate::symbols::Field<u64>| space.read_u64(at.wrapping_add(field.offset));
        let address = |number: u64| VirtualAddress(number & !FLAGS);
        if let Some((offset, bin)) = layout.block_offset.zip(layout.permanent_bin) {
            let mut bin = address(read(bin)?);
            if let Some(temporary) = layout.temporary_bin.filter(|_| bin.is_null()) {
                bin = address(read(temporary)?);
            }
            let bin = non_null(bin, "bin")?;
            return Ok(bin.wrapping_add(read(offset)?));
        }
        let field = layout.block_address.ok_or_else(|| Absent::no_symbol("_HMAP_ENTRY.BlockAddress"))?;
        non_null(address(read(field)?), "block")
    }

    /// The block that `index` lies in.
    pub(super) fn block(&self, index: CellIndex) -> Result<Block<'k>, Absent> {
        let at = self.address(index)?;
        let space = if at.is_kernel() {
            self.kernel.space()
        } else {
            self.user.clone()?.ok_or_else(|| {
                Absent::unparsable(format!("the map leads to {at}, and this build keeps hives in the kernel's half"))
            })?
        };
        Ok(Block { at, space })
    }
}

fn non_null(address: VirtualAddress, what: &str) -> Result<VirtualAddress, Absent> {
    if address.is_null() { Err(Absent::unreadable(format!("the hive's map has no {what} there"))) } else { Ok(address) }
}
