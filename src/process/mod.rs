//! Processes, sessions and tokens as owned records.

pub(crate) mod list;
mod record;
mod scan;
mod session;
pub(crate) mod views;
mod well_known;

pub use record::{Location, Privilege, Process, SectionFile, SidAndAttributes, Token};
pub use session::Session;
pub use views::ProcessView;
pub use well_known::{privilege_name, sid_name};
