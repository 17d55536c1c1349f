//! One serialised document of everything that is known, and its renderings.

mod document;
mod escape;
mod foreign;

pub use document::{Report, SCHEMA};
pub use escape::Shown;
