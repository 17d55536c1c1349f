//! Session objects: `_MM_SESSION_SPACE`, or what stands there since Windows 11 24H2.

use crate::builds::Build;
use crate::machine::Machine;

/// A session that processes point to.
#[derive(Clone, Debug)]
pub struct Session {
    /// What `EPROCESS.Session` holds.
    pub address: u64,
    /// Where its list of processes begins.
    pub list: u64,
}

impl Machine {
    /// Creates a session object.
    pub fn forge_session(&mut self, id: u32) -> Session {
        if self.build() == Build::W11_26100 {
            // _PSP_SESSION_SPACE has no members in public symbols: id at 8, process list at 0x10 (vmi-rs/vmi, comments on 24H2).
            let address = self.pool(false, b"PsSe", 0x180);
            self.write(address, &1u32.to_le_bytes());
            self.write(address + 8, &id.to_le_bytes());
            return Session { address, list: address + 0x10 };
        }
        let kind = "_MM_SESSION_SPACE";
        let pages = self.layout.size(kind).div_ceil(4096);
        let address = self.system_pages(pages);
        self.put(address, kind, "ReferenceCount", 3);
        self.put(address, kind, "SessionId", u64::from(id));
        Session { address, list: address + self.offset(kind, "ProcessList") }
    }
}
