//! `InvalidPteMask`: what the kernel sets in page-table entries that are not present.

use super::objects::file_cache::CachedFile;
use super::{Cmhive, Kernel, MAX_LISTED, hive_list, list_both_ways};
use crate::VirtualAddress;
use crate::discover::data::KernelData;
use crate::discover::globals::{self, Mask};
use crate::memory::traces_of_table;

/// Hives whose files are asked: a machine has some dozen.
const MAX_HIVES: usize = 64;
/// Pages of one file that are asked, in tables of 512 entries as the processor has them: 8 MiB tell.
const MAX_TABLES: u64 = 4;
const ENTRIES: u64 = 512;

impl Kernel<'_> {
    /// `MiState.Hardware.InvalidPteMask`, in the first builds with it `MiInvalidPteMask`; without symbols for it, what the entries show
    /// that are not present. `None`: it is not known.
    pub(super) fn invalid_pte_mask(&mut self, shown: Option<Mask>) -> Option<u64> {
        let field = self.layouts.mi_system.as_ref().ok().and_then(|layout| layout.invalid_pte_mask);
        let in_state = self.global("MiState").ok().zip(field).map(|(state, field)| state.wrapping_add(field.offset));
        let place = in_state.or_else(|| self.global("MiInvalidPteMask").ok());
        if let Some((at, mask)) = place.and_then(|at| Some((at, self.space.read_u64(at).ok()?))) {
            // A page of zeros in its place would have other pages read for those that entries name.
            let mut page = [0xff; 4096];
            let is_lost = mask == 0 && self.space.read(at.page(), &mut page).is_ok() && page == [0; 4096];
            let shown = if is_lost { self.shown_mask() } else { Mask::NotShown };
            match shown {
                Mask::Shown(shown) if shown != 0 => {
                    let message = format!(
                        "InvalidPteMask is 0, and page-table entries that are not present have {shown:#x}: its page was lost, and what \
                         the entries show is used"
                    );
                    self.warn("kernel", message);
                    return Some(shown);
                }
                Mask::Unclear => {}
                _ => return Some(mask),
            }
        }
        let of_file = shown.is_none();
        let mask = shown.unwrap_or_else(|| self.shown_mask());
        match mask {
            Mask::Shown(mask) => Some(mask),
            // Kernels before the updates of 2018 have no such variable, and nothing shows that this is none of them.
            Mask::NotShown => (of_file && place.is_none()).then_some(0),
            Mask::Unclear => {
                let message = "the mask of page-table entries that are not present is not known: the symbols do not say where it is, \
                               and the entries could have several. What such entries lead to is unknown";
                self.warn("kernel", message.to_owned());
                None
            }
        }
    }

    /// What the entries of this image show of the mask.
    fn shown_mask(&self) -> Mask {
        let links = self.layouts.process.links.offset;
        let head = self.global("PsActiveProcessHead");
        let list = head.map(|head| list_both_ways(self.space, head, MAX_LISTED, VirtualAddress::is_kernel));
        let entries = list.map(|list| list.entries).unwrap_or_default();
        let processes: Vec<VirtualAddress> = entries.into_iter().map(|entry| entry.wrapping_sub(links)).collect();
        globals::invalid_pte_mask(self.space, &KernelData::read(self.space, self.base), &self.layouts, &processes)
    }

    /// What the prototype entries of hives' files show, where no process has the files mapped any more. `None`: nothing.
    pub(super) fn mask_of_hive_files(&self) -> Option<u64> {
        let list = hive_list(self).ok()?;
        let mut found = Vec::new();
        for address in list.entries.into_iter().take(MAX_HIVES) {
            let Ok(hive) = Cmhive::read(self, address) else { continue };
            let of_file = || hive.file().and_then(|file| CachedFile::of(self, file)).ok()?.data;
            let Some(area) = hive.section_area().ok().flatten().or_else(of_file) else { continue };
            for table in 0..MAX_TABLES {
                let first = table.saturating_mul(ENTRIES);
                let entries = (first..first.saturating_add(ENTRIES)).map_while(|index| {
                    let entry = self.space().prototype_of_file(area, index)?;
                    self.space().read_array::<8>(entry).ok()
                });
                let entries: Vec<[u8; 8]> = entries.collect();
                found.extend(traces_of_table(&entries));
                if entries.is_empty() {
                    break;
                }
            }
        }
        match globals::mask_by_frames(self.space.memory(), &found) {
            Mask::Shown(mask) => Some(mask),
            Mask::NotShown | Mask::Unclear => None,
        }
    }
}
