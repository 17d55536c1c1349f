//! Where the blocks of a hive lie in memory: `_HHIVE.Storage` maps.

use super::cells::{BLOCK, CellIndex};
use crate::kernel::{Cmhive, Kernel, Storage, registry_process};
use crate::memory::AddressSpace;
use crate::{Absent, VirtualAddress};

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

    /// The block that `index` lies in.
    pub(super) fn block(&self, index: CellIndex) -> Result<Block<'k>, Absent> {
        let at = self.storage(index).block(self.kernel, u64::from(index.offset() / BLOCK))?.at;
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
