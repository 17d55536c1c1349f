//! ELF cores, as hypervisors write them (ELF-64 specification; `p_paddr` is physical).

use super::put;
use crate::forge::Forged;
use crate::physical::PAGE;

/// Whose core it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// Segments alone.
    Plain,
    /// QEMU: a note for each processor, program headers behind the sections.
    Qemu,
    /// QEMU with `paging=on`: a segment for each page, some twice, addresses virtual too.
    QemuPaging,
    /// VirtualBox: notes padded to 8 bytes, names without their NUL, no version in the header.
    VirtualBox,
    /// Xen: pages and their numbers in sections.
    Xen,
}

fn note(name: &[u8], kind: u32, data: &[u8], padding: usize, nul: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let name_size = name.len() + usize::from(nul);
    let padded = data.len().next_multiple_of(padding);
    out.extend_from_slice(&(name_size as u32).to_le_bytes());
    out.extend_from_slice(&(if nul { data.len() } else { padded } as u32).to_le_bytes());
    out.extend_from_slice(&kind.to_le_bytes());
    let mut text = name.to_vec();
    text.push(0);
    // The name ends where the data are aligned again: in the file for 8 bytes, after the name for 4.
    if padding == 8 {
        text.resize(name.len().next_multiple_of(8), 0);
    } else {
        text.resize(name_size.next_multiple_of(4), 0);
    }
    out.extend(text);
    out.extend_from_slice(data);
    out.resize(out.len() + padded - data.len(), 0);
    out
}

impl Forged {
    /// An ELF core of 64 bits.
    #[must_use]
    pub fn as_elf_core(&self, core: Core) -> Vec<u8> {
        if core == Core::Xen {
            return self.as_xen_core();
        }
        // First byte in memory, bytes, virtual address.
        let mut segments: Vec<(u64, u64, u64)> =
            self.truth.runs.iter().map(|run| (run.start, run.end - run.start, 0)).collect();
        if core == Core::QemuPaging {
            segments = self.memory.frames().map(|(n, _)| (n * PAGE, PAGE, 0xffff_8000_0000_0000 + n * PAGE)).collect();
            let again = segments[..8].to_vec();
            segments.extend(again);
        }
        let notes = self.notes(core);
        let many = segments.len() + 1 >= 0xffff;
        let table = if core == Core::VirtualBox { 64 } else { 0xc0 };
        let headers = segments.len() + 1;
        let mut out = vec![0; table + headers * 56];
        put(&mut out, 0, b"\x7fELF\x02\x01\x01");
        if core == Core::VirtualBox {
            out[6] = 0;
        }
        // ET_CORE, x86-64, version 1.
        put(&mut out, 16, &4u16.to_le_bytes());
        put(&mut out, 18, &62u16.to_le_bytes());
        put(&mut out, 20, &1u32.to_le_bytes());
        put(&mut out, 32, &(table as u64).to_le_bytes());
        put(&mut out, 52, &64u16.to_le_bytes());
        put(&mut out, 54, &56u16.to_le_bytes());
        put(&mut out, 56, &(if many { 0xffff } else { headers as u16 }).to_le_bytes());
        if many {
            // Section 0, whose sh_info is the number of program headers.
            put(&mut out, 40, &64u64.to_le_bytes());
            put(&mut out, 58, &64u16.to_le_bytes());
            put(&mut out, 60, &1u16.to_le_bytes());
            put(&mut out, 64 + 0x2c, &(headers as u32).to_le_bytes());
        }
        put(&mut out, table, &4u32.to_le_bytes());
        let notes_at = out.len() as u64;
        put(&mut out, table + 8, &notes_at.to_le_bytes());
        put(&mut out, table + 32, &(notes.len() as u64).to_le_bytes());
        let mut offset = (out.len() + notes.len()) as u64;
        for (n, (start, size, address)) in segments.iter().enumerate() {
            let at = table + (n + 1) * 56;
            put(&mut out, at, &1u32.to_le_bytes());
            put(&mut out, at + 4, &7u32.to_le_bytes());
            put(&mut out, at + 8, &offset.to_le_bytes());
            put(&mut out, at + 16, &address.to_le_bytes());
            put(&mut out, at + 24, &start.to_le_bytes());
            put(&mut out, at + 32, &size.to_le_bytes());
            put(&mut out, at + 40, &size.to_le_bytes());
            offset += size;
        }
        out.extend(notes);
        for (start, size, _) in segments {
            self.append_run(&(start..start + size), &mut out);
        }
        out
    }

    fn notes(&self, core: Core) -> Vec<u8> {
        let mut out = Vec::new();
        match core {
            Core::Qemu | Core::QemuPaging => {
                out.extend(note(b"CORE", 1, &[0; 0x150], 4, true));
                let mut cpu = [0; 0x1b8];
                put(&mut cpu, 0, &1u32.to_le_bytes());
                put(&mut cpu, 4, &0x1b8u32.to_le_bytes());
                put(&mut cpu, 0x188, &0x8005_0033u64.to_le_bytes());
                put(&mut cpu, 0x1a0, &self.truth.dtb.to_le_bytes());
                out.extend(note(b"QEMU", 0, &cpu, 4, true));
            }
            Core::VirtualBox => {
                let words = [0xc01a_c0deu32, 0x0001_000f, 24, 7 << 24 | 12, 164_728, 1];
                let core: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                out.extend(note(b"VBCORE", 0xb00, &core, 8, false));
                let mut cpu = [0; 0x2d0];
                put(&mut cpu, 0x130, &self.truth.dtb.to_le_bytes());
                out.extend(note(b"VBCPU", 0xb01, &cpu, 8, false));
            }
            _ => {}
        }
        out
    }

    /// Xen's `dump-core-format.txt`: `.xen_pages` and `.xen_pfn`; one number stands for no page.
    fn as_xen_core(&self) -> Vec<u8> {
        let mut numbers: Vec<u64> = self.truth.runs.iter().flat_map(|run| run.start / PAGE..run.end / PAGE).collect();
        numbers.insert(3, u64::MAX);
        let names = b"\0.shstrtab\0.note.Xen\0.xen_pages\0.xen_pfn\0";
        let at = |name: &[u8]| names.windows(name.len()).position(|window| window == name).unwrap() as u32;
        let mut out = vec![0; 64];
        let names_at = out.len();
        out.extend_from_slice(names);
        let numbers_at = out.len();
        out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        let pages_at = out.len();
        for number in &numbers {
            out.extend_from_slice(self.memory.get(*number).unwrap_or(&[0; 4096]));
        }
        let sections_at = out.len();
        let list = [
            (0, 0, 0),
            (at(b".shstrtab"), names_at, names.len()),
            (at(b".xen_pages"), pages_at, numbers.len() * 4096),
            (at(b".xen_pfn"), numbers_at, numbers.len() * 8),
        ];
        for (name, offset, size) in list {
            let mut section = [0; 64];
            put(&mut section, 0, &name.to_le_bytes());
            put(&mut section, 0x18, &(offset as u64).to_le_bytes());
            put(&mut section, 0x20, &(size as u64).to_le_bytes());
            out.extend_from_slice(&section);
        }
        put(&mut out, 0, b"\x7fELF\x02\x01\x01");
        put(&mut out, 16, &4u16.to_le_bytes());
        put(&mut out, 18, &62u16.to_le_bytes());
        put(&mut out, 40, &(sections_at as u64).to_le_bytes());
        put(&mut out, 58, &64u16.to_le_bytes());
        put(&mut out, 60, &4u16.to_le_bytes());
        put(&mut out, 62, &1u16.to_le_bytes());
        out
    }
}
