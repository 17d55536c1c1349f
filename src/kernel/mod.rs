//! The kernel in an image: found, with its layouts, and views of its objects.

mod blank;
mod carved;
mod crash_objects;
pub(crate) mod find;
mod info;
pub(crate) mod layouts;
mod mask;
pub(crate) mod memory_block;
pub(crate) mod objects;
mod page_file_match;
mod page_files;
mod ran_last;
mod root;
pub(crate) mod self_test;
mod singletons;
mod structure;
pub mod text;
pub(crate) mod triage;
pub(crate) mod view;
pub(crate) mod walk;

pub use crash_objects::CrashObjects;
pub use find::choose::OtherSystem;
pub use find::kuser::{KUSER_SHARED_DATA, SharedData};
pub use find::locate::{Candidate, LocateFailure, LocateOptions};
pub use find::pe::PeImage;
pub use find::roots::Way;
pub use info::KernelInfo;
pub use layouts::Layouts;
pub use objects::cmhive::{BlockPlace, Cmhive, HIVE_SIGNATURE, Storage, hive_list, master_hive, registry_process};
pub use objects::code::{AlteredPage, CodeRun, UncomparedPage};
pub use objects::driver::{Driver, DriverList};
pub use objects::eprocess::{Eprocess, Links};
pub(crate) use objects::eprocess::{PROCESS_OBJECT, SESSION_PROCESSES, THREAD_OBJECT};
pub(crate) use objects::file_cache::CachedFile;
pub use objects::file_object::SectionFile;
pub(crate) use objects::file_object::file_of_area;
pub use objects::handles::{Handle, HandleEntry, Handles, handles};
pub use objects::module::{Module, modules};
pub use objects::object::ObjectTypes;
pub use objects::peb::UserHalf;
pub(crate) use objects::processors;
pub(crate) use objects::prototypes::prototype_arrays;
pub use objects::thread::{OtherThreads, Thread, ThreadState, threads};
pub use objects::token::{Privilege, SidAndAttributes, Token, TokenReadings};
pub use objects::vad::{Vad, VadKind, vads};
pub use objects::well_known::{privilege_name, sid_name};
pub use page_file_match::PageFileInfo;
pub(crate) use root::RootLook;
pub use self_test::{FieldCheck, FieldResult, SelfTest};
pub use singletons::Singletons;
pub use structure::known_structures;
pub use triage::{CrashDriver, CrashFacts, TriageDump};
pub use view::{View, fast_ref, pointer};
pub use walk::{Direction, Joined, Walk, WalkEnd, list, list_both_ways, tree};

use crate::discover::data::KernelData;
use crate::discover::globals::{self, FoundGlobals};
use crate::discover::ladder::{self, Known, Place, Sought};
use crate::memory::AddressSpace;
use crate::memory::absent::AbsentPages;
use crate::symbols::{SymbolError, SymbolStore, Symbols};
use crate::{Absent, Error, MemoryImage, PdbInfo, PhysicalAddress, VirtualAddress, Warning};
use find::locate::Located;
use objects::object::TypeTable;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A list of processes longer than this is no list of processes: the largest terminal servers run some ten thousand.
pub(crate) const MAX_LISTED: usize = 1 << 15;

/// A kernel that was found, with its symbols: what every reader of kernel objects starts from.
#[derive(Debug)]
pub struct Kernel<'m> {
    image: &'m MemoryImage,
    space: AddressSpace<'m>,
    absent: AbsentPages,
    /// By the number of a page file: how many pages of the file given for it could be checked, and how many fit.
    page_file_checks: BTreeMap<u32, (usize, usize)>,
    /// Files that are taken for page files by their names alone, by number.
    unchecked: Vec<(u32, String)>,
    base: VirtualAddress,
    pdb: Option<PdbInfo>,
    symbols: Symbols,
    layouts: Layouts,
    shared: Option<SharedData>,
    build: Result<u32, Absent>,
    found_by: String,
    others: Vec<OtherSystem>,
    undecided: Option<String>,
    others_searched: Option<bool>,
    /// System's `_EPROCESS`: it lies where process objects do, which all page tables map alike.
    anchor: Option<VirtualAddress>,
    /// The types of its objects, once somebody asked for them.
    types: OnceLock<Result<TypeTable, Absent>>,
    /// Pages of the kernel that no page table leads to, where something else tells which frame each has.
    pages: BTreeMap<VirtualAddress, PhysicalAddress>,
    warnings: Vec<Warning>,
}

/// Numbers of builds: from XP on, the first whose structures are known, in 16 bits, of which Windows is far from having used all.
const BUILDS: std::ops::Range<u32> = 2600..0xff00;

/// A kernel that was found, before symbols are looked for.
#[derive(Debug)]
pub struct KernelImage<'m>(Located<'m>);

impl KernelImage<'_> {
    /// Image base.
    #[must_use]
    pub const fn base(&self) -> VirtualAddress {
        self.0.found.base
    }

    /// The PDB it needs. `None`: its CodeView record is not there, so that nothing names one.
    #[must_use]
    pub const fn pdb(&self) -> Option<&PdbInfo> {
        self.0.found.pdb.as_ref()
    }

    /// What was odd about finding it.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.0.warnings
    }

    /// The page-table root it was found with.
    #[must_use]
    pub const fn dtb(&self) -> PhysicalAddress {
        self.0.space.root()
    }

    /// The record that documents hold; what takes symbols to know is not in it.
    #[must_use]
    pub fn info(&self) -> KernelInfo {
        KernelInfo {
            base: Some(self.base()),
            dtb: Some(self.dtb()),
            build: self.0.shared.as_ref().map(|shared| shared.build).filter(|build| *build != 0),
            arch: Some("x64".to_owned()),
            pdb: self.pdb().cloned(),
            found_by: Some(self.found_by()),
            others: self.0.others.clone(),
            undecided: self.0.undecided.clone(),
            others_searched: self.0.others_searched,
            absent: absent(self.pdb()),
            ..KernelInfo::default()
        }
    }

    /// Which way led to it.
    #[must_use]
    pub fn found_by(&self) -> String {
        format!("{}; {}", self.0.way, self.0.found.how)
    }
}

/// What is said of a kernel without a PDB.
fn absent(pdb: Option<&PdbInfo>) -> BTreeMap<String, Absent> {
    let why = || Absent::unreadable("the kernel's CodeView record, which names its PDB, is not there");
    pdb.is_none().then(|| ("pdb".to_owned(), why())).into_iter().collect()
}

impl MemoryImage {
    /// Finds the kernel, without symbols where its headers are there.
    ///
    /// # Errors
    /// What was tried, if there is none; or the symbols it would take to find it, if its headers are gone.
    pub fn find_kernel(&self, store: &SymbolStore, options: &LocateOptions<'_>) -> Result<KernelImage<'_>, Error> {
        find::readings::locate_in(self, store, options).map(KernelImage)
    }

    /// Finds the kernel and loads its layouts.
    ///
    /// # Errors
    /// What was tried, if there is no kernel; which symbols are needed, and where they were looked for, if there are none.
    pub fn locate_kernel(&self, store: &SymbolStore) -> Result<Kernel<'_>, Error> {
        self.locate_kernel_with(store, &LocateOptions::default())
    }

    /// The same with a root or a base given by hand, or with progress shown.
    ///
    /// # Errors
    /// As [`locate_kernel`](Self::locate_kernel).
    pub fn locate_kernel_with(&self, store: &SymbolStore, options: &LocateOptions<'_>) -> Result<Kernel<'_>, Error> {
        let found = self.find_kernel(store, options)?;
        let (rivals, parts) = (found.0.rivals.clone(), found.0.parts.clone());
        let mut kernel = Kernel::open(self, found, store)?;
        // The kernel's own list of memory tells where the hole is that a file lacks.
        let reading = kernel.reading_with_all_memory().or_else(|| kernel.reading_by_pages());
        if let Some(reading) = reading {
            self.adopt(reading);
            kernel = Kernel::open(self, self.find_kernel(store, options)?, store)?;
        }
        let alone = rivals.is_empty() && parts.is_empty();
        Ok(if alone { kernel } else { ran_last::settle(kernel, &rivals, &parts, store) })
    }
}

impl<'m> Kernel<'m> {
    /// Loads symbols, and reads what the rest depends on: the true page-table root and the mask of entries not present.
    fn open(image: &'m MemoryImage, found: KernelImage<'m>, store: &SymbolStore) -> Result<Self, Error> {
        let found_by = found.found_by();
        let Located { space, shared, found, others, undecided, others_searched, named, warnings: odd, .. } = found.0;
        let place = Place { space, base: found.base, header: image.hints(), shared: shared.as_ref() };
        let Known { symbols, mut warnings, mask } = match (found.symbols, &found.pdb) {
            (Some(symbols), Some(pdb)) => ladder::named(symbols, pdb, store, place),
            (_, Some(pdb)) => match store.find(pdb, &Layouts::wanted()) {
                Ok(symbols) => ladder::named(symbols, pdb, store, place),
                Err(error) => ladder::from_image(&Sought::new(place), Some(pdb), store, error)?,
            },
            (_, None) => ladder::nameless(store, place)?,
        };
        let layouts = Layouts::resolve(&symbols)?;
        let mut kernel = Self {
            image,
            space,
            absent: AbsentPages::default(),
            page_file_checks: BTreeMap::new(),
            unchecked: Vec::new(),
            base: found.base,
            pdb: found.pdb,
            symbols,
            layouts,
            shared,
            build: Err(Absent::not_collected("")),
            found_by,
            others,
            undecided,
            others_searched,
            anchor: None,
            types: OnceLock::new(),
            pages: BTreeMap::new(),
            warnings: odd,
        };
        kernel.warnings.append(&mut warnings);
        let mask = kernel.invalid_pte_mask(mask);
        kernel.space = space.with_ptes(kernel.layouts.ptes(mask));
        kernel.choose_root(&named);
        // Page tables tell where the kernel's own list does not.
        let short = kernel.image_is_short().or_else(|| match kernel.memory_ranges() {
            Ok(_) => None,
            Err(_) => find::readings::ends_early(image, kernel.space.root()),
        });
        if let Some(message) = short.or_else(|| kernel.image_ends_in_a_page()) {
            kernel.warn("image", message);
        }
        kernel.build = kernel.read_build();
        kernel.absent = page_files::absent_pages(&kernel);
        if mask.is_none()
            && let Some(mask) = kernel.mask_of_hive_files()
        {
            kernel.space = kernel.space.with_ptes(kernel.layouts.ptes(Some(mask)));
        }
        Ok(kernel)
    }

    /// The `_EPROCESS` of System: `PsInitialSystemProcess`, or the first of the active list.
    fn system_process(&self) -> Result<VirtualAddress, Absent> {
        let pid = self.layouts.process.pid.offset;
        let kind = self.layouts.process.header_type;
        let typed = |process: &VirtualAddress| {
            kind.is_some_and(|kind| self.space.read_array(process.wrapping_add(kind.offset)) == Ok([PROCESS_OBJECT]))
        };
        let is_system = |process: &VirtualAddress| self.space.read_u64(process.wrapping_add(pid)) == Ok(4);
        let initial = self.global("PsInitialSystemProcess").ok().and_then(|at| self.space.read_pointer(at).ok());
        // Its id may have been written over; the pointer is the kernel's own.
        if let Some(system) = initial.filter(|system| is_system(system) || typed(system)) {
            return Ok(system);
        }
        let first = self.space.read_pointer(self.global("PsActiveProcessHead")?)?;
        Some(first.wrapping_sub(self.layouts.process.links.offset))
            .filter(is_system)
            .ok_or_else(|| Absent::unparsable("neither PsInitialSystemProcess nor the active list leads to pid 4"))
    }

    /// What the shared page says, which counts enablement packages (19045 where `NtBuildNumber` stays 19041); before Windows
    /// 10 it says nothing, and `NtBuildNumber` does.
    fn read_build(&self) -> Result<u32, Absent> {
        match self.shared.as_ref().map(|shared| shared.build).filter(|build| *build != 0) {
            Some(build) => Ok(build & 0xffff),
            None => {
                let at = self.global("NtBuildNumber")?;
                let number = self.space.read_u32(at)?;
                // The top bits say that this is a free build, or a checked one; kernels that debuggers wrote have none.
                if !matches!(number >> 28, 0 | 0xc | 0xf) || !BUILDS.contains(&(number & 0x0fff_ffff)) {
                    return Err(Absent::unparsable(format!(
                        "NtBuildNumber at {at} is {number:#x}, which no build has"
                    )));
                }
                Ok(number & 0xffff)
            }
        }
    }

    fn warn(&mut self, about: &str, message: String) {
        self.warnings.push(Warning::new(about, message));
    }

    /// The image it was found in.
    #[must_use]
    pub const fn image(&self) -> &'m MemoryImage {
        self.image
    }

    /// The kernel's address space, with System's root. It supplies pages that are not in memory too, as far as they can be
    /// had: from the compressed store, and from page files that were [given](Self::with_page_files).
    #[must_use]
    pub const fn space(&self) -> AddressSpace<'_> {
        self.space.with_absent(&self.absent)
    }

    /// Image base.
    #[must_use]
    pub const fn base(&self) -> VirtualAddress {
        self.base
    }

    /// The PDB that the CodeView record names. `None`: the record is not there.
    #[must_use]
    pub const fn pdb(&self) -> Option<&PdbInfo> {
        self.pdb.as_ref()
    }

    /// Other systems in the image.
    #[must_use]
    pub fn others(&self) -> &[OtherSystem] {
        &self.others
    }

    /// Layouts of this kernel's structures.
    #[must_use]
    pub const fn layouts(&self) -> &Layouts {
        &self.layouts
    }

    /// The symbols the layouts came from.
    #[must_use]
    pub const fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// `KUSER_SHARED_DATA`. `None`: it could not be read.
    #[must_use]
    pub const fn shared_data(&self) -> Option<&SharedData> {
        self.shared.as_ref()
    }

    /// What was odd about finding it.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The processes of the active list (`PsActiveProcessHead`), each read when it is asked for, along `Flink`. The iterator
    /// ends where the list does, or where a link cannot be followed; [`System::read`](crate::System::read) walks both ways, asks
    /// the other sources too, and says how each walk ended.
    ///
    /// # Errors
    /// The symbols lack the head of the list.
    pub fn processes(&self) -> Result<impl Iterator<Item = Eprocess<'_>>, SymbolError> {
        let links = self.layouts.process.links.offset;
        let walk = Walk::new(self.space, self.global("PsActiveProcessHead")?, Direction::Forward, MAX_LISTED);
        Ok(walk.map(move |entry| Eprocess::read(self, entry.wrapping_sub(links))))
    }

    /// Address of a global.
    ///
    /// # Errors
    /// The symbols lack it.
    pub fn global(&self, name: &str) -> Result<VirtualAddress, SymbolError> {
        self.symbols.global(name).map(|offset| self.base.wrapping_add(offset))
    }

    /// Build number without its flag bits: 7601, 19045, 26100.
    ///
    /// # Errors
    /// `NtBuildNumber` cannot be read, and the shared page does not say it (it does since Windows 10).
    pub fn build(&self) -> Result<u32, &Absent> {
        self.build.as_ref().copied()
    }

    /// `NtBuildLabEx`, or `NtBuildLab` where there is none: up to 256 bytes of text.
    fn lab(&self) -> Option<String> {
        ["NtBuildLabEx", "NtBuildLab"].iter().find_map(|name| {
            let mut bytes = [0u8; 256];
            let (read, _) = self.space.read_some(self.global(name).ok()?, &mut bytes);
            text::bytes_as_text(bytes.get(..read)?)
        })
    }

    /// What the image itself tells of the kernel's globals, whatever the symbols say of them: for kernels without symbols, and to
    /// hold the two against each other.
    #[must_use]
    pub fn globals_in_image(&self) -> FoundGlobals {
        globals::find(self.space, &KernelData::read(self.space, self.base), &self.layouts, self.image.hints())
    }

    /// The record that documents hold.
    #[must_use]
    pub fn info(&self) -> KernelInfo {
        let mut absent = absent(self.pdb.as_ref());
        let memory = self.memory_ranges().map_err(|why| absent.insert("memory_runs".to_owned(), why));
        KernelInfo {
            base: Some(self.base),
            dtb: Some(self.space.root()),
            build: self.build.as_ref().ok().copied(),
            arch: Some("x64".to_owned()),
            pdb: self.pdb.clone(),
            symbols: Some(self.symbols.source.name().to_owned()),
            symbols_file: self.symbols.file.as_ref().map(|file| file.display().to_string()),
            symbols_notes: self.symbols.notes.clone(),
            lab: self.lab(),
            found_by: Some(self.found_by.clone()),
            page_files: if self.absent.has_list() { self.page_files() } else { Vec::new() },
            others: self.others.clone(),
            undecided: self.undecided.clone(),
            others_searched: self.others_searched,
            memory_runs: memory.unwrap_or_default(),
            memory_pages: self.shared.as_ref().map(|shared| shared.physical_pages),
            absent,
        }
    }
}

impl From<SymbolError> for Absent {
    fn from(error: SymbolError) -> Self {
        Self::from(&error)
    }
}
