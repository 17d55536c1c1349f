//! Page-table entries that the processor does not follow (`_MMPTE_TRANSITION`, `_MMPTE_SOFTWARE`, `_MMPTE_PROTOTYPE`,
//! `_MMPTE_SUBSECTION`).

use crate::layout::Spec;
use crate::machine::Machine;
use crate::page_plan::{Paged, PrivateCopy};
use crate::paging::{Space, bit};
use crate::physical::PAGE;
use crate::swap::{Went, lie};

/// MM_READWRITE.
const READ_WRITE: u64 = 4 << 5;
pub(crate) const PROTOTYPE: u64 = 1 << 10;
const TRANSITION: u64 = 1 << 11;
const SWIZZLE: u64 = 1 << 4;
/// An address of all ones: the descriptor knows where the prototype is (Windows Internals 7th ed., ch. 5).
pub(crate) const LOOK_UP: u64 = 0xffff_ffff_0000 << 16 | PROTOTYPE;

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

    /// An entry with a field of a format set, where this build has that field.
    fn with_bits(&self, entry: u64, kind: &str, field: &str, value: u64) -> u64 {
        match self.layout.find(kind, field).map(|place| place.spec) {
            Some(Spec::Bits(_, at, bits)) => entry | (value & (u64::MAX >> (64 - bits))) << at,
            _ => entry,
        }
    }

    /// A place in a page file: where its number stands differs between kernels of one build, so it is taken from the layout.
    pub(crate) fn software(&self, number: u64, index: u64) -> u64 {
        let kind = "_MMPTE_SOFTWARE";
        let entry = self.with_bits(0, kind, "PageFileLow", number);
        let entry = self.with_bits(entry, kind, "PageFileHigh", index);
        let entry = self.with_bits(entry, kind, "Protection", 4);
        // Room that was set aside for the page says so; MemProcFS takes these bits of older builds for the number.
        let newer = self.layout.number >= 17_763 && index.is_multiple_of(2);
        self.with_bits(entry, kind, "PageFileAllocated", u64::from(newer))
    }

    /// The entry of a frame on the standby or modified list.
    pub(crate) fn transition(&self, frame: u64) -> u64 {
        (frame * PAGE) | TRANSITION | READ_WRITE
    }

    /// The entry of a page that is only in the file of its section.
    pub(crate) fn only_in_file(&self, subsection: u64) -> u64 {
        self.with_bits(PROTOTYPE | subsection << 16, "_MMPTE_SUBSECTION", "Protection", 4)
    }

    /// Puts the page of an address into a state. Its frame keeps its bytes where the state means that they are in memory.
    pub fn page_out(&mut self, space: &mut Space, va: u64, state: Paged) {
        let frame = space.frame_of(va).unwrap_or_else(|| panic!("{va:#x} is not mapped"));
        let root = space.root;
        let mut went = Went::Lost;
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
            Paged::Transition => {
                went = Went::Frame(frame);
                self.transition(frame)
            }
            Paged::DemandZero => {
                self.forget(frame);
                READ_WRITE
            }
            Paged::Prototype => {
                went = Went::Frame(frame);
                self.prototype((frame * PAGE) | bit::VALID | bit::ACCESSED | bit::NO_EXECUTE)
            }
            Paged::PrototypeTransition => {
                went = Went::Frame(frame);
                let entry = self.swizzled(self.transition(frame));
                self.prototype(entry)
            }
            Paged::VadPrototype => {
                self.forget(frame);
                LOOK_UP
            }
            Paged::Unmapped => {
                self.forget(frame);
                0
            }
            Paged::Filed(file) => {
                let (number, index) = self.swap_out(frame, file);
                went = Went::File(number, index);
                self.software(number, index)
            }
            Paged::Stored(form) => {
                let (number, index) = self.store_out(frame, form);
                went = Went::Store(number, index);
                self.software(number, index)
            }
            // Sections are settled when all processes that share them are there.
            Paged::Section(way, held) => return self.later.push((root, va, frame, way, held)),
            Paged::Copied(copy) => {
                // Before the process wrote to the page, the section's was another.
                let old = self.memory.take();
                *self.memory.frame(old) = *lie(self.memory.frame(frame));
                let prototype = self.prototype_of(root, va);
                self.write_u64(prototype, (old * PAGE) | bit::VALID | bit::ACCESSED);
                return self.page_out(
                    space,
                    va,
                    match copy {
                        PrivateCopy::Present => Paged::Present,
                        PrivateCopy::Transition => Paged::Transition,
                        PrivateCopy::Filed(file) => Paged::Filed(file),
                        PrivateCopy::Stored(form) => Paged::Stored(form),
                    },
                );
            }
        };
        self.record_move(root, va, false, went);
        let entry = self.swizzled(entry);
        space.set_entry(&mut self.memory, va, entry);
    }

    /// Puts the page table of an address into a state: transition entries keep it in memory. The entry's protection is read-write, whose
    /// bit is where a valid entry says that it maps 2 MiB (Volatility 3 issue 518).
    pub fn page_out_table(&mut self, root: u64, va: u64, state: Paged) {
        let at = self.entry_place(root, va, 2);
        let frame = (self.memory.read_u64(at) & 0x000f_ffff_ffff_f000) / PAGE;
        let (entry, went) = match state {
            Paged::Present => return,
            Paged::Transition => (self.transition(frame), Went::Frame(frame)),
            Paged::Filed(file) => {
                let (number, index) = self.swap_out(frame, file);
                (self.software(number, index), Went::File(number, index))
            }
            Paged::Stored(form) => {
                let (number, index) = self.store_out(frame, form);
                (self.software(number, index), Went::Store(number, index))
            }
            _ => {
                self.forget(frame);
                (0x4712 << 32 | READ_WRITE, Went::Lost)
            }
        };
        self.record_move(root, va, true, went);
        let entry = self.swizzled(entry);
        self.memory.write_u64(at, entry);
    }

    /// Where the entry of `level` for an address lies; all tables above it must be in memory.
    pub(crate) fn entry_place(&mut self, root: u64, va: u64, level: u8) -> u64 {
        let mut table = root;
        for above in (level + 1..=self.plan.paging.levels).rev() {
            let entry = self.memory.read_u64(table * PAGE + crate::paging::index(va, above) * 8);
            assert!(entry & bit::VALID != 0, "no table of level {above} for {va:#x}");
            table = (entry & 0x000f_ffff_ffff_f000) / PAGE;
        }
        table * PAGE + crate::paging::index(va, level) * 8
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
