//! Who a SID is.

use crate::kernel::sid_name;
use crate::{Machine, Process, Reading};
use std::collections::BTreeMap;

/// Names of the machine's users, each with where it is known from.
#[derive(Clone, Debug, Default)]
pub struct Users {
    folders: BTreeMap<String, String>,
}

/// A user's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserName {
    /// The same on every Windows: `SYSTEM`.
    WellKnown(String),
    /// The name of the folder of the user's profile, which need not be the user's name any more.
    Profile(String),
    /// None is known: the SID, whole, for the end of one is no name.
    Sid(String),
}

/// What marks a name that is a profile's folder.
pub(super) const PROFILE_MARK: char = '*';

impl Users {
    /// The users that have a profile on the machine. A folder that two SIDs share names neither.
    #[must_use]
    pub fn new(machine: &Machine) -> Self {
        let profiles = machine.profiles.value().map_or(&[][..], Vec::as_slice);
        let mut owners: BTreeMap<String, usize> = BTreeMap::new();
        for profile in profiles {
            let count = owners.entry(profile.folder().to_lowercase()).or_default();
            *count = count.saturating_add(1);
        }
        let alone = profiles.iter().filter(|profile| owners.get(&profile.folder().to_lowercase()) == Some(&1));
        let named = alone.filter(|profile| !profile.folder().is_empty());
        Self { folders: named.map(|profile| (profile.sid.clone(), profile.folder().to_owned())).collect() }
    }

    /// The name of this SID.
    #[must_use]
    pub fn name(&self, sid: &str) -> UserName {
        let known = match sid {
            "S-1-5-18" => Some("SYSTEM".to_owned()),
            "S-1-5-19" => Some("LOCAL SERVICE".to_owned()),
            "S-1-5-20" => Some("NETWORK SERVICE".to_owned()),
            _ => None,
        };
        let family = |start: &str, name: &str| {
            let number = sid.strip_prefix(start)?;
            number.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("{name}-{number}"))
        };
        let known = known
            .or_else(|| family("S-1-5-90-0-", "DWM"))
            .or_else(|| family("S-1-5-96-0-", "UMFD"))
            .or_else(|| sid_name(sid).filter(|_| is_one_account(sid)).map(str::to_owned));
        match (known, self.folders.get(sid)) {
            (Some(name), _) => UserName::WellKnown(name),
            (None, Some(folder)) => UserName::Profile(folder.clone()),
            (None, None) => UserName::Sid(sid.to_owned()),
        }
    }

    /// The name of a process's user, a profile's marked; what is not known has no name.
    #[must_use]
    pub fn of(&self, process: &Process) -> Reading<String> {
        process.user.clone().map(|sid| self.name(&sid).to_string())
    }
}

/// A family of SIDs, as of services, has one name for many accounts.
fn is_one_account(sid: &str) -> bool {
    sid.matches('-').count() <= 4 && !["S-1-5-5-", "S-1-15-3-"].iter().any(|family| sid.starts_with(family))
}

impl std::fmt::Display for UserName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::WellKnown(name) | Self::Sid(name) => f.pad(name),
            Self::Profile(folder) => f.pad(&format!("{folder}{PROFILE_MARK}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Profile;

    #[test]
    fn a_sid_has_one_name_or_none() {
        let profile = |sid: &str, path: &str| Profile { sid: sid.into(), path: path.into() };
        let machine = Machine {
            profiles: Reading::Value(vec![
                profile("S-1-5-21-1-2-3-1001", r"C:\Users\anna"),
                profile("S-1-5-21-7-8-9-1001", r"C:\Users\bert"),
                profile("S-1-5-21-7-8-9-1002", r"C:\Users\both"),
                profile("S-1-5-21-7-8-9-1003", r"D:\Users\Both\"),
            ]),
            ..Machine::default()
        };
        let users = Users::new(&machine);
        let name = |sid: &str| users.name(sid).to_string();
        // [MS-DTYP] 2.4.2.4.
        assert_eq!(name("S-1-5-18"), "SYSTEM");
        assert_eq!(name("S-1-5-90-0-2"), "DWM-2");
        assert_eq!(name("S-1-5-21-1-2-3-1001"), "anna*");
        assert_eq!(name("S-1-5-21-7-8-9-1001"), "bert*");
        assert_eq!(name("S-1-5-21-7-8-9-1002"), "S-1-5-21-7-8-9-1002");
        assert_eq!(name("S-1-5-21-7-8-9-1004"), "S-1-5-21-7-8-9-1004");
        assert_eq!(name("S-1-5-80-1-2-3-4-5"), "S-1-5-80-1-2-3-4-5");
    }
}
