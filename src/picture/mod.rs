//! What follows from the records of a system: process tree, sessions, cross view, states of the machine.

mod cross_view;
#[cfg(test)]
mod cross_view_tests;
mod modes;
mod sessions;
mod tree;

pub use cross_view::{Explanation, Sighting, cross_view};
pub use modes::{Mode, ModeKind};
pub use sessions::{Creator, NamedBy, Session};
pub(crate) use sessions::{FIRST_WITH_SILOS, Members, SessionModel, VISTA};
pub use tree::{Parent, ProcessTree};
pub(crate) use tree::{clock_step, clock_step_by};
