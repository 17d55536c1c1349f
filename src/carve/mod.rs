//! A machine of which no kernel can be found: its processes, carved out of physical memory.

mod choose;
mod traces;

use crate::budget::{Budget, Use};
use crate::kernel::{Kernel, KernelInfo};
use crate::machine::Machine;
use crate::process::carved::{self, Objects};
use crate::symbols::SymbolStore;
use crate::{Absent, Error, MemoryImage, PhysicalAddress, System, Warning};
use std::collections::{BTreeMap, BTreeSet};

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
    warnings: Vec<Warning>,
}

impl MemoryImage {
    /// Searches all of physical memory, twice, for processes and for what tells their layouts. `progress` is called with bytes done
    /// and bytes in all.
    ///
    /// # Errors
    /// No process was met whose layout is known.
    pub fn carve(&self, store: &SymbolStore, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Carved<'_>, Error> {
        let traces = traces::search(self, progress);
        let candidates = choose::candidates(self, store, &traces)?;
        let (kernels, names): (Vec<Kernel<'_>>, Vec<choose::Name>) = candidates.into_iter().unzip();
        let found = carved::search(self, &kernels, progress);
        choose::best(kernels, names, found, &traces)
    }
}

/// Roots of carved processes that are asked, and processes that each is asked for: a few agree as well as all.
const MAX_ROOTS: usize = 64;
const MAX_ASKED: usize = 64;

impl Carved<'_> {
    /// How many processes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.places.len()
    }

    /// Whether there is none. It never is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.places.is_empty()
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

    /// Reads them. What lies in memory of the kernel is read through a root of one of them, if any maps processes to where they
    /// were met; what is a process's own, through its own root.
    #[must_use]
    pub fn read(mut self) -> System {
        let budget = Budget::of_image(self.kernel.image().info().bytes);
        let root = self.living_root();
        if let Some(root) = root.or_else(|| self.roots().first().copied()) {
            self.kernel.read_through(root);
        }
        let kernel = &self.kernel;
        let mut processes = carved::list(kernel, &budget, &self.objects, &mut self.warnings);
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
        let through = root.map_or_else(
            || "no page table of a process leads to any of them".to_owned(),
            |root| format!("memory of the kernel is read through {root}, the root of one of them"),
        );
        let message = format!(
            "no kernel was found: {} processes were carved out of physical memory; {through}. Nothing says that all of them are of the \
             machine that ran, nor that they ran",
            processes.items.len()
        );
        let mut warnings = kernel.image().warnings().to_vec();
        warnings.push(Warning::new("kernel", message));
        warnings.append(&mut self.warnings);
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
        let all = self.objects.places.iter().filter_map(|(address, physical)| {
            crate::kernel::Eprocess::read_at(&self.kernel, *address, Some(*physical)).root().ok()
        });
        all.filter(|root| seen.insert(*root)).take(MAX_ROOTS).collect()
    }

    /// The root that maps most processes to where they were met. `None`: none does.
    fn living_root(&self) -> Option<PhysicalAddress> {
        let space = self.kernel.space();
        let maps = |root: &PhysicalAddress| {
            let space = space.with_root(*root);
            let asked = self.objects.places.iter().take(MAX_ASKED);
            asked.filter(|(address, physical)| space.translate(**address) == Ok(**physical)).count()
        };
        let voted = self.roots().into_iter().map(|root| (maps(&root), root));
        voted
            .filter(|(maps, _)| *maps > 0)
            .max_by_key(|(maps, root)| (*maps, std::cmp::Reverse(*root)))
            .map(|(_, root)| root)
    }
}
