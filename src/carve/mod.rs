//! A machine of which no kernel can be found: its processes, carved out of physical memory.

mod choose;
mod neighbours;
mod traces;

use crate::budget::{Budget, Use};
use crate::kernel::{Eprocess, Kernel, KernelInfo};
use crate::machine::Machine;
use crate::memory::Scanner;
use crate::process::carved::{self, Looks, Objects, Places};
use crate::process::scan::CREATED;
use crate::symbols::SymbolStore;
use crate::{Absent, Error, MemoryImage, PhysicalAddress, System, VirtualAddress, Warning};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use traces::Traces;

/// Process objects that were met in physical memory, without page tables and without a kernel's image.
///
/// It serves where [`locate_kernel`](MemoryImage::locate_kernel) fails: page tables are gone or cut, or the kernel's own pages are.
/// An object is taken for a process if its values are a process's by the layouts of some known kernel: its header, list heads that
/// point to themselves where it says that it lies, ids, dates, name, links. Which layouts those are, CodeView records, shared pages
/// and build strings that lie anywhere in memory say, or else the objects themselves.
///
/// Nothing says that such a process belongs to the machine that ran last, nor that it still ran: a list of them is a part, and
/// no verdict over it is better than inconclusive.
#[derive(Debug)]
pub struct Carved<'m> {
    kernel: Kernel<'m>,
    objects: Objects,
    /// The root that memory of the kernel is read through. `None`: none maps any of the processes.
    root: Option<PhysicalAddress>,
    warnings: Vec<Warning>,
}

impl MemoryImage {
    /// Searches all of physical memory, once, for processes and for what tells their layouts; again only for layouts that nothing but a
    /// CodeView record tells, and for the pages that objects go on in. `progress` is called with bytes done and bytes in all.
    ///
    /// # Errors
    /// No process was met whose layout is known.
    pub fn carve(&self, store: &SymbolStore, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Carved<'_>, Error> {
        let mut carved = self.carve_alone(store, progress)?;
        carved.join(progress);
        Ok(carved)
    }

    /// How many processes [`carve`](Self::carve) would find, and by which layouts, in one search of memory: to tell whether it is worth it.
    ///
    /// # Errors
    /// As [`carve`](Self::carve).
    pub fn count_carved(
        &self,
        store: &SymbolStore,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(usize, String), Error> {
        let carved = self.carve_alone(store, progress)?;
        Ok((carved.len(), carved.layouts().first().cloned().unwrap_or_default()))
    }

    fn carve_alone(&self, store: &SymbolStore, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Carved<'_>, Error> {
        let (mut traces, mut places) = (Traces::default(), Places::default());
        let known = choose::known(self, store)?;
        let looks = Looks::of(&known.0);
        let scanner = Traces::add_to(Scanner::new().max_hits(usize::MAX).progress(progress));
        let of_traces = scanner.added();
        let scan = looks.add_to(scanner).run(self, |hit| {
            if hit.what < of_traces {
                traces.take(self, hit.what, hit.at);
            } else {
                looks.take(&mut places, self, hit.at);
            }
            ControlFlow::Continue(())
        });
        places.ended(scan.end);
        let (mut kernels, mut names) = choose::named(self, store, &traces);
        let named_looks = Looks::of(&kernels);
        // The header of a process object is alike in all builds.
        let mut found = if looks.cover(&named_looks) {
            named_looks.judge(&places)
        } else {
            named_looks.judge(&named_looks.search(self, progress))
        };
        found.append(&mut looks.judge(&places));
        drop((looks, named_looks));
        kernels.extend(known.0);
        names.extend(known.1);
        choose::best((kernels, names), found, &traces)
    }
}

/// Roots of carved processes that are asked, and processes that each is asked for: a few agree as well as all.
const MAX_ROOTS: usize = 64;
const MAX_ASKED: usize = 64;

impl<'m> Carved<'m> {
    /// How many processes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.all().count()
    }

    /// Whether there is none. It never is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where their layouts come from, in words.
    #[must_use]
    pub fn layouts(&self) -> &[String] {
        &self.kernel.symbols().notes
    }

    /// What kept the kernel from being found: a sentence that goes with the list.
    #[must_use]
    pub fn because(mut self, why: &str) -> Self {
        self.warnings.insert(0, Warning::new("kernel", why));
        self
    }

    /// The kernel's layouts, which read what was carved.
    #[must_use]
    pub const fn kernel(&self) -> &Kernel<'m> {
        &self.kernel
    }

    /// Chooses the root that memory of the kernel is read through, if any maps processes to where they were met, and finds the pages that
    /// objects go on in.
    fn join(&mut self, progress: &(dyn Fn(u64, u64) + Sync)) {
        self.root = self.living_root();
        if let Some(root) = self.root.or_else(|| self.roots().first().copied()) {
            self.kernel.read_through(root);
        }
        let pages = neighbours::search(&self.kernel, &self.objects, progress);
        self.kernel.with_pages(pages);
        let kernel = &self.kernel;
        let has_ids = |(address, physical): &(VirtualAddress, PhysicalAddress)| {
            carved::read(kernel, *address, *physical).has_process_values(|created| CREATED.contains(&created.0))
        };
        let (told, cut) = std::mem::take(&mut self.objects.heads).into_iter().partition(has_ids);
        self.objects.heads = cut;
        let told: BTreeMap<_, _> = told;
        self.objects.places.extend(told);
    }

    /// Reads them. What lies in memory of the kernel is read through a root of one of them, if any maps processes to where they
    /// were met; what is a process's own, through its own root.
    #[must_use]
    pub fn read(&self) -> System {
        let budget = Budget::of_image(self.kernel.image().info().bytes);
        let kernel = &self.kernel;
        let mut listed = self.warnings.clone();
        let mut processes = carved::list(kernel, &budget, &self.objects, &mut listed);
        if budget.is_spent(Use::Details) || budget.is_spent(Use::Core) {
            processes.end = processes.end.max(Some(crate::ListEnd::Limit));
        }
        let missing = || Absent::unreadable("no kernel was found");
        let info = KernelInfo {
            base: None,
            dtb: None,
            absent: ["base", "dtb"].into_iter().map(|name| (name.to_owned(), missing())).collect::<BTreeMap<_, _>>(),
            ..kernel.info()
        };
        let through = self.root.map_or_else(
            || "no page table of a process leads to any of them".to_owned(),
            |root| format!("memory of the kernel is read through {root}, the root of one of them"),
        );
        let message = format!(
            "no kernel was found: {} processes were carved out of physical memory; {through}. Nothing says that all of them are of the \
             machine that ran, nor that they ran",
            processes.items.len()
        );
        let image = kernel.image();
        let mut warnings: Vec<Warning> = image.damage().into_iter().chain(image.warnings().iter().cloned()).collect();
        warnings.push(Warning::new("kernel", message));
        warnings.append(&mut listed);
        warnings.extend(budget.warning());
        System {
            machine: Machine::read(kernel, &processes),
            image: Some(kernel.image_info()),
            kernel: Some(info),
            processes,
            warnings,
            ..System::default()
        }
    }

    /// The roots that the processes name, in the order of their addresses; some of them.
    fn roots(&self) -> Vec<PhysicalAddress> {
        let mut seen = BTreeSet::new();
        let root = |(address, physical)| Eprocess::read_at(&self.kernel, address, Some(physical)).root().ok();
        let all = self.objects.all().filter_map(root);
        all.filter(|root| seen.insert(*root)).take(MAX_ROOTS).collect()
    }

    /// The root that maps most processes to where they were met. `None`: none does.
    fn living_root(&self) -> Option<PhysicalAddress> {
        let space = self.kernel.space();
        let maps = |root: &PhysicalAddress| {
            let space = space.with_root(*root);
            let asked = self.objects.all().take(MAX_ASKED);
            asked.filter(|(address, physical)| space.translate(*address) == Ok(*physical)).count()
        };
        let voted = self.roots().into_iter().map(|root| (maps(&root), root));
        voted
            .filter(|(maps, _)| *maps > 0)
            .max_by_key(|(maps, root)| (*maps, std::cmp::Reverse(*root)))
            .map(|(_, root)| root)
    }
}
