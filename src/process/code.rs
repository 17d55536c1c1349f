//! Which code a process has, by its page tables.

use crate::addr::PAGE_BYTES;
use crate::image::{PhysicalMemory, holds};
use crate::kernel::find::pe::Start;
use crate::kernel::{CodeRun, Eprocess, KUSER_SHARED_DATA, Kernel, Vad, VadKind};
use crate::location::Location;
use crate::memory::{AddressSpace, Spot, UserPage};
use crate::{Absent, Hex, ListEnd, Origin, PAGE_SIZE, PhysicalAddress, Reading, VirtualAddress};
use std::collections::{BTreeMap, HashMap};

/// Pages outside images, or to be written to, that are kept of one process: a compiler of code at run time has some thousand.
const MAX_ODD: usize = 1 << 14;
/// Pages of one page table that are looked at for what they hold: all that it has.
const MAX_ODD_READ: u64 = PAGE_SIZE / 8;
/// Pages of images that are kept of one process: 1 GiB of code.
const MAX_IMAGE_PAGES: usize = 1 << 18;
/// Images of one process whose headers are read: as many as rules have the sizes of.
const MAX_IMAGES: usize = 1 << 12;

/// What the tables of one process say.
pub(super) struct Code {
    pub runs: Vec<CodeRun>,
    pub pages: u64,
    pub no_execute: bool,
    pub end: ListEnd,
    /// Pages of images that hold code, and the first of each image, wherever they are.
    pub images: Vec<ImagePage>,
}

/// A page of an image.
#[derive(Clone, Copy)]
pub(super) struct ImagePage {
    pub at: VirtualAddress,
    /// Where its image begins.
    pub start: VirtualAddress,
    pub spot: Spot,
    /// Code in it may run.
    pub executable: bool,
    /// Where the entry lies that maps it.
    pub entry_at: Option<PhysicalAddress>,
    /// Its range, among those of the process.
    pub range: usize,
}

/// The range of an image.
struct Image {
    start: VirtualAddress,
    /// The last address.
    end: VirtualAddress,
    /// Its place among the ranges of the process.
    range: usize,
    /// Where its code begins, from the start on, and how many bytes it has.
    code: Vec<(u64, u64)>,
    /// That is all the code it has.
    is_all: bool,
}

impl Image {
    /// Reads where the headers say that code is. An entry of a page that is not in memory may say anything of its rights.
    fn read_headers(&mut self, space: &AddressSpace<'_>) {
        let start = self.start;
        let mut page = [0u8; PAGE_BYTES];
        let mut is_read = |place| space.read_place(start, &place, &mut page).1.is_none();
        // The section has them as the file has them.
        if !space.section_page(start).is_some_and(&mut is_read) && !is_read(space.resolve(start)) {
            return;
        }
        if let Start::Headers(headers) = Start::of(&page) {
            self.code = headers.code();
            let is_old = space.origin(start).is_ok_and(Origin::is_of_another_time);
            self.is_all = headers.has_whole_pages() && !is_old;
        }
    }

    fn has_code(&self, at: VirtualAddress) -> bool {
        let at = at.0.wrapping_sub(self.start.0);
        self.code.iter().any(|(first, bytes)| at.wrapping_sub(*first) < *bytes)
    }

    /// Whether the file has no code in this page.
    fn has_none(&self, at: VirtualAddress) -> bool {
        self.is_all && at != self.start && !self.has_code(at)
    }
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
    let mut images: Vec<Image> = vads
        .iter()
        .enumerate()
        .filter(|(_, vad)| vad.kind.value() == Some(&VadKind::Image))
        .filter_map(|(range, vad)| Some((*vad.start.value()?, *vad.end.value()?, range)))
        // Behind its end there is no image, however long the range is.
        .map(|(start, end, range)| (start, ends.get(&start).map_or(end, |last| end.min(*last)), range))
        .map(|(start, end, range)| Image { start, end, range, code: Vec::new(), is_all: false })
        .collect();
    images.sort_unstable_by_key(|image| (image.start, image.end, image.range));
    for image in images.iter_mut().take(MAX_IMAGES) {
        image.read_headers(&space);
    }
    let image_at = |at: VirtualAddress| {
        let before = images.partition_point(|image| image.start <= at);
        images.get(before.checked_sub(1)?).filter(|image| at <= image.end)
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
    let (mut odd, mut cut, mut elsewhere) = (Vec::<(UserPage, [bool; 2])>::new(), false, false);
    let walked = space.user_pages(*room, &mut |page| {
        elsewhere |= page.table.is_some_and(Origin::is_of_another_time);
        let image = image_at(page.at);
        if let Some(image) = image {
            let executable = page.executable || image.has_code(page.at);
            let is_compared = (executable || page.at == image.start) && page.spot != Spot::DemandZero;
            if is_compared && code.images.len() < MAX_IMAGE_PAGES {
                code.images.push(ImagePage {
                    at: page.at,
                    start: image.start,
                    spot: page.spot,
                    executable,
                    entry_at: page.entry_at,
                    range: image.range,
                });
            }
        }
        // Other entries tell the rights of that, but for private memory that was combined with others' of the same bytes.
        if page.spot == Spot::Shared {
            let is_private = range_at(page.at).is_some_and(|vad| {
                vad.kind.value() == Some(&VadKind::Private) && vad.executable.value() == Some(&false)
            });
            if page.executable && is_private {
                code.pages = code.pages.saturating_add(page.bytes / PAGE_SIZE);
                if odd.len() < MAX_ODD { odd.push((page, [false, false])) } else { cut = true }
            }
            return;
        }
        let physical = page.spot.physical();
        let as_made = range_at(page.at).is_some_and(|vad| match vad.kind.value() {
            Some(VadKind::Image) => !(page.executable && page.writable),
            _ => vad.executable.value() == Some(&page.executable),
        });
        let is_shared = physical.is_some() && physical.map(PhysicalAddress::page) == shared;
        let as_made = as_made || is_shared;
        let fit = fitting.entry(page.at.table_area()).or_default();
        *fit = fit.saturating_add(if as_made && page.plausible { 1 } else { -1 });
        if page.executable && page.writable {
            let (all, tables) = writable.entry(page.at.table_area()).or_default();
            *all = all.saturating_add(1);
            if page.bytes == PAGE_SIZE && physical.is_some_and(|at| *all <= MAX_ODD_READ && holds_entries(memory, at)) {
                *tables = tables.saturating_add(1);
            }
        }
        if page.executable {
            if is_shared && may_execute && !page.writable {
                return;
            }
            code.pages = code.pages.saturating_add(page.bytes / PAGE_SIZE);
            let outside = image.is_some_and(|image| image.has_none(page.at));
            if image.is_none() || page.writable || outside {
                if odd.len() < MAX_ODD { odd.push((page, [outside, false])) } else { cut = true }
            }
        }
    });
    *room = room.saturating_sub(walked.tables);
    code.no_execute = walked.no_execute;
    code.end = walked.end.max(if cut { ListEnd::Limit } else { ListEnd::Complete });
    if elsewhere {
        code.end = code.end.max(ListEnd::Broken);
    }
    odd.sort_unstable_by_key(|(page, _)| page.at);
    let user_root = process.user_root().value().copied();
    let other_entries = user_root.and_then(|root| Some((root, space.other_user_entries(root)?)));
    let mut user_mode = Vec::<(UserPage, [bool; 2])>::new();
    if let Some((root, slots)) = other_entries.filter(|(_, slots)| !slots.is_empty()) {
        let user = space.with_root(root);
        let walked = user.user_pages(*room, &mut |page| {
            let physical = page.spot.physical();
            let same = || physical.is_some() && space.translate(page.at).ok() == physical;
            if page.executable && slots.contains(&user.top_entry(page.at)) && !same() {
                if user_mode.len() < MAX_ODD {
                    user_mode.push((page, [false, true]))
                } else {
                    code.end = ListEnd::Limit
                }
            }
        });
        *room = room.saturating_sub(walked.tables);
    }
    user_mode.sort_unstable_by_key(|(page, _)| page.at);
    for (page, [outside_sections, user_mode_only]) in odd.into_iter().chain(user_mode) {
        let last = page.at.wrapping_add(page.bytes.wrapping_sub(1));
        let physical = page.spot.physical();
        let plausible = page.plausible && physical.is_none_or(|physical| holds(memory, physical));
        if let Some(run) = code.runs.last_mut()
            && run.writable.value() == Some(&page.writable)
            && run.outside_sections.value() == Some(&outside_sections)
            && run.user_mode_only.value() == Some(&user_mode_only)
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
            outside_sections: Reading::Value(outside_sections),
            user_mode_only: Reading::Value(user_mode_only),
            physical: physical.map_or(Reading::Nothing, Reading::Value),
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
                    data: physical.and_then(|_| space.locate_data(page.at, page.bytes)),
                    table: page.table,
                    ..entry(
                        memory,
                        user_root.filter(|_| user_mode_only).or(Some(space.root())),
                        "NoExecute",
                        page.entry_at,
                    )
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

/// Where an entry of a page table lies, for evidence. `root`: of the tables.
pub(super) fn entry(
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
