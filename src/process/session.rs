//! Sessions, rebuilt from their processes.

use serde::{Deserialize, Serialize};

/// One session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// Session id. Ids need not be contiguous.
    pub id: u32,
    /// `services`, `console` ...
    pub kind: Option<String>,
    /// The pid that csrss and wininit or winlogon name as their parent: the smss child that built the session.
    pub creator_pid: Option<u64>,
    /// Processes of this session, exited ones included, in list order.
    pub pids: Vec<u64>,
}
