//! Address spaces: reading by virtual address.

use super::absent::AbsentPages;
use super::arch::{AMD64, Architecture, Present};
use super::fault::Fault;
use super::resolve::{PageBytes, Resolved, Where};
use super::windows_pte::{Form, WindowsPte};
use crate::image::PhysicalMemory;
use crate::location::{DataLocation, Location};
use crate::{Origin, PAGE_SIZE, PhysicalAddress, VirtualAddress};
use std::collections::HashSet;
use std::fmt;

/// One address space of the imaged machine: its memory, a page-table root, and what supplies pages that are not in memory. A
/// handle, free to copy.
#[derive(Clone, Copy)]
pub struct AddressSpace<'m> {
    memory: &'m dyn PhysicalMemory,
    arch: &'static Architecture,
    root: PhysicalAddress,
    ptes: WindowsPte,
    absent: Option<&'m AbsentPages>,
    vad_root: Option<VirtualAddress>,
    /// Whether prototype entries are followed: not where one of them is read.
    prototypes: bool,
    /// Whether the compressed store is asked: not where it is read itself.
    store: bool,
}

impl fmt::Debug for AddressSpace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressSpace")
            .field("root", &self.root)
            .field("architecture", &self.arch.name)
            .finish_non_exhaustive()
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

impl<'m> AddressSpace<'m> {
    /// The x64 address space (4-level) whose PML4 table lies at `root`; flag bits of a CR3 value are ignored.
    pub fn new(memory: &'m dyn PhysicalMemory, root: PhysicalAddress) -> Self {
        Self::with_architecture(memory, root, &AMD64)
    }

    /// The address space whose top table lies at `root`; flag bits of the root register are ignored.
    pub fn with_architecture(
        memory: &'m dyn PhysicalMemory,
        root: PhysicalAddress,
        arch: &'static Architecture,
    ) -> Self {
        let root = PhysicalAddress(root.0 & arch.frame);
        let ptes = WindowsPte::default();
        Self { memory, arch, root, ptes, absent: None, vad_root: None, prototypes: true, store: true }
    }

    /// The same with the value of `MiState.Hardware.InvalidPteMask`, which Windows 10 1803 and later set in entries that are
    /// not present; without it their transition pages lead astray.
    #[must_use]
    pub const fn with_invalid_pte_mask(self, mask: u64) -> Self {
        let ptes = WindowsPte { invalid_pte_mask: Some(mask), ..self.ptes };
        Self { ptes, ..self }
    }

    /// The same with all that is known of this kernel's entries that are not present.
    pub(crate) const fn with_ptes(self, ptes: WindowsPte) -> Self {
        Self { ptes, ..self }
    }

    /// The same, which asks `absent` for pages that are not in memory.
    #[must_use]
    pub(crate) const fn with_absent<'a>(self, absent: &'a AbsentPages) -> AddressSpace<'a>
    where
        'm: 'a,
    {
        AddressSpace { absent: Some(absent), ..self }
    }

    /// The same, whose shared pages the VADs below this node tell.
    #[must_use]
    pub const fn with_vads(self, root: VirtualAddress) -> Self {
        Self { vad_root: Some(root), ..self }
    }

    /// The address space of another root on the same system.
    #[must_use]
    pub const fn with_root(self, root: PhysicalAddress) -> Self {
        Self { root: PhysicalAddress(root.0 & self.arch.frame), vad_root: None, ..self }
    }

    /// The same for what tells where pages are: structures that are never shared themselves.
    pub(super) const fn for_kernel_structures(self) -> Self {
        Self { vad_root: None, prototypes: false, ..self }
    }

    /// The same for the compressed store's own parts, which must be had without it.
    pub(super) const fn for_the_store(self) -> Self {
        Self { vad_root: None, prototypes: false, store: false, ..self }
    }

    /// The same without anything that supplies pages.
    pub(super) const fn in_memory_alone(self) -> Self {
        Self { absent: None, vad_root: None, prototypes: false, store: false, ..self }
    }

    /// The processor's mode.
    #[must_use]
    pub const fn architecture(&self) -> &'static Architecture {
        self.arch
    }

    /// The physical address of the top table.
    #[must_use]
    pub const fn root(&self) -> PhysicalAddress {
        self.root
    }

    /// The physical memory below.
    #[must_use]
    pub const fn memory(&self) -> &'m dyn PhysicalMemory {
        self.memory
    }

    pub(super) const fn ptes(&self) -> &WindowsPte {
        &self.ptes
    }

    pub(super) const fn absent(&self) -> Option<&'m AbsentPages> {
        self.absent
    }

    pub(super) const fn vad_root(&self) -> Option<VirtualAddress> {
        self.vad_root
    }

    pub(super) const fn allows_prototypes(&self) -> bool {
        self.prototypes
    }

    pub(super) const fn allows_store(&self) -> bool {
        self.store
    }

    /// Reads the page-table entry at `at`.
    pub(super) fn entry(&self, at: PhysicalAddress) -> Option<u64> {
        let mut bytes = [0u8; 8];
        (self.memory.read(at, &mut bytes) == bytes.len()).then(|| u64::from_le_bytes(bytes))
    }

    /// The entry of the table at the level of `shift` that translates `at`: address spaces with the same one share what lies
    /// below it.
    pub(crate) fn entry_at(&self, at: VirtualAddress, shift: u32) -> Option<u64> {
        let mut table = self.root;
        for level in self.arch.levels {
            let entry = self.entry(self.arch.slot(level, table, at))?;
            if level.shift == shift {
                return Some(entry);
            }
            match self.arch.present(entry, level) {
                Present::Table(next) if entry & self.arch.present != 0 => table = next,
                _ => return None,
            }
        }
        None
    }

    /// The physical address of `at`. Whether the image holds it is another question.
    ///
    /// # Errors
    /// The page is not in memory: why, or what else supplies it.
    pub fn translate(&self, at: VirtualAddress) -> Result<PhysicalAddress, Fault> {
        let place = self.resolve(at);
        match (place.physical(), place) {
            (Some(physical), _) => Ok(physical),
            (None, Where::Missing(fault)) => Err(fault),
            (None, place) => {
                self.supply(at, &place)?;
                Err(Fault::NotInMemory { at, origin: self.origin_of(at, &place) })
            }
        }
    }

    /// What supplies the page of `at`.
    ///
    /// # Errors
    /// Nothing does.
    pub fn origin(&self, at: VirtualAddress) -> Result<Origin, Fault> {
        match self.resolve(at) {
            Where::Missing(fault) => Err(fault),
            place if place.physical().is_some() => Ok(self.origin_of(at, &place)),
            place => self.supply(at, &place).map(|_| self.origin_of(at, &place)),
        }
    }

    /// Where a field at `at` lies, for evidence.
    pub(crate) fn locate(&self, structure: &'static str, field: &'static str, at: VirtualAddress) -> Location {
        let resolved = self.resolve_page(at);
        let (physical, from) = self.place_of(at, &resolved.place);
        Location {
            structure: structure.into(),
            field: field.into(),
            r#virtual: Some(at),
            physical,
            file_offset: physical.and_then(|physical| self.memory().file_offset(physical)),
            dtb: Some(self.root()).filter(|_| !at.is_kernel()),
            from,
            table: resolved.table,
            ..Location::default()
        }
    }

    /// Where `bytes` bytes of a value lie that a field leads to, for evidence. `None`: that is nowhere.
    pub(crate) fn locate_data(&self, at: VirtualAddress, bytes: u64) -> Option<DataLocation> {
        let resolved = self.resolve_page(at);
        let (physical, from) = self.place_of(at, &resolved.place);
        let file_offset = physical.and_then(|physical| self.memory().file_offset(physical));
        Some(DataLocation { r#virtual: at, physical, file_offset, bytes, from: Some(from?), table: resolved.table })
    }

    /// The place in memory of an address that was resolved, if it is there, and what supplies its page, if anything does.
    pub(crate) fn place_of(&self, at: VirtualAddress, place: &Where) -> (Option<PhysicalAddress>, Option<Origin>) {
        let there = match place {
            Where::Missing(_) => false,
            place => place.physical().is_some() || self.supply(at, place).is_ok(),
        };
        (place.physical(), there.then(|| self.origin_of(at, place)))
    }

    /// What a place is part of.
    pub(super) fn origin_of(&self, at: VirtualAddress, place: &Where) -> Origin {
        match place {
            Where::Physical(_) | Where::Missing(_) => Origin::Memory,
            Where::Transition(_) => Origin::Transition,
            Where::Prototype(_) => Origin::Prototype,
            Where::PageFile { number, index } => {
                let page = index.saturating_mul(PAGE_SIZE);
                Origin::PageFile { number: *number, offset: Some(page.saturating_add(at.page_offset())) }
            }
            Where::VirtualStore { number, index } => match self.absent {
                Some(absent) => absent.origin_in_store(*self, *number, *index),
                None => Origin::CompressedStore,
            },
        }
    }

    /// The page around `at`, which is not in memory.
    pub(super) fn supply(&self, at: VirtualAddress, place: &Where) -> Result<PageBytes, Fault> {
        match (place, self.absent) {
            (Where::Missing(fault), _) => Err(fault.clone()),
            (Where::PageFile { number, index }, Some(absent)) => absent.of_page_file(*self, at, *number, *index),
            (Where::PageFile { number, index }, None) => Err(AbsentPages::not_given(at, *number, *index)),
            (Where::VirtualStore { number, index }, Some(absent)) => absent.of_store(*self, at, *number, *index),
            (Where::VirtualStore { .. }, None)
            | (Where::Physical(_) | Where::Transition(_) | Where::Prototype(_), _) => {
                Err(Fault::NotInMemory { at, origin: self.origin_of(at, place) })
            }
        }
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
            let Resolved { place, shift, .. } = self.resolve_page(now);
            let page = 1u64.wrapping_shl(shift);
            let left = page.wrapping_sub(now.0 & page.wrapping_sub(1));
            let end = usize::try_from(left).unwrap_or(usize::MAX).saturating_add(done).min(buf.len());
            let Some(piece) = buf.get_mut(done..end) else { break };
            let (read, fault) = self.read_place(now, &place, piece);
            done = done.saturating_add(read);
            if fault.is_some() {
                return (done, fault);
            }
        }
        (done, None)
    }

    /// Reads from a place that `at` was resolved to; the page around it has all of `piece`. Returns as [`read_some`](Self::read_some).
    pub(crate) fn read_place(&self, at: VirtualAddress, place: &Where, piece: &mut [u8]) -> (usize, Option<Fault>) {
        let Some(physical) = place.physical() else {
            return match self.supply(at, place) {
                Ok(bytes) => {
                    let from = usize::try_from(at.page_offset()).unwrap_or(0);
                    for (to, byte) in piece.iter_mut().zip(bytes.get(from..).unwrap_or_default()) {
                        *to = *byte;
                    }
                    (piece.len(), None)
                }
                Err(fault) => (0, Some(fault)),
            };
        };
        let read = self.memory.read(physical, piece);
        let beyond = u64::try_from(read).unwrap_or(0);
        let fault = (read < piece.len())
            .then(|| Fault::of_memory(self.memory, at.wrapping_add(beyond), physical.wrapping_add(beyond), None));
        (read, fault)
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
        self.leaves(from, to).filter_map(|leaf| match leaf {
            Leaf::Mapped(region) => Some(region),
            Leaf::PagedOut(_) => None,
        })
    }

    /// The addresses of pages in `[from, to)` that are in page files or in the compressed store, in address order, under the same
    /// limits. Shared pages are not among them: other tables than these tell where they are.
    pub(crate) fn paged_out(
        self,
        from: VirtualAddress,
        to: VirtualAddress,
    ) -> impl Iterator<Item = VirtualAddress> + use<'m> {
        self.leaves(from, to).filter_map(|leaf| match leaf {
            Leaf::PagedOut(at) => Some(at),
            Leaf::Mapped(_) => None,
        })
    }

    fn leaves(self, from: VirtualAddress, to: VirtualAddress) -> Leaves<'m> {
        Leaves {
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
    /// The next entry.
    next: u64,
}

/// What an entry without a table below it says.
enum Leaf {
    Mapped(MappedRegion),
    PagedOut(VirtualAddress),
}

/// The entries of page tables that lead to no table. See [`AddressSpace::regions`].
struct Leaves<'m> {
    space: AddressSpace<'m>,
    from: VirtualAddress,
    to: VirtualAddress,
    left: u64,
    seen: HashSet<(PhysicalAddress, usize)>,
    path: Vec<Table>,
}

impl Iterator for Leaves<'_> {
    type Item = Leaf;

    fn next(&mut self) -> Option<Leaf> {
        let arch = self.space.arch;
        loop {
            let table = self.path.last_mut()?;
            let level = arch.level(table.level)?;
            let span = 1u64.wrapping_shl(level.shift);
            let first = table.first.wrapping_add(table.next.wrapping_mul(span));
            let start = arch.canonical(first);
            if table.next >= arch.entries || start >= self.to {
                self.path.pop();
                continue;
            }
            let slot = table.at.wrapping_add(table.next.wrapping_mul(arch.pointer_bytes));
            let below = table.level.saturating_add(1);
            table.next = table.next.wrapping_add(1);
            if start.0.saturating_add(span.wrapping_sub(1)) < self.from.0 {
                continue;
            }
            self.left = self.left.checked_sub(1)?;
            let Some(entry) = self.space.entry(slot) else { continue };
            let lowest = span == PAGE_SIZE;
            let found = if entry & arch.present != 0 {
                arch.present(entry, level)
            } else {
                match self.space.ptes.form(entry) {
                    Form::Transition(frame) if lowest => Present::Page(frame),
                    Form::Transition(frame) => Present::Table(frame),
                    Form::PageFile { .. } | Form::PagedOut if lowest => return Some(Leaf::PagedOut(start)),
                    _ => continue,
                }
            };
            match found {
                Present::Page(physical) => {
                    return Some(Leaf::Mapped(MappedRegion { at: start, physical, bytes: span }));
                }
                Present::Table(at) => {
                    if self.seen.insert((at, below)) {
                        self.path.push(Table { at, level: below, first, next: 0 });
                    }
                }
            }
        }
    }
}
