//! `_KDDEBUGGER_DATA64`, which is in no PDB (Windows SDK, `wdbgexts.h`).
//!
//! In the clear as in Windows 7 or once a dump was taken, or encoded, as a running Windows 8 or later keeps it: each 64-bit word of the
//! block is turned into noise by two secrets of the boot and the address of the flag that says so. A debugger's way back: xor with
//! `KiWaitNever`, rotate left by its low byte, xor with the address of `KdpDataBlockEncoded`, swap the bytes, xor with `KiWaitAlways`
//! (Volatility 2, `win8_kdbg`; Brendan Dolan-Gavitt and others describe the same).

use crate::machine::Machine;
use crate::rng::Rng;
use crate::scenario::DebuggerData;

/// Bytes of the block in Windows 7.
const SIZE_7: u64 = 0x340;
/// Bytes of the block in Windows 8 and later (it grew by some words more with time).
const SIZE_8: u64 = 0x360;

/// The word as it lies in memory; `salt` is the address of `KdpDataBlockEncoded`.
fn encode(word: u64, never: u64, always: u64, salt: u64) -> u64 {
    ((word ^ always).swap_bytes() ^ salt).rotate_right((never & 0x3f) as u32) ^ never
}

/// Offset of a pointer to a global, and the global.
const POINTERS: [(u64, &str); 16] = [
    (0x48, "PsLoadedModuleList"),
    (0x50, "PsActiveProcessHead"),
    (0x58, "PspCidTable"),
    (0x78, "KeTimeIncrement"),
    (0x98, "ObpRootDirectoryObject"),
    (0xa0, "ObpTypeObjectType"),
    (0xc0, "MmPfnDatabase"),
    (0x110, "MmNonPagedPoolStart"),
    (0x1c8, "MmHighestUserAddress"),
    (0x1d0, "MmSystemRangeStart"),
    (0x1d8, "MmUserProbeAddress"),
    (0x208, "NtBuildLabEx"),
    (0x218, "KiProcessorBlock"),
    (0x220, "MmUnloadedDrivers"),
    (0x268, "CmNtCSDVersion"),
    (0x270, "MmPhysicalMemoryBlock"),
];

/// Offset of a 16-bit size (no field) or offset.
const SHORTS: [(u64, &str, &str); 9] = [
    (0x29a, "_ETHREAD", "Tcb.Teb"),
    (0x2a0, "_ETHREAD", "Tcb.ApcState.Process"),
    (0x2a8, "_EPROCESS", ""),
    (0x2aa, "_EPROCESS", "Peb"),
    (0x2ac, "_EPROCESS", "InheritedFromUniqueProcessId"),
    (0x2ae, "_EPROCESS", "Pcb.DirectoryTableBase"),
    (0x2b0, "_KPRCB", ""),
    (0x2b4, "_KPRCB", "CurrentThread"),
    (0x2c0, "_ETHREAD", ""),
];

impl Machine {
    /// Fills `KdDebuggerDataBlock` and `KdVersionBlock`.
    pub fn forge_debugger_data(&mut self) {
        if let Some(at) = self.find_global("KdVersionBlock") {
            let kind = "_DBGKD_GET_VERSION64";
            // MajorVersion: 0xF free build.
            self.put(at, kind, "MajorVersion", 0xf);
            self.put(at, kind, "MinorVersion", u64::from(self.layout.number));
            self.put(at, kind, "MachineType", 0x8664);
            self.put(at, kind, "KernBase", self.plan.kernel.base);
            self.put(at, kind, "PsLoadedModuleList", self.global("PsLoadedModuleList"));
            let data = self.find_global("KdDebuggerDataBlock").unwrap_or(0);
            self.put(at, kind, "DebuggerDataList", data);
        }
        let Some(at) = self.find_global("KdDebuggerDataBlock") else { return };
        self.write_u64(at, at);
        self.write_u64(at + 8, at);
        self.write(at + 0x10, b"KDBG");
        let size = if self.layout.version() < (6, 2) { SIZE_7 } else { SIZE_8 };
        self.write(at + 0x14, &(size as u32).to_le_bytes());
        self.write_u64(at + 0x18, self.plan.kernel.base);
        self.write_u64(at + 0x138, 0x1000);
        for (offset, name) in POINTERS {
            if let Some(global) = self.find_global(name) {
                self.write_u64(at + offset, global);
            }
        }
        for (offset, kind, field) in SHORTS {
            let value = if field.is_empty() { self.layout.size(kind) } else { self.offset(kind, field) };
            self.write(at + offset, &(value as u16).to_le_bytes());
        }
        if self.plan.kernel.debugger == DebuggerData::Encoded {
            self.encode_debugger_data(at, size);
        }
    }

    fn encode_debugger_data(&mut self, block: u64, bytes: u64) {
        let flag = self.global("KdpDataBlockEncoded");
        let mut noise = Rng::new(self.plan.seed ^ 0x6b64_6267);
        let (never, always) = (noise.next_u64(), noise.next_u64());
        for at in (block..block + bytes).step_by(8) {
            let word = self.read_u64(at);
            self.write_u64(at, encode(word, never, always, flag));
        }
        self.write(flag, &[1]);
        let (at_never, at_always) = (self.global("KiWaitNever"), self.global("KiWaitAlways"));
        self.write_u64(at_never, never);
        self.write_u64(at_always, always);
    }
}
