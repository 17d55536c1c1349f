//! Reads [`SessionManagerKeys`].

use super::session_manager::{DEBUGGABLE, SessionManagerKeys};
use super::{Key, KeyRecord, Registry};
use crate::{Absent, Reading};
use std::collections::BTreeMap;

const SYSTEM: &str = r"\REGISTRY\MACHINE\SYSTEM";
const IMAGE_FILE_EXECUTION_OPTIONS: &str =
    r"\REGISTRY\MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Image File Execution Options";

impl SessionManagerKeys {
    /// Reads them. Nothing is assumed: what cannot be read is unknown, with its reason.
    #[must_use]
    pub fn read(registry: &Registry<'_>) -> Self {
        let control_set = registry.control_set();
        let control_sets = registry.control_sets().and_then(|list| match list.missing.into_iter().next() {
            Some(why) => Err(why),
            None => Ok(list.items),
        });
        let key = |path: &str| {
            let set = control_set.as_ref().map_err(|why| {
                Absent::new(why.kind, format!("which control set is in use is not known: {}", why.detail))
            });
            match set {
                Ok(set) => read(registry, &format!(r"{SYSTEM}\{}\Control\{path}", set.key_name())),
                Err(why) => Reading::Absent(why),
            }
        };
        Self {
            select: read(registry, &format!(r"{SYSTEM}\Select")),
            session_manager: key("Session Manager"),
            sub_systems: key(r"Session Manager\SubSystems"),
            known_dlls: key(r"Session Manager\KnownDLLs"),
            app_cert_dlls: key(r"Session Manager\AppCertDlls"),
            environment: key(r"Session Manager\Environment"),
            dos_devices: key(r"Session Manager\DOS Devices"),
            memory_management: key(r"Session Manager\Memory Management"),
            mini_nt: key("MiniNT"),
            safe_boot_option: key(r"SafeBoot\Option"),
            setup: read(registry, &format!(r"{SYSTEM}\Setup")),
            image_file_execution_options: execution_options(registry),
            control_sets: control_sets.into(),
            control_set: control_set.into(),
        }
    }
}

fn read(registry: &Registry<'_>, path: &str) -> Reading<KeyRecord> {
    registry.key(path).map(|key| key.map(|key| key.record(0))).into()
}

/// The key has a few hundred subkeys; five of them matter.
fn execution_options(registry: &Registry<'_>) -> Reading<KeyRecord> {
    let read = |options: Key<'_>| {
        let mut record = options.bare_record();
        let mut keys = BTreeMap::new();
        for program in DEBUGGABLE {
            match options.subkey(program) {
                Ok(Some(key)) => {
                    // With their subkeys, which may hold filters by path.
                    keys.insert(key.name().to_owned(), key.record(1));
                }
                Ok(None) => (),
                Err(why) => {
                    record.keys_missing.push(Absent::new(why.kind, format!("{program}: {}", why.detail)));
                }
            }
        }
        record.keys = Reading::Value(keys);
        record
    };
    registry.key(IMAGE_FILE_EXECUTION_OPTIONS).map(|options| options.map(read)).into()
}
