//! Address spaces: reading by virtual address.

use super::fault::Fault;
use super::paging::{self, Step, Translation};
use crate::image::PhysicalMemory;
use crate::{PhysicalAddress, VirtualAddress};
use std::collections::HashSet;
use std::fmt;

/// One address space of the imaged machine: its memory and a page-table root. A handle, free to copy.
#[derive(Clone, Copy)]
pub struct AddressSpace<'m> {
    memory: &'m dyn PhysicalMemory,
    root: PhysicalAddress,
    invalid_pte_mask: u64,
}

impl fmt::Debug for AddressSpace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressSpace").field("root", &self.root).finish_non_exhaustive()
    }
}

/// A piece of an address space that is mapped by one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedRegion {
    /// Its first virtual address.
    pub at: VirtualAddress,
    /// Where it lies in physical memory.
    pub physical: PhysicalAddress,
    /// Its length: 4 KiB, 2 MiB or 1 GiB.
    pub bytes: u64,
}

/// Flag bits of CR3 and of `KPROCESS.DirectoryTableBase` (the low 12: PCID and flags), and what lies above a physical address.
const ROOT: u64 = 0x000f_ffff_ffff_f000;

impl<'m> AddressSpace<'m> {
    /// The x64 address space (4-level) whose PML4 table lies at `root`; flag bits of a CR3 value are ignored.
    pub fn new(memory: &'m dyn PhysicalMemory, root: PhysicalAddress) -> Self {
        Self { memory, root: PhysicalAddress(root.0 & ROOT), invalid_pte_mask: 0 }
    }

    /// The same with the value of `MiState.Hardware.InvalidPteMask`, which Windows 10 1803 and later set in entries that are
    /// not present; without it their transition pages lead astray.
    #[must_use]
    pub const fn with_invalid_pte_mask(self, mask: u64) -> Self {
        Self { invalid_pte_mask: mask, ..self }
    }

    /// The address space of another root on the same system.
    #[must_use]
    pub const fn with_root(self, root: PhysicalAddress) -> Self {
        Self { root: PhysicalAddress(root.0 & ROOT), ..self }
    }

    /// The physical address of the PML4 table.
    #[must_use]
    pub const fn root(&self) -> PhysicalAddress {
        self.root
    }

    /// The physical memory below.
    #[must_use]
    pub const fn memory(&self) -> &'m dyn PhysicalMemory {
        self.memory
    }

    fn walk(&self, at: VirtualAddress) -> Result<Translation, Fault> {
        paging::translate(self.memory, self.root, at, self.invalid_pte_mask)
    }

    /// The physical address of `at`. Whether the image holds it is another question.
    ///
    /// # Errors
    /// Why the walk ended early.
    pub fn translate(&self, at: VirtualAddress) -> Result<PhysicalAddress, Fault> {
        self.walk(at).map(|translation| translation.physical)
    }

    /// Reads from `at` on until `buf` is full or something cannot be read. Returns the number of bytes read, and why it ended
    /// early if it did.
    ///
    /// This is the one read loop: each turn reads within one page, and the room left in that page is computed from the
    /// current address.
    pub fn read_some(&self, at: VirtualAddress, buf: &mut [u8]) -> (usize, Option<Fault>) {
        let mut done = 0usize;
        while done < buf.len() {
            let Some(now) = u64::try_from(done).ok().and_then(|done| at.checked_add(done)) else {
                return (done, Some(Fault::NonCanonical { at: VirtualAddress(u64::MAX) }));
            };
            let Translation { physical, shift } = match self.walk(now) {
                Ok(translation) => translation,
                Err(fault) => return (done, Some(fault)),
            };
            let page = 1u64 << shift;
            let left = page.wrapping_sub(now.0 & page.wrapping_sub(1));
            let end = usize::try_from(left).unwrap_or(usize::MAX).saturating_add(done).min(buf.len());
            let Some(piece) = buf.get_mut(done..end) else { break };
            let read = self.memory.read(physical, piece);
            let short = read < piece.len();
            done = done.saturating_add(read);
            if short {
                let beyond = u64::try_from(read).unwrap_or(0);
                let fault = Fault::NotInImage {
                    at: now.wrapping_add(beyond),
                    needed: physical.wrapping_add(beyond),
                    level: None,
                };
                return (done, Some(fault));
            }
        }
        (done, None)
    }

    /// Fills `buf` from `at` on.
    ///
    /// # Errors
    /// The first address that could not be read, and why.
    pub fn read(&self, at: VirtualAddress, buf: &mut [u8]) -> Result<(), Fault> {
        self.read_some(at, buf).1.map_or(Ok(()), Err)
    }

    /// Reads `N` bytes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_array<const N: usize>(&self, at: VirtualAddress) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.read(at, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads a little-endian 32-bit number.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_u32(&self, at: VirtualAddress) -> Result<u32, Fault> {
        self.read_array(at).map(u32::from_le_bytes)
    }

    /// Reads a little-endian 64-bit number.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_u64(&self, at: VirtualAddress) -> Result<u64, Fault> {
        self.read_array(at).map(u64::from_le_bytes)
    }

    /// Reads a pointer.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_pointer(&self, at: VirtualAddress) -> Result<VirtualAddress, Fault> {
        self.read_u64(at).map(VirtualAddress)
    }

    /// What is mapped in `[from, to)`, in address order. Tables that are not in the image are passed over, and so is a table
    /// that was met before at the same level: hostile tables that lead to one another would make the walk as long as the
    /// address space. For the same reason it ends after 2^23 entries, mapped or not.
    pub fn regions(self, from: VirtualAddress, to: VirtualAddress) -> impl Iterator<Item = MappedRegion> + use<'m> {
        Regions {
            space: self,
            from,
            to,
            left: MAX_ENTRIES,
            seen: HashSet::new(),
            path: vec![Table { at: self.root, level: 0, first: 0, next: 0 }],
        }
    }
}

/// Entries of page tables that one walk over regions looks at: those of 32 GiB in small pages. A system maps a few GiB.
const MAX_ENTRIES: u64 = 1 << 23;

/// A table whose entries are being gone through.
struct Table {
    at: PhysicalAddress,
    level: usize,
    /// The address that its first entry translates, before its sign is extended.
    first: u64,
    /// The next entry: 0 to 512.
    next: u64,
}

/// See [`AddressSpace::regions`].
struct Regions<'m> {
    space: AddressSpace<'m>,
    from: VirtualAddress,
    to: VirtualAddress,
    left: u64,
    seen: HashSet<(PhysicalAddress, usize)>,
    path: Vec<Table>,
}

impl Iterator for Regions<'_> {
    type Item = MappedRegion;

    fn next(&mut self) -> Option<MappedRegion> {
        loop {
            let table = self.path.last_mut()?;
            let span = 1u64 << paging::shift(table.level)?;
            let start = paging::canonical(table.first.wrapping_add(table.next.wrapping_mul(span)));
            if table.next >= 512 || start >= self.to {
                self.path.pop();
                continue;
            }
            let slot = table.at.wrapping_add(table.next.wrapping_mul(8));
            let (level, first) = (table.level, table.first.wrapping_add(table.next.wrapping_mul(span)));
            table.next = table.next.wrapping_add(1);
            if start.0.saturating_add(span.wrapping_sub(1)) < self.from.0 {
                continue;
            }
            self.left = self.left.checked_sub(1)?;
            let Some(entry) = paging::entry(self.space.memory, slot) else { continue };
            match paging::step(entry, level, start, self.space.invalid_pte_mask) {
                Step::Page(physical) => return Some(MappedRegion { at: start, physical, bytes: span }),
                Step::Table(at) => {
                    let level = level.wrapping_add(1);
                    if self.seen.insert((at, level)) {
                        self.path.push(Table { at, level, first, next: 0 });
                    }
                }
                Step::Prototype(_) | Step::Fault(_) => {}
            }
        }
    }
}
