//! One serialised document of everything that is known, and its renderings.

mod escape;

pub use escape::Shown;
