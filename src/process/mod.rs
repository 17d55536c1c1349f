//! Processes, sessions and tokens as owned records.

pub(crate) mod list;
mod liveness;
mod record;
mod scan;
mod session;
mod tree;
pub(crate) mod views;
mod well_known;

pub use liveness::Liveness;
pub use record::{Location, Privilege, Process, SectionFile, SidAndAttributes, Token};
pub use session::{Creator, Session};
pub(crate) use session::{FIRST_WITH_SILOS, Members, SessionModel, VISTA};
pub(crate) use tree::clock_step;
pub use tree::{Parent, ProcessTree};
pub use views::ProcessView;
pub use well_known::{privilege_name, sid_name};
