//! Page-table entries that the processor does not follow (`_MMPTE_TRANSITION`, `_MMPTE_SOFTWARE`, `_MMPTE_PROTOTYPE`).

use crate::machine::Machine;
use crate::paging::{Space, bit};
use crate::physical::PAGE;
use crate::scenario::Paged;

/// MM_READWRITE.
const READ_WRITE: u64 = 4 << 5;
const PROTOTYPE: u64 = 1 << 10;
const TRANSITION: u64 = 1 << 11;
const SWIZZLE: u64 = 1 << 4;

impl Machine {
    /// What Windows stores for an invalid entry: since the kernels of 2018 with a mask in it that keeps the processor from speculating
    /// on the address (`MiState.Hardware.InvalidPteMask`, before `MiInvalidPteMask`). An entry that has the mask's bits anyway is stored
    /// as it is and says so in `SwizzleBit` (Volatility 3 pull requests 475 and 581; MemProcFS decodes the same way).
    #[must_use]
    pub fn swizzled(&self, entry: u64) -> u64 {
        let mask = self.plan.paging.invalid_pte_mask;
        if mask == 0 || entry == 0 {
            entry
        } else if entry & mask == 0 {
            entry | mask
        } else {
            entry | SWIZZLE
        }
    }

    /// Puts the page of an address into a state. Its frame keeps its bytes where the state means that they are in memory.
    pub fn page_out(&mut self, space: &mut Space, va: u64, state: Paged) {
        let frame = space.frame_of(va).unwrap_or_else(|| panic!("{va:#x} is not mapped"));
        let entry = match state {
            Paged::Present => return,
            Paged::Out => {
                self.forget(frame);
                // Page file 0, page 0x4711 (PageFileHigh); the page file's number is 0 wherever the build keeps it.
                0x4711 << 32 | READ_WRITE
            }
            Paged::OutSwizzled => {
                self.forget(frame);
                // A page number that has all bits of the usual mask.
                0xffff_2345 << 32 | READ_WRITE
            }
            Paged::Transition => (frame * PAGE) | TRANSITION | READ_WRITE,
            Paged::DemandZero => {
                self.forget(frame);
                READ_WRITE
            }
            Paged::Prototype => self.prototype((frame * PAGE) | bit::VALID | bit::ACCESSED | bit::NO_EXECUTE),
            Paged::PrototypeTransition => {
                let entry = self.swizzled((frame * PAGE) | TRANSITION | READ_WRITE);
                self.prototype(entry)
            }
            Paged::VadPrototype => {
                self.forget(frame);
                // An address of all ones: the descriptor knows where the prototype is (Windows Internals 7th ed., ch. 5).
                0xffff_ffff_0000 << 16 | PROTOTYPE
            }
            Paged::Unmapped => {
                self.forget(frame);
                0
            }
        };
        let entry = self.swizzled(entry);
        space.set_entry(&mut self.memory, va, entry);
    }

    /// Puts the page table of an address into a state: transition entries keep it in memory. The entry's protection is read-write, whose
    /// bit is where a valid entry says that it maps 2 MiB (Volatility 3 issue 518).
    pub fn page_out_table(&mut self, space: &mut Space, va: u64, state: Paged) {
        let (entry, at) = space.table_entry(&mut self.memory, va);
        let frame = (entry & 0x000f_ffff_ffff_f000) / PAGE;
        let entry = match state {
            Paged::Present => return,
            Paged::Transition => (frame * PAGE) | TRANSITION | READ_WRITE,
            _ => {
                self.forget(frame);
                0x4712 << 32 | READ_WRITE
            }
        };
        let entry = self.swizzled(entry);
        self.memory.write_u64(at, entry);
    }

    /// As [`Machine::page_out`], in kernel space.
    pub fn page_out_kernel(&mut self, va: u64, state: Paged) {
        let mut kernel = self.kernel.clone();
        self.page_out(&mut kernel, va, state);
        self.kernel = kernel;
    }

    /// What is not in memory leaves no bytes there.
    fn forget(&mut self, frame: u64) {
        self.memory.frame(frame).fill(0);
    }

    /// A prototype entry in paged pool, and the entry that points to it.
    fn prototype(&mut self, entry: u64) -> u64 {
        let at = self.pool(true, b"MmSt", 64);
        self.write_u64(at, entry);
        at << 16 | PROTOTYPE
    }
}
