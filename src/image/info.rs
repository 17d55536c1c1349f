//! The record of an image file that documents hold.

use crate::PhysicalAddress;
use crate::reading::null_is_default;
use serde::{Deserialize, Serialize};

/// The image file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageInfo {
    /// `raw`, `crash_dump_full`, `lime` ...
    #[serde(deserialize_with = "null_is_default")]
    pub format: String,
    /// Length of the file in bytes; of all its parts, where it has several.
    #[serde(deserialize_with = "null_is_default")]
    pub bytes: u64,
    /// Ranges of physical memory that the file holds, `[start, end)`, sorted; the first 4096.
    #[serde(deserialize_with = "null_is_default")]
    pub runs: Vec<(PhysicalAddress, PhysicalAddress)>,
    /// The file. `None`: the image came from no file.
    pub path: Option<String>,
    /// All files that the image is made of, where they are more than one.
    #[serde(deserialize_with = "null_is_default")]
    pub parts: Vec<String>,
    /// The program that wrote it, where the container tells.
    pub maker: Option<String>,
    /// What the image is wrapped in, the outermost first: `zstd`, `zip`.
    #[serde(deserialize_with = "null_is_default")]
    pub within: Vec<String>,
    /// What the container says of the machine, held against what is in it.
    #[serde(deserialize_with = "null_is_default")]
    pub hints: Vec<Hint>,
}

impl ImageInfo {
    /// Whether `runs` are all that the file holds.
    pub(crate) const fn lists_all_runs(&self) -> bool {
        self.runs.len() < super::MAX_RUNS_LISTED
    }
}

/// One thing that a container says of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hint {
    /// Who says it: `crash dump header`.
    #[serde(deserialize_with = "null_is_default")]
    pub source: String,
    /// What: `page-table root`, `time of the image`, `build`.
    #[serde(deserialize_with = "null_is_default")]
    pub what: String,
    /// The value.
    #[serde(deserialize_with = "null_is_default")]
    pub value: String,
    /// Whether the machine agrees. `None`: it says nothing of it.
    pub agrees: Option<bool>,
}
