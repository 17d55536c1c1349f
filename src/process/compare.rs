//! Whether the images of processes are what their sections, and other processes, have of them.

use super::code::{Code, ImagePage, entry};
use super::relocated::{Difference, Moved, difference};
use crate::addr::PAGE_BYTES;
use crate::kernel::find::pe::Start;
use crate::kernel::{AlteredPage, Eprocess, Kernel, UncomparedPage, Vad};
use crate::location::Location;
use crate::memory::{AddressSpace, Fault, Spot, Where};
use crate::{Origin, PhysicalAddress, Reading, VirtualAddress};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Pages that are compared, or asked of sections, in all: those that only one process has, and those that differ.
const MAX_COMPARED: usize = 1 << 13;
/// Pages that are told of one process.
const MAX_ALTERED: usize = 256;

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
    /// Pages of its own of which the bytes, or those that they should be, could not be had.
    pub uncompared: Vec<UncomparedPage>,
    /// There were too many pages to compare them all.
    pub cut: bool,
    /// By the region that one page table maps: whether any page of it holds what the image has there. Regions of which no page was
    /// compared are not among them.
    pub own_tables: HashMap<u64, bool>,
}

/// One page of one process.
#[derive(Clone, Copy)]
struct Page {
    who: usize,
    page: ImagePage,
    /// Where it is: no prototype entry, and of what is in memory only where.
    spot: Spot,
}

/// What a page is held against.
enum Other<'w> {
    /// What the section has.
    Section(&'w Where),
    /// The same page of another process.
    Process(usize),
}

/// Pages of one image at one address, by file, start of the image and address.
type Groups<'v> = BTreeMap<(&'v str, VirtualAddress, VirtualAddress), Vec<Page>>;

/// Compares the pages of images that several processes have, and those of one process with the image's section; gives the processes in
/// the same order. Pages that all share in one place are not compared: there is only one witness of them.
pub(super) fn compare(kernel: &Kernel<'_>, processes: &[Compared<'_, '_>]) -> Vec<Comparison> {
    let mut groups = Groups::new();
    // Where files are mapped.
    let mut starts: BTreeMap<&str, BTreeSet<VirtualAddress>> = BTreeMap::new();
    let spaces: Vec<_> = processes.iter().map(|compared| compared.process.space().ok()).collect();
    for ((who, compared), space) in processes.iter().enumerate().zip(&spaces) {
        let Some(space) = space else { continue };
        for page in &compared.code.images {
            let file = compared.vads.get(page.range).and_then(|vad| vad.file.value());
            let file = file.map_or("", String::as_str);
            let Some(spot) = spot_of(space, page) else { continue };
            starts.entry(file).or_default().insert(page.start);
            groups.entry((file, page.start, page.at)).or_default().push(Page { who, page: *page, spot });
        }
    }
    let found = processes.iter().map(|_| Comparison::default()).collect();
    let mut comparing = Comparing { kernel, processes, spaces, starts, bases: BTreeMap::new(), found };
    let mut room = MAX_COMPARED;
    // What a process is known to have of its own comes first, and the headers.
    let first = |at: VirtualAddress, start: VirtualAddress, pages: &[Page]| {
        at == start || pages.iter().any(|page| page.page.spot.is_own())
    };
    for wanted in [true, false] {
        for ((file, start, at), pages) in &groups {
            if first(*at, *start, pages) != wanted {
                continue;
            }
            let shared = pages.first().map(|page| page.spot).filter(|spot| pages.iter().all(|page| page.spot == *spot));
            if pages.len() > 1 && shared.is_some_and(|spot| spot != Spot::PagedOut) {
                pages.iter().for_each(|page| comparing.note(page, true));
                continue;
            }
            match room.checked_sub(pages.len()) {
                Some(left) => room = left,
                None => {
                    pages.iter().for_each(|page| comparing.cut(page.who));
                    continue;
                }
            }
            comparing.group(file, pages);
        }
    }
    comparing.found
}

/// Where a page of a process is. `None`: its section has it, and what that has is not at hand.
fn spot_of(space: &AddressSpace<'_>, page: &ImagePage) -> Option<Spot> {
    match page.spot {
        Spot::Mapped(at) | Spot::Transition(at) => Some(Spot::Mapped(at.page())),
        Spot::Shared => settled(&space.resolve(page.at)),
        Spot::PageFile { .. } | Spot::PagedOut => Some(page.spot),
        Spot::DemandZero => None,
    }
}

fn settled(place: &Where) -> Option<Spot> {
    match place {
        Where::Physical(at) | Where::Transition(at) | Where::Prototype(at) => Some(Spot::Mapped(at.page())),
        Where::PageFile { number, index } | Where::VirtualStore { number, index } => {
            Some(Spot::PageFile { number: *number, index: *index })
        }
        Where::Missing(_) => None,
    }
}

struct Comparing<'a, 'k, 'v> {
    kernel: &'a Kernel<'k>,
    processes: &'a [Compared<'k, 'v>],
    spaces: Vec<Option<AddressSpace<'k>>>,
    starts: BTreeMap<&'a str, BTreeSet<VirtualAddress>>,
    /// The bases that sections say they are at, by file and start.
    bases: BTreeMap<(&'a str, VirtualAddress), Option<u64>>,
    found: Vec<Comparison>,
}

impl<'a, 'k> Comparing<'a, 'k, '_> {
    fn space(&self, who: usize) -> Option<AddressSpace<'k>> {
        self.spaces.get(who).copied().flatten()
    }

    fn cut(&mut self, who: usize) {
        if let Some(comparison) = self.found.get_mut(who) {
            comparison.cut = true;
        }
    }

    /// Whether a page is what the image has there.
    fn note(&mut self, page: &Page, is_right: bool) {
        if let Some(comparison) = self.found.get_mut(page.who) {
            *comparison.own_tables.entry(page.page.at.table_area()).or_default() |= is_right;
        }
    }

    /// The pages of one image at one address.
    fn group(&mut self, file: &'a str, pages: &[Page]) {
        let section = pages.iter().find_map(|page| self.space(page.who)?.section_page(page.page.at));
        if let Some(right) = section.as_ref().and_then(settled) {
            for page in pages {
                match (page.spot == right, &section) {
                    (false, Some(place)) => self.tell(file, page, &Other::Section(place)),
                    _ => self.note(page, true),
                }
            }
            return;
        }
        // What most have; what is a process's own is nobody else's.
        let shares = |page: &&Page| !page.page.spot.is_own();
        let has_shared = pages.iter().any(|page| shares(&page));
        let mut counts: HashMap<Spot, usize> = HashMap::new();
        for page in pages.iter().filter(|page| page.spot != Spot::PagedOut && (!has_shared || shares(page))) {
            let count = counts.entry(page.spot).or_default();
            *count = count.saturating_add(1);
        }
        let most = counts.iter().max_by_key(|(spot, count)| (**count, **spot)).map(|(spot, count)| (*spot, *count));
        for page in pages {
            // Two pages, one process each: which is the true one is not to be told.
            let other = match most {
                Some((spot, count)) if page.spot != spot || count == 1 => {
                    let other = |other: &&Page| other.spot != page.spot && (other.spot == spot || page.spot == spot);
                    pages.iter().filter(|other| !has_shared || shares(other)).find(other)
                }
                _ => None,
            };
            let only_in_file = matches!(section, Some(Where::Missing(Fault::FileOnly { .. })));
            match (other, &section) {
                (Some(other), _) => self.tell(file, page, &Other::Process(other.who)),
                // An entry that is present leads to a page of the section only while that has it in memory.
                (None, Some(place)) if page.page.spot.is_own() || only_in_file => {
                    self.tell(file, page, &Other::Section(place));
                }
                (None, None) if page.page.spot.is_own() => {
                    let at = page.page.at;
                    self.tell(file, page, &Other::Section(&Where::Missing(no_section(at))));
                }
                (None, _) if pages.len() > 1 => self.note(page, true),
                (None, _) => {}
            }
        }
    }

    /// Holds a page against another, and notes what came of it.
    fn tell(&mut self, file: &'a str, page: &Page, other: &Other<'_>) {
        let at = page.page.at;
        let Some(space) = self.space(page.who) else { return };
        let (mut here, mut there) = ([0u8; PAGE_BYTES], [0u8; PAGE_BYTES]);
        let is_here = space.read(at, &mut here);
        let (is_there, there_from) = match other {
            Other::Section(place) => {
                let read = space.read_place(at, place, &mut there).1.map_or(Ok(()), Err);
                (read, space.place_of(at, place))
            }
            Other::Process(who) => match self.space(*who) {
                Some(theirs) => (theirs.read(at, &mut there), theirs.place_of(at, &theirs.resolve(at))),
                None => return,
            },
        };
        if is_here.is_err() || is_there.is_err() {
            let origin = |read: Result<(), Fault>, from: Option<Origin>| match read {
                Ok(()) => from.map_or(Reading::Nothing, Reading::Value),
                Err(fault) => Reading::Absent(fault.into()),
            };
            let from = space.place_of(at, &space.resolve(at)).1;
            let uncompared = UncomparedPage {
                at: Reading::Value(at),
                file: Reading::Value(file.to_owned()),
                executable: Reading::Value(page.page.executable),
                // Where the section has another page, it is the process's own too.
                own: Reading::Value(
                    page.page.spot.is_own()
                        || matches!(other, Other::Section(place) if !matches!(place, Where::Missing(_))),
                ),
                here: origin(is_here, from),
                there: origin(is_there, there_from.1),
                located: BTreeMap::from([("entry".to_owned(), self.entry(page))]),
            };
            if let Some(found) = self.found.get_mut(page.who) {
                match found.uncompared.len() < MAX_ALTERED {
                    true => found.uncompared.push(uncompared),
                    false => found.cut = true,
                }
            }
            return;
        }
        let moved = self.moved(file, page, other);
        let Some(Difference { offset, bytes, replaced, here, there }) = difference(&here, &there, &moved) else {
            self.note(page, true);
            return;
        };
        self.note(page, !replaced);
        let length = u64::try_from(here.len() / 2).unwrap_or_default();
        let located = Location { data: space.locate_data(at.wrapping_add(offset), length), ..self.entry(page) };
        let pid = match other {
            Other::Section(_) => None,
            Other::Process(who) => self.processes.get(*who).and_then(|other| other.process.pid().ok()),
        };
        let Some(found) = self.found.get_mut(page.who) else { return };
        if found.altered.len() >= MAX_ALTERED {
            found.cut = true;
            return;
        }
        let physical = |at: Option<PhysicalAddress>| at.map_or(Reading::Nothing, Reading::Value);
        found.altered.push(AlteredPage {
            at: Reading::Value(at),
            physical: physical(page.spot.physical()),
            other: physical(there_from.0.map(PhysicalAddress::page)),
            pid: pid.map_or(Reading::Nothing, Reading::Value),
            file: Reading::Value(file.to_owned()),
            offset: Reading::Value(offset),
            bytes: Reading::Value(bytes),
            located: BTreeMap::from([("here".to_owned(), located)]),
            here: Reading::Value(here),
            there: Reading::Value(there),
            executable: Reading::Value(page.page.executable),
            replaced: Reading::Value(replaced),
        });
    }

    /// Where the entry of a page lies.
    fn entry(&self, page: &Page) -> Location {
        let root = self.space(page.who).map(|space| space.root());
        entry(self.kernel.space().memory(), root, "PageFrameNumber", page.page.entry_at)
    }

    /// How far a page may have been moved: the loader writes addresses anew where an image is elsewhere than its section says.
    fn moved(&mut self, file: &'a str, page: &Page, other: &Other<'_>) -> Moved {
        let ImagePage { at, start, .. } = page.page;
        let from = match other {
            // Their image is at the same address.
            Other::Process(_) => Vec::new(),
            Other::Section(_) => {
                let space = self.space(page.who);
                let base = || base_of_section(&space?, start);
                let base = *self.bases.entry((file, start)).or_insert_with(base);
                let others = self.starts.get(file).into_iter().flatten().map(|start| start.0);
                match base {
                    Some(base) if base == start.0 => Vec::new(),
                    base => base.into_iter().chain(others).filter(|base| *base != start.0).collect(),
                }
            }
        };
        Moved { to: start.0, from, is_first: at == start }
    }
}

/// The base that the headers of a section name.
fn base_of_section(space: &AddressSpace<'_>, start: VirtualAddress) -> Option<u64> {
    let place = space.section_page(start)?;
    let mut page = [0u8; PAGE_BYTES];
    if space.read_place(start, &place, &mut page).1.is_some() {
        return None;
    }
    match Start::of(&page) {
        Start::Headers(headers) => Some(headers.base),
        Start::Torn | Start::Zeros | Start::Others => None,
    }
}

/// The fault of a page whose section's entry cannot be found.
const fn no_section(at: VirtualAddress) -> Fault {
    Fault::Prototype { at, entry: 0, why: crate::memory::PrototypeFault::NoEntry }
}
