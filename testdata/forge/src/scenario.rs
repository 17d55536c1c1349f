//! What a machine is: plain data, written down before anything is forged.

use crate::builds::Build;
use crate::hive_plan::HivePlan;
use crate::layout::Layout;
use crate::motion::Stage;
pub use crate::page_plan::{Form, Held, PagePlan, Paged, PagingFile, PrivateCopy, StoreDamage, StorePlan, Way};
use crate::time::Time;
use std::collections::BTreeMap;
use std::ops::Range;

/// A machine to forge.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its kernel.
    pub build: Build,
    /// Decides frame order, cookies and other noise; the same seed gives the same bytes.
    pub seed: u64,
    /// A kernel other than the table's of this build ([`Scenario::of`]).
    pub layout: Option<Layout>,
    /// Symbols of a kernel other than the tables': another PDB id, other places of globals.
    pub symbols: Option<SymbolPlan>,
    /// Physical byte ranges that are memory.
    pub memory: Vec<Range<u64>>,
    /// The kernel image.
    pub kernel: KernelPlan,
    /// Page tables.
    pub paging: PagingPlan,
    /// `NtSystemRoot`, such as `C:\Windows`.
    pub system_root: String,
    /// The device that carries it, such as `\Device\HarddiskVolume3`.
    pub volume: String,
    /// Active processors.
    pub processors: u32,
    /// Client or server.
    pub product: Product,
    /// When the machine was started.
    pub boot: Time,
    /// When the image was taken.
    pub captured: Time,
    /// Bytes of a last, partial page at the end of a raw image.
    pub tail_bytes: u64,
    /// Its processes in list order. The first must be System.
    pub processes: Vec<Proc>,
    /// Registry hives in list order.
    pub hives: Vec<HivePlan>,
    /// Registry keys that processes have open.
    pub open_keys: Vec<OpenKey>,
    /// Handles to objects that stand in directories.
    pub named_objects: Vec<NamedObject>,
    /// Job objects, silos among them.
    pub jobs: Vec<JobPlan>,
    /// By how many milliseconds interrupt time is further than the clock says when a process is made, by id: the clock was set.
    pub interrupt_ahead: BTreeMap<u64, i64>,
    /// How the objects of processes are allocated, by id; the others in a small block.
    pub pool_forms: BTreeMap<u64, PoolForm>,
    /// What is left of processes that are over, and what only looks like one.
    pub relics: Vec<Relic>,
    /// In large images: no zero pages between what is forged.
    pub dense: bool,
    /// The pages with the entry points of images are in memory, beside those with their headers.
    pub entries: bool,
    /// Processes of which a thread runs on a processor (`KPRCB.CurrentThread`), in the order of processors.
    pub on_processors: Vec<u64>,
    /// Whether rings that no known global begins have their head nonetheless: an entry that is no member.
    pub ring_heads: bool,
    /// Whether there is a process of the idle threads, in the ring of address spaces and on a processor.
    pub idle_process: bool,
    /// Page files, the compressed store, sections.
    pub pages: PagePlan,
    /// What is wrong with its memory.
    pub damage: Vec<Damage>,
}

impl Scenario {
    /// The first process with this id.
    ///
    /// # Panics
    /// When there is none.
    pub fn process(&mut self, pid: u64) -> &mut Proc {
        self.processes.iter_mut().find(|p| p.pid == pid).unwrap_or_else(|| panic!("no process {pid}"))
    }
}

/// Where a kernel's globals lie, and which PDB says so.
#[derive(Clone, Debug)]
pub struct SymbolPlan {
    /// GUID of the PDB, 32 hex digits.
    pub guid: String,
    /// Its age.
    pub age: u32,
    /// Globals by name: bytes from the kernel base.
    pub globals: BTreeMap<String, u64>,
}

/// A handle to an object with a name.
#[derive(Clone, Debug)]
pub struct NamedObject {
    /// The process that has it.
    pub pid: u64,
    /// Its type: `Event`, `Mutant`, `Section`, `File`.
    pub kind: &'static str,
    /// From the root of the namespace on, of a file with its device; without a separator in front, the object has that name and is in no
    /// directory.
    pub path: String,
}

/// A handle to a registry key.
#[derive(Clone, Debug)]
pub struct OpenKey {
    /// Whose handle it is.
    pub pid: u64,
    /// The key, from the root on: `\REGISTRY\MACHINE\SOFTWARE`.
    pub path: String,
}

/// A job object.
#[derive(Clone, Debug)]
pub struct JobPlan {
    /// `JobId`, a multiple of 4 that no process has.
    pub id: u32,
    /// The silo's service session, if the job is a server silo.
    pub silo_session: Option<u32>,
}

/// How a kernel object is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolForm {
    /// In a small block, whose header has the tag of the object's type.
    Block,
    /// The same, with these optional headers between (`InfoMask`: 1 creator, 2 name, 4 handle, 8 quota, 0x10 process).
    Headers(u8),
    /// The same, with another tag.
    Tag([u8; 4]),
    /// In pages of its own, without a pool header.
    Big,
    /// In a segment heap (19H1 on), whose blocks have encoded headers and may cross pages: the object begins so many bytes into a
    /// page (a multiple of 16).
    Segment {
        /// Bytes from the start of the page.
        at: u64,
    },
}

/// A process object that is not, or no longer, one.
#[derive(Clone, Debug)]
pub struct Relic {
    /// What it was.
    pub process: Proc,
    /// How it was allocated.
    pub form: PoolForm,
    /// What became of it.
    pub remains: Remains,
}

/// What is left of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// All: it is only in no list.
    Whole,
    /// All but its type: the object was freed.
    Freed,
    /// All, in a pool block that is marked as free.
    FreeBlock,
    /// Freed, and no page table maps it.
    Unmapped,
    /// Freed, and written over from its name on.
    HalfOverwritten,
    /// Nothing: what is around it is there, and other bytes in its place.
    OtherContent,
    /// All, and another frame holds a copy of its page.
    Copy,
}

/// One thing that is wrong with memory. Processes are named by id; if an id is used twice, the first in order is meant.
#[derive(Clone, Debug)]
pub enum Damage {
    /// The forward link of a process leads elsewhere (an unmapped address tears the list).
    TornFlink {
        /// Whose link.
        pid: u64,
        /// Where it leads.
        to: u64,
    },
    /// The backward link of a process leads elsewhere.
    TornBlink {
        /// Whose link.
        pid: u64,
        /// Where it leads.
        to: u64,
    },
    /// The list runs from one process back to an earlier one and never to its head.
    ListCycle {
        /// The last before the list turns back.
        from: u64,
        /// Where it turns back to.
        to: u64,
    },
    /// `PsActiveProcessHead` holds these instead.
    ListHead {
        /// Forward.
        flink: u64,
        /// Backward.
        blink: u64,
    },
    /// The page that holds the start of an `_EPROCESS` is in this state.
    EprocessPage {
        /// Whose.
        pid: u64,
        /// The state.
        state: Paged,
    },
    /// The frame that holds the start of an `_EPROCESS` is not in the image.
    EprocessHole {
        /// Whose.
        pid: u64,
    },
    /// The page that holds the start of a `_TOKEN` is in this state.
    TokenPage {
        /// Whose.
        pid: u64,
        /// The state.
        state: Paged,
    },
    /// Frames that are not in the image.
    PhysicalHole {
        /// First address.
        from: u64,
        /// End.
        to: u64,
    },
    /// A field of every thread of a process holds this.
    ThreadField {
        /// Whose threads.
        pid: u64,
        /// The field's path in `_ETHREAD`.
        path: &'static str,
        /// What it holds.
        value: u64,
    },
    /// The same, the address of another process.
    ThreadOwner {
        /// Whose threads.
        pid: u64,
        /// The field's path in `_ETHREAD`.
        path: &'static str,
        /// Whose address it holds.
        owner: u64,
    },
    /// The headers in front of a process and of its threads say that they were freed.
    HeadersFreed {
        /// Whose.
        pid: u64,
    },
    /// `ImageFileName` is another, and so is the kernel's path; none: that leads nowhere.
    Renamed {
        /// Whose.
        pid: u64,
        /// The name.
        name: &'static str,
        /// The path.
        path: Option<&'static str>,
    },
    /// `Job` leads to pages of zeros in which only `ServerSiloGlobals` is not null.
    EmptyJob {
        /// Whose.
        pid: u64,
    },
    /// A field of an `_EPROCESS` holds this.
    Field {
        /// Whose.
        pid: u64,
        /// The field's path.
        path: &'static str,
        /// What it holds.
        value: u64,
    },
}

/// `_NT_PRODUCT_TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// NtProductWinNt.
    Client = 1,
    /// NtProductLanManNt.
    DomainController = 2,
    /// NtProductServer.
    Server = 3,
}

/// How the kernel image lies in memory.
#[derive(Clone, Debug)]
pub struct KernelPlan {
    /// Virtual address of the image.
    pub base: u64,
    /// Which pages carry it.
    pub pages: KernelPages,
    /// Whether its PE headers can be read.
    pub headers: Headers,
    /// What its headers say of its PDB.
    pub codeview: CodeView,
    /// Its block of data for debuggers.
    pub debugger: DebuggerData,
}

/// What the kernel image says of its PDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeView {
    /// GUID and age of the layout, under the usual name.
    Present,
    /// The same under another name.
    Named(String),
    /// There is no debug directory.
    Missing,
}

/// How `KdDebuggerDataBlock` lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebuggerData {
    /// In the clear: Windows 7, a debugger is attached, or a dump is being written.
    Clear,
    /// Encoded, as a running Windows 8 or later keeps it.
    Encoded,
}

/// Page size of the kernel image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelPages {
    /// 4 KiB pages all over memory, only those that hold something.
    Small,
    /// 2 MiB pages, one after the other.
    Large,
    /// One 1 GiB page (needs as much memory in a row).
    Huge,
}

/// State of the page with the kernel's PE headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// Readable.
    Present,
    /// Not in memory: the page-table entry says page file.
    PagedOut,
    /// All zero.
    Zeroed,
}

/// Where and how the page tables lie.
#[derive(Clone, Debug)]
pub struct PagingPlan {
    /// Physical address of System's PML4.
    pub system_dtb: u64,
    /// Which PML4 entry points to the PML4 itself.
    pub self_reference: u16,
    /// Whether a processor start block lies in the first megabyte, and at which physical address.
    pub low_stub: Option<u64>,
    /// Bits that every `DirectoryTableBase` has below the address (PCID; Windows uses 2 with kernel shadowing).
    pub root_flags: u64,
    /// `InvalidPteMask`; 0: none.
    pub invalid_pte_mask: u64,
    /// Levels of page tables: 4, or 5 (LA57).
    pub levels: u8,
}

/// A process.
#[derive(Clone, Debug)]
pub struct Proc {
    /// `UniqueProcessId`.
    pub pid: u64,
    /// `InheritedFromUniqueProcessId`.
    pub ppid: u64,
    /// `ImageFileName`, at most 15 bytes, of any kind.
    pub name: Vec<u8>,
    /// `CreateTime`.
    pub created: Time,
    /// `ExitTime`; an exited process has no threads, no handles and no user memory.
    pub exited: Option<Time>,
    /// Session of `EPROCESS.Session`.
    pub session: Option<u32>,
    /// Its primary token.
    pub token: TokenPlan,
    /// `SeAuditProcessCreationInfo`: an image path, or the bare word of a minimal process.
    pub path: Option<String>,
    /// Its user memory; a minimal process has none.
    pub user: Option<UserPlan>,
    /// `SectionBaseAddress`; none: the image base of `user`.
    pub section_base: Option<u64>,
    /// Whether it runs 32-bit code.
    pub wow64: bool,
    /// Number of threads.
    pub threads: u32,
    /// `Pcb.BasePriority`.
    pub base_priority: u8,
    /// `Protection.Level`, where the build has it.
    pub protection: u8,
    /// `Flags.BreakOnTermination`.
    pub critical: bool,
    /// Whether it is in the list of active processes.
    pub linked: bool,
    /// What its links hold where it is not.
    pub unlinked: Unlinked,
    /// Whether it is in the table of client ids.
    pub in_cid_table: bool,
    /// Other places where the kernel would have it, and where it is not.
    pub absent_from: Vec<Place>,
    /// The job it runs in.
    pub job: Option<u32>,
    /// Runs with the very token object of this process, which must come before it.
    pub shares_token_of: Option<u64>,
    /// Where its threads began; those beyond the list begin in the image.
    pub thread_starts: Vec<u64>,
    /// Handles it has to processes: id and granted access.
    pub opens: Vec<(u64, u32)>,
    /// What has become of it at the moment that is forged.
    pub stage: Stage,
}

/// What `ActiveProcessLinks` of a process hold that is not in the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unlinked {
    /// They point to themselves: taken off with care, so that taking it off again does no harm.
    #[default]
    Alone,
    /// They point where they did: to the neighbours in the list.
    Kept,
    /// Null: it was in no list yet.
    Null,
}

/// Where the kernel keeps a process beside the list of active ones and the table of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The active list, followed forward: its neighbour leads past it.
    Forward,
    /// The active list, followed backward.
    Backward,
    /// The table of client ids, as the owner of its threads.
    ThreadIds,
    /// `MmProcessLinks`.
    MmList,
    /// The list of its session.
    SessionList,
    /// The list of its job.
    JobList,
    /// `HandleTableListHead`.
    HandleTables,
}

/// A primary token.
#[derive(Clone, Debug)]
pub struct TokenPlan {
    /// The user's SID.
    pub user: String,
    /// Groups without the integrity label.
    pub groups: Vec<String>,
    /// SID of the integrity label.
    pub integrity: String,
    /// `AuthenticationId`.
    pub authentication_id: u64,
    /// `SessionId`.
    pub session: u32,
}

/// User memory of a process.
#[derive(Clone, Debug)]
pub struct UserPlan {
    /// `ProcessParameters.ImagePathName`.
    pub path: String,
    /// `ProcessParameters.CommandLine`.
    pub command_line: String,
    /// `PEB.ImageBaseAddress`.
    pub image_base: u64,
    /// Modules in load order: full names; the first is the image.
    pub modules: Vec<String>,
    /// Environment block, `NAME=value`.
    pub environment: Vec<String>,
    /// Modules that are mapped but in no loader list: full names.
    pub unlisted: Vec<String>,
    /// State of the PEB page.
    pub peb: Paged,
    /// State of the page table that maps the PEB, as the directory entry above says (present, transition, or out).
    pub peb_table: Paged,
    /// State of the pages with parameters, environment and loader lists.
    pub parameters: Paged,
    /// State of the page with the image's PE headers.
    pub image: Paged,
    /// Bytes written over pages of images in this process alone, which thereby has pages of its own.
    pub edits: Vec<ImageEdit>,
    /// State of the pages with the libraries' PE headers, for all processes that map them.
    pub libraries: Paged,
    /// Further private memory, beyond PEB and heap.
    pub private: Vec<Private>,
}

/// Bytes written over a page of an image in one process.
#[derive(Clone, Debug)]
pub struct ImageEdit {
    /// Which of the process's modules; 0 is the image.
    pub module: usize,
    /// Where the page begins in it: 0 is the page with the headers, 0x1000 the one with the entry point.
    pub page: u64,
    /// Where in the page.
    pub at: usize,
    /// What is written there.
    pub bytes: Vec<u8>,
    /// State of the page that the process has then.
    pub state: Paged,
}

/// A piece of private memory.
#[derive(Clone, Debug)]
pub struct Private {
    /// First address, on a page.
    pub start: u64,
    /// What is in it; its length, rounded up to pages, is the region's.
    pub bytes: Vec<u8>,
    /// `Protection` of its descriptor: 4 read-write, 6 execute-read-write.
    pub protection: u8,
}

impl Paged {
    /// Whether the page's bytes are in the image, compressed ones among them.
    #[must_use]
    pub fn in_memory(self) -> bool {
        match self {
            Self::Present | Self::Transition | Self::Prototype | Self::PrototypeTransition | Self::Stored(_) => true,
            Self::Section(_, held) => matches!(held, Held::Valid | Held::Transition | Held::Stored(_)),
            Self::Copied(copy) => !matches!(copy, PrivateCopy::Filed(_)),
            _ => false,
        }
    }
}
