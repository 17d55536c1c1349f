//! What the page tables of a process say of its user half, page by page: what the processor goes by, whatever VADs say.

use super::arch::{Level, Present};
use super::space::AddressSpace;
use super::windows_pte::Form;
use crate::addr::PAGE_BYTES;
use crate::image::PhysicalMemory;
use crate::{ListEnd, Origin, PhysicalAddress, VirtualAddress};
use std::collections::HashSet;

/// Where one entry says that its page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Spot {
    /// In memory, by an entry that is present.
    Mapped(PhysicalAddress),
    /// In memory, by an entry in transition.
    Transition(PhysicalAddress),
    /// In a page file, or in the store, which has a number as one.
    PageFile { number: u32, index: u64 },
    /// In a page file or in transition, and how this kernel writes that is not known.
    PagedOut,
    /// Nowhere yet.
    DemandZero,
    /// Where a prototype entry says that the entry names.
    Shared,
}

impl Spot {
    /// Its place in memory. `None`: it is not there, or other entries tell.
    pub(crate) const fn physical(self) -> Option<PhysicalAddress> {
        match self {
            Self::Mapped(at) | Self::Transition(at) => Some(at),
            Self::PageFile { .. } | Self::PagedOut | Self::DemandZero | Self::Shared => None,
        }
    }

    /// Whether the entry alone tells that the page is the process's own: a page of a section that is not present has its place in the
    /// section's entry, and the process's own names that, or nothing.
    pub(crate) const fn is_own(self) -> bool {
        matches!(self, Self::Transition(_) | Self::PageFile { .. } | Self::PagedOut)
    }
}

/// What one entry without a table below it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserPage {
    pub at: VirtualAddress,
    /// Where it is.
    pub spot: Spot,
    /// Its size.
    pub bytes: u64,
    /// Code in it may run, or may as soon as the page is back in memory.
    pub executable: bool,
    /// It can be written to.
    pub writable: bool,
    /// The entry that maps it.
    pub entry: u64,
    /// Where that lies. `None`: its table is not in memory.
    pub entry_at: Option<PhysicalAddress>,
    /// What supplied the last table on the way to it that is not in memory.
    pub table: Option<Origin>,
    /// The entry lets user mode reach the page, and most of its table is such as tables of user memory are.
    pub plausible: bool,
}

/// What a walk over the tables met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserTables {
    /// Some page may not be executed: where none says so, the machine runs without the bit for it.
    pub no_execute: bool,
    /// Tables that were read.
    pub tables: usize,
    /// How the walk ended: `Broken` where a table was not there, or made no sense.
    pub end: ListEnd,
}

/// Entry: reachable from user mode.
const USER: u64 = 1 << 2;
/// Entry: the page was written to; Windows sets the processor's bit only then.
const WRITTEN: u64 = 1 << 1;
/// `_MMPTE_HARDWARE.Write`: the page may be written to.
const WRITE: u64 = 1 << 11;
/// Entry: no code may run from here.
const NO_EXECUTE: u64 = 1 << 63;
/// Bits of an address that no machine has memory for.
const NO_FRAME: u64 = 0x000f_0000_0000_0000;
/// Entries of one table that may make no sense: with more it is no table.
const MAX_ODD: usize = 16;

/// Rights in `Protection` of an entry that is not present: `MM_*` of ntosp.h, its low three bits.
const fn rights(entry: u64) -> (bool, bool) {
    let protection = (entry >> 5) & 7;
    (matches!(protection, 2 | 3 | 6 | 7), matches!(protection, 4 | 6))
}

/// A table to look at.
struct Table {
    bytes: Box<[u8; PAGE_BYTES]>,
    /// Where it lies. `None`: not in memory.
    place: Option<PhysicalAddress>,
    level: usize,
    /// The address that its first entry translates.
    first: u64,
    /// A table above forbids execution.
    no_execute: bool,
    /// What supplied it, or the last one above it that is not in memory.
    from: Option<Origin>,
}

impl AddressSpace<'_> {
    /// Calls `visit` with every page that the tables of the user half have, in no certain order; reads at most `room` tables. Shared
    /// pages that an entry names are among them, though other entries tell their rights.
    ///
    /// The bit that forbids execution is not looked at in the top table: where the kernel keeps page tables of its own for each
    /// process (KVA shadow), it is set there for the whole user half, which other tables map for user mode.
    pub(crate) fn user_pages(&self, room: usize, visit: &mut dyn FnMut(UserPage)) -> UserTables {
        let arch = self.architecture();
        let mut walked = UserTables { no_execute: false, tables: 0, end: ListEnd::Complete };
        let mut seen = HashSet::new();
        let Some(top) = read_table(self.memory(), self.root()) else {
            return UserTables { end: ListEnd::Broken, ..walked };
        };
        let mut open =
            vec![Table { bytes: top, place: Some(self.root()), level: 0, first: 0, no_execute: false, from: None }];
        while let Some(table) = open.pop() {
            walked.tables = walked.tables.saturating_add(1);
            let Some(level) = arch.level(table.level) else { continue };
            let (entries, _) = table.bytes.as_chunks::<8>();
            let entries = entries.iter().map(|entry| u64::from_le_bytes(*entry));
            // The upper half of the top table is the kernel's.
            let take = if table.level == 0 { entries.len() / 2 } else { entries.len() };
            let lowest = arch.level(table.level.saturating_add(1)).is_none();
            let of_user = is_mostly_of_user(entries.clone().take(take), arch.present, arch.frame);
            if lowest && is_torn(entries.clone(), arch.present) {
                walked.end = walked.end.max(ListEnd::Broken);
                continue;
            }
            for (entry, number) in entries.take(take).zip(0u64..).filter(|(entry, _)| *entry != 0) {
                let at = table.first.wrapping_add(number.wrapping_shl(level.shift));
                let forbids = table.level > 0 && entry & NO_EXECUTE != 0 && entry & arch.present != 0;
                let no_execute = table.no_execute || forbids;
                walked.no_execute |= no_execute;
                let mut from = table.from;
                let below = match self.leaf_or_table(level, entry, at, lowest, no_execute) {
                    Next::Page(page) => {
                        let entry_at = table.place.map(|place| place.wrapping_add(number.wrapping_mul(8)));
                        let plausible = page.plausible && of_user;
                        visit(UserPage { entry_at, table: from, plausible, ..page });
                        continue;
                    }
                    Next::Table(at) if seen.insert((at, table.level)) => {
                        read_table(self.memory(), at).map(|bytes| (bytes, Some(at)))
                    }
                    Next::Supplied(bytes, origin) => {
                        from = Some(origin);
                        Some((bytes, None))
                    }
                    Next::Table(_) | Next::Nothing => continue,
                    Next::Lost => None,
                };
                if open.len().saturating_add(walked.tables) >= room {
                    walked.end = walked.end.max(ListEnd::Limit);
                    continue;
                }
                match below {
                    Some((bytes, place)) => {
                        let level = table.level.saturating_add(1);
                        open.push(Table { bytes, place, level, first: at, no_execute, from });
                    }
                    None => walked.end = walked.end.max(ListEnd::Broken),
                }
            }
        }
        walked
    }

    /// Which entry of the top table leads to an address.
    pub(crate) fn top_entry(&self, at: VirtualAddress) -> u64 {
        self.architecture().level(0).map_or(0, |top| (at.0 >> top.shift) & 511)
    }

    /// The entries of the user half of another top table that lead to a table, and elsewhere than those of this one. `None`: one of the two
    /// is not in memory. Rights in the top table are not compared: the table that the kernel keeps for itself forbids to execute user memory.
    pub(crate) fn other_user_entries(&self, other: PhysicalAddress) -> Option<HashSet<u64>> {
        let arch = self.architecture();
        let leads_to = |entry: u64| (entry & arch.present != 0).then_some(entry & arch.frame);
        let (own, other) = (read_table(self.memory(), self.root())?, read_table(self.memory(), other)?);
        let ((own, _), (other, _)) = (own.as_chunks::<8>(), other.as_chunks::<8>());
        let pairs = own.iter().zip(other).map(|(own, other)| (u64::from_le_bytes(*own), u64::from_le_bytes(*other)));
        let half = own.len() / 2;
        let differs = |(own, other): (u64, u64)| leads_to(other).is_some() && leads_to(own) != leads_to(other);
        Some(pairs.take(half).zip(0u64..).filter(|(pair, _)| differs(*pair)).map(|(_, slot)| slot).collect())
    }

    fn leaf_or_table(&self, level: &Level, entry: u64, at: u64, lowest: bool, no_execute: bool) -> Next {
        let arch = self.architecture();
        let at = VirtualAddress(at);
        let page = |spot, executable, writable| {
            Next::Page(UserPage {
                at,
                spot,
                bytes: 1u64.wrapping_shl(level.shift),
                executable,
                writable,
                entry,
                entry_at: None,
                table: None,
                plausible: entry & arch.present == 0 || entry & USER != 0,
            })
        };
        if entry & arch.present != 0 {
            return match arch.present(entry, level) {
                Present::Page(physical) => page(Spot::Mapped(physical), !no_execute, entry & (WRITTEN | WRITE) != 0),
                // User mode comes to nothing through an entry that is the kernel's.
                Present::Table(_) if entry & USER == 0 => Next::Lost,
                Present::Table(table) => Next::Table(table),
            };
        }
        let (executable, writable) = rights(entry);
        match self.ptes().form(entry) {
            Form::Transition(physical) if lowest => page(Spot::Transition(physical), executable, writable),
            Form::Transition(table) => Next::Table(table),
            Form::PageFile { number, index } if lowest => page(Spot::PageFile { number, index }, executable, writable),
            Form::PagedOut if lowest => page(Spot::PagedOut, executable, writable),
            Form::DemandZero if lowest => page(Spot::DemandZero, executable, writable),
            Form::Prototype(_) if lowest => page(Spot::Shared, executable, writable),
            Form::PageFile { number, index } => match self.supply_table(at, number, index) {
                Ok((bytes, origin)) => Next::Supplied(Box::new(*bytes), origin),
                Err(_) => Next::Lost,
            },
            Form::PagedOut => Next::Lost,
            // Only VADs know those pages.
            _ => Next::Nothing,
        }
    }
}

enum Next {
    Page(UserPage),
    Table(PhysicalAddress),
    Supplied(Box<[u8; PAGE_BYTES]>, Origin),
    Nothing,
    Lost,
}

fn read_table(memory: &dyn PhysicalMemory, at: PhysicalAddress) -> Option<Box<[u8; PAGE_BYTES]>> {
    let mut bytes = Box::new([0u8; PAGE_BYTES]);
    (memory.read(at, bytes.as_mut_slice()) == PAGE_BYTES).then_some(bytes)
}

/// Whether most of the present entries of a table are such as user memory has: user mode can reach what they map, which is nowhere that
/// no machine has memory, and what no other of them maps.
fn is_mostly_of_user(entries: impl Iterator<Item = u64>, present: u64, frame: u64) -> bool {
    let mut met = HashSet::new();
    let (mut sane, mut odd) = (0usize, 0usize);
    for entry in entries.filter(|entry| entry & present != 0) {
        let is_sane = entry & USER != 0 && entry & NO_FRAME == 0 && met.insert(entry & frame);
        let count = if is_sane { &mut sane } else { &mut odd };
        *count = count.saturating_add(1);
    }
    odd == 0 || sane > odd
}

/// Whether a page holds something else than entries of user pages: it was given to another while memory was copied.
fn is_torn(entries: impl Iterator<Item = u64>, present: u64) -> bool {
    let odd = |entry: &u64| entry & present != 0 && (entry & USER == 0 || entry & NO_FRAME != 0);
    entries.filter(odd).count() > MAX_ODD
}
