//! The processes that are looked at, found by value alone: System, and the list that its links close.

use crate::discover::data::KernelData;
use crate::kernel::view::View;
use crate::kernel::walk::list_both_ways;
use crate::kernel::{PROCESS_OBJECT, SharedData, text};
use crate::memory::AddressSpace;
use crate::symbols::Stored;
use crate::{PhysicalAddress, Timestamp, VirtualAddress};

/// Bytes of an `_EPROCESS` that are looked at. The largest known one has 0xb80.
pub(super) const WINDOW: u64 = 0x1000;
/// Processes that are looked at, besides System. A judgement by most of them needs no more, and machines have hundreds.
const MAX_SAMPLES: usize = 64;
/// Places that are tried for the links of a System without its id.
const MAX_TRIALS: usize = 32;
/// A list longer than this is not followed to its end for the sake of samples.
const MAX_LIST: usize = 1 << 14;

/// One process, as bytes.
#[derive(Clone, Debug)]
pub(super) struct Sample<'m> {
    /// Address of the object.
    pub at: VirtualAddress,
    /// Its id.
    pub pid: u64,
    view: View<'m>,
}

impl Sample<'_> {
    /// The value at `offset`. `None`: it lies in a hole.
    pub fn get<T: Stored>(&self, offset: u64) -> Option<T> {
        T::decode(self.view.bytes(offset, T::SIZE?).ok()?)
    }

    /// The bytes at `offset`.
    pub fn bytes(&self, offset: u64, size: u64) -> Option<&[u8]> {
        self.view.bytes(offset, size).ok()
    }
}

/// What is looked at.
#[derive(Clone, Debug)]
pub(super) struct Scene<'m> {
    /// The kernel's address space.
    pub space: AddressSpace<'m>,
    /// Its image base.
    pub base: VirtualAddress,
    /// `SizeOfImage`.
    pub image_size: u64,
    /// The wall clock when the image was taken.
    pub captured: Option<Timestamp>,
    /// System first, then others in list order.
    pub samples: Vec<Sample<'m>>,
    /// Where the process id lies; the links of the active list follow it in every version.
    pub pid: u64,
    /// `PsActiveProcessHead`: the entry of the list that lies in the kernel's image.
    pub head: VirtualAddress,
}

impl<'m> Scene<'m> {
    /// Looks for the id 4 in front of links that lead through other processes and the kernel's image back to here.
    pub fn find(space: AddressSpace<'m>, data: &KernelData, system: VirtualAddress) -> Option<Self> {
        let (base, image_size) = (data.base(), data.size());
        let captured = SharedData::read(space).ok().map(|shared| shared.system_time);
        let view = View::read(space, system, WINDOW);
        let own = Sample { at: system, pid: 4, view };
        let mut scene =
            Self { space, base, image_size, captured, samples: Vec::new(), pid: 0, head: VirtualAddress(0) };
        let longest = |offsets: &mut dyn Iterator<Item = u64>| {
            let mut best: Option<(u64, VirtualAddress, Vec<VirtualAddress>)> = None;
            for pid in offsets {
                let Some((head, others)) = scene.list_at(&own, pid) else { continue };
                if best.as_ref().is_none_or(|(_, _, known)| known.len() < others.len()) {
                    best = Some((pid, head, others));
                }
            }
            best
        };
        let offsets = || (8..WINDOW).step_by(8);
        let best = longest(&mut offsets().filter(|offset| own.get::<u64>(*offset) == Some(4)));
        // Its id may have been written over: then that of its neighbours in the list tells.
        let best =
            best.or_else(|| longest(&mut offsets().filter(|at| scene.is_beside_ids(&own, *at)).take(MAX_TRIALS)));
        let (pid, head, others) = best?;
        (scene.pid, scene.head) = (pid, head);
        scene.samples.push(own);
        for at in choose(others) {
            let view = View::read(space, at, WINDOW);
            let sample = Sample { at, pid: 0, view };
            // Without its id in memory a process says too little.
            if let Some(pid) = sample.get::<u64>(pid) {
                scene.samples.push(Sample { pid, ..sample });
            }
        }
        Some(scene)
    }

    /// Whether the neighbours of what may be links behind `pid` have ids in front of theirs.
    fn is_beside_ids(&self, system: &Sample<'_>, pid: u64) -> bool {
        let neighbour = |offset: u64| system.get::<VirtualAddress>(pid.checked_add(offset)?);
        let has_id = |entry: VirtualAddress| self.space.read_u64(entry.wrapping_sub(8)).is_ok_and(is_id);
        [neighbour(8), neighbour(16)].into_iter().flatten().any(|entry| entry.is_kernel() && has_id(entry))
    }

    /// The list behind the id at `pid`: its head, and the other processes. `None`: there is no such list.
    fn list_at(&self, system: &Sample<'_>, pid: u64) -> Option<(VirtualAddress, Vec<VirtualAddress>)> {
        let links = pid.checked_add(8)?;
        let (next, last) = (system.get::<VirtualAddress>(links)?, system.get::<VirtualAddress>(links.checked_add(8)?)?);
        if !next.is_kernel() || !last.is_kernel() {
            return None;
        }
        let joined = list_both_ways(self.space, system.at.wrapping_add(links), MAX_LIST, VirtualAddress::is_kernel);
        let (heads, entries): (Vec<_>, Vec<_>) = joined.entries.into_iter().partition(|entry| self.in_image(*entry));
        let [head] = heads[..] else { return None };
        let has_id = |entry: &VirtualAddress| self.space.read_u64(entry.wrapping_sub(8)).ok().map(is_id);
        let ids = crate::discover::infer::judge::Tally::of(entries.iter().map(has_id));
        (ids.yes >= 2 && ids.share(75)).then(|| (head, entries.iter().map(|entry| entry.wrapping_sub(links)).collect()))
    }

    /// Where the objects of processes end, by the pool blocks that they lie in: what is behind belongs to others. `None`: no
    /// pool headers say so.
    pub fn end(&self) -> Option<u64> {
        let mut ends: Vec<u64> = self.samples.iter().filter_map(|sample| self.block_end(sample.at)).collect();
        ends.sort_unstable();
        // A header may be torn; the most frequent is in the middle.
        (ends.len().saturating_mul(2) > self.samples.len()).then(|| ends.get(ends.len() / 2).copied())?
    }

    /// The end of the pool block around an object: `_POOL_HEADER` in front of it has its size in units of 16 bytes at 2, and
    /// its tag, `Proc`, at 4 (x64).
    fn block_end(&self, at: VirtualAddress) -> Option<u64> {
        (0x40..=0xc0u64).step_by(0x10).find_map(|back| {
            let [_, _, size, _, tag @ ..]: [u8; 8] = self.space.read_array(at.wrapping_sub(back)).ok()?;
            // The top bit of a tag marks protected allocations up to 8.
            let [p, r, o, c] = tag;
            ([p, r, o, c & 0x7f] == *b"Proc").then(|| (u64::from(size) << 4).checked_sub(back))?
        })
    }

    /// Whether an address lies in the kernel's image.
    pub fn in_image(&self, at: VirtualAddress) -> bool {
        at >= self.base && at.0.wrapping_sub(self.base.0) < self.image_size
    }

    /// A time that something on this machine can have been created at: not after the image was taken, give or take a clock
    /// that was set back.
    pub fn is_past(&self, ticks: u64) -> bool {
        /// A day in units of 100 ns.
        const DAY: u64 = 864_000_000_000;
        /// 2001: no x64 Windows is older.
        const FIRST: u64 = 126_227_808_000_000_000;
        Timestamp::plausible(ticks).is_some()
            && ticks > FIRST
            && self.captured.is_none_or(|captured| ticks <= captured.0.saturating_add(DAY))
    }

    /// A `_UNICODE_STRING` with something in it.
    pub fn text(&self, space: AddressSpace<'_>, at: VirtualAddress) -> Option<String> {
        /// Bytes of a path or a command line: what is longer is no text, where nothing says that there is one.
        const MAX_TEXT: u16 = 0x1000;
        if u16::from_le_bytes(space.read_array(at).ok()?) > MAX_TEXT {
            return None;
        }
        text::unicode_string(space, at).ok().flatten()
    }
}

/// Whether a number may be a process's id.
fn is_id(id: u64) -> bool {
    id.is_multiple_of(4) && id != 0 && id <= u64::from(u32::MAX)
}

/// Processes that may be System, where no export leads to it: the first of a list of the kernel's if its id is 4. It starts
/// where a dispatcher header is a process's that nobody waits for, or whose page-table root maps the kernel.
pub(crate) fn systems<'d>(space: AddressSpace<'d>, data: &'d KernelData) -> impl Iterator<Item = VirtualAddress> + 'd {
    data.heads().iter().filter_map(move |head| {
        let entry = head.entries.first().copied().flatten()?;
        if space.read_u64(entry.wrapping_sub(8)) != Ok(4) {
            return None;
        }
        let before = View::read(space, entry.wrapping_sub(WINDOW), WINDOW);
        (1..=WINDOW / 8).find_map(|words| {
            let at = WINDOW.saturating_sub(words.saturating_mul(8));
            let start = before.address().wrapping_add(at);
            let word = |offset: u64| u64::decode(before.bytes(at.checked_add(offset)?, 8).ok()?);
            let waiters = Some(start.0.wrapping_add(8));
            let alone = word(8) == waiters && word(16) == waiters;
            // Somebody may wait for it; then its page-table root, at 0x28 in every version for x64, maps the kernel.
            let rooted = || {
                let own = space.with_root(PhysicalAddress(word(0x28).unwrap_or(0)));
                let page = space.translate(data.base());
                !own.root().is_null() && page.is_ok() && own.translate(data.base()) == page
            };
            (before.bytes(at, 1).ok()? == [PROCESS_OBJECT] && (alone || rooted())).then_some(start)
        })
    })
}

/// The first and the last of a long list: the ones that Windows starts with, and the young ones.
fn choose(mut all: Vec<VirtualAddress>) -> Vec<VirtualAddress> {
    if all.len() > MAX_SAMPLES {
        let young = all.split_off(all.len().saturating_sub(MAX_SAMPLES / 4));
        all.truncate(MAX_SAMPLES.saturating_sub(young.len()));
        all.extend(young);
    }
    all
}
