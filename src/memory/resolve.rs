//! Where a page is: the walk over page tables, and on from where they end.

use super::absent::VadAnswer;
use super::arch::Present;
use super::fault::{EntryLevel, Fault, PageFileFault, PrototypeFault};
use super::space::AddressSpace;
use super::supplied_table::holds_a_table;
use super::windows_pte::Form;
use crate::addr::PAGE_BYTES;
use crate::{Origin, PAGE_SIZE, PhysicalAddress, VirtualAddress};
use std::sync::Arc;

/// Where the byte at one virtual address is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Where {
    /// In memory, by an entry that is present.
    Physical(PhysicalAddress),
    /// In memory, by an entry in transition.
    Transition(PhysicalAddress),
    /// In memory, shared: by the prototype entry that the table or the VAD names.
    Prototype(PhysicalAddress),
    /// In a page file.
    PageFile {
        /// The number of the page file.
        number: u32,
        /// The number of the page in it.
        index: u64,
    },
    /// In the compressed store, which has a number among the page files.
    VirtualStore {
        /// The number of the store.
        number: u32,
        /// The number of the page in it.
        index: u64,
    },
    /// Nowhere that it could be had from: never mapped, demand-zero, only in its file, not in the image.
    Missing(Fault),
}

impl Where {
    /// Its place in memory. `None`: it is not in memory.
    #[must_use]
    pub const fn physical(&self) -> Option<PhysicalAddress> {
        match self {
            Self::Physical(at) | Self::Transition(at) | Self::Prototype(at) => Some(*at),
            Self::PageFile { .. } | Self::VirtualStore { .. } | Self::Missing(_) => None,
        }
    }
}

/// Where a byte is, and how far the page around it reaches.
pub(super) struct Resolved {
    pub place: Where,
    /// Size of the page in bytes, as a power of two.
    pub shift: u32,
    /// What supplied the last table on the way that is not in memory, if one is not.
    pub table: Option<Origin>,
}

/// The bytes of a page that is not in memory.
pub(super) type PageBytes = Arc<[u8; PAGE_BYTES]>;

/// Lowest bit of an address that tells its page, where pages are smallest.
const PAGE_SHIFT: u32 = PAGE_SIZE.trailing_zeros();

/// A page table: in memory, or supplied.
enum Table {
    Memory(PhysicalAddress),
    Supplied(PageBytes),
}

impl AddressSpace<'_> {
    /// Where the byte at `at` is: by the tables, and by what they leave to prototype entries, VADs and page files. Whether the
    /// image holds the place in memory, or a file was given, is another question.
    #[must_use]
    pub fn resolve(&self, at: VirtualAddress) -> Where {
        self.resolve_page(at).place
    }

    pub(super) fn resolve_page(&self, at: VirtualAddress) -> Resolved {
        let small = |place: Where, table| Resolved { place, shift: PAGE_SHIFT, table };
        let missing = |fault: Fault| small(Where::Missing(fault), None);
        let arch = self.architecture();
        if !arch.is_canonical(at) {
            return missing(Fault::NonCanonical { at });
        }
        let mut table = Table::Memory(self.root());
        let mut from = None;
        for level in arch.levels {
            let entry = match &table {
                Table::Memory(table) => {
                    let slot = arch.slot(level, *table, at);
                    match self.entry(slot) {
                        Some(entry) => entry,
                        None => return missing(Fault::of_memory(self.memory(), at, slot, Some(level.name))),
                    }
                }
                Table::Supplied(bytes) => {
                    let (entries, _) = bytes.as_chunks::<8>();
                    let entry = usize::try_from(arch.index(level, at)).ok().and_then(|index| entries.get(index));
                    u64::from_le_bytes(entry.copied().unwrap_or_default())
                }
            };
            if entry & arch.present != 0 {
                match arch.present(entry, level) {
                    Present::Table(next) => table = Table::Memory(next),
                    Present::Page(page) => {
                        let within = at.0 & 1u64.wrapping_shl(level.shift).wrapping_sub(1);
                        let place = Where::Physical(page.wrapping_add(within));
                        return Resolved { place, shift: level.shift, table: from };
                    }
                }
                continue;
            }
            let form = self.ptes().form(entry);
            if level.name == EntryLevel::Pte {
                return small(self.by_supplied(self.by_form(at, entry, form), from), from);
            }
            // A page with page tables can leave memory like others.
            table = match form {
                Form::Transition(next) => Table::Memory(next),
                Form::PageFile { number, index } => match self.supply_table(at, number, index) {
                    Ok((bytes, origin)) => {
                        from = Some(origin);
                        Table::Supplied(bytes)
                    }
                    Err(fault) => return missing(fault),
                },
                Form::PagedOut => return missing(Fault::PagedOut { at, level: level.name, entry }),
                Form::Zero => return small(self.by_supplied(self.ask_vad(at, level.name, entry), from), from),
                _ => {
                    let nothing = Where::Missing(Fault::NotPresent { at, level: level.name, entry });
                    return small(self.by_supplied(nothing, from), from);
                }
            };
        }
        // The lowest level always gives an answer.
        missing(Fault::NotPresent { at, level: EntryLevel::Pte, entry: 0 })
    }

    /// What a table says that has nothing for an address: one from a page file is of another time, and proves nothing by that.
    fn by_supplied(&self, place: Where, table: Option<Origin>) -> Where {
        match (place, table) {
            (
                Where::Missing(Fault::DemandZero { at, .. } | Fault::NotPresent { at, .. }),
                Some(Origin::PageFile { number, offset }),
            ) => {
                let path = self.absent().and_then(|absent| absent.path_of(*self, number));
                let (offset, why) = (offset.unwrap_or_default(), PageFileFault::NoEntry);
                Where::Missing(Fault::PageFile { at, number, offset, why, path })
            }
            (place, _) => place,
        }
    }

    /// A page table that is not in memory, with what supplies it.
    pub(super) fn supply_table(
        &self,
        at: VirtualAddress,
        number: u32,
        index: u64,
    ) -> Result<(PageBytes, Origin), Fault> {
        let place = self.paged(number, index);
        let bytes = self.supply(at, &place)?;
        // What the store unpacks is of the same time as memory, and proves itself by its length.
        let files = self.absent().and_then(|absent| absent.listed(*self)).map(<[_]>::len);
        if matches!(place, Where::PageFile { .. }) && !holds_a_table(&bytes, self, files, at) {
            let offset = index.saturating_mul(PAGE_SIZE);
            let path = self.absent().and_then(|absent| absent.path_of(*self, number));
            return Err(Fault::PageFile { at, number, offset, why: PageFileFault::NoTable, path });
        }
        Ok((bytes, self.origin_of(at.page(), &place)))
    }

    /// Where the page of a lowest-level entry is that is not present.
    fn by_form(&self, at: VirtualAddress, entry: u64, form: Form) -> Where {
        match form {
            Form::Zero | Form::AskVad => self.ask_vad(at, EntryLevel::Pte, entry),
            Form::Transition(page) => Where::Transition(page.wrapping_add(at.page_offset())),
            Form::PageFile { number, index } => self.paged(number, index),
            Form::PagedOut => Where::Missing(Fault::PagedOut { at, level: EntryLevel::Pte, entry }),
            Form::DemandZero => Where::Missing(Fault::DemandZero { at, entry }),
            Form::Prototype(pointers) => self.shared(at, entry, &pointers),
        }
    }

    /// Where the page `index` of a file is, by the control area that the file has as data. `at`: the address that it stands for.
    pub(crate) fn resolve_file_page(&self, area: VirtualAddress, index: u64, at: VirtualAddress) -> Where {
        let missing = |why| Where::Missing(Fault::Prototype { at, entry: 0, why });
        let found = self.absent().map(|absent| absent.of_area(self.for_kernel_structures(), area, index));
        match found {
            Some(Ok(Some(prototype))) => self.shared(at, 0, &[prototype]),
            Some(Ok(None)) | None => missing(PrototypeFault::NoEntry),
            Some(Err(_)) => missing(PrototypeFault::Unreadable),
        }
    }

    /// The prototype entry of the page `index` of a file, by the control area that the file has as data. `None`: it has none, or it was
    /// not found.
    pub(crate) fn prototype_of_file(&self, area: VirtualAddress, index: u64) -> Option<VirtualAddress> {
        self.absent()?.of_area(self.for_kernel_structures(), area, index).ok()?
    }

    /// Where the page of a prototype entry is.
    pub(crate) fn resolve_prototype(&self, prototype: VirtualAddress) -> Where {
        self.shared(prototype, 0, &[prototype])
    }

    /// The control area of the section that this address space has at `at`, by its VADs.
    pub(crate) fn control_area_at(&self, at: VirtualAddress) -> Option<VirtualAddress> {
        self.absent()?.area_at(self.for_kernel_structures(), self.vad_root()?, at)
    }

    /// A page that a number of a page file names, and an index in it.
    pub(crate) fn paged(&self, number: u32, index: u64) -> Where {
        if self.absent().is_some_and(|absent| absent.is_store(*self, number, index)) {
            Where::VirtualStore { number, index }
        } else {
            Where::PageFile { number, index }
        }
    }

    /// The tables say nothing: the VAD may.
    fn ask_vad(&self, at: VirtualAddress, level: EntryLevel, entry: u64) -> Where {
        let shared = |why| Where::Missing(Fault::Prototype { at, entry, why });
        let nothing = || {
            if entry == 0 {
                Where::Missing(Fault::NotPresent { at, level, entry })
            } else {
                shared(PrototypeFault::NoVads)
            }
        };
        let (Some(absent), Some(root)) = (self.absent(), self.vad_root()) else { return nothing() };
        if at.is_kernel() || !self.allows_prototypes() {
            return nothing();
        }
        match absent.ask_vad(self.for_kernel_structures(), root, at) {
            VadAnswer::Nothing => nothing(),
            VadAnswer::Private => Where::Missing(Fault::DemandZero { at, entry }),
            VadAnswer::Prototype(prototype) => self.shared(at, entry, &[prototype]),
            VadAnswer::Failed(why) => shared(why),
        }
    }

    /// Where the section that is mapped at `at` has its page, whatever the process's own tables say. `None`: no section is, or its entry
    /// for the page is not known.
    pub(crate) fn section_page(&self, at: VirtualAddress) -> Option<Where> {
        let (absent, root) = (self.absent()?, self.vad_root()?);
        match absent.ask_vad(self.for_kernel_structures(), root, at) {
            VadAnswer::Prototype(prototype) => Some(self.shared(at, 0, &[prototype])),
            _ => None,
        }
    }

    /// Where a shared page is, by its prototype entry at the first of `prototypes` that can be read. Such an entry never leads
    /// to another: hostile ones could form a ring.
    fn shared(&self, at: VirtualAddress, entry: u64, prototypes: &[VirtualAddress]) -> Where {
        let missing = |why| Where::Missing(Fault::Prototype { at, entry, why });
        if !self.allows_prototypes() {
            return missing(PrototypeFault::Nested);
        }
        let space = self.for_kernel_structures();
        let mut failed = None;
        for prototype in prototypes.iter().filter(|prototype| prototype.is_kernel()) {
            match space.read_u64(*prototype) {
                Ok(shared) => return self.by_prototype(at, entry, shared),
                Err(fault) => failed = failed.or(Some(fault)),
            }
        }
        match failed {
            // What would help with the entry would help with the page.
            Some(fault) if fault.remedy().is_some() => Where::Missing(fault),
            _ => missing(PrototypeFault::Unreadable),
        }
    }

    /// Where a shared page is, by the content of its prototype entry.
    fn by_prototype(&self, at: VirtualAddress, entry: u64, shared: u64) -> Where {
        let arch = self.architecture();
        let within = at.page_offset();
        if shared & arch.present != 0 {
            return Where::Prototype(PhysicalAddress(shared & arch.frame).wrapping_add(within));
        }
        if let Some(subsection) = self.ptes().subsection(shared) {
            let space = self.for_kernel_structures();
            let file = self.absent().and_then(|absent| absent.file_of(space, subsection));
            return Where::Missing(Fault::FileOnly { at, file });
        }
        match self.ptes().form(shared) {
            Form::Transition(page) => Where::Prototype(page.wrapping_add(within)),
            Form::PageFile { number, index } => self.paged(number, index),
            Form::PagedOut => Where::Missing(Fault::PagedOut { at, level: EntryLevel::Pte, entry: shared }),
            Form::DemandZero => Where::Missing(Fault::DemandZero { at, entry: shared }),
            Form::Zero | Form::AskVad | Form::Prototype(_) => {
                Where::Missing(Fault::Prototype { at, entry, why: PrototypeFault::Empty })
            }
        }
    }
}
