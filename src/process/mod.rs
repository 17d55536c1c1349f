//! Processes, sessions and tokens as owned records.

mod record;
mod session;

pub use record::{Location, Privilege, Process, SectionFile, SidAndAttributes, Token};
pub use session::Session;
