//! A machine that Hyper-V saved (.vmrs). Layout: `FORMAT.md` of `hvs_file` in Microsoft's openvmm.

use super::hibernation::lz77;
use super::put;
use crate::forge::Forged;
use crate::physical::PAGE;

const TABLE: usize = 4096;
const BLOCK: usize = 1 << 20;

/// Objects in the order in which they are written, each on a border of pages.
struct File {
    bytes: Vec<u8>,
    /// Kind, offset, size of each.
    objects: Vec<(u8, u64, u32)>,
}

impl File {
    fn object(&mut self, kind: u8, bytes: &[u8]) -> u64 {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(TABLE), 0);
        self.objects.push((kind, at as u64, (self.bytes.len() - at) as u32));
        at as u64
    }
}

/// A table of keys that is being filled.
struct Keys {
    index: u16,
    sequence: u16,
    bytes: Vec<u8>,
    order: u32,
}

impl Keys {
    fn new(index: u16, sequence: u16) -> Self {
        Self { index, sequence, bytes: vec![0; 10], order: 0 }
    }

    /// Adds a key, if there is room for it and for what must follow. Returns its offset.
    fn add(&mut self, kind: u8, flags: u8, parent: (u16, u32), name: &str, data: &[u8]) -> Option<u32> {
        let at = self.bytes.len();
        let size = 21 + name.len() + 1 + data.len();
        if at + size + 22 > TABLE {
            return None;
        }
        self.order += 1;
        let mut entry = vec![kind, flags];
        entry.extend_from_slice(&(size as u32).to_le_bytes());
        entry.extend_from_slice(&parent.0.to_le_bytes());
        entry.extend_from_slice(&parent.1.to_le_bytes());
        entry.extend_from_slice(&[0; 4]);
        entry.extend_from_slice(&self.order.to_le_bytes());
        entry.push(name.len() as u8 + 1);
        entry.extend_from_slice(name.as_bytes());
        entry.push(0);
        entry.extend_from_slice(data);
        let sum = crc32(&entry);
        put(&mut entry, 12, &sum.to_le_bytes());
        self.bytes.extend(entry);
        Some(at as u32)
    }

    fn finish(mut self) -> Vec<u8> {
        put(&mut self.bytes, 0, &2u16.to_le_bytes());
        put(&mut self.bytes, 2, &self.index.to_le_bytes());
        put(&mut self.bytes, 4, &self.sequence.to_le_bytes());
        let sum = crc32(&self.bytes[..10]);
        put(&mut self.bytes, 6, &sum.to_le_bytes());
        // A free entry fills the rest.
        let at = self.bytes.len();
        self.bytes.resize(TABLE, 0);
        self.bytes[at] = 1;
        put(&mut self.bytes, at + 2, &((TABLE - at) as u32).to_le_bytes());
        self.bytes
    }
}

impl Forged {
    /// The file. `unlisted`: the tables of the last keys are there, but no object leads to them.
    #[must_use]
    pub fn as_vmrs(&self, unlisted: bool) -> Vec<u8> {
        let mut file = File { bytes: vec![0; 0x2000 + TABLE], objects: Vec::new() };
        let mut log = vec![0; TABLE];
        put(&mut log, 0, &0x0111_0003u32.to_le_bytes());
        put(&mut log, 13, &128u32.to_le_bytes());
        let log = file.object(6, &log);
        // Keys: nodes and ranges first, then a key for each block.
        let mut keys = vec![Keys::new(1, 3)];
        let first = &mut keys[0];
        let node = first.add(9, 0, (0, 0), "savedstate", &[0; 12]).expect("room");
        let root = (1, node);
        first.add(3, 0, root, "VmVersion", &0xa00u64.to_le_bytes()).expect("room");
        let (mut row, mut blocks) = (0u64, Vec::new());
        for (n, run) in self.truth.runs.iter().enumerate() {
            let pages = (run.end - run.start) / PAGE;
            let mut range = 48u32.to_le_bytes().to_vec();
            range.extend_from_slice(&3u32.to_le_bytes());
            range.extend_from_slice(&[0; 4]);
            for number in [pages, row, run.start / PAGE, 0, 0] {
                range.extend_from_slice(&number.to_le_bytes());
            }
            first.add(7, 0, root, &format!("RamMemoryBlock{n}"), &range[..52]).expect("room");
            let mut bytes = Vec::new();
            self.append_run(run, &mut bytes);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
            // The next range begins with a block of its own.
            row += bytes.len() as u64 / PAGE;
            blocks.extend(bytes.chunks(BLOCK).map(<[u8]>::to_vec));
        }
        for (n, block) in blocks.iter().enumerate() {
            let packed = lz77(block);
            let data = if n % 3 == 0 || packed.len() >= BLOCK { block } else { &packed };
            let name = format!("RamBlock{n}");
            let mut value = (data.len() as u32).to_le_bytes().to_vec();
            let small = data.len() < 2048;
            if small {
                value.extend_from_slice(data);
            } else {
                let at = file.object(3, data);
                value.extend_from_slice(&at.to_le_bytes());
            }
            let flags = u8::from(!small);
            if keys.last_mut().expect("one").add(7, flags, root, &name, &value).is_none() {
                let mut next = Keys::new(keys.len() as u16 + 1, 3);
                next.add(7, flags, root, &name, &value).expect("room in an empty table");
                keys.push(next);
            }
        }
        // An older copy of the last table, with other values.
        let mut old = Keys::new(keys.len() as u16, 2);
        old.add(7, 0, root, &format!("RamBlock{}", blocks.len() - 1), &[4, 0, 0, 0, 1, 2, 3, 4]).expect("room");
        file.object(2, &old.finish());
        let count = keys.len();
        for (n, keys) in keys.into_iter().enumerate() {
            file.object(2, &keys.finish());
            if unlisted && n > 0 && n + 1 == count {
                file.objects.pop();
            }
        }
        let mut out = file.bytes;
        objects(&mut out, &file.objects);
        // The second header is the newer one; the first leads nowhere.
        for (at, sequence, log) in [(0, 6u16, 0u64), (0x1000, 7, log)] {
            let mut header = vec![0; 46];
            put(&mut header, 0, &0x0128_2014u32.to_le_bytes());
            put(&mut header, 8, &sequence.to_le_bytes());
            put(&mut header, 10, &0x400u32.to_le_bytes());
            put(&mut header, 22, &4096u32.to_le_bytes());
            put(&mut header, 26, &log.to_le_bytes());
            put(&mut header, 34, &(TABLE as u64).to_le_bytes());
            put(&mut header, 42, &(TABLE as u32).to_le_bytes());
            let sum = crc32(&header);
            put(&mut header, 4, &sum.to_le_bytes());
            put(&mut out, at, &header);
        }
        out
    }
}

/// Writes the tables of objects: the first at 0x2000, the others behind all else. The last entry of each leads to the next.
fn objects(out: &mut Vec<u8>, objects: &[(u8, u64, u32)]) {
    const ENTRIES: usize = (TABLE - 8) / 18;
    let tables: Vec<_> = objects.chunks(ENTRIES - 1).collect();
    let mut at = 0x2000;
    for (n, objects) in tables.iter().enumerate() {
        let next = out.len();
        put(out, at, &0x0111_0001u32.to_le_bytes());
        put(out, at + 4, &(ENTRIES as u32).to_le_bytes());
        let mut write = |n: usize, (kind, offset, size): (u8, u64, u32)| {
            let mut entry = vec![kind, 0, 0, 0, 0];
            entry.extend_from_slice(&offset.to_le_bytes());
            entry.extend_from_slice(&size.to_le_bytes());
            entry.push(1);
            let sum = crc32(&entry);
            put(&mut entry, 1, &sum.to_le_bytes());
            put(out, at + 8 + n * 18, &entry);
        };
        for (n, object) in objects.iter().enumerate() {
            write(n, *object);
        }
        if n + 1 < tables.len() {
            write(ENTRIES - 1, (1, next as u64, TABLE as u32));
            out.resize(next + TABLE, 0);
        }
        at = next;
    }
}

/// CRC-32 of ISO 3309, bit by bit.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    })
}
