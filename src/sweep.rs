//! One pass over physical memory for all that a system is searched for: processes, threads, hives.

use crate::kernel::Kernel;
use crate::memory::{ScanEnd, Scanner};
use crate::process::found::Found;
use crate::process::root_scan::{RootHits, look as look_for_roots};
use crate::process::scan::{ProcessHits, ProcessLook};
use crate::process::thread_scan::{ThreadLook, ThreadOwners};
use crate::registry::scan::HiveSearch;
use crate::{Absent, ListEnd, VirtualAddress};
use std::ops::ControlFlow;

/// What one pass found.
pub(crate) struct Sweep {
    /// Process objects.
    pub processes: Result<Found, Absent>,
    /// Those that nothing but their values say to be processes.
    pub carved: Found,
    /// Processes by their threads.
    pub threads: Result<Found, Absent>,
    /// The threads by which they were found, each with its process.
    pub thread_objects: Vec<(VirtualAddress, VirtualAddress)>,
    /// Page-table roots.
    pub roots: Result<RootHits, Absent>,
    /// Signatures of hives.
    pub hives: HiveSearch,
}

/// Searches all of memory. `progress` is called with bytes done and bytes in all.
pub(crate) fn sweep(kernel: &Kernel<'_>, progress: &(dyn Fn(u64, u64) + Sync)) -> Sweep {
    let (by_object, by_thread, by_root) = (ProcessLook::new(kernel), ThreadLook::new(kernel), look_for_roots(kernel));
    let (mut processes, mut threads, mut roots, mut hives) =
        (ProcessHits::default(), ThreadOwners::default(), RootHits::default(), HiveSearch::default());
    // Each of the four bounds what it keeps: many hits of one kind must not end the search for the others.
    let mut scanner = HiveSearch::add_to(Scanner::new().max_hits(usize::MAX).progress(progress));
    let hives_end = scanner.added();
    if let Ok(look) = &by_object {
        scanner = look.add_to(scanner);
    }
    let processes_end = scanner.added();
    if let Ok(look) = &by_thread {
        scanner = look.add_to(scanner);
    }
    let threads_end = scanner.added();
    if let Ok(look) = &by_root {
        scanner = scanner.pages(move |page| look.could_be(page));
    }
    let scan = scanner.run(kernel.image(), |hit| {
        match (&by_object, &by_thread) {
            _ if hit.what < hives_end => hives.take(hit.at),
            (Ok(look), _) if hit.what < processes_end => processes.take(look, hit.at),
            (_, Ok(look)) if hit.what < threads_end => threads.take(look, hit.at),
            _ if hit.what >= threads_end => roots.take(hit.at),
            _ => {}
        }
        ControlFlow::Continue(())
    });
    drop(scanner);
    let end = if scan.end == ScanEnd::Complete { ListEnd::Complete } else { ListEnd::Limit };
    let (processes, carved) = processes.found(end);
    Sweep {
        processes: by_object.map(|_| processes),
        carved,
        thread_objects: threads.take_threads(),
        threads: by_thread.map(|_| threads.found(end)),
        roots: by_root.map(|_| roots.ended(end)),
        hives,
    }
}
