//! The pages in which process objects go on. Pool blocks cross pages, and what follows a page for the kernel is anywhere in physical
//! memory: where the tables above are gone, the lowest one still has both entries side by side, and lists lead to what stands there.

use crate::image::PhysicalMemory;
use crate::kernel::{Eprocess, Kernel};
use crate::memory::{Page, Scanner};
use crate::process::carved::{self, Objects};
use crate::process::scan::CREATED;
use crate::symbols::Stored as _;
use crate::{PAGE_SIZE, PhysicalAddress, VirtualAddress};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

/// Objects whose next page is searched for: each is held against every page of memory.
const MAX_WANTED: usize = 1 << 10;
/// Pages that may be the next one of an object.
const MAX_PROPOSED: usize = 16;
/// Searches: what one finds may be the neighbour in a list by which the next finds another.
const MAX_SEARCHES: usize = 3;
/// Where an entry of a page table has its frame.
const FRAME: u64 = 0x000f_ffff_ffff_f000;
const PRESENT: u64 = 1;
/// An entry that maps 2 MiB.
const LARGE: u64 = 1 << 7;
const LARGE_BYTES: u64 = 2 << 20;

/// An object of which a part lies in the next page.
struct Wanted {
    address: VirtualAddress,
    physical: PhysicalAddress,
    /// What stands at places in the next page, by the lists that the object is in.
    links: Vec<(usize, u64)>,
    /// Pages that a page table has next to the object's.
    by_table: Vec<PhysicalAddress>,
    /// Pages that have such links.
    by_links: Vec<PhysicalAddress>,
}

/// Searches memory for the pages in which objects go on that no page table of the kernel leads to. Gives each by its virtual address.
pub(super) fn search(
    kernel: &Kernel<'_>,
    objects: &Objects,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> BTreeMap<VirtualAddress, PhysicalAddress> {
    let mut found = BTreeMap::new();
    for _ in 0..MAX_SEARCHES {
        let lists = Lists::of(kernel, objects, &found);
        let mut wanted = wanted(kernel, objects, &found, &lists);
        if wanted.is_empty() {
            break;
        }
        propose(kernel, &mut wanted, progress);
        let before = found.len();
        found.extend(wanted.iter().filter_map(|wanted| Some((next_page(wanted.address)?, wanted.choose(kernel)?))));
        if found.len() == before {
            break;
        }
    }
    found
}

fn next_page(address: VirtualAddress) -> Option<VirtualAddress> {
    address.page().checked_add(PAGE_SIZE)
}

/// An object with the next page that was found for it.
fn read<'k>(
    kernel: &'k Kernel<'k>,
    found: &BTreeMap<VirtualAddress, PhysicalAddress>,
    address: VirtualAddress,
    physical: PhysicalAddress,
) -> Eprocess<'k> {
    match next_page(address).and_then(|next| found.get(&next)) {
        Some(behind) => Eprocess::joined(kernel, address, physical, Some(*behind)),
        None => carved::read(kernel, address, physical),
    }
}

/// Both links of a list entry, as far as the object can be read there.
fn links(process: &Eprocess<'_>, offset: u64) -> [Option<u64>; 2] {
    let link = |offset| process.view().bytes(offset, 8).ok().and_then(u64::decode);
    [link(offset), link(offset.saturating_add(8))]
}

/// The active list, as those have it that are whole: by the address of an entry, which entries name it as their next and as the one
/// before.
#[derive(Default)]
struct Lists {
    before: HashMap<u64, u64>,
    behind: HashMap<u64, u64>,
}

impl Lists {
    fn of(kernel: &Kernel<'_>, objects: &Objects, found: &BTreeMap<VirtualAddress, PhysicalAddress>) -> Self {
        let offset = kernel.layouts().process.links.offset;
        let mut lists = Self::default();
        for (address, physical) in objects.all() {
            let own = address.wrapping_add(offset).0;
            let [next, before] = links(&read(kernel, found, address, physical), offset);
            if let Some(next) = next {
                lists.before.insert(next, own);
            }
            if let Some(before) = before {
                lists.behind.insert(before, own);
            }
        }
        lists
    }
}

/// The objects that go on in a page which is not known.
fn wanted(
    kernel: &Kernel<'_>,
    objects: &Objects,
    found: &BTreeMap<VirtualAddress, PhysicalAddress>,
    lists: &Lists,
) -> Vec<Wanted> {
    let layout = &kernel.layouts().process;
    let of = |(address, physical): (VirtualAddress, PhysicalAddress)| {
        let process = read(kernel, found, address, physical);
        if process.is_whole() {
            return None;
        }
        let mut expected = Vec::new();
        let mut expect = |offset: u64, value: Option<u64>| {
            let beyond = offset.checked_sub(physical.left_in_page());
            let beyond = beyond.and_then(|beyond| usize::try_from(beyond).ok());
            expected.extend(beyond.zip(value));
        };
        let own = layout.links.offset;
        let at = address.wrapping_add(own).0;
        expect(own, lists.behind.get(&at).copied());
        expect(own.saturating_add(8), lists.before.get(&at).copied());
        // The scheduler's list of its threads begins in the first page, and the other one has the same threads.
        if let (Some(first), Some(head), Ok(thread)) =
            (layout.kernel_threads_head, layout.threads_head, &kernel.layouts().thread)
            && let Some(kernel_links) = thread.kernel_links
        {
            let moved = |link: Option<u64>| {
                let link = link.filter(|link| VirtualAddress(*link).is_kernel());
                link.map(|link| link.wrapping_sub(kernel_links.offset).wrapping_add(thread.links.offset))
            };
            let [next, before] = links(&process, first.offset);
            let is_empty = next == Some(address.wrapping_add(first.offset).0);
            if !is_empty {
                expect(head.offset, moved(next));
                expect(head.offset.saturating_add(8), moved(before));
            }
        }
        let (by_table, by_links) = (Vec::new(), Vec::new());
        Some(Wanted { address, physical, links: expected, by_table, by_links })
    };
    objects.all().filter_map(of).take(MAX_WANTED).collect()
}

impl Wanted {
    /// The page next to the object's in a page table, if this is the one that maps it.
    fn of_table(&self, page: Page<'_>) -> Option<PhysicalAddress> {
        let frame = self.physical.page().0;
        let slot = |shift: u32| usize::try_from(self.address.0.wrapping_shr(shift) & 0x1ff).unwrap_or(0);
        let entry = |slot: usize| page.u64(slot.checked_mul(8)?);
        let own = entry(slot(12))?;
        if own & FRAME == frame && own & PRESENT != 0 {
            let next = entry(slot(12).checked_add(1)?)?;
            return (next & PRESENT != 0 && next & FRAME != 0).then_some(PhysicalAddress(next & FRAME));
        }
        let own = entry(slot(21))?;
        let start = own & FRAME & !LARGE_BYTES.wrapping_sub(1);
        let within = self.address.page().0 & LARGE_BYTES.wrapping_sub(1);
        let maps = own & (PRESENT | LARGE) == PRESENT | LARGE && start.checked_add(within) == Some(frame);
        let next = within.checked_add(PAGE_SIZE).filter(|next| maps && *next < LARGE_BYTES)?;
        Some(PhysicalAddress(start.checked_add(next)?))
    }

    /// Whether a page has one of the links where it must be.
    fn has_links(&self, page: Page<'_>) -> bool {
        self.links.iter().any(|(at, link)| page.u64(*at) == Some(*link))
    }

    /// The page that the object goes on in: the one that a page table has, or else that lists lead to. `None`: none is, or more than one.
    fn choose(&self, kernel: &Kernel<'_>) -> Option<PhysicalAddress> {
        let fits = |behind: &PhysicalAddress| {
            let joined = Eprocess::joined(kernel, self.address, self.physical, Some(*behind));
            joined.has_process_values(|created| CREATED.contains(&created.0))
        };
        let one = |proposed: &[PhysicalAddress]| {
            let mut all = proposed.iter().copied().filter(fits);
            let first = all.next()?;
            // A copy of the page is as good.
            let content = |at: PhysicalAddress| {
                let mut bytes = [0u8; 4096];
                (kernel.image().read(at, &mut bytes) == bytes.len()).then_some(bytes)
            };
            all.all(|other| content(other) == content(first)).then_some(first)
        };
        one(&self.by_table).or_else(|| one(&self.by_links))
    }
}

/// Goes over all of memory, once, for pages that may be wanted.
fn propose(kernel: &Kernel<'_>, wanted: &mut [Wanted], progress: &(dyn Fn(u64, u64) + Sync)) {
    let image = kernel.image();
    let mut hits = Vec::new();
    let is_any = |page: Page<'_>| wanted.iter().any(|wanted| wanted.of_table(page).is_some() || wanted.has_links(page));
    Scanner::new().pages(is_any).max_hits(MAX_WANTED.saturating_mul(MAX_PROPOSED)).progress(progress).run(
        image,
        |hit| {
            hits.push(hit.at);
            ControlFlow::Continue(())
        },
    );
    for at in hits {
        let mut bytes = [0u8; 4096];
        if image.read(at, &mut bytes) != bytes.len() {
            continue;
        }
        let page = Page { at, bytes: &bytes };
        for wanted in &mut *wanted {
            let of_table = wanted.of_table(page);
            let by_links = wanted.has_links(page).then_some(at);
            for (list, proposed) in [(&mut wanted.by_table, of_table), (&mut wanted.by_links, by_links)] {
                let proposed = proposed.filter(|proposed| !list.contains(proposed) && list.len() < MAX_PROPOSED);
                list.extend(proposed);
            }
        }
    }
}
