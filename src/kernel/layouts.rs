//! Every structure that is read, with the C names of its fields. Nothing else spells them.

use crate::VirtualAddress;
pub(crate) use crate::memory::{
    ControlAreaLayout, MappedVadLayout, PagingFileLayout, PartitionLayout, SoftwarePteLayout, SubsectionLayout,
    VadLayout, VisiblePartitionLayout,
};
use crate::symbols::layout::layout;
use crate::symbols::{Bits, Embedded, Field, First, Natural, SymbolError, Symbols, Wanted};

layout! {
    /// `_EPROCESS` and the `_KPROCESS` at its start.
    pub struct EprocessLayout = "_EPROCESS" {
        /// Page-table root: an array in NT 5.2, of which the first is the root.
        dtb: Field<First> = "Pcb.DirectoryTableBase",
        /// Root of the table that user mode runs on (KVA shadow, 2018 on): 0 or 1 where there is none of its own.
        user_dtb: Option<Field<u64>> = "Pcb.UserDirectoryTableBase",
        /// Base priority.
        base_priority: Option<Field<i8>> = "Pcb.BasePriority",
        /// Process id.
        pid: Field<u64> = "UniqueProcessId",
        /// Links of the active list.
        links: Field<Embedded> = "ActiveProcessLinks",
        /// Creator's process id.
        ppid: Field<u64> = "InheritedFromUniqueProcessId",
        /// Short name of the image.
        name: Field<Embedded> = "ImageFileName",
        /// Creation time.
        created: Field<u64> = "CreateTime",
        /// Interrupt time when it was created (8.1 on, and updated 7): no step of the clock moves it.
        created_interrupt: Option<Field<u64>> = "CreateInterruptTime",
        /// The mark of the process that opened a session (24H2 on).
        session_first: Option<Bits> = "SessionFirstProcess",
        /// Exit time: nothing in those that run, so that it is not always told where it lies in a build that nobody knows.
        exited: Option<Field<u64>> = "ExitTime",
        /// Process environment block.
        peb: Field<VirtualAddress> = "Peb",
        /// Access token, as a fast reference.
        token: Field<Natural> = "Token",
        /// Handle table.
        handle_table: Option<Field<VirtualAddress>> = "ObjectTable",
        /// Session structure.
        session: Option<Field<VirtualAddress>> = "Session",
        /// Threads that have not exited.
        threads: Option<Field<u32>> = "ActiveThreads",
        /// 32-bit half of a process.
        wow64: Option<Field<VirtualAddress>> = "WoW64Process" | "Wow64Process",
        /// The kernel's path of the image.
        audit_name: Option<Field<VirtualAddress>> = "SeAuditProcessCreationInfo.ImageFileName",
        /// Section of the image.
        section: Option<Field<VirtualAddress>> = "SectionObject",
        /// Where the section is mapped.
        section_base: Option<Field<VirtualAddress>> = "SectionBaseAddress",
        /// File of the image (Windows 10 1511 on).
        image_file: Option<Field<VirtualAddress>> = "ImageFilePointer",
        /// Protection level (8.1 on).
        protection: Option<Field<u8>> = "Protection.Level",
        /// How well its program has to be signed (8 on).
        signature_level: Option<Field<u8>> = "SignatureLevel",
        /// The same of what it loads.
        section_signature_level: Option<Field<u8>> = "SectionSignatureLevel",
        /// Ending it ends the system.
        critical: Option<Bits> = "BreakOnTermination",
        /// No image, no user half (8.1 on).
        minimal: Option<Bits> = "Minimal",
        /// Arbitrary code guard (8.1 on).
        dynamic_code_disabled: Option<Bits> = "MitigationFlagsValues.DisableDynamicCode" | "DisableDynamicCode",
        /// Debugger's port.
        debug_port: Option<Field<VirtualAddress>> = "DebugPort",
        /// The window manager's structure.
        win32_process: Option<Field<VirtualAddress>> = "Win32Process",
        /// Job.
        job: Option<Field<VirtualAddress>> = "Job",
        /// Kind of dispatcher object: 3 for a process.
        header_type: Option<Field<u8>> = "Pcb.Header.Type",
        /// Size of the dispatcher object in units of 4 bytes, cut to 8 bits.
        header_size: Option<Field<u8>> = "Pcb.Header.Size",
        /// Head of those who wait for the process to end.
        wait_list: Option<Field<Embedded>> = "Pcb.Header.WaitListHead",
        /// Where user mode continues after each system call, if somebody wants to be told (Vista on).
        instrumentation: Option<Field<VirtualAddress>> = "Pcb.InstrumentationCallback",
        /// Head of the profile objects.
        profile_list: Option<Field<Embedded>> = "Pcb.ProfileListHead",
        /// Head of the threads.
        threads_head: Option<Field<Embedded>> = "ThreadListHead",
        /// Head of the threads as the scheduler keeps them.
        kernel_threads_head: Option<Field<Embedded>> = "Pcb.ThreadListHead",
        /// Links of the processes of a session.
        session_links: Option<Field<Embedded>> = "SessionProcessLinks",
        /// Links of the memory manager's list of processes.
        mm_links: Option<Field<Embedded>> = "MmProcessLinks",
        /// Links of the processes of a job.
        job_links: Option<Field<Embedded>> = "JobLinks",
        /// Root of the address ranges: a node's address (8.1 on), or the right child of a node that is only the head.
        vad_root: Option<Field<VirtualAddress>> = "VadRoot.Root" | "VadRoot.BalancedRoot.RightChild",
        /// Number of address ranges (8.1 on).
        vad_count: Option<Field<u64>> = "VadCount",
        /// The same before.
        vad_elements: Option<Bits> = "VadRoot.NumberGenericTableElements",
    }
}

layout! {
    /// `_KPROCESS`: its size tells a process among dispatcher objects.
    pub struct KprocessLayout = "_KPROCESS" {}
}

layout! {
    /// `_ETHREAD` and the `_KTHREAD` at its start.
    pub struct EthreadLayout = "_ETHREAD" {
        /// Links of the process's threads.
        links: Field<Embedded> = "ThreadListEntry",
        /// Links of the process's threads as the scheduler keeps them.
        kernel_links: Option<Field<Embedded>> = "Tcb.ThreadListEntry",
        /// Thread id.
        tid: Field<u64> = "Cid.UniqueThread",
        /// Id of the process it belongs to.
        pid: Field<u64> = "Cid.UniqueProcess",
        /// Where it started, in ntdll as a rule.
        start: Field<VirtualAddress> = "StartAddress",
        /// Where its creator said that it starts.
        win32_start: Option<Field<VirtualAddress>> = "Win32StartAddress",
        /// Creation time.
        created: Field<u64> = "CreateTime",
        /// Exit time, in a union with links that live threads use.
        exited: Field<u64> = "ExitTime",
        /// What the scheduler does with it.
        state: Option<Field<u8>> = "Tcb.State",
        /// The process it belongs to (7 on); before, the one it runs in.
        process: Option<Field<VirtualAddress>> = "Tcb.Process" | "Tcb.ApcState.Process",
        /// Kind of dispatcher object: 6 for a thread.
        header_type: Option<Field<u8>> = "Tcb.Header.Type",
        /// Head of those who wait for the thread to end.
        wait_list: Option<Field<Embedded>> = "Tcb.Header.WaitListHead",
        /// It has ended, or is about to.
        terminated: Option<Bits> = "Terminated",
        /// Ending it ends the system.
        critical: Option<Bits> = "BreakOnTermination",
        /// The process whose memory it uses.
        attached: Option<Field<VirtualAddress>> = "Tcb.ApcState.Process",
    }
}

layout! {
    /// `_KPRCB`: one processor.
    pub struct KprcbLayout = "_KPRCB" {
        /// The thread that it runs.
        current: Field<VirtualAddress> = "CurrentThread",
        /// The thread that it runs next.
        next: Field<VirtualAddress> = "NextThread",
    }
}

layout! {
    /// `_OBJECT_HEADER`.
    pub struct ObjectHeaderLayout = "_OBJECT_HEADER" {
        /// Index of its type (7 on).
        type_index: Field<u8> = "TypeIndex",
        /// Which of the optional headers lie in front of it.
        info_mask: Field<u8> = "InfoMask",
        /// The object.
        body: Field<Embedded> = "Body",
    }
}

layout! {
    /// `_OBJECT_HEADER_CREATOR_INFO`: the optional header next to the object's own.
    pub struct CreatorInfoLayout = "_OBJECT_HEADER_CREATOR_INFO" {}
}

layout! {
    /// `_OBJECT_HEADER_NAME_INFO`: the optional header in front of that.
    pub struct NameInfoLayout = "_OBJECT_HEADER_NAME_INFO" {
        /// Name in its directory.
        name: Field<Embedded> = "Name",
        /// Directory.
        directory: Option<Field<VirtualAddress>> = "Directory",
    }
}

layout! {
    /// `_OBJECT_TYPE`.
    pub struct ObjectTypeLayout = "_OBJECT_TYPE" {
        /// Name: `Process`.
        name: Field<Embedded> = "Name",
        /// Its own index in the table of types.
        index: Field<u8> = "Index",
    }
}

layout! {
    /// `_HANDLE_TABLE_ENTRY`.
    pub struct HandleEntryLayout = "_HANDLE_TABLE_ENTRY" {
        /// Object, with flags in its low 3 bits (up to 7).
        object: Option<Field<VirtualAddress>> = "Object",
        /// Object, without its high and its low 4 bits (8 on).
        object_bits: Option<Bits> = "ObjectPointerBits",
        /// Access (up to 7).
        access: Option<Field<u32>> = "GrantedAccess",
        /// Access (8 on).
        access_bits: Option<Bits> = "GrantedAccessBits",
    }
}

layout! {
    /// `_EJOB`.
    pub struct JobLayout = "_EJOB" {
        /// Links of all jobs.
        links: Option<Field<Embedded>> = "JobLinks",
        /// Head of its processes.
        processes: Option<Field<Embedded>> = "ProcessListHead",
        /// The job around this one.
        parent: Option<Field<VirtualAddress>> = "ParentJob",
        /// What a server silo's job has (1607 on).
        silo_globals: Option<Field<VirtualAddress>> = "ServerSiloGlobals",
    }
}

layout! {
    /// `_TOKEN`.
    pub struct TokenLayout = "_TOKEN" {
        /// Who made it: 8 bytes of text.
        source: Field<Embedded> = "TokenSource",
        /// Its own id.
        id: Field<u64> = "TokenId",
        /// The logon's id.
        authentication_id: Field<u64> = "AuthenticationId",
        /// Privileges present (Vista on).
        present: Option<Field<u64>> = "Privileges.Present",
        /// Privileges enabled.
        enabled: Option<Field<u64>> = "Privileges.Enabled",
        /// Privileges enabled when it was made.
        default: Option<Field<u64>> = "Privileges.EnabledByDefault",
        /// Session id.
        session: Field<u32> = "SessionId",
        /// Number of SIDs.
        sid_count: Field<u32> = "UserAndGroupCount",
        /// The SIDs.
        sids: Field<VirtualAddress> = "UserAndGroups",
        /// Primary or impersonation.
        kind: Field<Natural> = "TokenType",
        /// Which of the SIDs is the integrity label (Vista on).
        integrity_index: Option<Field<u32>> = "IntegrityLevelIndex",
    }
}

layout! {
    /// `_PEB`.
    pub struct PebLayout = "_PEB" {
        /// Image base.
        image_base: Field<VirtualAddress> = "ImageBaseAddress",
        /// Modules.
        ldr: Field<VirtualAddress> = "Ldr",
        /// Parameters.
        parameters: Field<VirtualAddress> = "ProcessParameters",
    }
}

layout! {
    /// `_RTL_USER_PROCESS_PARAMETERS`.
    pub struct ParametersLayout = "_RTL_USER_PROCESS_PARAMETERS" {
        /// Image path.
        image_path: Field<Embedded> = "ImagePathName",
        /// Command line.
        command_line: Field<Embedded> = "CommandLine",
        /// Environment block.
        environment: Field<VirtualAddress> = "Environment",
        /// Its size in bytes (Vista on).
        environment_size: Option<Field<u64>> = "EnvironmentSize",
    }
}

layout! {
    /// `_PEB_LDR_DATA`.
    pub struct LdrLayout = "_PEB_LDR_DATA" {
        /// Head of the modules in load order.
        load_order: Field<Embedded> = "InLoadOrderModuleList",
    }
}

layout! {
    /// `_LDR_DATA_TABLE_ENTRY`.
    pub struct LdrEntryLayout = "_LDR_DATA_TABLE_ENTRY" {
        /// Links in load order.
        load_order: Field<Embedded> = "InLoadOrderLinks",
        /// Where the module is mapped.
        base: Field<VirtualAddress> = "DllBase",
        /// Where the loader calls it.
        entry_point: Option<Field<VirtualAddress>> = "EntryPoint",
        /// Size of the image.
        image_size: Field<u32> = "SizeOfImage",
        /// Path.
        full_name: Field<Embedded> = "FullDllName",
        /// File name.
        base_name: Field<Embedded> = "BaseDllName",
    }
}

layout! {
    /// `_MM_SESSION_SPACE`.
    pub struct SessionLayout = "_MM_SESSION_SPACE" {
        /// Session id.
        id: Field<u32> = "SessionId",
        /// Head of the session's processes.
        processes: Field<Embedded> = "ProcessList",
    }
}

layout! {
    /// `_HANDLE_TABLE`.
    pub struct HandleTableLayout = "_HANDLE_TABLE" {
        /// Address of the table's page, and in its low 2 bits the number of levels above the entries.
        code: Field<u64> = "TableCode",
        /// Links of all handle tables.
        links: Option<Field<Embedded>> = "HandleTableList",
        /// The process it was made for.
        owner: Option<Field<VirtualAddress>> = "QuotaProcess",
        /// Handles open (up to 7).
        count: Option<Field<u32>> = "HandleCount",
        /// Free lists, which count since 8.
        free_lists: Option<Field<Embedded>> = "FreeLists",
    }
}

layout! {
    /// `_HANDLE_TABLE_FREE_LIST`.
    pub struct FreeListLayout = "_HANDLE_TABLE_FREE_LIST" {
        /// Handles open.
        count: Field<u32> = "HandleCount",
    }
}

layout! {
    /// `_SECTION` (10 on).
    pub struct SectionLayout = "_SECTION" {
        /// Control area, in a union with tag bits.
        control_area: Field<VirtualAddress> = "u1.ControlArea",
    }
}

layout! {
    /// `_SECTION_OBJECT` (up to 8.1).
    pub struct SectionObjectLayout = "_SECTION_OBJECT" {
        /// Segment.
        segment: Field<VirtualAddress> = "Segment",
    }
}

layout! {
    /// `_SEGMENT`.
    pub struct SegmentLayout = "_SEGMENT" {
        /// Control area.
        control_area: Field<VirtualAddress> = "ControlArea",
    }
}

layout! {
    /// `_FILE_OBJECT`.
    pub struct FileObjectLayout = "_FILE_OBJECT" {
        /// 5 in every file object.
        kind: Field<u16> = "Type",
        /// The device that the file is on.
        device: Option<Field<VirtualAddress>> = "DeviceObject",
        /// What few file objects have beside: a transaction, among others (Vista on).
        extension: Option<Field<VirtualAddress>> = "FileObjectExtension",
        /// Name on the volume.
        name: Field<Embedded> = "FileName",
        /// The file goes when its last handle does.
        delete_pending: Field<u8> = "DeletePending",
        /// `_SECTION_OBJECT_POINTERS` of the file, which all who open it share.
        sections: Option<Field<VirtualAddress>> = "SectionObjectPointer",
    }
}

layout! {
    /// `_SECTION_OBJECT_POINTERS`: what of a file is in memory.
    pub struct SectionPointersLayout = "_SECTION_OBJECT_POINTERS" {
        /// Control area of the file as data.
        data: Field<VirtualAddress> = "DataSectionObject",
        /// What the cache manager has of it.
        cache_map: Field<VirtualAddress> = "SharedCacheMap",
    }
}

layout! {
    /// `_SHARED_CACHE_MAP`: which views the cache manager has of a file.
    pub struct CacheMapLayout = "_SHARED_CACHE_MAP" {
        /// Bytes of the file that views can have.
        section_size: Field<Natural> = "SectionSize",
        /// Pointers to the views, 256 KiB of the file each; of long files, pointers to arrays of them.
        vacbs: Field<VirtualAddress> = "Vacbs",
    }
}

layout! {
    /// `_VACB`: one view of a file.
    pub struct VacbLayout = "_VACB" {
        /// Where it is mapped.
        base: Field<VirtualAddress> = "BaseAddress",
        /// The cache map that it belongs to.
        cache_map: Field<VirtualAddress> = "SharedCacheMap",
    }
}

layout! {
    /// `_MI_SYSTEM_INFORMATION` (10 1709 on).
    pub struct MiSystemLayout = "_MI_SYSTEM_INFORMATION" {
        /// What is set in entries that are not present.
        invalid_pte_mask: Option<Field<u64>> = "Hardware.InvalidPteMask",
    }
}

layout! {
    /// `_CMHIVE` and the `_HHIVE` at its start.
    pub struct CmhiveLayout = "_CMHIVE" {
        /// `HIVE_SIGNATURE`.
        signature: Field<u32> = "Hive.Signature",
        /// Header of the hive file.
        base_block: Field<VirtualAddress> = "Hive.BaseBlock",
        /// Two `_DUAL`: stable and volatile.
        storage: Field<Embedded> = "Hive.Storage",
        /// Minor version of the format.
        version: Option<Field<u32>> = "Hive.Version",
        /// Links of the hive list.
        links: Field<Embedded> = "HiveList",
        /// Path of the file, by device.
        file_full_path: Option<Field<Embedded>> = "FileFullPath",
        /// Path of the file, as it was given.
        file_user_name: Option<Field<Embedded>> = "FileUserName",
        /// Where the hive is mounted (Vista on).
        root_path: Option<Field<Embedded>> = "HiveRootPath",
        /// Handle to the section of its file, where that is mapped (10 1803 on).
        view_section: Option<Field<VirtualAddress>> = "Hive.ViewMap.SectionReference",
        /// Its file (7, and 10 up to 1709).
        file_object: Option<Field<VirtualAddress>> = "FileObject" | "Hive.ViewMap.FileObject",
        /// Handles to its file and to those of its logs.
        file_handles: Option<Field<Embedded>> = "FileHandles",
        /// Which 512 bytes of its stable bins were written to since they were last written to a log.
        dirty: Option<Field<Embedded>> = "Hive.DirtyVector",
        /// Which are in a log, and not yet in its file (8.1 on).
        unreconciled: Option<Field<Embedded>> = "Hive.UnreconciledVector",
    }
}

layout! {
    /// `_CM_KEY_BODY`: what a handle to a key leads to.
    pub struct KeyBodyLayout = "_CM_KEY_BODY" {
        /// The key that is open.
        block: Field<VirtualAddress> = "KeyControlBlock",
    }
}

layout! {
    /// `_CM_KEY_CONTROL_BLOCK`: one key that somebody has open, or has open a key below.
    pub struct KeyBlockLayout = "_CM_KEY_CONTROL_BLOCK" {
        /// That of the key above.
        parent: Field<VirtualAddress> = "ParentKcb",
        /// Its name.
        name: Field<VirtualAddress> = "NameBlock",
    }
}

layout! {
    /// `_RTL_BITMAP`.
    pub struct BitmapLayout = "_RTL_BITMAP" {
        /// How many bits it has.
        bits: Field<u32> = "SizeOfBitMap",
        /// Where they are.
        buffer: Field<VirtualAddress> = "Buffer",
    }
}
layout! {
    /// `_DUAL`: one storage of a hive.
    pub struct DualLayout = "_DUAL" {
        /// Its length in bytes.
        length: Field<u32> = "Length",
        /// Directory of the map.
        map: Field<VirtualAddress> = "Map",
        /// The map's only table, where there is one only; the directory is this field then.
        small_dir: Field<VirtualAddress> = "SmallDir",
    }
}

layout! {
    /// `_HMAP_ENTRY`: where one block of a hive lies.
    pub struct HmapEntryLayout = "_HMAP_ENTRY" {
        /// Address of the block (up to 8.1).
        block_address: Option<Field<u64>> = "BlockAddress",
        /// The block's distance from the start of its bin (10 on).
        block_offset: Option<Field<u64>> = "BlockOffset",
        /// Address of the bin, and flags (10 on).
        permanent_bin: Option<Field<u64>> = "PermanentBinAddress",
        /// Address of the bin while it is mapped for a moment (10 up to 1709).
        temporary_bin: Option<Field<u64>> = "TemporaryBinAddress",
    }
}

/// Globals that are read.
const GLOBALS: &[&str] = &[
    "CmpHiveListHead",
    "CmpMasterHive",
    "CmpRegistryProcess",
    "PsActiveProcessHead",
    "PsInitialSystemProcess",
    "PsLoadedModuleList",
    "NtBuildNumber",
    "NtBuildLab",
    "NtBuildLabEx",
    "KeBootTime",
    "MiState",
    "MiInvalidPteMask",
    "MiSystemPartition",
    "MmPagingFile",
    "MmNumberOfPagingFiles",
    "MmPhysicalMemoryBlock",
    "?SmGlobals@@3U_SM_GLOBALS@@A",
    "PspHostSiloGlobals",
    "PspCidTable",
    "HandleTableListHead",
    "PsIdleProcess",
    "KiProcessorBlock",
    "ObTypeIndexTable",
    "ObHeaderCookie",
];

macro_rules! layouts {
    ($($(#[$doc:meta])* $field:ident: $layout:ident,)*) => {
        /// All layouts of one kernel. Processes cannot be read without the first; each other is there or says what is missing.
        #[derive(Debug)]
        pub struct Layouts {
            /// `_EPROCESS`.
            pub process: EprocessLayout,
            $($(#[$doc])* pub $field: Result<$layout, SymbolError>,)*
        }

        impl Layouts {
            /// What has to be loaded from a symbol file.
            #[must_use]
            pub fn wanted() -> Wanted {
                let structures = [
                    (EprocessLayout::STRUCTURE, EprocessLayout::FIELDS),
                    $(($layout::STRUCTURE, $layout::FIELDS),)*
                ];
                Wanted {
                    types: structures.iter().map(|(structure, _)| *structure).collect(),
                    fields: structures
                        .iter()
                        .flat_map(|(structure, fields)| fields.iter().map(|field| (*structure, *field)))
                        .collect(),
                    globals: GLOBALS.to_vec(),
                }
            }

            /// Finds every field.
            ///
            /// # Errors
            /// `_EPROCESS` lacks a field that nothing can be done without.
            pub fn resolve(symbols: &Symbols) -> Result<Self, SymbolError> {
                Ok(Self { process: EprocessLayout::resolve(symbols)?, $($field: $layout::resolve(symbols),)* })
            }
        }
    };
}

layouts! {
    /// `_EJOB`.
    job: JobLayout,
    /// `_TOKEN`.
    token: TokenLayout,
    /// `_PEB`.
    peb: PebLayout,
    /// `_RTL_USER_PROCESS_PARAMETERS`.
    parameters: ParametersLayout,
    /// `_PEB_LDR_DATA`.
    ldr: LdrLayout,
    /// `_LDR_DATA_TABLE_ENTRY`.
    ldr_entry: LdrEntryLayout,
    /// `_MM_SESSION_SPACE`.
    session: SessionLayout,
    /// `_HANDLE_TABLE`.
    handle_table: HandleTableLayout,
    /// `_HANDLE_TABLE_FREE_LIST`.
    free_list: FreeListLayout,
    /// `_SECTION`.
    section: SectionLayout,
    /// `_SECTION_OBJECT`.
    section_object: SectionObjectLayout,
    /// `_SEGMENT`.
    segment: SegmentLayout,
    /// `_CONTROL_AREA`.
    control_area: ControlAreaLayout,
    /// `_FILE_OBJECT`.
    file_object: FileObjectLayout,
    /// `_MI_SYSTEM_INFORMATION`.
    mi_system: MiSystemLayout,
    /// `_KPROCESS`.
    kprocess: KprocessLayout,
    /// `_ETHREAD`.
    thread: EthreadLayout,
    /// `_KPRCB`.
    kprcb: KprcbLayout,
    /// `_OBJECT_HEADER`.
    object_header: ObjectHeaderLayout,
    /// `_OBJECT_HEADER_CREATOR_INFO`.
    creator_info: CreatorInfoLayout,
    /// `_OBJECT_HEADER_NAME_INFO`.
    name_info: NameInfoLayout,
    /// `_OBJECT_TYPE`.
    object_type: ObjectTypeLayout,
    /// `_HANDLE_TABLE_ENTRY`.
    handle_entry: HandleEntryLayout,
    /// `_MMVAD_SHORT`.
    vad: VadLayout,
    /// `_MMVAD`.
    mapped_vad: MappedVadLayout,
    /// `_SUBSECTION`.
    subsection: SubsectionLayout,
    /// `_MMPTE_SOFTWARE`.
    software_pte: SoftwarePteLayout,
    /// `_MMPAGING_FILE`.
    paging_file: PagingFileLayout,
    /// `_MI_PARTITION`.
    partition: PartitionLayout,
    /// `_MI_VISIBLE_PARTITION`.
    visible_partition: VisiblePartitionLayout,
    /// `_SECTION_OBJECT_POINTERS`.
    section_pointers: SectionPointersLayout,
    /// `_SHARED_CACHE_MAP`.
    cache_map: CacheMapLayout,
    /// `_VACB`.
    vacb: VacbLayout,
    /// `_CMHIVE`.
    cmhive: CmhiveLayout,
    /// `_CM_KEY_BODY`.
    key_body: KeyBodyLayout,
    /// `_CM_KEY_CONTROL_BLOCK`.
    key_block: KeyBlockLayout,
    /// `_RTL_BITMAP`.
    bitmap: BitmapLayout,
    /// `_DUAL`.
    dual: DualLayout,
    /// `_HMAP_ENTRY`.
    hmap_entry: HmapEntryLayout,
}
