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

/// Process objects by one kernel's layouts: where each says that it lies, and where it was met.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub places: BTreeMap<VirtualAddress, PhysicalAddress>,
    /// There were more than a list takes, or not all memory was searched.
    pub is_part: bool,
}

/// What processes of each kernel look like, with its number, by what is asked of a page at first: the same for most layouts.
type Forms<'k> = BTreeMap<([usize; 2], usize), Vec<(usize, ProcessLook<'k>)>>;

/// Searches all of memory, once, for processes of each of these kernels.
pub(crate) fn search(
    image: &MemoryImage,
    kernels: &[Kernel<'_>],
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Vec<Objects> {
    let mut forms = Forms::new();
    for (number, kernel) in kernels.iter().enumerate() {
        if let Ok(look) = ProcessLook::by_values(kernel) {
            forms.entry(look.first_look()).or_default().push((number, look));
        }
    }
    let mut found: Vec<Objects> = kernels.iter().map(|_| Objects::default()).collect();
    let look = |page: Page<'_>| {
        let mut any = false;
        in_page(&forms, page, &mut |_, _, _| any = true);
        any
    };
    let scan = Scanner::new().pages(look).max_hits(usize::MAX).progress(progress).run(image, |hit| {
        let mut bytes = [0u8; 4096];
        if image.read(hit.at, &mut bytes) == bytes.len() {
            in_page(&forms, Page { at: hit.at, bytes: &bytes }, &mut |number, address, at| {
                let Some(objects) = found.get_mut(number) else { return };
                if objects.places.len() >= MAX_PROCESSES {
                    objects.is_part = true;
                } else {
                    // A copy says that it lies where the object does: the first counts, whichever that is.
                    objects.places.entry(address).or_insert(at);
                }
            });
        }
        ControlFlow::Continue(())
    });
    if scan.end != ScanEnd::Complete {
        found.iter_mut().for_each(|objects| objects.is_part = true);
    }
    found
}

/// Gives every process object that begins in a page: the number of the kernel, its address, and its place.
fn in_page(forms: &Forms<'_>, page: Page<'_>, give: &mut dyn FnMut(usize, VirtualAddress, PhysicalAddress)) {
    let mut left = MAX_IN_PAGE;
    let headed = (0..page.bytes.len()).step_by(STEP).filter(|offset| page.bytes.get(*offset) == Some(&PROCESS_OBJECT));
    for offset in headed {
        let at = page.at.wrapping_add(u64::try_from(offset).unwrap_or(0));
        let mut could_be = false;
        for looks in forms.values() {
            if !looks.first().is_some_and(|(_, look)| look.could_be(page, offset)) {
                continue;
            }
            could_be = true;
            for (number, look) in looks {
                if let Some(place) = look.judge(at) {
                    give(*number, place.address, at);
                }
            }
        }
        if could_be {
            left = left.saturating_sub(1);
            if left == 0 {
                return;
            }
        }
    }
}

/// The records of what was carved, in the order of their ids.
pub(crate) fn list(
    kernel: &Kernel<'_>,
    budget: &Budget,
    objects: &Objects,
    warnings: &mut Vec<Warning>,
) -> ProcessList {
    let mut list = ProcessList { end: Some(ListEnd::Broken), ..ProcessList::default() };
    let mut is_part = objects.is_part;
    for (address, physical) in &objects.places {
        let unmapped = Some(*physical).filter(|physical| kernel.space().translate(*address) != Ok(*physical));
        let process = Eprocess::read_at(kernel, *address, unmapped);
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
    list.items.sort_by_key(|process| (process.created.value().copied(), process.pid.value().copied()));
    list.views.push(ProcessView {
        source: Source::Carved,
        processes: Reading::Value(u64::try_from(list.items.len()).unwrap_or(u64::MAX)),
        end: Reading::Value(if is_part { ListEnd::Limit } else { ListEnd::Complete }),
    });
    list
}
