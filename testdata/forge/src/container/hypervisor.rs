//! VMware's state files, and memory from which the hole below 4 GiB was cut.
//!
//! Tags and groups as Volatility 2's `vmware` plugin documents them.

use super::put;
use crate::forge::Forged;
use crate::physical::PAGE;

/// Where a state file's memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFile {
    /// In a .vmem file beside it.
    Beside,
    /// In it, behind padding.
    Inline,
}

impl Forged {
    /// The memory without the hole from `hole` to 4 GiB: a .vmem file. Only what lies below the hole and above 4 GiB is in it.
    #[must_use]
    pub fn without_hole(&self, hole: u64) -> Vec<(u64, [u8; 4096])> {
        let four = 1u64 << 32;
        let place = |at: u64| if at < hole { Some(at) } else { at.checked_sub(four).map(|above| hole + above) };
        self.memory.frames().filter_map(|(n, bytes)| Some((place(n * PAGE)?, *bytes))).collect()
    }

    /// Writes [`without_hole`](Self::without_hole) as a sparse file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_without_hole(&self, hole: u64, path: &std::path::Path) -> std::io::Result<()> {
        use std::io::{Seek as _, SeekFrom, Write as _};
        let mut file = std::fs::File::create(path)?;
        file.set_len(hole + (self.memory.end() - (1 << 32)))?;
        for (at, bytes) in self.without_hole(hole) {
            file.seek(SeekFrom::Start(at))?;
            file.write_all(&bytes)?;
        }
        file.flush()
    }

    /// A state file. With the memory inline there is a region for each run; beside it, two around a hole that begins at `hole`.
    #[must_use]
    pub fn as_vmware_state(&self, kind: StateFile, hole: u64) -> Vec<u8> {
        let runs = &self.truth.runs;
        let mut regions: Vec<[u64; 3]> = Vec::new();
        if kind == StateFile::Inline {
            let mut page = 0;
            for run in runs {
                regions.push([run.start / PAGE, page, (run.end - run.start) / PAGE]);
                page += (run.end - run.start) / PAGE;
            }
        } else {
            regions.push([0, 0, hole / PAGE]);
            regions.push([(1 << 32) / PAGE, hole / PAGE, (self.memory.end() - (1 << 32)) / PAGE]);
        }
        let mut cpu = Vec::new();
        tag(&mut cpu, b"CR64", &[0, 0], &0x8005_0033u64.to_le_bytes());
        tag(&mut cpu, b"CR64", &[0, 3], &self.truth.dtb.to_le_bytes());
        cpu.extend_from_slice(&[0, 0]);
        let mut memory = Vec::new();
        tag(&mut memory, b"regionsCount", &[], &(regions.len() as u32).to_le_bytes());
        for (n, region) in regions.iter().enumerate() {
            for (name, value) in [&b"regionPPN"[..], b"regionPageNum", b"regionSize"].iter().zip(region) {
                tag(&mut memory, name, &[n as u32], &(*value as u32).to_le_bytes());
            }
        }
        tag(&mut memory, b"align_mask", &[], &0xffffu32.to_le_bytes());
        let mut out = vec![0; 12 + 2 * 80];
        put(&mut out, 0, &0xbed2_bed2u32.to_le_bytes());
        put(&mut out, 4, &8u32.to_le_bytes());
        put(&mut out, 8, &2u32.to_le_bytes());
        let cpu_at = out.len();
        out.extend(cpu);
        let memory_at = out.len();
        out.extend(memory);
        if kind == StateFile::Inline {
            let size: u64 = runs.iter().map(|run| run.end - run.start).sum();
            out.push(0x80 | 62);
            out.push(6);
            out.extend_from_slice(b"Memory");
            out.extend_from_slice(&[0; 8]);
            out.extend_from_slice(&size.to_le_bytes());
            out.extend_from_slice(&size.to_le_bytes());
            let padding = (out.len() + 2).next_multiple_of(0x1_0000) - (out.len() + 2);
            out.extend_from_slice(&(padding as u16).to_le_bytes());
            out.resize(out.len() + padding, 0xee);
            for run in runs {
                self.append_run(run, &mut out);
            }
        }
        out.extend_from_slice(&[0, 0]);
        let end = out.len();
        for (n, (name, at, to)) in [(&b"cpu"[..], cpu_at, memory_at), (b"memory", memory_at, end)].iter().enumerate() {
            put(&mut out, 12 + n * 80, name);
            put(&mut out, 12 + n * 80 + 64, &(*at as u64).to_le_bytes());
            put(&mut out, 12 + n * 80 + 72, &((to - at) as u64).to_le_bytes());
        }
        out
    }
}

fn tag(out: &mut Vec<u8>, name: &[u8], indices: &[u32], data: &[u8]) {
    out.push((indices.len() << 6 | data.len()) as u8);
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    out.extend(indices.iter().flat_map(|index| index.to_le_bytes()));
    out.extend_from_slice(data);
}
