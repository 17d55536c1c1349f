//! Forged images with single edits by the true offsets of their build: what somebody with write access to the kernel's memory does
//! before an image is taken. Offsets are the forge's; the reader is not asked for one.

use super::forged::Opened;
use ntmem::{ReadOptions, System};
use ntmem_forge::layout::Spec;
use ntmem_forge::{Build, Forged, Layout, Scenario, TruthProcess};

/// A forged image that is being edited.
pub struct Edited {
    pub forged: Forged,
    pub bytes: Vec<u8>,
    layout: Layout,
}

/// Bits of a page-table entry.
pub const NO_EXECUTE: u64 = 1 << 63;
pub const WRITE: u64 = 2;
const FRAME: u64 = 0x000f_ffff_ffff_f000;

impl Edited {
    pub fn new(scenario: &Scenario) -> Self {
        let forged = scenario.forge();
        let bytes = forged.image.clone();
        Self { forged, bytes, layout: Layout::of(scenario.build) }
    }

    pub fn process(&self, pid: u64) -> &TruthProcess {
        self.forged.truth.process(pid).unwrap()
    }

    /// The one with this name, the first of them.
    pub fn named(&self, name: &str) -> u64 {
        self.forged.truth.processes.iter().find(|p| p.name_text() == name && p.exited.is_none()).unwrap().pid
    }

    pub fn u64_at(&self, physical: u64) -> u64 {
        let at = usize::try_from(physical).unwrap();
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    pub fn put_u64_at(&mut self, physical: u64, value: u64) {
        let at = usize::try_from(physical).unwrap();
        self.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    /// Where the lowest page-table entry of an address lies. `None`: there is no table for it.
    pub fn entry(&self, root: u64, va: u64) -> Option<u64> {
        let mut table = root;
        for shift in [39, 30, 21] {
            let entry = self.u64_at(table + (va >> shift & 511) * 8);
            if entry & 1 == 0 || entry & 0x80 != 0 {
                return None;
            }
            table = entry & FRAME;
        }
        Some(table + (va >> 12 & 511) * 8)
    }

    pub fn physical(&self, root: u64, va: u64) -> u64 {
        (self.u64_at(self.entry(root, va).unwrap()) & FRAME) | (va & 0xfff)
    }

    /// Reads a pointer of the kernel.
    pub fn pointer(&self, va: u64) -> u64 {
        self.u64_at(self.physical(self.forged.truth.dtb, va))
    }

    /// Writes bytes of the kernel, one by one: they may cross a page.
    pub fn write(&mut self, va: u64, bytes: &[u8]) {
        for (at, byte) in (va..).zip(bytes) {
            let physical = self.physical(self.forged.truth.dtb, at);
            self.bytes[usize::try_from(physical).unwrap()] = *byte;
        }
    }

    /// The address of a variable of the kernel. `None`: the build has none of that name.
    pub fn global(&self, name: &str) -> Option<u64> {
        self.layout.globals.get(name).map(|offset| self.forged.truth.kernel_base + offset)
    }

    pub fn has(&self, structure: &str, field: &str) -> bool {
        self.layout.find(structure, field).is_some()
    }

    pub fn offset(&self, structure: &str, field: &str) -> u64 {
        self.layout.offset(structure, field)
    }

    /// Writes a field of a kernel structure.
    pub fn put(&mut self, object: u64, structure: &str, field: &str, value: u64) {
        let place = self.layout.place(structure, field);
        let at = object + place.offset;
        match place.spec {
            Spec::Bits(_, bit, length) => {
                let mask = (u64::MAX >> (64 - length)) << bit;
                let bits = (self.pointer(at) & !mask) | (value << bit & mask);
                self.write(at, &bits.to_le_bytes());
            }
            spec => {
                let width = usize::try_from(self.layout.width(&spec)).unwrap().min(8);
                self.write(at, &value.to_le_bytes()[..width]);
            }
        }
    }

    pub fn put_in(&mut self, pid: u64, field: &str, value: u64) {
        let at = self.process(pid).eprocess;
        self.put(at, "_EPROCESS", field, value);
    }

    pub fn get(&self, object: u64, structure: &str, field: &str) -> u64 {
        self.pointer(object + self.offset(structure, field))
    }

    /// The threads of a process, in list order.
    pub fn threads(&self, pid: u64) -> Vec<u64> {
        let head = self.process(pid).eprocess + self.offset("_EPROCESS", "ThreadListHead");
        let link = self.offset("_ETHREAD", "ThreadListEntry");
        let mut out = Vec::new();
        let mut entry = self.pointer(head);
        while entry != head {
            out.push(entry - link);
            entry = self.pointer(entry);
        }
        out
    }

    /// Takes a list entry out of its list.
    pub fn unlink(&mut self, entry: u64) {
        let (next, before) = (self.pointer(entry), self.pointer(entry + 8));
        self.write(before, &next.to_le_bytes());
        self.write(next + 8, &before.to_le_bytes());
        self.write(entry, &entry.to_le_bytes());
        self.write(entry + 8, &entry.to_le_bytes());
    }

    /// Changes the page-table entry of an address of a process.
    pub fn edit_entry(&mut self, pid: u64, va: u64, change: impl FnOnce(u64) -> u64) {
        let at = self.entry(self.process(pid).dtb, va).unwrap();
        let entry = self.u64_at(at);
        self.put_u64_at(at, change(entry));
    }

    /// Gives a process a copy of the page at `va` of its own, as copying on write does, in the frame of its page at `spare`. Says where
    /// in the image the copy begins.
    pub fn copy_page(&mut self, pid: u64, va: u64, spare: u64) -> usize {
        let dtb = self.process(pid).dtb;
        let (own, copy) = (self.physical(dtb, va), self.physical(dtb, spare));
        let (from, to) = (usize::try_from(own).unwrap(), usize::try_from(copy).unwrap());
        self.bytes.copy_within(from..from + 0x1000, to);
        self.edit_entry(pid, va, |entry| (entry & !FRAME) | copy);
        to
    }

    /// Where all processes have ntdll.dll.
    pub fn library(build: Build) -> u64 {
        if build <= Build::W8_9200 { 0x7_7b00_0000 } else { 0x7ffb_5a00_0000 }
    }

    /// Points the handles of one process that lead to `from` to `to`, both addresses of objects.
    pub fn move_handles(&mut self, pid: u64, from: u64, to: u64) {
        let table = self.get(self.process(pid).eprocess, "_EPROCESS", "ObjectTable");
        let code = self.get(table, "_HANDLE_TABLE", "TableCode");
        let page = if code & 3 == 1 { self.pointer(code & !7) } else { code & !7 };
        let shift = match self.layout.place("_HANDLE_TABLE_ENTRY", "ObjectPointerBits").spec {
            Spec::Bits(_, bit, _) => bit,
            _ => 0,
        };
        let shown = |object: u64| ((object - 0x30) >> 4 & ((1 << 44) - 1)) << shift;
        let mask = ((1u64 << 44) - 1) << shift;
        for n in 0..256 {
            let low = self.pointer(page + n * 16);
            if low & mask == shown(from) {
                self.write(page + n * 16, &((low & !mask) | shown(to)).to_le_bytes());
            }
        }
    }

    pub fn system(&self, scan: bool) -> System {
        let opened = Opened::with_bytes(&self.forged, self.bytes.clone());
        System::read_with(&opened.kernel(), &ReadOptions { scan, ..ReadOptions::default() }).unwrap()
    }
}
