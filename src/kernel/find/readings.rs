//! Files that do not say where their memory lies: which of the ways to read them is right, page tables tell.
//!
//! A raw file may lack the hole below 4 GiB, or begin with somebody's header. Under the right reading the tables that the kernel's
//! entries lead to are tables; under a wrong one they are other pages, or beyond the end.

use super::distance::{self, Apart};
use super::leaves;
use super::locate::{LocateFailure, LocateOptions, Located, among, locate};
use super::roots::{Way, low_stubs, refers_to_itself};
use crate::image::{PhysicalMemory, PhysicalRun, runs};
use crate::kernel::memory_block;
use crate::memory::Page;
use crate::symbols::SymbolStore;
use crate::{Error, MemoryImage, PAGE_SIZE, PhysicalAddress};

/// Finds the kernel, in whichever reading of the image it proves itself best.
pub(crate) fn locate_in<'m>(
    image: &'m MemoryImage,
    store: &SymbolStore,
    options: &LocateOptions<'_>,
) -> Result<Located<'m>, Error> {
    let as_it_is = locate(image, image.hints(), store, options);
    let (least, failure) = match &as_it_is {
        Ok(located) => {
            let fit = Fit::of(image, located.space.root());
            // What lies behind the end may be what a cut-out hole moved: few tables show it where little memory lies above 4 GiB.
            if fit.is_good() && fit.beyond == 0 {
                // Tables may all lie below the hole, and pages that they lead to above it.
                let Some(number) = leaves::reading(image, [(located.space.root(), leaves::KERNEL)]) else {
                    return as_it_is;
                };
                image.adopt(number);
                return locate(image, image.hints(), store, options);
            }
            (fit.right, None)
        }
        Err(Error::NoKernel(failure)) => (0, Some(&**failure)),
        Err(_) => return as_it_is,
    };
    let mut best: Option<(usize, Fit)> = None;
    for (number, moved, memory) in image.other_readings() {
        let root = match &as_it_is {
            Ok(located) => Some(located.space.root()),
            Err(_) => roots(memory, moved, failure, image).find_map(|(way, root)| {
                among(memory, [(way, root)], image.hints(), store, options).map(|located| located.space.root())
            }),
        };
        let Some(root) = root else { continue };
        let fit = Fit::of(memory, root);
        // Where the first reading leads to a kernel too, another must be clearly better.
        let better = match best {
            None if failure.is_some() => true,
            best => fit.right > best.map_or(least, |(_, best)| best.right),
        };
        if better && (failure.is_some() || fit.is_good()) {
            best = Some((number, fit));
        }
    }
    match best {
        Some((number, _)) => {
            image.adopt(number);
            locate(image, image.hints(), store, options)
        }
        None => match as_it_is {
            Err(Error::NoKernel(failure)) => {
                let apart = distance::of(image);
                if apart.as_ref().is_some_and(|apart| put_in_place(image, apart, store, options)) {
                    return locate(image, image.hints(), store, options);
                }
                Err(with_suspicions(failure, image, apart))
            }
            other => other,
        },
    }
}

/// Whether the file leaves out what lies between ranges of memory, and leads to a kernel if it is moved by so much. From then on it is read
/// so.
fn put_in_place(image: &MemoryImage, apart: &Apart, store: &SymbolStore, options: &LocateOptions<'_>) -> bool {
    let Some(by) = apart.left_out().filter(|_| !image.is_far()) else { return false };
    let end = runs(image).last().map_or(0, |run| run.end().0);
    let moved = vec![(PhysicalRun { start: PhysicalAddress(by), bytes: end }, 0)];
    let listed = memory_block::in_a_row(image).map(|ranges| (memory_block::placed(&ranges), IN_A_ROW.to_owned()));
    for (pieces, note) in listed.into_iter().chain([(moved, apart.note())]) {
        let Some(memory) = image.placed_at(pieces.clone()) else { return false };
        let roots = apart.roots.iter().map(|root| (Way::SelfReference, *root));
        if among(&memory, roots, image.hints(), store, options).is_some() {
            image.place(pieces, note);
            return true;
        }
    }
    false
}

/// What is said of a file whose ranges the kernel's own list tells.
const IN_A_ROW: &str = "the file leaves out what lies between the machine's ranges of memory: it has as many bytes as those that the kernel \
                        lists (MmPhysicalMemoryBlock), and it is read as these, one behind the other";

/// Says what the file may be, if no kernel was found in it.
fn with_suspicions(mut failure: Box<LocateFailure>, image: &MemoryImage, apart: Option<Apart>) -> Error {
    let end = runs(image).last().map_or(PhysicalAddress(0), |run| run.end());
    let mut reach = failure.candidates.iter().map(|candidate| Fit::of(image, candidate.dtb));
    if let Some(fit) = reach.find(|fit| fit.ends_early()) {
        failure.suspicions.push(fit.beyond_text(end));
    }
    failure.suspicions.extend(image.damage().map(|damage| format!("Note that {}", damage.message)));
    // Not only the program's messages say so.
    let cut = image.warnings().iter().filter(|warning| warning.message.contains("truncated"));
    failure.suspicions.extend(cut.map(|warning| format!("Note that {}: copy it again.", warning.message)));
    failure.suspicions.extend(image.suspicion(failure.candidates.is_empty() && apart.is_none()));
    failure.suspicions.extend(apart.map(|apart| apart.text()));
    Error::NoKernel(failure)
}

/// Whether another reading of an image fits the page tables, and what it moves up is memory: by a table that is right there alone, or by
/// bytes. A file that was cut within a hole that it holds has zeros there.
pub(crate) fn fits(image: &MemoryImage, other: &dyn PhysicalMemory, root: PhysicalAddress) -> bool {
    let (now, then) = (Fit::of(image, root), Fit::of(other, root));
    then.is_good() && then.beyond == 0 && (then.right > now.right || has_bytes(other, PhysicalAddress(ABOVE)))
}

/// Where memory above the hole begins.
const ABOVE: u64 = 1 << 32;
/// Pages that are looked at.
const LOOKS: u64 = 64;

/// Whether the memory from `from` on holds more than zeros, by some of its pages.
fn has_bytes(memory: &dyn PhysicalMemory, from: PhysicalAddress) -> bool {
    let end = runs(memory).last().map_or(0, |run| run.end().0);
    let step = (end.saturating_sub(from.0) / LOOKS).max(PAGE_SIZE) & !PAGE_SIZE.wrapping_sub(1);
    let mut pages = (0..LOOKS).map(|n| from.0.saturating_add(n.saturating_mul(step))).take_while(|at| *at < end);
    pages.any(|at| {
        let mut page = [0; 4096];
        let read = memory.read(PhysicalAddress(at), &mut page);
        page.get(..read).is_some_and(|page| page.iter().any(|byte| *byte != 0))
    })
}

/// A warning if the page tables of the machine lead to much that lies behind the end of the image.
pub(crate) fn ends_early(image: &MemoryImage, root: PhysicalAddress) -> Option<String> {
    let fit = Fit::of(image, root);
    let end = runs(image).last().map_or(PhysicalAddress(0), |run| run.end());
    fit.ends_early().then(|| fit.beyond_text(end))
}

/// Roots that are tried under a reading.
fn roots<'r>(
    memory: &'r dyn PhysicalMemory,
    moved: bool,
    failure: Option<&'r LocateFailure>,
    image: &'r MemoryImage,
) -> impl Iterator<Item = (Way, PhysicalAddress)> + 'r {
    let hinted =
        image.hints().into_iter().flat_map(|hints| hints.roots.iter().map(|root| (Way::Hint(hints.source), *root)));
    let stubs = low_stubs(memory).into_iter().map(|stub| (Way::LowStub, stub.dtb));
    let failed = failure.into_iter().flat_map(|failure| failure.candidates.iter().map(|one| (one.way, one.dtb)));
    // Where the file's begin is the memory's, the search for such tables has seen these.
    let tables = (0..if moved { SEARCHED } else { 0 }).map(|page| PhysicalAddress(page.saturating_mul(PAGE_SIZE)));
    let tables = tables.filter(|at| {
        let mut bytes = [0; 4096];
        memory.read(*at, &mut bytes) == bytes.len() && refers_to_itself(Page { at: *at, bytes: &bytes })
    });
    hinted.chain(stubs).chain(failed).chain(tables.take(MAX_TABLES_TRIED).map(|at| (Way::SelfReference, at)))
}

/// Pages that are searched for a page-table root where the file begins elsewhere: 64 MiB. System's lies below 4 MiB as a rule.
const SEARCHED: u64 = 0x4000;
/// Roots found so that are tried.
const MAX_TABLES_TRIED: usize = 16;
/// Tables that are looked at: enough to tell, and a MiB.
const MAX_TABLES: u32 = 256;
/// The same of an image that is far away, where each is a round trip.
const FAR_TABLES: u32 = 32;
/// Below this address no reading differs from another.
const ALIKE: u64 = 0x8000_0000;

/// How the page tables of the kernel's half fit a memory.
#[derive(Clone, Copy, Debug, Default)]
struct Fit {
    /// Tables that are where entries say, and what is there looks like one.
    right: u32,
    /// Tables that are not there, or something else is.
    wrong: u32,
    /// Tables behind the end of the image, and the highest of them.
    beyond: u32,
    top: u64,
}

impl Fit {
    fn of(memory: &dyn PhysicalMemory, root: PhysicalAddress) -> Self {
        let mut fit = Self::default();
        let mut left = if memory.is_far() { FAR_TABLES } else { MAX_TABLES };
        let end = runs(memory).last().map_or(0, |run| run.end().0);
        fit.table(memory, root.page(), 0, end, &mut left);
        fit
    }

    /// Whether the image is cut: tables lie behind its end, within what a machine may have. A single one may be smeared.
    const fn ends_early(self) -> bool {
        self.beyond >= 2
    }

    fn beyond_text(self, end: PhysicalAddress) -> String {
        format!(
            "The image ends at {} MiB, and page tables lead to {} MiB: it was cut short, or further parts of it are not here",
            end.0 >> 20,
            self.top >> 20
        )
    }

    /// Few tables are wrong: memory that was taken from a running machine is torn here and there.
    const fn is_good(self) -> bool {
        self.wrong <= self.right / 8
    }

    /// Looks at the tables below one at `level`: 0 for the root, 2 for the last that leads to tables.
    fn table(&mut self, memory: &dyn PhysicalMemory, at: PhysicalAddress, level: u32, end: u64, left: &mut u32) {
        let mut bytes = [0; 4096];
        if memory.read(at, &mut bytes) != bytes.len() {
            return;
        }
        let entries = bytes.as_chunks::<8>().0.iter().map(|entry| u64::from_le_bytes(*entry));
        for entry in entries.skip(if level == 0 { 256 } else { 0 }) {
            let next = PhysicalAddress(entry & ADDRESS);
            // Not present, a large page, or the table that refers to itself.
            if entry & 1 == 0 || (level > 0 && entry & LARGE != 0) || next == at {
                continue;
            }
            let Some(rest) = left.checked_sub(1) else { return };
            *left = rest;
            if next.0 >= end && next.0 & TOO_HIGH == 0 {
                self.beyond = self.beyond.saturating_add(1);
                self.top = self.top.max(next.0);
            }
            if next.0 >= ALIKE {
                let like = looks_like_a_table(memory, next);
                let count = if like { &mut self.right } else { &mut self.wrong };
                *count = count.saturating_add(1);
                if !like {
                    continue;
                }
            }
            if level < 2 {
                self.table(memory, next, level.saturating_add(1), end, left);
            }
        }
    }
}

const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const LARGE: u64 = 0x80;
/// No machine has memory above 64 TiB yet.
const TOO_HIGH: u64 = 0x000f_c000_0000_0000;

/// Whether all present entries of a page can be entries: they name a page, and none beyond all memory.
pub(super) fn looks_like_a_table(memory: &dyn PhysicalMemory, at: PhysicalAddress) -> bool {
    let mut bytes = [0; 4096];
    if memory.read(at, &mut bytes) != bytes.len() {
        return false;
    }
    let mut present = 0u32;
    for entry in bytes.as_chunks::<8>().0.iter().map(|entry| u64::from_le_bytes(*entry)).filter(|entry| entry & 1 == 1)
    {
        if entry & TOO_HIGH != 0 || entry & ADDRESS == 0 {
            return false;
        }
        present = present.saturating_add(1);
    }
    present > 0
}
