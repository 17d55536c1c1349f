//! Reads [`SessionManagerKeys`].

use super::session_manager::{ControlSet, DEBUGGABLE, PROFILERS, RivalHive, SessionManagerKeys};
use super::{Key, KeyRecord, Registry};
use crate::{Absent, Reading};
use std::collections::BTreeMap;

const SYSTEM: &str = r"\REGISTRY\MACHINE\SYSTEM";
/// The mount point of the hive with the classes and the programs that start others.
const SOFTWARE: &str = r"\REGISTRY\MACHINE\SOFTWARE";
/// Hives that may be SYSTEM: more than one is too many already.
const MAX_RIVALS: usize = 4;
const IMAGE_FILE_EXECUTION_OPTIONS: &str =
    r"\REGISTRY\MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Image File Execution Options";
const SILENT_PROCESS_EXIT: &str = r"\REGISTRY\MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion\SilentProcessExit";
const CLASSES: &str = r"\REGISTRY\MACHINE\SOFTWARE\Classes\CLSID";
const CLASSES_32: &str = r"\REGISTRY\MACHINE\SOFTWARE\Classes\WOW6432Node\CLSID";

impl SessionManagerKeys {
    /// Reads them. Nothing is assumed: what cannot be read is unknown, with its reason.
    #[must_use]
    pub fn read(registry: &Registry<'_>) -> Self {
        Self::of_set(registry, registry.control_set())
    }

    /// The same, with what the next start uses if that is another control set, and what other hives say that may be SYSTEM.
    #[must_use]
    pub fn read_all(registry: &mut Registry<'_>) -> Self {
        let mut keys = Self::read(registry);
        keys.next_start = keys.next_start(registry);
        for mount in [SYSTEM, SOFTWARE] {
            for hive in registry.rivals(mount, MAX_RIVALS) {
                let (cmhive, file) = (hive.record().cmhive.value().copied(), hive.record().file.value().cloned());
                keys.rivals.push(RivalHive {
                    cmhive: cmhive.unwrap_or_default(),
                    file: file.unwrap_or_default(),
                    mount: mount.to_owned(),
                    keys: registry.with_answer(hive, mount, Self::read),
                });
            }
        }
        keys
    }

    /// The keys of the control set that `Select\Default` names.
    fn next_start(&self, registry: &Registry<'_>) -> Reading<Box<Self>> {
        let (in_use, default) = (self.control_set.known(), self.selected("Default"));
        let (Ok(Some(in_use)), Ok(Some(default)), Some(all)) = (in_use, default.known(), self.control_sets.value())
        else {
            let why = "which control sets there are, and which the next start uses, is not known";
            return Reading::Absent(Absent::not_collected(why));
        };
        if *default == in_use.number || !all.contains(default) {
            return Reading::Nothing;
        }
        let set = ControlSet { number: *default, source: r"Select\Default".to_owned(), ..ControlSet::default() };
        Reading::Value(Box::new(Self::of_set(registry, Ok(set))))
    }

    fn of_set(registry: &Registry<'_>, control_set: Result<ControlSet, Absent>) -> Self {
        let control_sets = registry.control_sets().and_then(|list| match list.missing.into_iter().next() {
            Some(why) => Err(why),
            None => Ok(list.items),
        });
        // No Windows starts without the set that it names: the way to it is broken, and says nothing of its values.
        let lost = control_set.as_ref().ok().and_then(|set| {
            let control = format!(r"{SYSTEM}\{}\Control", set.key_name());
            let gone = matches!(registry.key(&control), Ok(None));
            gone.then(|| {
                Absent::unparsable(format!(
                    "{} is in use, and there is no key of its name with a key Control",
                    set.key_name()
                ))
            })
        });
        let key = |path: &str| {
            let set = control_set.as_ref().map_err(|why| {
                Absent::new(why.kind, format!("which control set is in use is not known: {}", why.detail))
            });
            match (set, &lost) {
                (Ok(_), Some(why)) => Reading::Absent(why.clone()),
                (Ok(set), None) => read(registry, &format!(r"{SYSTEM}\{}\Control\{path}", set.key_name())),
                (Err(why), _) => Reading::Absent(why),
            }
        };
        let environment = key(r"Session Manager\Environment");
        let named: Vec<String> = PROFILERS
            .iter()
            .filter_map(|name| environment.value()?.data(name).value().map(ToString::to_string))
            // Blanks of Unicode are letters here as everywhere in the registry.
            .map(|class| class.trim_matches(|c| c <= ' ').to_owned())
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
            file_rename_operations: key(r"Session Manager\FileRenameOperations"),
            memory_management: key(r"Session Manager\Memory Management"),
            mini_nt: key("MiniNT"),
            safe_boot_option: key(r"SafeBoot\Option"),
            setup: read(registry, &format!(r"{SYSTEM}\Setup")),
            image_file_execution_options: chosen(registry, IMAGE_FILE_EXECUTION_OPTIONS, DEBUGGABLE),
            silent_process_exit: chosen(registry, SILENT_PROCESS_EXIT, DEBUGGABLE),
            linked: registry.linked_control_set().into(),
            next_start: Reading::default(),
            rivals: Vec::new(),
            control_sets: control_sets.into(),
            control_set: control_set.into(),
        }
    }
}

fn read(registry: &Registry<'_>, path: &str) -> Reading<KeyRecord> {
    let record = |key: Key<'_>| {
        let mut record = key.record(0);
        if let Some((parent, name)) = path.rsplit_once('\\')
            && registry.key(parent).is_ok_and(|parent| parent.is_some_and(|parent| parent.has_twice(name)))
        {
            record.repeated.push(name.to_owned());
        }
        record
    };
    registry.key(path).map(|key| key.map(record)).into()
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
