//! How the walk over a list ended.

use serde::{Deserialize, Serialize};

/// How a walk ended, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListEnd {
    /// It came back to its head.
    Complete,
    /// It came to an entry that it had seen before, which was not the head.
    Cycle,
    /// A link could not be read or leads nowhere.
    Broken,
    /// It was stopped at a cap.
    Limit,
}
