//! Everything that was read from one machine, owned: what the checks judge and what documents hold.

use crate::budget::{Budget, Use};
use crate::fetch_ahead::fetch_ahead;
use crate::kernel::{DriverList, Kernel, KernelInfo};
use crate::machine::Machine;
use crate::process::witnesses::ThreadsElsewhere;
use crate::process::{InsideOf, Process, ProcessList};
use crate::reading::null_is_default;
use crate::registry::{Registry, SessionManagerKeys};
use crate::sweep::sweep;
use crate::{Error, ImageInfo, ListEnd, Warning};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One machine, as its memory image, or somebody's list of its processes, shows it.
///
/// In a document it is the middle of [`Report`](crate::Report). Any member may be missing or null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct System {
    /// The image file. `None`: the records come from elsewhere.
    pub image: Option<ImageInfo>,
    /// The kernel found in the image.
    pub kernel: Option<KernelInfo>,
    /// Facts about the machine as a whole.
    #[serde(rename = "system", deserialize_with = "null_is_default")]
    pub machine: Machine,
    /// The processes.
    #[serde(deserialize_with = "null_is_default")]
    pub processes: ProcessList,
    /// The kernel's modules.
    #[serde(deserialize_with = "null_is_default")]
    pub drivers: DriverList,
    /// The keys that smss.exe reads when the system starts, as they are in memory.
    #[serde(deserialize_with = "null_is_default")]
    pub session_manager: SessionManagerKeys,
    /// What could not be read, or was odd.
    #[serde(skip)]
    pub warnings: Vec<Warning>,
}

/// What to read of an image beyond its lists.
#[derive(Clone, Copy, Default)]
pub struct ReadOptions<'o> {
    /// Search all of physical memory for processes, exited and unlinked ones included, for threads that name others, and for
    /// hives that are in no list: one pass, which takes as long as reading the file.
    pub scan: bool,
    /// Which processes to look into: address ranges, threads, handles.
    pub inside: InsideOf,
    /// Called now and then while memory is scanned, with bytes done and bytes in all.
    pub progress: Option<&'o (dyn Fn(u64, u64) + Sync)>,
}

impl std::fmt::Debug for ReadOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadOptions").field("scan", &self.scan).field("inside", &self.inside).finish_non_exhaustive()
    }
}

/// A document holds this many warnings at most: a list that leads into other memory gives one for every entry.
const MAX_WARNINGS: usize = 1000;

impl System {
    /// Reads everything from an image's kernel, without scanning memory.
    ///
    /// # Errors
    /// The symbols lack the head of the process list, or no process was found by any view.
    pub fn read(kernel: &Kernel<'_>) -> Result<Self, Error> {
        Self::read_with(kernel, &ReadOptions::default())
    }

    /// The same with choices.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_with(kernel: &Kernel<'_>, options: &ReadOptions<'_>) -> Result<Self, Error> {
        fetch_ahead(kernel, options.inside);
        let budget = Arc::new(Budget::of_image(kernel.image().info().bytes));
        let (mut processes, mut listed) = crate::process::list::active_list(kernel, &budget)?;
        let ids = crate::process::views::add(kernel, &budget, &mut processes, &mut listed, options.scan);
        let (mut hives, mut scanned) = (None, Vec::new());
        if options.scan {
            let found = sweep(kernel, options.progress.unwrap_or(&|_, _| ()));
            let views = (found.processes, found.carved, found.threads);
            scanned = found.thread_objects;
            crate::process::views::add_by_scan(kernel, &budget, &mut processes, &mut listed, views.0, views.1, views.2);
            crate::process::root_scan::add(kernel, &budget, &mut processes, &mut listed, found.roots);
            hives = Some(found.hives);
        }
        if processes.items.is_empty() {
            let why = listed.first().map_or_else(String::new, |warning| format!(": {}", warning.message));
            return Err(Error::NoProcesses {
                what: format!("no view of the processes leads to any{why}"),
                advice: "The symbols are those of this kernel, so the image is damaged there; search all of it with --scan, or \
                         try another image of the machine"
                    .into(),
            });
        }
        crate::process::allocation::judge(kernel, &mut processes);
        let elsewhere = ThreadsElsewhere { scanned, ..ThreadsElsewhere::in_table(ids.ok()) };
        crate::process::look_inside::look(kernel, &budget, &mut processes, options.inside, &elsewhere);
        let image = kernel.image();
        let mut machine = Machine::read(kernel, &processes);
        let drivers = DriverList::read(kernel, &mut listed);
        let mut registry = Registry::open_within(kernel, &budget);
        if let Some(found) = hives {
            registry.add_found(found);
        }
        machine.identify(&registry);
        let session_manager = SessionManagerKeys::read_all(&mut registry);
        // Who is known by his own fields alone is in the list, and what is told of all of them is a part.
        if budget.is_spent(Use::Details) || budget.is_spent(Use::Core) {
            processes.end = processes.end.max(Some(ListEnd::Limit));
        }
        listed.extend(budget.warning());
        if options.scan {
            listed.extend(crate::process::unseen::unseen(kernel, &processes));
        }
        listed.extend(kernel.unchecked_page_files());
        let odd = [image.warnings(), kernel.warnings(), registry.warnings()].into_iter().flatten().cloned();
        let odd = image.damage().into_iter().chain(odd);
        let mut warnings: Vec<Warning> = odd.chain(registry.read_from_files()).chain(listed).collect();
        if let Some(more) = warnings.len().checked_sub(MAX_WARNINGS).filter(|more| *more > 0) {
            warnings.truncate(MAX_WARNINGS);
            warnings.push(Warning::new("warnings", format!("{more} further warnings are left out")));
        }
        let (image, kernel) = (Some(kernel.image_info()), Some(kernel.info()));
        Ok(Self { image, kernel, machine, processes, drivers, session_manager, warnings })
    }

    /// What the image says of itself and of the machine without its processes: enough to say whose it is. `registry` is the kernel's.
    #[must_use]
    pub fn without_processes(kernel: &Kernel<'_>, registry: &Registry<'_>) -> Self {
        let mut machine = Machine::read(kernel, &ProcessList::default());
        machine.identify(registry);
        let damage = kernel.image().damage();
        let warnings = damage.into_iter().chain(registry.warnings().iter().cloned()).collect();
        Self { image: Some(kernel.image_info()), kernel: Some(kernel.info()), machine, warnings, ..Self::default() }
    }

    /// The process with this id: the one that runs, where an exited one had the id before. `None`: none is listed.
    #[must_use]
    pub fn process(&self, pid: u64) -> Option<&Process> {
        let of_pid = || self.processes.items.iter().filter(|process| process.pid.value() == Some(&pid));
        of_pid().find(|process| process.is_live()).or_else(|| of_pid().next())
    }

    /// The master smss.exe: of the processes of that name that System (4) started, the first one that runs. Whether it is
    /// what Windows would have started, [`check_smss`](crate::check_smss) says.
    #[must_use]
    pub fn master(&self) -> Option<&Process> {
        let claims = |process: &&Process| process.is_called("smss.exe") && process.ppid.value() == Some(&4);
        let all = || self.processes.items.iter().filter(claims);
        all().find(|process| process.is_live()).or_else(|| all().next())
    }

    /// Reads what is in the process at this position of the list, with its handles of all types.
    pub fn look_into(&mut self, kernel: &Kernel<'_>, at: usize) {
        if let Some(address) = self.processes.items.get(at).and_then(|process| process.eprocess.value().copied()) {
            let elsewhere = ThreadsElsewhere::of_ids(kernel);
            let budget = Budget::of_image(kernel.image().info().bytes);
            crate::process::look_inside::look(kernel, &budget, &mut self.processes, InsideOf::One(address), &elsewhere);
        }
    }
}
