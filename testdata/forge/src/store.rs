//! The compressed store: `SmGlobals`, the trees, records, regions. Its structures are in no public symbols; the offsets are those that
//! MemProcFS (`vmm/mm/mm_win.c`) and Mandiant's `win10_memcompression.py` read at.

use crate::machine::{Machine, USER_DATA};
use crate::page_plan::{Form, Paged, PagingFile, StoreDamage};
use crate::paging::Space;
use crate::physical::PAGE;
use crate::swap::StoredPage;
use crate::vad::Region;
use crate::{lz4, xpress};
use std::collections::BTreeMap;

/// Bytes of a region.
const REGION: u64 = 0x2_0000;
/// Entries of a chunk of records, as a shift.
const CHUNK_SHIFT: u32 = 7;
/// Bytes of a record.
const RECORD: u64 = 0x10;
/// Bytes before the first record of a chunk.
const CHUNK_HEADER: u64 = 0x30;
/// First region that is used.
const FIRST_REGION: u64 = 2;
/// A location that says: another record has the page.
const ELSEWHERE: u32 = u32::MAX;

/// Where things are in `SMKM_STORE`, which differs between builds.
struct Offsets {
    format: Option<u64>,
    regions: u64,
    owner: u64,
    /// Where `SmGlobals` leads to the data since 22H2: offset of the pointer, and how far into the data it points.
    moved: Option<(u64, u64)>,
}

impl Offsets {
    fn of(build: u32) -> Self {
        let (format, regions, owner) = match build {
            ..=14_393 => (Some(0x420), 0x17a8, 0x1918),
            14_394..=15_063 => (Some(0x420), 0x1828, 0x1988),
            15_064..=18_363 => (Some(0x430), 0x1848, 0x19a8),
            18_364..=26_099 => (Some(0x430), 0x1848, 0x19b8),
            _ => (None, 0x1b70, 0x1d08),
        };
        let moved = match build {
            ..=22_600 => None,
            22_601..=26_099 => Some((0x8, 0x7a8)),
            _ => Some((0x10, 0xc30)),
        };
        Self { format, regions, owner, moved }
    }
}

/// A record: where the bytes are, and how many.
#[derive(Clone, Copy, Debug)]
struct Record {
    location: u32,
    size: u16,
}

/// The regions being filled.
struct Regions {
    /// Region of the next bytes, and where in it.
    region: u64,
    at: u64,
    base: u64,
    used: Vec<u64>,
}

impl Regions {
    fn address(&self, region: u64) -> u64 {
        self.base + region * REGION * 3
    }

    /// Room for so many bytes: its region and the offset in it.
    fn place(&mut self, bytes: u64, gap: u64) -> (u64, u64) {
        self.at = (self.at + gap).next_multiple_of(16);
        if self.at + bytes > REGION || self.used.is_empty() {
            self.region = self.used.last().map_or(FIRST_REGION, |r| r + 1);
            self.used.push(self.region);
            self.at = 0;
        }
        let at = self.at;
        self.at += bytes;
        (self.region, at)
    }
}

impl Machine {
    /// Writes the store with all pages that went into it. `owner` is the process MemCompression: its object and its address space.
    ///
    /// # Panics
    /// When pages went into a store that there is not.
    pub(crate) fn forge_store(&mut self, owner: Option<(u64, &mut Space)>) {
        let Some(plan) = self.plan.pages.store.clone() else {
            assert!(self.swap.stored.is_empty(), "pages for a store, and no store");
            return;
        };
        let (body, space) = owner.expect("the store is in the process MemCompression");
        let number = self.swap.number(PagingFile::Store);
        let offsets = Offsets::of(self.layout.number);
        let mut pages = std::mem::take(&mut self.swap.stored);
        let taken: Vec<u64> = pages.iter().map(|p| p.index).collect();
        for n in 0..u64::from(plan.filler) {
            let index = 0x10_000 + n * 7;
            debug_assert!(!taken.contains(&index));
            pages.push(StoredPage { index, bytes: self.filler(n), form: Form::Packed });
        }
        let mut regions = Regions { region: 0, at: 0, base: 0x1_8a20_0000, used: Vec::new() };
        let (mut stores, mut keys, mut records) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for page in &pages {
            // From 24H2 on the index alone is the key.
            let key = if self.layout.number >= 26_100 { page.index } else { number << 28 | page.index } as u32;
            let record = self.store_page(page, &plan.damage, space, &mut regions);
            stores.insert(key, plan.index | if plan.damage.contains(&StoreDamage::NotValid) { 1 << 24 } else { 0 });
            keys.insert(key, (1 << CHUNK_SHIFT) + records.len() as u32);
            records.push(record);
        }
        let store = self.system_pages(2);
        let global = self.forge_tree(&stores, plan.fan);
        let tree = self.forge_tree(&keys, plan.fan);
        let mut root = tree.root;
        for damage in &plan.damage {
            match *damage {
                StoreDamage::GlobalLoop => self.write_u64(global.root + 8, global.root),
                StoreDamage::PagesLoop => self.write_u64(tree.root + 8, tree.root),
                StoreDamage::PagesDeep(levels) => {
                    for _ in 0..levels {
                        // All keys are below the only one: the child on the left.
                        root = self.node(1, 7, false, root);
                        self.write_u64(root + 0x10, u64::from(u32::MAX));
                    }
                }
                StoreDamage::Counts => tree.nodes.iter().for_each(|&node| self.write(node, &[0xff, 0xff])),
                StoreDamage::NoRegion => records.iter_mut().for_each(|r| r.location |= 0x3ff << 13),
                StoreDamage::Neighbour => records.chunks_exact_mut(2).for_each(|pair| pair[0] = pair[1]),
                StoreDamage::Early => records.chunks_exact_mut(2).for_each(|pair| pair[1].location -= 8),
                StoreDamage::OutOfRegion => records.iter_mut().for_each(|r| r.location |= 0x1fff),
                _ => {}
            }
        }
        self.write_u64(store + 0x50, root);
        self.forge_records(store, &records, &plan.damage);
        self.write_u64(store + 0x370, store);
        self.write_u64(store + 0x378, 13 << 32 | 0x1fff);
        if let Some(at) = offsets.format {
            // COMPRESSION_FORMAT_XPRESS
            self.write(store + at, &3u16.to_le_bytes());
        }
        let last = regions.used.last().copied().unwrap_or(0);
        let array = self.pool(false, b"smRa", (last + 1) * 8);
        for &region in &regions.used {
            let at = regions.address(region);
            self.write_u64(array + region * 8, at);
        }
        self.write_u64(store + offsets.regions, array);
        let owner = if plan.damage.contains(&StoreDamage::Owner) { body + 0x1000 } else { body };
        self.write_u64(store + offsets.owner, owner);
        if plan.damage.contains(&StoreDamage::HalfStore) {
            let noise: Vec<u8> = (0..0x100).flat_map(|_| self.rng.next_u64().to_le_bytes()).collect();
            (0..3).for_each(|n| self.write(store + 0x370 + n * 0x800, &noise));
        }
        self.forge_store_globals(&offsets, global.root, plan.index, store, body);
        self.forge_regions(body, space, &regions, pages.first().map_or(0, |p| p.index));
    }

    /// `SmGlobals`: the array of stores and the tree that says which of them has a page.
    fn forge_store_globals(&mut self, offsets: &Offsets, tree: u64, index: u32, store: u64, body: u64) {
        let symbol = self.global("?SmGlobals@@3U_SM_GLOBALS@@A");
        let start = match offsets.moved {
            None => symbol,
            Some((pointer, inside)) => {
                let data = self.pool(false, b"SmPa", 0xd00);
                self.write_u64(symbol + pointer, data + inside);
                data
            }
        };
        self.write_u64(start + 0x1c0, tree);
        for row in 0..=u64::from(index >> 5) {
            let array = self.pool(false, b"smSa", 32 * 0x28);
            self.write_u64(start + row * 8, array);
            if row == u64::from(index >> 5) {
                let entry = array + u64::from(index & 31) * 0x28;
                self.write_u64(entry, store);
                self.write_u64(entry + 0x18, if index.is_multiple_of(2) { 0 } else { body });
            }
        }
    }

    /// Puts the bytes of a page into a region.
    fn store_page(
        &mut self,
        page: &StoredPage,
        damage: &[StoreDamage],
        space: &mut Space,
        regions: &mut Regions,
    ) -> Record {
        let mut bytes = page.bytes.to_vec();
        for one in damage {
            if let StoreDamage::Unpacked(size) = *one {
                bytes.resize(size, 0x20);
            }
        }
        let packed = match page.form {
            Form::Packed if self.layout.number >= 26_100 => lz4::compress(&bytes),
            Form::Packed => xpress::compress(&bytes),
            Form::Plain => bytes,
        };
        let packed = if packed.len() < 4096 { packed } else { page.bytes.to_vec() };
        if page.bytes.iter().all(|&b| b == 0) {
            return Record { location: 0, size: 0 };
        }
        let gap = self.rng.below(3) * 16;
        let (region, at) = regions.place(packed.len() as u64, gap);
        let va = regions.address(region) + at;
        for page in (va / PAGE)..(va + packed.len() as u64).div_ceil(PAGE) {
            if space.frame_of(page * PAGE).is_none() {
                let frame = self.memory.take();
                self.noise(frame);
                space.map(&mut self.memory, page * PAGE, frame, USER_DATA);
            }
        }
        space.write(&mut self.memory, va, &packed);
        Record { location: (region << 13 | at >> 4) as u32, size: packed.len() as u16 }
    }

    /// The chunks of records, and the arrays that lead to them.
    fn forge_records(&mut self, store: u64, records: &[Record], damage: &[StoreDamage]) {
        let metadata = store + 0x110;
        let per_chunk = 1usize << CHUNK_SHIFT;
        for (n, word) in (0..).zip([CHUNK_SHIFT, per_chunk as u32 - 1, RECORD as u32, 0, CHUNK_HEADER as u32]) {
            self.write(metadata + 0x108 + n * 4, &word.to_le_bytes());
        }
        for (chunk, part) in (1u64..).zip(records.chunks(per_chunk)) {
            let page = self.big_pool(false, PAGE);
            for (n, record) in (0..).zip(part) {
                let at = page + CHUNK_HEADER + n * RECORD;
                let ring = damage.contains(&StoreDamage::RecordRing);
                let next = ((chunk as u32) << CHUNK_SHIFT) + (n as u32 + 1) % part.len() as u32;
                let location = if ring { ELSEWHERE } else { record.location };
                self.write(at, &location.to_le_bytes());
                let second = if ring { next } else { u32::from(record.size) };
                self.write(at + 4, &second.to_le_bytes());
                self.write(at + 8, &(if ring { next } else { u32::MAX }).to_le_bytes());
            }
            if damage.contains(&StoreDamage::HalfRecords) {
                let noise: Vec<u8> = (0..0x80).flat_map(|_| self.rng.next_u64().to_le_bytes()).collect();
                self.write(page + CHUNK_HEADER + part.len() as u64 / 2 * RECORD, &noise);
            }
            // The highest bit says which array, the others which entry of it.
            let bit = u64::from(chunk.ilog2());
            let mut array = self.read_u64(metadata + bit * 8);
            if array == 0 {
                array = self.pool(false, b"smBA", 0x10 << bit);
                self.write_u64(metadata + bit * 8, array);
            }
            self.write_u64(array + 0x10 * (chunk ^ 1 << bit), page);
        }
    }

    /// Descriptors of the regions, and the state of their pages.
    fn forge_regions(&mut self, body: u64, space: &mut Space, regions: &Regions, stored: u64) {
        let all = regions.used.iter().map(|&region| Region {
            start: regions.address(region),
            bytes: REGION,
            protection: 4,
            file: None,
            image: false,
        });
        let all: Vec<Region> = all.collect();
        let state = self.plan.pages.store.as_ref().expect("there is a store").regions;
        for region in &all {
            for page in (region.start..region.start + REGION).step_by(PAGE as usize) {
                if space.frame_of(page).is_none() {
                    continue;
                }
                if let Paged::Stored(_) = state {
                    // The store in the store: the page is said to be where one is whose bytes are in it.
                    let entry = self.swizzled(self.software(self.swap.number(PagingFile::Store), stored));
                    space.set_entry(&mut self.memory, page, entry);
                } else {
                    self.page_out(space, page, state);
                }
            }
        }
        self.forge_vads(body, all);
    }

    /// A page of no interest.
    fn filler(&mut self, n: u64) -> Box<[u8; 4096]> {
        let mut page = Box::new([0; 4096]);
        let word = self.rng.next_u64();
        for (at, byte) in page.iter_mut().enumerate() {
            *byte = match n % 3 {
                0 => (word >> (at % 7)) as u8,
                1 => (at / 64) as u8 ^ word as u8,
                _ if at < 3000 => (word >> (at * 5 % 61)) as u8,
                _ => 0,
            };
        }
        page
    }
}
