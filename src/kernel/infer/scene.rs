//! The processes that are looked at, found by value alone: System, and the list that its links close.

use super::super::pe::PeImage;
use super::super::view::View;
use super::super::walk::list_both_ways;
use super::super::{SharedData, text};
use crate::memory::AddressSpace;
use crate::symbols::Stored;
use crate::{PAGE_SIZE, Timestamp, VirtualAddress};

/// Bytes of an `_EPROCESS` that are looked at. The largest known one has 0xb80.
pub(super) const WINDOW: u64 = 0x1000;
/// Processes that are looked at, besides System. A judgement by most of them needs no more, and machines have hundreds.
const MAX_SAMPLES: usize = 64;
/// A list longer than this is not followed to its end for the sake of samples.
const MAX_LIST: usize = 1 << 14;
/// The kernel's image is not larger; where its headers are gone, this stands for its size.
const MAX_IMAGE: u64 = 32 << 20;

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
    pub fn find(space: AddressSpace<'m>, base: VirtualAddress, system: VirtualAddress) -> Option<Self> {
        let image_size = PeImage::read(space, base).map_or(MAX_IMAGE, |image| image.size.min(MAX_IMAGE));
        let captured = SharedData::read(space).ok().map(|shared| shared.system_time);
        let view = View::read(space, system, WINDOW);
        let own = Sample { at: system, pid: 4, view };
        let mut scene =
            Self { space, base, image_size, captured, samples: Vec::new(), pid: 0, head: VirtualAddress(0) };
        let mut best: Option<(u64, VirtualAddress, Vec<VirtualAddress>)> = None;
        for pid in (8..WINDOW).step_by(8).filter(|offset| own.get::<u64>(*offset) == Some(4)) {
            let Some((head, others)) = scene.list_at(&own, pid) else { continue };
            if best.as_ref().is_none_or(|(_, _, known)| known.len() < others.len()) {
                best = Some((pid, head, others));
            }
        }
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
        let is_id = |entry: &VirtualAddress| {
            let id = self.space.read_u64(entry.wrapping_sub(8)).ok()?;
            Some(id.is_multiple_of(4) && id != 0 && id <= u64::from(u32::MAX))
        };
        let ids = super::judge::Tally::of(entries.iter().map(is_id));
        (ids.yes >= 2 && ids.share(75)).then(|| (head, entries.iter().map(|entry| entry.wrapping_sub(links)).collect()))
    }

    /// The words of the kernel's image, page by page, as pointers. Pages that are not there are passed over.
    pub fn words(&self) -> impl Iterator<Item = (VirtualAddress, Vec<VirtualAddress>)> + '_ {
        let pages = (0..self.image_size / PAGE_SIZE).map(|page| self.base.wrapping_add(page.wrapping_mul(PAGE_SIZE)));
        pages.map(|page| {
            let mut bytes = [0u8; 4096];
            let (read, _) = self.space.read_some(page, &mut bytes);
            let (words, _) = bytes.get(..read).unwrap_or_default().as_chunks::<8>();
            (page, words.iter().map(|word| VirtualAddress(u64::from_le_bytes(*word))).collect())
        })
    }

    /// Whether a word of the image may lead to an object of the kernel.
    pub fn leads_out(&self, at: VirtualAddress) -> bool {
        at.0 >> 47 == 0x1_ffff && at.0 & 7 == 0 && !self.in_image(at)
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

/// The first and the last of a long list: the ones that Windows starts with, and the young ones.
fn choose(mut all: Vec<VirtualAddress>) -> Vec<VirtualAddress> {
    if all.len() > MAX_SAMPLES {
        let young = all.split_off(all.len().saturating_sub(MAX_SAMPLES / 4));
        all.truncate(MAX_SAMPLES.saturating_sub(young.len()));
        all.extend(young);
    }
    all
}
