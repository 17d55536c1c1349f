//! What the kernel knows of its page files: `_MMPAGING_FILE`s and the array of them.

use crate::machine::{Machine, utf16z};
use crate::page_plan::PagingFile;
use crate::section::Files;

impl Machine {
    /// Creates the objects of all page files, when it is known how long they are.
    pub(crate) fn forge_paging_files(&mut self, files: &mut Files) {
        if self.swap.files.is_empty() {
            return;
        }
        let mut objects = Vec::new();
        for n in 0..self.swap.files.len() {
            objects.push(self.forge_paging_file(files, n));
        }
        let count = objects.len() as u64;
        if let Some(partition) = self.find_global("MiSystemPartition") {
            self.put(partition, "_MI_PARTITION", "Vp.NumberOfPagingFiles", count);
            let array = partition + self.offset("_MI_PARTITION", "Vp.PagingFile");
            objects.iter().zip(0..).for_each(|(&object, n)| self.write_u64(array + n * 8, object));
            let list = self.pool(false, b"MmPa", 0x20);
            self.write_u64(list, partition);
            if let Some(state) = self.find_global("MiState") {
                self.maybe(state, "_MI_SYSTEM_INFORMATION", "Partitions.Partition", list);
            }
        } else if let Some(array) = self.find_global("MmPagingFile") {
            objects.iter().zip(0..).for_each(|(&object, n)| self.write_u64(array + n * 8, object));
            if let Some(at) = self.find_global("MmNumberOfPagingFiles") {
                self.write(at, &(count as u32).to_le_bytes());
            }
        }
    }

    fn forge_paging_file(&mut self, files: &mut Files, n: usize) -> u64 {
        let kind = "_MMPAGING_FILE";
        let (number, which, pages) = (self.swap.files[n].number, self.swap.files[n].kind, self.swap.files[n].length());
        let object = self.pool(false, b"Mm  ", self.layout.size(kind));
        for (field, value) in [
            ("Size", pages),
            ("MaximumSize", pages * 4),
            ("MinimumSize", pages),
            ("FreeSpace", pages / 2),
            ("HighestPage", pages - 1),
            ("PageFileNumber", number),
            ("WsSwapPagefile", u64::from(which == PagingFile::Swap)),
            ("VirtualStorePagefile", u64::from(which == PagingFile::Store)),
            ("Partition", self.find_global("MiSystemPartition").unwrap_or(0)),
        ] {
            self.maybe(object, kind, field, value);
        }
        if which != PagingFile::Store {
            let path = format!("{}\\{}", self.plan.volume, which.name());
            let file = self.file_object(files, &path);
            self.put(object, kind, "File", file);
            let name = format!("\\??\\C:\\{}", which.name());
            let buffer = self.pool(true, b"Mm  ", utf16z(&name).len() as u64);
            let at = object + self.offset(kind, "PageFileName");
            self.put_string(at, &name, buffer);
        }
        object
    }
}
