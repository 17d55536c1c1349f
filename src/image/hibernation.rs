//! Hibernation files (hiberfil.sys) of Windows 7 and later, 64 bits; of Windows 8 and later, 32 bits.
//!
//! Layout: `_PO_MEMORY_IMAGE` in Microsoft's PDBs, which has another length in nearly every version; sets of pages as Hibr2Bin and
//! LeechCore describe them (Sylve, Marziale, Richard: "Modern Windows hibernation file analysis", 2017).

use super::blocks::{Blocks, Unpack};
use super::formats::{Format, Job, Opened, Opening, Refusal};
use super::runs::{Piece, Place, Runs, push};
use super::source::Source;
use super::xpress_huffman;
use super::{Hints, PhysicalRun};
use crate::{Error, PAGE_SIZE, PhysicalAddress, Timestamp, xpress};

/// See the module.
pub(super) static FORMAT: Format = Format {
    title: "a hibernation file of Windows",
    mark: |opening| is_one(&opening.source),
    job: Job::Read(|opening| Ok(open(opening)?.into())),
};

const SIGNATURES: [&[u8; 4]; 7] = [b"hibr", b"HIBR", b"wake", b"WAKE", b"RSTR", b"rstr", b"HORM"];
/// Before a block of Windows 7.
const XPRESS: &[u8; 8] = b"\x81\x81xpress";

fn is_one(source: &Source) -> bool {
    SIGNATURES.iter().any(|signature| source.has(0, *signature)) || wiped_table(source).is_some()
}

/// Where fields of `_PO_MEMORY_IMAGE` are, by its own length.
struct Version {
    length: u32,
    name: &'static str,
    /// Bytes of a page number.
    word: u64,
    system_time: u64,
    pages_for_loader: u64,
    first_secure: Option<u64>,
    first_boot: u64,
    first_kernel: u64,
    boot_pages: Option<u64>,
    kernel_pages: Option<u64>,
    hiberboot: Option<u64>,
}

const fn wide(length: u32, name: &'static str, kernel_pages: u64, hiberboot: Option<u64>) -> Version {
    Version {
        length,
        name,
        word: 8,
        system_time: 0x20,
        pages_for_loader: 0x58,
        first_secure: Some(0x60),
        first_boot: 0x68,
        first_kernel: 0x70,
        // In every PDB seen the three counts stand side by side.
        boot_pages: Some(kernel_pages.saturating_sub(8)),
        kernel_pages: Some(kernel_pages),
        hiberboot,
    }
}

const fn narrow(length: u32, name: &'static str, kernel_pages: u64) -> Version {
    Version {
        length,
        name,
        word: 4,
        system_time: 0x18,
        pages_for_loader: 0x48,
        first_secure: None,
        first_boot: 0x50,
        first_kernel: 0x54,
        boot_pages: None,
        kernel_pages: Some(kernel_pages),
        hiberboot: None,
    }
}

static VERSIONS: &[Version] = &[
    Version {
        first_secure: None,
        first_boot: 0x60,
        first_kernel: 0x68,
        ..wide(0x360, "Windows 8 or 8.1", 0x1c8, Some(0x2fc))
    },
    wide(0x3b0, "Windows 10 (10240, 10586)", 0x218, None),
    wide(0x3c8, "Windows 10 (14393)", 0x220, Some(0x354)),
    wide(0x3d8, "Windows 10 (15063 to 17134)", 0x230, None),
    wide(0x3e0, "Windows 10 (17763 to 19045)", 0x230, Some(0x364)),
    wide(0x448, "Windows Server 2022 or Windows 11 (20348 to 22631)", 0x230, Some(0x3cc)),
    wide(0x4d8, "Windows 11 (26100)", 0x238, None),
    narrow(0x2c8, "Windows 8 or 8.1, 32 bits", 0x1b0),
    narrow(0x310, "Windows 10 (10240, 10586), 32 bits", 0x1f8),
    narrow(0x328, "Windows 10 (14393), 32 bits", 0x200),
    narrow(0x338, "Windows 10 (15063 to 17134), 32 bits", 0x210),
    narrow(0x340, "Windows 10 (17763 to 19041), 32 bits", 0x210),
];

/// Of a version that is not in the table: what has been at the same place since 10240.
static UNKNOWN: Version =
    Version { boot_pages: None, kernel_pages: None, ..wide(0, "a version that is not known", 8, None) };

/// `LengthSelf` of Windows 7, whose file is of another form.
const SEVEN: u32 = 0x128;

fn open(opening: &Opening<'_>) -> Result<Opened, Refusal> {
    let source = &opening.source;
    if let Some(table) = wiped_table(source) {
        let mut sets = Sets::default();
        let odd = sets.tables(source, table);
        let mut opened = sets.into_memory(source, odd)?;
        opened.warn(
            "the file's header is gone: Windows has resumed from it, and this is a past state of the machine".into(),
        );
        return Ok(opened);
    }
    let length = source.u32(0x0c).ok_or_else(|| Refusal::NotThis("it ends within its header".into()))?;
    let signature = source.array::<4>(0).unwrap_or_default();
    let mut opened = if length == SEVEN {
        let table = source.u64(0x60).unwrap_or(0);
        let mut sets = Sets::default();
        let odd = sets.tables(source, table);
        let mut opened = sets.into_memory(source, odd)?;
        // KPROCESSOR_STATE stands in page 1; `SpecialRegisters.Cr3` in it.
        let root = source.u64(PAGE_SIZE.saturating_add(0x10)).map(|root| PhysicalAddress(root).page());
        opened.hints = Some(Hints {
            roots: root.filter(|root| !root.is_null()).into_iter().collect(),
            system_time: source.u64(0x20).and_then(Timestamp::plausible),
            ..Hints::from("hibernation file header")
        });
        opened.maker = Some("Windows 7".into());
        opened
    } else {
        sets_of_eight(source, length)?
    };
    match &signature {
        b"WAKE" | b"wake" => opened.warn(
            "Windows has resumed from this file: it shows a past state, and part of it may be overwritten".into(),
        ),
        b"RSTR" | b"rstr" => {
            opened.warn("the file was copied while Windows resumed from it: part of it may be overwritten".into())
        }
        _ => {}
    }
    Ok(opened)
}

fn sets_of_eight(source: &Source, length: u32) -> Result<Opened, Refusal> {
    if length == 0 {
        return Err(Refusal::NotThis("its header has no length".into()));
    }
    let known = VERSIONS.iter().find(|version| version.length == length);
    if known.is_none() && !(0x2c8..=0x1000).contains(&length) {
        return Err(Refusal::Unusable(Error::Unsupported {
            what: format!(
                "this hibernation file has a header of {length:#x} bytes, which is that of a Windows before 7, or damaged"
            ),
            advice: "Files of Windows 7 and later (64 bits), and of Windows 8 and later (32 bits) can be read".into(),
        }));
    }
    let version = known.unwrap_or(&UNKNOWN);
    let number = |at: u64| {
        if version.word == 8 { source.u64(at) } else { source.u32(at).map(u64::from) }
    };
    let field = |at: Option<u64>| at.and_then(number).unwrap_or(0);
    let page =
        |at: u64| number(at).and_then(|page| page.checked_mul(PAGE_SIZE)).filter(|at| *at > 0 && *at < source.len());
    let mut sets = Sets::default();
    let mut odd = Vec::new();
    // Of a page in both, the kernel's copy is the right one.
    for (what, first, pages) in [
        ("kernel's", version.first_kernel, field(version.kernel_pages)),
        (
            "boot loader's",
            version.first_boot,
            number(version.pages_for_loader).unwrap_or(0).max(field(version.boot_pages)),
        ),
    ] {
        // The count is not where it should be: the chain ends where it does not go on.
        let unknown = version.kernel_pages.is_none() || pages == 0 || pages > MAX_PAGES;
        let wanted = if unknown { u64::MAX } else { pages };
        let Some(at) = page(first) else {
            odd.push(format!("the {what} pages are not in the file"));
            continue;
        };
        let found = sets.chain(source, at, wanted, version.word);
        if found == 0 || (!unknown && found < pages) {
            odd.push(format!(
                "{found} of the {what} {pages} pages are there: the file was cut, or overwritten after Windows resumed"
            ));
        }
    }
    let mut opened = sets.into_memory(source, None)?;
    opened.maker = Some(version.name.to_owned());
    opened.hints = Some(Hints {
        system_time: source.u64(version.system_time).and_then(Timestamp::plausible),
        ..Hints::from("hibernation file header")
    });
    if known.is_none() {
        opened.warn(format!("the file's header has {length:#x} bytes, which no known version of Windows writes: it is read as those since Windows 10 are"));
    }
    for odd in odd {
        opened.warn(odd);
    }
    if version.hiberboot.and_then(|at| source.u32(at)).is_some_and(|flag| flag & 0xff != 0) {
        opened.warn(
            "this is what Fast Startup leaves at a shutdown: users were logged off before, so that their sessions and processes are \
             not in it"
                .into(),
        );
    }
    if version.first_secure.and_then(page).is_some() {
        opened.warn("pages of the secure kernel (VSM) are in the file, encrypted: they are left out".into());
    }
    Ok(opened)
}

/// Pages of one chain at most: 16 TiB.
const MAX_PAGES: u64 = 1 << 32;
/// Sets of one file at most: those of 512 GiB.
const MAX_SETS: usize = 1 << 23;
/// Pages of one set.
const SET_PAGES: u64 = 16;

/// How a set is packed.
#[derive(Clone, Copy)]
enum Method {
    Xpress,
    Huffman,
}

/// A packed set: where, how long, how many pages, how.
#[derive(Clone, Copy)]
struct Set {
    at: u64,
    bytes: u32,
    pages: u8,
    method: Method,
}

/// The sets of pages, and where their pages belong.
#[derive(Default)]
struct Sets {
    sets: Vec<Set>,
    pieces: Vec<Piece>,
}

impl Sets {
    /// Takes a set whose data begin at `at`, and gives the place of its page `n`.
    fn add(&mut self, at: u64, bytes: u32, pages: u64, method: Method) -> impl Fn(u64) -> Place + use<> {
        let plain = u64::from(bytes) == pages.saturating_mul(PAGE_SIZE);
        let block = u64::try_from(self.sets.len()).unwrap_or(u64::MAX);
        if !plain {
            self.sets.push(Set { at, bytes, pages: u8::try_from(pages).unwrap_or(16), method });
        }
        move |page| {
            let within = page.saturating_mul(PAGE_SIZE);
            if plain { Place::File(at.saturating_add(within)) } else { Place::Packed { block, within } }
        }
    }

    fn piece(&mut self, first: u64, pages: u64, place: Place) {
        let bytes = pages.saturating_mul(PAGE_SIZE);
        push(&mut self.pieces, PhysicalRun { start: PhysicalAddress(first.saturating_mul(PAGE_SIZE)), bytes }, place);
    }

    /// A chain of sets as Windows 8 and later write them: a header, descriptors of ranges, the data. Returns the pages found.
    fn chain(&mut self, source: &Source, begin: u64, wanted: u64, word: u64) -> u64 {
        let (mut at, mut found) = (begin, 0u64);
        while found < wanted && self.sets.len() < MAX_SETS {
            let Some(head) = source.u32(at) else { break };
            let (count, bytes, method) = (u64::from(head & 0xff), (head >> 8) & 0x3f_ffff, head >> 30);
            let descriptors = at.saturating_add(4);
            let data = descriptors.saturating_add(count.saturating_mul(word));
            let ranges: Option<Vec<(u64, u64)>> = (0..count.min(SET_PAGES.saturating_add(1)))
                .map(|n| {
                    let at = descriptors.checked_add(n.checked_mul(word)?)?;
                    let value = if word == 8 { source.u64(at)? } else { source.u32(at).map(u64::from)? };
                    Some((value >> 4, (value & 15).saturating_add(1)))
                })
                .collect();
            let Some(ranges) = ranges else { break };
            let pages: u64 = ranges.iter().map(|(_, pages)| *pages).sum();
            let next = data.saturating_add(u64::from(bytes));
            let possible = (1..=SET_PAGES).contains(&pages)
                && (1..=pages.saturating_mul(PAGE_SIZE)).contains(&u64::from(bytes))
                && next <= source.len();
            if !possible {
                break;
            }
            let place = self.add(data, bytes, pages, if method < 2 { Method::Xpress } else { Method::Huffman });
            let mut page = 0u64;
            for (first, count) in ranges {
                self.piece(first, count, place(page));
                page = page.saturating_add(count);
            }
            found = found.saturating_add(pages);
            at = next;
        }
        found
    }

    /// Tables of ranges as Windows 7 writes them, each with its blocks behind it. Returns why it ended early, if it did.
    fn tables(&mut self, source: &Source, first: u64) -> Option<String> {
        let mut page = first;
        // A table leads to one further on, or to none.
        loop {
            let at = page.checked_mul(PAGE_SIZE)?;
            let Some(ranges) = table(source, at) else {
                return Some(format!("a table of the file at page {page:#x} cannot be: what follows is not read"));
            };
            let mut frames = ranges.iter().flat_map(|(from, to)| *from..*to);
            let mut left: u64 = ranges.iter().map(|(from, to)| to.saturating_sub(*from)).sum();
            let mut block = at.saturating_add(PAGE_SIZE);
            while left > 0 {
                let head = source.u32(block.saturating_add(8)).filter(|_| source.has(block, XPRESS));
                let Some(head) = head else {
                    return Some(format!(
                        "the blocks behind page {page:#x} of the file end early: {left} pages are missing"
                    ));
                };
                let (pages, bytes) = (u64::from(head & 0x3ff).saturating_add(1), (head >> 10).saturating_add(1));
                let data = block.saturating_add(0x20);
                let fits = pages <= SET_PAGES && u64::from(bytes) <= pages.saturating_mul(PAGE_SIZE);
                if !fits || self.sets.len() >= MAX_SETS || data.saturating_add(u64::from(bytes)) > source.len() {
                    return Some(format!("a block at offset {block:#x} cannot be: {left} pages are missing"));
                }
                let place = self.add(data, bytes, pages, Method::Xpress);
                for n in 0..pages.min(left) {
                    let Some(frame) = frames.next() else { break };
                    self.piece(frame, 1, place(n));
                }
                left = left.saturating_sub(pages);
                block = data.saturating_add(u64::from(bytes).next_multiple_of(8));
            }
            let next = source.u64(at)?;
            if next == 0 {
                return None;
            }
            if next <= page || ranges.len() < FULL_TABLE {
                return None;
            }
            page = next;
        }
    }

    fn into_memory(self, source: &Source, odd: Option<String>) -> Result<Opened, Refusal> {
        if self.pieces.is_empty() {
            return Err(Refusal::Unusable(Error::NotAnImage {
                what: "this is a hibernation file without memory: Windows has resumed from it and wiped what it held, or the copy is cut short".into(),
                advice: "If it is shorter than the original, copy it again. Otherwise nothing of it can be used: acquire the memory of the running machine, or an older copy of the file (volume \
                         shadow copies)"
                    .into(),
            }));
        }
        let (runs, lost) = Runs::new(source.clone(), self.pieces);
        let unpack = Packed { source: source.clone(), sets: self.sets };
        let mut opened = Opened::new("hibernation", runs.with_blocks(Blocks::new(unpack))).that_leaves_out();
        opened.warnings_of(odd, super::runs::Lost { twice: 0, ..lost });
        Ok(opened)
    }
}

/// Ranges of a table of Windows 7 at most; one with fewer is the last.
const FULL_TABLE: usize = 0xff;

/// The ranges of pages in a table of Windows 7.
fn table(source: &Source, at: u64) -> Option<Vec<(u64, u64)>> {
    let count = source.u32(at.checked_add(8)?)?;
    if !(1..=u32::try_from(FULL_TABLE).ok()?).contains(&count) {
        return None;
    }
    let range = |n: u32| {
        let at = at.checked_add(16)?.checked_add(u64::from(n).checked_mul(16)?)?;
        let (from, to) = (source.u64(at)?, source.u64(at.checked_add(8)?)?);
        (from < to && to <= MAX_PAGES).then_some((from, to))
    };
    (0..count).map(range).collect()
}

/// Pages in which the first table of a file without a header is looked for.
const TABLE_SEARCHED: u64 = 64;

/// The first table of a file of Windows 7 whose header was wiped when it resumed.
fn wiped_table(source: &Source) -> Option<u64> {
    if source.u64(0) != Some(0) {
        return None;
    }
    (1..TABLE_SEARCHED).find(|page| {
        let at = page.saturating_mul(PAGE_SIZE);
        source.has(at.saturating_add(PAGE_SIZE), XPRESS) && table(source, at).is_some()
    })
}

struct Packed {
    source: Source,
    sets: Vec<Set>,
}

impl Unpack for Packed {
    fn place(&self, number: u64) -> Option<u64> {
        self.sets.get(usize::try_from(number).ok()?).map(|set| set.at)
    }

    fn unpack(&self, number: u64) -> Option<Vec<u8>> {
        let set = *self.sets.get(usize::try_from(number).ok()?)?;
        let packed = self.source.copy(set.at, usize::try_from(set.bytes).ok()?)?;
        let mut out = vec![0; usize::from(set.pages).checked_mul(4096)?];
        match set.method {
            Method::Xpress => {
                xpress::unpack(&packed, &mut out).ok().filter(|bytes| *bytes == out.len())?;
            }
            Method::Huffman => xpress_huffman::unpack(&packed, &mut out)?,
        }
        Some(out)
    }
}
