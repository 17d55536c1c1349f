//! What a kernel offers for pages that are not in memory, and which page file each given file is.

use super::{Kernel, Layouts};
use crate::memory::absent::{AbsentPages, ListedAt, Sites, StoreSite, Structures};
use crate::memory::{PageFileBits, WindowsPte};
use crate::symbols::Bits;

/// Kernels have 6 to 20 MiB.
const MAX_IMAGE: u64 = 32 << 20;

impl Layouts {
    /// How this kernel writes page-table entries that are not present; no mask: it is not known.
    pub(super) fn ptes(&self, invalid_pte_mask: Option<u64>) -> WindowsPte {
        let bits = |bits: Bits| (bits.position, bits.length);
        let page_file = self.software_pte.as_ref().ok();
        let page_file = page_file.map(|layout| PageFileBits { number: bits(layout.number), index: bits(layout.index) });
        WindowsPte { invalid_pte_mask, page_file }
    }
}

/// All that leads to absent pages, but for files that the user gives.
pub(super) fn absent_pages(kernel: &Kernel<'_>) -> AbsentPages {
    let layouts = &kernel.layouts;
    let structures = Structures {
        vad: layouts.vad.as_ref().ok().copied(),
        mapped_vad: layouts.mapped_vad.as_ref().ok().copied(),
        subsection: layouts.subsection.as_ref().ok().copied(),
        control_area: layouts.control_area.as_ref().ok().copied(),
        paging_file: layouts.paging_file.as_ref().ok().copied(),
        file_name: layouts.file_object.as_ref().ok().map(|layout| layout.name.offset),
    };
    let store = kernel.build().ok().map(|build| StoreSite {
        build,
        globals: kernel.global("?SmGlobals@@3U_SM_GLOBALS@@A").ok(),
        process_root: layouts.process.dtb.offset,
        process_name: layouts.process.name.offset,
    });
    let image = kernel.base..kernel.base.wrapping_add(MAX_IMAGE);
    let sites = Sites { image, page_files: listed_at(kernel), store };
    AbsentPages::new(structures, sites)
}

fn listed_at(kernel: &Kernel<'_>) -> Option<ListedAt> {
    let layouts = &kernel.layouts;
    if let (Ok(partition), Ok(visible)) = (&layouts.partition, &layouts.visible_partition) {
        let at = kernel.global("MiSystemPartition").ok()?.wrapping_add(partition.visible.offset);
        return Some(ListedAt {
            files: at.wrapping_add(visible.files.offset),
            count: at.wrapping_add(visible.count.offset),
        });
    }
    let files = kernel.global("MmPagingFile").ok()?;
    Some(ListedAt { files, count: kernel.global("MmNumberOfPagingFiles").ok()? })
}
