//! What a machine is: plain data, written down before anything is forged.

use crate::builds::Build;
use crate::time::Time;
use std::ops::Range;

/// A machine to forge.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its kernel.
    pub build: Build,
    /// Decides frame order, cookies and other noise; the same seed gives the same bytes.
    pub seed: u64,
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
    /// Its processes in list order. The first must be System.
    pub processes: Vec<Proc>,
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
    /// Whether it is in the table of client ids.
    pub in_cid_table: bool,
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
    /// Whether the PEB page is in memory.
    pub peb: Paged,
    /// Further private memory, beyond PEB and heap.
    pub private: Vec<Private>,
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

/// Where a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paged {
    /// In memory.
    Present,
    /// In the page file.
    Out,
}
