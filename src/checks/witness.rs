//! What an outcome rests on: the structures that say so, of which one edit reaches one.

use super::{Confidence, Evidence};
use crate::process::Source;
use crate::words::words;

words! {
    /// A kind of structure that can say something of a process or of the machine. An edit of one kind leaves the others as they
    /// were, so that two of them are two witnesses.
    pub enum Witness {
        /// The process object: `_EPROCESS`, `_KPROCESS`.
        Object = "process object",
        /// The process's own memory: `_PEB` and what hangs on it.
        UserMemory = "user memory",
        /// The `_TOKEN`.
        Token = "token",
        /// The file object of the image, and the section around it.
        File = "file object",
        /// The address ranges: `_MMVAD`.
        Ranges = "address ranges",
        /// Thread objects.
        Threads = "threads",
        /// Handle tables.
        Handles = "handle tables",
        /// Page tables.
        PageTables = "page tables",
        /// Lists and tables that processes are in.
        Lists = "lists of processes",
        /// A search of all memory.
        Search = "search of memory",
        /// A registry hive.
        Hive = "registry hive",
        /// `KUSER_SHARED_DATA`.
        SharedData = "shared page",
    }
}

impl Witness {
    /// Whose word one field is. `None`: it is not known to be anybody's.
    fn of(evidence: &Evidence) -> Option<Self> {
        if evidence.unread {
            return None;
        }
        if evidence.key.is_some() {
            return Some(Self::Hive);
        }
        match (evidence.structure.as_str(), evidence.field.as_str()) {
            (_, "DirectoryTableBase") | ("_MMPTE", _) => Some(Self::PageTables),
            (_, "ActiveProcessLinks") => Some(Self::Lists),
            ("_EPROCESS" | "_KPROCESS", _) => Some(Self::Object),
            ("_PEB" | "_PEB_LDR_DATA" | "_LDR_DATA_TABLE_ENTRY" | "_RTL_USER_PROCESS_PARAMETERS", _) => {
                Some(Self::UserMemory)
            }
            ("_TOKEN", _) => Some(Self::Token),
            ("_FILE_OBJECT" | "_SECTION" | "_CONTROL_AREA", _) => Some(Self::File),
            ("_MMVAD" | "_MMVAD_SHORT", _) => Some(Self::Ranges),
            ("_ETHREAD" | "_KTHREAD", _) => Some(Self::Threads),
            ("_HANDLE_TABLE" | "_HANDLE_TABLE_ENTRY", _) => Some(Self::Handles),
            ("KUSER_SHARED_DATA" | "_KUSER_SHARED_DATA", _) => Some(Self::SharedData),
            _ => None,
        }
    }

    /// Whose word it is that a source holds a process.
    pub(super) const fn of_source(source: Source) -> Self {
        match source {
            Source::Threads | Source::ThreadScan => Self::Threads,
            Source::HandleTables | Source::Handles => Self::Handles,
            Source::RootScan => Self::PageTables,
            Source::PoolScan | Source::Carved => Self::Search,
            _ => Self::Lists,
        }
    }
}

/// The witnesses that evidence names, beside those that the rule named itself: each once, in the order of the list of kinds.
pub(super) fn witnesses(named: &[Witness], evidence: &[Evidence]) -> Vec<Witness> {
    let mut all: Vec<Witness> = named.iter().copied().chain(evidence.iter().filter_map(Witness::of)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The most that an outcome can be relied on: two witnesses high, one medium. Where none is named, as for what is only counted, it is
/// not more than that of one.
pub(super) fn most(witnesses: &[Witness]) -> Confidence {
    if witnesses.len() > 1 { Confidence::High } else { Confidence::Medium }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_fields_of_one_structure_are_one_witness() {
        let field = |structure: &str, field: &str| Evidence {
            structure: structure.to_owned(),
            field: field.to_owned(),
            ..Evidence::default()
        };
        let object = [field("_EPROCESS", "CreateTime"), field("_EPROCESS", "ExitTime")];
        assert_eq!(witnesses(&[], &object), [Witness::Object]);
        assert_eq!(most(&witnesses(&[], &object)), Confidence::Medium);
        let both = [field("_EPROCESS", "CreateTime"), field("_ETHREAD", "CreateTime")];
        assert_eq!(witnesses(&[], &both), [Witness::Object, Witness::Threads]);
        assert_eq!(most(&witnesses(&[], &both)), Confidence::High);
        assert_eq!(witnesses(&[Witness::Ranges], &[]), [Witness::Ranges]);
        assert_eq!(most(&[]), Confidence::Medium);
        // Who was not heard is no witness.
        let unread = Evidence { unread: true, ..field("_PEB", "ImageBaseAddress") };
        assert_eq!(witnesses(&[], &[field("_EPROCESS", "SectionBaseAddress"), unread]), [Witness::Object]);
        let values = [Evidence { key: Some("\\REGISTRY\\MACHINE\\SYSTEM\\Select".into()), ..Evidence::default() }];
        assert_eq!(witnesses(&[], &values), [Witness::Hive]);
    }
}
