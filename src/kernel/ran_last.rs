//! Which of several whole systems in an image ran last. The clock of each is one witness, and can be written over; when it was
//! started, and what it made since, is another: one memory has one machine at a time, so that the one that ran last was started after
//! the others had stopped.

use super::find::choose::Part;
use super::find::locate::LocateOptions;
use super::objects::{processors, thread};
use super::{Direction, Eprocess, Kernel, SharedData, Walk};
use crate::symbols::SymbolStore;
use crate::{PhysicalAddress, Timestamp, VirtualAddress};

/// Rivals that are looked at: there are few, or somebody made them.
const MAX_RIVALS: usize = 8;
/// Processes of each whose stamps are read.
const MAX_PROCESSES: usize = 4096;
/// 2001: no x64 Windows is older, and no stamp of one.
const FIRST: u64 = 126_227_808_000_000_000;

/// What speaks for a system.
struct Witnesses {
    base: VirtualAddress,
    /// When it was started: by System's creation.
    started: Option<Timestamp>,
    /// By when half of its processes were made: where the clock was wrong at the start, and was set.
    half: Option<Timestamp>,
    /// `KUSER_SHARED_DATA.SystemTime`, or the newest stamp of its processes and threads.
    last: Option<Timestamp>,
    /// Threads on its processors, and how many of them belong to a process whose page tables map this kernel.
    running: (usize, usize),
    /// The header of the image, or the state of a processor in it, leads to it.
    led: bool,
}

/// The kernel that ran last: `first`, or one of the rivals, which these roots open. If that cannot be told, it is said why. What is there
/// in part is never taken, and makes it doubtful if its clock is later than any sign of life of the one that is.
pub(super) fn settle<'m>(
    first: Kernel<'m>,
    rivals: &[PhysicalAddress],
    parts: &[Part],
    store: &SymbolStore,
) -> Kernel<'m> {
    let image = first.image();
    let (searched, mut others) = (first.others_searched, first.others.clone());
    let by_clocks = first.undecided.clone();
    let mut unopened = false;
    let mut last = (Witnesses::of(&first), first);
    let mut rest: Vec<Witnesses> = Vec::new();
    for dtb in rivals.iter().take(MAX_RIVALS) {
        let options = LocateOptions { dtb: Some(*dtb), ..LocateOptions::default() };
        let other = others.iter_mut().find(|other| other.dtb == Some(*dtb));
        let mut rival = match image.locate_kernel_with(store, &options) {
            Ok(rival) => rival,
            // It proves itself, and who keeps it from being read must not make the other the one that ran.
            Err(error) => {
                unopened = true;
                if let Some(other) = other {
                    let words = error.to_string();
                    let reason = words.split([':', '.', '\n']).next().unwrap_or_default();
                    other.lacks.get_or_insert_with(|| format!("it cannot be read: {reason}"));
                }
                continue;
            }
        };
        if let Some(found) = other {
            rival.found_by.clone_from(&found.found_by);
        }
        let mut witnesses = Witnesses::of(&rival);
        if witnesses.last > last.0.last {
            std::mem::swap(&mut last.0, &mut witnesses);
            last.1 = rival;
        }
        rest.push(witnesses);
    }
    let (witnesses, mut kernel) = last;
    let among_whole = rest.iter().find_map(|other| witnesses.doubt(other)).or(by_clocks.filter(|_| unopened));
    kernel.undecided = among_whole.or_else(|| parts.iter().find_map(|part| part.doubt(witnesses.last)));
    for other in &mut kernel.others {
        if let Some(known) = others.iter().find(|known| known.dtb == other.dtb) {
            other.lacks.clone_from(&known.lacks);
        }
    }
    kernel.others_searched = searched;
    if let Some(why) = &kernel.undecided {
        let message = format!("which system ran last cannot be told: {why}");
        kernel.warn("kernel", message);
    }
    kernel
}

impl Witnesses {
    fn of(kernel: &Kernel<'_>) -> Self {
        let clock = kernel.shared_data().map(|shared: &SharedData| shared.system_time).filter(|time| time.0 >= FIRST);
        let stamp = |time: Timestamp| Some(time).filter(|time| time.0 >= FIRST);
        let links = kernel.layouts().process.links.offset;
        let head = kernel.global("PsActiveProcessHead").ok();
        let listed =
            head.into_iter().flat_map(|head| Walk::new(kernel.space(), head, Direction::Forward, MAX_PROCESSES));
        let processes: Vec<Eprocess<'_>> =
            listed.map(|entry| Eprocess::read(kernel, entry.wrapping_sub(links))).collect();
        let mut made: Vec<Timestamp> =
            processes.iter().filter_map(|process| stamp(process.created().value().copied()?)).collect();
        made.sort_unstable();
        let newest = || {
            let exits = processes.iter().filter_map(|process| process.exited().value().copied());
            let threads =
                processes.iter().filter_map(|process| thread::threads(process, &thread::OtherThreads::default()).ok());
            let threads = threads.flat_map(|(threads, _)| threads).filter_map(|thread| thread.created.value().copied());
            made.iter().copied().chain(exits.chain(threads).filter_map(stamp)).max()
        };
        let system = kernel.system().map(|at| Eprocess::read(kernel, at));
        let own = |thread: &VirtualAddress| {
            let field = kernel.layouts().thread.as_ref().ok()?.process?;
            let owner = kernel.space().read_pointer(thread.wrapping_add(field.offset)).ok()?;
            let root = Eprocess::read(kernel, owner).root().ok()?;
            kernel.shares_kernel(root, owner).ok().filter(|shares| *shares)
        };
        let threads = processors::threads(kernel);
        let roots = kernel.image().hints().map(|hints| hints.roots.as_slice()).unwrap_or_default();
        let there = kernel.space().translate(kernel.base());
        let leads =
            |root: &PhysicalAddress| there.is_ok() && kernel.space().with_root(*root).translate(kernel.base()) == there;
        Self {
            base: kernel.base(),
            started: system.and_then(|system| stamp(system.created().value().copied()?)),
            half: made.get(made.len() / 2).copied(),
            last: clock.or_else(newest),
            running: (threads.len(), threads.iter().filter(|thread| own(thread).is_some()).count()),
            led: roots.iter().any(leads),
        }
    }

    /// Why this one, whose last sign of life is the latest, may not have run after `other`. `None`: it did.
    fn doubt(&self, other: &Self) -> Option<String> {
        let (one, two) = (self.base, other.base);
        if self.led != other.led {
            return other.led.then(|| {
                format!(
                    "the kernel at {one} has the later clock, and the header of the image leads to the one at {two}"
                )
            });
        }
        if self.running.0 > 0 && self.running.1 == 0 && other.running.1 > 0 {
            return Some(format!(
                "the processors of the kernel at {one} run no thread of its own, those of the one at {two} do"
            ));
        }
        // A clock that was set back says less than the stamps that were made before.
        let Some(stopped) =
            other.last.map(|last| [other.started, other.half].into_iter().flatten().fold(last, Ord::max))
        else {
            return Some(format!("nothing tells when the kernel at {two} ran last"));
        };
        let after = |time: Option<Timestamp>| time.is_some_and(|time| time > stopped);
        if after(self.started) || after(self.half) {
            return None;
        }
        let began =
            self.started.or(self.half).map_or_else(|| "at an unknown time".to_owned(), |time| format!("at {time}"));
        Some(format!(
            "the kernel at {one} was started {began}, when the one at {two} had not stopped yet (it ran at {stopped}): a clock was \
             written over or set, or one of the two is a copy"
        ))
    }
}
