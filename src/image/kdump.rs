//! kdump: compressed dumps of QEMU (`dump-guest-memory -z`, `virsh dump --format kdump-zlib`) and of Linux's makedumpfile, also in
//! their flattened form.
//!
//! Layout: makedumpfile `diskdump_mod.h`, `makedumpfile.h`; QEMU `include/sysemu/dump.h`.

use super::bitmap::PageSet;
use super::blocks::{Blocks, Unpack};
use super::elf_core::Notes;
use super::formats::{Format, Found, Job, Opened, Opening, Refusal};
use super::source::{Bytes, Source};
use super::{PhysicalMemory, PhysicalRun, inflate};
use crate::{PAGE_SIZE, PhysicalAddress, Warning};

/// The dump itself.
pub(super) static FORMAT: Format = Format {
    title: "a kdump",
    mark: |opening| opening.source.has(0, b"KDUMP   ") || opening.source.has(0, b"DISKDUMP"),
    job: Job::Read(|opening| Ok(open(&opening.source)?.into())),
};

/// The dump in records, each of which says where its bytes belong.
pub(super) static FLATTENED: Format = Format {
    title: "a flattened kdump",
    mark: |opening| opening.source.has(0, b"makedumpfile\0\0\0\0"),
    job: Job::Read(flattened),
};

const STATUS: u64 = 0x1a8;
const BLOCK_SIZE: u64 = 0x1ac;
const SUB_HEADER_BLOCKS: u64 = 0x1b0;
/// In the sub-header.
const DUMP_LEVEL: u64 = 8;
const BITMAP_BLOCKS: u64 = 0x1b4;
/// Bytes of a page's descriptor.
const DESCRIPTOR: u64 = 24;
/// Pages of a dump at most: 16 TiB, whose bitmap has 512 MiB.
const MAX_BITMAP: u64 = 1 << 29;
/// `status`: the dump was not finished.
const INCOMPLETE: u32 = 8;

fn open(source: &Source) -> Result<Opened, Refusal> {
    let not_this = |why: &str| Refusal::NotThis(why.to_owned());
    let field = |at| source.u32(at).ok_or_else(|| not_this("it ends within its header"));
    let (status, block) = (field(STATUS)?, u64::from(field(BLOCK_SIZE)?));
    let (sub_blocks, bitmap_blocks) = (u64::from(field(SUB_HEADER_BLOCKS)?), u64::from(field(BITMAP_BLOCKS)?));
    if block != PAGE_SIZE {
        return Err(not_this(&format!("its pages have {block} bytes")));
    }
    let at = |blocks: u64| blocks.saturating_add(1).saturating_mul(block);
    // The first bitmap says which pages are memory, the second which were dumped.
    let half = (bitmap_blocks / 2).saturating_mul(block);
    let bytes = usize::try_from(half).ok().filter(|_| half <= MAX_BITMAP);
    let bitmap = bytes.and_then(|bytes| source.copy(at(sub_blocks).checked_add(half)?, bytes));
    let bitmap = bitmap.ok_or_else(|| not_this("it ends before its bitmaps do"))?;
    let pages = PageSet::new(&bitmap, half.saturating_mul(8));
    if pages.total() == 0 {
        return Err(not_this("it holds no page"));
    }
    let descriptors = at(sub_blocks.saturating_add(bitmap_blocks));
    let total = pages.total();
    let held = source.len().saturating_sub(descriptors) / DESCRIPTOR;
    let mut notes = Notes::default();
    if let Some((offset, size)) = source.u64(block.saturating_add(0x30)).zip(source.u64(block.saturating_add(0x38))) {
        notes.read(source, offset, size);
    }
    let table = Descriptors { source: source.clone(), at: descriptors };
    let unknown = table.get(0).and_then(|page| unknown_codec(page.flags));
    let blocks = Blocks::new(Descriptors { source: source.clone(), at: descriptors });
    let mut opened = Opened::new("kdump", Kdump { pages, table, blocks });
    // By its dump level: pages of zeros, of caches, of users, or free ones.
    opened.leaves_out = source.u32(block.saturating_add(DUMP_LEVEL)).is_some_and(|level| level != 0);
    opened.hints = notes.hints();
    opened.maker = notes.maker;
    if status & INCOMPLETE != 0 {
        opened.warn("the dump was not finished: its end may be missing".into());
    }
    if held < total {
        opened.warn(format!("the file is truncated: {} of {total} pages are missing", total.saturating_sub(held)));
    }
    if let Some(codec) = unknown {
        opened.warn(format!(
            "its pages are compressed with {codec}, which this program was built without: build it with the feature compressed-images, or \
             write it with zlib (virsh dump --format kdump-zlib)"
        ));
    }
    Ok(opened)
}

const ZLIB: u32 = 1;
const LZO: u32 = 2;
const SNAPPY: u32 = 4;
const ZSTD: u32 = 0x20;

/// What of the codecs takes a feature that is not there.
const fn unknown_codec(flags: u32) -> Option<&'static str> {
    match flags & (LZO | ZSTD) {
        _ if cfg!(feature = "compressed-images") => None,
        LZO => Some("LZO"),
        ZSTD => Some("zstd"),
        _ => None,
    }
}

/// A page's descriptor.
struct Descriptor {
    offset: u64,
    size: u32,
    flags: u32,
}

/// The table of descriptors, which stays in the file.
struct Descriptors {
    source: Source,
    at: u64,
}

impl Descriptors {
    fn get(&self, rank: u64) -> Option<Descriptor> {
        let at = self.at.checked_add(rank.checked_mul(DESCRIPTOR)?)?;
        let descriptor = Descriptor {
            offset: self.source.u64(at)?,
            size: self.source.u32(at.checked_add(8)?)?,
            flags: self.source.u32(at.checked_add(12)?)?,
        };
        // A page that would grow is stored as it is.
        (u64::from(descriptor.size) <= PAGE_SIZE).then_some(descriptor)
    }
}

impl Unpack for Descriptors {
    fn place(&self, number: u64) -> Option<u64> {
        self.get(number).map(|page| page.offset)
    }

    fn unpack(&self, number: u64) -> Option<Vec<u8>> {
        let page = self.get(number)?;
        let data = self.source.copy(page.offset, usize::try_from(page.size).ok()?)?;
        let size = usize::try_from(PAGE_SIZE).ok()?;
        match page.flags & (ZLIB | LZO | SNAPPY | ZSTD) {
            0 => (data.len() == size).then_some(data),
            ZLIB => inflate::zlib(&data, size),
            SNAPPY => {
                let mut out = vec![0; size];
                let length = snap::raw::decompress_len(&data).ok()?;
                (length == size && snap::raw::Decoder::new().decompress(&data, &mut out).is_ok()).then_some(out)
            }
            #[cfg(feature = "compressed-images")]
            LZO => {
                let mut out = vec![0; size];
                let length = lzokay::decompress::decompress(&data, &mut out).ok()?;
                (length == size).then_some(out)
            }
            #[cfg(feature = "compressed-images")]
            ZSTD => super::zstd::exactly(&data, size),
            _ => None,
        }
    }
}

struct Kdump {
    pages: PageSet,
    table: Descriptors,
    blocks: Blocks,
}

impl PhysicalMemory for Kdump {
    fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        let (first, pages) = self.pages.next_pages(from.0 / PAGE_SIZE)?;
        let start = PhysicalAddress(first.checked_mul(PAGE_SIZE)?);
        Some(PhysicalRun { start, bytes: pages.checked_mul(PAGE_SIZE)? }.from(from))
    }

    fn read(&self, at: PhysicalAddress, buf: &mut [u8]) -> usize {
        let mut done = 0usize;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let now = u64::try_from(done).ok().and_then(|done| at.checked_add(done));
            let Some((now, rank)) = now.and_then(|at| Some((at, self.pages.rank(at.0 / PAGE_SIZE)?))) else { break };
            let left = usize::try_from(PAGE_SIZE.saturating_sub(now.page_offset())).unwrap_or(0);
            let len = rest.len().min(left);
            let read = rest.get_mut(..len).map_or(0, |rest| self.blocks.read(rank, now.page_offset(), rest));
            if read == 0 {
                break;
            }
            done = done.saturating_add(read);
        }
        done
    }

    fn block_offset(&self, at: PhysicalAddress) -> Option<u64> {
        self.blocks.place(self.pages.rank(at.0 / PAGE_SIZE)?)
    }

    fn borrow(&self, at: PhysicalAddress, len: usize) -> Option<&[u8]> {
        let page = self.table.get(self.pages.rank(at.0 / PAGE_SIZE)?)?;
        let plain = page.flags & (ZLIB | LZO | SNAPPY | ZSTD) == 0 && u64::from(page.size) == PAGE_SIZE;
        let left = usize::try_from(PAGE_SIZE.saturating_sub(at.page_offset())).ok()?;
        let offset = page.offset.checked_add(at.page_offset()).filter(|_| plain)?;
        self.table.source.lend(offset, len.min(left))
    }
}

/// Records of a flattened dump at most. QEMU's have some hundred KiB.
const MAX_RECORDS: usize = 1 << 23;
/// Where the records begin.
const FLAT_HEADER: u64 = 4096;

fn flattened(opening: &Opening<'_>) -> Result<Found, Refusal> {
    let source = &opening.source;
    if source.be_u64(16) != Some(1) || source.be_u64(24) != Some(1) {
        return Err(Refusal::NotThis("it is of no type or version that is known".into()));
    }
    let mut at = FLAT_HEADER;
    // Where bytes belong, how many, where they stand. Later ones overwrite earlier ones: the header is written last.
    let mut records: Vec<super::runs::Piece> = Vec::new();
    let mut warnings = Vec::new();
    let mut odd = |message: String| warnings.push(Warning::new("image", message));
    loop {
        let (Some(offset), Some(size)) = (source.be_u64(at), source.be_u64(at.saturating_add(8))) else {
            odd("the file is truncated: its last record is missing".into());
            break;
        };
        if offset == u64::MAX && size == u64::MAX {
            break;
        }
        let data = at.saturating_add(16);
        let next = data.saturating_add(size);
        if i64::try_from(size).is_err()
            || i64::try_from(offset).is_err()
            || next > source.len()
            || records.len() >= MAX_RECORDS
        {
            odd(format!("the file is truncated or damaged at offset {at:#x}: what follows is not read"));
            break;
        }
        let run = PhysicalRun { start: PhysicalAddress(offset), bytes: size };
        super::runs::push(&mut records, run, super::runs::Place::File(data));
        at = next;
    }
    if records.is_empty() {
        return Err(Refusal::NotThis("it has no record".into()));
    }
    let (records, _) = super::runs::Runs::new(source.clone(), records.into_iter().rev());
    let length = super::runs(&records).last().map_or(0, |run| run.end().0);
    Ok(Found::Inside("flattened", Source::new(Flattened { records, length }), warnings))
}

/// The file that the records make, read through a table of them.
struct Flattened {
    records: super::runs::Runs,
    length: u64,
}

impl Bytes for Flattened {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, at: u64, buf: &mut [u8]) -> usize {
        let mut done = 0usize;
        // What no record brings is zero.
        let len = buf.len().min(usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX));
        while let Some(rest) = buf.get_mut(done..len).filter(|rest| !rest.is_empty()) {
            let Some(now) = u64::try_from(done).ok().and_then(|done| at.checked_add(done)) else { break };
            let read = self.records.read(PhysicalAddress(now), rest);
            let next = self.records.next_run(PhysicalAddress(now.saturating_add(u64::try_from(read).unwrap_or(0))));
            done = done.saturating_add(read);
            let gap =
                next.map_or(0, |next| next.start.0.saturating_sub(at.saturating_add(u64::try_from(done).unwrap_or(0))));
            let gap = usize::try_from(gap).unwrap_or(usize::MAX).min(len.saturating_sub(done));
            if read == 0 && gap == 0 {
                break;
            }
            if let Some(hole) = buf.get_mut(done..done.saturating_add(gap)) {
                hole.fill(0);
            }
            done = done.saturating_add(gap);
        }
        done
    }

    fn lend(&self, at: u64, len: usize) -> Option<&[u8]> {
        self.records.borrow(PhysicalAddress(at), len)
    }

    fn block_offset(&self, at: u64) -> Option<u64> {
        self.records.block_offset(PhysicalAddress(at))
    }
}

#[cfg(all(test, feature = "compressed-images"))]
mod tests {
    use super::*;

    /// Pages as liblzo2 2.10 packs them (lzo1x_1_compress, lzo1x_999_compress).
    #[test]
    fn pages_packed_by_liblzo() {
        let text = b"The quick brown fox jumps over the lazy dog. ".repeat(92);
        let (zeros, text) = (vec![0; 4096], &text[..4096]);
        for (packed, page) in [
            ("02000000000020000000000000000000000000000000da10000c000000000000000000000000000000110000", &zeros[..]),
            ("12002000000000000000e600002000000000000000e50000110000", &zeros),
            (
                "002054686520717569636b2062726f776e20666f78206a756d7073206f76657220746865206c617a7920646f672e205468652071\
                 20000000000000000000000000000000aab0000f657220746865206c617a7920646f672e2054110000",
                text,
            ),
            (
                "3154686520717569636b2062726f776e20666f78206a756d7073206f76657220745803076c617a7920646f672e202000000000000000\
                 e6b0002000000000000000b9b000110000",
                text,
            ),
        ] {
            let byte = |n: usize| u8::from_str_radix(&packed[n..n + 2], 16).unwrap();
            let packed: Vec<u8> = (0..packed.len()).step_by(2).map(byte).collect();
            let mut file = vec![0; 24];
            file[..8].copy_from_slice(&24u64.to_le_bytes());
            file[8..12].copy_from_slice(&(packed.len() as u32).to_le_bytes());
            file[12..16].copy_from_slice(&LZO.to_le_bytes());
            file.extend(packed);
            let pages = |file: Vec<u8>| Descriptors { source: Source::new(file), at: 0 }.unpack(0);
            assert!(pages(file.clone()).unwrap() == page);
            // Not one byte of it may be missing.
            let short = u32::try_from(file.len() - 25).unwrap();
            file[8..12].copy_from_slice(&short.to_le_bytes());
            assert_eq!(pages(file), None);
        }
    }
}
