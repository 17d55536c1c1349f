//! Which code a process has, by its page tables, and whether its images are what others have of them.

use crate::addr::PAGE_BYTES;
use crate::image::{PhysicalMemory, holds};
use crate::kernel::{AlteredPage, CodeRun, Eprocess, KUSER_SHARED_DATA, Kernel, Vad, VadKind};
use crate::location::{DataLocation, Location};
use crate::memory::UserPage;
use crate::{Absent, Hex, ListEnd, Origin, PAGE_SIZE, PhysicalAddress, Reading, VirtualAddress};
use std::collections::{BTreeMap, HashMap};

/// Pages outside images, or to be written to, that are kept of one process: a compiler of code at run time has some thousand.
const MAX_ODD: usize = 1 << 14;
/// Pages of one page table that are looked at for what they hold: all that it has.
const MAX_ODD_READ: u64 = PAGE_SIZE / 8;
/// Pages of images that are kept of one process: 1 GiB of code.
const MAX_IMAGE_PAGES: usize = 1 << 18;
/// Pages that are compared, or asked of sections, in all: those that only one process has, and those that differ.
const MAX_COMPARED: usize = 1 << 13;
/// Pages that are told of one process.
const MAX_ALTERED: usize = 256;

/// What the tables of one process say.
pub(super) struct Code {
    pub runs: Vec<CodeRun>,
    pub pages: u64,
    pub no_execute: bool,
    pub end: ListEnd,
    images: Vec<ImagePage>,
}

/// A page of an image that is in memory.
#[derive(Clone, Copy)]
struct ImagePage {
    at: VirtualAddress,
    physical: PhysicalAddress,
    executable: bool,
    /// Where the entry lies that maps it.
    entry_at: Option<PhysicalAddress>,
    /// Its range, among those of the process.
    range: usize,
}

/// The first build in which no process may execute `KUSER_SHARED_DATA`, as far as is known.
const FIRST_WITHOUT_SHARED_CODE: u32 = 9600;

/// Reads the tables. `vads`: the ranges, in rising order; `ends`: the last addresses of images, by their first; `room`: tables that may
/// be read.
///
/// # Errors
/// There is no page-table root.
pub(super) fn read(
    kernel: &Kernel<'_>,
    process: &Eprocess<'_>,
    vads: &[Vad],
    ends: &HashMap<VirtualAddress, VirtualAddress>,
    room: &mut usize,
) -> Result<Code, Absent> {
    let space = process.space()?;
    // Every process has this page of the kernel's, to read. Older versions may not forbid to execute it.
    let may_execute = kernel.build().is_ok_and(|build| build < FIRST_WITHOUT_SHARED_CODE);
    let shared = kernel.space().translate(KUSER_SHARED_DATA).ok().map(PhysicalAddress::page);
    let mut images: Vec<(VirtualAddress, VirtualAddress, usize)> = vads
        .iter()
        .enumerate()
        .filter(|(_, vad)| vad.kind.value() == Some(&VadKind::Image))
        .filter_map(|(range, vad)| Some((*vad.start.value()?, *vad.end.value()?, range)))
        // Behind its end there is no image, however long the range is.
        .map(|(start, end, range)| (start, ends.get(&start).map_or(end, |last| end.min(*last)), range))
        .collect();
    images.sort_unstable();
    let image_at = |at: VirtualAddress| {
        let before = images.partition_point(|(start, _, _)| *start <= at);
        images.get(before.checked_sub(1)?).filter(|(_, end, _)| at <= *end)
    };
    let range_at = |at: VirtualAddress| {
        let after = vads.partition_point(|vad| vad.start.value().is_none_or(|start| *start <= at));
        vads.get(after.checked_sub(1)?).filter(|vad| vad.end.value().is_some_and(|end| at <= *end))
    };
    // How many pages of a table are as the ranges say, less those that are not, by the region that it maps.
    let mut fitting = HashMap::<u64, i64>::new();
    let memory = kernel.space().memory();
    // Pages of each region that can be written to and executed, and how many of them hold entries of page tables.
    let mut writable = HashMap::<u64, (u64, u64)>::new();
    let mut code = Code { runs: Vec::new(), pages: 0, no_execute: false, end: ListEnd::Complete, images: Vec::new() };
    let (mut odd, mut cut, mut elsewhere) = (Vec::<UserPage>::new(), false, false);
    let walked = space.user_pages(*room, &mut |page| {
        elsewhere |= page.table.is_some_and(Origin::is_of_another_time);
        let image = image_at(page.at);
        let as_made = range_at(page.at).is_some_and(|vad| match vad.kind.value() {
            Some(VadKind::Image) => !(page.executable && page.writable),
            _ => vad.executable.value() == Some(&page.executable),
        });
        let as_made = as_made || page.physical.is_some() && page.physical.map(PhysicalAddress::page) == shared;
        let fit = fitting.entry(page.at.table_area()).or_default();
        *fit = fit.saturating_add(if as_made && page.plausible { 1 } else { -1 });
        if page.executable && page.writable {
            let (all, tables) = writable.entry(page.at.table_area()).or_default();
            *all = all.saturating_add(1);
            if page.bytes == PAGE_SIZE
                && page.physical.is_some_and(|at| *all <= MAX_ODD_READ && holds_entries(memory, at))
            {
                *tables = tables.saturating_add(1);
            }
        }
        if page.executable {
            let is_shared = page.physical.map(PhysicalAddress::page) == shared && shared.is_some();
            if is_shared && may_execute && !page.writable {
                return;
            }
            code.pages = code.pages.saturating_add(page.bytes / PAGE_SIZE);
            if image.is_none() || page.writable {
                if odd.len() < MAX_ODD { odd.push(page) } else { cut = true }
            }
        }
        if let (Some((start, _, range)), Some(physical)) = (image, page.physical)
            && (page.executable || page.at == *start)
            && !page.table.is_some_and(Origin::is_of_another_time)
            && code.images.len() < MAX_IMAGE_PAGES
        {
            code.images.push(ImagePage {
                at: page.at,
                physical,
                executable: page.executable,
                entry_at: page.entry_at,
                range: *range,
            });
        }
    });
    *room = room.saturating_sub(walked.tables);
    code.no_execute = walked.no_execute;
    code.end = walked.end.max(if cut { ListEnd::Limit } else { ListEnd::Complete });
    if elsewhere {
        code.end = code.end.max(ListEnd::Broken);
    }
    odd.sort_unstable_by_key(|page| page.at);
    for page in odd {
        let last = page.at.wrapping_add(page.bytes.wrapping_sub(1));
        let plausible = page.plausible && page.physical.is_none_or(|physical| holds(memory, physical));
        if let Some(run) = code.runs.last_mut()
            && run.writable.value() == Some(&page.writable)
            && run.plausible.value() == Some(&plausible)
            && run.located.get("entry").and_then(|entry| entry.table) == page.table
            && run.end.value().map(|end| end.wrapping_add(1)) == Some(page.at)
        {
            run.end = Reading::Value(last);
            continue;
        }
        code.runs.push(CodeRun {
            start: Reading::Value(page.at),
            end: Reading::Value(last),
            writable: Reading::Value(page.writable),
            physical: page.physical.map_or(Reading::Nothing, Reading::Value),
            fit: Reading::Value(fitting.get(&page.at.table_area()).copied().unwrap_or_default()),
            tables: Reading::Value(match writable.get(&page.at.table_area()) {
                Some((all, tables)) if tables.saturating_mul(2) > *all => *tables,
                _ => 0,
            }),
            plausible: Reading::Value(plausible),
            own_table: Reading::default(),
            entry: Reading::Value(Hex(page.entry)),
            located: BTreeMap::from([(
                "entry".to_owned(),
                Location {
                    data: page.physical.map(|at| data(memory, page.at, at, page.bytes)),
                    table: page.table,
                    ..entry(memory, Some(space.root()), "NoExecute", page.entry_at)
                },
            )]),
        });
    }
    Ok(code)
}

/// Entry of a page table: present, and reachable from user mode.
const ENTRY: u64 = 1 | 1 << 2;
/// Bits for memory that is not cached, which user memory is not: without them the `MZ` of an image would pass for an entry.
const UNCACHED: u64 = 1 << 3 | 1 << 4;
/// Where an entry has its frame.
const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// Whether a page holds entries of a user page table and nothing else.
fn holds_entries(memory: &dyn PhysicalMemory, at: PhysicalAddress) -> bool {
    let mut bytes = [0u8; PAGE_BYTES];
    if memory.read(at, &mut bytes) != PAGE_BYTES {
        return false;
    }
    let is_there = |at: PhysicalAddress| memory.next_run(at).is_some_and(|run| run.start <= at);
    let is_entry = |entry: u64| {
        entry & (ENTRY | UNCACHED) == ENTRY && entry & FRAME != 0 && is_there(PhysicalAddress(entry & FRAME))
    };
    let (entries, _) = bytes.as_chunks::<8>();
    let mut entries = entries.iter().map(|entry| u64::from_le_bytes(*entry)).filter(|entry| *entry != 0).peekable();
    entries.peek().is_some() && entries.all(is_entry)
}

/// One process in the comparison.
pub(super) struct Compared<'k, 'v> {
    pub process: Eprocess<'k>,
    pub code: &'v Code,
    pub vads: &'v [Vad],
}

/// What came of the comparison for one process.
#[derive(Default)]
pub(super) struct Comparison {
    /// Pages that differ.
    pub altered: Vec<AlteredPage>,
    /// By the region that one page table maps: whether any page of it holds what the image has there. Regions of which no page was
    /// compared are not among them.
    pub own_tables: HashMap<u64, bool>,
}

/// Compares the pages of images that several processes have, and those of one process with the image's section; gives the processes in
/// the same order. Pages that all share in one frame are not compared: there is only one witness of them.
pub(super) fn compare(kernel: &Kernel<'_>, processes: &[Compared<'_, '_>]) -> Vec<Comparison> {
    let memory = kernel.space().memory();
    // Who has which page of which image: images of one file lie at one address in all processes.
    let mut images: BTreeMap<(&str, VirtualAddress), Vec<(usize, ImagePage)>> = BTreeMap::new();
    for (who, compared) in processes.iter().enumerate() {
        for page in &compared.code.images {
            let file = compared.vads.get(page.range).and_then(|vad| vad.file.value());
            images.entry((file.map_or("", String::as_str), page.at)).or_default().push((who, *page));
        }
    }
    let mut found: Vec<Comparison> = processes.iter().map(|_| Comparison::default()).collect();
    let mut room = MAX_COMPARED;
    let note = |found: &mut [Comparison], who: usize, page: &ImagePage, is_own: bool| {
        let Some(comparison) = found.get_mut(who) else { return };
        *comparison.own_tables.entry(page.at.table_area()).or_default() |= is_own;
    };
    let tell = |found: &mut [Comparison],
                who: usize,
                file: &str,
                page: &ImagePage,
                other: PhysicalAddress,
                pid: Option<u64>| {
        let Some(Difference { offset, bytes, replaced, here, there }) = difference(memory, page.physical, other) else {
            return;
        };
        note(found, who, page, !replaced);
        let Some(Comparison { altered: list, .. }) = found.get_mut(who).filter(|own| own.altered.len() < MAX_ALTERED)
        else {
            return;
        };
        let root = processes.get(who).and_then(|compared| compared.process.root().ok());
        list.push(AlteredPage {
            at: Reading::Value(page.at),
            physical: Reading::Value(page.physical),
            other: Reading::Value(other),
            pid: pid.map_or(Reading::Nothing, Reading::Value),
            file: Reading::Value(file.to_owned()),
            offset: Reading::Value(offset),
            bytes: Reading::Value(bytes),
            located: BTreeMap::from([(
                "here".to_owned(),
                Location {
                    data: Some(data(
                        memory,
                        page.at.wrapping_add(offset),
                        page.physical.wrapping_add(offset),
                        u64::try_from(here.len() / 2).unwrap_or_default(),
                    )),
                    ..entry(memory, root, "PageFrameNumber", page.entry_at)
                },
            )]),
            here: Reading::Value(here),
            there: Reading::Value(there),
            executable: Reading::Value(page.executable),
            replaced: Reading::Value(replaced),
        });
    };
    for ((file, at), pages) in &images {
        let mut frames: HashMap<PhysicalAddress, usize> = HashMap::new();
        for (_, page) in pages {
            let count = frames.entry(page.physical).or_default();
            *count = count.saturating_add(1);
        }
        if pages.len() > 1 && frames.len() == 1 {
            pages.iter().for_each(|(who, page)| note(&mut found, *who, page, true));
            continue;
        }
        let Some(left) = room.checked_sub(pages.len()) else { break };
        room = left;
        let section = pages.iter().find_map(|(who, _)| {
            processes.get(*who).and_then(|compared| compared.process.space().ok()?.section_page(*at))
        });
        // What the section has, or else what most have.
        let most = frames.iter().max_by_key(|(frame, count)| (**count, **frame)).map(|(frame, _)| *frame);
        let (Some(right), true) = (section.or(most), section.is_some() || pages.len() > 1) else { continue };
        for (who, page) in pages {
            if page.physical != right {
                let owner = pages.iter().find(|(_, other)| other.physical == right);
                let owner = owner.filter(|_| section.is_none()).and_then(|(owner, _)| processes.get(*owner));
                let pid = owner.and_then(|owner| owner.process.pid().ok());
                tell(&mut found, *who, file, page, right, pid);
            } else if section.is_none() && frames.get(&right) == Some(&1) {
                // Two pages, one process each: which is the true one is not to be told.
                let other = pages.iter().find(|(_, other)| other.physical != right);
                if let Some((other, theirs)) = other {
                    let pid = processes.get(*other).and_then(|other| other.process.pid().ok());
                    tell(&mut found, *who, file, page, theirs.physical, pid);
                }
            } else {
                note(&mut found, *who, page, true);
            }
        }
    }
    found
}

/// In what two pages differ.
struct Difference {
    /// The first byte.
    offset: u64,
    /// How many.
    bytes: u64,
    /// More than half of what the other has.
    replaced: bool,
    /// The bytes from the first on, in the one and in the other.
    here: String,
    there: String,
}

/// Bytes that are told of a difference: a patch at the start of a function has 5 to 14.
const MAX_TOLD: usize = 16;

/// Where an entry of a page table lies, for evidence. `root`: of the tables.
fn entry(
    memory: &dyn PhysicalMemory,
    root: Option<PhysicalAddress>,
    field: &'static str,
    physical: Option<PhysicalAddress>,
) -> Location {
    Location {
        structure: "_MMPTE".into(),
        field: field.into(),
        physical,
        file_offset: physical.and_then(|at| memory.file_offset(at)),
        dtb: root,
        ..Location::default()
    }
}

/// Where bytes of a page lie, for evidence.
fn data(memory: &dyn PhysicalMemory, at: VirtualAddress, physical: PhysicalAddress, bytes: u64) -> DataLocation {
    DataLocation {
        r#virtual: at,
        physical: Some(physical),
        file_offset: memory.file_offset(physical),
        bytes,
        ..DataLocation::default()
    }
}

/// `None`: they do not differ, or one of them is not in the image.
fn difference(memory: &dyn PhysicalMemory, one: PhysicalAddress, other: PhysicalAddress) -> Option<Difference> {
    let read = |at: PhysicalAddress| {
        let mut bytes = [0u8; PAGE_BYTES];
        (memory.read(at, &mut bytes) == PAGE_BYTES).then_some(bytes)
    };
    let (one, other) = (read(one)?, read(other)?);
    let differing = || one.iter().zip(&other).zip(0u64..).filter(|((one, other), _)| one != other);
    let (_, offset) = differing().next()?;
    let (held, gone) =
        (other.iter().filter(|byte| **byte != 0).count(), differing().filter(|((_, other), _)| **other != 0).count());
    let bytes = u64::try_from(differing().count()).unwrap_or(u64::MAX);
    // Up to the last byte that differs, so that what is the same behind it is not told.
    let last = differing().map(|(_, at)| at).last().unwrap_or(offset);
    let range = usize::try_from(offset).ok()?..=usize::try_from(last).ok()?;
    let told = |page: &[u8]| -> String {
        let bytes = page.get(range.clone()).unwrap_or_default();
        bytes.iter().take(MAX_TOLD).map(|byte| format!("{byte:02x}")).collect()
    };
    let (here, there) = (told(&one), told(&other));
    Some(Difference { offset, bytes, replaced: gone.saturating_mul(2) > held, here, there })
}
