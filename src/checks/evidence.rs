//! What a rule looked at.

use super::Case;
use crate::location::{DataLocation, Location};
use crate::words::words;
use crate::{Origin, PhysicalAddress, Process, VirtualAddress};
use serde::{Deserialize, Serialize};

words! {
    /// The address space that an address is one of.
    pub enum Space {
        /// The kernel half, which all processes share.
        Kernel = "kernel",
        /// The user half of a process.
        Process = "process",
        /// The user half of the process Registry, in which hives are mapped.
        Registry = "registry",
    }
}

/// One field that a check looked at: enough to look at the same bytes in another tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// The process it belongs to.
    pub pid: Option<u64>,
    /// Path of the registry key it belongs to, from `\REGISTRY` on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// C name of the structure.
    pub structure: String,
    /// C name of the field; of a registry value, the last part of its key's path and its own name: `SubSystems\Required`.
    pub field: String,
    /// Virtual address of the structure, where that of the field is not told.
    pub object: Option<VirtualAddress>,
    /// Virtual address of the field, if the record tells.
    pub r#virtual: Option<VirtualAddress>,
    /// Physical address of the field, if the record tells.
    pub physical: Option<PhysicalAddress>,
    /// Offset of the field in the image file, where the file holds its page as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_offset: Option<u64>,
    /// The address space of `object`, `virtual` and `data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space: Option<Space>,
    /// Root of the page tables of that address space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtb: Option<PhysicalAddress>,
    /// The process that a user half belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_pid: Option<u64>,
    /// Where the value lies, if the field only leads to it. `None`: the field holds it, or it was not found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<DataLocation>,
    /// Where the code lies that it speaks of, in the user half of the process `pid`: where a thread starts, the range or the pages that
    /// can be executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<VirtualAddress>,
    /// What supplied the page it lies in: `memory`, `transition`, `prototype`, `page file 0`, `compressed store`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Origin>,
    /// What supplied the page table that leads to it, or to its value, where that is not in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<Origin>,
    /// What was there. `None`: nothing, or not readable.
    pub value: Option<String>,
    /// It could not be read: it is nobody's word.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
    /// `heuristic`, where the place of the field is not known from symbols of this kernel or build, but was worked out from
    /// the image itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
}

impl Evidence {
    /// One field of a process; `field` is the record's name for it.
    pub(super) fn of_process(process: &Process, field: &str, value: Option<String>) -> Self {
        let (structure, name) = self::field(field);
        let found = process.located.get(field);
        let text = |of: fn(&Location) -> &str, else_: &str| found.map_or(else_, of).to_owned();
        Self {
            pid: process.pid.value().copied(),
            structure: text(|at| &at.structure, structure),
            field: text(|at| &at.field, name),
            unread: value.is_none() && is_absent(process, field),
            value,
            ..Self::default()
        }
        .at(found)
    }

    /// One entry of a list of a process, or all of it where it is not told where the entry lies.
    pub(super) fn of_item(process: &Process, list: &str, number: usize, item: &str) -> Option<Self> {
        let name = format!("{list}[{number}]");
        process.located.contains_key(name.as_str()).then(|| Self::of_process(process, &name, Some(item.to_owned())))
    }

    /// The same with where the field lies.
    pub(super) fn at(self, place: Option<&Location>) -> Self {
        let Some(place) = place else { return self };
        // Who looks there finds the number, and not what follows from it.
        let stored = place.stored.map_or_else(String::new, |stored| match place.bit {
            Some(bit) => format!(" (bit {bit} of {stored})"),
            None => format!(" (stored as {stored})"),
        });
        Self {
            value: self.value.map(|value| value + &stored),
            r#virtual: place.r#virtual,
            physical: place.physical,
            file_offset: place.file_offset,
            dtb: place.dtb,
            data: place.data,
            from: place.from,
            table: place.table.or_else(|| place.data.as_ref()?.table),
            ..self
        }
    }

    /// Names the address space, which follows from the address, and whose it is.
    pub(super) fn name_space(&mut self, case: &Case<'_>) {
        let Some(at) = self.r#virtual.or(self.object).or(self.data.map(|data| data.r#virtual)) else { return };
        if at.is_kernel() {
            self.space = Some(Space::Kernel);
            self.dtb = self.dtb.or_else(|| case.system.kernel.as_ref()?.dtb);
            return;
        }
        if self.key.is_none() {
            (self.space, self.owner_pid) = (Some(Space::Process), self.pid);
            return;
        }
        self.space = Some(Space::Registry);
        let of_root = |process: &&Process| self.dtb.is_some() && process.dtb.value().copied() == self.dtb;
        let owner = case.system.processes.items.iter().find(of_root);
        self.owner_pid = owner.and_then(|owner| owner.pid.value().copied());
    }
}

/// Whether a field of a process was not read.
fn is_absent(process: &Process, field: &str) -> bool {
    let mut is_absent = false;
    process.each_absent(|name, _| is_absent |= name == field);
    is_absent
}

/// Where a record's field comes from when the record does not say itself: structure and field.
fn field(name: &str) -> (&'static str, &str) {
    let known = FIELDS.iter().find(|(field, ..)| *field == name);
    known.map_or(("_EPROCESS", name), |(_, structure, field)| (structure, field))
}

const FIELDS: &[(&str, &str, &str)] = &[
    ("dtb", "_KPROCESS", "DirectoryTableBase"),
    ("active_links", "_EPROCESS", "ActiveProcessLinks"),
    ("pid", "_EPROCESS", "UniqueProcessId"),
    ("ppid", "_EPROCESS", "InheritedFromUniqueProcessId"),
    ("name", "_EPROCESS", "ImageFileName"),
    ("created", "_EPROCESS", "CreateTime"),
    ("created_interrupt", "_EPROCESS", "CreateInterruptTime"),
    ("exited", "_EPROCESS", "ExitTime"),
    ("session_space", "_EPROCESS", "Session"),
    ("image_file", "_EPROCESS", "ImageFilePointer"),
    ("instrumentation", "_KPROCESS", "InstrumentationCallback"),
    ("session", "_EPROCESS", "Session"),
    ("wow64", "_EPROCESS", "WoW64Process"),
    ("threads", "_EPROCESS", "ActiveThreads"),
    ("path", "_EPROCESS", "SeAuditProcessCreationInfo"),
    ("peb_path", "_RTL_USER_PROCESS_PARAMETERS", "ImagePathName"),
    ("command_line", "_RTL_USER_PROCESS_PARAMETERS", "CommandLine"),
    ("modules", "_PEB_LDR_DATA", "InLoadOrderModuleList"),
    ("image_base", "_PEB", "ImageBaseAddress"),
    ("section", "_EPROCESS", "SectionObject"),
    ("section_base", "_EPROCESS", "SectionBaseAddress"),
    ("section_file", "_FILE_OBJECT", "FileName"),
    ("user", "_TOKEN", "UserAndGroups"),
    ("groups", "_TOKEN", "UserAndGroups"),
    ("integrity", "_TOKEN", "IntegrityLevelIndex"),
    ("authentication_id", "_TOKEN", "AuthenticationId"),
    ("token_session", "_TOKEN", "SessionId"),
    ("token", "_EPROCESS", "Token"),
    ("protection", "_EPROCESS", "Protection"),
    ("critical", "_EPROCESS", "Flags"),
    ("dynamic_code_disabled", "_EPROCESS", "MitigationFlags"),
    ("base_priority", "_KPROCESS", "BasePriority"),
    ("debug_port", "_EPROCESS", "DebugPort"),
    ("win32_process", "_EPROCESS", "Win32Process"),
    ("silo", "_EPROCESS", "Job"),
];
