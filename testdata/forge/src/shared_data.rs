//! `KUSER_SHARED_DATA`, the processor start block in the first megabyte, and the list of what is memory.

use crate::machine::{KERNEL_DATA, Machine, utf16z};
use crate::physical::PAGE;

/// Where every x64 kernel maps it (Windows SDK, `ntddk.h`: `KI_USER_SHARED_DATA`).
pub const KERNEL_VIEW: u64 = 0xffff_f780_0000_0000;
/// Where every process sees it.
pub const USER_VIEW: u64 = 0x7ffe_0000;
const KIND: &str = "_KUSER_SHARED_DATA";

impl Machine {
    /// Fills `KUSER_SHARED_DATA` and maps it for the kernel.
    pub fn forge_shared_data(&mut self) {
        let frame = self.memory.take();
        self.shared_data = frame;
        self.kernel.map(&mut self.memory, KERNEL_VIEW, frame, KERNEL_DATA);
        let (major, minor) = self.layout.version();
        let captured = self.plan.captured.0;
        let uptime = captured.saturating_sub(self.plan.boot.0);
        for (field, time) in [("InterruptTime", uptime), ("SystemTime", captured)] {
            let at = KERNEL_VIEW + self.offset(KIND, field);
            self.write(at, &time.to_le_bytes());
            // _KSYSTEM_TIME.High2Time repeats High1Time.
            self.write(at + 8, &((time >> 32) as u32).to_le_bytes());
        }
        let ticks = uptime / 156_250;
        let at = KERNEL_VIEW + self.offset(KIND, "TickCount");
        self.write(at, &ticks.to_le_bytes());
        self.write(at + 8, &((ticks >> 32) as u32).to_le_bytes());
        for (field, value) in [
            ("TickCountMultiplier", 0x0fa0_0000),
            ("ImageNumberLow", 0x8664),
            ("ImageNumberHigh", 0x8664),
            ("NtMajorVersion", u64::from(major)),
            ("NtMinorVersion", u64::from(minor)),
            ("NtProductType", self.plan.product as u64),
            ("ProductTypeIsValid", 1),
            ("ActiveProcessorCount", u64::from(self.plan.processors)),
            ("ActiveGroupCount", 1),
            ("SafeBootMode", 0),
            ("NativeProcessorArchitecture", 9),
            ("ActiveConsoleId", 1),
            ("NumberOfPhysicalPages", self.plan.memory.iter().map(|r| (r.end - r.start) / PAGE).sum()),
        ] {
            self.maybe(KERNEL_VIEW, KIND, field, value);
        }
        let build = u64::from(self.layout.number);
        self.maybe(KERNEL_VIEW, KIND, "NtBuildNumber", build);
        let root = utf16z(&self.plan.system_root);
        self.write(KERNEL_VIEW + self.offset(KIND, "NtSystemRoot"), &root);
    }

    /// Writes the processor start block. Its layout is in no PDB: `HalpLMStub` in the first megabyte begins with a jump (`E9 xx 06 00`,
    /// then 1), has the long-mode target at 0x70 and CR3 at 0xA0 (Alex Ionescu, "Getting Physical with USB Type-C", Recon 2017;
    /// LeechCore's and Volatility 3's finders use the same three facts).
    pub fn forge_low_stub(&mut self) {
        let Some(at) = self.plan.paging.low_stub else { return };
        self.memory.take_at(at / PAGE);
        let target = self.plan.kernel.base + 0x1000;
        let root = self.plan.paging.system_dtb;
        let page = self.memory.frame(at / PAGE);
        page[..8].copy_from_slice(&0x0000_0001_0006_4de9u64.to_le_bytes());
        page[0x70..0x78].copy_from_slice(&target.to_le_bytes());
        page[0xa0..0xa8].copy_from_slice(&root.to_le_bytes());
        if self.plan.paging.levels == 5 {
            // CR4 (`ProcessorState.SpecialRegisters.Cr4`) with LA57 (bit 12), and what every kernel has set.
            page[0xa8..0xb0].copy_from_slice(&0x37_16f8u64.to_le_bytes());
        }
    }

    /// Writes the `_PHYSICAL_MEMORY_DESCRIPTOR` that `MmPhysicalMemoryBlock` leads to: what is memory, in pages.
    pub fn forge_memory_block(&mut self) {
        const KIND: &str = "_PHYSICAL_MEMORY_DESCRIPTOR";
        const RUN: &str = "_PHYSICAL_MEMORY_RUN";
        let runs = self.memory.runs().to_vec();
        let first = self.offset(KIND, "Run");
        let at = self.pool(false, b"MmPb", first + runs.len() as u64 * self.layout.size(RUN));
        let pages = |run: &std::ops::Range<u64>| (run.end - run.start) / PAGE;
        self.put(at, KIND, "NumberOfRuns", runs.len() as u64);
        self.put(at, KIND, "NumberOfPages", runs.iter().map(pages).sum());
        for (n, run) in runs.iter().enumerate() {
            let at = at + first + n as u64 * self.layout.size(RUN);
            self.put(at, RUN, "BasePage", run.start / PAGE);
            self.put(at, RUN, "PageCount", pages(run));
        }
        self.set_global("MmPhysicalMemoryBlock", at);
    }
}
