//! Processes, sessions and tokens as owned records.

mod inside;
pub(crate) mod list;
pub(crate) mod look_inside;
mod record;
mod scan;
mod session;
pub(crate) mod views;
mod well_known;

pub use inside::{Handle, Holder, Inside, Thread, Vad};
pub use look_inside::InsideOf;
pub use record::{Location, Privilege, Process, SectionFile, SidAndAttributes, Token};
pub use session::Session;
pub use views::ProcessView;
pub use well_known::{privilege_name, sid_name};
