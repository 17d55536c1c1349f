//! Processes, sessions and tokens as owned records.

pub(crate) mod list;
mod record;
mod session;
mod well_known;

pub use record::{Location, Privilege, Process, SectionFile, SidAndAttributes, Token};
pub use session::Session;
pub use well_known::{privilege_name, sid_name};
