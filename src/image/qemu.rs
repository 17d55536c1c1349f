//! QEMU's migration stream: what `migrate`, `savevm`, Proxmox and libvirt write when a machine's state is saved.
//!
//! Layout: QEMU `migration/savevm.c`, `migration/ram.c`, `docs/devel/migration`. Numbers are big-endian.

use super::blocks::{Blocks, Unpack};
use super::formats::{Format, Job, Opened, Opening, Other, Refusal};
use super::hole;
use super::runs::{Piece, Place, Runs, push};
use super::source::Source;
use super::{PhysicalMemory, PhysicalRun};
use crate::{PAGE_SIZE, PhysicalAddress};
use std::sync::Arc;

/// See the module.
pub(super) static FORMAT: Format = Format {
    title: "a migration stream of QEMU",
    mark: |opening| opening.source.has(0, b"QEVM"),
    job: Job::Read(|opening: &Opening<'_>| Ok(open(&opening.source, 0)?.into())),
};

/// Blocks of memory, of devices too: some dozens.
const MAX_BLOCKS: usize = 1024;
/// Pieces of memory at most, which take 40 bytes each.
const MAX_PIECES: usize = 1 << 23;
/// Parts of the stream at most; the memory of a machine that runs comes in many.
const MAX_SECTIONS: usize = 1 << 22;
/// Pages between two looks at whether a row of them goes on.
const STRIDE_PAGES: u64 = 4096;
const PAGE_RECORD: u64 = PAGE_SIZE + 8;

/// Kinds of sections.
const START: u8 = 1;
const PART: u8 = 2;
const END: u8 = 3;
const FULL: u8 = 4;
const CONFIGURATION: u8 = 7;
const SUBSECTION: u8 = 5;
const FOOTER: u8 = 0x7e;

/// Flags of a record of memory, in the low bits of its address.
const ZERO: u64 = 0x02;
const SIZES: u64 = 0x04;
const PAGE: u64 = 0x08;
const EOS: u64 = 0x10;
const CONTINUE: u64 = 0x20;
const XBZRLE: u64 = 0x40;
const COMPRESSED: u64 = 0x100;
const FLUSH: u64 = 0x200;
const FLAGS: u64 = PAGE_SIZE - 1;

/// A block of memory.
struct Block {
    name: Vec<u8>,
    bytes: u64,
    /// Where it begins if all blocks of RAM follow one another. `None`: it is no RAM.
    ram: Option<u64>,
}

/// Reads the stream that begins at `begin`.
pub(super) fn open(source: &Source, begin: u64) -> Result<Opened, Refusal> {
    if source.be_u32(begin.saturating_add(4)) != Some(3) {
        return Err(Refusal::NotThis("it is of no version that is known".into()));
    }
    let mut stream = Stream {
        source,
        at: begin.saturating_add(8),
        machine: Vec::new(),
        capabilities: Vec::new(),
        blocks: Vec::new(),
        block: None,
        pieces: Vec::new(),
        packed: Vec::new(),
        deltas: 0,
        filled: 0,
    };
    let odd = stream.sections().err();
    stream.into_memory(odd)
}

struct Stream<'s> {
    source: &'s Source,
    at: u64,
    /// Its type: `pc-q35-7.2`.
    machine: Vec<u8>,
    capabilities: Vec<Vec<u8>>,
    blocks: Vec<Block>,
    /// The block of the records that name none.
    block: Option<usize>,
    /// As they came: of two copies the later one counts. Addresses are those in RAM, without the hole.
    pieces: Vec<Piece>,
    /// Compressed pages: where they are and their lengths.
    packed: Vec<(u64, u32)>,
    deltas: u64,
    filled: u64,
}

/// Why the walk ended before the memory did.
type Broken = String;

impl Stream<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let bytes =
            self.source.array(self.at).ok_or_else(|| format!("the file is truncated at offset {:#x}", self.at))?;
        self.skip(u64::try_from(N).unwrap_or(0));
        Ok(bytes)
    }

    fn skip(&mut self, bytes: u64) {
        self.at = self.at.saturating_add(bytes);
    }

    fn u8(&mut self) -> Result<u8, Broken> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, Broken> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Broken> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Broken> {
        self.take().map(u64::from_be_bytes)
    }

    fn name(&mut self) -> Result<Vec<u8>, Broken> {
        let length = self.u8()?;
        let name = self.source.copy(self.at, usize::from(length));
        self.skip(u64::from(length));
        name.ok_or_else(|| "the file is truncated within a name".to_owned())
    }

    fn can(&self, capability: &[u8]) -> bool {
        self.capabilities.iter().any(|name| name == capability)
    }

    /// Goes over the sections until the memory is over.
    fn sections(&mut self) -> Result<(), Broken> {
        let mut ram = None;
        for _ in 0..MAX_SECTIONS {
            let at = self.at;
            match self.u8()? {
                CONFIGURATION => self.configuration()?,
                kind @ (START | FULL) => {
                    let id = self.u32()?;
                    let name = self.name()?;
                    self.skip(4);
                    let version = self.u32()?;
                    if name != b"ram" {
                        // Devices come behind the memory.
                        return if ram.is_some() && kind == FULL {
                            Ok(())
                        } else {
                            Err(format!(
                                "a section named {} stands before the memory at offset {at:#x}, and its length is not known",
                                String::from_utf8_lossy(&name)
                            ))
                        };
                    }
                    if version != 4 {
                        return Err(format!("the memory is of version {version}, which is not known"));
                    }
                    ram = Some(id);
                    self.records()?;
                }
                kind @ (PART | END) => {
                    let id = self.u32()?;
                    if ram != Some(id) {
                        return Err(format!(
                            "a section at offset {at:#x} is not the memory's, and its length is not known"
                        ));
                    }
                    self.records()?;
                    if kind == END {
                        return Ok(());
                    }
                }
                FOOTER => self.skip(4),
                0 => return Ok(()),
                kind => return Err(format!("a section of unknown kind {kind:#x} is at offset {at:#x}")),
            }
        }
        Err("the stream has more sections than any machine's".into())
    }

    fn configuration(&mut self) -> Result<(), Broken> {
        let length = self.u32()?;
        self.machine = self.source.head(self.at, usize::try_from(length.min(256)).unwrap_or(0));
        self.skip(u64::from(length));
        while self.source.u8(self.at) == Some(SUBSECTION) {
            self.skip(1);
            let name = self.name()?;
            self.skip(4);
            match name.as_slice() {
                b"configuration/target-page-bits" => self.skip(4),
                b"configuration/capabilities" => {
                    let count = self.u32()?;
                    for _ in 0..count.min(256) {
                        let name = self.name()?;
                        self.capabilities.push(name);
                    }
                }
                b"configuration/uuid" => self.skip(16),
                _ => return Err(format!("the configuration has an unknown part, {}", String::from_utf8_lossy(&name))),
            }
        }
        Ok(())
    }

    /// Goes over the records of memory up to the end of this part.
    fn records(&mut self) -> Result<(), Broken> {
        loop {
            let at = self.at;
            let word = self.u64()?;
            let (address, flags) = (word & !FLAGS, word & FLAGS);
            match flags & !CONTINUE {
                SIZES => self.sizes(address)?,
                EOS => return Ok(()),
                FLUSH => {}
                ZERO => {
                    self.name_block(flags)?;
                    if self.u8()? == 0 {
                        self.piece(address, PAGE_SIZE, Place::Zero);
                    } else {
                        self.filled = self.filled.saturating_add(1);
                    }
                }
                PAGE => {
                    self.name_block(flags)?;
                    let first = self.at;
                    let pages = if flags & CONTINUE == 0 { 1 } else { self.row(at, word) };
                    let bytes = pages.saturating_mul(PAGE_SIZE);
                    self.piece(address, bytes, Place::Pages { first, stride: PAGE_RECORD });
                    self.at = first
                        .saturating_add(pages.saturating_sub(1).saturating_mul(PAGE_RECORD))
                        .saturating_add(PAGE_SIZE);
                }
                COMPRESSED => {
                    self.name_block(flags)?;
                    let length = self.u32()?;
                    // A page that grows when it is packed grows by a few bytes.
                    if u64::from(length) > PAGE_SIZE.saturating_mul(2) || self.packed.len() >= MAX_PIECES {
                        return Err(format!("a compressed page at offset {at:#x} has {length} bytes"));
                    }
                    let block = u64::try_from(self.packed.len()).unwrap_or(u64::MAX);
                    self.packed.push((self.at, length));
                    self.piece(address, PAGE_SIZE, Place::Packed { block, within: 0 });
                    self.skip(u64::from(length));
                }
                XBZRLE => {
                    self.name_block(flags)?;
                    self.skip(1);
                    let length = self.u16()?;
                    self.skip(u64::from(length));
                    self.deltas = self.deltas.saturating_add(1);
                }
                _ => return Err(format!("a record with unknown flags {flags:#x} is at offset {at:#x}")),
            }
            if self.pieces.len() >= MAX_PIECES {
                return Err(format!(
                    "the memory is in more than {MAX_PIECES} pieces: those from offset {at:#x} on are left out"
                ));
            }
            if self.at > self.source.len() {
                return Err(format!("the file is truncated: a record at offset {at:#x} is not whole"));
            }
        }
    }

    /// How many pages in a row follow from the record at `at` on: each goes on where the one before ends. A record that stands where
    /// the row leads with the address that the row leads to ends a row without a gap, since records of other lengths between would
    /// bring more addresses than bytes. So not every record is looked at, and not every page of the file read.
    fn row(&self, at: u64, word: u64) -> u64 {
        let goes_on = |pages: u64| {
            let place = at.checked_add(pages.checked_mul(PAGE_RECORD)?)?;
            let address = word.checked_add(pages.checked_mul(PAGE_SIZE)?)?;
            (self.source.be_u64(place)? == address && place.checked_add(PAGE_RECORD)? <= self.source.len())
                .then_some(())
        };
        let mut pages = 0u64;
        let mut step = STRIDE_PAGES;
        while step > 0 {
            if goes_on(pages.saturating_add(step)).is_some() {
                pages = pages.saturating_add(step);
            } else {
                step /= 2;
            }
        }
        pages.saturating_add(1)
    }

    fn name_block(&mut self, flags: u64) -> Result<(), Broken> {
        if flags & CONTINUE == 0 {
            let name = self.name()?;
            self.block = self.blocks.iter().position(|block| block.name == name);
        }
        Ok(())
    }

    fn piece(&mut self, address: u64, bytes: u64, place: Place) {
        let block = self.block.and_then(|block| self.blocks.get(block));
        let Some(start) = block.filter(|block| address < block.bytes).and_then(|block| block.ram) else { return };
        let run = PhysicalRun { start: PhysicalAddress(start.saturating_add(address)), bytes };
        push(&mut self.pieces, run, place);
    }

    /// The list of blocks, until their lengths add up.
    fn sizes(&mut self, total: u64) -> Result<(), Broken> {
        let mut seen = 0u64;
        let mut mapped = Vec::new();
        while seen < total {
            if self.blocks.len() >= MAX_BLOCKS {
                return Err("the machine has more blocks of memory than any".into());
            }
            let name = self.name()?;
            let bytes = self.u64()?;
            seen = seen.saturating_add(bytes);
            if self.can(b"x-ignore-shared") {
                self.skip(8);
            }
            if self.can(b"mapped-ram") {
                let version = self.u32()?;
                let (page, bitmap, pages) = (self.u64()?, self.u64()?, self.u64()?);
                if version != 1 || page != PAGE_SIZE {
                    return Err(format!("the memory is mapped in a way of version {version}, which is not known"));
                }
                mapped.push((self.blocks.len(), bitmap, pages));
                // The stream goes on behind the pages.
                self.at = self.at.max(pages.saturating_add(bytes));
            }
            if bytes == 0 {
                return Err("a block of memory has no length".into());
            }
            self.blocks.push(Block { name, bytes, ram: None });
        }
        self.choose_ram();
        for (block, bitmap, pages) in mapped {
            self.mapped(block, bitmap, pages)?;
        }
        Ok(())
    }

    /// Which blocks are RAM: the one that machines name so, or the nodes, or the largest that no device names.
    fn choose_ram(&mut self) {
        let is_device = |name: &[u8]| {
            name.contains(&b'/') || name.ends_with(b".rom") || name.ends_with(b".bios") || name.ends_with(b"vram")
        };
        let known = |name: &[u8]| matches!(name, b"pc.ram" | b"mach-virt.ram" | b"xen.ram" | b"virt.ram");
        let is_node = |name: &[u8]| name.starts_with(b"ram-node");
        let largest = self.blocks.iter().filter(|block| !is_device(&block.name)).max_by_key(|block| block.bytes);
        let largest = largest.map(|block| block.name.clone());
        let any_known = self.blocks.iter().any(|block| known(&block.name));
        let any_node = self.blocks.iter().any(|block| is_node(&block.name));
        let mut next = 0u64;
        for block in &mut self.blocks {
            let is_ram = if any_known {
                known(&block.name)
            } else if any_node {
                is_node(&block.name)
            } else {
                Some(&block.name) == largest.as_ref()
            };
            if is_ram {
                block.ram = Some(next);
                next = next.saturating_add(block.bytes);
            }
        }
    }

    /// A block whose pages stand at their places in the file, a bitmap saying which of them are not zero.
    fn mapped(&mut self, number: usize, bitmap: u64, pages: u64) -> Result<(), Broken> {
        let Some((start, bytes)) = self.blocks.get(number).and_then(|block| Some((block.ram?, block.bytes))) else {
            return Ok(());
        };
        let size = usize::try_from((bytes / PAGE_SIZE).div_ceil(64).saturating_mul(8)).unwrap_or(usize::MAX);
        let Some(bits) = self.source.copy(bitmap, size) else {
            return Err("the file is truncated within the bitmap of its pages".into());
        };
        let set = super::bitmap::PageSet::new(&bits, bytes / PAGE_SIZE);
        let mut done = 0u64;
        let mut add = |from: u64, count: u64, stored: bool| {
            let offset = from.saturating_mul(PAGE_SIZE);
            let run = PhysicalRun {
                start: PhysicalAddress(start.saturating_add(offset)),
                bytes: count.saturating_mul(PAGE_SIZE),
            };
            let place = if stored { Place::File(pages.saturating_add(offset)) } else { Place::Zero };
            if count > 0 {
                push(&mut self.pieces, run, place);
            }
        };
        while let Some((first, count)) = set.next_pages(done) {
            add(done, first.saturating_sub(done), false);
            add(first, count, true);
            done = first.saturating_add(count);
        }
        add(done, (bytes / PAGE_SIZE).saturating_sub(done), false);
        Ok(())
    }

    fn into_memory(self, odd: Option<Broken>) -> Result<Opened, Refusal> {
        if self.pieces.is_empty() {
            return Err(Refusal::NotThis(odd.unwrap_or_else(|| "it holds no memory".into())));
        }
        let ram: u64 = self.blocks.iter().filter(|block| block.ram.is_some()).map(|block| block.bytes).sum();
        let below = below_hole(&self.machine, ram);
        // The later copy of a page counts.
        let (runs, lost) = Runs::new(self.source.clone(), self.pieces.into_iter().rev());
        let packed = Packed { source: self.source.clone(), pages: self.packed };
        let memory: Arc<dyn PhysicalMemory> = Arc::new(runs.with_blocks(Blocks::new(packed)));
        let at = |begin: u64| hole::with_hole(&memory, begin);
        let mut opened = Opened::new("qemu", at(below));
        // The type says where the hole begins unless it was told otherwise (max-ram-below-4g), or is an old one.
        let others = hole::begins(ram).filter(|begin| *begin != below.min(ram));
        opened.others =
            others.map(|begin| Other { memory: Box::new(at(begin)), moved: false, note: hole::note(begin) }).collect();
        let machine = String::from_utf8_lossy(&self.machine);
        opened.maker = Some(format!("QEMU ({machine})"));
        opened.warnings_of(odd, super::runs::Lost { twice: 0, ..lost });
        if self.deltas > 0 {
            opened.warn(format!("{} pages were saved as differences (XBZRLE) to what was saved before: what changed in them last is not read", self.deltas));
        }
        if self.filled > 0 {
            opened.warn(format!("{} pages that hold one byte value throughout are left out", self.filled));
        }
        Ok(opened)
    }
}

/// How much of the RAM lies below the hole for devices: `hw/i386/pc_q35.c`, `pc_piix.c`. The rest begins at 4 GiB.
fn below_hole(machine: &[u8], ram: u64) -> u64 {
    let q35 = machine.windows(3).any(|three| three == b"q35");
    match (q35, ram) {
        (true, 0xb000_0000..) => 0x8000_0000,
        (true, _) => 0xb000_0000,
        (false, 0xe000_0000..) => 0xc000_0000,
        (false, _) => 0xe000_0000,
    }
}

/// Pages that were compressed one by one (zlib).
struct Packed {
    source: Source,
    pages: Vec<(u64, u32)>,
}

impl Unpack for Packed {
    fn place(&self, number: u64) -> Option<u64> {
        self.pages.get(usize::try_from(number).ok()?).map(|(at, _)| *at)
    }

    fn unpack(&self, number: u64) -> Option<Vec<u8>> {
        let (at, length) = *self.pages.get(usize::try_from(number).ok()?)?;
        let data = self.source.copy(at, usize::try_from(length).ok()?)?;
        super::inflate::zlib(&data, usize::try_from(PAGE_SIZE).ok()?)
    }
}
