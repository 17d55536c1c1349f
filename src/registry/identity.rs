//! What the registry tells of the machine: its name, its domain, its time zone, and who has a profile on it.

use super::{Registry, RegistryData};
use crate::{Absent, Reading};
use serde::{Deserialize, Serialize};

const CURRENT_VERSION: &str = r"\REGISTRY\MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion";
const PROFILE_LIST: &str = r"\REGISTRY\MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList";
/// A terminal server of years has some ten thousand.
const MAX_PROFILES: usize = 1 << 16;

/// A user's profile: a subkey of `ProfileList`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// The user's SID: the subkey's name.
    pub sid: String,
    /// `ProfileImagePath`: `C:\Users\anna`. The folder is named after the user, as the name was when the profile was made.
    pub path: String,
}

impl Profile {
    /// The last part of the path.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.path.trim_end_matches('\\').rsplit('\\').next().unwrap_or_default()
    }
}

/// See the module.
pub(crate) struct Identity {
    /// `Control\ComputerName\ActiveComputerName`, or `ComputerName`, which counts from the next start on: NetBIOS name.
    pub(crate) host: Reading<String>,
    /// `Services\Tcpip\Parameters`, `Domain` or `NV Domain`: DNS domain. Nothing: in none.
    pub(crate) domain: Reading<String>,
    /// `Control\TimeZoneInformation`, `TimeZoneKeyName`, or `StandardName`.
    pub(crate) time_zone: Reading<String>,
    /// `Control\TimeZoneInformation`, `ActiveTimeBias`: minutes from local time to UTC.
    pub(crate) bias: Reading<i32>,
    /// `ProfileList`.
    pub(crate) profiles: Reading<Vec<Profile>>,
    /// `SystemRoot` of `CurrentVersion`.
    pub(crate) root: Reading<String>,
}

impl Identity {
    /// Reads it. What cannot be read is unknown, with its reason.
    pub(crate) fn read(registry: &Registry<'_>) -> Self {
        let set = registry.control_set();
        let value = |places: &[(&str, &str)]| -> Reading<RegistryData> {
            let set = match &set {
                Ok(set) => set,
                Err(why) => return Reading::Absent(why.clone()),
            };
            let mut found = Reading::Nothing;
            for (key, name) in places {
                let path = format!(r"\REGISTRY\MACHINE\SYSTEM\{}\{key}", set.key_name());
                found = data(registry, &path, name);
                if found.value().is_some_and(|data| !data.is_empty()) {
                    break;
                }
            }
            found
        };
        let host = text(value(&[
            (r"Control\ComputerName\ActiveComputerName", "ComputerName"),
            (r"Control\ComputerName\ComputerName", "ComputerName"),
        ]));
        let domain =
            text(value(&[(r"Services\Tcpip\Parameters", "Domain"), (r"Services\Tcpip\Parameters", "NV Domain")]));
        let zone = r"Control\TimeZoneInformation";
        let time_zone = text(value(&[(zone, "TimeZoneKeyName"), (zone, "StandardName")]));
        let bias = match value(&[(zone, "ActiveTimeBias")]) {
            Reading::Value(RegistryData::Dword(bias)) => Reading::Value(bias.cast_signed()),
            Reading::Value(_) => Reading::Absent(Absent::unparsable("ActiveTimeBias is no number")),
            Reading::Nothing => Reading::Nothing,
            Reading::Absent(why) => Reading::Absent(why),
        };
        let root = text(data(registry, CURRENT_VERSION, "SystemRoot"));
        Self { host, domain, time_zone, bias, profiles: profiles(registry), root }
    }
}

fn data(registry: &Registry<'_>, path: &str, name: &str) -> Reading<RegistryData> {
    let read = || {
        let Some(key) = registry.key(path)? else { return Ok(Reading::Nothing) };
        Ok(key.value(name)?.map_or(Reading::Nothing, |value| value.record().data))
    };
    read().unwrap_or_else(Reading::Absent)
}

/// Text up to its first null: what is behind it in the value is left over.
fn text(data: Reading<RegistryData>) -> Reading<String> {
    match data {
        Reading::Value(data) => match data.as_text().map(|text| text.split('\0').next().unwrap_or_default()) {
            Some("") => Reading::Nothing,
            Some(text) => Reading::Value(text.to_owned()),
            None => Reading::Absent(Absent::unparsable("the value is no text")),
        },
        Reading::Nothing => Reading::Nothing,
        Reading::Absent(why) => Reading::Absent(why),
    }
}

/// Those whose path can be read: of the others there is no name to tell.
fn profiles(registry: &Registry<'_>) -> Reading<Vec<Profile>> {
    let list = match registry.key(PROFILE_LIST) {
        Ok(Some(list)) => list,
        Ok(None) => return Reading::Nothing,
        Err(why) => return Reading::Absent(why),
    };
    let listed = list.subkeys();
    if let (true, Some(why)) = (listed.items.is_empty(), listed.missing.first()) {
        return Reading::Absent(why.clone());
    }
    let profile = |key: super::Key<'_>| {
        let path = key.value("ProfileImagePath").ok()??.record().data;
        Some(Profile { sid: key.name().to_owned(), path: text(path).value()?.clone() })
    };
    Reading::Value(listed.items.into_iter().take(MAX_PROFILES).filter_map(profile).collect())
}
