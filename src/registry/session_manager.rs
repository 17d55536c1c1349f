//! The keys that the Session Manager (smss.exe) reads when the system starts, and a few beside them, as one record.

use super::KeyRecord;
use crate::reading::record;
use crate::{Absent, Reading, VirtualAddress};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

record! {
    /// The control set in use, and the keys in it that decide what smss.exe does at the next start of the system.
    ///
    /// A key is a value (it is there), nothing (all lists on the way to it were read, and it is not there), or unknown with
    /// the reason. The same holds of each value: [`KeyRecord::data`].
    pub struct SessionManagerKeys {
        /// `SYSTEM\Select`: all its values.
        select: KeyRecord,
        /// Which control set the keys below were read from.
        control_set: ControlSet,
        /// The number of the control set that the kernel's own link, `SYSTEM\CurrentControlSet`, names. Nothing: there is no link.
        linked: u32,
        /// The same keys of the control set that the next start uses. Nothing: `Select\Default` names the one in use.
        next_start: Box<SessionManagerKeys>,
        /// The numbers of all `SYSTEM\ControlSetNNN`, in order.
        control_sets: Vec<u32>,
        /// `Control\Session Manager`: all values, and the names of the subkeys.
        session_manager: KeyRecord,
        /// `Control\Session Manager\SubSystems`.
        sub_systems: KeyRecord,
        /// `Control\Session Manager\KnownDLLs`.
        known_dlls: KeyRecord,
        /// `Control\Session Manager\AppCertDlls`.
        app_cert_dlls: KeyRecord,
        /// `Control\Session Manager\Environment`.
        environment: KeyRecord,
        /// `Control\Session Manager\DOS Devices`.
        dos_devices: KeyRecord,
        /// `Control\Session Manager\FileRenameOperations`: empty since Windows 2000.
        file_rename_operations: KeyRecord,
        /// `Control\Session Manager\Memory Management`.
        memory_management: KeyRecord,
        /// `Control\MiniNT`: there in Windows PE only.
        mini_nt: KeyRecord,
        /// `Control\SafeBoot\Option`: there after a start in safe mode.
        safe_boot_option: KeyRecord,
        /// `SYSTEM\Setup`.
        setup: KeyRecord,
        /// `SOFTWARE\Microsoft\Windows NT\CurrentVersion\Image File Execution Options`, without its values: the subkeys of
        /// [`DEBUGGABLE`], with theirs. One that `keys` does not have is really absent if `keys_missing` is empty.
        image_file_execution_options: KeyRecord,
        /// `SOFTWARE\Microsoft\Windows NT\CurrentVersion\SilentProcessExit`, in the same way: who is started when one of these ends.
        silent_process_exit: KeyRecord,
        /// `SOFTWARE\Classes\CLSID`, without its values: the classes that `Environment` names as profilers of .NET
        /// (the `CLSID` keys of profilers), with their subkeys. One that `keys` does not have is not registered if `keys_missing` is empty.
        profiler_classes: KeyRecord,
        /// The same for 32-bit programs: `SOFTWARE\Classes\WOW6432Node\CLSID`.
        profiler_classes_32: KeyRecord,
        ;
        /// Other hives that may be SYSTEM, with what they say.
        rivals: Vec<RivalHive>,
    }
}

/// A second hive that answers for `\REGISTRY\MACHINE\SYSTEM` or `\REGISTRY\MACHINE\SOFTWARE`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RivalHive {
    /// Address of its `_CMHIVE`.
    pub cmhive: VirtualAddress,
    /// Its file.
    pub file: String,
    /// What it answers for.
    pub mount: String,
    /// The same keys, read from it.
    pub keys: SessionManagerKeys,
}

/// The programs whose `Image File Execution Options` are read.
pub const DEBUGGABLE: [&str; 5] = ["winlogon.exe", "smss.exe", "csrss.exe", "wininit.exe", "autochk.exe"];

/// Values of `Environment` whose data are the class of a profiler.
pub const PROFILERS: [&str; 2] = ["COR_PROFILER", "CORECLR_PROFILER"];

/// How the control set was chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ControlSet {
    /// The number in the key's name: 1 for `ControlSet001`.
    pub number: u32,
    /// Nothing told it, and it is the only one there is.
    pub assumed: bool,
    /// The key's name, where it is not that of a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What told it: `Select\\Current`, `CurrentControlSet` (the link that the kernel made), `the only one there is`.
    pub source: String,
}

impl ControlSet {
    /// The key's name: `ControlSet001`.
    #[must_use]
    pub fn key_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("ControlSet{:03}", self.number))
    }

    /// The number in a control set's name.
    pub(super) fn parse(name: &str) -> Option<u32> {
        let (word, digits) = name.split_at_checked("ControlSet".len())?;
        let is_number = digits.len() >= 3 && digits.bytes().all(|digit| digit.is_ascii_digit());
        (is_number && word.eq_ignore_ascii_case("ControlSet")).then(|| digits.parse().ok()).flatten()
    }
}

impl SessionManagerKeys {
    /// A number under `SYSTEM\Select`: `Current`, `Default`, `Failed`, `LastKnownGood`.
    #[must_use]
    pub fn selected(&self, name: &str) -> Reading<u32> {
        let data = match self.select.known() {
            Ok(Some(select)) => select.data(name),
            Ok(None) => return Reading::Nothing,
            Err(absent) => return Reading::Absent(absent.clone()),
        };
        let number = |data: &super::RegistryData| data.as_number().and_then(|number| u32::try_from(number).ok());
        match data.known() {
            Ok(Some(data)) => number(data)
                .ok_or_else(|| Absent::unparsable(format!(r"SYSTEM\Select\{name} is no number: {data}")))
                .into(),
            Ok(None) => Reading::Nothing,
            Err(absent) => Reading::Absent(absent.clone()),
        }
    }

    /// What else the keys may be, each with what makes it so: those of the next start, those that another hive holds.
    pub(crate) fn others(&self) -> impl Iterator<Item = (String, &Self)> {
        let next = self.next_start.value().map(|keys| {
            let set = keys.control_set.value().map_or_else(String::new, ControlSet::key_name);
            (format!("at the next start ({set})"), &**keys)
        });
        let rivals = self.rivals.iter().map(|rival| (format!("by the hive at {}", rival.cmhive), &rival.keys));
        next.into_iter().chain(rivals)
    }

    /// Every key that was looked for, by its name in documents.
    pub fn keys(&self) -> BTreeMap<&'static str, &Reading<KeyRecord>> {
        [
            ("select", &self.select),
            ("session_manager", &self.session_manager),
            ("sub_systems", &self.sub_systems),
            ("known_dlls", &self.known_dlls),
            ("app_cert_dlls", &self.app_cert_dlls),
            ("environment", &self.environment),
            ("dos_devices", &self.dos_devices),
            ("file_rename_operations", &self.file_rename_operations),
            ("memory_management", &self.memory_management),
            ("mini_nt", &self.mini_nt),
            ("safe_boot_option", &self.safe_boot_option),
            ("setup", &self.setup),
            ("image_file_execution_options", &self.image_file_execution_options),
            ("profiler_classes", &self.profiler_classes),
            ("profiler_classes_32", &self.profiler_classes_32),
        ]
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_control_sets() {
        assert_eq!(ControlSet::parse("controlset002"), Some(2));
        assert_eq!(ControlSet::parse("ControlSet1000"), Some(1000));
        for other in ["ControlSet", "ControlSet01", "CurrentControlSet", "ControlSet+01", "ControlSet99999999999"] {
            assert_eq!(ControlSet::parse(other), None, "{other}");
        }
        assert_eq!(ControlSet { number: 47, ..ControlSet::default() }.key_name(), "ControlSet047");
    }

    #[test]
    fn a_record_with_nothing_read_knows_nothing() {
        let keys: SessionManagerKeys = serde_json::from_str("{}").unwrap();
        assert_eq!(keys, SessionManagerKeys::default());
        assert!(keys.selected("Current").absent().is_some());
        assert!(keys.keys().values().all(|key| key.absent().is_some()));
    }
}
