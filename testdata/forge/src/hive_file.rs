//! What leads from a hive to its file: handles, the bits of what was written, the cache manager's views; and views that are lost.

use crate::machine::{KERNEL_DATA, Machine};
use crate::page_plan::{HiveViews, Paged};
use crate::paging::{Space, bit};
use crate::physical::PAGE;
use crate::process::Made;
use crate::pte::PROTOTYPE;
use std::collections::BTreeMap;

/// Handles of the kernel's own table have these bits.
const KERNEL_HANDLE: u64 = 0xffff_ffff_8000_0000;
/// Bytes of a file in one view of the cache manager.
const CACHE_VIEW: u64 = 0x4_0000;
/// Pointers in one array of such views.
const PER_ARRAY: u64 = 128;

/// The file of a hive that is mapped.
#[derive(Clone, Copy, Debug)]
pub struct HiveFile {
    /// The hive's `_CMHIVE`.
    pub hive: u64,
    /// The file object.
    pub file: u64,
    /// The control area.
    pub area: u64,
    /// Where the process Registry has it.
    pub start: u64,
}

impl Machine {
    /// Handles of System to the hives' files and sections, of which the hives know.
    pub(crate) fn hand_out_hive_files(&mut self, files: &[HiveFile], handles: &mut BTreeMap<u64, (u64, u64)>) {
        for file in files {
            let section = self.forge_section(file.area);
            let mut open = |object: u64| {
                // Not the very next one: others came between.
                let handle = handles.keys().max().unwrap_or(&0) + 12;
                handles.insert(handle, (object - 0x30, 0x12_019f));
                KERNEL_HANDLE | handle
            };
            let (of_file, of_section) = (open(file.file), open(section));
            let first = file.hive + self.offset("_CMHIVE", "FileHandles");
            self.write_u64(first, of_file);
            self.put(file.hive, "_CMHIVE", "Hive.ViewMap.SectionReference", of_section);
        }
    }

    /// The bits of a hive's stable pages, one for each 512 bytes: what was written to by these states of its pages (a view's first page
    /// is the header) is either not in a log yet, or not in the file yet.
    pub(crate) fn forge_hive_bitmaps(&mut self, hive: u64, bytes: u64, states: &[Paged]) {
        if !self.plan.pages.hive_bitmaps {
            return;
        }
        let bits = bytes / 512;
        let written =
            |page: u64| !states.is_empty() && matches!(states[(page as usize + 1) % states.len()], Paged::Copied(_));
        for (n, name) in [(0, "DirtyVector"), (1, "UnreconciledVector")] {
            let buffer = self.pool(true, b"CM1b", (bits / 8).next_multiple_of(8));
            let path = format!("Hive.{name}");
            let at = hive + self.offset("_CMHIVE", &path);
            self.put(at, "_RTL_BITMAP", "SizeOfBitMap", bits);
            self.put(at, "_RTL_BITMAP", "Buffer", buffer);
            let map: Vec<u8> =
                (0..bits / 8).map(|page| if written(page) && page % 2 == n { 1 << (page % 8) } else { 0 }).collect();
            self.write(buffer, &map);
        }
    }

    /// The cache manager's views of a hive's file: 256 KiB each. Pages that the section has in memory are mapped, the others are left
    /// to their prototype entries.
    pub(crate) fn forge_cache_map(&mut self, file: &HiveFile, prototypes: &[u64], at_least: u64) {
        let kind = "_SHARED_CACHE_MAP";
        let map = self.pool(false, b"CcSc", self.layout.size(kind));
        let bytes = (prototypes.len() as u64 * PAGE).next_multiple_of(CACHE_VIEW).max(at_least);
        self.put(map, kind, "NodeTypeCode", 0x2ff);
        self.put(map, kind, "NodeByteSize", self.layout.size(kind));
        self.put(map, kind, "FileSize", prototypes.len() as u64 * PAGE);
        self.put(map, kind, "SectionSize", bytes);
        self.put(map, kind, "FileObjectFastRef", file.file | 0xf);
        let mut views = Vec::new();
        for part in prototypes.chunks((CACHE_VIEW / PAGE) as usize) {
            let base = self.system_next.next_multiple_of(CACHE_VIEW);
            self.system_next = base + CACHE_VIEW;
            for (n, &prototype) in (0..).zip(part) {
                let held = self.read_u64(prototype);
                let frame = held >> 12 & 0xf_ffff_ffff;
                let (va, mut kernel) = (base + n * PAGE, self.kernel.clone());
                if held & bit::VALID != 0 {
                    kernel.map(&mut self.memory, va, frame, KERNEL_DATA);
                } else {
                    let entry = self.swizzled(prototype << 16 | PROTOTYPE);
                    kernel.set_entry(&mut self.memory, va, entry);
                }
                self.kernel = kernel;
            }
            let view = self.pool(false, b"CcVa", self.layout.size("_VACB"));
            self.put(view, "_VACB", "BaseAddress", base);
            self.put(view, "_VACB", "SharedCacheMap", map);
            views.push(view);
        }
        // Four pointers have room in the map; one array has 128; an array above has arrays.
        let top = if bytes <= 4 * CACHE_VIEW {
            let own = map + self.offset(kind, "InitialVacbs");
            views.iter().enumerate().for_each(|(n, view)| self.write_u64(own + n as u64 * 8, *view));
            own
        } else {
            let mut below = views;
            let mut span = CACHE_VIEW * PER_ARRAY;
            loop {
                let arrays = below.chunks(PER_ARRAY as usize).map(<[u64]>::to_vec).collect::<Vec<_>>();
                below = arrays.iter().map(|part| self.cache_array(part)).collect();
                if span >= bytes {
                    break below[0];
                }
                span *= PER_ARRAY;
            }
        };
        self.put(map, kind, "Vacbs", top);
        self.set_cache_map(file.file, map);
    }

    fn cache_array(&mut self, pointers: &[u64]) -> u64 {
        let at = self.pool(false, b"CcVl", PER_ARRAY * 8);
        pointers.iter().enumerate().for_each(|(n, to)| self.write_u64(at + n as u64 * 8, *to));
        at
    }

    /// Cache maps, when the states of all pages are settled.
    pub(crate) fn forge_cache_maps(&mut self, files: &[HiveFile]) {
        let Some(at_least) = self.plan.pages.hive_cache else { return };
        for file in files {
            let view = self.views.iter().find(|view| view.area == file.area && view.start == file.start);
            let prototypes = view.expect("a view of the hive").prototypes.clone();
            self.forge_cache_map(file, &prototypes, at_least);
        }
    }

    /// Loses the views of hives; the last step.
    pub(crate) fn lose_hive_views(&mut self, files: &[HiveFile], home: Option<&Made>) {
        let (what, Some(home)) = (self.plan.pages.hive_views, home) else { return };
        let root = home.space.as_ref().map(|space: &Space| space.root).expect("an address space");
        match what {
            HiveViews::Kept => {}
            HiveViews::Torn | HiveViews::Zeroed | HiveViews::TornParts => {
                for file in files {
                    let pages =
                        self.views.iter().find(|view| view.area == file.area).map_or(0, |v| v.prototypes.len() as u64);
                    for n in 0..pages {
                        let at = self.entry_place(root, file.start + n * PAGE, 1);
                        let noise = self.rng.next_u64() | 1 << 51;
                        self.memory.write_u64(at, if what == HiveViews::Zeroed { 0 } else { noise });
                    }
                    if what == HiveViews::TornParts {
                        self.tear_parts(file.area);
                    }
                }
            }
            HiveViews::NoRoot => {
                let frame = self.memory.take();
                self.noise(frame);
                self.put(home.body, "_EPROCESS", "Pcb.DirectoryTableBase", frame * PAGE);
            }
            HiveViews::Unmapped => {
                for file in files {
                    let pages =
                        self.views.iter().find(|view| view.area == file.area).map_or(0, |v| v.prototypes.len() as u64);
                    for n in 0..pages {
                        let at = self.entry_place(root, file.start + n * PAGE, 1);
                        self.memory.write_u64(at, 0);
                    }
                }
                let vads = home.body + self.offset("_EPROCESS", "VadRoot");
                self.write_u64(vads, 0);
            }
        }
    }
}
