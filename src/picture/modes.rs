//! In which state the machine was: what changes what is usual on it.

use super::{Members, Picture};
use crate::registry::KeyRecord;
use crate::{Reading, System};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A state of the machine, and what tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mode {
    /// The state.
    pub mode: ModeKind,
    /// What was read where.
    pub evidence: String,
}

/// The states that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModeKind {
    /// Safe mode: `KUSER_SHARED_DATA.SafeBootMode`, `Control\SafeBoot\Option`.
    SafeMode,
    /// Setup, sysprep or an upgrade is under way: `SYSTEM\Setup`.
    Setup,
    /// Windows PE, the recovery environment included: the root is `X:\Windows`, and `Control\MiniNT` is there.
    Preinstallation,
    /// `Control\MiniNT` is there, though the root is not Windows PE's: some write it to stop the event log.
    PreinstallationKey,
    /// Process-isolated containers (server silos) run here.
    ContainerHost,
    /// The clock was set back since smss.exe started.
    ClockStep,
    /// The machine slept or hibernated since it started; a fast startup is no start in this sense.
    Resumed,
    /// A state that this version does not know.
    #[serde(other)]
    Other,
}

impl fmt::Display for ModeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SafeMode => "safe mode",
            Self::Setup => "setup in progress",
            Self::Preinstallation => "Windows PE",
            Self::PreinstallationKey => "key of Windows PE",
            Self::ContainerHost => "container host",
            Self::ClockStep => "clock stepped",
            Self::Resumed => "resumed",
            Self::Other => "other",
        })
    }
}

/// `safe mode (KUSER_SHARED_DATA.SafeBootMode is set)`
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.mode, self.evidence)
    }
}

/// The states that the records of a machine tell. What is not known tells none.
pub(super) fn detect(picture: &Picture<'_>) -> Vec<Mode> {
    let system = picture.system();
    let found = [
        (ModeKind::SafeMode, safe_mode(system)),
        (ModeKind::Setup, setup(system)),
        (ModeKind::Preinstallation, preinstallation(system)),
        (ModeKind::PreinstallationKey, preinstallation_key(system)),
        (ModeKind::ContainerHost, containers(picture)),
        (ModeKind::ClockStep, picture.clock_step().map(str::to_owned)),
        (ModeKind::Resumed, resumed(system)),
    ];
    found.into_iter().filter_map(|(mode, evidence)| Some(Mode { mode, evidence: evidence? })).collect()
}

/// Signs joined; `None` where there are none.
fn joined(signs: Vec<String>) -> Option<String> {
    (!signs.is_empty()).then(|| signs.join("; "))
}

/// A number of a key, if it is there.
fn number(key: &Reading<KeyRecord>, name: &str) -> Option<u64> {
    key.value()?.data(name).value()?.as_number()
}

fn safe_mode(system: &System) -> Option<String> {
    let mut signs = Vec::new();
    if system.machine.safe_mode.value() == Some(&true) {
        signs.push("KUSER_SHARED_DATA.SafeBootMode is set".to_owned());
    }
    let option = &system.session_manager.safe_boot_option;
    if option.value().is_some() {
        let value = number(option, "OptionValue").map_or_else(String::new, |value| format!(", OptionValue {value}"));
        signs.push(format!(r"Control\SafeBoot\Option is there{value}"));
    }
    joined(signs)
}

fn setup(system: &System) -> Option<String> {
    let setup = &system.session_manager.setup;
    let sign = |name: &str| number(setup, name).filter(|value| *value != 0).map(|value| format!("{name} {value}"));
    let signs: Vec<String> = ["SystemSetupInProgress", "SetupType"].into_iter().filter_map(sign).collect();
    joined(signs).map(|signs| format!(r"SYSTEM\Setup: {signs}"))
}

/// Windows PE runs from a memory disk with the letter X.
fn root_of_preinstallation(system: &System) -> bool {
    system
        .machine
        .root
        .value()
        .is_some_and(|root| root.get(..3).is_some_and(|drive| drive.eq_ignore_ascii_case("X:\\")))
}

fn preinstallation(system: &System) -> Option<String> {
    let key = system.session_manager.mini_nt.value().map(|_| r"; Control\MiniNT is there").unwrap_or_default();
    let root = system.machine.root.value()?;
    root_of_preinstallation(system).then(|| format!("the root is {root}{key}"))
}

fn preinstallation_key(system: &System) -> Option<String> {
    system.session_manager.mini_nt.value().filter(|_| !root_of_preinstallation(system))?;
    let root = system.machine.root.value().map_or("not known", String::as_str);
    Some(format!(r"Control\MiniNT is there, and the root is {root}"))
}

fn containers(picture: &Picture<'_>) -> Option<String> {
    let items = &picture.system().processes.items;
    let running = items.iter().filter(|process| !process.has_exited() && !process.is_garbage());
    let silos: BTreeSet<_> =
        running.filter_map(|process| process.silo.value()).filter(|silo| !silo.is_null()).collect();
    if !silos.is_empty() {
        let words: Vec<String> = silos.iter().map(|silo| silo.to_string()).collect();
        return Some(format!("server silos: {} (job {})", silos.len(), words.join(", ")));
    }
    let signs = Members::silo_signs(picture.everybody(), picture.build());
    let silos = picture.everybody().iter().filter(|session| session.is_silo(signs));
    let silos: Vec<String> = silos.map(|session| session.id.to_string()).collect();
    (!silos.is_empty()).then(|| format!("a wininit.exe of its own and no winlogon.exe in session {}", silos.join(", ")))
}

fn resumed(system: &System) -> Option<String> {
    let asleep = system.machine.asleep.value().filter(|seconds| **seconds != 0)?;
    Some(format!("KUSER_SHARED_DATA.InterruptTimeBias: {asleep} s asleep since the start"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{KeyRecord, RegistryData, RegistryValue};
    use crate::{KernelInfo, Process, Timestamp, VirtualAddress};
    use std::collections::BTreeMap;

    fn key(values: &[(&str, u32)]) -> Reading<KeyRecord> {
        let value = |number: u32| RegistryValue {
            data: Reading::Value(RegistryData::Dword(number)),
            ..RegistryValue::default()
        };
        let values: BTreeMap<_, _> = values.iter().map(|(name, number)| ((*name).to_owned(), value(*number))).collect();
        Reading::Value(KeyRecord { values: Reading::Value(values), ..KeyRecord::default() })
    }

    fn kinds(change: impl FnOnce(&mut System)) -> Vec<ModeKind> {
        let kernel = Some(KernelInfo { build: Some(19045), ..KernelInfo::default() });
        let mut system = System { kernel, ..System::default() };
        system.machine.root = Reading::Value("C:\\Windows".into());
        change(&mut system);
        Picture::new(&system).modes().iter().map(|mode| mode.mode).collect()
    }

    fn row(pid: u64, ppid: u64, name: &str, session: u32) -> Process {
        Process {
            pid: Reading::Value(pid),
            ppid: Reading::Value(ppid),
            name: Reading::Value(name.into()),
            session: Reading::Value(session),
            created: Reading::Value(Timestamp(133_000_000_000_000_000 + pid)),
            exited: Reading::Nothing,
            threads: Reading::Value(2),
            ..Process::default()
        }
    }

    #[test]
    fn nothing_known_is_no_state() {
        assert!(Picture::new(&System::default()).modes().is_empty());
        assert!(kinds(|_| {}).is_empty());
        let finished = |s: &mut System| {
            s.session_manager.setup = key(&[("SystemSetupInProgress", 0), ("SetupType", 0), ("OOBEInProgress", 0)]);
            s.session_manager.mini_nt = Reading::Nothing;
            s.session_manager.safe_boot_option = Reading::Nothing;
            s.machine.safe_mode = Reading::Value(false);
            s.machine.asleep = Reading::Value(0);
        };
        assert!(kinds(finished).is_empty());
    }

    #[test]
    fn states_by_their_signs() {
        assert_eq!(kinds(|s| s.machine.safe_mode = Reading::Value(true)), [ModeKind::SafeMode]);
        assert_eq!(kinds(|s| s.session_manager.safe_boot_option = key(&[("OptionValue", 2)])), [ModeKind::SafeMode]);
        for value in ["SystemSetupInProgress", "SetupType"] {
            assert_eq!(kinds(|s| s.session_manager.setup = key(&[(value, 2)])), [ModeKind::Setup], "{value}");
        }
        assert_eq!(kinds(|s| s.machine.asleep = Reading::Value(28_800)), [ModeKind::Resumed]);
        assert_eq!(kinds(|s| s.machine.root = Reading::Value("x:\\windows".into())), [ModeKind::Preinstallation]);
        // The key alone stops the event log, and is written for that.
        assert_eq!(kinds(|s| s.session_manager.mini_nt = key(&[])), [ModeKind::PreinstallationKey]);
    }

    #[test]
    fn containers_by_their_job_or_their_sessions() {
        let silo = |row| Process { silo: Reading::Value(VirtualAddress(0xffff_a000_0000_2000)), ..row };
        assert_eq!(kinds(|s| s.processes.items.push(silo(row(4508, 348, "smss.exe", 4)))), [ModeKind::ContainerHost]);
        let rows = [
            row(408, 396, "csrss.exe", 0),
            row(508, 396, "wininit.exe", 0),
            row(4524, 4508, "csrss.exe", 4),
            row(3752, 4508, "wininit.exe", 4),
        ];
        assert_eq!(kinds(|s| s.processes.items.extend(rows.clone())), [ModeKind::ContainerHost]);
        assert_eq!(kinds(|s| s.processes.items.extend(rows[..3].to_vec())), []);
    }

    #[test]
    fn a_state_of_a_later_version_is_read() {
        let mode: Mode = serde_json::from_str(r#"{"mode": "flying", "evidence": ""}"#).unwrap();
        assert_eq!(mode.mode, ModeKind::Other);
        let text = serde_json::to_string(&Mode { mode: ModeKind::SafeMode, evidence: "x".into() }).unwrap();
        assert_eq!(text, r#"{"mode":"safe_mode","evidence":"x"}"#);
    }
}
