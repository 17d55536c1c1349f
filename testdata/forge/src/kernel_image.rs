//! The kernel image: headers, CodeView record, exports, globals, loaded modules.

use crate::builds::Build;
use crate::machine::{KERNEL_CODE, Machine, utf16z};
use crate::pe;
use crate::physical::PAGE;
use crate::scenario::{CodeView, Headers, KernelPages, Paged};

/// Data that ntoskrnl exports by name, and since which build. The import library of mingw-w64 lists those of Windows 7; drivers import
/// `PsLoadedModuleList` since Windows 10. All else in the tables of globals is in no export table: readers need symbols for it.
const EXPORTED: [(&str, u32); 16] = [
    ("KeLoaderBlock", 0),
    ("KeNumberProcessors", 0),
    ("MmHighestUserAddress", 0),
    ("MmSystemRangeStart", 0),
    ("MmUserProbeAddress", 0),
    ("NtBuildGUID", 0),
    ("NtBuildLab", 0),
    ("NtBuildNumber", 0),
    ("NtGlobalFlag", 0),
    ("PsInitialSystemProcess", 0),
    ("PsJobType", 0),
    ("PsLoadedModuleList", 10_240),
    ("PsProcessType", 0),
    ("PsThreadType", 0),
    ("SeExports", 0),
    ("SeTokenObjectType", 0),
];

/// Bytes for exports and debug records.
const TABLES: u64 = 0x8000;

impl Machine {
    /// Maps and fills the image.
    pub fn forge_kernel_image(&mut self) {
        let base = self.plan.kernel.base;
        match self.plan.kernel.pages {
            // A page in each 2 MiB, so that a search back from some global finds the image unbroken, as real ones are.
            KernelPages::Small => {
                (0..self.kernel_size).step_by(0x20_0000).for_each(|rva| self.need_kernel(base + rva, 1));
            }
            KernelPages::Large => {
                let count = self.kernel_size.div_ceil(0x20_0000);
                for n in 0..count {
                    let row = self.memory.take_row(512, 512);
                    self.kernel.map_large(&mut self.memory, 2, base + n * 0x20_0000, row, KERNEL_CODE);
                }
            }
            KernelPages::Huge => {
                let row = self.memory.take_row(512 * 512, 512 * 512);
                self.kernel.map_large(&mut self.memory, 3, base & !0x3fff_ffff, row, KERNEL_CODE);
            }
        }
        let tail = self.free_rva(TABLES) as u32;
        let debug = tail + 0x6000;
        let mut names: Vec<(String, u32)> = EXPORTED
            .iter()
            .filter(|(_, since)| self.layout.number >= *since)
            .filter_map(|(n, _)| Some(((*n).to_owned(), *self.layout.globals.get(*n)? as u32)))
            .collect();
        // Exported too, in no table of the forge: no safe boot, no debugger.
        let flags =
            [("InitSafeBootMode", 0xf00, 0), ("KdDebuggerEnabled", 0xf10, 0), ("KdDebuggerNotPresent", 0xf11, 1)];
        names.extend(flags.map(|(name, at, _)| (name.to_owned(), debug + at)));
        // What is exported by name in every kernel, with addresses in code.
        for (i, name) in ["DbgPrint", "KeBugCheckEx", "KeInitializeThread", "ZwCreateFile", "RtlInitUnicodeString"]
            .iter()
            .enumerate()
        {
            names.push(((*name).to_owned(), 0x1000 + 0x40 * i as u32));
        }
        let five = self.plan.paging.levels == 5;
        let exports = pe::exports(tail, if five { "ntkrla57.exe" } else { "ntoskrnl.exe" }, &names);
        let pdb = match &self.plan.kernel.codeview {
            CodeView::Present => Some(if five { "ntkrla57.pdb" } else { "ntkrnlmp.pdb" }),
            CodeView::Named(name) => Some(name.as_str()),
            CodeView::Missing => None,
        };
        let record = pdb.map(|name| pe::codeview(&self.layout.guid, self.layout.age, name));
        let record = record.unwrap_or_default();
        let mut directory = vec![0; 28];
        let stamp = 0x5f21_9b2a ^ self.layout.number;
        directory[4..8].copy_from_slice(&stamp.to_le_bytes());
        directory[12..16].copy_from_slice(&2u32.to_le_bytes());
        directory[16..20].copy_from_slice(&(record.len() as u32).to_le_bytes());
        directory[20..24].copy_from_slice(&(debug + 28).to_le_bytes());
        directory[24..28].copy_from_slice(&(debug + 28).to_le_bytes());
        let image = pe::Image {
            base,
            size: self.kernel_size as u32,
            entry: 0x1000,
            stamp,
            subsystem: 1,
            dll: false,
            directories: if record.is_empty() {
                vec![(0, tail, exports.len() as u32)]
            } else {
                vec![(0, tail, exports.len() as u32), (6, debug, 28)]
            },
            sections: vec![
                (".text", 0x1000, 0x1000, pe::CODE),
                ("POOLCODE", 0x2000, 0x1000, pe::CODE),
                (".edata", tail, 0x6000, pe::READ_ONLY),
                (".rdata", debug, 0x2000, pe::READ_ONLY),
            ]
            .into_iter()
            .chain(self.data_sections(debug + 0x2000))
            .collect(),
        };
        self.write(base, &image.headers());
        // Code that never runs: breakpoints.
        self.write(base + 0x1000, &[0xcc; 4096]);
        self.write(base + u64::from(tail), &exports);
        if !record.is_empty() {
            directory.extend_from_slice(&record);
            self.write(base + u64::from(debug), &directory);
        }
        for (_, at, value) in flags {
            self.write(base + u64::from(debug + at), &[value]);
        }
        match self.plan.kernel.headers {
            Headers::Present => {}
            Headers::Zeroed => self.write(base, &[0; 4096]),
            Headers::PagedOut => {
                assert_eq!(self.plan.kernel.pages, KernelPages::Small, "a large page has no entry of its own");
                self.page_out_kernel(base, Paged::Out);
            }
        }
    }

    /// Sections with data, from an address on. The compressed store's globals are at the start of `CACHEALI` (10 1607 to 11 21H2).
    fn data_sections(&self, from: u32) -> Vec<pe::Section> {
        let end = self.kernel_size as u32;
        let store = self.plan.pages.store.is_some() && (14_393..22_601).contains(&self.layout.number);
        let globals = self.layout.globals.get("?SmGlobals@@3U_SM_GLOBALS@@A").filter(|_| store);
        match globals.map(|&at| at as u32 & !0xfff).filter(|&at| at > from) {
            Some(at) => vec![
                (".data", from, at - from, pe::DATA),
                ("CACHEALI", at, 0x8000, pe::DATA),
                ("PAGEDATA", at + 0x8000, end - at - 0x8000, pe::DATA),
            ],
            // Where the configuration manager has its data: MemProcFS looks for hives in 16 MiB of `.data`, then there.
            None => match self.layout.globals.get("CmpHiveListHead").map(|&at| at as u32 & !0xfff) {
                Some(at) if self.plan.pages.sections && at > from => {
                    vec![(".data", from, at - from, pe::DATA), ("PAGEDATA", at, end - at, pe::DATA)]
                }
                _ => vec![(".data", from, end - from, pe::DATA)],
            },
        }
    }

    /// The first stretch of so many bytes, on a page, in which no global lies. Low, because readers look for the CodeView record in
    /// the first megabytes of the image.
    fn free_rva(&self, bytes: u64) -> u64 {
        let clash = |at: u64| self.layout.globals.values().any(|&g| g + 0x1000 > at && g < at + bytes);
        (3..).map(|n| n * PAGE).find(|&at| !clash(at)).expect("images have gaps")
    }

    /// Fills the globals that stand alone.
    pub fn forge_globals(&mut self) {
        let base = self.plan.kernel.base;
        let build = self.layout.number;
        // The kernel of 19042 to 19045 calls itself 19041; only KUSER_SHARED_DATA knows better. 0xF0000000: free build.
        let own = if build == 19045 { 19041 } else { build };
        let at = self.global("NtBuildNumber");
        self.write(at, &(0xf000_0000 | own).to_le_bytes());
        if let Some(at) = self.find_global("NtBuildLabEx") {
            let lab = self.layout.lab.clone();
            self.write(at, &[lab.as_bytes(), b"\0"].concat());
        }
        if let Some(at) = self.find_global("NtBuildLab") {
            let lab = self.layout.lab.clone();
            self.write(at, &[lab.as_bytes(), b"\0"].concat());
        }
        let boot = self.plan.boot.0;
        self.set_global("KeBootTime", boot);
        self.set_global("KeBootTimeBias", 0);
        self.set_global("PsNtosImageBase", base);
        let five = self.plan.paging.levels == 5;
        self.set_global("MmSystemRangeStart", if five { 0xff00_0000_0000_0000 } else { 0xffff_8000_0000_0000 });
        let top = if self.build() <= Build::W8_9200 { 0x7ff_fffe_ffff } else { 0x7fff_fffe_ffff };
        self.set_global("MmHighestUserAddress", top);
        self.set_global("MmUserProbeAddress", top - 0xffff + 0x10000);
        let (major, minor) = self.layout.version();
        for (name, value) in
            [("KeNumberProcessors", self.plan.processors), ("NtMajorVersion", major), ("NtMinorVersion", minor)]
        {
            if let Some(at) = self.find_global(name) {
                self.write(at, &value.to_le_bytes());
            }
        }
        let mask = self.plan.paging.invalid_pte_mask;
        if self.find_global("MiInvalidPteMask").is_some() {
            self.set_global("MiInvalidPteMask", mask);
        } else if let Some(state) = self.find_global("MiState") {
            self.maybe(state, "_MI_SYSTEM_INFORMATION", "Hardware.InvalidPteMask", mask);
        }
        if let Some(at) = self.find_global("NtSystemRoot") {
            let root = self.plan.system_root.clone();
            let buffer = at + 0x40;
            let len = root.encode_utf16().count() as u16 * 2;
            self.write(at, &len.to_le_bytes());
            self.write(at + 2, &(len + 2).to_le_bytes());
            self.write_u64(at + 8, buffer);
            self.write(buffer, &utf16z(&root));
        }
    }

    /// Fills `PsLoadedModuleList` and says what is in it.
    pub fn forge_modules(&mut self) -> Vec<(String, u64)> {
        let base = self.plan.kernel.base;
        let root = r"\SystemRoot\system32\";
        let modules = [
            ("ntoskrnl.exe", format!("{root}ntoskrnl.exe"), base, self.kernel_size),
            ("hal.dll", format!("{root}hal.dll"), base - 0x60_0000, 0x6_0000),
            ("tcpip.sys", r"\SystemRoot\System32\drivers\tcpip.sys".to_owned(), base + 0x800_0000, 0x2e_b000),
        ];
        let kind = if self.layout.types.contains_key("_KLDR_DATA_TABLE_ENTRY") {
            "_KLDR_DATA_TABLE_ENTRY"
        } else {
            "_LDR_DATA_TABLE_ENTRY"
        };
        let mut ring = vec![self.global("PsLoadedModuleList")];
        for (name, path, at, size) in &modules {
            let entry = self.pool(false, b"MmLd", self.layout.size(kind));
            self.put(entry, kind, "DllBase", *at);
            self.put(entry, kind, "EntryPoint", at + 0x1000);
            self.put(entry, kind, "SizeOfImage", *size);
            let buffer = self.pool(true, b"MmLd", path.len() as u64 * 2 + 2);
            let field = entry + self.offset(kind, "FullDllName");
            self.put_string(field, path, buffer);
            let buffer = self.pool(true, b"MmLd", name.len() as u64 * 2 + 2);
            let field = entry + self.offset(kind, "BaseDllName");
            self.put_string(field, name, buffer);
            ring.push(entry + self.offset(kind, "InLoadOrderLinks"));
        }
        self.link(&ring);
        modules.iter().map(|(name, _, at, _)| ((*name).to_owned(), *at)).collect()
    }

    /// The physical address of the kernel's first page.
    #[must_use]
    pub fn kernel_physical(&self) -> u64 {
        self.kernel.frame_of(self.plan.kernel.base).map_or(0, |f| f * PAGE)
    }
}
