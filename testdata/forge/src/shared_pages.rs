//! Sections and their prototype entries: segments, subsections, views.

use crate::machine::Machine;
use crate::page_plan::{Held, Way};
use crate::paging::{Space, bit};
use crate::physical::PAGE;
use crate::pte::{LOOK_UP, PROTOTYPE};
use crate::swap::Went;
use std::collections::{BTreeMap, BTreeSet};

/// Subsections of an image: its headers, and three sections.
pub(crate) const IMAGE_PARTS: u64 = 4;

/// A view of a section in an address space.
#[derive(Clone, Debug)]
pub struct View {
    /// Page-table root.
    pub root: u64,
    /// First address.
    pub start: u64,
    /// Its control area.
    pub area: u64,
    /// Addresses of the prototype entries, page by page.
    pub prototypes: Vec<u64>,
}

/// A page of a section whose state is settled later: root, address, frame, way, content.
pub type Later = (u64, u64, u64, Way, Held);

impl Machine {
    /// Gives a control area a segment with an array of prototype entries for each of these subsections (in pages), every entry saying
    /// that the page is only in the file; `file`: there is one. An image's subsections share one array.
    pub(crate) fn forge_prototypes(&mut self, area: u64, parts: &[u64], image: bool, file: bool) {
        let segment = self.read_u64(area + self.offset("_CONTROL_AREA", "Segment"));
        let total: u64 = parts.iter().sum();
        self.put(segment, "_SEGMENT", "TotalNumberOfPtes", total);
        self.put(segment, "_SEGMENT", "SizeOfSegment", total * PAGE);
        let (kind, size) = ("_SUBSECTION", self.layout.size("_SUBSECTION"));
        let shared = image.then(|| self.pool(true, b"MmSt", total * 8));
        let mut start = 0;
        let mut last: Option<u64> = None;
        for (n, &pages) in (0..).zip(parts) {
            // The first ones lie behind the control area; a data file that grew has further ones of their own.
            let inside = image || n == 0;
            let subsection = if inside {
                area + self.layout.size("_CONTROL_AREA") + n * size
            } else {
                self.pool(false, b"MmSb", size)
            };
            let base = match shared {
                Some(array) => array + start * 8,
                None => self.pool(true, b"MmSt", pages * 8),
            };
            self.put(subsection, kind, "ControlArea", area);
            self.put(subsection, kind, "SubsectionBase", base);
            self.put(subsection, kind, "PtesInSubsection", pages);
            // Units: 512 bytes in images, pages in data files.
            let unit = if image { 8 } else { 1 };
            self.put(subsection, kind, "StartingSector", start * unit);
            self.put(subsection, kind, "NumberOfFullSectors", pages * unit);
            if let Some(before) = last.replace(subsection) {
                self.put(before, kind, "NextSubsection", subsection);
            } else {
                self.put(segment, "_SEGMENT", "PrototypePte", base);
            }
            let entry = if file { self.swizzled(self.only_in_file(subsection)) } else { 0 };
            (0..pages).for_each(|page| self.write_u64(base + page * 8, entry));
            start += pages;
        }
    }

    /// Overwrites the addresses of the prototype entries in the parts of a section.
    pub(crate) fn tear_parts(&mut self, area: u64) {
        let kind = "_SUBSECTION";
        let mut at = area + self.layout.size("_CONTROL_AREA");
        while at != 0 {
            let next = self.read_u64(at + self.offset(kind, "NextSubsection"));
            let lie = self.rng.next_u64() | 0xffff_8000_0000_0000;
            self.put(at, kind, "SubsectionBase", lie);
            at = next;
        }
    }

    /// The prototype entries of a section in the order of its pages, as its subsections list them.
    fn prototypes(&mut self, area: u64) -> Vec<u64> {
        let kind = "_SUBSECTION";
        let mut at = area + self.layout.size("_CONTROL_AREA");
        let mut out = Vec::new();
        while at != 0 {
            let base = self.read_u64(at + self.offset(kind, "SubsectionBase"));
            let count = self.read_u64(at + self.offset(kind, "PtesInSubsection")) & 0xffff_ffff;
            out.extend((0..count).map(|n| base + n * 8));
            at = self.read_u64(at + self.offset(kind, "NextSubsection"));
        }
        out
    }

    /// Registers a view. Pages that are mapped become valid pages of the section; `frames`: what that has, by address, where the process
    /// may have a page of its own.
    pub(crate) fn forge_view(&mut self, space: &Space, start: u64, area: u64, frames: &BTreeMap<u64, u64>) {
        let prototypes = self.prototypes(area);
        for (n, &prototype) in (0..).zip(&prototypes) {
            let va = start + n * PAGE;
            let own = space.frame_of(va);
            if let Some(frame) = frames.get(&va).copied().or(own) {
                self.write_u64(prototype, (frame * PAGE) | bit::VALID | bit::ACCESSED);
                if frame == own.unwrap_or(frame) && own.is_some() {
                    self.sharers.entry(prototype).or_default().push((space.root, va));
                }
            }
        }
        self.views.push(View { root: space.root, start, area, prototypes });
    }

    fn view_of(&self, root: u64, va: u64) -> &View {
        let holds = |v: &&View| v.root == root && v.start <= va && (va - v.start) / PAGE < v.prototypes.len() as u64;
        self.views.iter().find(holds).unwrap_or_else(|| panic!("{va:#x} is in no view"))
    }

    /// The address of the prototype entry of a page.
    pub(crate) fn prototype_of(&self, root: u64, va: u64) -> u64 {
        let view = self.view_of(root, va);
        view.prototypes[((va - view.start) / PAGE) as usize]
    }

    /// Puts pages of sections into their states, for all processes that share them.
    pub(crate) fn settle_sections(&mut self) {
        // The page of several processes is settled by the first of them.
        let mut settled: BTreeMap<u64, (Held, Went)> = BTreeMap::new();
        for (root, va, frame, way, held) in std::mem::take(&mut self.later) {
            let prototype = self.prototype_of(root, va);
            // Of an image that is at several bases the section has the pages of one.
            let shared = self.read_u64(prototype);
            let frame = if shared & bit::VALID == 0 { frame } else { (shared & 0xf_ffff_ffff_f000) / PAGE };
            let (held, went) = match settled.get(&prototype) {
                Some(known) => known.clone(),
                None => {
                    let now = (held, self.settle(root, va, frame, prototype, held));
                    settled.insert(prototype, now.clone());
                    now
                }
            };
            let own = match way {
                Way::Mapped => {
                    assert!(held == Held::Valid, "only a valid page can be mapped");
                    continue;
                }
                Way::Named => self.swizzled(prototype << 16 | PROTOTYPE),
                Way::Zero => 0,
                Way::LookUp => self.swizzled(LOOK_UP | 5 << 5),
            };
            self.swap.moved.retain(|m| m.table || (m.root, m.address) != (root, va));
            self.record_move(root, va, false, went);
            let at = self.entry_place(root, va, 1);
            self.memory.write_u64(at, own);
        }
    }

    /// Puts a page of a section into its state and takes it away from all who had it mapped.
    fn settle(&mut self, root: u64, va: u64, frame: u64, prototype: u64, held: Held) -> Went {
        let mut went = Went::Frame(frame);
        let entry = match held {
            Held::Valid => (frame * PAGE) | bit::VALID | bit::ACCESSED,
            Held::Transition => self.transition(frame),
            Held::Filed(file) => {
                let (number, index) = self.swap_out(frame, file);
                went = Went::File(number, index);
                self.software(number, index)
            }
            Held::Stored(form) => {
                let (number, index) = self.store_out(frame, form);
                went = Went::Store(number, index);
                self.software(number, index)
            }
            Held::File => {
                self.noise(frame);
                went = Went::OnlyInFile;
                let subsection = self.subsection_of(root, va);
                self.only_in_file(subsection)
            }
            Held::NotBuilt => {
                self.noise(frame);
                went = Went::Lost;
                0
            }
            Held::Ring => {
                self.noise(frame);
                went = Went::Lost;
                let other = self.pool(true, b"MmSt", 64);
                let back = self.swizzled(prototype << 16 | PROTOTYPE);
                self.write_u64(other, back);
                other << 16 | PROTOTYPE
            }
        };
        let entry = if held == Held::Valid { entry } else { self.swizzled(entry) };
        self.write_u64(prototype, entry);
        if held != Held::Valid {
            // What is valid for nobody is in no working set.
            for (root, va) in self.sharers.remove(&prototype).unwrap_or_default() {
                let at = self.entry_place(root, va, 1);
                self.memory.write_u64(at, 0);
                self.record_move(root, va, false, went.clone());
            }
        }
        went
    }

    /// The subsection whose array has the prototype entry of a page.
    fn subsection_of(&mut self, root: u64, va: u64) -> u64 {
        let (prototype, area) = (self.prototype_of(root, va), self.view_of(root, va).area);
        let kind = "_SUBSECTION";
        let mut at = area + self.layout.size("_CONTROL_AREA");
        loop {
            let base = self.read_u64(at + self.offset(kind, "SubsectionBase"));
            let count = self.read_u64(at + self.offset(kind, "PtesInSubsection")) & 0xffff_ffff;
            if (base..base + count * 8).contains(&prototype) {
                return at;
            }
            at = self.read_u64(at + self.offset(kind, "NextSubsection"));
        }
    }

    /// Puts the pages with the prototype entries of data files and of sections without files into a state; the last step, for what is
    /// away cannot be written any more.
    pub(crate) fn page_out_prototypes(&mut self) {
        let state = self.plan.pages.prototypes;
        let areas: Vec<(u64, Vec<u64>)> = self.views.iter().map(|v| (v.area, v.prototypes.clone())).collect();
        let mut pages = BTreeSet::new();
        for (area, prototypes) in areas {
            let place = self.layout.place("_CONTROL_AREA", "u.Flags.Image");
            let flags = self.read_u64(area + place.offset) & 0xffff_ffff;
            if let crate::layout::Spec::Bits(_, at, _) = place.spec
                && flags >> at & 1 == 0
            {
                pages.extend(prototypes.iter().map(|p| p & !(PAGE - 1)));
            }
        }
        for page in pages {
            self.page_out_kernel(page, state);
        }
    }
}
