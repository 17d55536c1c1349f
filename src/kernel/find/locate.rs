//! Finding the kernel in physical memory: page-table roots are gathered from everything that names one, those that map the same
//! images are one group, and each group must prove itself by its System process.
//!
//! All of them are looked at: an earlier boot, or page tables that somebody made, may lie beside the machine that ran. Every root
//! that failed is kept, with what it failed at.

use super::base::{self, BaseFailure, FoundBase, Search};
use super::choose::{self, OtherSystem, Part};
use super::kuser::{KUSER_SHARED_DATA, SharedData};
use super::proof::{self, Exported, Grade, SystemProcess};
use super::roots::{self, Root, Way};
use crate::image::{Hints, PhysicalMemory};
use crate::memory::AddressSpace;
use crate::symbols::SymbolStore;
use crate::{Error, PhysicalAddress, VirtualAddress, Warning};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// How to look for the kernel.
#[derive(Clone, Copy, Default)]
pub struct LocateOptions<'o> {
    /// Page-table root to use, instead of looking for one.
    pub dtb: Option<PhysicalAddress>,
    /// Image base of the kernel to use, instead of looking for it.
    pub kernel_base: Option<VirtualAddress>,
    /// Search all of memory for further systems, where a quick look finds one. Where it finds none, or more than one, that is done in any
    /// case.
    pub thorough: bool,
    /// Called now and then while memory is scanned, with bytes done and bytes in all.
    pub progress: Option<&'o (dyn Fn(u64, u64) + Sync)>,
}

impl fmt::Debug for LocateOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocateOptions")
            .field("dtb", &self.dtb)
            .field("kernel_base", &self.kernel_base)
            .field("thorough", &self.thorough)
            .finish_non_exhaustive()
    }
}

/// A root that was proposed and failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Candidate {
    /// Who proposed it.
    pub way: Way,
    /// The root.
    pub dtb: PhysicalAddress,
    /// How far it came: 0 nothing, 1 it maps system images, 2 `KUSER_SHARED_DATA` is plausible.
    pub score: u8,
    /// What it failed at.
    pub failed_at: String,
}

/// No kernel was found: what was tried.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LocateFailure {
    /// Each way and what came of it, in order.
    pub ways: Vec<(Way, String)>,
    /// The roots that failed, those that came furthest first; bounded.
    pub candidates: Vec<Candidate>,
    /// What would work on this image instead of what was asked for.
    pub instead: Option<String>,
    /// What the file may be instead of such an image, in sentences that say what to do.
    pub suspicions: Vec<String>,
}

impl LocateFailure {
    /// The candidate that came furthest.
    #[must_use]
    pub fn best(&self) -> Option<&Candidate> {
        // `max_by_key` would take the last of equals.
        self.candidates.iter().rev().max_by_key(|candidate| candidate.score)
    }
}

impl fmt::Display for LocateFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no Windows x64 kernel found in this image. Tried:")?;
        for (way, outcome) in &self.ways {
            write!(f, "\n  {way}: {outcome}")?;
        }
        if let Some(best) = self.best() {
            write!(f, "\nBest candidate: {} ({}): {}", best.dtb, best.way, best.failed_at)?;
        }
        if let Some(instead) = &self.instead {
            return write!(f, "\n{instead}");
        }
        for suspicion in &self.suspicions {
            let end = if suspicion.ends_with('?') { "" } else { "." };
            write!(f, "\n{suspicion}{end}")?;
        }
        if self.suspicions.is_empty() {
            f.write_str("\nIs it a complete image of an x64 Windows?")?;
        }
        f.write_str(
            " If you know the page-table root (CR3 of System) or the kernel's base from elsewhere, give them with --dtb and \
             --kernel-base.",
        )
    }
}

impl std::error::Error for LocateFailure {}

/// A kernel that was found, and what was found beside it.
#[derive(Debug)]
pub(crate) struct Located<'m> {
    pub space: AddressSpace<'m>,
    pub shared: Option<SharedData>,
    pub found: FoundBase,
    pub way: Way,
    /// Roots of this system that a header, a stub or the caller names.
    pub named: Vec<Root>,
    /// Other systems in the image.
    pub others: Vec<OtherSystem>,
    /// Why it cannot be told that this is the one that ran.
    pub undecided: Option<String>,
    /// Whether all memory was searched for other systems; not so where a quick look finds one. `None`: the caller named a root.
    pub others_searched: Option<bool>,
    /// Roots of other systems that prove themselves as well as this one.
    pub rivals: Vec<PhysicalAddress>,
    /// Systems that are there in part, and may have run last by their clock.
    pub parts: Vec<Part>,
    pub warnings: Vec<Warning>,
}

impl Located<'_> {
    /// Adds systems beside it.
    pub(super) fn tell(&mut self, others: Vec<OtherSystem>) {
        let room = choose::MAX_OTHERS.saturating_sub(self.others.len());
        if let Some(more) = others.len().checked_sub(room).filter(|more| *more > 0) {
            self.warnings.push(Warning::new("kernel", format!("{more} further systems in this image are left out")));
        }
        for other in others.into_iter().take(room) {
            self.warnings.push(Warning::new("kernel", format!("in this image there is also {other}")));
            self.others.push(other);
        }
    }
}

/// A system that was found: a kernel, and how far it proves itself.
#[derive(Debug)]
pub(crate) struct Proven<'m> {
    pub root: Root,
    pub space: AddressSpace<'m>,
    pub found: FoundBase,
    /// Where the kernel's base lies: two groups with the same one are two views of one kernel.
    pub physical: Option<PhysicalAddress>,
    pub shared: Option<SharedData>,
    pub build: Option<u32>,
    pub grade: Grade,
    /// Its System process was read, and is no process: it cannot have been running.
    pub is_gone: bool,
    /// The root that System names, where it maps this kernel.
    pub own: Option<PhysicalAddress>,
    /// The roots of its group that a header, a stub or the caller names.
    pub named: Vec<Root>,
}

/// Candidates kept for the error message.
const MAX_CANDIDATES: usize = 16;
/// Roots of one group through which System is looked for by symbols and by shape, each of which takes milliseconds.
const MAX_SEARCHED: usize = 4;
/// Roots of one group through which System's id is looked for, where headers are gone.
const MAX_OTHERS: usize = 1 << 12;
/// So many roots that map the same images are no page that looks like one by chance.
const SEVERAL: usize = 4;
/// Kernels that one group may have: whoever maps more copies of one leads astray.
const MAX_BASES: usize = 64;
/// Pages in which the kernel is looked for under one group of roots: at first, and where none was found so in any group. Systems
/// map some ten thousand where system images lie; hostile tables could map a hundred million.
const PAGES: [usize; 2] = [1 << 17, 1 << 22];
/// The same for a root that nobody else vouches for, beside a system that is whole: a page that refers to itself by chance leads to
/// as many pages as memory has, and a system that is there has this many at most where its images lie.
const DOUBTFUL_PAGES: usize = 1 << 14;
/// The same for all groups together, in each of the two rounds.
const ALL_PAGES: usize = 1 << 25;

/// Roots that map the same system images.
#[derive(Debug, Default)]
struct Group {
    roots: Vec<Root>,
    /// Whether the shared page is plausible through the first of them.
    shared: bool,
    /// Whether there are roots that were not looked at.
    fresh: bool,
}

impl Group {
    /// Whether nothing but a page that refers to itself speaks for it.
    fn is_doubtful(&self) -> bool {
        !self.shared && self.roots.len() <= 1 && self.roots.iter().all(|root| root.way == Way::SelfReference)
    }
}

/// Tries every way, the cheap ones first, and everything that they name.
pub(crate) fn locate<'m>(
    memory: &'m dyn PhysicalMemory,
    header: Option<&Hints>,
    store: &SymbolStore,
    options: &LocateOptions<'_>,
) -> Result<Located<'m>, Error> {
    let mut survey = Survey::new(memory, header, store, options);
    survey.take_named();
    let (quick, all) = roots::quick_look(memory);
    survey.take_found(quick);
    survey.examine();
    let whole = survey.proven.values().filter(|proven| proven.grade == Grade::Whole).count();
    let given = options.dtb.is_some() && !survey.proven.is_empty();
    let search = !all && !given && (options.thorough || whole != 1);
    if search {
        survey.take_found(roots::scan(memory, options.progress.unwrap_or(&|_, _| ())));
        survey.examine();
    }
    let searched = (!given).then_some(all || search);
    survey.finish().map(|located| Located { others_searched: searched, ..located })
}

/// The system that `roots` lead to, if it proves itself by its System process.
pub(crate) fn among<'m>(
    memory: &'m dyn PhysicalMemory,
    roots: impl IntoIterator<Item = (Way, PhysicalAddress)>,
    header: Option<&Hints>,
    store: &SymbolStore,
    options: &LocateOptions<'_>,
) -> Option<Located<'m>> {
    let mut survey = Survey::new(memory, header, store, options);
    roots.into_iter().for_each(|(way, dtb)| survey.take(Root { way, dtb, near: None }));
    survey.examine();
    survey.proven.values().any(|proven| proven.grade >= Grade::System).then(|| survey.finish().ok())?
}

struct Survey<'m, 's, 'o> {
    memory: &'m dyn PhysicalMemory,
    header: Option<&'s Hints>,
    store: &'s SymbolStore,
    options: &'s LocateOptions<'o>,
    /// By the table that leads to system images.
    groups: HashMap<u64, Group>,
    /// Roots that are in a group, or failed.
    met: HashSet<PhysicalAddress>,
    /// What groups gave, by the same.
    proven: BTreeMap<u64, Proven<'m>>,
    /// The groups that gave something.
    had: HashSet<u64>,
    failure: LocateFailure,
    /// A kernel is there, and it takes symbols to find its base.
    symbols: Option<Error>,
}

/// Where a root has the shared page.
fn shared_page(space: AddressSpace<'_>) -> Option<PhysicalAddress> {
    space.translate(KUSER_SHARED_DATA).ok()
}

impl<'m, 's, 'o> Survey<'m, 's, 'o> {
    fn new(
        memory: &'m dyn PhysicalMemory,
        header: Option<&'s Hints>,
        store: &'s SymbolStore,
        options: &'s LocateOptions<'o>,
    ) -> Self {
        Self {
            memory,
            header,
            store,
            options,
            groups: HashMap::new(),
            met: HashSet::new(),
            proven: BTreeMap::new(),
            had: HashSet::new(),
            failure: LocateFailure::default(),
            symbols: None,
        }
    }

    /// The roots that the caller, the header or a stub names.
    fn take_named(&mut self) {
        if let Some(dtb) = self.options.dtb {
            self.take(Root { way: Way::Given, dtb: roots::space(self.memory, dtb).root(), near: None });
        }
        let hinted: Vec<Root> = self.header.into_iter().flat_map(roots::of_container).collect();
        if hinted.is_empty() {
            self.failure
                .ways
                .push((Way::Hint("container"), "no crash dump header and no hypervisor's note names a root".into()));
        }
        hinted.into_iter().for_each(|root| self.take(root));
        let stubs = roots::low_stubs(self.memory);
        if stubs.is_empty() {
            self.failure.ways.push((Way::LowStub, "no page below 1 MiB holds one".into()));
        }
        stubs.into_iter().for_each(|stub| self.take(stub));
    }

    fn take_found(&mut self, roots: Vec<Root>) {
        let outcome = match roots.len() {
            0 => "no page of physical memory refers to itself as a PML4 table does".to_owned(),
            number => format!("{number} pages refer to themselves, and none maps a kernel"),
        };
        self.failure.ways.retain(|(way, _)| *way != Way::SelfReference);
        self.failure.ways.push((Way::SelfReference, outcome));
        roots.into_iter().for_each(|root| self.take(root));
    }

    fn take(&mut self, root: Root) {
        // A root may be named by several, and is found beside that.
        if !self.met.insert(root.dtb) && root.way == Way::SelfReference {
            return;
        }
        let space = roots::space(self.memory, root.dtb);
        let Some(images) = base::images_entry(space) else {
            let shared = match SharedData::read(space) {
                Ok(_) => "KUSER_SHARED_DATA is there".to_owned(),
                Err(absent) => format!("KUSER_SHARED_DATA: {absent}"),
            };
            return self.reject(root, 0, format!("it maps no system images; {shared}"));
        };
        let group = self.groups.entry(images).or_default();
        if group.roots.is_empty() {
            group.shared = SharedData::read(space).is_ok();
        }
        group.roots.push(root);
        group.fresh = true;
    }

    fn reject(&mut self, root: Root, score: u8, failed_at: String) {
        if root.way != Way::SelfReference {
            self.failure.ways.push((root.way, format!("root {}: {failed_at}", root.dtb)));
        }
        if self.failure.candidates.len() < MAX_CANDIDATES {
            self.failure.candidates.push(Candidate { way: root.way, dtb: root.dtb, score, failed_at });
        }
    }

    /// Looks at every group that was not looked at, the likeliest first: those that somebody names, those in which the shared page
    /// can be read, those of many roots.
    fn examine(&mut self) {
        let mut order: Vec<(u64, Way, bool, usize, PhysicalAddress)> = self
            .groups
            .iter()
            .filter(|(images, group)| {
                let whole = self.proven.get(images).is_some_and(|proven| proven.grade == Grade::Whole);
                group.fresh && !whole
            })
            .filter_map(|(images, group)| {
                let first = group.roots.iter().map(|root| (root.way, root.dtb)).min()?;
                Some((*images, first.0, group.shared, group.roots.len(), first.1))
            })
            .collect();
        order.sort_by_key(|(_, way, shared, roots, first)| (*way, Reverse(*shared), Reverse(*roots), *first));
        let mut barren: Vec<(u64, String)> = order.into_iter().map(|(images, ..)| (images, String::new())).collect();
        for pages in PAGES {
            let mut all = ALL_PAGES;
            barren.retain_mut(|(images, why)| {
                let Some(mut group) = self.groups.remove(images) else { return false };
                group.roots.sort_by_key(|root| (root.way, root.dtb));
                group.fresh = false;
                let mut left = pages.min(all);
                if self.any_whole() && group.is_doubtful() {
                    left = left.min(DOUBTFUL_PAGES);
                }
                all = all.saturating_sub(left);
                let found = match left {
                    0 => Err("too many others were looked at before it".to_owned()),
                    _ => self.group(&group, &mut left),
                };
                all = all.saturating_add(left);
                self.groups.insert(*images, group);
                match found {
                    Ok(proven) => {
                        self.proven.insert(*images, proven);
                        false
                    }
                    Err(failed) => {
                        if why.is_empty() || failed != base::nothing_mapped() {
                            *why = failed;
                        }
                        true
                    }
                }
            });
            if self.any_whole() {
                break;
            }
        }
        for (images, why) in barren {
            let Some(group) = self.groups.get(&images) else { continue };
            let score = if group.shared { 2 } else { 1 };
            let shared = if group.shared { "" } else { "KUSER_SHARED_DATA cannot be read there; " };
            let named: Vec<Root> = group.roots.iter().copied().filter(|root| root.way != Way::SelfReference).collect();
            let first = group.roots.first().copied();
            let shown = if named.is_empty() { first.into_iter().collect() } else { named };
            for root in shown {
                self.reject(root, score, format!("{shared}{why}"));
            }
        }
    }

    fn any_whole(&self) -> bool {
        self.proven.values().any(|proven| proven.grade == Grade::Whole)
    }

    /// Looks for the kernel of one group, and for its System process through each of its roots. The kernel that proves itself best is
    /// taken.
    ///
    /// # Errors
    /// Why there is none.
    fn group(&mut self, group: &Group, pages: &mut usize) -> Result<Proven<'m>, String> {
        let first = *group.roots.first().ok_or("it has no root")?;
        let space = roots::space(self.memory, first.dtb);
        let shared = group.roots.iter().find_map(|root| self.shared(root));
        let near = group.roots.iter().find_map(|root| root.near);
        let all_pages = *pages;
        let others: Vec<AddressSpace<'m>> =
            group.roots.iter().skip(1).take(MAX_OTHERS).map(|root| roots::space(self.memory, root.dtb)).collect();
        let search = Search {
            space,
            shared: shared.as_ref(),
            near,
            given: self.options.kernel_base,
            header: self.header.filter(|_| group.roots.iter().any(|root| matches!(root.way, Way::Hint(_)))),
            store: self.store,
            others: &others,
        };
        let mut best: Option<Proven<'m>> = None;
        let mut bases: Vec<FoundBase> = Vec::new();
        let better = |best: &mut Option<Proven<'m>>, other: Option<Proven<'m>>| {
            if let Some(other) = other
                && best.as_ref().is_none_or(|best| best.grade < other.grade)
            {
                *best = Some(other);
            }
            best.as_ref().is_some_and(|best| best.grade == Grade::Whole)
        };
        let whole = search.by_headers(pages, &mut |found| {
            let exported = Exported::read(space, found.base);
            let done = better(
                &mut best,
                self.prove(group, &found, exported, &|space| SystemProcess::read(space, found.base, exported.system?)),
            );
            bases.push(found);
            done || bases.len() >= MAX_BASES
        });
        let mut failed = None;
        if !whole || best.as_ref().is_none_or(|best| best.grade < Grade::System) {
            // Without headers, or without exports that lead to System.
            if !whole {
                match search.by_code_view(all_pages) {
                    Some(Ok(found)) => bases.push(found),
                    Some(Err(failure)) => failed = Some(failure),
                    None => {}
                }
            }
            for found in &bases {
                let exported = Exported::read(space, found.base);
                let few = Group { roots: group.roots.iter().copied().take(MAX_SEARCHED).collect(), ..Group::default() };
                let search = |space: AddressSpace<'_>| proof::search(space, found, self.store);
                if better(&mut best, self.prove(&few, found, exported, &search)) {
                    break;
                }
            }
        }
        if let Some(mut best) = best {
            best.named = group.roots.iter().copied().filter(|root| root.way != Way::SelfReference).collect();
            return Ok(best);
        }
        Err(match failed {
            Some(BaseFailure::Symbols(error)) => {
                let why = error.to_string();
                self.symbols.get_or_insert(error);
                why
            }
            Some(BaseFailure::NotFound(why)) => why,
            None => match self.options.kernel_base {
                Some(base) => format!("no kernel image at the given base {base}"),
                None => base::nothing_mapped(),
            },
        })
    }

    fn shared(&self, root: &Root) -> Option<SharedData> {
        SharedData::read(roots::space(self.memory, root.dtb)).ok()
    }

    /// How far a kernel proves itself through the roots of its group; `system` looks for its System process. `None`: no root of them
    /// maps it.
    fn prove(
        &self,
        group: &Group,
        found: &FoundBase,
        exported: Exported,
        system: &dyn Fn(AddressSpace<'m>) -> Option<SystemProcess>,
    ) -> Option<Proven<'m>> {
        let mut best: Option<(Root, Option<SystemProcess>)> = None;
        for root in &group.roots {
            let seen = system(roots::space(self.memory, root.dtb));
            let grade = |seen: &Option<SystemProcess>| seen.map_or(Grade::Image, |system| system.grade);
            if best.as_ref().is_none_or(|(_, best)| grade(best) < grade(&seen)) {
                best = Some((*root, seen));
            }
            if grade(&seen) == Grade::Whole {
                break;
            }
        }
        let (root, system) = best?;
        let space = roots::space(self.memory, root.dtb);
        let shared = SharedData::read(space).ok();
        let build = shared.as_ref().map(|shared| shared.build & 0xffff).filter(|build| *build != 0);
        Some(Proven {
            root,
            space,
            physical: space.translate(found.base).ok(),
            build: build.or(exported.build),
            shared,
            found: found.clone(),
            grade: system.map_or(Grade::Image, |system| system.grade),
            own: system.and_then(|system| system.root),
            is_gone: system.is_none() && proof::is_gone(space, found, exported, self.store),
            named: Vec::new(),
        })
    }

    /// Systems of which no kernel was found: their shared page is there, or several roots that map the same system images. The first
    /// may have run last by their clock. Roots that have the shared page `own` are another view of the system that has it.
    fn without_kernel(&self, own: Option<PhysicalAddress>) -> (Vec<OtherSystem>, Vec<Part>) {
        let is_told = |group: &&Group| group.shared || group.roots.len() >= SEVERAL;
        let barren = self.groups.iter().filter(|(images, _)| !self.had.contains(images)).map(|(_, group)| group);
        let mut told: Vec<(OtherSystem, Option<Part>)> = Vec::new();
        for group in barren.filter(is_told) {
            let Some(root) = group.roots.iter().min_by_key(|root| (root.way, root.dtb)) else { continue };
            let shared = self.shared(root);
            if shared.is_some() && shared_page(roots::space(self.memory, root.dtb)) == own {
                continue;
            }
            let clock = shared.as_ref().map(|shared| shared.system_time).filter(|clock| clock.0 != 0);
            let other = OtherSystem {
                dtb: Some(root.dtb),
                build: shared.as_ref().map(|shared| shared.build & 0xffff).filter(|build| *build != 0),
                captured: clock,
                boot: shared.as_ref().and_then(SharedData::boot),
                found_by: root.way.to_string(),
                lacks: Some(format!("no kernel was found with it, and {} roots map its images", group.roots.len())),
                ..OtherSystem::default()
            };
            let is_large = root.way != Way::SelfReference || group.roots.len() >= SEVERAL;
            let part = Part { root: root.dtb, clock, lacks: "with which no kernel was found", is_large };
            // Without a clock, tables alone may be of any time: somebody else must lead to them.
            let is_led_to = root.way != Way::SelfReference;
            told.push((other, Some(part).filter(|part| part.clock.is_some() || is_led_to)));
        }
        told.sort_by_key(|(other, _)| other.dtb);
        let parts = told.iter().filter_map(|(_, part)| part.clone()).collect();
        (told.into_iter().map(|(other, _)| other).collect(), parts)
    }

    /// Chooses among what was found.
    fn finish(mut self) -> Result<Located<'m>, Error> {
        let given = self.options.dtb.map(|dtb| roots::space(self.memory, dtb).root());
        self.had = self.proven.keys().copied().collect();
        match choose::choose(std::mem::take(&mut self.proven).into_values().collect(), given) {
            Ok(mut located) => {
                let (others, parts) = self.without_kernel(shared_page(located.space));
                if given.is_none() {
                    located.parts.extend(parts);
                }
                located.tell(others);
                for (way, why) in
                    self.failure.ways.iter().filter(|(way, why)| *way != Way::SelfReference && why.starts_with("root "))
                {
                    located.warnings.push(Warning::new("kernel", format!("{way}: {why}; it was passed over")));
                }
                if located.shared.is_none() {
                    let why =
                        SharedData::read(located.space).err().map_or_else(String::new, |absent| absent.to_string());
                    let why = format!(
                        "{KUSER_SHARED_DATA} (KUSER_SHARED_DATA): {why}; the clocks and what else it says are not known"
                    );
                    located.warnings.push(Warning::new("kernel", why));
                }
                Ok(located)
            }
            Err(instead) => {
                if let Some(error) = self.symbols.filter(|_| instead.is_none()) {
                    return Err(error);
                }
                self.failure.instead = instead;
                self.failure.candidates.sort_by_key(|candidate| Reverse(candidate.score));
                Err(Error::NoKernel(Box::new(self.failure)))
            }
        }
    }
}
