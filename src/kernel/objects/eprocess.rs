//! `_EPROCESS`.

use super::file_object;
use crate::kernel::layouts::EprocessLayout;
use crate::kernel::view::{View, fast_ref, pointer};
use crate::kernel::{Kernel, ObjectTypes, SectionFile, list_both_ways, text};
use crate::location::{DataLocation, Location};
use crate::memory::AddressSpace;
use crate::symbols::{Bits, Embedded, Field, Stored as _, SymbolSource};
use crate::words::words;
use crate::{Absent, Hex, PAGE_SIZE, PhysicalAddress, Reading, Timestamp, VirtualAddress};
use std::collections::HashSet;

words! {
    /// How the `ActiveProcessLinks` of a process hang together. In the active list: whether both walks along it came to the
    /// process. Elsewhere: what the neighbours say that its links name.
    pub enum Links {
        /// Both walks along the active list came to it.
        BothWays = "both_ways",
        /// Only the walk along `Flink` came to it.
        ForwardOnly = "forward_only",
        /// Only the walk along `Blink` came to it.
        BackwardOnly = "backward_only",
        /// Both neighbours point back to it.
        Linked = "linked",
        /// Both neighbours point past it, to each other or to others that point back.
        Bypassed = "bypassed",
        /// It points to itself, as somebody leaves it who takes it off the list.
        Alone = "alone",
        /// Its links are null, as before it is in any list.
        None = "none",
        /// Anything else: a neighbour is gone, or one of them points back and the other does not.
        Stray = "stray",
    }
}

/// One process object.
#[derive(Clone, Debug)]
pub struct Eprocess<'k> {
    kernel: &'k Kernel<'k>,
    view: View<'k>,
}

/// `_KOBJECTS.ProcessObject`, the value of `DISPATCHER_HEADER.Type` (wdm.h).
pub(crate) const PROCESS_OBJECT: u8 = 3;
/// `_KOBJECTS.ThreadObject`.
pub(crate) const THREAD_OBJECT: u8 = 6;
/// More processes than a list of them has.
const MAX_PROCESSES: usize = 1 << 18;
/// Ids of sessions are counted from 0, one for each logon: no machine comes near this.
const MAX_SESSION: u32 = 1 << 24;
/// From 24H2 on the symbols do not describe the structure of a session, and the list of its processes lies where it always did on x64.
pub(crate) const SESSION_PROCESSES: u64 = 0x10;
/// Bytes of the kernel's image at most: those of 24H2 have 17 MiB.
const LARGEST_KERNEL: u64 = 32 << 20;
/// Jobs nest a few levels deep.
const MAX_JOBS: usize = 64;

impl<'k> Eprocess<'k> {
    /// Reads the object at `address`.
    #[must_use]
    pub fn read(kernel: &'k Kernel<'k>, address: VirtualAddress) -> Self {
        Self::read_at(kernel, address, None)
    }

    /// The same; `unmapped` is where an object lies that is not mapped at its address any more. What of it lies in the next page is
    /// read where something tells which that is.
    #[must_use]
    pub fn read_at(kernel: &'k Kernel<'k>, address: VirtualAddress, unmapped: Option<PhysicalAddress>) -> Self {
        let size = kernel.layouts().process.size;
        let Some(physical) = unmapped else {
            return Self::of_view(kernel, View::read(kernel.space(), address, size));
        };
        if let Some(behind) = kernel.page_behind(address) {
            return Self::joined(kernel, address, physical, Some(behind));
        }
        let alone = Self::joined(kernel, address, physical, None);
        if alone.is_whole() {
            return alone;
        }
        // One entry of a page table may be lost, and the next one not.
        let mapped = || kernel.space().translate(address.page().checked_add(PAGE_SIZE)?).ok();
        let joined = mapped().map(|behind| Self::joined(kernel, address, physical, Some(behind)));
        joined.filter(|joined| joined.is_one_object(physical.left_in_page())).unwrap_or(alone)
    }

    /// The object that begins at `physical`, and goes on in the page at `behind`, if that is known.
    pub(crate) fn joined(
        kernel: &'k Kernel<'k>,
        address: VirtualAddress,
        physical: PhysicalAddress,
        behind: Option<PhysicalAddress>,
    ) -> Self {
        let size = kernel.layouts().process.size;
        Self::of_view(kernel, View::read_unmapped(kernel.space(), address, physical, behind, size))
    }

    /// The object, with holes where a part of it was lost and zeros or ones stand in its place.
    fn of_view(kernel: &'k Kernel<'k>, view: View<'k>) -> Self {
        let whole = Self { kernel, view };
        let (never_zero, address) = (whole.never_zero(), whole.address());
        // Writers of images of their own leave some fields out, in all processes.
        let is_kept = |offset: u64| {
            let of = |process: VirtualAddress| {
                kernel.space().read_u64(process.wrapping_add(offset)).is_ok_and(|word| word != 0)
            };
            kernel.examples().into_iter().flatten().any(|process| process != address && of(process))
        };
        Self { kernel, view: whole.view.without_blanks(|offset| never_zero.contains(&offset) && is_kept(offset)) }
    }

    /// Where fields lie that are zero in no object such as this one seems to be.
    fn never_zero(&self) -> Vec<u64> {
        let layout = self.layout();
        let heads = [layout.wait_list, layout.profile_list, layout.threads_head, layout.kernel_threads_head];
        // Who is over has left the memory manager's list, and minimal processes need not be in it.
        let in_list = self.exited().value().is_none() && self.minimal().value() != Some(&true);
        let links = layout.mm_links.filter(|_| in_list);
        // The process of the idle threads has none, and is a part of the kernel's image.
        let has_none = self.pid() == Ok(0) && self.created().is_nothing() && self.token().is_nothing();
        let in_image = self.address().0.wrapping_sub(self.kernel.base().0) < LARGEST_KERNEL;
        let ids = Some(layout.pid.offset).filter(|_| has_none && !in_image);
        // System is made when the clock has hardly begun to run.
        let stamp = layout.created_interrupt.filter(|_| self.pid() != Ok(4) && !self.created().is_nothing());
        let stamp = stamp.map(|field| field.offset);
        heads.into_iter().chain([links]).flatten().map(|field| field.offset).chain(ids).chain(stamp).collect()
    }

    /// Whether what lies from `cut` on is a process's too: there are links that no process lacks, and every value is one that a process
    /// can have.
    fn is_one_object(&self, cut: u64) -> bool {
        let layout = self.layout();
        let tells = [layout.threads_head, Some(layout.links), layout.mm_links].into_iter().flatten();
        let linked = |head: Field<Embedded>| {
            head.offset >= cut
                && self
                    .view
                    .bytes(head.offset, 8)
                    .ok()
                    .and_then(u64::decode)
                    .is_some_and(|to| VirtualAddress(to).is_kernel())
        };
        tells.into_iter().any(linked) && self.has_process_values(|created| Timestamp::plausible(created.0).is_some())
    }

    /// The bytes of the object.
    pub(crate) const fn view(&self) -> &View<'k> {
        &self.view
    }

    pub(crate) const fn kernel(&self) -> &'k Kernel<'k> {
        self.kernel
    }

    pub(crate) fn layout(&self) -> &'k EprocessLayout {
        &self.kernel.layouts().process
    }

    /// Address of the object.
    #[must_use]
    pub const fn address(&self) -> VirtualAddress {
        self.view.address()
    }

    /// Where the object lies in physical memory.
    pub fn physical(&self) -> Reading<PhysicalAddress> {
        self.view.physical().into()
    }

    /// `UniqueProcessId`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn pid(&self) -> Result<u64, Absent> {
        self.view.get(self.layout().pid)
    }

    /// `InheritedFromUniqueProcessId`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn ppid(&self) -> Result<u64, Absent> {
        self.view.get(self.layout().ppid)
    }

    /// True unless what was read cannot be a process: a pid beyond 32 bits or no page-table root, in what does not say by its
    /// type that it is a process; or what does not [lie where it says](Self::is_at_home). The kernel does not need the pid that stands there, and a driver can take the root away for a
    /// while, so that neither makes a process vanish; without a root its links must be those of a process. A root that cannot be
    /// read is no objection: it lies far in front of the rest, often in another page.
    ///
    /// # Errors
    /// The pid cannot be read.
    pub fn is_plausible(&self) -> Result<bool, Absent> {
        let typed = self.object_kind() == Ok(PROCESS_OBJECT);
        let numbered = self.pid()? <= u64::from(u32::MAX) || typed;
        let rooted = self.dtb().map_or(true, |root| !root.is_null());
        Ok(numbered && (rooted || typed && self.has_links()) && self.is_at_home())
    }

    /// True if every value here is one that a process can have, read where nothing says that there is one: what
    /// [`has_ids_and_times`](Self::has_ids_and_times) and [`has_process_links`](Self::has_process_links) ask for, a date of exit or
    /// none, and a name without control characters. What lies in a page that is not there is no objection.
    #[must_use]
    pub fn has_process_values(&self, plausible: impl Fn(Timestamp) -> bool) -> bool {
        let layout = self.layout();
        let exited = layout.exited.and_then(|field| self.view.get(field).ok());
        self.has_ids_and_times(&plausible)
            && exited.is_none_or(|exited| exited == 0 || plausible(Timestamp(exited)))
            && self.view.bytes(layout.name.offset, 15).map_or(true, is_name)
            && self.has_process_links()
    }

    /// True if there is a page-table root, and the links to threads, to other processes and to the token are kernel addresses: what
    /// the kernel itself depends on.
    #[must_use]
    pub fn has_process_links(&self) -> bool {
        self.dtb().map_or(true, |root| !root.is_null()) && self.has_links()
    }

    /// The same without regard to the page-table root.
    pub(crate) fn has_links(&self) -> bool {
        let layout = self.layout();
        let kernel_or = |null: bool, offset: u64| {
            self.view.bytes(offset, 8).ok().and_then(u64::decode).is_none_or(|link| {
                let link = VirtualAddress(link);
                link.is_kernel() || (null && link.is_null())
            })
        };
        let links = |null: bool, offset: u64| kernel_or(null, offset) && kernel_or(null, offset.saturating_add(8));
        // Whoever hides a process may clear its links in the active list, and the token goes at its end.
        layout.threads_head.is_none_or(|head| links(false, head.offset))
            && links(true, layout.links.offset)
            && kernel_or(true, layout.token.offset)
    }

    /// True if the ids are multiples of 4 within 32 bits, there is a page-table root, and `plausible` takes the time of creation
    /// (System has none before Vista). Pid and time must be there.
    #[must_use]
    pub fn has_ids_and_times(&self, plausible: impl Fn(Timestamp) -> bool) -> bool {
        let id = |id: u64| id.is_multiple_of(4) && id <= u64::from(u32::MAX);
        let (Ok(pid), Ok(created)) = (self.pid(), self.view.get(self.layout().created)) else { return false };
        let old = created == 0 && pid == 4 && self.kernel.build().is_ok_and(|build| build < 6000);
        pid != 0
            && id(pid)
            && self.ppid().map_or(true, id)
            && self.dtb().map_or(true, |root| root.0 != 0)
            && (old || plausible(Timestamp(created)))
    }

    /// Whether all of the object could be read.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.view.is_whole()
    }

    /// `Pcb.Header.Type`: 3 in a process object (`ProcessObject`, wdm.h).
    ///
    /// # Errors
    /// The symbols lack it, or it cannot be read.
    pub fn object_kind(&self) -> Result<u8, Absent> {
        self.view.optional(self.layout().header_type, "_KPROCESS.Header.Type")
    }

    /// `ImageFileName`: 15 bytes.
    pub fn name(&self) -> Reading<String> {
        let field = self.layout().name;
        self.view
            .bytes(field.offset, if field.size == 0 { 15 } else { field.size.min(16) })
            .map(text::bytes_as_text)
            .into()
    }

    /// `Pcb.DirectoryTableBase`, without flag bits.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn dtb(&self) -> Result<PhysicalAddress, Absent> {
        Ok(self.kernel.space().with_root(PhysicalAddress(self.view.get(self.layout().dtb)?.0)).root())
    }

    /// The same, if it can be the address of a page table at all.
    ///
    /// # Errors
    /// It cannot be read, is null, or has bits that no physical address has.
    pub fn root(&self) -> Result<PhysicalAddress, Absent> {
        /// The top bit of CR3 tells the processor to keep what it cached; no other lies above a physical address.
        const ADDRESS: u64 = 0x800f_ffff_ffff_ffff;
        let raw = self.view.get(self.layout().dtb)?.0;
        let root = self.dtb()?;
        if root.is_null() || raw & !ADDRESS != 0 {
            return Err(Absent::unparsable(format!("DirectoryTableBase is {raw:#x}, which is no page-table root")));
        }
        Ok(root)
    }

    /// The root of the table that user mode runs on, `UserDirectoryTableBase`. Nothing: it is the same, as where the kernel's half is not
    /// kept from user mode, or the build has no such field.
    pub(crate) fn user_root(&self) -> Reading<PhysicalAddress> {
        let Some(field) = self.layout().user_dtb else { return Reading::Nothing };
        match self.view.get(field) {
            // A value without a place in memory is a mark.
            Ok(raw) => match self.kernel.space().with_root(PhysicalAddress(raw)).root() {
                root if root.is_null() => Reading::Nothing,
                root => Reading::Value(root),
            },
            Err(absent) => Reading::Absent(absent),
        }
    }

    /// The process's own address space.
    ///
    /// # Errors
    /// Its root cannot be read, or is none.
    pub fn space(&self) -> Result<AddressSpace<'k>, Absent> {
        let space = self.kernel.space().with_root(self.root()?);
        // What its VADs know of shared pages. Without them less can be read.
        let vads = self.layout().vad_root.and_then(|field| self.view.get(field).ok());
        Ok(vads.map_or(space, |root| space.with_vads(root)))
    }

    /// Whether its root maps the kernel half as the root does that the kernel is read with: see
    /// [`Kernel::shares_kernel`](crate::kernel::Kernel::shares_kernel).
    pub fn shares_kernel(&self) -> Reading<bool> {
        if self.exited().value().is_some() || self.threads().value() == Some(&0) {
            return Reading::Absent(Absent::not_applicable("it has ended, and its page tables may be another's"));
        }
        self.root().and_then(|root| self.kernel.shares_kernel(root, self.address())).into()
    }

    /// `CreateTime`.
    pub fn created(&self) -> Reading<Timestamp> {
        time(self.view.get(self.layout().created))
    }

    /// `CreateInterruptTime`, in units of 100 ns. Builds before 8.1 have none.
    pub fn created_interrupt(&self) -> Reading<u64> {
        match self.layout().created_interrupt {
            Some(field) => match self.view.get(field) {
                Ok(0) => Reading::Absent(Absent::unparsable("_EPROCESS.CreateInterruptTime is 0")),
                ticks => ticks.into(),
            },
            // Updates of Windows 7 have it, and layouts that were worked out may lack it.
            None if self.kernel.build() == Ok(7601) || self.kernel.symbols().source == SymbolSource::Heuristic => {
                Reading::Absent(Absent::no_symbol("_EPROCESS.CreateInterruptTime"))
            }
            None => self.missing_since(9600, "_EPROCESS.CreateInterruptTime"),
        }
    }

    /// `ExitTime`.
    pub fn exited(&self) -> Reading<Timestamp> {
        time(self.view.optional(self.layout().exited, "_EPROCESS.ExitTime"))
    }

    /// `Peb`.
    pub fn peb(&self) -> Reading<VirtualAddress> {
        pointer(self.view.get(self.layout().peb))
    }

    /// `Token`, without the reference bits.
    pub fn token(&self) -> Reading<VirtualAddress> {
        pointer(self.view.get(self.layout().token).map(|token| fast_ref(token.0)))
    }

    /// Session id: `Session` leads to a structure that has it. From 24H2 on the symbols do not describe that structure
    /// (`_PSP_SESSION_SPACE`), and the id lies at 8 as it always did on x64.
    pub fn session(&self) -> Reading<u32> {
        let read = || {
            let session = self.view.optional(self.layout().session, "_EPROCESS.Session")?;
            if session.is_null() {
                return Ok(None);
            }
            self.is_session(session)?;
            let at = self
                .session_id_at(session)
                .ok_or_else(|| Absent::unparsable(format!("_EPROCESS.Session is {session}")))?;
            // Session space is mapped by processes of the session alone where the kernel's own mapping is gone.
            let id = self.kernel.space().read_u32(at).or_else(|fault| match self.space() {
                Ok(space) => space.read_u32(at).map_err(|_| fault),
                Err(_) => Err(fault),
            })?;
            if id >= MAX_SESSION {
                return Err(Absent::unparsable(format!(
                    "the session at {session} has the id {id:#x}, which none can have"
                )));
            }
            Ok(Some(id))
        };
        read().into()
    }

    /// Whether what `Session` leads to has the head of a list that its neighbours agree with: the list of its processes, in which this
    /// one is. A structure without it is none, and its id is nobody's. Where it cannot be read, nothing speaks against it.
    fn is_session(&self, session: VirtualAddress) -> Result<(), Absent> {
        let layout = self.kernel.layouts().session.as_ref();
        let head = session.wrapping_add(layout.map_or(SESSION_PROCESSES, |layout| layout.processes.offset));
        let own = self.kernel.space();
        let space = match own.read_u64(head) {
            Ok(_) => own,
            Err(_) => self.space()?,
        };
        let (Ok(next), Ok(before)) = (space.read_pointer(head), space.read_pointer(head.wrapping_add(8))) else {
            return Ok(());
        };
        let impossible = |link: VirtualAddress| !link.is_kernel() || !own.architecture().is_canonical(link);
        // Where the symbols do not say where the list lies, its links must be such as a list has, no more.
        let astray = |link: VirtualAddress, offset: u64| {
            layout.is_ok() && own.read_pointer(link.wrapping_add(offset)).is_ok_and(|to| to != head)
        };
        if impossible(next) || impossible(before) || astray(next, 8) && astray(before, 0) {
            let why = format!(
                "no session at {session}: the list of its processes ({next}, {before}) does not come back to it"
            );
            return Err(Absent::unparsable(why));
        }
        Ok(())
    }

    /// Whether this is the object that lies at its address: of the heads of lists in it, which are empty and point to themselves or whose
    /// neighbours point back, one at least agrees. A copy of a process, and what was read from another page, does not: of two objects that
    /// changed places each points to where the other is. What has none of them, or none that can be read, is not told.
    #[must_use]
    pub fn is_at_home(&self) -> bool {
        let layout = self.layout();
        // What those heads lead to lies in other kinds of objects; the entries of two processes may lie alike in their pages.
        let heads = [layout.wait_list, layout.profile_list, layout.threads_head].map(|head| (head, false));
        let entries = [Some(layout.links), layout.mm_links].map(|entry| (entry, true));
        let space = self.kernel.space();
        let agrees = |(field, alike): (Option<Field<Embedded>>, bool)| {
            let field = field?;
            let at = self.view.address_of(field);
            let link = |offset: u64| {
                let bytes = self.view.bytes(field.offset.saturating_add(offset), 8).ok()?;
                u64::decode(bytes).map(VirtualAddress)
            };
            let (next, before) = (link(0)?, link(8)?);
            let points_back = |link: VirtualAddress, offset: u64| {
                link != at
                    && link.is_kernel()
                    && (alike || link.page_offset() != at.page_offset())
                    && space.read_pointer(link.wrapping_add(offset)) == Ok(at)
            };
            Some(next == at && before == at || points_back(next, 8) || points_back(before, 0))
        };
        let mut told = heads.into_iter().chain(entries).filter_map(agrees).peekable();
        told.peek().is_none() || told.any(|agrees| agrees)
    }

    /// Where the id lies in the structure that `Session` leads to.
    fn session_id_at(&self, session: VirtualAddress) -> Option<VirtualAddress> {
        const SESSION_ID: u64 = 8;
        session.checked_add(self.kernel.layouts().session.as_ref().map_or(SESSION_ID, |layout| layout.id.offset))
    }

    fn session_id_data(&self) -> Option<DataLocation> {
        let session = self.session_space().value().copied()?;
        self.kernel.space().locate_data(self.session_id_at(session)?, 4)
    }

    /// Whether it has a 32-bit half.
    pub fn wow64(&self) -> Reading<bool> {
        self.view.optional(self.layout().wow64, "_EPROCESS.WoW64Process").map(|wow64| !wow64.is_null()).into()
    }

    /// `ActiveThreads`.
    pub fn threads(&self) -> Reading<u32> {
        self.view.optional(self.layout().threads, "_EPROCESS.ActiveThreads").into()
    }

    /// `ObjectTable`. Nothing: null, as after its end.
    pub fn handle_table(&self) -> Reading<VirtualAddress> {
        self.optional_pointer(self.layout().handle_table, "_EPROCESS.ObjectTable")
    }

    /// `Session`: the structure of the session it is in. Nothing: in none.
    pub fn session_space(&self) -> Reading<VirtualAddress> {
        self.optional_pointer(self.layout().session, "_EPROCESS.Session")
    }

    /// Where its `ActiveProcessLinks` lead, by its neighbours alone: [`Links::Linked`], [`Links::Bypassed`], [`Links::Alone`],
    /// [`Links::None`] or [`Links::Stray`].
    pub fn neighbours(&self) -> Reading<Links> {
        let field = self.layout().links;
        let at = self.view.address_of(field);
        let space = self.kernel.space();
        let read = || {
            let link = |offset: u64| {
                let bytes = self.view.bytes(offset, 8)?;
                u64::decode(bytes).map(VirtualAddress).ok_or_else(|| Absent::unparsable("a link of less than 8 bytes"))
            };
            let (next, before) = (link(field.offset)?, link(field.offset.saturating_add(8))?);
            if next.is_null() && before.is_null() {
                return Ok(Links::None);
            }
            if next == at && before == at {
                return Ok(Links::Alone);
            }
            if !next.is_kernel() || !before.is_kernel() {
                return Ok(Links::Stray);
            }
            // Where the neighbours point, and what stands there points back to them.
            let (Ok(back), Ok(forth)) = (space.read_pointer(next.wrapping_add(8)), space.read_pointer(before)) else {
                return Ok(Links::Stray);
            };
            let closed =
                || space.read_pointer(back) == Ok(next) && space.read_pointer(forth.wrapping_add(8)) == Ok(before);
            Ok(match (back == at, forth == at) {
                (true, true) => Links::Linked,
                (false, false) if back.is_kernel() && forth.is_kernel() && closed() => Links::Bypassed,
                _ => Links::Stray,
            })
        };
        read().into()
    }

    /// Handles open: `HANDLE_TABLE.HandleCount`, since Windows 8 in its free list.
    pub fn handles(&self) -> Reading<u32> {
        let read = || {
            let table = self.view.optional(self.layout().handle_table, "_EPROCESS.ObjectTable")?;
            if table.is_null() {
                return Ok(None);
            }
            let layouts = self.kernel.layouts();
            let layout = layouts.handle_table.as_ref()?;
            let offset = match (layout.count, layout.free_lists) {
                (Some(count), _) => count.offset,
                (None, Some(lists)) => lists.offset.saturating_add(layouts.free_list.as_ref()?.count.offset),
                (None, None) => return Err(Absent::no_symbol("_HANDLE_TABLE.HandleCount")),
            };
            Ok(Some(self.kernel.space().read_u32(table.wrapping_add(offset))?))
        };
        read().into()
    }

    /// `SeAuditProcessCreationInfo.ImageFileName->Name`.
    pub fn path(&self) -> Reading<String> {
        let read = || {
            let name = self.view.optional(self.layout().audit_name, "_EPROCESS.SeAuditProcessCreationInfo")?;
            if name.is_null() {
                return Ok(None);
            }
            let space = self.kernel.space();
            let path = text::kernel_path(space, name)?;
            // System and minimal processes have no image to be named after.
            if path.is_none() && self.peb().value().is_some() && text::is_none(space, name)? {
                return Err(Absent::unparsable(format!(
                    "UNICODE_STRING at {name} is none that the kernel writes, where an image has its path"
                )));
            }
            Ok(path)
        };
        read().into()
    }

    /// `SectionBaseAddress`.
    pub fn section_base(&self) -> Reading<VirtualAddress> {
        self.optional_pointer(self.layout().section_base, "_EPROCESS.SectionBaseAddress")
    }

    /// `SectionObject`.
    pub fn section(&self) -> Reading<VirtualAddress> {
        self.optional_pointer(self.layout().section, "_EPROCESS.SectionObject")
    }

    /// The file behind the image section: through `SectionObject`, or `ImageFilePointer` where that leads nowhere.
    pub fn section_file(&self) -> Reading<SectionFile> {
        let section = self.section();
        let file: Reading<SectionFile> = match section.known() {
            Ok(Some(section)) => file_object::of_section(self.kernel, *section).into(),
            Ok(None) => Reading::Nothing,
            Err(absent) => Reading::Absent(absent.clone()),
        };
        match self.layout().image_file.map(|field| pointer(self.view.get(field))) {
            Some(Reading::Value(address)) => file.or(file_object::read(self.kernel, address).into()),
            _ => file,
        }
    }

    /// `Protection.Level`. Builds before 8.1 have none.
    pub fn protection(&self) -> Reading<Hex> {
        match self.layout().protection {
            Some(field) => self.view.get(field).map(|level| Hex(u64::from(level))).into(),
            None => self.missing_since(9600, "_EPROCESS.Protection"),
        }
    }

    /// `SignatureLevel`, and `SectionSignatureLevel`. Builds before 8 have neither.
    pub fn signature_levels(&self) -> [Reading<Hex>; 2] {
        let layout = self.layout();
        let fields = [
            (layout.signature_level, "_EPROCESS.SignatureLevel"),
            (layout.section_signature_level, "_EPROCESS.SectionSignatureLevel"),
        ];
        fields.map(|(field, name)| match field {
            Some(field) => self.view.get(field).map(|level| Hex(u64::from(level))).into(),
            None => self.missing_since(9200, name),
        })
    }

    /// `Flags.BreakOnTermination`.
    pub fn critical(&self) -> Reading<bool> {
        self.flag(self.layout().critical, "_EPROCESS.BreakOnTermination")
    }

    /// `Flags3.Minimal`. Builds before 8.1 have none: every process has its user half.
    pub fn minimal(&self) -> Reading<bool> {
        match self.layout().minimal {
            Some(bits) => self.flag(Some(bits), ""),
            None => self.missing_since(9600, "_EPROCESS.Minimal"),
        }
    }

    /// `MitigationFlags.DisableDynamicCode`. Builds before 8.1 have none.
    pub fn dynamic_code_disabled(&self) -> Reading<bool> {
        match self.layout().dynamic_code_disabled {
            Some(bits) => self.flag(Some(bits), ""),
            None => self.missing_since(9600, "_EPROCESS.DisableDynamicCode"),
        }
    }

    /// `Flags4.SessionFirstProcess`. Builds before 24H2 have none.
    pub fn session_first(&self) -> Reading<bool> {
        match self.layout().session_first {
            Some(bits) => self.flag(Some(bits), ""),
            None => self.missing_since(26100, "_EPROCESS.SessionFirstProcess"),
        }
    }

    /// `Pcb.BasePriority`.
    pub fn base_priority(&self) -> Reading<i32> {
        self.view.optional(self.layout().base_priority, "_KPROCESS.BasePriority").map(i32::from).into()
    }

    /// `VadCount`. Builds before 8.1 count ranges elsewhere.
    pub fn vads_counted(&self) -> Reading<u64> {
        match self.layout().vad_count {
            Some(field) => self.view.get(field).into(),
            None => self.missing_since(9600, "_EPROCESS.VadCount"),
        }
    }

    /// `Pcb.InstrumentationCallback`. Nothing: null, as in all processes that nobody watches in this way.
    pub fn instrumentation(&self) -> Reading<VirtualAddress> {
        self.optional_pointer(self.layout().instrumentation, "_KPROCESS.InstrumentationCallback")
    }

    /// The file behind `ImageFilePointer`. Nothing: it is null, or this build has no such field.
    pub fn image_file(&self) -> Reading<SectionFile> {
        let Some(field) = self.layout().image_file else {
            return self.missing_since(10586, "_EPROCESS.ImageFilePointer");
        };
        match pointer(self.view.get(field)) {
            Reading::Value(address) => file_object::read(self.kernel, address).into(),
            Reading::Nothing => Reading::Nothing,
            Reading::Absent(absent) => Reading::Absent(absent),
        }
    }

    /// `DebugPort`.
    pub fn debug_port(&self) -> Reading<VirtualAddress> {
        self.optional_pointer(self.layout().debug_port, "_EPROCESS.DebugPort")
    }

    /// `Win32Process`.
    pub fn win32_process(&self) -> Reading<VirtualAddress> {
        self.optional_pointer(self.layout().win32_process, "_EPROCESS.Win32Process")
    }

    /// `Job`.
    pub fn job(&self) -> Reading<VirtualAddress> {
        self.optional_pointer(self.layout().job, "_EPROCESS.Job")
    }

    /// The job of the server silo around the process: the nearest one with `ServerSiloGlobals` that are not the host's.
    pub fn silo(&self) -> Reading<VirtualAddress> {
        let Some(layout) = self.kernel.layouts().job.as_ref().ok() else {
            return self.missing_since(14393, "_EJOB");
        };
        let Some(globals) = layout.silo_globals else {
            return self.missing_since(14393, "_EJOB.ServerSiloGlobals");
        };
        let host = self.kernel.global("PspHostSiloGlobals").ok();
        let space = self.kernel.space();
        let read = || {
            let mut job = self.view.optional(self.layout().job, "_EPROCESS.Job")?;
            let mut seen = HashSet::new();
            while !job.is_null() {
                if !seen.insert(job) || seen.len() > MAX_JOBS {
                    return Err(Absent::unparsable(format!(
                        "the jobs around job {job} form a circle or a chain too long"
                    )));
                }
                let silo = space.read_pointer(job.wrapping_add(globals.offset))?;
                if !silo.is_null() && Some(silo) != host {
                    return self.is_member_of(job, seen.len() == 1).map(|()| Some(job));
                }
                let Some(parent) = layout.parent else { break };
                job = space.read_pointer(job.wrapping_add(parent.offset))?;
            }
            Ok(None)
        };
        read().into()
    }

    /// Whether a job is one by its object's header, and, where the process is in it itself, whether the process is in a list. Two pages of
    /// zeros with one pointer in them are no container.
    fn is_member_of(&self, job: VirtualAddress, itself: bool) -> Result<(), Absent> {
        if let Ok(types) = ObjectTypes::read(self.kernel) {
            match types.type_of(types.header(job)?)? {
                "Job" => {}
                other => return Err(Absent::unparsable(format!("EPROCESS.Job leads to {job}, which is a {other}"))),
            }
        }
        // Who is over has left the list.
        let Some(links) = self.layout().job_links.filter(|_| itself && self.exited().value().is_none()) else {
            return Ok(());
        };
        let own = self.view.address_of(links);
        let space = self.kernel.space();
        let next = space.read_pointer(own)?;
        if !next.is_kernel() || next == own || space.read_pointer(next.wrapping_add(8)) != Ok(own) {
            return Err(Absent::unparsable(format!("it is in no list of a job, and EPROCESS.Job leads to {job}")));
        }
        Ok(())
    }

    /// Where the fields that checks cite were read, by the record's field names.
    #[must_use]
    pub fn locations(&self) -> Vec<(&'static str, Location)> {
        let layout = self.layout();
        let mut places = vec![
            ("pid", self.view.locate(layout.pid)),
            ("ppid", self.view.locate(layout.ppid)),
            ("name", self.view.locate(layout.name)),
            ("created", self.view.locate(layout.created)),
            ("peb", self.view.locate(layout.peb)),
            ("token", self.view.locate(layout.token)),
            ("dtb", self.view.locate(layout.dtb)),
        ];
        let mut add = |name, place: Option<Location>| places.extend(place.map(|place| (name, place)));
        add("created_interrupt", layout.created_interrupt.map(|field| self.view.locate(field)));
        add("exited", layout.exited.map(|field| self.view.locate(field)));
        add("active_links", Some(self.view.locate(layout.links)));
        add(
            "session",
            layout.session.map(|field| Location { data: self.session_id_data(), ..self.view.locate(field) }),
        );
        add("session_space", layout.session.map(|field| self.view.locate(field)));
        add("image_file", layout.image_file.map(|field| self.view.locate(field)));
        add("instrumentation", layout.instrumentation.map(|field| self.view.locate(field)));
        add("threads", layout.threads.map(|field| self.view.locate(field)));
        add("wow64", layout.wow64.map(|field| self.view.locate_stored(field)));
        let name = |field| text::unicode_string_data(self.kernel.space(), self.view.get(field).ok()?);
        add("path", layout.audit_name.map(|field| Location { data: name(field), ..self.view.locate(field) }));
        add("section_file", layout.section.map(|field| self.view.locate(field)));
        add("section", layout.section.map(|field| self.view.locate(field)));
        add("section_base", layout.section_base.map(|field| self.view.locate(field)));
        add("protection", layout.protection.map(|field| self.view.locate(field)));
        add("section_signature_level", layout.section_signature_level.map(|field| self.view.locate(field)));
        add("critical", layout.critical.map(|bits| self.view.locate_bit(bits)));
        add("dynamic_code_disabled", layout.dynamic_code_disabled.map(|bits| self.view.locate_bit(bits)));
        add("base_priority", layout.base_priority.map(|field| self.view.locate(field)));
        add("debug_port", layout.debug_port.map(|field| self.view.locate(field)));
        add("win32_process", layout.win32_process.map(|field| self.view.locate(field)));
        add("job", layout.job.map(|field| self.view.locate(field)));
        add("vads_counted", layout.vad_count.map(|field| self.view.locate(field)));
        places
    }

    fn optional_pointer(&self, field: Option<Field<VirtualAddress>>, name: &str) -> Reading<VirtualAddress> {
        pointer(self.view.optional(field, name))
    }

    fn flag(&self, bits: Option<Bits>, name: &str) -> Reading<bool> {
        bits.ok_or_else(|| Absent::no_symbol(name)).and_then(|bits| self.view.bits(bits)).map(|bit| bit != 0).into()
    }

    /// What a missing field means: that there is none in a build before `build`, else that the symbols lack it.
    fn missing_since<T>(&self, build: u32, name: &str) -> Reading<T> {
        match self.kernel.build() {
            Ok(this) if this < build => Reading::Nothing,
            _ => Reading::Absent(Absent::no_symbol(name)),
        }
    }
}

impl Kernel<'_> {
    /// Two processes whose objects show what this kernel keeps in them: System and the youngest of the active list.
    fn examples(&self) -> [Option<VirtualAddress>; 2] {
        let youngest = || {
            let last = self.space().read_pointer(self.global("PsActiveProcessHead").ok()?.wrapping_add(8)).ok()?;
            Some(last.wrapping_sub(self.layouts().process.links.offset))
        };
        [self.system(), youngest()]
    }

    /// The first process on the active list with this id. `None`: the list, walked both ways, has none.
    ///
    /// # Errors
    /// The symbols do not name the list.
    pub fn process_of(&self, pid: u64) -> Result<Option<Eprocess<'_>>, Absent> {
        let head = self.global("PsActiveProcessHead")?;
        let links = self.layouts().process.links.offset;
        let list = list_both_ways(self.space(), head, MAX_PROCESSES, VirtualAddress::is_kernel);
        let mut processes = list.entries.iter().map(|entry| Eprocess::read(self, entry.wrapping_sub(links)));
        Ok(processes.find(|process| process.pid() == Ok(pid)))
    }
}

/// Whether an image file can have this name.
fn is_name(name: &[u8]) -> bool {
    !name.iter().take_while(|byte| **byte != 0).any(|byte| *byte < b' ')
}

/// A FILETIME's reading: zero is nothing, and what is no date cannot be one.
pub(crate) fn time(ticks: Result<u64, Absent>) -> Reading<Timestamp> {
    ticks
        .and_then(|ticks| match ticks {
            0 => Ok(None),
            ticks => Timestamp::plausible(ticks)
                .map(Some)
                .ok_or_else(|| Absent::unparsable(format!("{ticks:#x} is no time"))),
        })
        .into()
}
