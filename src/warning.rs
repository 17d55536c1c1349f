//! Things worth saying beside a result.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What is said of a file of which a part is damaged.
pub(crate) const COPY_AGAIN: &str = "the file is damaged, copy it again";

/// What is said of a file that ends before the memory of the machine does.
pub(crate) const PARTS_MISSING: &str = "further parts of it are not here";

/// Something that did not stop the work, and that a reader of its result should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What it concerns, in the field's words: `image`, `kernel`, `processes`, `registry`.
    pub about: String,
    /// One sentence.
    pub message: String,
}

impl Warning {
    /// A warning about `about`.
    pub fn new(about: impl Into<String>, message: impl Into<String>) -> Self {
        Self { about: about.into(), message: message.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.message)
    }
}
