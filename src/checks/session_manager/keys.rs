//! What all rules about the registry share: the keys, what state the machine is in, and when it was started.

use crate::checks::Missing;
use crate::checks::case::Case;
use crate::registry::{KeyRecord, SessionManagerKeys};
use crate::{Absent, AbsentKind, ModeKind, Process, Reading, Ticks, Timestamp};

/// One key that rules look into.
#[derive(Clone, Copy)]
pub(super) struct HiveKey<'a> {
    /// The last part of its path, by which reports call it.
    pub(super) name: &'static str,
    pub(super) read: &'a Reading<KeyRecord>,
}

impl HiveKey<'_> {
    /// `SubSystems\Required`
    pub(super) fn label(&self, value: &str) -> String {
        format!("{}\\{}", self.name, if value.is_empty() { "(default)" } else { value })
    }
}

/// The keys, and what they are judged against.
pub(super) struct Keys<'a> {
    pub(super) case: &'a Case<'a>,
    pub(super) read: &'a SessionManagerKeys,
    /// Windows Setup or Windows PE: there, commands at the start of the system are usual.
    pub(super) special: Option<String>,
    boot: Option<Timestamp>,
    /// The control set in use is named, and is not there.
    dangling: bool,
}

/// smss.exe itself writes to its keys while the system starts. What was written so long after that is somebody else's.
const BOOT_WRITES: Ticks = Ticks::seconds(60);

impl<'a> Keys<'a> {
    pub(super) fn new(case: &'a Case<'a>) -> Self {
        let keys = case.keys;
        let system = case.system_process().and_then(Process::started);
        let dangling = match (keys.control_set.value(), keys.control_sets.value()) {
            (Some(set), Some(all)) => !all.contains(&set.number),
            _ => false,
        };
        Self {
            case,
            read: keys,
            special: special(case),
            boot: system.or_else(|| case.system.machine.boot.value().copied()),
            dangling,
        }
    }

    pub(super) fn key(&self, name: &'static str, read: &'a Reading<KeyRecord>) -> HiveKey<'a> {
        HiveKey { name, read }
    }

    pub(super) fn session_manager(&self) -> HiveKey<'a> {
        self.key("Session Manager", &self.read.session_manager)
    }

    pub(super) fn sub_systems(&self) -> HiveKey<'a> {
        self.key("SubSystems", &self.read.sub_systems)
    }

    /// The control set was not told by the system itself.
    pub(super) fn is_assumed(&self) -> bool {
        self.read.control_set.value().is_some_and(|set| set.assumed)
    }

    /// What is missing, and why, if nothing can be said about the control set in use.
    pub(super) fn unresolved(&self) -> Option<Missing> {
        let needs = "the control set in use";
        match self.read.control_set.known() {
            Err(absent) => Some(missing(needs, absent)),
            Ok(None) => Some(Missing::new(needs, "not there")),
            Ok(Some(set)) if self.dangling => {
                let why = format!("not there: {} names {}, which does not exist", set.source, set.key_name());
                Some(Missing::new(needs, why))
            }
            Ok(Some(_)) => None,
        }
    }

    /// When a key was written last, if that was after the boot, and not by it.
    pub(super) fn written_after_boot(&self, key: HiveKey<'_>) -> Option<Timestamp> {
        let written = *key.read.value()?.last_written.value()?;
        (written.since(self.boot?) > BOOT_WRITES).then_some(written)
    }
}

/// `needs` and why it is not there; where nobody looked at the registry, that is what is needed.
pub(super) fn missing(needs: impl Into<String>, absent: &Absent) -> Missing {
    if absent.kind == AbsentKind::NotCollected {
        return Missing::new("the registry", absent);
    }
    Missing::new(needs, absent)
}

/// Windows PE by its root: the key Control\MiniNT alone is written by others too, to stop the event log.
fn special(case: &Case<'_>) -> Option<String> {
    match case.mode(ModeKind::Preinstallation) {
        Some(_) => Some("Windows PE".to_owned()),
        None => case.setup_in_progress(),
    }
}
