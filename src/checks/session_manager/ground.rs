//! What all rules about the registry share: the keys, what state the machine is in, and when it was started.

use crate::checks::scene::Scene;
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

/// See the module.
pub(super) struct Ground<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) keys: &'a SessionManagerKeys,
    /// Windows Setup or Windows PE: there, commands at the start of the system are usual.
    pub(super) special: Option<&'static str>,
    boot: Option<Timestamp>,
    /// The control set in use is named, and is not there.
    dangling: bool,
}

/// smss.exe itself writes to its keys while the system starts. What was written so long after that is somebody else's.
const BOOT_WRITES: Ticks = Ticks::seconds(60);

impl<'a> Ground<'a> {
    pub(super) fn new(scene: &'a Scene<'a>) -> Self {
        let keys = &scene.system.session_manager;
        let system = scene.system_process().and_then(Process::started);
        let dangling = match (keys.control_set.value(), keys.control_sets.value()) {
            (Some(set), Some(all)) => !all.contains(&set.number),
            _ => false,
        };
        Self {
            scene,
            keys,
            special: special(scene),
            boot: system.or_else(|| scene.system.machine.boot.value().copied()),
            dangling,
        }
    }

    pub(super) fn key(&self, name: &'static str, read: &'a Reading<KeyRecord>) -> HiveKey<'a> {
        HiveKey { name, read }
    }

    pub(super) fn session_manager(&self) -> HiveKey<'a> {
        self.key("Session Manager", &self.keys.session_manager)
    }

    pub(super) fn sub_systems(&self) -> HiveKey<'a> {
        self.key("SubSystems", &self.keys.sub_systems)
    }

    /// The control set was not told by the system itself.
    pub(super) fn is_assumed(&self) -> bool {
        self.keys.control_set.value().is_some_and(|set| set.assumed)
    }

    /// What is missing, and why, if nothing can be said about the control set in use.
    pub(super) fn unresolved(&self) -> Option<(String, String)> {
        let needs = "the control set in use".to_owned();
        match self.keys.control_set.known() {
            Err(absent) => Some(missing(needs, absent)),
            Ok(None) => Some((needs, "not there".to_owned())),
            Ok(Some(set)) if self.dangling => {
                Some((needs, format!("not there: {} names {}, which does not exist", set.source, set.key_name())))
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
pub(super) fn missing(needs: String, absent: &Absent) -> (String, String) {
    if absent.kind == AbsentKind::NotCollected {
        return ("the registry".to_owned(), absent.to_string());
    }
    (needs, absent.to_string())
}

/// Windows PE by its root: the key Control\MiniNT alone is written by others too, to stop the event log.
fn special(scene: &Scene<'_>) -> Option<&'static str> {
    let is = |kind| scene.mode(kind).is_some();
    if is(ModeKind::Preinstallation) {
        Some("Windows PE")
    } else if is(ModeKind::Setup) {
        Some("setup in progress")
    } else {
        None
    }
}
