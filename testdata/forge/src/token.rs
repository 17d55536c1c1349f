//! `_TOKEN` with its SIDs and privileges.

use crate::machine::Machine;
use crate::scenario::TokenPlan;
use crate::sid;

/// SE_GROUP_MANDATORY, ENABLED_BY_DEFAULT, ENABLED (winnt.h).
const GROUP: u32 = 7;
/// GROUP for an alias that may own objects (SE_GROUP_OWNER, not mandatory).
const OWNER: u32 = 0xe;
/// SE_GROUP_INTEGRITY, SE_GROUP_INTEGRITY_ENABLED.
const LABEL: u32 = 0x60;
/// Privileges of the System process: bits 2 to 35 (winnt.h, SE_MIN_WELL_KNOWN_PRIVILEGE and up).
const SYSTEM_PRIVILEGES: u64 = 0x001f_f2ff_ffbc;
const SYSTEM_DEFAULT: u64 = 0x60b1_e890;
/// SeChangeNotify, SeShutdown, SeUndock, SeIncreaseWorkingSet, SeTimeZone.
const USER_PRIVILEGES: u64 = 0x0006_0288_0000;
const USER_DEFAULT: u64 = 0x0080_0000;

impl Machine {
    /// Creates a token object and says where its body is.
    pub fn forge_token(&mut self, plan: &TokenPlan) -> u64 {
        let kind = "_TOKEN";
        let mut sids: Vec<(&str, u32)> = vec![(&plan.user, 0)];
        for group in &plan.groups {
            sids.push((group, if group == "S-1-5-32-544" { OWNER } else { GROUP }));
        }
        sids.push((&plan.integrity, LABEL));
        let label = sids.len() - 1;
        let variable = self.offset(kind, "VariablePart");
        let bytes: u64 = sids.iter().map(|(s, _)| 16 + sid::to_bytes(s).len() as u64).sum();
        let body = self.object("Token", variable + bytes, None);
        let array = body + variable;
        let mut at = array + 16 * sids.len() as u64;
        for (n, (text, attributes)) in sids.iter().enumerate() {
            let entry = array + 16 * n as u64;
            self.put(entry, "_SID_AND_ATTRIBUTES", "Sid", at);
            self.put(entry, "_SID_AND_ATTRIBUTES", "Attributes", u64::from(*attributes));
            let sid = sid::to_bytes(text);
            self.write(at, &sid);
            at += sid.len() as u64;
        }
        let system = plan.user == "S-1-5-18";
        let source: &[u8; 8] = if system { b"*SYSTEM*" } else { b"User32 \0" };
        self.write(body + self.offset(kind, "TokenSource.SourceName"), source);
        let id = 0x1_0000 + self.rng.below(0x8_0000) * 16;
        self.put(body, kind, "TokenId.LowPart", id);
        self.put(body, kind, "ModifiedId.LowPart", id + 3);
        self.put(body, kind, "AuthenticationId.LowPart", plan.authentication_id & 0xffff_ffff);
        self.put(body, kind, "AuthenticationId.HighPart", plan.authentication_id >> 32);
        self.put(body, kind, "ExpirationTime", 0x06_207d_24e5_4fff);
        let (present, default) =
            if system { (SYSTEM_PRIVILEGES, SYSTEM_DEFAULT) } else { (USER_PRIVILEGES, USER_DEFAULT) };
        self.put(body, kind, "Privileges.Present", present);
        self.put(body, kind, "Privileges.Enabled", default);
        self.put(body, kind, "Privileges.EnabledByDefault", default);
        self.put(body, kind, "SessionId", u64::from(plan.session));
        self.put(body, kind, "UserAndGroupCount", sids.len() as u64);
        self.put(body, kind, "UserAndGroups", array);
        self.put(body, kind, "VariableLength", bytes);
        self.put(body, kind, "PrimaryGroup", self_sid(array, sids.len()));
        self.put(body, kind, "DefaultOwnerIndex", if system { 1.min(label as u64) } else { 0 });
        // TokenPrimary.
        self.put(body, kind, "TokenType", 1);
        self.put(body, kind, "ImpersonationLevel", 0);
        self.put(body, kind, "TokenFlags", 0x2000);
        self.put(body, kind, "TokenInUse", 1);
        self.put(body, kind, "IntegrityLevelIndex", label as u64);
        self.put(body, kind, "MandatoryPolicy", if system { 1 } else { 3 });
        body
    }
}

/// The first SID behind an array of so many entries.
fn self_sid(array: u64, entries: usize) -> u64 {
    array + 16 * entries as u64
}
