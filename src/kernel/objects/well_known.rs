//! Names of SIDs and privileges that are the same on every Windows.

/// Well-known SIDs ([MS-DTYP] 2.4.2.4), with the names that Windows shows in English.
const SIDS: &[(&str, &str)] = &[
    ("S-1-0-0", "Nobody"),
    ("S-1-1-0", "Everyone"),
    ("S-1-2-0", "Local"),
    ("S-1-2-1", "Console Logon"),
    ("S-1-3-0", "Creator Owner"),
    ("S-1-3-1", "Creator Group"),
    ("S-1-5-1", "Dialup"),
    ("S-1-5-2", "Network"),
    ("S-1-5-3", "Batch"),
    ("S-1-5-4", "Interactive"),
    ("S-1-5-6", "Service"),
    ("S-1-5-7", "Anonymous"),
    ("S-1-5-9", "Enterprise Domain Controllers"),
    ("S-1-5-11", "Authenticated Users"),
    ("S-1-5-12", "Restricted Code"),
    ("S-1-5-13", "Terminal Server User"),
    ("S-1-5-14", "Remote Interactive Logon"),
    ("S-1-5-15", "This Organization"),
    ("S-1-5-17", "IUSR"),
    ("S-1-5-18", "Local System"),
    ("S-1-5-19", "Local Service"),
    ("S-1-5-20", "Network Service"),
    ("S-1-5-32-544", "Administrators"),
    ("S-1-5-32-545", "Users"),
    ("S-1-5-32-546", "Guests"),
    ("S-1-5-32-547", "Power Users"),
    ("S-1-5-32-551", "Backup Operators"),
    ("S-1-5-32-555", "Remote Desktop Users"),
    ("S-1-5-32-559", "Performance Log Users"),
    ("S-1-5-32-568", "IIS_IUSRS"),
    ("S-1-5-32-578", "Hyper-V Administrators"),
    ("S-1-5-33", "Write Restricted"),
    ("S-1-5-64-10", "NTLM Authentication"),
    ("S-1-5-64-14", "SChannel Authentication"),
    ("S-1-5-64-21", "Digest Authentication"),
    ("S-1-5-80-0", "All Services"),
    ("S-1-5-113", "Local account"),
    ("S-1-5-114", "Local account and member of Administrators group"),
    ("S-1-15-2-1", "All Application Packages"),
    ("S-1-16-0", "Untrusted Mandatory Level"),
    ("S-1-16-4096", "Low Mandatory Level"),
    ("S-1-16-8192", "Medium Mandatory Level"),
    ("S-1-16-8448", "Medium Plus Mandatory Level"),
    ("S-1-16-12288", "High Mandatory Level"),
    ("S-1-16-16384", "System Mandatory Level"),
    ("S-1-16-20480", "Protected Process Mandatory Level"),
    ("S-1-18-1", "Authentication authority asserted identity"),
];

/// SIDs whose last parts vary.
const SID_FAMILIES: &[(&str, &str)] = &[
    ("S-1-5-5-", "Logon Session"),
    ("S-1-5-80-", "Service"),
    ("S-1-5-82-", "IIS Application Pool"),
    ("S-1-5-83-", "Virtual Machine"),
    ("S-1-5-90-0-", "Window Manager"),
    ("S-1-5-96-0-", "Font Driver Host"),
    ("S-1-15-2-", "App Container"),
    ("S-1-15-3-", "Capability"),
];

/// The name of a well-known SID.
#[must_use]
pub fn sid_name(sid: &str) -> Option<&'static str> {
    let exact = SIDS.iter().find(|(known, _)| *known == sid);
    let name = exact.or_else(|| SID_FAMILIES.iter().find(|(family, _)| sid.starts_with(family)));
    name.map(|(_, name)| *name)
}

/// Privileges by their LUID, which is their bit in a token (wdm.h, `SE_*_PRIVILEGE`), from 2 on.
const PRIVILEGES: [&str; 35] = [
    "SeCreateTokenPrivilege",
    "SeAssignPrimaryTokenPrivilege",
    "SeLockMemoryPrivilege",
    "SeIncreaseQuotaPrivilege",
    "SeMachineAccountPrivilege",
    "SeTcbPrivilege",
    "SeSecurityPrivilege",
    "SeTakeOwnershipPrivilege",
    "SeLoadDriverPrivilege",
    "SeSystemProfilePrivilege",
    "SeSystemtimePrivilege",
    "SeProfileSingleProcessPrivilege",
    "SeIncreaseBasePriorityPrivilege",
    "SeCreatePagefilePrivilege",
    "SeCreatePermanentPrivilege",
    "SeBackupPrivilege",
    "SeRestorePrivilege",
    "SeShutdownPrivilege",
    "SeDebugPrivilege",
    "SeAuditPrivilege",
    "SeSystemEnvironmentPrivilege",
    "SeChangeNotifyPrivilege",
    "SeRemoteShutdownPrivilege",
    "SeUndockPrivilege",
    "SeSyncAgentPrivilege",
    "SeEnableDelegationPrivilege",
    "SeManageVolumePrivilege",
    "SeImpersonatePrivilege",
    "SeCreateGlobalPrivilege",
    "SeTrustedCredManAccessPrivilege",
    "SeRelabelPrivilege",
    "SeIncreaseWorkingSetPrivilege",
    "SeTimeZonePrivilege",
    "SeCreateSymbolicLinkPrivilege",
    "SeDelegateSessionUserImpersonatePrivilege",
];

/// The name of the privilege of this bit, or `privilege N` where it has none.
#[must_use]
pub fn privilege_name(bit: u32) -> String {
    let index = bit.checked_sub(2).and_then(|index| usize::try_from(index).ok());
    index.and_then(|index| PRIVILEGES.get(index)).map_or_else(|| format!("privilege {bit}"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_published_numbers() {
        // wdm.h: SE_DEBUG_PRIVILEGE 20, SE_TCB_PRIVILEGE 7, SE_DELEGATE_SESSION_USER_IMPERSONATE_PRIVILEGE 36.
        assert_eq!(privilege_name(20), "SeDebugPrivilege");
        assert_eq!(privilege_name(7), "SeTcbPrivilege");
        assert_eq!(privilege_name(36), "SeDelegateSessionUserImpersonatePrivilege");
        assert_eq!(privilege_name(37), "privilege 37");
        assert_eq!(privilege_name(0), "privilege 0");
        assert_eq!(sid_name("S-1-5-18"), Some("Local System"));
        assert_eq!(sid_name("S-1-5-96-0-1"), Some("Font Driver Host"));
        assert_eq!(sid_name("S-1-5-21-1-2-3-500"), None);
    }
}
