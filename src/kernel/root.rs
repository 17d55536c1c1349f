//! Which page-table root the kernel is read with. All processes share the kernel half of their tables, so that the roots of the
//! processes say together which view of it is the true one: a root that one pointer leads to may have been made to mislead.

use super::Kernel;
use super::find::proof::maps_alike;
use super::find::roots::Root;
use super::walk::{Direction, list};
use super::{Eprocess, KUSER_SHARED_DATA, PROCESS_OBJECT, SharedData};
use crate::memory::{AddressSpace, Page};
use crate::{Absent, PhysicalAddress, VirtualAddress};
use std::collections::{BTreeMap, BTreeSet};

/// Processes whose roots are asked. Machines have hundreds, and a few agree as well as all.
const MAX_ASKED: usize = 64;
/// Entries of the list that are followed to find so many that live.
const MAX_LISTED: usize = 256;
/// Bits of an entry that say where its table lies.
const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// The bits of an address below those that choose an entry of the table that all processes' kernel halves have in common: the top one,
/// or where there are five levels, the one below it, which each process has for itself.
const SHARED_BELOW: u32 = 39;

/// The entry through which `at` is mapped in a root's table of that level: the frame of the table below. `None`: a table is not in the
/// image. 0: nothing is mapped.
fn entry(space: AddressSpace<'_>, at: VirtualAddress) -> Option<u64> {
    match space.entry_at(at, SHARED_BELOW) {
        Some(entry) => Some(if entry & 1 == 0 { 0 } else { entry & FRAME }),
        // The top table is there and leads nowhere.
        None => entry_of(space, space.architecture().top_index(at)).filter(|frame| *frame == 0),
    }
}

/// The entry in the upper half of a root's table that leads to the table itself. `None`: there is none.
fn self_reference(space: AddressSpace<'_>) -> Option<u64> {
    (256..512).find(|slot| entry_of(space, *slot) == Some(space.root().0 & FRAME))
}

/// The same by the entry's number.
fn entry_of(space: AddressSpace<'_>, slot: u64) -> Option<u64> {
    let mut bytes = [0u8; 8];
    let slot = space.root().wrapping_add(slot.wrapping_mul(8));
    (space.memory().read(slot, &mut bytes) == bytes.len()).then(|| {
        let entry = u64::from_le_bytes(bytes);
        if entry & 1 == 0 { 0 } else { entry & FRAME }
    })
}

/// What a page-table root of this system looks like, by its page alone.
#[derive(Debug)]
pub(crate) struct RootLook {
    /// Where in the page the entry lies that leads to the page itself: Windows has it in one place of every root.
    own: usize,
}

impl RootLook {
    /// `None`: the root that the kernel is read with does not lead to itself, so that no other is known by that.
    pub(crate) fn new(kernel: &Kernel<'_>) -> Option<Self> {
        Some(Self { own: usize::try_from(self_reference(kernel.space)?.checked_mul(8)?).ok()? })
    }

    /// Whether this page leads to itself there. [`Kernel::shares_kernel`] says whether it is a root of this system.
    pub(crate) fn could_be(&self, page: Page<'_>) -> bool {
        page.u64(self.own).is_some_and(|entry| entry & 1 == 1 && entry & FRAME == page.at.0)
    }
}

/// What the roots of processes say.
struct Vote {
    /// The root of System, where it is one.
    own: Option<PhysicalAddress>,
    /// Roots of other processes by what their tables lead to; in each the lowest first.
    views: BTreeMap<Vec<u64>, BTreeSet<PhysicalAddress>>,
}

impl<'m> Kernel<'m> {
    /// One address for each entry of the top table that leads to what all processes share: the kernel's image,
    /// `KUSER_SHARED_DATA`, and the process at `process`.
    fn anchors(&self, process: VirtualAddress) -> Vec<VirtualAddress> {
        let mut anchors = vec![self.base, KUSER_SHARED_DATA];
        anchors.extend(self.anchor);
        anchors.push(process);
        let mut slots = BTreeSet::new();
        anchors.retain(|at| slots.insert(at.0 >> SHARED_BELOW));
        anchors
    }

    /// System's `_EPROCESS`. `None`: nothing leads to it.
    pub(crate) const fn system(&self) -> Option<VirtualAddress> {
        self.anchor
    }

    /// Whether a process's root maps the kernel half as the root does that the kernel is read with. The entries of both top tables
    /// are compared that lead to the kernel's image, to `KUSER_SHARED_DATA`, to System and to the process itself.
    ///
    /// # Errors
    /// The table is not in the image, or is none: Windows has one entry of every top table lead to the table itself, the same in all. Or an
    /// entry leads elsewhere, and nothing can be read through it: that shows no other kernel, it shows none.
    pub fn shares_kernel(&self, root: PhysicalAddress, process: VirtualAddress) -> Result<bool, Absent> {
        if !self.is_found() {
            return Err(Absent::not_collected("no kernel was found whose half of memory it could share"));
        }
        let own = self.space.with_root(root);
        if own.root() == self.space.root() {
            return Ok(true);
        }
        let missing =
            |root: PhysicalAddress| Absent::unreadable(format!("the page table at {root} is not in the image"));
        if let Some(slot) = self_reference(self.space) {
            let leads = entry_of(own, slot).ok_or_else(|| missing(root))?;
            if leads != own.root().0 & FRAME {
                return Err(Absent::unparsable(format!(
                    "the page at {root} is no page table: its entry {slot:#x} leads to {leads:#x}, not to itself"
                )));
            }
        }
        let mut astray = None;
        for at in self.anchors(process) {
            let ours = entry(self.space, at).ok_or_else(|| missing(self.space.root()))?;
            let theirs = entry(own, at).ok_or_else(|| missing(root))?;
            if theirs != ours && self.is_seen(own, at) {
                return Ok(false);
            }
            if theirs != ours {
                astray = Some(format!(
                    "the page table at {root} leads to {theirs:#x} where others lead to {ours:#x}, and {at} cannot be read through it"
                ));
            }
        }
        astray.map_or(Ok(true), |why| Err(Absent::unparsable(why)))
    }

    /// Whether what lies at one of the anchors can be read through another root: who makes one to mislead shows something there.
    fn is_seen(&self, space: AddressSpace<'_>, anchor: VirtualAddress) -> bool {
        let starts_with = |start: &[u8]| {
            let mut bytes = [0u8; 2];
            space.read(anchor, &mut bytes).is_ok() && bytes.starts_with(start)
        };
        match anchor {
            KUSER_SHARED_DATA => SharedData::read(space).is_ok(),
            base if base == self.base => starts_with(b"MZ"),
            _ => starts_with(&[PROCESS_OBJECT]),
        }
    }

    /// Takes System's own root to read with, if the roots of other processes agree with it; else theirs. The root that led here may
    /// be any process's; `named` are those that a header or a stub names.
    pub(super) fn choose_root(&mut self, named: &[Root]) {
        self.take_systems_root();
        for rival in self.rivals(named) {
            self.warn("kernel", rival);
        }
    }

    fn take_systems_root(&mut self) {
        let found = self.space.root();
        let system = match self.system_process() {
            Ok(system) => system,
            Err(why) => {
                self.warn(
                    "kernel",
                    format!("System's DirectoryTableBase could not be read ({why}); reading with {found}"),
                );
                return;
            }
        };
        self.anchor = Some(system);
        let vote = self.vote(system);
        let view = |space: AddressSpace<'_>| -> Option<Vec<u64>> {
            self.anchors(system).into_iter().map(|at| entry(space, at)).collect()
        };
        let (one, two) = (view(self.space), vote.own.and_then(|own| view(self.space.with_root(own))));
        let most = vote.views.iter().max_by_key(|(_, roots)| roots.len());
        // One process against another tells nothing.
        let agreed = most.filter(|(_, roots)| roots.len() >= 2);
        let is_agreed = |view: &Option<Vec<u64>>| agreed.is_none_or(|(agreed, _)| view.as_ref() == Some(agreed));
        let own = vote.own.map(|own| self.space.with_root(own));
        if let Some(own) = own.filter(|own| maps_alike(self.space, *own, self.base) && is_agreed(&two)) {
            self.space = own;
            if !is_agreed(&one) {
                let message = format!(
                    "the root {found} that led to the kernel maps other tables than System and the other processes do: reading with {}, System's",
                    own.root()
                );
                self.warn("kernel", message);
            }
            return;
        }
        let theirs = agreed.and_then(|(_, roots)| roots.first().copied()).map(|root| self.space.with_root(root));
        let Some(own) = own else {
            let with = theirs.filter(|_| !is_agreed(&one)).unwrap_or(self.space);
            self.space = with;
            self.warn(
                "kernel",
                format!("System's DirectoryTableBase is no page-table root; reading with {}", with.root()),
            );
            return;
        };
        let message = if maps_alike(self.space, own, self.base)
            && let Some(theirs) = theirs.filter(|theirs| maps_alike(self.space, *theirs, self.base))
        {
            let number = agreed.map_or(0, |(_, roots)| roots.len());
            self.space = theirs;
            format!(
                "System's DirectoryTableBase {} maps the kernel half through other tables than {number} other processes do, which agree: \
                 reading with {}, a root of theirs",
                own.root(),
                theirs.root()
            )
        } else {
            format!(
                "System's DirectoryTableBase {} does not map this kernel; reading with {found}, which does",
                own.root()
            )
        };
        self.warn("kernel", message);
    }

    /// The roots that a stub or a header names and that map other tables than the processes do.
    fn rivals(&self, named: &[Root]) -> Vec<String> {
        let differs =
            |root: &&Root| self.anchor.is_some_and(|system| self.shares_kernel(root.dtb, system) == Ok(false));
        let says = |root: &Root| {
            format!(
                "the {} leads to {}, which maps other tables than the processes do: it may have been made to mislead",
                root.way, root.dtb
            )
        };
        named.iter().filter(differs).map(says).collect()
    }

    /// Asks the processes of the active list that live.
    fn vote(&self, system: VirtualAddress) -> Vote {
        let own = Eprocess::read(self, system)
            .root()
            .ok()
            .filter(|root| entry(self.space.with_root(*root), self.base).is_some());
        let mut views: BTreeMap<Vec<u64>, BTreeSet<PhysicalAddress>> = BTreeMap::new();
        let links = self.layouts.process.links.offset;
        let (entries, _) =
            list(self.space, system.wrapping_add(links), Direction::Forward, MAX_LISTED, VirtualAddress::is_kernel);
        let anchors = self.anchors(system);
        let layout = &self.layouts.process;
        let mut asked = 0usize;
        for at in entries.into_iter().map(|entry| entry.wrapping_sub(links)) {
            if asked >= MAX_ASKED {
                break;
            }
            let ended =
                layout.threads.is_some_and(|threads| self.space.read_u32(at.wrapping_add(threads.offset)) == Ok(0));
            let Ok(root) = self.space.read_u64(at.wrapping_add(layout.dtb.offset)) else { continue };
            let space = self.space.with_root(PhysicalAddress(root));
            if ended || Some(space.root()) == own || space.root().is_null() {
                continue;
            }
            let view: Option<Vec<u64>> = anchors.iter().map(|at| entry(space, *at)).collect();
            // A table that leads nowhere is none any more.
            if let Some(view) = view.filter(|view| view.iter().any(|frame| *frame != 0)) {
                asked = asked.saturating_add(1);
                views.entry(view).or_default().insert(space.root());
            }
        }
        Vote { own, views }
    }
}
