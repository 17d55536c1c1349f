//! QEMU's migration stream, alone, behind libvirt's header, and as a snapshot in a qcow2 disk.
//!
//! QEMU `migration/ram.c`, `docs/interop/qcow2.txt`; libvirt `qemu_saveimage.h`.

use super::put;
use crate::forge::Forged;
use crate::physical::PAGE;

/// How a stream holds pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Page after page.
    Pages,
    /// As of a machine that ran on: some pages come once with other bytes first.
    Live,
    /// At their places in the file (`mapped-ram`).
    Mapped,
}

/// RAM below the hole of a `pc` with so much RAM, and all of it.
const BELOW: u64 = 0xc000_0000;
const RAM: u64 = 0xe100_0000;

impl Forged {
    /// A migration stream of a machine `pc`.
    #[must_use]
    pub fn as_qemu_stream(&self, kind: Stream) -> Vec<u8> {
        let mut out = b"QEVM\0\0\0\x03".to_vec();
        let machine = b"pc-i440fx-7.2";
        out.push(7);
        out.extend_from_slice(&(machine.len() as u32).to_be_bytes());
        out.extend_from_slice(machine);
        if kind == Stream::Mapped {
            subsection(&mut out, b"configuration/capabilities");
            out.extend_from_slice(&1u32.to_be_bytes());
            name(&mut out, b"mapped-ram");
        }
        section(&mut out, 1, 2);
        let blocks: [(&[u8], u64); 3] =
            [(b"pc.ram", RAM), (b"vga.vram", 0x100_0000), (b"/rom@etc/acpi/tables", 0x20_0000)];
        let total: u64 = blocks.iter().map(|block| block.1).sum();
        out.extend_from_slice(&(total | 0x04).to_be_bytes());
        for (block, bytes) in blocks {
            name(&mut out, block);
            out.extend_from_slice(&bytes.to_be_bytes());
            if kind == Stream::Mapped {
                self.map_block(&mut out, block == b"pc.ram", bytes);
            }
        }
        if kind != Stream::Mapped {
            out.extend_from_slice(&0x10u64.to_be_bytes());
            out.extend_from_slice(&[0x7e, 0, 0, 0, 2]);
            if kind == Stream::Live {
                out.extend_from_slice(&[2, 0, 0, 0, 2]);
                self.records(&mut out, true);
            }
            out.extend_from_slice(&[3, 0, 0, 0, 2]);
            self.records(&mut out, false);
        } else {
            out.extend_from_slice(&0x10u64.to_be_bytes());
        }
        out.extend_from_slice(&[0x7e, 0, 0, 0, 2]);
        section(&mut out, 4, 3);
        out.extend_from_slice(&[0; 64]);
        out
    }

    /// A libvirt save file around the stream.
    #[must_use]
    pub fn as_libvirt_save(&self) -> Vec<u8> {
        let xml = b"<domain type='kvm'><name>forged</name></domain>\0";
        let mut out = b"LibvirtQemudSave".to_vec();
        for word in [2u32, xml.len() as u32, 1, 0, 0] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.resize(92, 0);
        out.extend_from_slice(xml);
        out.extend(self.as_qemu_stream(Stream::Pages));
        out
    }

    /// A qcow2 disk of 1 GiB with two snapshots, the second of which holds the stream; its clusters lie in no order.
    #[must_use]
    pub fn as_qcow2(&self) -> Vec<u8> {
        let (cluster, disk) = (0x1_0000usize, 1u64 << 30);
        let stream = self.as_qemu_stream(Stream::Pages);
        let clusters = stream.len().div_ceil(cluster);
        // Where the state begins: 8192 clusters are a group.
        let group = 8192u64 * cluster as u64;
        let first = disk.div_ceil(group);
        let mut out = vec![0; cluster];
        put(&mut out, 0, b"QFI\xfb");
        put(&mut out, 4, &3u32.to_be_bytes());
        put(&mut out, 20, &16u32.to_be_bytes());
        put(&mut out, 24, &disk.to_be_bytes());
        put(&mut out, 60, &2u32.to_be_bytes());
        let l1_size = first as usize + clusters.div_ceil(8192);
        let (l1, l2) = (cluster, 2 * cluster);
        let tables = clusters.div_ceil(8192);
        out.resize(l2 + tables * cluster, 0);
        // Even ones first, then the odd ones, from the last on.
        let order: Vec<usize> = (0..clusters).step_by(2).chain((0..clusters).skip(1).step_by(2).rev()).collect();
        let data = out.len();
        for (place, &n) in order.iter().enumerate() {
            let at = data + place * cluster;
            put(&mut out, l2 + n * 8, &(at as u64 | 1 << 63).to_be_bytes());
        }
        for table in 0..tables {
            let at = (l2 + table * cluster) as u64 | 1 << 63;
            put(&mut out, l1 + (first as usize + table) * 8, &at.to_be_bytes());
        }
        for &n in &order {
            let bytes = &stream[n * cluster..stream.len().min((n + 1) * cluster)];
            out.extend_from_slice(bytes);
            out.resize(out.len().next_multiple_of(cluster), 0);
        }
        let snapshots = out.len();
        put(&mut out, 64, &(snapshots as u64).to_be_bytes());
        for (id, text, state) in [(b"1", &b"disk-only"[..], 0u64), (b"2", b"with-memory", stream.len() as u64)] {
            let mut entry = vec![0; 40];
            put(&mut entry, 0, &(l1 as u64).to_be_bytes());
            put(&mut entry, 8, &(l1_size as u32).to_be_bytes());
            put(&mut entry, 12, &1u16.to_be_bytes());
            put(&mut entry, 14, &(text.len() as u16).to_be_bytes());
            put(&mut entry, 36, &16u32.to_be_bytes());
            entry.extend_from_slice(&state.to_be_bytes());
            entry.extend_from_slice(&disk.to_be_bytes());
            entry.extend_from_slice(id);
            entry.extend_from_slice(text);
            entry.resize(entry.len().next_multiple_of(8), 0);
            out.extend(entry);
        }
        out
    }

    /// The frames with their offsets in RAM.
    fn ram(&self) -> impl Iterator<Item = (u64, &[u8; 4096])> {
        let runs = self.truth.runs.iter().flat_map(|run| self.pages(run));
        runs.map(|(frame, bytes)| {
            (if frame * PAGE < BELOW { frame * PAGE } else { frame * PAGE - (1 << 32) + BELOW }, bytes)
        })
    }

    /// A record for each page. `stale`: only some, with other bytes.
    fn records(&self, out: &mut Vec<u8>, stale: bool) {
        let mut named = false;
        for (n, (offset, bytes)) in self.ram().enumerate() {
            if stale && n % 7 != 0 {
                continue;
            }
            let zero = bytes.iter().all(|&byte| byte == 0) && !stale;
            let flags = if zero { 0x02 } else { 0x08 } | if named { 0x20 } else { 0 };
            out.extend_from_slice(&(offset | flags).to_be_bytes());
            if !std::mem::replace(&mut named, true) {
                name(out, b"pc.ram");
            }
            match (zero, stale) {
                (true, _) => out.push(0),
                (false, true) => out.extend_from_slice(&[0x5a; 4096]),
                (false, false) => out.extend_from_slice(bytes),
            }
        }
        // A device's memory, which is none of the machine's.
        out.extend_from_slice(&0x08u64.to_be_bytes());
        name(out, b"vga.vram");
        out.extend_from_slice(&[0x77; 4096]);
        out.extend_from_slice(&0x10u64.to_be_bytes());
    }

    /// A block whose pages stand at their places: the header, the bitmap, then the pages at a multiple of 1 MiB.
    fn map_block(&self, out: &mut Vec<u8>, is_ram: bool, bytes: u64) {
        let bitmap_at = out.len() + 28;
        let bits = (bytes / PAGE).div_ceil(64) as usize * 8;
        let pages_at = (bitmap_at + bits).next_multiple_of(1 << 20);
        out.extend_from_slice(&1u32.to_be_bytes());
        out.extend_from_slice(&PAGE.to_be_bytes());
        out.extend_from_slice(&(bitmap_at as u64).to_be_bytes());
        out.extend_from_slice(&(pages_at as u64).to_be_bytes());
        out.resize(pages_at + bytes as usize, 0);
        if is_ram {
            for (offset, page) in self.ram() {
                if page.iter().any(|&byte| byte != 0) {
                    let n = (offset / PAGE) as usize;
                    out[bitmap_at + n / 8] |= 1 << (n % 8);
                    let at = pages_at + offset as usize;
                    put(out, at, page);
                }
            }
        }
    }
}

fn name(out: &mut Vec<u8>, text: &[u8]) {
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

fn subsection(out: &mut Vec<u8>, text: &[u8]) {
    out.push(5);
    name(out, text);
    out.extend_from_slice(&1u32.to_be_bytes());
}

/// The head of a section: of memory (2), or of some device (3).
fn section(out: &mut Vec<u8>, kind: u8, id: u32) {
    out.push(kind);
    out.extend_from_slice(&id.to_be_bytes());
    name(out, if id == 2 { b"ram" } else { b"timer" });
    out.extend_from_slice(&0u32.to_be_bytes());
    out.extend_from_slice(&4u32.to_be_bytes());
}
