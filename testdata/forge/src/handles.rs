//! Handle tables and `PspCidTable`.

use crate::builds::Build;
use crate::machine::{KERNEL_DATA, Machine};
use std::collections::BTreeMap;

/// Entries of 16 bytes in a page.
const PER_PAGE: u64 = 256;

impl Machine {
    /// The 16 bytes of a table entry for an object address and a granted access.
    fn entry(&self, object: u64, access: u64) -> [u64; 2] {
        if self.build() == Build::W7_7601 {
            // The low bit is set while unlocked; the entry of a real handle is used unlocked.
            [object | 1, access]
        } else if self.build() == Build::W8_9200 {
            // As below, but that the address takes the 41 bits from 23 on.
            [(object >> 4) << 23 | 0x7ff0 << 1 & 0xf_fffe | 1, access]
        } else {
            // Bit 0 unlocked, then a reference count, from bit 20 the address without its low 4 and high 16 bits.
            [(object >> 4) << 20 | 0x7ff0 << 1 & 0xf_fffe | 1, access]
        }
    }

    /// Creates a handle table with these handles: handle value to (object address, access). Says where it is.
    pub fn forge_handle_table(&mut self, process: (u64, u64), entries: &BTreeMap<u64, (u64, u64)>) -> u64 {
        let kind = "_HANDLE_TABLE";
        let table = self.pool(true, b"Obtb", self.layout.size(kind));
        let last = entries.keys().max().copied().unwrap_or(0) / 4;
        let pages = last / PER_PAGE + 1;
        let leaves: Vec<u64> = (0..pages).map(|_| self.table_page()).collect();
        for (handle, (object, access)) in entries {
            let n = handle / 4;
            let at = leaves[(n / PER_PAGE) as usize] + n % PER_PAGE * 16;
            let [low, high] = self.entry(*object, *access);
            self.write_u64(at, low);
            self.write_u64(at + 8, high);
        }
        let code = if pages == 1 {
            leaves[0]
        } else {
            assert!(pages <= 512, "a table of two levels");
            let top = self.table_page();
            for (n, leaf) in leaves.iter().enumerate() {
                self.write_u64(top + n as u64 * 8, *leaf);
            }
            top | 1
        };
        self.put(table, kind, "TableCode", code);
        self.put(table, kind, "NextHandleNeedingPool", pages * PER_PAGE * 4);
        self.maybe(table, kind, "UniqueProcessId", process.0);
        self.put(table, kind, "QuotaProcess", process.1);
        let count = entries.len() as u64;
        // The count moved into the free lists when those came (Windows 8.1).
        if self.layout.find(kind, "HandleCount").is_some() {
            self.put(table, kind, "HandleCount", count);
        } else {
            let lists = table + self.offset(kind, "FreeLists");
            self.put(lists, "_HANDLE_TABLE_FREE_LIST", "HandleCount", count);
        }
        table
    }

    fn table_page(&mut self) -> u64 {
        let va = self.system_next;
        self.system_next += 0x1000;
        let frame = self.memory.take();
        self.kernel.map(&mut self.memory, va, frame, KERNEL_DATA);
        va
    }

    /// Creates `PspCidTable` from the ids collected so far. Its entries point to object bodies, not headers.
    pub fn forge_cid_table(&mut self) {
        let entries: BTreeMap<u64, (u64, u64)> =
            self.cids.iter().filter(|(id, _)| *id % 4 == 0 && **id < 0x8_0000).map(|(&i, &o)| (i, (o, 0))).collect();
        let table = self.forge_handle_table((0, 0), &entries);
        self.set_global("PspCidTable", table);
    }

    /// Links all handle tables into `HandleTableListHead`.
    pub fn link_handle_tables(&mut self, tables: &[u64]) {
        let Some(head) = self.find_global("HandleTableListHead") else { return };
        let link = self.offset("_HANDLE_TABLE", "HandleTableList");
        let ring: Vec<u64> = std::iter::once(head).chain(tables.iter().map(|t| t + link)).collect();
        self.link(&ring);
    }
}
