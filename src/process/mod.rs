//! Processes, sessions and tokens as owned records.

pub(crate) mod allocation;
mod cross_view;
#[cfg(test)]
mod cross_view_tests;
pub(crate) mod found;
mod inside;
pub(crate) mod list;
mod liveness;
pub(crate) mod look_inside;
mod modes;
mod place;
mod record;
pub(crate) mod scan;
mod session;
mod sources;
pub(crate) mod thread_scan;
mod tree;
pub(crate) mod views;
mod well_known;

pub use cross_view::{Explanation, Sighting, cross_view};
pub use inside::{Handle, Holder, Inside, Thread, Vad};
pub use liveness::Liveness;
pub(crate) use liveness::PID_END;
pub use look_inside::InsideOf;
pub use modes::{Mode, ModeKind};
pub use record::{Location, Privilege, Process, SectionFile, SidAndAttributes, Token};
pub use session::{Creator, NamedBy, Session};
pub(crate) use session::{FIRST_WITH_SILOS, Members, SessionModel, VISTA};
pub use tree::{Parent, ProcessTree};
pub(crate) use tree::{clock_step, clock_step_by};
pub use views::ProcessView;
pub use well_known::{privilege_name, sid_name};
