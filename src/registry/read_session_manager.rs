//! Reads [`SessionManagerKeys`].

use super::session_manager::{DEBUGGABLE, PROFILERS, SessionManagerKeys};
use super::{Key, KeyRecord, Registry};
use crate::{Absent, Reading};
use std::collections::BTreeMap;

const SYSTEM: &str = r"\REGISTRY\MACHINE\SYSTEM";
const IMAGE_FILE_EXECUTION_OPTIONS: &str =
    r"\REGISTRY\MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Image File Execution Options";
const CLASSES: &str = r"\REGISTRY\MACHINE\SOFTWARE\Classes\CLSID";
const CLASSES_32: &str = r"\REGISTRY\MACHINE\SOFTWARE\Classes\WOW6432Node\CLSID";

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
        let environment = key(r"Session Manager\Environment");
        let named: Vec<String> = PROFILERS
            .iter()
            .filter_map(|name| environment.value()?.data(name).value().map(ToString::to_string))
            .map(|class| class.trim().to_owned())
            .collect();
        let classes = |path: &str| match named.as_slice() {
            [] => Reading::Absent(Absent::not_applicable("no profiler is named")),
            named => chosen(registry, path, named.iter().map(String::as_str)),
        };
        Self {
            profiler_classes: classes(CLASSES),
            profiler_classes_32: classes(CLASSES_32),
            select: read(registry, &format!(r"{SYSTEM}\Select")),
            session_manager: key("Session Manager"),
            sub_systems: key(r"Session Manager\SubSystems"),
            known_dlls: key(r"Session Manager\KnownDLLs"),
            app_cert_dlls: key(r"Session Manager\AppCertDlls"),
            environment,
            dos_devices: key(r"Session Manager\DOS Devices"),
            memory_management: key(r"Session Manager\Memory Management"),
            mini_nt: key("MiniNT"),
            safe_boot_option: key(r"SafeBoot\Option"),
            setup: read(registry, &format!(r"{SYSTEM}\Setup")),
            image_file_execution_options: chosen(registry, IMAGE_FILE_EXECUTION_OPTIONS, DEBUGGABLE),
            control_sets: control_sets.into(),
            control_set: control_set.into(),
        }
    }
}

fn read(registry: &Registry<'_>, path: &str) -> Reading<KeyRecord> {
    registry.key(path).map(|key| key.map(|key| key.record(0))).into()
}

/// Some of the subkeys of a key that has hundreds, with theirs.
fn chosen<'a>(registry: &Registry<'_>, path: &str, names: impl IntoIterator<Item = &'a str>) -> Reading<KeyRecord> {
    let read = |parent: Key<'_>| {
        let mut record = parent.bare_record();
        let mut keys = BTreeMap::new();
        for name in names {
            match parent.subkey(name) {
                Ok(Some(key)) => {
                    keys.insert(key.name().to_owned(), key.record(1));
                }
                Ok(None) => (),
                Err(why) => {
                    record.keys_missing.push(Absent::new(why.kind, format!("{name}: {}", why.detail)));
                }
            }
        }
        record.keys = Reading::Value(keys);
        record
    };
    registry.key(path).map(|parent| parent.map(read)).into()
}
