//! Processes where no kernel was found: objects in physical memory that their own values prove, by layouts that are tried.

use super::list::MAX_PROCESSES;
use super::scan::{ProcessLook, STEP};
use super::{Process, ProcessList, ProcessView, Source};
use crate::budget::Budget;
use crate::image::PhysicalMemory;
use crate::kernel::{Eprocess, Kernel, PROCESS_OBJECT};
use crate::memory::{Page, ScanEnd, Scanner};
use crate::{ListEnd, MemoryImage, PhysicalAddress, Reading, VirtualAddress, Warning};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Places of one page that are judged: it holds three objects at most, and hostile memory looks like more at every sixteenth byte.
const MAX_IN_PAGE: usize = 8;
/// Places that are judged in all: far more than a machine has processes, each by the layouts of some dozens of kernels.
const MAX_PLACES: usize = 1 << 17;

/// Process objects by one kernel's layouts: where each says that it lies, and where it was met.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub places: BTreeMap<VirtualAddress, PhysicalAddress>,
    /// Those whose ids lie in the next page, which is not known: what there is of them is a process's.
    pub heads: BTreeMap<VirtualAddress, PhysicalAddress>,
    /// There were more than a list takes, or not all memory was searched.
    pub is_part: bool,
}

impl Objects {
    /// All, with their places.
    pub(crate) fn all(&self) -> impl Iterator<Item = (VirtualAddress, PhysicalAddress)> + '_ {
        self.places.iter().chain(&self.heads).map(|(address, physical)| (*address, *physical))
    }
}

/// Places where processes may begin, whatever the layouts: what lies there is judged later.
#[derive(Debug, Default)]
pub(crate) struct Places {
    at: Vec<PhysicalAddress>,
    is_part: bool,
}

/// What processes of some kernels look like, in the order of these. `None`: the symbols lack what a process is known by.
pub(crate) struct Looks<'k>(Vec<Option<ProcessLook<'k>>>);

impl<'k> Looks<'k> {
    pub(crate) fn of(kernels: &'k [Kernel<'_>]) -> Self {
        Self(kernels.iter().map(|kernel| ProcessLook::by_values(kernel).ok()).collect())
    }

    /// One for each different thing that is asked of a page at first: it is the same for most layouts.
    fn different(&self) -> BTreeMap<([usize; 2], usize), &ProcessLook<'k>> {
        self.0.iter().flatten().map(|look| (look.first_look(), look)).collect()
    }

    /// Whether a search for these meets all that a search for others would.
    pub(crate) fn cover(&self, others: &Looks<'_>) -> bool {
        let own = self.different();
        others.different().keys().all(|asked| own.contains_key(asked))
    }

    /// Adds the search for places to a scan: its hits are pages that have any.
    pub(crate) fn add_to<'s>(&'s self, scanner: Scanner<'s>) -> Scanner<'s> {
        let looks: Vec<_> = self.different().into_values().collect();
        scanner.pages(move |page| in_page(&looks, page).next().is_some())
    }

    /// Takes a page that the scan gave.
    pub(crate) fn take(&self, places: &mut Places, image: &MemoryImage, at: PhysicalAddress) {
        let mut bytes = [0u8; 4096];
        if image.read(at, &mut bytes) != bytes.len() {
            return;
        }
        let looks: Vec<_> = self.different().into_values().collect();
        for place in in_page(&looks, Page { at, bytes: &bytes }).take(MAX_IN_PAGE) {
            if places.at.len() < MAX_PLACES { places.at.push(place) } else { places.is_part = true }
        }
    }

    /// Searches all of memory, once, for places.
    pub(crate) fn search(&self, image: &MemoryImage, progress: &(dyn Fn(u64, u64) + Sync)) -> Places {
        let mut places = Places::default();
        let scan = self.add_to(Scanner::new().max_hits(usize::MAX).progress(progress)).run(image, |hit| {
            self.take(&mut places, image, hit.at);
            ControlFlow::Continue(())
        });
        places.ended(scan.end);
        places
    }

    /// What lies at these places, by each kernel.
    pub(crate) fn judge(&self, places: &Places) -> Vec<Objects> {
        let of = |look: &Option<ProcessLook<'_>>| {
            let mut objects = Objects { is_part: places.is_part, ..Objects::default() };
            for at in &places.at {
                let Some(look) = look else { break };
                let (kept, place) = match look.judge(*at) {
                    Some(place) => (&mut objects.places, Some(place)),
                    None => (&mut objects.heads, look.judge_head(*at)),
                };
                let Some(place) = place else { continue };
                if kept.len() >= MAX_PROCESSES {
                    objects.is_part = true;
                } else {
                    // A copy says that it lies where the object does: the first counts, whichever that is.
                    kept.entry(place.address).or_insert(*at);
                }
            }
            objects.heads.retain(|address, _| !objects.places.contains_key(address));
            objects
        };
        self.0.iter().map(of).collect()
    }
}

impl Places {
    /// Notes how the search for them ended.
    pub(crate) fn ended(&mut self, end: ScanEnd) {
        self.is_part |= end != ScanEnd::Complete;
    }
}

/// The places in a page where a process object may begin.
fn in_page<'p>(looks: &'p [&ProcessLook<'_>], page: Page<'p>) -> impl Iterator<Item = PhysicalAddress> + 'p {
    let headed =
        (0..page.bytes.len()).step_by(STEP).filter(move |offset| page.bytes.get(*offset) == Some(&PROCESS_OBJECT));
    headed
        .filter(move |offset| looks.iter().any(|look| look.could_be(page, *offset)))
        .map(move |offset| page.at.wrapping_add(u64::try_from(offset).unwrap_or(0)))
}

/// An object that was carved: by its address, where the kernel's page tables still lead to it.
pub(crate) fn read<'k>(kernel: &'k Kernel<'k>, address: VirtualAddress, physical: PhysicalAddress) -> Eprocess<'k> {
    let is_mapped = kernel.space().translate(address) == Ok(physical) && kernel.page_behind(address).is_none();
    Eprocess::read_at(kernel, address, (!is_mapped).then_some(physical))
}

/// The records of what was carved, in the order of their ids.
pub(crate) fn list(
    kernel: &Kernel<'_>,
    budget: &Budget,
    objects: &Objects,
    warnings: &mut Vec<Warning>,
) -> ProcessList {
    let mut list = ProcessList { end: Some(ListEnd::Broken), ..ProcessList::default() };
    let (mut is_part, mut cut) = (objects.is_part, 0usize);
    for (address, physical) in objects.all() {
        let process = read(kernel, address, physical);
        if process.pid().is_err() || process.name().absent().is_some() {
            cut = cut.saturating_add(1);
        }
        match Process::within(budget, kernel, &process, Source::Carved) {
            Some(process) => list.items.push(process),
            None => {
                is_part = true;
                break;
            }
        }
    }
    if is_part {
        list.end = Some(ListEnd::Limit);
        warnings.push(Warning::new("processes", "more processes were carved than are listed: too many of them"));
    }
    if cut > 0 {
        let message = format!(
            "{cut} of the processes go on in a page that neither page tables nor lists lead to: what lies there of them, the name among \
             it, is not known"
        );
        warnings.push(Warning::new("processes", message));
    }
    let order = |process: &Process| {
        let (pid, created) = (process.pid.value().copied(), process.created.value().copied());
        (pid.is_none(), created, pid)
    };
    list.items.sort_by_key(order);
    list.views.push(ProcessView {
        source: Source::Carved,
        processes: Reading::Value(u64::try_from(list.items.len()).unwrap_or(u64::MAX)),
        end: Reading::Value(if is_part { ListEnd::Limit } else { ListEnd::Complete }),
    });
    list
}
