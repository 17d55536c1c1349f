//! Processes, sessions and tokens as owned records.

mod liveness;
mod record;
mod session;
mod tree;

pub use liveness::Liveness;
pub use record::{Location, Privilege, Process, SectionFile, SidAndAttributes, Token};
pub use session::Session;
pub(crate) use tree::{clock_step, is_session_process};
pub use tree::{Parent, ProcessTree};
