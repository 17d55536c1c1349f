//! Bins and cells of a hive, as bytes (the `regf` format: bins, `nk`, `vk`, `lf`, `lh`, `li`, `ri`, `sk`, `db` cells; Maxim Suhanov,
//! "Windows registry file format specification"; `_CM_KEY_NODE` and its kin in public symbols say the same).

use crate::hive_plan::{Data, HivePlan, Key, ListKind};
use std::collections::BTreeMap;

/// Bytes of a page, the least size of a bin.
const PAGE: usize = 4096;
/// Bytes of a bin's header.
const BIN: usize = 0x20;
/// Top bit of a cell index: volatile storage.
pub const VOLATILE: u32 = 0x8000_0000;
/// No cell.
const NIL: u32 = u32::MAX;
/// Data beyond this is split into a `db` list of such pieces.
const BIG: usize = 16_344;
/// KEY_COMP_NAME: the name is in Latin-1.
const COMPRESSED: u16 = 0x20;

/// One storage, stable or volatile.
#[derive(Clone, Debug, Default)]
pub struct Storage {
    /// Bins one after the other; a cell index is an offset into them.
    pub bytes: Vec<u8>,
    /// Start and size of each bin.
    pub bins: Vec<(usize, usize)>,
    free: usize,
}

impl Storage {
    fn bin(&mut self, bytes: usize) {
        self.close();
        let size = (bytes + BIN).next_multiple_of(PAGE);
        let start = self.bytes.len();
        self.bytes.resize(start + size, 0);
        self.bytes[start..start + 4].copy_from_slice(b"hbin");
        self.bytes[start + 4..start + 8].copy_from_slice(&(start as u32).to_le_bytes());
        self.bytes[start + 8..start + 12].copy_from_slice(&(size as u32).to_le_bytes());
        self.bins.push((start, size));
        self.free = start + BIN;
    }

    /// Makes what is left of the last bin a free cell.
    pub fn close(&mut self) {
        let end = self.bytes.len();
        if self.free < end {
            let size = (end - self.free) as u32;
            self.bytes[self.free..self.free + 4].copy_from_slice(&size.to_le_bytes());
            self.free = end;
        }
    }

    /// Stores a cell and says its index. `alone`: on a page that nothing else shares.
    fn cell(&mut self, data: &[u8], alone: bool) -> u32 {
        let size = (data.len() + 4).next_multiple_of(8);
        if alone || self.free + size > self.bytes.len() {
            self.bin(size);
        }
        let at = self.free;
        self.bytes[at..at + 4].copy_from_slice(&(-(size as i32)).to_le_bytes());
        self.bytes[at + 4..at + 4 + data.len()].copy_from_slice(data);
        self.free = at + size;
        if alone {
            self.close();
        }
        at as u32
    }
}

/// A hive's cells and where keys and values are among them.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    /// Stable, volatile.
    pub storage: [Storage; 2],
    /// Cell index of the root key.
    pub root: u32,
    /// Key nodes by path below the root.
    pub keys: BTreeMap<String, u32>,
    /// Value cell and data cell (if data is not in place) by path and name.
    pub values: BTreeMap<(String, String), (u32, Option<u32>)>,
}

impl Cells {
    /// Lays out a hive.
    #[must_use]
    pub fn of(plan: &HivePlan) -> Self {
        let mut cells = Self::default();
        let security = [cells.security(0), if has_volatile(&plan.root) { cells.security(1) } else { NIL }];
        let mut writer = Writer { cells: &mut cells, plan, security };
        let root = writer.key(&plan.root, "", 0);
        cells.root = root;
        cells.storage.iter_mut().for_each(Storage::close);
        cells
    }

    fn cell(&mut self, space: usize, data: &[u8], alone: bool) -> u32 {
        let index = self.storage[space].cell(data, alone);
        if space == 1 { index | VOLATILE } else { index }
    }

    /// The bytes of a cell, from its size on.
    pub fn bytes(&mut self, cell: u32) -> &mut [u8] {
        &mut self.storage[usize::from(cell & VOLATILE != 0)].bytes[(cell & !VOLATILE) as usize..]
    }

    /// Writes a number into a cell's data.
    pub fn put(&mut self, cell: u32, offset: usize, value: u32) {
        self.bytes(cell)[4 + offset..8 + offset].copy_from_slice(&value.to_le_bytes());
    }

    /// Stores a cell after all others (damage needs that).
    pub fn extra(&mut self, data: &[u8]) -> u32 {
        let cell = self.cell(0, data, true);
        self.storage[0].close();
        cell
    }

    fn security(&mut self, space: usize) -> u32 {
        // Self-relative descriptor: owner and group Local System, a DACL that gives it everything (MS-DTYP 2.4.6).
        let system = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
        let mut descriptor = vec![1, 0, 4, 0x80];
        for offset in [20u32, 32, 0, 44] {
            descriptor.extend_from_slice(&offset.to_le_bytes());
        }
        descriptor.extend_from_slice(&system);
        descriptor.extend_from_slice(&system);
        descriptor.extend_from_slice(&[2, 0, 28, 0, 1, 0, 0, 0, 0, 2, 20, 0]);
        descriptor.extend_from_slice(&0xf_003fu32.to_le_bytes());
        descriptor.extend_from_slice(&system);
        let mut data = b"sk\0\0".to_vec();
        data.extend_from_slice(&[0; 8]);
        data.extend_from_slice(&1u32.to_le_bytes());
        data.extend_from_slice(&(descriptor.len() as u32).to_le_bytes());
        data.extend_from_slice(&descriptor);
        let cell = self.cell(space, &data, false);
        // The one descriptor is its own neighbour.
        self.put(cell, 4, cell);
        self.put(cell, 8, cell);
        cell
    }
}

fn has_volatile(key: &Key) -> bool {
    key.volatile || key.keys.iter().any(has_volatile)
}

struct Writer<'a> {
    cells: &'a mut Cells,
    plan: &'a HivePlan,
    security: [u32; 2],
}

impl Writer<'_> {
    /// Stores a key and all below it; says its cell.
    fn key(&mut self, key: &Key, path: &str, parent: u32) -> u32 {
        let space = usize::from(key.volatile);
        let alone = self.plan.damage.iter().any(|d| d.lone_key() == Some(path));
        let (name, compressed) = name_bytes(&key.name);
        let root = path.is_empty();
        let mut flags = if compressed { COMPRESSED } else { 0 };
        // KEY_HIVE_ENTRY and KEY_NO_DELETE mark the root, KEY_IS_VOLATILE, KEY_SYM_LINK others.
        flags |= if root { 0xc } else { 0 } | u16::from(key.volatile);
        if key.values.iter().any(|v| matches!(v.data, Data::Link(_))) {
            flags |= 0x10;
        }
        let mut node = b"nk".to_vec();
        node.extend_from_slice(&flags.to_le_bytes());
        node.extend_from_slice(&key.written.0.to_le_bytes());
        node.resize(0x4c, 0);
        let put = |node: &mut Vec<u8>, at: usize, value: u32| node[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(&mut node, 0x10, parent);
        for (at, value) in [(0x1c, NIL), (0x20, NIL), (0x28, NIL), (0x2c, self.security[space]), (0x30, NIL)] {
            put(&mut node, at, value);
        }
        let widest = key.keys.iter().map(|k| k.name.encode_utf16().count() * 2).max().unwrap_or(0);
        put(&mut node, 0x34, widest as u32);
        node[0x48..0x4a].copy_from_slice(&(name.len() as u16).to_le_bytes());
        node.extend_from_slice(&name);
        let cell = self.cells.cell(space, &node, alone);
        self.cells.keys.insert(path.to_owned(), cell);
        self.values(key, path, cell, space);
        let mut children: Vec<&Key> = key.keys.iter().collect();
        children.sort_by_key(|k| k.name.to_uppercase());
        let mut stored: [Vec<(u32, &str)>; 2] = [Vec::new(), Vec::new()];
        for child in children {
            let below = if path.is_empty() { child.name.clone() } else { format!("{path}\\{}", child.name) };
            let at = self.key(child, &below, cell);
            stored[usize::from(child.volatile)].push((at, &child.name));
        }
        for (which, list) in stored.iter().enumerate().filter(|(_, l)| !l.is_empty()) {
            let at = self.list(list, key.list, which);
            self.cells.put(cell, 0x14 + which * 4, list.len() as u32);
            self.cells.put(cell, 0x1c + which * 4, at);
        }
        cell
    }

    fn values(&mut self, key: &Key, path: &str, cell: u32, space: usize) {
        if key.values.is_empty() {
            return;
        }
        let list: Vec<u8> = key.values.iter().flat_map(|v| self.value(v, path, space).to_le_bytes()).collect();
        let at = self.cells.cell(space, &list, false);
        self.cells.put(cell, 0x24, key.values.len() as u32);
        self.cells.put(cell, 0x28, at);
    }

    fn value(&mut self, value: &crate::hive_plan::Value, path: &str, space: usize) -> u32 {
        use crate::hive_plan::HiveDamage::{DataPage, ValuePage};
        let is = |k: &str, v: &str| k == path && v == value.name;
        let alone = self.plan.damage.iter().any(|d| matches!(d, ValuePage { key, value, .. } if is(key, value)));
        let lone_data = self.plan.damage.iter().any(|d| matches!(d, DataPage { key, value, .. } if is(key, value)));
        let (kind, data) = value.data.stored();
        let (name, compressed) = name_bytes(&value.name);
        let mut length = data.len() as u32;
        let mut data_cell = None;
        let place = if data.len() <= 4 {
            length |= 0x8000_0000;
            let mut word = [0; 4];
            word[..data.len()].copy_from_slice(&data);
            u32::from_le_bytes(word)
        } else {
            let at = self.data(&data, space, lone_data);
            data_cell = Some(at);
            at
        };
        let mut cell = b"vk".to_vec();
        cell.extend_from_slice(&(name.len() as u16).to_le_bytes());
        for word in [length, place, kind] {
            cell.extend_from_slice(&word.to_le_bytes());
        }
        // VALUE_COMP_NAME
        cell.extend_from_slice(&u16::from(compressed).to_le_bytes());
        cell.extend_from_slice(&[0, 0]);
        cell.extend_from_slice(&name);
        let at = self.cells.cell(space, &cell, alone);
        self.cells.values.insert((path.to_owned(), value.name.clone()), (at, data_cell));
        at
    }

    fn data(&mut self, data: &[u8], space: usize, alone: bool) -> u32 {
        if data.len() <= BIG {
            return self.cells.cell(space, data, alone);
        }
        let pieces: Vec<u32> = data.chunks(BIG).map(|piece| self.cells.cell(space, piece, alone)).collect();
        let list: Vec<u8> = pieces.iter().flat_map(|p| p.to_le_bytes()).collect();
        let list = self.cells.cell(space, &list, false);
        let mut head = b"db".to_vec();
        head.extend_from_slice(&(pieces.len() as u16).to_le_bytes());
        head.extend_from_slice(&list.to_le_bytes());
        self.cells.cell(space, &head, false)
    }

    fn list(&mut self, entries: &[(u32, &str)], kind: ListKind, space: usize) -> u32 {
        if kind == ListKind::Ri {
            let lists: Vec<u32> = entries.chunks(2).map(|two| self.list(two, ListKind::Lh, space)).collect();
            let mut data = b"ri".to_vec();
            data.extend_from_slice(&(lists.len() as u16).to_le_bytes());
            lists.iter().for_each(|l| data.extend_from_slice(&l.to_le_bytes()));
            return self.cells.cell(space, &data, false);
        }
        let signature: &[u8; 2] = match kind {
            ListKind::Lf => b"lf",
            ListKind::Li => b"li",
            _ => b"lh",
        };
        let mut data = signature.to_vec();
        data.extend_from_slice(&(entries.len() as u16).to_le_bytes());
        for (cell, name) in entries {
            data.extend_from_slice(&cell.to_le_bytes());
            match kind {
                ListKind::Lf => {
                    let mut hint = [0; 4];
                    name.bytes().take(4).enumerate().for_each(|(n, b)| hint[n] = b);
                    data.extend_from_slice(&hint);
                }
                ListKind::Li => {}
                _ => data.extend_from_slice(&hash(name).to_le_bytes()),
            }
        }
        self.cells.cell(space, &data, false)
    }
}

/// The hash of `lh` lists: each upper-case character, times 37.
fn hash(name: &str) -> u32 {
    name.to_uppercase().encode_utf16().fold(0, |h: u32, c| h.wrapping_mul(37).wrapping_add(u32::from(c)))
}

/// A name as stored: one byte a character if all are Latin-1.
fn name_bytes(name: &str) -> (Vec<u8>, bool) {
    if name.chars().all(|c| (c as u32) < 0x100) {
        (name.chars().map(|c| c as u8).collect(), true)
    } else {
        (name.encode_utf16().flat_map(u16::to_le_bytes).collect(), false)
    }
}
