//! A machine under construction: memory, kernel address space, pools and the layout of its build.

use crate::builds::Build;
use crate::layout::{Layout, Spec};
use crate::page_plan::Paged;
use crate::paging::{Space, bit};
use crate::physical::{PAGE, Physical};
use crate::pool::Pool;
use crate::rng::Rng;
use crate::scenario::{KernelPages, Scenario};
use crate::shared_pages::{Later, View};
use crate::swap::Swap;
use std::collections::BTreeMap;

/// Flags of kernel data pages.
pub const KERNEL_DATA: u64 = bit::VALID | bit::WRITE | bit::ACCESSED | bit::DIRTY | bit::NO_EXECUTE;
/// Flags of kernel code pages.
pub const KERNEL_CODE: u64 = bit::VALID | bit::WRITE | bit::ACCESSED | bit::DIRTY;
/// Flags of user data pages.
pub const USER_DATA: u64 = KERNEL_DATA | bit::USER;
/// Flags of user code pages.
pub const USER_CODE: u64 = bit::VALID | bit::ACCESSED | bit::USER;

/// The machine under construction.
#[derive(Debug)]
pub struct Machine {
    /// What is forged.
    pub plan: Scenario,
    /// Offsets of its build.
    pub layout: Layout,
    /// Its frames.
    pub memory: Physical,
    /// System's address space, whose kernel half all processes share.
    pub kernel: Space,
    /// Noise for addresses and cookies.
    pub rng: Rng,
    /// Non-paged pool.
    pub nonpaged: Pool,
    /// Paged pool.
    pub paged: Pool,
    /// Whole pages of system space.
    pub system_next: u64,
    /// `ObHeaderCookie`.
    pub cookie: u8,
    /// Object types: name to (index, address of the `_OBJECT_TYPE`).
    pub types: BTreeMap<&'static str, (u8, u64)>,
    /// `SizeOfImage` of the kernel.
    pub kernel_size: u64,
    /// Client ids: id to object body.
    pub cids: BTreeMap<u64, u64>,
    /// Frames of module headers that processes share, by module path and base.
    pub shared_images: BTreeMap<(String, u64), u64>,
    /// Addresses of libraries by lower-case name.
    pub libraries: BTreeMap<String, u64>,
    /// Tokens by process id.
    pub tokens: BTreeMap<u64, u64>,
    /// Frame of `KUSER_SHARED_DATA`.
    pub shared_data: u64,
    /// What was taken out of memory.
    pub swap: Swap,
    /// Views of sections.
    pub views: Vec<View>,
    /// Who has a page of a section mapped, by prototype entry: page-table root and address.
    pub sharers: BTreeMap<u64, Vec<(u64, u64)>>,
    /// Pages of sections whose state is settled when all processes are there.
    pub later: Vec<Later>,
    /// Page tables to take out at last: page-table root, address, state.
    pub later_tables: Vec<(u64, u64, Paged)>,
}

impl Machine {
    /// An empty machine: memory and System's page-table root.
    #[must_use]
    pub fn new(plan: &Scenario) -> Self {
        let mut memory = Physical::new(&plan.memory, plan.seed);
        let root = plan.paging.system_dtb / PAGE;
        memory.take_at(root);
        let mut rng = Rng::new(plan.seed ^ 0x6d61_6368);
        let mut regions = Regions::of(plan.build, plan.paging.self_reference);
        if plan.pages.sections {
            // Addresses that have the usual bits of the mask, shifted as in prototype entries: MemProcFS undoes no mask there.
            regions.paged |= 0xa000_0000;
        }
        if plan.paging.levels == 5 {
            regions.widen();
        }
        let mut layout = plan.layout.clone().unwrap_or_else(|| Layout::of(plan.build));
        if let Some(symbols) = &plan.symbols {
            layout.guid.clone_from(&symbols.guid);
            layout.age = symbols.age;
            layout.globals.clone_from(&symbols.globals);
        }
        let last_global = layout.globals.values().max().copied().unwrap_or(0);
        Self {
            kernel_size: (last_global + 0x2_0000).next_multiple_of(0x1000),
            plan: plan.clone(),
            layout,
            kernel: Space::new(root, plan.paging.levels),
            cookie: rng.below(256) as u8,
            nonpaged: Pool::new(regions.nonpaged),
            paged: Pool::new(regions.paged),
            system_next: regions.system,
            types: BTreeMap::new(),
            cids: BTreeMap::new(),
            shared_images: BTreeMap::new(),
            libraries: BTreeMap::from([("ntdll.dll".to_owned(), crate::user::library_base(plan.build))]),
            tokens: BTreeMap::new(),
            shared_data: 0,
            swap: Swap::new(&plan.pages.files, plan.seed),
            views: Vec::new(),
            sharers: BTreeMap::new(),
            later: Vec::new(),
            later_tables: Vec::new(),
            memory,
            rng,
        }
    }

    /// The build.
    #[must_use]
    pub fn build(&self) -> Build {
        self.plan.build
    }

    /// Maps whole pages in the system region and says where.
    pub fn system_pages(&mut self, count: u64) -> u64 {
        let va = self.system_next;
        for n in 0..count {
            let frame = self.memory.take();
            self.kernel.map(&mut self.memory, va + n * PAGE, frame, KERNEL_DATA);
        }
        // An unmapped page between neighbours, so that reading past an end shows.
        self.system_next += (count + 1) * PAGE;
        va
    }

    /// The address of a kernel global.
    ///
    /// # Panics
    /// When the build has no such global.
    #[must_use]
    pub fn global(&self, name: &str) -> u64 {
        self.find_global(name).unwrap_or_else(|| panic!("no global {name} in this build"))
    }

    /// The address of a kernel global, if the build has it.
    #[must_use]
    pub fn find_global(&self, name: &str) -> Option<u64> {
        self.layout.globals.get(name).map(|rva| self.plan.kernel.base + rva)
    }

    /// Sees to it that pages of the kernel image are mapped.
    pub fn need_kernel(&mut self, va: u64, len: u64) {
        let base = self.plan.kernel.base;
        if self.plan.kernel.pages != KernelPages::Small {
            return;
        }
        let mut page = va & !(PAGE - 1);
        while page < va + len {
            if page >= base && page < base + self.kernel_size && self.kernel.frame_of(page).is_none() {
                let frame = self.memory.take();
                self.kernel.map(&mut self.memory, page, frame, KERNEL_CODE);
            }
            page += PAGE;
        }
    }

    /// Writes bytes into kernel space.
    pub fn write(&mut self, va: u64, bytes: &[u8]) {
        self.need_kernel(va, bytes.len() as u64);
        self.kernel.write(&mut self.memory, va, bytes);
    }

    /// Writes a 64-bit number into kernel space.
    pub fn write_u64(&mut self, va: u64, value: u64) {
        self.write(va, &value.to_le_bytes());
    }

    /// Reads a 64-bit number from kernel space.
    pub fn read_u64(&mut self, va: u64) -> u64 {
        let bytes = self.kernel.read(&mut self.memory, va, 8);
        u64::from_le_bytes(bytes.try_into().expect("8 bytes"))
    }

    /// Writes a global of 8 bytes, if the build has it.
    pub fn set_global(&mut self, name: &str, value: u64) {
        if let Some(va) = self.find_global(name) {
            self.write_u64(va, value);
        }
    }

    /// Writes a field of a kernel structure; the build must have it.
    pub fn put(&mut self, va: u64, kind: &str, path: &str, value: u64) {
        let place = self.layout.place(kind, path);
        let span = self.layout.width(&place.spec);
        self.need_kernel(va + place.offset, span);
        let (kernel, memory, layout) = (&self.kernel, &mut self.memory, &self.layout);
        store(layout, memory, kernel, va + place.offset, &place.spec, value);
    }

    /// Writes a field of a kernel structure if the build has it.
    pub fn maybe(&mut self, va: u64, kind: &str, path: &str, value: u64) {
        if self.layout.find(kind, path).is_some() {
            self.put(va, kind, path, value);
        }
    }

    /// Writes a field of a structure in some address space.
    pub fn put_in(&mut self, space: &Space, va: u64, kind: &str, path: &str, value: u64) {
        let place = self.layout.place(kind, path);
        store(&self.layout, &mut self.memory, space, va + place.offset, &place.spec, value);
    }

    /// As [`Machine::put_in`], if the build has the field.
    pub fn maybe_in(&mut self, space: &Space, va: u64, kind: &str, path: &str, value: u64) {
        if self.layout.find(kind, path).is_some() {
            self.put_in(space, va, kind, path, value);
        }
    }

    /// The offset of a field that the build must have.
    #[must_use]
    pub fn offset(&self, kind: &str, path: &str) -> u64 {
        self.layout.offset(kind, path)
    }

    /// Links list entries at these addresses into a ring, in order.
    pub fn link(&mut self, entries: &[u64]) {
        for (i, &entry) in entries.iter().enumerate() {
            let next = entries[(i + 1) % entries.len()];
            self.write_u64(entry, next);
            self.write_u64(next + 8, entry);
        }
    }

    /// Fills a `_UNICODE_STRING` in kernel space with text that lies at `buffer`.
    pub fn put_string(&mut self, va: u64, text: &str, buffer: u64) {
        let len = text.encode_utf16().count() as u64 * 2;
        self.put(va, "_UNICODE_STRING", "Length", len);
        self.put(va, "_UNICODE_STRING", "MaximumLength", len + 2);
        self.put(va, "_UNICODE_STRING", "Buffer", buffer);
        self.write(buffer, &utf16z(text));
    }
}

/// UTF-16 bytes with a terminating zero.
#[must_use]
pub fn utf16z(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

fn store(layout: &Layout, memory: &mut Physical, space: &Space, va: u64, spec: &Spec, value: u64) {
    match spec {
        Spec::Bits(base, position, length) => {
            let width = layout.width(base) as usize;
            let mut bytes = [0; 8];
            bytes[..width].copy_from_slice(&space.read(memory, va, width));
            let mask = (u64::MAX >> (64 - length)) << position;
            let word = u64::from_le_bytes(bytes) & !mask | (value << position) & mask;
            space.write(memory, va, &word.to_le_bytes()[..width]);
        }
        _ => {
            let width = layout.width(spec) as usize;
            assert!((1..=8).contains(&width), "a field of {width} bytes is no number");
            space.write(memory, va, &value.to_le_bytes()[..width]);
        }
    }
}

/// Where kernel regions begin. Before Windows 10 1607 they were fixed (Windows Internals 6th and 7th ed., "x64 address space layouts");
/// later they move, and these are examples.
struct Regions {
    nonpaged: u64,
    paged: u64,
    system: u64,
}

impl Regions {
    /// Addresses of 57 bits: bits 48 to 55 are free. Pools stay where they are: prototype entries have 48 bits for an address.
    fn widen(&mut self) {
        self.system &= 0xffc6_ffff_ffff_ffff;
    }

    fn of(build: Build, self_reference: u16) -> Self {
        match build {
            Build::W7_7601 | Build::W8_9200 => {
                Self { nonpaged: 0xffff_fa80_02e0_0000, paged: 0xffff_f8a0_0000_0000, system: 0xffff_f880_02f6_4000 }
            }
            Build::W81_9600 | Build::W10_10240 => {
                Self { nonpaged: 0xffff_e000_8cc0_0000, paged: 0xffff_c000_2ea0_0000, system: 0xffff_d000_2060_0000 }
            }
            _ => {
                // Keep clear of the self-reference, which may be any slot.
                let free = |slot: u64| if slot == u64::from(self_reference) { slot + 1 } else { slot };
                let slot = |n: u64, low: u64| 0xffff_0000_0000_0000 | free(n) << 39 | low;
                Self {
                    nonpaged: slot(0x159, 0x0d_3200_0000),
                    paged: slot(0x1b6, 0x0a_4c00_0000),
                    system: slot(0x123, 0x0f_6e40_0000),
                }
            }
        }
    }
}
