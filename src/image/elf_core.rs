//! ELF core dumps of virtual machines: QEMU, libvirt, VirtualBox, Xen, and of Linux kernels.
//!
//! Layout: the ELF-64 and ELF-32 specifications; notes: QEMU `target/i386/arch_dump.c`, VirtualBox `dbgfcorefmt.h`, Xen
//! `dump-core-format.txt`.

use super::formats::{Format, Found, Job, Opened, Opening, Refusal};
use super::runs::{Piece, Place, Runs, push};
use super::source::Source;
use super::{Hints, PhysicalRun};
use crate::{Error, PAGE_SIZE, PhysicalAddress};

/// See the module.
pub(super) static FORMAT: Format =
    Format { title: "an ELF core dump", mark: |opening| opening.source.has(0, b"\x7fELF"), job: Job::Read(open) };

const ET_CORE: u16 = 4;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
/// `e_phnum` if there are more headers than it can say: their number is `sh_info` of section 0.
const PN_XNUM: u16 = 0xffff;
/// Program headers at most: QEMU with `paging=on` writes one for each mapped run of pages.
const MAX_SEGMENTS: u32 = 1 << 20;
/// Sections at most; Xen has ten.
const MAX_SECTIONS: u16 = 256;
/// Notes at most: two or three for each processor.
const MAX_NOTES: usize = 1 << 14;
/// Pages of a Xen dump at most: 1 TiB.
const MAX_XEN_PAGES: u64 = 1 << 28;

/// Where the fields of a 64-bit or a 32-bit file lie.
struct Class {
    wide: bool,
    program_headers: u64,
    section_headers: u64,
    /// Of `e_phentsize`; `e_phnum`, `e_shentsize`, `e_shnum`, `e_shstrndx` follow.
    sizes: u64,
}

const ELF64: Class = Class { wide: true, program_headers: 0x20, section_headers: 0x28, sizes: 0x36 };
const ELF32: Class = Class { wide: false, program_headers: 0x1c, section_headers: 0x20, sizes: 0x2a };

/// A program header.
struct Segment {
    kind: u32,
    offset: u64,
    virtual_address: u64,
    physical: u64,
    file_size: u64,
    memory_size: u64,
}

/// A section header.
struct Section {
    name: u32,
    offset: u64,
    size: u64,
    info: u32,
}

impl Class {
    fn of(source: &Source) -> Option<Self> {
        match source.u8(4)? {
            2 => Some(ELF64),
            1 => Some(ELF32),
            _ => None,
        }
    }

    fn word(&self, source: &Source, at: u64) -> Option<u64> {
        if self.wide { source.u64(at) } else { source.u32(at).map(u64::from) }
    }

    fn segment(&self, source: &Source, at: u64) -> Option<Segment> {
        let kind = source.u32(at)?;
        let field = |wide: u64, narrow: u64| self.word(source, at.checked_add(if self.wide { wide } else { narrow })?);
        Some(Segment {
            kind,
            offset: field(0x08, 0x04)?,
            virtual_address: field(0x10, 0x08)?,
            physical: field(0x18, 0x0c)?,
            file_size: field(0x20, 0x10)?,
            memory_size: field(0x28, 0x14)?,
        })
    }

    fn section(&self, source: &Source, table: u64, size: u16, index: u16) -> Option<Section> {
        let at = table.checked_add(u64::from(index).checked_mul(u64::from(size))?)?;
        let field = |wide: u64, narrow: u64| self.word(source, at.checked_add(if self.wide { wide } else { narrow })?);
        Some(Section {
            name: source.u32(at)?,
            offset: field(0x18, 0x10)?,
            size: field(0x20, 0x14)?,
            info: source.u32(at.checked_add(if self.wide { 0x2c } else { 0x1c })?)?,
        })
    }
}

fn open(opening: &Opening<'_>) -> Result<Found, Refusal> {
    let source = &opening.source;
    let not_this = |why: &str| Refusal::NotThis(why.to_owned());
    let class = Class::of(source).filter(|_| source.u8(5) == Some(1));
    let class = class.ok_or_else(|| not_this("it is no little-endian ELF file"))?;
    let kind = source.u16(0x10).ok_or_else(|| not_this("it ends within its header"))?;
    if kind != ET_CORE {
        // A loader's page at address 0 looks the same: a program says how long it is.
        return Err(not_this("it is no core dump (a program, a library or an object file)"));
    }
    let read = |at: u64| source.u16(at).unwrap_or(0);
    let (size, count) = (read(class.sizes), read(class.sizes.saturating_add(2)));
    let (section_size, sections) = (read(class.sizes.saturating_add(4)), read(class.sizes.saturating_add(6)));
    let names = read(class.sizes.saturating_add(8));
    let table = class.word(source, class.program_headers).unwrap_or(0);
    let section_table = class.word(source, class.section_headers).unwrap_or(0);
    let section = |index| class.section(source, section_table, section_size, index);
    let count = match count {
        PN_XNUM => section(0).map_or(u32::from(PN_XNUM), |section| section.info),
        count => u32::from(count),
    };
    if count == 0 && sections > 0 {
        let named = (0..sections.min(MAX_SECTIONS)).filter_map(|index| {
            let section = section(index)?;
            let name = source.head(
                class.section(source, section_table, section_size, names)?.offset.checked_add(section.name.into())?,
                32,
            );
            Some((name.split(|byte| *byte == 0).next()?.to_vec(), section))
        });
        return xen(source, &named.collect::<Vec<_>>());
    }
    if count > MAX_SEGMENTS {
        return Err(not_this(&format!("it claims {count} segments, more than any machine's")));
    }
    let at = |n: u32| table.checked_add(u64::from(n).checked_mul(u64::from(size))?);
    let segments: Vec<Segment> = (0..count).map_while(|n| class.segment(source, at(n)?)).collect();
    let cut = u64::from(count).saturating_sub(u64::try_from(segments.len()).unwrap_or(0));
    let notes = notes(source, &segments);
    loads(source, &segments, cut, &notes)
}

/// The core's memory is that of its PT_LOAD segments.
fn loads(source: &Source, segments: &[Segment], cut: u64, notes: &Notes) -> Result<Found, Refusal> {
    let loads: Vec<&Segment> =
        segments.iter().filter(|segment| segment.kind == PT_LOAD && segment.memory_size > 0).collect();
    if loads.is_empty() {
        return Err(Refusal::NotThis("it holds no memory".into()));
    }
    let unset = |value: u64| loads.len() > 1 && loads.iter().all(|segment| segment.physical == value);
    if unset(0) || unset(u64::MAX) {
        return Err(Refusal::Unusable(Error::NotAnImage {
            what: "this is an ELF core dump of a process, not of a machine: its segments have no physical addresses"
                .into(),
            advice:
                "If the process is a virtual machine, dump the guest's memory instead: `virsh dump --memory-only`, or \
                     `dump-guest-memory` in the monitor of QEMU"
                    .into(),
        }));
    }
    let pieces = loads.iter().flat_map(|segment| {
        let file = segment.file_size.min(segment.memory_size);
        let rest = segment.memory_size.saturating_sub(file);
        let run = |start, bytes| PhysicalRun { start: PhysicalAddress(start), bytes };
        [
            (run(segment.physical, file), Place::File(segment.offset)),
            // What a segment has in memory and not in the file is zero.
            (run(segment.physical.saturating_add(file), rest), Place::Zero),
        ]
    });
    let (runs, lost) = Runs::new(source.clone(), pieces);
    let mut opened = Opened::new("elf_core", runs);
    opened.maker = notes.maker.clone();
    opened.hints = notes.hints();
    let odd = (cut > 0).then(|| format!("the file ends before {cut} of its program headers"));
    // The tables of one processor are walked then, and a frame that is mapped twice is in the file twice.
    let mapped =
        loads.iter().any(|segment| segment.virtual_address != 0 && segment.virtual_address != segment.physical);
    if mapped && notes.maker.as_deref() == Some(QEMU) {
        opened.leaves_out = true;
        opened.warn(
            "the dump was made with paging=on: it holds what the page tables of one processor mapped, and no other memory".into(),
        );
        opened.warnings_of(odd, super::runs::Lost { twice: 0, ..lost });
    } else {
        opened.warnings_of(odd, lost);
    }
    Ok(opened.into())
}

const QEMU: &str = "QEMU";

/// What the notes say.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) maker: Option<String>,
    /// Who names the roots.
    source: &'static str,
    roots: Vec<PhysicalAddress>,
}

fn notes(source: &Source, segments: &[Segment]) -> Notes {
    let mut notes = Notes::default();
    for segment in segments.iter().filter(|segment| segment.kind == PT_NOTE) {
        notes.read(source, segment.offset, segment.file_size);
    }
    notes
}

impl Notes {
    /// Takes the notes in a range of the file.
    pub(super) fn read(&mut self, source: &Source, begin: u64, bytes: u64) {
        let end = begin.saturating_add(bytes).min(source.len());
        // VirtualBox pads to 8 bytes.
        let padding = if source.has(begin.saturating_add(12), b"VBCORE") { 8 } else { 4 };
        let mut at = begin;
        for _ in 0..MAX_NOTES {
            let Some(next) = self.note(source, at, padding).filter(|next| *next > at && *next <= end) else { break };
            at = next;
        }
    }

    /// The roots that they name, as hints.
    pub(super) fn hints(&self) -> Option<Hints> {
        (!self.roots.is_empty()).then(|| Hints { roots: self.roots.clone(), ..Hints::from(self.source) })
    }

    /// Takes one note, and returns where the next one begins.
    fn note(&mut self, source: &Source, at: u64, padding: u64) -> Option<u64> {
        let field = |offset: u64| source.u32(at.checked_add(offset)?);
        let (name_size, size, kind) = (u64::from(field(0)?), u64::from(field(4)?), field(8)?);
        let name_at = at.checked_add(12)?;
        let data = name_at.checked_add(name_size.checked_next_multiple_of(padding)?)?;
        let name = source.head(name_at, usize::try_from(name_size.min(16)).ok()?);
        let name = name.strip_suffix(b"\0").unwrap_or(&name);
        let root = |offset: u64| source.u64(data.checked_add(offset)?).map(|root| PhysicalAddress(root).page());
        match (name, kind) {
            (b"QEMU", 0) => {
                self.maker.get_or_insert_with(|| QEMU.into());
                self.source = "QEMU CPU note";
                // `cr[3]` of QEMUCPUState.
                self.roots.extend(root(0x1a0).filter(|root| !root.is_null()));
            }
            (b"VBCORE", 0xb00) => {
                let version = source.u32(data.checked_add(12)?)?;
                self.maker =
                    Some(format!("VirtualBox {}.{}.{}", version >> 24, (version >> 16) & 0xff, version & 0xffff));
            }
            (b"VBCPU", 0xb01) => {
                self.source = "VirtualBox CPU note";
                self.roots.extend(root(0x130).filter(|root| !root.is_null()));
            }
            (b"VMCOREINFO", _) => {
                self.maker.get_or_insert_with(|| "Linux kernel (kdump)".into());
            }
            _ => {}
        }
        data.checked_add(size.checked_next_multiple_of(padding)?)
    }
}

/// A dump of Xen: the pages lie in one section, their frame numbers in another.
fn xen(source: &Source, sections: &[(Vec<u8>, Section)]) -> Result<Found, Refusal> {
    let find = |name: &[u8]| sections.iter().find(|(other, _)| other == name).map(|(_, section)| section);
    let Some(pages) = find(b".xen_pages") else {
        return Err(Refusal::NotThis("it holds no memory".into()));
    };
    let (list, size) = match (find(b".xen_pfn"), find(b".xen_p2m")) {
        (Some(list), _) => (list, 8u64),
        // Guest's number and machine's.
        (None, Some(list)) => (list, 16),
        (None, None) => return Err(Refusal::NotThis("it has pages and no list of their numbers".into())),
    };
    let count = list.size.checked_div(size).unwrap_or(0).min(pages.size / PAGE_SIZE).min(MAX_XEN_PAGES);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut odd = None;
    for page in 0..count {
        let at = list.offset.saturating_add(page.saturating_mul(size));
        let Some(frame) = source.u64(at) else {
            odd = Some("the file ends within its list of pages".to_owned());
            break;
        };
        let Some(start) = frame.checked_mul(PAGE_SIZE).filter(|_| frame != u64::MAX) else { continue };
        let place = Place::File(pages.offset.saturating_add(page.saturating_mul(PAGE_SIZE)));
        push(&mut pieces, PhysicalRun { start: PhysicalAddress(start), bytes: PAGE_SIZE }, place);
    }
    let (runs, lost) = Runs::new(source.clone(), pieces);
    let mut opened = Opened::new("elf_core", runs);
    opened.maker = Some("Xen".into());
    opened.warnings_of(odd, lost);
    Ok(opened.into())
}
