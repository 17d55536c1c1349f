//! What is known about one process, owned and apart from the image it was read from.

use super::Source;
use crate::budget::{Budget, Use, spent};
use crate::kernel::objects::file_object;
use crate::kernel::{Eprocess, Kernel, Links, SectionFile, Token, TokenReadings, UserHalf};
use crate::reading::record;
use crate::{Hex, Location, PhysicalAddress, Reading, Timestamp, VirtualAddress};
use std::borrow::Cow;
use std::collections::BTreeMap;

record! {
    /// One process. Every field is a value, "there is none", or unknown with its reason.
    pub struct Process {
        /// `EPROCESS.UniqueProcessId`. 64 bits wide: a smeared list yields rows with absurd numbers.
        pid: u64,
        /// `EPROCESS.InheritedFromUniqueProcessId`: the creator's pid, which another process may have been given since.
        ppid: u64,
        /// `EPROCESS.ImageFileName` as text: at most 14 characters, bytes that are no text as `\xNN`. Nothing: empty.
        name: String,
        /// Address of the `_EPROCESS`.
        eprocess: VirtualAddress,
        /// The same, on the bus.
        physical: PhysicalAddress,
        /// `KPROCESS.DirectoryTableBase` without its flag bits.
        dtb: PhysicalAddress,
        /// Whether that root maps the kernel half as the root does that the kernel is read with: the entries of the two tables that
        /// lead to the kernel's image, to `KUSER_SHARED_DATA` and to process objects. In Windows all processes share them. Not
        /// applicable where the process has ended.
        shares_kernel: bool,
        /// `EPROCESS.Peb`. Nothing: no user half, or already gone.
        peb: VirtualAddress,
        /// `EPROCESS.CreateTime`. Nothing: zero, as for System before Vista.
        created: Timestamp,
        /// `EPROCESS.CreateInterruptTime`: units of 100 ns from the start of the system to the creation, which no step of the clock moves.
        /// Nothing: zero, or a build without it (before 8.1, but for updated 7).
        created_interrupt: u64,
        /// `EPROCESS.ExitTime`. Nothing: not exited.
        exited: Timestamp,
        /// Session id by `EPROCESS.Session`. Nothing: in no session.
        session: u32,
        /// `EPROCESS.Session`: the structure of the session. Nothing: null, in no session.
        session_space: VirtualAddress,
        /// True for a 32-bit process on a 64-bit system (`EPROCESS.WoW64Process` or `Wow64Process`).
        wow64: bool,
        /// `EPROCESS.ActiveThreads`.
        threads: u32,
        /// Threads that lead to it, have an id in `PspCidTable` and have not ended. Not collected where that table is not whole.
        numbered_threads: u32,
        /// `HANDLE_TABLE.HandleCount`, or the count of free-list users where the build has none. Nothing: no table.
        handles: u32,
        /// `EPROCESS.SeAuditProcessCreationInfo`: the kernel's own path of the image. Nothing: none was recorded.
        path: String,
        /// `PEB.ProcessParameters.ImagePathName`: what the process says of itself.
        peb_path: String,
        /// `PEB.ProcessParameters.CommandLine`.
        command_line: String,
        /// `PEB.ProcessParameters.Environment`, one `NAME=value` each.
        environment: Vec<String>,
        /// `PEB.Ldr` in load order, `FullDllName` of each.
        modules: Vec<String>,
        /// `PEB.ImageBaseAddress`.
        image_base: VirtualAddress,
        /// `EPROCESS.SectionBaseAddress`.
        section_base: VirtualAddress,
        /// SID of the token's user.
        user: String,
        /// SIDs of the token's groups, without the integrity label.
        groups: Vec<String>,
        /// SID of the token's integrity label. Nothing: the token has none, as before Vista.
        integrity: String,
        /// `TOKEN.AuthenticationId`: the LUID of the logon.
        authentication_id: Hex,
        /// `TOKEN.SessionId`.
        token_session: u32,
        /// The rest of the token.
        token: Token,
        /// `EPROCESS.Protection.Level`: signer * 16 + audit * 8 + type. Nothing: this build has no such field.
        protection: Hex,
        /// `EPROCESS.SignatureLevel`: how well its program has to be signed (`SE_SIGNING_LEVEL_*` in the low four bits). Nothing: this build
        /// has no such field.
        signature_level: Hex,
        /// `EPROCESS.SectionSignatureLevel`: the same of what it loads.
        section_signature_level: Hex,
        /// `EPROCESS.Flags.BreakOnTermination`.
        critical: bool,
        /// `EPROCESS.MitigationFlags.DisableDynamicCode`. Nothing: this build has no such flag.
        dynamic_code_disabled: bool,
        /// `EPROCESS.Flags4.SessionFirstProcess`, which by its name marks the process that opened a session. Nothing: this build has no
        /// such flag (before 24H2).
        session_first: bool,
        /// `KPROCESS.BasePriority`.
        base_priority: i32,
        /// `EPROCESS.DebugPort`. Nothing: null.
        debug_port: VirtualAddress,
        /// `KPROCESS.InstrumentationCallback`: where user mode continues after each system call. Nothing: null.
        instrumentation: VirtualAddress,
        /// `EPROCESS.Win32Process`. Nothing: null, no thread ever used the window manager.
        win32_process: VirtualAddress,
        /// `EPROCESS.Job`. Nothing: in no job.
        job: VirtualAddress,
        /// The server silo (container) the process runs in: address of the silo's job. Nothing: the host.
        silo: VirtualAddress,
        /// `EPROCESS.Flags3.Minimal`: a process without image and user half (Registry, MemCompression).
        minimal: bool,
        /// True where the memory of the object was given back, and what is told of it is what has not been written over yet:
        /// the header in front of it says so, or no page table maps it. Not collected without a scan.
        freed: bool,
        /// `EPROCESS.SectionObject`: the image's section. Nothing: null.
        section: VirtualAddress,
        /// Name in the `FILE_OBJECT` of the image section.
        section_file: SectionFile,
        /// The `FILE_OBJECT` behind `EPROCESS.ImageFilePointer`. Nothing: null, or this build has no such field.
        image_file: SectionFile,
        /// How `EPROCESS.ActiveProcessLinks` hang together.
        active_links: Links,
        /// What is in it. Not collected for every process.
        inside: super::Inside,
        ;
        /// The sources that hold this process.
        sources: Vec<Source>,
        /// Where fields were read, by field name: so that the bytes can be looked at in another tool.
        located: BTreeMap<Cow<'static, str>, Location>,
    }
}

/// Bytes that the row of a process takes with nothing but its own fields, as a record and in a document.
const ROW: u64 = 6 << 10;
/// The same of what is told beyond them, before its texts: where each field lies, above all.
const DETAILS: u64 = 18 << 10;
/// A byte of text is there as a record, in a document, and in the buffer that the document is written to.
const COPIES: u64 = 3;
/// A text of its own takes as much besides.
const TEXT: u64 = 96;
/// Processes that Windows cannot run without.
const CORE: [&str; 6] = ["smss.exe", "csrss.exe", "wininit.exe", "winlogon.exe", "services.exe", "lsass.exe"];

impl Process {
    /// Reads one process, as far as the budget goes: all around it, or its own fields alone. `None`: not even those.
    pub(super) fn within(budget: &Budget, kernel: &Kernel<'_>, process: &Eprocess<'_>, source: Source) -> Option<Self> {
        Self::taken(budget, process, source, || Self::read(kernel, process, source))
    }

    /// The same with all around it as `read` has it.
    pub(super) fn taken(
        budget: &Budget,
        process: &Eprocess<'_>,
        source: Source,
        read: impl FnOnce() -> Self,
    ) -> Option<Self> {
        let name = process.name();
        let named = |core: &&str| name.value().is_some_and(|name| name.eq_ignore_ascii_case(core));
        let core = process.pid() == Ok(4) || CORE.iter().any(named);
        let (rows, details) = if core { (Use::Core, Use::Core) } else { (Use::Rows, Use::Details) };
        budget.take(ROW, rows).ok()?;
        if !budget.is_spent(details) {
            let whole = read();
            if budget.take(whole.cost(), details).is_ok() {
                return Some(whole);
            }
        }
        Some(Self::bare(process, source))
    }

    /// What is told of it beyond its own fields, in bytes.
    fn cost(&self) -> u64 {
        let bytes = |text: &String| u64::try_from(text.len()).unwrap_or(u64::MAX).saturating_mul(COPIES);
        let texts = |texts: &Vec<String>| texts.iter().map(|text| bytes(text).saturating_add(TEXT)).sum();
        let one = [&self.path, &self.peb_path, &self.command_line, &self.user, &self.integrity];
        let several = [&self.environment, &self.modules, &self.groups];
        let sids = self.token.value().into_iter().flat_map(|token| &token.sids).map(|sid| {
            // With its attributes, on five lines of a document.
            bytes(&sid.sid).saturating_add(4 * TEXT)
        });
        let one = one.into_iter().filter_map(Reading::value).map(bytes);
        let several = several.into_iter().filter_map(Reading::value).map(texts);
        one.chain(several).chain(sids).fold(DETAILS, u64::saturating_add)
    }

    /// The process by its own fields alone: who it is, and whether it runs.
    fn bare(process: &Eprocess<'_>, source: Source) -> Self {
        let mut bare = Self {
            pid: process.pid().into(),
            ppid: process.ppid().into(),
            name: process.name(),
            eprocess: Reading::Value(process.address()),
            physical: process.physical(),
            created: process.created(),
            exited: process.exited(),
            session: process.session(),
            threads: process.threads(),
            minimal: process.minimal(),
            active_links: Self::links(process, source),
            sources: vec![source],
            ..Self::default()
        };
        bare.path = Reading::Absent(spent());
        bare.peb_path = Reading::Absent(spent());
        bare
    }

    /// The walk that makes the list says it of those that it came to.
    fn links(process: &Eprocess<'_>, source: Source) -> Reading<Links> {
        if source == Source::ActiveList { Reading::default() } else { process.neighbours() }
    }

    /// Reads one process from every structure around it.
    pub(super) fn read(kernel: &Kernel<'_>, process: &Eprocess<'_>, source: Source) -> Self {
        let user_half = UserHalf::read(kernel, process);
        let token = TokenReadings::read(kernel, &process.token());
        let mut located: BTreeMap<Cow<'static, str>, Location> = process
            .locations()
            .into_iter()
            .chain(user_half.locations)
            .chain(token.locations)
            .map(|(name, place)| (Cow::Borrowed(name), place))
            .collect();
        let address = process.address();
        let [signature_level, section_signature_level] = process.signature_levels();
        let section_file = process.section_file();
        if let Some(place) = located.get_mut("section_file") {
            place.data = section_file.value().and_then(|file| file_object::name_data(kernel, file.address));
        }
        Self {
            pid: process.pid().into(),
            ppid: process.ppid().into(),
            name: process.name(),
            eprocess: Reading::Value(address),
            physical: process.physical(),
            dtb: process.root().into(),
            shares_kernel: process.shares_kernel(),
            peb: process.peb(),
            created: process.created(),
            created_interrupt: process.created_interrupt(),
            exited: process.exited(),
            session: process.session(),
            session_space: process.session_space(),
            wow64: process.wow64(),
            threads: process.threads(),
            numbered_threads: Reading::default(),
            handles: process.handles(),
            path: process.path(),
            peb_path: user_half.path,
            command_line: user_half.command_line,
            environment: user_half.environment,
            modules: user_half.modules,
            image_base: user_half.image_base,
            section_base: process.section_base(),
            user: token.user,
            groups: token.groups,
            integrity: token.integrity,
            authentication_id: token.authentication_id,
            token_session: token.session,
            token: token.token,
            protection: process.protection(),
            signature_level,
            section_signature_level,
            critical: process.critical(),
            dynamic_code_disabled: process.dynamic_code_disabled(),
            session_first: process.session_first(),
            base_priority: process.base_priority(),
            debug_port: process.debug_port(),
            instrumentation: process.instrumentation(),
            win32_process: process.win32_process(),
            job: process.job(),
            silo: process.silo(),
            minimal: process.minimal(),
            freed: Reading::default(),
            section: process.section(),
            section_file,
            image_file: process.image_file(),
            active_links: Self::links(process, source),
            inside: Reading::default(),
            sources: vec![source],
            located,
        }
    }
}
