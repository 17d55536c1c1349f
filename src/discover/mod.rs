//! Layouts and globals of a kernel of which no symbol file is there, from the table in the crate and from the image itself.

pub(crate) mod data;
pub(crate) mod globals;
pub(crate) mod infer;
pub(crate) mod ladder;

pub use globals::{FoundGlobal, FoundGlobals, Origin, ProcessOffsets};
pub use infer::{Confirmation, Inferred, confirm, infer};
