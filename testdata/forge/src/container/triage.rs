//! Kernel triage dumps (`PAGEDU64`, DumpType 4), which Windows keeps in its Minidump folder: the header, one processor, process and
//! thread, the block for debuggers, drivers, pieces of memory. `TRIAGE_DUMP64` and how the images follow one another: as measured on
//! 58 dumps of real machines.

use super::{HEADER, put};
use crate::forge::Forged;
use crate::layout::Layout;
use crate::systems::Edit;

/// A driver of a triage dump.
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    /// Its name.
    pub name: &'static str,
    /// Image base.
    pub base: u64,
    /// `SizeOfImage`.
    pub size: u32,
    /// `TimeDateStamp`.
    pub stamp: u32,
}

/// `KSTACK_DUMP`: bytes of the stack that are kept.
const STACK: usize = 0x100;
/// Bytes of the block for debuggers that are kept (Windows 8 and later).
const DEBUGGER: usize = 0x360;
/// Bytes of an entry in the list of drivers, and in that of unloaded ones.
const ENTRY: usize = 0x90;
const UNLOADED: usize = 0x38;

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

impl Forged {
    /// The triage dump of a crash in a thread of this process. The block for debuggers must lie in memory in the clear.
    ///
    /// # Panics
    /// When there is no such process, or it has no thread.
    #[must_use]
    pub fn as_triage_dump(&self, layout: &Layout, pid: u64, drivers: &[Driver], unloaded: &[Driver]) -> Vec<u8> {
        let edit = Edit::of(self);
        let read = |va: u64, bytes: usize| -> Vec<u8> {
            (va..va + bytes as u64).map(|at| edit.image[edit.physical(at) as usize]).collect()
        };
        let number = |bytes: &[u8], at: u64| {
            u64::from_le_bytes(bytes[at as usize..at as usize + 8].try_into().expect("8 bytes"))
        };
        let truth = self.truth.process(pid).expect("a process");
        let mut process = read(truth.eprocess, layout.size("_EPROCESS") as usize);
        // ProfileListHead: an empty list.
        put(&mut process, 0x18, &[truth.eprocess + 0x18; 2].map(u64::to_le_bytes).concat());
        let first = number(&process, layout.offset("_EPROCESS", "ThreadListHead"));
        let thread_at = first - layout.offset("_ETHREAD", "ThreadListEntry");
        let thread = read(thread_at, layout.size("_ETHREAD") as usize);
        let mut prcb = vec![0; layout.size("_KPRCB") as usize];
        put(&mut prcb, layout.offset("_KPRCB", "CurrentThread") as usize, &thread_at.to_le_bytes());
        let debugger = read(self.globals["KdDebuggerDataBlock"], DEBUGGER);

        let mut out = self.dump_header(4);
        put(&mut out, 0x10, &truth.dtb.to_le_bytes());
        out.resize(HEADER + 0x100, 0);
        let member = |out: &mut Vec<u8>, offset: usize, value: usize| {
            put(out, HEADER + offset, &(value as u32).to_le_bytes());
        };
        for (offset, bytes) in
            [(0x1c, prcb), (0x20, process), (0x24, thread), (0x28, vec![0x5a; STACK]), (0x70, debugger)]
        {
            let at = out.len();
            member(&mut out, offset, at);
            out.extend(bytes);
        }
        member(&mut out, 0x2c, STACK);
        member(&mut out, 0x74, DEBUGGER);
        let pool = out.len();
        member(&mut out, 0x38, pool);
        let mut names = Vec::new();
        for driver in drivers {
            names.push(out.len() as u32);
            let text = utf16(driver.name);
            out.extend((driver.name.encode_utf16().count() as u32).to_le_bytes());
            out.extend(text);
            out.extend([0, 0]);
            out.resize(out.len().next_multiple_of(8), 0);
        }
        let bytes = out.len() - pool;
        member(&mut out, 0x3c, bytes);
        let list = out.len();
        member(&mut out, 0x30, list);
        member(&mut out, 0x34, drivers.len());
        for (driver, name) in drivers.iter().zip(names) {
            let mut entry = [0u8; ENTRY];
            put(&mut entry, 0, &name.to_le_bytes());
            put(&mut entry, 8 + 0x30, &driver.base.to_le_bytes());
            put(&mut entry, 8 + 0x40, &driver.size.to_le_bytes());
            put(&mut entry, 8 + 0x80, &driver.stamp.to_le_bytes());
            out.extend(entry);
        }
        let list = out.len();
        member(&mut out, 0x18, list);
        out.extend((unloaded.len() as u64).to_le_bytes());
        for driver in unloaded {
            let mut entry = [0u8; UNLOADED];
            let text = utf16(driver.name);
            put(&mut entry, 0, &(text.len() as u16).to_le_bytes());
            put(&mut entry, 16, &text[..text.len().min(24)]);
            put(&mut entry, 40, &driver.base.to_le_bytes());
            put(&mut entry, 48, &(driver.base + u64::from(driver.size)).to_le_bytes());
            out.extend(entry);
        }
        // One piece of memory: the text of NtBuildLabEx.
        let lab = self.globals["NtBuildLabEx"];
        let text = read(lab, 0x80);
        let at = out.len();
        out.extend(text);
        let table = out.len();
        member(&mut out, 0x78, table);
        member(&mut out, 0x7c, 1);
        out.extend(lab.to_le_bytes());
        out.extend((at as u32).to_le_bytes());
        out.extend(0x80u32.to_le_bytes());
        out
    }
}
