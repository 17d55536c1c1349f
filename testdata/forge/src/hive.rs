//! Hives in memory: `_CMHIVE`, cell maps, bins in paged pool or, since Windows 10 1803, in the process `Registry`.

use crate::cells::{Cells, VOLATILE};
use crate::hive_file::HiveFile;
use crate::hive_plan::{HiveDamage, HivePlan};
use crate::machine::{Machine, USER_DATA};
use crate::paging::{Space, bit};
use crate::physical::PAGE;
use crate::scenario::Paged;
use crate::section::Files;
use crate::vad::Region;
use std::collections::BTreeMap;

/// Entries in a table of the cell map.
const PER_TABLE: usize = 512;

/// Where a block of a hive is.
struct Block {
    address: u64,
    bin: u64,
    entry: u64,
}

impl Machine {
    /// Creates a hive; `registry` is the address space of the process Registry, where the build has one. Says where its `_CMHIVE` is,
    /// which view of it that process has, and of which file.
    pub(crate) fn forge_hive(
        &mut self,
        plan: &HivePlan,
        registry: Option<&mut Space>,
        files: &mut Files,
    ) -> (u64, Option<(Region, HiveFile)>) {
        let mut cells = Cells::of(plan);
        damage_cells(&mut cells, plan);
        let kind = "_CMHIVE";
        if self.plan.pages.sections {
            // At the start of a page, as hives are that come first: readers without symbols look for them there.
            self.fresh_page(true);
        }
        let hive = self.pool(true, b"CM10", self.layout.size(kind));
        self.put(hive, kind, "Hive.Signature", 0xbee0_bee0);
        let code = self.plan.kernel.base + 0x1080;
        self.put(hive, kind, "Hive.GetCellRoutine", code);
        self.maybe(hive, kind, "Hive.ReleaseCellRoutine", code + 0x20);
        self.put(hive, kind, "Hive.Cluster", 1);
        self.put(hive, kind, "Hive.StorageTypeCount", 2);
        // Minor version 5: `lh` lists and big data.
        self.put(hive, kind, "Hive.Version", 5);
        let base_block = self.base_block(plan, &cells);
        self.put(hive, kind, "Hive.BaseBlock", base_block);
        for (field, text) in
            [("FileFullPath", &plan.path), ("FileUserName", &plan.file), ("HiveRootPath", &plan.root_path)]
        {
            let buffer = self.pool(true, b"CMNb", text.len() as u64 * 2 + 2);
            let at = hive + self.offset(kind, field);
            self.put_string(at, text, buffer);
        }
        let dual = self.layout.size("_DUAL");
        let mut registry = registry;
        let mut blocks: Vec<Vec<Block>> = Vec::new();
        let view = match registry.as_deref_mut() {
            Some(own) if plan.view.is_some() => Some(self.hive_view(plan, &cells, base_block, own, files)),
            _ => None,
        };
        for space in 0..2 {
            let at = hive + self.offset(kind, "Hive.Storage") + dual * space as u64;
            // Volatile bins stay in paged pool.
            let own = if space == 0 { registry.as_deref_mut() } else { None };
            let bins = match &view {
                Some(view) if space == 0 => {
                    cells.storage[0].bins.iter().map(|&(start, _)| view.start + PAGE + start as u64).collect()
                }
                _ if cells.storage[space].bytes.is_empty() => Vec::new(),
                _ => self.place_bins(&cells, space, own),
            };
            blocks.push(self.storage(at, &cells, space, plan.full_directory, &bins));
        }
        self.deal_states(plan, &cells, &blocks, view.as_ref(), registry.as_deref_mut());
        for damage in &plan.damage {
            self.damage_hive(damage, hive, &cells, &blocks, registry.as_deref_mut());
        }
        let view = view.map(|region| {
            let (file, area) = region.file.expect("a view of a file");
            self.forge_hive_bitmaps(hive, cells.storage[0].bytes.len() as u64, &plan.pages);
            let own = HiveFile { hive, file, area, start: region.start };
            (region, own)
        });
        (hive, view)
    }

    /// Maps the hive's file into the process Registry: its header, then the bins.
    fn hive_view(
        &mut self,
        plan: &HivePlan,
        cells: &Cells,
        base_block: u64,
        own: &mut Space,
        files: &mut Files,
    ) -> Region {
        let start = 0x1d2_4f60_0000 + self.rng.below(0x1000) * 0x100_0000;
        let header = self.kernel.read(&mut self.memory, base_block, PAGE as usize);
        let content = [header, cells.storage[0].bytes.clone()].concat();
        let pages = content.len() as u64 / PAGE;
        for (n, bytes) in (0..).zip(content.chunks(PAGE as usize)) {
            let frame = self.memory.take();
            self.memory.frame(frame).copy_from_slice(bytes);
            own.map(&mut self.memory, start + n * PAGE, frame, USER_DATA & !bit::WRITE);
        }
        let mut left = pages;
        let mut parts = Vec::new();
        for &part in plan.view.iter().flatten().filter(|&&part| part > 0) {
            if part < left {
                parts.push(part);
                left -= part;
            }
        }
        parts.push(left);
        let file = self.forge_data_file(files, &plan.path, &parts);
        self.forge_view(own, start, file.1, &BTreeMap::new());
        // MM_WRITECOPY.
        Region { start, bytes: pages * PAGE, protection: 5, file: Some(file), image: false }
    }

    /// Puts the stable pages of a hive into their states. Pages with damage of their own are left out.
    fn deal_states(
        &mut self,
        plan: &HivePlan,
        cells: &Cells,
        blocks: &[Vec<Block>],
        view: Option<&Region>,
        mut registry: Option<&mut Space>,
    ) {
        if plan.pages.is_empty() {
            return;
        }
        let header = view.map(|view| view.start);
        let spared = damaged_pages(plan, cells);
        let all = header.into_iter().chain(blocks[0].iter().map(|b| b.address));
        let spared: Vec<u64> = spared.iter().map(|&page| blocks[0][page].address).collect();
        for (at, state) in all.zip(plan.pages.iter().cycle()) {
            if !spared.contains(&at) {
                self.page_out_bin(at, *state, registry.as_deref_mut());
            }
        }
    }

    /// Links hives into `CmpHiveListHead`.
    pub fn link_hives(&mut self, hives: &[u64]) {
        let link = self.offset("_CMHIVE", "HiveList");
        let ring: Vec<u64> =
            std::iter::once(self.global("CmpHiveListHead")).chain(hives.iter().map(|h| h + link)).collect();
        self.link(&ring);
        if let Some(&first) = hives.first() {
            self.set_global("CmpMasterHive", first);
        }
    }

    /// The header that the hive's file begins with.
    fn base_block(&mut self, plan: &HivePlan, cells: &Cells) -> u64 {
        let kind = "_HBASE_BLOCK";
        let at = self.pool(true, b"CM25", 4096);
        self.write(at, b"regf");
        for (field, value) in
            [("Sequence1", 7), ("Sequence2", 7), ("Major", 1), ("Minor", 5), ("Format", 1), ("Cluster", 1)]
        {
            self.put(at, kind, field, value);
        }
        self.put(at, kind, "TimeStamp", plan.root.written.0);
        self.put(at, kind, "RootCell", u64::from(cells.root));
        self.put(at, kind, "Length", cells.storage[0].bytes.len() as u64);
        // The last 31 characters of the file's name.
        let name: Vec<u16> = plan.path.encode_utf16().collect();
        let tail: Vec<u8> = name[name.len().saturating_sub(31)..].iter().flat_map(|c| c.to_le_bytes()).collect();
        self.write(at + self.offset(kind, "FileName"), &tail);
        let head = self.kernel.read(&mut self.memory, at, 508);
        let sum = head.chunks(4).fold(0u32, |s, w| s ^ u32::from_le_bytes(w.try_into().expect("4 bytes")));
        self.put(at, kind, "CheckSum", u64::from(sum));
        at
    }

    /// Bins and cell map of one storage.
    fn storage(&mut self, dual: u64, cells: &Cells, space: usize, full: bool, bins: &[u64]) -> Vec<Block> {
        let storage = &cells.storage[space];
        let count = storage.bytes.len() / PAGE as usize;
        self.put(dual, "_DUAL", "Length", storage.bytes.len() as u64);
        self.put(dual, "_DUAL", "Guard", u64::from(u32::MAX));
        let free = dual + self.offset("_DUAL", "FreeBins");
        self.link(&[free]);
        if count == 0 {
            return Vec::new();
        }
        let tables: Vec<u64> =
            (0..count.div_ceil(PER_TABLE)).map(|_| self.pool(true, b"CM11", self.layout.size("_HMAP_TABLE"))).collect();
        self.put(dual, "_DUAL", "SmallDir", if tables.len() == 1 && !full { tables[0] } else { 0 });
        let map = if tables.len() == 1 && !full {
            // The small directory: the field beside is a directory of one entry.
            dual + self.offset("_DUAL", "SmallDir")
        } else {
            let directory = self.pool(true, b"CM12", self.layout.size("_HMAP_DIRECTORY"));
            for (n, table) in tables.iter().enumerate() {
                self.write_u64(directory + n as u64 * 8, *table);
            }
            directory
        };
        self.put(dual, "_DUAL", "Map", map);
        let size = self.layout.size("_HMAP_ENTRY");
        let mut blocks = Vec::new();
        for (&(start, bytes), &bin) in storage.bins.iter().zip(bins) {
            for block in 0..bytes / PAGE as usize {
                let n = start / PAGE as usize + block;
                let entry = tables[n / PER_TABLE] + (n % PER_TABLE) as u64 * size;
                let address = bin + block as u64 * PAGE;
                self.map_entry(entry, bin, address, if block == 0 { bytes as u64 } else { 0 });
                blocks.push(Block { address, bin, entry });
            }
        }
        blocks
    }

    /// One entry of the cell map. Older builds have addresses of block and bin, newer ones a bin and an offset in it; the low bits of
    /// the bin's address are flags (1: a bin begins here).
    fn map_entry(&mut self, entry: u64, bin: u64, address: u64, alloc: u64) {
        let kind = "_HMAP_ENTRY";
        let first = u64::from(bin == address);
        if self.layout.find(kind, "BlockAddress").is_some() {
            self.put(entry, kind, "BlockAddress", address);
            self.put(entry, kind, "BinAddress", bin | first);
        } else {
            self.put(entry, kind, "BlockOffset", address - bin);
            self.put(entry, kind, "PermanentBinAddress", bin | first);
        }
        self.put(entry, kind, "MemAlloc", alloc);
    }

    /// Puts bins into memory; says where each begins.
    fn place_bins(&mut self, cells: &Cells, space: usize, own: Option<&mut Space>) -> Vec<u64> {
        let storage = &cells.storage[space];
        let mut out = Vec::new();
        if let Some(own) = own {
            let base = 0x1d2_4f60_0000 + self.rng.below(0x1000) * 0x100_0000;
            for (n, frame) in storage.bytes.chunks(PAGE as usize).enumerate() {
                let taken = self.memory.take();
                self.memory.frame(taken).copy_from_slice(frame);
                own.map(&mut self.memory, base + n as u64 * PAGE, taken, USER_DATA);
            }
            out.extend(storage.bins.iter().map(|&(start, _)| base + start as u64));
        } else {
            for &(start, bytes) in &storage.bins {
                let at = self.pool(true, b"CM16", bytes as u64);
                self.write(at, &storage.bytes[start..start + bytes]);
                out.push(at);
            }
        }
        out
    }

    fn damage_hive(
        &mut self,
        damage: &HiveDamage,
        hive: u64,
        cells: &Cells,
        blocks: &[Vec<Block>],
        registry: Option<&mut Space>,
    ) {
        let block = |cell: u32| &blocks[usize::from(cell & VOLATILE != 0)][(cell & !VOLATILE) as usize / PAGE as usize];
        let value = |key: &str, value: &str| {
            let found = cells.values.get(&(key.to_owned(), value.to_owned()));
            *found.unwrap_or_else(|| panic!("no value {key}\\{value} to damage"))
        };
        match damage {
            HiveDamage::KeyPage { key, state } => {
                let at = block(cells.keys[key.as_str()]).address;
                self.page_out_bin(at, *state, registry);
            }
            HiveDamage::ValuePage { key, value: name, state } => {
                let at = block(value(key, name).0).address;
                self.page_out_bin(at, *state, registry);
            }
            HiveDamage::DataPage { key, value: name, state } => {
                let at = block(value(key, name).1.expect("data outside of the value's cell")).address;
                self.page_out_bin(at, *state, registry);
            }
            HiveDamage::NoMap { key } => {
                let block = block(cells.keys[key.as_str()]);
                debug_assert_eq!(block.bin, block.address);
                let (entry, size) = (block.entry, self.layout.size("_HMAP_ENTRY") as usize);
                self.write(entry, &vec![0; size]);
            }
            HiveDamage::Signature(signature) => self.put(hive, "_CMHIVE", "Hive.Signature", u64::from(*signature)),
            _ => {}
        }
    }

    fn page_out_bin(&mut self, at: u64, state: Paged, registry: Option<&mut Space>) {
        match registry {
            Some(space) if at >> 63 == 0 => self.page_out(space, at, state),
            _ => self.page_out_kernel(at, state),
        }
    }
}

/// The stable pages whose state the damage says.
fn damaged_pages(plan: &HivePlan, cells: &Cells) -> Vec<usize> {
    let value = |key: &String, value: &String| cells.values[&(key.clone(), value.clone())];
    let cell = |damage: &HiveDamage| match damage {
        HiveDamage::KeyPage { key, .. } => Some(cells.keys[key]),
        HiveDamage::ValuePage { key, value: name, .. } => Some(value(key, name).0),
        HiveDamage::DataPage { key, value: name, .. } => value(key, name).1,
        _ => None,
    };
    let stable = plan.damage.iter().filter_map(cell).filter(|cell| cell & VOLATILE == 0);
    stable.map(|cell| cell as usize / PAGE as usize).collect()
}

/// Damage that is in the cells themselves.
fn damage_cells(cells: &mut Cells, plan: &HivePlan) {
    for damage in &plan.damage {
        match damage {
            HiveDamage::CellSize { key, size } => {
                let cell = cells.keys[key.as_str()];
                cells.bytes(cell)[..4].copy_from_slice(&size.to_le_bytes());
            }
            HiveDamage::DataLength { key, value, length } => {
                let (cell, _) = cells.values[&(key.clone(), value.clone())];
                cells.put(cell, 4, *length);
            }
            HiveDamage::SelfList { key } => {
                let list = cells.extra(b"ri\x01\0\0\0\0\0");
                cells.put(list, 4, list);
                subkeys(cells, key, list);
            }
            HiveDamage::SelfKey { key } => {
                let list = cells.extra(b"lh\x01\0\0\0\0\0\0\0\0\0");
                let cell = cells.keys[key.as_str()];
                cells.put(list, 4, cell);
                subkeys(cells, key, list);
            }
            HiveDamage::ListCell { key, cell } => subkeys(cells, key, *cell),
            _ => {}
        }
    }
}

/// Makes a list the one of a key's subkeys.
fn subkeys(cells: &mut Cells, key: &str, list: u32) {
    let cell = cells.keys[key];
    cells.put(cell, 0x14, 1);
    cells.put(cell, 0x1c, list);
}
